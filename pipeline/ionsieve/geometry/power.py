"""The periodic power (radical, Laguerre) diagram of weighted points: its vertices and edges modulo the lattice.

Power of a point x to atom i: |x - c_i|² - w_i. The cells are the regions of smallest power; with equal weights they are
the Voronoi cells. Lifting (x, |x|² - w) to four dimensions makes the diagram the lower convex hull (Aurenhammer, SIAM
J.
Comput. 16 (1987) 78), which Qhull computes. A vertex of the diagram is a lower facet (four atoms), an edge is a ridge
(three atoms) between two facets.

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

_FACES = ((1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2))
_SPAN = 1 << 10  # images per axis that fit into a vertex code


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
    reach = reach_A or float(np.sqrt((1.3 * spacing) ** 2 + 0.5 * float(w.max() - w.min())))
    for attempt in range(12):
        draws = generator("power diagram", step=attempt)
        noise = draws.uniform(-joggle_A, joggle_A, x.shape)
        strained = matrix + draws.uniform(-joggle_A, joggle_A, (3, 3))  # one atom a cell: only the lattice can be moved
        diagram, needed = _attempt(x + noise, strained, w, reach)
        if diagram is not None:
            return diagram
        reach = 1.1 * reach if needed <= reach else max(1.35 * reach, min(needed, 2.0 * reach) * 1.01)
    raise BugError(
        "the periodic power diagram does not close",
        found=f"{len(x)} atoms, cell {matrix.tolist()}",
        remedy="please report this structure",
    )


def _attempt(
    x: NDArray[np.float64], cell: NDArray[np.float64], w: NDArray[np.float64], reach: float
) -> tuple[PowerDiagram | None, float]:
    """One hull over all copies within `reach` of the cell; None, with the reach needed, when that was too little."""
    index, image, points = images_within(x, cell, reach)
    if len(points) < 8:
        return None, 2.0 * reach
    origin = 0.5 * cell.sum(axis=0)
    local = points - origin
    lifted = np.einsum("ij,ij->i", local, local) - w[index]
    hull = ConvexHull(np.column_stack([local, lifted]), qhull_options="Qt")
    low = hull.equations[:, 3] < -1e-12
    simplices, plane = hull.simplices[low], hull.equations[low]
    centre = -plane[:, :3] / (2.0 * plane[:, 3:4])
    fractional = (centre + origin) @ np.linalg.inv(cell)
    margin = 1e-6
    home = np.all((fractional >= -margin) & (fractional < 1 + margin), axis=1)
    if not np.any(home):
        return None, 2.0 * reach
    simplices, vertices = simplices[home], centre[home] + origin
    distances = points[simplices] - vertices[:, None, :]
    radius2 = np.einsum("kai,kai->ka", distances, distances).max(axis=1)
    needed = float(np.sqrt(radius2.max()))
    if needed > reach:
        return None, needed
    atoms, images = index[simplices], image[simplices]
    atoms, images, offset = _canonical(atoms, images)
    keep = np.unique(np.concatenate([atoms, images.reshape(len(images), -1)], axis=1), axis=0, return_index=True)[1]
    atoms, images, offset, vertices = atoms[keep], images[keep], offset[keep], vertices[keep]
    vertices = vertices - offset @ cell  # the vertex in the frame in which its first atom has image 0
    return _join(atoms, images, vertices, needed), needed


def _canonical(
    atoms: NDArray[np.int64], images: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Sort the corners of simplices by (atom, image) and shift the first to image 0; also return that shift.

    Translation adds the same to all images, so the order, hence the result, is the same for all copies of a simplex.
    """
    half = _SPAN // 2
    code = ((atoms * _SPAN + images[..., 0] + half) * _SPAN + images[..., 1] + half) * _SPAN + images[..., 2] + half
    order = np.argsort(code, axis=1, kind="stable")
    atoms = np.take_along_axis(atoms, order, axis=1)
    images = np.take_along_axis(images, order[..., None], axis=1)
    offset = images[:, 0, :].copy()
    return atoms, images - offset[:, None, :], offset


def _join(
    atoms: NDArray[np.int64], images: NDArray[np.int64], vertices: NDArray[np.float64], reach: float
) -> PowerDiagram | None:
    """Match the four faces of every simplex; each class of faces must occur exactly twice."""
    count = len(atoms)
    face_atoms = np.concatenate([atoms[:, f] for f in _FACES])
    face_images = np.concatenate([images[:, f] for f in _FACES])
    owner = np.tile(np.arange(count), 4)
    face_atoms, face_images, offset = _canonical(face_atoms, face_images)
    rows = np.concatenate([face_atoms, face_images.reshape(len(face_images), -1)], axis=1)
    order = np.lexsort(rows.T[::-1])
    rows, owner, offset = rows[order], owner[order], offset[order]
    if (
        len(rows) % 2
        or not np.array_equal(rows[0::2], rows[1::2])
        or np.any(np.all(rows[1:-1:2] == rows[2::2], axis=1))
    ):
        return None
    shift = offset[0::2] - offset[1::2]
    return PowerDiagram(
        vertices=vertices,
        vertex_atoms=atoms,
        vertex_images=images,
        edges=np.stack([owner[0::2], owner[1::2]], axis=1),
        edge_images=shift,
        edge_atoms=rows[0::2, :3],
        edge_atom_images=rows[0::2, 3:].reshape(-1, 3, 3) + offset[0::2][:, None, :],
        reach_A=reach,
    )
