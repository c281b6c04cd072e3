"""Arrhenius fit with the whole covariance carried to any temperature.

Equations
    line        ln D = ln D0 - Ea / kT                  convention: ln D against 1/T, equally ln(sigma T); an impedance
                                                        Ea from ln sigma against 1/T is about kT smaller
    likelihood  values: (y_i - mu_i) ~ N(0, s_i² + u²);  upper limits: P(at most n_i events | D(T_i)), `censoring`
    prior       Ea ~ N(assumed, its spread²), only where the temperatures resolve the slope less well than that
    covariance  inverse Hessian; multiplied by max(1, chi² / dof) when there are dof
    carried     ln D(T) = x^T p, Var = x^T C x, x = (1, -1/kT)
                slope and intercept are strongly correlated: without their covariance the interval is far too wide
    sigma       N z² e² D / (V k T)
Bound
    A fitted Ea below `lowest_Ea_eV` is that of no known crystal: Ea is refused, and D beyond the measured temperatures
    is carried from the nearest value with the prior Ea, indicative, with the reason.
Quantiles
    Normal with the absolute covariance; Student's t with n - 2 degrees of freedom when chi² / dof > 1 rescaled it.
Source
    X. He et al., npj Comput. Mater. 2018, 10.1038/s41524-018-0074-y (weights s = RSD;
    their extrapolation lacks the covariance). S. Hull, Rep. Prog. Phys. 2004, 10.1088/0034-4885/67/7/R05 (the bound).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import stdtrit

from ionsieve.errors import InputError
from ionsieve.records.estimate import Estimate
from ionsieve.records.measurement import ArrheniusFit
from ionsieve.transport.censoring import events_per_diffusivity, hazard, log_at_most
from ionsieve.transport.intervals import P68, P95, ln_error, log_normal_estimate
from ionsieve.transport.settings import TransportSettings
from ionsieve.units import BOLTZMANN_EV_PER_K
from ionsieve.verdicts import Flag, Verdict

__all__ = ["ArrheniusResult", "fit_arrhenius", "fit_line_censored"]

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ArrheniusResult:
    """The fit and what it says at the target temperature.

    Attributes
    ----------
    fit
        Parameters and covariance; None when nothing could be fitted.
    activation_energy, diffusivity
        `Estimate`s, eV and cm²/s at `target_temperature_K`.
    flags
        TWO_TEMPERATURES, NARROW_SPAN, CURVED, CENSORED_POINTS, EXTRAPOLATED, ASSUMED_EA, IMPLAUSIBLE_EA,
        HIGH_TEMPERATURE_ONLY.
    curvature_sigmas
        Quadratic term in units of its error, where four or more values are there.
    temperatures_K
        Of the values and limits that were fitted.
    """

    fit: ArrheniusFit | None
    activation_energy: Estimate
    diffusivity: Estimate
    target_temperature_K: float
    flags: tuple[Flag, ...]
    ln_D_mean: float | None = None
    ln_D_std: float | None = None
    quantiles: tuple[float, float] = (1.0, 1.959963984540054)
    curvature_sigmas: float | None = None
    extra_ln_variance: float = 0.0
    temperatures_K: tuple[float, ...] = ()

    def ln_diffusivity(self, temperature_K: float) -> tuple[float, float]:
        """Return mean and standard deviation of ln(D / (cm²/s)) at a temperature."""
        if self.fit is None:
            raise InputError("nothing was fitted", cause=self.activation_energy.reason)
        x = np.asarray([1.0, -1.0 / (BOLTZMANN_EV_PER_K * temperature_K)])
        variance = float(x @ np.asarray(self.fit.covariance) @ x) + self.extra_ln_variance
        return float(x @ [self.fit.ln_D0, self.fit.Ea_eV]), math.sqrt(max(variance, 0.0))

    def diffusivity_at(self, temperature_K: float) -> Estimate:
        """Return D at any temperature, with log-normal intervals."""
        mean, std = self.ln_diffusivity(temperature_K)
        return log_normal_estimate(
            "tracer_diffusivity",
            mean,
            std,
            kind=self.diffusivity.kind,
            method="arrhenius",
            flags=self.flags,
            z68=self.quantiles[0],
            z95=self.quantiles[1],
        )


def fit_line_censored(
    temperatures_K: Floats,
    ln_D: Floats,
    covariance: Floats,
    limits: Sequence[tuple[float, Estimate]] = (),
    *,
    prior: tuple[float, float] | None = None,
) -> tuple[Floats, Floats, float]:
    """Maximum-likelihood (ln D0, Ea) from values with a full covariance and from upper limits.

    Parameters
    ----------
    temperatures_K, ln_D, covariance
        (n,), (n,), (n, n) of the values; at two different temperatures, or at one with a `prior`.
    limits
        (temperature_K, upper limit of D); see `ionsieve.transport.censoring`.
    prior
        Mean and standard deviation of Ea, eV: another measurement of the slope.

    Returns
    -------
    parameters (2,), covariance (2, 2), chi2 of the values
    """
    beta = 1.0 / (BOLTZMANN_EV_PER_K * np.asarray(temperatures_K, dtype=float))
    design = np.stack([np.ones_like(beta), -beta], axis=1)
    y = np.asarray(ln_D, dtype=float)
    inverse = np.linalg.inv(np.asarray(covariance, dtype=float))
    known = np.zeros((2, 2))
    towards = np.zeros(2)
    if prior is not None:
        known[1, 1], towards[1] = 1.0 / prior[1] ** 2, prior[0] / prior[1] ** 2
    normal = design.T @ inverse @ design + known
    start = np.linalg.solve(normal, design.T @ inverse @ y + towards)
    if limits:
        x = np.asarray([[1.0, -1.0 / (BOLTZMANN_EV_PER_K * t)] for t, _ in limits])
        per_D, seen = np.asarray([events_per_diffusivity(e) for _, e in limits]).T
        scale = np.sqrt(np.diag(np.linalg.inv(normal)))

        def expected(p: Floats) -> Floats:
            return np.asarray(per_D * np.exp(np.clip(x @ p, -700.0, 600.0)))

        def loss(q: Floats) -> tuple[float, Floats]:
            d = q * scale  # the values' own quadratic form about their optimum, and the limits
            rate = expected(start + d)
            gradient = normal @ d + x.T @ hazard(seen, rate)
            return float(0.5 * d @ normal @ d - log_at_most(seen, rate).sum()), gradient * scale

        found = minimize(loss, np.zeros(2), jac=True, method="BFGS", options={"gtol": 1e-8})
        solution = start + found.x * scale
        rate = expected(solution)
        h = hazard(seen, rate)
        normal = normal + (x.T * (h * (seen + 1.0 - rate + h))) @ x
    else:
        solution = start
    residual = y - design @ solution
    return solution, np.asarray(np.linalg.inv(normal)), float(residual @ inverse @ residual)


def _student(probability: float, dof: float) -> float:
    return float(stdtrit(dof, 0.5 * (1.0 + probability)))


def _curvature(temperatures: Floats, y: Floats, covariance: Floats) -> float | None:
    """Quadratic term of ln D in 1/T over its error, signed; None below four distinct temperatures."""
    if len(np.unique(temperatures)) < 4:
        return None
    x = 1000.0 / temperatures
    x = x - x.mean()
    design = np.stack([np.ones_like(x), x, x**2], axis=1)
    inverse = np.linalg.inv(covariance)
    c = np.linalg.inv(design.T @ inverse @ design)
    p = c @ (design.T @ inverse @ y)
    chi2 = float((y - design @ p) @ inverse @ (y - design @ p))
    dof = len(y) - 3
    scale = max(1.0, chi2 / dof) if dof > 0 else 1.0
    return float(p[2] / math.sqrt(c[2, 2] * scale))


def fit_arrhenius(
    temperatures_K: Sequence[float],
    estimates: Sequence[Estimate],
    *,
    target_temperature_K: float = 300.0,
    settings: TransportSettings | None = None,
    covariance_ln: NDArray[np.float64] | None = None,
    extra_ln_variance: float = 0.0,
) -> ArrheniusResult:
    """Fit D(T) and carry it to the temperature of use.

    Parameters
    ----------
    temperatures_K, estimates
        One tracer diffusivity per temperature or run: values and indicative values are fitted, upper limits enter as
        censored points, refused ones are left out.
    covariance_ln
        (n, n) covariance of ln D of the values, in their order; default diagonal from their intervals.
    extra_ln_variance
        Variance of ln D common to all temperatures and not in the covariance (spread between orderings).

    Returns
    -------
    ArrheniusResult
        With one temperature, or a slope less certain than the prior of the settings, that prior joins (flag
        ASSUMED_EA); a fitted Ea below `lowest_Ea_eV` is refused (IMPLAUSIBLE_EA); with only upper limits, D at the
        target is an upper limit carried with the lowest plausible Ea; with neither, everything is refused.
    """
    settings = settings or TransportSettings()
    if len(temperatures_K) != len(estimates):
        raise InputError("one temperature per estimate is needed", found=f"{len(temperatures_K)} and {len(estimates)}")
    pairs = list(zip((float(t) for t in temperatures_K), estimates, strict=True))
    values = [(t, e) for t, e in pairs if e.is_value and e.value and e.low68]
    limits = [(t, e) for t, e in pairs if e.kind is Verdict.UPPER_LIMIT and e.value]
    flags: list[Flag] = [Flag.CENSORED_POINTS] if limits else []
    if not values:
        return _without_values(pairs, limits, target_temperature_K, settings, flags)
    temperatures = np.asarray([t for t, _ in values])
    y = np.asarray([math.log(e.value) for _, e in values if e.value])
    c = (
        np.diag([max(ln_error(e), 1e-6) ** 2 for _, e in values])
        if covariance_ln is None
        else np.asarray(covariance_ln)
    )
    distinct = np.unique(temperatures)
    span = float(1.0 / distinct.min() - 1.0 / distinct.max())
    outside = not distinct.min() - 1e-6 <= target_temperature_K <= distinct.max() + 1e-6
    if outside:
        flags.append(Flag.EXTRAPOLATED)
    if distinct.min() > 1.9 * target_temperature_K:
        flags.append(Flag.HIGH_TEMPERATURE_ONLY)
    if len(distinct) < settings.min_temperatures:
        flags.append(Flag.TWO_TEMPERATURES)
    if len(distinct) > 1 and span < settings.min_inverse_span_per_K:
        flags.append(Flag.NARROW_SPAN)

    family = (settings.assumed_Ea_eV, settings.assumed_Ea_std_eV)
    prior = family if len(distinct) < 2 else None
    p, covariance, chi2 = fit_line_censored(temperatures, y, c, limits, prior=prior)
    if prior is None and covariance[1, 1] > family[1] ** 2:
        prior = family  # more data never make a statement vaguer than one temperature's
        p, covariance, chi2 = fit_line_censored(temperatures, y, c, limits, prior=prior)
    if prior is not None:
        flags.append(Flag.ASSUMED_EA)
    dof = len(y) - 2
    scale = chi2 / dof if dof > 0 else 0.0
    rescaled = scale > 1.0 and prior is None
    if rescaled:
        covariance = covariance * scale
    reason = ""
    if len(distinct) > 1 and p[1] < settings.lowest_Ea_eV:
        reason = (
            f"the fitted activation energy, {p[1]:.3f} +- {math.sqrt(covariance[1, 1]):.3f} eV, is below "
            f"{settings.lowest_Ea_eV:g} eV, the lowest of any known crystal: these points are not one hopping law"
        )
        flags.append(Flag.IMPLAUSIBLE_EA)
        if outside:
            nearest = distinct[int(np.abs(1.0 / distinct - 1.0 / target_temperature_K).argmin())]
            keep = temperatures == nearest
            p, covariance, _ = fit_line_censored(
                temperatures[keep], y[keep], c[np.ix_(keep, keep)], limits, prior=family
            )
            flags.append(Flag.ASSUMED_EA)
            reason += f"; carried from {nearest:g} K with the family's {family[0]:g} +- {family[1]:g} eV instead"
            rescaled = False
    curvature = _curvature(temperatures, y, c)
    if curvature is not None and abs(curvature) > settings.curvature_sigmas:
        flags.append(Flag.CURVED)
    z68, z95 = (_student(P68, dof), _student(P95, dof)) if rescaled else (1.0, 1.959963984540054)
    leave = None
    if len(distinct) > 2:
        slopes = []
        for t in distinct:
            keep = temperatures != t
            slopes.append(fit_line_censored(temperatures[keep], y[keep], c[np.ix_(keep, keep)], limits)[0][1])
        leave = (float(min(slopes)), float(max(slopes)))
    fit = ArrheniusFit(
        ln_D0=float(p[0]),
        Ea_eV=float(p[1]),
        covariance=(
            (float(covariance[0, 0]), float(covariance[0, 1])),
            (float(covariance[1, 0]), float(covariance[1, 1])),
        ),
        n_points=len(y),
        n_censored=len(limits),
        chi2_per_dof=scale if dof > 0 else None,
        leave_one_out_Ea_eV=leave,
    )
    found = _result(fit, target_temperature_K, flags, (z68, z95), curvature, extra_ln_variance, values, reason)
    return replace(found, temperatures_K=tuple(t for t, _ in (*values, *limits)))


def _kind(values: Sequence[tuple[float, Estimate]], flags: Sequence[Flag]) -> Verdict:
    firm = all(e.kind is Verdict.VALUE for _, e in values)
    weak = {Flag.TWO_TEMPERATURES, Flag.NARROW_SPAN, Flag.ASSUMED_EA, Flag.CURVED, Flag.IMPLAUSIBLE_EA}
    return Verdict.VALUE if firm and not weak & set(flags) else Verdict.INDICATIVE


def _result(
    fit: ArrheniusFit,
    target_K: float,
    flags: list[Flag],
    quantiles: tuple[float, float],
    curvature: float | None,
    extra: float,
    values: Sequence[tuple[float, Estimate]],
    reason: str,
) -> ArrheniusResult:
    kind = _kind(values, flags)
    noted = tuple(dict.fromkeys(flags))
    z68, z95 = quantiles
    if reason:
        Ea = Estimate.refused("activation_energy", reason, flags=noted)
    else:
        error = math.sqrt(fit.covariance[1][1])
        Ea = Estimate(
            quantity="activation_energy",
            kind=kind,
            value=fit.Ea_eV,
            low68=fit.Ea_eV - z68 * error,
            high68=fit.Ea_eV + z68 * error,
            low95=fit.Ea_eV - z95 * error,
            high95=fit.Ea_eV + z95 * error,
            method="prior" if Flag.ASSUMED_EA in flags else "arrhenius",
            flags=noted,
        )
    x = np.asarray([1.0, -1.0 / (BOLTZMANN_EV_PER_K * target_K)])
    mean = float(x @ [fit.ln_D0, fit.Ea_eV])
    std = math.sqrt(max(float(x @ np.asarray(fit.covariance) @ x), 0.0) + extra)
    D = log_normal_estimate(
        "tracer_diffusivity", mean, std, kind=kind, method="arrhenius", flags=noted, z68=z68, z95=z95
    ).model_copy(update={"reason": reason})
    return ArrheniusResult(fit, Ea, D, target_K, noted, mean, std * z68, quantiles, curvature, extra)


def _without_values(
    pairs: Sequence[tuple[float, Estimate]],
    limits: Sequence[tuple[float, Estimate]],
    target_K: float,
    settings: TransportSettings,
    flags: list[Flag],
) -> ArrheniusResult:
    """Only upper limits: carried down with the lowest plausible activation energy, or refused."""
    if not limits:
        reasons = sorted({e.reason for _, e in pairs if e.reason})
        why = "no run gave a diffusivity" + (f": {reasons[0]}" if reasons else "")
        refused = Estimate.refused("activation_energy", why)
        return ArrheniusResult(
            None, refused, Estimate.refused("tracer_diffusivity", why), target_K, tuple(flags), None, None
        )
    usable = [(t, math.log(e.value)) for t, e in limits if t >= target_K - 1e-6 and e.value]
    noted = tuple(dict.fromkeys([*flags, Flag.EXTRAPOLATED]))
    Ea = Estimate.refused("activation_energy", "only upper limits were measured", flags=noted)
    if not usable:
        why = "the only upper limits lie below the temperature of use"
        return ArrheniusResult(
            None, Ea, Estimate.refused("tracer_diffusivity", why, flags=noted), target_K, noted, None, None
        )
    carried = [limit - settings.lowest_Ea_eV / BOLTZMANN_EV_PER_K * (1.0 / target_K - 1.0 / t) for t, limit in usable]
    D = Estimate(
        quantity="tracer_diffusivity",
        kind=Verdict.UPPER_LIMIT,
        value=math.exp(min(carried)),
        method=f"upper limit carried with Ea >= {settings.lowest_Ea_eV:g} eV",
        flags=noted,
    )
    return ArrheniusResult(None, Ea, D, target_K, noted, None, None)
