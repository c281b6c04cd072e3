"""Generalised least squares for a line through mean-squared displacements, in closed form.

Equations
    model       MSD(t_k) = c + s t_k,  k = 1 ... L                         c: twice the cage amplitude, s = 2 d D
    covariance  Cov(MSD_i, MSD_j) = W_i t_j / (N T)   for t_i <= t_j
    overlap     W_i = V_i - (1/3) G_i,   G_i = (2 / d) (s t_i)²
                V: variance of one squared displacement, empirical; G: its part from free Gaussian diffusion
    scaled      y_k = MSD_k / t_k = s + c / t_k,   Cov(y_i, y_j) = g_i / (N T),   g_i = W_i / t_i
    so that     y_1, y_2 - y_1, y_3 - y_2, ...   are uncorrelated, with variances g_1, g_2 - g_1, ...  over N T
    solution    weighted least squares on those increments: O(L), no matrix is inverted
Overlap
    N T / t_i counts windows side by side. Overlapping origins know more: for free diffusion the variance of the mean is
    2/3 of that (exact for t << T), while the shot noise of rare jumps, fully correlated between origins, gains nothing.
    Hence a third of the Gaussian part is taken off and the rest of V stays.
Conditioning
    g must grow: it is made monotone (pooled adjacent violators), and every increment is at least that of free
    Gaussian diffusion, (2/3) (2 / d) s² (t_{k+1} - t_k), which no diffusing system can undercut. This replaces the
    eigenvalue clipping of other implementations and is what keeps the claimed errors true when the window starts inside
    the cage regime or holds few jumps.
Symbols
    t lags, ps; T length of the run, ps; N ions; d dimensions; n_i = N T / t_i independent samples
Validity
    Stationary, ions (nearly) independent. V is empirical, so that the shot noise of rare jumps is in it.
Source
    A. R. McCluskey, S. W. Coles, B. J. Morgan, J. Chem. Theory Comput. 2025, 10.1021/acs.jctc.4c01249 (W = V);
    H. Qian, M. P. Sheetz, E. L. Elson, Biophys. J. 1991, 10.1016/S0006-3495(91)82125-7 (overlapping origins).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LineFit", "fit_line", "monotone"]

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class LineFit:
    """Slope (Å²/ps) and intercept (Å²) with their covariance (2, 2), in the order slope, intercept.

    `slope_weights` (L,) 1/ps: the slope is this linear combination of the fitted MSD values. Applied to the parts of
    the displacement tensor it gives slopes whose trace is the fitted slope.
    """

    slope: float
    intercept: float
    covariance: Floats
    chi2: float
    dof: int
    slope_weights: Floats

    @property
    def slope_error(self) -> float:
        """Standard error of the slope, Å²/ps."""
        return float(np.sqrt(self.covariance[0, 0]))


def monotone(values: Floats) -> Floats:
    """Return the closest non-decreasing sequence (least squares, pooled adjacent violators)."""
    sums: list[float] = []
    counts: list[int] = []
    for value in np.asarray(values, dtype=float):
        sums.append(float(value))
        counts.append(1)
        while len(sums) > 1 and sums[-2] * counts[-1] > sums[-1] * counts[-2]:
            total, count = sums.pop(), counts.pop()
            sums[-1] += total
            counts[-1] += count
    return np.repeat([s / c for s, c in zip(sums, counts, strict=True)], counts)


def fit_line(
    lags_ps: Floats,
    msd_A2: Floats,
    variance_A4: Floats,
    *,
    particle_time_ps: float,
    dimensions: int = 3,
    overlap: bool = True,
) -> LineFit:
    """Fit MSD = c + s t with the covariance of overlapping time origins.

    Parameters
    ----------
    lags_ps, msd_A2, variance_A4
        (L,), L >= 2, lags increasing and positive; the variance is that of single squared displacements.
    particle_time_ps
        N T: number of independent particles times length of the whole run (not of the longest lag).
    dimensions
        Axes that the displacement has; sets the Gaussian floor of the variance.
    overlap
        Take off the third of the Gaussian variance that overlapping origins gain. False is the covariance as published.

    Returns
    -------
    LineFit
    """
    time = float(lags_ps[-1])
    height = max(float(np.abs(msd_A2).max()), 1e-12)
    t = np.asarray(lags_ps, dtype=float) / time  # from here on in units of the longest lag and the largest MSD
    m = np.asarray(msd_A2, dtype=float) / height
    v = np.asarray(variance_A4, dtype=float) / height**2
    slope = max(float(m[-1] - m[0]), 0.0) / float(t[-1] - t[0])
    gaussian = 2.0 / dimensions * slope**2 * t  # G / t
    kept = 2.0 / 3.0 if overlap else 1.0
    g = monotone(v / t - gaussian * (1.0 - kept))
    least = 1e-9 * max(float(g[-1]), float(gaussian[-1]), 1e-9)
    increments = np.maximum(np.maximum(np.diff(g), np.diff(gaussian) * kept), least)
    first = max(float(g[0]), float(gaussian[0]) * kept, least)
    weights = particle_time_ps / time / np.concatenate([[first], increments])
    y = m / t
    design = np.stack([np.ones_like(t), 1.0 / t], axis=1)
    a = np.concatenate([design[:1], np.diff(design, axis=0)])
    b = np.concatenate([y[:1], np.diff(y)])
    covariance = np.linalg.inv(a.T @ (weights[:, None] * a))
    hat = covariance @ (a.T * weights)  # (2, L), acts on the increments of y
    solution = hat @ b
    residual = b - a @ solution
    unit = np.asarray([height / time, height])
    return LineFit(
        slope=float(solution[0] * unit[0]),
        intercept=float(solution[1] * unit[1]),
        covariance=covariance * np.outer(unit, unit),
        chi2=float(np.sum(weights * residual**2)),
        dof=len(t) - 2,
        slope_weights=(hat[0] - np.append(hat[0, 1:], 0.0)) / t / time,
    )
