"""simulate: a relaxed configuration at one temperature with one seed -> a run with its trajectory."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ionsieve.campaign import Campaign
from ionsieve.dynamics.settings import DynamicsSettings
from ionsieve.records import Candidate, GeneratedCandidate, Record, RelaxedConfiguration, Run, RunRecord
from ionsieve.stages.base import Stage, check_potential, input_key, plain, potential_preimage
from ionsieve.stages.relax import identify, potential_settings
from ionsieve.store import Request, Store
from ionsieve.transport.settings import RUNNING_ERROR, TransportSettings
from ionsieve.verdicts import Flag

if TYPE_CHECKING:
    from ase import Atoms

    from ionsieve.dynamics.online import StopRule
    from ionsieve.potentials.settings import PotentialSettings

__all__ = ["NAME", "PHYSICS", "STAGE", "guarded_framework", "lasting_bonds", "request", "run", "run_id", "run_many"]

#: How work is cut and packed: changes no number, so it is no part of an address; the folder's campaign tells it.
CARRIAGE = frozenset({"slice_steps", "slice_s", "batch_atoms", "batch_atoms_cpu"})
#: Settings that stand in an address only where they can change a number: the stop rule when it is on, a committee's
#: bound when there is one.
EARLY = frozenset({"stop_relative_error", "stop_after_ps"})
COMMITTEE = frozenset({"max_force_disagreement_eV_per_A"})

NAME = "simulate"
PHYSICS = 1


_SHARED: dict[int, tuple[Campaign, Mapping[str, Any] | None, dict[str, Mapping[str, Any]]]] = {}


def _own_settings(campaign: Campaign, family: str, potential: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Settings of a family's runs; one object a family, so that many requests share its text."""
    held = _SHARED.get(id(campaign))
    if held is None or held[0] is not campaign or held[1] is not potential:
        _SHARED.clear()
        held = _SHARED[id(campaign)] = (campaign, potential, {})
    known = held[2]
    if family not in known:
        dynamics = campaign.simulate.dynamics_for(family, campaign.dynamics)
        early = dynamics.stop_relative_error is not None
        asked = dict(plain(dynamics, exclude=CARRIAGE if early else CARRIAGE | EARLY))
        if not campaign.potential.committee:
            asked["guards"] = {k: v for k, v in asked["guards"].items() if k not in COMMITTEE}
        own: dict[str, Any] = {
            "dynamics": asked,
            "potential": potential_preimage(campaign.potential) if potential is None else potential,
        }
        if dynamics.npt_ps:  # the mean cell is summed step by step since; runs at a fixed cell keep their address
            own["mean_cell"] = "by step"
        if early:  # when a run ends is then a matter of how its diffusivity is measured
            own["transport"] = plain(campaign.transport, include=RUNNING_ERROR)
        known[family] = own
    return known[family]


def request(
    relax_key: str,
    generate_key: str,
    index: int,
    campaign: Campaign,
    *,
    family: str,
    temperature_K: float,
    replica: int = 0,
    potential: Mapping[str, Any] | None = None,
) -> Request:
    """Ask for one run; `potential` as in `relax.request`."""
    return Request(
        NAME,
        PHYSICS,
        inputs={"relax": relax_key, "generate": generate_key},
        parameters={"index": index, "temperature_K": temperature_K, "seed": campaign.seed, "replica": replica},
        settings=_own_settings(campaign, family, potential),
    )


def run_id(configuration_id: str, temperature_K: float, replica: int) -> str:
    """Readable and unique in a campaign: ``Na3OCl--c0--1200K-r0``."""
    return f"{configuration_id}--{temperature_K:g}K-r{replica}"


def stop_rule(settings: TransportSettings) -> StopRule:
    """Return what tells the engine how well a diffusivity is known: the estimator that will measure it."""
    from ionsieve.transport import relative_error

    return lambda running: relative_error(running, running.interval_ps, settings=settings)


_HALIDES = ("F", "Cl", "Br", "I")


def lasting_bonds(candidate: Candidate) -> tuple[tuple[str, str, float], ...]:
    """Return the polyanion bonds whose breaking is decomposition.

    A halide dopant on a chalcogenide site is bound once and may leave as an anion (Cl from PS3Cl) without the framework
    decomposing: that is a flag of the measurement, not the end of the run.
    """
    before = {element for change in candidate.changes for element in change.before}
    dopants = {element for change in candidate.changes for element in change.after} - before
    return tuple(bond for bond in candidate.polyanions if not (bond[1] in dopants and bond[1] in _HALIDES))


def guarded_framework(candidate: Candidate) -> tuple[str, ...]:
    """Return the elements whose displacement tells melting: the framework without the ligands of its polyanions.

    A rotating PS4 moves its sulfur by up to two bond lengths while the crystal is whole; its phosphorus stays.
    """
    ligands = {ligand for _, ligand, _ in candidate.polyanions}
    core = tuple(element for element in candidate.framework if element not in ligands)
    return core or candidate.framework


_AGREES: dict[tuple[str, str], bool] = {}


def fast_path_agrees(asked: PotentialSettings, atoms: Atoms) -> bool:
    """Whether the fast path equals the plain one on a first frame: looked at once a process, potential and composition.

    The relaxation's gate saw the unrelaxed cell, and maybe another device. A frame that cannot be evaluated says
    nothing of the path: the run itself tells how it ends.
    """
    from ionsieve.errors import GeometryError
    from ionsieve.potentials import check_parity, load
    from ionsieve.potentials.memory import is_out_of_memory

    potential = load(asked)
    key = (f"{asked.model_dump_json()} {potential.info.device}", atoms.get_chemical_formula())
    if not asked.fast or not set(atoms.numbers.tolist()) <= potential.info.elements:
        return True
    if key not in _AGREES:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module="chgnet")  # of tensors made from tensors, in its own path
                _AGREES[key] = check_parity(potential, atoms, seed=0, copies=0).passed
        except GeometryError:
            return True
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return True
    return _AGREES[key]


def run(request: Request, store: Store, deadline_s: float | None = None) -> Record | None:
    """Run one system alone."""
    return run_many([request], store, deadline_s)[0]


def run_many(requests: Sequence[Request], store: Store, deadline_s: float | None = None) -> list[Record | None]:
    """Run several systems in one batch; other settings, and the fallback path, get batches of their own."""
    from ionsieve.dynamics import Job, simulate
    from ionsieve.dynamics.stopping import asked as stop
    from ionsieve.potentials import load

    all_relaxed = [store.need(input_key(r, "relax"), RelaxedConfiguration) for r in requests]
    asked = potential_settings(store)
    groups: dict[tuple[str, bool], list[int]] = {}
    for i, (r, relaxed) in enumerate(zip(requests, all_relaxed, strict=True)):
        check_potential(asked, r.settings["potential"])
        plain_path = Flag.PARITY_FALLBACK in relaxed.flags or not fast_path_agrees(asked, relaxed.structure.to_ase())
        groups.setdefault((str(r.settings), plain_path), []).append(i)
    if len(groups) > 1:
        share = None if deadline_s is None else deadline_s / len(groups)
        results: list[Record | None] = [None] * len(requests)
        for indices in groups.values():
            for i, record in zip(indices, run_many([requests[i] for i in indices], store, share), strict=True):
                results[i] = record
        return results

    told = store.campaign["dynamics"]
    carriage = {name: told[name] for name in CARRIAGE if name in told}
    settings = DynamicsSettings.model_validate({**requests[0].settings["dynamics"], **carriage})
    ((_, fallback),) = groups
    gate = (Flag.PARITY_FALLBACK,) if fallback else ()
    potential = load(asked.model_copy(update={"fast": False}) if fallback else asked)
    runs, jobs = [], []
    for request, relaxed in zip(requests, all_relaxed, strict=True):
        parameters = request.parameters
        candidate = store.need(input_key(request, "generate"), GeneratedCandidate).candidate
        this = Run(
            run_id=run_id(relaxed.configuration_id, parameters["temperature_K"], parameters["replica"]),
            configuration_id=relaxed.configuration_id,
            candidate_id=relaxed.candidate_id,
            temperature_K=parameters["temperature_K"],
            seed=parameters["seed"],
            replica=parameters["replica"],
        )
        runs.append(this)
        jobs.append(
            Job(
                run_id=this.run_id,
                atoms=relaxed.structure.to_ase(),
                temperature_K=this.temperature_K,
                # named by the question, not by the campaign's labels: the same request draws the same numbers anywhere
                seed_names=(this.seed, request.key),
                folder=store.workdir(request.key),
                mobile=(candidate.mobile_ion,),
                framework=guarded_framework(candidate),
                polyanions=lasting_bonds(candidate),
            )
        )
    measured = requests[0].settings.get("transport")
    rule = None if measured is None else stop_rule(TransportSettings.model_validate(measured))
    identity = identify(potential)
    records: list[Record | None] = []
    ended = simulate(jobs, potential, settings, deadline_s=deadline_s, stop=stop, rule=rule)
    for request, this, relaxed, progress in zip(requests, runs, all_relaxed, ended, strict=True):
        if progress.state == "unfinished":
            records.append(None)
            continue
        trajectory = progress.trajectory
        records.append(
            RunRecord(
                run=this,
                potential=identity,
                engine=settings.engine,
                integrator=settings.integrator,
                trajectory=store.reference(trajectory) if trajectory is not None and trajectory.exists() else None,
                summary=progress.summary,
                outcome=progress.outcome,
                reason=progress.reason,
                flags=(*(f for f in gate if f not in relaxed.flags), *progress.flags),
                settings=dict(request.settings["dynamics"]),
            )
        )
    return records


LIBRARIES = ("torch", "ionsieve.dynamics.simulation")


def share_done(request: Request, scratch: Path) -> float:
    """Return what share of a run's frames its journal holds."""
    from ionsieve.trajectory.journal import count_frames

    told = request.settings["dynamics"]
    frames = float(told["produce_ps"]) * 1000.0 / float(told["frame_interval_fs"])
    return min(1.0, count_frames(scratch / "trajectory.frames") / frames)


STAGE = Stage(
    NAME,
    PHYSICS,
    RunRecord,
    run,
    uses_device=True,
    run_many=run_many,
    libraries=LIBRARIES,
    share_done=share_done,
)
