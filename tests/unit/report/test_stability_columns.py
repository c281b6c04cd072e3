"""Stability columns: computed with a potential, kept as a table, shown as computed, and never a change of order."""

from ase.calculators.emt import EMT

from ionsieve.ranking.imported import read_columns
from ionsieve.records import CrystalStructure
from ionsieve.report.exports.select import Chosen, choose
from ionsieve.report.stability import COLUMNS, add_columns, stability_rows, to_csv


def test_rows_come_from_the_potential_and_read_back(results, tmp_path):
    from ase.build import bulk

    one = choose(results, top=1)[0]
    metal = Chosen(one.candidate, one.row, CrystalStructure.from_ase(bulk("Cu", cubic=True)), None, False)
    told: list[str] = []
    rows = stability_rows([metal], EMT(), tell=told.append, fmax_eV_per_A=0.005)
    row = rows[one.candidate.candidate_id]
    assert 120 < row["bulk_modulus"] < 150  # EMT copper
    assert row["shear_over_guide"] == round(row["shear_modulus"] / 6.6, 2)
    assert row["energy_above_hull"] is None
    assert row["competing_phases"] == "the reference phases do not give this composition"
    assert told[-1].endswith(one.candidate.candidate_id)
    file = tmp_path / "stability.csv"
    file.write_text(to_csv(rows))
    back = read_columns(file)
    assert back.names == tuple(COLUMNS)
    assert back.rows[one.candidate.candidate_id]["bulk_modulus"] == row["bulk_modulus"]


def test_the_columns_stand_beside_the_numbers_and_change_no_order(results, tmp_path):
    best = results.ranking.rows[0]
    file = tmp_path / "stability.csv"
    file.write_text(to_csv({best.candidate_id: dict.fromkeys(COLUMNS) | {"shear_modulus": 12.5}}))
    ranking = add_columns(results.ranking, file, "CHGNet")
    assert [r.candidate_id for r in ranking.rows] == [r.candidate_id for r in results.ranking.rows]
    assert ranking.rows[0].columns["shear_modulus"] == 12.5
    assert "shear_modulus" not in ranking.rows[1].columns
    assert ranking.column_sources["shear_modulus"].endswith("computed with CHGNet")
    assert "shear_modulus" not in ranking.imported_columns
