"""What a row shows beside the conductivity: the bottleneck with its interval, and the classes of the elements."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from ionsieve.ranking.elements import dearest, most_hazardous
from ionsieve.records import Candidate, Estimate, Measurement, StaticDescriptors
from ionsieve.verdicts import Flag, Outcome, Verdict

__all__ = [
    "RADIUS_TABLE_ERROR_A",
    "bottleneck_of",
    "descriptors_of",
    "element_columns",
    "expansion_columns",
    "linear_expansion",
    "worst_flags",
]

#: How far tables of ionic radii differ for the anions met here (Å): the least uncertainty of any free radius.
RADIUS_TABLE_ERROR_A = 0.05


def descriptors_of(
    candidate_id: str, descriptors: Mapping[str, StaticDescriptors | Sequence[StaticDescriptors]]
) -> list[StaticDescriptors]:
    """Return the descriptors of a candidate; the mapping may be keyed by candidate or by configuration."""
    own = descriptors.get(candidate_id)
    if own is not None:
        return [own] if isinstance(own, StaticDescriptors) else list(own)
    pattern = re.compile(re.escape(candidate_id) + r"--c\d+")
    return [d for key, d in sorted(descriptors.items()) if isinstance(d, StaticDescriptors) and pattern.fullmatch(key)]


def bottleneck_of(described: Sequence[StaticDescriptors], measured: Sequence[Measurement]) -> Estimate | None:
    """Return the free radius of the widest percolating path (one dimension).

    Value: mean over the configurations. Interval: the largest of the spread between configurations, the breathing of
    that gate at the lowest temperature simulated, and the error of tables of ionic radii. Å.
    """
    radii = [d.percolation_radius_A[0] for d in described if d.percolation_radius_A is not None]
    radii = radii or [d.free_sphere_A / 2 for d in described if d.free_sphere_A is not None]
    if not radii:
        return None
    value = fmean(radii)
    spread = (max(radii) - min(radii)) / 2
    breathing = 0.0
    with_gates = [m for m in measured if m.gates]
    if with_gates:
        coldest = min(with_gates, key=lambda m: (m.temperature_K, m.run_id))
        gate = min(coldest.gates, key=lambda g: abs(g.free_radius_mean_A - value))
        breathing = (gate.free_radius_q95_A - gate.free_radius_q05_A) / (2 * 1.645)
    half = max(spread, breathing, RADIUS_TABLE_ERROR_A)
    source = {spread: "spread of configurations", breathing: "thermal breathing"}.get(half, "tables of ionic radii")
    return Estimate(
        quantity="bottleneck_radius",
        kind=Verdict.VALUE if len(radii) > 1 else Verdict.INDICATIVE,
        value=round(value, 6),
        low68=round(max(0.0, value - half), 6),
        high68=round(value + half, 6),
        low95=round(max(0.0, value - 2 * half), 6),
        high95=round(value + 2 * half, 6),
        method=f"static geometry; interval from {source}",
        flags=(Flag.ASSUMED_SPREAD,) if len(radii) == 1 else (),
    )


def element_columns(candidate: Candidate) -> dict[str, float | str | None]:
    """Return price and hazard class of the candidate, with the element that sets it."""
    symbols = tuple(sorted(candidate.composition)) or _symbols(candidate.realised_formula or candidate.target_formula)
    cost, hazard = dearest(symbols), most_hazardous(symbols)
    return {
        "cost_class": float(cost[0]) if cost else None,
        "cost_element": cost[1] if cost else None,
        "hazard_class": float(hazard[0]) if hazard else None,
        "hazard_element": hazard[1] if hazard else None,
    }


def _symbols(formula: str) -> tuple[str, ...]:
    return tuple(sorted(set(re.findall(r"[A-Z][a-z]?", formula))))


def linear_expansion(cells: Iterable[Sequence[tuple[float, float]]]) -> dict[str, float]:
    """Return the linear thermal expansion and its standard error (1/K) of (temperature in K, volume) pairs, by cell.

    Least squares of ln V against T with one intercept a cell, divided by three: what cells differ by is no expansion.
    Nothing where fewer than three temperatures are known or the volumes were held.
    """
    moved = [sorted(set(points)) for points in cells]
    moved = [points for points in moved if len({T for T, _ in points}) > 1 and not _held(points)]
    if len({T for points in moved for T, _ in points}) < 3:
        return {}
    x, y = [], []
    for points in moved:
        mean_T = fmean(T for T, _ in points)
        mean_v = fmean(math.log(v) for _, v in points)
        x += [T - mean_T for T, _ in points]
        y += [math.log(v) - mean_v for _, v in points]
    spread = sum(T * T for T in x)
    slope = sum(T * v for T, v in zip(x, y, strict=True)) / spread
    rest = sum((v - slope * T) ** 2 for T, v in zip(x, y, strict=True))
    error = math.sqrt(rest / (len(x) - len(moved) - 1) / spread)
    return {
        "linear_expansion_per_K": float(f"{slope / 3:.6g}"),
        "linear_expansion_error_per_K": float(f"{error / 3:.6g}"),
    }


def _held(points: Sequence[tuple[float, float]]) -> bool:
    return max(v for _, v in points) / min(v for _, v in points) < 1 + 1e-4


def expansion_columns(measured: Sequence[Measurement]) -> dict[str, float | str | None]:
    """Return the linear thermal expansion (1/K) where the cell followed the temperature, nothing where it was held."""
    cells: dict[str, list[tuple[float, float]]] = {}
    for m in measured:
        cells.setdefault(m.configuration_id, []).append((m.temperature_K, round(m.volume_A3, 6)))
    return {**linear_expansion(cells.values())}


def worst_flags(*groups: Sequence[Flag]) -> tuple[Flag, ...]:
    """Return the flags of all groups once, in the order of the register."""
    present = {flag for group in groups for flag in group}
    return tuple(flag for flag in Flag if flag in present)


def first_failure(items: Sequence[object]) -> tuple[Outcome, str] | None:
    """Return outcome and reason of the first record that did not complete, or None."""
    for item in items:
        outcome = getattr(item, "outcome", Outcome.COMPLETED)
        if outcome not in (Outcome.COMPLETED, Outcome.STOPPED_EARLY):
            return outcome, getattr(item, "reason", "") or outcome.sentence
    return None
