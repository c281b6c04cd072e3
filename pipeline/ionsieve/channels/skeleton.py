"""The free space of a framework as a periodic network of cavities and windows.

Clearance s(x) = min_i (|x - c_i| - r_i): the radius of the largest sphere at x between the framework's spheres.

Method. For a probe of radius t the free space is the complement of spheres of radii r_i + t, and it deforms onto the
edges of the power diagram with weights (r_i + t)² that lie outside all spheres (H. Edelsbrunner, Discrete Comput.
Geom. 13 (1995) 415). The tetrahedra of atoms behind the diagram change with t only now and then, and between two
changes everything is in closed form:

=======================================  =============================================================================
vertex of a tetrahedron at t             y(t) = y0 + y1 t from its first atom: three linear equations in y and t
cavity, equal clearance s to four atoms  |y(s)| = s + r_0, a quadratic: the vertex at its own radius
window, equal clearance to three atoms   the tangent circle of `ionsieve.geometry.polygons`
a tetrahedron's neighbours stay right    the power of the opposite atom less that of the vertex, linear in t, is >= 0
while
=======================================  =============================================================================

Tetrahedra whose vertex is covered by the spheres of radii r_i + t hold no free space, and what becomes of them does not
matter: an atom more can only cover more. Zeo++ takes the diagram at t = 0 for all t and mends the difference, where its
tables allow it, by filling large atoms with small spheres ("high accuracy").
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from ionsieve.geometry.cells import images_within
from ionsieve.geometry.polygons import tangent_circle
from ionsieve.geometry.power import PowerDiagram, power_diagram

__all__ = ["Copies", "Network", "Skeleton", "build_network", "build_skeleton", "clearance"]

Floats = NDArray[np.float64]

_MARGIN_A2 = 1e-3  # a face may miss its condition by this much: the vertices then differ by some 1e-3 Å
_SAME_PROBE_A = 1e-3
_RUNAWAY_A = 0.6  # a cavity farther than this from its vertex belongs to other atoms
_FLAT_A3 = 1e-2
_DENSE = 60_000  # distances that are faster computed than looked up


@dataclass(frozen=True)
class Network:
    """Cavities and windows of the free space.

    Attributes
    ----------
    nodes, node_radius, node_atoms
        (M, 3) Å; (M,) clearance, Å; (M, 4) the framework atoms around.
    edges, images, edge_radius
        (E, 2) nodes, (E, 3) lattice shift of the second, (E,) smallest clearance along the edge, Å.
    window, window_atoms, window_images
        (E, 3) Å, the narrowest point; (E, 3) the framework atoms around it and (E, 3, 3) their lattice shifts.
    is_window
        (E,) whether the narrowest point is a true window (the edge crosses the triangle of its atoms) rather than one
        of the edge's ends.
    probe
        Radius t of the power diagram, Å.
    """

    nodes: Floats
    node_radius: Floats
    node_atoms: NDArray[np.int64]
    edges: NDArray[np.int64]
    images: NDArray[np.int64]
    edge_radius: Floats
    window: Floats
    window_atoms: NDArray[np.int64]
    window_images: NDArray[np.int64]
    is_window: NDArray[np.bool_]
    probe: float


@dataclass
class Copies:
    """Periodic copies of a framework's spheres around the home cell, for clearances.

    `reach_A` is how far from the home cell copies are held; it grows when a clearance asks for more.
    """

    positions: Floats
    cell: Floats
    radii: Floats
    reach_A: float
    _points: Floats = field(init=False)
    _radii: Floats = field(init=False)
    _trees: list[tuple[float, cKDTree]] = field(init=False)

    def __post_init__(self) -> None:
        self._inverse = np.linalg.inv(self.cell)
        self._fill()

    def _fill(self) -> None:
        index, _, self._points = images_within(self.positions, self.cell, self.reach_A)
        self._radii = self.radii[index]
        self._trees = []

    def clearance(self, points: Floats) -> Floats:
        """Return the clearance at each of (K, 3) points, Å. Exact: all spheres that can touch are looked at."""
        fractional = points @ self._inverse
        home = (fractional - np.floor(fractional)) @ self.cell
        largest = float(self.radii.max())
        while True:
            found = self._nearest(home)
            if len(found) == 0 or float(found.max()) + largest <= self.reach_A:
                return found
            self.reach_A = 1.05 * min(float(found.max()) + largest, 2.0 * self.reach_A)
            self._fill()

    def _nearest(self, home: Floats) -> Floats:
        if len(self._points) == 0:
            return np.full(len(home), np.inf)
        if len(home) * len(self._points) <= _DENSE:
            return np.asarray((cdist(home, self._points) - self._radii).min(axis=1))
        if not self._trees:
            self._trees = [(r, cKDTree(self._points[self._radii == r])) for r in np.unique(self._radii)]
        found = np.full(len(home), np.inf)
        for radius, tree in self._trees:
            np.minimum(found, tree.query(home)[0] - radius, out=found)
        return found


def clearance(points: ArrayLike, positions: ArrayLike, cell: ArrayLike, radii: ArrayLike) -> Floats:
    """Return the radius of the largest sphere at each point between the spheres of a periodic framework, Å.

    Negative inside a sphere. Exact: all spheres that can touch are looked at.
    """
    r = np.asarray(radii, dtype=np.float64)
    copies = Copies(
        np.asarray(positions, dtype=np.float64), np.asarray(cell, dtype=np.float64), r, 3.0 + float(r.max())
    )
    return copies.clearance(np.asarray(points, dtype=np.float64).reshape(-1, 3))


def _cross(u: Floats, v: Floats) -> Floats:
    return np.stack([u[:, a] * v[:, b] - u[:, b] * v[:, a] for a, b in ((1, 2), (2, 0), (0, 1))], axis=1)


def _equal_power(corners: Floats, radii: Floats) -> tuple[Floats, Floats]:
    """Vertex of tetrahedra (M, 4, 3) with spheres (M, 4) grown by t, y0 + y1 t from the first corner."""
    spokes = corners[:, 1:] - corners[:, :1]
    terms = np.empty((len(radii), 3, 2))
    terms[..., 0] = 0.5 * (np.einsum("mai,mai->ma", spokes, spokes) - radii[:, 1:] ** 2 + radii[:, :1] ** 2)
    terms[..., 1] = radii[:, :1] - radii[:, 1:]
    solved = np.linalg.solve(spokes, terms)
    return np.asarray(solved[..., 0], dtype=np.float64), np.asarray(solved[..., 1], dtype=np.float64)


class Skeleton:
    """The tetrahedra of one power diagram with all that follows from them, for any probe for which they hold.

    Parameters
    ----------
    diagram, radii, probe_A
        Power diagram with weights (radii + probe_A)², (N,) Å and Å.
    copies
        For the clearance at the nodes.
    """

    def __init__(self, diagram: PowerDiagram, radii: Floats, probe_A: float, copies: Copies) -> None:
        d, x, cell = diagram, diagram.points, diagram.cell
        self.diagram, self.radii, self.probe_A, self.copies = diagram, radii, probe_A, copies
        r = radii[d.vertex_atoms]
        corners = x[d.vertex_atoms] + d.vertex_images @ cell
        self._first, self._first_radius = corners[:, 0], r[:, 0]
        given = copies.positions[d.vertex_atoms] + d.vertex_images @ copies.cell
        spokes = given[:, 1:] - given[:, :1]
        volume = np.einsum("mi,mi->m", spokes[:, 0], _cross(spokes[:, 1], spokes[:, 2]))
        given[np.abs(volume) < _FLAT_A3] = corners[np.abs(volume) < _FLAT_A3]  # coplanar: only displaced ones tell
        both = _equal_power(np.concatenate([corners, given]), np.concatenate([r, r]))
        (self._y0, node0), (self._y1, node1) = (np.split(y, 2) for y in both)
        self.hides_atoms = len(np.unique(d.vertex_atoms)) < len(x)
        self._set_conditions()
        self._set_nodes(given[:, 0], node0, node1)
        self._set_gates()

    def _set_conditions(self) -> None:
        """Power of the opposite atom less that of the vertex, m0 + m1 t, for the face behind each edge."""
        d, r0 = self.diagram, self._first_radius[self.diagram.edges[:, 0]]
        own = d.edges[:, 0]
        rf = self.radii[d.far_atoms]
        spoke = d.points[d.far_atoms] + d.far_images @ d.cell - self._first[own]
        self._m0 = (
            np.einsum("ei,ei->e", spoke, spoke) - 2.0 * np.einsum("ei,ei->e", spoke, self._y0[own]) - rf**2 + r0**2
        )
        self._m1 = -2.0 * (np.einsum("ei,ei->e", spoke, self._y1[own]) + rf - r0)

    def _set_nodes(self, corner: Floats, y0: Floats, y1: Floats) -> None:
        """Cavities: where the vertex has its own radius; the vertex itself where that runs away or is not free."""
        r0 = self._first_radius
        qa = np.einsum("mi,mi->m", y1, y1) - 1.0
        qb = np.einsum("mi,mi->m", y0, y1) - r0
        qc = np.einsum("mi,mi->m", y0, y0) - r0**2
        with np.errstate(divide="ignore", invalid="ignore"):
            root = np.sqrt(qb**2 - qa * qc)
            first, second = (-qb - root) / qa, (root - qb) / qa
        vertices = corner + y0 + self.probe_A * y1
        usual = (qa < 0) & np.isfinite(first)
        swap = ~usual & (np.abs(second - self.probe_A) < np.abs(first - self.probe_A))
        s = np.where(swap, second, first)
        good = np.isfinite(s) & (s + r0 > 0)
        step = np.where(good, s - self.probe_A, 0.0)[:, None] * y1
        good &= np.einsum("mi,mi->m", step, step) < _RUNAWAY_A**2
        nodes = np.where(good[:, None], vertices + step, vertices)
        radius = self.copies.clearance(nodes)
        doubtful = good & (radius < s - 1e-6) & (np.abs(step).max(axis=1) > 1e-6)
        if doubtful.any():
            at_vertex = self.copies.clearance(vertices[doubtful])
            better = at_vertex > radius[doubtful]
            rows = np.flatnonzero(doubtful)[better]
            nodes[rows], radius[rows] = vertices[rows], at_vertex[better]
        self.nodes, self.node_radius = nodes, radius

    def _set_gates(self) -> None:
        """Tangent circles of the faces and on which side of them the vertices lie, as functions of t."""
        d, copies = self.diagram, self.copies
        corners = copies.positions[d.edge_atoms] + d.edge_atom_images @ copies.cell  # as given, not displaced
        self._gate, self._gate_radius, _ = tangent_circle(corners, self.radii[d.edge_atoms])
        u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        normal = _cross(u, v)
        here, there = d.edges[:, 0], d.edges[:, 1]
        self._shift = d.edge_images @ d.cell
        base = self._first + self._y0
        self._side = (
            np.einsum("ei,ei->e", base[here] - corners[:, 0], normal),
            np.einsum("ei,ei->e", self._y1[here], normal),
            np.einsum("ei,ei->e", base[there] + self._shift - corners[:, 0], normal),
            np.einsum("ei,ei->e", self._y1[there], normal),
        )

    def holds(self, probe_A: float) -> bool:
        """Whether the free space for this probe has the same tetrahedra.

        Atoms that own no tetrahedron are buried; for a smaller probe they may come out, and the answer is no.
        """
        if self.hides_atoms and probe_A < self.probe_A - _SAME_PROBE_A:
            return False
        broken = self._m0 + self._m1 * probe_A < -_MARGIN_A2
        if not broken.any():
            return True
        y = self._y0 + probe_A * self._y1
        free = np.einsum("mi,mi->m", y, y) > (self._first_radius + probe_A) ** 2
        return not bool(free[self.diagram.edges[broken]].any())

    def network(self, probe_A: float) -> Network:
        """Return cavities and windows for a probe for which the skeleton holds."""
        d = self.diagram
        a0, a1, b0, b1 = self._side
        crossing = ((a0 + probe_A * a1) * (b0 + probe_A * b1) < 0) & np.isfinite(self._gate_radius)
        here, there = d.edges[:, 0], d.edges[:, 1]
        radius_a, radius_b = self.node_radius[here], self.node_radius[there]
        first_lower = radius_a <= radius_b
        ends = np.where(first_lower, radius_a, radius_b)
        is_window = crossing & (np.nan_to_num(self._gate_radius, nan=np.inf) <= ends)
        lower = np.where(first_lower[:, None], self.nodes[here], self.nodes[there] + self._shift)
        return Network(
            nodes=self.nodes,
            node_radius=self.node_radius,
            node_atoms=d.vertex_atoms,
            edges=d.edges,
            images=d.edge_images,
            edge_radius=np.where(is_window, self._gate_radius, ends),
            window=np.where(is_window[:, None], self._gate, lower),
            window_atoms=d.edge_atoms,
            window_images=d.edge_atom_images,
            is_window=is_window,
            probe=probe_A,
        )


def build_skeleton(
    positions: Floats,
    cell: Floats,
    radii: Floats,
    probe_A: float,
    *,
    copies: Copies | None = None,
    reach_A: float | None = None,
) -> Skeleton:
    """Return the skeleton of the free space for a probe."""
    diagram = power_diagram(positions, cell, (radii + max(probe_A, 0.0)) ** 2, reach_A=reach_A)
    copies = copies or Copies(positions, cell, radii, 1.05 * diagram.reach_A)
    return Skeleton(diagram, radii, max(probe_A, 0.0), copies)


def build_network(positions: ArrayLike, cell: ArrayLike, radii: ArrayLike, *, probe_A: float = 0.6) -> Network:
    """Return the network of cavities and windows, exact for a probe of radius `probe_A`.

    Parameters
    ----------
    positions, cell, radii
        Framework spheres: (N, 3) Å, (3, 3) Å, (N,) Å.
    """
    c, matrix, r = (np.asarray(a, dtype=np.float64) for a in (positions, cell, radii))
    return build_skeleton(c, matrix, r, probe_A).network(max(probe_A, 0.0))
