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
from ionsieve.channels.network import Spheres
from ionsieve.geometry.cells import minimum_image
from ionsieve.records.channels import Bottleneck

__all__ = ["find_bottlenecks", "polygon_area_A2"]

_SAME_PLACE_A = 0.15
_TIE_A = 2e-3
_SAME_RADIUS_A = 0.005
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
    groups: dict[tuple[tuple[str, ...], int, int], list[Bottleneck]] = {}
    for k, row in enumerate(rows):
        if taken[k]:
            continue
        shift = minimum_image(net.window[rows] - net.window[row], cell)
        together = (np.einsum("ij,ij->i", shift, shift) < _SAME_PLACE_A**2) & ~taken
        taken |= together
        corners: dict[tuple[int, tuple[float, ...]], NDArray[np.float64]] = {}
        for other in rows[together]:
            places = framework.positions[net.window_atoms[other]] + net.window_images[other] @ cell
            moved = places - net.window[other] + minimum_image(net.window[other] - net.window[row], cell)
            for atom, place in zip(net.window_atoms[other], moved, strict=True):
                corners[int(atom), tuple(np.round(place, 1) + 0.0)] = place
        names = tuple(sorted(framework.names[atom] for atom, _ in corners))
        area = polygon_area_A2(np.array(list(corners.values())))
        radius = float(net.edge_radius[row])
        x, y, z = net.window[row]
        groups.setdefault((names, round(radius / _SAME_RADIUS_A), round(area / 0.05)), []).append(
            Bottleneck(radius_A=radius, position_A=(float(x), float(y), float(z)), atoms=names, area_A2=area)
        )
    merged = [members[0].model_copy(update={"multiplicity": len(members)}) for members in groups.values()]
    return tuple(sorted(merged, key=lambda b: (round(b.radius_A, 3), b.atoms)))
