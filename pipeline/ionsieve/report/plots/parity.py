"""Computed against measured conductivity, with the band of half a decade in which pellets of one composition differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ionsieve.records import Candidate, CandidateEstimate
from ionsieve.report.figure import Axis, Figure, Series
from ionsieve.report.literature import SAME, Published, matches
from ionsieve.report.plots.arrhenius import fit_line
from ionsieve.report.text import number
from ionsieve.verdicts import Verdict

__all__ = ["Comparison", "compare", "parity"]

HALF_DECADE = math.sqrt(10.0)
#: Published values of this kind were computed by others: they stand in the table and not in the plot of measurements.
CALCULATED = "calculation"


@dataclass(frozen=True)
class Comparison:
    """One published conductivity beside one computed one, at the published temperature.

    `computed` is None when no fit reaches that temperature; then only an upper limit or nothing was found.
    """

    candidate_id: str
    formula: str
    published: Published
    same_composition: bool
    temperature_K: float
    computed_S_per_cm: float | None
    low68_S_per_cm: float | None
    high68_S_per_cm: float | None
    limit: bool = False

    @property
    def decades(self) -> float | None:
        """log10 of computed over measured."""
        if self.limit or not self.computed_S_per_cm or not self.published.sigma_S_per_cm:
            return None
        return math.log10(self.computed_S_per_cm / self.published.sigma_S_per_cm)


def compare(candidates: Mapping[str, Candidate], estimates: Sequence[CandidateEstimate]) -> tuple[Comparison, ...]:
    """Return, for every published value, the measured candidates of its composition, or else the nearest one."""
    found: list[tuple[float, Comparison]] = []
    for estimate in estimates:
        candidate = candidates.get(estimate.candidate_id)
        if candidate is None or not candidate.composition:
            continue
        formula = candidate.realised_formula or candidate.target_formula
        for gap, row in matches(candidate.composition, mobile_ion=candidate.mobile_ion, family=candidate.family):
            if row.sigma_S_per_cm is None or row.temperature_C is None:
                continue
            T = row.temperature_C + 273.15
            sigma, low, high, limit = _at(estimate, T)
            comparison = Comparison(candidate.candidate_id, formula, row, gap <= SAME, T, sigma, low, high, limit)
            found.append((gap, comparison))
    nearest: dict[Published, float] = {}
    for gap, comparison in found:
        nearest[comparison.published] = min(gap, nearest.get(comparison.published, 1.0))
    kept = [c for gap, c in found if c.same_composition or gap == nearest[c.published]]
    return tuple(
        sorted(kept, key=lambda c: (not c.same_composition, c.formula, c.published.formula, c.published.source))
    )


def _at(estimate: CandidateEstimate, T: float) -> tuple[float | None, float | None, float | None, bool]:
    if estimate.conductivity.kind is Verdict.UPPER_LIMIT and abs(T - estimate.target_temperature_K) < 20:
        return estimate.conductivity.value, None, None, True
    line = fit_line(estimate, [T])
    if not line or not estimate.conductivity.is_value:
        return None, None, None, False
    _, mean, std = line[0]
    return math.exp(mean), math.exp(mean - std), math.exp(mean + std), False


def parity(comparisons: Sequence[Comparison]) -> Figure | None:
    """Return the parity plot of the measured values, or None when nothing can be compared."""
    shown = [
        c for c in comparisons if c.computed_S_per_cm and c.published.sigma_S_per_cm and c.published.kind != CALCULATED
    ]
    if not shown:
        return None
    values = [
        v
        for c in shown
        for v in (c.computed_S_per_cm, c.published.sigma_S_per_cm, c.low68_S_per_cm, c.high68_S_per_cm)
        if v
    ]
    low, high = min(values) / 3, max(values) * 3
    diagonal = (low, high)
    series = [
        Series(
            kind="band",
            label="half a decade",
            tone=-1,
            x=diagonal,
            y=(),
            y_low=tuple(v / HALF_DECADE for v in diagonal),
            y_high=tuple(v * HALF_DECADE for v in diagonal),
        ),
        Series(kind="line", label="equal", tone=-1, x=diagonal, y=diagonal),
    ]
    for label, same, hollow in (("same composition", True, False), ("neighbouring composition", False, True)):
        for limit in (False, True):
            group = [c for c in shown if c.same_composition is same and c.limit is limit]
            if not group:
                continue
            bars = not limit
            series.append(
                Series(
                    kind="limit" if limit else "points",
                    label=label + (": upper limit" if limit else ""),
                    tone=0 if same else 1,
                    hollow=hollow,
                    x=tuple(c.published.sigma_S_per_cm or 0.0 for c in group),
                    y=tuple(c.computed_S_per_cm or 0.0 for c in group),
                    y_low=tuple(c.low68_S_per_cm or 0.0 for c in group) if bars else (),
                    y_high=tuple(c.high68_S_per_cm or 0.0 for c in group) if bars else (),
                    names=tuple(
                        f"{c.formula} computed {number(c.computed_S_per_cm, 2)}, {c.published.formula} measured"
                        f" {number(c.published.sigma_S_per_cm, 2)} S/cm at {c.temperature_K:.0f} K"
                        f" ({c.published.source})"
                        for c in group
                    ),
                )
            )
    return Figure(
        key="parity",
        title="Computed against measured conductivity",
        description=(
            f"{len(shown)} measured conductivities against the computed ones at the same temperature; the grey band is"
            " half a decade, within which pellets of one composition differ."
        ),
        x=Axis("measured σ (S/cm)", "log", (low, high)),
        y=Axis("computed σ (S/cm)", "log", (low, high)),
        width=520,
        height=500,
        series=tuple(series),
        rows=tuple(
            {
                "candidate_id": c.candidate_id,
                "formula": c.formula,
                "published_formula": c.published.formula,
                "same_composition": str(c.same_composition),
                "T_K": c.temperature_K,
                "measured_S_per_cm": c.published.sigma_S_per_cm,
                "computed_S_per_cm": c.computed_S_per_cm,
                "low68": c.low68_S_per_cm,
                "high68": c.high68_S_per_cm,
                "verdict": "upper_limit" if c.limit else "value",
                "source": c.published.source,
            }
            for c in shown
        ),
    )
