"""All runs of one candidate become one statement at the temperature of use.

Model
    y_jrT = ln D0 - Ea / kT + u_j + v_jT + e_jrT      configuration j, replica r, temperature T
    e     measured: the error of ln D of that run
    v     between-run variance beyond e, from replicas and configurations at one temperature (DerSimonian-Laird)
    u     spread between orderings of the same composition, common to all temperatures of a configuration
Steps
    per T        random-effects mean over runs: variance 1 / sum 1 / (e² + v²); never pooled ions divided by sqrt(n)
    orderings    tau_u² = (nu s_0² + (m - 1) s_m²) / (nu + m - 1), s_0 the assumed spread with nu degrees of freedom,
                 s_m the measured one of m configurations; tau_u² / m is added to the variance of ln D at every T
    line         `fit_arrhenius` over the combined points; a melted or broken run leaves its temperature out, visibly
Source
    R. DerSimonian, N. Laird, Control. Clin. Trials 1986, 10.1016/0197-2456(86)90046-2.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ionsieve.errors import InputError
from ionsieve.records.estimate import Estimate
from ionsieve.records.measurement import CandidateEstimate, Measurement
from ionsieve.transport.arrhenius import ArrheniusResult, fit_arrhenius
from ionsieve.transport.censoring import events_per_diffusivity, log_at_most
from ionsieve.transport.intervals import ln_error, log_normal_estimate
from ionsieve.transport.nernst_einstein import scaled
from ionsieve.transport.phases import find_phase_changes, segments
from ionsieve.transport.settings import TransportSettings
from ionsieve.units import nernst_einstein_S_per_cm
from ionsieve.verdicts import Flag, Outcome, Verdict

__all__ = ["combine", "configuration_variance", "estimate_candidate", "fit_candidate", "random_effects"]

_BAD = (Outcome.MELTED, Outcome.EXPLODED, Outcome.POLYANION_BROKEN)


def random_effects(values: Sequence[float], errors: Sequence[float]) -> tuple[float, float, float]:
    """DerSimonian-Laird mean, its standard error, and the between-run variance."""
    y, s2 = np.asarray(values, dtype=float), np.maximum(np.asarray(errors, dtype=float), 1e-9) ** 2
    w = 1.0 / s2
    mean = float((w @ y) / w.sum())
    between = 0.0
    if len(y) > 1:
        q = float(w @ (y - mean) ** 2)
        denominator = float(w.sum() - (w**2).sum() / w.sum())
        between = max(0.0, (q - (len(y) - 1)) / denominator)
    w = 1.0 / (s2 + between)
    return float((w @ y) / w.sum()), float(1.0 / math.sqrt(w.sum())), between


def combine(estimates: Sequence[Estimate]) -> Estimate:
    """Combine runs at one temperature into one `Estimate` of the same quantity.

    Values win over limits; among limits only, exposures add: n runs without a jump give a limit n times lower.
    """
    key = estimates[0].quantity
    values = [e for e in estimates if e.is_value and e.value and e.low68]
    limits = [e for e in estimates if e.kind is Verdict.UPPER_LIMIT and e.value]
    if values:
        if len(values) == 1 and not limits:
            return values[0]
        mean, error, between = random_effects(
            [math.log(e.value) for e in values if e.value], [ln_error(e) for e in values]
        )
        n_eff = sum(e.n_eff or 0.0 for e in values)
        firm = any(e.kind is Verdict.VALUE for e in values) and not limits
        flags = tuple(
            dict.fromkeys(f for e in values for f in e.flags if f not in (Flag.FEW_HOPS, Flag.SHORT_RUN) or not firm)
        )
        if limits:
            flags = tuple(dict.fromkeys((*flags, Flag.CENSORED_POINTS)))
            mean, error = _with_limits(mean, error, between, limits)
        return log_normal_estimate(
            key,
            mean,
            error,
            kind=Verdict.VALUE if firm else Verdict.INDICATIVE,
            method=f"random effects over {len(values)} runs",
            n_eff=n_eff or None,
            flags=flags,
        )
    if limits:
        from ionsieve.transport.intervals import poisson_limit

        events = sum(e.n_eff or 0.0 for e in limits)
        exposure = sum(poisson_limit(e.n_eff or 0.0) / e.value for e in limits if e.value)  # 1 / (D per jump)
        return Estimate(
            quantity=key,
            kind=Verdict.UPPER_LIMIT,
            value=poisson_limit(events) / exposure,
            method="poisson-95" if len(limits) == 1 else f"poisson-95 over {len(limits)} runs",
            n_eff=events,
            flags=tuple(dict.fromkeys(f for e in limits for f in e.flags)),
            reason=limits[0].reason,
        )
    return Estimate.refused(key, estimates[0].reason or "no run gave a number", flags=estimates[0].flags)


def _with_limits(mean: float, error: float, between: float, limits: Sequence[Estimate]) -> tuple[float, float]:
    """Posterior mean and deviation of ln D after censored runs that scatter by the between-run variance, on a grid."""
    grid = mean + np.linspace(-8.0, 8.0, 1601) * max(error, 0.05)
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    log_p = -0.5 * ((grid - mean) / error) ** 2
    for limit in limits:
        per_D, seen = events_per_diffusivity(limit)
        if between > 0.0:
            own = np.exp(grid[:, None] + math.sqrt(between) * nodes)  # D of that run, given the mean
            log_p = log_p + np.log(np.exp(log_at_most(seen, per_D * own)) @ weights + 1e-300)
        else:
            log_p = log_p + log_at_most(seen, per_D * np.exp(grid))
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    centre = float(p @ grid)
    return centre, math.sqrt(float(p @ (grid - centre) ** 2))


def configuration_variance(
    per_configuration: Sequence[Sequence[tuple[float, float, float]]], settings: TransportSettings
) -> tuple[float, int]:
    """Variance of ln D between orderings, shrunk towards the assumed one, and the number of orderings.

    Parameters
    ----------
    per_configuration
        For every configuration, (temperature_K, ln D, error) of its values.
    """
    used = [runs for runs in per_configuration if runs]
    m = len(used)
    assumed = settings.configuration_spread_ln**2
    if m < 2:
        return assumed, max(m, 1)
    by_temperature: dict[float, list[float]] = defaultdict(list)
    for runs in used:
        for t, y, _ in runs:
            by_temperature[t].append(y)
    centre = {t: float(np.mean(v)) for t, v in by_temperature.items() if len(v) > 1}
    offsets, noise = [], []
    for runs in used:
        mine = [(y - centre[t], s) for t, y, s in runs if t in centre]
        if mine:
            weights = np.asarray([1.0 / max(s, 1e-6) ** 2 for _, s in mine])
            offsets.append(float(weights @ [d for d, _ in mine] / weights.sum()))
            noise.append(1.0 / math.sqrt(float(weights.sum())))
    if len(offsets) < 2:
        return assumed, m
    measured = random_effects(offsets, noise)[2]
    nu, k = settings.configuration_spread_weight, len(offsets) - 1
    return (nu * assumed + k * measured) / (nu + k), m


def estimate_candidate(
    measurements: Sequence[Measurement], *, settings: TransportSettings | None = None
) -> CandidateEstimate:
    """Combine all measurements of one candidate and carry them to the temperature of use; see `fit_candidate`."""
    return fit_candidate(measurements, settings=settings)[0]


def fit_candidate(
    measurements: Sequence[Measurement], *, settings: TransportSettings | None = None
) -> tuple[CandidateEstimate, ArrheniusResult]:
    """Combine all measurements of one candidate and carry them to the temperature of use.

    Parameters
    ----------
    measurements
        Of one candidate; any number of configurations, temperatures and replicas. Failed runs belong in too: a melted
        temperature is listed and left out of the fit.

    Returns
    -------
    estimate, fit
        The record, and the line behind it, which `plots.plot_arrhenius` draws.

    Raises
    ------
    InputError
        When there is none, or they belong to different candidates or ions.
    """
    settings = settings or TransportSettings()
    if not measurements:
        raise InputError("no measurement to fit")
    kinds = {(m.candidate_id, m.mobile_ion, m.mobile_charge) for m in measurements}
    if len(kinds) > 1:
        raise InputError("measurements of different candidates or ions cannot be combined", found=str(sorted(kinds)))
    target = settings.target_temperature_K
    good = [m for m in measurements if m.outcome not in _BAD]
    points, sigma_points, notes = _points(measurements)
    lost = bool(notes)

    changes = find_phase_changes(good, settings)
    stretch = _next_to(target, segments([t for t, _ in points], changes))
    used = [m for m in good if m.temperature_K in stretch]
    flags = [Flag.PHASE_CHANGE] if changes else []
    if changes:
        taken = ", ".join(f"{t:g}" for t in stretch)
        notes.append(f"{'; '.join(c.reason for c in changes)}: no line through both; fitted {taken} K alone")

    per_configuration: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for m in used:
        e = m.tracer_diffusivity
        if e.is_value and e.value and e.low68:
            per_configuration[m.configuration_id].append((m.temperature_K, math.log(e.value), ln_error(e)))
    variance, n_configurations = configuration_variance(list(per_configuration.values()), settings)
    if len(per_configuration) < 2:
        flags.append(Flag.ASSUMED_SPREAD)
    fit = fit_arrhenius(
        [t for t, _ in points if t in stretch],
        [e for t, e in points if t in stretch],
        target_temperature_K=target,
        settings=settings,
        extra_ln_variance=variance / n_configurations,
    )
    noted = tuple(dict.fromkeys([*fit.flags, *flags, *(f for m in good for f in m.flags if f.severity == "serious")]))

    source = used or good or list(measurements)
    volume = float(np.mean([m.volume_A3 / m.n_mobile for m in source]))
    factor = nernst_einstein_S_per_cm(
        1.0, count=1, charge=source[0].mobile_charge, volume_A3=volume, temperature_K=target
    )
    D = fit.diffusivity.model_copy(update={"flags": noted})
    if changes and D.kind is Verdict.VALUE:
        D = D.model_copy(update={"kind": Verdict.INDICATIVE})
    outcome = Outcome.COMPLETED
    if not good:
        outcome = measurements[0].outcome
    elif D.kind is Verdict.REFUSED and lost and not any(e.kind is not Verdict.REFUSED for _, e in points):
        outcome = next(m.outcome for m in measurements if m.outcome in _BAD)
    if fit.diffusivity.reason and (fit.diffusivity.is_value or not notes):
        notes.append(fit.diffusivity.reason)
    if D.kind is Verdict.UPPER_LIMIT and not notes:
        notes.append(f"only upper limits: {_jumps(good)}")
    if D.is_value:
        D = D.model_copy(update={"reason": "; ".join(notes)})
    estimate = CandidateEstimate(
        candidate_id=measurements[0].candidate_id,
        mobile_ion=measurements[0].mobile_ion,
        n_configurations=len({m.configuration_id for m in measurements}),
        n_runs=len(measurements),
        target_temperature_K=target,
        activation_energy=fit.activation_energy,
        conductivity=scaled(D, factor, "conductivity"),
        tracer_diffusivity=D,
        ln_sigma_mean=fit.ln_D_mean + math.log(factor) if fit.ln_D_mean is not None else None,
        ln_sigma_std=fit.ln_D_std,
        arrhenius=fit.fit,
        points=tuple(points),
        conductivity_points=tuple(sigma_points),
        inverse_haven_ratio=_haven([m for m in good if m.inverse_haven_ratio.is_value]),
        total_length_ps=float(sum(m.length_ps for m in measurements)),
        outcome=outcome,
        reason="; ".join(notes),
        flags=noted,
        settings=settings.model_dump(mode="json"),
    )
    return estimate, fit


def _jumps(measurements: Sequence[Measurement]) -> str:
    """Return how often ions jumped at each temperature: no jump and too few of them are different findings."""
    temperatures = sorted({m.temperature_K for m in measurements})
    counted = all(m.hops is not None for m in measurements)
    hops = {t: sum(m.hops or 0 for m in measurements if m.temperature_K == t) for t in temperatures}
    if counted and not any(hops.values()):
        return f"no jump was seen at {', '.join(f'{t:g}' for t in temperatures)} K"
    if not counted:
        return f"too few jumps at {', '.join(f'{t:g}' for t in temperatures)} K"
    return f"too few jumps for a value, forth and back: {', '.join(f'{hops[t]} at {t:g} K' for t in temperatures)}"


_Points = list[tuple[float, Estimate]]


def _points(measurements: Sequence[Measurement]) -> tuple[_Points, _Points, list[str]]:
    """Combine the runs of each temperature: tracer diffusivities, conductivities, and what was lost in words."""
    by_temperature: dict[float, list[Measurement]] = defaultdict(list)
    for m in measurements:
        by_temperature[m.temperature_K].append(m)
    points: _Points = []
    sigma_points: _Points = []
    lost: list[str] = []
    for t in sorted(by_temperature):
        runs = by_temperature[t]
        bad = [m for m in runs if m.outcome in _BAD]
        if bad:
            lost.append(f"{t:g} K: {bad[0].outcome.value} ({len(bad)} of {len(runs)} runs)")
        if 2 * len(bad) >= len(runs):
            why = bad[0].reason or bad[0].outcome.sentence
            points.append((t, Estimate.refused("tracer_diffusivity", why)))
            sigma_points.append((t, Estimate.refused("conductivity", why)))
            continue
        usable = [m for m in runs if m.outcome not in _BAD]
        points.append((t, combine([m.tracer_diffusivity for m in usable])))
        sigma_points.append((t, combine([m.conductivity for m in usable])))
    return points, sigma_points, lost


def _next_to(target_K: float, stretches: Sequence[Sequence[float]]) -> Sequence[float]:
    """Return the stretch of temperatures whose nearest one, in 1/T, is nearest to the target."""
    return min(stretches, key=lambda s: min(abs(1.0 / t - 1.0 / target_K) for t in s))


def _haven(runs: Sequence[Measurement]) -> Estimate | None:
    """Mean of 1/H over runs, averaged before any inversion."""
    if not runs:
        return None
    estimates = [m.inverse_haven_ratio for m in runs]
    if len(estimates) == 1:
        return estimates[0]
    errors = [ln_error(e) for e in estimates]
    values = np.asarray([e.value for e in estimates if e.value is not None])
    weights = 1.0 / np.asarray(errors) ** 2  # equal relative errors weigh equally: no pull towards small values
    mean = float(weights @ values / weights.sum())
    relative = 1.0 / math.sqrt(float(weights.sum()))
    return log_normal_estimate(
        "inverse_haven_ratio",
        math.log(mean),
        relative,
        kind=Verdict.VALUE if relative < 0.5 else Verdict.INDICATIVE,
        method=f"mean over {len(estimates)} runs",
    )
