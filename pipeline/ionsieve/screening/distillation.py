"""Distil a campaign's teacher runs into a student for one family, examine it, and give it the long runs if it passed.

The teacher's runs are those of the folder; nothing of the folder is changed. All results lie in the folder `out`:
``student.model``, ``verdict.json``, ``runs/`` (the student's examination) and ``long/`` (long runs, measured).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ionsieve.campaign import Campaign
from ionsieve.distill import DistillSettings, StudentVerdict, potential_for
from ionsieve.dynamics.settings import DynamicsSettings
from ionsieve.errors import InputError
from ionsieve.records import (
    Candidate,
    Configuration,
    Estimate,
    GeneratedCandidate,
    PotentialIdentity,
    RelaxedConfiguration,
    RunRecord,
)
from ionsieve.screening.material import campaign_of
from ionsieve.store import Store
from ionsieve.store.folder import disk_errors, write_file
from ionsieve.verdicts import Outcome

if TYPE_CHECKING:
    from ionsieve.distill import Check
    from ionsieve.dynamics import Progress
    from ionsieve.potentials.base import Potential
    from ionsieve.trajectory import Trajectory
    from ionsieve.transport import Transport

__all__ = ["TeacherRun", "distill_family", "teacher_runs"]

Say = Callable[[str], None]


@dataclass(frozen=True)
class TeacherRun:
    """One completed run of the folder with all that is needed to repeat it."""

    record: RunRecord
    candidate: Candidate
    configuration: Configuration
    relaxed: RelaxedConfiguration
    trajectory: Trajectory

    @property
    def name(self) -> str:
        """Readable name."""
        return self.record.run.run_id


def teacher_runs(store: Store, family: str) -> list[TeacherRun]:
    """Return the completed runs of a family, in the order of their names.

    Raises
    ------
    InputError
        When the folder has none; the message names the families that it has.
    """
    from ionsieve.trajectory import h5md

    runs, families = [], set()
    for request, record in store.records("simulate", RunRecord):
        generated = store.need(str(request.inputs["generate"]), GeneratedCandidate)
        families.add(generated.candidate.family)
        good = record.outcome in (Outcome.COMPLETED, Outcome.STOPPED_EARLY)
        if generated.candidate.family != family or not good or record.trajectory is None:
            continue
        runs.append(
            TeacherRun(
                record,
                generated.candidate,
                generated.configurations[request.parameters["index"]],
                store.need(str(request.inputs["relax"]), RelaxedConfiguration),
                h5md.read(store.file(record.trajectory)),
            )
        )
    if not runs:
        raise InputError(
            f"the folder has no completed run of the family {family!r}",
            where=str(store.folder),
            key="--family",
            found=family,
            expected=", ".join(sorted(families)) or "a folder with finished runs",
            remedy="run the campaign first; short runs are enough to learn from",
        )
    return sorted(runs, key=lambda run: run.name)


def distill_family(
    folder: Path,
    family: str,
    out: Path,
    *,
    settings: DistillSettings | None = None,
    examine: int | None = None,
    long_ps: float | None = None,
    say: Say = lambda text: None,
) -> StudentVerdict:
    """Train, examine and, where asked, use a student.

    Parameters
    ----------
    folder
        Results of a campaign with finished runs.
    family
        For example ``antiperovskite``.
    out
        Where the student, its verdict and its runs go.
    examine
        How many of the teacher's runs the student repeats: first those in which the teacher measured a D, hottest
        first; default all.
    long_ps
        Production length of long runs of every run of the family, with the student if it passed, else with the teacher.
    say
        Told what happens, in sentences.
    """
    from ionsieve.distill import check_forces, choose_frames, label, train
    from ionsieve.potentials import load

    settings = settings or DistillSettings()
    store = Store.open(folder)
    campaign = campaign_of(store)
    teacher = load(campaign.potential)
    runs = teacher_runs(store, family)
    measured = {run.name: measure_run(run, run.trajectory, campaign) for run in runs}
    runs = _intact(runs, measured, family, say)
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)  # before any work is done
    trajectories = [run.trajectory for run in runs]
    say(f"{len(runs)} teacher runs of {family}, {sum(map(len, trajectories))} frames")

    chosen, held_out = choose_frames(trajectories, settings)
    start = time.process_time()
    lessons = label(trajectories, chosen, teacher, perturbation_A=settings.perturbation_A, seed=settings.seed)
    exam = label(trajectories, held_out, teacher)
    labelling_s = time.process_time() - start
    say(f"{len(lessons)} frames to learn, {len(exam)} held out ({labelling_s:.0f} CPU s to label)")

    def progress(epoch: int, loss: float) -> None:
        if (epoch + 1) % 10 == 0:
            say(f"epoch {epoch + 1}: loss {loss:.4g}")

    student = train(lessons, settings, report=progress)
    file = out / "student.model"
    sha256 = student.save(file)
    say(f"student of {student.n_parameters} parameters trained in {student.cpu_seconds:.0f} CPU s")

    draft = StudentVerdict(
        family=family,
        teacher=_identity(teacher),
        model_file=file.name,
        model_sha256=sha256,
        weights_sha256=student.weights_sha256,
        n_parameters=student.n_parameters,
        elements=lessons.elements,
        n_train=len(lessons),
        n_test=len(exam),
        training_cpu_seconds=student.cpu_seconds,
        labelling_cpu_seconds=labelling_s,
        settings=settings.model_dump(mode="json"),
    )
    pupil = load(
        campaign.potential.model_copy(
            update={"name": "mace", "path": str(file.resolve()), "sha256": sha256, "dtype": "float32", "head": None}
        )
    )
    checks: list[Check] = [*check_forces(pupil, exam, settings)]
    for check in checks:
        say(check.sentence)
    seconds = (seconds_per_step(teacher, runs), seconds_per_step(pupil, runs))
    say(f"{1e3 * seconds[0]:.1f} CPU ms a step and system with the teacher, {1e3 * seconds[1]:.1f} with the student")

    known = {run.name: measured[run.name].tracer_diffusivity for run in runs}
    examined = sorted(runs, key=lambda run: (not known[run.name].is_value, -run.record.run.temperature_K))
    examined = examined[: examine or len(runs)]
    told, pairs = _examine(examined, known, pupil, campaign, settings, out / "runs" / sha256[:12], say)
    verdict = draft.model_copy(
        update={
            "checks": (*checks, *told),
            "diffusivities": tuple(pairs),
            "teacher_seconds_per_step": seconds[0],
            "student_seconds_per_step": seconds[1],
        }
    )
    write_file(out / "verdict.json", verdict.to_json())
    chosen_potential, sentence = potential_for(verdict, campaign.potential, out)
    say(sentence)
    if long_ps is not None:
        _long_runs(runs, load(chosen_potential), campaign, long_ps, out / "long", say)
    store.close()
    return verdict


def _intact(runs: Sequence[TeacherRun], measured: Mapping[str, Transport], family: str, say: Say) -> list[TeacherRun]:
    """Leave out runs whose crystal measuring found molten or broken: a melt is no lesson about the crystal.

    Raises
    ------
    InputError
        When none is left.
    """
    kept = []
    for run in runs:
        outcome, reason = measured[run.name].outcome, measured[run.name].reason
        if outcome is Outcome.COMPLETED:
            kept.append(run)
        else:
            say(f"{run.name} is left out: {outcome.sentence} {reason}")
    if not kept:
        raise InputError(
            f"every run of the family {family!r} lost its framework",
            key="--family",
            found=family,
            expected="a run in which the crystal stays a crystal",
            remedy="run the campaign at lower temperatures",
        )
    return kept


def _examine(
    runs: Sequence[TeacherRun],
    known: Mapping[str, Estimate],
    pupil: Potential,
    campaign: Campaign,
    settings: DistillSettings,
    out: Path,
    say: Say,
) -> tuple[list[Check], list[tuple[str, Estimate, Estimate]]]:
    """Repeat the teacher's runs with the student, with other random numbers, and compare."""
    from ionsieve.distill import check_diffusivity, check_rdf, check_survival
    from ionsieve.trajectory import h5md

    checks: list[Check] = []
    pairs: list[tuple[str, Estimate, Estimate]] = []
    for run, ended in zip(runs, _simulate(runs, pupil, campaign, out, None), strict=True):
        checks.append(check_survival(run.name, ended.outcome, ended.reason))
        say(checks[-1].sentence)
        if ended.outcome is not Outcome.COMPLETED:
            continue
        trajectory = h5md.read(ended.trajectory)
        checks.append(check_rdf(run.name, run.trajectory, trajectory, settings))
        say(checks[-1].sentence)
        theirs, ours = known[run.name], measure_run(run, trajectory, campaign).tracer_diffusivity
        pairs.append((run.name, theirs, ours))
        if not theirs.is_value:  # nothing to compare with; at least one run must be comparable for the student to pass
            say(f"{run.name}: the teacher's own D is no value ({theirs.kind}): the student's is not examined there")
            continue
        checks.append(check_diffusivity(run.name, theirs, ours, settings))
        say(checks[-1].sentence)
    return checks, pairs


def _long_runs(
    runs: Sequence[TeacherRun], potential: Potential, campaign: Campaign, long_ps: float, out: Path, say: Say
) -> None:
    from ionsieve.trajectory import h5md

    where = out / potential.info.sha256[:12]
    for run, ended in zip(runs, _simulate(runs, potential, campaign, where, long_ps), strict=True):
        if ended.outcome is not Outcome.COMPLETED:
            say(f"{run.name}: {ended.outcome.sentence} {ended.reason}")
            continue
        result = measure_run(run, h5md.read(ended.trajectory), campaign)
        record = result.to_record(
            run_id=f"{run.name}-{long_ps:g}ps",
            configuration_id=run.record.run.configuration_id,
            candidate_id=run.record.run.candidate_id,
        )
        write_file(where / run.name / "measurement.json", record.to_json())
        d = result.tracer_diffusivity
        say(f"{run.name}: {long_ps:g} ps with {potential.info.name}, D {d.kind} {d.value or d.reason}")


def _simulate(
    runs: Sequence[TeacherRun], potential: Potential, campaign: Campaign, out: Path, produce_ps: float | None
) -> list[Progress]:
    """Run the same cells at the same temperatures, as long as the teacher; continue where an earlier call was cut."""
    from ionsieve.dynamics import Job, simulate

    ended: list[Progress] = []
    for run in runs:
        dynamics = DynamicsSettings.model_validate({**run.record.settings, "stop_relative_error": None})
        length_ps = produce_ps
        if length_ps is None and run.record.outcome is Outcome.STOPPED_EARLY and run.record.summary is not None:
            length_ps = run.record.summary.length_ps
        job = Job(
            run_id=run.name,
            atoms=run.relaxed.structure.to_ase(),
            temperature_K=run.record.run.temperature_K,
            seed_names=(campaign.seed, "distill", run.name),
            folder=out / run.name,
            mobile=(run.candidate.mobile_ion,),
            framework=run.candidate.framework,
            polyanions=run.candidate.polyanions,
            produce_ps=length_ps,
        )
        ended += simulate([job], potential, dynamics)
    return ended


def measure_run(run: TeacherRun, trajectory: Trajectory, campaign: Campaign) -> Transport:
    """Measure the transport of one trajectory of a run's cell, as the stage `measure` does."""
    from ionsieve.transport import measure

    return measure(
        trajectory.positions,
        trajectory.cells,
        trajectory.times_ps,
        trajectory.symbols,
        mobile=run.candidate.mobile_ion,
        charge=run.candidate.mobile_charge,
        framework=run.candidate.framework,
        temperature_K=run.record.run.temperature_K,
        polyanions=run.candidate.polyanions,
        settings=campaign.transport,
    )


def seconds_per_step(potential: Potential, runs: Sequence[TeacherRun], *, steps: int = 12) -> float:
    """Return the CPU seconds of one evaluation a system, on frames that follow one another, one run at a time."""
    import torch

    from ionsieve.systems import Batch

    spent, count = 0.0, 0
    for run in runs[:2]:
        t = run.trajectory
        numbers = torch.as_tensor(t.numbers)
        for i in range(min(steps, len(t))):
            batch = Batch(
                torch.as_tensor(t.positions[i]),
                torch.as_tensor(t.cells[i])[None],
                numbers,
                torch.zeros(len(numbers), dtype=torch.int64),
            )
            start = time.process_time()
            potential.evaluate(batch)
            if i >= 2:  # the first builds lists and warms up
                spent, count = spent + time.process_time() - start, count + 1
    return spent / max(count, 1)


def _identity(potential: Potential) -> PotentialIdentity:
    info = potential.info
    return PotentialIdentity(
        name=info.name, sha256=info.sha256, dtype=info.dtype, device=info.device, version=info.version
    )
