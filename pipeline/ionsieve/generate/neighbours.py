"""Pairs of atoms within a distance in a periodic cell of any shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

__all__ = ["pair_list"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def pair_list(positions: Floats, cell: Floats, cutoff_A: float) -> tuple[Ints, Ints, Floats, Floats]:
    """Return all ordered pairs up to a distance.

    Returns
    -------
    tuple
        i (P,), j (P,), distance in Å (P,), vector from i to the image of j in Å (P, 3); sorted by i, then distance.
    """
    inverse = np.linalg.inv(cell)
    fractional = positions @ inverse
    fractional = fractional - np.floor(fractional)
    heights = 1.0 / np.linalg.norm(inverse, axis=0)
    margin = cutoff_A / heights
    ranges = [np.arange(-int(np.ceil(m)), int(np.ceil(m)) + 1) for m in margin]
    shifts = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    ghosts = (fractional[None] + shifts[:, None]).reshape(-1, 3)
    owner = np.tile(np.arange(len(positions)), len(shifts))
    near = ((ghosts > -margin - 1e-9) & (ghosts < 1 + margin + 1e-9)).all(axis=1)
    ghosts, owner = ghosts[near], owner[near]
    points = fractional @ cell
    images = ghosts @ cell
    near_pairs = cKDTree(points).sparse_distance_matrix(cKDTree(images), cutoff_A, output_type="ndarray")
    i, k = near_pairs["i"].astype(np.int64), near_pairs["j"].astype(np.int64)
    vectors = images[k] - points[i]
    distance = np.linalg.norm(vectors, axis=1)
    keep = distance > 1e-6
    i, j, distance, vectors = i[keep], owner[k][keep], distance[keep], vectors[keep]
    order = np.lexsort((j, np.round(distance, 8), i))
    return i[order], j[order], distance[order], vectors[order]
