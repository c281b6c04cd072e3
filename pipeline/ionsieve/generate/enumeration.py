"""All arrangements of a small problem, as occupation vectors."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from ionsieve.generate.problem import OrderingProblem

__all__ = ["enumerate_states"]

Ints = NDArray[np.int64]


def enumerate_states(problem: OrderingProblem) -> Ints:
    """(arrangements, n) every allowed occupation with the right counts."""
    blocks = []
    for k, row in enumerate(problem.counts):
        sites = np.flatnonzero(problem.sublattice == k)
        blocks.append((sites, _arrangements(problem, sites, row)))
    total = int(np.prod([len(b) for _, b in blocks]))
    out = np.empty((total, problem.n_active), dtype=np.int64)
    repeat_inner = total
    for sites, block in blocks:
        repeat_inner //= max(len(block), 1)
        index = np.tile(
            np.repeat(np.arange(len(block)), repeat_inner), total // (len(block) * repeat_inner) if total else 0
        )
        out[:, sites] = block[index]
    return out


def _arrangements(problem: OrderingProblem, sites: Ints, row: Ints) -> Ints:
    """(a, len(sites)) arrangements of one sublattice; the most numerous species fills what is left."""
    species = sorted(np.flatnonzero(row), key=lambda m: (int(row[m]), int(m)))
    main, rest = species[-1], species[:-1]
    out: list[Ints] = []

    def place(depth: int, current: Ints) -> None:
        if depth == len(rest):
            left = current < 0
            if problem.allowed[main, sites[left]].all():
                done = current.copy()
                done[left] = main
                out.append(done)
            return
        m = rest[depth]
        free = np.flatnonzero((current < 0) & problem.allowed[m, sites])
        for chosen in itertools.combinations(free, int(row[m])):
            following = current.copy()
            following[list(chosen)] = m
            place(depth + 1, following)

    place(0, np.full(len(sites), -1, dtype=np.int64))
    return np.array(out, dtype=np.int64).reshape(-1, len(sites))
