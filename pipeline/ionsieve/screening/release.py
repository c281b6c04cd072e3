"""Work that was set aside is given another chance: now, or by the run that is on, when it has nothing else to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from ionsieve.screening.plan import ORDER
from ionsieve.store import DamagedError, Row, State, Store
from ionsieve.store.folder import write_file

__all__ = ["ask", "drop_with_dependents", "release", "release_if_asked"]

RETRY = "retry"
"""Name of the file in the folder that asks the run that is on to release set-aside work."""


def ask(folder: Path, *, chemistry: bool) -> None:
    """Leave the wish for the run that works on the folder."""
    write_file(folder / RETRY, json.dumps({"chemistry": chemistry}), sync=False)


def release_if_asked(store: Store) -> list[Row]:
    """Release what was asked for while the run was on; the caller holds the lock."""
    path = store.folder / RETRY
    try:
        wish = json.loads(path.read_text())
    except FileNotFoundError:
        return []
    except json.JSONDecodeError:
        wish = {}
    path.unlink(missing_ok=True)
    store.events.open()
    return release(store, chemistry=bool(wish.get("chemistry")))


def release(store: Store, *, chemistry: bool) -> list[Row]:
    """Forget that work was set aside, and with `chemistry` also runs that melted or exploded; return the rows."""
    released = store.ledger.trouble([State.QUARANTINED], limit=10**9)
    events = [("released", {"key": r.key, "stage": r.stage, "candidate": r.candidate}) for r in released]
    store.events.extend(list(events))
    for row in released:
        shutil.rmtree(store.folder / "scratch" / row.key, ignore_errors=True)
    store.ledger.write([Row(key=r.key, stage=r.stage, candidate=r.candidate, label=r.label) for r in released])
    if chemistry:
        failed = [r for r in store.ledger.trouble([State.FAILED], limit=10**9) if r.stage in ("relax", "simulate")]
        dropped = drop_with_dependents(store, [(r.stage, r.key) for r in failed])
        store.events.extend([("released", {"key": k, "stage": s}) for s, k in dropped])
        released += failed
    return released


def drop_with_dependents(store: Store, doomed: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
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
