"""Gates: the windows of anions that a jump between two neighbouring mobile sites passes.

Definition. The anions alone are triangulated (the dual of their power diagram). Every straight jump between two
neighbouring sites crosses faces of this triangulation; a face is a *gate* when it is a true window: the free space is
narrowest there, because the face's tangent circle lies inside the face and between the two cavities that it joins.
Faces that merely cut a cavity in two (the inner diagonals of an octahedron) are thereby left out. A jump that crosses
no true window but some face keeps the narrowest face; a jump that crosses no face stays in one cavity and has no gate.
A window in which a site itself lies is named only where it is the narrowest of the jump.

Neighbouring sites: no third site lies in the sphere on the jump as diameter (Gabriel graph), so that a jump is a
single step. A third site counts only when it is nearer to both ends than these are to each other. Every jump left out
is thus replaced by shorter ones, and whatever sites within reach are joined by, they stay joined by: positions of a
split site, a fraction of an ångström apart, do not take each other's jumps away.

In NaZr2(PO4)3 this gives the two triangles of O between Na1 and Na2, on both sides of Na3; in anti-perovskites the
triangle of one O and two X; in Na3PS4 a triangle of S.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ionsieve.channels.framework import Framework
from ionsieve.channels.gate_kinds import SAME_RADIUS_A, name_kinds
from ionsieve.channels.network import build_network
from ionsieve.channels.passages import BULGE_A, narrowing, passage
from ionsieve.channels.percolation import percolate
from ionsieve.channels.settings import ChannelSettings
from ionsieve.geometry.cells import images_within
from ionsieve.geometry.polygons import circumradius_A, tangent_circle, triangle_area_A2, widest_point

__all__ = ["GateSet", "Jumps", "find_gates", "find_jumps", "jump_radii_A", "percolating_jumps"]

_PROBE_A = 0.6
_GABRIEL_MARGIN = 0.02  # on |ij|²: right angles count as a detour
_SHORTER = 2e-3  # on |ij|²: by so much both halves of a detour are shorter than the jump that it replaces


@dataclass(frozen=True)
class Jumps:
    """Pairs of neighbouring mobile sites, each once.

    (P, 2) sites, (P, 3) lattice shift of the second, (P,) length, Å.
    """

    sites: NDArray[np.int64]
    images: NDArray[np.int64]
    lengths: NDArray[np.float64]


@dataclass(frozen=True)
class GateSet:
    """Gates of all jumps of one structure: enough to follow them along a trajectory of the same atoms.

    Attributes
    ----------
    atoms, images
        (G, 3) rows of the anions in the structure, (G, 3, 3) their lattice shifts.
    radii
        (G, 3) anion radii, Å.
    jump
        (G,) row in `jumps` of the jump that crosses the gate.
    fraction, length
        (G,) position of the gate along the jump from the first site; (G,) jump length, Å.
    kind, kinds
        (G,) index into the names of the jump types, for example ``Na1-Na2 gate 1``, with the anions' elements where
        these
        vary between gates of one type: ``Na1-Na2 gate 1 (Cl-S-S)``.
    names
        For each gate the three anions' labels, sorted.
    centre, area, circumradius, free_radius
        Static geometry: (G, 3) Å, (G,) Å², Å, Å.
    reference, cell
        (N, 3) Å positions of all atoms of the structure and (3, 3) Å its cell, in which the images are counted.
    ion_radius
        Å, of the mobile ion.
    jumps, site_labels
        All jumps, with and without gates, and the labels of the sites between which they go.
    """

    atoms: NDArray[np.int64]
    images: NDArray[np.int64]
    radii: NDArray[np.float64]
    jump: NDArray[np.int64]
    fraction: NDArray[np.float64]
    length: NDArray[np.float64]
    kind: NDArray[np.int64]
    kinds: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    centre: NDArray[np.float64]
    area: NDArray[np.float64]
    circumradius: NDArray[np.float64]
    free_radius: NDArray[np.float64]
    reference: NDArray[np.float64]
    cell: NDArray[np.float64]
    ion_radius: float
    jumps: Jumps
    site_labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.atoms)


def find_jumps(sites: NDArray[np.float64], cell: NDArray[np.float64], *, max_length_A: float) -> Jumps:
    """Return the pairs of sites that are joined by a single step.

    The search goes to `max_length_A`, and beyond it (in steps, to twice that) only when the sites found do not yet lead
    through the crystal.
    """
    length = max_length_A
    jumps = _jumps_within(sites, cell, length)
    while length < 2 * max_length_A:
        if len(jumps.sites):
            through = percolate(len(sites), jumps.sites, jumps.images, -jumps.lengths)
            if through.levels[0] is not None:
                break
        length *= 1.19
        jumps = _jumps_within(sites, cell, length)
    return jumps


def _jumps_within(sites: NDArray[np.float64], cell: NDArray[np.float64], reach: float) -> Jumps:
    index, image, points = images_within(sites, cell, reach)
    fractional = sites @ np.linalg.inv(cell)
    home_shift = -np.floor(fractional).astype(np.int64)
    home = (fractional + home_shift) @ cell
    tree = cKDTree(points) if len(points) else None
    near = tree.query_ball_point(home, reach) if tree is not None else []
    pairs: list[tuple[int, int, NDArray[np.int64], float]] = []
    for i, members in enumerate(near):
        rows = np.array(members, dtype=np.int64)
        vectors = points[rows] - home[i]
        distance = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        order = np.argsort(distance, kind="stable")
        rows, vectors, distance = rows[order], vectors[order], distance[order]
        other = distance > 1e-6
        rows, vectors, distance = rows[other], vectors[other], distance[other]
        # Gabriel: k is in the sphere on i-j when |ik|² + |jk|² <= |ij|², that is when vi.vk >= |vk|² up to the margin
        dot = vectors @ vectors.T
        square = distance**2
        inside = 2.0 * square[None, :] - 2.0 * dot <= _GABRIEL_MARGIN * square[:, None]
        # both halves of a detour are shorter than the jump itself: twins beside its end take no jump from each other
        longer = np.maximum(square[None, :], square[:, None] + square[None, :] - 2.0 * dot)
        inside &= longer < (1.0 - _SHORTER) * square[:, None]
        np.fill_diagonal(inside, False)
        direct = ~np.any(inside, axis=1)
        for row, length in zip(rows[direct], distance[direct], strict=True):
            j, shift = int(index[row]), image[row] - home_shift[i]
            if j > i or (j == i and tuple(shift) > (0, 0, 0)):
                pairs.append((i, j, shift, float(length)))
    return Jumps(
        np.array([(i, j) for i, j, _, _ in pairs], dtype=np.int64).reshape(-1, 2),
        np.array([s for _, _, s, _ in pairs], dtype=np.int64).reshape(-1, 3),
        np.array([length for *_, length in pairs], dtype=np.float64),
    )


def find_gates(framework: Framework, settings: ChannelSettings | None = None) -> GateSet:
    """Return the gates of all jumps between the framework's mobile sites.

    Parameters
    ----------
    framework
        From `ionsieve.channels.read_framework`.
    """
    settings = settings or ChannelSettings()
    cell = framework.cell
    jumps = find_jumps(framework.sites, cell, max_length_A=settings.max_jump_length_A)
    anions = np.flatnonzero(framework.is_anion)
    if len(jumps.sites) == 0 or len(anions) == 0:
        return _assemble(framework, anions, jumps, [], np.empty((0, 3), np.int64), np.empty((0, 3, 3), np.int64))
    positions, radii = framework.positions[anions], framework.radii[anions]
    net = build_network(positions, cell, radii, probe_A=_PROBE_A)
    corners = positions[net.window_atoms] + net.window_images @ cell
    _, _, inside = tangent_circle(corners, radii[net.window_atoms])
    anion_names = [tuple(sorted(framework.names[a] for a in face)) for face in anions[net.window_atoms].tolist()]
    order = {name: k for k, name in enumerate(sorted(set(anion_names)))}
    name_of = np.array([order[name] for name in anion_names], dtype=np.int64)
    true_window = net.is_window & inside & narrowing(net, name_of)

    # copies of the faces around the cell, found by their centroids
    centroid = corners.mean(axis=1)
    extent = np.linalg.norm(corners - centroid[:, None], axis=2).max(axis=1)
    longest = float(jumps.lengths.max())
    face, shift, at = images_within(centroid, cell, longest + float(np.quantile(extent, 0.99)) + BULGE_A)
    tree = cKDTree(at)
    start = framework.sites[jumps.sites[:, 0]]
    end = framework.sites[jumps.sites[:, 1]] + jumps.images @ cell
    wrap = np.floor(start @ np.linalg.inv(cell)).astype(np.int64)
    start, end = start - wrap @ cell, end - wrap @ cell
    near = tree.query_ball_point(0.5 * (start + end), 0.5 * jumps.lengths + np.quantile(extent, 0.99) + BULGE_A)
    _, clear_of = widest_point(corners, radii[net.window_atoms])
    chosen: list[tuple[int, float]] = []
    faces: list[int] = []
    shifts: list[NDArray[np.int64]] = []
    for p, members in enumerate(near):
        if len(members) == 0 or jumps.lengths[p] < settings.min_jump_length_A:
            continue
        copies = np.array(members, dtype=np.int64)
        triangles = corners[face[copies]] + (shift[copies] @ cell)[:, None, :]
        local = face[copies]
        for k, where in passage(start[p], end[p], triangles, clear_of[local], true_window[local], name_of[local]):
            chosen.append((p, where))
            faces.append(int(face[copies[k]]))
            shifts.append(shift[copies[k]] + wrap[p])
    which = np.array(faces, dtype=np.int64)
    moved = np.array(shifts, dtype=np.int64).reshape(-1, 3)
    return _assemble(
        framework, anions, jumps, chosen, net.window_atoms[which], net.window_images[which] + moved[:, None, :]
    )


def _assemble(
    framework: Framework,
    anions: NDArray[np.int64],
    jumps: Jumps,
    chosen: Sequence[tuple[int, float]],
    local: NDArray[np.int64],
    images: NDArray[np.int64],
) -> GateSet:
    """Turn picked faces into a GateSet: orientation by label, types, static geometry."""
    rows = anions[local] if len(local) else local
    pair = np.array([p for p, _ in chosen], dtype=np.int64)
    fraction = np.array([f for _, f in chosen], dtype=np.float64)
    sites = jumps.sites[pair] if len(pair) else np.empty((0, 2), dtype=np.int64)
    length = jumps.lengths[pair] if len(pair) else np.empty(0)
    corners = framework.positions[rows] + images @ framework.cell if len(rows) else np.empty((0, 3, 3))
    radii = framework.radii[rows] if len(rows) else np.empty((0, 3))
    centre, free = widest_point(corners, radii) if len(rows) else (np.empty((0, 3)), np.empty(0))
    elements = ["-".join(sorted(framework.symbols[a] for a in gate)) for gate in rows]
    kind, kinds, forward = name_kinds(framework.labels, pair, sites, length, fraction, free, elements)
    reference = np.zeros((len(framework.indices) + len(framework.mobile_indices), 3))
    reference[framework.indices] = framework.positions
    return GateSet(
        atoms=framework.indices[rows] if len(rows) else rows,
        images=images,
        radii=radii,
        jump=pair,
        fraction=np.where(forward, fraction, 1.0 - fraction) if len(rows) else fraction,
        length=length,
        kind=kind,
        kinds=kinds,
        names=tuple(tuple(sorted(framework.names[a] for a in gate)) for gate in rows),
        centre=centre,
        area=triangle_area_A2(corners) if len(rows) else np.empty(0),
        circumradius=circumradius_A(corners) if len(rows) else np.empty(0),
        free_radius=free,
        reference=reference,
        cell=framework.cell,
        ion_radius=framework.ion_radius,
        jumps=jumps,
        site_labels=framework.labels,
    )


def jump_radii_A(gates: GateSet) -> NDArray[np.float64]:
    """Return for each jump the free radius of its narrowest gate, Å; infinite for a jump without a gate."""
    radii = np.full(len(gates.jumps.sites), np.inf)
    np.minimum.at(radii, gates.jump, gates.free_radius)
    return radii


def percolating_jumps(gates: GateSet, site_count: int) -> tuple[float | None, NDArray[np.bool_]]:
    """Return the free radius that limits the widest way through the crystal over named sites, and the jumps on it.

    Jumps enter in the order of falling radius until a cluster of sites meets its own image.

    Returns
    -------
    radius, member
        Å (None when no way leads through, infinite when no gate is met); (P,) the jumps of that cluster that are open
        at this radius.
    """
    radii = jump_radii_A(gates)
    none = np.zeros(len(radii), dtype=bool)
    if len(radii) == 0:
        return None, none
    result = percolate(site_count, gates.jumps.sites, gates.jumps.images, radii, tie=SAME_RADIUS_A)
    level = result.levels[0]
    if level is None:
        return None, none
    return level, result.members[0][gates.jumps.sites[:, 0]] & (radii >= level - SAME_RADIUS_A)
