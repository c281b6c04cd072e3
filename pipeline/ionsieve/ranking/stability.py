"""What the potential says of stability: elastic moduli, and energy above competing phases of the same potential.

Elastic      C_ij = (s_i(+e_j) - s_i(-e_j)) / 2e, Voigt order, engineering shear; s the stress with relaxed ions
             K, G   Hill averages of the Voigt and Reuss bounds; their half-difference is the stated uncertainty
Dendrites    an electrolyte whose G exceeds twice that of the metal stops the growth of protrusions in the model of
             Monroe and Newman: a guide (it holds for a flat, perfect interface), 6.6 GPa for Na, 8.5 for Li
Hull         e = (E - min sum_k x_k E_k) / N over amounts x_k >= 0 of reference phases of the same composition
Validity     universal potentials are fitted near equilibrium: moduli within about 20 %, energies above the hull within
             some ten meV/atom; the reference set is small, so the energy is a lower bound of that above the true hull
Sources      R. Hill, Proc. Phys. Soc. A 65 (1952) 349; C. Monroe, J. Newman, J. Electrochem. Soc. 152 (2005) A396,
             10.1149/1.1850854
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ionsieve.errors import InputError
from ionsieve.units import GPA_PER_EV_PER_A3

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

__all__ = [
    "METAL_SHEAR_GPA",
    "ElasticModuli",
    "Phase",
    "above_phases",
    "elastic_moduli",
    "relax_fully",
    "voigt_reuss_hill",
]

#: Shear moduli of the metals, GPa (polycrystal, room temperature).
METAL_SHEAR_GPA = {"Li": 4.25, "Na": 3.3, "K": 1.3, "Mg": 17.0, "Ca": 7.4, "Zn": 43.0, "Al": 26.0}


@dataclass(frozen=True)
class ElasticModuli:
    """Elastic constants of one cell.

    Attributes
    ----------
    tensor_GPa
        (6, 6), symmetrised, Voigt order xx yy zz yz xz xy.
    bulk_GPa, shear_GPa
        Hill averages; the errors are half the distance of the Voigt and Reuss bounds.
    asymmetry_GPa
        Largest |C_ij - C_ji| before symmetrisation: the numerical error.
    stable
        Whether the tensor is positive definite (Born's criterion).
    """

    tensor_GPa: NDArray[np.float64]
    bulk_GPa: float
    bulk_error_GPa: float
    shear_GPa: float
    shear_error_GPa: float
    asymmetry_GPa: float
    stable: bool


@dataclass(frozen=True)
class Phase:
    """A phase with its atoms and energy (eV) in one cell, all relaxed with the same potential."""

    name: str
    counts: Mapping[str, int]
    energy_eV: float


def voigt_reuss_hill(tensor: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return (K, error, G, error) of a symmetric (6, 6) tensor: Hill averages and half the distance of the bounds."""
    C = np.asarray(tensor, dtype=np.float64)
    S = np.linalg.inv(C)
    K_v = (C[0, 0] + C[1, 1] + C[2, 2] + 2 * (C[0, 1] + C[0, 2] + C[1, 2])) / 9
    G_v = ((C[0, 0] + C[1, 1] + C[2, 2]) - (C[0, 1] + C[0, 2] + C[1, 2]) + 3 * (C[3, 3] + C[4, 4] + C[5, 5])) / 15
    K_r = 1 / (S[0, 0] + S[1, 1] + S[2, 2] + 2 * (S[0, 1] + S[0, 2] + S[1, 2]))
    G_r = 15 / (
        4 * (S[0, 0] + S[1, 1] + S[2, 2]) - 4 * (S[0, 1] + S[0, 2] + S[1, 2]) + 3 * (S[3, 3] + S[4, 4] + S[5, 5])
    )
    return (
        float((K_v + K_r) / 2),
        float(abs(K_v - K_r) / 2),
        float((G_v + G_r) / 2),
        float(abs(G_v - G_r) / 2),
    )


def _relax_ions(atoms: Atoms, fmax_eV_per_A: float, max_steps: int) -> None:
    from ase.optimize import FIRE

    FIRE(atoms, logfile=None).run(fmax=fmax_eV_per_A, steps=max_steps)


def relax_fully(
    atoms: Atoms, calculator: Calculator, *, fmax_eV_per_A: float = 0.02, max_steps: int = 300
) -> tuple[Atoms, bool]:
    """Return a copy with cell and positions at the minimum, and whether the force criterion was reached."""
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE

    copy = atoms.copy()
    copy.calc = calculator
    with warnings.catch_warnings():  # SciPy remarks on 1e-13 in the logarithm of a tiny strain
        warnings.filterwarnings("ignore", "logm result may be inaccurate", RuntimeWarning)
        converged = FIRE(FrechetCellFilter(copy), logfile=None).run(fmax=fmax_eV_per_A, steps=max_steps)
    return copy, bool(converged)


def elastic_moduli(
    atoms: Atoms,
    calculator: Calculator,
    *,
    strain: float = 0.005,
    fmax_eV_per_A: float = 0.02,
    max_steps: int = 100,
) -> ElasticModuli:
    """Return the elastic constants of a relaxed cell.

    Parameters
    ----------
    atoms
        At its minimum, cell included (`relax_fully`).
    calculator
        With energies, forces and stresses.
    strain
        Size of each of the six strains, both signs.
    fmax_eV_per_A, max_steps
        Relaxation of the ions in each strained cell; 0 steps gives the clamped-ion constants, which are too large.
    """
    cell = np.asarray(atoms.cell.array, dtype=np.float64)
    columns = []
    for j in range(6):
        stress = []
        for sign in (1.0, -1.0):
            e = np.zeros((3, 3))
            a, b = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))[j]
            e[a, b] += 0.5 * sign * strain
            e[b, a] += 0.5 * sign * strain
            strained = atoms.copy()
            strained.set_cell(cell @ (np.eye(3) + e), scale_atoms=True)
            strained.calc = calculator
            if max_steps:
                _relax_ions(strained, fmax_eV_per_A, max_steps)
            stress.append(np.asarray(strained.get_stress(voigt=True), dtype=np.float64))
        columns.append((stress[0] - stress[1]) / (2 * strain) * GPA_PER_EV_PER_A3)
    raw = np.array(columns).T
    tensor = (raw + raw.T) / 2
    K, K_error, G, G_error = voigt_reuss_hill(tensor)
    return ElasticModuli(
        tensor_GPa=tensor,
        bulk_GPa=K,
        bulk_error_GPa=K_error,
        shear_GPa=G,
        shear_error_GPa=G_error,
        asymmetry_GPa=float(np.abs(raw - raw.T).max()),
        stable=bool(np.all(np.linalg.eigvalsh(tensor) > 0)),
    )


def above_phases(target: Phase, references: Sequence[Phase]) -> tuple[float, dict[str, float]] | None:
    """Return (energy above the best mixture of references in eV/atom, that mixture as amounts of cells).

    Negative when the target lies below every mixture. None when the references cannot give its composition: then
    nothing is known, which is not the same as stable.

    Raises
    ------
    InputError
        When a phase holds no atoms.
    """
    from scipy.optimize import linprog

    for phase in (target, *references):
        if sum(phase.counts.values()) < 1:
            raise InputError(f"the phase {phase.name!r} holds no atoms")
    elements = sorted(target.counts)
    usable = [p for p in references if set(p.counts) <= set(elements)]
    if not usable:
        return None
    A = np.array([[p.counts.get(e, 0) for p in usable] for e in elements], dtype=np.float64)
    b = np.array([target.counts[e] for e in elements], dtype=np.float64)
    solved = linprog([p.energy_eV for p in usable], A_eq=A, b_eq=b, bounds=(0, None), method="highs")
    if solved.status != 0 or solved.x is None:
        return None
    best = 0.0 if solved.fun is None else float(solved.fun)
    mixture = {p.name: float(x) for p, x in zip(usable, solved.x, strict=True) if x > 1e-9}
    return (target.energy_eV - best) / sum(target.counts.values()), mixture
