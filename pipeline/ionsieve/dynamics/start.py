"""The first state of a run, its velocities from the run's own stream, and what it is steered to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ionsieve.dynamics.jobs import Job, time_step_fs
from ionsieve.dynamics.settings import DynamicsSettings
from ionsieve.dynamics.state import MDState, Target
from ionsieve.rng import generator
from ionsieve.units import BOLTZMANN_EV_PER_K, EV_PER_U_A2_PER_FS2

__all__ = ["degrees_of_freedom", "for_method", "initial_state", "maxwell_boltzmann", "target"]


def degrees_of_freedom(n_atoms: int, *, keeps_momentum: bool) -> int:
    """3N - 3 where the total momentum is kept at zero, else 3N; a single atom keeps its 3."""
    return 3 * n_atoms - 3 if keeps_momentum and n_atoms > 1 else 3 * n_atoms


def maxwell_boltzmann(
    masses: np.ndarray, temperature_K: float, names: tuple[str | int, ...], *, keeps_momentum: bool
) -> np.ndarray:
    """Velocities (N, 3), Å/fs, of exactly the kinetic temperature asked for.

    Parameters
    ----------
    masses
        (N,), u.
    names
        Key of the random stream.
    keeps_momentum
        Remove the velocity of the centre of mass (not for a single atom).
    """
    n = len(masses)
    v = generator(*names, "velocities").standard_normal((n, 3)) / np.sqrt(masses)[:, None]
    if keeps_momentum and n > 1:
        v -= (masses[:, None] * v).sum(axis=0) / masses.sum()
    kinetic = 0.5 * EV_PER_U_A2_PER_FS2 * float((masses[:, None] * v * v).sum())
    wanted = 0.5 * degrees_of_freedom(n, keeps_momentum=keeps_momentum) * BOLTZMANN_EV_PER_K * temperature_K
    return np.asarray(v * np.sqrt(wanted / kinetic))


def for_method(state: MDState, *, keeps_momentum: bool) -> MDState:
    """Return one system's state for a method that keeps the total momentum at zero, or does not."""
    dof = degrees_of_freedom(len(state.numbers), keeps_momentum=keeps_momentum)
    if round(float(state.dof[0])) == dof:
        return state
    v = state.velocities
    if keeps_momentum and len(v) > 1:
        v = v - (state.masses * v).sum(dim=0) / state.masses.sum()
    return replace(state, velocities=v, dof=torch.full_like(state.dof, float(dof)))


def initial_state(job: Job, *, keeps_momentum: bool, settings: DynamicsSettings) -> MDState:
    """Return the state at step 0, without forces (the engine evaluates them)."""
    atoms = job.atoms
    n = len(atoms)
    masses = np.asarray(atoms.get_masses(), dtype=np.float64)
    v = maxwell_boltzmann(
        masses, job.temperature_K * settings.start_kinetic_factor, tuple(job.seed_names), keeps_momentum=keeps_momentum
    )
    return MDState(
        positions=torch.from_numpy(np.array(atoms.positions, dtype=np.float64)),
        velocities=torch.from_numpy(v),
        forces=torch.full((n, 3), float("nan"), dtype=torch.float64),
        numbers=torch.from_numpy(np.array(atoms.numbers, dtype=np.int64)),
        masses=torch.from_numpy(masses[:, None].copy()),
        system_index=torch.zeros(n, dtype=torch.int64),
        cells=torch.from_numpy(np.array(atoms.cell.array, dtype=np.float64))[None],
        energies=torch.full((1,), float("nan"), dtype=torch.float64),
        stresses=torch.full((1, 3, 3), float("nan"), dtype=torch.float64),
        dof=torch.tensor([float(degrees_of_freedom(n, keeps_momentum=keeps_momentum))], dtype=torch.float64),
    )


def target(job: Job, settings: DynamicsSettings) -> Target:
    """Return what a run is steered to."""
    return Target(
        temperature_K=job.temperature_K,
        dt_fs=time_step_fs(job, settings),
        tau_fs=settings.tau_fs,
        friction_per_ps=settings.friction_per_ps,
        pressure_GPa=settings.pressure_GPa,
        barostat_tau_fs=settings.barostat_tau_fs,
        compressibility_per_GPa=settings.compressibility_per_GPa,
        chain_length=settings.chain_length,
    )
