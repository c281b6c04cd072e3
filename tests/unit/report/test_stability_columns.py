"""Stability columns: computed with a potential, kept as a table, shown as computed, counted in the ranking."""

from ase.build import bulk
from ase.calculators.emt import EMT

from ionsieve.dynamics import DynamicsSettings
from ionsieve.potentials import load
from ionsieve.potentials.settings import PotentialSettings
from ionsieve.ranking import RankingSettings, rank
from ionsieve.ranking.imported import read_columns
from ionsieve.ranking.settings import COMPUTED
from ionsieve.records import CrystalStructure
from ionsieve.report.expansion import expansion_rows
from ionsieve.report.exports.select import Chosen, choose
from ionsieve.report.stability import COLUMNS, merged, read, sources, stability_rows, to_csv


def test_rows_come_from_the_potential_and_read_back(results, tmp_path):
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


def test_a_second_command_keeps_what_the_first_one_computed(tmp_path):
    file = tmp_path / "stability.csv"
    assert read(file) == {}
    file.write_text(to_csv({"a": {"shear_modulus": 12.5, "energy_above_hull": 0.01}}))
    table = merged(file, {"a": {"energy_above_hull": 0.02, "shear_modulus": None}, "b": {"bulk_modulus": 50.0}})
    assert table == {"a": {"shear_modulus": 12.5, "energy_above_hull": 0.02}, "b": {"bulk_modulus": 50.0}}
    file.write_text(to_csv(table))
    assert read(file) == table
    told = sources(table, "CHGNet")
    assert told["shear_modulus"].endswith("computed with CHGNet")
    assert set(told) == {"shear_modulus", "energy_above_hull", "bulk_modulus"}


def test_computed_stability_counts_in_limits_fronts_and_score(results):
    plain = results.ranking
    ranked = [r.candidate_id for r in plain.rows if r.section == "ranked"]
    hull = {name: {"energy_above_hull": 0.01 * i, "shear_modulus": 5.0} for i, name in enumerate(ranked)}

    def again(**settings: object):
        return rank(
            results.estimates,
            candidates={c.candidate_id: c for c in results.candidates},
            descriptors={d.configuration_id: d for d in results.descriptors},
            measurements=results.measurements,
            settings=RankingSettings.model_validate(settings),
            stability=hull,
        )

    assert "energy_above_hull" not in plain.pareto_objectives
    assert {"energy_above_hull", "shear_modulus"} <= set(again().pareto_objectives)
    assert [r.candidate_id for r in again().rows] == [r.candidate_id for r in plain.rows]
    limited = again(hard_limits=[{"column": "energy_above_hull", "maximum": 0.045}])
    excluded = [r for r in limited.rows if r.section == "excluded"]
    assert {r.candidate_id for r in excluded} == set(ranked[5:])
    assert all("energy_above_hull" in r.reason for r in excluded)
    weighed = again(weights={"conductivity": 0.0, "energy_above_hull": 1.0})
    assert [r.candidate_id for r in weighed.rows if r.rank][:5] == ranked[:5]
    assert weighed.rows[0].score == 1.0


def test_every_number_of_the_stability_table_may_be_limited():
    text = {"competing_phases"}
    assert set(COLUMNS) - text == {*COMPUTED, "energy_above_hull", "shear_modulus"}


def test_expansion_comes_from_npt_runs(results, tmp_path):
    one = choose(results, top=1)[0]
    salt = CrystalStructure.from_ase(bulk("NaCl", "rocksalt", a=5.64, cubic=True))
    cell = Chosen(one.candidate, one.row, salt, None, False)
    told: list[str] = []
    rows = expansion_rows(
        [cell],
        load(PotentialSettings(name="pair-ionic")),
        DynamicsSettings(barostat_tau_fs=200.0),
        tmp_path,
        length_ps=1.0,
        temperatures_K=(100.0, 300.0, 500.0),
        tell=told.append,
    )
    row = rows[one.candidate.candidate_id]
    assert set(row) == {"linear_expansion_per_K", "linear_expansion_error_per_K"}
    assert 0 < row["linear_expansion_per_K"] < 5e-4  # a crystal of a soft pair potential grows when heated
    assert row["linear_expansion_error_per_K"] > 0
    assert told == ["thermal expansion: 3 NPT runs of 1 ps"]
    assert list(tmp_path.iterdir()) == []
