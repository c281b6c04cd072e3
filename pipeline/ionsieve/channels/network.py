"""Spheres that fit into a framework and spheres that pass through it.

=====================  ==========================================================================================
included sphere  D_i   twice the largest clearance
free sphere  D_f       twice the largest radius of a sphere that can travel to its own periodic image
included along free    twice the largest clearance on the ways of the free sphere: all ways through the crystal that
sphere  D_if           let it pass and use no window twice. Cavities that can only be left through the window by which
                       they were entered are no part of a way
=====================  ==========================================================================================

Where several ways are equally wide, D_if is the largest cavity of them all: the only choice that does not depend on the
order or the origin in which the atoms are given.

Method. The network of `skeleton` is exact for its probe. It is taken at the radius found until the two agree; the
diagram is built anew only when its tetrahedra have changed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ionsieve.channels.percolation import Percolation, on_ways, percolate
from ionsieve.channels.skeleton import Copies, Network, Skeleton, build_network, build_skeleton, clearance
from ionsieve.geometry.cells import minimum_image

__all__ = ["Network", "Spheres", "build_network", "clearance", "spheres"]

_CLOSE_ENOUGH_A = 2e-3
_MAX_ROUNDS = 5
_FIRST_PROBE_A = 0.35


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


class _FreeSpace:
    """Skeletons of one framework, each made once."""

    def __init__(self, positions: NDArray[np.float64], cell: NDArray[np.float64], radii: NDArray[np.float64]) -> None:
        self.positions, self.cell, self.radii = positions, cell, radii
        self.skeletons: list[Skeleton] = []
        self.solved: list[tuple[Network, Percolation, Skeleton]] = []
        self.copies: Copies | None = None

    def skeleton(self, probe_A: float) -> Skeleton:
        probe = max(probe_A, 0.0)
        for known in reversed(self.skeletons):
            if known.holds(probe):
                return known
        reach = None if not self.skeletons else 1.05 * self.skeletons[-1].diagram.reach_A
        new = build_skeleton(self.positions, self.cell, self.radii, probe, copies=self.copies, reach_A=reach)
        self.copies = new.copies
        self.skeletons.append(new)
        return new

    def at(self, probe_A: float) -> tuple[Network, Percolation, Skeleton]:
        for known in self.solved:
            if abs(known[0].probe - probe_A) < _CLOSE_ENOUGH_A:
                return known
        skeleton = self.skeleton(probe_A)
        net = skeleton.network(probe_A)
        self.solved.append((net, percolate(len(net.nodes), net.edges, net.images, net.edge_radius), skeleton))
        return self.solved[-1]

    def settle(self, quantity: str, index: int) -> tuple[Network, Percolation, Skeleton]:
        """Network in which the level asked for (`levels` or `axes` of `Percolation`) is the network's own probe."""
        net, percolation, skeleton = self.at(_FIRST_PROBE_A) if not self.solved else self.solved[-1]
        for _ in range(_MAX_ROUNDS):
            level = getattr(percolation, quantity)[index]
            if level is None or abs(max(level, 0.0) - net.probe) < _CLOSE_ENOUGH_A:
                break
            net, percolation, skeleton = self.at(max(level, 0.0))
        return net, percolation, skeleton


def spheres(positions: ArrayLike, cell: ArrayLike, radii: ArrayLike) -> Spheres:
    """Return included, free and included-along-free spheres and the percolation radii of a framework.

    Parameters
    ----------
    positions, cell, radii
        Framework spheres: (N, 3) Å, (3, 3) Å, (N,) Å.
    """
    x, matrix, r = (np.asarray(a, dtype=np.float64) for a in (positions, cell, radii))
    space = _FreeSpace(x, matrix, r)
    net, percolation, skeleton = space.settle("levels", 0)
    along = _along(space, net, percolation, skeleton)
    levels = [percolation.levels[0], *(space.settle("levels", d)[1].levels[d] for d in (1, 2))]
    axes = [space.settle("axes", a)[1].axes[a] for a in range(3)]
    included, spot = _included(space)
    return Spheres(
        included=2.0 * included,
        free=None if levels[0] is None else 2.0 * levels[0],
        included_along_free=None if along is None else 2.0 * along,
        radii=(levels[0], levels[1], levels[2]),
        axis_radii=(axes[0], axes[1], axes[2]),
        included_position=spot,
        network=net,
        percolation=percolation,
    )


def _included(space: _FreeSpace) -> tuple[float, NDArray[np.float64]]:
    """Largest clearance and where: a cavity is exact in the skeleton of its own radius."""

    def best() -> tuple[float, Skeleton]:
        return max(((float(s.node_radius.max()), s) for s in space.skeletons), key=lambda pair: pair[0])

    radius, home = best()
    for _ in range(_MAX_ROUNDS):
        space.skeleton(radius)
        larger, home = best()
        if larger < radius + 1e-4:
            break
        radius = larger
    return float(home.node_radius.max()), home.nodes[int(home.node_radius.argmax())]


def _along(space: _FreeSpace, net: Network, percolation: Percolation, skeleton: Skeleton) -> float | None:
    """Largest clearance on the ways of the free sphere."""
    level = percolation.levels[0]
    if level is None:
        return None
    rows = np.flatnonzero(on_ways(percolation, net.edges, net.images, net.edge_radius))
    radius = float(net.node_radius[rows].max())
    for _ in range(_MAX_ROUNDS):
        at_own = space.skeleton(radius)
        if at_own is skeleton:
            break
        # the same cavity in the skeleton of its own radius: balls of free space around both centres overlap
        wider = np.flatnonzero(at_own.node_radius > radius + 1e-4)
        found = radius
        for n in wider[np.argsort(-at_own.node_radius[wider])]:
            apart = np.linalg.norm(minimum_image(net.nodes[rows] - at_own.nodes[n], space.cell), axis=1)
            if np.any(apart < net.node_radius[rows] + at_own.node_radius[n] - 2 * level):
                found = float(at_own.node_radius[n])
                break
        if found < radius + 1e-4:
            break
        radius = found
    return radius
