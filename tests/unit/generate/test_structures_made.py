"""Cluster anions, checks, records and files."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import ase.io
import numpy as np
import pytest
from pymatgen.analysis.local_env import CrystalNN  # noqa: F401  - the import must stay free of warnings
from pymatgen.core import Structure

from ionsieve.generate import GenerateSettings, configure, expand, export
from ionsieve.generate.groups import GROUPS, random_rotation
from ionsieve.records import Candidate, Configuration, GeneratedCandidate
from ionsieve.resources import data_folder
from ionsieve.rng import generator
from ionsieve.verdicts import Flag, Outcome


def made(recipe: object, seed: int = 1, **more: object) -> tuple[Candidate, tuple[Configuration, ...]]:
    s = GenerateSettings.model_validate({"recipes": [recipe], **more})
    (c,) = expand(s)
    return configure(c, s, seed=seed)


def check(configuration: Configuration, name: str):
    return next(c for c in configuration.checks if c.name == name)


def test_a_cluster_anion_that_is_too_large_is_refused() -> None:
    c, _ = made({"prototype": "Na3OCl_Pm-3m", "substitute": {"Cl": {"BCl4": 0.5}}})
    assert c.outcome is Outcome.BAD_GEOMETRY
    assert c.reason.startswith("Cl-Na 1.")


@pytest.mark.parametrize("name", sorted(set(GROUPS) - {"BCl4"}))
def test_cluster_anions_are_whole_and_oriented(name: str) -> None:
    group = GROUPS[name]
    assert group.charge == -1
    c, found = made({"prototype": "Na3OCl_Pm-3m", "substitute": {"Cl": {name: 0.5}}}, ordering={"n_configurations": 2})
    assert c.outcome is Outcome.COMPLETED, c.reason
    for k in found:
        assert len(k.structure) == c.n_atoms
        atoms = k.structure.to_ase()
        states = np.array(k.structure.oxidation_states)
        assert states.sum() == 0
        centre = group.symbols[0]
        length = np.linalg.norm(group.offsets_A[1])
        labels = np.array(k.structure.site_labels)
        centres = [i for i, s in enumerate(k.structure.symbols) if s == centre and labels[i] == "Cl1"]
        assert len(centres) >= 1
        for i in centres:
            distance = atoms.get_distances(i, [j for j in range(len(atoms)) if j != i], mic=True)
            bonded = np.isclose(distance, length, atol=1e-4).sum()
            assert bonded >= len(group.symbols) - 1
        assert check(k, "shortest distances").passed
    if len(found) == 2:
        assert found[0].structure.positions_A != found[1].structure.positions_A


def test_orientations_are_uniform_on_the_sphere() -> None:
    stream = generator("test", "rotations")
    turned = np.array([random_rotation(stream) @ [0.0, 0.0, 1.0] for _ in range(4000)])
    assert np.abs(turned.mean(axis=0)).max() < 4 / np.sqrt(3 * 4000)
    assert np.allclose((turned**2).mean(axis=0), 1 / 3, atol=4 * 0.3 / np.sqrt(4000))
    r = random_rotation(stream)
    assert np.allclose(r @ r.T, np.eye(3))
    assert np.linalg.det(r) == pytest.approx(1)


def test_hydroxide_turns_its_hydrogen_away_from_lithium() -> None:
    c, found = made("Li2OHCl")
    assert c.realised_formula == "Li2OHCl"
    for k in found:
        atoms = k.structure.to_ase()
        h = [i for i, s in enumerate(k.structure.symbols) if s == "H"]
        li = [i for i, s in enumerate(k.structure.symbols) if s == "Li"]
        assert atoms.get_all_distances(mic=True)[np.ix_(h, li)].min() > 1.45


def test_checks_carry_numbers_and_bounds() -> None:
    _, found = made(
        {"prototype": "Na3OCl_Pm-3m", "substitute": {"Na": {"Sr": 0.125}}, "supercell": {"matrix": [2, 2, 2]}},
        cell_scaling="none",
    )
    k = found[0]
    assert check(k, "neutrality").value == 0
    assert check(k, "shortest distances").detail.startswith("Na-O 2.248")
    assert check(k, "Goldschmidt tolerance factor").value == pytest.approx(0.827, abs=0.002)
    assert check(k, "ionic radius mismatch").value == pytest.approx(15.69)
    assert 0 < check(k, "global instability index").value < 0.2
    volume = abs(np.linalg.det(np.array(k.structure.lattice_A)))
    masses = k.structure.to_ase().get_masses().sum()
    assert check(k, "density").value == pytest.approx(masses * 1.66053906660 / volume, rel=1e-4)


def test_bond_valence_sums_of_a_good_structure() -> None:
    _, found = made("Na3YCl6")
    assert check(found[0], "global instability index").value < 0.1
    _, found = made("Na3PS4")
    assert check(found[0], "polyanion coordination").detail == "P 4"


def test_a_short_contact_ends_the_candidate_with_the_reason() -> None:
    c, found = made({"prototype": "Na3PS4_P-421c"}, checks={"min_distance_fraction": 1.1})
    assert c.outcome is Outcome.BAD_GEOMETRY
    assert "Å apart, less than" in c.reason
    assert found == ()


def test_a_strained_structure_is_flagged() -> None:
    _, found = made({"prototype": "Na3PS4_P-421c"}, checks={"max_gii": 0.01, "max_gii_above_prototype": 1e-3})
    assert Flag.BOND_VALENCE not in found[0].flags  # equal to the prototype's own
    _, found = made(
        {"prototype": "Na3PS4_P-421c", "substitute": {"S": {"Cl": 0.5}}},
        checks={"max_gii": 0.01, "max_gii_above_prototype": 1e-3},
    )
    assert Flag.BOND_VALENCE in found[0].flags


def test_provenance() -> None:
    c, found = made({"prototype": "Na3PS4_P-421c", "substitute": {"S": {"Cl": 0.125}}})
    assert len(c.provenance["spec_sha256"]) == 64
    assert c.provenance["prototype"]["doi"] == "10.1021/jacs.0c06668"
    assert set(c.provenance["software"]) == {"ionsieve", "numpy", "scipy", "spglib"}
    assert found[0].provenance["ordering"]["chains"] == 512
    assert found[0].provenance["symmetry_operations"] > 1
    again = Candidate.from_json(c.to_json())
    assert again == c
    assert Configuration.from_json(found[0].to_json()) == found[0]


def test_a_changed_prototype_is_noticed(tmp_path: Path) -> None:
    import shutil

    from ionsieve.errors import InputError
    from ionsieve.resources import data_folder

    for suffix in (".cif", ".yaml"):
        shutil.copy(data_folder("structures") / f"Na3PS4_I-43m{suffix}", tmp_path / f"Mine{suffix}")
    s = GenerateSettings.model_validate({"recipes": [{"prototype": "Mine"}], "library": [str(tmp_path)]})
    (c,) = expand(s)
    assert len(configure(c, s, seed=0)[1]) == 1
    cif = tmp_path / "Mine.cif"
    cif.write_text(cif.read_text().replace("6.97800", "7.00000"))
    with pytest.raises(InputError, match="has changed since"):
        configure(c, s, seed=0)


def test_files_are_read_back_by_others(tmp_path: Path) -> None:
    c, found = made({"prototype": "Na3PS4_P-421c", "substitute": {"S": {"Cl": 0.125}}})
    table = export([GeneratedCandidate(candidate=c, configurations=found)], tmp_path)
    k = found[0]
    own = k.structure.to_pymatgen()
    cif = Structure.from_file(tmp_path / "structures" / f"{k.configuration_id}.cif")
    assert cif.composition.reduced_formula == own.composition.reduced_formula
    assert len(cif) == len(own) == 63
    assert cif.charge == 0
    for suffix, form in ((".vasp", "vasp"), (".extxyz", "extxyz"), (".cif", "cif")):
        atoms = ase.io.read(tmp_path / "structures" / f"{k.configuration_id}{suffix}", format=form)
        assert sorted(atoms.get_chemical_symbols()) == sorted(k.structure.symbols)
        assert atoms.get_volume() == pytest.approx(own.volume, rel=1e-6)
        ours = np.sort(k.structure.to_ase().get_all_distances(mic=True).ravel())
        assert np.allclose(np.sort(atoms.get_all_distances(mic=True).ravel()), ours, atol=1e-5)
    (row,) = csv.DictReader(table.read_text().splitlines())
    assert row["realised_formula"] == "Na2.875PS3.875Cl0.125"
    assert row["configurations"] == "3"
    before = {p.name: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    export([GeneratedCandidate(candidate=c, configurations=found)], tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


CAMPAIGN = """
name: test
seed: 5
generate:
  recipes:
    - prototype: Na3OCl_Pm-3m
      substitute: {Na: {Ca: 0.125}}
      supercell: {matrix: [2, 2, 2]}
    - prototype: Na3OCl_Pm-3m
      substitute: {Cl: {S: 0.125}}
"""


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from ionsieve.cli.app import run

    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "dumb")

    def told(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        code = run([str(a) for a in arguments])
        streams = capsys.readouterr()
        return code, streams.out + streams.err

    (tmp_path / "c.yaml").write_text(CAMPAIGN)
    code, text = told("generate", tmp_path / "c.yaml", "--out", tmp_path / "out")
    assert code == 3, text  # one is refused
    assert "Na2.75Ca0.125OCl" in text
    assert "1 refused" in text
    assert "leaves -0.125 charges" in " ".join(text.split())
    assert len(list((tmp_path / "out" / "structures").glob("*.cif"))) >= 1
    code, text = told("generate", tmp_path / "c.yaml", "--out", tmp_path / "two", "-j", "2")
    assert code == 3, text
    one = {p.name: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert {p.name: p.read_bytes() for p in (tmp_path / "two").rglob("*") if p.is_file()} == one
    code, text = told("generate", tmp_path / "c.yaml", "--out", tmp_path / "c.yaml")
    assert code == 2
    assert "this is a file, not a folder" in " ".join(text.split())
    assert (tmp_path / "c.yaml").read_text() == CAMPAIGN
    code, text = told("prototypes")
    assert code == 0
    assert "34 prototypes" in text
    assert "Na3Zr2Si2PO12_R-3c" in text
    code, text = told("prototypes", "Na3Zr2Si2PO12_R-3c")
    assert code == 0
    assert "Sc3+" in text
    assert "Hong" in text
    code, text = told("prototypes", "Na3Zr2Si2PO12_R-3c", "--check")
    assert code == 0
    assert "no problem found" in text


def test_a_second_export_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    recipes = [{"prototype": "Na3OCl_Pm-3m", "substitute": {"Cl": {"Br": x}}} for x in (0.25, 0.5)]
    first, second = (made({**r, "supercell": {"matrix": [2, 2, 2]}}) for r in recipes)
    export([GeneratedCandidate(candidate=c, configurations=f) for c, f in (first, second)], tmp_path)
    (tmp_path / "structures" / "mine.cif").write_text("data_mine")
    export([GeneratedCandidate(candidate=second[0], configurations=second[1][:1])], tmp_path)
    files = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    name = second[0].candidate_id
    kept = {f"{name}--c0.{k}" for k in ("cif", "vasp", "extxyz")}
    assert files == {"candidates.csv", "mine.cif", f"{name}.json", *kept}


def test_exported_files_are_readable_as_the_umask_says(tmp_path: Path) -> None:
    c, found = made({"prototype": "Na3OCl_Pm-3m", "supercell": {"matrix": [2, 2, 2]}})
    before = os.umask(0o027)
    try:
        table = export([GeneratedCandidate(candidate=c, configurations=found)], tmp_path)
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert table.stat().st_mode & 0o777 == 0o640


def own_prototype(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in (".yaml", ".cif"):
        shutil.copy(data_folder("structures") / f"Na3OCl_Pm-3m{suffix}", folder / f"Mine{suffix}")
    return folder / "Mine.yaml"


@pytest.mark.parametrize("suffix", [".yaml", ".cif"])
def test_a_prototype_given_by_path_inside_a_grid_is_found_again(tmp_path: Path, suffix: str) -> None:
    path = own_prototype(tmp_path / "mine").with_suffix(suffix)
    grid = {"prototypes": [str(path)], "sites": ["Cl"], "dopants": ["Br"], "levels": 0.25, "include_undoped": False}
    s = GenerateSettings.model_validate({"recipes": [{"grid": grid}]})
    (c,) = expand(s)
    done, found = configure(c, s, seed=1)
    assert (done.outcome, done.prototype) == (Outcome.COMPLETED, "Mine")
    assert found


def test_one_library_folder_needs_no_list(tmp_path: Path) -> None:
    own_prototype(tmp_path / "mine")
    s = GenerateSettings.model_validate({"recipes": [{"prototype": "Mine"}]})
    (c,) = expand(s, library=str(tmp_path / "mine"))
    assert configure(c, s, seed=1, library=str(tmp_path / "mine"))[1]
