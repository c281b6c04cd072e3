"""The gate before production: the fast path must give what the plain one gives, on the user's own structure.

The first frame and two rattled copies go through the production path in one batch, and one by one through the plain
calculator of the model's own package, in float64 where the package can. Batched and accelerated paths have failed
silently elsewhere (NaN in some elements of a batch while the plain path stays finite); here they are refused before
the first step, or replaced by the plain path with a flag.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ionsieve.errors import SetupError
from ionsieve.potentials.base import Potential
from ionsieve.potentials.registry import load
from ionsieve.potentials.settings import PotentialSettings
from ionsieve.rng import generator
from ionsieve.systems import Batch
from ionsieve.units import GPA_PER_EV_PER_A3
from ionsieve.verdicts import Flag

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

__all__ = ["FrameParity", "ParityReport", "check_parity", "load_checked"]

_RATTLE_A = 0.05


@dataclass(frozen=True)
class FrameParity:
    """Deviations of one frame: energy in eV/atom, force in eV/Å, and the largest force of the plain path.

    Where stresses were compared: their deviation and the largest of the plain path, GPa.
    """

    energy_eV_per_atom: float
    force_eV_per_A: float
    largest_force_eV_per_A: float
    stress_GPa: float = 0.0
    largest_stress_GPa: float = 0.0


@dataclass(frozen=True)
class ParityReport:
    """Outcome of the gate.

    Attributes
    ----------
    potential
        Its name.
    reference
        What it was compared with.
    frames
        First frame, then the rattled copies.
    allowed_energy_eV_per_atom, allowed_force_eV_per_A
        Granted deviations; a force may also differ by 1e-4 of the largest.
    passed
        Whether all frames agree. Anything not finite fails.
    reason
        Why not, in one sentence; empty when passed.
    """

    potential: str
    reference: str
    frames: tuple[FrameParity, ...]
    allowed_energy_eV_per_atom: float
    allowed_force_eV_per_A: float
    passed: bool
    reason: str = ""


def check_parity(
    potential: Potential,
    atoms: Atoms,
    *,
    seed: int,
    copies: int = 2,
    stress: bool = False,
    allowed_force_eV_per_A: float = 2e-4,
    allowed_energy_eV_per_atom: float = 2e-5,
    allowed_stress_GPa: float = 0.01,
) -> ParityReport:
    """Compare production and plain path.

    Parameters
    ----------
    potential
        The production path.
    atoms
        First frame of the production.
    seed
        Of the rattling (0.05 Å).
    copies
        Rattled copies.
    stress
        Whether stresses are compared too: where a cell will follow them.
    allowed_stress_GPa
        A twentieth of what a relaxed cell may keep; a stress may also differ by 1e-3 of the largest.
    allowed_force_eV_per_A, allowed_energy_eV_per_atom
        Twice what float32 rounding makes of the networks that ionsieve ships.
    """
    frames = [atoms.copy()]
    for index in range(copies):
        copy = atoms.copy()
        copy.positions += generator("parity", seed, step=index).normal(0.0, _RATTLE_A, copy.positions.shape)
        frames.append(copy)
    calculator, reference = _reference(potential)
    found = potential.evaluate(Batch.from_atoms(frames, device=potential.info.device), stress=stress)
    energies, forces = found.energies.double().cpu().numpy(), found.forces.double().cpu().numpy()
    results, count = [], len(atoms)
    for index, frame in enumerate(frames):
        frame.calc = calculator
        expected = np.asarray(frame.get_forces(), dtype=float)
        energy = float(frame.get_potential_energy())
        strain = (0.0, 0.0)
        if stress and found.stresses is not None:
            tensor = frame.get_stress(voigt=False) * GPA_PER_EV_PER_A3
            own = found.stresses[index].double().cpu().numpy() * GPA_PER_EV_PER_A3
            strain = (float(np.abs(own - tensor).max()), float(np.abs(tensor).max()))
        results.append(
            FrameParity(
                abs(float(energies[index]) - energy) / max(count, 1),
                float(np.abs(forces[index * count : (index + 1) * count] - expected).max(initial=0.0)),
                float(np.abs(expected).max(initial=0.0)),
                *strain,
            )
        )
    reason = ""
    for index, result in enumerate(results):
        which = "the first frame" if index == 0 else f"rattled copy {index}"
        numbers = (result.energy_eV_per_atom, result.force_eV_per_A, result.largest_force_eV_per_A)
        force_limit = max(allowed_force_eV_per_A, 1e-4 * result.largest_force_eV_per_A)
        stress_limit = max(allowed_stress_GPa, 1e-3 * result.largest_stress_GPa)
        if not np.isfinite(numbers).all():
            reason = f"energy or forces of {which} are not finite"
        elif not result.stress_GPa <= stress_limit:  # nor is one that is no number
            reason = f"the stress of {which} differs by {result.stress_GPa:.2g} GPa (allowed {stress_limit:.2g})"
        elif result.force_eV_per_A > force_limit:
            reason = f"forces of {which} differ by {result.force_eV_per_A:.2g} eV/Å (allowed {force_limit:.2g})"
        elif result.energy_eV_per_atom > allowed_energy_eV_per_atom:
            reason = (
                f"the energy of {which} differs by {result.energy_eV_per_atom:.2g} eV/atom "
                f"(allowed {allowed_energy_eV_per_atom:.2g})"
            )
        if reason:
            break
    return ParityReport(
        potential.info.name,
        reference,
        tuple(results),
        allowed_energy_eV_per_atom,
        allowed_force_eV_per_A,
        not reason,
        reason,
    )


def _reference(potential: Potential) -> tuple[Calculator, str]:
    exact = getattr(potential, "as_ase_float64", None)
    if exact is not None:
        return exact(), "the package's own calculator in float64"
    return potential.as_ase(), "the package's own calculator"


def load_checked(
    settings: PotentialSettings, atoms: Atoms, *, seed: int, stress: bool = False
) -> tuple[Potential, ParityReport, tuple[Flag, ...]]:
    """Load a potential and let it through the gate; where the fast path fails, return the plain one with a flag.

    Raises
    ------
    SetupError
        When the plain path itself gives numbers that are not finite: no MD can be trusted then.
    """
    potential = load(settings)
    report = check_parity(potential, atoms, seed=seed, stress=stress)
    if report.passed:
        return potential, report, ()
    plain = load(settings.model_copy(update={"fast": False}))
    result = plain.evaluate(Batch.from_atoms([atoms]))
    if not bool(torch.isfinite(result.forces).all()):
        raise SetupError(
            "the potential gives forces that are not finite, on the fast and on the plain path",
            key="potential.name",
            found=settings.name,
            cause="atoms on top of each other, or a damaged model file",
            remedy="look at the structure; `ionsieve models --verify` checks the file",
        )
    return plain, report, (Flag.PARITY_FALLBACK,)
