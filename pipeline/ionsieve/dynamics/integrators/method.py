"""What every integrator is: two halves of a step around one evaluation of the potential, and its conserved quantity.

A step is ``first`` (everything up to the new positions), one evaluation of the forces (shared by all systems of the
batch, whatever their method), ``second`` (the rest). Both are pure: they take a state and return a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ionsieve.dynamics.noise import NoiseKind
from ionsieve.dynamics.state import Control, MDState, kinetic_eV
from ionsieve.potentials.base import Potential
from ionsieve.systems import Batch

__all__ = ["Method", "Noise", "drift", "kick", "step"]

Noise = Mapping[str, Tensor]


@dataclass(frozen=True)
class Method:
    """One integrator.

    Attributes
    ----------
    name, ensemble
        Key in the registry; ``NVE``, ``NVT`` or ``NPT``.
    order
        Of the error of the conserved quantity in dt.
    deterministic
        Whether no noise enters.
    keeps_momentum
        Whether the total momentum stays zero (3N - 3 degrees of freedom), or is thermostatted (3N).
    needs_stress
        Whether the stress must be evaluated.
    noise
        The streams it draws from.
    prepare
        Coefficients that stay constant while the targets do.
    bath
        (state, control) -> initial bath variables.
    first, second
        The halves of a step; `second` also returns the kinetic energies (S,), eV.
    conserved
        (state, control) -> (S,), eV.
    cite
        Keys of the references in docs/theory/dynamics.md.
    """

    name: str
    ensemble: Literal["NVE", "NVT", "NPT"]
    order: int
    deterministic: bool
    keeps_momentum: bool
    needs_stress: bool
    noise: tuple[NoiseKind, ...]
    prepare: Callable[[Control, MDState], dict[str, Tensor]]
    bath: Callable[[MDState, Control], dict[str, Tensor]]
    first: Callable[[MDState, Control, Noise], MDState]
    second: Callable[[MDState, Control, Noise], tuple[MDState, Tensor]]
    conserved: Callable[[MDState, Control], Tensor]
    cite: tuple[str, ...]


def kick(state: MDState, control: Control) -> Tensor:
    """Velocities after half a step under the forces: v + (dt/2m) F."""
    return state.velocities + control.half_kick * state.forces


def drift(positions: Tensor, velocities: Tensor, dt: Tensor) -> Tensor:
    """Positions after a time `dt` (N, 1) of free flight."""
    return positions + dt * velocities


def heat_bath(state: MDState, control: Control) -> dict[str, Tensor]:
    """Return a bath that counts the heat it gave, eV."""
    return {"heat_eV": torch.zeros_like(state.energies)}


def energy_less_heat(state: MDState, control: Control) -> Tensor:
    """Total energy less the heat received from the bath, (S,), eV."""
    return state.energies + kinetic_eV(state, control) - state.bath["heat_eV"]


def as_batch(state: MDState) -> Batch:
    """Return what the potential sees."""
    return Batch(state.positions, state.cells, state.numbers, state.system_index)


def step(
    method: Method, state: MDState, control: Control, noise: Noise, potential: Potential
) -> tuple[MDState, Tensor]:
    """Do one whole step of one method: first half, evaluation, second half.

    Returns
    -------
    tuple
        The new state and the kinetic energies (S,), eV.
    """
    moved = method.first(state, control, noise)
    result = potential.evaluate(as_batch(moved), stress=method.needs_stress)
    stresses = moved.stresses if result.stresses is None else result.stresses
    return method.second(
        replace(moved, forces=result.forces, energies=result.energies, stresses=stresses), control, noise
    )
