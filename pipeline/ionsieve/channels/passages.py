"""Which windows one jump passes, independent of how the crystal is turned or where its origin lies.

Where the straight line runs along a side of a triangle, what it crosses is a matter of rounding: the jump is then bent
in its middle by 0.3 Å. The bends around the line fall into sectors within which one sequence of faces is crossed; their
borders are the directions in which the bent way meets a side of a triangle, roots of a quadratic for each side. One
bend of each sector is looked at, and that whose narrowest gate is widest counts. Bends that tie differ by symmetry, or
are told apart by what they pass, never by their order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ionsieve.channels.gate_kinds import SAME_RADIUS_A, clusters
from ionsieve.channels.skeleton import Network
from ionsieve.geometry.polygons import pierce

__all__ = ["BULGE_A", "narrowing", "passage"]

BULGE_A = 0.3
_NARROWING_A = 0.02  # less narrow than this against a cavity, a face is a cut through it
_EQUAL_A = 1e-6
_EDGE_TOLERANCE = 0.005  # barycentric: nearer than this to a side of a triangle, the straight line decides nothing
_END_MARGIN = 0.02  # of the path: a window through a site belongs to the jumps on both sides of it
_GRAZING = 2e-3  # sine of the angle below which the line lies in a face's plane and crosses it nowhere
_SECTOR_RAD = 5e-3  # narrower sectors are coincidences of rounded coordinates
_TIE_A = 1e-3
_TIE_FRACTION = 1e-3
_STRAY = 0.1  # of the path: farther than this from the bent way's crossing, the straight line's place means nothing

Floats = NDArray[np.float64]
Passage = list[tuple[int, float]]


def narrowing(net: Network, names: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the free space narrows in each face of a network (E,), against the cavities on both of its sides.

    Tetrahedra whose spheres are hardly wider than the face between them (slices of an octahedron, the sliver in a
    buckled square of anions) are one cavity, with the largest of its spheres. They are joined widest face first, equal
    ones in the order of their `names`; without this, rounding would decide which slices have a window between them.
    """
    owner = np.arange(len(net.nodes))
    peak = net.node_radius.copy()

    def find(node: int) -> int:
        while owner[node] != node:
            owner[node] = owner[owner[node]]
            node = int(owner[node])
        return node

    narrows = net.node_radius[net.edges].min(axis=1) - net.edge_radius > _NARROWING_A
    shallow = np.flatnonzero(~narrows)
    order = np.lexsort((names[shallow], clusters(-net.edge_radius[shallow], _EQUAL_A)))
    for e in shallow[order].tolist():
        first, second = find(int(net.edges[e, 0])), find(int(net.edges[e, 1]))
        if first == second:
            continue
        narrows[e] = min(peak[first], peak[second]) - net.edge_radius[e] > _NARROWING_A
        if not narrows[e]:
            owner[second] = first
            peak[first] = max(peak[first], peak[second])
    return np.asarray(narrows)


def passage(
    start: Floats,
    end: Floats,
    triangles: Floats,
    clear: Floats,
    is_true: NDArray[np.bool_],
    names: NDArray[np.int64],
) -> Passage:
    """Return the gates of one jump: rows of `triangles` with their places on the path.

    Parameters
    ----------
    start, end, triangles
        (3,), (3,) and (T, 3, 3), Å.
    clear, is_true
        (T,) largest clearance, Å; whether the face is a true window.
    names
        (T,) a number for each set of anions, by which equals are told apart.
    """
    fraction, weights = pierce(start, end, triangles)
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    steep = np.abs(normal @ (end - start))
    grazing = steep < _GRAZING * np.linalg.norm(normal, axis=1) * np.linalg.norm(end - start)
    fraction = np.where(grazing, np.nan, fraction)
    on_path = (fraction > -_END_MARGIN) & (fraction < 1 + _END_MARGIN)
    least = weights.min(axis=1)
    if not np.any(on_path & (np.abs(least) < _EDGE_TOLERANCE)):
        return _select(np.where(on_path & (least >= 0), fraction, np.nan), clear, is_true, names)
    middles = _bends(start, end, triangles)
    f1, w1 = pierce(start, middles[:, None], triangles)
    f2, w2 = pierce(middles[:, None], end, triangles)
    before = (f1 > -2 * _END_MARGIN) & (f1 <= 1 + 1e-9) & (w1.min(axis=-1) >= -1e-6)
    after = (f2 >= -1e-9) & (f2 < 1 + 2 * _END_MARGIN) & (w2.min(axis=-1) >= -1e-6)
    bent = np.where(before, 0.5 * f1, 0.5 + 0.5 * f2)
    place = np.where(np.abs(fraction - bent) < _STRAY, fraction, bent)  # named by the straight line where it can be
    ways = [_select(way, clear, is_true, names) for way in np.where(before | after, place, np.nan)]
    return _best(ways, clear, names)


def _bends(start: Floats, end: Floats, triangles: Floats) -> Floats:
    """Middles (B, 3) of the bent ways, one for each sector of directions between the sides of triangles."""
    length = float(np.linalg.norm(end - start))
    along = (end - start) / length
    first = np.cross(along, np.eye(3)[int(np.argmin(np.abs(along)))])
    first /= np.linalg.norm(first)
    second = np.cross(along, first)
    frame = np.stack([along, first, second], axis=1)
    a = (triangles - start).reshape(-1, 3) @ frame
    d = (np.roll(triangles, -1, axis=1) - triangles).reshape(-1, 3) @ frame
    slope = 2 * BULGE_A / length
    angles = []
    for tip, half in ((0.0, (0.0, 0.5 * length)), (length, (0.5 * length, length))):
        # the bent ways of all directions form a double cone: |q|² = slope² (x - tip)² on the side a + t d
        x = a[:, 0] - tip
        qa = d[:, 1] ** 2 + d[:, 2] ** 2 - slope**2 * d[:, 0] ** 2
        qb = a[:, 1] * d[:, 1] + a[:, 2] * d[:, 2] - slope**2 * x * d[:, 0]
        qc = a[:, 1] ** 2 + a[:, 2] ** 2 - slope**2 * x**2
        with np.errstate(divide="ignore", invalid="ignore"):
            root = np.sqrt(qb**2 - qa * qc)
            for t in ((-qb - root) / qa, (-qb + root) / qa):
                at = a + t[:, None] * d
                on = (t >= 0) & (t <= 1) & (at[:, 0] >= half[0]) & (at[:, 0] <= half[1])
                angles.append(np.arctan2(at[on, 2], at[on, 1]))
    borders = np.sort(np.concatenate(angles))
    if len(borders) == 0:
        borders = np.zeros(1)
    width = np.diff(np.append(borders, borders[0] + 2 * np.pi))
    wide = width > _SECTOR_RAD
    angle = (borders + 0.5 * width)[wide]
    return 0.5 * (start + end) + BULGE_A * (np.outer(np.cos(angle), first) + np.outer(np.sin(angle), second))


def _narrowest(rows: NDArray[np.int64], clear: Floats, names: NDArray[np.int64]) -> int:
    """Of equally narrow faces the one with the first name."""
    tied = rows[clear[rows] <= clear[rows].min() + _TIE_A]
    return int(tied[np.argmin(names[tied])])


def _select(where: Floats, clear: Floats, is_true: NDArray[np.bool_], names: NDArray[np.int64]) -> Passage:
    """Of the faces that a path crosses (`where` on it, else NaN), return its gates in order."""
    rows = np.flatnonzero(np.isfinite(where))
    if len(rows) == 0:
        return []
    inner = (where[rows] > _END_MARGIN) & (where[rows] < 1 - _END_MARGIN)
    picked = rows[is_true[rows] & inner].tolist()
    ends = rows[is_true[rows] & ~inner]
    if len(ends) and clear[ends].min() < min((clear[k] for k in picked), default=np.inf) - SAME_RADIUS_A:
        picked.append(_narrowest(ends, clear, names))
    if not picked:
        picked = [_narrowest(rows, clear, names)]
    return sorted(((int(k), float(where[k])) for k in picked), key=lambda item: item[1])


def _best(ways: list[Passage], clear: Floats, names: NDArray[np.int64]) -> Passage:
    """Return the way whose narrowest gate is widest; of equals that with the fewest gates, the widest in sum, the most
    central, the first by name.
    """
    radii = [[float(clear[k]) for k, _ in way] for way in ways]
    ranks = (
        ([-min(r, default=np.inf) for r in radii], _TIE_A),
        ([float(len(r)) for r in radii], 0.0),
        ([-sum(r) for r in radii], _TIE_A),
        ([sum(abs(f - 0.5) for _, f in way) for way in ways], _TIE_FRACTION),
    )
    left = list(range(len(ways)))
    for rank, tie in ranks:
        least = min(rank[w] for w in left)
        left = [w for w in left if rank[w] <= least + tie]
    return ways[min(left, key=lambda w: sorted(int(names[k]) for k, _ in ways[w]))]
