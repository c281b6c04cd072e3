"""Gates in motion: area, circumradius and free radius of every gate in every frame of a trajectory.

For a triangle with sides a, b, c (squared sides A, B, C) and anions of one radius r:

    16 S² = 4AB - (A + B - C)²           area S
    R = abc / (4 S)                      circumradius
    free radius = R - r                                                  acute or right
    free radius = max over the two far sides p of p / (2 cos) - r        obtuse: the widest point is on the long side

so that six multiplications a gate and frame are enough; gates of several radii go through
`geometry.polygons.widest_point`.
The fast path uses the array API: NumPy, CuPy and torch arrays are accepted and returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from ionsieve.channels.gates import GateSet
from ionsieve.channels.settings import ChannelSettings
from ionsieve.errors import InputError
from ionsieve.geometry.polygons import pierce, widest_point
from ionsieve.records.measurement import GateMotion

__all__ = ["GateSeries", "crossings", "gates_along", "gates_in_motion", "summarise_gates"]

_CHUNK_VALUES = 4_000_000
_STEPS_AT_ONCE = 32


@dataclass(frozen=True)
class GateSeries:
    """Area (Å²), circumradius and free radius (Å) of G gates in F frames: arrays (F, G)."""

    area: Any
    circumradius: Any
    free_radius: Any


def _frame_shifts(gates: GateSet, first: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.int64]:
    """Lattice shifts (N, 3) by which the trajectory's first frame differs from the reference (wrapped atoms)."""
    here = first @ np.linalg.inv(cell)
    there = gates.reference @ np.linalg.inv(gates.cell)
    return np.asarray(np.round(here - there), dtype=np.int64)


def gates_along(positions: Any, cells: Any, gates: GateSet) -> GateSeries:
    """Return the geometry of every gate in every frame.

    Parameters
    ----------
    positions
        (F, N, 3) Å, unwrapped, the atoms of the structure from which `gates` were found, in its order.
    cells
        (F, 3, 3) Å, or (3, 3) for a fixed cell.

    Returns
    -------
    GateSeries
        Arrays (F, G) of the kind given.

    Raises
    ------
    InputError
        When the number of atoms differs from that of the structure, or a frame holds NaN or infinity.
    """
    xp = array_namespace(positions)
    where = device(positions)
    frames, atoms = int(positions.shape[0]), int(positions.shape[1])
    if atoms != len(gates.reference):
        raise InputError(
            f"the trajectory has {atoms} atoms, the gates were found in a structure of {len(gates.reference)}",
            key="positions",
            remedy="find the gates in a frame of this trajectory",
        )
    finite = xp.all(xp.isfinite(positions), axis=(1, 2))
    if not bool(xp.all(finite)):
        raise InputError(
            "positions hold NaN or infinity",
            key="positions",
            where=f"frame {int(xp.argmin(xp.astype(finite, xp.int8)))}",
            cause="a run that blew up, or a damaged file",
            remedy="take the frames before it",
        )
    count = len(gates)
    if frames == 0 or count == 0:
        empty = xp.zeros((frames, count), dtype=positions.dtype, device=where)
        return GateSeries(empty, empty, empty)
    cells = xp.asarray(cells, dtype=positions.dtype, device=where)
    if cells.ndim == 2:
        cells = xp.broadcast_to(cells[None, ...], (frames, 3, 3))
    shifts = _frame_shifts(
        gates, np.asarray(positions[0, ...], dtype=np.float64), np.asarray(cells[0, ...], dtype=np.float64)
    )
    images = gates.images - shifts[gates.atoms]
    relative = xp.asarray(images - images[:, :1], dtype=positions.dtype, device=where)  # (G, 3, 3)
    order = xp.asarray(np.ascontiguousarray(gates.atoms.T), device=where)  # (3, G)
    same = bool(np.all(np.ptp(gates.radii, axis=1) < 1e-9))
    radius = xp.asarray(gates.radii, dtype=positions.dtype, device=where)
    step = max(1, _CHUNK_VALUES // max(9 * count, 1))
    parts = []
    for begin in range(0, frames, step):
        end = min(begin + step, frames)
        x, h = positions[begin:end, ...], cells[begin:end, ...]
        corners = [
            xp.take(x, order[k, ...], axis=1) + (xp.matmul(relative[None, :, k, :], h) if k else 0.0) for k in range(3)
        ]
        parts.append(_measure(xp, corners, radius, same))
    return GateSeries(*(xp.concat([p[i] for p in parts], axis=0) for i in range(3)))


def _measure(xp: Any, corners: list[Any], radii: Any, same: bool) -> tuple[Any, Any, Any]:
    """Area, circumradius and free radius of triangles given as three arrays (F, G, 3)."""
    u, v = corners[1] - corners[0], corners[2] - corners[0]
    w = corners[2] - corners[1]
    A, B, C = (xp.sum(side * side, axis=-1) for side in (w, v, u))  # opposite corners 0, 1, 2
    sixteen = 4.0 * A * B - (A + B - C) ** 2
    sixteen = xp.where(sixteen > 1e-12, sixteen, xp.asarray(1e-12, dtype=sixteen.dtype, device=device(sixteen)))
    area = 0.25 * xp.sqrt(sixteen)
    circumradius = xp.sqrt(A * B * C / sixteen)
    if not same:
        _, free = widest_point(
            np.stack([np.asarray(c, dtype=np.float64) for c in corners], axis=-2), np.asarray(radii)[None, ...]
        )
        return area, circumradius, xp.asarray(free, dtype=area.dtype, device=device(area))
    # obtuse at the corner opposite the longest side L with short sides P, Q: widest point of the long side
    long = xp.maximum(A, xp.maximum(B, C))
    total = A + B + C
    short_large = xp.maximum(xp.minimum(A, B), xp.minimum(xp.maximum(A, B), C))
    short_small = total - long - short_large
    # cos at the end of L where side p meets it: (L + P - Q) / (2 sqrt(L P)); p / (2 cos) = P sqrt(L) / (L + P - Q)
    root = xp.sqrt(long)
    tiny = 1e-12
    first = short_large * root / (long + short_large - short_small + tiny)
    second = short_small * root / (long + short_small - short_large + tiny)
    obtuse = long > short_large + short_small
    return area, circumradius, xp.where(obtuse, xp.maximum(first, second), circumradius) - radii[None, :, 0]


def _largest_step(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Largest distance (K,) of each of K points from its place in the first of the frames (F, K, 3)."""
    return np.asarray(np.linalg.norm(path - path[:1], axis=-1).max(axis=0))


def crossings(
    positions: Any, cells: Any, gates: GateSet, mobile: NDArray[np.int64], *, reach_A: float = 4.0
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return every passage of a mobile ion through a gate: frame (after), gate, direction (+1 or -1).

    An ion passes when the straight line between its positions in successive frames crosses the plane of the gate's
    three anions (each frame's own) inside the triangle, widened by a quarter.

    Parameters
    ----------
    positions, cells
        As in `gates_along`; `mobile` (M,) rows of the mobile ions.
    reach_A
        Ions that stay farther than this from a gate's centre are not looked at; the cell should be twice as wide, so
        that one image of an ion is enough.
    """
    x = np.asarray(positions, dtype=np.float64)
    h = np.asarray(cells, dtype=np.float64)
    frames = len(x)
    h = np.broadcast_to(h, (frames, 3, 3)) if h.ndim == 2 else h
    ions = np.asarray(mobile, dtype=np.int64)
    none = (np.empty(0, dtype=np.int64),) * 3
    if frames < 2 or len(gates) == 0 or len(ions) == 0:
        return none
    shifts = _frame_shifts(gates, x[0], h[0])
    images = (gates.images - shifts[gates.atoms]).astype(np.float64)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
    for begin in range(0, frames - 1, _STEPS_AT_ONCE):
        stop = min(begin + _STEPS_AT_ONCE, frames - 1)
        window = slice(begin, stop + 1)
        corners = x[window][:, gates.atoms] + np.einsum("gki,fij->fgkj", images, h[window])
        centre = corners.mean(axis=2)
        path = x[window][:, ions]
        # pairs that can meet within the window: near at its first frame, allowing for all motion in it; the image that
        # is nearest then serves the whole window
        fractional = (path[0][None] - centre[0][:, None]) @ np.linalg.inv(h[begin])
        image = np.round(fractional)
        apart = np.linalg.norm((fractional - image) @ h[begin], axis=-1)
        walked = _largest_step(path)[None, :] + _largest_step(centre)[:, None]
        extent = 1.5 * np.linalg.norm(corners[0] - centre[0][:, None], axis=-1).max(axis=-1)
        g, m = np.nonzero(apart < np.minimum(extent, reach_A)[:, None] + walked)
        if len(g) == 0:
            continue
        offset = np.einsum("ki,fij->fkj", image[g, m], h[window])
        relative = path[:, m] - offset - centre[:, g]
        local = corners[:, g] - centre[:, g][:, :, None]
        mean_corners = 0.5 * (local[:-1] + local[1:])
        start, end = relative[:-1], relative[1:]
        fraction, weights = pierce(start, end, mean_corners)
        hit = (fraction > 0) & (fraction <= 1) & (weights.min(axis=-1) >= -0.25)
        f, k = np.nonzero(hit)
        face = mean_corners[f, k]
        normal = np.cross(face[:, 1] - face[:, 0], face[:, 2] - face[:, 0])
        sign = np.sign(np.einsum("ki,ki->k", (end - start)[f, k], normal)).astype(np.int64)
        found.append((f + begin + 1, g[k], sign))
    if not found:
        return none
    frame, gate, direction = (np.concatenate([part[i] for part in found]) for i in range(3))
    order = np.lexsort((gate, frame))
    return frame[order], gate[order], direction[order]


def gates_in_motion(
    positions: Any, cells: Any, gates: GateSet, mobile: NDArray[np.int64], settings: ChannelSettings | None = None
) -> tuple[GateMotion, ...]:
    """Follow the gates of a structure along its trajectory and summarise them by type, jumps included.

    Parameters
    ----------
    positions, cells
        (F, N, 3) Å, unwrapped, and (F, 3, 3) or (3, 3) Å.
    gates
        From `find_gates`, or `describe(...).gate_set`, of a structure with the same atoms.
    mobile
        (M,) rows of the mobile ions.
    """
    settings = settings or ChannelSettings()
    series = gates_along(positions, cells, gates)
    passages = crossings(np.asarray(positions), np.asarray(cells), gates, np.asarray(mobile))
    return summarise_gates(series, gates, open_ratio=settings.open_ratio, passages=passages)


def summarise_gates(
    series: GateSeries,
    gates: GateSet,
    *,
    open_ratio: float = 0.75,
    passages: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]] | None = None,
    window_frames: int = 1,
) -> tuple[GateMotion, ...]:
    """Summarise gates by type: mean and quantiles over frames and gates, open fraction, correlation with jumps.

    Parameters
    ----------
    open_ratio
        A gate is open in a frame when its free radius is at least this fraction of the ion's radius.
    passages
        From `crossings`; None when jumps were not looked for.
    window_frames
        A gate counts as in use within this many frames of a passage.

    Returns
    -------
    tuple of GateMotion
        `jump_correlation` is the Pearson correlation, over frames and gates of a type, between the free radius and
        being in use: positive when ions pass while the gate is wide. None without passages.
    """
    area, free = np.asarray(series.area, dtype=np.float64), np.asarray(series.free_radius, dtype=np.float64)
    frames = len(area)
    in_use: NDArray[np.bool_] | None = None
    if passages is not None:
        in_use = np.zeros(area.shape, dtype=bool)
        frame, gate, _ = passages
        for shift in range(-window_frames, window_frames):
            rows = np.clip(frame + shift, 0, frames - 1)
            in_use[rows, gate] = True
    out = []
    for k, name in enumerate(gates.kinds):
        columns = np.flatnonzero(gates.kind == k)
        if frames == 0 or len(columns) == 0:
            continue
        a, r = area[:, columns], free[:, columns]
        correlation = None
        if in_use is not None:
            used = in_use[:, columns]
            if 0 < used.sum() < used.size and r.std() > 1e-12:
                correlation = float(np.corrcoef(r.ravel(), used.ravel().astype(np.float64))[0, 1])
        out.append(
            GateMotion(
                jump=name,
                area_mean_A2=float(a.mean()),
                area_q05_A2=float(np.quantile(a, 0.05)),
                area_q95_A2=float(np.quantile(a, 0.95)),
                free_radius_mean_A=float(r.mean()),
                free_radius_q05_A=float(np.quantile(r, 0.05)),
                free_radius_q95_A=float(np.quantile(r, 0.95)),
                open_fraction=float(np.mean(r >= open_ratio * gates.ion_radius)),
                jump_correlation=correlation,
            )
        )
    return tuple(out)
