"""Nosé-Hoover chain: NVT, deterministic, time-reversible, global, order 2 in dt.

The chain acts for half a step, velocity Verlet follows, the chain acts for the other half. Its propagator is split by
Suzuki and Yoshida into three pieces.

Equations    dv_1/dt = (2K - Nf kT)/Q_1 - v_1 v_2;   dv_j/dt = (Q_{j-1} v_{j-1}² - kT)/Q_j - v_j v_{j+1};
             dp/dt = F - v_1 p;   d xi_j/dt = v_j;   Q_1 = Nf kT tau²,  Q_j = kT tau²          [martyna1996, eq. 2.4]
             half-step propagator exp(iL_NHC dt/2), pieces w = (w0, 1 - 2 w0, w0)              [martyna1996, eq. 29]
Symbols      symbol  code                    shape   unit
             K       kinetic                 (S,)    eV
             Nf      state.dof               (S,)    1      3N - 3
             v_j     bath nhc_velocity       (S, M)  1/fs
             xi_j    bath nhc_position       (S, M)  1
             Q_j     control.extra nhc_mass  (S, M)  eV fs²
             tau     control.tau_fs          (S,)    fs
Conserved    E + K + sum Q_j v_j²/2 + Nf kT xi_1 + kT sum_{j>1} xi_j; its error is O(dt²)
Not for      a single harmonic mode (the chain must be longer than its memory); far from equilibrium it rings
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ionsieve.dynamics.integrators import nve
from ionsieve.dynamics.integrators.method import Method, Noise, kick
from ionsieve.dynamics.state import Control, MDState, elementwise, kinetic_eV

__all__ = ["METHOD", "first", "second"]

_W0 = 1.0 / (2.0 - 2.0 ** (1.0 / 3.0))
#: weights of Suzuki and Yoshida, order 4
WEIGHTS = (_W0, 1.0 - 2.0 * _W0, _W0)


def half_chain(
    kinetic: Tensor, velocity: Tensor, position: Tensor, mass: Tensor, kT: Tensor, dof: Tensor, dt: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Propagate the chain for half a step.

    Returns
    -------
    tuple
        Factor of the velocities (S,), chain velocities (S, M), chain positions (S, M).
    """
    length = velocity.shape[1]
    v = list(velocity.unbind(1))
    xi = list(position.unbind(1))
    q = list(mass.unbind(1))
    twice = 2.0 * kinetic
    scale = torch.ones_like(kinetic)

    def force(j: int) -> Tensor:
        return (twice - dof * kT) / q[0] if j == 0 else (q[j - 1] * v[j - 1] * v[j - 1] - kT) / q[j]

    for weight in WEIGHTS:
        h = (0.25 * weight) * dt  # a quarter step: half of the half
        v[-1] = v[-1] + h * force(length - 1)
        for j in range(length - 2, -1, -1):
            drag = elementwise(np.exp, -0.5 * h * v[j + 1])
            v[j] = (v[j] * drag + h * force(j)) * drag
        factor = elementwise(np.exp, -2.0 * h * v[0])
        scale = scale * factor
        twice = twice * factor * factor
        for j in range(length):
            xi[j] = xi[j] + 2.0 * h * v[j]
        for j in range(length - 1):
            drag = elementwise(np.exp, -0.5 * h * v[j + 1])
            v[j] = (v[j] * drag + h * force(j)) * drag
        v[-1] = v[-1] + h * force(length - 1)
    return scale, torch.stack(v, dim=1), torch.stack(xi, dim=1)


def thermostat(state: MDState, control: Control) -> tuple[MDState, Tensor]:
    """Let the chain act for half a step; also return the kinetic energies (S,), eV."""
    kinetic = kinetic_eV(state, control)
    scale, velocity, position = half_chain(
        kinetic,
        state.bath["nhc_velocity"],
        state.bath["nhc_position"],
        control.extra["nhc_mass"],
        control.kT_eV,
        state.dof,
        control.dt_fs,
    )
    bath = {**state.bath, "nhc_velocity": velocity, "nhc_position": position}
    return replace(
        state, velocities=scale[control.index][:, None] * state.velocities, bath=bath
    ), scale * scale * kinetic


def first(state: MDState, control: Control, noise: Noise) -> MDState:
    """Half chain, half kick, drift."""
    state, _ = thermostat(state, control)
    return nve.first(state, control, noise)


def second(state: MDState, control: Control, noise: Noise) -> tuple[MDState, Tensor]:
    """Half kick, half chain."""
    return thermostat(replace(state, velocities=kick(state, control)), control)


def prepare(control: Control, state: MDState) -> dict[str, Tensor]:
    """Return the masses of the chain (S, M), eV fs²."""
    rest = control.kT_eV * control.tau_fs * control.tau_fs
    return {"nhc_mass": torch.stack([state.dof * rest, *[rest] * (control.chain_length - 1)], dim=1)}


def bath(state: MDState, control: Control) -> dict[str, Tensor]:
    """Return a chain at rest."""
    zeros = state.energies.new_zeros((state.n_systems, control.chain_length))
    return {"nhc_velocity": zeros, "nhc_position": zeros.clone()}


def conserved(state: MDState, control: Control) -> Tensor:
    """Extended energy, (S,), eV."""
    v, xi, q = state.bath["nhc_velocity"], state.bath["nhc_position"], control.extra["nhc_mass"]
    chain = (0.5 * q * v * v).sum(dim=1) + control.kT_eV * (state.dof * xi[:, 0] + xi[:, 1:].sum(dim=1))
    return state.energies + kinetic_eV(state, control) + chain


METHOD = Method(
    name="nose_hoover",
    ensemble="NVT",
    order=2,
    deterministic=True,
    keeps_momentum=True,
    needs_stress=False,
    noise=(),
    prepare=prepare,
    bath=bath,
    first=first,
    second=second,
    conserved=conserved,
    cite=("martyna1996",),
)
