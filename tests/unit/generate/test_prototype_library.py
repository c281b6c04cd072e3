"""Every shipped prototype, and what the validator says about broken ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import spglib

from ionsieve.errors import InputError, ProblemsError
from ionsieve.generate import prototypes
from ionsieve.generate.cif import read_cif
from ionsieve.generate.formula import flatten, parse_formula
from ionsieve.resources import data_folder

NAMES = prototypes.names()


def test_the_library_is_complete() -> None:
    assert len(NAMES) == 34
    assert {prototypes.load(n).family for n in NAMES} >= {"nasicon", "sulfide", "antiperovskite"}


@pytest.mark.parametrize("name", NAMES)
def test_space_group_charge_and_formula(name: str) -> None:
    p = prototypes.load(name)
    assert p.data is not None
    occupied = [s for s in p.sites if s.occupancy]
    points = np.vstack([s.positions for s in occupied])
    contents = [tuple(sorted((k, round(v, 4)) for k, v in s.occupancy.items())) for s in occupied]
    kinds = {c: i + 1 for i, c in enumerate(dict.fromkeys(contents))}
    types = [kinds[c] for c, s in zip(contents, occupied, strict=True) for _ in range(s.multiplicity)]
    dataset = spglib.get_symmetry_dataset((p.cell, points, types), symprec=0.01)
    assert dataset is not None
    assert dataset.number == p.data["space_group_number"]
    assert sum(a * p.charges[s] for s, a in p.composition.items()) == pytest.approx(0, abs=5e-3)
    have, want = flatten(p.composition), flatten(parse_formula(p.formula))
    assert have.keys() == want.keys()
    for element, amount in want.items():
        assert have[element] == pytest.approx(amount, rel=0.005)


@pytest.mark.parametrize("name", NAMES)
def test_occupied_sites_keep_their_distance(name: str) -> None:
    """Fully occupied neighbours are no closer than a short bond; closer pairs are partial and declared exclusive."""
    p = prototypes.load(name)
    sites = [s for s in p.sites if s.occupancy]
    points = np.vstack([s.positions for s in sites])
    owner = [s for s in sites for _ in range(s.multiplicity)]
    delta = points[:, None] - points[None]
    delta -= np.round(delta)
    distance = np.linalg.norm(delta @ p.cell, axis=2)
    for i, j in np.argwhere(np.triu(distance < 1.85, 1)):
        a, b = owner[i], owner[j]
        full = sum(a.occupancy.values()) + sum(b.occupancy.values()) > 1.02
        if full:
            species = {*a.occupancy, *b.occupancy}
            assert species & {"O", "H", "OH"}, (a.label, b.label)  # only real bonds are that short
            assert distance[i, j] > 0.95
        else:
            assert p.exclusions_A[tuple(sorted((a.label, b.label)))] > distance[i, j]  # type: ignore[index]


@pytest.mark.parametrize("name", NAMES)
def test_dopants_carry_the_sign_of_their_host(name: str) -> None:
    p = prototypes.load(name)
    assert p.dopable
    for entry in p.dopable:
        assert entry.dopants, entry.label
        for label in entry.sites:
            for host in p.site(label).occupancy:
                assert all(q * p.charges[host] > 0 for q in entry.dopants.values()), (label, host)


def test_primitive_cells() -> None:
    assert prototypes.load("Na3Zr2Si2PO12_R-3c").formula_units_per_primitive == pytest.approx(2)
    assert prototypes.load("Na3PS4_I-43m").formula_units_per_primitive == pytest.approx(1)
    assert prototypes.load("Li6PS5Cl_F-43m").formula_units_per_primitive == pytest.approx(1)
    assert prototypes.load("Li7La3Zr2O12_Ia-3d").formula_units_per_primitive == pytest.approx(4)
    assert prototypes.load("Na3OCl_Pm-3m").formula_units_per_primitive == pytest.approx(1)


def test_mixed_anion_rows_share_one_site() -> None:
    p = prototypes.load("Li6PS5Cl_F-43m")
    assert p.site("X1").occupancy == pytest.approx({"Cl": 0.385, "S": 0.615})


def test_cluster_anions_are_one_species() -> None:
    assert prototypes.load("Na3OBH4_Pm-3m").composition == pytest.approx({"Na": 3, "O": 1, "BH4": 1})
    assert prototypes.load("Li2OHCl_Pm-3m").composition == pytest.approx({"Li": 2, "OH": 1, "Cl": 1})


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown prototype 'Na3PS4_P421c'") as caught:
        prototypes.load("Na3PS4_P421c")
    assert caught.value.problem.remedy == "did you mean 'Na3PS4_P-421c'?"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's copy of a shipped prototype under another name."""
    for suffix in (".cif", ".yaml"):
        shutil.copy(data_folder("structures") / f"Na3PS4_I-43m{suffix}", tmp_path / f"Mine{suffix}")
    return tmp_path / "Mine.yaml"


def test_a_users_files_are_a_prototype(own: Path) -> None:
    assert prototypes.validate(own) == []
    by_path, by_name = prototypes.load(own), prototypes.load("Mine", [own.parent])
    assert by_path.name == by_name.name == "Mine"
    assert by_path.composition == prototypes.load("Na3PS4_I-43m").composition
    assert "Mine" in prototypes.names([own.parent])


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("mobile_ion: Na\n", "", "'mobile_ion' is missing"),
        ("\nz: 2\n", "\nz: 3\n", "the formula says 3"),
        ("  P: 5\n", "  P: 4\n", "not neutral: -1.000"),
        ("- label: Na1\n  wyckoff: 6b", "- label: Nb1\n  wyckoff: 6b", "`mobile_sites` does not list"),
        ("  S: -2\n", "", "S (site S1) has no oxidation state"),
        ("  sites:\n  - P1\n", "  sites:\n  - P9\n", "no site 'P9' in the CIF"),
        ("\nz: 2\n", "\nz: two\n", "z = 'two': the entry has the wrong form"),
        ("  P: 5\n", "  P: five\n", "oxidation_states.P = 'five': the entry has the wrong form"),
        ("dopable_sites:", "dopeable_sites:", "did you mean 'dopable_sites'?"),
        ("formula: Na3PS4\n", "formula: Na3PSx4\n", "formula = 'Na3PSx4': the entry has the wrong form"),
        ("    Cl: -1\n", "    Mg: 2\n", "Mg (+2) cannot stand on the site of S"),
        ("    Cl: -1\n", "    Clx: -1\n", "dopable_sites[1].dopants.Clx = -1"),
    ],
)
def test_the_validator_says_what_is_wrong(own: Path, old: str, new: str, expected: str) -> None:
    text = own.read_text()
    assert old in text
    own.write_text(text.replace(old, new, 1))
    assert any(expected in problem for problem in prototypes.validate(own)), prototypes.validate(own)
    with pytest.raises(ProblemsError):
        prototypes.load(own)


def test_several_problems_are_all_named(own: Path) -> None:
    own.write_text("name: Mine\nformula: Na3PS4\n")
    found = prototypes.validate(own)
    assert len(found) == 6
    assert all("is missing" in problem for problem in found)


def test_a_file_without_its_cif(own: Path) -> None:
    own.with_suffix(".cif").unlink()
    assert any("no CIF beside the YAML" in problem for problem in prototypes.validate(own))


def test_a_p1_cif_gets_its_symmetry_back(own: Path) -> None:
    """All atoms written out, no operations: spglib finds them."""
    p = prototypes.load(own)
    rows, labels = [], []
    for site in p.sites:
        for k, x in enumerate(site.positions):
            if site.occupancy:
                label = f"{site.label}x{k}"
                labels.append((label, site.mobile))
                rows.append(f"{label} {next(iter(site.occupancy))} {x[0]:.6f} {x[1]:.6f} {x[2]:.6f} 1")
    head = ["data_x", *[f"_cell_length_{k} 6.978" for k in "abc"]]
    head += [f"_cell_angle_{k} 90" for k in ("alpha", "beta", "gamma")]
    head += ["loop_", "_atom_site_label", "_atom_site_type_symbol"]
    head += ["_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z", "_atom_site_occupancy"]
    own.with_suffix(".cif").write_text("\n".join([*head, *rows]) + "\n")
    mobile = "".join(f"- {{label: {x}, occupancy: 1}}\n" for x, is_mobile in labels if is_mobile)
    own.write_text(
        "formula: Na3PS4\nfamily: sulfide\nmobile_ion: Na\noxidation_states: {Na: 1, P: 5, S: -2}\nz: 2\nsource: me\n"
        f"mobile_sites:\n{mobile}"
    )
    assert prototypes.validate(own) == []
    again = prototypes.load(own)
    assert len(again.rotations) == len(p.rotations) == 48
    assert again.formula_units_per_primitive == pytest.approx(1)


def test_only_the_first_structure_of_a_cif_is_read(own: Path) -> None:
    cif = own.with_suffix(".cif")
    alone = read_cif(cif)
    other = cif.read_text().replace("_cell_length_a", "_cell_length_a  99.0 #", 1)
    cif.write_text("data_global\n_publ_section_title 'A paper'\n" + cif.read_text() + "\n" + other)
    both = read_cif(cif)
    assert np.array_equal(both.cell, alone.cell)
    assert both.rows == alone.rows


def test_an_unknown_coordinate_is_told_with_file_and_row(tmp_path: Path) -> None:
    cif = tmp_path / "a.cif"
    cell = "".join(f"_cell_length_{k} 3.0\n" for k in "abc") + "".join(
        f"_cell_angle_{k} 90\n" for k in ("alpha", "beta", "gamma")
    )
    columns = "".join(f"_atom_site_{k}\n" for k in ("label", "fract_x", "fract_y", "fract_z"))
    cif.write_text(f"data_a\n{cell}loop_\n{columns}Na1 0 0 0\nCl1 0.5 ? 0.5\n")
    with pytest.raises(InputError) as error:
        read_cif(cif)
    assert error.value.problem.where == str(cif)
    assert error.value.problem.key == "_atom_site_fract_y, row 2 (Cl1)"
