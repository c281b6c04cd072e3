"""Mean-squared displacements over all time origins.

Equations
    MSD(m)     = 1/(N (F-m)) sum_i sum_t |r_i(t+m) - r_i(t)|^2
               = [S1(m) - 2 S2(m)] / (N (F-m))
    S1(m)      = sum_{t<F-m} q(t) + sum_{t>=m} q(t),   q(t) = sum_i |r_i(t)|^2           by cumulative sums
    S2(m)      = sum_i sum_t r_i(t+m).r_i(t) = irfft( sum_i |rfft r_i|^2 )(m)            zero-padded to 2F or more
    tensor     M_ab(m) = <da db>, with Re(conj(A) B) for |A|^2
    collective the same of the dipole P = sum_i z_i r_i, divided by sum_i z_i^2 over the mobile ions
    moments    mean and variance over ions and origins of x = |r_i(t+m) - r_i(t)|^2 at chosen m
Shapes
    positions (F, N, 3) Å -> (F,) Å², tensor (F, 3, 3) Å², moments (L,) Å² and Å⁴
Cost
    O(N F log F) time; memory O(block F). The power spectra are summed over ions and axes before the one inverse
    transform, which is what makes this several times faster than a transform back per ion.
Source
    Kneller et al., Comput. Phys. Commun. 1995, 10.1016/0010-4655(95)00048-K (FFT form).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from array_api_compat import array_namespace

__all__ = ["collective_msd", "fast_length", "msd", "msd_per_particle_at", "msd_tensor", "windowed_moments"]

Array = Any
_BLOCK_BYTES = 64 * 2**20


def fast_length(n: int) -> int:
    """Return the smallest even 2^a 3^b 5^c that is at least n."""
    best = 2
    while best < n:
        best *= 2
    five = 1
    while five < best:
        three = five
        while three < best:
            two = three
            while two < n or two % 2:
                two *= 2
            best = min(best, two)
            three *= 3
        five *= 5
    return best


def _series(positions: Array) -> Iterator[Array]:
    """Yield centred float64 series (n, 3, F), contiguous in time, a few ions at a time.

    Centring keeps rounding small; transposing in large blocks and transforming in small ones keeps to the cache.
    """
    xp = array_namespace(positions)
    frames, particles = int(positions.shape[0]), int(positions.shape[1])
    large = max(1, _BLOCK_BYTES // (3 * 8 * max(frames, 1)))
    small = max(1, 4 * cache_bytes(positions) // (3 * 16 * max(frames, 1)))
    for start in range(0, particles, large):
        part = xp.astype(positions[:, start : min(start + large, particles), :], xp.float64)
        x = _contiguous(xp.permute_dims(part, (1, 2, 0)))
        for first in range(0, int(x.shape[0]), small):
            some = x[first : min(first + small, int(x.shape[0])), ...]
            yield some - xp.mean(some, axis=-1, keepdims=True)


def _edges(q: Array) -> Array:
    """Return S1(m) = sum_{t<F-m} q(t) + sum_{t>=m} q(t) for all m, along the last axis."""
    xp = array_namespace(q)
    total = xp.sum(q, axis=-1, keepdims=True)
    head = xp.flip(xp.cumulative_sum(q, axis=-1), axis=-1)  # sum over t < F - m
    tail = total - xp.cumulative_sum(q, axis=-1) + q  # sum over t >= m
    return head + tail


def _counts(like: Array, frames: int) -> Array:
    xp = array_namespace(like)
    return xp.astype(xp.arange(frames, 0, -1, device=getattr(like, "device", None)), xp.float64)


def msd(positions: Array, *, per_axis: bool = False) -> Array:
    """Mean-squared displacement at every lag 0 ... F-1, averaged over ions.

    Parameters
    ----------
    positions
        (F, N, 3) Å, unwrapped.
    per_axis
        Return the three Cartesian parts, (F, 3), instead of their sum.

    Returns
    -------
    array
        (F,) Å², exact to rounding: not an estimate with fewer origins.
    """
    xp = array_namespace(positions)
    frames, particles = positions.shape[0], positions.shape[1]
    n = fast_length(2 * frames)
    power: Array = None
    square: Array = None
    for x in _series(positions):
        f = xp.fft.rfft(x, n=n, axis=-1)
        p = xp.sum(xp.real(f) ** 2 + xp.imag(f) ** 2, axis=0)
        q = xp.sum(x * x, axis=0)
        power = p if power is None else power + p
        square = q if square is None else square + q
    if not per_axis:
        power, square = xp.sum(power, axis=0), xp.sum(square, axis=0)
    correlation = xp.fft.irfft(xp.astype(power, xp.complex128), n=n, axis=-1)[..., :frames]
    result = (_edges(square) - 2.0 * correlation) / (_counts(positions, frames) * particles)
    result = xp.where(result > 0.0, result, xp.zeros_like(result))
    return xp.permute_dims(result, (1, 0)) if per_axis else result


def msd_tensor(positions: Array) -> Array:
    """Full displacement tensor <da db> at every lag, (F, 3, 3) Å²; its trace is `msd`."""
    xp = array_namespace(positions)
    frames, particles = positions.shape[0], positions.shape[1]
    n = fast_length(2 * frames)
    pairs = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]
    power: list[Array] = [None] * 6
    square: list[Array] = [None] * 6
    for x in _series(positions):
        f = xp.fft.rfft(x, n=n, axis=-1)
        re, im = xp.real(f), xp.imag(f)
        for k, (a, b) in enumerate(pairs):
            p = xp.sum(re[:, a, :] * re[:, b, :] + im[:, a, :] * im[:, b, :], axis=0)
            q = xp.sum(x[:, a, :] * x[:, b, :], axis=0)
            power[k] = p if power[k] is None else power[k] + p
            square[k] = q if square[k] is None else square[k] + q
    counts = _counts(positions, frames) * particles
    parts = [
        (_edges(square[k]) - 2.0 * xp.fft.irfft(xp.astype(power[k], xp.complex128), n=n, axis=-1)[..., :frames])
        / counts
        for k in range(6)
    ]
    xx, yy, zz, xy, xz, yz = parts
    rows = [xp.stack([xx, xy, xz], axis=-1), xp.stack([xy, yy, yz], axis=-1), xp.stack([xz, yz, zz], axis=-1)]
    return xp.stack(rows, axis=-2)


def collective_msd(positions: Array, charges: Array, *, normalisation: float) -> Array:
    """Mean-squared displacement of charge, <|sum_i z_i dr_i|^2> / normalisation, at every lag.

    With ``normalisation`` = sum of z² over the mobile ions, its slope over 2d is the charge diffusivity, which equals
    the tracer diffusivity when ions move independently. Take positions in the frame of the framework.
    """
    from ionsieve.transport.kernels.displacement import dipole

    return msd(dipole(positions, charges)) / normalisation


def windowed_moments(positions: Array, lags: Sequence[int], *, stride_per_lag: int = 0) -> tuple[Array, Array]:
    """Mean and variance of the squared displacement over ions and origins.

    Parameters
    ----------
    positions
        (F, N, 3) Å.
    lags
        Lags in frames, each in 1 ... F-1.
    stride_per_lag
        0: every origin. k > 0: every max(1, lag // k)-th origin.

    Returns
    -------
    mean, variance
        (L,) Å² and (L,) Å⁴ (population variance). Memory stays below about 64 MB whatever the length.
    """
    xp = array_namespace(positions)
    x = component_first(positions)
    frames, particles = int(x.shape[1]), int(x.shape[2])
    chunk = max(1, cache_bytes(x) // (3 * 8 * particles))
    means, variances = [], []
    for lag in lags:
        stride = max(1, lag // stride_per_lag) if stride_per_lag else 1
        count, mean, m2 = 0, 0.0, 0.0
        for start in range(0, frames - lag, chunk * stride):
            stop = min(start + chunk * stride, frames - lag)
            d = x[:, start + lag : stop + lag : stride, :] - x[:, start:stop:stride, :]
            sq = squared_norm(d)
            n = int(sq.shape[0]) * particles
            part = float(xp.mean(sq))
            part_m2 = float(xp.sum((sq - part) ** 2))
            delta = part - mean  # Chan's pairwise update
            m2 += part_m2 + delta * delta * count * n / (count + n)
            mean += delta * n / (count + n)
            count += n
        means.append(mean)
        variances.append(m2 / count)
    device = getattr(positions, "device", None)
    return xp.asarray(means, dtype=xp.float64, device=device), xp.asarray(variances, dtype=xp.float64, device=device)


def msd_per_particle_at(positions: Array, lag: int) -> Array:
    """Squared displacement at one lag for every origin and ion, (F - lag, N) Å²."""
    x = component_first(positions)
    return squared_norm(x[:, lag:, :] - x[:, : x.shape[1] - lag, :])


def component_first(positions: Array) -> Array:
    """Return positions as contiguous float64 (3, F, N): sums over components then run along long rows."""
    xp = array_namespace(positions)
    return _contiguous(xp.permute_dims(xp.astype(positions, xp.float64), (2, 0, 1)))


def _contiguous(x: Array) -> Array:
    """Return x in row-major memory: a flattening reshape is the array API's way to say so."""
    xp = array_namespace(x)
    return xp.reshape(xp.reshape(x, (-1,)), x.shape)


def squared_norm(d: Array) -> Array:
    """Sum of squares over the leading axis of length three."""
    sq = d * d
    return sq[0, ...] + sq[1, ...] + sq[2, ...]


def cache_bytes(x: Array) -> int:
    """Working-set size for blocked sums: the processor's cache for arrays on the CPU, memory blocks elsewhere."""
    return 2**18 if "cpu" in str(getattr(x, "device", "cpu")).lower() else _BLOCK_BYTES
