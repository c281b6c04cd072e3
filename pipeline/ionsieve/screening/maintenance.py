"""Care of a folder between runs: release set-aside work, end a run, drop what nobody needs, check digests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ionsieve.screening import release
from ionsieve.screening.facts import facts
from ionsieve.screening.plan import Plan
from ionsieve.screening.queues import cancel_driver
from ionsieve.screening.status import read_status
from ionsieve.store import DamagedError, Row, State, Store
from ionsieve.store.address import is_key
from ionsieve.store.envelope import references
from ionsieve.store.folder import is_temporary, write_file
from ionsieve.store.lock import CANCEL

if TYPE_CHECKING:
    from ionsieve.campaign import Campaign
    from ionsieve.screening.wording import CampaignBuilders

__all__ = ["Cleaned", "Retried", "cancel", "clean", "rebuild", "retry", "verify"]


@dataclass(frozen=True)
class Retried:
    """What was released; `noted`: a run works on the folder, and will release it when it has nothing else to do."""

    rows: tuple[Row, ...] = ()
    noted: bool = False


def retry(folder: str | Path, *, chemistry: bool = False) -> Retried:
    """Let set-aside work be tried again: at the next resume, or at the end of the run that is on.

    Parameters
    ----------
    folder
        The campaign's folder.
    chemistry
        Also forget runs that ended as chemistry (melted, exploded): they come out the same unless the program changed.
    """
    store = Store.open(folder)
    if read_status(folder).active is not None:
        release.ask(store.folder, chemistry=chemistry)
        return Retried(noted=True)
    with store.lock:
        try:
            store.events.open()
            return Retried(tuple(release.release(store, chemistry=chemistry)))
        finally:
            store.close()


def cancel(folder: str | Path, *, wait_s: float = 60.0) -> str:
    """Ask the run that works on the folder to end; return what became of it.

    The run ends at its next look (about a second); work under way stops at its last checkpoint. A run on another host
    finds the request when it looks into the folder; a submitted job that waits is taken out of the queue.
    """
    store = Store.open(folder)
    status = read_status(folder)
    if status.active is None:
        return cancel_driver(store.folder) or "nothing runs here"
    write_file(store.folder / CANCEL, "cancel\n", sync=False)
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        if read_status(folder).active is None:
            return "cancelled"
        time.sleep(0.2)
    who = status.active
    if who["host"] == socket.gethostname():
        os.kill(int(who["pid"]), signal.SIGTERM)
        return f"asked process {who['pid']} to end (SIGTERM)"
    return f"asked; process {who['pid']} on {who['host']} has not answered yet"


@dataclass(frozen=True)
class Cleaned:
    """What was dropped."""

    scratch: int = 0
    temporary: int = 0
    damaged: int = 0
    outdated: int = 0
    bytes_freed: int = 0


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def clean(folder: str | Path, *, checkpoints: bool = False, outdated: bool = False) -> Cleaned:
    """Drop what nobody needs: leftovers of interrupted writes, set-aside damaged files, scratch of finished work.

    While a run is on, what it may be writing stays: only scratch of finished work and damaged files are dropped.

    Parameters
    ----------
    folder
        The campaign's folder.
    checkpoints
        Also drop the checkpoints of unfinished work: it then starts from its beginning.
    outdated
        Also drop records that this version cannot read, so that they are computed again.

    Raises
    ------
    InputError
        When a run works on the folder and checkpoints or records are to be dropped.
    """
    store = Store.open(folder)
    if read_status(folder).active is not None and not checkpoints and not outdated:
        (scratch, freed), (damaged, more) = _drop_scratch(store, finished_only=True), _drop_damaged(store)
        return Cleaned(scratch, damaged=damaged, bytes_freed=freed + more)
    with store.lock:
        try:
            scratch, freed = _drop_scratch(store, finished_only=not checkpoints)
            temporary, more = _drop_temporary(store)
            damaged, still_more = _drop_damaged(store)
            freed += more + still_more
            if (store.folder / "workers").is_dir():
                shutil.rmtree(store.folder / "workers")
            doomed = _outdated(store) if outdated else []
            old = len(release.drop_with_dependents(store, doomed)) if doomed else 0
            return Cleaned(scratch, temporary, damaged, old, freed)
        finally:
            store.close()


def _drop_scratch(store: Store, *, finished_only: bool) -> tuple[int, int]:
    """Drop scratch folders; return how many, and the bytes. Others than those of requests (Dask's) go with the last."""
    root, count, freed = store.folder / "scratch", 0, 0
    running = store.lock.held is False
    for path in list(root.iterdir()) if root.is_dir() else ():
        request = is_key(path.name)
        if (request and store.has(path.name)) or (not running and (not request or not finished_only)):
            freed += _size(path)
            shutil.rmtree(path, ignore_errors=True)
            count += 1
    return count, freed


def _drop_temporary(store: Store) -> tuple[int, int]:
    count, freed = 0, 0
    for name in ("records", "files"):
        top = store.folder / name
        for path in [p for p in top.rglob("*") if is_temporary(p)] if top.is_dir() else ():
            freed += _size(path)
            path.unlink(missing_ok=True)
            count += 1
    return count, freed


def _drop_damaged(store: Store) -> tuple[int, int]:
    top = store.folder / "damaged"
    if not top.is_dir():
        return 0, 0
    count, freed = sum(1 for p in top.rglob("*") if p.is_file()), _size(top)
    shutil.rmtree(top, ignore_errors=True)
    return count, freed


def _outdated(store: Store) -> list[tuple[str, str]]:
    from ionsieve.errors import DataError
    from ionsieve.stages import STAGES

    doomed = []
    for name, stage in STAGES.items():
        for key in store.keys(name):
            try:
                store.get(key, stage.record)
            except DataError:
                doomed.append((name, key))
    return doomed


def verify(folder: str | Path, *, mend: bool = False) -> list[tuple[str, str]]:
    """Check every digest of a folder; return what failed: (stage/key, what).

    Parameters
    ----------
    folder
        The campaign's folder.
    mend
        Set damaged results aside, so that the next resume computes them again.
    """
    store = Store.open(folder)
    bad: list[tuple[str, str]] = []
    for stage in store.stages():
        for key in list(store.keys(stage)):
            try:
                stored = store.stored(key, hint=stage)
                for reference in references(stored.data) if stored else ():
                    store.file(reference)
            except DamagedError as error:
                bad.append((f"{stage}/{key}", error.problem.message))
    if mend and bad:
        with store.lock:
            try:
                for name, _ in bad:
                    stage, key = name.split("/")
                    store.discard(stage, key, damaged=True)
                    store.ledger.remove([key])
            finally:
                store.close()
    return bad


def rebuild(folder: str | Path) -> int:
    """Make the ledger anew from the files; return its number of rows."""
    store = Store.open(folder)
    with store.lock:
        try:
            return store.rebuild(facts)
        finally:
            store.close()


def known_plan(store: Store, campaign: Campaign) -> tuple[Plan, CampaignBuilders]:
    """Return the campaign's plan after learning everything that is stored or set aside, and its questions.

    Only the folder is read: no model file, no prototype library (see `material`).
    """
    from ionsieve.screening.material import kept
    from ionsieve.screening.wording import CampaignBuilders, funnel_settings, subjects

    builders = CampaignBuilders(campaign, kept(store, campaign))
    plan = Plan(subjects(campaign, builders.material.candidates), builders, funnel=funnel_settings(campaign))
    aside = {}
    if (store.folder / "ledger.sqlite").exists():
        aside = {row.key: row.reason for row in store.ledger.trouble([State.QUARANTINED], limit=10**9)}
        store.close_ledger()
    pending = plan.start()
    while pending:
        task = pending.pop()
        stored = store.stored(task.key, hint=task.stage) if store.has(task.key, stage=task.stage) else None
        if stored is not None:
            pending += plan.learn(task, facts(stored.data))
        elif task.key in aside:
            pending += plan.abandon(task, aside[task.key])
    return plan, builders
