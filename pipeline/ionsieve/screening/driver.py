"""The driver: turns what the plan asks into bundles for a pool, and answers into what the plan learns.

It holds nothing that is not on disk already: kill it anywhere, run it again, and only what is missing is computed. It
is the one writer of ledger and events; workers write records and files, each under the address of its question.
"""

from __future__ import annotations

import heapq
import math
import signal
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

from ionsieve.errors import SetupError, TransientError
from ionsieve.screening.plan import ORDER, Plan, Task
from ionsieve.screening.pool import Bundle, Completion, Pool
from ionsieve.screening.progress import Progress, Quiet
from ionsieve.screening.worker import Answer
from ionsieve.store import Row, State, Store
from ionsieve.store.envelope import DamagedError
from ionsieve.store.rows import state_of
from ionsieve.verdicts import Outcome

__all__ = ["Driver", "RunReport", "RunRules"]

#: how often work may be lost before it began; a worker that dies so often in a row cannot start
_ORPHANED = 20

CANCEL = "cancel"
"""Name of the file in the folder that asks a run to end."""


@dataclass(frozen=True)
class RunRules:
    """How work is cut and retried.

    Attributes
    ----------
    slice_s
        Longest uninterrupted work on a device.
    deaths
        Worker deaths under one request after which it is set aside.
    attempts
        Failed attempts (exceptions) after which it is set aside; the last one starts from an empty scratch folder.
    bundle_s
        Short requests are bundled to about so much work, so that handing out costs little.
    bundle_max
        Largest number of requests in a bundle.
    device_bundle
        Runs that one GPU is given at a time, for the engine that moves many cells in one pass; 1 on CPU workers.
    ahead
        Bundles handed out for each place beyond the one that runs.
    """

    slice_s: float = 600.0
    deaths: int = 3
    attempts: int = 3
    bundle_s: float = 0.5
    bundle_max: int = 64
    device_bundle: int = 64
    ahead: int = 1


@dataclass(frozen=True)
class RunReport:
    """How a run of the driver ended.

    `status`: ``finished``, ``cancelled`` or ``interrupted`` (a signal); the last two are continued by resuming.
    """

    status: str
    folder: Path
    seconds: float
    totals: tuple[Mapping[str, Any], ...] = ()
    quarantined: int = 0
    ranking: str = ""
    signal: str = ""

    @property
    def exit_code(self) -> int:
        """0 finished; 3 finished, but work was set aside; 130 interrupted or cancelled."""
        if self.status != "finished":
            return 130
        return 3 if self.quarantined else 0


@dataclass
class _Trouble:
    attempts: int = 0
    deaths: int = 0
    slices: int = 0
    seconds: float = 0.0
    alone: bool = False
    fresh: bool = False
    busy: int = 0
    orphaned: int = 0


@dataclass
class Driver:
    """One run over one folder; the caller holds the store's lock.

    Parameters
    ----------
    store, plan, pool
        Where, what, and who.
    rules
        How work is cut and retried.
    progress
        Who is told.
    on_device
        Whether a stage evaluates the potential.
    many
        Whether a stage takes several requests in one call.
    """

    store: Store
    plan: Plan
    pool: Pool
    rules: RunRules = field(default_factory=RunRules)
    progress: Progress = field(default_factory=Quiet)
    on_device: Callable[[str], bool] = lambda stage: stage == "simulate"
    many: Callable[[str], bool] = lambda stage: False

    def __post_init__(self) -> None:
        self._waiting: dict[bool, list[tuple[int, int, Task]]] = {True: [], False: []}
        self._flying: dict[str, list[Task]] = {}
        self._places: dict[bool, int] = {True: 0, False: 0}
        self._parked: dict[str, list[Task]] = defaultdict(list)
        self._tasks: dict[str, Task] = {}
        self._trouble: dict[str, _Trouble] = defaultdict(_Trouble)
        self._mean_s: dict[str, float] = {}
        self._rows: dict[str, Row] = {}
        self._events: list[tuple[str, Mapping[str, Any]]] = []
        self._known: dict[str, Mapping[str, Any]] = {}
        self._aside: dict[str, str] = {}
        self._number = 0
        self._bundles = 0
        self._flushed = 0.0
        self._told = 0.0
        self._device_s = 0.0
        self._decided = 0
        self._ranking = ""
        self._stop = ""
        self._run_id = f"{time.time_ns():x}"

    # -- the loop ---------------------------------------------------------------------------------------------------

    def run(self) -> RunReport:
        """Work until the plan is finished, somebody cancels, or a signal comes.

        Raises
        ------
        SetupError
            When the machine cannot go on (full disk, no workers). All that is done is on disk.
        """
        begin = time.monotonic()
        (self.store.folder / CANCEL).unlink(missing_ok=True)
        self.store.events.open()
        self._remember()
        self.store.events.append("started", {"run": self._run_id, **self.pool.describe()})
        self.store.ledger.put_meta("run", {"since": time.time(), **self.pool.describe()})
        status = "interrupted"
        with _signals(self._on_signal):
            try:
                self._ask(self.plan.start())
                status = self._loop()
            except KeyboardInterrupt:
                self._stop = self._stop or "SIGINT"
            finally:
                self._end(status)
        totals = tuple(self.store.ledger.totals())
        return RunReport(
            status=status,
            folder=self.store.folder,
            seconds=time.monotonic() - begin,
            totals=totals,
            quarantined=sum(int(t["n"]) for t in totals if t["state"] == State.QUARANTINED),
            ranking=self._ranking,
            signal=self._stop,
        )

    def _loop(self) -> str:
        looked = 0.0
        while not self.plan.finished:
            self._hand_out()
            self._flush()
            completions = self.pool.wait(0.25 if self._flying else 0.05)
            for completion in completions:
                self._take(completion)
            now = time.monotonic()
            if now - looked > 0.5:
                looked = now
                self.store.lock.touch()
                if (self.store.folder / CANCEL).exists():
                    self._stop = "cancel"
            if self._stop:
                return "cancelled" if self._stop == "cancel" else "interrupted"
            if not self._flying and not any(self._waiting.values()) and not completions and not self.plan.finished:
                self._unpark_or_fail()
        return "finished"

    def _unpark_or_fail(self) -> None:
        """Nothing runs and nothing waits: parked work whose input could not be made again is set aside."""
        stuck = [t for tasks in self._parked.values() for t in tasks]
        self._parked.clear()
        if not stuck:
            raise SetupError(
                "the plan waits for answers that nobody works on",
                where=str(self.store.folder),
                remedy="please report this; `ionsieve resume FOLDER` starts the planning anew",
            )
        for task in stuck:
            self._set_aside(task, "an input could not be computed again")

    def _on_signal(self, name: str) -> None:
        self._stop = name

    def _end(self, status: str) -> None:
        if status == "finished":
            (self.store.folder / CANCEL).unlink(missing_ok=True)
        for tasks in self._flying.values():
            for task in tasks:
                self._row(task, State.WAITING)
        self._events.append(("ended", {"run": self._run_id, "status": status, "signal": self._stop}))
        try:
            self._flush(force=True)
            self.store.ledger.put_meta("run", {"ended": time.time(), "status": status})
        finally:
            self.progress.end(status)
            (self.store.folder / CANCEL).unlink(missing_ok=True)

    # -- what is known already --------------------------------------------------------------------------------------

    def _remember(self) -> None:
        """Load what the ledger knows; check that its records are there and intact."""
        gone: list[str] = []
        rows = list(self.store.ledger.rows())
        verify = len(rows) <= 50_000
        for row in rows:
            if row.state is State.QUARANTINED:
                self._aside[row.key] = row.reason
            elif row.state.finished:
                path = self.store.record_path(row.stage, row.key)
                if not path.exists():
                    gone.append(row.key)
                    continue
                if verify:
                    try:
                        self.store.stored(row.key, hint=row.stage)
                    except DamagedError:
                        self._events.append(("damaged", {"key": row.key, "stage": row.stage}))
                        self.store.discard(row.stage, row.key, damaged=True)
                        gone.append(row.key)
                        continue
                self._known[row.key] = row.facts
                self._note_seconds(row.stage, row.seconds)
                if self.on_device(row.stage):
                    self._device_s += row.seconds
            elif row.deaths or row.attempts or row.slices:
                self._trouble[row.key] = _Trouble(
                    attempts=row.attempts,
                    deaths=row.deaths,
                    slices=row.slices,
                    seconds=row.seconds,
                    alone=row.deaths > 0 or row.attempts > 0,
                    fresh=row.attempts
                    >= self.rules.attempts - 1,  # its last chance starts from nothing, also after a restart
                )
        self.store.ledger.remove(gone)

    def _note_seconds(self, stage: str, seconds: float) -> None:
        if seconds > 0:
            old = self._mean_s.get(stage, seconds)
            self._mean_s[stage] = 0.9 * old + 0.1 * seconds

    # -- asking -----------------------------------------------------------------------------------------------------

    def _ask(self, tasks: Sequence[Task]) -> None:
        """Queue questions; those whose answers are known open the next ones at once."""
        pending = deque(tasks)
        while pending:
            task = pending.popleft()
            known = self._known.pop(task.key, None)
            if known is not None:
                self.progress.reused(task.stage)
                if task.stage == "rank":
                    self._ranking = task.key
                pending.extend(self.plan.learn(task, known))
                self._log_decisions()
            elif task.key in self._aside:
                pending.extend(self.plan.abandon(task, self._aside.pop(task.key)))
                self._log_decisions()
            else:
                self._queue(task)

    def _queue(self, task: Task) -> None:
        self._tasks[task.key] = task
        self._number += 1
        device = self.on_device(task.stage)
        rank = -ORDER.index(task.stage) if task.stage in ORDER else 0
        heapq.heappush(self._waiting[device], (rank, self._number, task))
        self._row(task, State.WAITING)
        self.progress.asked(task.stage)

    def _hand_out(self) -> None:
        """Fill the pool: as many bundles as it has places, and a few ahead."""
        capacity = self.pool.capacity()
        shared = self.pool.shared()
        for device in (False, True):
            waiting = self._waiting[device]
            places = capacity["device" if device else "cpu"]
            limit = places * (1 + self.rules.ahead)
            while waiting:
                used = sum(self._places.values()) if shared else self._places[device]
                if used >= limit:
                    break
                self._send(self._next_bundle(waiting, device, places, single=shared), device)

    def _next_bundle(
        self, waiting: list[tuple[int, int, Task]], device: bool, places: int, *, single: bool
    ) -> list[Task]:
        _, _, first = heapq.heappop(waiting)
        if self._is_alone(first):
            return [first]
        if device:
            size = 1 if single or not self.many(first.stage) else self.rules.device_bundle
        else:
            mean = self._mean_s.get(first.stage)
            size = 1 if mean is None else int(self.rules.bundle_s / max(mean, 1e-4))
        size = max(1, min(size, self.rules.bundle_max, math.ceil((len(waiting) + 1) / max(1, 2 * places))))
        bundle = [first]
        while waiting and len(bundle) < size:
            task = waiting[0][2]
            if task.stage != first.stage or self._is_alone(task):
                break
            bundle.append(heapq.heappop(waiting)[2])
        return bundle

    def _is_alone(self, task: Task) -> bool:
        return task.key in self._trouble and self._trouble[task.key].alone

    def _send(self, tasks: list[Task], device: bool) -> None:
        self._bundles += 1
        name = f"{tasks[0].stage}-{self._run_id}-{self._bundles}"
        fresh = tuple(t.key for t in tasks if t.key in self._trouble and self._trouble[t.key].fresh)
        bundle = Bundle(
            name=name,
            requests=tuple(t.request.to_dict() for t in tasks),
            device=device,
            deadline_s=self.rules.slice_s,
            fresh=fresh,
        )
        self._flying[name] = tasks
        self._places[device] += 1
        for task in tasks:
            self._row(task, State.RUNNING)
        self.pool.submit(bundle)

    # -- answers ----------------------------------------------------------------------------------------------------

    def _take(self, completion: Completion) -> None:
        tasks = self._flying.pop(completion.bundle, None)
        if tasks is None:
            return
        self._places[self.on_device(tasks[0].stage)] -= 1
        if completion.lost:
            self._lost(tasks, completion)
            return
        by_key = {t.key: t for t in tasks}
        for answer in completion.answers:
            task = by_key.pop(answer.key, None)
            if task is not None:
                getattr(self, f"_on_{answer.status}")(task, answer)
        for task in by_key.values():
            self._again(task)

    def _event(self, kind: str, task: Task, **fields: Any) -> None:
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

    def _on_done(self, task: Task, answer: Answer) -> None:
        self._tasks.pop(task.key, None)
        trouble = self._trouble.pop(task.key, _Trouble())
        self._note_seconds(task.stage, answer.seconds)
        seconds = round(trouble.seconds + answer.seconds, 4)
        if self.on_device(task.stage):
            self._device_s += answer.seconds
        state = state_of(answer.outcome)
        row = Row(
            key=task.key,
            stage=task.stage,
            candidate=task.candidate,
            label=task.label,
            state=state,
            outcome=answer.outcome,
            reason=answer.reason,
            attempts=trouble.attempts + 1,
            deaths=trouble.deaths,
            slices=trouble.slices,
            seconds=seconds,
            steps=int(answer.facts.get("steps", 0)),
            ps=float(answer.facts.get("ps", 0.0)),
            device=answer.device,
            worker=answer.worker,
            digest=answer.digest,
            facts=answer.facts,
        )
        self._rows[task.key] = row
        self._event(
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
        self.progress.done(task.stage, state, seconds=answer.seconds, steps=row.steps, ps=row.ps)
        if state is State.FAILED:
            self.progress.failed(task.label, answer.reason or answer.outcome)
        if task.stage == "rank":
            self._ranking = task.key
        for parked in self._parked.pop(task.key, ()):
            self._again(parked)
        opened = self.plan.learn(task, answer.facts)
        if self.plan.funnel is not None and self.on_device(task.stage):
            opened += self.plan.spent(self._device_s / 3600)
        self._log_decisions()
        self._ask(opened)

    def _on_unfinished(self, task: Task, answer: Answer) -> None:
        trouble = self._trouble[task.key]
        trouble.slices += 1
        trouble.deaths = 0  # it gets on: what killed its worker before was not this task
        trouble.seconds += answer.seconds
        trouble.fresh = False
        if self.on_device(task.stage):
            self._device_s += answer.seconds
        self._event("sliced", task, seconds=round(answer.seconds, 4), worker=answer.worker)
        self.progress.sliced(task.stage, answer.seconds)
        self._again(task)

    def _on_busy(self, task: Task, answer: Answer) -> None:
        trouble = self._trouble[task.key]
        trouble.busy += 1
        if trouble.busy > 200:
            self._set_aside(task, "another process has kept its scratch folder locked")
        else:
            self._again(task)

    def _on_damaged(self, task: Task, answer: Answer) -> None:
        stage, _, key = answer.culprit.rpartition("/")
        self._event("damaged", task, culprit=answer.culprit, reason=answer.reason)
        self.progress.note(f"{answer.reason}: computing it again")
        if stage:
            self.store.discard(stage, key, damaged=True)
            self._rows.pop(key, None)
            self.store.ledger.remove([key])
        culprit = self.plan.task(key)
        if culprit is None:
            self._on_error(task, replace(answer, status="error"))
            return
        first = key not in self._parked
        self._parked[key].append(task)
        self._row(task, State.WAITING)
        if first and key not in self._tasks:
            self._queue(culprit)

    def _on_refused(self, task: Task, answer: Answer) -> None:
        self._set_aside(task, answer.reason, answer.details)

    def _on_setup(self, task: Task, answer: Answer) -> None:
        self._event("failed_attempt", task, reason=answer.reason, worker=answer.worker)
        self._row(task, State.WAITING)
        raise SetupError(answer.reason, where=f"{answer.worker} {task.label}".strip())

    def _on_error(self, task: Task, answer: Answer) -> None:
        trouble = self._trouble[task.key]
        trouble.attempts += 1
        trouble.seconds += answer.seconds
        self._event("failed_attempt", task, reason=answer.reason[:500], worker=answer.worker)
        if trouble.attempts >= self.rules.attempts:
            self._set_aside(task, f"failed {trouble.attempts} times: {answer.reason}", answer.details)
            return
        trouble.alone = True
        trouble.fresh = trouble.attempts == self.rules.attempts - 1
        self._again(task)

    def _lost(self, tasks: Sequence[Task], completion: Completion) -> None:
        """A worker died: its bundle goes out again, each request alone; what it was at counts a death."""
        culprits = set(completion.culprits)
        for task in tasks:
            trouble = self._trouble[task.key]
            if task.key in culprits:
                trouble.alone = True
                trouble.deaths += 1
                self._event("lost", task, worker=completion.worker, reason=completion.reason)
                self.progress.lost()
                if trouble.deaths >= self.rules.deaths:
                    self._set_aside(
                        task, f"the worker died under it {trouble.deaths} times, last on {completion.worker}"
                    )
                    continue
            elif not culprits:
                # lost before it said at what it was: the queue of a dead worker, or a worker that cannot start at all
                trouble.orphaned += 1
                if trouble.orphaned >= _ORPHANED:
                    self._set_aside(
                        task, f"lost {trouble.orphaned} times before it began, last: {completion.reason or 'no reason'}"
                    )
                    continue
            self._again(task)

    def _again(self, task: Task) -> None:
        self._number += 1
        device = self.on_device(task.stage)
        rank = -ORDER.index(task.stage) if task.stage in ORDER else 0
        heapq.heappush(self._waiting[device], (rank, self._number, task))
        self._row(task, State.WAITING)

    def _set_aside(self, task: Task, why: str, details: str = "") -> None:
        if details:
            path = self.store.folder / "logs" / f"{task.stage}-{task.key[:16]}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{task.label}\n{why}\n\n{details}")
            why = f"{why}  [logs/{path.name}]"
        self._tasks.pop(task.key, None)
        self._event("quarantined", task, reason=why)
        self._row(task, State.QUARANTINED, reason=why, outcome=Outcome.QUARANTINED.value)
        self._trouble.pop(task.key, None)
        self.progress.failed(task.label, why)
        for parked in self._parked.pop(task.key, ()):
            self._set_aside(parked, f"its input was set aside: {why}")
        opened = self.plan.abandon(task, why)
        self._log_decisions()
        self._ask(opened)

    # -- ledger and events ------------------------------------------------------------------------------------------

    def _row(self, task: Task, state: State, *, reason: str = "", outcome: str = "") -> None:
        trouble = self._trouble.get(task.key, _Trouble())
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

    def _log_decisions(self) -> None:
        for decision in self.plan.decisions[self._decided :]:
            self._events.append(
                (
                    "decision",
                    {
                        "action": decision.action,
                        "candidate": decision.candidate,
                        "run": decision.run,
                        "why": decision.why,
                        "numbers": dict(decision.numbers),
                    },
                )
            )
        self._decided = len(self.plan.decisions)

    def _flush(self, *, force: bool = False) -> None:
        """Write what happened: events first, then the ledger; about twice a second."""
        now = time.monotonic()
        if not force and now - self._flushed < 0.5:
            return
        self._flushed = now
        if self._events:
            events, self._events = self._events, []
            self.store.events.extend(events)
        if self._rows:
            rows, self._rows = list(self._rows.values()), {}
            try:
                self.store.ledger.write(rows)
            except TransientError:  # a reader keeps it busy: the rows wait for the next round
                for row in rows:
                    self._rows.setdefault(row.key, row)
                if force:
                    raise
        self.progress.update(
            waiting=sum(map(len, self._waiting.values())),
            running=sum(map(len, self._flying.values())),
            left=self.plan.remaining_runs,
            pool=self.pool.describe(),
            settled=self.plan.counts,
        )
        summary = getattr(self.progress, "summary", None)
        if summary is not None and (force or now - self._told > 2.0):
            self._told = now
            self.store.ledger.put_meta("progress", summary())


@contextmanager
def _signals(tell: Callable[[str], None]) -> Iterator[None]:
    """Turn SIGTERM and SIGUSR1 (a scheduler's warning before the end) into a clean stop, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = [signal.SIGTERM, signal.SIGUSR1]

    def handler(number: int, frame: FrameType | None) -> None:
        tell(signal.Signals(number).name)

    old = {number: signal.signal(number, handler) for number in caught}
    try:
        yield
    finally:
        for number, previous in old.items():
            signal.signal(number, previous)
