"""A figure as plain data: what is drawn and the rows behind it. `svg.draw` and `static.save` turn it into pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Axis", "Cell", "Figure", "Reference", "Series"]

Cell = float | int | str | None


@dataclass(frozen=True)
class Axis:
    """One axis: label with unit, scale, optional fixed limits, optional category names at 0, 1, 2 ..."""

    label: str
    scale: Literal["linear", "log"] = "linear"
    limits: tuple[float, float] | None = None
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Series:
    """What is drawn with one colour; without points it only stands in the legend.

    Attributes
    ----------
    kind
        ``points`` with error bars, ``interval`` (the bars alone), ``line``, ``thick`` (a line that stands out),
        ``band`` (between `y_low` and `y_high`) or ``limit`` (arrows that point down from `y`, or left from `x` where y
        names categories).
    tone
        Colour 0-7, or -1 for a muted grey.
    names
        What each point is called in its tooltip.
    marks
        Short texts beside the points, for example ranks; one is left out where it would cover another.
    """

    kind: Literal["points", "interval", "line", "thick", "band", "limit"]
    x: tuple[float, ...]
    y: tuple[float, ...]
    label: str = ""
    tone: int = 0
    x_low: tuple[float, ...] = ()
    x_high: tuple[float, ...] = ()
    y_low: tuple[float, ...] = ()
    y_high: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    hollow: bool = False


@dataclass(frozen=True)
class Reference:
    """A dashed line across the figure at `value` of axis ``x`` or ``y``, with its label."""

    axis: Literal["x", "y"]
    value: float
    label: str = ""


@dataclass(frozen=True)
class Figure:
    """A plot and its data.

    Attributes
    ----------
    key
        Unique in a report and safe as a file name.
    description
        What the plot shows, in words, for readers who cannot see it.
    second_axis
        Ticks of a second axis on top: (position on the x axis, label); `second_label` names it.
    rows
        The data behind the plot, one row a point, units in the keys.
    """

    key: str
    title: str
    description: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    references: tuple[Reference, ...] = ()
    second_axis: tuple[tuple[float, str], ...] = ()
    second_label: str = ""
    rows: tuple[dict[str, Cell], ...] = field(default=())
    width: int = 520
    height: int = 360

    @property
    def columns(self) -> tuple[str, ...]:
        """Keys of all rows in the order of their first appearance."""
        return tuple(dict.fromkeys(key for row in self.rows for key in row))
