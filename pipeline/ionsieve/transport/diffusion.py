"""From displacements to a diffusivity with an error bar that is true.

Steps: all-origin MSD (`kernels.msd`), fit window (`window`), variances in the window, generalised least squares
(`gls`), guards from time blocks and from ions (`guards`), log-log slope. The gate by the number of jumps and the
verdict are in `judge`. D = s / 2d for d axes; 1 Å²/ps = 1e-4 cm²/s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ionsieve.records.estimate import Estimate
from ionsieve.transport.gls import LineFit, fit_line
from ionsieve.transport.guards import block_errors
from ionsieve.transport.intervals import poisson_limit, rate_estimate
from ionsieve.transport.kernels.msd import msd, windowed_moments
from ionsieve.transport.settings import TransportSettings
from ionsieve.transport.window import FitWindow, choose_window
from ionsieve.units import CM2_PER_S_FROM_A2_PER_PS
from ionsieve.verdicts import Flag, Verdict

__all__ = ["Diffusivity", "diffusivity", "diffusivity_in_window", "judge", "log_log_slope"]

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Diffusivity:
    """Slope of an MSD as a diffusivity, before any verdict.

    Attributes
    ----------
    value, error
        cm²/s; `error` is the GLS error, or the largest guard where that exceeds it by more than the settings allow.
        Both are None when there is no window (`reason` says why).
    gls_error, block_error, ion_error
        cm²/s; the last two are zero when they could not be computed.
    beta, beta_error
        Log-log slope in the window: 1 for diffusion, below for back-and-forth motion.
    n_eff
        Effective number of jumps in the whole run: 2 d D N T / a².
    lags_ps, msd_A2
        (F,): the whole curve.
    """

    lags_ps: Floats
    msd_A2: Floats
    n_ions: int
    length_ps: float
    jump_length_A: float
    dimensions: int = 3
    value: float | None = None
    error: float | None = None
    gls_error: float = 0.0
    block_error: float = 0.0
    ion_error: float = 0.0
    beta: float | None = None
    beta_error: float | None = None
    n_eff: float = 0.0
    window: FitWindow | None = None
    window_ps: tuple[float, float] | None = None
    fit: LineFit | None = None
    flags: tuple[Flag, ...] = ()
    reason: str = ""
    msd_error_A2: Floats = field(default_factory=lambda: np.zeros(0))


def log_log_slope(
    lags_ps: Floats, msd_A2: Floats, variance_A4: Floats, particle_time_ps: float, dimensions: int
) -> tuple[float, float] | None:
    """Return beta of MSD = c + b t^beta and its standard error, from the slopes of the two halves of the window.

    beta = 1 + ln(s_late / s_early) / ln(t_late / t_early); the cage offset c cancels. None when a half has no growth.
    """
    if len(lags_ps) < 6:
        return None
    middle = int(np.searchsorted(lags_ps, math.sqrt(lags_ps[0] * lags_ps[-1])))
    middle = min(max(middle, 2), len(lags_ps) - 3)
    halves = []
    for part in (slice(0, middle + 1), slice(middle, None)):
        t, m, v = lags_ps[part], msd_A2[part], variance_A4[part]
        slope = float((m[-1] - m[0]) / (t[-1] - t[0]))
        if slope <= 0.0:
            return None
        gap = float(t[-1] - t[0])
        noise = float(v[-1] * t[-1] + v[0] * t[0] - 2.0 * v[0] * t[-1])  # Var(m_last - m_first) N T, see `gls`
        noise = max(noise, 2.0 / dimensions * (slope * gap) ** 2 * gap)
        halves.append((slope, math.sqrt(noise / particle_time_ps) / gap, math.sqrt(float(t[0] * t[-1]))))
    (early, early_error, t_early), (late, late_error, t_late) = halves
    spread = math.log(t_late / t_early)
    beta = 1.0 + math.log(late / early) / spread
    return beta, math.hypot(early_error / early, late_error / late) / spread


def diffusivity_in_window(
    positions: Any,
    lags: NDArray[np.int64],
    dt_ps: float,
    *,
    curve_A2: Floats,
    settings: TransportSettings,
    dimensions: int = 3,
    normalisation: float = 1.0,
) -> tuple[LineFit, Floats, float, float]:
    """Fit the MSD at given lags.

    Returns
    -------
    fit, variance, block_error, ion_error
        `LineFit` in Å²/ps and Å²; variances (L,) Å⁴; errors of the slope in Å²/ps.
    """
    _, variance = windowed_moments(positions, [int(k) for k in lags], stride_per_lag=settings.origin_stride_per_lag)
    variance = np.asarray(variance, dtype=float) / normalisation**2
    ions, frames = int(positions.shape[1]), int(positions.shape[0])
    t = lags * dt_ps
    fit = fit_line(t, curve_A2[lags], variance, particle_time_ps=ions * (frames - 1) * dt_ps, dimensions=dimensions)
    by_block, by_ion = block_errors(positions, int(lags[0]), n_blocks=settings.n_blocks)
    return fit, variance, by_block / normalisation / float(t[0]), by_ion / normalisation / float(t[0])


def diffusivity(
    positions: Any,
    dt_ps: float,
    *,
    jump_length_A: float,
    settings: TransportSettings,
    window: FitWindow | None = None,
    dimensions: int = 3,
    normalisation: float = 1.0,
    n_ions: int | None = None,
) -> Diffusivity:
    """Return the diffusivity of the given particles, with its error.

    Parameters
    ----------
    positions
        (F, N, 3) Å: the mobile ions in the frame of the framework, or (F, 1, 3) e Å: their dipole.
    window
        Take this window instead of choosing one (the charge diffusivity uses the tracer's).
    dimensions
        Axes along which the particles can move; the other components must be zero.
    normalisation
        Divides the MSD; sum of z² for a dipole.
    n_ions
        Number of mobile ions for the count of jumps; N when not given.
    """
    frames, particles = int(positions.shape[0]), int(positions.shape[1])
    ions = particles if n_ions is None else n_ions
    length = (frames - 1) * dt_ps
    lags_ps = np.arange(frames) * dt_ps
    curve = np.asarray(msd(positions), dtype=float) / normalisation if frames > 1 else np.zeros(frames)
    blank = Diffusivity(
        lags_ps=lags_ps, msd_A2=curve, n_ions=ions, length_ps=length, jump_length_A=jump_length_A, dimensions=dimensions
    )
    window = window or choose_window(curve, dt_ps, jump_length_A, settings)
    if window is None:
        return _with(
            blank, reason=f"{frames} frames over {length:.3g} ps hold no window to fit", flags=(Flag.SHORT_RUN,)
        )
    fit, variance, by_block, by_ion = diffusivity_in_window(
        positions,
        window.lags,
        dt_ps,
        curve_A2=curve,
        settings=settings,
        dimensions=dimensions,
        normalisation=normalisation,
    )
    unit = CM2_PER_S_FROM_A2_PER_PS / (2 * dimensions)
    flags: list[Flag] = []
    error = fit.slope_error
    if max(by_block, by_ion) > settings.disagreement_factor * error:
        error = max(by_block, by_ion)
        flags.append(Flag.ESTIMATORS_DISAGREE)
    t = window.lags * dt_ps
    local = log_log_slope(t, curve[window.lags], variance, particles * length, dimensions)
    if local and local[0] + local[1] < settings.beta_low:
        flags.append(Flag.SUBDIFFUSIVE)
    if window.gain_A2 < settings.window_start_gain * jump_length_A**2:
        flags.append(Flag.SHORT_RUN)
    slope = max(fit.slope, 0.0)
    return _with(
        blank,
        value=slope * unit,
        error=error * unit,
        gls_error=fit.slope_error * unit,
        block_error=by_block * unit,
        ion_error=by_ion * unit,
        beta=local[0] if local else None,
        beta_error=local[1] if local else None,
        n_eff=slope * ions * length / jump_length_A**2,
        window=window,
        window_ps=window.bounds_ps(dt_ps),
        fit=fit,
        flags=tuple(flags),
        msd_error_A2=np.sqrt(variance * t / (particles * length)),
    )


def _with(base: Diffusivity, **changes: Any) -> Diffusivity:
    from dataclasses import replace

    return replace(base, **changes)


def judge(result: Diffusivity, *, hops: int | None, settings: TransportSettings) -> Estimate:
    """Turn a tracer diffusivity into the statement that its number of jumps supports.

    Parameters
    ----------
    hops
        Jumps counted between sites, when sites are known. The gate uses the smaller of this and `n_eff` (back-jumps
        inflate the one, rattling the other); the upper limit uses the larger.

    Returns
    -------
    Estimate
        ``value``; ``indicative`` (few jumps, or too little growth of the MSD); ``upper_limit``: 95 % Poisson
        limit of the jumps seen, a² n95 / (2 d N T); ``refused``: sub-diffusive beyond doubt, or too short for anything.
    """
    key = "tracer_diffusivity"
    if result.length_ps <= 0.0 or result.n_ions == 0:
        return Estimate.refused(key, result.reason or "no mobile ion or a single frame", flags=(Flag.SHORT_RUN,))
    events = result.n_eff if hops is None else min(result.n_eff, float(hops))
    if result.value is None or result.error is None or events < settings.upper_limit_below_n_eff:
        seen = max(result.n_eff, float(hops or 0))
        per_event = result.jump_length_A**2 / (2 * result.dimensions * result.n_ions * result.length_ps)
        limit = poisson_limit(seen) * per_event * CM2_PER_S_FROM_A2_PER_PS
        first = Flag.NO_HOPS if seen < 0.5 else Flag.FEW_HOPS
        return Estimate(
            quantity=key,
            kind=Verdict.UPPER_LIMIT,
            value=limit,
            method="poisson-95",
            n_eff=seen,
            flags=_unique((first, *(f for f in result.flags if f is Flag.SHORT_RUN))),
            reason=result.reason
            or f"{events:.1f} effective jumps seen; a value needs at least {settings.upper_limit_below_n_eff:g}",
        )
    if (
        result.beta is not None
        and result.beta_error is not None
        and result.beta + 2.0 * result.beta_error < settings.beta_refused
    ):
        return Estimate.refused(
            key,
            f"sub-diffusive: the MSD grows as t^{result.beta:.2f} (+- {result.beta_error:.2f}) in the fit window",
            flags=_unique((Flag.SUBDIFFUSIVE, *result.flags)),
            method="gls",
        )
    flags = list(result.flags)
    indicative = events < settings.indicative_below_n_eff or Flag.SHORT_RUN in flags
    error = result.error
    if events < settings.indicative_below_n_eff:
        flags.append(Flag.FEW_HOPS)
        error = max(error, result.value / math.sqrt(max(events, 1.0)))  # no estimator beats counting the jumps
    return rate_estimate(
        key,
        result.value,
        error,
        kind=Verdict.INDICATIVE if indicative else Verdict.VALUE,
        method="gls" if result.error == result.gls_error else "gls, error from blocks",
        n_eff=result.n_eff,
        flags=_unique(tuple(flags)),
    )


def _unique(flags: tuple[Flag, ...]) -> tuple[Flag, ...]:
    return tuple(dict.fromkeys(flags))
