"""Pareto fronts: front 1 is what nothing else dominates, front 2 what remains without front 1, and so on.

Definition   a dominates b when a is at least as good in all objectives and better in one.
Symbols      values (N, M), larger is better in every column.
Source       K. Deb et al., IEEE Trans. Evol. Comput. 6 (2002) 182, 10.1109/4235.996017 (non-dominated sorting)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["fronts"]


def fronts(values: ArrayLike) -> NDArray[np.int64]:
    """Return the front (1 is best) of each of N rows with M objectives, larger is better.

    Parameters
    ----------
    values
        (N, M), finite.

    Returns
    -------
    numpy.ndarray
        (N,) int64.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"expected (N, M) values, found shape {table.shape}")
    n = len(table)
    front = np.zeros(n, dtype=np.int64)
    no_worse = np.all(table[:, None, :] >= table[None, :, :], axis=2)
    better = np.any(table[:, None, :] > table[None, :, :], axis=2)
    dominates = no_worse & better
    remaining = np.ones(n, dtype=bool)
    level = 0
    while remaining.any():
        level += 1
        beaten = np.any(dominates[remaining], axis=0)
        here = remaining & ~beaten
        front[here] = level
        remaining &= ~here
    return front
