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
Conserved    E + K + P0 V - heat, heat counted by CSVR and by each scaling (`barostat`); its error is O(dt²)
Not for      barostat times below 100 fs: the pressure is that of the step's beginning
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ionsieve.dynamics.integrators.barostat import barostat
from ionsieve.dynamics.noise import normal
from ionsieve.dynamics.state import Control, MDState, elementwise, kinetic_eV

__all__ = ["METHOD", "log_scale", "pressure", "scaled"]


def trace(matrix: Tensor) -> Tensor:
    """Trace of (S, 3, 3), summed in order."""
    return matrix[:, 0, 0] + matrix[:, 1, 1] + matrix[:, 2, 2]


def pressure(state: MDState, control: Control, kinetic: Tensor, volume: Tensor) -> Tensor:
    """Instantaneous pressure, (S,), eV/Å³; degrees of freedom without kinetic energy count with kT/2."""
    missing = (3.0 * control.counts - state.dof) * control.kT_eV
    return (2.0 * kinetic + missing) / (3.0 * volume) - trace(state.stresses) / 3.0


def log_scale(state: MDState, control: Control, volume: Tensor, noise: Tensor) -> Tensor:
    """Return ln s, (S,)."""
    P = pressure(state, control, kinetic_eV(state, control), volume)
    root = volume.sqrt()
    rate = control.compressibility / (2.0 * control.barostat_tau_fs)
    step = -rate * root * (control.pressure - P - 0.5 * control.kT_eV / volume) * control.dt_fs
    width = (rate * control.kT_eV * control.dt_fs).sqrt()
    ratio = (root + step + width * noise) / root
    return elementwise(np.log, ratio * ratio) / 3.0


def scaled(state: MDState, log_scale: Tensor, index: Tensor) -> MDState:
    """Scale cell and positions by s, velocities by its inverse."""
    scale = elementwise(np.exp, log_scale)
    per_atom = scale[index][:, None]
    return replace(
        state,
        cells=scale[:, None, None] * state.cells,
        positions=per_atom * state.positions,
        velocities=state.velocities / per_atom,
    )


METHOD = barostat(
    "crescale",
    noise=normal("crescale.W"),
    strain=log_scale,
    apply=scaled,
    work=lambda strain, stresses: strain * trace(stresses),
    still=lambda state: torch.zeros_like(state.energies),
    cite=("bernetti2020",),
)
