"""Pictures of channels: gates of a structure, gates in motion, a cut through the bond-valence landscape.

Each function draws on a matplotlib `Axes` it is given or makes one, returns it, and computes nothing new.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ionsieve.records.channels import Gate

if TYPE_CHECKING:
    from ionsieve.channels.bvse import Landscape
    from ionsieve.channels.gates import GateSet
    from ionsieve.channels.motion import GateSeries

__all__ = ["draw_gates", "draw_landscape", "draw_motion"]


_MAX_ROWS = 16  # kinds of gate named in a picture
_CAP_EV = 3.0


def _axes(axes: Any, size: tuple[float, float]) -> Any:
    if axes is not None:
        return axes
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").subplots()


def _numbers(points: NDArray[np.float64], tolerance: float) -> list[tuple[NDArray[np.float64], str]]:
    """Texts for points (K, 2) in units of the axes: points nearer than `tolerance` share one, such as ``1-3, 6``."""
    left, out = list(range(len(points))), []
    while left:
        near = [k for k in left if np.linalg.norm(points[k] - points[left[0]]) < tolerance]
        left = [k for k in left if k not in near]
        runs: list[list[int]] = []
        for k in near:
            if runs and k == runs[-1][-1] + 1:
                runs[-1].append(k)
            else:
                runs.append([k])
        text = ", ".join(f"{r[0] + 1}" if len(r) == 1 else f"{r[0] + 1}-{r[-1] + 1}" for r in runs)
        out.append((points[near].max(axis=0), text))
    return out


def draw_gates(gates: Sequence[Gate], ion_radius_A: float, *, open_ratio: float = 0.75, axes: Any = None) -> Any:
    """Draw free radius against area for every kind of gate, numbered from the first row of the table.

    Those on the widest way through are filled; the dashed line is the radius at which a gate counts as open.
    """
    ax = _axes(axes, (7.6, 4.4))
    for number, g in enumerate(gates, start=1):
        ax.plot(
            g.area_A2,
            g.free_radius_A,
            "o",
            color="C0" if g.percolating else "0.6",
            mfc="C0" if g.percolating else "none",
            label=f"{number}  {g.jump}" if number <= _MAX_ROWS else None,
        )
    ax.axhline(open_ratio * ion_radius_A, color="C3", lw=0.8, ls="--")
    ax.margins(0.08)
    ax.set_xlabel("area of the anion triangle (Å²)")
    ax.set_ylabel("free radius (Å)")
    if gates:
        points = np.array([(g.area_A2, g.free_radius_A) for g in gates[:_MAX_ROWS]])
        low, high = np.array([ax.get_xlim(), ax.get_ylim()]).T
        for spot, text in _numbers((points - low) / (high - low), 0.06):
            ax.annotate(text, low + spot * (high - low), xytext=(4, 3), textcoords="offset points", fontsize=7)
        title = None if len(gates) <= _MAX_ROWS else f"the first {_MAX_ROWS} of {len(gates)}"
        ax.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, handlelength=0, title=title)
    return ax


def draw_motion(series: GateSeries, gates: GateSet, *, open_ratio: float = 0.75, axes: Any = None) -> Any:
    """Draw the free radius of each jump type over time: mean, 5 to 95 % (bar) and 1 to 99 % (line).

    The most frequent types first; dashed where a gate counts as open, on the right how often it is.
    """
    free = np.asarray(series.free_radius)
    counts = np.bincount(gates.kind, minlength=len(gates.kinds))
    shown = [int(k) for k in np.argsort(-counts, kind="stable") if counts[k]][:_MAX_ROWS] if free.size else []
    ax = _axes(axes, (7.6, 1.2 + 0.28 * max(len(shown), 2)))
    bound = open_ratio * gates.ion_radius
    for row, k in enumerate(shown):
        values = free[:, gates.kind == k].ravel()
        q01, q05, q95, q99 = np.quantile(values, (0.01, 0.05, 0.95, 0.99))
        ax.plot([q01, q99], [row, row], color="C0", lw=1)
        ax.plot([q05, q95], [row, row], color="C0", lw=5, alpha=0.5, solid_capstyle="butt")
        ax.plot(values.mean(), row, "o", color="C0", ms=4)
        ax.text(1.01, row, f"{100 * np.mean(values >= bound):.0f} % open", fontsize=7, va="center",
                transform=ax.get_yaxis_transform())  # fmt: skip
    ax.axvline(bound, color="C3", lw=0.8, ls="--")
    ax.set_yticks(range(len(shown)), [f"{gates.kinds[k]}  ({counts[k]} per cell)" for k in shown], fontsize=7)
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.set_xlabel("free radius (Å)")
    return ax


def draw_landscape(landscape: Landscape, *, axis: int | None = None, index: int | None = None, axes: Any = None) -> Any:
    """Draw a cut through the site energy, eV above the minimum and at most 3, at one grid plane, in its true shape.

    Default: the plane through the lowest point across that lattice vector along which the way through moves least. The
    points of the way, folded into the cell, are drawn over it as seen along the plane's normal.
    """
    ax = _axes(axes, (5.6, 4.4))
    energy, cell = landscape.energy_eV - landscape.energy_eV.min(), landscape.cell
    way = landscape.path_A @ np.linalg.inv(cell)
    if axis is None:
        axis = int(np.argmin(np.ptp(way, axis=0))) if len(way) else 2
    if index is None:
        index = int(np.unravel_index(int(np.argmin(energy)), energy.shape)[axis])
    plane = np.pad(np.minimum(np.take(energy, index, axis=axis), _CAP_EV), ((0, 1), (0, 1)), mode="wrap")
    first, second = (a for a in range(3) if a != axis)
    along = cell[first] / np.linalg.norm(cell[first])
    across = cell[second] - (cell[second] @ along) * along
    across /= np.linalg.norm(across)
    frame = np.stack([along, across], axis=1)
    u, v = np.meshgrid(*(np.linspace(0, 1, n) for n in plane.shape), indexing="ij")
    x, y = np.moveaxis((u[..., None] * cell[first] + v[..., None] * cell[second]) @ frame, -1, 0)
    image = ax.pcolormesh(x, y, plane, cmap="viridis", shading="gouraud", rasterized=True)
    ax.figure.colorbar(image, ax=ax, label=f"site energy above the minimum (eV, at most {_CAP_EV:g})")
    if len(way):
        folded = (way % 1.0)[:, [first, second]] @ cell[[first, second]] @ frame
        ax.plot(folded[:, 0], folded[:, 1], "o", color="w", mec="k", mew=0.5, ms=3.5)
    ax.set_aspect("equal")
    name = "abc"
    ax.set_title(
        f"cut at {name[axis]} = {index / energy.shape[axis]:.2f}"
        + ("; dots: a way at the grid's barrier" if len(way) else ""),
        fontsize=9,
    )
    ax.set_xlabel(f"along {name[first]} (Å)")
    ax.set_ylabel(f"across {name[first]}, towards {name[second]} (Å)")
    return ax
