"""The free space of a framework as a periodic network, and the spheres that fit and pass.

Definitions
-----------
Clearance s(x) = min_i (|x - c_i| - r_i): the radius of the largest sphere at x between the framework's spheres.

=====================  ==========================================================================================
included sphere  D_i   twice the largest s
free sphere  D_f       twice the largest radius of a sphere that can travel to its own periodic image
included along free    twice the largest s on the widest way: the one that lets the free sphere through and, at every
                       fork, takes the wider branch
=====================  ==========================================================================================

Method. For a probe of radius t the free space is the complement of spheres of radii r_i + t, and it deforms onto the
edges of the power diagram with weights (r_i + t)² that lie outside all spheres (H. Edelsbrunner, Discrete Comput.
Geom. 13 (1995) 415). So the diagram at t = D_f / 2 gives D_f exactly: the diagram is rebuilt at the radius found until
the two agree. Zeo++ takes the diagram at t = 0 and mends the difference, where its tables allow it, by filling large
atoms with small spheres ("high accuracy"). On an edge between three atoms the clearance is smallest where the edge
crosses their triangle, at the tangent circle of `ionsieve.geometry.polygons`; at a vertex the position is polished to
equal clearance from its four atoms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from ionsieve.channels.percolation import Percolation, percolate
from ionsieve.geometry.cells import images_within
from ionsieve.geometry.polygons import tangent_circle
from ionsieve.geometry.power import PowerDiagram, power_diagram

__all__ = ["Network", "Spheres", "build_network", "clearance", "spheres"]

_CLOSE_ENOUGH_A = 2e-3
_MAX_REBUILDS = 4


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
        Radius t of the power diagram, Å; `reach` is that of `PowerDiagram`.
    """

    nodes: NDArray[np.float64]
    node_radius: NDArray[np.float64]
    node_atoms: NDArray[np.int64]
    edges: NDArray[np.int64]
    images: NDArray[np.int64]
    edge_radius: NDArray[np.float64]
    window: NDArray[np.float64]
    window_atoms: NDArray[np.int64]
    window_images: NDArray[np.int64]
    is_window: NDArray[np.bool_]
    probe: float
    reach: float


@dataclass(frozen=True)
class Spheres:
    """Diameters in Å and percolation radii in Å; None where nothing percolates.

    `network` is the one at the free sphere.
    """

    included: float
    free: float | None
    included_along_free: float | None
    radii: tuple[float | None, float | None, float | None]
    axis_radii: tuple[float | None, float | None, float | None]
    included_position: NDArray[np.float64]
    network: Network
    percolation: Percolation


def clearance(points: ArrayLike, positions: ArrayLike, cell: ArrayLike, radii: ArrayLike) -> NDArray[np.float64]:
    """Return the radius of the largest sphere at each point between the spheres of a periodic framework, Å.

    Negative inside a sphere. Exact: all spheres that can touch are looked at.
    """
    x = np.asarray(points, dtype=np.float64).reshape(-1, 3)
    c = np.asarray(positions, dtype=np.float64)
    r = np.asarray(radii, dtype=np.float64)
    matrix = np.asarray(cell, dtype=np.float64)
    home = x @ np.linalg.inv(matrix)
    home = (home - np.floor(home)) @ matrix
    best = np.full(len(x), np.inf)
    reach = 3.0 + float(r.max())
    todo = np.arange(len(x))
    while len(todo):
        index, _, copies = images_within(c, matrix, reach)
        if len(copies):
            found = np.full(len(todo), np.inf)
            for radius in np.unique(r):
                members = r[index] == radius
                if np.any(members):
                    d, _ = cKDTree(copies[members]).query(home[todo], distance_upper_bound=reach)
                    found = np.minimum(found, d - radius)
            best[todo] = found
            todo = todo[~(found + r.max() <= reach)]
        reach *= 1.5
    return best


def _polish(
    nodes: NDArray[np.float64], centres: NDArray[np.float64], radii: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Move nodes to equal clearance from their four atoms: Newton on |x - c_i| - r_i = s; kept where it runs away."""
    x = nodes.copy()
    s = np.mean(np.linalg.norm(x[:, None] - centres, axis=2) - radii, axis=1)
    for _ in range(4):
        delta = x[:, None, :] - centres
        distance = np.linalg.norm(delta, axis=2)
        jacobian = np.concatenate(
            [delta / np.maximum(distance, 1e-9)[..., None], -np.ones((*distance.shape, 1))], axis=2
        )
        residual = distance - radii - s[:, None]
        determinant = np.linalg.det(jacobian)
        good = np.abs(determinant) > 1e-3
        if not np.any(good):
            break
        step = np.zeros((len(x), 4))
        step[good] = np.linalg.solve(jacobian[good], -residual[good][..., None])[..., 0]
        size = np.linalg.norm(step[:, :3], axis=1)
        step *= np.where(size > 0.3, 0.3 / np.maximum(size, 1e-12), 1.0)[:, None]
        x += step[:, :3]
        s += step[:, 3]
    moved = np.linalg.norm(x - nodes, axis=1)
    return np.where((moved < 0.6)[:, None] & np.isfinite(x), x, nodes)


def build_network(
    positions: ArrayLike, cell: ArrayLike, radii: ArrayLike, *, probe_A: float = 0.6, reach_A: float | None = None
) -> Network:
    """Return the network of cavities and windows, exact for a probe of radius `probe_A`.

    Parameters
    ----------
    positions, cell, radii
        Framework spheres: (N, 3) Å, (3, 3) Å, (N,) Å.
    """
    c = np.asarray(positions, dtype=np.float64)
    matrix = np.asarray(cell, dtype=np.float64)
    r = np.asarray(radii, dtype=np.float64)
    diagram = power_diagram(c, matrix, (r + max(probe_A, 0.0)) ** 2, reach_A=reach_A)
    return _measure(diagram, c, matrix, r, probe_A)


def _measure(
    d: PowerDiagram, c: NDArray[np.float64], cell: NDArray[np.float64], r: NDArray[np.float64], probe: float
) -> Network:
    vertex_centres = c[d.vertex_atoms] + d.vertex_images @ cell
    nodes = _polish(d.vertices, vertex_centres, r[d.vertex_atoms])
    at_vertex = clearance(np.concatenate([d.vertices, nodes]), c, cell, r)
    old, new = at_vertex[: len(nodes)], at_vertex[len(nodes) :]
    nodes = np.where((new > old)[:, None], nodes, d.vertices)
    node_radius = np.maximum(new, old)

    corners = c[d.edge_atoms] + d.edge_atom_images @ cell
    centre, gate, _ = tangent_circle(corners, r[d.edge_atoms])
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    start, end = d.vertices[d.edges[:, 0]], d.vertices[d.edges[:, 1]] + d.edge_images @ cell
    side_a = np.einsum("ij,ij->i", start - corners[:, 0], normal)
    side_b = np.einsum("ij,ij->i", end - corners[:, 0], normal)
    crossing = (side_a * side_b < 0) & np.isfinite(gate)
    radius_a, radius_b = node_radius[d.edges[:, 0]], node_radius[d.edges[:, 1]]
    ends = np.minimum(radius_a, radius_b)
    lower_end = np.where(
        (radius_a <= radius_b)[:, None], nodes[d.edges[:, 0]], nodes[d.edges[:, 1]] + d.edge_images @ cell
    )
    is_window = crossing & (np.nan_to_num(gate, nan=np.inf) <= ends)
    return Network(
        nodes=nodes,
        node_radius=node_radius,
        node_atoms=d.vertex_atoms,
        edges=d.edges,
        images=d.edge_images,
        edge_radius=np.where(is_window, np.nan_to_num(gate), ends),
        window=np.where(is_window[:, None], np.nan_to_num(centre), lower_end),
        window_atoms=d.edge_atoms,
        window_images=d.edge_atom_images,
        is_window=is_window,
        probe=probe,
        reach=d.reach_A,
    )


def spheres(positions: ArrayLike, cell: ArrayLike, radii: ArrayLike) -> Spheres:
    """Return included, free and included-along-free spheres and the percolation radii of a framework.

    Parameters
    ----------
    positions, cell, radii
        Framework spheres: (N, 3) Å, (3, 3) Å, (N,) Å.
    """
    r = np.asarray(radii, dtype=np.float64)
    built: list[tuple[Network, Percolation]] = []

    def at(probe: float) -> tuple[Network, Percolation]:
        for known in built:
            if abs(known[0].probe - probe) < _CLOSE_ENOUGH_A:
                return known
        reach = 1.02 * built[-1][0].reach if built else None
        net = build_network(positions, cell, r, probe_A=probe, reach_A=reach)
        built.append((net, percolate(len(net.nodes), net.edges, net.images, net.edge_radius)))
        return built[-1]

    def settle(dimension: int, probe: float) -> tuple[Network, Percolation]:
        net, percolation = at(probe)
        for _ in range(_MAX_REBUILDS):
            level = percolation.levels[dimension]
            if level is None or abs(max(level, 0.0) - net.probe) < _CLOSE_ENOUGH_A:
                break
            net, percolation = at(max(level, 0.0))
        return net, percolation

    net, percolation = settle(0, 0.6)
    levels: list[float | None] = [percolation.levels[0]]
    for dimension in (1, 2):
        level = percolation.levels[dimension]
        if level is not None and abs(max(level, 0.0) - net.probe) > 0.02:
            level = settle(dimension, max(level, 0.0))[1].levels[dimension]
        levels.append(level)
    included, position = _included(built, positions, cell, r)
    free = levels[0]
    along = None
    if free is not None:
        along = 2.0 * float(net.node_radius[percolation.loop].max())
    return Spheres(
        included=2.0 * included,
        free=None if free is None else 2.0 * free,
        included_along_free=along,
        radii=(levels[0], levels[1], levels[2]),
        axis_radii=percolation.axes,
        included_position=position,
        network=net,
        percolation=percolation,
    )


def _included(
    built: list[tuple[Network, Percolation]], positions: ArrayLike, cell: ArrayLike, radii: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Largest clearance: the best node of all diagrams, the last built at the largest radius found."""
    best = max((float(n.node_radius.max()) for n, _ in built), default=0.0)
    for _ in range(2):  # the widest cavity is exact in the diagram at its own radius
        reach = 1.02 * max(n.reach for n, _ in built)
        if np.ptp(radii) < 0.05 or any(abs(n.probe - best) < 0.05 for n, _ in built):
            break
        net = build_network(positions, cell, radii, probe_A=max(best, 0.0), reach_A=reach)
        built.append((net, built[0][1]))
        best = max(best, float(net.node_radius.max()))
    network = max((n for n, _ in built), key=lambda n: float(n.node_radius.max()))
    row = int(network.node_radius.argmax())
    return float(network.node_radius[row]), network.nodes[row]
