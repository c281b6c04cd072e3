"""Bottlenecks: how they breathe during the dynamics, and how they go with conductivity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ionsieve.records import GateMotion, Measurement, Ranking, StaticDescriptors
from ionsieve.report.figure import Axis, Cell, Figure, Series
from ionsieve.report.text import estimate_text
from ionsieve.verdicts import Outcome

__all__ = ["gate_motion", "gates_against_conductivity"]

#: Rows of the figure; its data hold every gate.
_MOST_GATES = 8
#: How far the temperatures of one gate stand apart, in rows.
_ROW = 0.4


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
    found = {j: [(m.temperature_K, g) for m in measurements for g in m.gates if g.jump == j] for j in jumps}
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
        for jump in jumps
        for T, g in found[jump]
    ]
    if not jumps:
        return None
    on_way = {gate.jump for d in described for gate in d.gates if gate.percolating}
    width = {jump: max(g.free_radius_mean_A for _, g in found[jump]) for jump in jumps}
    # what limits comes first: the gates of the widest way through, the narrowest on top
    ranked = sorted(jumps, key=lambda jump: (0, width[jump]) if jump in on_way else (1, -width[jump]))
    shown = ranked[:_MOST_GATES]
    temperatures = sorted({T for jump in shown for T, _ in found[jump]})
    lanes = len(temperatures) + 1  # the last is the static structure's
    series = [_at_temperature(T, k, lanes, shown, found) for k, T in enumerate(temperatures)]
    still = [(static[jump].free_radius_A, float(i), jump) for i, jump in enumerate(shown) if jump in static]
    if still:
        series.append(
            Series(
                kind="points",
                label="static structure",
                tone=-1,
                hollow=True,
                x=tuple(r for r, _, _ in still),
                y=tuple(y + _ROW for _, y, _ in still),
                names=tuple(f"{jump}, static: {r:.2f} Å" for r, _, jump in still),
            )
        )
    part = f": {len(shown)} of {len(jumps)}" if len(shown) < len(jumps) else ""
    return Figure(
        key=key,
        title=f"Bottlenecks during the dynamics{part}",
        description=(
            f"Free radius of the bottlenecks of {formula}, one row a kind of jump: first those on the widest way"
            " through the crystal, the narrowest on top, then the others, the widest on top. One colour a temperature:"
            " mean (dot) and the range in which it lies 90 % of the time (bar); hollow: the static cell."
        ),
        x=Axis("free radius (Å)"),
        y=Axis("", categories=tuple(shown)),
        series=tuple(series),
        rows=tuple(rows),
        height=72 + (26 + 7 * lanes) * len(shown),
    )


def _at_temperature(
    T: float, place: int, of: int, shown: Sequence[str], found: Mapping[str, Sequence[tuple[float, GateMotion]]]
) -> Series:
    """Return the gates of one temperature, moved a little within their rows."""
    aside = _ROW * place / (of - 1)
    points = [(float(i) + aside, jump, g) for i, jump in enumerate(shown) for t, g in found[jump] if t == T]
    return Series(
        kind="points",
        label=f"{T:g} K",
        tone=place,
        x=tuple(g.free_radius_mean_A for _, _, g in points),
        y=tuple(y for y, _, _ in points),
        x_low=tuple(g.free_radius_q05_A for _, _, g in points),
        x_high=tuple(g.free_radius_q95_A for _, _, g in points),
        names=tuple(
            f"{jump} at {T:g} K: {g.free_radius_mean_A:.2f} Å ({g.free_radius_q05_A:.2f} to {g.free_radius_q95_A:.2f}),"
            f" open {100 * g.open_fraction:.0f} % of the time"
            for _, jump, g in points
        ),
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
    families = list(dict.fromkeys(r.family for r in rows))  # the best one's first: the colours of the plots beside it
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
