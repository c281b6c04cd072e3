"""Velocity Verlet: NVE, deterministic, time-reversible and symplectic, order 2 in dt.

Equations    v <- v + (dt/2m) F;   x <- x + dt v;   F <- F(x);   v <- v + (dt/2m) F     [verlet1967]
Symbols      symbol  code                  shape   unit
             x, v    positions, velocities (N, 3)  Å, Å/fs
             dt/2m   control.half_kick     (N, 1)  Å/fs per eV/Å
Conserved    E + K; its fluctuation is O(dt²), it does not drift
Not for      production with a potential in single precision over many ns: rounding heats
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from ionsieve.dynamics.integrators.method import Method, Noise, drift, kick
from ionsieve.dynamics.state import Control, MDState, kinetic_eV

__all__ = ["METHOD", "first", "second"]


def first(state: MDState, control: Control, noise: Noise) -> MDState:
    """Half kick and drift."""
    v = kick(state, control)
    return replace(state, velocities=v, positions=drift(state.positions, v, control.dt_atoms))


def second(state: MDState, control: Control, noise: Noise) -> tuple[MDState, Tensor]:
    """Half kick."""
    new = replace(state, velocities=kick(state, control))
    return new, kinetic_eV(new, control)


def conserved(state: MDState, control: Control) -> Tensor:
    """Total energy E + K, (S,), eV."""
    return state.energies + kinetic_eV(state, control)


METHOD = Method(
    name="nve",
    ensemble="NVE",
    order=2,
    deterministic=True,
    keeps_momentum=True,
    needs_stress=False,
    noise=(),
    prepare=lambda control, state: {},
    bath=lambda state, control: {},
    first=first,
    second=second,
    conserved=conserved,
    cite=("verlet1967",),
)
