"""The parity figure: computed against published, a row of panels a potential, a panel a quantity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pairs import Pair

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["parity_figure"]

COLOURS = {"antiperovskite": "#0072B2", "sulfide": "#D55E00", "nasicon": "#009E73", "argyrodite": "#CC79A7"}


def parity_figure(pairs: Sequence[Pair], path: Path) -> None:
    """Draw computed against published, one panel a quantity; equal pairs give equal bytes."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    mpl.rcParams.update({"svg.hashsalt": "ionsieve", "svg.fonttype": "none"})
    titles = {"log10_sigma": "log10 σ (S/cm)", "Ea_eV": "Ea (eV)"}
    shown = [q for q in titles if any(p.quantity == q for p in pairs)]
    potentials = list(dict.fromkeys(p.potential for p in pairs))
    size = 4.8 * len(shown), 4.6 * len(potentials)
    figure, axes = plt.subplots(len(potentials), len(shown), figsize=size, squeeze=False)
    for row, potential in zip(axes, potentials, strict=True):
        for axis, quantity in zip(row, shown, strict=True):
            mine = [p for p in pairs if (p.quantity, p.potential) == (quantity, potential)]
            if not mine:
                axis.set_axis_off()
                continue
            _panel(axis, mine, titles[quantity], band=0.5 if quantity == "log10_sigma" else 0.05)
            axis.set_title(potential, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)


def _panel(axis: Axes, pairs: Sequence[Pair], title: str, *, band: float) -> None:
    both = [v for p in pairs for v in (p.computed, p.published)]
    margin = band + 0.12 * (max(both) - min(both))
    low, high = min(both) - margin, max(both) + margin
    axis.fill_between([low, high], [low - band, high - band], [low + band, high + band], color="0.92")
    axis.plot([low, high], [low, high], color="0.6", linewidth=1)
    for p in pairs:
        axis.errorbar(
            p.published,
            p.computed,
            yerr=min(p.error, high - low),
            fmt="o" if p.exact else "s",
            markerfacecolor=COLOURS.get(p.family, "0.3") if p.exact else "white",
            color=COLOURS.get(p.family, "0.3"),
            markersize=6,
            linewidth=1,
        )
    _labels(axis, pairs, low, high)
    axis.set_xlabel(f"published {title}")
    axis.set_ylabel(f"computed {title}")
    axis.set_xlim(low, high)
    axis.set_ylim(low, high)


def _labels(axis: Axes, pairs: Sequence[Pair], low: float, high: float) -> None:
    """Name each material once, on the side of its point that has room, and keep names of one side apart."""
    gap = 0.035 * (high - low)
    middle = 0.5 * (low + high)
    for left in (True, False):  # points of the left half have their name on the right, and the other way round
        points: dict[str, Pair] = {}
        for p in sorted(pairs, key=lambda p: p.published, reverse=not left):
            if (p.published < middle) == left:
                points[p.formula] = p
        below = low - gap
        for name, p in sorted(points.items(), key=lambda item: item[1].computed):
            height = max(p.computed + 0.4 * gap, below + gap)
            below = height
            x = p.published + (1 if left else -1) * 0.6 * gap
            axis.annotate(name, (x, height), fontsize=6, ha="left" if left else "right", va="center")
