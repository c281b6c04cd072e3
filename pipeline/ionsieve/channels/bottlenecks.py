"""Every bottleneck on the percolating paths: the windows that the free sphere meets, whoever named the sites.

At the radius at which the free space first percolates, the open network is a set of cavities joined by windows. All
windows of the percolating part are listed, the narrowest first (it is the free sphere); windows in one place, because
their polygon has more than three corners, are one; copies with equal atoms, radius and area are one row with a
multiplicity.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ionsieve.channels.framework import Framework
from ionsieve.channels.gate_kinds import clusters
from ionsieve.channels.network import Spheres
from ionsieve.geometry.cells import minimum_image
from ionsieve.records.channels import Bottleneck

__all__ = ["find_bottlenecks", "polygon_area_A2"]

_SAME_PLACE_A = 0.15
_TIE_A = 2e-3
_SAME_RADIUS_A = 0.005
_SAME_AREA_A2 = 0.05
_NARROWING_A = 0.02  # less narrow than this against both cavities, it is a cut through one cavity


def polygon_area_A2(corners: NDArray[np.float64]) -> float:
    """Return the area of a nearly plane polygon (K, 3), corners in any order, Å²: fan around the centroid by angle."""
    centre = corners.mean(axis=0)
    spokes = corners - centre
    _, _, axes = np.linalg.svd(spokes, full_matrices=False)
    order = np.argsort(np.arctan2(spokes @ axes[1], spokes @ axes[0]))
    ring = spokes[order]
    return float(0.5 * np.linalg.norm(np.cross(ring, np.roll(ring, -1, axis=0)), axis=1).sum())


def find_bottlenecks(framework: Framework, found: Spheres) -> tuple[Bottleneck, ...]:
    """Return the windows on the percolating paths, narrowest first.

    Parameters
    ----------
    found
        From `ionsieve.channels.network.spheres` of the same framework.
    """
    level = found.percolation.levels[0]
    if level is None:
        return ()
    net, cell = found.network, framework.cell
    inside = found.percolation.members[0]
    rows = np.flatnonzero(
        net.is_window
        & (net.edge_radius >= level - _TIE_A)
        & (net.node_radius[net.edges].min(axis=1) - net.edge_radius > _NARROWING_A)
        & inside[net.edges[:, 0]]
        & inside[net.edges[:, 1]]
    )
    rows = rows[np.argsort(net.edge_radius[rows], kind="stable")]
    taken = np.zeros(len(rows), dtype=bool)
    groups: dict[tuple[str, ...], list[Bottleneck]] = {}
    inverse = np.linalg.inv(cell)
    for k, row in enumerate(rows):
        if taken[k]:
            continue
        shift = minimum_image(net.window[rows] - net.window[row], cell)
        together = (np.einsum("ij,ij->i", shift, shift) < _SAME_PLACE_A**2) & ~taken
        taken |= together
        corners: dict[tuple[int, ...], NDArray[np.float64]] = {}
        for other, near in zip(rows[together], shift[together], strict=True):
            home = np.round((near - (net.window[other] - net.window[row])) @ inverse).astype(np.int64)
            for atom, image in zip(net.window_atoms[other], net.window_images[other] + home, strict=True):
                corners[int(atom), *image.tolist()] = framework.positions[atom] + image @ cell
        names = tuple(sorted(framework.names[atom] for atom, *_ in corners))
        area = polygon_area_A2(np.array(list(corners.values())))
        x, y, z = net.window[row]
        groups.setdefault(names, []).append(
            Bottleneck(
                radius_A=float(net.edge_radius[row]),
                position_A=(float(x), float(y), float(z)),
                atoms=names,
                area_A2=area,
            )
        )
    merged = [bottleneck for members in groups.values() for bottleneck in _equal(members)]
    return tuple(sorted(merged, key=lambda b: (round(b.radius_A, 3), b.atoms)))


def _equal(members: list[Bottleneck]) -> list[Bottleneck]:
    """One bottleneck for each radius and area among those of equal atoms, with how many there are of it."""
    radius = clusters(np.array([b.radius_A for b in members]), _SAME_RADIUS_A)
    area = clusters(np.array([b.area_A2 for b in members]), _SAME_AREA_A2)
    groups: dict[tuple[int, int], list[Bottleneck]] = {}
    for b, *key in zip(members, radius.tolist(), area.tolist(), strict=True):
        groups.setdefault((key[0], key[1]), []).append(b)
    return [same[0].model_copy(update={"multiplicity": len(same)}) for same in groups.values()]
