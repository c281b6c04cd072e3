"""Mobile sites: which are free, which coincide, and how they are called."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ionsieve.channels.rows import Rows
from ionsieve.geometry.cells import images_within, minimum_image

__all__ = ["framework_names", "free_sites", "merge_sites", "orbit_labels"]

#: a framework atom nearer than this to a mobile site blocks it
BLOCKED_A = 0.6
#: with more symmetry-distinct mobile atoms than this a structure counts as disordered and its sites share one label
MAX_ORBITS = 8


def free_sites(
    sites: NDArray[np.float64], positions: NDArray[np.float64], cell: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether no framework atom sits on each site."""
    if len(sites) == 0:
        return np.zeros(0, dtype=bool)
    _, _, points = images_within(positions, cell, 2 * BLOCKED_A)
    fractional = sites @ np.linalg.inv(cell)
    distance, _ = cKDTree(points).query((fractional - np.floor(fractional)) @ cell)
    return np.asarray(distance > BLOCKED_A)


def orbit_labels(rows: Rows, members: NDArray[np.int64], mobile: str) -> list[str]:
    """Label mobile atoms by symmetry: equivalent atoms share a label; without symmetry all carry the element's symbol.

    The structure's own labels are kept where they already say this.
    """
    import spglib

    kinds: dict[str, int] = {}
    numbers = [kinds.setdefault(repr(sorted(s.items())), len(kinds) + 1) for s in rows.species]
    fractional = rows.positions @ np.linalg.inv(rows.cell)
    dataset = spglib.get_symmetry_dataset((rows.cell, fractional, numbers), symprec=0.02)
    if dataset is None:
        return [mobile] * len(members)
    orbit = np.asarray(dataset.equivalent_atoms)[members]
    own = [rows.labels[i] for i in members]
    by_label: dict[str, set[int]] = {}
    for label, o in zip(own, orbit.tolist(), strict=True):
        by_label.setdefault(label, set()).add(o)
    distinct = list(dict.fromkeys(orbit.tolist()))
    if len(distinct) > MAX_ORBITS:
        return own if all(own) and len(by_label) <= MAX_ORBITS else [mobile] * len(members)
    if all(own) and len(by_label) == len(distinct) and all(len(o) == 1 for o in by_label.values()):
        return own
    number = {o: f"{mobile}{k + 1}" for k, o in enumerate(distinct)}
    return [number[o] for o in orbit.tolist()]


def framework_names(rows: Rows, members: NDArray[np.int64], symbols: list[str]) -> list[str]:
    """Name framework atoms: the structure's own labels, or by symmetry where they only number the atoms of an element.

    A CIF that lists every atom (``S100``, ``S1_1``) labels no two of them alike; gates and bottlenecks, which are
    grouped by these names, would never meet an equal.
    """
    names = [rows.labels[i] or symbol for i, symbol in zip(members, symbols, strict=True)]
    if rows.labelled_by_site:
        return names
    for element in sorted(set(symbols)):
        of_element = [k for k, symbol in enumerate(symbols) if symbol == element]
        if len(of_element) > 1 and len({names[k] for k in of_element}) == len(of_element):
            for k, label in zip(of_element, orbit_labels(rows, members[of_element], element), strict=True):
                names[k] = label
    return names


def merge_sites(
    sites: NDArray[np.float64], labels: list[str], cell: NDArray[np.float64]
) -> tuple[NDArray[np.float64], list[str]]:
    """Drop sites that coincide within 0.05 Å with an earlier one (two species sharing one position)."""
    if len(sites) < 2:
        return sites, labels
    keep: list[int] = []
    for i in range(len(sites)):
        d = minimum_image(sites[keep] - sites[i], cell) if keep else np.empty((0, 3))
        if not np.any(np.einsum("ij,ij->i", d, d) < 0.05**2):
            keep.append(i)
    return sites[keep], [labels[i] for i in keep]
