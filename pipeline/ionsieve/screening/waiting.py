"""The queue in front of the workers: which requests go out next, and how many in one bundle. Pure: no clock, no disk.

Later stages go first: a candidate is finished rather than a hundred begun, so the table fills from the start, and the
funnel learns early. One exception: while too few runs of dynamics wait to keep every place busy, what leads to more of
them goes first, so that the end of a campaign is runs on all places and not the preparation of its last candidate on
one. Short requests are bundled, because handing one out costs more than answering it; of them, a later stage waits
until there is a bundle full, as long as an earlier one has work.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Mapping

from ionsieve.screening.plan import ORDER, Task
from ionsieve.screening.retries import RunRules

__all__ = ["Waiting"]

DYNAMICS = "simulate"
BACKLOG = 2
"""Runs (on a GPU: bundles of them) that shall wait for each place."""


class Waiting:
    """Tasks that wait for a place on a device or on a CPU.

    Parameters
    ----------
    rules
        How work is bundled.
    on_device, many
        Whether a stage evaluates the potential, and whether it takes several requests in one call.
    """

    def __init__(self, rules: RunRules, *, on_device: Callable[[str], bool], many: Callable[[str], bool]) -> None:
        self._rules = rules
        self._on_device = on_device
        self._many = many
        self._ready: dict[str, deque[Task]] = {}  # by stage, the latest first
        self._later: list[tuple[float, int, Task]] = []
        self._number = 0
        self._mean_s: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._later) + sum(map(len, self._ready.values()))

    def add(self, task: Task, *, not_before: float = 0.0, now: float = 0.0) -> None:
        """Queue a task, to go out at once or not before a time."""
        self._number += 1
        if not_before > now:
            heapq.heappush(self._later, (not_before, self._number, task))
        else:
            if task.stage not in self._ready:
                names = sorted((*self._ready, task.stage), key=_depth)
                self._ready = {name: self._ready.get(name, deque()) for name in names}
            self._ready[task.stage].append(task)

    def wake(self, now: float) -> None:
        """Let those go out whose time has come."""
        while self._later and self._later[0][0] <= now:
            self.add(heapq.heappop(self._later)[2])

    def _open(self, device: bool | None, *, brief: bool) -> dict[str, deque[Task]]:
        """Return the queues that are not empty, of one kind of work or of both."""
        return {
            stage: queue
            for stage, queue in self._ready.items()
            if queue and (device is None or self._on_device(stage) == device) and not (brief and self.long(stage))
        }

    def ready(self, *, device: bool | None = None, brief: bool = False) -> bool:
        """Whether a task could go out now: one for a device, one for a CPU, or any; `brief`: none that is `long`."""
        return bool(self._open(device, brief=brief))

    def long(self, stage: str) -> bool:
        """Whether a request of the stage is work enough for a bundle (dynamics is until it was seen not to be).

        Such work waits here for a place that is free, not behind other work at one that is taken: the pool would have
        to know which is free first. For short work a bundle ahead saves the way there and back.
        """
        mean = self._mean_s.get(stage)
        return self._on_device(stage) if mean is None else mean >= self._rules.bundle_s

    def took(self, stage: str, seconds: float) -> None:
        """Learn how long a request of a stage takes."""
        if seconds > 0:
            old = self._mean_s.get(stage, seconds)
            self._mean_s[stage] = 0.9 * old + 0.1 * seconds

    def next_bundle(
        self, *, device: bool | None, places: int, alone: Callable[[Task], bool], brief: bool = False
    ) -> list[Task]:
        """Take the next bundle: tasks of one stage.

        Parameters
        ----------
        device
            Work for devices, work for CPUs, or either where one group of workers does both.
        places
            How many bundles run at a time there.
        alone
            Whether a task must go out without companions.
        brief
            Nothing that is `long`.
        """
        queues = self._open(device, brief=brief)
        grouped = device is True
        stage = self._choose(queues, grouped, places)
        queue = queues[stage]
        share = math.ceil(len(queue) / max(1, 2 * places))  # leave some for the others, but not of next to nothing
        if grouped and self._many(stage):
            size = min(self._rules.device_bundle, share)
        else:
            size = min(self._most(stage), max(share, self._most(stage, self._rules.quick_s)))
        bundle = [queue.popleft()]
        while queue and len(bundle) < size and not alone(bundle[0]) and not alone(queue[0]):
            bundle.append(queue.popleft())
        return bundle

    def _choose(self, queues: Mapping[str, deque[Task]], grouped: bool, places: int) -> str:
        """Return the stage whose turn it is."""
        full = [s for s, q in queues.items() if (grouped and self._many(s)) or len(q) >= self._most(s)]
        stage = full[0] if full else next(iter(queues))
        if stage == DYNAMICS and self.long(DYNAMICS):
            wanted = BACKLOG * places * (self._rules.device_bundle if grouped and self._many(DYNAMICS) else 1)
            earlier = [s for s in queues if _depth(s) > _depth(DYNAMICS)]
            if earlier and len(queues[DYNAMICS]) < wanted:
                return earlier[0]
        return stage

    def _most(self, stage: str, seconds: float | None = None) -> int:
        """Return how many requests of a stage make so many seconds of work (a bundle, by default)."""
        mean = self._mean_s.get(stage)
        if mean is None:
            return 1
        seconds = self._rules.bundle_s if seconds is None else seconds
        return max(1, min(self._rules.bundle_max, int(seconds / max(mean, 1e-4))))


def _depth(stage: str) -> int:
    """Later stages sort first."""
    return -ORDER.index(stage) if stage in ORDER else 0
