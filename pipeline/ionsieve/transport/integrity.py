"""Is the framework still a crystal: displacement, Lindemann ratio, plateau, polyanions, drift of the energy.

Equations
    Lindemann   sqrt(<|r - <r>_block|²>) / d, d the larger of nearest-neighbour distance and (V / N)^(1/3)
                  over the cores: framework without polyanion ligands
    plateau     framework MSD gains less than `gain` in the window, and its slope stays below a part of the mobile one
    polyanion   ligands bonded at the start (within the cutoff) stay within `stretch` times their mean length, with
                hysteresis; turning the polyanion is allowed, losing a ligand is not
Verdict
    MELTED when a core of the framework has gone further than `framework_max_displacement_A`, or the cores flow (no
    plateau), or Lindemann and plateau both look wrong. One sign alone raises FRAMEWORK_MOVING.
Source
    Mo group (5 Å), F. A. Lindemann 1910; thresholds in `TransportSettings`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ionsieve.transport.kernels.msd import fast_length, msd
from ionsieve.transport.settings import TransportSettings
from ionsieve.transport.sites import _distances

__all__ = [
    "Integrity",
    "block_drift",
    "equilibration_frame",
    "equilibration_summary",
    "framework_integrity",
    "lindemann",
    "polyanion_intact",
]

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Integrity:
    """Signs of melting; None where there is no framework to look at."""

    max_displacement_A: float | None
    lindemann: float | None
    core_gain_A2: float | None
    core_slope_A2_per_ps: float | None
    melted: bool
    moving: bool
    reason: str


def lindemann(positions_A: Floats, cell_A: Floats, *, blocks: int = 4) -> float | None:
    """Root-mean-square amplitude about the block mean over the spacing of the ions; (F, N, 3) Å.

    The spacing is the mean nearest-neighbour distance, but at least (V / N)^(1/3): in a framework of bonded groups the
    nearest neighbour is a bond, against which every hot crystal would look molten.
    """
    frames, ions = positions_A.shape[:2]
    if ions < 2 or frames < 2 * blocks:
        return None
    squares = [((part - part.mean(axis=0)) ** 2).sum(axis=2).mean() for part in np.array_split(positions_A, blocks)]
    centre = positions_A[: max(1, frames // blocks)].mean(axis=0)
    d = _distances(centre[None], centre, cell_A)[0]
    np.fill_diagonal(d, np.inf)
    nearest = d.min(axis=1)
    if not np.isfinite(nearest).all():
        return None
    spacing = max(float(nearest.mean()), (abs(float(np.linalg.det(cell_A))) / ions) ** (1.0 / 3.0))
    return float(np.sqrt(np.mean(squares)) / spacing)


def framework_integrity(
    framework_A: Floats,
    cores_A: Floats,
    cell_A: Floats,
    *,
    dt_ps: float,
    mobile_slope_A2_per_ps: float,
    settings: TransportSettings,
) -> Integrity:
    """Judge the framework from its drift-free paths; `cores_A` leaves out ligands that may turn."""
    if framework_A.shape[1] == 0:
        return Integrity(None, None, None, None, melted=False, moving=False, reason="")
    moved = framework_A - framework_A[:1]
    farthest = float(np.sqrt((moved**2).sum(axis=2).max()))
    ratio = lindemann(cores_A, cell_A)
    frames = len(cores_A)
    gain = slope = None
    flows = False
    if cores_A.shape[1] and frames >= 8:
        curve = np.asarray(msd(cores_A), dtype=float)
        early, late = max(1, frames // 10), frames // 2
        if late > early:
            gain = float(curve[late] - curve[early])
            slope = gain / ((late - early) * dt_ps)
            flows = gain > settings.framework_gain_A2 and slope > settings.framework_slope_ratio_max * max(
                mobile_slope_A2_per_ps, 0.0
            )
    loose = ratio is not None and ratio > settings.lindemann_max
    core_farthest = float(np.sqrt(((cores_A - cores_A[:1]) ** 2).sum(axis=2).max())) if cores_A.shape[1] else 0.0
    far = core_farthest > settings.framework_max_displacement_A
    growing = gain is not None and gain > 0.25 * settings.framework_gain_A2
    melted = far or flows or (loose and growing)
    signs = []
    if far:
        signs.append(f"a framework ion moved {core_farthest:.2f} Å (limit {settings.framework_max_displacement_A:g} Å)")
    if flows and gain is not None:
        signs.append(f"the framework's mean-squared displacement grew by {gain:.2f} Å² within the window")
    if loose and ratio is not None:
        signs.append(f"the Lindemann ratio is {ratio:.3f} (limit {settings.lindemann_max:g})")
    return Integrity(
        max_displacement_A=farthest,
        lindemann=ratio,
        core_gain_A2=gain,
        core_slope_A2_per_ps=slope,
        melted=melted,
        moving=bool(signs) and not melted,
        reason="; ".join(signs),
    )


def polyanion_intact(
    positions_A: Floats,
    cells_A: Floats,
    symbols: Sequence[str],
    polyanions: Sequence[tuple[str, str, float]],
    *,
    stretch: float = 1.35,
    mend: float = 1.2,
) -> tuple[float, int, int] | None:
    """Part of the frames in which every polyanion keeps the ligands it began with.

    Parameters
    ----------
    positions_A, cells_A
        (F, N, 3) and (F, 3, 3) or (3, 3); wrapped or not.
    polyanions
        (centre, ligand, cutoff Å), as in `Candidate.polyanions`.
    stretch, mend
        A bond breaks above `stretch` times its median length in the first frames and is whole again below `mend` times.

    Returns
    -------
    intact_fraction, bonds, broken_at_end
        None when there is no such bond in the first frame. A bond counts as broken in a frame by the state it is in;
        the fraction is over polyanions (centres) and frames.
    """
    names = np.asarray(symbols)
    cells = np.broadcast_to(np.asarray(cells_A, float), (len(positions_A), 3, 3))
    centres: list[int] = []
    ligands: list[int] = []
    for centre, ligand, cutoff in polyanions:
        c, li = np.nonzero(names == centre)[0], np.nonzero(names == ligand)[0]
        if not len(c) or not len(li):
            continue
        d = _distances(positions_A[:1, c], positions_A[0, li], cells[0])[0]
        for a, b in zip(*np.nonzero((d < cutoff) & (d > 1e-6)), strict=True):
            centres.append(int(c[a]))
            ligands.append(int(li[b]))
    if not centres:
        return None
    frames = len(positions_A)
    lengths = np.empty((frames, len(centres)))
    chunk = max(1, int(2e6 // len(centres)))
    for start in range(0, frames, chunk):
        part = slice(start, min(start + chunk, frames))
        bond = positions_A[part][:, ligands] - positions_A[part][:, centres]
        s = bond @ np.linalg.inv(cells[part])
        s -= np.round(s)
        lengths[part] = np.linalg.norm(s @ cells[part], axis=2)
    usual = np.median(lengths[: max(1, min(10, frames))], axis=0)
    ratio = lengths / usual
    broken = np.zeros(len(centres), dtype=bool)
    kinds = np.asarray(centres)
    unique = np.unique(kinds)
    lookup = np.searchsorted(unique, kinds)
    bad = 0
    over, under = ratio > stretch, ratio < mend
    for k in range(frames):
        broken = (broken | over[k]) & ~under[k]
        if broken.any():
            bad += len(np.unique(lookup[broken]))
    return 1.0 - bad / (frames * len(unique)), len(centres), int(broken.sum())


def block_drift(values: Floats, times_ps: Floats, *, blocks: int = 10) -> tuple[float, float] | None:
    """Slope per ps of a time series and its standard error; None when there are too few frames.

    The error counts independent samples by the statistical inefficiency of the residuals, and is not below that of the
    means of `blocks` blocks.
    """
    n = len(values)
    if n < 2 * blocks:
        return None
    y, t = np.asarray(values, dtype=float), np.asarray(times_ps, dtype=float)
    x = t - t.mean()
    slope = float((x @ (y - y.mean())) / (x @ x))
    residual = y - y.mean() - slope * x
    error = float(np.sqrt(_inefficiency(residual) * (residual @ residual) / (n - 2) / (x @ x)))
    means = np.asarray([part.mean() for part in np.array_split(residual, blocks)])
    centres = np.asarray([part.mean() for part in np.array_split(x, blocks)])
    coarse = float(np.sqrt((means @ means) / (blocks - 2) / (centres @ centres)))
    return slope, max(error, coarse)


def _inefficiency(values: Floats) -> float:
    """Statistical inefficiency 1 + 2 sum of the autocorrelation up to its first negative value."""
    x = values - values.mean()
    n = len(x)
    size = fast_length(2 * n)
    f = np.fft.rfft(x, n=size)
    c = np.fft.irfft(f.real**2 + f.imag**2, n=size)[:n] / np.arange(n, 0, -1)
    if c[0] <= 0.0:
        return 1.0
    c = c / c[0]
    negative = np.nonzero(c <= 0.0)[0]
    stop = int(negative[0]) if len(negative) else n
    return float(max(1.0, 1.0 + 2.0 * ((1.0 - np.arange(1, stop) / n) * c[1:stop]).sum()))


def equilibration_frame(values: Floats, *, candidates: int = 25) -> int:
    """Return the frame from which a time series is stationary: the start that leaves most independent samples.

    J. D. Chodera, J. Chem. Theory Comput. 2016, 10.1021/acs.jctc.5b00784.
    """
    n = len(values)
    if n < 20:
        return 0
    starts = np.unique(np.linspace(0, 0.9 * n, candidates).astype(int))
    kept = [(n - s) / _inefficiency(np.asarray(values[s:], dtype=float)) for s in starts]
    return int(starts[int(np.argmax(kept))])


def equilibration_summary(energies_eV: Any, cells_A: Floats, times_ps: Floats, *, n_atoms: int) -> dict[str, float]:
    """Drift of potential energy and volume, and when the energy became stationary, as plain JSON."""
    result: dict[str, float] = {}
    frames = len(times_ps)
    if energies_eV is not None and len(np.asarray(energies_eV)) == frames:
        energy = np.asarray(energies_eV, dtype=float) / n_atoms * 1e3
        drift = block_drift(energy, times_ps)
        if drift is not None:
            start = equilibration_frame(energy)
            result["energy_drift_meV_per_atom_per_ps"], result["energy_drift_error"] = drift
            result["equilibrated_from_ps"] = float(times_ps[start] - times_ps[0])
            result["equilibrated_from_fraction"] = start / frames
    if cells_A.ndim == 3 and len(cells_A) == frames:
        volumes = np.abs(np.linalg.det(cells_A))
        drift = block_drift(100.0 * volumes / volumes.mean(), times_ps)
        if drift is not None and volumes.std() > 0.0:
            result["volume_drift_percent_per_ps"], result["volume_drift_error"] = drift
    return result
