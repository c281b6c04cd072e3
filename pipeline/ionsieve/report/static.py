"""Every figure as SVG, PNG and PDF for papers and slides, each with its data as CSV beside it."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from ionsieve.report.figure import Figure, Series
from ionsieve.report.scales import extent
from ionsieve.report.view import ReportView
from ionsieve.store.folder import write_file

__all__ = ["FORMATS", "data_csv", "figures_of", "save", "save_all"]

FORMATS = ("svg", "png", "pdf")
_COLOURS = ("#0b6e8a", "#c8551b", "#4f7d1f", "#8a4fa8", "#a67c00", "#b3285e", "#3b5bb5", "#6b5b4b")
_MUTED = "#7d858c"
#: What makes two runs give equal bytes: no date, no random identifiers.
_STEADY = {
    "svg.hashsalt": "ionsieve",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.family": "DejaVu Sans",
    "font.size": 9,
}


def figures_of(view: ReportView) -> tuple[Figure, ...]:
    """Return all figures of a report: the shared ones first, then those of the candidates in order of rank."""
    return (*view.figures.values(), *(figure for page in view.candidates for figure in page.figures))


def data_csv(figure: Figure) -> str:
    """Return the data behind a figure as CSV."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(figure.columns)
    for row in figure.rows:
        writer.writerow(
            ["" if (v := row.get(c)) is None else repr(v) if isinstance(v, float) else v for c in figure.columns]
        )
    return stream.getvalue()


def save(figure: Figure, folder: str | Path, *, formats: tuple[str, ...] = FORMATS) -> list[Path]:
    """Write one figure in each format and its data; return the paths."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with mpl.rc_context(_STEADY):
        canvas = Canvas(figsize=(figure.width / 90, figure.height / 90), layout="constrained")
        FigureCanvasAgg(canvas)
        _fill(canvas.add_subplot(), figure)
        for suffix in formats:
            path = folder / f"{figure.key}.{suffix}"
            no_date: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(suffix, {})
            canvas.savefig(path, dpi=200, metadata=no_date)
            paths.append(path)
    data = folder / f"{figure.key}.csv"
    write_file(data, data_csv(figure))
    return [*paths, data]


def save_all(view: ReportView, folder: str | Path, *, formats: tuple[str, ...] = FORMATS) -> list[Path]:
    """Write every figure of a report with its data; return the paths."""
    return [path for figure in figures_of(view) for path in save(figure, folder, formats=formats)]


def _fill(axes: Any, figure: Figure) -> None:
    for which in ("x", "y"):
        axis = getattr(figure, which)
        getattr(axes, f"set_{which}scale")(axis.scale)
        getattr(axes, f"set_{which}label")(axis.label)
        values = [
            v for s in figure.series for name in (which, f"{which}_low", f"{which}_high") for v in getattr(s, name)
        ]
        low, high = extent([*values, *(r.value for r in figure.references if r.axis == which)], axis)
        getattr(axes, f"set_{which}lim")(*((high, low) if axis.categories else (low, high)))
        if axis.categories:
            getattr(axes, f"set_{which}ticks")(range(len(axis.categories)), axis.categories)
    axes.grid(visible=True, color="#e2dfd8", linewidth=0.6)
    axes.set_axisbelow(True)
    for reference in figure.references:
        (axes.axvline if reference.axis == "x" else axes.axhline)(
            reference.value, color=_MUTED, linestyle="--", linewidth=0.9
        )
        if reference.axis == "x":
            axes.text(
                reference.value, 1.01, reference.label, transform=axes.get_xaxis_transform(), ha="center", fontsize=8
            )
        else:
            axes.text(
                0.99,
                reference.value,
                reference.label,
                transform=axes.get_yaxis_transform(),
                ha="right",
                va="bottom",
                fontsize=7,
            )
    for series in figure.series:
        _draw(axes, series, "<" if figure.y.categories else "v")
    if any(s.label for s in figure.series):
        axes.legend(fontsize=7, frameon=False)
    if figure.second_axis:
        top = axes.secondary_xaxis("top")
        low, high = axes.get_xlim()
        ticks = [(p, label) for p, label in figure.second_axis if low <= p <= high]
        top.set_xticks([p for p, _ in ticks], [label for _, label in ticks])
        top.set_xlabel(figure.second_label)


def _draw(axes: Any, series: Series, limit: str) -> None:
    colour = _MUTED if series.tone < 0 else _COLOURS[series.tone % len(_COLOURS)]
    label = series.label or None
    if series.kind == "band":
        axes.fill_between(series.x, series.y_low, series.y_high, color=colour, alpha=0.16, linewidth=0, label=label)
    elif series.kind in ("line", "thick"):
        axes.plot(series.x, series.y, color=colour, linewidth=1.3 if series.kind == "line" else 3.2, label=label)
    elif series.kind == "limit":
        axes.plot(
            series.x,
            series.y,
            color=colour,
            linestyle="none",
            marker=limit,
            markersize=5,
            fillstyle="none",
            label=label,
        )
    else:
        errors: dict[str, Any] = {}
        for which in ("x", "y"):
            low, high = getattr(series, f"{which}_low"), getattr(series, f"{which}_high")
            if low:
                centre = getattr(series, which)
                errors[f"{which}err"] = (
                    [max(0.0, c - a) for c, a in zip(centre, low, strict=True)],
                    [max(0.0, b - c) for c, b in zip(centre, high, strict=True)],
                )
        bare = series.kind == "interval"
        axes.errorbar(
            series.x, series.y, color=colour, linestyle="none", marker="none" if bare else "o", markersize=4.5,
            markerfacecolor="white" if series.hollow else colour, elinewidth=2.8 if bare else 1.1,
            alpha=0.5 if bare else 1.0, label=label, **errors,
        )  # fmt: skip
    for x, y, text in zip(series.x, series.y, series.marks, strict=False):
        axes.annotate(text, (x, y), textcoords="offset points", xytext=(4, 3), fontsize=7)
