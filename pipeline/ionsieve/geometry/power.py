"""The periodic power (radical, Laguerre) diagram of weighted points: its vertices and edges modulo the lattice.

Power of a point x to atom i: |x - c_i|² - w_i. The cells are the regions of smallest power; with equal weights they are
the Voronoi cells. Lifting (x, |x|² - w) to four dimensions makes the diagram the lower convex hull (Aurenhammer, SIAM
J. Comput. 16 (1987) 78), which Qhull computes. A vertex of the diagram is a lower facet (four atoms), an edge is a
ridge (three atoms) between two facets.

Crystals are degenerate: many atoms on one sphere. Atoms and lattice vectors are therefore displaced by up to
`joggle_A` (the same for all images, the same for the same input), which makes the diagram unique and changes lengths by
no more than that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import ConvexHull

from ionsieve.errors import BugError
from ionsieve.geometry.cells import images_within
from ionsieve.rng import generator

__all__ = ["PowerDiagram", "power_diagram"]

_FACES = np.array(((1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)))
_SPAN = 1 << 10  # images per axis that fit into a code
_HALF = _SPAN // 2
_PLACE = np.array((_SPAN * _SPAN, _SPAN, 1), dtype=np.int64)
_DIAGONALS = np.array(((1.0, 1.0, 1.0), (1.0, 1.0, -1.0), (1.0, -1.0, 1.0), (-1.0, 1.0, 1.0)))
_FIRST_REACH = 1.0  # in units of the mean distance of atoms: enough for most crystals


@dataclass(frozen=True)
class PowerDiagram:
    """Vertices and edges of a power diagram, one representative of each class modulo the lattice.

    Attributes
    ----------
    vertices
        (M, 3) Å.
    vertex_atoms, vertex_images
        (M, 4) atoms at equal power, (M, 4, 3) their lattice shifts.
    edges, edge_images
        (E, 2) vertices joined; the second is to be shifted by (E, 3) lattice vectors.
    edge_atoms, edge_atom_images
        (E, 3) and (E, 3, 3): the three atoms around the edge, in the frame of its first vertex.
    far_atoms, far_images
        (E,) and (E, 3): the fourth atom of the edge's second vertex, in the frame of its first vertex.
    points, cell
        (N, 3) and (3, 3) Å, displaced: those of which this is the diagram.
    reach_A
        Largest distance of an atom from its vertex, Å: the reach that the diagram needs.
    """

    vertices: NDArray[np.float64]
    vertex_atoms: NDArray[np.int64]
    vertex_images: NDArray[np.int64]
    edges: NDArray[np.int64]
    edge_images: NDArray[np.int64]
    edge_atoms: NDArray[np.int64]
    edge_atom_images: NDArray[np.int64]
    far_atoms: NDArray[np.int64]
    far_images: NDArray[np.int64]
    points: NDArray[np.float64]
    cell: NDArray[np.float64]
    reach_A: float


def power_diagram(
    positions: ArrayLike,
    cell: ArrayLike,
    weights_A2: ArrayLike,
    *,
    joggle_A: float = 1e-5,
    reach_A: float | None = None,
) -> PowerDiagram:
    """Return the periodic power diagram.

    Parameters
    ----------
    positions, cell, weights_A2
        (N, 3) Å, (3, 3) Å, (N,) Å² (squared radii).
    joggle_A
        Size of the displacements that remove degeneracy, Å.
    reach_A
        First guess of the reach, Å; saves time when a similar diagram is known.

    Raises
    ------
    BugError
        When the pieces do not close to a periodic whole after several attempts.
    """
    x = np.asarray(positions, dtype=np.float64)
    matrix = np.asarray(cell, dtype=np.float64)
    w = np.broadcast_to(np.asarray(weights_A2, dtype=np.float64), (len(x),))
    spacing = (abs(np.linalg.det(matrix)) / len(x)) ** (1 / 3)
    reach = reach_A or float(np.sqrt((_FIRST_REACH * spacing) ** 2 + 0.5 * float(w.max() - w.min())))
    for attempt in range(16):
        draws = generator("power diagram", step=attempt // 4)
        noise = draws.uniform(-joggle_A, joggle_A, x.shape)
        strained = matrix + draws.uniform(-joggle_A, joggle_A, (3, 3))  # one atom a cell: only the lattice can be moved
        diagram, needed = _attempt(x + noise, strained, w, reach)
        if diagram is not None:
            return diagram
        reach = 1.15 * reach if needed <= reach else 1.01 * min(needed, 1.5 * reach)
    raise BugError(
        "the periodic power diagram does not close",
        found=f"{len(x)} atoms, cell {matrix.tolist()}",
        remedy="please report this structure",
    )


def _encode(atoms: NDArray[np.int64], images: NDArray[np.int64]) -> NDArray[np.int64]:
    """One integer for an atom and its lattice shift; a common shift of several atoms adds a common number."""
    return np.asarray(atoms * (_SPAN * _SPAN * _SPAN) + (images + _HALF) @ _PLACE)


def _decode(codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Atoms and lattice shifts (..., 3) of codes."""
    images = codes[..., None] // _PLACE % _SPAN - _HALF
    return codes // (_SPAN * _SPAN * _SPAN), images


def _attempt(
    x: NDArray[np.float64], cell: NDArray[np.float64], w: NDArray[np.float64], reach: float
) -> tuple[PowerDiagram | None, float]:
    """One hull over all copies within `reach` of the cell; None, with the reach needed, when that was too little."""
    index, image, points = images_within(x, cell, reach)
    origin = 0.5 * cell.sum(axis=0)
    local = points - origin
    # the corners of the box of copies are out of reach of every point of the cell
    near = np.einsum("ij,ij->i", local, local) <= (_half_diagonal_A(cell) + reach) ** 2
    index, image, points, local = index[near], image[near], points[near], local[near]
    if len(points) < 8:
        return None, 1.5 * reach
    lifted = np.einsum("ij,ij->i", local, local) - w[index]
    hull = ConvexHull(np.column_stack([local, lifted]), qhull_options="Qt")
    low = hull.equations[:, 3] < -1e-12
    simplices, plane = hull.simplices[low], hull.equations[low]
    vertices = origin - plane[:, :3] / (2.0 * plane[:, 3:4])
    fractional = vertices @ np.linalg.inv(cell)
    margin = 1e-6
    home = ((fractional >= -margin) & (fractional < 1 + margin)).all(axis=1)
    if not home.any():
        return None, 1.5 * reach
    simplices, vertices = simplices[home], vertices[home]
    distances = points[simplices] - vertices[:, None, :]
    needed = float(np.sqrt(np.einsum("kai,kai->ka", distances, distances).max()))
    if needed > reach:
        return None, needed
    codes, offset = _canonical(np.sort(_encode(index, image)[simplices], axis=1))
    order = np.lexsort(codes.T[::-1])
    ranked = codes[order]
    order = order[np.concatenate([[True], (ranked[1:] != ranked[:-1]).any(axis=1)])]
    vertices = vertices[order] - offset[order] @ cell  # in the frame in which the first atom has image 0
    return _join(codes[order], vertices, x, cell, needed), needed


def _half_diagonal_A(cell: NDArray[np.float64]) -> float:
    """Largest distance of a point of the cell from its middle, Å."""
    return 0.5 * float(np.sqrt(np.einsum("ij,ij->i", _DIAGONALS @ cell, _DIAGONALS @ cell).max()))


def _canonical(codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Shift sorted rows of codes so that their first atom has image 0; also return that shift.

    Translation adds the same to all, so the order, hence the result, is the same for all copies of a simplex.
    """
    _, offset = _decode(codes[:, 0])
    return codes - (offset @ _PLACE)[:, None], offset


def _join(
    codes: NDArray[np.int64],
    vertices: NDArray[np.float64],
    x: NDArray[np.float64],
    cell: NDArray[np.float64],
    reach: float,
) -> PowerDiagram | None:
    """Match the four faces of every simplex: each class occurs exactly twice, and the simplices fill the cell."""
    faces, offset = _canonical(codes[:, _FACES].reshape(-1, 3))
    order = np.lexsort(faces.T[::-1])
    faces, offset = faces[order], offset[order]
    first, second = faces[0::2], faces[1::2]
    if len(order) % 2 or (first != second).any() or (second[:-1] == first[1:]).all(axis=1).any():
        return None
    owner, corner = order // 4, order % 4
    shift = offset[0::2] - offset[1::2]
    far = codes[owner[1::2], corner[1::2]] + shift @ _PLACE
    vertex_atoms, vertex_images = _decode(codes)
    corners = x[vertex_atoms] + vertex_images @ cell
    volume = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])).sum() / 6.0
    if abs(volume / abs(np.linalg.det(cell)) - 1.0) > 1e-6:
        return None
    edge_atoms, edge_images = _decode(first + (offset[0::2] @ _PLACE)[:, None])
    far_atoms, far_images = _decode(far)
    return PowerDiagram(
        vertices=vertices,
        vertex_atoms=vertex_atoms,
        vertex_images=vertex_images,
        edges=np.stack([owner[0::2], owner[1::2]], axis=1),
        edge_images=shift,
        edge_atoms=edge_atoms,
        edge_atom_images=edge_images,
        far_atoms=far_atoms,
        far_images=far_images,
        points=x,
        cell=cell,
        reach_A=reach,
    )
