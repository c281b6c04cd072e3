"""Any ASE calculator as a potential: one system at a time, no fast path.

``name: ase:module:factory`` imports `module` and calls `factory()`, which must return a calculator. Importing runs
the module's code, so the settings must say ``trust: true``. This is how ORB, MatterSim, UMA and PET come in.
"""

from __future__ import annotations

import hashlib
import json
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers
from ase.stress import voigt_6_to_full_3x3_stress

from ionsieve.errors import SetupError
from ionsieve.potentials.ase_origin import origin, parts_of
from ionsieve.potentials.base import Evaluation, PotentialInfo
from ionsieve.potentials.checks import check_elements, check_stress_cells
from ionsieve.potentials.memory import is_out_of_memory
from ionsieve.systems import Batch

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from ionsieve.potentials.settings import PotentialSettings

__all__ = ["AsePotential"]


class AsePotential:
    """An ASE calculator behind the protocol of potentials.

    Parameters
    ----------
    calculator
        Must give energy and forces, and stress where asked.
    info
        Identity; the caller knows what the calculator is.
    """

    def __init__(self, calculator: Calculator, info: PotentialInfo) -> None:
        self._calculator = calculator
        self._info = info

    @classmethod
    def from_settings(cls, settings: PotentialSettings) -> AsePotential:
        """Import and call the factory that ``ase:module:factory`` names.

        Raises
        ------
        SetupError
            When it is not trusted, not importable, or returns no calculator.
        InputError
            When the name does not have the three parts.
        """
        module_name, factory_name = parts_of(settings)
        try:
            module = import_module(module_name)
            factory: Any = getattr(module, factory_name)
        except (ImportError, AttributeError) as error:
            raise SetupError(
                f"cannot import {factory_name!r} from {module_name!r}: {error}",
                key="potential.name",
                found=settings.name,
                remedy="install the package, or put the module's folder on PYTHONPATH",
            ) from error
        try:
            calculator = factory()
        except Exception as error:  # whatever a stranger's code raises
            if is_out_of_memory(error):
                raise
            raise SetupError(
                f"the factory failed: {type(error).__name__}: {error}",
                key="potential.name",
                found=settings.name,
                remedy=f"python -c 'import {module_name}; {module_name}.{factory_name}()' must work",
            ) from error
        if not hasattr(calculator, "get_potential_energy") or not hasattr(calculator, "implemented_properties"):
            raise SetupError(
                "the factory returned no ASE calculator",
                key="potential.name",
                found=type(calculator).__name__,
                remedy="return an instance of ase.calculators.calculator.Calculator",
            )
        stamp = json.dumps({"name": settings.name, **origin(settings)}, sort_keys=True)
        elements = getattr(calculator, "elements", None) or range(1, 95)
        return cls(
            calculator,
            PotentialInfo(
                name=settings.name,
                sha256=hashlib.sha256(stamp.encode()).hexdigest(),
                elements=frozenset(int(atomic_numbers.get(z, z)) for z in elements),  # numbers or symbols
                cutoff_A=float(getattr(calculator, "r_max", 0.0) or 6.0),
                dtype="float64",
                device=settings.device,
                version=str(getattr(module, "__version__", "")),
                licence="see its package",
            ),
        )

    @property
    def info(self) -> PotentialInfo:
        """Identity and range. The digest is that of the factory's `origin`, not of weights that it fetches itself."""
        return self._info

    def evaluate(self, batch: Batch, *, stress: bool = False) -> Evaluation:
        """See `Potential.evaluate`; systems go through the calculator one after another."""
        check_elements(batch.numbers, self.info)
        positions, cells = batch.positions.double().cpu().numpy(), batch.cells.double().cpu().numpy()
        numbers, counts = batch.numbers.cpu().numpy(), batch.counts().cpu().numpy()
        if stress:
            check_stress_cells(batch.cells)
        energies, forces = np.zeros(batch.n_systems), np.zeros((batch.n_atoms, 3))
        stresses = np.zeros((batch.n_systems, 3, 3))
        begin = 0
        for index, count in enumerate(counts.tolist()):
            rows = slice(begin, begin + count)
            begin += count
            if count == 0:
                continue
            atoms = Atoms(numbers=numbers[rows], positions=positions[rows], cell=cells[index], pbc=True)
            atoms.calc = self._calculator
            forces[rows] = atoms.get_forces()
            energies[index] = atoms.get_potential_energy()
            if stress:
                stresses[index] = voigt_6_to_full_3x3_stress(atoms.get_stress())

        def back(values: Any) -> torch.Tensor:
            return torch.as_tensor(values, dtype=batch.dtype, device=batch.device)

        return Evaluation(back(energies), back(forces), back(stresses) if stress else None)

    def as_ase(self) -> Calculator:
        """Return the calculator itself."""
        return self._calculator
