"""Where the mobile ion was: the densest cells of a grid over one trajectory, for the 3D view.

Definition   seen from the framework (its mean drift against the reference structure removed), the fractional
             coordinates of the mobile ions counted on a grid of about `SPACING_A`; kept are the densest cells that
             together hold `FRACTION` of all counts, at most `MOST_POINTS`.
Validity     a picture of channels, not a measurement: a short run leaves cells unvisited that an ion would reach.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ionsieve.records import CrystalStructure, RunRecord
from ionsieve.report.source import Density
from ionsieve.verdicts import Outcome

__all__ = ["FRACTION", "MOST_POINTS", "SPACING_A", "best_run", "density_of", "from_trajectory"]

SPACING_A = 0.6
FRACTION = 0.9
MOST_POINTS = 900
_MOST_FRAMES = 400


def best_run(runs: list[RunRecord]) -> RunRecord | None:
    """Return the hottest run that ended well and left a trajectory: it has seen most of the channels."""
    good = [r for r in runs if r.trajectory and r.outcome in (Outcome.COMPLETED, Outcome.STOPPED_EARLY)]
    return max(good, key=lambda r: (r.run.temperature_K, r.run.run_id), default=None)


def density_of(
    fractional: ArrayLike, lattice_A: ArrayLike, *, temperature_K: float, spacing_A: float = SPACING_A
) -> Density:
    """Return the densest cells of fractional coordinates (..., 3) of the mobile ion in a cell (3, 3), Å."""
    lattice = np.asarray(lattice_A, dtype=np.float64)
    grid = np.maximum(1, np.round(np.linalg.norm(lattice, axis=1) / spacing_A)).astype(int)
    points = np.asarray(fractional, dtype=np.float64).reshape(-1, 3) % 1.0
    cells = np.minimum((points * grid).astype(int), grid - 1)
    unique, counts = np.unique(cells, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    share = np.cumsum(counts[order]) / counts.sum()
    keep = order[: min(MOST_POINTS, int(np.searchsorted(share, FRACTION)) + 1)]
    centres = (unique[keep] + 0.5) / grid
    return Density(
        temperature_K=temperature_K,
        grid=(int(grid[0]), int(grid[1]), int(grid[2])),
        points=tuple((float(x), float(y), float(z)) for x, y, z in np.round(centres, 4)),
        weights=tuple(float(w) for w in np.round(counts[keep] / counts.max(), 4)),
        fraction=float(share[len(keep) - 1]),
    )


def from_trajectory(path: Path, reference: CrystalStructure, *, mobile: str, temperature_K: float) -> Density | None:
    """Return the density along a trajectory of the atoms of `reference`; None when they do not match in order."""
    from ionsieve.trajectory import h5md

    frames = h5md.read(path)
    if len(frames) == 0 or frames.symbols != reference.symbols:
        return None
    stride = max(1, len(frames) // _MOST_FRAMES)
    positions = np.linalg.solve(
        frames.cells[::stride].transpose(0, 2, 1), frames.positions[::stride].transpose(0, 2, 1)
    ).transpose(0, 2, 1)
    lattice = np.asarray(reference.lattice_A)
    home = np.asarray(reference.positions_A) @ np.linalg.inv(lattice)
    is_mobile = np.array([s == mobile for s in reference.symbols])
    drift: NDArray[np.float64] = np.zeros((len(positions), 1, 3))
    if not is_mobile.all():
        away = positions[:, ~is_mobile] - home[~is_mobile]
        away -= np.round(away[:1])  # whole cells between the reference and the first frame
        drift = away.mean(axis=1, keepdims=True)
    return density_of((positions - drift)[:, is_mobile], lattice, temperature_K=temperature_K)
