"""Axes: limits that hold the data, and ticks at round numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ionsieve.report.figure import Axis, Figure
from ionsieve.report.text import power_of_ten

__all__ = ["Scale", "extent", "scale_of"]


@dataclass(frozen=True)
class Scale:
    """Maps a value to a position between `start` and `end` (pixels)."""

    axis: Axis
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the position of `value`, clipped a little outside of the frame."""
        low, high, v = self.low, self.high, value
        if self.axis.scale == "log":
            low, high, v = math.log10(low), math.log10(high), math.log10(value) if value > 0 else -1e9
        share = (v - low) / (high - low) if high > low else 0.5
        return self.start + min(1.6, max(-0.6, share)) * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Return (value, label) of the major ticks."""
        if self.axis.categories:
            return [(float(i), name) for i, name in enumerate(self.axis.categories)]
        if self.axis.scale == "log":
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            if last - first >= 1:
                step = max(1, math.ceil((last - first) / 7))
                return [(10.0**e, power_of_ten(e)) for e in range(first, last + 1, step)]
            return [(v, f"{v:.6g}") for v in _nice(self.low, self.high, 4) if v > 0]
        return [(v, f"{v:.6g}") for v in _nice(self.low, self.high, 6)]

    def minor_ticks(self) -> list[float]:
        """Return the minor ticks of a logarithmic axis."""
        if self.axis.scale != "log" or math.log10(self.high / self.low) > 9:
            return []
        exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)))
        return [m * 10.0**e for e in exponents for m in range(2, 10) if self.low <= m * 10.0**e <= self.high]


def _nice(low: float, high: float, count: int) -> list[float]:
    span = high - low
    if span <= 0:
        return [low]
    raw = span / count
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * magnitude >= raw - 1e-12 * magnitude)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def extent(values: Iterable[float], axis: Axis) -> tuple[float, float]:
    """Return limits a little wider than the values."""
    if axis.limits:
        return axis.limits
    if axis.categories:
        return -0.8, len(axis.categories) - 0.45
    finite = [v for v in values if math.isfinite(v) and (axis.scale == "linear" or v > 0)]
    if not finite:
        return (0.1, 10.0) if axis.scale == "log" else (0.0, 1.0)
    low, high = min(finite), max(finite)
    if axis.scale == "log":
        pad = max(0.12, 0.05 * math.log10(high / low))
        return low * 10**-pad, high * 10**pad
    pad = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return low - pad, high + pad


def scale_of(figure: Figure, which: str, start: float, end: float) -> Scale:
    """Return the scale of axis ``x`` or ``y`` of a figure between two positions."""
    axis: Axis = getattr(figure, which)
    values: list[float] = []
    for series in figure.series:
        for name in (which, f"{which}_low", f"{which}_high"):
            values.extend(getattr(series, name))
    values.extend(r.value for r in figure.references if r.axis == which)
    low, high = extent(values, axis)
    return Scale(axis, low, high, start, end)
