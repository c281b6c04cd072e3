"""Periodic cells: heights, wrapping, minimum image, copies within reach. Rows of a cell are lattice vectors, Å."""

from __future__ import annotations

import functools
import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["heights_A", "images_within", "minimum_image", "reduced_cell"]

_NEIGHBOURS = np.array(list(itertools.product((-1, 0, 1), repeat=3)), dtype=np.float64)


def heights_A(cell: ArrayLike) -> NDArray[np.float64]:
    """Return the three heights of the cell: distances between opposite faces, Å, shape (3,)."""
    matrix = np.asarray(cell, dtype=np.float64)
    return np.asarray(1.0 / np.linalg.norm(np.linalg.inv(matrix), axis=0))


def reduced_cell(cell: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return a cell of the same lattice with short, nearly orthogonal vectors, and the integer matrix M: reduced = M
    cell.

    Selling-like pairwise reduction: a vector is shortened by integer multiples of the other two until none shrinks.
    """
    matrix = np.array(cell, dtype=np.float64)
    steps = np.eye(3, dtype=np.int64)
    for _ in range(100):
        changed = False
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            best, best_norm = (0, 0), float(matrix[i] @ matrix[i])
            for m, n in itertools.product((-1, 0, 1), repeat=2):
                trial = matrix[i] + m * matrix[j] + n * matrix[k]
                norm = float(trial @ trial)
                if norm < best_norm * (1 - 1e-12):
                    best, best_norm = (m, n), norm
            if best != (0, 0):
                matrix[i] += best[0] * matrix[j] + best[1] * matrix[k]
                steps[i] += best[0] * steps[j] + best[1] * steps[k]
                changed = True
        if not changed:
            break
    return matrix, steps


def minimum_image(vectors: ArrayLike, cell: ArrayLike) -> NDArray[np.float64]:
    """Return the shortest periodic image of each vector (..., 3), Å; exact for any cell shape."""
    reduced, _ = reduced_cell(cell)
    v = np.asarray(vectors, dtype=np.float64)
    fractional = v @ np.linalg.inv(reduced)
    base = (fractional - np.round(fractional)) @ reduced
    candidates = base[..., None, :] + _NEIGHBOURS @ reduced
    pick = np.argmin(np.einsum("...i,...i->...", candidates, candidates), axis=-1)
    return np.asarray(np.take_along_axis(candidates, pick[..., None, None], axis=-2)[..., 0, :])


@functools.lru_cache(maxsize=64)
def _shifts(a: int, b: int, c: int) -> NDArray[np.int64]:
    """Lattice shifts (S, 3) from -a to a, -b to b, -c to c."""
    spans = (np.arange(-n, n + 1) for n in (a, b, c))
    shifts = np.stack(np.meshgrid(*spans, indexing="ij"), axis=-1).reshape(-1, 3)
    shifts.flags.writeable = False
    return shifts


def images_within(
    positions: ArrayLike, cell: ArrayLike, reach_A: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return all periodic copies of N points that lie within `reach_A` of the home cell.

    The home cell holds fractional coordinates in [0, 1); distance is measured to its faces, so that every point of the
    home cell has all copies within `reach_A` of it in the answer.

    Returns
    -------
    index, image, point
        (P,) row of each copy; (P, 3) integer lattice shift against `positions` as given (unwrapped or not); (P, 3) Å.
    """
    matrix = np.asarray(cell, dtype=np.float64)
    inverse = np.linalg.inv(matrix)
    fractional = np.asarray(positions, dtype=np.float64) @ inverse
    home = -np.floor(fractional).astype(np.int64)
    wrapped = fractional + home
    margin = reach_A * np.sqrt(np.einsum("ij,ij->j", inverse, inverse))  # over the heights
    a, b, c = np.ceil(margin).astype(int).tolist()
    shifts = _shifts(a, b, c)
    copies = wrapped[None, :, :] + shifts[:, None, :]
    inside = ((copies >= -margin) & (copies < 1.0 + margin)).all(axis=2)
    which_shift, index = np.nonzero(inside)
    return index, shifts[which_shift] + home[index], copies[which_shift, index] @ matrix
