"""A stop flag that a signal sets: schedulers send SIGTERM (or SIGUSR1) some time before the end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["StopOnSignal"]


class StopOnSignal:
    """Within the context, the first of the signals asks the engine to save and return; `simulate` takes it as `stop`.

    A second signal of the same kind is handled as before the context was entered (by default it ends the process).
    Handlers can be set in the main thread only; entered elsewhere, nothing is caught and the flag can still be set by
    `request`.
    """

    def __init__(self, signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGUSR1)) -> None:
        self._signals = tuple(signals)
        self._asked = threading.Event()
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __call__(self) -> bool:
        """Whether to stop."""
        return self._asked.is_set()

    def request(self) -> None:
        """Ask for the stop."""
        self._asked.set()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._asked.set()
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
