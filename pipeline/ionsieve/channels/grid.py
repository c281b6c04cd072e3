"""Percolation of a scalar field on a periodic grid: the level at which the region below it leads through the crystal.

The region below a level is cut into connected pieces inside the cell (26 neighbours, `scipy.ndimage.label`); pieces
that
touch over a face of the cell are joined with the lattice vector of that step (`PeriodicClusters`); the level is found
by
bisection.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ionsieve.channels.percolation import PeriodicClusters

__all__ = ["GridPercolation", "grid_dimension", "grid_path", "grid_percolation"]

Floats = NDArray[np.float64]
_ALL_NEIGHBOURS = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True)
class GridPercolation:
    """Levels above the field's minimum at which it percolates in 1, 2 and 3 dimensions; None when above the limit."""

    minimum: float
    levels: tuple[float | None, float | None, float | None]


def _clusters(region: NDArray[np.bool_]) -> tuple[NDArray[np.int32], PeriodicClusters]:
    labels, count = ndimage.label(region, structure=_ALL_NEIGHBOURS)
    clusters = PeriodicClusters(count + 1)
    shape = region.shape
    for axis in range(3):
        others = [a for a in range(3) if a != axis]
        last = np.take(labels, shape[axis] - 1, axis=axis)
        first = np.take(labels, 0, axis=axis)
        if not last.any() or not first.any():
            continue
        grid = np.indices(last.shape)
        for di, dj in itertools.product((-1, 0, 1), repeat=2):
            partner = np.roll(first, (-di, -dj), axis=(0, 1))
            touch = (last > 0) & (partner > 0)
            if not touch.any():
                continue
            image = np.zeros((3, int(touch.sum())), dtype=np.int64)
            image[axis] = 1
            for d, index, other in ((di, grid[0], others[0]), (dj, grid[1], others[1])):
                image[other] = (index[touch] + d) // shape[other]
            rows = np.unique(np.column_stack([last[touch], partner[touch], image.T]), axis=0)
            for u, v, i, j, k in rows.tolist():
                clusters.join(u, v, (i, j, k))
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
    a, b, c = np.unravel_index(np.argmin(np.where(allowed, field, np.inf)), field.shape)
    start = (int(a), int(b), int(c))
    shape = field.shape
    steps = [s for s in itertools.product((-1, 0, 1), repeat=3) if any(s)]
    came: dict[tuple[int, int, int], tuple[int, int, int] | None] = {start: None}
    queue: deque[tuple[int, int, int]] = deque([start])
    while queue:
        here = queue.popleft()
        home = (here[0] % shape[0], here[1] % shape[1], here[2] % shape[2])
        if here != start and home == start:
            path = [here]
            back = came[here]
            while back is not None:
                path.append(back)
                back = came[back]
            return np.array(path[::-1], dtype=np.int64)
        for s in steps:
            there = (here[0] + s[0], here[1] + s[1], here[2] + s[2])
            if there in came or any(abs(t - b) > 2 * n for t, b, n in zip(there, start, shape, strict=True)):
                continue
            if allowed[there[0] % shape[0], there[1] % shape[1], there[2] % shape[2]]:
                came[there] = here
                queue.append(there)
    return None
