"""Pictures of channels: gates of a structure, gates in motion, a cut through the bond-valence landscape.

Each function draws on a matplotlib `Axes` it is given or makes one, returns it, and computes nothing new.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ionsieve.records.channels import Gate

if TYPE_CHECKING:
    from ionsieve.channels.bvse import Landscape
    from ionsieve.channels.gates import GateSet
    from ionsieve.channels.motion import GateSeries

__all__ = ["draw_gates", "draw_landscape", "draw_motion"]


def _axes(axes: Any, size: tuple[float, float]) -> Any:
    if axes is not None:
        return axes
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").subplots()


def draw_gates(gates: Sequence[Gate], ion_radius_A: float, *, open_ratio: float = 0.75, axes: Any = None) -> Any:
    """Draw free radius against area for every kind of gate; those on the widest way through are filled."""
    ax = _axes(axes, (6.4, 4.4))
    for g in gates:
        ax.plot(
            g.area_A2,
            g.free_radius_A,
            "o",
            color="C0" if g.percolating else "0.6",
            mfc="C0" if g.percolating else "none",
        )
        ax.annotate(g.jump, (g.area_A2, g.free_radius_A), xytext=(4, 3), textcoords="offset points", fontsize=7)
    ax.axhline(open_ratio * ion_radius_A, color="C3", lw=0.8, ls="--")
    ax.set_xlabel("area of the anion triangle (Å²)")
    ax.set_ylabel("free radius (Å)")
    return ax


def draw_motion(series: GateSeries, gates: GateSet, *, open_ratio: float = 0.75, axes: Any = None) -> Any:
    """Draw the distribution over time of the free radius of each jump type."""
    ax = _axes(axes, (6.4, 4.0))
    free = np.asarray(series.free_radius)
    for k, name in enumerate(gates.kinds):
        values = free[:, gates.kind == k].ravel()
        if values.size:
            density, edges = np.histogram(values, bins=60, density=True)
            ax.plot(0.5 * (edges[1:] + edges[:-1]), density, label=name)
    ax.axvline(open_ratio * gates.ion_radius, color="C3", lw=0.8, ls="--")
    ax.set_xlabel("free radius (Å)")
    ax.set_ylabel("probability density (1/Å)")
    ax.legend(fontsize=7)
    return ax


def draw_landscape(landscape: Landscape, *, axis: int = 2, index: int | None = None, axes: Any = None) -> Any:
    """Draw a cut through the site energy at one grid plane (default.

    The plane of the lowest point), eV above the minimum.
    """
    ax = _axes(axes, (5.2, 4.4))
    energy = landscape.energy_eV - landscape.energy_eV.min()
    if index is None:
        index = int(np.unravel_index(int(np.argmin(energy)), energy.shape)[axis])
    plane = np.take(energy, index, axis=axis)
    image = ax.imshow(np.minimum(plane, 3.0).T, origin="lower", cmap="viridis", extent=(0, 1, 0, 1), aspect="auto")
    ax.figure.colorbar(image, ax=ax, label="site energy (eV)")
    first, second = ("abc"[a] for a in range(3) if a != axis)
    ax.set_xlabel(f"{first} (fractional)")
    ax.set_ylabel(f"{second} (fractional)")
    return ax
