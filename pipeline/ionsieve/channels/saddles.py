"""Barriers between the points of a grid: minima and passes of the grid, moved to the stationary points beside them.

A grid of 0.2 Å misses a minimum by up to 0.02 eV and a pass by more: a way between two rows of points zigzags up the
walls, and a step may jump over a crest. The grid's graph of basins and passes (`grid.watershed`) is kept, so that
nothing that percolates is lost; what is replaced are its heights. Each pass, and each of the deepest minima, goes to
the stationary point of the exact field by eigenvector following (C. J. Cerjan & W. H. Miller, J. Chem. Phys. 75 (1981)
2800): a Newton step with the curvatures' signs set to the order sought, one negative for a pass, none for a minimum.

A pass keeps its height on the grid when no stationary point of first order lies within two diagonals of the grid: two
basins that only the grid tells apart have none between them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ionsieve.channels.grid import Basins, first_of_each, pair_codes
from ionsieve.channels.percolation import percolate
from ionsieve.channels.site_energy import SiteEnergy
from ionsieve.geometry.cells import minimum_image

__all__ = ["barriers_between_points", "stationary"]

Floats = NDArray[np.float64]
Levels = tuple[float | None, float | None, float | None]

_MARGIN_EV = 0.3  # passes up to this above the grid's highest barrier are looked at
_RIVAL_EV = 0.1  # a second pass between two basins counts when it is no higher than this above the first ...
_RIVAL_A = 0.7  # ... and this far from it
_ROUNDS = 40
_STEP_A = 0.1
_SETTLED_A = 1e-5
_SOFTEST_EV_A2 = 0.02  # curvatures count as at least this, so that flat directions are walked, not jumped
_JOSTLE_A = 0.02  # off symmetry planes, on which the gradient hides a direction


def stationary(
    energy: SiteEnergy, points: Floats, order: int, *, reach_A: float
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return the stationary points next to given ones.

    Parameters
    ----------
    points
        (K, 3) Å.
    order
        How many curvatures are negative: 0 at minima, 1 at passes.
    reach_A
        How far from its start a point may be found.

    Returns
    -------
    points, energy, found
        (K, 3) Å, (K,) eV, (K,) whether such a point was met.
    """
    x = points + _JOSTLE_A * np.sin(np.arange(points.size).reshape(points.shape) * 1.7 + 0.6)
    height, found = np.zeros(len(x)), np.zeros(len(x), dtype=bool)
    todo = np.arange(len(x))
    for _ in range(_ROUNDS):
        if len(todo) == 0:
            break
        value, gradient, curvature = energy.at(x[todo])
        bends, axes = np.linalg.eigh(curvature)
        stiff = np.maximum(np.abs(bends), _SOFTEST_EV_A2)
        stiff[:, :order] *= -1.0
        step = -np.einsum("kia,ka->ki", axes, np.einsum("kia,ki->ka", axes, gradient) / stiff)
        length = np.linalg.norm(step, axis=1)
        step *= (np.minimum(length, _STEP_A) / np.maximum(length, 1e-12))[:, None]
        settled = length < _SETTLED_A
        height[todo] = value
        found[todo] = settled & ((bends < 0).sum(axis=1) == order)
        x[todo[~settled]] += step[~settled]
        far = np.linalg.norm(x[todo] - points[todo], axis=1) > reach_A
        todo = todo[~settled & ~far]
    return x, height, found


def barriers_between_points(energy: SiteEnergy, field: Floats, basins: Basins, grid_levels: Levels) -> Levels:
    """Return the percolation barriers in 1, 2 and 3 dimensions above the lowest minimum, eV.

    Parameters
    ----------
    energy, field
        The exact field, and its values on the grid.
    basins, grid_levels
        From `grid.watershed`, and the levels at which its graph percolates.
    """
    highest = max((level for level in grid_levels if level is not None), default=None)
    if highest is None:
        return (None, None, None)
    lowest = float(field.min())
    spacing_A = float(np.max(np.linalg.norm(energy.cell, axis=1) / np.array(field.shape)))
    reach = 2.0 * np.sqrt(3.0) * spacing_A
    deep = basins.minima[field.ravel()[basins.minima] < lowest + _MARGIN_EV]
    _, bottoms, found = stationary(energy, _places(deep, field.shape, energy.cell), 0, reach_A=reach)
    bottom = float(np.where(found, bottoms, field.ravel()[deep]).min())
    spots = _places(basins.places, field.shape, energy.cell)
    rows = _passes(basins, highest + _MARGIN_EV, energy.cell, spots)
    _, heights, found = stationary(energy, spots[rows], 1, reach_A=reach)
    on_grid = basins.levels[rows] + lowest
    found &= np.abs(heights - on_grid) < _MARGIN_EV
    levels = np.where(found, heights, on_grid) - bottom
    result = percolate(len(basins.minima), basins.edges[rows], basins.images[rows], levels, descending=False)
    return result.levels


def _places(flat: NDArray[np.int64], shape: tuple[int, ...], cell: Floats) -> Floats:
    """Positions (K, 3) of grid points given by flat index, Å."""
    return np.asarray(np.stack(np.unravel_index(flat, shape), axis=1) / np.array(shape) @ cell)


def _passes(basins: Basins, limit: float, cell: Floats, places: Floats) -> NDArray[np.int64]:
    """Rows of the passes below `limit`; between two basins also a second and third one elsewhere, hardly higher."""
    low = np.flatnonzero(basins.levels <= limit)
    levels, spots = basins.levels[low], places[low]
    _, pair = np.unique(pair_codes(basins)[low], return_inverse=True)
    taken = first_of_each(pair, levels)
    chosen = [taken]
    left = np.flatnonzero(levels <= levels[taken[pair]] + _RIVAL_EV)
    for _ in range(2):
        apart = np.linalg.norm(minimum_image(spots[left] - spots[taken[pair[left]]], cell), axis=1)
        left = left[apart > _RIVAL_A]
        rivals = left[first_of_each(pair[left], levels[left])]
        taken = taken.copy()
        taken[pair[rivals]] = rivals
        chosen.append(rivals)
    return np.asarray(low[np.concatenate(chosen)])
