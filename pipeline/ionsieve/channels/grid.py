"""Percolation of a scalar field on a periodic grid: the level at which the region below it leads through the crystal.

Every grid point runs down to the lowest of its 26 neighbours until it meets a minimum; the points of one minimum are
its basin. Between two basins that touch, the *pass* is the lowest pair of neighbours, at the higher of the two. The
graph of basins and passes, with lattice vectors, percolates at the level at which the grid does: what a way meets
between two passes lies below them.
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

from ionsieve.channels.percolation import PeriodicClusters, percolate

__all__ = [
    "Basins",
    "GridPercolation",
    "first_of_each",
    "grid_dimension",
    "grid_path",
    "grid_percolation",
    "levels_between",
    "pair_codes",
    "watershed",
]

Floats = NDArray[np.float64]
_ALL_NEIGHBOURS = np.ones((3, 3, 3), dtype=bool)
_STEPS = np.array(list(itertools.product((-1, 0, 1), repeat=3)), dtype=np.int64)
_FAR = 64  # copies of basins that touch lie nearer than half of this, in lattice vectors


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


@dataclass(frozen=True)
class Basins:
    """Basins of a field and the passes between them.

    Attributes
    ----------
    minima
        (B,) flat index of the lowest point of each basin.
    edges, images
        (E, 2) basins that touch, each pair of copies once or several times; (E, 3) lattice vector of the second.
    levels, places
        (E,) height of the pass above the field's minimum; (E,) flat index of its higher point.
    """

    minima: NDArray[np.int64]
    edges: NDArray[np.int64]
    images: NDArray[np.int64]
    levels: Floats
    places: NDArray[np.int64]


def watershed(field: Floats, *, limit: float) -> Basins:
    """Cut the region less than `limit` above the minimum into basins; return them with all points where two touch.

    A pair of basins has many such points; the lowest is its pass.
    """
    shape = np.array(field.shape)
    raised = field - field.min()
    lowest, code = raised.copy(), np.full(field.shape, len(_STEPS) // 2, dtype=np.int8)
    padded = np.pad(raised, 1, mode="wrap")
    for c, step in enumerate(_STEPS):
        beside = padded[tuple(slice(1 + d, 1 + d + n) for d, n in zip(step, field.shape, strict=True))]
        lower = beside < lowest
        np.copyto(lowest, beside, where=lower)
        code[lower] = c
    rows = np.flatnonzero(raised < limit)
    row_of = np.full(field.size, -1, dtype=np.int64)
    row_of[rows] = np.arange(len(rows))
    at = np.stack(np.unravel_index(rows, field.shape), axis=1)
    height = raised.ravel()[rows]

    def neighbour(step: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        there = at + step
        image = there // shape
        home = there - image * shape
        return row_of[(home[:, 0] * shape[1] + home[:, 1]) * shape[2] + home[:, 2]], image

    down, shift = neighbour(_STEPS[code.ravel()[rows]])
    while True:
        further = down[down]
        if (further == down).all():
            break
        shift += shift[down]
        down = further
    minima, basin = np.unique(down, return_inverse=True)
    parts = []
    for step in _STEPS[len(_STEPS) // 2 + 1 :]:
        other, image = neighbour(step)
        image += shift[other] - shift
        apart = np.flatnonzero((other >= 0) & ((basin != basin[other]) | (image != 0).any(axis=1)))
        higher = np.where(height[apart] >= height[other[apart]], apart, other[apart])
        parts.append((np.stack([basin[apart], basin[other[apart]]], axis=1), image[apart], higher))
    edges, images, higher = (np.concatenate([part[k] for part in parts]) for k in range(3))
    swap = edges[:, 0] > edges[:, 1]
    edges[swap], images[swap] = edges[swap][:, ::-1], -images[swap]
    own = (edges[:, 0] == edges[:, 1]) & (images @ np.array([_FAR * _FAR, _FAR, 1]) < 0)
    images[own] *= -1
    return Basins(rows[minima], edges, images, height[higher], rows[higher])


def pair_codes(basins: Basins) -> NDArray[np.int64]:
    """Return one integer (E,) for each pair of basin copies."""
    pair = basins.edges[:, 0] * len(basins.minima) + basins.edges[:, 1]
    return np.asarray(pair * _FAR**3 + (basins.images + _FAR // 2) @ np.array([_FAR * _FAR, _FAR, 1]))


def first_of_each(codes: NDArray[np.int64], values: Floats) -> NDArray[np.int64]:
    """Return for each distinct code the row of its smallest value."""
    order = np.lexsort((values, codes))
    ranked = codes[order]
    return np.asarray(order[np.concatenate([np.ones(min(len(ranked), 1), bool), ranked[1:] != ranked[:-1]])])


def grid_percolation(field: Floats, *, limit: float = 10.0) -> GridPercolation:
    """Return the levels, above the minimum, at which the region up to them percolates in 1, 2 and 3 dimensions.

    Parameters
    ----------
    field
        (nx, ny, nz) on a periodic grid (the last point is not the first).
    limit
        Levels above it count as closed. In the field's unit.
    """
    return GridPercolation(float(field.min()), levels_between(watershed(field, limit=limit)))


def levels_between(basins: Basins) -> tuple[float | None, float | None, float | None]:
    """Return the levels at which the graph of basins and passes percolates in 1, 2 and 3 dimensions."""
    rows = first_of_each(pair_codes(basins), basins.levels)
    pairs, images, levels = basins.edges[rows], basins.images[rows], basins.levels[rows]
    return percolate(len(basins.minima), pairs, images, levels, descending=False).levels


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
