"""How a Dask worker leaves: what it is at is saved and told first, and nothing new is begun.

A worker learns that it is to go from its nanny (its status), from the end of its allocation, or by SIGTERM or SIGUSR1
to its own process, as batch systems send them to every process of a job. Its work then saves at the next guard point
and is given back unfinished; the driver fetches that answer; the worker says good-bye to the scheduler. A second signal
does not wait for any of it.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

from ionsieve.dynamics import stopping

__all__ = ["at_work", "leave", "leaves"]

FETCH_S = 0.5
"""How long an answer can be fetched from a worker that has nothing else to do."""
POLL_S = 0.05
GOODBYE_S = 20.0
"""How long a scheduler may take to let a worker go; it may be dead itself."""

_LEAVING = frozenset({"closing", "closing_gracefully", "closed", "failed"})
"""What Dask calls a worker that is on its way out: its nanny gives the work under way some seconds to save."""
_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
_UNDERWAY: set[str] = set()
_HEEDED: set[signal.Signals] = set()


def leaves(worker: Any) -> bool:
    """Whether a worker is on its way out."""
    return worker.status.name in _LEAVING


@contextmanager
def at_work(worker: Any, bundle: str) -> Iterator[None]:
    """Within the context, a worker's leaving asks the work to save (`stopping.asked`), and waits for it."""
    if not _HEEDED:
        worker.loop.add_callback(_heed, worker)
    _UNDERWAY.add(bundle)
    try:
        with stopping.listening(lambda: leaves(worker)):
            yield
    finally:
        _UNDERWAY.discard(bundle)


def _heed(worker: Any) -> None:
    """Hear the signals that nobody hears. Dask's own handlers (no nanny) and other people's stay.

    Run by the worker's loop, which most often is the main thread's: signals can be heard nowhere else.
    """
    if _HEEDED or threading.current_thread() is not threading.main_thread():
        return
    _HEEDED.update(n for n in _SIGNALS if signal.getsignal(n) in (signal.SIG_DFL, signal.SIG_IGN))

    def handle(number: int, frame: FrameType | None) -> None:
        for heeded in _HEEDED:  # the second one does not wait
            signal.signal(heeded, signal.SIG_DFL)
        stopping.ask()
        # from a handler, and to a loop that may be asleep: only this wakes it
        worker.loop.asyncio_loop.call_soon_threadsafe(partial(worker.loop.add_callback, leave, worker, restart=True))

    for number in _HEEDED:
        signal.signal(number, handle)


async def leave(worker: Any, *, restart: bool) -> None:
    """Take nothing new, wait for what is under way, and go.

    Parameters
    ----------
    worker
        The Dask worker, in whose loop this runs.
    restart
        Whether its nanny starts another in its place. A nanny that was told to end as well does not.
    """
    from distributed.core import Status

    if leaves(worker):  # somebody else sees to it
        return
    begun, fetched = set(_UNDERWAY), 0.0
    while fetched < FETCH_S:
        if worker.status is Status.running:  # now, and whenever Dask's look at the memory ends the pause
            worker.status = Status.paused
        await asyncio.sleep(POLL_S)
        fetched = 0.0 if begun & _UNDERWAY else fetched + POLL_S
    try:
        await asyncio.wait_for(worker.close_gracefully(restart=restart, reason="ionsieve-leaves"), GOODBYE_S)
    except (OSError, TimeoutError):  # the scheduler is gone: nobody misses this worker
        signal.raise_signal(signal.SIGKILL)
