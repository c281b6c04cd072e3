"""An ASE calculator over a `Potential`: ASE's tools with our fast path."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from ionsieve.potentials.base import Potential
from ionsieve.systems import Batch

__all__ = ["BatchCalculator"]


class BatchCalculator(Calculator):  # type: ignore[misc]
    """Energy, forces and stress of one system through `Potential.evaluate`.

    The stress is evaluated only when it is asked for.

    Attributes
    ----------
    force_disagreement
        (N,) eV/Å, of a committee at the last evaluation; None without one.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, potential: Potential) -> None:
        super().__init__()
        self.potential = potential
        self.force_disagreement: NDArray[np.float64] | None = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill `results`."""
        super().calculate(atoms, properties, system_changes)
        stress = "stress" in (properties or [])
        batch = Batch.from_atoms([self.atoms], device=self.potential.info.device, dtype=torch.float64)
        evaluation = self.potential.evaluate(batch, stress=stress)
        energy = float(evaluation.energies[0])
        results: dict[str, Any] = {
            "energy": energy,
            "free_energy": energy,
            "forces": np.asarray(evaluation.forces.detach().cpu().numpy(), dtype=np.float64),
        }
        if evaluation.stresses is not None:
            results["stress"] = full_3x3_to_voigt_6_stress(evaluation.stresses[0].detach().cpu().numpy())
        spread = evaluation.disagreement
        self.force_disagreement = None if spread is None else spread.double().cpu().numpy()
        self.results = results
