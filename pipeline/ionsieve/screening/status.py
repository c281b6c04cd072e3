"""What the folder alone tells: where a campaign stands, and what happened to one candidate. No Dask, no lock."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from ionsieve.errors import InputError, nearest
from ionsieve.screening.funnel import story
from ionsieve.store import Row, State, Store
from ionsieve.store.lock import holder

__all__ = ["CandidateStatus", "Status", "candidate_status", "read_status"]

ORDER = ("generate", "sieve", "relax", "simulate", "measure", "fit", "rank")
COLUMNS = ("waiting", "running", "done", "failed", "sieved", "stopped", "quarantined")


@dataclass(frozen=True)
class Status:
    """A campaign at a moment.

    Attributes
    ----------
    name, folder
        Which.
    active
        Who works on it now: host, process, since; None when nobody does.
    run
        What the driver wrote last: since, workers, dashboard, or ended and status.
    stages
        By stage: count of each state.
    seconds, ps, steps
        Worker-seconds by stage, simulated time and MD steps in all.
    progress
        The driver's last summary (elapsed and left seconds among it).
    trouble
        Failed and quarantined work with its reason (the first hundred).
    """

    name: str
    folder: Path
    active: Mapping[str, Any] | None
    run: Mapping[str, Any]
    stages: Mapping[str, Mapping[str, int]]
    seconds: Mapping[str, float]
    ps: float
    steps: int
    progress: Mapping[str, Any] = field(default_factory=dict)
    trouble: tuple[Row, ...] = ()

    @property
    def state(self) -> str:
        """``running``, ``finished``, ``cancelled``, ``interrupted`` or ``waiting`` (there is work that nobody does)."""
        if self.active is not None:
            return "running"
        rank = self.stages.get("rank", {})
        open_work = sum(c.get("waiting", 0) + c.get("running", 0) for c in self.stages.values())
        if (rank.get("done") or rank.get("quarantined")) and not open_work:
            return "finished"
        status = str(self.run.get("status") or ("interrupted" if self.stages else "waiting"))
        return "waiting" if status == "finished" else status  # finished once; something was asked again since

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "campaign": self.name,
            "folder": str(self.folder),
            "state": self.state,
            "active": dict(self.active) if self.active else None,
            "run": dict(self.run),
            "stages": {s: dict(c) for s, c in self.stages.items()},
            "seconds": dict(self.seconds),
            "simulated_ps": self.ps,
            "steps": self.steps,
            "progress": dict(self.progress),
            "trouble": [
                {"label": r.label, "stage": r.stage, "state": str(r.state), "outcome": r.outcome, "reason": r.reason}
                for r in self.trouble
            ],
        }


def _active(folder: Path) -> dict[str, Any] | None:
    """Return who holds the lock, when they live."""
    who = holder(folder / "lock")
    if who is None or who.get("released"):
        return None
    if who["host"] == socket.gethostname():
        try:
            started = round(float(psutil.Process(int(who["pid"])).create_time()), 2)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return None
        return who if started == who.get("started") else None
    return who if time.time() - (folder / "lock").stat().st_mtime < 300 else None


def read_status(folder: str | Path) -> Status:
    """Read where a campaign stands.

    Raises
    ------
    InputError
        When the folder is no campaign's.
    """
    store = Store.open(folder)
    name = str(store.campaign.get("name") or store.folder.name)
    stages: dict[str, dict[str, int]] = {}
    seconds: dict[str, float] = {}
    ps, steps, run, progress = 0.0, 0, {}, {}
    trouble: tuple[Row, ...] = ()
    if (store.folder / "ledger.sqlite").exists():
        ledger = store.ledger
        for total in ledger.totals():
            counts = stages.setdefault(total["stage"], {})
            counts[total["state"]] = counts.get(total["state"], 0) + total["n"]
            seconds[total["stage"]] = seconds.get(total["stage"], 0.0) + total["seconds"]
            ps += total["ps"]
            steps += total["steps"]
        run = ledger.get_meta("run", {})
        progress = ledger.get_meta("progress", {})
        trouble = tuple(ledger.trouble((State.QUARANTINED, State.FAILED), limit=100))
    store.close_ledger()
    active = _active(store.folder)
    if active is None:  # killed: what it was at waits to be resumed
        for counts in stages.values():
            if running := counts.pop("running", 0):
                counts["waiting"] = counts.get("waiting", 0) + running
    ordered = {s: stages[s] for s in (*ORDER, *sorted(set(stages) - set(ORDER))) if s in stages}
    return Status(name, store.folder, active, run, ordered, seconds, ps, steps, progress, trouble)


@dataclass(frozen=True)
class CandidateStatus:
    """One candidate: its rows in the ledger, and its story from the events."""

    candidate: str
    rows: tuple[Row, ...]
    story: tuple[str, ...]


def candidate_status(folder: str | Path, candidate: str) -> CandidateStatus:
    """Read what happened to one candidate.

    Raises
    ------
    InputError
        When the campaign has no such candidate; the nearest name is suggested.
    """
    store = Store.open(folder)
    rows = store.ledger.candidate(candidate)
    if not rows:
        known = store.ledger.candidates()
        close = nearest(candidate, known)
        raise InputError(
            "this campaign has no such candidate",
            where=str(folder),
            found=candidate,
            expected=", ".join(known[:8]) + (" ..." if len(known) > 8 else ""),
            remedy=f"did you mean {close!r}?" if close else "",
        )
    rows.sort(key=lambda r: (ORDER.index(r.stage) if r.stage in ORDER else 99, r.label))
    lines = story(_events_of(store.folder / "events.jsonl", candidate), candidate)
    store.close_ledger()
    return CandidateStatus(candidate, tuple(rows), tuple(lines))


def _events_of(path: Path, candidate: str) -> Iterator[Mapping[str, Any]]:
    """Yield a candidate's events; lines that do not name it are not parsed."""
    if not path.exists():
        return
    needle = json.dumps(candidate, ensure_ascii=False).encode()
    with path.open("rb") as stream:
        for line in stream:
            if needle in line and line.endswith(b"\n"):
                event = json.loads(line)
                if event.get("candidate") == candidate:
                    yield event
