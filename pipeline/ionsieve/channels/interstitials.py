"""Where could a further mobile ion sit? Cavities of the framework, merged by symmetry.

A cavity is a vertex of the free-space network whose clearance reaches a fraction of the ion's radius. Vertices of one
cavity (nearer than `merge_A`) are one, at the widest; a cavity near a symmetry element is put onto it where it is
nearly as wide there, and else is split over the copies around it, of which one ion can have one; cavities that are
symmetry copies are one row with their multiplicity; cavities on known mobile sites are named after them. The symmetry
is that of framework and known sites together: where an ion is missing, the empty place is no copy of the full ones. The
rows can be pasted under ``mobile_sites`` of a prototype's YAML.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from ionsieve.channels.framework import Framework
from ionsieve.channels.network import Network, build_network, clearance
from ionsieve.geometry.cells import minimum_image

__all__ = ["Interstitial", "find_interstitials"]

_WIDE_ENOUGH = 0.85  # of the cavity's clearance must be left on the symmetry element
_NO_WIDER = 1.05  # a point wider than this belongs to another cavity
_SAME_SPOT_A = 0.05


@dataclass(frozen=True)
class Interstitial:
    """One kind of cavity.

    Attributes
    ----------
    label
        ``i1``, ``i2`` ... from the widest; `on_site` is the label of the known mobile site in it, or empty.
    fractional, positions
        (3,) of one copy, as tables would print it, and (K, 3) Å of all copies in the cell.
    radius
        Clearance at its centre, Å; `ratio` is that over the ion's radius.
    nearest_site_A
        Distance to the nearest known mobile site, Å; infinite without any.
    split
        How many of the positions belong to one cavity, which holds one ion: 1 but beside a symmetry element.
    """

    label: str
    on_site: str
    fractional: NDArray[np.float64]
    positions: NDArray[np.float64]
    radius: float
    ratio: float
    nearest_site_A: float
    split: int = 1

    @property
    def cavities(self) -> int:
        """How many cavities of this kind the cell holds."""
        return len(self.positions) // self.split

    def as_mobile_site(self) -> dict[str, Any]:
        """Return the row for ``mobile_sites`` of a prototype's YAML."""
        note = f"cavity, free radius {self.radius:.2f} A, {self.nearest_site_A:.2f} A from the next site"
        if self.split > 1:
            note += f"; one ion for every {self.split} positions"
        return {
            "label": self.label,
            "wyckoff": None,
            "multiplicity": len(self.positions),
            "occupancy": 0.0,
            "xyz": [round(float(x), 4) for x in self.fractional],
            "kind": "interstitial, empty here",
            "note": note,
        }


def find_interstitials(
    framework: Framework,
    *,
    network: Network | None = None,
    min_ratio: float = 0.8,
    merge_A: float = 0.9,
    known_A: float = 1.0,
    include_known: bool = False,
    symprec_A: float = 0.05,
) -> tuple[Interstitial, ...]:
    """Return the cavities that can hold the mobile ion, widest first.

    Parameters
    ----------
    framework
        From `read_framework`; its sites are the known ones.
    network
        A network of this framework, when one is at hand.
    min_ratio
        Smallest clearance as a fraction of the ion's radius.
    merge_A, known_A
        Cavities nearer than this to a wider one, or to a known site, are that one.
    include_known
        Also return the cavities of known sites.
    symprec_A
        Tolerance of the symmetry of framework and known sites, Å.
    """
    cell = framework.cell
    net = network or build_network(framework.positions, cell, framework.radii, probe_A=min_ratio * framework.ion_radius)
    order = np.argsort(-net.node_radius, kind="stable")
    wide = [int(n) for n in order if net.node_radius[n] >= min_ratio * framework.ion_radius]
    kept: list[int] = []
    for n in wide:
        if not kept or np.min(_distances(net.nodes[kept], net.nodes[n], cell)) > merge_A:
            kept.append(n)
    rotations, translations = _symmetry(framework, symprec_A)
    out: list[Interstitial] = []
    todo = list(kept)
    inverse = np.linalg.inv(cell)
    while todo:
        first = todo[0]
        copies = _orbit(net.nodes[first], rotations, translations, cell)
        members = [n for n in todo if np.min(_distances(copies, net.nodes[n], cell)) < merge_A]
        todo = [n for n in todo if n not in members]
        centre, radius = _centred(net.nodes[first], float(net.node_radius[first]), copies, framework, merge_A)
        spots = _distinct(_orbit(centre, rotations, translations, cell), cell)
        near = np.array([_distances(framework.sites, spot, cell) for spot in spots])  # (spots, sites)
        nearest = float(near.min()) if near.size else float("inf")
        on_site = framework.labels[int(near.argmin()) % near.shape[1]] if nearest < known_A else ""
        if on_site and not include_known:
            continue
        fractional = _plainest(spots @ inverse)
        out.append(
            Interstitial(
                label=f"i{len(out) + 1}",
                on_site=on_site,
                fractional=fractional,
                positions=spots,
                radius=radius,
                ratio=radius / framework.ion_radius,
                nearest_site_A=nearest,
                split=_together(spots, cell, merge_A),
            )
        )
    return tuple(out)


def _orbit(
    point: NDArray[np.float64],
    rotations: NDArray[np.float64],
    translations: NDArray[np.float64],
    cell: NDArray[np.float64],
) -> NDArray[np.float64]:
    """All images (O, 3) of a point under the symmetry operations, Å."""
    fractional = point @ np.linalg.inv(cell)
    return np.asarray((np.einsum("oij,j->oi", rotations, fractional) + translations) @ cell)


def _centred(
    point: NDArray[np.float64], radius: float, copies: NDArray[np.float64], framework: Framework, merge_A: float
) -> tuple[NDArray[np.float64], float]:
    """Move a cavity near a symmetry element onto it where it is nearly as wide there; also its clearance there."""
    away = minimum_image(copies - point, framework.cell)
    reach = np.linalg.norm(away, axis=1)
    for limit in (2 * merge_A, merge_A):  # copies on both sides of the element, each within `merge_A` of it
        step = away[reach < limit].mean(axis=0)
        distance = np.linalg.norm(away[reach < limit] - step, axis=1)
        if distance.max() > merge_A or np.ptp(distance) > _SAME_SPOT_A:
            continue  # not all copies around one element
        there = float(clearance(point + step, framework.positions, framework.cell, framework.radii)[0])
        if _WIDE_ENOUGH * radius <= there <= _NO_WIDER * radius:
            return point + step, there
    return point, radius


def _plainest(fractional: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of symmetry copies (K, 3) the one with most coordinates at a multiple of a quarter, as tables print it."""
    wrapped = fractional - np.floor(fractional + 1e-4)
    quarters = np.sum(np.abs(4 * wrapped - np.round(4 * wrapped)) < 4e-4, axis=1)
    best = np.flatnonzero(quarters == quarters.max())
    pick = best[np.lexsort(np.round(wrapped[best], 4).T[::-1])[0]]
    return np.asarray(np.abs(np.where(np.abs(wrapped[pick]) < 1e-4, 0.0, wrapped[pick])))


def _distinct(points: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points that differ by more than 0.05 Å."""
    kept: list[NDArray[np.float64]] = []
    for point in points:
        if not kept or np.min(_distances(kept, point, cell)) > _SAME_SPOT_A:
            kept.append(point)
    return np.array(kept)


def _together(spots: NDArray[np.float64], cell: NDArray[np.float64], merge_A: float) -> int:
    """How many symmetry copies (K, 3) lie in one cavity: linked by distances below `merge_A`."""
    apart = np.linalg.norm(minimum_image(spots[:, None] - spots[None, :], cell), axis=-1)
    count, _ = connected_components(csr_array(apart < merge_A), directed=False)
    return len(spots) // int(count)


def _distances(points: ArrayLike, spot: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(minimum_image(np.asarray(points) - spot, cell), axis=-1))


def _symmetry(framework: Framework, symprec: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotations (O, 3, 3) on fractional columns and translations (O, 3) of the framework with its known sites."""
    import spglib

    kinds: dict[tuple[str, float], int] = {}
    numbers = [
        kinds.setdefault((s, round(float(c), 3)), len(kinds) + 1)
        for s, c in zip(framework.symbols, framework.charges, strict=True)
    ]
    inverse = np.linalg.inv(framework.cell)
    found: Any = spglib.get_symmetry((framework.cell, framework.positions @ inverse, numbers), symprec=symprec)
    if found is None:
        return np.eye(3)[None], np.zeros((1, 3))
    rotations = np.asarray(found["rotations"], dtype=np.float64)
    translations = np.asarray(found["translations"], dtype=np.float64)
    if len(framework.sites) == 0:
        return rotations, translations
    # not by spglib: sites may be nearer to each other than it allows atoms to be
    sites = framework.sites @ inverse
    keeps = [
        all(
            _distances(framework.sites, image, framework.cell).min() < 2 * symprec
            for image in (sites @ r.T + t) @ framework.cell
        )
        for r, t in zip(rotations, translations, strict=True)
    ]
    return rotations[keeps], translations[keeps]
