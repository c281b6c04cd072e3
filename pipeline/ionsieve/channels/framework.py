"""What stands still: the framework as spheres, and the mobile sites in it.

All rooms below work on this one plain form; pymatgen and ASE stay at this edge. Structures with partial occupancies are
accepted: a mixed framework site has the mean radius and charge of its species, and every partly filled mobile site is
a site.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from ionsieve.channels.radii import coordination_numbers, ion_name, ion_radius_A, mobile_radius_A
from ionsieve.channels.settings import ChannelSettings
from ionsieve.errors import InputError, nearest
from ionsieve.geometry.cells import heights_A, images_within
from ionsieve.records.structure import CrystalStructure

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

__all__ = ["Framework", "guess_charges", "read_framework"]

#: two framework atoms nearer than this are one atom written twice (H-H of a disordered hydride apart)
OVERLAP_A = 0.5
#: a framework atom nearer than this to a mobile site blocks it
BLOCKED_A = 0.6
#: an empty layer thicker than this makes the cell a slab or a molecule in a box
VACUUM_A = 10.0
#: with more symmetry-distinct mobile atoms than this a structure counts as disordered and its sites share one label
_MAX_ORBITS = 8

#: oxidation states taken when none are given; anions first, the rest balances
_COMMON = {
    "O": -2, "S": -2, "Se": -2, "Te": -2, "F": -1, "Cl": -1, "Br": -1, "I": -1, "N": -3, "H": 1,
    "Li": 1, "Na": 1, "K": 1, "Rb": 1, "Cs": 1, "Ag": 1, "Mg": 2, "Ca": 2, "Sr": 2, "Ba": 2, "Zn": 2, "Cd": 2,
    "Al": 3, "Ga": 3, "In": 3, "Sc": 3, "Y": 3, "La": 3, "B": 3, "Si": 4, "Ge": 4, "Sn": 4, "Ti": 4, "Zr": 4, "Hf": 4,
    "P": 5, "As": 5, "Sb": 5, "Nb": 5, "Ta": 5, "V": 5, "W": 6, "Mo": 6, "C": 4,
}  # fmt: skip
_ALWAYS_ANION = {"O", "S", "Se", "Te", "F", "Cl", "Br", "I", "N"}


@dataclass(frozen=True)
class Framework:
    """Spheres that stand still, and the sites of the mobile ion.

    Attributes
    ----------
    cell
        (3, 3) Å.
    positions, radii, charges, symbols
        (N, 3) Å, (N,) Å, (N,) and N element symbols of the framework. A mixed site carries its largest species' symbol.
    names
        N site labels (``O2``) where the structure has them, else the symbols.
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
    def volume_A3(self) -> float:
        """Volume of the cell, Å³."""
        return float(abs(np.linalg.det(self.cell)))


@dataclass(frozen=True)
class _Rows:
    cell: NDArray[np.float64]
    positions: NDArray[np.float64]
    species: list[dict[str, float]]
    charges: list[dict[str, float | None]]
    labels: list[str]


def _rows(structure: Structure | Atoms | CrystalStructure) -> _Rows:
    if isinstance(structure, CrystalStructure):
        charges = structure.oxidation_states or [None] * len(structure)
        return _Rows(
            np.array(structure.lattice_A, dtype=np.float64),
            np.array(structure.positions_A, dtype=np.float64).reshape(-1, 3),
            [{s: 1.0} for s in structure.symbols],
            [{s: z} for s, z in zip(structure.symbols, charges, strict=True)],
            list(structure.site_labels) or [""] * len(structure),
        )
    if hasattr(structure, "get_chemical_symbols"):
        atoms: Any = structure
        symbols = atoms.get_chemical_symbols()
        if not np.all(atoms.pbc):
            raise InputError(
                "the structure is not periodic in all three directions",
                key="pbc",
                found=str(atoms.pbc.tolist()),
                expected="[True, True, True]",
                cause="a slab, a wire or a molecule has no channels through it in the open direction",
                remedy="give the bulk crystal, or set atoms.pbc = True when the flags are merely missing",
            )
        return _Rows(
            np.array(atoms.cell.array, dtype=np.float64),
            np.array(atoms.positions, dtype=np.float64),
            [{s: 1.0} for s in symbols],
            [{s: None} for s in symbols],
            [""] * len(symbols),
        )
    if hasattr(structure, "lattice"):
        crystal: Any = structure
        species, states, labels = [], [], []
        for site in crystal:
            amounts: dict[str, float] = {}
            oxidation: dict[str, float | None] = {}
            for specie, amount in site.species.items():
                symbol = getattr(specie, "element", specie).symbol
                amounts[symbol] = amounts.get(symbol, 0.0) + float(amount)
                oxidation[symbol] = getattr(specie, "oxi_state", None)
            species.append(amounts)
            states.append(oxidation)
            labels.append(str(site.label or ""))
        return _Rows(
            np.array(crystal.lattice.matrix, dtype=np.float64),
            np.array(crystal.cart_coords, dtype=np.float64).reshape(-1, 3),
            species,
            states,
            labels,
        )
    raise InputError(
        "not a structure",
        found=type(structure).__name__,
        expected="a pymatgen Structure, ASE Atoms or an ionsieve CrystalStructure",
    )


def guess_charges(amounts: Mapping[str, float]) -> dict[str, float]:
    """Return an oxidation state per element: the common ones, the one variable cation balancing the cell.

    Parameters
    ----------
    amounts
        Atoms of each element in the cell.

    Raises
    ------
    InputError
        When the common states do not balance within 0.5 per cell and no element can take up the difference.
    """
    states = {e: float(_COMMON[e]) for e in amounts if e in _COMMON}
    unknown = [e for e in amounts if e not in _COMMON]
    if "B" in amounts and amounts.get("H", 0) >= 4 * amounts["B"] - 1e-6:
        states["H"] = -1.0
    if len(unknown) <= 1:
        rest = -sum(amounts[e] * z for e, z in states.items())
        if unknown:
            states[unknown[0]] = rest / amounts[unknown[0]]
            if states[unknown[0]] > 0:
                return states
        elif abs(rest) < 0.5:
            return states
    from pymatgen.core import Composition

    guesses = Composition(dict(amounts)).oxi_state_guesses(max_sites=-50)
    if guesses:
        return {str(e): float(z) for e, z in guesses[0].items()}
    raise InputError(
        "the oxidation states cannot be guessed",
        key="oxidation_states",
        found=", ".join(f"{e} {n:g}" for e, n in amounts.items()),
        cause="the common states do not add up to a neutral cell",
        remedy='give them, for example oxidation_states={"Na": 1, "P": 5, "S": -2}',
    )


def read_framework(
    structure: Structure | Atoms | CrystalStructure,
    mobile: str,
    *,
    oxidation_states: Mapping[str, float] | Sequence[float] | None = None,
    mobile_sites_A: ArrayLike | None = None,
    mobile_site_labels: Sequence[str] | None = None,
    settings: ChannelSettings | None = None,
) -> Framework:
    """Split a structure into framework and mobile sites, and choose radii.

    Parameters
    ----------
    structure
        Any periodic crystal; partial occupancies are averaged.
    mobile
        Element symbol of the mobile ion.
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
    rows = _rows(structure)
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
    charges = _site_charges(rows, mobile, oxidation_states)
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
    _check_distances(rows, frame)
    _check_vacuum(rows)
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
    mobile_charge = _mobile_charge(rows, charges, is_mobile, mobile, oxidation_states)
    if mobile_sites_A is None:
        sites, labels = rows.positions[is_mobile], _orbit_labels(rows, np.flatnonzero(is_mobile), mobile)
        sites, labels = _merge_sites(sites, labels, rows.cell)
    else:
        sites = np.asarray(mobile_sites_A, dtype=np.float64).reshape(-1, 3)
        labels = list(mobile_site_labels or ())
        if labels and len(labels) != len(sites):
            raise InputError(f"{len(labels)} labels for {len(sites)} mobile sites", key="mobile_site_labels")
        labels = labels or [mobile] * len(sites)
    free = _free_sites(sites, positions, rows.cell)
    sites, labels = sites[free], [label for label, keep in zip(labels, free, strict=True) if keep]
    symbols = [max(rows.species[i], key=rows.species[i].__getitem__) for i in frame]
    return Framework(
        cell=rows.cell,
        positions=positions,
        radii=radii,
        charges=mean_charge[frame],
        symbols=tuple(symbols),
        names=tuple(rows.labels[i] or symbol for i, symbol in zip(frame, symbols, strict=True)),
        indices=frame,
        mobile=mobile,
        mobile_charge=mobile_charge,
        ion_radius=mobile_radius_A(mobile, mobile_charge, settings),
        sites=sites,
        labels=tuple(labels),
        mobile_indices=np.flatnonzero(is_mobile),
        radius_table={name: float(np.mean(values)) for name, values in sorted(chosen.items())},
    )


def _site_charges(
    rows: _Rows, mobile: str, given: Mapping[str, float] | Sequence[float] | None
) -> list[dict[str, float]]:
    """Charge of every species on every site: given by site, given by element, carried, guessed, in that order."""
    if given is not None and not isinstance(given, Mapping):
        if len(given) == len(rows.species):
            return [dict.fromkeys(s, float(z)) for s, z in zip(rows.species, given, strict=True)]
        if len(given):
            raise InputError(f"{len(given)} oxidation states for {len(rows.species)} sites", key="oxidation_states")
        given = None
    table: dict[str, float] = {str(k): float(v) for k, v in (given or {}).items()}
    missing = any(z is None and e not in table for site in rows.charges for e, z in site.items())
    if missing:
        amounts: dict[str, float] = {}
        for site in rows.species:
            for e, a in site.items():
                amounts[e] = amounts.get(e, 0.0) + a
        guessed = guess_charges(amounts)
        table = {**guessed, **table}
    out = []
    for states in rows.charges:
        charges: dict[str, float] = {}
        for e, z in states.items():
            charges[e] = (
                table[e] if e in table and (z is None or given is not None) else float(z if z is not None else 0.0)
            )
        out.append(charges)
    del mobile
    return out


def _mobile_charge(
    rows: _Rows,
    charges: list[dict[str, float]],
    is_mobile: NDArray[np.bool_],
    mobile: str,
    given: Mapping[str, float] | Sequence[float] | None,
) -> float:
    if isinstance(given, Mapping) and mobile in given:
        return float(given[mobile])
    if np.any(is_mobile):
        return charges[int(np.flatnonzero(is_mobile)[0])][mobile]
    if mobile in _COMMON:
        return float(_COMMON[mobile])
    raise InputError(f"the charge of {mobile} is unknown", key="oxidation_states", remedy=f'give {{"{mobile}": ...}}')


def _check_distances(rows: _Rows, frame: NDArray[np.int64]) -> None:
    positions = rows.positions[frame]
    index, _, points = images_within(positions, rows.cell, 2 * OVERLAP_A)
    tree = cKDTree(points)
    wrapped = points
    for a, b in tree.query_pairs(OVERLAP_A):
        first, second = rows.species[frame[index[a]]], rows.species[frame[index[b]]]
        if sum(first.values()) + sum(second.values()) <= 1.0 + 1e-6:
            continue  # split positions of one atom
        raise InputError(
            "two framework atoms overlap",
            where=f"sites {frame[index[a]]} and {frame[index[b]]}",
            found=f"{'/'.join(first)} and {'/'.join(second)} at {np.linalg.norm(wrapped[a] - wrapped[b]):.3f} Å",
            expected=f"more than {OVERLAP_A} Å",
            cause="typically a coordinate on a general position next to the special one, or an atom written twice",
            remedy="merge the two sites",
        )


def _check_vacuum(rows: _Rows) -> None:
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


def _free_sites(
    sites: NDArray[np.float64], positions: NDArray[np.float64], cell: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether no framework atom sits on each site."""
    if len(sites) == 0:
        return np.zeros(0, dtype=bool)
    _, _, points = images_within(positions, cell, 2 * BLOCKED_A)
    fractional = sites @ np.linalg.inv(cell)
    distance, _ = cKDTree(points).query((fractional - np.floor(fractional)) @ cell)
    return np.asarray(distance > BLOCKED_A)


def _orbit_labels(rows: _Rows, members: NDArray[np.int64], mobile: str) -> list[str]:
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
    if len(distinct) > _MAX_ORBITS:
        return own if all(own) and len(by_label) <= _MAX_ORBITS else [mobile] * len(members)
    if all(own) and len(by_label) == len(distinct) and all(len(o) == 1 for o in by_label.values()):
        return own
    number = {o: f"{mobile}{k + 1}" for k, o in enumerate(distinct)}
    return [number[o] for o in orbit.tolist()]


def _merge_sites(
    sites: NDArray[np.float64], labels: list[str], cell: NDArray[np.float64]
) -> tuple[NDArray[np.float64], list[str]]:
    """Drop sites that coincide within 0.05 Å with an earlier one (two species sharing one position)."""
    from ionsieve.geometry.cells import minimum_image

    if len(sites) < 2:
        return sites, labels
    keep: list[int] = []
    for i in range(len(sites)):
        d = minimum_image(sites[keep] - sites[i], cell) if keep else np.empty((0, 3))
        if not np.any(np.einsum("ij,ij->i", d, d) < 0.05**2):
            keep.append(i)
    return sites[keep], [labels[i] for i in keep]
