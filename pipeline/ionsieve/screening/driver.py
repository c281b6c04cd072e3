"""The driver: turns what the plan asks into bundles for a pool, and answers into what the plan learns.

It holds nothing that is not on disk already: kill it anywhere, run it again, and only what is missing is computed. It
is the one writer of ledger and events (`book`); workers write records and files, each under the address of its
question. What is decided stands elsewhere and is pure: what comes next in `plan` and `funnel`, how work is bundled in
`waiting`, what is tried again in `retries`. Here is the carriage.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ionsieve.errors import SetupError
from ionsieve.screening import retries
from ionsieve.screening.book import Book
from ionsieve.screening.plan import Plan, Task
from ionsieve.screening.pool import Bundle, Completion, Pool
from ionsieve.screening.progress import Progress, Quiet
from ionsieve.screening.retries import Retry, RunRules, Trouble
from ionsieve.screening.stops import Stop
from ionsieve.screening.waiting import Waiting
from ionsieve.screening.worker import Answer
from ionsieve.store import State, Store

__all__ = ["Driver", "RunReport"]


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
    share_done
        What share of a request its scratch folder shows as done, for the estimate of the time left.
    stop
        Looked at twice a second: whether the run is to end.
    """

    store: Store
    plan: Plan
    pool: Pool
    rules: RunRules = field(default_factory=RunRules)
    progress: Progress = field(default_factory=Quiet)
    on_device: Callable[[str], bool] = lambda stage: stage == "simulate"
    many: Callable[[str], bool] = lambda stage: False
    share_done: Callable[[Task], float] = lambda task: 0.0
    stop: Stop = field(default_factory=Stop)

    def __post_init__(self) -> None:
        self._book = Book(self.store)
        self._waiting = Waiting(self.rules, on_device=self.on_device, many=self.many)
        self._flying: dict[str, list[Task]] = {}
        self._sent: dict[str, float] = {}  # when each bundle that flies was sent
        self._kind: dict[str, tuple[bool, bool]] = {}  # of each bundle that flies: for a device? long?
        self._places: Counter[tuple[bool, bool]] = Counter()
        self._parked: dict[str, list[Task]] = defaultdict(list)
        self._asked: set[str] = set()
        self._trouble: dict[str, Trouble] = {}
        self._known: dict[str, Mapping[str, Any]] = {}
        self._aside: dict[str, str] = {}
        self._spent: dict[str, float] = {}  # seconds of earlier processes, by key
        self._bundles = 0
        self._device_s = 0.0
        self._ranking = ""
        self._said: set[tuple[str, str]] = set()
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
        memory = self._book.remember(self.rules)
        self._known, self._aside, self._trouble = memory.known, memory.aside, memory.trouble
        self._spent = {key: begun.seconds for key, begun in memory.trouble.items()}
        self._spent |= {key: seconds for key, (_, seconds) in memory.took.items()}
        for stage, seconds in memory.took.values():
            self._waiting.took(stage, seconds)
        self._book.open(self._run_id, self.pool.describe())
        status = "interrupted"
        try:
            self._ask(self.plan.start())
            status = self._loop()
        except KeyboardInterrupt:
            self.stop.why = self.stop.why or "SIGINT"
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
            signal=self.stop.why,
        )

    def _loop(self) -> str:
        looked = 0.0
        while not self.plan.finished:
            now = time.monotonic()
            if now - looked > 0.5:
                looked = now
                self.store.lock.touch()
                self.stop.look(self.store.folder)
            if self.stop.why:
                return self.stop.status
            self._hand_out()
            self._flush()
            completions = self.pool.wait(0.25 if self._flying else 0.05)
            for completion in completions:
                self._take(completion)
            if not self._flying and not len(self._waiting) and not completions and not self.plan.finished:
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

    def _end(self, status: str) -> None:
        for tasks in self._flying.values():
            for task in tasks:
                self._book.state(task, State.WAITING, self._of(task))
        self._flying.clear()
        try:
            self._flush(force=True)
            self._book.close(self._run_id, status, self.stop.why)
        finally:
            self.progress.end(status)

    def _flush(self, *, force: bool = False) -> None:
        """Tell ledger, events and people where things stand; about twice a second."""
        if not force and not self._book.due():
            return
        self.progress.update(
            waiting=len(self._waiting),
            running=sum(map(len, self._flying.values())),
            left=self.plan.remaining_runs,
            pool=self.pool.describe(),
            settled=self.plan.counts,
            underway=self._underway,
        )
        self._book.flush(force=force, summary=getattr(self.progress, "summary", None))

    def _underway(self) -> tuple[float, float]:
        """Return worker-seconds and runs done by the bundles of dynamics that show some work."""
        seconds, runs = 0.0, 0.0
        for name, tasks in self._flying.items():
            done = sum(self.share_done(task) for task in tasks) if self.on_device(tasks[0].stage) else 0.0
            if done > 0:
                seconds += time.monotonic() - self._sent[name]
                runs += done
        return seconds, runs

    def _charge(self, task: Task, seconds: float) -> list[Task]:
        """Count device seconds of a learned answer; return what the funnel makes of the sum.

        Answers of earlier processes are counted as they are learned again, so that a repeated command decides on the
        same sums in the same rounds.
        """
        if not self.on_device(task.stage):
            return []
        self._device_s += seconds
        return [] if self.plan.funnel is None else self.plan.spent(self._device_s / 3600)

    def _of(self, task: Task) -> Trouble:
        return self._trouble.get(task.key, Trouble())

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
                pending.extend(self._charge(task, self._spent.pop(task.key, 0.0)))
            elif task.key in self._aside:
                pending.extend(self.plan.abandon(task, self._aside.pop(task.key)))
            else:
                self._asked.add(task.key)
                pending.extend(self._charge(task, self._spent.pop(task.key, 0.0)))  # its slices so far
                self.progress.asked(task.stage)
                self._again(task)
        self._book.decisions(self.plan.decisions)

    def _again(self, task: Task, wait_s: float = 0.0) -> None:
        now = time.monotonic()
        self._waiting.add(task, not_before=now + wait_s, now=now)
        self._book.state(task, State.WAITING, self._of(task))

    def _hand_out(self) -> None:
        """Fill the pool: as many bundles as it has places, and a few short ones ahead."""
        self._waiting.wake(time.monotonic())
        capacity, one_group = self.pool.capacity(), self.pool.shared()
        for device in (None,) if one_group else (False, True):
            places = capacity["cpu" if device is False else "device"]
            limit = places * (1 + self.rules.ahead)
            while True:
                mine = [(long, n) for (d, long), n in self._places.items() if device is None or d == device]
                brief = sum(n for long, n in mine if long) >= places
                if sum(n for _, n in mine) >= limit or not self._waiting.ready(device=device, brief=brief):
                    break
                self._send(
                    self._waiting.next_bundle(
                        device=device, brief=brief, places=places, alone=lambda t: self._of(t).alone
                    )
                )

    def _send(self, tasks: list[Task]) -> None:
        device = self.on_device(tasks[0].stage)
        self._bundles += 1
        name = f"{tasks[0].stage}-{self._run_id}-{self._bundles}"
        bundle = Bundle(
            name=name,
            requests=tuple(t.request.to_dict() for t in tasks),
            device=device,
            deadline_s=self.rules.slice_s,
            fresh=tuple(t.key for t in tasks if self._of(t).fresh),
        )
        self._flying[name] = tasks
        self._sent[name] = time.monotonic()
        self._kind[name] = device, self._waiting.long(tasks[0].stage)
        self._places[self._kind[name]] += 1
        for task in tasks:
            self._book.state(task, State.RUNNING, self._of(task))
        self.pool.submit(bundle)

    # -- answers ----------------------------------------------------------------------------------------------------

    def _take(self, completion: Completion) -> None:
        tasks = self._flying.pop(completion.bundle, None)
        self._sent.pop(completion.bundle, None)
        if tasks is None:
            return
        self._places[self._kind.pop(completion.bundle)] -= 1
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

    def _on_done(self, task: Task, answer: Answer) -> None:
        self._asked.discard(task.key)
        trouble = self._trouble.pop(task.key, Trouble())
        row = self._book.finished(task, answer, trouble)
        self._waiting.took(task.stage, row.seconds)
        self.progress.done(task.stage, row.state, seconds=answer.seconds, steps=row.steps, ps=row.ps)
        if row.state is State.FAILED:
            self._say_failed(task.label, answer.reason or answer.outcome)
        if task.stage == "rank":
            self._ranking = task.key
        for parked in self._parked.pop(task.key, ()):
            self._again(parked)
        opened = self.plan.learn(task, answer.facts)
        self._ask(opened + self._charge(task, answer.seconds))

    def _on_unfinished(self, task: Task, answer: Answer) -> None:
        if answer.seconds > 0:  # not one that the deadline left untouched
            if self.on_device(task.stage):
                self._device_s += answer.seconds
            self._book.event("sliced", task, seconds=round(answer.seconds, 4), worker=answer.worker)
            self.progress.sliced(task.stage, answer.seconds)
            self._follow(task, retries.after_slice(self._of(task), answer.seconds))
        else:
            self._again(task)

    def _on_busy(self, task: Task, answer: Answer) -> None:
        self._follow(task, retries.after_busy(self._of(task), self.rules))

    def _on_damaged(self, task: Task, answer: Answer) -> None:
        stage, _, key = answer.culprit.rpartition("/")
        self._book.event("damaged", task, culprit=answer.culprit, reason=answer.reason)
        self.progress.note(f"{answer.reason}: computing it again")
        if stage:
            self.store.discard(stage, key, damaged=True)
        culprit = self.plan.task(key)
        if culprit is None:
            self._on_error(task, replace(answer, status="error"))
            return
        retry = retries.after_damage(self._of(task), self.rules, reason=answer.reason)
        if retry.aside:
            self._follow(task, retry)
            return
        self._trouble[task.key] = retry.trouble
        self._book.forget(key)  # also when it is only not to be seen from here: it is asked again
        first = key not in self._parked
        self._parked[key].append(task)
        self._book.state(task, State.WAITING, self._of(task))
        if first and key not in self._asked:
            self._ask([culprit])

    def _on_refused(self, task: Task, answer: Answer) -> None:
        self._set_aside(task, answer.reason, details=answer.details)

    def _on_setup(self, task: Task, answer: Answer) -> None:
        self._book.event("failed_attempt", task, reason=answer.reason, worker=answer.worker)
        self._book.state(task, State.WAITING, self._of(task))
        raise SetupError(answer.reason, where=f"{answer.worker} {task.label}".strip())

    def _on_error(self, task: Task, answer: Answer) -> None:
        retry = retries.after_error(self._of(task), self.rules, reason=answer.reason, seconds=answer.seconds)
        self._book.event("failed_attempt", task, reason=answer.reason[:500], worker=answer.worker)
        self._follow(task, retry, details=answer.details)

    def _lost(self, tasks: Sequence[Task], completion: Completion) -> None:
        """A worker died: its bundle goes out again; what it was at goes alone, and counts a death."""
        culprits = set(completion.culprits)
        for task in tasks:
            guilty = task.key in culprits
            if guilty:
                self._book.event("lost", task, worker=completion.worker, reason=completion.reason)
                self.progress.lost()
            retry = retries.after_loss(
                self._of(task), self.rules, guilty=guilty, begun=bool(culprits), reason=completion.reason
            )
            self._follow(task, retry, worker=completion.worker)

    def _follow(self, task: Task, retry: Retry, *, worker: str = "", details: str = "") -> None:
        """Do what was decided about a request that has no answer yet."""
        self._trouble[task.key] = retry.trouble
        if retry.aside:
            self._set_aside(task, retry.aside, worker=worker, details=details)
        else:
            self._again(task, retry.wait_s)

    def _set_aside(self, task: Task, why: str, *, worker: str = "", details: str = "") -> None:
        self._asked.discard(task.key)
        why = self._book.set_aside(task, why, self._trouble.pop(task.key, Trouble()), worker=worker, details=details)
        self._say_failed(task.label, why)
        for parked in self._parked.pop(task.key, ()):
            self._set_aside(parked, f"its input was set aside: {why}")
        self._ask(self.plan.abandon(task, why))

    def _say_failed(self, label: str, why: str) -> None:
        """Tell people once: what ended a run ends its measurement with the same words."""
        if (label, why) not in self._said:
            self._said.add((label, why))
            self.progress.failed(label, why)
