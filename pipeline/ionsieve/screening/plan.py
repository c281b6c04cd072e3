"""Which questions come next: pure planning over what is known.

A `Plan` walks each candidate along generate -> sieve -> relax -> simulate -> measure -> fit, and all of them to rank.
`start` gives the first tasks, `learn` the ones that an answer opens, `abandon` closes a branch whose work was set
aside. The order of the answers never changes which questions are asked, only when. No clock, no disk, no Dask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ionsieve.screening import funnel as fun
from ionsieve.store.address import Request

__all__ = ["Builders", "Decision", "Plan", "SetAside", "Subject", "Task"]

ORDER = ("generate", "sieve", "relax", "simulate", "measure", "fit", "rank")


@dataclass(frozen=True)
class Subject:
    """One candidate as planning sees it.

    Attributes
    ----------
    name
        Its identifier.
    record
        What the generate stage is asked with (a `Candidate`, or anything that the builder understands).
    temperatures_K, replicas
        The runs that each of its configurations may get.
    """

    name: str
    record: Any
    temperatures_K: tuple[float, ...]
    replicas: int = 1


class Builders(Protocol):
    """How the questions are worded: the stages' `request` functions bound to a campaign."""

    def generate(self, subject: Subject) -> Request:
        """Ask for a candidate's configurations."""

    def sieve(self, generate: str, index: int) -> Request:
        """Ask for the channels of one configuration."""

    def relax(self, generate: str, index: int) -> Request:
        """Ask for the relaxation of one configuration."""

    def simulate(
        self, subject: Subject, relax: str, generate: str, index: int, temperature_K: float, replica: int
    ) -> Request:
        """Ask for one run."""

    def measure(self, simulate: str, generate: str, index: int) -> Request:
        """Ask for the transport of one run."""

    def fit(self, measure: Sequence[str]) -> Request:
        """Ask for a candidate's estimate."""

    def rank(self, keys: Mapping[str, Sequence[str]], aside: Sequence[SetAside] = ()) -> Request:
        """Ask for the table of all that is known, and of what was set aside."""


@dataclass(frozen=True)
class Task:
    """One question with what people want to read about it."""

    request: Request
    candidate: str = ""
    label: str = ""

    @property
    def key(self) -> str:
        """Address of the answer."""
        return self.request.key

    @property
    def stage(self) -> str:
        """Name of the stage."""
        return self.request.stage


@dataclass(frozen=True)
class SetAside:
    """Work of a candidate that was given up: no chemistry, but the table must say why something is missing."""

    subject: Subject
    stage: str
    label: str
    why: str


@dataclass(frozen=True)
class Decision:
    """One decision of the funnel for the event file."""

    action: str
    candidate: str
    why: str
    run: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass
class _Configuration:
    index: int
    name: str
    relax_key: str = ""


@dataclass
class _Candidate:
    subject: Subject
    generate_key: str = ""
    configurations: dict[int, _Configuration] = field(default_factory=dict)
    runs: dict[str, tuple[int, float, int]] = field(default_factory=dict)
    open: int = 0  # tasks asked and not yet answered
    measures: list[str] = field(default_factory=list)
    fitted: str = ""
    offered: bool = False
    awaited: bool = False  # the funnel waits for what its last run came to
    last: fun.Estimated | None = None
    settled: bool = False


class Plan:
    """The state of planning for one campaign.

    Parameters
    ----------
    subjects
        The candidates.
    builders
        How questions are worded.
    funnel
        Settings of the funnel; None asks every run of the plan.
    """

    def __init__(
        self, subjects: Sequence[Subject], builders: Builders, *, funnel: fun.FunnelSettings | None = None
    ) -> None:
        self._ask = builders
        self._candidates = [_Candidate(s) for s in subjects]
        self._by_name = {s.name: i for i, s in enumerate(subjects)}
        self._nodes: dict[str, tuple[int, int, str, str]] = {}  # key -> candidate, configuration, run, stage
        self._inputs: dict[str, str] = {}  # measure -> simulate, to word the question again
        self._learned: set[str] = set()
        self._abandoned: dict[str, SetAside] = {}
        self._good: dict[str, set[str]] = {name: set() for name in ORDER}
        self._unsettled = len(subjects)
        self._rank_key = ""
        self.decisions: list[Decision] = []
        self.funnel = None if funnel is None else fun.FunnelState(settings=funnel, expected=len(subjects))
        self.finished = False

    # -- the three verbs --------------------------------------------------------------------------------------------

    def start(self) -> list[Task]:
        """Return the first tasks: one generate a candidate."""
        tasks = []
        for i, candidate in enumerate(self._candidates):
            task = self._task(self._ask.generate(candidate.subject), i, -1, "", candidate.subject.name)
            candidate.generate_key = task.key
            tasks.append(task)
        return tasks or self._rank()

    def learn(self, task: Task, facts: Mapping[str, Any]) -> list[Task]:
        """Take in an answer; return the questions that it opens. A second answer to the same question opens none."""
        key = task.key
        if key in self._learned or key not in self._nodes:
            return []
        self._learned.add(key)
        self._abandoned.pop(key, None)
        self._good[task.stage].add(key)
        i, c, run, _ = self._nodes[key]
        if task.stage == "rank":
            self.finished = True
            return []
        candidate = self._candidates[i]
        candidate.open -= 1
        step: Callable[..., list[Task]] = getattr(self, f"_after_{task.stage}")
        opened = step(candidate, i, c, run, key, facts)
        return opened + self._settle(candidate, i)

    def abandon(self, task: Task, why: str) -> list[Task]:
        """Close the branch behind a task that was set aside; return the questions that this opens."""
        key = task.key
        if key in self._learned or key in self._abandoned or key not in self._nodes:
            return []
        if task.stage == "rank":
            self.finished = True
            return []
        i = self._nodes[key][0]
        candidate = self._candidates[i]
        self._abandoned[key] = SetAside(candidate.subject, task.stage, task.label, why)
        candidate.open -= 1
        if task.stage == "fit":
            candidate.fitted = key
            return self._funnel_event(fun.Closed(candidate.subject.name, why)) + self._done(candidate)
        return self._settle(candidate, i)

    def spent(self, hours: float) -> list[Task]:
        """Tell the funnel how many device hours were used (it decides with it at the end of its round)."""
        return self._funnel_event(fun.Spent(hours))

    def known_keys(self) -> dict[str, list[str]]:
        """Return the addresses of all answers so far, by stage; of each candidate's estimates the last."""
        return {stage: sorted(self._good[stage]) for stage in ORDER if stage != "rank"}

    def set_aside(self) -> list[SetAside]:
        """Return what was given up, in the order of the candidates and stages."""
        return sorted(self._abandoned.values(), key=lambda a: (a.subject.name, ORDER.index(a.stage), a.label))

    def task(self, key: str) -> Task | None:
        """Word a question again that was asked before (its answer was lost); None when it never was."""
        node = self._nodes.get(key)
        if node is None or node[0] < 0:
            return None
        i, c, run, stage = node
        candidate = self._candidates[i]
        ask = self._ask
        if stage == "generate":
            request = ask.generate(candidate.subject)
        elif stage == "sieve":
            request = ask.sieve(candidate.generate_key, c)
        elif stage == "relax":
            request = ask.relax(candidate.generate_key, c)
        elif stage == "simulate":
            index, temperature_K, replica = candidate.runs[run]
            relax = candidate.configurations[c].relax_key
            request = ask.simulate(candidate.subject, relax, candidate.generate_key, index, temperature_K, replica)
        elif stage == "measure":
            request = ask.measure(self._inputs[key], candidate.generate_key, c)
        elif stage == "fit":
            request = ask.fit(candidate.measures)
        else:
            return None
        if request.key != key:
            return None  # an estimate from fewer runs than there are now: nobody needs it any more
        configuration = candidate.configurations.get(c)
        label = run or (configuration.name if configuration else candidate.subject.name)
        return Task(request, candidate.subject.name, label)

    @property
    def counts(self) -> dict[str, int]:
        """How many questions of each stage were asked so far, and how many candidates are settled."""
        out = dict.fromkeys(ORDER, 0)
        out["settled"] = len(self._candidates) - self._unsettled
        out["candidates"] = len(self._candidates)
        return out

    def remaining_runs(self) -> int:
        """Upper bound of the MD runs that may still be asked (for the estimate of the time left)."""
        left = 0
        for candidate in self._candidates:
            if candidate.settled:
                continue
            subject = candidate.subject
            n = max(1, len(candidate.configurations)) * len(subject.temperatures_K) * subject.replicas
            left += n - len(candidate.runs)
        return max(0, left)

    # -- steps ------------------------------------------------------------------------------------------------------

    def _task(self, request: Request, i: int, c: int, run: str, label: str) -> Task:
        self._nodes[request.key] = (i, c, run, request.stage)
        if i >= 0:
            self._candidates[i].open += 1
        return Task(request, self._candidates[i].subject.name if i >= 0 else "", label)

    def _after_generate(
        self, candidate: _Candidate, i: int, c: int, run: str, key: str, facts: Mapping[str, Any]
    ) -> list[Task]:
        tasks = []
        for index, (name, good) in enumerate(facts.get("configurations", ())):
            if good:
                candidate.configurations[index] = _Configuration(index, name)
                tasks.append(self._task(self._ask.sieve(key, index), i, index, "", name))
        return tasks

    def _after_sieve(
        self, candidate: _Candidate, i: int, c: int, run: str, key: str, facts: Mapping[str, Any]
    ) -> list[Task]:
        if not facts["ok"]:
            return []
        name = candidate.configurations[c].name
        return [self._task(self._ask.relax(candidate.generate_key, c), i, c, "", name)]

    def _after_relax(
        self, candidate: _Candidate, i: int, c: int, run: str, key: str, facts: Mapping[str, Any]
    ) -> list[Task]:
        if not facts["ok"]:
            return []
        candidate.configurations[c].relax_key = key
        if self.funnel is not None:
            return []
        subject = candidate.subject
        runs = [(c, t, r) for r in range(subject.replicas) for t in subject.temperatures_K]
        return [self._simulate(candidate, i, run) for run in runs]

    def _simulate(self, candidate: _Candidate, i: int, run: tuple[int, float, int]) -> Task:
        c, temperature_K, replica = run
        configuration = candidate.configurations[c]
        label = f"{configuration.name}--{temperature_K:g}K-r{replica}"
        candidate.runs[label] = run
        request = self._ask.simulate(
            candidate.subject, configuration.relax_key, candidate.generate_key, c, temperature_K, replica
        )
        return self._task(request, i, c, label, label)

    def _after_simulate(
        self, candidate: _Candidate, i: int, c: int, run: str, key: str, facts: Mapping[str, Any]
    ) -> list[Task]:
        if not facts["ok"]:
            return []
        task = self._task(self._ask.measure(key, candidate.generate_key, c), i, c, run, run)
        self._inputs[task.key] = key
        return [task]

    def _after_measure(
        self, candidate: _Candidate, i: int, c: int, run: str, key: str, facts: Mapping[str, Any]
    ) -> list[Task]:
        candidate.measures.append(key)
        return []

    def _after_fit(
        self, candidate: _Candidate, i: int, c: int, run: str, key: str, facts: Mapping[str, Any]
    ) -> list[Task]:
        self._good["fit"].discard(candidate.fitted)
        candidate.fitted = key
        if self.funnel is None:
            return self._done(candidate)
        name = candidate.subject.name
        candidate.last = fun.Estimated(name, facts.get("mean"), facts.get("std"), facts.get("limit"))
        candidate.awaited = False
        return self._funnel_event(candidate.last)

    def _settle(self, candidate: _Candidate, i: int) -> list[Task]:
        """When nothing of a candidate is open: ask for its estimate, offer it to the funnel, or close it."""
        if candidate.open or candidate.settled:
            return []
        name = candidate.subject.name
        if self.funnel is not None and not candidate.offered:
            ready = sorted(c.index for c in candidate.configurations.values() if c.relax_key)
            if not ready:
                return self._funnel_event(fun.Closed(name, "no configuration reached MD")) + self._done(candidate)
            candidate.offered = True
            order = fun.run_order(candidate.subject.temperatures_K, ready, candidate.subject.replicas)
            return self._funnel_event(fun.Offered(name, tuple(f"{c}|{t!r}|{r}" for c, t, r in order)))
        if self.funnel is not None and not candidate.awaited:
            return []
        if candidate.measures:
            request = self._ask.fit(candidate.measures)
            if request.key not in self._nodes:
                return [self._task(request, i, -1, "", name)]
        if self.funnel is None:
            return self._done(candidate)
        candidate.awaited = False  # its last run could not be measured: the estimate stays what it was
        return self._funnel_event(candidate.last or fun.Estimated(name))

    def _done(self, candidate: _Candidate) -> list[Task]:
        if candidate.settled:
            return []
        candidate.settled = True
        self._unsettled -= 1
        return self._rank()

    def _rank(self) -> list[Task]:
        if self._unsettled or self._rank_key:
            return []
        request = self._ask.rank(self.known_keys(), self.set_aside())
        self._rank_key = request.key
        return [self._task(request, -1, -1, "", "ranking")]

    # -- the funnel -------------------------------------------------------------------------------------------------

    def _funnel_event(self, event: fun.Event) -> list[Task]:
        if self.funnel is None:
            return []
        self.funnel, actions = fun.decide(self.funnel, [event])
        return self._act(actions)

    def _act(self, actions: Sequence[fun.Action]) -> list[Task]:
        tasks: list[Task] = []
        for action in actions:
            if isinstance(action, fun.Submit):
                i = self._by_name[action.candidate]
                c, temperature, replica = action.run.split("|")
                self._candidates[i].awaited = True
                task = self._simulate(self._candidates[i], i, (int(c), float(temperature), int(replica)))
                tasks.append(task)
                self.decisions.append(Decision("submit", action.candidate, action.why, task.label, action.numbers))
            elif isinstance(action, fun.Stop):
                self.decisions.append(Decision("stop", action.candidate, action.why, "", action.numbers))
                tasks += self._done(self._candidates[self._by_name[action.candidate]])
            else:
                self.decisions.append(Decision("finish", "", action.why, "", action.numbers))
                for candidate in self._candidates:
                    tasks += self._done(candidate)
        return tasks
