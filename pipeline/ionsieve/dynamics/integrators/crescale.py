"""Stochastic cell rescaling, isotropic: NPT, stochastic, order 2 in dt, with CSVR as thermostat.

Half kick, drift, then cell, positions and velocities are scaled by the pressure of the step's beginning, then new
forces, half kick, CSVR. The volume walks as its square root, whose noise is constant.

Equations    lambda = sqrt(V);   d lambda = -(beta lambda / 2 tau_p) (P0 - P - kT/2V) dt + sqrt(kT beta / 2 tau_p) dW
                                                                                                 [bernetti2020, eq. 9]
             P = (2K/3 + (3N - Nf) kT/3) / V - tr(stress)/3
             s = (lambda'/lambda)^(2/3);   h <- s h,  x <- s x,  v <- v / s
Symbols      symbol  code                           shape      unit
             beta    control.compressibility        (S,)       Å³/eV
             tau_p   control.barostat_tau_fs        (S,)       fs
             P0      control.pressure               (S,)       eV/Å³
             stress  state.stresses                 (S, 3, 3)  eV/Å³   dE/dstrain / V
             Nf      state.dof                      (S,)       1       3N - 3; the missing three are at kT
             dW      noise crescale.W * sqrt(dt)    (S,)       sqrt(fs)
Conserved    E + K + P0 V - heat, heat counted by CSVR and by each scaling (kinetic energy, and work of
             the stress by the trapezium); its error is O(dt²)
Not for      barostat times below 100 fs: the pressure is that of the step's beginning
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ionsieve.dynamics.integrators import csvr
from ionsieve.dynamics.integrators.method import Method, Noise, drift, kick
from ionsieve.dynamics.noise import chi_square, normal
from ionsieve.dynamics.state import Control, MDState, elementwise, kinetic_eV, volumes_A3

__all__ = ["METHOD", "first", "pressure", "second"]


def trace(matrix: Tensor) -> Tensor:
    """Trace of (S, 3, 3), summed in order."""
    return matrix[:, 0, 0] + matrix[:, 1, 1] + matrix[:, 2, 2]


def pressure(state: MDState, control: Control, kinetic: Tensor, volume: Tensor) -> Tensor:
    """Instantaneous pressure, (S,), eV/Å³; degrees of freedom without kinetic energy count with kT/2."""
    missing = (3.0 * control.counts - state.dof) * control.kT_eV
    return (2.0 * kinetic + missing) / (3.0 * volume) - trace(state.stresses) / 3.0


def scaled(state: MDState, scale: Tensor, index: Tensor) -> MDState:
    """Scale cell and positions by `scale` (S,), velocities by its inverse."""
    per_atom = scale[index][:, None]
    return replace(
        state,
        cells=scale[:, None, None] * state.cells,
        positions=per_atom * state.positions,
        velocities=state.velocities / per_atom,
    )


def first(state: MDState, control: Control, noise: Noise) -> MDState:
    """Half kick, drift, scale."""
    volume = volumes_A3(state.cells)
    P = pressure(state, control, kinetic_eV(state, control), volume)
    v = kick(state, control)
    moved = replace(state, velocities=v, positions=drift(state.positions, v, control.dt_atoms))
    root = volume.sqrt()
    rate = control.compressibility / (2.0 * control.barostat_tau_fs)
    step = -rate * root * (control.pressure - P - 0.5 * control.kT_eV / volume) * control.dt_fs
    width = (rate * control.kT_eV * control.dt_fs).sqrt()
    ratio = (root + step + width * noise["crescale.W"]) / root
    log_scale = elementwise(np.log, ratio * ratio) / 3.0
    scale = elementwise(np.exp, log_scale)
    before = kinetic_eV(moved, control)
    # work done by the scaling: kinetic now, stress as the mean of before (here) and after (in `second`)
    after = before / (scale * scale)
    half_work = 0.5 * log_scale * trace(state.stresses) * volume
    bath = {
        **state.bath,
        "heat_eV": state.bath["heat_eV"]
        + (after - before)
        + half_work
        + control.pressure * (scale * scale * scale - 1.0) * volume,
        "log_scale": log_scale,
    }
    return replace(scaled(moved, scale, control.index), bath=bath)


def second(state: MDState, control: Control, noise: Noise) -> tuple[MDState, Tensor]:
    """Half kick, CSVR."""
    half_work = 0.5 * state.bath["log_scale"] * trace(state.stresses) * volumes_A3(state.cells)
    bath = {**state.bath, "heat_eV": state.bath["heat_eV"] + half_work}
    return csvr.rescale(replace(state, velocities=kick(state, control), bath=bath), control, noise)


def bath(state: MDState, control: Control) -> dict[str, Tensor]:
    """Count the heat, remember the last scaling."""
    return {"heat_eV": torch.zeros_like(state.energies), "log_scale": torch.zeros_like(state.energies)}


def conserved(state: MDState, control: Control) -> Tensor:
    """Enthalpy less heat, (S,), eV."""
    enthalpy = state.energies + kinetic_eV(state, control) + control.pressure * volumes_A3(state.cells)
    return enthalpy - state.bath["heat_eV"]


METHOD = Method(
    name="crescale",
    ensemble="NPT",
    order=2,
    deterministic=False,
    keeps_momentum=True,
    needs_stress=True,
    noise=(normal("crescale.W"), normal("csvr.R"), chi_square("csvr.S")),
    prepare=csvr.prepare,
    bath=bath,
    first=first,
    second=second,
    conserved=conserved,
    cite=("bernetti2020", "bussi2007"),
)
