"""The flag that a signal sets may be set anywhere, also within a handler that is setting it."""

import signal
import sys
import threading
from types import FrameType
from typing import Any

import pytest

from ionsieve.dynamics import stopping


@pytest.mark.parametrize("what", ["ask", "forget", "request", "handle"])
def test_a_signal_within_a_signal_does_not_wait_for_it(what: str) -> None:
    on = stopping.StopOnSignal()
    calls = {
        "ask": stopping.ask,
        "forget": stopping.forget,
        "request": on.request,
        "handle": lambda: on.request() or on(),
    }

    def interrupt(frame: FrameType, event: str, argument: Any) -> Any:
        stopping.ask()
        on.request()
        return interrupt  # at every line, also of what is called

    def interrupted() -> None:
        sys.settrace(interrupt)
        try:
            calls[what]()
        finally:
            sys.settrace(None)

    thread = threading.Thread(target=interrupted, daemon=True)
    thread.start()
    thread.join(10)
    stuck = thread.is_alive()
    stopping.forget() if not stuck else None
    assert not stuck


def test_both_signals_stop_a_program_of_ones_own() -> None:
    with stopping.StopOnSignal() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGUSR1)
        assert stop()
        signal.raise_signal(signal.SIGTERM)
        assert stop()
