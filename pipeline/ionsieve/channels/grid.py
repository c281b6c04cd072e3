"""Percolation of a scalar field on a periodic grid: the level at which the region below it leads through the crystal.

The region below a level is cut into connected pieces inside the cell (26 neighbours, `scipy.ndimage.label`); pieces
that touch over a face of the cell are joined with the lattice vector of that step (`PeriodicClusters`); the level is
found by bisection.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order

from ionsieve.channels.percolation import PeriodicClusters

__all__ = ["GridPercolation", "grid_dimension", "grid_path", "grid_percolation"]

Floats = NDArray[np.float64]
_ALL_NEIGHBOURS = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True)
class GridPercolation:
    """Levels above the field's minimum at which it percolates in 1, 2 and 3 dimensions; None when above the limit."""

    minimum: float
    levels: tuple[float | None, float | None, float | None]


@functools.lru_cache(maxsize=8)
def _seam(shape: tuple[int, int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Neighbouring grid points on both sides of a face of the cell.

    Flat indices (P,), (P,) and lattice step code (P,).
    """
    first, second, code = [], [], []
    n = np.array(shape)
    for axis in range(3):
        others = [a for a in range(3) if a != axis]
        i, j = np.meshgrid(np.arange(n[others[0]]), np.arange(n[others[1]]), indexing="ij")
        here = np.zeros((3, i.size), dtype=np.int64)
        here[axis], here[others[0]], here[others[1]] = n[axis] - 1, i.ravel(), j.ravel()
        for di, dj in itertools.product((-1, 0, 1), repeat=2):
            step = np.zeros((3, 1), dtype=np.int64)
            step[axis], step[others[0]], step[others[1]] = 1, di, dj
            there = here + step
            image = there // n[:, None]
            first.append(np.ravel_multi_index(tuple(here), shape))
            second.append(np.ravel_multi_index(tuple(there - image * n[:, None]), shape))
            code.append(((image[0] + 1) * 3 + image[1] + 1) * 3 + image[2] + 1)
    return np.concatenate(first), np.concatenate(second), np.concatenate(code)


def _clusters(region: NDArray[np.bool_]) -> tuple[NDArray[np.int32], PeriodicClusters]:
    labels, count = ndimage.label(region, structure=_ALL_NEIGHBOURS)
    clusters = PeriodicClusters(count + 1)
    first, second, code = _seam((region.shape[0], region.shape[1], region.shape[2]))
    flat = labels.ravel().astype(np.int64)
    u, v = flat[first], flat[second]
    touch = (u > 0) & (v > 0)
    for packed in np.unique((u[touch] * (count + 1) + v[touch]) * 27 + code[touch]).tolist():
        pair, step = divmod(packed, 27)
        a, b = divmod(pair, count + 1)
        clusters.join(a, b, (step // 9 - 1, step // 3 % 3 - 1, step % 3 - 1))
    return np.asarray(labels, dtype=np.int32), clusters


def grid_dimension(region: NDArray[np.bool_]) -> int:
    """Return in how many dimensions (0 to 3) the marked region of a periodic grid percolates."""
    _, clusters = _clusters(region)
    return max((len(b) for b in clusters.basis.values()), default=0)


def grid_percolation(field: Floats, *, limit: float = 10.0, tolerance: float = 2e-3) -> GridPercolation:
    """Return the levels, above the minimum, at which the region below them percolates in 1, 2 and 3 dimensions.

    Parameters
    ----------
    field
        (nx, ny, nz) on a periodic grid (the last point is not the first).
    limit, tolerance
        Levels above `limit` count as closed; width of the bisection. In the field's unit.
    """
    low = float(field.min())
    raised = (field - low).astype(np.float32)
    known: dict[float, int] = {0.0: 0, limit: grid_dimension(raised < limit)}
    levels: list[float | None] = []
    for dimension in (1, 2, 3):
        if known[limit] < dimension:
            levels.append(None)
            continue
        while True:
            below = max(x for x, d in known.items() if d < dimension)
            above = min(x for x, d in known.items() if d >= dimension)
            if above - below <= tolerance:
                break
            # the gap is spent at low levels first: barriers of tenths of an eV under a limit of ten
            middle = (
                0.5 * (below + above)
                if above < 8 * tolerance + 4 * below
                else max(0.25 * above, 0.5 * (below + above) / 2)
            )
            middle = min(max(middle, below + 0.1 * (above - below)), above - 0.1 * (above - below))
            known[middle] = grid_dimension(raised < middle)
        levels.append(0.5 * (below + above))
    return GridPercolation(low, (levels[0], levels[1], levels[2]))


def grid_path(field: Floats, level: float) -> NDArray[np.int64] | None:
    """Return a shortest way (K, 3) of grid points, from a minimum to its own periodic image, below `level` above the
    minimum.

    Indices count on beyond the cell. None when the region does not percolate.
    """
    region = (field - field.min()) < level
    labels, clusters = _clusters(region)
    wide = {root for root, basis in clusters.basis.items() if basis}
    if not wide:
        return None
    inside = np.array([clusters.find(k)[0] in wide for k in range(int(labels.max()) + 1)])
    inside[0] = False
    allowed = inside[labels]
    root = int(np.argmin(np.where(allowed, field, np.inf)))
    u, v, image = _links(allowed)
    size = field.size
    graph = csr_array((np.ones(len(u), dtype=np.int8), (u, v)), shape=(size, size))
    order, came = breadth_first_order(graph, root, directed=False)
    depth = np.full(size, -1, dtype=np.int64)
    cell = np.zeros((size, 3), dtype=np.int64)  # lattice vector of each point's copy in the tree
    step_of = {(a, b): k for k, (a, b) in enumerate(zip(u.tolist(), v.tolist(), strict=True))}
    depth[root] = 0
    for point in order[1:].tolist():
        before = int(came[point])
        k = step_of.get((before, point))
        cell[point] = cell[before] + (image[k] if k is not None else -image[step_of[point, before]])
        depth[point] = depth[before] + 1
    winding = cell[u] + image - cell[v]
    closing = np.flatnonzero((depth[u] >= 0) & np.any(winding != 0, axis=1))
    if len(closing) == 0:
        return None
    best = int(closing[np.argmin(depth[u[closing]] + depth[v[closing]])])

    def to_root(point: int) -> list[int]:
        way = [point]
        while way[-1] != root:
            way.append(int(came[way[-1]]))
        return way

    out = to_root(int(u[best]))[::-1]
    back = to_root(int(v[best]))
    at = np.stack(np.unravel_index(np.array(out + back), field.shape), axis=1)
    shift = np.concatenate([cell[out], cell[back] + winding[best]])
    return np.asarray(at + shift * np.array(field.shape), dtype=np.int64)


def _links(allowed: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Neighbouring allowed points.

    Flat indices (P,), (P,) and the lattice step (P, 3) of the second; each pair once.
    """
    shape = np.array(allowed.shape)
    points = np.argwhere(allowed)
    first, second, images = [], [], []
    for step in itertools.product((-1, 0, 1), repeat=3):
        if step <= (0, 0, 0):
            continue
        there = points + np.array(step)
        image = there // shape
        home = there - image * shape
        ok = allowed[home[:, 0], home[:, 1], home[:, 2]]
        first.append(np.ravel_multi_index(tuple(points[ok].T), allowed.shape))
        second.append(np.ravel_multi_index(tuple(home[ok].T), allowed.shape))
        images.append(image[ok])
    return np.concatenate(first), np.concatenate(second), np.concatenate(images)
