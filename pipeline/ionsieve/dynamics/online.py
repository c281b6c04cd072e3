"""Mean-squared displacements accumulated while a run goes on, so that the file may keep only every n-th frame.

Positions of the mobile ions, in the frame of the framework's mean, are taken every sample into a ladder of buffers:
level l keeps the last `DEPTH` samples at a stride of `FACTOR` to the power l. A new sample is compared with all
that its level keeps. Every number is a plain average over time origins of unaveraged positions: exact at its lag,
only with fewer origins than all frames would give.

Equations    MSD(t) = mean over origins s and ions i of |d_i(s + t) - d_i(s)|²                           [frenkel2002]
             collective(t) = mean over origins of |sum_i (d_i(s + t) - d_i(s))|² / N
             variance(t) = mean of |d_i(s + t) - d_i(s)|⁴ less MSD(t)²
Symbols      symbol  code               shape
             d       sample             (N, 3)   Å, mobile ions, framework drift removed
             t       lags               (L, DEPTH)   in samples: j FACTOR**l, j = 1 ... DEPTH
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ionsieve.errors import DataError

__all__ = ["DEPTH", "FACTOR", "OnlineMSD", "RunningMSD", "StopRule"]

DEPTH, FACTOR, LEVELS = 16, 4, 8


@dataclass(frozen=True)
class RunningMSD:
    """What the samples so far say, every lag once, ascending.

    Attributes
    ----------
    lags
        (L,), in samples.
    msd_A2, collective_A2, variance_A4
        (L,): means over ions and origins; the variance is that of one squared displacement.
    per_ion_A2
        (L, N): means over origins.
    origins
        (L,).
    frames
        Samples taken.
    interval_ps
        Time between two samples.
    """

    lags: NDArray[np.int64]
    msd_A2: NDArray[np.float64]
    collective_A2: NDArray[np.float64]
    variance_A4: NDArray[np.float64]
    per_ion_A2: NDArray[np.float64]
    origins: NDArray[np.int64]
    frames: int
    interval_ps: float


#: relative standard error of the diffusivity of a run under way; None while no value can be stated
StopRule = Callable[[RunningMSD], float | None]


class OnlineMSD:
    """Accumulates; all it knows is arrays, which a checkpoint keeps.

    Parameters
    ----------
    n_mobile
        Ions N.
    arrays
        Of a checkpoint, to continue.

    Raises
    ------
    DataError
        When the checkpoint's sums are of another version.
    """

    def __init__(self, n_mobile: int, arrays: Mapping[str, NDArray[Any]] | None = None) -> None:
        self.samples = 0
        self.buffers = np.zeros((LEVELS, DEPTH, n_mobile, 3))
        self.per_ion = np.zeros((LEVELS, DEPTH, n_mobile))
        self.fourth = np.zeros((LEVELS, DEPTH))
        self.collective = np.zeros((LEVELS, DEPTH))
        self.counts = np.zeros((LEVELS, DEPTH), dtype=np.int64)
        if arrays is None:
            return
        try:
            self.samples = int(arrays["online_samples"])
            for name in _SUMS:
                setattr(self, name, arrays[f"online_{name}"].copy())
        except KeyError as error:
            raise DataError(
                f"the checkpoint holds no {error.args[0]}",
                cause="another version of ionsieve wrote its running MSD",
                remedy="finish the run with that version, or delete the checkpoint to begin anew",
            ) from error

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return copies of all state."""
        copies = {f"online_{name}": getattr(self, name).copy() for name in _SUMS}
        return {"online_samples": np.asarray(self.samples), **copies}

    def add(self, sample: NDArray[np.float64]) -> None:
        """Take one sample, (N, 3), Å."""
        for level in range(LEVELS):
            stride = FACTOR**level
            if self.samples % stride:
                break
            number = self.samples // stride  # samples that this level has seen
            kept = min(number, DEPTH)
            if kept:
                slots = (number - 1 - np.arange(kept)) % DEPTH  # newest first: lags 1, 2, ...
                d = sample - self.buffers[level, slots]
                square = (d * d).sum(axis=2)
                self.per_ion[level, :kept] += square
                self.fourth[level, :kept] += (square * square).mean(axis=1)
                total = d.sum(axis=1)
                self.collective[level, :kept] += (total * total).sum(axis=1) / sample.shape[0]
                self.counts[level, :kept] += 1
            self.buffers[level, number % DEPTH] = sample
        self.samples += 1

    def running(self, interval_ps: float) -> RunningMSD:
        """Return what the samples so far say; samples are `interval_ps` apart."""
        lags = np.arange(1, DEPTH + 1) * FACTOR ** np.arange(LEVELS)[:, None]
        best: dict[int, tuple[int, int]] = {}
        for level in range(LEVELS):
            for j in range(DEPTH):
                if self.counts[level, j]:
                    best.setdefault(int(lags[level, j]), (level, j))  # the finest level has the most origins
        keys = sorted(best)
        rows = tuple(np.array([best[k] for k in keys], dtype=int).reshape(-1, 2).T)
        counts = self.counts[rows]
        per_ion = self.per_ion[rows] / counts[:, None]
        msd = per_ion.mean(axis=1)
        return RunningMSD(
            lags=np.array(keys, dtype=np.int64),
            msd_A2=msd,
            collective_A2=self.collective[rows] / counts,
            variance_A4=np.maximum(self.fourth[rows] / counts - msd**2, 0.0),
            per_ion_A2=per_ion,
            origins=counts,
            frames=self.samples,
            interval_ps=interval_ps,
        )

    def result(self, interval_ps: float) -> dict[str, list[float]]:
        """Return lags (ps), MSD and collective MSD (Å²) and numbers of origins, as plain JSON."""
        running = self.running(interval_ps)
        return {
            "lag_ps": [k * interval_ps for k in running.lags.tolist()],
            "msd_A2": running.msd_A2.tolist(),
            "collective_msd_A2": running.collective_A2.tolist(),
            "origins": running.origins.tolist(),
        }


_SUMS = ("buffers", "per_ion", "fourth", "collective", "counts")
