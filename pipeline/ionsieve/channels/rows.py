"""Structures of pymatgen, ASE and our records, read into plain rows: pymatgen and ASE stay at this edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ionsieve.errors import InputError
from ionsieve.records.structure import CrystalStructure

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

__all__ = ["Rows", "as_rows"]


@dataclass(frozen=True)
class Rows:
    """One structure: (3, 3) and (N, 3) Å; amounts and carried charges by element for each site; labels.

    `labelled_by_site`: the labels are known to name crystallographic sites (our records), not merely atoms of a file.
    """

    cell: NDArray[np.float64]
    positions: NDArray[np.float64]
    species: list[dict[str, float]]
    charges: list[dict[str, float | None]]
    labels: list[str]
    labelled_by_site: bool = False


def as_rows(structure: Structure | Atoms | CrystalStructure) -> Rows:
    """Return cell, positions, species, carried charges and labels of any periodic structure."""
    if isinstance(structure, CrystalStructure):
        charges = structure.oxidation_states or [None] * len(structure)
        return Rows(
            np.array(structure.lattice_A, dtype=np.float64),
            np.array(structure.positions_A, dtype=np.float64).reshape(-1, 3),
            [{s: 1.0} for s in structure.symbols],
            [{s: z} for s, z in zip(structure.symbols, charges, strict=True)],
            list(structure.site_labels) or [""] * len(structure),
            labelled_by_site=True,
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
        return Rows(
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
        return Rows(
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
