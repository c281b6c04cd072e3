"""Van Hove functions, non-Gaussian parameter and ion density, by counting.

Equations
    self        4 pi r² G_s(r, t) dr = part of ions displaced by r ... r + dr after t;  sum over r of 4 pi r² G_s dr = 1
    distinct    G_d(r, t) = 1/(rho N) sum_{i != j} delta(r - |r_i(t0 + t) - r_j(t0)|)   1 far away, g(r) at t = 0
    alpha_2     3 <|dr|⁴> / (5 <|dr|²>²) - 1                    0 for free diffusion, > 0 for jumps
    density     ions per Å³ and frame on a grid of the cell; its sum times the voxel volume is the number of ions
Shapes
    positions (F, N, 3) Å; radii (B,) Å; G_s (B,) Å⁻³; density (A, B, C) Å⁻³
Validity
    `van_hove_distinct` counts minimum images: r must stay below half the shortest cell height.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from ionsieve.transport.kernels.msd import cache_bytes, component_first, squared_norm, windowed_moments

__all__ = ["density", "non_gaussian", "van_hove_distinct", "van_hove_self"]

Array = Any
Floats = NDArray[np.float64]


def _count(indices: Array, size: int) -> Floats:
    """Histogram of non-negative integers below `size`; larger ones are dropped."""
    if isinstance(indices, np.ndarray):
        flat = indices.ravel()
        return np.bincount(flat[(flat >= 0) & (flat < size)], minlength=size).astype(float)
    xp = array_namespace(indices)
    values, counts = xp.unique_counts(xp.reshape(indices, (-1,)))
    result = np.zeros(size)
    v = np.asarray([int(k) for k in values] if not hasattr(values, "__array__") else np.asarray(values))
    c = np.asarray([int(k) for k in counts] if not hasattr(counts, "__array__") else np.asarray(counts))
    keep = (v >= 0) & (v < size)
    result[v[keep]] = c[keep]
    return result


def van_hove_self(positions: Array, lag: int, *, bins: int = 120, largest_A: float = 12.0) -> tuple[Floats, Floats]:
    """Return bin centres (B,) Å and G_s (B,) Å⁻³ at one lag, over all ions and origins."""
    xp = array_namespace(positions)
    x = component_first(positions)
    width = largest_A / bins
    total = np.zeros(bins)
    frames, ions = int(x.shape[1]), int(x.shape[2])
    chunk = max(1, 4 * cache_bytes(x) // (24 * ions))
    for start in range(0, frames - lag, chunk):
        stop = min(start + chunk, frames - lag)
        r = xp.sqrt(squared_norm(x[:, start + lag : stop + lag, :] - x[:, start:stop, :]))
        total += _count(xp.astype(xp.floor(r / width), xp.int64), bins)
    edges = np.arange(bins + 1) * width
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    return 0.5 * (edges[1:] + edges[:-1]), total / ((frames - lag) * ions) / shells


def van_hove_distinct(
    positions: Array, cell: Array, lag: int, *, bins: int = 100, largest_A: float = 8.0, max_origins: int = 200
) -> tuple[Floats, Floats]:
    """Return bin centres (B,) Å and G_d (B,) at one lag, from up to `max_origins` evenly spaced origins."""
    xp = array_namespace(positions, cell)
    x = xp.astype(positions, xp.float64)
    h = xp.astype(cell, xp.float64)
    inverse = xp.linalg.inv(h)
    frames, ions = int(x.shape[0]), int(x.shape[1])
    width = largest_A / bins
    total = np.zeros(bins)
    origins = np.unique(np.linspace(0, frames - lag - 1, min(max_origins, frames - lag)).astype(int))
    for t in origins:
        s = xp.matmul(x[int(t) + lag, :, :], inverse)[:, None, :] - xp.matmul(x[int(t), :, :], inverse)[None, :, :]
        d = xp.matmul(s - xp.round(s), h)
        r = xp.sqrt(xp.sum(d * d, axis=-1))
        r = r + 1e9 * xp.eye(ions, dtype=xp.float64, device=getattr(x, "device", None))
        total += _count(xp.astype(xp.floor(r / width), xp.int64), bins)
    edges = np.arange(bins + 1) * width
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    rho = ions / abs(float(xp.linalg.det(h)))
    return 0.5 * (edges[1:] + edges[:-1]), total / (len(origins) * ions * rho * shells)


def non_gaussian(positions: Array, lags: list[int], *, stride_per_lag: int = 8) -> Floats:
    """Return alpha_2 at the given lags, (L,)."""
    mean, variance = windowed_moments(positions, lags, stride_per_lag=stride_per_lag)
    m, v = np.asarray(mean, dtype=float), np.asarray(variance, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(m > 0.0, 3.0 * (v + m**2) / (5.0 * m**2) - 1.0, 0.0)


def density(positions: Array, cell: Array, *, spacing_A: float = 0.25) -> Floats:
    """Return the time-averaged number density of the given ions on a grid along the cell vectors, (A, B, C) Å⁻³."""
    xp = array_namespace(positions, cell)
    h = xp.astype(cell, xp.float64)
    lengths = xp.sqrt(xp.sum(h * h, axis=-1))
    shape = tuple(max(1, round(float(lengths[k]) / spacing_A)) for k in range(3))
    inverse = xp.linalg.inv(h)
    frames, ions = int(positions.shape[0]), int(positions.shape[1])
    size = shape[0] * shape[1] * shape[2]
    total = np.zeros(size)
    chunk = max(1, 2**22 // (24 * ions))
    for start in range(0, frames, chunk):
        part = xp.astype(positions[start : min(start + chunk, frames), :, :], xp.float64)
        s = xp.matmul(part, inverse)
        s = s - xp.floor(s)
        index = None
        for k in range(3):
            i = xp.astype(xp.floor(s[..., k] * shape[k]), xp.int64)
            i = xp.where(i >= shape[k], xp.zeros_like(i), i)  # 1 - rounding wraps to 0
            index = i if index is None else index * shape[k] + i
        total += _count(index, size)
    volume = abs(float(xp.linalg.det(h)))
    return (total / frames / (volume / size)).reshape(shape)
