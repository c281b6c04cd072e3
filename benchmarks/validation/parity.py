"""The parity figure: computed against published, a row of panels a potential, a panel a quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pairs import Pair

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["parity_figure"]

COLOURS = {"antiperovskite": "#0072B2", "sulfide": "#D55E00", "nasicon": "#009E73", "argyrodite": "#CC79A7"}


def parity_figure(pairs: Sequence[Pair], path: Path) -> None:
    """Draw computed against published, a panel a potential and quantity; a point's number is its place in `pairs`.

    Equal pairs give equal bytes.
    """
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
            mine = {n: p for n, p in enumerate(pairs, 1) if (p.quantity, p.potential) == (quantity, potential)}
            if not mine:
                axis.set_axis_off()
                continue
            _panel(axis, mine, titles[quantity], band=0.5 if quantity == "log10_sigma" else 0.05)
            axis.set_title(potential, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)


def _panel(axis: Axes, pairs: Mapping[int, Pair], title: str, *, band: float) -> None:
    both = [v for p in pairs.values() for v in (p.computed, p.published)]
    margin = band + 0.08 * (max(both) - min(both))
    low, high = min(both) - margin, max(both) + margin
    axis.fill_between([low, high], [low - band, high - band], [low + band, high + band], color="0.92")
    axis.plot([low, high], [low, high], color="0.6", linewidth=1)
    for n, p in pairs.items():
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
        axis.annotate(f"{n}", (p.published, p.computed), fontsize=7, xytext=(5, 4), textcoords="offset points")
    axis.set_xlabel(f"published {title}")
    axis.set_ylabel(f"computed {title}")
    axis.set_xlim(low, high)
    axis.set_ylim(low, high)
