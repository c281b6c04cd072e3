"""Why a run ends before its plan does: a signal, or `ionsieve cancel` from elsewhere."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from ionsieve.dynamics import stopping
from ionsieve.store.lock import CANCEL

__all__ = ["Stop", "heeding"]


@dataclass
class Stop:
    """Whether a run is to end.

    Attributes
    ----------
    why
        The signal's name, or ``cancel``; empty while the run is to go on.
    saves
        Whether somebody looks at `why` twice a second and saves. As long as nobody does (imports, the start of a
        cluster, the wait for a scheduler), the first signal raises KeyboardInterrupt.
    """

    why: str = ""
    saves: bool = False

    def look(self, folder: Path) -> None:
        """Heed a request that `ionsieve cancel` left in the folder. Who takes the folder's lock removes an old one."""
        if not self.why and (folder / CANCEL).exists():
            self.why = "cancel"

    @property
    def status(self) -> str:
        """How a run that was stopped ended."""
        return "cancelled" if self.why == "cancel" else "interrupted"


@contextmanager
def heeding() -> Iterator[Stop]:
    """Turn SIGTERM, SIGUSR1 (a scheduler's warning before the end) and the first Ctrl-C into a clean stop.

    What works in this process saves and returns (`stopping`). A second Ctrl-C does not wait for it. Signals reach the
    main thread only; elsewhere nothing is caught.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handler(number: int, frame: FrameType | None) -> None:
        first = not stop.why
        stop.why = stop.why or signal.Signals(number).name
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        stopping.ask()
        if first and not stop.saves:
            raise KeyboardInterrupt

    old = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, previous in old.items():
            signal.signal(number, previous)
        stopping.forget()
