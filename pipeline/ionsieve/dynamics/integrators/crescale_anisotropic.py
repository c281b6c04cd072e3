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

from ionsieve.dynamics.integrators.barostat import barostat
from ionsieve.dynamics.noise import matrix3
from ionsieve.dynamics.state import Control, MDState

__all__ = ["METHOD", "exponential", "pressure_tensor", "product", "strain", "strained"]


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


def times(vectors: Tensor, matrix: Tensor, index: Tensor) -> Tensor:
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


def strain(state: MDState, control: Control, volume: Tensor, noise: Tensor) -> Tensor:
    """Return eta, (S, 3, 3)."""
    P = pressure_tensor(state, control, volume)
    rate = control.compressibility / (3.0 * control.barostat_tau_fs)
    one = torch.eye(3, dtype=volume.dtype, device=volume.device)
    width = (2.0 * rate * control.kT_eV * control.dt_fs / volume).sqrt()
    drive = -(rate * control.dt_fs)[:, None, None] * (control.pressure[:, None, None] * one - P)
    symmetric = 0.5 * (noise + noise.transpose(1, 2))
    return 0.5 * (drive + drive.transpose(1, 2)) + width[:, None, None] * symmetric


def strained(state: MDState, eta: Tensor, index: Tensor) -> MDState:
    """Strain cell and positions by exp(eta), velocities by its inverse."""
    stretch, shrink = exponential(eta), exponential(-eta)
    return replace(
        state,
        cells=product(state.cells, stretch),
        positions=times(state.positions, stretch, index),
        velocities=times(state.velocities, shrink, index),
    )


METHOD = barostat(
    "crescale_anisotropic",
    noise=matrix3("crescale.M"),
    strain=strain,
    apply=strained,
    work=contraction,
    still=lambda state: torch.zeros_like(state.cells),
    cite=("deltatto2022",),
)
