"""Partial radial distribution functions of a trajectory, and how far two of them are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from vesin import NeighborList

__all__ = ["partial_rdfs", "rdf_distance"]

Rdfs = dict[tuple[int, int], NDArray[np.float64]]


def partial_rdfs(
    positions: NDArray[np.float64],
    cells: NDArray[np.float64],
    numbers: Sequence[int] | NDArray[np.int64],
    *,
    reach_A: float = 6.0,
    width_A: float = 0.1,
) -> Rdfs:
    """Return g(r) of every pair of elements, averaged over the frames.

    Parameters
    ----------
    positions, cells
        (F, N, 3) and (F, 3, 3), Å.
    numbers
        (N,) atomic numbers.

    Returns
    -------
    dict
        (Z, Z') with Z <= Z' -> (bins,) values at the centres of bins of `width_A` from 0 to `reach_A`. 1 is the mean
        density of the second element in the cell.
    """
    z = np.asarray(numbers)
    edges = np.arange(0.0, reach_A + 0.5 * width_A, width_A)
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    lists = NeighborList(cutoff=reach_A, full_list=True)
    elements = sorted({int(v) for v in z})
    sums: Rdfs = {(a, b): np.zeros(len(shells)) for a in elements for b in elements if a <= b}
    for frame, cell in zip(positions, cells, strict=True):
        first, second, distance = lists.compute(
            points=np.asarray(frame, dtype=np.float64), box=np.asarray(cell), periodic=True, quantities="ijd"
        )
        volume = abs(float(np.linalg.det(cell)))
        left, right = z[first], z[second]
        for a, b in sums:
            found, _ = np.histogram(distance[(left == a) & (right == b)], bins=edges)
            pairs = int(np.sum(z == a)) * int(np.sum(z == b))
            sums[a, b] += found * volume / (pairs * shells)
    return {pair: total / max(len(positions), 1) for pair, total in sums.items()}


def rdf_distance(
    first: Mapping[tuple[int, int], NDArray[np.float64]],
    second: Mapping[tuple[int, int], NDArray[np.float64]],
    *,
    width_A: float = 0.1,
) -> dict[tuple[int, int], float]:
    """Return, for each pair of elements, the share of neighbours that would have to move to another distance.

    Half of ∫ |g - g'| r² dr over the mean of ∫ g r² dr and ∫ g' r² dr: 0 for equal, 1 for disjoint functions.
    """
    distances = {}
    for pair, g in first.items():
        other = second[pair]
        r = (np.arange(len(g)) + 0.5) * width_A
        mass = 0.5 * float(np.sum((g + other) * r**2))
        distances[pair] = 0.5 * float(np.sum(np.abs(g - other) * r**2)) / mass if mass > 0 else 0.0
    return distances
