"""Spheres of lattices with known answers; the clearance; invariances."""

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from ionsieve.channels.grid import grid_percolation
from ionsieve.channels.network import build_network, clearance, spheres
from ionsieve.channels.percolation import percolate
from ionsieve.channels.skeleton import build_skeleton

FCC = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
BCC = np.array([[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize(
    ("fractional", "a", "r", "included", "free"),
    [
        # simple cubic: cube centre a sqrt(3)/2; windows are squares, a sqrt(2)/2
        ([[0, 0, 0]], 4.0, 1.4, 2 * (4 * np.sqrt(3) / 2 - 1.4), 2 * (4 * np.sqrt(2) / 2 - 1.4)),
        # face-centred: octahedron a/2; windows are triangles of side a/sqrt(2), circumradius a/sqrt(6)
        (FCC, 5.6, 1.4, 2 * (2.8 - 1.4), 2 * (5.6 / np.sqrt(6) - 1.4)),
        # body-centred: tetrahedron a sqrt(5)/4; triangle of sides a, a sqrt(3)/2: circumradius 3 a sqrt(2)/8
        (BCC, 5.0, 1.2, 2 * (5 * np.sqrt(5) / 4 - 1.2), 2 * (5 * 3 * np.sqrt(2) / 8 - 1.2)),
    ],
    ids=["simple", "face-centred", "body-centred"],
)
def test_lattices_with_known_spheres(fractional, a, r, included, free):
    found = spheres(np.array(fractional) * a, np.eye(3) * a, np.full(len(fractional), r))
    assert found.included == pytest.approx(included, abs=1e-3)
    assert found.free == pytest.approx(free, abs=1e-3)
    assert found.included_along_free == pytest.approx(included, abs=1e-3)
    assert found.radii[2] == pytest.approx(found.radii[0], abs=1e-3)


def test_layers_let_pass_in_two_dimensions_only():
    x = np.array([[i, j, 0.0] for i in range(3) for j in range(3)]) * 2.0
    found = spheres(x, np.diag([6.0, 6.0, 7.0]), np.full(9, 1.3))
    assert found.radii[0] == pytest.approx(found.radii[1], abs=1e-3)
    bridge = np.hypot(3.5, 1.0) - 1.3  # midway between the layers, over the middle of two neighbours
    assert found.radii[1] == pytest.approx(bridge, abs=1e-3)
    assert found.radii[2] == pytest.approx(np.sqrt(2.0) - 1.3, abs=1e-3)  # through the squares of a layer
    np.testing.assert_allclose(found.axis_radii, [bridge, bridge, np.sqrt(2) - 1.3], atol=1e-3)


def test_closed_spheres_leave_a_negative_radius_and_no_free_space():
    found = spheres(FCC * 4.0, np.eye(3) * 4, np.full(4, 2.1))
    assert found.radii[0] < 0


def test_clearance_is_exact_for_any_point_and_image():
    rng = np.random.default_rng(5)
    cell = np.array([[5.0, 0, 0], [1.5, 6, 0], [-1, 0.5, 7]])
    x, r = rng.random((9, 3)) @ cell, rng.uniform(0.1, 1.8, 9)
    probes = rng.uniform(-15, 15, (50, 3))
    shifts = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), -1).reshape(-1, 3) @ cell
    copies, radii = (x[:, None] + shifts).reshape(-1, 3), np.repeat(r, len(shifts))
    expected = (np.linalg.norm(probes[:, None] - copies, axis=2) - radii).min(axis=1)
    np.testing.assert_allclose(clearance(probes, x, cell, r), expected, atol=1e-9)


def random_framework(seed, count=12):
    rng = np.random.default_rng(seed)
    cell = np.diag([6.0, 6.5, 7.0]) + rng.normal(0, 0.6, (3, 3))
    x = rng.random((200, 3)) @ cell
    kept = [x[0]]
    for p in x[1:]:
        d = p - np.array(kept)
        d -= np.round(d @ np.linalg.inv(cell)) @ cell
        if len(kept) < count and np.linalg.norm(d, axis=1).min() > 2.0:
            kept.append(p)
    return np.array(kept), cell, rng.choice([0.3, 0.9, 1.4, 1.8], len(kept))


@given(st.integers(0, 10**6))
@settings(max_examples=5, deadline=None)
def test_spheres_of_several_radii_agree_with_a_fine_grid(seed):
    x, cell, r = random_framework(seed)
    found = spheres(x, cell, r)
    shape = np.ceil(np.linalg.norm(cell, axis=1) / 0.14).astype(int)
    axes = [np.arange(n) / n for n in shape]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3) @ cell
    field = clearance(grid, x, cell, r).reshape(shape)
    assert found.included / 2 == pytest.approx(field.max(), abs=0.09)
    assert found.included / 2 >= field.max() - 1e-3
    level = grid_percolation(-field, limit=8.0).levels[0]
    widest = field.max() - level
    assert found.radii[0] == pytest.approx(widest, abs=0.12)


def test_translation_rotation_supercell_and_order_change_nothing():
    x, cell, r = random_framework(11)
    base = spheres(x, cell, r)
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    order = rng.permutation(len(x))
    moved = spheres(((x + np.array([1.3, -7.1, 22.0])) @ q)[order], cell @ q, r[order])
    doubled = spheres(np.concatenate([x, x + cell[0]]), cell * np.array([[2], [1], [1]]), np.tile(r, 2))
    for other in (moved, doubled):
        assert other.included == pytest.approx(base.included, abs=2e-3)
        assert other.free == pytest.approx(base.free, abs=2e-3)
        np.testing.assert_allclose(other.radii, base.radii, atol=2e-3)


def test_windows_are_empty_and_touch_their_three_atoms():
    x, cell, r = random_framework(3)
    net = build_network(x, cell, r, probe_A=spheres(x, cell, r).radii[0])
    rows = np.flatnonzero(net.is_window)
    corners = x[net.window_atoms[rows]] + net.window_images[rows] @ cell
    touch = np.linalg.norm(net.window[rows][:, None] - corners, axis=2) - r[net.window_atoms[rows]]
    np.testing.assert_allclose(touch, net.edge_radius[rows][:, None] * np.ones((1, 3)), atol=1e-6)
    near = np.abs(net.edge_radius[rows] - net.probe) < 0.05
    true = clearance(net.window[rows][near], x, cell, r)
    np.testing.assert_allclose(true, net.edge_radius[rows][near], atol=5e-3)


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_a_skeleton_that_holds_gives_what_a_new_one_gives(seed):
    x, cell, r = random_framework(seed)
    r = np.where(r < 1.0, 1.1, 1.2)
    skeletons = [build_skeleton(x, cell, r, probe) for probe in (0.2, 0.5, 0.8, 1.1)]
    held = 0
    for base in skeletons:
        for other in skeletons:
            if not base.holds(other.probe_A):
                continue
            held += base is not other
            levels = [
                percolate(len(n.nodes), n.edges, n.images, n.edge_radius).levels
                for n in (base.network(other.probe_A), other.network(other.probe_A))
            ]
            for a, b in zip(*levels, strict=True):  # equal where the probe decides: at and above its radius
                if a is not None and b is not None and max(a, b) > other.probe_A:
                    assert a == pytest.approx(b, abs=2e-3)
    event("some hold" if held else "none holds")


def test_equal_radii_need_one_skeleton():
    x, cell, _ = random_framework(4)
    base = build_skeleton(x, cell, np.full(len(x), 1.2), 0.3)
    assert all(base.holds(probe) for probe in (0.0, 0.1, 0.9, 2.0))
