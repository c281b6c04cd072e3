"""Canonical sampling through velocity rescaling (CSVR): NVT, stochastic, global, order 2 in dt.

Velocity Verlet, then all velocities are multiplied by alpha so that the kinetic energy does a random walk to its
canonical distribution.

Equations    alpha² = c + (1-c) Kbar/(Nf K) (R² + S) + 2 R sqrt(c (1-c) Kbar/(Nf K)),
             c = exp(-dt/tau)                                                  [bussi2007, A7]
             sign(alpha) = sign(R + sqrt(c Nf K / ((1-c) Kbar)))               [bussi2007, A8]
Symbols      symbol  code                  shape  unit
             K       kinetic               (S,)   eV
             Kbar/Nf kT/2                  (S,)   eV     mean kinetic energy of one degree of freedom
             Nf      state.dof             (S,)   1      3N - 3: the total momentum is zero
             tau     control.tau_fs        (S,)   fs
             R, S    noise csvr.R, csvr.S  (S,)   1      normal; chi-square of Nf - 1
Conserved    E + K - heat, heat = sum of (alpha² - 1) K; its error is O(dt²)
Not for      velocity autocorrelation at tau below 100 fs
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ionsieve.dynamics.integrators.method import Method, Noise, energy_less_heat, heat_bath, kick
from ionsieve.dynamics.integrators.nve import first
from ionsieve.dynamics.noise import chi_square, normal
from ionsieve.dynamics.state import Control, MDState, elementwise, kinetic_eV

__all__ = ["METHOD", "alpha", "first", "second"]


def alpha(kinetic: Tensor, kT: Tensor, dof: Tensor, c: Tensor, R: Tensor, S: Tensor) -> Tensor:
    """Return the factor of the velocities, (S,); 1 where there is no kinetic energy to scale."""
    ratio = 0.5 * kT / kinetic.clamp_min(1e-300)
    square = c + (1.0 - c) * ratio * (R * R + S) + 2.0 * R * torch.sqrt(c * (1.0 - c) * ratio)
    sign = torch.where(R + torch.sqrt(c / ((1.0 - c) * ratio)) < 0, -1.0, 1.0)
    return torch.where(kinetic > 0, sign * torch.sqrt(square.clamp_min(0.0)), torch.ones_like(kinetic))


def rescale(state: MDState, control: Control, noise: Noise) -> tuple[MDState, Tensor]:
    """Apply the thermostat to a state whose step is otherwise complete."""
    before = kinetic_eV(state, control)
    factor = alpha(before, control.kT_eV, state.dof, control.extra["csvr_c"], noise["csvr.R"], noise["csvr.S"])
    after = factor * factor * before
    bath = {**state.bath, "heat_eV": state.bath["heat_eV"] + (after - before)}
    return replace(state, velocities=factor[control.index][:, None] * state.velocities, bath=bath), after


def second(state: MDState, control: Control, noise: Noise) -> tuple[MDState, Tensor]:
    """Half kick, then rescale."""
    return rescale(replace(state, velocities=kick(state, control)), control, noise)


def prepare(control: Control, state: MDState) -> dict[str, Tensor]:
    """Return c = exp(-dt/tau), (S,)."""
    return {"csvr_c": elementwise(np.exp, -control.dt_fs / control.tau_fs)}


METHOD = Method(
    name="csvr",
    ensemble="NVT",
    order=2,
    deterministic=False,
    keeps_momentum=True,
    needs_stress=False,
    noise=(normal("csvr.R"), chi_square("csvr.S")),
    prepare=prepare,
    bath=heat_bath,
    first=first,
    second=second,
    conserved=energy_less_heat,
    cite=("bussi2007",),
)
