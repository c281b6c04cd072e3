"""Displacements: unwrapping, breathing of the cell, drift of the framework, dipole.

Equations
    fractional      s(t) = r(t) h(t)^-1                               rows of h are the lattice vectors
    unwrapping      s(t+1) = s(t) + d - round(d),  d = w(t+1) - w(t)  w: fractional, wrapped; toroidal view
    breathing       r'(t) = s(t) <h>                                  an affine change of the cell moves nothing
    drift           r''_i(t) = r'_i(t) - sum_f m_f [r'_f(t) - r'_f(0)] / sum_f m_f        f runs over the framework
    dipole          P(t) = sum_i z_i r''_i(t)                         e Å when z are charge numbers
Shapes
    positions (F, N, 3) Å; cells (F, 3, 3) or (3, 3) Å; weights and charges (N,)
Validity
    `unwrap` is exact while no ion moves further than half the shortest cell height between two frames: then every
    component of the true fractional step lies in (-1/2, 1/2), skewed cells included. It refuses steps above 0.4 of the
    height, because beyond 0.5 the answer is silently wrong.
Source
    Bullerjahn, von Bülow, Heidari, Hénin, Hummer, J. Chem. Theory Comput. 2023, 10.1021/acs.jctc.3c00308 (unwrapping at
    constant pressure).
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from ionsieve.errors import DataError

__all__ = ["dipole", "fractional", "remove_breathing", "remove_drift", "unwrap"]

Array = Any


def _double(x: Array) -> Array:
    xp = array_namespace(x)
    return xp.astype(x, xp.float64)


def _row(cells: Array) -> Array:
    """Return cells as (1 or F, 3, 3)."""
    xp = array_namespace(cells)
    cells = _double(cells)
    return xp.expand_dims(cells, axis=0) if cells.ndim == 2 else cells


def fractional(positions: Array, cells: Array) -> Array:
    """Return s = r h^-1, shape (F, N, 3), not wrapped."""
    xp = array_namespace(positions, cells)
    return xp.matmul(_double(positions), xp.linalg.inv(_row(cells)))


def unwrap(positions: Array, cells: Array, *, max_height_fraction: float = 0.4) -> Array:
    """Join the frames of wrapped positions to continuous paths.

    Parameters
    ----------
    positions
        (F, N, 3) Å, wrapped or not.
    cells
        (F, 3, 3) or (3, 3) Å.
    max_height_fraction
        Largest step accepted, in units of the shortest height of the cell.

    Returns
    -------
    array
        (F, N, 3) Å; frame 0 unchanged, r(t) h(t)^-1 is continuous.

    Raises
    ------
    DataError
        When a step is so long that its periodic image is not certain: the frames lie too far apart.
    """
    xp = array_namespace(positions, cells)
    h = _row(cells)
    s = fractional(positions, cells)
    step = s[1:, ...] - s[:-1, ...]
    step = step - xp.round(step)
    h_step = h if h.shape[0] == 1 else h[1:, ...]
    cartesian = xp.matmul(step, h_step)
    longest = xp.sqrt(xp.max(xp.sum(cartesian * cartesian, axis=-1))) if step.shape[0] else 0.0
    inverse = xp.linalg.inv(h)
    shortest = 1.0 / xp.sqrt(xp.max(xp.sum(inverse * inverse, axis=-2)))
    if float(longest) > max_height_fraction * float(shortest):
        raise DataError(
            f"an ion moves {float(longest):.2f} Å between two frames; the cell is {float(shortest):.2f} Å high",
            found=f"{float(longest):.2f} Å",
            expected=f"at most {max_height_fraction:g} of the height, {max_height_fraction * float(shortest):.2f} Å",
            cause="frames lie too far apart to say through which face the ion went",
            remedy="save frames more often, or give positions that were never wrapped",
        )
    path = xp.concat([s[:1, ...], s[:1, ...] + xp.cumulative_sum(step, axis=0)], axis=0)
    return xp.matmul(path, h)


def remove_breathing(positions: Array, cells: Array) -> Array:
    """Express unwrapped positions in the time-averaged cell: r' = r h(t)^-1 <h>.

    Returned unchanged when the cell does not change.
    """
    xp = array_namespace(positions, cells)
    h = _row(cells)
    if h.shape[0] == 1 or float(xp.max(xp.abs(h - h[:1, ...]))) == 0.0:
        return _double(positions)
    return xp.matmul(fractional(positions, cells), xp.mean(h, axis=0, keepdims=True))


def remove_drift(positions: Array, weights: Array) -> tuple[Array, Array]:
    """Subtract the motion of a weighted centre.

    Parameters
    ----------
    positions
        (F, N, 3) Å.
    weights
        (N,): masses of the framework ions, zero for all others.

    Returns
    -------
    corrected, drift
        (F, N, 3) Å and the removed displacement of the centre, (F, 3) Å, zero in frame 0.
    """
    xp = array_namespace(positions, weights)
    x = _double(positions)
    w = _double(weights)
    total = float(xp.sum(w))
    if total <= 0.0:
        return x, xp.zeros((x.shape[0], 3), dtype=xp.float64)
    centre = xp.sum(x * (w / total)[None, :, None], axis=1)
    drift = centre - centre[:1, :]
    return x - drift[:, None, :], drift


def dipole(positions: Array, charges: Array) -> Array:
    """Return P(t) = sum_i z_i r_i(t), shape (F, 1, 3): one pseudo-particle for the MSD kernels."""
    xp = array_namespace(positions, charges)
    return xp.sum(_double(positions) * _double(charges)[None, :, None], axis=1, keepdims=True)
