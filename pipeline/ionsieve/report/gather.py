"""From a results folder to `CampaignResults`: which records belong together, what it cost, what happened."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from ionsieve import __version__
from ionsieve.campaign import Campaign
from ionsieve.records import (
    CandidateEstimate,
    GeneratedCandidate,
    Measurement,
    PotentialIdentity,
    Ranking,
    Record,
    RelaxedConfiguration,
    RunRecord,
    StaticDescriptors,
)
from ionsieve.report import stability
from ionsieve.report.density import best_run, from_trajectory
from ionsieve.report.source import CampaignResults, Density, Event
from ionsieve.screening.material import campaign_of
from ionsieve.stages import rank
from ionsieve.store import Request, Store
from ionsieve.verdicts import Outcome

__all__ = ["gather"]

R = TypeVar("R", bound=Record)

_STAGES = ("generate", "sieve", "relax", "simulate", "measure", "fit")
_PACKAGES = ("torch", "numpy", "scipy", "ase", "pymatgen", "chgnet", "mace-torch")
_TOLD = ("campaign", "n", "t", "kind", "key", "worker", "scheduler", "dashboard", "device")


def gather(folder: Path) -> CampaignResults:
    """Read and verify the records of a campaign's folder; a running one is ranked as far as it is known.

    Raises
    ------
    InputError
        When there is no campaign in the folder.
    DataError
        When another version froze its campaign.
    """
    store = Store.open(folder)
    campaign = campaign_of(store)
    request, complete, note = _question(store, campaign)
    keys = {name: tuple(value) for name, value in request.inputs.items() if not isinstance(value, str)}
    generated = _read(store, keys, "generate", GeneratedCandidate)
    runs = _read(store, keys, "simulate", RunRecord)
    measurements = _read(store, keys, "measure", Measurement)
    relaxed = _read(store, keys, "relax", RelaxedConfiguration)
    added = stability.read(folder / stability.FILE)
    ranking = (None if added else store.get(request.key, Ranking)) or rank.run(request, store, stability=added)
    potential = next(iter([*(r.potential for r in runs), *(r.potential for r in relaxed)]), None)
    if added:
        told = stability.sources(added, potential.name if potential else "")
        ranking = ranking.model_copy(update={"column_sources": {**ranking.column_sources, **told}})
    return CampaignResults(
        name=campaign.name,
        ranking=ranking,
        folder=str(folder),
        campaign=store.campaign,
        candidates=tuple(sorted((g.candidate for g in generated), key=lambda c: c.candidate_id)),
        configurations=tuple(
            sorted((c for g in generated for c in g.configurations), key=lambda c: c.configuration_id)
        ),
        descriptors=tuple(sorted(_read(store, keys, "sieve", StaticDescriptors), key=lambda d: d.configuration_id)),
        relaxed=tuple(sorted(relaxed, key=lambda r: r.configuration_id)),
        runs=tuple(sorted(runs, key=lambda r: r.run.run_id)),
        measurements=tuple(sorted(measurements, key=lambda m: m.run_id)),
        estimates=tuple(sorted(_read(store, keys, "fit", CandidateEstimate), key=lambda e: e.candidate_id)),
        densities=_densities(store, ranking, _whole(runs, measurements), relaxed),
        potential=potential,
        versions=_versions(generated, potential),
        report_versions=_installed(),
        cost=_cost(runs, relaxed),
        progress={name: len(keys.get(name, ())) for name in _STAGES},
        events=_events(store),
        complete=complete,
        note=note,
    )


def _read(store: Store, keys: Mapping[str, tuple[str, ...]], stage: str, kind: type[R]) -> list[R]:
    return [record for key in keys.get(stage, ()) if (record := store.get(key, kind)) is not None]


_EARLIER = (
    "These results were made by an earlier version of the program, whose numbers differ in some stage. They are shown"
    " as they were made; running the campaign again computes what has changed."
)


def _question(store: Store, campaign: Campaign) -> tuple[Request, bool, str]:
    """Return the request of the ranking of all that this campaign knows, whether it is finished, and a note.

    Where this version knows less of the campaign than a ranking that was stored, that ranking's own question is taken.
    """
    from ionsieve.screening.maintenance import known_plan

    plan, questions = known_plan(store, campaign)
    request = questions.rank(plan.known_keys(), plan.set_aside())
    if store.has(request.key, stage=rank.NAME):
        return request, True, ""
    stored = sorted(
        store.keys(rank.NAME), key=lambda key: (store.record_path(rank.NAME, key).stat().st_mtime_ns, key), reverse=True
    )
    others = _of_other_campaigns(store)
    for key in [key for key in stored if key not in others][:1]:
        earlier = store.request(key)
        if earlier is not None and len(earlier.inputs.get("fit", ())) > len(request.inputs.get("fit", ())):
            return earlier, True, _EARLIER
    return request, False, ""


def _of_other_campaigns(store: Store) -> set[str]:
    """Return the rankings that were made of a campaign that stood in this folder before it was amended.

    A run says in its first event of which campaign it is. Runs that do not say it are older: in a folder that was
    amended nobody knows whose they are.
    """
    amended = (store.folder / "campaigns").is_dir()
    mine: dict[str, bool] = dict.fromkeys(store.keys(rank.NAME), not amended)
    now = not amended
    for event in store.events.read():
        if event.get("kind") == "started":
            now = event["campaign"] == store.campaign_id if "campaign" in event else not amended
        elif event.get("kind") == "finished" and event.get("stage") == rank.NAME:
            mine[str(event.get("key"))] = now
    return {key for key, own in mine.items() if not own}


#: Candidates whose ion density is drawn: the first of the ranking, so that a page of hundreds stays small and quick.
_DRAWN = 25


def _densities(
    store: Store, ranking: Ranking, runs: list[RunRecord], relaxed: list[RelaxedConfiguration]
) -> dict[str, Density]:
    cells = {r.configuration_id: r for r in relaxed}
    found: dict[str, Density] = {}
    for row in [r for r in ranking.rows if r.section in ("ranked", "bounded")][:_DRAWN]:
        drawn = min((c for c in cells.values() if c.candidate_id == row.candidate_id), default=None, key=_name)
        if drawn is None:
            continue
        run = best_run([r for r in runs if r.run.configuration_id == drawn.configuration_id])
        if run is None or run.trajectory is None or not (path := store.folder / run.trajectory.path).exists():
            continue
        density = from_trajectory(path, drawn.structure, mobile=row.mobile_ion, temperature_K=run.run.temperature_K)
        if density is not None:
            found[row.candidate_id] = density
    return found


def _whole(runs: list[RunRecord], measurements: list[Measurement]) -> list[RunRecord]:
    """Return the runs in which nothing melted or broke, by their measurement."""
    broken = {m.run_id for m in measurements if m.outcome not in (Outcome.COMPLETED, Outcome.STOPPED_EARLY)}
    return [run for run in runs if run.run.run_id not in broken]


def _name(record: RelaxedConfiguration) -> str:
    return record.configuration_id


def _versions(generated: Sequence[GeneratedCandidate], potential: PotentialIdentity | None) -> dict[str, str]:
    """Return the software that made the records, as they say it; several versions where they differ."""
    found: dict[str, set[str]] = {}
    origins = [o for g in generated for o in (g.candidate.provenance, *(c.provenance for c in g.configurations))]
    for origin in origins:
        software = origin.get("software")
        for name, version in software.items() if isinstance(software, Mapping) else ():
            if version:
                found.setdefault(str(name), set()).add(str(version))
    if potential is not None and potential.version:
        found[f"potential {potential.name}"] = {potential.version}
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}


def _installed() -> dict[str, str]:
    found = {"ionsieve": __version__}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cost(runs: list[RunRecord], relaxed: list[RelaxedConfiguration]) -> dict[str, float]:
    summaries = [run.summary for run in runs if run.summary is not None]
    seconds = sum(s.cpu_seconds or 0.0 for s in summaries) + sum(r.seconds for r in relaxed)
    return {
        "runs": float(len(runs)),
        "simulated_ps": sum(s.length_ps for s in summaries),
        "device_hours": seconds / 3600.0,
    }


def _events(store: Store) -> tuple[Event, ...]:
    return tuple(_event(event) for event in store.events.read())


def _event(event: Mapping[str, Any]) -> Event:
    moment = event.get("t")
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment)) + " UTC" if isinstance(moment, (int, float)) else ""
    subject = str(event.get("candidate") or event.get("run") or event.get("subject") or event.get("label") or "")
    rest = "; ".join(
        f"{key} {value}"
        for key, value in event.items()
        if key not in _TOLD and str(value) != subject and isinstance(value, (str, int, float, bool))
    )
    return Event(when, str(event.get("kind", "")), subject, rest)
