"""All runs of one candidate become one statement at the temperature of use.

Model
    y_jrT = ln D0 - Ea / kT + u_j + v_jT + e_jrT      configuration j, replica r, temperature T
    e     measured: the error of ln D of that run
    v     between-run variance beyond e, from replicas and configurations at one temperature; see `between`
    u     spread between orderings of the same composition, common to all temperatures of a configuration
Steps
    per T        random-effects mean over runs: variance 1 / sum 1 / (e² + v²); never pooled ions divided by sqrt(n);
                 upper limits beside values are censored members with the same v (at least the assumed spread when the
                 runs are of several orderings): a value and a limit that contradict each other give a wide interval
    orderings    tau_u² = (nu s_0² + (m - 1) s_m²) / (nu + m - 1), s_0 the assumed spread with nu degrees of freedom,
                 s_m the measured one of m configurations, those with limits only among them when that raises tau_u;
                 tau_u² / (those with values) is added to the variance of ln D at every T
    line         `fit_arrhenius` over the combined points; a melted or broken run leaves its temperature out, visibly
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
from ionsieve.transport.between import Censored, between_variance, posterior, random_effects
from ionsieve.transport.intervals import ln_error, log_normal_estimate
from ionsieve.transport.nernst_einstein import scaled
from ionsieve.transport.phases import find_phase_changes, segments
from ionsieve.transport.settings import TransportSettings
from ionsieve.units import nernst_einstein_S_per_cm
from ionsieve.verdicts import BROKEN, Flag, Outcome, Verdict

__all__ = ["combine", "configuration_variance", "estimate_candidate", "fit_candidate", "random_effects"]


def combine(estimates: Sequence[Estimate], *, apart_at_least: float = 0.0) -> Estimate:
    """Combine runs at one temperature into one `Estimate` of the same quantity.

    Values and limits together: the variance between runs is estimated from both, so that a limit which contradicts
    the values widens them. Among limits only, exposures add: n runs without a jump give a limit n times lower.

    Parameters
    ----------
    apart_at_least
        Variance of ln D by which limits differ from values at least, when the runs are of several orderings. Values
        do not need it: their spread is added to the line.
    """
    key = estimates[0].quantity
    values = [e for e in estimates if e.is_value and e.value and e.low68]
    limits = [e for e in estimates if e.kind is Verdict.UPPER_LIMIT and e.value]
    if values:
        if len(values) == 1 and not limits:
            return values[0]
        y, s = [math.log(e.value) for e in values if e.value], [ln_error(e) for e in values]
        mean, error, _ = random_effects(y, s)
        n_eff = sum(e.n_eff or 0.0 for e in values)
        firm = any(e.kind is Verdict.VALUE for e in values) and not limits
        flags = tuple(
            dict.fromkeys(f for e in values for f in e.flags if f not in (Flag.FEW_HOPS, Flag.SHORT_RUN) or not firm)
        )
        if limits:
            flags = tuple(dict.fromkeys((*flags, Flag.CENSORED_POINTS)))
            censored = [Censored([(e, 0.0)]) for e in limits]
            between = between_variance(y, s, censored)
            mean, error = posterior(y, s, censored, between, limits_at_least=apart_at_least)
        return log_normal_estimate(
            key,
            mean,
            error,
            kind=Verdict.VALUE if firm else Verdict.INDICATIVE,
            method=f"random effects over {len(values) + len(limits)} runs",
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


def configuration_variance(
    per_configuration: Sequence[Sequence[tuple[float, float, float]]],
    settings: TransportSettings,
    *,
    limits: Sequence[Sequence[tuple[float, Estimate]]] = (),
) -> tuple[float, int]:
    """Variance of ln D between orderings, shrunk towards the assumed one, and the number of orderings with values.

    Parameters
    ----------
    per_configuration
        For every configuration, (temperature_K, ln D, error) of its values.
    limits
        For every configuration without a value, (temperature_K, upper limit). Where others have values there, limits
        below them widen the spread; limits that say nothing leave it.
    """
    used = [runs for runs in per_configuration if runs]
    m = len(used)
    assumed = settings.configuration_spread_ln**2
    by_temperature: dict[float, list[float]] = defaultdict(list)
    for runs in used:
        for t, y, _ in runs:
            by_temperature[t].append(y)
    centre = {t: float(np.mean(v)) for t, v in by_temperature.items()}
    frozen = [[(e, centre[t]) for t, e in runs if t in centre] for runs in limits]
    censored = [Censored(runs) for runs in frozen if runs]
    limited = {t for runs in limits for t, _ in runs}
    offsets, noise, shared = [], [], []
    for runs in used:
        mine = [(t, y - centre[t], s) for t, y, s in runs if len(by_temperature[t]) > 1 or t in limited]
        if mine:
            weights = np.asarray([1.0 / max(s, 1e-6) ** 2 for _, _, s in mine])
            offsets.append(float(weights @ [d for _, d, _ in mine] / weights.sum()))
            noise.append(1.0 / math.sqrt(float(weights.sum())))
            shared.append(any(len(by_temperature[t]) > 1 for t, _, _ in mine))
    nu = settings.configuration_spread_weight

    def shrunk(measured: float, freedom: int) -> float:
        return (nu * assumed + freedom * measured) / (nu + freedom) if freedom > 0 else assumed

    both = [k for k, yes in enumerate(shared) if yes]
    alone = assumed
    if len(both) > 1:
        alone = shrunk(random_effects([offsets[k] for k in both], [noise[k] for k in both])[2], len(both) - 1)
    if censored and offsets:
        joint = between_variance(offsets, noise, censored)
        alone = max(alone, shrunk(joint, len(offsets) + len(censored) - 1))
    return alone, max(m, 1)


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
    good = [m for m in measurements if m.outcome not in BROKEN]
    points, sigma_points, notes = _points(measurements, settings)
    lost = bool(notes)

    changes = find_phase_changes(good, settings)
    stretch = _next_to(target, segments([t for t, _ in points], changes))
    used = [m for m in good if m.temperature_K in stretch]
    flags = [Flag.PHASE_CHANGE] if changes else []
    if changes:
        taken = ", ".join(f"{t:g}" for t in stretch)
        notes.append(f"{'; '.join(c.reason for c in changes)}: no line through both; fitted {taken} K alone")

    per_configuration: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    limits: dict[str, list[tuple[float, Estimate]]] = defaultdict(list)
    for m in used:
        e = m.tracer_diffusivity
        if e.is_value and e.value and e.low68:
            per_configuration[m.configuration_id].append((m.temperature_K, math.log(e.value), ln_error(e)))
        elif e.kind is Verdict.UPPER_LIMIT and e.value:
            limits[m.configuration_id].append((m.temperature_K, e))
    variance, n_configurations = configuration_variance(
        list(per_configuration.values()),
        settings,
        limits=[found for name, found in limits.items() if name not in per_configuration],
    )
    if len(per_configuration) < 2 and variance <= settings.configuration_spread_ln**2:
        flags.append(Flag.ASSUMED_SPREAD)
    if any(Flag.CENSORED_POINTS in e.flags for t, e in points if t in stretch):
        flags.append(Flag.CENSORED_POINTS)
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
        outcome = next(m.outcome for m in measurements if m.outcome in BROKEN)
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
    seen = ", ".join(f"{hops[t]} at {t:g} K" for t in temperatures)
    return f"too few jumps for a value (seen, with those that went back: {seen})"


_Points = list[tuple[float, Estimate]]


def _points(measurements: Sequence[Measurement], settings: TransportSettings) -> tuple[_Points, _Points, list[str]]:
    """Combine the runs of each temperature: tracer diffusivities, conductivities, and what was lost in words."""
    by_temperature: dict[float, list[Measurement]] = defaultdict(list)
    for m in measurements:
        by_temperature[m.temperature_K].append(m)
    points: _Points = []
    sigma_points: _Points = []
    lost: list[str] = []
    for t in sorted(by_temperature):
        runs = by_temperature[t]
        bad = [m for m in runs if m.outcome in BROKEN]
        if bad:
            lost.append(f"{t:g} K: {bad[0].outcome.value} ({len(bad)} of {len(runs)} runs)")
        if 2 * len(bad) >= len(runs):
            why = bad[0].reason or bad[0].outcome.sentence
            points.append((t, Estimate.refused("tracer_diffusivity", why)))
            sigma_points.append((t, Estimate.refused("conductivity", why)))
            continue
        usable = [m for m in runs if m.outcome not in BROKEN]
        several = len({m.configuration_id for m in usable}) > 1
        floor = settings.configuration_spread_ln**2 if several else 0.0
        points.append((t, combine([m.tracer_diffusivity for m in usable], apart_at_least=floor)))
        sigma_points.append((t, combine([m.conductivity for m in usable], apart_at_least=floor)))
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
