"""The periodic power diagram: it fills the cell, its vertices are empty, degenerate lattices close."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ionsieve.geometry.cells import images_within
from ionsieve.geometry.power import power_diagram


def check(positions, cell, weights):
    d = power_diagram(positions, cell, weights)
    corners = positions[d.vertex_atoms] + d.vertex_images @ cell
    volumes = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])) / 6
    assert volumes.sum() == pytest.approx(abs(np.linalg.det(cell)), rel=1e-4)  # the dual tetrahedra fill the cell once
    assert len(d.edges) == 2 * len(d.vertices)
    # at a vertex the four atoms have equal power, and no atom has less
    home = (d.vertices @ np.linalg.inv(cell)) % 1.0 @ cell
    index, _, points = images_within(positions, cell, 1.2 * d.reach_A + 0.5)
    power = ((home[:, None] - points) ** 2).sum(axis=2) - np.broadcast_to(weights, len(positions))[index]
    four = ((d.vertices[:, None] - corners) ** 2).sum(axis=2) - np.broadcast_to(weights, len(positions))[d.vertex_atoms]
    np.testing.assert_allclose(four - four[:, :1], 0, atol=2e-2)  # slivers of degenerate sets feel the joggle most
    assert (power.min(axis=1) >= four.min(axis=1) - 2e-3).all()
    # both vertices of an edge own its three atoms
    for k in range(len(d.edges)):
        first, second = d.edges[k]
        here = {(int(a), *map(int, i)) for a, i in zip(d.edge_atoms[k], d.edge_atom_images[k], strict=True)}
        own = {(int(a), *map(int, i)) for a, i in zip(d.vertex_atoms[first], d.vertex_images[first], strict=True)}
        there = {
            (int(a), *map(int, i + d.edge_images[k]))
            for a, i in zip(d.vertex_atoms[second], d.vertex_images[second], strict=True)
        }
        assert here == own & there
    return d


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=6, deadline=None)
def test_random_cells(seed):
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(4, 9, 3)) + rng.normal(size=(3, 3))
    positions = rng.random((int(rng.integers(4, 25)), 3)) @ cell + rng.integers(-2, 3, 3) @ cell
    check(positions, cell, rng.uniform(0, 1.5, len(positions)))


@pytest.mark.parametrize(
    ("fractional", "cell"),
    [
        ([[0, 0, 0]], np.eye(3) * 4),
        ([[0, 0, 0], [0.5, 0.5, 0.5]], np.eye(3) * 4),
        ([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]], np.eye(3) * 4),
        ([[0, 0, 0]], 3 * np.array([[1, 0, 0], [0.5, np.sqrt(3) / 2, 0], [0.5, np.sqrt(3) / 6, np.sqrt(2 / 3)]])),
    ],
    ids=["simple", "body-centred", "face-centred", "primitive face-centred"],
)
def test_degenerate_lattices_close(fractional, cell):
    check(np.array(fractional, dtype=float) @ cell, cell, 1.0)


def test_large_void_enlarges_the_reach():
    cell = np.eye(3) * 14.0
    positions = np.random.default_rng(0).random((12, 3)) * 4
    d = check(positions, cell, 0.5)
    assert d.reach_A > 6
