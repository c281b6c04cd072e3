"""Neighbour lists: complete, each pair once, and never a function of the list's age."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from ionsieve.errors import InputError
from ionsieve.geometry.neighbours import Pairs, VerletList, half_list
from ionsieve.systems import Batch


def skewed_cell(rng: np.random.Generator, n_atoms: int, edge_A: float) -> Atoms:
    cell = edge_A * (np.eye(3) + rng.uniform(-0.35, 0.35, (3, 3)))
    return Atoms(["Li"] * n_atoms, positions=rng.uniform(-20, 20, (n_atoms, 3)), cell=cell, pbc=True)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_atoms=st.integers(1, 12),
    edge_A=st.floats(2.2, 9.0),
    cutoff_A=st.floats(1.5, 6.5),
)
def test_half_list_is_half_of_the_full_list_of_ase(seed: int, n_atoms: int, edge_A: float, cutoff_A: float) -> None:
    atoms = skewed_cell(np.random.default_rng(seed), n_atoms, edge_A)
    first, second, shifts = half_list(atoms.positions, atoms.cell.array, cutoff_A)
    vectors = atoms.positions[second] - atoms.positions[first] + shifts @ atoms.cell.array
    ours = np.concatenate(
        [np.column_stack([first, second, vectors]), np.column_stack([second, first, -vectors])]
    ).round(6)
    i, j, d = neighbor_list("ijD", atoms, cutoff_A)
    theirs = np.column_stack([i, j, d]).round(6)
    assert len(ours) == len(theirs)
    key = [tuple(row) for row in np.sort(ours.view([("", float)] * 5).ravel()).tolist()]
    other = [tuple(row) for row in np.sort(theirs.view([("", float)] * 5).ravel()).tolist()]
    assert np.allclose(np.array(key), np.array(other), atol=2e-6)
    order = np.lexsort((shifts[:, 2], shifts[:, 1], shifts[:, 0], second, first))
    assert (order == np.arange(len(order))).all()


def test_half_list_of_nothing() -> None:
    first, second, shifts = half_list(np.zeros((0, 3)), np.eye(3) * 4, 3.0)
    assert len(first) == len(second) == len(shifts) == 0


def pairs_of(verlet: VerletList, systems: list[Atoms]) -> Pairs:
    batch = Batch.from_atoms(systems)
    return verlet.pairs(batch.positions, batch.cells, batch.numbers, batch.system_index)


def identical(a: Pairs, b: Pairs) -> bool:
    return all(
        torch.equal(getattr(a, name), getattr(b, name))
        for name in ("first", "second", "shifts", "system", "vectors", "distances")
    )


@pytest.fixture
def systems() -> list[Atoms]:
    rng = np.random.default_rng(3)
    small = bulk("NaCl", "rocksalt", a=5.6)
    large = bulk("NaCl", "rocksalt", a=5.6, cubic=True) * (2, 1, 1)
    for atoms in (small, large):
        atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
    return [small, large, small.copy()]


@pytest.mark.parametrize("strained", [False, True])
def test_pairs_are_a_function_of_the_positions_alone(systems: list[Atoms], strained: bool) -> None:
    """A long walk, with and without a breathing cell: at every step the kept list gives what a fresh one gives, bit
    by bit, and it was not rebuilt at every step.
    """
    rng = np.random.default_rng(4)
    kept = VerletList(4.0, 0.8)
    for _ in range(120):
        for atoms in systems:
            atoms.positions += rng.normal(0, 0.02, atoms.positions.shape)
            if strained:
                atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(0, 5e-4, (3, 3))), scale_atoms=True)
        assert identical(pairs_of(kept, systems), pairs_of(VerletList(4.0, 0.0), systems))
    assert 0.0 < kept.statistics.rebuilt_fraction < 0.35


def test_only_the_system_that_moved_is_rebuilt(systems: list[Atoms]) -> None:
    kept = VerletList(4.0, 0.5)
    pairs_of(kept, systems)
    assert kept.statistics.rebuilt == 3
    systems[1].positions[0, 0] += 0.3
    pairs_of(kept, systems)
    assert kept.statistics.rebuilt == 4
    pairs_of(kept, systems)
    assert kept.statistics.rebuilt == 4


def test_two_systems_of_equal_composition_keep_a_list_each() -> None:
    """Two orderings of one candidate have the same numbers; taking turns must not rebuild at every call."""
    rng = np.random.default_rng(5)
    one = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    other = one.copy()
    other.positions += rng.normal(0, 0.8, other.positions.shape)
    kept = VerletList(4.0, 0.5)
    for _ in range(4):
        first = pairs_of(kept, [one])
        second = pairs_of(kept, [other])
    assert identical(first, pairs_of(VerletList(4.0, 0.0), [one]))
    assert identical(second, pairs_of(VerletList(4.0, 0.0), [other]))
    assert kept.statistics.rebuilt == 2


def test_a_batch_is_its_systems_one_after_another(systems: list[Atoms]) -> None:
    together = pairs_of(VerletList(4.0, 0.5), systems)
    begin = 0
    for index, atoms in enumerate(systems):
        alone = pairs_of(VerletList(4.0, 0.5), [atoms])
        rows = together.system == index
        assert torch.equal(together.first[rows] - begin, alone.first)
        assert torch.equal(together.vectors[rows], alone.vectors)
        begin += len(atoms)


def test_positions_that_are_not_finite_are_refused(systems: list[Atoms]) -> None:
    kept = VerletList(4.0, 0.5)
    pairs_of(kept, systems)
    systems[2].positions[1] = np.nan
    with pytest.raises(InputError, match="not finite") as error:
        pairs_of(kept, systems)
    assert error.value.problem.key == "system 2"


def test_a_cell_without_volume_is_refused() -> None:
    with pytest.raises(InputError, match="no volume"):
        pairs_of(VerletList(4.0), [Atoms("Li", cell=[3.0, 3.0, 0.0], pbc=True)])


@pytest.mark.parametrize(("cutoff_A", "skin_A"), [(0.0, 0.5), (4.0, -0.1), (float("nan"), 0.5)])
def test_impossible_settings_are_refused(cutoff_A: float, skin_A: float) -> None:
    with pytest.raises(InputError):
        VerletList(cutoff_A, skin_A)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.positions.__setitem__((0, 0), 1e12), "absurdly far"),
        (lambda a: a.set_cell(a.cell.array * 0.05, scale_atoms=True), "collapsed"),
    ],
)
def test_exploded_and_collapsed_systems_are_refused_at_once(
    systems: list[Atoms], change: Callable[[Atoms], None], words: str
) -> None:
    change(systems[0])
    with pytest.raises(InputError, match=words) as error:
        pairs_of(VerletList(6.0, 0.5), systems)
    assert error.value.problem.key == "system 0"
