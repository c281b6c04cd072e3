"""Triangles of spheres: area, circumradius, and the widest point between them. Vectorised over leading axes.

Definitions
-----------
Three spheres of radii r_i at c_i. The clearance of a point x is s(x) = min_i (|x - c_i| - r_i). The *gate* of the
triangle is the point of the closed triangle where s is largest: a small sphere that passes the triangle can have this
radius and no larger. It is the centre of the circle tangent to all three (the problem of Apollonius, solved in the
plane) when that lies inside the triangle, and a point on a side otherwise. For equal radii and an acute triangle it is
the circumcentre and s the circumradius less the radius.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["circumradius_A", "pierce", "tangent_circle", "triangle_area_A2", "widest_point"]

Floats = NDArray[np.float64]


def _norm(v: Floats) -> Floats:
    return np.asarray(np.sqrt(np.einsum("...i,...i->...", v, v)))


def triangle_area_A2(corners: ArrayLike) -> Floats:
    """Return the area of triangles (..., 3, 3) of corner positions, Å²."""
    c = np.asarray(corners, dtype=np.float64)
    return np.asarray(0.5 * _norm(np.cross(c[..., 1, :] - c[..., 0, :], c[..., 2, :] - c[..., 0, :])))


def circumradius_A(corners: ArrayLike) -> Floats:
    """Return the circumradius of triangles (..., 3, 3), Å: abc / (4 area); infinite when the corners are collinear."""
    c = np.asarray(corners, dtype=np.float64)
    sides = np.stack([_norm(c[..., i, :] - c[..., j, :]) for i, j in ((1, 2), (2, 0), (0, 1))], axis=-1)
    area = triangle_area_A2(c)
    with np.errstate(divide="ignore"):
        return np.asarray(np.prod(sides, axis=-1) / (4.0 * area))


def _frame(c: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Plane frame: unit vectors e1, e2 and the planar coordinates b = (b1, 0), q = (q1, q2) of the second and third."""
    u, v = c[..., 1, :] - c[..., 0, :], c[..., 2, :] - c[..., 0, :]
    b1 = _norm(u)
    e1 = u / np.maximum(b1, 1e-12)[..., None]
    q1 = np.einsum("...i,...i->...", v, e1)
    w = v - q1[..., None] * e1
    q2 = _norm(w)
    e2 = w / np.maximum(q2, 1e-12)[..., None]
    return e1, e2, b1, q1, q2


def tangent_circle(corners: ArrayLike, radii: ArrayLike) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return the point in the plane of each triangle at equal clearance from its three spheres.

    Subtracting the equations |x - c_i|² = (s + r_i)² leaves two linear ones, x = α + β s, and one quadratic in s.

    Parameters
    ----------
    corners, radii
        (..., 3, 3) Å and (..., 3) Å.

    Returns
    -------
    centre, clearance, inside
        (..., 3) Å; (...) Å; whether the centre lies in the closed triangle. NaN where no such circle exists.
    """
    c = np.asarray(corners, dtype=np.float64)
    r = np.broadcast_to(np.asarray(radii, dtype=np.float64), c.shape[:-1])
    e1, e2, b1, q1, q2 = _frame(c)
    r0, r1, r2 = r[..., 0], r[..., 1], r[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        # x = (X, Y) in the frame at corner 0;  2 b1 X = b1² + r0² - r1² + 2 s (r0 - r1)  and the same for corner 2
        ax, bx = (b1**2 + r0**2 - r1**2) / (2 * b1), (r0 - r1) / b1
        ay = (q1**2 + q2**2 + r0**2 - r2**2 - 2 * q1 * ax) / (2 * q2)
        by = (r0 - r2 - q1 * bx) / q2
        qa, qb, qc = bx**2 + by**2 - 1.0, ax * bx + ay * by - r0, ax**2 + ay**2 - r0**2
        # qa s² + 2 qb s + qc = 0; the wanted root is the one with all s + r_i >= 0, smallest such
        root = np.sqrt(qb**2 - qa * qc)
        linear = np.abs(qa) < 1e-12
        candidates = np.stack(
            [np.where(linear, -qc / (2 * qb), (-qb - root) / qa), np.where(linear, np.nan, (-qb + root) / qa)], axis=-1
        )
        valid = candidates + np.min(r, axis=-1)[..., None] >= -1e-9
        candidates = np.where(valid, candidates, np.inf)
        s = np.min(np.where(np.isnan(candidates), np.inf, candidates), axis=-1)
        s = np.where(np.isinf(s), np.nan, s)
        x, y = ax + bx * s, ay + by * s
        w2 = y / q2
        w1 = (x - w2 * q1) / b1
    inside = (w1 >= -1e-9) & (w2 >= -1e-9) & (w1 + w2 <= 1 + 1e-9)
    centre = c[..., 0, :] + x[..., None] * e1 + y[..., None] * e2
    return centre, s, np.asarray(inside & np.isfinite(s))


def widest_point(corners: ArrayLike, radii: ArrayLike) -> tuple[Floats, Floats]:
    """Return the point of each closed triangle with the largest clearance, and that clearance.

    Parameters
    ----------
    corners, radii
        (..., 3, 3) Å and (..., 3) Å.

    Returns
    -------
    point, clearance
        (..., 3) Å and (...) Å. The clearance is negative where the spheres close the triangle.
    """
    c = np.asarray(corners, dtype=np.float64)
    r = np.array(np.broadcast_to(np.asarray(radii, dtype=np.float64), c.shape[:-1]))
    centre, clearance, inside = tangent_circle(c, r)
    if np.all(inside):
        return centre, clearance
    point, best = np.where(inside[..., None], centre, np.nan), np.where(inside, clearance, -np.inf)
    out = ~inside
    sub_point, sub_best = _widest_on_sides(c[out], r[out])
    point[out], best[out] = sub_point, sub_best
    return point, best


def _widest_on_sides(c: Floats, r: Floats) -> tuple[Floats, Floats]:
    """Best of the equal-clearance points on the three sides of triangles (K, 3, 3)."""
    points, values = [], []
    for i, j in ((0, 1), (1, 2), (2, 0)):
        start, end = c[:, i], c[:, j]
        length = _norm(end - start)
        unit = (end - start) / np.maximum(length, 1e-12)[:, None]
        for a, b in ((i, j), (i, 3 - i - j), (j, 3 - i - j)):
            t = _equal_on_line(start, unit, c[:, a], r[:, a], c[:, b], r[:, b])
            for k in range(t.shape[1]):
                x = start + np.clip(np.nan_to_num(t[:, k]), 0.0, length)[:, None] * unit
                points.append(x)
                values.append(np.min(_norm(x[:, None, :] - c) - r, axis=1))
    all_values = np.stack(values, axis=1)
    pick = np.argmax(all_values, axis=1)
    rows = np.arange(len(c))
    return np.stack(points, axis=1)[rows, pick], all_values[rows, pick]


def _equal_on_line(origin: Floats, unit: Floats, ca: Floats, ra: Floats, cb: Floats, rb: Floats) -> Floats:
    """Parameters t (K, 2) where |x-ca| - ra = |x-cb| - rb on x = origin + t unit; NaN where there is none.

    With D = rb - ra, squaring twice |x-cb| = |x-ca| + D gives (L - D²)² = 4 D² |x-ca|², L linear in t.
    """
    oa, ob, d = origin - ca, origin - cb, rb - ra
    la, lb = np.einsum("ki,ki->k", oa, unit), np.einsum("ki,ki->k", ob, unit)
    na, nb = np.einsum("ki,ki->k", oa, oa), np.einsum("ki,ki->k", ob, ob)
    m0, m1 = nb - na - d**2, 2 * (lb - la)
    qa, qb, qc = m1**2 - 4 * d**2, m0 * m1 - 4 * d**2 * la, m0**2 - 4 * d**2 * na
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(np.maximum(qb**2 - qa * qc, 0.0))
        flat = np.abs(qa) < 1e-12
        first = np.where(flat, -qc / (2 * qb), (-qb - root) / qa)
        second = np.where(flat, first, (-qb + root) / qa)
    return np.stack([first, second], axis=1)


def pierce(start: ArrayLike, end: ArrayLike, corners: ArrayLike) -> tuple[Floats, Floats]:
    """Return where segments cross the planes of triangles.

    Parameters
    ----------
    start, end, corners
        (..., 3), (..., 3) and (..., 3, 3), Å, broadcast against one another.

    Returns
    -------
    fraction, weights
        (...) position along the segment, 0 at `start`, 1 at `end`; (..., 3) barycentric coordinates of the crossing: it
        lies in the triangle when all are >= 0. NaN where the segment is parallel to the plane.
    """
    a, b = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    c = np.asarray(corners, dtype=np.float64)
    u, v, d = c[..., 1, :] - c[..., 0, :], c[..., 2, :] - c[..., 0, :], b - a
    normal = np.cross(u, v)
    with np.errstate(divide="ignore", invalid="ignore"):
        down = np.einsum("...i,...i->...", normal, d)
        fraction = np.einsum("...i,...i->...", normal, c[..., 0, :] - a) / down
        x = a + fraction[..., None] * d - c[..., 0, :]
        nn = np.einsum("...i,...i->...", normal, normal)
        w1 = np.einsum("...i,...i->...", np.cross(x, v), normal) / nn
        w2 = np.einsum("...i,...i->...", np.cross(u, x), normal) / nn
    return np.asarray(fraction), np.stack([1 - w1 - w2, w1, w2], axis=-1)
