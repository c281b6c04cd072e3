"""Stop flags that a signal sets: schedulers send SIGTERM (or SIGUSR1) some time before the end.

`StopOnSignal` is for a program of one's own. A process that works for a campaign has one flag for all: whoever learns
that it is to end calls `ask`, whoever works looks at `asked` where it can save.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["StopOnSignal", "ask", "asked", "forget", "listening"]

_ASKED = False  # and no Event: its lock, taken by a handler within a handler, would be waited for forever
_SOURCES: list[Callable[[], bool]] = []


def ask() -> None:
    """Ask all work of this process to save and return; may be called by a signal handler."""
    global _ASKED
    _ASKED = True


def forget() -> None:
    """Take the wish back: what was to end has ended, and the process lives on."""
    global _ASKED
    _ASKED = False


def asked() -> bool:
    """Whether the work of this process is to save and return."""
    return _ASKED or any(source() for source in tuple(_SOURCES))


@contextmanager
def listening(source: Callable[[], bool]) -> Iterator[None]:
    """Within the context, `asked` is true also when `source` says so."""
    _SOURCES.append(source)
    try:
        yield
    finally:
        _SOURCES.remove(source)


class StopOnSignal:
    """Within the context, the first of the signals asks the engine to save and return; `simulate` takes it as `stop`.

    A second signal of the same kind is handled as before the context was entered (by default it ends the process).
    Handlers can be set in the main thread only; entered elsewhere, nothing is caught and the flag can still be set by
    `request`.
    """

    def __init__(self, signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGUSR1)) -> None:
        self._signals = tuple(signals)
        self._asked = False
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __call__(self) -> bool:
        """Whether to stop."""
        return self._asked

    def request(self) -> None:
        """Ask for the stop."""
        self._asked = True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        which = signal.Signals(number)
        signal.signal(which, self._before[which])

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in self._signals:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()
