"""Langevin dynamics, BAOAB splitting: NVT, stochastic, local, order 2 in dt (configurations: better, see Not for).

Equations    B  v <- v + (dt/2m) F
             A  x <- x + (dt/2) v
             O  v <- c v + sqrt(1 - c²) sqrt(kT/m) xi,   c = exp(-gamma dt)               [leimkuhler2013, sec. II]
             A, then new forces, then B
Symbols      symbol  code                          shape   unit
             gamma   control.friction_per_fs       (S,)    1/fs
             c       control.extra baoab_c         (N, 1)  1
             -       control.extra baoab_kick      (N, 1)  Å/fs   sqrt(1 - c²) sqrt(kT/m)
             xi      noise baoab.xi                (N, 3)  1      standard normal
Conserved    E + K - heat, heat = sum of the kinetic energy given by O; its error is O(dt²)
Not for      transport at strong friction: D falls when gamma nears the rate of the ion's vibration. Momenta after a
             whole step are too cold by O(dt²); the configurations are exact for harmonic forces.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from ionsieve.dynamics.integrators.method import Method, Noise, drift, energy_less_heat, heat_bath, kick
from ionsieve.dynamics.noise import atoms3
from ionsieve.dynamics.state import Control, MDState, elementwise, kinetic_eV
from ionsieve.units import ACCELERATION_A_PER_FS2

__all__ = ["METHOD", "first", "second"]


def first(state: MDState, control: Control, noise: Noise) -> MDState:
    """B A O A."""
    half = 0.5 * control.dt_atoms
    v = kick(state, control)
    x = drift(state.positions, v, half)
    warm = control.extra["baoab_c"] * v + control.extra["baoab_kick"] * noise["baoab.xi"]
    before = kinetic_eV(replace(state, velocities=v), control)
    after = kinetic_eV(replace(state, velocities=warm), control)
    bath = {**state.bath, "heat_eV": state.bath["heat_eV"] + (after - before)}
    return replace(state, positions=drift(x, warm, half), velocities=warm, bath=bath)


def second(state: MDState, control: Control, noise: Noise) -> tuple[MDState, Tensor]:
    """B."""
    new = replace(state, velocities=kick(state, control))
    return new, kinetic_eV(new, control)


def prepare(control: Control, state: MDState) -> dict[str, Tensor]:
    """Return the coefficients of O for each atom."""
    c = elementwise(np.exp, -control.friction_per_fs * control.dt_fs)
    width = ((1.0 - c * c) * control.kT_eV * ACCELERATION_A_PER_FS2)[control.index][:, None] / state.masses
    return {"baoab_c": c[control.index][:, None], "baoab_kick": width.sqrt()}


METHOD = Method(
    name="baoab",
    ensemble="NVT",
    order=2,
    deterministic=False,
    keeps_momentum=False,
    needs_stress=False,
    noise=(atoms3("baoab.xi"),),
    prepare=prepare,
    bath=heat_bath,
    first=first,
    second=second,
    conserved=energy_less_heat,
    cite=("leimkuhler2013",),
)
