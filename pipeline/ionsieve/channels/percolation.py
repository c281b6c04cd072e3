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

__all__ = ["PeriodicClusters", "Percolation", "on_ways", "percolate"]

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

    def __post_init__(self) -> None:
        self.parent = list(range(self.count))
        self.offset = [_ZERO] * self.count
        self.size = [1] * self.count
        self.basis = {}

    def find(self, node: int) -> tuple[int, Vector]:
        """Return the root of a node and the lattice vector from it."""
        above = self.parent[node]
        if self.parent[above] == above:
            return above, self.offset[node]  # a root's own offset is zero
        path = []
        while self.parent[node] != node:
            path.append(node)
            node = self.parent[node]
        total = _ZERO
        for child in reversed(path):
            o = self.offset[child]
            total = (total[0] + o[0], total[1] + o[1], total[2] + o[2])
            self.parent[child], self.offset[child] = node, total
        return node, self.offset[path[0]]

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
    """

    levels: tuple[float | None, float | None, float | None]
    axes: tuple[float | None, float | None, float | None]
    members: tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]
    critical: tuple[int, int, int]


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
    pending: list[int] = []
    close_at = np.inf

    def note() -> None:
        """Write down the members of the dimensions that have opened, now that all ties are in."""
        roots = [clusters.find(n)[0] for n in range(count)] if pending else []
        for d in pending:
            through = {root for root, basis in clusters.basis.items() if len(basis) > d}
            members[d][:] = [root in through for root in roots]
        pending.clear()

    for e in order.tolist():
        if pending and key_list[e] > close_at:
            note()
        if found[2] is not None and not pending and all(a is not None for a in axes):
            break
        u, v = pair_list[e]
        i, j, k = shift_list[e]
        root, grew = clusters.join(u, v, (i, j, k))
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
    )


def on_ways(
    percolation: Percolation,
    edges: ArrayLike,
    images: ArrayLike,
    levels: ArrayLike,
    *,
    descending: bool = True,
    tie: float = 1e-3,
) -> NDArray[np.bool_]:
    """Whether each node lies on a way through the crystal, at the level at which it first percolates.

    A way uses no edge twice. A node is on none when it hangs on the rest by a single edge and its side of that edge
    does not percolate by itself: whoever goes there must come back by the same edge. Every other node of a percolating
    cluster is on one (Menger: two ways without a common edge lead from it to any endless way). Bridges are found by
    depth-first search (R. E. Hopcroft & R. E. Tarjan, Commun. ACM 16 (1973) 372).

    Parameters
    ----------
    percolation
        Of the same graph; other parameters as in `percolate`.
    """
    member = percolation.members[0].copy()
    limit = percolation.levels[0]
    if limit is None:
        return member
    values = np.asarray(levels, dtype=np.float64)
    open_edge = values >= limit - tie if descending else values <= limit + tie
    pairs, shifts = np.asarray(edges, dtype=np.int64), np.asarray(images, dtype=np.int64)
    kept = np.flatnonzero(open_edge & member[pairs[:, 0]] & member[pairs[:, 1]])
    beside: dict[int, list[tuple[int, int, Vector]]] = {}
    for e, (u, v), (i, j, k) in zip(kept.tolist(), pairs[kept].tolist(), shifts[kept].tolist(), strict=True):
        beside.setdefault(u, []).append((e, v, (i, j, k)))
        beside.setdefault(v, []).append((e, u, (-i, -j, -k)))
    done: set[int] = set()
    for root in beside:
        if root not in done:
            tree = _Tree(beside, root)
            done.update(tree.order)
            member[tree.dead_ends()] = False
    return member


class _Tree:
    """Depth-first tree of one cluster: for each node its entering edge, the earliest node reached from below it, and
    how many closed loops below it lead to another image.
    """

    def __init__(self, beside: dict[int, list[tuple[int, int, Vector]]], root: int) -> None:
        self.order = [root]
        self.rank = {root: 0}
        self.low = {root: 0}
        self.parent: dict[int, int] = {}
        self.wound = {root: 0}
        self.end: dict[int, int] = {}
        cell = {root: _ZERO}
        used: set[int] = set()
        stack = [(root, iter(beside[root]))]
        while stack:
            node, rest = stack[-1]
            for e, other, (i, j, k) in rest:
                if e in used:
                    continue
                used.add(e)
                a, b, c = cell[node]
                there = (a + i, b + j, c + k)
                if other in self.rank:
                    self.low[node] = min(self.low[node], self.rank[other])
                    self.wound[node] += cell[other] != there
                    continue
                self.rank[other] = self.low[other] = len(self.order)
                self.order.append(other)
                self.parent[other], self.wound[other], cell[other] = node, 0, there
                stack.append((other, iter(beside[other])))
                break
            else:
                stack.pop()
                self.end[node] = len(self.order)
                if stack:
                    above = stack[-1][0]
                    self.low[above] = min(self.low[above], self.low[node])
                    self.wound[above] += self.wound[node]

    def dead_ends(self) -> list[int]:
        """Nodes behind a bridge whose side of it has no loop to another image."""
        dead: set[int] = set()
        everything = self.wound[self.order[0]]
        for node in self.order[1:]:
            if self.low[node] < self.rank[node]:
                continue  # not a bridge
            below = self.order[self.rank[node] : self.end[node]]
            if self.wound[node] == 0:
                dead.update(below)
            elif self.wound[node] == everything:
                inside = set(below)
                dead.update(n for n in self.order if n not in inside)
        return sorted(dead)
