"""What `simulate` is asked for and what it answers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ionsieve.dynamics.settings import DynamicsSettings
from ionsieve.errors import InputError
from ionsieve.records.simulation import RunSummary
from ionsieve.verdicts import Flag, Outcome

if TYPE_CHECKING:
    from ase import Atoms

    from ionsieve.potentials.base import PotentialInfo

__all__ = ["Job", "Progress", "Segment", "identity", "plan", "structure_sha256"]


@dataclass(frozen=True)
class Job:
    """One run: one cell at one temperature with one seed.

    Attributes
    ----------
    run_id
        Readable and unique; names the run in messages.
    atoms
        The cell; periodic in all directions. Its velocities are ignored.
    temperature_K
        Target.
    seed_names
        Key of the run's random streams, for example ``(campaign_seed, run_id)``. Equal names, equal trajectory.
    folder
        Where trajectory and checkpoint are written; made when absent. One folder a run.
    mobile
        Symbols of the mobile ions: excluded from the framework.
    framework
        Symbols whose displacement tells melting; empty: everything that is not mobile.
    polyanions
        (centre, ligand, largest bond length in Å): bonds found in the starting cell must stay.
    equilibrate_ps, produce_ps, npt_ps
        Override the settings.
    """

    run_id: str
    atoms: Atoms
    temperature_K: float
    seed_names: tuple[str | int, ...]
    folder: Path
    mobile: tuple[str, ...] = ()
    framework: tuple[str, ...] = ()
    polyanions: tuple[tuple[str, str, float], ...] = ()
    equilibrate_ps: float | None = None
    produce_ps: float | None = None
    npt_ps: float | None = None

    @property
    def trajectory_path(self) -> Path:
        """The H5MD file of production."""
        return Path(self.folder) / "trajectory.h5"

    @property
    def checkpoint_path(self) -> Path:
        """The state from which the run continues."""
        return Path(self.folder) / "checkpoint.npz"


@dataclass(frozen=True)
class Progress:
    """Where a run stands after a call of `simulate`.

    Attributes
    ----------
    state
        ``done``: ran to its end, or was known well enough before (`outcome` says which). ``unfinished``: checkpoint
        saved, ask again. ``failed``: a guard ended it; `outcome` and `reason` say why and the trajectory holds the
        frames up to the last good guard point.
    steps_done, steps_total
        Over all segments.
    trajectory
        The H5MD file; exists when done or failed in production.
    diagnostics
        Numbers for people: checkpoint repeats, evaluations, seconds.
    """

    run_id: str
    state: Literal["done", "unfinished", "failed"]
    steps_done: int
    steps_total: int
    outcome: Outcome
    reason: str
    summary: RunSummary | None
    flags: tuple[Flag, ...]
    trajectory: Path
    diagnostics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Segment:
    """A stretch of steps of one kind."""

    kind: Literal["npt", "equilibrate", "produce"]
    integrator: str
    steps: int


def time_step_fs(job: Job, settings: DynamicsSettings) -> float:
    """Return the time step: shorter where hydrogen is present, fs."""
    return settings.dt_hydrogen_fs if 1 in job.atoms.numbers else settings.dt_fs


def plan(job: Job, settings: DynamicsSettings) -> tuple[Segment, ...]:
    """Return the segments of a run: NPT (optional), equilibration, production.

    Raises
    ------
    InputError
        When the cell is not periodic, the temperature is not positive, or production is shorter than a frame.
    """
    if not all(job.atoms.pbc) or abs(job.atoms.cell.volume) < 1e-6:
        raise InputError("the cell must be periodic in all directions", key=job.run_id, found=str(job.atoms.pbc))
    if not job.temperature_K > 0:
        raise InputError("the temperature must be above 0 K", key=job.run_id, found=str(job.temperature_K))
    dt = time_step_fs(job, settings)
    stride = round(settings.frame_interval_fs / dt)

    def steps(override: float | None, default: float) -> int:
        return round((default if override is None else override) * 1000.0 / dt)

    def guarded(count: int) -> int:
        """Round up to a whole number of guard intervals: all systems of a batch meet at guard points."""
        return -(-count // settings.guard_steps) * settings.guard_steps

    produce = steps(job.produce_ps, settings.produce_ps) // stride * stride
    if produce < stride:
        raise InputError(
            "production is shorter than one frame interval",
            key=f"{job.run_id}.produce_ps",
            found=str(job.produce_ps or settings.produce_ps),
            expected=f"at least {settings.frame_interval_fs / 1000} ps",
        )
    segments = (
        Segment("npt", settings.barostat, guarded(steps(job.npt_ps, settings.npt_ps))),
        Segment("equilibrate", settings.integrator, guarded(steps(job.equilibrate_ps, settings.equilibrate_ps))),
        Segment("produce", settings.integrator, produce),
    )
    return tuple(s for s in segments if s.steps)


def structure_sha256(atoms: Atoms) -> str:
    """Return the digest of elements, positions and cell."""
    parts = (atoms.numbers.astype("<i8"), atoms.positions.astype("<f8"), atoms.cell.array.astype("<f8"))
    return hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in parts)).hexdigest()


def identity(job: Job, settings: DynamicsSettings, info: PotentialInfo, segments: Sequence[Segment]) -> dict[str, Any]:
    """Return what a run is, in plain JSON: a checkpoint of another identity is refused."""
    known = {
        "run_id": job.run_id,
        "seed_names": list(job.seed_names),
        "temperature_K": job.temperature_K,
        "segments": [[s.kind, s.integrator, s.steps] for s in segments],
        "potential": info.sha256,
        "dtype": info.dtype,
        "engine": settings.engine,
        "dt_fs": time_step_fs(job, settings),
        "frame_interval_fs": settings.frame_interval_fs,
        "sample_interval_fs": settings.sample_interval_fs,
        "tau_fs": settings.tau_fs,
        "friction_per_ps": settings.friction_per_ps,
        "chain_length": settings.chain_length,
        "barostat": [settings.pressure_GPa, settings.barostat_tau_fs, settings.compressibility_per_GPa],
        "structure_sha256": structure_sha256(job.atoms),
    }
    if settings.stop_relative_error is not None:
        known["stop"] = [settings.stop_relative_error, settings.stop_after_ps]
    return known
