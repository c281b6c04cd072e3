"""Systems whose answers are known in closed form, and a bare driver: what integrators are proved on.

`FreeParticles` has no forces: D = kT/(m gamma) under Langevin dynamics, and a volume of Gamma(N + 1, kT/P0) under a
barostat. `HarmonicLattice` is a simple cubic crystal of springs that resist every displacement (scalar elasticity): its
energy splits exactly into that of the cell and that of 3N - 3 independent modes, so <U> = (3N - 3) kT/2 and the
distribution of the volume follows by quadrature. A quartic term makes it anharmonic, hence ergodic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ionsieve.dynamics.integrators.method import Method, as_batch, step
from ionsieve.dynamics.noise import Stream
from ionsieve.dynamics.start import degrees_of_freedom, maxwell_boltzmann
from ionsieve.dynamics.state import Control, MDState, Target
from ionsieve.potentials.base import Evaluation, Potential, PotentialInfo
from ionsieve.systems import Batch

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

__all__ = ["FreeParticles", "HarmonicLattice", "Replicas", "lattice"]


class FreeParticles:
    """No interaction: an ideal gas, and the null model of the host-overhead benchmark."""

    info = PotentialInfo("free", "0" * 64, frozenset(range(1, 119)), 0.0, "float64", "cpu")

    def evaluate(self, batch: Batch, *, stress: bool = False) -> Evaluation:
        """Zero energy, forces and stress."""
        zeros = batch.positions.new_zeros
        return Evaluation(
            zeros(batch.n_systems),
            torch.zeros_like(batch.positions),
            zeros((batch.n_systems, 3, 3)) if stress else None,
        )

    def as_ase(self) -> Calculator:
        """Return this potential as an ASE calculator."""
        from ionsieve.dynamics.ase_bridge import BatchCalculator

        return BatchCalculator(self)


class HarmonicLattice:
    """Springs along the bonds of an n x n x n simple cubic lattice.

    U = sum over bonds of k |d|²/2 + q |d|⁴/4 with d = x_j + image·h - x_i - a0 e, three bonds an atom.

    Parameters
    ----------
    n
        Atoms along an edge; every system of a batch has n³ atoms in the order of `lattice`.
    a0_A
        Rest length of the bonds, Å.
    k_eV_per_A2, quartic_eV_per_A4
        Constants of the springs.
    """

    def __init__(self, n: int = 2, a0_A: float = 3.0, k_eV_per_A2: float = 2.0, quartic_eV_per_A4: float = 0.0) -> None:
        self.n, self.a0, self.k, self.quartic = n, a0_A, k_eV_per_A2, quartic_eV_per_A4
        grid = np.arange(n)
        corners = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1).reshape(-1, 3)
        first, second, image, rest = [], [], [], []
        for i, corner in enumerate(corners):
            for axis in range(3):
                to = corner.copy()
                to[axis] += 1
                cell, inside = divmod(to, n)
                first.append(i)
                second.append(int(inside @ np.array([n * n, n, 1])))
                image.append(cell)
                rest.append(np.eye(3)[axis] * a0_A)
        self._first, self._second = torch.tensor(first), torch.tensor(second)
        self._image = torch.tensor(np.array(image), dtype=torch.float64)
        self._rest = torch.tensor(np.array(rest), dtype=torch.float64)
        name = f"harmonic-{n}-{a0_A:g}-{k_eV_per_A2:g}-{quartic_eV_per_A4:g}"
        self.info = PotentialInfo(
            name,
            hashlib.sha256(name.encode()).hexdigest(),
            frozenset(range(1, 119)),
            a0_A,
            "float64",
            "cpu",
        )

    def evaluate(self, batch: Batch, *, stress: bool = False) -> Evaluation:
        """Sum over the bonds of every system."""
        shape = (batch.n_systems, self.n**3, 3)
        x = batch.positions.reshape(shape)
        h = batch.cells
        shift = sum(self._image[None, :, a : a + 1] * h[:, None, a, :] for a in range(3))
        bond = x[:, self._second] + shift - x[:, self._first]
        d = bond - self._rest
        square = d[..., 0] * d[..., 0] + d[..., 1] * d[..., 1] + d[..., 2] * d[..., 2]
        energy = 0.5 * self.k * square + 0.25 * self.quartic * square * square
        pull = (self.k + self.quartic * square)[..., None] * d
        forces = torch.zeros_like(x).index_add_(1, self._first, pull).index_add_(1, self._second, -pull)
        stresses = None
        if stress:
            volume = torch.linalg.det(h).abs()
            stresses = (bond[..., :, None] * pull[..., None, :]).sum(dim=1) / volume[:, None, None]
        return Evaluation(energy.sum(dim=1), forces.reshape(-1, 3), stresses)

    def as_ase(self) -> Calculator:
        """Return this potential as an ASE calculator."""
        from ionsieve.dynamics.ase_bridge import BatchCalculator

        return BatchCalculator(self)


def lattice(n: int = 2, a0_A: float = 3.0, symbol: str = "Na") -> Atoms:
    """Return the n x n x n crystal at rest."""
    from ase import Atoms

    grid = np.arange(n)
    corners = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1).reshape(-1, 3)
    return Atoms([symbol] * n**3, positions=corners * a0_A, cell=np.eye(3) * n * a0_A, pbc=True)


class Replicas:
    """Independent copies of one system under one method, without files, guards or segments.

    Parameters
    ----------
    method, potential, atoms
        What is run.
    count
        Number of copies; copy i draws from the stream ``(*names, i)``.
    target
        Shared by all copies.
    """

    def __init__(
        self,
        method: Method,
        potential: Potential,
        atoms: Atoms,
        count: int,
        target: Target,
        *,
        names: Sequence[str | int] = ("replicas",),
    ) -> None:
        self.method, self.potential = method, potential
        n = len(atoms)
        dof = degrees_of_freedom(n, keeps_momentum=method.keeps_momentum)
        masses = np.asarray(atoms.get_masses(), dtype=np.float64)
        velocities = [
            maxwell_boltzmann(masses, target.temperature_K, (*names, i), keeps_momentum=method.keeps_momentum)
            for i in range(count)
        ]
        state = MDState(
            positions=torch.tensor(np.tile(atoms.positions, (count, 1)), dtype=torch.float64),
            velocities=torch.tensor(np.concatenate(velocities), dtype=torch.float64),
            forces=torch.zeros((n * count, 3), dtype=torch.float64),
            numbers=torch.tensor(np.tile(atoms.numbers, count)),
            masses=torch.tensor(np.tile(masses, count)[:, None], dtype=torch.float64),
            system_index=torch.arange(count).repeat_interleave(n),
            cells=torch.tensor(np.tile(atoms.cell.array, (count, 1, 1)), dtype=torch.float64),
            energies=torch.zeros(count, dtype=torch.float64),
            stresses=torch.zeros((count, 3, 3), dtype=torch.float64),
            dof=torch.full((count,), float(dof), dtype=torch.float64),
        )
        control = Control.build(state, [target] * count)
        self.control = replace(control, extra=method.prepare(control, state))
        state = replace(state, bath=method.bath(state, self.control))
        result = potential.evaluate(as_batch(state), stress=method.needs_stress)
        stresses = state.stresses if result.stresses is None else result.stresses
        self.state = replace(state, forces=result.forces, energies=result.energies, stresses=stresses)
        self.streams = [Stream((*names, i), n, dof) for i in range(count)]
        self.step = 0
        self.kinetic = torch.zeros(count, dtype=torch.float64)

    def run(self, steps: int, every: int = 0, see: Callable[[Replicas], None] | None = None) -> None:
        """Advance; call `see` after every `every` steps."""
        for begin in range(0, steps, 64):
            count = min(64, steps - begin)
            noise: dict[str, Tensor] = {}
            for kind in self.method.noise:
                parts = [s.take(kind, self.step, count) for s in self.streams]
                joined = np.concatenate(parts, axis=1) if kind.per_atom else np.stack(parts, axis=1)
                noise[kind.name] = torch.from_numpy(joined)
            for k in range(count):
                now = {name: values[k] for name, values in noise.items()}
                self.state, self.kinetic = step(self.method, self.state, self.control, now, self.potential)
                self.step += 1
                if see is not None and self.step % every == 0:
                    see(self)
