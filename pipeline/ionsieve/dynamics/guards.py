"""Guards: is this run still physics of the candidate? Checked per system at guard points; decisions are per system
and pure.

==================  =================================================  ==========================
what                bound                                              outcome
==================  =================================================  ==========================
non-finite          energy, kinetic energy, force                      ``exploded``
temperature         max_temperature_factor times the target            ``exploded``
force               max_force_eV_per_A                                 ``exploded``
committee           max_force_disagreement_eV_per_A                    ``exploded``
closest approach    min_distance_A                                     ``exploded``
volume (NPT)        max_volume_change_percent                          ``exploded``
framework           max_framework_rms_A since the start of production  ``melted``
polyanions          max_bond_stretch for broken_bond_checks points     ``polyanion_broken``
==================  =================================================  ==========================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ionsieve.dynamics.settings import GuardSettings
from ionsieve.dynamics.state import MDState
from ionsieve.verdicts import Outcome

if TYPE_CHECKING:
    from ase import Atoms

__all__ = [
    "NOT_FINITE",
    "Bonds",
    "Reading",
    "Trip",
    "closest_approach_A",
    "find_bonds",
    "framework_mask",
    "max_forces",
    "temperature_bound_K",
    "too_hot",
    "worst",
]


@dataclass(frozen=True)
class Trip:
    """A guard that tripped: how the run ends and why, in one sentence."""

    outcome: Outcome
    reason: str


#: how a run ends whose numbers are none
NOT_FINITE = Trip(Outcome.EXPLODED, "energy, temperature or a force is not a finite number")


@dataclass(frozen=True)
class Reading:
    """What the guards look at, of one system at one step.

    Attributes
    ----------
    temperature_K, energy_eV, force_eV_per_A
        Kinetic temperature, potential energy, largest force on an atom.
    disagreement_eV_per_A
        Largest disagreement of a committee about an atom's force; None without a committee.
    """

    temperature_K: float
    energy_eV: float
    force_eV_per_A: float
    disagreement_eV_per_A: float | None = None


@dataclass(frozen=True)
class Bonds:
    """Bonds of the polyanions: atoms i and j, image of j, length at the start.

    Attributes
    ----------
    i, j
        (B,) int64.
    image
        (B, 3), lattice vectors to add to j.
    length_A
        (B,).
    """

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    image: NDArray[np.float64]
    length_A: NDArray[np.float64]

    def lengths_A(self, positions: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
        """Present lengths, (B,), Å; positions (N, 3) unwrapped."""
        d = positions[self.j] + self.image @ cell - positions[self.i]
        return np.asarray(np.sqrt((d * d).sum(axis=1)))


def find_bonds(atoms: Atoms, polyanions: Sequence[tuple[str, str, float]]) -> Bonds:
    """Find the bonds (centre, ligand, largest length in Å) in a starting cell."""
    from vesin import NeighborList

    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]] = []
    symbols = np.array(atoms.get_chemical_symbols())
    for centre, ligand, length in polyanions:
        i, j, shift, d = NeighborList(cutoff=float(length), full_list=True).compute(
            points=atoms.positions, box=atoms.cell.array, periodic=True, quantities="ijSd"
        )
        keep = (symbols[i.astype(int)] == centre) & (symbols[j.astype(int)] == ligand)
        parts.append((i[keep].astype(np.int64), j[keep].astype(np.int64), shift[keep].astype(float), d[keep]))
    if not parts:
        return Bonds(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 3)), np.empty(0))
    return Bonds(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def framework_mask(symbols: Sequence[str], mobile: Sequence[str], framework: Sequence[str]) -> NDArray[np.bool_]:
    """(N,) which atoms are framework: those named, or all that are not mobile."""
    if framework:
        return np.isin(np.array(symbols), list(framework))
    return ~np.isin(np.array(symbols), list(mobile)) if mobile else np.zeros(len(symbols), bool)


def framework_rms_A(positions: NDArray[np.float64], reference: NDArray[np.float64], mask: NDArray[np.bool_]) -> float:
    """Root-mean-square displacement of the framework against `reference`, its mean drift removed, Å."""
    if not mask.any():
        return 0.0
    d = positions[mask] - reference[mask]
    d = d - d.mean(axis=0)
    return float(np.sqrt((d * d).sum(axis=1).mean()))


def closest_approach_A(positions: NDArray[np.float64], cell: NDArray[np.float64], bound_A: float) -> float:
    """Smallest distance of two atoms (images included) below `bound_A`, or infinity; Å."""
    from vesin import NeighborList

    (d,) = NeighborList(cutoff=float(bound_A), full_list=False).compute(
        points=np.ascontiguousarray(positions), box=np.ascontiguousarray(cell), periodic=True, quantities="d"
    )
    return float(d.min()) if len(d) else float("inf")


def max_forces(state: MDState) -> Tensor:
    """Largest force on an atom of each system, (S,), eV/Å; NaN where a force is not finite."""
    square = (state.forces * state.forces).sum(dim=1)
    out = torch.zeros_like(state.energies)
    return out.scatter_reduce_(0, state.system_index, square, reduce="amax", include_self=True).sqrt()


def temperature_bound_K(settings: GuardSettings, target_K: float, dof: float) -> float:
    """Kinetic temperature beyond which a system of `dof` degrees of freedom has exploded."""
    return target_K * (settings.max_temperature_factor + 6.0 * math.sqrt(2.0 / dof))


def too_hot(temperature_K: float, target_K: float, bound_K: float) -> Trip:
    """Return how a run ends whose kinetic temperature passed its bound."""
    return Trip(
        Outcome.EXPLODED,
        f"kinetic temperature {temperature_K:.0f} K against a target of {target_K:.0f} K (bound: {bound_K:.0f} K)",
    )


def worst(
    settings: GuardSettings,
    reading: Reading,
    *,
    target_K: float,
    dof: float,
    distance_A: float,
    volume_change_percent: float,
    framework_A: float,
) -> Trip | None:
    """Return the first bound that is passed, or None. Numbers of one system; NaN trips."""
    s, r = settings, reading
    if not np.isfinite([r.temperature_K, r.energy_eV, r.force_eV_per_A]).all():
        return NOT_FINITE
    bound = temperature_bound_K(s, target_K, dof)
    if r.temperature_K > bound:
        return too_hot(r.temperature_K, target_K, bound)
    if r.force_eV_per_A > s.max_force_eV_per_A:
        return Trip(
            Outcome.EXPLODED,
            f"a force of {r.force_eV_per_A:.1f} eV/Å (bound: {s.max_force_eV_per_A:g})",
        )
    if r.disagreement_eV_per_A is not None and not r.disagreement_eV_per_A <= s.max_force_disagreement_eV_per_A:
        return Trip(
            Outcome.EXPLODED,
            f"the committee's forces on an atom disagree by {r.disagreement_eV_per_A:.2f} eV/Å "
            f"(bound: {s.max_force_disagreement_eV_per_A:g})",
        )
    if distance_A < s.min_distance_A:
        return Trip(Outcome.EXPLODED, f"two atoms came as close as {distance_A:.2f} Å (bound: {s.min_distance_A:g})")
    if abs(volume_change_percent) > s.max_volume_change_percent:
        return Trip(
            Outcome.EXPLODED,
            f"the volume changed by {volume_change_percent:+.0f} % (bound: {s.max_volume_change_percent:g} %)",
        )
    if framework_A > s.max_framework_rms_A:
        return Trip(
            Outcome.MELTED,
            f"the framework moved {framework_A:.2f} Å (rms) from its sites (bound: {s.max_framework_rms_A:g} Å)",
        )
    return None
