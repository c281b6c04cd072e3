"""What becomes of a request that did not get its answer: again, later, or set aside. Pure: no clock, no disk.

An accident is no chemistry: it is tried again, and each time it waits longer, so that a full scratch disk or a node
that is being rebooted has time to mend; what goes wrong too often is set aside with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["Retry", "RunRules", "Trouble", "after_busy", "after_damage", "after_error", "after_loss", "after_slice"]

ORPHANED = 20
"""How often work may be lost before it began; a worker that dies so often in a row cannot start."""
BUSY = 40
"""How often its scratch folder may be found locked; with the waits between, about a quarter of an hour."""


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
    quick_s
        A bundle of so little work is not split among the places.
    bundle_max
        Largest number of requests in a bundle.
    device_bundle
        Runs that one GPU is given at a time, for the engine that moves many cells in one pass; 1 on CPU workers.
    ahead
        Bundles handed out for each place beyond the one that runs.
    wait_s, wait_max_s
        Wait before the second try; each further one waits twice as long, up to the maximum.
    """

    slice_s: float = 600.0
    deaths: int = 3
    attempts: int = 3
    bundle_s: float = 2.0
    quick_s: float = 0.4
    bundle_max: int = 256
    device_bundle: int = 64
    ahead: int = 1
    wait_s: float = 1.0
    wait_max_s: float = 60.0

    def wait(self, times: int) -> float:
        """Return the seconds to wait before the next try after `times` accidents."""
        return min(self.wait_max_s, self.wait_s * 2.0 ** max(0, min(times, 30) - 1)) if times > 0 else 0.0


@dataclass(frozen=True)
class Trouble:
    """What has gone wrong with one request so far.

    Attributes
    ----------
    attempts, deaths, slices, seconds
        As in the ledger's row.
    alone
        It goes out without companions: it may have killed its worker.
    fresh
        Its next attempt starts from an empty scratch folder.
    busy, orphaned, damaged
        Times its scratch folder was locked, times it was lost before it began, and times that an input of it failed
        its digest.
    """

    attempts: int = 0
    deaths: int = 0
    slices: int = 0
    seconds: float = 0.0
    alone: bool = False
    fresh: bool = False
    busy: int = 0
    orphaned: int = 0
    damaged: int = 0

    @classmethod
    def remembered(cls, rules: RunRules, *, attempts: int, deaths: int, slices: int, seconds: float) -> Trouble:
        """Return what the ledger remembers; its last chance starts from nothing, also after a restart."""
        return cls(
            attempts=attempts,
            deaths=deaths,
            slices=slices,
            seconds=seconds,
            alone=deaths > 0 or attempts > 0,
            fresh=attempts >= rules.attempts - 1,
        )


@dataclass(frozen=True)
class Retry:
    """What to do: try again after `wait_s`, or set it aside when `aside` says why."""

    trouble: Trouble
    wait_s: float = 0.0
    aside: str = ""


def after_slice(trouble: Trouble, seconds: float) -> Retry:
    """A slice ended and the work goes on: what killed its worker before was not this request."""
    return Retry(
        replace(
            trouble,
            slices=trouble.slices + 1,
            deaths=0,
            orphaned=0,
            busy=0,
            seconds=trouble.seconds + seconds,
            fresh=False,
        )
    )


def after_error(trouble: Trouble, rules: RunRules, *, reason: str, seconds: float) -> Retry:
    """An attempt failed with an exception."""
    attempts = trouble.attempts + 1
    trouble = replace(
        trouble, attempts=attempts, seconds=trouble.seconds + seconds, alone=True, fresh=attempts == rules.attempts - 1
    )
    if attempts >= rules.attempts:
        return Retry(trouble, aside=f"failed {attempts} times: {reason}")
    return Retry(trouble, rules.wait(attempts))


def after_loss(trouble: Trouble, rules: RunRules, *, guilty: bool, begun: bool, reason: str) -> Retry:
    """Its worker died.

    Parameters
    ----------
    guilty
        Whether the worker was at this request.
    begun
        Whether it was at any: if not, the bundle only stood in its queue, or the worker cannot start at all.
    reason
        For the sentence.
    """
    if guilty:
        trouble = replace(trouble, alone=True, deaths=trouble.deaths + 1)
        if trouble.deaths >= rules.deaths:
            return Retry(trouble, aside=f"the worker died under it {trouble.deaths} times")
        return Retry(trouble, rules.wait(trouble.deaths - 1))  # the first death is most often the machine's
    if begun:
        return Retry(trouble)
    trouble = replace(trouble, orphaned=trouble.orphaned + 1)
    if trouble.orphaned >= ORPHANED:
        return Retry(trouble, aside=f"lost {trouble.orphaned} times before it began, last: {reason or 'no reason'}")
    return Retry(trouble, rules.wait(trouble.orphaned - 1))


def after_damage(trouble: Trouble, rules: RunRules, *, reason: str) -> Retry:
    """An input of it was damaged or gone; it waits until that is computed again, but not for ever."""
    trouble = replace(trouble, damaged=trouble.damaged + 1)
    if trouble.damaged > rules.attempts:
        return Retry(trouble, aside=f"an input was damaged {trouble.damaged} times: {reason}")
    return Retry(trouble)


def after_busy(trouble: Trouble, rules: RunRules) -> Retry:
    """Another process still works on it: one that was given up, but lives."""
    trouble = replace(trouble, busy=trouble.busy + 1)
    if trouble.busy > BUSY:
        return Retry(trouble, aside="another process has kept its scratch folder locked")
    return Retry(trouble, min(30.0, rules.wait(trouble.busy)))
