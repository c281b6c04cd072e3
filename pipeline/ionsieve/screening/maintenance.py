"""Care of a folder between runs: release set-aside work, end a run, drop what nobody needs, check digests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ionsieve.screening.driver import CANCEL
from ionsieve.screening.facts import facts
from ionsieve.screening.plan import ORDER, Plan
from ionsieve.screening.status import read_status
from ionsieve.store import DamagedError, Row, State, Store
from ionsieve.store.envelope import references
from ionsieve.store.folder import is_temporary, write_file

if TYPE_CHECKING:
    pass

__all__ = ["Cleaned", "cancel", "clean", "rebuild", "retry", "verify"]


def retry(folder: str | Path, *, chemistry: bool = False) -> list[Row]:
    """Let set-aside work be tried again at the next resume; return what was released.

    Parameters
    ----------
    folder
        The campaign's folder.
    chemistry
        Also forget runs that ended as chemistry (melted, exploded): they come out the same unless the program changed.

    Raises
    ------
    InputError
        When a run works on the folder.
    """
    store = Store.open(folder)
    with store.lock:
        try:
            store.events.open()
            released = store.ledger.trouble([State.QUARANTINED], limit=10**9)
            store.events.extend(
                [("released", {"key": r.key, "stage": r.stage, "candidate": r.candidate}) for r in released]
            )
            for row in released:
                shutil.rmtree(store.folder / "scratch" / row.key, ignore_errors=True)
            store.ledger.write([Row(key=r.key, stage=r.stage, candidate=r.candidate, label=r.label) for r in released])
            if chemistry:
                failed = [
                    r for r in store.ledger.trouble([State.FAILED], limit=10**9) if r.stage in ("relax", "simulate")
                ]
                dropped = _drop_with_dependents(store, [(r.stage, r.key) for r in failed])
                store.events.extend([("released", {"key": k, "stage": s}) for s, k in dropped])
                released += failed
            return released
        finally:
            store.close()


def _drop_with_dependents(store: Store, doomed: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Discard records and everything that was computed from them; return what was dropped."""
    dropped = list(doomed)
    keys = {k for _, k in dropped}
    for stage in ORDER:
        for key in list(store.keys(stage)) if keys else ():
            if key in keys:
                continue
            try:
                request = store.request(key)
            except DamagedError:
                continue
            if request is not None and keys.intersection(request.input_keys):
                keys.add(key)
                dropped.append((stage, key))
    for stage, key in dropped:
        store.discard(stage, key)
    store.ledger.remove(keys)
    return dropped


def cancel(folder: str | Path, *, wait_s: float = 60.0) -> str:
    """Ask the run that works on the folder to end; return what became of it.

    The run ends at its next look (about a second); work under way stops at its last checkpoint. A run on another host,
    or a job that has not begun, finds the request when it looks into the folder.
    """
    store = Store.open(folder)
    status = read_status(folder)
    if status.active is None:
        return "nothing runs here"
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
        When a run works on the folder.
    """
    store = Store.open(folder)
    with store.lock:
        try:
            freed = scratch = temporary = damaged = old = 0
            root = store.folder / "scratch"
            for path in list(root.iterdir()) if root.is_dir() else ():
                finished = len(path.name) != 64 or store.has(path.name)
                if finished or checkpoints:
                    freed += _size(path)
                    shutil.rmtree(path, ignore_errors=True)
                    scratch += 1
            for name in ("records", "files"):
                top = store.folder / name
                for path in [p for p in top.rglob("*") if is_temporary(p)] if top.is_dir() else ():
                    freed += _size(path)
                    path.unlink(missing_ok=True)
                    temporary += 1
            for name in ("damaged", "workers"):
                if (store.folder / name).is_dir():
                    damaged += (
                        sum(1 for p in (store.folder / name).rglob("*") if p.is_file()) if name == "damaged" else 0
                    )
                    freed += _size(store.folder / name)
                    shutil.rmtree(store.folder / name)
            if outdated:
                doomed = _outdated(store)
                old = len(_drop_with_dependents(store, doomed)) if doomed else 0
            return Cleaned(scratch, temporary, damaged, old, freed)
        finally:
            store.close()


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


def known_plan(store: Store, campaign: Any) -> Plan:
    """Return the campaign's plan after learning everything that is stored or set aside."""
    from ionsieve.generate import expand
    from ionsieve.screening.wording import CampaignBuilders, funnel_settings, subjects

    plan = Plan(
        subjects(campaign, expand(campaign.generate)), CampaignBuilders(campaign), funnel=funnel_settings(campaign)
    )
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
    return plan
