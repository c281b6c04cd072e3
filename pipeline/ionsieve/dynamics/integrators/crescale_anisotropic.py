"""Stochastic cell rescaling, all cell vectors: NPT, stochastic, order 2 in dt, with CSVR as thermostat.

As `crescale`, but the cell strains by a symmetric matrix: its shape follows the pressure tensor, and it does not turn.

Equations    eta = -(beta / 3 tau_p) (P0 1 - P) dt + sqrt(2 beta kT / (3 V tau_p)) sym(dW)
             h <- h exp(eta),  x <- x exp(eta),  v <- v exp(-eta)               (rows are vectors; eta is symmetric)
             P = (sum m v v + (N - Nf/3) kT 1) / V - stress
             The walk is written for exp(eta), so the term in kT/V of the differential form [deltatto2022, eq. 9] is
             part of the exponential; the trace of eta is the isotropic step of `crescale`.
Symbols      symbol  code                           shape      unit
             beta    control.compressibility        (S,)       Å³/eV
             tau_p   control.barostat_tau_fs        (S,)       fs
             P0      control.pressure               (S,)       eV/Å³
             P       pressure_tensor                (S, 3, 3)  eV/Å³
             dW      noise crescale.M * sqrt(dt)    (S, 3, 3)  sqrt(fs)
Conserved    E + K + P0 V - heat, as `crescale`
Not for      liquids and melts: a cell without resistance to shear deforms without bound
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ionsieve.dynamics.integrators import csvr
from ionsieve.dynamics.integrators.crescale import conserved
from ionsieve.dynamics.integrators.method import Method, Noise, drift, kick
from ionsieve.dynamics.noise import chi_square, matrix3, normal
from ionsieve.dynamics.state import Control, MDState, kinetic_eV, volumes_A3

__all__ = ["METHOD", "exponential", "first", "pressure_tensor", "product", "second"]


def product(a: Tensor, b: Tensor) -> Tensor:
    """Matrix product of (S, 3, 3), term by term: the same bits for a system in any batch."""
    return a[:, :, 0:1] * b[:, 0:1, :] + a[:, :, 1:2] * b[:, 1:2, :] + a[:, :, 2:3] * b[:, 2:3, :]


def exponential(eta: Tensor) -> Tensor:
    """Matrix exponential of small matrices (S, 3, 3): eight terms of the series (1e-16 for strains below 0.05)."""
    one = torch.eye(3, dtype=eta.dtype, device=eta.device).expand_as(eta)
    result = one
    for k in range(8, 0, -1):
        result = one + product(eta, result) / float(k)
    return result


def apply(vectors: Tensor, matrix: Tensor, index: Tensor) -> Tensor:
    """Rows (N, 3) times the matrix of their system."""
    m = matrix[index]
    return vectors[:, 0:1] * m[:, 0, :] + vectors[:, 1:2] * m[:, 1, :] + vectors[:, 2:3] * m[:, 2, :]


def momentum_flux(state: MDState, control: Control) -> Tensor:
    """Sum of m v v of each system, (S, 3, 3), eV."""
    v = state.velocities
    flux = (2.0 * control.half_mass * v).unsqueeze(2) * v.unsqueeze(1)
    index = (9 * control.index[:, None] + torch.arange(9, device=v.device)).reshape(-1)
    out = torch.zeros(9 * state.n_systems, dtype=v.dtype, device=v.device)
    return out.index_add_(0, index, flux.reshape(-1)).reshape(-1, 3, 3)


def pressure_tensor(state: MDState, control: Control, volume: Tensor) -> Tensor:
    """Instantaneous pressure tensor, (S, 3, 3), eV/Å³."""
    missing = (control.counts - state.dof / 3.0) * control.kT_eV
    one = torch.eye(3, dtype=volume.dtype, device=volume.device)
    kinetic = momentum_flux(state, control) + missing[:, None, None] * one
    return kinetic / volume[:, None, None] - state.stresses


def contraction(a: Tensor, b: Tensor) -> Tensor:
    """Sum of a_ij b_ij, (S,), in order."""
    terms = (a * b).reshape(-1, 9).unbind(1)
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def first(state: MDState, control: Control, noise: Noise) -> MDState:
    """Half kick, drift, strain."""
    volume = volumes_A3(state.cells)
    P = pressure_tensor(state, control, volume)
    v = kick(state, control)
    moved = replace(state, velocities=v, positions=drift(state.positions, v, control.dt_atoms))
    rate = control.compressibility / (3.0 * control.barostat_tau_fs)
    one = torch.eye(3, dtype=volume.dtype, device=volume.device)
    W = noise["crescale.M"]
    width = (2.0 * rate * control.kT_eV * control.dt_fs / volume).sqrt()
    drive = -(rate * control.dt_fs)[:, None, None] * (control.pressure[:, None, None] * one - P)
    eta = 0.5 * (drive + drive.transpose(1, 2)) + width[:, None, None] * (0.5 * (W + W.transpose(1, 2)))
    stretch, shrink = exponential(eta), exponential(-eta)
    before = kinetic_eV(moved, control)
    strained = replace(
        moved,
        cells=product(state.cells, stretch),
        positions=apply(moved.positions, stretch, control.index),
        velocities=apply(moved.velocities, shrink, control.index),
    )
    after = kinetic_eV(strained, control)
    half_work = 0.5 * contraction(eta, state.stresses) * volume
    heat = (after - before) + half_work + control.pressure * (volumes_A3(strained.cells) - volume)
    bath = {**state.bath, "heat_eV": state.bath["heat_eV"] + heat, "strain": eta}
    return replace(strained, bath=bath)


def second(state: MDState, control: Control, noise: Noise) -> tuple[MDState, Tensor]:
    """Half kick, CSVR."""
    half_work = 0.5 * contraction(state.bath["strain"], state.stresses) * volumes_A3(state.cells)
    bath = {**state.bath, "heat_eV": state.bath["heat_eV"] + half_work}
    return csvr.rescale(replace(state, velocities=kick(state, control), bath=bath), control, noise)


def bath(state: MDState, control: Control) -> dict[str, Tensor]:
    """Count the heat, remember the last strain."""
    return {"heat_eV": torch.zeros_like(state.energies), "strain": torch.zeros_like(state.cells)}


METHOD = Method(
    name="crescale_anisotropic",
    ensemble="NPT",
    order=2,
    deterministic=False,
    keeps_momentum=True,
    needs_stress=True,
    noise=(matrix3("crescale.M"), normal("csvr.R"), chi_square("csvr.S")),
    prepare=csvr.prepare,
    bath=bath,
    first=first,
    second=second,
    conserved=conserved,
    cite=("deltatto2022", "bussi2007"),
)
