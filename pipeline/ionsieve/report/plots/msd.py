"""Mean-squared displacement of each run, with the window of the fit."""

from __future__ import annotations

from collections.abc import Sequence

from ionsieve.records import Measurement
from ionsieve.report.figure import Axis, Cell, Figure, Series
from ionsieve.verdicts import Outcome

__all__ = ["msd"]

_MOST_POINTS = 48


def _thin(n: int) -> list[int]:
    if n <= _MOST_POINTS:
        return list(range(n))
    step = (n - 1) / (_MOST_POINTS - 1)
    return sorted({round(i * step) for i in range(_MOST_POINTS)})


def _label(measurement: Measurement) -> str:
    temperature = f"{measurement.temperature_K:g} K"
    good = measurement.outcome in (Outcome.COMPLETED, Outcome.STOPPED_EARLY)
    return temperature if good else f"{temperature} ({measurement.outcome.value.replace('_', ' ')})"


def msd(measurements: Sequence[Measurement], formula: str, key: str) -> Figure | None:
    """Return the MSD of the runs of one candidate, or None when no curve was kept."""
    series: list[Series] = []
    rows: list[dict[str, Cell]] = []
    temperatures = sorted({m.temperature_K for m in measurements})
    drawn = 0
    for measurement in measurements:
        curve = measurement.msd
        if curve is None or not any(y > 0 for y in curve.y):
            continue
        tone = temperatures.index(measurement.temperature_K)
        keep = [i for i in _thin(len(curve.x)) if curve.x[i] > 0 and curve.y[i] > 0]
        x, y = tuple(curve.x[i] for i in keep), tuple(curve.y[i] for i in keep)
        known = [(i, error) for i in keep if curve.error and (error := curve.error[i]) is not None]
        if known:
            low = tuple(max(curve.y[i] - error, 0.2 * curve.y[i]) for i, error in known)
            high = tuple(curve.y[i] + error for i, error in known)
            reach = tuple(curve.x[i] for i, _ in known)
            series.append(Series(kind="band", tone=tone, x=reach, y=(), y_low=low, y_high=high))
        series.append(Series(kind="line", label=_label(measurement), tone=tone, x=x, y=y))
        if measurement.fit_window_ps:
            a, b = measurement.fit_window_ps
            inside = [(u, v) for u, v in zip(x, y, strict=True) if a <= u <= b]
            if len(inside) > 1:
                series.append(
                    Series(kind="thick", tone=tone, x=tuple(u for u, _ in inside), y=tuple(v for _, v in inside))
                )
        rows += [
            {
                "run_id": measurement.run_id,
                "T_K": measurement.temperature_K,
                "lag_ps": curve.x[i],
                "msd_A2": curve.y[i],
                "error_A2": curve.error[i] if curve.error else None,
            }
            for i in keep
        ]
        drawn += 1
    if not drawn:
        return None
    if any(s.kind == "thick" for s in series):
        series.append(Series(kind="thick", label="window of the fit", tone=-1, x=(), y=()))
    return Figure(
        key=key,
        title="Mean-squared displacement",
        description=(
            f"MSD of the mobile ion in {formula} for {drawn} runs on logarithmic axes; the thick part of each line is"
            " the window of the fit. A line of slope one is diffusion; a plateau is an ion rattling in its cage."
        ),
        x=Axis("lag time (ps)", "log"),
        y=Axis("MSD (Å²)", "log"),
        series=tuple(series),
        rows=tuple(rows),
    )
