"""The book of a run: what the ledger and the event file are told, a few times a second, and what they remember.

The one writer of both. Events go first, then the rows; a row says ``done`` only after its record is on disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ionsieve.errors import TransientError
from ionsieve.screening.plan import Decision, Task
from ionsieve.screening.retries import RunRules, Trouble
from ionsieve.screening.worker import Answer
from ionsieve.store import DamagedError, Row, State, Store
from ionsieve.store.folder import safe_name, write_file
from ionsieve.store.rows import state_of
from ionsieve.verdicts import Outcome

__all__ = ["Book", "Memory"]

FLUSH_S = 0.5
SUMMARY_S = 2.0
VERIFY_MAX = 50_000
"""Up to so many records are read and verified at a start; in a larger folder each is verified when it is used."""
_CALM = Trouble()


@dataclass
class Memory:
    """What is known when a run begins.

    Attributes
    ----------
    known
        Facts of every answer that is there, by key.
    aside
        Why work was set aside, by key.
    trouble
        Of requests that were begun.
    took
        Stage and seconds of every answer, by key.
    """

    known: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    aside: dict[str, str] = field(default_factory=dict)
    trouble: dict[str, Trouble] = field(default_factory=dict)
    took: dict[str, tuple[str, float]] = field(default_factory=dict)


class Book:
    """Rows and events of one run, kept for a moment and written together.

    Parameters
    ----------
    store
        Whose lock the caller holds.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: dict[str, Row] = {}
        self._events: list[tuple[str, Mapping[str, Any]]] = []
        self._decided = 0
        self._flushed = 0.0
        self._told = 0.0

    # -- the beginning and the end ----------------------------------------------------------------------------------

    def open(self, run: str, place: Mapping[str, Any]) -> None:
        """Begin a run."""
        self._store.events.append("started", {"run": run, "campaign": self._store.campaign_id, **place})
        self._store.ledger.put_meta("run", {"since": time.time(), **place})

    def close(self, run: str, status: str, signal: str) -> None:
        """End a run; everything is written."""
        self._events.append(("ended", {"run": run, "status": status, "signal": signal}))
        self.flush(force=True)
        self._store.ledger.put_meta("run", {"ended": time.time(), "status": status})

    def remember(self, rules: RunRules) -> Memory:
        """Load what the ledger knows; check that its records are there and intact, and forget those that are not."""
        memory, gone = Memory(), []
        self._store.events.open()
        rows = list(self._store.ledger.rows())
        verify = len(rows) <= VERIFY_MAX
        for row in rows:
            if row.state is State.QUARANTINED:
                memory.aside[row.key] = row.reason
            elif row.state.finished:
                if not self._intact(row, verify=verify):
                    gone.append(row.key)
                    continue
                memory.known[row.key] = row.facts
                memory.took[row.key] = (row.stage, row.seconds)
            elif row.deaths or row.attempts or row.slices:
                memory.trouble[row.key] = Trouble.remembered(
                    rules, attempts=row.attempts, deaths=row.deaths, slices=row.slices, seconds=row.seconds
                )
        self._store.ledger.remove(gone)
        return memory

    def _intact(self, row: Row, *, verify: bool) -> bool:
        if not self._store.record_path(row.stage, row.key).exists():
            return False
        if verify:
            try:
                self._store.stored(row.key, hint=row.stage)
            except DamagedError:
                self._events.append(("damaged", {"key": row.key, "stage": row.stage}))
                self._store.discard(row.stage, row.key, damaged=True)
                return False
        return True

    # -- what happens -----------------------------------------------------------------------------------------------

    def state(self, task: Task, state: State, trouble: Trouble = _CALM, *, reason: str = "", outcome: str = "") -> None:
        """Say where a request stands."""
        self._rows[task.key] = Row(
            key=task.key,
            stage=task.stage,
            candidate=task.candidate,
            label=task.label,
            state=state,
            outcome=outcome,
            reason=reason,
            attempts=trouble.attempts,
            deaths=trouble.deaths,
            slices=trouble.slices,
            seconds=round(trouble.seconds, 4),
        )

    def event(self, kind: str, task: Task, **fields: Any) -> None:
        """Say what happened to a request."""
        self._events.append(
            (
                kind,
                {
                    "t": round(time.time(), 3),
                    "key": task.key,
                    "stage": task.stage,
                    "candidate": task.candidate,
                    "label": task.label,
                    **{k: v for k, v in fields.items() if v not in ("", 0, 0.0, None)},
                },
            )
        )

    def finished(self, task: Task, answer: Answer, trouble: Trouble) -> Row:
        """Say that an answer is on disk."""
        row = Row(
            key=task.key,
            stage=task.stage,
            candidate=task.candidate,
            label=task.label,
            state=state_of(answer.outcome),
            outcome=answer.outcome,
            reason=answer.reason,
            attempts=trouble.attempts + 1,
            deaths=trouble.deaths,
            slices=trouble.slices,
            seconds=round(trouble.seconds + answer.seconds, 4),
            steps=int(answer.facts.get("steps", 0)),
            ps=float(answer.facts.get("ps", 0.0)),
            device=answer.device,
            worker=answer.worker,
            digest=answer.digest,
            facts=answer.facts,
        )
        self._rows[task.key] = row
        self.event(
            "finished",
            task,
            outcome=answer.outcome if answer.outcome != "completed" else "",
            reason=answer.reason,
            seconds=round(answer.seconds, 4),
            steps=row.steps,
            ps=row.ps,
            worker=answer.worker,
            device=answer.device,
            reused=answer.reused,
        )
        return row

    def set_aside(self, task: Task, why: str, trouble: Trouble, *, worker: str = "", details: str = "") -> str:
        """Say that a request is tried no more, and keep the traceback for people; return why, with its place."""
        if details:
            path = self._store.folder / "logs" / safe_name(f"{task.stage}-{task.key[:16]}.txt")
            write_file(path, f"{task.label}\n{why}\n\n{details}", sync=False)
            why = f"{why}  [logs/{path.name}]"
        self.event("quarantined", task, reason=why, worker=worker)
        self.state(task, State.QUARANTINED, trouble, reason=why, outcome=Outcome.QUARANTINED.value)
        return why

    def forget(self, key: str) -> None:
        """Say that an answer was lost."""
        self._rows.pop(key, None)
        self._store.ledger.remove([key])

    def decisions(self, made: Sequence[Decision]) -> None:
        """Write down what the funnel decided since the last time."""
        for decision in made[self._decided :]:
            fields = {
                "action": decision.action,
                "candidate": decision.candidate,
                "run": decision.run,
                "why": decision.why,
                "numbers": dict(decision.numbers),
            }
            self._events.append(("decision", fields))
        self._decided = len(made)

    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() - self._flushed >= FLUSH_S

    def flush(self, *, force: bool = False, summary: Callable[[], Mapping[str, Any]] | None = None) -> None:
        """Write what happened; call it when `due`.

        Raises
        ------
        SetupError
            When the disk is full.
        TransientError
            When `force` and a reader keeps the ledger busy; otherwise the rows wait for the next round.
        """
        self._flushed = now = time.monotonic()
        if self._events:
            self._store.events.extend(self._events)
            self._events = []
        if self._rows:
            rows, self._rows = list(self._rows.values()), {}
            try:
                self._store.ledger.write(rows)
            except TransientError:
                for row in rows:
                    self._rows.setdefault(row.key, row)
                if force:
                    raise
        if summary is not None and (force or now - self._told > SUMMARY_S):
            self._told = now
            with suppress(TransientError):  # a reader keeps it busy: the next summary comes soon
                self._store.ledger.put_meta("progress", summary())
