"""Figures of one run and of an Arrhenius fit, drawn without a display and without global state.

Each function returns a matplotlib `Figure`; `save` writes it. The numbers behind every figure are in the CSV and JSON
that `ionsieve analyze` writes beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ionsieve.quantities import quantity
from ionsieve.records.estimate import Estimate
from ionsieve.transport.arrhenius import ArrheniusResult
from ionsieve.transport.measuring import Transport
from ionsieve.transport.placing import place
from ionsieve.verdicts import Flag, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_arrhenius", "plot_mechanism", "plot_msd", "plot_van_hove", "save"]

_BLUE, _ORANGE, _GREY, _GREEN = "#0072b2", "#d55e00", "#666666", "#009e73"


def _figure(width: float = 7.2, height: float = 3.2, columns: int = 1) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns)


def save(figure: Figure, path: str | Path) -> Path:
    """Write the figure, whole or not at all; the suffix gives the format."""
    from io import BytesIO

    path, drawn = Path(path), BytesIO()
    metadata = {"Software": None} if path.suffix == ".png" else {"Date": None} if path.suffix == ".svg" else {}
    figure.savefig(drawn, format=path.suffix.removeprefix(".") or "png", dpi=150, metadata=metadata)
    return place(path, drawn.getvalue())


def plot_msd(result: Transport) -> Figure:
    """MSD of mobile ions, charge and framework with the fit window, linear and log-log."""
    figure, (linear, log) = _figure(columns=2)
    t = result.tracer.lags_ps
    last = max(2, int(0.7 * len(t)))
    curves = [
        (result.tracer.msd_A2, _BLUE, f"{result.mobile_ion} (tracer)"),
        (result.charge.msd_A2, _ORANGE, "charge, per ion"),
        (result.framework_msd_A2, _GREY, "framework"),
    ]
    for axes in (linear, log):
        for curve, colour, label in curves:
            axes.plot(t[1:last], curve[1:last], color=colour, lw=1.2, label=label)
        if result.fit_window_ps:
            axes.axvspan(*result.fit_window_ps, color=_BLUE, alpha=0.08, lw=0)
        axes.set_xlabel("lag (ps)")
        axes.set_ylabel(quantity("msd").label)
    fit, window = result.tracer.fit, result.tracer.window
    if fit is not None and window is not None:
        x = t[window.lags]
        y = fit.intercept + fit.slope * x
        band = result.tracer.msd_error_A2
        linear.fill_between(x, y - band, y + band, color=_BLUE, alpha=0.25, lw=0)
        linear.plot(x, y, color="black", lw=0.9, ls="--", label="fit")
    log.set_xscale("log")
    log.set_yscale("log")
    if result.log_log_slope is not None:
        log.set_title(f"log-log slope {result.log_log_slope:.2f}", fontsize=9)
    linear.set_title(_headline(result.tracer_diffusivity), fontsize=9)
    linear.legend(fontsize=7, frameon=False)
    return figure


def _headline(estimate: Estimate) -> str:
    label = quantity(estimate.quantity)
    if estimate.kind is Verdict.UPPER_LIMIT:
        return f"{label.symbol} < {estimate.value:.2g} {label.unit} (95 %)"
    if not estimate.is_value:
        return f"{label.symbol}: refused"
    band = f"[{estimate.low68:.2g}, {estimate.high68:.2g}]"
    return f"{label.symbol} = {estimate.value:.3g} {band} {label.unit}, {estimate.kind}"


def plot_van_hove(
    self_parts: Sequence[tuple[Any, Any]], distinct: Sequence[tuple[Any, Any]], lags_ps: Sequence[float]
) -> Figure:
    """Self part 4 pi r² G_s and distinct part G_d at several lags, each as (radii, values)."""
    figure, (left, right) = _figure(columns=2)
    shades = np.linspace(0.3, 1.0, max(len(lags_ps), 1))
    for k, lag in enumerate(lags_ps):
        radii, own = self_parts[k]
        left.plot(radii, 4 * np.pi * radii**2 * own, color=_BLUE, alpha=shades[k], label=f"{lag:.3g} ps")
        right.plot(*distinct[k], color=_ORANGE, alpha=shades[k])
    left.set_ylabel("4πr² G_s (1/Å)")
    right.set_ylabel("G_d / density")
    for axes in (left, right):
        axes.set_xlabel("r (Å)")
    left.legend(fontsize=7, frameon=False)
    return figure


def plot_mechanism(result: Transport) -> Figure:
    """Non-Gaussian parameter, and the orientational correlation of the polyanions where there are any."""
    figure, (left, right) = _figure(columns=2)
    curve = result.mechanism.get("non_gaussian") or {"lag_ps": [], "alpha2": []}
    left.plot(curve["lag_ps"], curve["alpha2"], color=_BLUE, lw=1.2)
    left.axhline(0.0, color=_GREY, lw=0.6)
    left.set_xlabel("lag (ps)")
    left.set_ylabel("non-Gaussian parameter α₂")
    if curve["lag_ps"]:
        left.set_xscale("log")
    for turning, colour in zip(result.mechanism.get("rotation", {}).items(), (_ORANGE, _GREEN, _BLUE), strict=False):
        bond, c = turning
        right.plot(c["lag_ps"], c["c1"], color=colour, lw=1.2, label=f"{bond} C₁")
        right.plot(c["lag_ps"], c["c2"], color=colour, lw=1.2, ls="--", label=f"{bond} C₂")
        right.set_xscale("log")
    right.axhline(0.0, color=_GREY, lw=0.6)
    right.set_ylim(-0.55, 1.05)
    right.set_xlabel("lag (ps)")
    right.set_ylabel("orientational correlation")
    if result.mechanism.get("rotation"):
        right.legend(fontsize=7, frameon=False)
    else:
        right.set_title("no polyanion named", fontsize=9)
    return figure


def plot_arrhenius(temperatures_K: Sequence[float], estimates: Sequence[Estimate], result: ArrheniusResult) -> Figure:
    """Log D against 1000/T with the 68 and 95 % bands, upper limits as downward triangles.

    Temperatures that the line leaves out (another phase) are grey, and the band ends before them.
    """
    figure, axes = _figure(width=4.6, height=3.6)
    for t, e in zip(temperatures_K, estimates, strict=True):
        x = 1000.0 / t
        if e.is_value and e.value and e.low68 is not None and e.high68 is not None:
            colour = _BLUE if t in result.temperatures_K else _GREY
            face = colour if e.kind is Verdict.VALUE else "white"
            bar = [[e.value - e.low68], [e.high68 - e.value]]
            axes.errorbar(x, e.value, yerr=bar, fmt="o", color=colour, mfc=face, capsize=2)
        elif e.kind is Verdict.UPPER_LIMIT:
            axes.plot(x, e.value, marker="v", color=_GREY, ls="")
    if result.fit is not None:
        ends = [*result.temperatures_K, result.target_temperature_K]
        grid = np.linspace(1000.0 / max(ends), 1000.0 / min(ends), 100)
        points = [result.diffusivity_at(1000.0 / x) for x in grid]
        axes.fill_between(grid, [p.low95 for p in points], [p.high95 for p in points], color=_GREEN, alpha=0.12, lw=0)
        axes.fill_between(grid, [p.low68 for p in points], [p.high68 for p in points], color=_GREEN, alpha=0.25, lw=0)
        axes.plot(grid, [p.value for p in points], color="black", lw=0.9)
        error = np.sqrt(result.fit.covariance[1][1])
        how = "Ea assumed" if Flag.ASSUMED_EA in result.flags else "Ea"
        axes.set_title(f"{how} = {result.fit.Ea_eV:.3f} ± {error:.3f} eV", fontsize=9)
    axes.set_yscale("log")
    axes.set_xlabel("1000 K / T")
    axes.set_ylabel(quantity("tracer_diffusivity").label)
    return figure
