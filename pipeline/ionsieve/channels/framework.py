"""What stands still: the framework as spheres, and the mobile sites in it.

All rooms below work on this one plain form; pymatgen and ASE stay at this edge. Structures with partial occupancies are
accepted: a mixed framework site has the mean radius and charge of its species, and every partly filled mobile site is
a site.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from ionsieve.channels.charges import OxidationStates, mobile_charge, site_charges
from ionsieve.channels.radii import coordination_numbers, ion_name, ion_radius_A, mobile_radius_A
from ionsieve.channels.rows import Rows, as_rows
from ionsieve.channels.settings import ChannelSettings
from ionsieve.channels.sites import framework_names, free_sites, merge_sites, orbit_labels
from ionsieve.errors import InputError, nearest
from ionsieve.geometry.cells import heights_A, images_within

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

    from ionsieve.records.structure import CrystalStructure

__all__ = ["Framework", "Reading", "read_framework"]

#: two atoms nearer than this are one atom written twice (H-H of a disordered hydride apart)
OVERLAP_A = 0.5
#: an empty layer thicker than this makes the cell a slab or a molecule in a box: layered crystals leave 4 Å and less
#: between planes of atoms (3.2 Å at most in the prototype library)
VACUUM_A = 6.0


@dataclass(frozen=True)
class Framework:
    """Spheres that stand still, and the sites of the mobile ion.

    Attributes
    ----------
    cell
        (3, 3) Å.
    positions, radii, charges, symbols
        (N, 3) Å, (N,) Å, (N,) and N element symbols of the framework. A mixed site carries its largest species' symbol.
    occupants
        For each framework site its species as (element, charge, amount): several where a site is mixed, amounts below
        one where it is filled in part.
    names
        N site labels (``O2``) where the structure has them, else the symbols; by symmetry where a file's labels only
        number the atoms.
    indices
        (N,) row of each framework atom in the structure given.
    mobile
        Element of the mobile ion; `mobile_charge`, `ion_radius` (Å) its charge number and radius.
    sites, labels
        (M, 3) Å and M labels of the mobile sites, occupied or empty; sites on which a framework atom sits (a dopant
        that does not move) are left out.
    mobile_indices
        Rows of the mobile atoms in the structure given.
    radius_table
        Radius by ion name, Å: what was chosen.
    """

    cell: NDArray[np.float64]
    positions: NDArray[np.float64]
    radii: NDArray[np.float64]
    charges: NDArray[np.float64]
    symbols: tuple[str, ...]
    occupants: tuple[tuple[tuple[str, float, float], ...], ...]
    names: tuple[str, ...]
    indices: NDArray[np.int64]
    mobile: str
    mobile_charge: float
    ion_radius: float
    sites: NDArray[np.float64]
    labels: tuple[str, ...]
    mobile_indices: NDArray[np.int64]
    radius_table: dict[str, float]

    @property
    def is_anion(self) -> NDArray[np.bool_]:
        """(N,) whether each framework atom carries negative charge."""
        return np.asarray(self.charges < 0)

    @property
    def is_disordered(self) -> NDArray[np.bool_]:
        """(N,) whether each framework site is shared by several species or filled in part."""
        return np.array([len(site) > 1 or abs(site[0][2] - 1.0) > 1e-3 for site in self.occupants], dtype=bool)

    @property
    def volume_A3(self) -> float:
        """Volume of the cell, Å³."""
        return float(abs(np.linalg.det(self.cell)))


class Reading(TypedDict, total=False):
    """What `read_framework` may be told besides structure and ion; `describe` hands it on."""

    oxidation_states: OxidationStates | None
    mobile_sites_A: ArrayLike | None
    mobile_site_labels: Sequence[str] | None


def read_framework(
    structure: Structure | Atoms | CrystalStructure,
    mobile: str,
    *,
    oxidation_states: OxidationStates | None = None,
    mobile_sites_A: ArrayLike | None = None,
    mobile_site_labels: Sequence[str] | None = None,
    settings: ChannelSettings | None = None,
) -> Framework:
    """Split a structure into framework and mobile sites, and choose radii.

    Parameters
    ----------
    structure
        Any periodic crystal: pymatgen `Structure` (partial occupancies are averaged), ASE `Atoms` or
        `CrystalStructure`.
    mobile
        Element symbol of the mobile ion, for example ``"Na"``.
    oxidation_states
        By element, or one per site; taken from the structure where it has them, else guessed.
    mobile_sites_A, mobile_site_labels
        (M, 3) Cartesian Å and M labels of all mobile sites, occupied or empty; default: the mobile atoms' own
        positions.

    Raises
    ------
    InputError
        When the structure has no anions, lacks the mobile ion (and no sites are given), holds overlapping atoms, or
        is a slab.
    """
    settings = settings or ChannelSettings()
    rows = as_rows(structure)
    elements = sorted({e for s in rows.species for e in s})
    if not (np.isfinite(rows.cell).all() and np.isfinite(rows.positions).all()):
        raise InputError(
            "positions or cell hold NaN or infinity",
            key="structure",
            cause="a run that blew up, or a damaged file",
            remedy="take an earlier frame",
        )
    if abs(np.linalg.det(rows.cell)) < 1e-3:
        raise InputError(
            "the cell has no volume",
            key="cell",
            found=str(np.round(rows.cell, 4).tolist()),
            remedy="give a periodic cell",
        )
    if mobile not in elements and mobile_sites_A is None:
        close = nearest(mobile, elements)
        raise InputError(
            f"the structure holds no {mobile}",
            key="mobile",
            found=mobile,
            expected=f"one of {', '.join(elements)}",
            cause="the mobile ion must be in the structure, or its sites must be given",
            remedy=f"did you mean {close}?" if close else "name an element of the structure, or give its empty sites",
        )
    _check_distances(rows)  # before the charges: an atom too many also spoils the balance
    _check_vacuum(rows)
    charges = site_charges(rows, oxidation_states)
    is_mobile = np.array([mobile in s for s in rows.species], dtype=bool)
    frame = np.flatnonzero(~is_mobile)
    mean_charge = np.array(
        [
            sum(amount * state[e] for e, amount in site.items()) / max(sum(site.values()), 1e-9)
            for site, state in zip(rows.species, charges, strict=True)
        ]
    )
    if not np.any(mean_charge[frame] < 0):
        raise InputError(
            "the framework has no anions",
            key="oxidation_states",
            found=", ".join(sorted({ion_name(e, charges[i][e]) for i in frame for e in rows.species[i]}))
            or "no atom that stays",
            cause="gates are polygons of anions; a metal, an alloy or wrong oxidation states have none",
            remedy="check the oxidation states; an intermetallic is outside this geometry",
        )
    positions = rows.positions[frame]
    neighbours, kinds = _neighbours(positions, rows.cell, mean_charge[frame] < 0)
    coordination = coordination_numbers(neighbours, kinds)
    radii = np.zeros(len(frame))
    chosen: dict[str, list[float]] = {}
    for row, (i, number) in enumerate(zip(frame, coordination, strict=True)):
        total = sum(rows.species[i].values())
        for element, amount in rows.species[i].items():
            radius = ion_radius_A(element, charges[i][element], int(number), settings)
            radii[row] += radius * amount / total
            chosen.setdefault(ion_name(element, charges[i][element]), []).append(radius)
    charge = mobile_charge(rows, charges, is_mobile, mobile, oxidation_states)
    if mobile_sites_A is None:
        sites, labels = rows.positions[is_mobile], orbit_labels(rows, np.flatnonzero(is_mobile), mobile)
        sites, labels = merge_sites(sites, labels, rows.cell)
    else:
        sites = np.asarray(mobile_sites_A, dtype=np.float64).reshape(-1, 3)
        if not np.isfinite(sites).all():
            raise InputError(
                "mobile sites hold NaN or infinity",
                key="mobile_sites_A",
                where=f"site {int(np.argmin(np.isfinite(sites).all(axis=1)))}",
                expected="Cartesian Å",
                remedy="give every site three numbers",
            )
        labels = list(mobile_site_labels or ())
        if labels and len(labels) != len(sites):
            raise InputError(f"{len(labels)} labels for {len(sites)} mobile sites", key="mobile_site_labels")
        sites, labels = merge_sites(sites, labels or [mobile] * len(sites), rows.cell)
    free = free_sites(sites, positions, rows.cell)
    sites, labels = sites[free], [label for label, keep in zip(labels, free, strict=True) if keep]
    symbols = [max(rows.species[i], key=rows.species[i].__getitem__) for i in frame]
    return Framework(
        cell=rows.cell,
        positions=positions,
        radii=radii,
        charges=mean_charge[frame],
        symbols=tuple(symbols),
        occupants=tuple(tuple((e, charges[i][e], amount) for e, amount in rows.species[i].items()) for i in frame),
        names=tuple(framework_names(rows, frame, symbols)),
        indices=frame,
        mobile=mobile,
        mobile_charge=charge,
        ion_radius=mobile_radius_A(mobile, charge, settings),
        sites=sites,
        labels=tuple(labels),
        mobile_indices=np.flatnonzero(is_mobile),
        radius_table={name: float(np.mean(values)) for name, values in sorted(chosen.items())},
    )


def _check_distances(rows: Rows) -> None:
    index, _, points = images_within(rows.positions, rows.cell, 2 * OVERLAP_A)
    for a, b in cKDTree(points).query_pairs(OVERLAP_A):
        i, j = sorted((int(index[a]), int(index[b])))
        first, second = rows.species[i], rows.species[j]
        if sum(first.values()) + sum(second.values()) <= 1.0 + 1e-6:
            continue  # split positions of one atom
        raise InputError(
            "two atoms overlap",
            where=f"sites {i} and {j}",
            found=f"{'/'.join(first)} and {'/'.join(second)} at {np.linalg.norm(points[a] - points[b]):.3f} Å",
            expected=f"more than {OVERLAP_A} Å",
            cause="typically a coordinate on a general position next to the special one, or an atom written twice",
            remedy="merge the two sites, or give both the occupancies of one atom",
        )


def _check_vacuum(rows: Rows) -> None:
    """Refuse slabs: an empty layer of more than VACUUM_A between the atoms along a cell face's normal."""
    fractional = (rows.positions @ np.linalg.inv(rows.cell)) % 1.0
    for axis, height in enumerate(heights_A(rows.cell)):
        x = np.sort(fractional[:, axis])
        gap = float(np.max(np.diff(np.append(x, x[0] + 1.0)))) * height
        if gap > VACUUM_A:
            raise InputError(
                "the structure is a slab or a molecule in a box",
                key="abc"[axis],
                found=f"an empty layer of {gap:.1f} Å",
                expected=f"at most {VACUUM_A:g} Å",
                cause="the vacuum would count as the widest channel",
                remedy="give the bulk crystal",
            )


def _neighbours(
    positions: NDArray[np.float64], cell: NDArray[np.float64], is_anion: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Distances (N, 24) to the nearest other atoms, ascending, and whether each is an anion."""
    count, reach = 24, 5.0
    while True:
        index, _, points = images_within(positions, cell, reach)
        if len(points) > count + 1:
            home = (positions @ np.linalg.inv(cell)) % 1.0 @ cell
            distances, which = map(np.asarray, cKDTree(points).query(home, k=min(count + 1, len(points))))
            anion = is_anion[index[which]]
            if np.all(np.min(np.where(anion[:, 1:], distances[:, 1:], np.inf), axis=1) * 1.25 < reach):
                return distances[:, 1:], anion[:, 1:]
        if reach > 30:
            return distances[:, 1:], anion[:, 1:]
        reach *= 1.5
