"""Percolation of periodic graphs and grids against constructed answers."""

import itertools

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ionsieve.channels.grid import grid_dimension, grid_path, grid_percolation
from ionsieve.channels.percolation import PeriodicClusters, on_ways, percolate


def test_a_chain_percolates_in_one_dimension_only():
    result = percolate(3, [[0, 1], [1, 2], [2, 0]], [[0, 0, 0], [0, 0, 0], [1, 0, 0]], [5.0, 4.0, 3.0])
    assert result.levels == (3.0, None, None)
    assert result.axes == (3.0, None, None)
    assert result.critical[0] == 2
    assert on_ways(result, [[0, 1], [1, 2], [2, 0]], [[0, 0, 0], [0, 0, 0], [1, 0, 0]], [5.0, 4.0, 3.0]).all()


def test_dimensions_open_one_after_another():
    edges, images = [[0, 0]] * 3, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert percolate(1, edges, images, [3.0, 2.0, 1.0]).levels == (3.0, 2.0, 1.0)
    assert percolate(1, edges, images, [3.0, 2.0, 1.0], descending=False).levels == (1.0, 2.0, 3.0)


def test_diagonal_winding_counts_once_but_for_all_its_axes():
    result = percolate(1, [[0, 0], [0, 0]], [[1, 1, 0], [2, 2, 0]], [2.0, 1.0])
    assert result.levels == (2.0, None, None)
    assert result.axes == (2.0, 2.0, None)


def test_a_closed_ring_does_not_percolate():
    assert percolate(3, [[0, 1], [1, 2], [2, 0]], np.zeros((3, 3)), [1, 1, 1]).levels == (None, None, None)


def test_two_interpenetrating_chains_do_not_add_up():
    result = percolate(2, [[0, 0], [1, 1]], [[1, 0, 0], [0, 1, 0]], [2.0, 1.0])
    assert result.levels == (2.0, None, None)
    joined = percolate(2, [[0, 0], [1, 1], [0, 1]], [[1, 0, 0], [0, 1, 0], [0, 0, 0]], [3.0, 2.0, 1.0])
    assert joined.levels == (3.0, 1.0, None)


def test_members_hold_all_ties():
    edges, images = [[0, 0], [1, 1]], [[1, 0, 0], [0, 1, 0]]
    assert percolate(2, edges, images, [2.0, 1.9999]).members[0].tolist() == [True, True]
    assert percolate(2, edges, images, [2.0, 1.0]).members[0].tolist() == [True, False]


def test_dead_ends_are_on_no_way():
    # a straight channel 0; pocket 1 behind one window, pocket 2 behind two; 3-4 a pocket with a ring behind one window
    edges = [[0, 0], [0, 1], [0, 2], [2, 0], [0, 3], [3, 4], [4, 3]]
    images = [[1, 0, 0], *[[0, 0, 0]] * 6]
    levels = [1.0, *[2.0] * 6]
    result = percolate(5, edges, images, levels)
    assert on_ways(result, edges, images, levels).tolist() == [True, False, True, False, False]
    # a bridge between two channels is on a way, and so is a pocket whose second window opens into the next cell
    edges, images = [[0, 0], [1, 1], [0, 1], [1, 2], [2, 1]], [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1]]
    result = percolate(3, edges, images, [1.0] * 5)
    assert on_ways(result, edges, images, [1.0] * 5).tolist() == [True, True, True]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_nodes_on_ways_are_those_with_two_ways_out_of_a_large_supercell(seed):
    """Menger: on a way exactly when two paths without a common edge lead to the far ends of the covering graph."""
    rng = np.random.default_rng(seed)
    count, reach = int(rng.integers(2, 7)), 7
    many = int(rng.integers(count - 1, count + 4))
    edges = rng.integers(0, count, (many, 2))
    images = np.zeros((many, 3), dtype=int)
    images[:, 0] = rng.choice([-1, 0, 0, 0, 1], many)  # one dimension keeps the cover small
    result = percolate(count, edges, images, np.ones(many))
    cover = networkx.Graph()
    for (u, v), (i, _, _) in zip(edges.tolist(), images.tolist(), strict=True):
        for cell in range(-reach, reach + 1):
            for a, b in (((u, cell), ("middle", u, v, cell, i)), (("middle", u, v, cell, i), (v, cell + i))):
                cover.add_edge(a, b, capacity=cover.get_edge_data(a, b, {"capacity": 0})["capacity"] + 1)
    for node in range(count):
        for cell in (-reach - 1, -reach, reach, reach + 1):
            if (node, cell) in cover:
                cover.add_edge((node, cell), "far", capacity=99)
    found = on_ways(result, edges, images, np.ones(many))
    for node in range(count):
        flow = networkx.maximum_flow_value(cover, (node, 0), "far") if (node, 0) in cover and "far" in cover else 0
        assert found[node] == (flow >= 2), (edges.tolist(), images.tolist(), node)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_dimension_equals_that_of_a_large_supercell(seed):
    rng = np.random.default_rng(seed)
    count, many = int(rng.integers(1, 5)), int(rng.integers(1, 7))
    edges = rng.integers(0, count, (many, 2))
    images = rng.integers(-1, 2, (many, 3))
    clusters = PeriodicClusters(count)
    for (u, v), image in zip(edges.tolist(), images.tolist(), strict=True):
        clusters.join(u, v, tuple(image))
    found = max((clusters.dimension(clusters.find(n)[0]) for n in range(count)), default=0)
    # flood-fill a large supercell: the copies of the start that are reached span as many dimensions
    best = 0
    for start in range(count):
        seen = {(start, 0, 0, 0)}
        queue = [(start, 0, 0, 0)]
        for node, a, b, c in queue:
            for (u, v), (i, j, k) in zip(edges.tolist(), images.tolist(), strict=True):
                for x, y, s in ((u, v, 1), (v, u, -1)):
                    if x == node:
                        there = (y, a + s * i, b + s * j, c + s * k)
                        if max(map(abs, there[1:])) <= 4 and there not in seen:
                            seen.add(there)
                            queue.append(there)
        own = np.array([cell for n, *cell in seen if n == start])
        best = max(best, int(np.linalg.matrix_rank(own)))
    assert found == best


def test_grid_channel_along_one_axis():
    region = np.zeros((6, 7, 8), dtype=bool)
    region[2, 3, :] = True
    assert grid_dimension(region) == 1
    region[2, 3, 4] = False
    assert grid_dimension(region) == 0
    region[:] = False
    region[2] = True
    assert grid_dimension(region) == 2


def test_grid_channel_that_winds_diagonally():
    region = np.zeros((5, 5, 5), dtype=bool)
    for i in range(5):
        region[i, i, i] = True
    assert grid_dimension(region) == 1


def test_grid_levels_of_an_analytic_field():
    n = 24
    x = 2 * np.pi * np.arange(n) / n
    X, Y, Z = np.meshgrid(x, x, x, indexing="ij")
    field = (1 - np.cos(X)) * 0.1 + (1 - np.cos(Y)) * 0.3 + (1 - np.cos(Z)) * 0.6  # barriers 0.2, 0.6, 1.2
    result = grid_percolation(field)
    np.testing.assert_allclose(result.levels, [0.2, 0.6, 1.2], atol=1e-12)
    assert result.minimum == pytest.approx(0.0)
    path = grid_path(field, 0.2 + 1e-3)
    assert abs(path[-1] - path[0]).tolist() == [n, 0, 0]
    assert abs(np.diff(path, axis=0)).max() == 1
    assert field[tuple((path % n).T)].max() <= 0.2 + 1e-3


def test_grid_without_a_way_through():
    field = np.full((6, 6, 6), 50.0)
    field[1:3, 1:3, 1:3] = 0
    assert grid_percolation(field).levels == (None, None, None)
    assert grid_path(field, 10.0) is None


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_grid_levels_are_those_at_which_the_region_below_first_percolates(seed):
    """Against the definition: rough fields, ties included, in cells down to a few points."""
    rng = np.random.default_rng(seed)
    field = np.round(rng.random(rng.integers(3, 8, 3)), int(rng.integers(1, 4)))
    raised = field - field.min()
    levels = grid_percolation(field, limit=0.9).levels
    dimensions = {x: grid_dimension(raised <= x) for x in np.unique(raised) if x < 0.9}
    for d, level in enumerate(levels, start=1):
        assert level == min((x for x, found in dimensions.items() if found >= d), default=None)


def test_grid_dimension_agrees_with_the_union_over_all_neighbours():
    rng = np.random.default_rng(0)
    steps = [s for s in itertools.product((-1, 0, 1), repeat=3) if s > (0, 0, 0)]
    for fill in (0.08, 0.1, 0.12, 0.2):
        region = rng.random((6, 5, 7)) < fill
        points = np.argwhere(region)
        number = -np.ones(region.shape, dtype=int)
        number[tuple(points.T)] = np.arange(len(points))
        clusters = PeriodicClusters(len(points))
        for p in points:
            for s in steps:
                there = p + s
                home = there % region.shape
                if region[tuple(home)]:
                    clusters.join(
                        int(number[tuple(p)]), int(number[tuple(home)]), tuple((there // region.shape).tolist())
                    )
        expected = max((len(b) for b in clusters.basis.values()), default=0)
        assert grid_dimension(region) == expected
