"""Exports open in the programs they are for, and come back with the same numbers."""

import csv
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import zipfile
from dataclasses import replace
from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np
import pytest

from ionsieve.errors import InputError
from ionsieve.ranking import to_csv
from ionsieve.records import CandidateEstimate, Ranking
from ionsieve.report import CampaignResults
from ionsieve.report.candidates import candidate_view
from ionsieve.report.exports import EXPORTS, export
from ionsieve.report.exports.select import choose, stem
from ionsieve.report.exports.structures import write_cif
from ionsieve.report.exports.tables import json_schema, tables
from ionsieve.verdicts import Outcome


def by_id(results: CampaignResults) -> dict:
    return {r.candidate_id: r for r in results.ranking.rows}


def test_the_csv_is_that_of_the_ranking(results, tmp_path):
    (path,) = export(results, "csv", tmp_path / "r.csv")
    assert path.read_text() == to_csv(results.ranking)
    (few,) = export(results, "csv", tmp_path / "few.csv", top=3)
    assert [row["rank"] for row in csv.DictReader(few.read_text().splitlines())] == ["1", "2", "3"]


def test_the_json_holds_to_its_schema_and_reads_back_as_records(results, tmp_path):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    data, schema = export(results, "json", tmp_path / "results.json")
    loaded, rules = json.loads(data.read_text()), json.loads(schema.read_text())
    assert rules == json_schema()
    jsonschema.Draft202012Validator.check_schema(rules)
    jsonschema.Draft202012Validator(rules).validate(loaded)
    broken = json.loads(data.read_text())
    broken["ranking"]["rows"][0]["conductivity"]["value"] = "fast"
    assert list(jsonschema.Draft202012Validator(rules).iter_errors(broken))
    assert Ranking.model_validate(loaded["ranking"]) == results.ranking
    assert tuple(CandidateEstimate.model_validate(e) for e in loaded["estimates"]) == results.estimates


def test_the_table_of_runs_says_how_well_a_run_was_known_and_a_committee_agreed(results):
    """An early end with its number, and the disagreement of a committee; empty where there is neither."""
    first, *others = results.runs
    numbers = {
        "force_disagreement_eV_per_A": 0.08,
        "max_force_disagreement_eV_per_A": 0.41,
        "relative_error_D": 0.19,
    }
    early = first.model_copy(
        update={"outcome": Outcome.STOPPED_EARLY, "summary": first.summary.model_copy(update=numbers)}
    )
    rows = tables(replace(results, runs=(early, *others)), choose(results))["runs"]
    told = next(row for row in rows if row["run_id"] == first.run.run_id)
    assert numbers.items() <= told.items()
    assert told["outcome"] == "stopped_early"
    other = next(row for row in rows if row["run_id"] == others[0].run.run_id)
    assert {other[name] for name in numbers} == {None}


def test_sqlite_opens_in_pandas_and_duckdb_with_the_same_numbers(results, tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed (extra: tables)")
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    (path,) = export(results, "sqlite", tmp_path / "r.sqlite")
    export(results, "sqlite", path)  # a second time replaces the first
    connection = sqlite3.connect(path)
    frame = pandas.read_sql("SELECT * FROM ranking ORDER BY rank", connection)
    connection.close()
    assert len(frame) == 24
    known = by_id(results)
    for _, row in frame.dropna(subset=["rank"]).iterrows():
        assert row["conductivity_S_per_cm"] == known[row["candidate_id"]].conductivity.value
    with duckdb.connect() as db:
        count = db.sql(f"SELECT count(*) FROM sqlite_scan('{path}', 'runs')") if sqlite_extension(db) else None
        if count is not None:
            assert count.fetchall() == [(len(results.runs),)]


def sqlite_extension(db) -> bool:
    """Whether DuckDB has its SQLite reader (an extension that some installations must download)."""
    names = db.sql("SELECT extension_name FROM duckdb_extensions() WHERE installed AND extension_name LIKE 'sqlite%'")
    return bool(names.fetchall())


def test_parquet_opens_in_pandas_and_duckdb_and_names_its_units(results, tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed (extra: tables)")
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (extra: tables)")
    files = {p.stem: p for p in export(results, "parquet", tmp_path / "tables")}
    assert set(files) == {"ranking", "measurements", "runs", "quantities"}
    frame = pandas.read_parquet(files["measurements"])
    assert len(frame) == len(results.measurements)
    values = {m.run_id: m.tracer_diffusivity.value for m in results.measurements}
    assert all(row.tracer_diffusivity_cm2_per_s == values[row.run_id] for row in frame.itertuples())
    with duckdb.connect() as db:
        best = db.sql(f"SELECT candidate_id FROM '{files['ranking']}' WHERE rank = 1").fetchall()
    assert best == [(results.ranking.rows[0].candidate_id,)]
    units = {f.name: f.metadata[b"unit"].decode() for f in parquet.read_schema(files["ranking"])}
    assert units["conductivity_S_per_cm_low68"] == "S/cm"
    assert units["activation_energy_eV"] == "eV"


def test_cifs_come_back_through_pymatgen_and_ase(results, tmp_path):
    from ase.io import read
    from pymatgen.core import Structure

    chosen = choose(results, top=4)
    for path, one in zip(export(results, "cif", tmp_path / "cif", top=4), chosen, strict=True):
        assert path.name == f"{stem(one)}.cif"
        original = one.structure.to_ase()
        for back in (Structure.from_file(path).to_ase_atoms(), read(path)):
            assert sorted(back.get_chemical_symbols()) == sorted(original.get_chemical_symbols())
            assert back.cell.cellpar() == pytest.approx(original.cell.cellpar(), abs=1e-5)
            assert nearest_distances(back) == pytest.approx(nearest_distances(original), abs=2e-4)
        assert "# conductivity_S_per_cm: " in path.read_text()


def test_labels_in_a_cif_are_unique(results, tmp_path):
    from pymatgen.core import Structure

    (one,) = choose(results, top=1)
    named = one.structure.model_copy(update={"site_labels": tuple(f"{s}1" for s in one.structure.symbols)})
    (path,) = write_cif(results, [replace(one, structure=named)], tmp_path)
    labels = Structure.from_file(path).labels
    assert len(set(labels)) == len(labels) > 1


def nearest_distances(atoms) -> np.ndarray:
    distances = atoms.get_all_distances(mic=True)
    np.fill_diagonal(distances, np.inf)
    return np.sort(distances.min(axis=1))


def test_poscars_come_back_with_species_in_blocks(results, tmp_path):
    from pymatgen.io.vasp import Poscar

    (path,) = export(results, "poscar", tmp_path / "poscar", top=1)
    structure = Poscar.from_file(path).structure
    symbols = [site.specie.symbol for site in structure]
    assert len({s for s, t in pairwise(symbols) if s != t}) == len(set(symbols)) - 1
    assert (
        structure.composition.reduced_formula
        == choose(results, top=1)[0].structure.to_pymatgen().composition.reduced_formula
    )


def test_entries_and_the_ase_database_carry_energy_and_provenance(results, tmp_path):
    from ase.db import connect
    from monty.json import MontyDecoder

    (entries,) = export(results, "entries", tmp_path / "entries.json", top=3)
    read_back = json.loads(entries.read_text(), cls=MontyDecoder)
    relaxed = {r.candidate_id: r.energy_eV for r in results.relaxed}
    assert [e.data["rank"] for e in read_back] == [1, 2, 3]
    assert all(e.energy == pytest.approx(relaxed[e.entry_id]) for e in read_back)
    (database,) = export(results, "ase", tmp_path / "s.db", top=3)
    with connect(database) as db:
        rows = list(db.select("rank<=2", sort="rank"))
        assert [row.data["candidate_id"] for row in rows] == [r.candidate_id for r in results.ranking.rows[:2]]
        assert rows[0].energy == pytest.approx(relaxed[rows[0].data["candidate_id"]])
        assert rows[0].conductivity_S_per_cm == results.ranking.rows[0].conductivity.value


def test_a_relaxation_that_failed_is_no_relaxed_structure(results):
    first = choose(results, top=1)[0]
    name = first.candidate.candidate_id
    assert first.relaxed
    broken = tuple(
        r.model_copy(update={"outcome": Outcome.EXPLODED, "reason": "forces grew"}) if r.candidate_id == name else r
        for r in results.relaxed
    )
    one = choose(replace(results, relaxed=broken), top=1)[0]
    assert one.candidate.candidate_id == name
    assert (one.relaxed, one.energy_eV) == (False, None)
    assert one.structure == results.configurations_of(name)[0].structure
    page = candidate_view(replace(results, relaxed=broken), one.row, None, ())
    assert page.structure is not None
    assert not page.structure.relaxed


def test_vasp_inputs_are_whole_but_for_the_licensed_file(results, tmp_path):
    from pymatgen.io.vasp import Incar, Kpoints, Poscar

    folder = export(results, "vasp", tmp_path / "vasp", top=1)[0]
    assert {p.name for p in folder.iterdir()} == {"INCAR", "KPOINTS", "POSCAR", "POTCAR.spec"}
    assert Incar.from_file(folder / "INCAR")["ISIF"] == 3
    assert Kpoints.from_file(folder / "KPOINTS").kpts
    species = [line.split("_")[0] for line in (folder / "POTCAR.spec").read_text().split()]
    assert species == list(Poscar.from_file(folder / "POSCAR").site_symbols)


def test_quantum_espresso_reads_its_input(results, tmp_path):
    from ase.io import read

    folder = export(results, "qe", tmp_path / "qe", top=1)[0]
    back = read(folder / "pw.in", format="espresso-in")
    original = choose(results, top=1)[0].structure.to_ase()
    assert back.get_chemical_symbols() == original.get_chemical_symbols()
    assert back.positions == pytest.approx(original.positions, abs=1e-6)


def test_lammps_types_match_between_data_and_input(results, tmp_path):
    from ase.io import read

    folder = export(results, "lammps", tmp_path / "lammps", top=1)[0]
    one = choose(results, top=1)[0]
    elements = sorted(set(one.structure.symbols))
    text = (folder / "in.lammps").read_text()
    assert f"pair_coeff      * * {' '.join(elements)}\n" in text
    assert f"group           mobile type {elements.index('Na') + 1}\n" in text
    assert "{" not in text.replace("${", "")
    data = read(folder / "structure.data", format="lammps-data", units="metal", atom_style="atomic")
    assert data.get_chemical_symbols() == list(one.structure.symbols)  # by mass
    assert nearest_distances(data) == pytest.approx(nearest_distances(one.structure.to_ase()), abs=1e-4)


# -- archives


def crate_rules(files: dict[str, bytes]) -> dict:
    """Check a crate by the rules of RO-Crate 1.1 and of the ELN consortium; return its entities by id."""
    data = json.loads(files["ro-crate-metadata.json"])
    assert data["@context"] == "https://w3id.org/ro/crate/1.1/context"
    entities = {e["@id"]: e for e in data["@graph"]}
    assert len(entities) == len(data["@graph"])
    descriptor, root = entities["ro-crate-metadata.json"], entities["./"]
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert descriptor["about"] == {"@id": "./"}
    assert {"version", "sdPublisher"} <= set(descriptor)
    assert {"name", "description", "datePublished", "license"} <= set(root)
    reached: set[str] = set()

    def walk(entity: dict) -> None:
        for part in entity.get("hasPart", []):
            assert part["@id"] not in reached
            reached.add(part["@id"])
            walk(entities[part["@id"]])

    walk(root)
    for name, entity in entities.items():
        assert isinstance(entity["@type"], str)
        assert not isinstance(entity.get("keywords"), list)
        if entity["@type"] == "File":
            assert name in reached
            content = files[name.removeprefix("./")]
            assert entity["sha256"] == hashlib.sha256(content).hexdigest()
            assert entity["contentSize"] == str(len(content))
        if entity["@type"] == "Dataset" and name != "./":
            assert name in reached
            assert entity["name"]
    described = {n.removeprefix("./") for n, e in entities.items() if e["@type"] == "File"}
    assert described == set(files) - {"ro-crate-metadata.json"}
    return entities


def test_the_crate_describes_every_file_with_its_digest(results, tmp_path):
    (folder,) = export(results, "ro-crate", tmp_path / "crate", top=3)
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    crate_rules(files)
    assert {"report.html", "ranking.csv", "results.json", "results.schema.json"} <= set(files)
    export(results, "ro-crate", folder, top=3)  # again over itself
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="did not write"):
        export(results, "ro-crate", other)
    assert (other / "mine.txt").exists()


def test_a_crate_of_somebody_else_and_files_beside_ours_are_left_alone(results, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "ro-crate-metadata.json").write_text(json.dumps({"@graph": [{"@id": "./", "@type": "Dataset"}]}))
    (folder,) = export(results, "ro-crate", tmp_path / "crate", top=1)
    (folder / "notes.txt").write_text("mine")
    for place in (theirs, folder):
        before = sorted(place.rglob("*"))
        with pytest.raises(InputError, match="did not write"):
            export(results, "ro-crate", place, top=1)
        assert sorted(place.rglob("*")) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["crate", "theirs"]


def test_an_earlier_crate_stays_when_the_new_one_cannot_be_written(results, tmp_path, monkeypatch):
    (folder,) = export(results, "ro-crate", tmp_path / "crate", top=1)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("ionsieve.report.exports.tables.write_json", full)
    with pytest.raises(OSError, match="no space"):
        export(results, "ro-crate", folder, top=1)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["crate"]


def test_rocrate_reads_the_crate(results, tmp_path):
    rocrate = pytest.importorskip("rocrate.rocrate", reason="rocrate is not installed")
    (folder,) = export(results, "ro-crate", tmp_path / "crate", top=2)
    crate = rocrate.ROCrate(folder)
    assert crate.name == "ionsieve campaign synthetic"
    assert {e.id for e in crate.data_entities} >= {"report.html", "ranking.csv"} or {
        "./report.html",
        "./ranking.csv",
    } <= {e.id for e in crate.data_entities}


def test_the_eln_has_one_root_folder_and_one_entry_a_winner(results, tmp_path):
    (path,) = export(results, "eln", tmp_path / "plan.eln")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = [PurePosixPath(n) for n in archive.namelist()]
        assert {n.parts[0] for n in names} == {"plan"}
        assert all(len(n.parts) > 1 and ".." not in n.parts for n in names)
        files = {n.relative_to("plan").as_posix(): archive.read(str(n)) for n in names}
    entities = crate_rules(files)
    entries = [e for e in entities.values() if e["@type"] == "Dataset" and e["@id"] != "./"]
    assert len(entries) == results.ranking.top_k
    assert all("<table>" in e["text"] and "Predicted conductivity" in e["text"] for e in entries)


def test_the_validator_of_ro_crate_finds_nothing(results, tmp_path):
    python = os.environ.get("IONSIEVE_ROCRATE_PYTHON", "")
    if not python or not shutil.which(python):
        pytest.skip("IONSIEVE_ROCRATE_PYTHON names no Python that has roc-validator and rocrate")
    (folder,) = export(results, "ro-crate", tmp_path / "crate", top=2)
    (eln,) = export(results, "eln", tmp_path / "plan.eln", top=2)
    with zipfile.ZipFile(eln) as archive:
        archive.extractall(tmp_path / "eln")
    # the context comes from the rocrate package: no network is needed; two checks fetch it, they are left out
    code = """
import json, sys
import rocrate, pathlib
from rocrate_validator import models, services
import rocrate_validator.utils.document_loader as loader
context = json.loads((pathlib.Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld").read_text())
loader._fetch_json_ld = lambda source: context
for folder in sys.argv[1:]:
    result = services.validate(services.ValidationSettings(
        rocrate_uri=folder, profile_identifier="ro-crate-1.1", requirement_severity=models.Severity.REQUIRED,
        skip_checks=["ro-crate-1.1_3.1", "ro-crate-1.1_3.2"]))
    for issue in result.get_issues():
        print(folder, issue.check.identifier, issue.message)
    assert not result.has_issues()
print("valid")
"""
    done = subprocess.run(
        [python, "-c", code, str(folder), str(tmp_path / "eln" / "plan")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("valid\n")


# -- what is refused


def test_unknown_formats_and_candidates_are_refused_with_the_nearest_name(results, tmp_path):
    with pytest.raises(InputError, match="did you mean 'sqlite'"):
        export(results, "sqlit", tmp_path / "x")
    name = results.ranking.rows[0].candidate_id
    with pytest.raises(InputError, match="no candidate is called"):
        export(results, "cif", tmp_path / "x", candidates=[name[:-1] + "9"])
    nobody = replace(results, ranking=results.ranking.model_copy(update={"rows": ()}))
    with pytest.raises(InputError, match="no winners"):
        export(nobody, "vasp", tmp_path / "x")
    unrelaxed = replace(results, relaxed=())
    with pytest.raises(InputError, match="none of these candidates has an energy"):
        export(unrelaxed, "entries", tmp_path / "e.json")


def test_every_format_is_described_and_has_a_writer():
    from importlib import import_module

    for one in EXPORTS.values():
        module, function = one.home.split(":")
        assert callable(getattr(import_module(f"ionsieve.report.exports.{module}"), function))
        assert one.meaning
