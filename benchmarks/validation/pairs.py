"""Pairs of computed and published numbers: mean absolute error and rank correlation with bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ionsieve.potentials.scaled import scaled_arrhenius
from ionsieve.records import Candidate, CandidateEstimate, Estimate
from ionsieve.report.literature import SAME, matches
from ionsieve.rng import generator
from ionsieve.units import BOLTZMANN_EV_PER_K
from ionsieve.verdicts import Flag

__all__ = ["Pair", "Summary", "bootstrap", "corrected", "once", "pairs_of", "spearman", "summarise"]


@dataclass(frozen=True)
class Pair:
    """One computed value beside one published one.

    Attributes
    ----------
    quantity
        ``log10_sigma`` (S/cm) or ``Ea_eV``.
    computed, error
        With its standard error.
    exact
        Whether the compositions are the same; else the published one is a near neighbour.
    extrapolated_K
        How far below the coldest run the published temperature lies, K.
    """

    candidate_id: str
    formula: str
    family: str
    potential: str
    quantity: str
    computed: float
    error: float
    published: float
    published_formula: str
    temperature_K: float
    source: str
    exact: bool
    extrapolated_K: float
    flags: tuple[str, ...] = ()


def pairs_of(candidate: Candidate, estimate: CandidateEstimate, potential: str) -> list[Pair]:
    """Return the pairs of one candidate: sigma at the published temperature, and Ea.

    Away from the campaign's temperature of use sigma is moved along the fitted Arrhenius line of sigma T. Rows of
    calculations are left out. Where no row is of the same composition, the nearest neighbour alone is taken.
    """
    rows = [
        (gap, row)
        for gap, row in matches(candidate.composition, mobile_ion=candidate.mobile_ion, family=candidate.family)
        if row.kind != "calculation"
    ]
    nearest = min((gap for gap, _ in rows), default=0.0)
    chosen = [(gap, row) for gap, row in rows if gap <= max(SAME, nearest)]
    target, sigma, ea = estimate.target_temperature_K, estimate.conductivity, estimate.activation_energy
    runs = [t for t, _ in estimate.points]
    coldest = min(runs) if runs else target
    flags = tuple(f.value for f in estimate.flags)
    pairs = []
    for gap, row in chosen:
        common = {
            "candidate_id": candidate.candidate_id,
            "formula": candidate.realised_formula,
            "family": candidate.family,
            "potential": potential,
            "published_formula": row.formula,
            "source": row.source,
            "exact": gap <= SAME,
            "flags": flags,
        }
        if row.sigma_S_per_cm and row.temperature_C is not None and sigma.is_value and sigma.value:
            temperature = row.temperature_C + 273.15
            shift = 0.0
            if abs(temperature - target) > 10:
                if not ea.is_value or ea.value is None:
                    continue
                shift = -ea.value / BOLTZMANN_EV_PER_K * (1 / temperature - 1 / target) / math.log(10)
                shift -= math.log10(temperature / target)
            pairs.append(
                Pair(
                    **common,
                    quantity="log10_sigma",
                    computed=math.log10(sigma.value) + shift,
                    error=_half(sigma.low68, sigma.high68, math.log10),
                    published=math.log10(row.sigma_S_per_cm),
                    temperature_K=temperature,
                    extrapolated_K=max(0.0, coldest - temperature),
                )
            )
        if row.Ea_eV and ea.is_value and ea.value is not None and "assumed_ea" not in flags:
            pairs.append(
                Pair(
                    **common,
                    quantity="Ea_eV",
                    computed=ea.value,
                    error=_half(ea.low68, ea.high68, float),
                    published=row.Ea_eV,
                    temperature_K=target,
                    extrapolated_K=0.0,
                )
            )
    return pairs


def corrected(estimate: CandidateEstimate, scale: float) -> CandidateEstimate | None:
    """Return what the runs would say with the potential multiplied by `scale`; None where Ea was assumed or refused.

    See `ionsieve.potentials.scaled`: no run is repeated, D_s(T) = √s D(T / s) along the fitted line.
    """
    fit, ea = estimate.arrhenius, estimate.activation_energy
    if fit is None or not ea.is_value or Flag.ASSUMED_EA in estimate.flags:
        return None
    scaled = scaled_arrhenius(fit, scale)
    beta = 1.0 / (BOLTZMANN_EV_PER_K * estimate.target_temperature_K)
    change = math.exp(scaled.ln_D0 - fit.ln_D0 - beta * (scaled.Ea_eV - fit.Ea_eV))
    return estimate.model_copy(
        update={
            "arrhenius": scaled,
            "activation_energy": _times(ea, scale),
            "conductivity": _times(estimate.conductivity, change),
        }
    )


def _times(estimate: Estimate, factor: float) -> Estimate:
    keys = ("value", "low68", "high68", "low95", "high95")
    return estimate.model_copy(
        update={k: None if getattr(estimate, k) is None else factor * getattr(estimate, k) for k in keys}
    )


def _half(low: float | None, high: float | None, scale: Callable[[float], float]) -> float:
    return 0.5 * (scale(high) - scale(low)) if low and high else math.inf


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks with ties shared."""
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values))
    ranks[order] = np.arange(len(values), dtype=float)
    for value in np.unique(values):
        tied = values == value
        ranks[tied] = ranks[tied].mean()
    return ranks


def spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Rank correlation; NaN where one side does not vary."""
    a, b = _ranks(np.asarray(x, float)), _ranks(np.asarray(y, float))
    a, b = a - a.mean(), b - b.mean()
    norm = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / norm if norm > 0 else math.nan


def bootstrap(
    statistic: Callable[[NDArray[np.float64], NDArray[np.float64]], float],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    *,
    n: int = 2000,
    level: float = 0.95,
) -> tuple[float, float, float]:
    """Return the statistic and its percentile interval over resampled pairs; seeded by count alone."""
    draws = generator("validation", "bootstrap", len(x)).integers(0, len(x), size=(n, len(x)))
    values = np.array([statistic(x[i], y[i]) for i in draws])
    values = values[np.isfinite(values)]
    if len(values) < n // 2:
        return statistic(x, y), math.nan, math.nan
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2])
    return statistic(x, y), float(low), float(high)


@dataclass(frozen=True)
class Summary:
    """Statistics of a group of pairs; each number with its 95 % bootstrap interval, None where n is too small."""

    group: str
    n: int
    mae: tuple[float, float, float] | None
    bias: float | None
    rank: tuple[float, float, float] | None


def once(pairs: Sequence[Pair]) -> list[Pair]:
    """Return each material once at each temperature: rows within some kelvin are one computed value, and averaged."""
    groups: dict[tuple[str, str, str, int], list[Pair]] = {}
    for p in pairs:
        groups.setdefault((p.formula, p.potential, p.quantity, round(p.temperature_K / 25)), []).append(p)
    return [
        replace(of[0], published=sum(p.published for p in of) / len(of), computed=sum(p.computed for p in of) / len(of))
        for of in groups.values()
    ]


def summarise(group: str, pairs: Sequence[Pair]) -> Summary:
    """Return mean absolute error (from two on) and Spearman's rank correlation (from four materials on).

    Several published rows of one material are no several tests: see `once`.
    """
    pairs = once(pairs)
    x = np.array([p.published for p in pairs])
    y = np.array([p.computed for p in pairs])
    if len(pairs) < 2:
        return Summary(group, len(pairs), None, float(y[0] - x[0]) if len(pairs) else None, None)
    mae = bootstrap(lambda a, b: float(np.mean(np.abs(a - b))), x, y)
    rank = bootstrap(spearman, x, y) if len({p.formula for p in pairs}) >= 4 else None
    return Summary(group, len(pairs), mae, float(np.mean(y - x)), rank)
