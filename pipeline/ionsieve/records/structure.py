"""One ordered periodic structure as plain numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from ionsieve.records.base import Frozen

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

__all__ = ["CrystalStructure"]

Vector = tuple[float, float, float]


class CrystalStructure(Frozen):
    """An ordered periodic cell.

    Attributes
    ----------
    lattice_A
        Rows are lattice vectors, Å.
    symbols
        Element symbol of each of the N sites.
    positions_A
        Cartesian, Å, shape (N, 3).
    oxidation_states
        Charge number of each site; empty when unknown.
    site_labels
        Label of the prototype's site that each atom sits on (``Na1``, ``Zr1``); empty when unknown.
    """

    lattice_A: tuple[Vector, Vector, Vector]
    symbols: tuple[str, ...]
    positions_A: tuple[Vector, ...]
    oxidation_states: tuple[float, ...] = ()
    site_labels: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _lengths(self) -> Self:
        n = len(self.symbols)
        if len(self.positions_A) != n:
            raise ValueError(f"{len(self.positions_A)} positions for {n} symbols")
        for name in ("oxidation_states", "site_labels"):
            if len(getattr(self, name)) not in (0, n):
                raise ValueError(f"{len(getattr(self, name))} {name} for {n} symbols")
        return self

    def __len__(self) -> int:
        return len(self.symbols)

    def to_ase(self) -> Atoms:
        """Return ASE `Atoms` (charges and labels stay behind)."""
        from ase import Atoms

        return Atoms(symbols=list(self.symbols), positions=self.positions_A, cell=self.lattice_A, pbc=True)

    def to_pymatgen(self) -> Structure:
        """Return a pymatgen `Structure` with oxidation states and a ``label`` per site where known."""
        from pymatgen.core import Lattice, Species, Structure

        species = (
            [Species(s, z) for s, z in zip(self.symbols, self.oxidation_states, strict=True)]
            if self.oxidation_states
            else list(self.symbols)
        )
        return Structure(
            Lattice(self.lattice_A),
            species,
            self.positions_A,
            coords_are_cartesian=True,
            labels=list(self.site_labels) if self.site_labels else None,
        )

    @classmethod
    def from_ase(cls, atoms: Atoms, *, like: CrystalStructure | None = None) -> Self:
        """Take positions and cell from `atoms`, charges and labels from `like` (same atoms in the same order)."""
        return cls(
            lattice_A=tuple(tuple(float(x) for x in row) for row in atoms.cell.array),
            symbols=tuple(atoms.get_chemical_symbols()),
            positions_A=tuple(tuple(float(x) for x in row) for row in atoms.positions),
            oxidation_states=like.oxidation_states if like else (),
            site_labels=like.site_labels if like else (),
        )

    @classmethod
    def from_pymatgen(cls, structure: Structure) -> Self:
        """Take an ordered pymatgen structure; oxidation states where every site has one."""
        charges = [getattr(site.specie, "oxi_state", None) for site in structure]
        labels = [site.label for site in structure]
        return cls(
            lattice_A=tuple(tuple(float(x) for x in row) for row in structure.lattice.matrix),
            symbols=tuple(getattr(site.specie, "element", site.specie).symbol for site in structure),
            positions_A=tuple(tuple(float(x) for x in site.coords) for site in structure),
            oxidation_states=()
            if any(c is None for c in charges)
            else tuple(float(c) for c in charges if c is not None),
            site_labels=tuple(labels) if all(labels) else (),
        )
