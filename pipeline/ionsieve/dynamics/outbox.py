"""Writing behind the dynamics: one thread that does pieces of disk work in order, and passes its first error on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["Outbox"]

Work = Callable[[], None]


class Outbox:
    """Does submitted work in one background thread, in order.

    At most `capacity` pieces wait (each may hold frames in memory); then `submit` waits. An error of the thread is
    raised by the next `submit` or `drain`, and no later piece is begun: what is on disk stays a prefix of what was
    submitted.
    """

    def __init__(self, capacity: int = 256) -> None:
        self._queue: queue.Queue[Work | None] = queue.Queue(maxsize=capacity)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="ionsieve-outbox", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            work = self._queue.get()
            try:
                if work is None:
                    return
                if self._error is None:
                    work()
            except BaseException as error:  # noqa: BLE001  handed to the caller by _raise
                self._error = error
            finally:
                self._queue.task_done()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def submit(self, work: Work) -> None:
        """Queue a piece of work."""
        self._raise()
        self._queue.put(work)

    def drain(self) -> None:
        """Wait until all is done; raise the thread's error, if any."""
        self._queue.join()
        self._raise()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.put(None)
        self._thread.join()
        if kind is None:
            self._raise()
