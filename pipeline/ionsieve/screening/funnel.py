"""The funnel: which run is worth its time next. Pure: no clock, no disk, no Dask.

``decide(state, events) -> (state, actions)``. Replaying the events rebuilds the state; every action carries the numbers
behind it, which go to the event file, to `ionsieve status CANDIDATE` and to the report.

Policy: rounds of successive elimination on the posterior of the transport room
    Every candidate gives ln sigma at the temperature of use as a normal posterior (mean m_i, standard deviation s_i)
    from the runs it has; an upper limit u counts as N(u - 1.645 h, h²), so that 5 % lie above u; without any estimate
    the candidate takes the population's mean and a width that excludes nothing.
    In each round p_i = P(candidate i is among the k best) is computed from joint draws of all posteriors (common random
    numbers, keyed by seed and round). Then
        p_i < `drop_probability`                       stopped: cannot be in the top k
        s_i <= `relative_error`                        finished: known well enough
        otherwise the candidate waits for more runs
    and the most undecided (largest p_i (1 - p_i) s_i) of those that wait get their next run: hottest temperature first,
    then coldest, then between, then further seeds and configurations.
    A round ends when all its runs are measured: decisions depend on results, never on who was faster.

Ends when nobody waits, or when the device hours spent reach the budget.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ionsieve.errors import BugError
from ionsieve.rng import generator

__all__ = [
    "Action",
    "Candidate",
    "Closed",
    "Estimated",
    "Event",
    "Finish",
    "FunnelSettings",
    "FunnelState",
    "Offered",
    "Spent",
    "Stop",
    "Submit",
    "decide",
    "run_order",
    "story",
    "top_k_probability",
    "validate",
]

LIMIT_WIDTH = 0.6
"""Standard deviation (of ln sigma) given to an upper limit."""


@dataclass(frozen=True)
class FunnelSettings:
    """What the funnel is told.

    Attributes
    ----------
    top_k
        How many winners are wanted.
    drop_probability
        Below this chance of being among them a candidate is stopped.
    relative_error
        Standard deviation of ln sigma at which a candidate is known well enough.
    budget
        Device hours after which no new run starts; None: no limit.
    round_share
        Share of the waiting candidates that get a run in one round (never fewer than `top_k`).
    draws, seed
        Joint draws behind the probabilities, and the seed of their stream.
    """

    top_k: int = 5
    drop_probability: float = 0.02
    relative_error: float = 0.2
    budget: float | None = None
    round_share: float = 0.5
    draws: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class Candidate:
    """What the funnel knows of one candidate. `status`: waiting, running, stopped, finished or closed (failed)."""

    offers: tuple[str, ...] = ()
    used: int = 0
    status: str = "waiting"
    mean: float | None = None
    std: float | None = None
    limit: float | None = None
    probability: float | None = None


@dataclass(frozen=True)
class FunnelState:
    """Everything; immutable, rebuilt by replaying the events."""

    settings: FunnelSettings = FunnelSettings()
    expected: int = 0
    candidates: Mapping[str, Candidate] = field(default_factory=dict)
    round: int = 0
    spent: float = 0.0
    over: str = ""


@dataclass(frozen=True)
class Offered:
    """A candidate is ready for MD: its possible runs, in the order in which they should be used."""

    candidate: str
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Estimated:
    """All runs given so far are measured: posterior of ln sigma (None: not yet), or an upper limit."""

    candidate: str
    mean: float | None = None
    std: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Closed:
    """A candidate drops out: sieved, refused, melted, quarantined, or its runs failed."""

    candidate: str
    why: str = ""


@dataclass(frozen=True)
class Spent:
    """Device hours used so far in the whole campaign."""

    hours: float


Event = Offered | Estimated | Closed | Spent


@dataclass(frozen=True)
class Submit:
    """Give the candidate its next run."""

    candidate: str
    run: str
    why: str
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Stop:
    """No more runs for the candidate."""

    candidate: str
    why: str
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Finish:
    """No more runs at all."""

    why: str
    numbers: Mapping[str, float] = field(default_factory=dict)


Action = Submit | Stop | Finish


def run_order(
    temperatures_K: Sequence[float], configurations: Sequence[int], replicas: int
) -> list[tuple[int, float, int]]:
    """Return (configuration, temperature_K, replica) in the order of use.

    Hottest first (most jumps an hour), then coldest (longest lever for the activation energy), then from the outside
    in; other configurations before further seeds of the same one, because orderings differ by more than seeds do.
    """
    descending = sorted(temperatures_K, reverse=True)
    line: list[float] = []
    low, high = 0, len(descending) - 1
    while low <= high:
        line.append(descending[low])
        if high != low:
            line.append(descending[high])
        low, high = low + 1, high - 1
    return [(c, t, r) for r in range(replicas) for c in configurations for t in line]


def top_k_probability(mean: np.ndarray, std: np.ndarray, k: int, *, draws: int, seed: int, step: int) -> np.ndarray:
    """Return P(candidate is among the k largest) for independent normals.

    Parameters
    ----------
    mean, std
        Shape (N,).
    k
        How many are wanted.
    draws, seed, step
        Joint draws and their stream: the same call gives the same numbers.

    Returns
    -------
    array of shape (N,)
        Those that lie more than 5 standard deviations below the k-th best lower end are exactly 0.
    """
    n = len(mean)
    if n <= k:
        return np.ones(n)
    floor = np.partition(mean - 5 * std, n - k)[n - k]
    alive = np.flatnonzero(mean + 5 * std >= floor)
    out = np.zeros(n)
    noise = generator(seed, "funnel", step=step).standard_normal((draws, len(alive)))
    sample = mean[alive] + std[alive] * noise
    winners = np.argpartition(sample, len(alive) - k, axis=1)[:, len(alive) - k :]
    out[alive] = np.bincount(winners.ravel(), minlength=len(alive)) / draws
    return out


def decide(state: FunnelState, events: Iterable[Event]) -> tuple[FunnelState, list[Action]]:
    """Take in what happened; return the new state and what to do.

    Raises
    ------
    BugError
        When an event cannot follow from the state (an estimate of a candidate that has no run).
    """
    candidates = dict(state.candidates)
    actions: list[Action] = []
    spent = state.spent
    for event in events:
        if isinstance(event, Spent):
            spent = max(spent, event.hours)
            continue
        old = candidates.get(event.candidate)
        if isinstance(event, Offered):
            if old is not None:
                continue
            new = Candidate(offers=event.runs)
            if not event.runs:
                new = replace(new, status="closed")
            elif not state.over:
                new = replace(new, used=1, status="running")
                actions.append(Submit(event.candidate, event.runs[0], "first look: every candidate gets one run"))
            candidates[event.candidate] = new
        elif isinstance(event, Closed):
            candidates[event.candidate] = replace(old or Candidate(), status="closed")
        else:
            if old is None or old.used == 0:
                raise BugError("an estimate of a candidate that was given no run", found=event.candidate)
            status = "waiting" if old.status == "running" else old.status
            candidates[event.candidate] = replace(old, mean=event.mean, std=event.std, limit=event.limit, status=status)
    state = replace(state, candidates=candidates, spent=spent)
    busy = len(candidates) < state.expected or any(c.status == "running" for c in candidates.values())
    if busy or state.over or not candidates:
        return state, actions
    state, more = _round(state)
    return state, actions + more


def _posterior(candidates: Mapping[str, Candidate], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    known = [c.mean for c in candidates.values() if c.mean is not None and c.status != "closed"]
    centre = float(np.mean(known)) if known else 0.0
    width = 2.0 + (float(np.std(known)) if known else 0.0)
    mean, std = np.empty(len(names)), np.empty(len(names))
    for i, name in enumerate(names):
        c = candidates[name]
        if c.mean is not None and c.std is not None and math.isfinite(c.mean) and math.isfinite(c.std):
            mean[i], std[i] = c.mean, max(c.std, 1e-6)
        elif c.limit is not None:
            mean[i], std[i] = c.limit - 1.645 * LIMIT_WIDTH, LIMIT_WIDTH
        else:
            mean[i], std[i] = centre, width
    return mean, std


def _round(state: FunnelState) -> tuple[FunnelState, list[Action]]:
    """Judge everybody and hand out the next runs."""
    told = state.settings
    number = state.round + 1
    candidates = dict(state.candidates)
    names = sorted(n for n, c in candidates.items() if c.status != "closed")
    actions: list[Action] = []
    mean, std = _posterior(candidates, names)
    chance = top_k_probability(mean, std, told.top_k, draws=told.draws, seed=told.seed, step=number)
    waiting: list[tuple[float, str]] = []
    for i, name in enumerate(names):
        c = replace(candidates[name], probability=float(chance[i]))
        numbers = {"mean": float(mean[i]), "std": float(std[i]), "probability": float(chance[i]), "runs": float(c.used)}
        if c.status == "waiting":
            if chance[i] < told.drop_probability:
                c = replace(c, status="stopped")
                actions.append(Stop(name, f"chance of the top {told.top_k} below {told.drop_probability:g}", numbers))
            elif std[i] <= told.relative_error:
                c = replace(c, status="finished")
                actions.append(Stop(name, f"known to {std[i]:.2g} in ln sigma", numbers))
            elif c.used >= len(c.offers):
                c = replace(c, status="finished")
                actions.append(Stop(name, "all runs of the plan are used", numbers))
            else:
                waiting.append((float(chance[i] * (1 - chance[i]) * min(std[i], 3.0)), name))
        candidates[name] = c
    state = replace(state, candidates=candidates, round=number)
    if told.budget is not None and state.spent >= told.budget:
        actions.append(Finish("the budget is spent", {"hours": state.spent, "budget": told.budget}))
        return replace(state, over="budget"), actions
    if not waiting:
        actions.append(Finish("nothing left to decide", {"rounds": float(number)}))
        return replace(state, over="decided"), actions
    waiting.sort(key=lambda item: (-item[0], item[1]))
    share = max(told.top_k, math.ceil(told.round_share * len(waiting)))
    for score, name in waiting[:share]:
        c = candidates[name]
        candidates[name] = replace(c, used=c.used + 1, status="running")
        actions.append(
            Submit(
                name,
                c.offers[c.used],
                f"may still be among the top {told.top_k}",
                {"probability": c.probability or 0.0, "score": score, "round": float(number)},
            )
        )
    return replace(state, candidates=candidates), actions


def validate(state: FunnelState) -> None:
    """Check every invariant.

    Raises
    ------
    BugError
        Naming the first that is broken.
    """
    for name, c in state.candidates.items():
        if not 0 <= c.used <= len(c.offers):
            raise BugError("more runs used than offered", found=f"{name}: {c.used} of {len(c.offers)}")
        if c.status not in ("waiting", "running", "stopped", "finished", "closed"):
            raise BugError("unknown status", found=f"{name}: {c.status}")
        if c.status == "running" and c.used == 0:
            raise BugError("running without a run", found=name)
        if c.probability is not None and not 0 <= c.probability <= 1:
            raise BugError("not a probability", found=f"{name}: {c.probability}")
    if state.over == "decided" and any(c.status in ("waiting", "running") for c in state.candidates.values()):
        raise BugError("finished while a candidate waits")


def story(events: Iterable[Mapping[str, Any]], candidate: str) -> list[str]:
    """Return what happened to one candidate, in sentences, from the event file."""
    lines = []
    for event in events:
        if event.get("candidate") != candidate:
            continue
        kind = str(event["kind"])
        words = (event.get("action"), event.get("stage"), event.get("label") or event.get("run"))
        what = " ".join(str(w) for w in words if w)
        why = f": {event['why']}" if event.get("why") else f": {event['reason']}" if event.get("reason") else ""
        numbers = event.get("numbers") or {}
        tail = f" ({', '.join(f'{k} {v:.3g}' for k, v in numbers.items())})" if numbers else ""
        lines.append(f"{kind} {what}{why}{tail}".strip())
    return lines
