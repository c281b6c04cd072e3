"""FIRE on many cells at once: positions, and the cell by exponential strain.

Every system has its own time step and mixing; one that has converged (or collapsed) leaves, the others go on unchanged.

Equations    P = F·v;   P > 0:  v <- (1 - a) v + a |v| F/|F|; after n_min such steps
             dt <- min(1.1 dt, dt_max), a <- 0.99 a;
             P <= 0:  v <- 0, dt <- dt/2, a <- a_start;     then v <- v + dt F,  x <- x + dt v      [bitzek2006]
             cell:  h <- h exp(eta/N), x <- x exp(eta/N), with the force -V stress/N on eta, symmetric, as in the
             Frechet cell filter of ASE: one more "atom" of three rows in F and v
Symbols      symbol  code           shape
             F, v    forces, v      (N, 3) and (S, 3, 3)
             dt, a   dt, mix        (S,)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ionsieve.dynamics.integrators.crescale import trace
from ionsieve.dynamics.integrators.crescale_anisotropic import exponential, product, times
from ionsieve.dynamics.settings import RelaxSettings
from ionsieve.dynamics.state import volumes_A3
from ionsieve.potentials.base import Potential
from ionsieve.systems import Batch
from ionsieve.units import GPA_PER_EV_PER_A3

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Descent", "Minimum", "begin", "fire"]

DT_START, DT_MAX, GROW, SHRINK = 0.1, 1.0, 1.1, 0.5
MIX_START, MIX_FALL, PATIENCE = 0.1, 0.99, 5
#: largest move of an atom in one step, Å
MAX_STEP_A = 0.1


@dataclass(frozen=True)
class Minimum:
    """Where one minimisation ended: positions (N, 3) and cell (3, 3) in Å, energies in eV, forces left over."""

    positions: np.ndarray
    cell: np.ndarray
    energy_eV: float
    energy_start_eV: float
    max_force_eV_per_A: float
    max_stress_GPa: float | None
    steps: int


@dataclass
class Descent:
    """The systems still under way; rows of the per-system tensors go with `members`. What follows depends on it alone.

    `energy_start` (S,), eV, is that of the first step; `good` (S,) counts steps downhill in a row.
    """

    members: list[int]
    batch: Batch
    v: Tensor
    v_cell: Tensor
    dt: Tensor
    mix: Tensor
    good: Tensor
    energy_start: Tensor
    step: int = 0

    def dot(self, a: Tensor, b: Tensor, a_cell: Tensor, b_cell: Tensor) -> Tensor:
        """Scalar product over the atoms and the cell of each system, (S,)."""
        atoms = self.batch.sum_by_system((a * b).sum(dim=1))
        return atoms + (a_cell * b_cell).sum(dim=(1, 2))

    def keep(self, rows: list[int]) -> Descent:
        """Return only the systems in those rows."""
        chosen = torch.tensor(rows, dtype=torch.int64, device=self.batch.device)
        mask = torch.zeros(self.batch.n_systems, dtype=torch.bool, device=self.batch.device)
        mask[chosen] = True
        atoms = mask[self.batch.system_index]
        renumber = torch.cumsum(mask, 0) - 1
        batch = Batch(
            self.batch.positions[atoms],
            self.batch.cells[chosen],
            self.batch.numbers[atoms],
            renumber[self.batch.system_index[atoms]],
        )
        return Descent(
            [self.members[r] for r in rows],
            batch,
            self.v[atoms],
            self.v_cell[chosen],
            self.dt[chosen],
            self.mix[chosen],
            self.good[chosen],
            self.energy_start[chosen],
            self.step,
        )


def begin(systems: Sequence[Atoms], device: str) -> Descent:
    """Return the systems at rest where they are."""
    batch = Batch.from_atoms(list(systems), device=device, dtype=torch.float64)
    count = batch.n_systems
    return Descent(
        list(range(count)),
        batch,
        torch.zeros_like(batch.positions),
        torch.zeros_like(batch.cells),
        batch.cells.new_full((count,), DT_START),
        batch.cells.new_full((count,), MIX_START),
        torch.zeros(count, dtype=torch.int64, device=batch.device),
        batch.cells.new_full((count,), torch.nan),
    )


def fire(
    systems: Sequence[Atoms],
    potential: Potential,
    settings: RelaxSettings,
    active: Descent | None = None,
    after_step: Callable[[Descent], None] | None = None,
) -> list[Minimum]:
    """Minimise all systems in one batch; the results stand in their order.

    Parameters
    ----------
    systems, potential, settings
        Cells as they were at the very beginning.
    active
        Where to go on; by default all begin.
    after_step
        Shown the descent after every step; may save it, and raise.
    """
    with_cell = settings.cell_policy != "published"
    active = active or begin(systems, potential.info.device)
    volume_start = [float(a.cell.volume) for a in systems]
    done: dict[int, Minimum] = {}
    while True:
        step = active.step
        batch = active.batch
        result = potential.evaluate(batch, stress=with_cell)
        if step == 0:
            active.energy_start = result.energies
        forces, cell_forces, stress = _forces(batch, result.forces, result.stresses, settings)
        largest = _largest(forces, batch)
        volumes = volumes_A3(batch.cells)
        table = torch.stack([result.energies, largest, volumes, stress], dim=1).cpu().numpy()
        leaving: list[int] = []
        staying: list[int] = []
        for row, member in enumerate(active.members):
            energy, force, volume, pressure = (float(x) for x in table[row])
            converged = force <= settings.fmax_eV_per_A and (not with_cell or pressure <= settings.max_stress_GPa)
            change = 100 * abs(volume / volume_start[member] - 1)
            broken = change > settings.max_volume_change_percent or not np.isfinite([energy, force, pressure]).all()
            (leaving if converged or broken or step == settings.max_steps else staying).append(row)
        for row in leaving:
            member = active.members[row]
            atoms = batch.system_index == row
            done[member] = Minimum(
                positions=batch.positions[atoms].cpu().numpy(),
                cell=batch.cells[row].cpu().numpy(),
                energy_eV=float(table[row, 0]),
                energy_start_eV=float(active.energy_start[row]),
                max_force_eV_per_A=float(table[row, 1]),
                max_stress_GPa=float(table[row, 3]) if with_cell else None,
                steps=step,
            )
        if not staying:
            return [done[i] for i in range(len(systems))]
        if leaving:
            rows = torch.zeros(batch.n_systems, dtype=torch.bool, device=batch.device)
            rows[staying] = True
            forces, cell_forces = forces[rows[batch.system_index]], cell_forces[rows]
            active = active.keep(staying)
        _advance(active, forces, cell_forces)
        if after_step is not None:
            after_step(active)


def _forces(
    batch: Batch, forces: Tensor, stresses: Tensor | None, settings: RelaxSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """Forces on atoms (N, 3) and cells (S, 3, 3), eV/Å, and the largest stress (S,), GPa."""
    if stresses is None:
        return forces, torch.zeros_like(batch.cells), batch.cells.new_zeros(batch.n_systems)
    symmetric = 0.5 * (stresses + stresses.transpose(1, 2))
    if settings.keep_symmetry:
        one = torch.eye(3, dtype=stresses.dtype, device=stresses.device)
        symmetric = (trace(symmetric) / 3.0)[:, None, None] * one
    scale = volumes_A3(batch.cells) / batch.counts().to(stresses.dtype)
    largest = symmetric.abs().amax(dim=(1, 2)) * GPA_PER_EV_PER_A3
    return forces, -scale[:, None, None] * symmetric, largest


def _largest(forces: Tensor, batch: Batch) -> Tensor:
    """Largest force on an atom of each system, (S,)."""
    out = forces.new_zeros(batch.n_systems)
    return out.scatter_reduce_(0, batch.system_index, (forces * forces).sum(dim=1), reduce="amax").sqrt()


def _advance(active: Descent, f: Tensor, f_cell: Tensor) -> None:
    """One step of FIRE of every system."""
    batch, index = active.batch, active.batch.system_index
    power = active.dot(f, active.v, f_cell, active.v_cell)
    norm_f = active.dot(f, f, f_cell, f_cell).sqrt().clamp_min(1e-300)
    norm_v = active.dot(active.v, active.v, active.v_cell, active.v_cell).sqrt()
    uphill = power <= 0
    grow = ~uphill & (active.good > PATIENCE)
    keep = torch.where(uphill, 0.0, 1.0 - active.mix)
    pull = torch.where(uphill, 0.0, active.mix * norm_v / norm_f)
    v = keep[index][:, None] * active.v + pull[index][:, None] * f
    v_cell = keep[:, None, None] * active.v_cell + pull[:, None, None] * f_cell
    active.dt = torch.where(
        uphill, SHRINK * active.dt, torch.where(grow, (GROW * active.dt).clamp_max(DT_MAX), active.dt)
    )
    active.mix = torch.where(uphill, MIX_START, torch.where(grow, MIX_FALL * active.mix, active.mix))
    active.good = torch.where(uphill, 0, active.good + 1)
    active.v = v + active.dt[index][:, None] * f
    active.v_cell = v_cell + active.dt[:, None, None] * f_cell
    move = active.dt[index][:, None] * active.v
    eta = active.dt[:, None, None] * active.v_cell / batch.counts().to(f.dtype)[:, None, None]
    longest = torch.maximum(_largest(move, batch), 10.0 * eta.abs().amax(dim=(1, 2)))  # 1 % of strain counts as 0.1 Å
    limit = (MAX_STEP_A / longest.clamp_min(1e-300)).clamp_max(1.0)
    move = limit[index][:, None] * move
    stretch = exponential(limit[:, None, None] * eta)
    active.batch = Batch(
        times(batch.positions, stretch, index) + move, product(batch.cells, stretch), batch.numbers, index
    )
    active.step += 1
