"""The book of one run: where it stands, its frames, its checkpoint, its guards' memory. Both engines keep it;
neither owns a format.

Order on disk, so that a kill at any moment costs at most the slice under way: frames into the journal, fsync; then
the checkpoint, temporary file, fsync, rename. On restart the journal is cut at the step of the checkpoint. At the
end: last checkpoint (finished), then the trajectory is published and the journal dropped; asking again after a kill
between the two publishes again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ionsieve.dynamics import checkpoint as checkpoints
from ionsieve.dynamics.guards import (
    Reading,
    Trip,
    closest_approach_A,
    find_bonds,
    framework_mask,
    framework_rms_A,
    worst,
)
from ionsieve.dynamics.integrators import method
from ionsieve.dynamics.jobs import Job, Progress, Segment, identity, plan, time_step_fs
from ionsieve.dynamics.noise import Stream
from ionsieve.dynamics.online import OnlineMSD, StopRule
from ionsieve.dynamics.settings import DynamicsSettings
from ionsieve.dynamics.start import for_method, initial_state, target
from ionsieve.dynamics.state import MDState, Target
from ionsieve.dynamics.summary import summarise
from ionsieve.errors import BugError, DataError
from ionsieve.potentials.base import PotentialInfo
from ionsieve.records.simulation import RunSummary
from ionsieve.trajectory.h5md import Writer
from ionsieve.verdicts import Flag, Outcome

__all__ = ["Book"]

#: distances above this are not looked for; the shortest bonds of all electrolytes are below
CLOSE_A = 2.5
#: times that a run is asked at most whether its diffusivity is known well enough
LOOKS = 50
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}


class Book:
    """One run under way.

    Parameters
    ----------
    job, settings, info
        What is run, how, and with which potential.
    scalars
        Names of the numbers stored with each frame.
    rule
        Tells how well the diffusivity is known, for `settings.stop_relative_error`.
    """

    def __init__(
        self,
        job: Job,
        settings: DynamicsSettings,
        info: PotentialInfo,
        scalars: tuple[str, ...],
        rule: StopRule | None = None,
    ) -> None:
        self.job, self.settings, self.scalars, self.rule = job, settings, scalars, rule
        self.segments: tuple[Segment, ...] = plan(job, settings)
        self.dt_fs = time_step_fs(job, settings)
        self.stride = round(settings.frame_interval_fs / self.dt_fs)
        self.starts = [0, *np.cumsum([s.steps for s in self.segments]).tolist()]
        self.total = int(self.starts[-1])
        self.produce_start = int(self.starts[-2])
        self.n_atoms = len(job.atoms)
        self.step = 0
        self.segment_index = 0
        self.identity = identity(job, settings, info, self.segments)
        self.potential_name = info.name
        self.state: MDState | None = None
        self.finished = False
        self.trip: Trip | None = None
        self.seconds = 0.0
        self.max_force = 0.0
        self.min_distance = float("inf")
        self.disagreement: tuple[float, float] | None = None  # of a committee now: rms over atoms, largest; eV/Å
        self.max_disagreement: float | None = None
        self.relative_error: float | None = None
        self.stopped = False
        self.broken_checks = 0
        self.restarts = 0
        self.cell_sum = np.zeros((3, 3))
        self.cell_count = 0
        self.reference = np.asarray(job.atoms.positions, dtype=np.float64)
        self.volume_start = float(job.atoms.cell.volume)
        self.last_good = 0
        self.mobile_mask = np.isin(np.array(job.atoms.get_chemical_symbols()), list(job.mobile))
        samples_fs = settings.sample_interval_fs
        if samples_fs is None and settings.stop_relative_error is not None:
            samples_fs = settings.frame_interval_fs
        self.sample_stride = round(samples_fs / self.dt_fs) if samples_fs and self.mobile_mask.any() else 0
        self.online: OnlineMSD | None = OnlineMSD(int(self.mobile_mask.sum())) if self.sample_stride else None
        self._pending: list[tuple[NDArray[Any], ...]] = []
        self._writer: Writer | None = None
        self._opened = False

    # ---------------------------------------------------------------- opening

    def look_ahead(self) -> None:
        """Learn where the run stands before it is opened: who enters first depends on it."""
        if not self._opened and self.job.checkpoint_path.exists():
            head = checkpoints.read_head(self.job.checkpoint_path)
            self.step, self.segment_index, self.finished = head["step"], head["segment"], head["finished"]

    def open(self) -> None:
        """Continue from the checkpoint, or begin."""
        if self._opened:
            return
        job = self.job
        job.folder.mkdir(parents=True, exist_ok=True)
        symbols = job.atoms.get_chemical_symbols()
        self.mask = framework_mask(symbols, job.mobile, job.framework)
        self.bonds = find_bonds(job.atoms, job.polyanions)
        begun = job.checkpoint_path.exists()
        if begun:
            saved = checkpoints.load(job.checkpoint_path, self.identity)
            self.state, self.step, self.segment_index = saved.state, saved.step, saved.segment
            self.finished = saved.finished
            memory = saved.memory
            self.seconds, self.max_force = memory["seconds"], memory["max_force"]
            self.min_distance = memory["min_distance"] if memory["min_distance"] is not None else float("inf")
            self.broken_checks, self.cell_count = memory["broken_checks"], memory["cell_count"]
            self.max_disagreement = memory.get("max_disagreement")
            self.relative_error, self.stopped = memory.get("relative_error"), memory.get("stopped", False)
            self.restarts = memory["restarts"] + (not self.finished)
            if memory["trip"]:
                self.trip = Trip(_OUTCOMES[memory["trip"][0]], memory["trip"][1])
            self.reference, self.cell_sum = saved.arrays["reference"], saved.arrays["cell_sum"]
            if self.online is not None:
                self.online = OnlineMSD(int(self.mobile_mask.sum()), saved.arrays)
            self.last_good = memory.get("last_good", self.step)  # a run may be saved between guard points
        else:
            self.state = initial_state(
                job, keeps_momentum=method(self.segment.integrator).keeps_momentum, settings=self.settings
            )
        self._opened = True
        self._new_stream()
        if not self.finished:  # frames that no checkpoint knows are made anew, the first included
            self._cut_frames(self.step - self.produce_start if begun else -1)

    def _new_stream(self) -> None:
        assert self.state is not None
        self.stream = Stream(self.job.seed_names, self.n_atoms, round(float(self.state.dof[0])))

    def _open_writer(self) -> Writer:
        if self._writer is None:
            s = self.settings
            self._writer = Writer(
                self.job.trajectory_path,
                self.job.atoms.numbers,
                scalars=self.scalars,
                attrs={
                    "run_id": self.job.run_id,
                    "temperature_K": self.job.temperature_K,
                    "dt_fs": self.dt_fs,
                    "frame_interval_fs": s.frame_interval_fs,
                    "integrator": self.segments[-1].integrator,
                    "engine": s.engine,
                    "tau_fs": s.tau_fs,
                    "friction_per_ps": s.friction_per_ps,
                    "equilibration": [[g.kind, g.integrator, g.steps] for g in self.segments[:-1]],
                    "potential": {"name": self.potential_name, "sha256": self.identity["potential"]},
                },
                compression=None if s.compression == "none" else s.compression,
            )
        return self._writer

    def _cut_frames(self, last: int) -> None:
        """Drop the frames beyond a step of production, and see that none is missing up to there."""
        writer = self._open_writer()
        writer.truncate_to_step(last)
        if last > 0 and len(writer) != last // self.stride + 1:
            raise DataError(
                "frames that the checkpoint counts on are lost or damaged",
                where=str(writer.journal.path),
                found=f"{len(writer)} whole frames",
                expected=str(last // self.stride + 1),
                remedy="delete the run's folder to begin it anew",
            )

    # ---------------------------------------------------------------- where it stands

    @property
    def segment(self) -> Segment:
        """The segment under way."""
        return self.segments[min(self.segment_index, len(self.segments) - 1)]

    @property
    def in_segment(self) -> int:
        """Steps done in the segment under way."""
        return self.step - int(self.starts[self.segment_index])

    @property
    def own_state(self) -> MDState:
        """The state, while the book holds it."""
        if self.state is None:
            raise BugError("the state of this run is with the fleet, or not made yet", key=self.job.run_id)
        return self.state

    @property
    def producing(self) -> bool:
        """Whether the segment under way is production."""
        return self.segment.kind == "produce"

    @property
    def remaining(self) -> int:
        """Steps to the end of the run, at most."""
        return 0 if self.finished else self.total - self.step

    @property
    def lacks_first_frame(self) -> bool:
        """Whether production begins here and its frame 0 is neither kept nor on disk."""
        empty = self._writer is None or self._writer.last_step is None
        return self.producing and self.in_segment == 0 and not self._pending and empty

    def until_guard(self) -> int:
        """Steps to the next guard point or the end of the segment."""
        guard = self.settings.guard_steps
        return min(guard - self.in_segment % guard, self.segment.steps - self.in_segment)

    @property
    def at_guard(self) -> bool:
        """Whether this step is a guard point or the end of a segment."""
        return self.in_segment % self.settings.guard_steps == 0 or self.in_segment == self.segment.steps

    def target(self) -> Target:
        """What the present segment steers to."""
        return target(self.job, self.settings)

    def due(self, first: int, count: int) -> NDArray[np.bool_]:
        """(count,) which of the steps ``first + 1 ... first + count`` give a frame."""
        steps = np.arange(first + 1, first + count + 1) - self.produce_start
        return np.asarray((steps % self.stride == 0) & self.producing)

    def samples_due(self, first: int, count: int) -> NDArray[np.bool_]:
        """(count,) which of the steps ``first + 1 ... first + count`` give a sample of the running MSD."""
        steps = np.arange(first + 1, first + count + 1) - self.produce_start
        if not self.sample_stride:
            return np.zeros(count, bool)
        return np.asarray((steps % self.sample_stride == 0) & self.producing)

    def cells_due(self, first: int, count: int) -> NDArray[np.bool_]:
        """(count,) which of the steps ``first + 1 ... first + count`` enter the mean cell: the second half of NPT."""
        steps = np.arange(first, first + count) - int(self.starts[self.segment_index])
        return np.asarray((steps >= self.segment.steps // 2) & (self.segment.kind == "npt"))

    # ---------------------------------------------------------------- what happens

    def sample(self, positions: NDArray[np.floating[Any]]) -> None:
        """Give the running MSD its samples, (F, N, 3), Å."""
        assert self.online is not None
        for x in positions:
            frame = x[self.mask].mean(axis=0, dtype=np.float64) if self.mask.any() else 0.0
            self.online.add(x[self.mobile_mask].astype(np.float64) - frame)

    def record(
        self,
        steps: NDArray[np.int64],
        positions: NDArray[np.float32],
        cells: NDArray[np.float64],
        scalars: dict[str, NDArray[np.float64]],
    ) -> None:
        """Keep frames for the next save; `steps` count over all segments."""
        relative = steps - self.produce_start
        self._pending.append((relative, positions, cells, *(scalars[name] for name in self.scalars)))

    def begin_production(self, scalars: dict[str, float]) -> None:
        """Record the frame at step 0 of production and take it as the framework's reference."""
        assert self.state is not None
        positions = self.state.positions.cpu().numpy()
        self.reference = positions.copy()
        if self.online is not None:
            self.sample(positions[None])
        self.record(
            np.array([self.step]),
            positions[None].astype(np.float32),
            self.state.cells.cpu().numpy(),
            {k: np.array([v]) for k, v in scalars.items()},
        )

    def guard(self, reading: Reading, positions: NDArray[np.float64], cell: NDArray[np.float64]) -> Trip | None:
        """Check the bounds at a guard point and remember it as good, or return how the run ends."""
        guards = self.settings.guards
        finite = bool(np.isfinite(positions).all())
        distance = float("inf")
        if finite and guards.min_distance_A > 0:
            distance = closest_approach_A(positions, cell, max(CLOSE_A, guards.min_distance_A))
        volume = abs(float(np.linalg.det(cell)))
        trip = worst(
            guards,
            reading if finite else replace(reading, energy_eV=float("nan")),
            target_K=self.job.temperature_K,
            dof=self.stream.dof,
            distance_A=distance,
            volume_change_percent=100 * (volume / self.volume_start - 1),
            framework_A=framework_rms_A(positions, self.reference, self.mask) if finite and self.producing else 0.0,
        )
        if trip is None and len(self.bonds.i):
            stretch = self.bonds.lengths_A(positions, cell) / self.bonds.length_A
            broken = int((stretch > guards.max_bond_stretch).sum())
            self.broken_checks = self.broken_checks + 1 if broken else 0
            if self.broken_checks >= guards.broken_bond_checks:
                i = int(np.argmax(stretch))
                symbols = self.job.atoms.get_chemical_symbols()
                trip = Trip(
                    Outcome.POLYANION_BROKEN,
                    f"{broken} of {len(stretch)} polyanion bonds are broken; {symbols[self.bonds.i[i]]}-"
                    f"{symbols[self.bonds.j[i]]} is {stretch[i]:.1f} times its starting length",
                )
        if trip is None:
            self.last_good = self.step
            self.max_force = max(self.max_force, reading.force_eV_per_A)
            self.min_distance = min(self.min_distance, distance)
            if reading.disagreement_eV_per_A is not None:
                self.max_disagreement = max(self.max_disagreement or 0.0, reading.disagreement_eV_per_A)
        return trip

    def known_well_enough(self) -> bool:
        """Whether production may end at this guard point because the diffusivity is known to `stop_relative_error`.

        The answer depends on the step and the samples alone: it is the same in any batch and after any restart.
        """
        wanted, done = self.settings.stop_relative_error, self.in_segment
        if wanted is None or self.rule is None or self.online is None or not self.producing:
            return False
        every = max(self.segment.steps // LOOKS, 1)
        early = done * self.dt_fs < 1000.0 * self.settings.stop_after_ps
        if early or done // every == (done - self.settings.guard_steps) // every:
            return False
        error = self.rule(self.online.running(self.sample_stride * self.dt_fs * 1e-3))
        self.relative_error = float(error) if error is not None and np.isfinite(error) else None
        self.stopped = self.relative_error is not None and self.relative_error <= wanted
        return self.stopped

    def next_segment(self) -> None:
        """Step into the next segment; after NPT the cell becomes its average."""
        assert self.state is not None
        if self.segment.kind == "npt":
            if not self.cell_count:
                raise BugError("NPT ended without a sampled cell", key=self.job.run_id)
            cell = self.state.cells[0].cpu().numpy()
            mean = self.cell_sum / self.cell_count
            map_ = torch.from_numpy(np.linalg.solve(cell, mean)).to(self.state.positions)
            self.state = replace(
                self.state,
                positions=self.state.positions @ map_,
                cells=torch.from_numpy(mean)[None].to(self.state.cells),
            )
        self.segment_index += 1
        if self.segment_index == len(self.segments):
            self.finished, self.segment_index = True, self.segment_index - 1
            return
        self.state = for_method(self.state, keeps_momentum=method(self.segment.integrator).keeps_momentum)
        self._new_stream()

    # ---------------------------------------------------------------- disk

    def saver(self, state: MDState) -> Callable[[], None]:
        """Return the work that makes everything up to now durable; may run in another thread.

        `state` must be this run's own copy at the present step.
        """
        pending, self._pending = self._pending, []
        saved = checkpoints.Checkpoint(
            identity=self.identity,
            state=state,
            step=self.step,
            segment=self.segment_index,
            finished=self.finished,
            memory={
                "seconds": self.seconds,
                "max_force": self.max_force,
                "min_distance": self.min_distance if np.isfinite(self.min_distance) else None,
                "broken_checks": self.broken_checks,
                "last_good": self.last_good,
                "cell_count": self.cell_count,
                "restarts": self.restarts,
                "max_disagreement": self.max_disagreement,
                "relative_error": self.relative_error,
                "stopped": self.stopped,
                "trip": [self.trip.outcome.value, self.trip.reason] if self.trip else None,
            },
            arrays={
                "reference": self.reference,
                "cell_sum": self.cell_sum.copy(),
                **(self.online.arrays() if self.online is not None else {}),
            },
        )
        writer = self._open_writer() if pending or self._writer else None

        def work() -> None:
            if writer is not None and pending:
                self._append(writer, pending)
                writer.flush()
            checkpoints.save(self.job.checkpoint_path, saved)

        return work

    def _append(self, writer: Writer, pending: list[tuple[NDArray[Any], ...]]) -> None:
        for relative, positions, cells, *columns in pending:
            scalars = dict(zip(self.scalars, columns, strict=True))
            writer.append(relative, relative * self.dt_fs * 1e-3, positions, cells, scalars)

    def drop_frames_after_last_good(self) -> None:
        """Forget frames beyond the last good guard point."""
        last = self.last_good - self.produce_start
        kept = [(relative <= last, (relative, *columns)) for relative, *columns in self._pending]
        self._pending = [tuple(c[good] for c in columns) for good, columns in kept if good.any()]

    def end(self, trip: Trip | None, state: MDState) -> Callable[[], None]:
        """Return the work that ends the run, well or by a guard: save, publish the trajectory."""
        self.finished, self.trip = True, trip
        if trip is not None:
            self.drop_frames_after_last_good()
        save = self.saver(state)

        def work() -> None:
            save()
            if trip is not None and self._writer is not None:
                self._cut_frames(self.last_good - self.produce_start)
            self._publish()

        return work

    def _publish(self) -> None:
        if self._writer is None:
            return
        if len(self._writer):
            extra = {}
            if self.online is not None and self.trip is None:  # its last samples would be of a broken crystal
                extra["online_msd"] = self.online.result(self.sample_stride * self.dt_fs * 1e-3)
            self._writer.publish(extra=extra)
        else:
            self._writer.close()
            self._writer.journal.path.unlink()
        self._writer = None

    def close(self) -> None:
        """Close files of an unfinished run."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    # ---------------------------------------------------------------- answer

    def progress(self) -> Progress:
        """Return where the run stands; a finished one is completed on disk first."""
        job = self.job
        if self.finished and not self._opened and self.trip is None:
            self.open()  # a look ahead saw that it has ended; how stands in its checkpoint
        elif not self._opened and job.checkpoint_path.exists():
            self.step = checkpoints.load(job.checkpoint_path, self.identity).step
        if self.finished and not job.trajectory_path.exists() and job.trajectory_path.with_suffix(".frames").exists():
            self._cut_frames((self.last_good if self.trip else self.step) - self.produce_start)
            self._publish()
        state: Literal["done", "unfinished", "failed"] = "unfinished"
        if self.finished:
            state = "failed" if self.trip else "done"
        summary: RunSummary | None = None
        flags: tuple[Flag, ...] = ()
        if self.finished and job.trajectory_path.exists():
            summary, flags = summarise(self)
        outcome, reason = Outcome.COMPLETED, ""
        if self.trip is not None:
            outcome, reason = self.trip.outcome, self.trip.reason
        elif self.stopped and self.relative_error is not None:
            outcome = Outcome.STOPPED_EARLY
            reason = (
                f"the diffusivity is known to {100 * self.relative_error:.0f} % after "
                f"{self.in_segment * self.dt_fs * 1e-3:g} of {self.segment.steps * self.dt_fs * 1e-3:g} ps "
                f"(asked for: {100 * (self.settings.stop_relative_error or 0.0):g} %)"
            )
        return Progress(
            run_id=job.run_id,
            state=state,
            steps_done=self.step,
            steps_total=self.total,
            outcome=outcome,
            reason=reason,
            summary=summary,
            flags=flags,
            trajectory=job.trajectory_path,
            diagnostics={"restarts": self.restarts, "seconds": self.seconds, "segment": self.segment.kind},
        )
