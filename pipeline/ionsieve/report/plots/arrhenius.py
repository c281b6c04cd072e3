"""Conductivity against reciprocal temperature, with the fitted line and its intervals.

Definition   sigma(T) = f D(T) / T with f = N z² e² / (V k), read back from the points; ln D = ln D0 - Ea/kT and
             its variance c00 - 2 c01/kT + c11/(kT)² from the covariance of the fit.
Bands        68 % (one) and 95 % (1.96 standard deviations)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import numpy as np

from ionsieve import units
from ionsieve.records import CandidateEstimate, Estimate
from ionsieve.report.figure import Axis, Cell, Figure, Series
from ionsieve.report.text import estimate_text, interval_text
from ionsieve.verdicts import Verdict

__all__ = ["arrhenius", "factor_of", "fit_line", "overview"]

#: Distance of the values at the temperature of use in the overview, in units of 1000/T.
_ASIDE_PER_K = 0.03
_TICKS_K = (250, 300, 350, 400, 500, 600, 800, 1000, 1500, 2000)


def factor_of(estimate: CandidateEstimate) -> float | None:
    """Return f in sigma = f D / T (S K s / cm³), or None when no pair of numbers gives it."""
    ratios = []
    sigma = {T: e.value for T, e in estimate.conductivity_points}
    for T, d in estimate.points:
        s = sigma.get(T)
        if s and d.value:
            ratios.append(s * T / d.value)
    at_use, D_at_use = estimate.conductivity.value, estimate.tracer_diffusivity.value
    if not ratios and at_use and D_at_use:
        ratios.append(at_use * estimate.target_temperature_K / D_at_use)
    return median(ratios) if ratios else None


def fit_line(estimate: CandidateEstimate, temperatures_K: Sequence[float]) -> list[tuple[float, float, float]] | None:
    """Return (T in K, ln sigma, standard deviation of ln sigma) along the fit, or None without a fit."""
    factor, fit = factor_of(estimate), estimate.arrhenius
    if factor is None or factor <= 0 or fit is None:
        return None
    (c00, c01), (_, c11) = fit.covariance
    line = []
    for T in temperatures_K:
        kT = units.BOLTZMANN_EV_PER_K * T
        mean = fit.ln_D0 - fit.Ea_eV / kT + math.log(factor / T)
        line.append((T, mean, math.sqrt(max(0.0, c00 - 2 * c01 / kT + c11 / kT**2))))
    return line


def _temperatures(estimates: Sequence[CandidateEstimate]) -> list[float]:
    points = [T for e in estimates for T, _ in e.conductivity_points or e.points]
    points.extend(e.target_temperature_K for e in estimates)
    return [float(1000 / x) for x in np.linspace(1000 / max(points), 1000 / min(points), 24)]


def _row(T: float, estimate: Estimate, what: str) -> dict[str, Cell]:
    return {
        "what": what,
        "T_K": T,
        "1000/T_per_K": 1000 / T,
        "sigma_S_per_cm": estimate.value,
        "low68": estimate.low68,
        "high68": estimate.high68,
        "low95": estimate.low95,
        "high95": estimate.high95,
        "verdict": estimate.kind.value,
    }


def _points(pairs: Sequence[tuple[float, Estimate]], label: str, tone: int, *, hollow: bool = False) -> list[Series]:
    values = [(T, e) for T, e in pairs if e.is_value and e.value]
    limits = [(T, e) for T, e in pairs if e.kind is Verdict.UPPER_LIMIT and e.value]
    series = []
    if values:
        series.append(
            Series(
                kind="points",
                label=label,
                tone=tone,
                hollow=hollow,
                x=tuple(1000 / T for T, _ in values),
                y=tuple(e.value or 0.0 for _, e in values),
                y_low=tuple(e.low68 or e.value or 0.0 for _, e in values),
                y_high=tuple(e.high68 or e.value or 0.0 for _, e in values),
                names=tuple(f"{T:g} K: {estimate_text(e)} S/cm (68 %: {interval_text(e)})" for T, e in values),
            )
        )
    if limits:
        series.append(
            Series(
                kind="limit",
                label=f"{label}: upper limit" if label else "upper limit",
                tone=tone,
                x=tuple(1000 / T for T, _ in limits),
                y=tuple(e.value or 0.0 for _, e in limits),
                names=tuple(f"{T:g} K: {estimate_text(e)} S/cm" for T, e in limits),
            )
        )
    return series


def arrhenius(estimate: CandidateEstimate, formula: str, key: str) -> Figure | None:
    """Return the Arrhenius plot of one candidate, or None when there is nothing to plot."""
    pairs = estimate.conductivity_points
    if not any(e.value for _, e in pairs) and estimate.conductivity.value is None:
        return None
    temperatures = _temperatures([estimate])
    series: list[Series] = []
    line = fit_line(estimate, temperatures)
    if line:
        x = tuple(1000 / T for T, _, _ in line)
        for z, name in ((1.96, "95 % interval"), (1.0, "68 % interval")):
            low, high = (tuple(math.exp(m + sign * z * s) for _, m, s in line) for sign in (-1, 1))
            series.append(Series(kind="band", label=name, x=x, y=(), y_low=low, y_high=high))
        series.append(Series(kind="line", label="Arrhenius fit", x=x, y=tuple(math.exp(m) for _, m, _ in line)))
    series += _points(pairs, "simulated", 0)
    series += _points([(estimate.target_temperature_K, estimate.conductivity)], "extrapolated", 1, hollow=True)
    Ea = estimate.activation_energy
    told = f"activation energy {estimate_text(Ea)} eV" if Ea.is_value else "no activation energy"
    return Figure(
        key=key,
        title="Conductivity against temperature",
        description=(
            f"Arrhenius plot of {formula}: conductivity at {len(pairs)} temperatures, {told}, carried to "
            f"{estimate.target_temperature_K:g} K."
        ),
        x=Axis("1000 / T (1/K)"),
        y=Axis("σ (S/cm)", "log"),
        series=tuple(series),
        second_axis=tuple((1000 / T, str(T)) for T in _TICKS_K),
        second_label="T (K)",
        rows=(
            *(_row(T, e, "simulated") for T, e in pairs),
            _row(estimate.target_temperature_K, estimate.conductivity, "at the temperature of use"),
        ),
    )


def _at_use(estimate: CandidateEstimate, tone: int, aside: float) -> list[Series]:
    """Return the value at the temperature of use as a hollow point, moved aside so that neighbours stay apart."""
    found = _points([(estimate.target_temperature_K, estimate.conductivity)], "", tone, hollow=True)
    return [replace(s, label="", x=tuple(x + _ASIDE_PER_K * aside for x in s.x)) for s in found]


def overview(estimates: Sequence[tuple[str, CandidateEstimate]], key: str = "arrhenius-overview") -> Figure | None:
    """Return the Arrhenius plot of the leading candidates together; `estimates` are (formula, estimate)."""
    shown = [(f, e) for f, e in estimates if any(p.value for _, p in e.conductivity_points)]
    if not shown:
        return None
    temperatures = _temperatures([e for _, e in shown])
    series: list[Series] = []
    rows: list[dict[str, Cell]] = []
    for tone, (formula, estimate) in enumerate(shown):
        line = fit_line(estimate, temperatures)
        if line:
            x = tuple(1000 / T for T, _, _ in line)
            series.append(Series(kind="line", tone=tone, x=x, y=tuple(math.exp(m) for _, m, _ in line)))
        series += _points(estimate.conductivity_points, formula, tone)
        series += _at_use(estimate, tone, aside=tone - (len(shown) - 1) / 2)
        rows += [{"formula": formula, **_row(T, e, "simulated")} for T, e in estimate.conductivity_points]
        rows.append(
            {
                "formula": formula,
                **_row(estimate.target_temperature_K, estimate.conductivity, "at the temperature of use"),
            }
        )
    return Figure(
        key=key,
        title="Conductivity against temperature: the leading candidates",
        description=(
            "Arrhenius plot of "
            + ", ".join(f for f, _ in shown)
            + " with fitted lines; hollow points with 68 % intervals are the values at the temperature of use, set side"
            " by side so that they can be told apart."
        ),
        x=Axis("1000 / T (1/K)"),
        y=Axis("σ (S/cm)", "log"),
        series=tuple(series),
        second_axis=tuple((1000 / T, str(T)) for T in _TICKS_K),
        second_label="T (K)",
        rows=tuple(rows),
        width=560,
        height=400,
    )
