"""A run can be ended from its first moment on: by a signal, or by `ionsieve cancel`; not only while a driver works."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ionsieve.dynamics import stopping
from ionsieve.errors import TransientError
from ionsieve.screening.driver import RunReport
from ionsieve.screening.pool import Pool, SerialPool
from ionsieve.screening.run import run_plan
from ionsieve.screening.status import read_status
from ionsieve.store import Store
from ionsieve.store.lock import CANCEL, FolderLock
from ionsieve.testing.null_campaign import NullBuilders, null_campaign, null_subjects

STAGES = "ionsieve.testing.null_campaign:STAGES"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "run", null_campaign(2, steps=2))


def run_here(store: Store, pool: Callable[[], Pool] | None = None, **told: Any) -> RunReport:
    campaign = store.campaign
    return run_plan(
        store,
        null_subjects(campaign),
        NullBuilders(campaign),
        pool=pool or (lambda: SerialPool(store.folder, STAGES)),
        stages=STAGES,
        **told,
    )


def told(store: Store) -> list[tuple[str, str]]:
    return [(e["status"], e["signal"]) for e in store.events.read() if e["kind"] == "ended"]


def test_a_cancel_while_the_cluster_starts_is_heeded(store: Store) -> None:
    def pool() -> Pool:
        (store.folder / CANCEL).write_text("cancel\n")
        return SerialPool(store.folder, STAGES)

    report = run_here(store, pool)
    assert (report.status, report.exit_code) == ("cancelled", 130)
    assert read_status(store.folder).state == "cancelled"
    assert not list(store.stages())
    assert run_here(store).exit_code == 0  # and it does not end the next run


def test_a_cancel_before_the_cluster_starts_starts_none(store: Store) -> None:
    started: list[int] = []
    report = run_here(
        store,
        lambda: started.append(1) or SerialPool(store.folder, STAGES),  # type: ignore[func-returns-value]
        prepare=lambda: (store.folder / CANCEL).write_text("cancel\n"),
    )
    assert (report.status, started) == ("cancelled", [])
    assert told(store) == [("cancelled", "cancel")]


def test_a_cancel_while_a_scheduler_is_replaced_is_heeded(store: Store) -> None:
    class Dies(SerialPool):
        def wait(self, timeout_s: float) -> Any:
            (store.folder / CANCEL).write_text("cancel\n")
            raise TransientError("the Dask scheduler is gone")

    started: list[int] = []
    report = run_here(store, lambda: started.append(1) or Dies(store.folder, STAGES))  # type: ignore[func-returns-value]
    assert (report.status, started) == ("cancelled", [1])
    assert told(store)[-1] == ("cancelled", "cancel")


def test_who_takes_the_lock_does_away_with_an_old_request(tmp_path: Path) -> None:
    (tmp_path / CANCEL).write_text("cancel\n")
    with FolderLock(tmp_path / "lock"):
        assert not (tmp_path / CANCEL).exists()
        (tmp_path / CANCEL).write_text("cancel\n")
    assert (tmp_path / CANCEL).exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
@pytest.mark.parametrize("when", ["prepare", "pool"])
def test_a_signal_before_the_driver_works_ends_the_run(store: Store, number: signal.Signals, when: str) -> None:
    def pause() -> Any:
        os.kill(os.getpid(), number)
        time.sleep(30)
        raise AssertionError("nobody heard")

    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)]
    begin = time.monotonic()
    report = run_here(store, prepare=pause) if when == "prepare" else run_here(store, pause)
    assert time.monotonic() - begin < 10
    assert (report.status, report.signal, report.exit_code) == ("interrupted", number.name, 130)
    assert told(store) == ([] if when == "prepare" else [("interrupted", number.name)])
    assert not store.lock.held
    assert not stopping.asked()
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)] == before
    assert run_here(store).exit_code == 0
