"""Mean-squared displacements accumulated while a run goes on, so that the file may keep only every n-th frame.

Positions of the mobile ions, in the frame of the framework's mean, are taken every sample into a ladder of buffers:
level l keeps the last `DEPTH` samples at a stride of `FACTOR` to the power l. A new sample is compared with all
that its level keeps. Every number is a plain average over time origins of unaveraged positions: exact at its lag,
only with fewer origins than all frames would give.

Equations    MSD(t) = mean over origins s and ions i of |d_i(s + t) - d_i(s)|²                           [frenkel2002]
             collective(t) = mean over origins of |sum_i (d_i(s + t) - d_i(s))|² / N
Symbols      symbol  code               shape
             d       sample             (N, 3)   Å, mobile ions, framework drift removed
             t       lags               (L, DEPTH)   in samples: j FACTOR**l, j = 1 ... DEPTH
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["DEPTH", "FACTOR", "OnlineMSD"]

DEPTH, FACTOR, LEVELS = 16, 4, 8


class OnlineMSD:
    """Accumulates; all it knows is arrays, which a checkpoint keeps.

    Parameters
    ----------
    n_mobile
        Ions N.
    arrays
        Of a checkpoint, to continue.
    """

    def __init__(self, n_mobile: int, arrays: Mapping[str, NDArray[Any]] | None = None) -> None:
        self.samples = 0
        self.buffers = np.zeros((LEVELS, DEPTH, n_mobile, 3))
        self.sums = np.zeros((LEVELS, DEPTH))
        self.collective = np.zeros((LEVELS, DEPTH))
        self.counts = np.zeros((LEVELS, DEPTH), dtype=np.int64)
        if arrays is not None:
            self.samples = int(arrays["online_samples"])
            self.buffers, self.sums = arrays["online_buffers"].copy(), arrays["online_sums"].copy()
            self.collective, self.counts = arrays["online_collective"].copy(), arrays["online_counts"].copy()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return copies of all state."""
        return {
            "online_samples": np.asarray(self.samples),
            "online_buffers": self.buffers.copy(),
            "online_sums": self.sums.copy(),
            "online_collective": self.collective.copy(),
            "online_counts": self.counts.copy(),
        }

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
                self.sums[level, :kept] += (d * d).sum(axis=2).mean(axis=1)
                total = d.sum(axis=1)
                self.collective[level, :kept] += (total * total).sum(axis=1) / sample.shape[0]
                self.counts[level, :kept] += 1
            self.buffers[level, number % DEPTH] = sample
        self.samples += 1

    def result(self, interval_ps: float) -> dict[str, list[float]]:
        """Return lags (ps), MSD and collective MSD (Å²) and numbers of origins; every lag once, ascending."""
        lags = np.arange(1, DEPTH + 1) * FACTOR ** np.arange(LEVELS)[:, None]
        best: dict[int, tuple[int, int]] = {}
        for level in range(LEVELS):
            for j in range(DEPTH):
                if self.counts[level, j]:
                    best.setdefault(int(lags[level, j]), (level, j))  # the finest level has the most origins
        keys = sorted(best)
        rows = tuple(np.array([best[k] for k in keys], dtype=int).reshape(-1, 2).T)
        counts = self.counts[rows]
        return {
            "lag_ps": [k * interval_ps for k in keys],
            "msd_A2": (self.sums[rows] / counts).tolist(),
            "collective_msd_A2": (self.collective[rows] / counts).tolist(),
            "origins": counts.tolist(),
        }
