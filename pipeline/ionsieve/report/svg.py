"""Figures as inline SVG: coloured by the page's own variables, so that they follow the theme and the printer."""

from __future__ import annotations

from markupsafe import Markup, escape

from ionsieve.report.figure import Figure, Series
from ionsieve.report.scales import Scale, scale_of

__all__ = ["draw", "strip"]

_FONT = 12.5


def _xy(x: float, y: float) -> str:
    return f"{x:.1f},{y:.1f}"


def draw(figure: Figure) -> Markup:
    """Return one ``<svg>`` element with title and description for screen readers."""
    left = 12.0 if figure.y.categories else 64.0
    right, bottom = figure.width - 14.0, figure.height - 46.0
    top = 40.0 if figure.second_axis else 24.0 if any(r.axis == "x" for r in figure.references) else 12.0
    x = scale_of(figure, "x", left, right)
    y = scale_of(figure, "y", top, bottom) if figure.y.categories else scale_of(figure, "y", bottom, top)
    clip = f"clip-{figure.key}"
    parts = [
        (
            f'<svg class="plot" viewBox="0 0 {figure.width} {figure.height}" role="img" '
            f'aria-labelledby="t-{escape(figure.key)} d-{escape(figure.key)}">'
        ),
        f'<title id="t-{escape(figure.key)}">{escape(figure.title)}</title>',
        f'<desc id="d-{escape(figure.key)}">{escape(figure.description)}</desc>',
        (
            f'<clipPath id="{escape(clip)}"><rect x="{left}" y="{top}" width="{right - left:.1f}"'
            f' height="{bottom - top:.1f}"/></clipPath>'
        ),
        *_axes(figure, x, y, left, right, top, bottom),
        *_references(figure, x, y, left, right, top, bottom),
        f'<g clip-path="url(#{escape(clip)})">',
        *(mark for series in figure.series for mark in _series(series, x, y)),
        *_marks(figure, x, y, (left, right, top, bottom)),
        "</g></svg>",
    ]
    return Markup("".join(parts))  # noqa: S704  every text went through escape, the rest are numbers


def _axes(figure: Figure, x: Scale, y: Scale, left: float, right: float, top: float, bottom: float) -> list[str]:
    parts = [f'<rect class="frame" x="{left}" y="{top}" width="{right - left:.1f}" height="{bottom - top:.1f}"/>']
    grid, labels = [], []
    for value, label in x.ticks():
        px = x(value)
        grid.append(f"M{px:.1f} {top:.1f}V{bottom:.1f}")
        labels.append(f'<text x="{px:.1f}" y="{bottom + 17:.1f}" text-anchor="middle">{escape(label)}</text>')
    for value, label in y.ticks():
        py = y(value)
        if figure.y.categories:  # names stand above their rows, so that the plot keeps its width on a phone
            labels.append(f'<text class="row" x="{left + 5:.1f}" y="{py - 9:.1f}">{escape(label)}</text>')
            continue
        grid.append(f"M{left:.1f} {py:.1f}H{right:.1f}")
        labels.append(f'<text x="{left - 7:.1f}" y="{py + 4:.1f}" text-anchor="end">{escape(label)}</text>')
    minor = [f"M{x(v):.1f} {bottom:.1f}v-4" for v in x.minor_ticks()] + [
        f"M{left:.1f} {y(v):.1f}h4" for v in y.minor_ticks()
    ]
    parts.append(f'<path class="grid" d="{"".join(grid)}"/>')
    if minor:
        parts.append(f'<path class="minor" d="{"".join(minor)}"/>')
    for position, label in figure.second_axis:
        px = x(position)
        if left - 1 <= px <= right + 1:
            labels.append(f'<text x="{px:.1f}" y="{top - 6:.1f}" text-anchor="middle">{escape(label)}</text>')
    if figure.second_label:
        labels.append(
            f'<text class="name" x="{(left + right) / 2:.1f}" y="13"'
            f' text-anchor="middle">{escape(figure.second_label)}</text>'
        )
    labels.append(
        f'<text class="name" x="{(left + right) / 2:.1f}" y="{figure.height - 8}"'
        f' text-anchor="middle">{escape(figure.x.label)}</text>'
    )
    if figure.y.label and not figure.y.categories:
        middle = (top + bottom) / 2
        labels.append(
            f'<text class="name" transform="translate(14 {middle:.1f}) rotate(-90)"'
            f' text-anchor="middle">{escape(figure.y.label)}</text>'
        )
    return [*parts, *labels]


def _note(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text class="note" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _references(figure: Figure, x: Scale, y: Scale, left: float, right: float, top: float, bottom: float) -> list[str]:
    parts = []
    for reference in figure.references:
        if reference.axis == "x":
            px = x(reference.value)
            parts.append(f'<path class="reference" d="M{px:.1f} {top:.1f}V{bottom:.1f}"/>')
            parts.append(_note(px, top - 6, "middle", reference.label))
        else:
            py = y(reference.value)
            parts.append(f'<path class="reference" d="M{left:.1f} {py:.1f}H{right:.1f}"/>')
            parts.append(_note(right - 4, py - 4, "end", reference.label))
    return parts


def _tone(series: Series) -> str:
    return "tone-m" if series.tone < 0 else f"tone-{series.tone % 8}"


def _series(series: Series, x: Scale, y: Scale) -> list[str]:
    tone = _tone(series)
    px = [x(v) for v in series.x]
    if series.kind == "band":
        upper = [_xy(a, y(b)) for a, b in zip(px, series.y_high, strict=True)]
        lower = [_xy(a, y(b)) for a, b in zip(px, series.y_low, strict=True)]
        return [f'<polygon class="band {tone}" points="{" ".join([*upper, *reversed(lower)])}"/>']
    py = [y(v) for v in series.y]
    if series.kind in ("line", "thick"):
        points = " ".join(_xy(a, b) for a, b in zip(px, py, strict=True))
        return [f'<polyline class="{series.kind} {tone}" points="{points}"/>']
    parts = []
    bars = ""
    for i, (a, b) in enumerate(zip(px, py, strict=True)):
        title = f"<title>{escape(series.names[i])}</title>" if i < len(series.names) else ""
        if series.y_low:
            bars += f"M{a:.1f} {y(series.y_low[i]):.1f}V{y(series.y_high[i]):.1f}"
        if series.x_low:
            bars += f"M{x(series.x_low[i]):.1f} {b:.1f}H{x(series.x_high[i]):.1f}"
        if series.kind == "interval":
            continue
        if series.kind == "limit":
            arrow = (
                f"M{a:.1f} {b - 6:.1f}v12M{a:.1f} {b:.1f}h-16m5 -4l-5 4l5 4"
                if y.axis.categories
                else f"M{a - 6:.1f} {b:.1f}h12M{a:.1f} {b:.1f}v16m-4 -5l4 5l4 -5"
            )
            parts.append(f'<path class="limit {tone}" d="{arrow}">{title}</path>')
        else:
            kind = "dot hollow" if series.hollow else "dot"
            parts.append(f'<circle class="{kind} {tone}" cx="{a:.1f}" cy="{b:.1f}" r="4">{title}</circle>')
    kind = "error wide" if series.kind == "interval" else "error"
    return [f'<path class="{kind} {tone}" d="{bars}"/>', *parts] if bars else parts


_Box = tuple[float, float, float, float]


def _marks(figure: Figure, x: Scale, y: Scale, frame: _Box) -> list[str]:
    """Return the short texts beside points, each in the first of four corners where it covers nothing, else none."""
    left, right, top, bottom = frame
    wanted = [(m, x(s.x[i]), y(s.y[i])) for s in figure.series for i, m in enumerate(s.marks) if m]
    taken: list[_Box] = [(px - 4, px + 4, py - 4, py + 4) for _, px, py in wanted]
    parts = []
    for text, px, py in sorted(wanted, key=lambda w: (len(w[0]), w[0])):
        width = 7.0 * len(text)
        for dx, dy in ((6.0, -5.0), (6.0, 14.0), (-6.0 - width, -5.0), (-6.0 - width, 14.0)):
            box = (px + dx, px + dx + width, py + dy - 9, py + dy)
            inside = box[0] >= left and box[1] <= right and box[2] >= top and box[3] <= bottom
            if inside and not any(box[0] < b[1] and b[0] < box[1] and box[2] < b[3] and b[2] < box[3] for b in taken):
                taken.append(box)
                parts.append(f'<text class="mark" x="{px + dx:.1f}" y="{py + dy:.1f}">{escape(text)}</text>')
                break
    return parts


def strip(
    value: float | None, band68: tuple[float, float] | None, band95: tuple[float, float] | None,
    *, low: float, high: float, limit: bool = False, label: str = "",
) -> Markup:  # fmt: skip
    """Return a small interval bar on a logarithmic axis from `low` to `high`, for a table cell."""
    from ionsieve.report.figure import Axis

    scale = Scale(Axis("", "log"), low, high, 2.0, 138.0)
    parts = [f'<svg class="strip" viewBox="0 0 140 18" role="img" aria-label="{escape(label)}">']
    parts.append(f'<path class="grid" d="{"".join(f"M{scale(v):.1f} 2V16" for v, _ in scale.ticks())}"/>')
    if value is not None and limit:
        px = scale(value)
        parts.append(f'<path class="limit tone-m" d="M{px:.1f} 3V15M{px:.1f} 9H2m5 -4l-5 4l5 4"/>')
    elif value is not None:
        if band95:
            parts.append(f'<path class="whisker" d="M{scale(band95[0]):.1f} 9H{scale(band95[1]):.1f}"/>')
        if band68:
            parts.append(f'<path class="box" d="M{scale(band68[0]):.1f} 9H{scale(band68[1]):.1f}"/>')
        parts.append(f'<circle class="dot tone-0" cx="{scale(value):.1f}" cy="9" r="3.4"/>')
    parts.append("</svg>")
    return Markup("".join(parts))  # noqa: S704  numbers and one escaped label
