"""Superlattices, image distances, whole atoms."""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ionsieve.generate import GenerateSettings, expand, prototypes
from ionsieve.generate.lattice import (
    best_superlattices,
    densest_image_distance_A,
    hermite_normal_forms,
    reduce_cell,
    shortest_vector_A,
)
from ionsieve.generate.sites import site_table
from ionsieve.verdicts import Outcome


def brute_shortest(cell: np.ndarray, reach: int = 5) -> float:
    grid = np.array([g for g in itertools.product(range(-reach, reach + 1), repeat=3) if any(g)])
    return float(np.linalg.norm(grid @ cell, axis=1).min())


def test_the_number_of_superlattices_is_the_known_sequence() -> None:
    """A001001: sublattices of index n of a three-dimensional lattice."""
    assert [len(hermite_normal_forms(n)) for n in range(1, 11)] == [1, 7, 13, 35, 31, 91, 57, 155, 130, 217]
    forms = hermite_normal_forms(12)
    assert np.allclose(np.linalg.det(forms), 12)


cells = st.lists(st.floats(-1, 1), min_size=9, max_size=9).map(
    lambda v: np.array(v).reshape(3, 3) * 2 + np.diag([5.0, 6.0, 7.0])
)


@given(cells, st.lists(st.integers(-2, 2), min_size=3, max_size=3))
@settings(max_examples=60, deadline=None)
def test_reduction_keeps_the_lattice_and_finds_the_shortest_vector(cell: np.ndarray, shear: list[int]) -> None:
    skewed = np.array([[1, shear[0], shear[1]], [0, 1, shear[2]], [0, 0, 1]]) @ cell
    change = reduce_cell(skewed)
    assert abs(round(np.linalg.det(change))) == 1
    assert np.linalg.det(change @ skewed) > 0
    assert np.linalg.norm(change @ skewed, axis=1).min() == pytest.approx(brute_shortest(cell))
    assert shortest_vector_A(skewed) == pytest.approx(brute_shortest(cell))


@pytest.mark.parametrize("name", ["Na3PS4_P-421c", "Na3Zr2Si2PO12_R-3c", "Na3OCl_Pm-3m", "Li6PS5Cl_F-43m"])
@pytest.mark.parametrize("index", [4, 6, 9])
def test_no_superlattice_has_a_larger_image_distance(name: str, index: int) -> None:
    p = prototypes.load(name)
    small = p.primitive @ p.cell
    found = best_superlattices(p.cell, p.primitive, index)
    for matrix, distance in found:
        assert abs(round(np.linalg.det(matrix))) == index
        assert distance == pytest.approx(brute_shortest(reduce_cell(matrix @ small) @ matrix @ small), abs=1e-3)
    best = max(brute_shortest(reduce_cell(h @ small) @ h @ small, 2) for h in hermite_normal_forms(index))
    assert found[-1][1] == pytest.approx(best, abs=1e-3)
    assert found[0][1] >= 0.85 * best - 1e-3  # a compact multiple of the conventional cell may come first
    assert densest_image_distance_A(small, index) >= best - 1e-6


def one(recipe: object, **more: object):
    return expand(GenerateSettings.model_validate({"recipes": [recipe], **more}))[0]


def test_the_issues_example() -> None:
    c = one({"prototype": "Na3PS4_P-421c", "substitute": {"S": {"Cl": 0.0625}}})
    assert c.supercell == ((2, 0, 0), (0, 2, 0), (0, 0, 2))
    assert c.n_atoms == 127
    assert c.realised_formula == "Na2.9375PS3.9375Cl0.0625"
    assert c.composition_error == 0
    assert c.min_image_A == pytest.approx(13.9234, abs=0.02)  # scaled a little by Cl
    assert c.provenance["plan"]["alternatives"]  # the trade-off is on record


def test_the_image_distance_and_the_size_are_kept() -> None:
    for level in (0.05, 0.11, 0.17, 0.3):
        c = one({"prototype": "Na3OCl_Pm-3m", "substitute": {"Na": {"Ca": level}}}, supercell={"min_image_A": 12.0})
        assert c.outcome is Outcome.COMPLETED
        assert c.min_image_A is not None
        assert c.min_image_A >= 12.0 - 1e-3
        assert c.n_atoms <= 500
        assert c.composition_error is not None
        assert c.composition_error <= 0.02


def test_a_level_that_no_cell_holds_is_refused_with_the_nearest() -> None:
    c = one(
        {"prototype": "Na3PS4_P-421c", "substitute": {"S": {"Cl": 0.07}}},
        supercell={"max_atoms": 100, "composition_tolerance": 0.01},
    )
    assert c.outcome is Outcome.NOT_REALISABLE
    assert "cannot hold 0.07 Cl a formula unit within 1 %" in c.reason
    assert "the nearest is 0.08333" in c.reason
    assert c.n_atoms == 0


def test_an_explicit_supercell() -> None:
    c = one({"prototype": "Na3OCl_Pm-3m", "substitute": {"Na": {"Sr": 0.125}}, "supercell": {"matrix": [2, 2, 2]}})
    assert (c.n_atoms, c.realised_formula) == (39, "Na2.75Sr0.125OCl")
    c = one({"prototype": "Na3Zr2Si2PO12_R-3c", "supercell": {"matrix": [1, 1, 1], "of": "primitive"}})
    assert (c.n_atoms, c.formula_units, c.supercell_of) == (40, 2, "primitive")
    c = one({"prototype": "Na3OCl_Pm-3m", "supercell": {"matrix": [[1, 1, 0], [-1, 1, 0], [0, 0, 2]]}})
    assert c.formula_units == 4
    c = one({"prototype": "Na3OCl_Pm-3m", "substitute": {"Na": {"Sr": 0.1}}, "supercell": {"matrix": [2, 2, 2]}})
    assert c.outcome is Outcome.NOT_REALISABLE
    assert "the given supercell cannot hold" in c.reason


def test_a_singular_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match="determinant 0"):
        GenerateSettings.model_validate(
            {"recipes": ["Na3PS4"], "supercell": {"matrix": [[1, 0, 0], [2, 0, 0], [0, 0, 1]]}}
        )


@pytest.mark.parametrize("name", ["Na3Zr2Si2PO12_R-3c", "Li6PS5Cl_F-43m", "Na3YCl6_P21n"])
def test_the_sites_of_a_supercell(name: str) -> None:
    p = prototypes.load(name)
    matrix = np.array([[2, 1, 0], [0, 1, 1], [-1, 0, 2]])
    index = round(abs(np.linalg.det(matrix)))
    table = site_table(p, matrix)
    per_primitive = sum(s.multiplicity for s in p.sites) * abs(np.linalg.det(p.primitive))
    assert len(table) == round(per_primitive * index)
    assert np.linalg.det(table.cell) == pytest.approx(index * abs(np.linalg.det(p.primitive @ p.cell)))
    everything = np.arange(len(table))
    distance = table.distances(everything, everything) + 9 * np.eye(len(table))
    assert distance.min() > 0.3  # no site twice
    permutations = table.permutations()
    assert (np.sort(permutations, axis=1) == everything).all()
    for permutation in permutations[:: max(1, len(permutations) // 8)]:
        moved = table.distances(permutation, permutation) + 9 * np.eye(len(table))
        assert np.allclose(moved, distance, atol=0.05)  # symmetry keeps all distances
        assert [table.labels[k] for k in permutation] == list(table.labels)


def test_permutations_form_a_group() -> None:
    table = site_table(prototypes.load("Na3OCl_Pm-3m"), np.diag([2, 2, 2]))
    permutations = table.permutations()
    assert len(permutations) == 48 * 8
    known = {p.tobytes() for p in permutations}
    for a, b in itertools.product(permutations[::37], permutations[::41]):
        assert np.ascontiguousarray(a[b]).tobytes() in known


@pytest.fixture
def doubled(tmp_path: Path) -> str:
    """A prototype whose formula is that of two primitive cells."""
    own = prototypes.load("Na3PS4_I-43m").location
    text = re.sub(r"(?m)^formula:.*", "formula: Na6P2S8", Path(own).read_text())
    (tmp_path / "Mine.yaml").write_text(re.sub(r"(?m)^z:.*", "z: 1", text))
    shutil.copy(Path(own).with_suffix(".cif"), tmp_path / "Mine.cif")
    return str(tmp_path / "Mine.yaml")


@pytest.mark.parametrize("level", [0.0, 0.125, 0.2, 0.25, 1 / 3])
def test_a_formula_of_several_primitive_cells_is_counted_right(doubled: str, level: float) -> None:
    small = {"min_image_A": 6.0, "min_mobile_ions": 1}
    c = one({"prototype": doubled, "substitute": {"S": {"Se": level}}}, supercell=small)
    assert c.outcome is Outcome.COMPLETED
    assert c.composition_error is not None
    assert c.composition_error <= 0.02
    wanted = {"Na": 6.0, "P": 2.0, "S": 8.0 - level, "Se": level}
    for species, amount in c.composition.items():
        assert amount == pytest.approx(wanted[species], rel=c.composition_error + 1e-6)
    assert c.n_atoms == 16 * c.formula_units


@pytest.mark.parametrize("repeat", [1, 3])
def test_a_cell_with_a_part_of_a_formula_unit_is_refused(doubled: str, repeat: int) -> None:
    c = one({"prototype": doubled, "supercell": {"matrix": [repeat, 1, 1], "of": "primitive"}})
    assert c.outcome is Outcome.NOT_REALISABLE
    assert f"holds {repeat / 2:g} formula units of Na6P2S8" in c.reason
    assert one({"prototype": doubled, "supercell": {"matrix": [2, 1, 1], "of": "primitive"}}).formula_units == 1


def test_mixed_sites_are_rounded_to_the_nearest_and_the_deviation_is_told() -> None:
    c = one({"prototype": "Li6PS5Cl_F-43m", "supercell": {"matrix": [1, 1, 1]}})
    plan = c.provenance["plan"]
    mixed = [row for row in plan["counts"].values() if {"S", "Cl"} <= set(row)]
    assert mixed == [{"S": 2, "Cl": 2}, {"S": 2, "Cl": 2}]
    told = plan["site_deviation"]
    assert (told["sites"], told["species"], told["target"], told["realised"]) == ("X1", "Cl", 0.385, 0.5)


def test_an_explicit_supercell_without_mobile_ions_is_refused() -> None:
    c = one({"prototype": "Na3OCl_Pm-3m", "substitute": {"Na": {"Ca": 1.5}}, "supercell": {"matrix": [2, 2, 2]}})
    assert c.outcome is Outcome.NOT_REALISABLE
    assert "holds no Na" in c.reason
