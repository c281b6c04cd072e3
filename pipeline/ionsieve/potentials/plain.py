"""Plain ASE calculators of our own potentials, written without the machinery that the fast path uses."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress

from ionsieve.potentials.settings import PairSettings

__all__ = ["PlainPairCalculator"]


class PlainPairCalculator(Calculator):  # type: ignore[misc]
    """A pair potential over ASE's own full neighbour list: the reference of `PairPotential`."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, kind: str, settings: PairSettings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        from ionsieve.potentials import pair

        self._cutoff_A = settings.cutoff_A
        self._function = (pair.lennard_jones if kind == "pair-lj" else pair.born_mayer_coulomb)(settings)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill `results` with energy, forces and stress."""
        super().calculate(atoms, properties or ["energy"], system_changes)
        first, second, distances, vectors = neighbor_list("ijdD", self.atoms, self._cutoff_A)
        numbers = torch.from_numpy(self.atoms.numbers.astype(np.int64))
        energy, slope = self._function(torch.from_numpy(distances), numbers[first], numbers[second])
        along = (slope.numpy() / distances)[:, None] * vectors
        forces = np.zeros((len(self.atoms), 3))
        np.add.at(forces, first, along)  # each pair comes twice: the halves of energy, the whole of forces
        virial = 0.5 * np.einsum("pa,pb->ab", along, vectors)
        self.results["energy"] = self.results["free_energy"] = 0.5 * float(energy.sum())
        self.results["forces"] = forces
        self.results["stress"] = full_3x3_to_voigt_6_stress(virial / self.atoms.get_volume())
