"""The drawing kit of the sections: templates with escaping on, the filters they use, and the figure with its data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ionsieve.quantities import quantity
from ionsieve.records import Estimate
from ionsieve.report import svg, text
from ionsieve.report.figure import Cell, Figure
from ionsieve.verdicts import Flag, Severity, Verdict

__all__ = ["Section", "environment", "json_script", "render"]


@dataclass(frozen=True)
class Section:
    """One part of the page: anchor, title and its HTML."""

    key: str
    title: str
    html: Markup


def json_script(value: Any, css: str) -> Markup:
    """Return a script element with JSON that no browser runs and that cannot close the element early."""
    dumped = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    safe = dumped.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return Markup('<script type="application/json" class="{}">').format(css) + Markup(safe) + Markup("</script>")  # noqa: S704  no < is left


def _compact(value: Cell) -> Cell:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def figure_data(figure: Figure) -> Markup:
    """Return the rows behind a figure as a JSON script element (columns and rows)."""
    columns = figure.columns
    rows = [[_compact(row.get(c)) for c in columns] for row in figure.rows]
    return json_script({"name": figure.key, "columns": columns, "rows": rows}, "figure-data")


def legend(figure: Figure) -> list[tuple[str, str, int]]:
    """Return (label, kind, tone) once for each named series, the muted ones last."""
    seen: dict[str, tuple[str, str, int]] = {}
    for series in figure.series:
        if series.label:
            kind = "hollow" if series.hollow and series.kind != "limit" else series.kind
            seen.setdefault(series.label, (series.label, kind, series.tone))
    return sorted(seen.values(), key=lambda entry: (entry[2] < 0, entry[2]))


def strip(estimate: Estimate, limits: tuple[float, float]) -> Markup:
    """Return the interval bar of a conductivity for a table cell."""
    band68 = (estimate.low68, estimate.high68) if estimate.low68 and estimate.high68 else None
    band95 = (estimate.low95, estimate.high95) if estimate.low95 and estimate.high95 else None
    told = (
        f"{text.estimate_text(estimate)}, 68 % interval {text.interval_text(estimate)}"
        if band68
        else text.estimate_text(estimate)
    )
    return svg.strip(
        estimate.value,
        band68,
        band95,
        low=limits[0],
        high=limits[1],
        limit=estimate.kind is Verdict.UPPER_LIMIT,
        label=told,
    )


def _interval(estimate: Estimate, level: int = 68) -> str:
    """Return the interval with its powers of ten held together, so that a narrow cell breaks at the dash."""
    return text.interval_text(estimate, level).replace(" × ", "\u00a0×\u00a0")


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the template environment; undefined names are errors and everything is escaped."""
    env = Environment(
        loader=PackageLoader("ionsieve.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        formula=text.formula_html,
        formula_text=text.formula_text,
        number=text.number,
        signed=text.signed,
        words=text.words,
        estimate=text.estimate_text,
        interval=_interval,
        probability=text.probability,
        power=text.target_text,
    )
    env.globals.update(
        draw=svg.draw,
        strip=strip,
        legend=legend,
        figure_data=figure_data,
        json_script=json_script,
        quantity=quantity,
        note_flags=[flag.value for flag in Flag if flag.severity is Severity.NOTE],
        severity={flag.value: flag.severity.value for flag in Flag},
        sentence={flag.value: flag.sentence for flag in Flag},
    )
    return env


def render(template: str, **context: Any) -> Markup:
    """Fill a template."""
    return Markup(environment().get_template(template).render(**context))  # noqa: S704  autoescape is on
