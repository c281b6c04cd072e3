"""Mean-squared displacements of runs that do not fit into memory: multiple-tau accumulation, one chunk at a time.

Method
    Level k keeps every 2^k-th frame. At level 0 the lags 1 ... m are accumulated, at level k > 0 the lags m/2 + 1 ... m
    in units of 2^k frames. Origins of level k are 2^k frames apart, at most 2 / m of the lag: nearly nothing is lost,
    and the squared displacements are exact (frames are dropped, never averaged).
Accumulated per lag
    number of origins, sums over ions and origins of |dr|⁴ and dr dr^T, sum of |dr|² per ion
Memory
    O(m N log2(F / m)), independent of F; time O(m F N).
Source
    J. Ramírez, S. K. Sukumaran, B. Vorselaars, A. E. Likhtman, J. Chem. Phys. 2010, 10.1063/1.3491098 (multiple tau).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from ionsieve.transport.kernels.msd import cache_bytes, component_first

__all__ = ["MSDStream", "StreamedMSD"]

Array = Any


@dataclass(frozen=True)
class StreamedMSD:
    """Moments per lag: lags (L,) frames, MSD (L,) Å², variance (L,) Å⁴, tensor (L, 3, 3) Å², per ion (L, N) Å²."""

    lags: NDArray[np.int64]
    msd_A2: NDArray[np.float64]
    variance_A4: NDArray[np.float64]
    tensor_A2: NDArray[np.float64]
    per_ion_A2: NDArray[np.float64]
    origins: NDArray[np.int64]
    frames: int


class _Level:
    """Last m frames of one level and the sums of its lags."""

    def __init__(self, lags: range) -> None:
        self.lags = lags
        self.tail: Array = None
        n = len(lags)
        self.origins = np.zeros(n, dtype=np.int64)
        self.fourth = np.zeros(n)
        self.tensor = np.zeros((n, 3, 3))
        self.per_ion: list[Array] = [0.0] * n

    def add(self, frames: Array) -> None:
        xp = array_namespace(frames)
        new = int(frames.shape[1])
        data = frames if self.tail is None else xp.concat([self.tail, frames], axis=1)
        old = int(data.shape[1]) - new
        for k, lag in enumerate(self.lags):
            first = max(old, lag)  # end points: new frames with a partner `lag` earlier
            if first >= old + new:
                continue
            d = data[:, first:, :] - data[:, first - lag : old + new - lag, :]
            parts = d * d
            sq = parts[0, ...] + parts[1, ...] + parts[2, ...]
            self.origins[k] += int(sq.shape[0])
            self.fourth[k] += float(xp.sum(sq * sq))
            flat = xp.reshape(d, (3, -1))
            product = xp.matmul(flat, xp.permute_dims(flat, (1, 0)))
            self.tensor[k] += [[float(product[i, j]) for j in range(3)] for i in range(3)]
            self.per_ion[k] = self.per_ion[k] + xp.sum(sq, axis=0)
        keep = max(self.lags)
        self.tail = xp.asarray(data[:, max(0, int(data.shape[1]) - keep) :, :], copy=True)


class MSDStream:
    """Accumulates the MSD of chunks of frames in constant memory.

    Parameters
    ----------
    points
        m: lags kept per level, even. More points mean denser lags and origins.
    max_lag
        Longest lag of interest in frames; levels beyond it are not kept.

    Examples
    --------
    >>> stream = MSDStream()
    >>> for chunk in chunks:                       # doctest: +SKIP
    ...     stream.add(chunk.positions)
    >>> stream.result().msd_A2                     # doctest: +SKIP
    """

    def __init__(self, *, points: int = 16, max_lag: int | None = None) -> None:
        if points < 4 or points % 2:
            raise ValueError("points must be even and at least 4")
        self.points = points
        top = 1 if max_lag is None else max_lag
        depth = 40 if max_lag is None else max(1, int(np.ceil(np.log2(max(top / points, 1.0)))) + 1)
        half = points // 2
        self.levels = [_Level(range(1 if k == 0 else half + 1, points + 1)) for k in range(depth)]
        self.frames = 0
        self.particles = 0

    def add(self, positions: Array) -> None:
        """Add the next frames, (F, N, 3) Å, unwrapped and in the frame of the framework."""
        whole = component_first(positions)
        self.particles = int(whole.shape[2])
        block = max(self.points, cache_bytes(whole) // (3 * 8 * max(self.particles, 1)))
        for start in range(0, int(whole.shape[1]), block):
            x = whole[:, start : min(start + block, int(whole.shape[1])), :]
            for k, level in enumerate(self.levels):
                offset = (-self.frames) % 2**k
                if offset >= int(x.shape[1]):
                    continue
                level.add(x[:, offset :: 2**k, :])
            self.frames += int(x.shape[1])

    def result(self) -> StreamedMSD:
        """Return the moments at every lag that was seen, in order."""
        lags, rows = [], []
        for k, level in enumerate(self.levels):
            for j, lag in enumerate(level.lags):
                if level.origins[j]:
                    lags.append(lag * 2**k)
                    rows.append((level, j))
        n = self.particles
        origins = np.asarray([lv.origins[j] for lv, j in rows], dtype=np.int64)
        count = origins * n
        fourth = np.asarray([lv.fourth[j] for lv, j in rows]) / count
        tensor = np.asarray([lv.tensor[j] for lv, j in rows]) / count[:, None, None]
        mean = np.trace(tensor, axis1=1, axis2=2)
        per_ion = np.asarray([np.asarray(lv.per_ion[j], dtype=float) for lv, j in rows]) / origins[:, None]
        return StreamedMSD(
            lags=np.asarray(lags, dtype=np.int64),
            msd_A2=mean,
            variance_A4=np.maximum(fourth - mean**2, 0.0),
            tensor_A2=tensor,
            per_ion_A2=per_ion,
            origins=origins,
            frames=self.frames,
        )
