"""RelaxedConfiguration, Run and RunRecord: what `dynamics` makes."""

from __future__ import annotations

from typing import Any, ClassVar

from ionsieve.records.base import Frozen, Record
from ionsieve.records.files import FileReference
from ionsieve.records.structure import CrystalStructure
from ionsieve.verdicts import Flag, Outcome

__all__ = ["PotentialIdentity", "RelaxedConfiguration", "Run", "RunRecord", "RunSummary"]


class PotentialIdentity(Frozen):
    """Which potential made the numbers."""

    name: str
    sha256: str
    dtype: str = "float32"
    device: str = "cpu"
    version: str = ""


class RelaxedConfiguration(Record):
    """A configuration at the minimum of the potential (cell and positions as the settings say)."""

    SCHEMA: ClassVar[int] = 1

    configuration_id: str
    candidate_id: str
    structure: CrystalStructure
    potential: PotentialIdentity
    cell_policy: str
    energy_eV: float | None = None
    energy_start_eV: float | None = None
    max_force_eV_per_A: float | None = None
    volume_change_percent: float | None = None
    steps: int = 0
    outcome: Outcome = Outcome.COMPLETED
    reason: str = ""
    flags: tuple[Flag, ...] = ()
    seconds: float = 0.0
    settings: dict[str, Any] = {}


class Run(Record):
    """One configuration at one temperature with one seed: what `simulate` is asked for."""

    SCHEMA: ClassVar[int] = 1

    run_id: str
    configuration_id: str
    candidate_id: str
    temperature_K: float
    seed: int
    replica: int = 0


class RunSummary(Frozen):
    """Numbers of one production segment, for tables and guards.

    Of a committee: `force_disagreement_eV_per_A` is the mean over frames of the root mean square over atoms of the
    standard deviation of its members' forces, the other one the largest seen on an atom at a guard point.
    `relative_error_D` is the relative standard error of the tracer diffusivity at the last look of the stop rule.
    """

    n_atoms: int
    steps: int
    dt_fs: float
    length_ps: float
    frame_interval_fs: float
    mean_temperature_K: float | None = None
    std_temperature_K: float | None = None
    mean_energy_eV_per_atom: float | None = None
    energy_drift_eV_per_atom_per_ps: float | None = None
    mean_pressure_GPa: float | None = None
    volume_A3: float | None = None
    max_force_eV_per_A: float | None = None
    min_distance_A: float | None = None
    force_disagreement_eV_per_A: float | None = None
    max_force_disagreement_eV_per_A: float | None = None
    relative_error_D: float | None = None
    cpu_seconds: float | None = None
    seconds_per_step: float | None = None


class RunRecord(Record):
    """One run as it ended: trajectory with digest, summary, outcome."""

    SCHEMA: ClassVar[int] = 1

    run: Run
    potential: PotentialIdentity
    engine: str
    integrator: str
    trajectory: FileReference | None = None
    summary: RunSummary | None = None
    outcome: Outcome = Outcome.COMPLETED
    reason: str = ""
    flags: tuple[Flag, ...] = ()
    settings: dict[str, Any] = {}
