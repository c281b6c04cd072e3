"""The door: run a campaign in a folder, from nothing or from where it stopped."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ionsieve.errors import DataError, TransientError
from ionsieve.screening.book import Book
from ionsieve.screening.driver import Driver, RunReport
from ionsieve.screening.facts import facts
from ionsieve.screening.funnel import FunnelSettings
from ionsieve.screening.material import Material, campaign_of, freeze, live, unchanged
from ionsieve.screening.places import check_place, in_this_process
from ionsieve.screening.plan import Builders, Plan, Subject, Task
from ionsieve.screening.pool import Pool, SerialPool
from ionsieve.screening.progress import Progress, make_progress
from ionsieve.screening.release import release_if_asked
from ionsieve.screening.retries import RunRules
from ionsieve.screening.stops import Stop, heeding
from ionsieve.store import Store

if TYPE_CHECKING:
    from ionsieve.campaign import Campaign
    from ionsieve.records import Candidate
    from ionsieve.screening.profiles import Profile

__all__ = ["resume_campaign", "run_campaign", "run_plan"]

STAGES = "ionsieve.stages:STAGES"
CHECKED_BYTES = 500_000_000
"""A ledger up to so large is looked through at a start (about a second)."""
CLUSTERS_LOST = 5
"""How often a dead scheduler is replaced by a new one before giving up."""


def run_campaign(
    campaign: Campaign,
    folder: str | Path,
    *,
    cluster: str | Path | None = None,
    scheduler: str | None = None,
    n_workers: int | None = None,
    progress: str | Progress = "auto",
    source: str = "",
    amend: bool = False,
    dashboard: str | None = None,
) -> RunReport:
    """Run (or continue) a campaign in `folder` until its ranking is there.

    Parameters
    ----------
    campaign
        What is asked.
    folder
        Where everything goes; the same command continues an interrupted run.
    cluster
        Name or file of a cluster profile (`workflows/clusters/`); local processes by default.
    scheduler
        Address of a running Dask scheduler instead.
    n_workers
        Number of workers; 0 works in this process, without Dask.
    progress
        ``auto``, ``live``, ``plain``, ``json`` or ``quiet``, or an object of your own.
    source
        The campaign's YAML text, kept in the folder.
    amend
        Put a changed campaign into the folder of the old one.
    dashboard
        Where Dask's dashboard listens, for example ``0.0.0.0:8787``; by default on the loopback address only.

    Returns
    -------
    RunReport
        How it ended, with the exit code.

    Raises
    ------
    InputError
        When the folder belongs to another campaign or is being worked on.
    SetupError
        When the machine cannot: disk, cluster, workers.
    """
    profile = check_place(folder, cluster=cluster, scheduler=scheduler, n_workers=n_workers, dashboard=dashboard)
    with heeding():
        material = live(campaign, check(campaign))
        folder = Path(folder).absolute()  # workers may have another working directory
        store = Store.create(
            folder, campaign.model_dump(mode="json"), source=source, share=campaign.run.share, amend=amend, hold=True
        )
        return _run_stored(
            store,
            campaign,
            material=material,
            profile=profile,
            n_workers=n_workers,
            progress=progress,
            dashboard=dashboard,
        )


def check(campaign: Campaign, *, here: bool = True) -> list[Candidate]:
    """Refuse what is wrong before anything is written: recipes, families, elements, model file, device, shared folders.

    A recipe that names its composition and cannot be balanced is bad input; the same in a grid is a row of the table.

    Parameters
    ----------
    campaign
        What is asked.
    here
        Whether this machine will run it: its device is checked too.

    Returns
    -------
    list
        The candidates that the campaign's recipes ask for.

    Raises
    ------
    InputError, SetupError
        With every problem of its kind.
    """
    from ionsieve.errors import Problems, nearest
    from ionsieve.generate import expand_recipes, prototypes
    from ionsieve.ranking import ImportedColumns, check_limits, read_columns
    from ionsieve.stages.base import potential_preimage, unknown_elements
    from ionsieve.verdicts import Outcome

    problems = Problems()
    expansion = expand_recipes(campaign.generate)
    candidates = expansion.candidates
    families = {candidate.family for candidate in candidates}
    if campaign.simulate.families.keys() - families:  # reading the whole library is for this question alone
        families |= {prototypes.load(name).family for name in prototypes.names()}
    for name in campaign.simulate.families:
        if name not in families:
            close = nearest(name, families)
            problems.add(
                "no prototype belongs to this family",
                key=f"simulate.families.{name}",
                expected=f"one of {', '.join(sorted(families))}",
                remedy=f"did you mean {close!r}?" if close else "",
            )
    for number, lender in enumerate(campaign.run.share):
        if not (Path(lender) / "store.json").is_file():
            problems.add(
                "there is no campaign in this folder",
                key=f"run.share[{number}]",
                found=lender,
                remedy="correct the path, or leave the folder out",
            )
    for candidate in (c for c in candidates if c.candidate_id in expansion.named):
        if candidate.outcome is Outcome.NOT_NEUTRAL:
            problems.add(
                candidate.reason,
                key=f"generate.recipes[{expansion.named[candidate.candidate_id]}]",
                found=f"{candidate.target_formula} on {candidate.prototype}",
            )
        elif unknown := unknown_elements(campaign.potential, candidate):
            problems.add(
                f"{campaign.potential.name} was not trained for {', '.join(unknown)}",
                key="potential.name",
                found=candidate.target_formula,
                remedy="name another potential (`ionsieve models --elements`), or leave the recipe out",
            )
    potential_preimage(campaign.potential)
    if here and campaign.potential.device not in ("auto", "cpu"):  # these two are always there: no torch for them
        from ionsieve.potentials.checks import choose_device

        choose_device(campaign.potential.device)
    columns = campaign.ranking.columns_csv
    check_limits(campaign.ranking.hard_limits, read_columns(columns) if columns else ImportedColumns())
    problems.throw()
    return candidates


def resume_campaign(
    folder: str | Path,
    *,
    cluster: str | Path | None = None,
    scheduler: str | None = None,
    n_workers: int | None = None,
    progress: str | Progress = "auto",
    dashboard: str | None = None,
) -> RunReport:
    """Continue the campaign of a folder, with the model and the prototypes that it was begun with.

    Parameters as in `run_campaign`.
    """
    profile = check_place(folder, cluster=cluster, scheduler=scheduler, n_workers=n_workers, dashboard=dashboard)
    with heeding():
        store = Store.open(folder)
        campaign = campaign_of(store)
        return _run_stored(
            store,
            campaign,
            material=unchanged(store, campaign),
            profile=profile,
            n_workers=n_workers,
            progress=progress,
            dashboard=dashboard,
        )


def _run_stored(
    store: Store,
    campaign: Campaign,
    *,
    material: Material,
    profile: Profile,
    n_workers: int | None,
    progress: str | Progress,
    dashboard: str | None,
) -> RunReport:
    from ionsieve.screening.clusters import open_pool
    from ionsieve.screening.wording import CampaignBuilders, funnel_settings, subjects

    def pool() -> Pool:
        if in_this_process(profile, n_workers):
            return SerialPool(store.folder, STAGES)
        return open_pool(store.folder, STAGES, profile=profile, n_workers=n_workers, dashboard=dashboard)

    told = campaign.run
    return run_plan(
        store,
        subjects(campaign, material.candidates),
        CampaignBuilders(campaign, material),
        pool=pool,
        stages=STAGES,
        funnel=funnel_settings(campaign),
        rules=RunRules(slice_s=told.slice_seconds, deaths=told.deaths_before_quarantine),
        progress=progress,
        prepare=lambda: freeze(store, campaign, material),
        starts_soon=profile.kind in ("local", "local-gpu"),
    )


def run_plan(
    store: Store,
    subjects: Sequence[Subject],
    builders: Builders,
    *,
    pool: Callable[[], Pool],
    stages: str,
    funnel: FunnelSettings | None = None,
    rules: RunRules | None = None,
    progress: str | Progress = "quiet",
    prepare: Callable[[], None] = lambda: None,
    starts_soon: bool = False,
) -> RunReport:
    """Run any plan over a store: the campaign's, or a test's.

    A scheduler that dies is replaced (`pool` is called again) and planning starts anew from what is on disk.
    `prepare` is called once, as soon as the folder's lock is held. Signals and `ionsieve cancel` are heeded all the
    way, also while a cluster starts: `starts_soon` lets it start first (a few seconds), because Dask does not take down
    half a local cluster without a traceback.
    """
    begin = time.monotonic()
    module, name = stages.split(":")
    table: Mapping[str, Any] = getattr(importlib.import_module(module), name)
    told = make_progress(progress) if isinstance(progress, str) else progress
    opened = False
    with heeding() as stop, store.lock:

        def drive(place: Pool) -> RunReport:
            while True:
                driver = Driver(
                    store,
                    Plan(subjects, builders, funnel=funnel),
                    place,
                    rules=rules or RunRules(),
                    progress=told,
                    on_device=lambda stage: bool(table[stage].uses_device),
                    many=lambda stage: getattr(table[stage], "run_many", None) is not None,
                    share_done=lambda task: _share_done(table, store.folder, task),
                    stop=stop,
                )
                report = driver.run()
                released = release_if_asked(store) if report.status == "finished" else []
                if not released:
                    return report
                told.note(f"{len(released)} released by `ionsieve retry`: trying again")

        try:
            prepare()
            _open_ledger(store)
            opened = True
            release_if_asked(store)
            for attempt in range(CLUSTERS_LOST + 1):
                stop.look(store.folder)
                if stop.why:
                    break
                place: Pool | None = None
                try:
                    stop.saves = starts_soon
                    place = pool()
                    stop.saves = True
                    return drive(place)
                except TransientError as error:
                    if attempt == CLUSTERS_LOST:
                        raise
                    told.note(f"{error.problem.message}; starting again from what is on disk")
                finally:
                    if place is not None:
                        place.close()
            return _stopped(store, stop, begin, opened=opened)
        except KeyboardInterrupt:
            stop.why = stop.why or "SIGINT"
            return _stopped(store, stop, begin, opened=opened)
        finally:
            store.close()


def _stopped(store: Store, stop: Stop, begin: float, *, opened: bool) -> RunReport:
    """Note the end of a run that was stopped while no driver worked; nothing, when not even its ledger was open."""
    if opened:
        store.events.open()
        Book(store).close("", stop.status, stop.why)
    return RunReport(stop.status, store.folder, time.monotonic() - begin, signal=stop.why)


def _share_done(table: Mapping[str, Any], folder: Path, task: Task) -> float:
    look = getattr(table[task.stage], "share_done", None)
    return 0.0 if look is None else float(look(task.request, folder / "scratch" / task.key))


def _open_ledger(store: Store) -> None:
    """Open the ledger; make it anew when it is missing or broken."""
    fresh = not (store.folder / "ledger.sqlite").exists()
    try:
        ledger = store.ledger
        if not fresh and (store.folder / "ledger.sqlite").stat().st_size < CHECKED_BYTES:
            ledger.check()
    except DataError:
        fresh = True
    if fresh and store.stages():
        store.rebuild(facts)
