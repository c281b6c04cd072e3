"""When does a periodic graph percolate, and in how many dimensions? Union-find with lattice vectors.

Edges enter in the order of falling (or rising) level. Each node knows its root and the lattice vector to it. An edge
inside one cluster closes a loop; the loop's lattice vector, when not zero, is a direction in which the cluster meets
its own image. The rank of these vectors is the dimension in which the cluster percolates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["PeriodicClusters", "Percolation", "percolate"]

Vector = tuple[int, int, int]
_ZERO: Vector = (0, 0, 0)


def _independent(basis: list[Vector], v: Vector) -> bool:
    """Whether a lattice vector lies outside the span of at most two independent ones. Exact: integers only."""
    if not basis:
        return v != _ZERO
    a = basis[0]
    cross = (a[1] * v[2] - a[2] * v[1], a[2] * v[0] - a[0] * v[2], a[0] * v[1] - a[1] * v[0])
    if len(basis) == 1:
        return cross != _ZERO
    b = basis[1]
    return b[0] * cross[0] + b[1] * cross[1] + b[2] * cross[2] != 0


def _rank_basis(vectors: Iterable[Vector]) -> list[Vector]:
    """Independent vectors among the given, at most three."""
    basis: list[Vector] = []
    for v in vectors:
        if len(basis) == 3:
            break
        if _independent(basis, v):
            basis.append(v)
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
    joins: int = field(init=False)

    def __post_init__(self) -> None:
        self.parent = list(range(self.count))
        self.offset = [_ZERO] * self.count
        self.size = [1] * self.count
        self.basis = {}
        self.joins = 0

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
            if len(old) == 3 or not _independent(old, d):
                return ru, False
            self.basis[ru] = [*old, d]
            return ru, True
        self.joins += 1
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
        For 1, 2, 3 dimensions: (count,) whether each node belongs to a cluster that percolates in so many dimensions
        at that level (edges within `tie` of it count as open: symmetry makes equals, rounding orders them).
    critical
        For 1, 2, 3 dimensions: the edge that completed it, or -1.
    loop
        Nodes on the way that first leads to its own image: the critical edge and the way back over the edges that
        opened first (the widest way between any two of its nodes).
    """

    levels: tuple[float | None, float | None, float | None]
    axes: tuple[float | None, float | None, float | None]
    members: tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]
    critical: tuple[int, int, int]
    loop: NDArray[np.int64]


def percolate(
    count: int,
    edges: ArrayLike,
    images: ArrayLike,
    levels: ArrayLike,
    *,
    descending: bool = True,
    tie: float = 1e-3,
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
    tie
        Levels nearer than this are one level for `members`.
    """
    pairs = np.asarray(edges, dtype=np.int64).reshape(-1, 2)
    shifts = np.asarray(images, dtype=np.int64).reshape(-1, 3)
    values = np.asarray(levels, dtype=np.float64)
    keys = -values if descending else values
    order = np.argsort(keys, kind="stable")
    clusters = PeriodicClusters(count)
    found: list[float | None] = [None, None, None]
    axes: list[float | None] = [None, None, None]
    members = [np.zeros(count, dtype=bool) for _ in range(3)]
    critical = [-1, -1, -1]
    pair_list, shift_list, key_list = pairs.tolist(), shifts.tolist(), keys.tolist()
    tree: list[list[int]] = [[] for _ in range(count)]
    loop: list[int] = []
    pending: list[int] = []
    close_at = np.inf

    def note() -> None:
        """Write down the members of the dimensions that have opened, now that all ties are in."""
        for d in pending:
            wide = {root for root, basis in clusters.basis.items() if len(basis) > d}
            members[d][:] = [clusters.find(n)[0] in wide for n in range(count)]
        pending.clear()

    for e in order.tolist():
        if pending and key_list[e] > close_at:
            note()
        if found[2] is not None and not pending and all(a is not None for a in axes):
            break
        u, v = pair_list[e]
        i, j, k = shift_list[e]
        before = clusters.joins
        root, grew = clusters.join(u, v, (i, j, k))
        if clusters.joins > before:
            tree[u].append(v)
            tree[v].append(u)
        elif grew and found[0] is None:
            loop = _tree_path(tree, u, v)
        if not grew:
            continue
        basis = clusters.basis[root]
        for axis in range(3):
            if axes[axis] is None and any(b[axis] for b in basis):
                axes[axis] = float(values[e])
        for d in range(len(basis)):
            if found[d] is None:
                found[d], critical[d] = float(values[e]), e
                pending.append(d)
                close_at = key_list[e] + tie
    note()
    return Percolation(
        (found[0], found[1], found[2]),
        (axes[0], axes[1], axes[2]),
        (members[0], members[1], members[2]),
        (critical[0], critical[1], critical[2]),
        np.array(loop, dtype=np.int64),
    )


def _tree_path(tree: list[list[int]], start: int, end: int) -> list[int]:
    """Nodes of the only way between two nodes of a tree."""
    came = {start: start}
    queue = [start]
    for node in queue:
        if node == end:
            break
        for other in tree[node]:
            if other not in came:
                came[other] = node
                queue.append(other)
    path = [end]
    while path[-1] != start:
        path.append(came[path[-1]])
    return path
