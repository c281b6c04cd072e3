"""Triangles of spheres against known answers and brute force."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ionsieve.geometry.polygons import circumradius_A, pierce, tangent_circle, triangle_area_A2, widest_point

EQUILATERAL = np.array([[0.0, 0, 0], [3, 0, 0], [1.5, 1.5 * np.sqrt(3), 0]])


def brute_force(corners, radii, n=150):
    """Largest clearance over a dense barycentric grid of the triangle."""
    a, b = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n))
    keep = a + b <= 1
    w = np.stack([1 - a[keep] - b[keep], a[keep], b[keep]], axis=1)
    points = w @ corners
    return (np.linalg.norm(points[:, None] - corners, axis=2) - radii).min(axis=1).max()


def test_equilateral_triangle():
    assert triangle_area_A2(EQUILATERAL) == pytest.approx(9 * np.sqrt(3) / 4)
    assert circumradius_A(EQUILATERAL) == pytest.approx(np.sqrt(3))
    point, clear = widest_point(EQUILATERAL, [1.4, 1.4, 1.4])
    np.testing.assert_allclose(point, EQUILATERAL.mean(axis=0), atol=1e-12)
    assert clear == pytest.approx(np.sqrt(3) - 1.4)


def test_collinear_corners_have_no_area_and_an_infinite_circumradius():
    line = np.array([[0.0, 0, 0], [1, 0, 0], [3, 0, 0]])
    assert triangle_area_A2(line) == 0
    assert circumradius_A(line) == np.inf


def test_tangent_circle_touches_all_three_spheres():
    radii = np.array([1.40, 1.81, 2.2])
    centre, clear, inside = tangent_circle(2 * EQUILATERAL, radii)
    np.testing.assert_allclose(np.linalg.norm(centre - 2 * EQUILATERAL, axis=1) - radii, clear, atol=1e-12)
    assert inside


def test_obtuse_triangle_is_widest_on_its_long_side():
    corners = np.array([[0.0, 0, 0], [6, 0, 0], [2.5, 1.0, 0]])
    point, clear = widest_point(corners, 0.5 * np.ones(3))
    assert point[1] == pytest.approx(0.0, abs=1e-12)
    assert clear == pytest.approx(brute_force(corners, 0.5), abs=2e-2)
    assert clear < circumradius_A(corners) - 0.5


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_widest_point_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    corners = rng.normal(size=(3, 3)) * 2.5
    assume(triangle_area_A2(corners) >= 0.3)
    radii = rng.uniform(0.1, 0.9, 3)
    _, clear = widest_point(corners, radii)
    best = brute_force(corners, radii)
    assert best - 1e-9 <= clear <= best + 0.08


def test_vectorised_over_leading_axes():
    rng = np.random.default_rng(3)
    corners, radii = rng.normal(size=(4, 5, 3, 3)) * 3, rng.uniform(0, 1, (4, 5, 3))
    points, clear = widest_point(corners, radii)
    for i, j in np.ndindex(4, 5):
        one_point, one = widest_point(corners[i, j], radii[i, j])
        assert clear[i, j] == pytest.approx(float(one))
        np.testing.assert_allclose(points[i, j], one_point, atol=1e-9)


def test_pierce_gives_fraction_and_barycentric_weights():
    fraction, weights = pierce([1.5, 0.9, -1], [1.5, 0.9, 3], EQUILATERAL)
    assert fraction == pytest.approx(0.25)
    np.testing.assert_allclose(weights @ EQUILATERAL, [1.5, 0.9, 0], atol=1e-12)
    assert weights.min() > 0
    _, outside = pierce([10, 0, -1], [10, 0, 1], EQUILATERAL)
    assert outside.min() < 0
    parallel, _ = pierce([0, 0, 1], [1, 0, 1], EQUILATERAL)
    assert not np.isfinite(parallel)
