"""When does a periodic graph percolate, and in how many dimensions? Union-find with lattice vectors.

Edges enter in the order of falling (or rising) level. Each node knows its root and the lattice vector to it. An edge
inside
one cluster closes a loop; the loop's lattice vector, when not zero, is a direction in which the cluster meets its own
image. The rank of these vectors is the dimension in which the cluster percolates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["PeriodicClusters", "Percolation", "percolate"]

Vector = tuple[int, int, int]
_ZERO: Vector = (0, 0, 0)


def _rank_basis(vectors: Iterable[Vector]) -> list[Vector]:
    """Independent vectors among the given, at most three."""
    basis: list[Vector] = []
    for v in vectors:
        if np.linalg.matrix_rank(np.array([*basis, v], dtype=np.float64)) > len(basis):
            basis.append(v)
        if len(basis) == 3:
            break
    return basis


@dataclass
class PeriodicClusters:
    """Union-find over the nodes of a periodic graph.

    `parent` and `offset` lead to the root: node's copy in cell 0 belongs to the root's copy in cell `offset`.
    """

    count: int
    parent: list[int] = field(init=False)
    offset: list[Vector] = field(init=False)
    size: list[int] = field(init=False)
    basis: dict[int, list[Vector]] = field(init=False)

    def __post_init__(self) -> None:
        self.parent = list(range(self.count))
        self.offset = [_ZERO] * self.count
        self.size = [1] * self.count
        self.basis = {}

    def find(self, node: int) -> tuple[int, Vector]:
        """Return the root of a node and the lattice vector from it."""
        path = []
        while self.parent[node] != node:
            path.append(node)
            node = self.parent[node]
        total = _ZERO
        for child in reversed(path):
            o = self.offset[child]
            total = (total[0] + o[0], total[1] + o[1], total[2] + o[2])
            self.parent[child], self.offset[child] = node, total
        return node, (self.offset[path[0]] if path else _ZERO)

    def join(self, u: int, v: int, image: Vector) -> tuple[int, bool]:
        """Join u (cell 0) and v (cell `image`); return the root and whether the dimension of its cluster grew."""
        ru, ou = self.find(u)
        rv, ov = self.find(v)
        # v in cell `image` has root copy image + ov; u has root copy ou
        d = (image[0] + ov[0] - ou[0], image[1] + ov[1] - ou[1], image[2] + ov[2] - ou[2])
        if ru == rv:
            if d == _ZERO:
                return ru, False
            old = self.basis.get(ru, [])
            if len(old) == 3:
                return ru, False
            new = _rank_basis([*old, d])
            grew = len(new) > len(old)
            if grew:
                self.basis[ru] = new
            return ru, grew
        if self.size[ru] < self.size[rv]:
            ru, rv, d = rv, ru, (-d[0], -d[1], -d[2])
        self.parent[rv], self.offset[rv] = ru, (-d[0], -d[1], -d[2])
        self.size[ru] += self.size[rv]
        second = self.basis.pop(rv, [])
        if not second:
            return ru, False
        first = self.basis.get(ru, [])
        self.basis[ru] = _rank_basis([*first, *second])
        return ru, len(self.basis[ru]) > max(len(first), len(second))

    def dimension(self, root: int) -> int:
        """In how many dimensions the cluster of a root meets its own images."""
        return len(self.basis.get(root, ()))


@dataclass(frozen=True)
class Percolation:
    """Levels at which a graph percolates.

    Attributes
    ----------
    levels
        Level at which a cluster first percolates in 1, 2, 3 dimensions; None when never.
    axes
        Level at which a cluster first percolates along each lattice vector; None when never.
    members
        For 1, 2, 3 dimensions: the nodes of the cluster at that level.
    critical
        For 1, 2, 3 dimensions: the edge that completed it, or -1.
    """

    levels: tuple[float | None, float | None, float | None]
    axes: tuple[float | None, float | None, float | None]
    members: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    critical: tuple[int, int, int]


def percolate(
    count: int, edges: ArrayLike, images: ArrayLike, levels: ArrayLike, *, descending: bool = True
) -> Percolation:
    """Let edges enter in the order of their level and note when clusters percolate.

    Parameters
    ----------
    count
        Number of nodes.
    edges, images, levels
        (E, 2) nodes, (E, 3) lattice vector of the second, (E,) level at which each edge opens.
    descending
        True when high levels open first (radii), False when low ones do (energies).
    """
    pairs = np.asarray(edges, dtype=np.int64).reshape(-1, 2)
    shifts = np.asarray(images, dtype=np.int64).reshape(-1, 3)
    values = np.asarray(levels, dtype=np.float64)
    order = np.argsort(-values if descending else values, kind="stable")
    clusters = PeriodicClusters(count)
    found: list[float | None] = [None, None, None]
    axes: list[float | None] = [None, None, None]
    members: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)] * 3
    critical = [-1, -1, -1]
    pair_list, shift_list = pairs.tolist(), shifts.tolist()
    for e in order.tolist():
        u, v = pair_list[e]
        i, j, k = shift_list[e]
        root, grew = clusters.join(u, v, (i, j, k))
        if not grew:
            continue
        level = float(values[e])
        basis = clusters.basis[root]
        for axis in range(3):
            if axes[axis] is None and any(b[axis] for b in basis):
                axes[axis] = level
        nodes: NDArray[np.int64] | None = None
        for d in range(len(basis)):
            if found[d] is None:
                if nodes is None:
                    nodes = np.array([n for n in range(count) if clusters.find(n)[0] == root], dtype=np.int64)
                found[d], members[d], critical[d] = level, nodes, e
        if found[2] is not None and all(a is not None for a in axes):
            break
    return Percolation(
        (found[0], found[1], found[2]),
        (axes[0], axes[1], axes[2]),
        (members[0], members[1], members[2]),
        (critical[0], critical[1], critical[2]),
    )
