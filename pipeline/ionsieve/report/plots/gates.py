"""Bottlenecks: how they breathe during the dynamics, and how they go with conductivity."""

from __future__ import annotations

from collections.abc import Sequence

from ionsieve.records import Measurement, Ranking, StaticDescriptors
from ionsieve.report.figure import Axis, Cell, Figure, Series
from ionsieve.report.text import estimate_text
from ionsieve.verdicts import Outcome

__all__ = ["gate_motion", "gates_against_conductivity"]

#: With more kinds of gates the dashed lines of the static structure would hide the bars.
_MOST_STATIC = 4


def gate_motion(
    measurements: Sequence[Measurement], described: Sequence[StaticDescriptors], formula: str, key: str
) -> Figure | None:
    """Return mean and 5-95 % range of each gate's free radius by temperature; None without gates."""
    measurements = [m for m in measurements if m.outcome in (Outcome.COMPLETED, Outcome.STOPPED_EARLY)]
    jumps = list(dict.fromkeys(gate.jump for m in measurements for gate in m.gates))
    static = {gate.jump: gate for d in described for gate in d.gates}
    rows: list[dict[str, Cell]] = [
        {
            "jump": j,
            "T_K": None,
            "mean_A": g.free_radius_A,
            "q05_A": None,
            "q95_A": None,
            "open_fraction": None,
            "area_A2": g.area_A2,
        }
        for j, g in static.items()
    ]
    series: list[Series] = []
    for tone, jump in enumerate(jumps):
        found = [(m.temperature_K, g) for m in measurements for g in m.gates if g.jump == jump]
        series.append(
            Series(
                kind="points",
                label=jump,
                tone=tone,
                x=tuple(T + 6.0 * (tone - (len(jumps) - 1) / 2) for T, _ in found),
                y=tuple(g.free_radius_mean_A for _, g in found),
                y_low=tuple(g.free_radius_q05_A for _, g in found),
                y_high=tuple(g.free_radius_q95_A for _, g in found),
                names=tuple(
                    f"{jump} at {T:g} K: {g.free_radius_mean_A:.2f} Å ({g.free_radius_q05_A:.2f} to"
                    f" {g.free_radius_q95_A:.2f}), open {100 * g.open_fraction:.0f} % of the time"
                    for T, g in found
                ),
            )
        )
        rows += [
            {
                "jump": jump,
                "T_K": T,
                "mean_A": g.free_radius_mean_A,
                "q05_A": g.free_radius_q05_A,
                "q95_A": g.free_radius_q95_A,
                "open_fraction": g.open_fraction,
                "area_A2": g.area_mean_A2,
            }
            for T, g in found
        ]
    if not series:
        return None
    if len(jumps) <= _MOST_STATIC:
        kelvin = [x for s in series for x in s.x]
        span = (min(kelvin) - 12.0, max(kelvin) + 12.0)
        series += [
            Series(
                kind="dashed",
                label=f"{jump}, static",
                tone=tone,
                x=span,
                y=(static[jump].free_radius_A,) * 2,
            )
            for tone, jump in enumerate(jumps)
            if jump in static
        ]
    return Figure(
        key=key,
        title="Bottlenecks during the dynamics",
        description=(
            f"Free radius of the bottlenecks of {formula} by temperature: mean (dot) and the range in which it lies 90"
            " % of the time (bar); dashed lines, where there are few, are the static structure."
        ),
        x=Axis("T (K)"),
        y=Axis("free radius (Å)"),
        series=tuple(series),
        rows=tuple(rows),
    )


def gates_against_conductivity(ranking: Ranking) -> Figure | None:
    """Return conductivity over bottleneck radius by family, or None when too few have both."""
    rows = [
        r
        for r in ranking.rows
        if r.section == "ranked" and r.bottleneck and r.bottleneck.is_value and r.conductivity.is_value
    ]
    if len(rows) < 2:
        return None
    families = sorted({r.family for r in rows})
    series = []
    for tone, family in enumerate(families):
        group = [r for r in rows if r.family == family]
        series.append(
            Series(
                kind="points",
                label=family,
                tone=tone,
                x=tuple(r.bottleneck.value or 0.0 for r in group if r.bottleneck),
                x_low=tuple(r.bottleneck.low68 or 0.0 for r in group if r.bottleneck),
                x_high=tuple(r.bottleneck.high68 or 0.0 for r in group if r.bottleneck),
                y=tuple(r.conductivity.value or 0.0 for r in group),
                y_low=tuple(r.conductivity.low68 or r.conductivity.value or 0.0 for r in group),
                y_high=tuple(r.conductivity.high68 or r.conductivity.value or 0.0 for r in group),
                marks=tuple(str(r.rank or "") for r in group),
                names=tuple(
                    f"{r.formula}: {estimate_text(r.bottleneck)} Å, {estimate_text(r.conductivity)} S/cm" for r in group
                ),
            )
        )
    return Figure(
        key="bottleneck",
        title="Conductivity against bottleneck (numbers: rank)",
        description="Each ranked candidate: conductivity over the free radius of its widest path, by family.",
        x=Axis("free radius of the bottleneck (Å)"),
        y=Axis(f"σ({ranking.target_temperature_K:g} K) (S/cm)", "log"),
        series=tuple(series),
        rows=tuple(
            {
                "candidate_id": r.candidate_id,
                "family": r.family,
                "bottleneck_radius_A": r.bottleneck.value if r.bottleneck else None,
                "sigma_S_per_cm": r.conductivity.value,
            }
            for r in rows
        ),
    )
