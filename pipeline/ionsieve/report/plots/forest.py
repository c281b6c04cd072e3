"""The leading candidates with their intervals, best on top, and below them those of which only a limit is known."""

from __future__ import annotations

from ionsieve.records import Ranking
from ionsieve.report.figure import Axis, Figure, Reference, Series
from ionsieve.report.text import estimate_text, formula_text, interval_text, probability, target_text
from ionsieve.verdicts import Verdict

__all__ = ["forest"]


def forest(ranking: Ranking, *, most: int = 15) -> Figure | None:
    """Return the first `most` ranked candidates as a forest plot; below, where room is left, limits."""
    ranked = [row for row in ranking.rows if row.section == "ranked"]
    rows = ranked[:most]
    if not rows:
        return None
    limited = [r for r in ranking.rows if r.conductivity.kind is Verdict.UPPER_LIMIT and r.conductivity.value]
    bounded = limited[: most - len(rows)]
    part = f": the first {len(rows)} of {len(ranked)}" if len(rows) < len(ranked) else ""
    values = [row.conductivity for row in rows]
    place = tuple(float(i) for i in range(len(rows)))
    T = f"{ranking.target_temperature_K:g} K"
    sigma = tuple(e.value or 0.0 for e in values)
    limits = (
        Series(
            kind="limit",
            x=tuple(row.conductivity.value or 0.0 for row in bounded),
            y=tuple(float(len(rows) + i) for i in range(len(bounded))),
            label="only an upper limit",
            tone=-1,
            names=tuple(
                f"{row.formula}: {estimate_text(row.conductivity)} S/cm, "
                f"in the true first {ranking.top_k}: {probability(row.probability_top_k)}"
                for row in bounded
            ),
        ),
    )
    return Figure(
        key="ranking",
        title=f"Conductivity at {T}{part}",
        description=(
            f"The first {len(rows)} candidates by expected rank with 68 % (dark) and 95 % (light) intervals of the "
            f"conductivity at {T}; dashed lines are the targets."
            + (" Arrows are upper limits: the candidate lies anywhere below." if bounded else "")
        ),
        x=Axis(f"σ({T}) (S/cm)", "log"),
        y=Axis("", categories=tuple(f"{row.rank or '–'}  {formula_text(row.formula)}" for row in (*rows, *bounded))),
        series=(
            Series(
                kind="interval",
                x=sigma,
                y=place,
                label="95 % interval",
                tone=-1,
                x_low=tuple(e.low95 or e.value or 0.0 for e in values),
                x_high=tuple(e.high95 or e.value or 0.0 for e in values),
            ),
            Series(
                kind="points",
                x=sigma,
                y=place,
                label="value and 68 % interval",
                tone=0,
                x_low=tuple(e.low68 or e.value or 0.0 for e in values),
                x_high=tuple(e.high68 or e.value or 0.0 for e in values),
                names=tuple(
                    f"{row.formula}: {estimate_text(row.conductivity)} S/cm (68 %: {interval_text(row.conductivity)}), "
                    f"in the true first {ranking.top_k}: {probability(row.probability_top_k)}"
                    for row in rows
                ),
            ),
            *(limits if bounded else ()),
        ),
        references=tuple(Reference("x", t, target_text(t)) for t in ranking.targets_S_per_cm),
        rows=tuple(
            {
                "rank": row.rank,
                "candidate_id": row.candidate_id,
                "formula": row.formula,
                "upper_limit": row.conductivity.kind is Verdict.UPPER_LIMIT,
                "sigma_S_per_cm": row.conductivity.value,
                "low68": row.conductivity.low68,
                "high68": row.conductivity.high68,
                "low95": row.conductivity.low95,
                "high95": row.conductivity.high95,
            }
            for row in (*rows, *bounded)
        ),
        width=520,
        height=72 + 32 * (len(rows) + len(bounded)),
    )
