"""Which site each mobile ion is on, and when it jumps.

Rule
    nearest     the site with the smallest minimum-image distance
    hysteresis  an ion has jumped when its distance to the nearest site is below 0.6 of that to the site it held: an ion
                that rattles at the midpoint does not jump
    blips       a visit shorter than `min_residence` that ends where it began is undone
    home        sites of a label that holds at least half as many ions a site as the fullest one; the others are way
                stations, and half the way is not a jump
    no sites    an ion has jumped when its path, smoothed over the rattling, has left its last place by 0.7 a
Shapes
    positions (F, N, 3) Å; sites (S, 3) Å; assignment (F, N) site index
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["assign", "count_jumps", "displacement_hops", "home_jumps", "home_sites", "jump_length", "remove_blips"]

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]


def jump_length(sites_A: Floats, cell_A: Floats, *, shortest_A: float = 1.5) -> float | None:
    """Return the median distance from a site to its nearest other site beyond `shortest_A` (split sites skipped)."""
    if len(sites_A) < 2:
        return None
    d = _distances(np.asarray(sites_A, float)[None], np.asarray(sites_A, float), np.asarray(cell_A, float))[0]
    d = np.where(d < shortest_A, np.inf, d)
    nearest = d.min(axis=1)
    nearest = nearest[np.isfinite(nearest)]
    return float(np.median(nearest)) if len(nearest) else None


def home_sites(assignment: Ints, labels: Sequence[str], n_sites: int) -> NDArray[np.bool_]:
    """Return which of the sites are homes (S,); all of them without labels."""
    names = np.asarray(labels)
    if len(names) != n_sites:
        return np.ones(n_sites, dtype=bool)
    held = np.bincount(assignment.ravel(), minlength=n_sites)
    mean = {k: float(held[names == k].mean()) for k in set(names.tolist())}
    return np.asarray([mean[k] >= 0.5 * max(mean.values()) for k in names.tolist()])


def home_jumps(assignment: Ints, home: NDArray[np.bool_]) -> int:
    """Count jumps from one home to another; the way stations between them, and turning back there, do not count."""
    at_home = home[assignment]
    frame = np.where(at_home, np.arange(len(assignment))[:, None], 0)
    last = np.maximum.accumulate(frame, axis=0)  # the frame of the last stay at a home, 0 before the first
    path = np.take_along_axis(assignment, last, axis=0)
    return int(np.count_nonzero((np.diff(path, axis=0) != 0) & home[path[:-1]]))


def _distances(points: Floats, sites: Floats, cell: Floats) -> Floats:
    """Minimum-image distances (F, N, S); the 27 images are searched where the cell is skewed."""
    inverse = np.linalg.inv(cell)
    d = points[:, :, None, :] @ inverse - (sites @ inverse)[None, None, :, :]
    d -= np.round(d)
    d = d @ cell
    best = np.einsum("fnsk,fnsk->fns", d, d)
    metric = cell @ cell.T
    if np.abs(metric - np.diag(np.diag(metric))).max() > 1e-6 * np.abs(metric).max():
        for shift in np.ndindex(3, 3, 3):
            if shift == (1, 1, 1):
                continue
            e = d + (np.asarray(shift, float) - 1.0) @ cell
            np.minimum(best, np.einsum("fnsk,fnsk->fns", e, e), out=best)
    return np.asarray(np.sqrt(best))


def _near_distances(points: Floats, sites: Floats, cell: Floats) -> Floats:
    """Distances (F, N, S), exact below half the shortest height and never too short: enough to find the nearest.

    Component by component, several times faster than `_distances`, which takes over when a point has no near site.
    """
    inverse = np.linalg.inv(cell)
    s, t = points @ inverse, sites @ inverse
    metric = cell @ cell.T
    parts = []
    for k in range(3):
        d = s[:, :, None, k] - t[None, None, :, k]
        d -= np.round(d)
        parts.append(d)
    squared = metric[0, 0] * parts[0] * parts[0]
    for i, j, factor in ((1, 1, 1.0), (2, 2, 1.0), (0, 1, 2.0), (0, 2, 2.0), (1, 2, 2.0)):
        if metric[i, j] != 0.0:
            squared += (factor * metric[i, j]) * parts[i] * parts[j]
    result = np.sqrt(np.maximum(squared, 0.0))
    height = float((1.0 / np.sqrt((inverse**2).sum(axis=0))).min())
    if result.min(axis=2).max() >= 0.5 * height:
        return _distances(points, sites, cell)
    return np.asarray(result)


def assign(positions_A: Floats, sites_A: Floats, cell_A: Floats, *, hysteresis: float = 0.6) -> Ints:
    """Return the site of every ion in every frame, (F, N).

    Parameters
    ----------
    positions_A
        (F, N, 3) in the frame of the framework.
    sites_A
        (S, 3), in the same cell and origin.
    hysteresis
        See the rule above; 1 is plain nearest site.
    """
    frames, ions = positions_A.shape[:2]
    sites = np.asarray(sites_A, dtype=float)
    result = np.empty((frames, ions), dtype=np.int64)
    chunk = max(1, int(2e6 // max(1, ions * len(sites))))
    held: Ints | None = None
    index = np.arange(ions)
    for start in range(0, frames, chunk):
        d = _near_distances(np.asarray(positions_A[start : start + chunk], dtype=float), sites, cell_A)
        nearest = d.argmin(axis=2)
        shortest = np.take_along_axis(d, nearest[:, :, None], axis=2)[:, :, 0]
        if held is None:
            held = nearest[0].astype(np.int64)
        for k in range(len(d)):
            moved = (nearest[k] != held) & (shortest[k] < hysteresis * d[k, index, held])
            held = np.where(moved, nearest[k], held)
            result[start + k] = held
    return result


def remove_blips(assignment: Ints, min_frames: int) -> Ints:
    """Undo visits shorter than `min_frames` that end on the site where they began."""
    if min_frames < 2:
        return assignment
    result = assignment.copy()
    for ion in range(result.shape[1]):
        path = result[:, ion]
        changes = np.nonzero(np.diff(path))[0] + 1
        k = 0
        while k + 1 < len(changes):
            a, b = changes[k], changes[k + 1]
            if b - a < min_frames and path[a - 1] == path[b]:
                path[a:b] = path[a - 1]
                changes = np.delete(changes, [k, k + 1])
                k = max(k - 1, 0)
            else:
                k += 1
    return result


def count_jumps(assignment: Ints) -> int:
    """Return the number of changes of site."""
    return int(np.count_nonzero(np.diff(assignment, axis=0)))


def displacement_hops(positions_A: Floats, *, jump_length_A: float, smooth_frames: int) -> int:
    """Count moves of the smoothed path by more than 0.7 a from the last resting place, for want of sites."""
    width = max(1, min(smooth_frames, len(positions_A) // 2))
    total = np.cumsum(np.concatenate([np.zeros((1, *positions_A.shape[1:])), positions_A]), axis=0)
    path = (total[width:] - total[:-width]) / width
    rest = path[0].copy()
    hops = 0
    threshold = (0.7 * jump_length_A) ** 2
    for frame in path:
        gone = ((frame - rest) ** 2).sum(axis=1) > threshold
        if gone.any():
            hops += int(gone.sum())
            rest[gone] = frame[gone]
    return hops
