"""Two campaigns side by side: ranks and values of the candidates that both know, and how far they agree.

Symbols      tau    Kendall's rank correlation (tau-b) over the candidates ranked in both
             shift  median of log10(sigma_B / sigma_A), decades; spread: half the 16-84 % range of the same
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ionsieve.records import Estimate, RankedCandidate
from ionsieve.report.figure import Axis, Figure, Series
from ionsieve.report.source import CampaignResults
from ionsieve.report.text import estimate_text

__all__ = [
    "CampaignComparison",
    "ComparedRow",
    "comparison_csv",
    "comparison_figure",
    "comparison_html",
    "compare_campaigns",
]


@dataclass(frozen=True)
class ComparedRow:
    """One candidate in both campaigns; a row that is missing in one is None there."""

    candidate_id: str
    formula: str
    a: RankedCandidate | None
    b: RankedCandidate | None

    @property
    def decades(self) -> float | None:
        """log10 of sigma B over sigma A; None unless both are values."""
        x, y = _value(self.a), _value(self.b)
        return math.log10(y / x) if x and y else None


@dataclass(frozen=True)
class CampaignComparison:
    """The whole comparison."""

    name_a: str
    name_b: str
    potential_a: str
    potential_b: str
    temperature_a_K: float
    temperature_b_K: float
    rows: tuple[ComparedRow, ...]
    n_both: int
    tau: float | None
    shift_decades: float | None
    spread_decades: float | None
    common_top: int
    top_k: int

    @property
    def told(self) -> str:
        """The agreement in one paragraph."""
        if self.n_both < 2:
            return "Fewer than two candidates are ranked in both campaigns: nothing can be said about the order."
        text = (
            f"{self.n_both} candidates are ranked in both. Kendall's rank correlation is {self.tau:.2f} (1: the same"
            f" order, 0: no relation). B lies {abs(self.shift_decades or 0.0):.2f} decades"
            f" {'above' if (self.shift_decades or 0.0) >= 0 else 'below'} A in the median, with a spread of"
            f" {self.spread_decades:.2f} decades. {self.common_top} of the first {self.top_k} are common."
        )
        if self.temperature_a_K != self.temperature_b_K:
            text += (
                f" The tables stand at different temperatures, {self.temperature_a_K:g} and {self.temperature_b_K:g} K:"
                " values do not compare."
            )
        return text


def _name(one: CampaignResults, other: CampaignResults) -> str:
    """Return the campaign's name, or its folder where both campaigns are called the same."""
    same = one.name == other.name and one.folder != other.folder
    return Path(one.folder).name or one.name if same else one.name


def _value(row: RankedCandidate | None) -> float | None:
    return row.conductivity.value if row is not None and row.conductivity.is_value else None


def compare_campaigns(a: CampaignResults, b: CampaignResults) -> CampaignComparison:
    """Compare two campaigns candidate by candidate; ids are the same when prototype and substitution are."""
    from scipy.stats import kendalltau

    rows_a = {r.candidate_id: r for r in a.ranking.rows}
    rows_b = {r.candidate_id: r for r in b.ranking.rows}
    names = list(dict.fromkeys([*rows_a, *rows_b]))
    rows = tuple(ComparedRow(n, (rows_a.get(n) or rows_b[n]).formula, rows_a.get(n), rows_b.get(n)) for n in names)
    both = [r for r in rows if r.a and r.b and r.a.rank is not None and r.b.rank is not None]
    shifts = np.array([d for r in both if (d := r.decades) is not None])
    tau = None
    if len(both) > 1:
        tau = float(kendalltau([r.a.rank for r in both if r.a], [r.b.rank for r in both if r.b]).statistic)
        tau = None if math.isnan(tau) else tau
    top_k = min(a.ranking.top_k, b.ranking.top_k)
    first_a = {r.candidate_id for r in a.ranking.rows if r.rank is not None and r.rank <= top_k}
    first_b = {r.candidate_id for r in b.ranking.rows if r.rank is not None and r.rank <= top_k}
    low, high = np.quantile(shifts, [0.16, 0.84]) if len(shifts) else (0.0, 0.0)
    return CampaignComparison(
        name_a=_name(a, b),
        name_b=_name(b, a),
        potential_a=a.potential.name if a.potential else "",
        potential_b=b.potential.name if b.potential else "",
        temperature_a_K=a.ranking.target_temperature_K,
        temperature_b_K=b.ranking.target_temperature_K,
        rows=rows,
        n_both=len(both),
        tau=tau if len(both) > 1 else None,
        shift_decades=float(np.median(shifts)) if len(shifts) else None,
        spread_decades=float(high - low) / 2 if len(shifts) else None,
        common_top=len(first_a & first_b),
        top_k=top_k,
    )


def comparison_csv(comparison: CampaignComparison) -> str:
    """Return one line a candidate: rank, conductivity and its interval in A and in B."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    parts = ("section", "rank", "sigma_S_per_cm", "low68", "high68")
    writer.writerow(["candidate_id", "formula", *(f"{p}_{side}" for side in "AB" for p in parts), "log10_B_over_A"])
    for row in comparison.rows:
        cells: list[object] = []
        for side in (row.a, row.b):
            e: Estimate | None = side.conductivity if side else None
            cells += [side.section if side else None, side.rank if side else None]
            cells += [e.value if e else None, e.low68 if e else None, e.high68 if e else None]
        writer.writerow(["" if c is None else c for c in [row.candidate_id, row.formula, *cells, row.decades]])
    return stream.getvalue()


def comparison_figure(comparison: CampaignComparison) -> Figure | None:
    """Return sigma in B over sigma in A, or None when nothing is in both."""
    both = [r for r in comparison.rows if r.a and r.b and _value(r.a) and _value(r.b)]
    if not both:
        return None
    sides = [[(r.a if side == "a" else r.b) for r in both] for side in "ab"]
    e_a, e_b = ([s.conductivity for s in side if s] for side in sides)
    values = [v for e in (*e_a, *e_b) for v in (e.low68, e.high68) if v]
    limits = (min(values) / 2, max(values) * 2)
    points = Series(
        kind="points",
        label="candidates in both",
        x=tuple(e.value or 0.0 for e in e_a),
        y=tuple(e.value or 0.0 for e in e_b),
        x_low=tuple(e.low68 or 0.0 for e in e_a),
        x_high=tuple(e.high68 or 0.0 for e in e_a),
        y_low=tuple(e.low68 or 0.0 for e in e_b),
        y_high=tuple(e.high68 or 0.0 for e in e_b),
        names=tuple(
            f"{r.formula}: {estimate_text(x)} and {estimate_text(y)} S/cm"
            for r, x, y in zip(both, e_a, e_b, strict=True)
        ),
    )
    return Figure(
        key="comparison",
        title="Conductivity in both campaigns",
        description=(
            f"Conductivity of {len(both)} candidates in {comparison.name_b} (up) over {comparison.name_a} (right), 68 %"
            " intervals; the line is equality."
        ),
        x=Axis(f"σ in A: {comparison.name_a} {comparison.potential_a} (S/cm)", "log", limits),
        y=Axis("σ in B (S/cm)", "log", limits),
        series=(Series(kind="line", label="equal", tone=-1, x=limits, y=limits), points),
        rows=tuple(
            {"candidate_id": r.candidate_id, "A_S_per_cm": _value(r.a), "B_S_per_cm": _value(r.b), "decades": r.decades}
            for r in both
        ),
    )


def comparison_html(comparison: CampaignComparison) -> str:
    """Return one self-contained page: the agreement in words, the plot, and the table."""
    from ionsieve.report.kit import render
    from ionsieve.report.page import POLICY, asset

    return str(
        render(
            "compare.html.j2",
            view=comparison,
            figure=comparison_figure(comparison),
            css=asset("report.css"),
            policy=POLICY.format(connect="'none'"),
        )
    )
