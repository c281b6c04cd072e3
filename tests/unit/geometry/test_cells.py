"""Cells: heights, minimum image and copies against brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ionsieve.geometry.cells import heights_A, images_within, minimum_image, reduced_cell

SKEWED = np.array([[5.0, 0.0, 0.0], [4.6, 3.0, 0.0], [-3.9, 2.2, 6.0]])


def test_heights_of_a_skewed_cell():
    volume = abs(np.linalg.det(SKEWED))
    faces = [np.linalg.norm(np.cross(SKEWED[(i + 1) % 3], SKEWED[(i + 2) % 3])) for i in range(3)]
    np.testing.assert_allclose(heights_A(SKEWED), volume / np.array(faces))


def test_reduced_cell_spans_the_same_lattice():
    reduced, steps = reduced_cell(SKEWED)
    np.testing.assert_allclose(steps @ SKEWED, reduced)
    assert abs(round(float(np.linalg.det(steps)))) == 1
    assert np.linalg.norm(reduced, axis=1).max() < np.linalg.norm(SKEWED, axis=1).max()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_minimum_image_equals_a_search_over_many_images(seed):
    rng = np.random.default_rng(seed)
    cell = rng.normal(size=(3, 3)) * 4 + np.eye(3) * 3
    assume(abs(np.linalg.det(cell)) >= 20)
    vectors = rng.normal(size=(5, 3)) * 20
    found = np.linalg.norm(minimum_image(vectors, cell), axis=1)
    reduced, _ = reduced_cell(cell)
    fractional = vectors @ np.linalg.inv(reduced)
    base = (fractional - np.round(fractional)) @ reduced
    shifts = np.array(list(itertools.product(range(-3, 4), repeat=3))) @ reduced
    best = np.linalg.norm(base[:, None] + shifts, axis=2).min(axis=1)
    np.testing.assert_allclose(found, best, atol=1e-9)


@pytest.mark.parametrize("reach", [0.3, 5.0])
def test_images_within_holds_every_copy_near_the_home_cell(reach):
    rng = np.random.default_rng(1)
    positions = rng.uniform(-8, 8, (4, 3))
    index, image, points = images_within(positions, SKEWED, reach)
    np.testing.assert_allclose(points, positions[index] + image @ SKEWED, atol=1e-9)
    assert len({(int(i), *map(int, s)) for i, s in zip(index, image, strict=True)}) == len(index)
    probes = rng.random((8, 3)) @ SKEWED
    shifts = np.array(list(itertools.product(range(-10, 11), repeat=3))) @ SKEWED
    for probe in probes:
        everything = np.sort(np.linalg.norm((positions[:, None] + shifts).reshape(-1, 3) - probe, axis=1))
        here = np.sort(np.linalg.norm(points - probe, axis=1))
        near = everything[everything < reach]
        np.testing.assert_allclose(here[: len(near)], near, atol=1e-9)
