"""The queue in front of the workers: which requests go out next, and how many in one bundle. Pure: no clock, no disk.

Later stages go first: a candidate is finished rather than a hundred begun, so the table fills from the start, and the
funnel learns early. Short requests are bundled, because handing one out costs more than answering it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

from ionsieve.screening.plan import ORDER, Task
from ionsieve.screening.retries import RunRules

__all__ = ["Waiting"]


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
        self._ready: dict[bool, list[tuple[int, int, Task]]] = {True: [], False: []}
        self._later: list[tuple[float, int, Task]] = []
        self._number = 0
        self._mean_s: dict[str, float] = {}

    def __len__(self) -> int:
        return sum(map(len, self._ready.values())) + len(self._later)

    def add(self, task: Task, *, not_before: float = 0.0, now: float = 0.0) -> None:
        """Queue a task, to go out at once or not before a time."""
        self._number += 1
        if not_before > now:
            heapq.heappush(self._later, (not_before, self._number, task))
        else:
            rank = -ORDER.index(task.stage) if task.stage in ORDER else 0
            heapq.heappush(self._ready[self._on_device(task.stage)], (rank, self._number, task))

    def wake(self, now: float) -> None:
        """Let those go out whose time has come."""
        while self._later and self._later[0][0] <= now:
            self.add(heapq.heappop(self._later)[2])

    def ready(self, *, device: bool) -> bool:
        """Whether a task could go out now."""
        return bool(self._ready[device])

    def took(self, stage: str, seconds: float) -> None:
        """Learn how long a request of a stage takes."""
        if seconds > 0:
            old = self._mean_s.get(stage, seconds)
            self._mean_s[stage] = 0.9 * old + 0.1 * seconds

    def next_bundle(self, *, device: bool, places: int, one_group: bool, alone: Callable[[Task], bool]) -> list[Task]:
        """Take the next bundle: tasks of one stage.

        Parameters
        ----------
        device
            Which of the two queues.
        places
            How many bundles run at a time there.
        one_group
            Whether CPU workers do both kinds of work.
        alone
            Whether a task must go out without companions.
        """
        waiting = self._ready[device]
        first = heapq.heappop(waiting)[2]
        if alone(first):
            return [first]
        size = self._size(first.stage, len(waiting) + 1, device=device, places=places, one_group=one_group)
        bundle = [first]
        while waiting and len(bundle) < size:
            task = waiting[0][2]
            if task.stage != first.stage or alone(task):
                break
            bundle.append(heapq.heappop(waiting)[2])
        return bundle

    def _size(self, stage: str, n: int, *, device: bool, places: int, one_group: bool) -> int:
        """Return how many requests of a stage make a bundle, when `n` wait."""
        rules, mean = self._rules, self._mean_s.get(stage)
        share = math.ceil(n / max(1, 2 * places))  # leave some for the others
        if device and not one_group and self._many(stage):
            return min(rules.device_bundle, share)
        if mean is None:
            return 1
        mean = max(mean, 1e-4)
        return max(1, min(rules.bundle_max, int(rules.bundle_s / mean), max(share, int(rules.quick_s / mean))))
