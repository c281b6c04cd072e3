"""StaticDescriptors: the geometry of the channels before any MD."""

from __future__ import annotations

from typing import Any, ClassVar

from ionsieve.records.base import Frozen, Record
from ionsieve.verdicts import Flag, Outcome

__all__ = ["Bottleneck", "Gate", "GatelessJump", "StaticDescriptors"]


class Gate(Frozen):
    """One bottleneck between two mobile sites (a symmetry-distinct jump).

    `area_A2` is the polygon of anion centres, `circumradius_A` the distance of its centre to them, `free_radius_A` that
    distance less the anion's radius. `percolating` says whether the jump belongs to the widest set of jumps that
    carries the
    ion through the crystal: the narrowest of these limits.
    """

    jump: str
    anions: tuple[str, ...]
    area_A2: float
    circumradius_A: float
    free_radius_A: float
    position_A: tuple[float, float, float]
    path_fraction: float
    jump_length_A: float
    multiplicity: int = 1
    percolating: bool = False


class GatelessJump(Frozen):
    """A kind of jump that meets no gate, for the stated reason.

    Other fields as in `Gate`.
    """

    jump: str
    jump_length_A: float
    reason: str
    multiplicity: int = 1
    percolating: bool = False


class Bottleneck(Frozen):
    """One window of the free space on the percolating paths, whatever sites lie beside it.

    `atoms` names the framework atoms that the widest passing sphere touches, `area_A2` is the polygon of their centres,
    `multiplicity` how many symmetry copies the cell holds.
    """

    radius_A: float
    position_A: tuple[float, float, float]
    atoms: tuple[str, ...]
    area_A2: float
    multiplicity: int = 1


class StaticDescriptors(Record):
    """Spheres, percolation and bottlenecks of one structure.

    Diameters in Å. `percolation_radius_A` are the radii at which the free space first percolates in 1, 2 and 3
    dimensions (0 when it never does). `limiting_gate_A` is the free radius of the narrowest gate on the widest way over
    the mobile sites; None when there is no such way, or when it meets no gate: `sites_percolate` says whether jumps
    over the mobile sites lead through the crystal.
    """

    SCHEMA: ClassVar[int] = 1

    configuration_id: str
    mobile_ion: str
    included_sphere_A: float | None = None
    free_sphere_A: float | None = None
    included_along_free_A: float | None = None
    percolation_radius_A: tuple[float, float, float] | None = None
    percolation_axes: tuple[bool, bool, bool] = (False, False, False)
    gates: tuple[Gate, ...] = ()
    gateless: tuple[GatelessJump, ...] = ()
    limiting_gate_A: float | None = None
    sites_percolate: bool | None = None
    bottlenecks: tuple[Bottleneck, ...] = ()
    bvse_barriers_eV: tuple[float | None, float | None, float | None] | None = None
    radii_A: dict[str, float] = {}
    ion_radius_A: float | None = None
    outcome: Outcome = Outcome.COMPLETED
    reason: str = ""
    flags: tuple[Flag, ...] = ()
    settings: dict[str, Any] = {}
