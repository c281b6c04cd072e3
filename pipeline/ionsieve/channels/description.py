"""Everything the room knows of one structure, in one call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from ionsieve.channels.bottlenecks import find_bottlenecks
from ionsieve.channels.framework import Framework, Reading, read_framework
from ionsieve.channels.gate_kinds import gateless_jumps, static_gates
from ionsieve.channels.gates import GateSet, find_gates, percolating_jumps
from ionsieve.channels.network import Spheres, spheres
from ionsieve.channels.settings import ChannelSettings
from ionsieve.records.channels import Bottleneck, Gate, GatelessJump, StaticDescriptors
from ionsieve.verdicts import Flag, Outcome

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

    from ionsieve.channels.bvse import Landscape
    from ionsieve.records.structure import CrystalStructure

__all__ = ["Channels", "describe"]


@dataclass(frozen=True)
class Channels:
    """Static geometry of the channels of one structure; the fields are those of `StaticDescriptors`.

    `framework`, `spheres`, `gate_set` and `landscape` (None where the barriers are; without its way: `bvse.with_way`)
    are the objects behind the numbers, for exports and for gates in motion.
    `percolation_radius_A` is 0 in dimensions in which nothing percolates. `limiting_gate_A` is the free radius
    of the narrowest gate on the widest way through the crystal over named sites; None when no such way is known,
    infinite when one meets no gate (all its jumps stay in one cavity: open).
    `bvse_barriers_eV` is None when the landscape was not asked for or parameters of a pair are missing.
    """

    mobile_ion: str
    included_sphere_A: float
    free_sphere_A: float
    included_along_free_A: float
    percolation_radius_A: tuple[float, float, float]
    percolation_axes: tuple[bool, bool, bool]
    axis_radius_A: tuple[float, float, float]
    gates: tuple[Gate, ...]
    gateless: tuple[GatelessJump, ...]
    bottlenecks: tuple[Bottleneck, ...]
    limiting_gate_A: float | None
    bvse_barriers_eV: tuple[float | None, float | None, float | None] | None
    radii_A: dict[str, float]
    ion_radius_A: float
    framework: Framework
    spheres: Spheres
    gate_set: GateSet
    landscape: Landscape | None = None

    def record(
        self,
        configuration_id: str,
        *,
        outcome: Outcome = Outcome.COMPLETED,
        reason: str = "",
        flags: tuple[Flag, ...] = (),
        settings: dict[str, Any] | None = None,
    ) -> StaticDescriptors:
        """Return the record of the sieve stage."""
        return StaticDescriptors(
            configuration_id=configuration_id,
            mobile_ion=self.mobile_ion,
            included_sphere_A=self.included_sphere_A,
            free_sphere_A=self.free_sphere_A,
            included_along_free_A=self.included_along_free_A,
            percolation_radius_A=self.percolation_radius_A,
            percolation_axes=self.percolation_axes,
            gates=self.gates,
            gateless=self.gateless,
            limiting_gate_A=limit if (limit := self.limiting_gate_A) is not None and np.isfinite(limit) else None,
            sites_percolate=limit is not None,
            bottlenecks=self.bottlenecks,
            bvse_barriers_eV=self.bvse_barriers_eV,
            radii_A=self.radii_A,
            ion_radius_A=self.ion_radius_A,
            outcome=outcome,
            reason=reason,
            flags=flags,
            settings=settings or {},
        )


def describe(
    structure: Structure | Atoms | CrystalStructure,
    mobile: str,
    *,
    settings: ChannelSettings | None = None,
    **reading: Unpack[Reading],
) -> Channels:
    """Measure the channels of one structure.

    Parameters
    ----------
    structure, mobile, reading
        As for `read_framework`, which also says what is refused: the crystal, the element that moves, and where they
        are known ``oxidation_states``, ``mobile_sites_A`` and ``mobile_site_labels``.
    """
    settings = settings or ChannelSettings()
    framework = read_framework(structure, mobile, settings=settings, **reading)
    found = spheres(framework.positions, framework.cell, framework.radii)
    gates = find_gates(framework, settings)
    limit, on_way = percolating_jumps(gates, len(framework.sites))
    field = None
    if settings.bvse or settings.max_bvse_barrier_eV is not None:
        from ionsieve.channels.bvse import landscape, missing_pairs

        if not missing_pairs(framework):
            field = landscape(framework, settings, path=False)
    radius = tuple(max(r, 0.0) if r is not None else 0.0 for r in found.radii)
    axis = tuple(max(r, 0.0) if r is not None else 0.0 for r in found.axis_radii)
    tolerance = 5e-3
    return Channels(
        mobile_ion=mobile,
        included_sphere_A=max(found.included, 0.0),
        free_sphere_A=2.0 * radius[0],
        included_along_free_A=max(found.included_along_free or 0.0, 0.0),
        percolation_radius_A=(radius[0], radius[1], radius[2]),
        percolation_axes=tuple(a > 0 and a >= radius[0] - tolerance for a in axis),  # type: ignore[arg-type]
        axis_radius_A=(axis[0], axis[1], axis[2]),
        gates=static_gates(gates, on_way),
        gateless=gateless_jumps(gates, on_way, min_length_A=settings.min_jump_length_A),
        bottlenecks=find_bottlenecks(framework, found),
        limiting_gate_A=limit,
        bvse_barriers_eV=None if field is None else field.barriers_eV,
        radii_A=framework.radius_table,
        ion_radius_A=framework.ion_radius,
        framework=framework,
        spheres=found,
        gate_set=gates,
        landscape=field,
    )
