"""Conductivity against activation energy, coloured by Pareto front."""

from __future__ import annotations

from ionsieve.records import Ranking
from ionsieve.report.figure import Axis, Figure, Series
from ionsieve.report.text import estimate_text

__all__ = ["tradeoff"]


def tradeoff(ranking: Ranking) -> Figure | None:
    """Return sigma over Ea of all ranked candidates, or None when none has both."""
    rows = [
        r for r in ranking.rows if r.section == "ranked" and r.activation_energy.is_value and r.conductivity.is_value
    ]
    if not rows:
        return None
    series = []
    groups = (
        ("first Pareto front", 0, lambda f: f == 1),
        ("second front", 1, lambda f: f == 2),
        ("dominated", -1, lambda f: f is None or f > 2),
    )
    for label, tone, belongs in reversed(groups):
        group = [r for r in rows if belongs(r.pareto_front)]
        if group:
            series.append(
                Series(
                    kind="points",
                    label=label,
                    tone=tone,
                    x=tuple(r.activation_energy.value or 0.0 for r in group),
                    y=tuple(r.conductivity.value or 0.0 for r in group),
                    x_low=tuple(r.activation_energy.low68 or 0.0 for r in group),
                    x_high=tuple(r.activation_energy.high68 or 0.0 for r in group),
                    y_low=tuple(r.conductivity.low68 or r.conductivity.value or 0.0 for r in group),
                    y_high=tuple(r.conductivity.high68 or r.conductivity.value or 0.0 for r in group),
                    marks=tuple(str(r.rank or "") for r in group),
                    names=tuple(
                        f"{r.formula}: {estimate_text(r.conductivity)} S/cm, {estimate_text(r.activation_energy)} eV"
                        for r in group
                    ),
                )
            )
    return Figure(
        key="tradeoff",
        title="Conductivity against activation energy (numbers: rank)",
        description=(
            "Each ranked candidate with its 68 % intervals; the Pareto fronts are over"
            f" {', '.join(ranking.pareto_objectives)}."
        ),
        x=Axis("Ea (eV)"),
        y=Axis(f"σ({ranking.target_temperature_K:g} K) (S/cm)", "log"),
        series=tuple(series),
        rows=tuple(
            {
                "candidate_id": r.candidate_id,
                "formula": r.formula,
                "Ea_eV": r.activation_energy.value,
                "sigma_S_per_cm": r.conductivity.value,
                "pareto_front": r.pareto_front,
                "score": r.score,
            }
            for r in rows
        ),
    )
