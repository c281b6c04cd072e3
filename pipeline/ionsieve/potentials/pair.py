"""Analytic pair potentials for tests and drills: bitwise reproducible, alone or in any batch.

`pair-lj` is Lennard-Jones, one set of parameters for all elements. `pair-ionic` is a rigid-ion model: formal charges
(scaled) with damped shifted-force Coulomb (Fennell and Gezelter, J. Chem. Phys. 124, 234104 (2006)) and a Born-Mayer
repulsion from ionic radii. It holds rock salt, perovskites and NASICON-like frameworks together and lets small
cations move; its numbers mean nothing.

Every operation here is written row by row (no matrix products, no reductions whose order depends on sizes), and sums
run in the fixed order of the neighbour list, so that on the CPU a system's energy and forces do not change by one
bit with its batch mates or with the age of the list.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ionsieve.geometry.neighbours import NeighbourStatistics, VerletList
from ionsieve.potentials.base import Evaluation, PotentialInfo
from ionsieve.potentials.checks import check_elements, check_stress_cells
from ionsieve.potentials.settings import PairSettings
from ionsieve.systems import Batch

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

__all__ = ["PairPotential", "born_mayer_coulomb", "lennard_jones"]

_COULOMB_EV_A = 14.399645478425668
#: dU/dr and U of a distance, given the two atomic numbers of each pair.
PairFunction = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def _switch(distances: Tensor, cutoff_A: float, width_A: float) -> tuple[Tensor, Tensor]:
    """Return the quintic switch (1 inside, 0 at the cut-off, C2) and its derivative in 1/Å."""
    x = ((distances - (cutoff_A - width_A)) / width_A).clamp(0.0, 1.0)
    square = x * x
    value = 1.0 - square * x * (10.0 - 15.0 * x + 6.0 * square)
    slope = -30.0 * square * (1.0 - x) * (1.0 - x) / width_A
    return value, slope


def lennard_jones(settings: PairSettings) -> PairFunction:
    """Return U = 4 eps [(s/r)^12 - (s/r)^6], switched off over the last `switch_A` before the cut-off."""

    def function(distances: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        del first, second
        ratio = settings.sigma_A / distances
        cube = ratio * ratio * ratio
        six = cube * cube
        energy = 4.0 * settings.epsilon_eV * six * (six - 1.0)
        slope = -24.0 * settings.epsilon_eV * six * (2.0 * six - 1.0) / distances
        value, fall = _switch(distances, settings.cutoff_A, settings.switch_A)
        return energy * value, slope * value + energy * fall

    return function


#: formal charge and Shannon radius (Å, six-fold unless usual otherwise) of the ions that `pair-ionic` knows.
_IONS: dict[int, tuple[float, float]] = {
    1: (1, 0.30), 3: (1, 0.76), 4: (2, 0.45), 5: (3, 0.27), 8: (-2, 1.40), 9: (-1, 1.33), 11: (1, 1.02), 12: (2, 0.72),
    13: (3, 0.535), 14: (4, 0.40), 15: (5, 0.30), 16: (-2, 1.84), 17: (-1, 1.81), 19: (1, 1.38), 20: (2, 1.00),
    21: (3, 0.745), 22: (4, 0.605), 30: (2, 0.74), 31: (3, 0.62), 32: (4, 0.53), 34: (-2, 1.98), 35: (-1, 1.96),
    37: (1, 1.52), 38: (2, 1.18), 39: (3, 0.90), 40: (4, 0.72), 41: (5, 0.64), 47: (1, 1.15), 49: (3, 0.80),
    50: (4, 0.69), 51: (5, 0.60), 52: (6, 0.56), 53: (-1, 2.20), 56: (2, 1.35), 57: (3, 1.032), 72: (4, 0.71),
    73: (5, 0.64), 74: (6, 0.60),
}  # fmt: skip


def born_mayer_coulomb(settings: PairSettings) -> PairFunction:
    """Return the rigid-ion model.

    U = A exp((s_i + s_j - r) / rho) + k q_i q_j [erfc(a r)/r - erfc(a R)/R + (r - R) g(R)], with
    g(R) = erfc(a R)/R² + 2 a/sqrt(pi) exp(-a² R²)/R and A = 0.1 eV; the repulsion alone is switched.
    """
    charges = torch.zeros(119, dtype=torch.float64)
    radii = torch.zeros(119, dtype=torch.float64)
    for number, (charge, radius) in _IONS.items():
        charges[number], radii[number] = charge * settings.charge_scale, radius
    damping, cutoff, rho = settings.damping_per_A, settings.cutoff_A, settings.hardness_A
    at_cutoff = math.erfc(damping * cutoff) / cutoff
    force_at_cutoff = (
        at_cutoff / cutoff + 2.0 * damping / math.sqrt(math.pi) * math.exp(-((damping * cutoff) ** 2)) / cutoff
    )

    def function(distances: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        charge = charges.to(distances).index_select(0, first) * charges.to(distances).index_select(0, second)
        contact = radii.to(distances).index_select(0, first) + radii.to(distances).index_select(0, second)
        repulsion = 0.1 * torch.exp((contact - distances) / rho)
        value, fall = _switch(distances, cutoff, settings.switch_A)
        screened = torch.erfc(damping * distances) / distances
        gauss = 2.0 * damping / math.sqrt(math.pi) * torch.exp(-damping * damping * distances * distances) / distances
        strength = _COULOMB_EV_A * charge
        energy = repulsion * value + strength * (screened - at_cutoff + (distances - cutoff) * force_at_cutoff)
        slope = (
            -repulsion / rho * value + repulsion * fall - strength * (screened / distances + gauss - force_at_cutoff)
        )
        return energy, slope

    return function


class PairPotential:
    """A sum of pair energies. Float64 unless told otherwise; forces and stresses are analytic.

    Parameters
    ----------
    kind
        ``pair-lj`` or ``pair-ionic``.
    settings
        Parameters; they and the kind make the SHA-256 of the potential.
    dtype, device, skin_A
        As in `PotentialSettings`.
    """

    def __init__(
        self,
        kind: str = "pair-lj",
        settings: PairSettings | None = None,
        *,
        dtype: str = "float64",
        device: str = "cpu",
        skin_A: float = 0.8,
    ) -> None:
        self.settings = settings or PairSettings()
        self._kind = kind
        self._function = (lennard_jones if kind == "pair-lj" else born_mayer_coulomb)(self.settings)
        self._neighbours = VerletList(self.settings.cutoff_A, skin_A)
        self._dtype = getattr(torch, dtype)
        text = json.dumps({"kind": kind, **self.settings.model_dump()}, sort_keys=True)
        self._info = PotentialInfo(
            name=kind,
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            elements=frozenset(range(1, 95)) if kind == "pair-lj" else frozenset(_IONS),
            cutoff_A=self.settings.cutoff_A,
            dtype=dtype,
            device=device,
            version="1",
            licence="MIT",
        )

    @property
    def info(self) -> PotentialInfo:
        """Identity and range."""
        return self._info

    @property
    def neighbour_statistics(self) -> NeighbourStatistics:
        """How often the neighbour lists were rebuilt."""
        return self._neighbours.statistics

    def evaluate(self, batch: Batch, *, stress: bool = False) -> Evaluation:
        """See `Potential.evaluate`."""
        check_elements(batch.numbers, self.info)
        positions, cells = batch.positions.to(self._dtype), batch.cells.to(self._dtype)
        pairs = self._neighbours.pairs(positions, cells, batch.numbers, batch.system_index)
        energy, slope = self._function(
            pairs.distances, batch.numbers.index_select(0, pairs.first), batch.numbers.index_select(0, pairs.second)
        )
        energies = energy.new_zeros(batch.n_systems).index_add_(0, pairs.system, energy)
        along = (slope / pairs.distances).unsqueeze(1) * pairs.vectors  # dU/dvector
        forces = torch.zeros_like(positions).index_add_(0, pairs.first, along).index_add_(0, pairs.second, -along)
        stresses = None
        if stress:
            volumes = check_stress_cells(cells)
            virial = along.unsqueeze(2) * pairs.vectors.unsqueeze(1)
            stresses = virial.new_zeros((batch.n_systems, 3, 3)).index_add_(0, pairs.system, virial)
            stresses = (stresses / volumes[:, None, None]).to(batch.dtype)
        return Evaluation(energies.to(batch.dtype), forces.to(batch.dtype), stresses)

    def as_ase(self) -> Calculator:
        """Return a plain ASE calculator: float64, all pairs of ASE's own neighbour list, no cache."""
        from ionsieve.potentials.plain import PlainPairCalculator

        return PlainPairCalculator(self._kind, self.settings)
