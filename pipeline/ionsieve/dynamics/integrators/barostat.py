"""What barostats share that strain the cell once a step: half kick, drift, strain; new forces; half kick, CSVR.

A barostat says how the cell strains by the pressure of the step's beginning (`strain`), what a strain does to a state
(`apply`) and the work of a stress in it (`work`). The heat of a strain is counted here: the kinetic energy that it
gives, the work of the stress by the trapezium (before and after the new forces), and that of the target pressure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ionsieve.dynamics.integrators import csvr
from ionsieve.dynamics.integrators.method import Method, Noise, drift, kick
from ionsieve.dynamics.noise import NoiseKind, chi_square, normal
from ionsieve.dynamics.state import Control, MDState, kinetic_eV, volumes_A3

__all__ = ["barostat"]


def conserved(state: MDState, control: Control) -> Tensor:
    """Enthalpy less heat, (S,), eV."""
    enthalpy = state.energies + kinetic_eV(state, control) + control.pressure * volumes_A3(state.cells)
    return enthalpy - state.bath["heat_eV"]


def barostat(
    name: str,
    *,
    noise: NoiseKind,
    strain: Callable[[MDState, Control, Tensor, Tensor], Tensor],
    apply: Callable[[MDState, Tensor, Tensor], MDState],
    work: Callable[[Tensor, Tensor], Tensor],
    still: Callable[[MDState], Tensor],
    cite: tuple[str, ...],
) -> Method:
    """Return the method of a barostat with CSVR as its thermostat.

    Parameters
    ----------
    noise
        Its own stream.
    strain
        (state, control, volumes (S,) Å³, noise) -> strain of each system.
    apply
        (state, strain, system index) -> the strained state.
    work
        (strain, stresses) -> strain : stress, (S,), eV/Å³.
    still
        The strain of a step that leaves the cell alone.
    """

    def first(state: MDState, control: Control, draws: Noise) -> MDState:
        """Half kick, drift, strain."""
        volume = volumes_A3(state.cells)
        chosen = strain(state, control, volume, draws[noise.name])
        v = kick(state, control)
        moved = replace(state, velocities=v, positions=drift(state.positions, v, control.dt_atoms))
        strained = apply(moved, chosen, control.index)
        heat = (kinetic_eV(strained, control) - kinetic_eV(moved, control)) + (
            0.5 * work(chosen, state.stresses) * volume + control.pressure * (volumes_A3(strained.cells) - volume)
        )
        return replace(strained, bath={**state.bath, "heat_eV": state.bath["heat_eV"] + heat, "strain": chosen})

    def second(state: MDState, control: Control, draws: Noise) -> tuple[MDState, Tensor]:
        """Half kick, CSVR."""
        half = 0.5 * work(state.bath["strain"], state.stresses) * volumes_A3(state.cells)
        bath = {**state.bath, "heat_eV": state.bath["heat_eV"] + half}
        return csvr.rescale(replace(state, velocities=kick(state, control), bath=bath), control, draws)

    def bath(state: MDState, control: Control) -> dict[str, Tensor]:
        """Count the heat, remember the last strain."""
        return {"heat_eV": torch.zeros_like(state.energies), "strain": still(state)}

    return Method(
        name=name,
        ensemble="NPT",
        order=2,
        deterministic=False,
        keeps_momentum=True,
        needs_stress=True,
        noise=(noise, normal("csvr.R"), chi_square("csvr.S")),
        prepare=csvr.prepare,
        bath=bath,
        first=first,
        second=second,
        conserved=conserved,
        cite=(*cite, "bussi2007"),
    )
