"""Whatever dies, what is finished stays finished and the end is the same. The long form is `benchmarks/drill.py`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ionsieve.errors import SetupError
from ionsieve.screening.driver import RunReport
from ionsieve.screening.facts import facts
from ionsieve.screening.maintenance import cancel, clean, retry, verify
from ionsieve.screening.pool import SerialPool
from ionsieve.screening.retries import RunRules
from ionsieve.screening.run import run_plan
from ionsieve.screening.status import candidate_status, read_status
from ionsieve.store import DamagedError, Request, State, Store
from ionsieve.testing import null_campaign as null
from ionsieve.testing.null_campaign import NullBuilders, null_campaign, null_subjects

STAGES = "ionsieve.testing.null_campaign:STAGES"
RUNNER = Path(__file__).with_name("null_runner.py")


def make(folder: Path, n: int = 4, **told: object) -> Store:
    store = Store.create(folder, null_campaign(n, **{"steps": 3, **told}))  # type: ignore[arg-type]
    (folder / "journal").mkdir(exist_ok=True)
    return store


def serial(folder: Path, rules: RunRules | None = None) -> RunReport:
    store = Store.open(folder)
    campaign = store.campaign
    return run_plan(
        store,
        null_subjects(campaign),
        NullBuilders(campaign),
        pool=lambda: SerialPool(folder, STAGES),
        stages=STAGES,
        rules=rules,
    )


def results(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for name in ("records", "files")
        for p in sorted((folder / name).rglob("*"))
        if p.is_file() and ".part-" not in p.name
    }


def steps(folder: Path) -> list[str]:
    return [f"{p.name}:{line}" for p in (folder / "journal").iterdir() for line in p.read_text().split()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("calm") / "run"
    make(folder)
    assert serial(folder).exit_code == 0
    return results(folder)


class Running:
    """A driver in a process of its own."""

    def __init__(self, folder: Path, workers: int, slice_s: float) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(RUNNER), str(folder), str(workers), str(slice_s)],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )

    def workers(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [p for p in children if "spawn_main" in " ".join(p.cmdline())]

    def end(self, timeout_s: float = 120) -> tuple[int, str]:
        _, error = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, error


@pytest.fixture
def run_driver() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(folder: Path, workers: int, slice_s: float = 0.2) -> Running:
        started.append(Running(folder, workers, slice_s))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.communicate()


def until(condition: Callable[[], bool], timeout_s: float = 90) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_a_second_run_computes_nothing(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    make(tmp_path / "run")
    serial(tmp_path / "run")
    before = steps(tmp_path / "run")
    report = serial(tmp_path / "run")
    assert report.exit_code == 0
    assert steps(tmp_path / "run") == before
    assert results(tmp_path / "run") == undisturbed


def test_slices_go_on_from_their_checkpoint(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    make(tmp_path / "run")
    assert serial(tmp_path / "run", RunRules(slice_s=0.0)).exit_code == 0
    assert results(tmp_path / "run") == undisturbed
    done = steps(tmp_path / "run")
    assert len(done) == len(set(done)), "no step was done twice"


def test_killed_workers_cost_at_most_a_step(
    tmp_path: Path, undisturbed: dict[str, bytes], run_driver: Callable[..., Running]
) -> None:
    folder = tmp_path / "run"
    make(folder, step_s=0.25)
    running = run_driver(folder, 2)
    until(lambda: len(steps(folder)) > 2)
    running.workers()[0].kill()
    until(lambda: len(steps(folder)) > 10)
    running.workers()[0].kill()
    code, error = running.end()
    assert code == 0, error
    assert "a worker died" in error
    plain = {k: v for k, v in results(folder).items() if k.startswith("files")}
    assert len(plain) == 16
    done = steps(folder)
    assert len(done) - len(set(done)) <= 2
    assert Store.open(folder).ledger.totals()
    assert len(undisturbed) == len(results(folder))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signalled_worker_saves_gives_back_and_is_replaced(
    tmp_path: Path, number: signal.Signals, run_driver: Callable[..., Running]
) -> None:
    """As batch systems do it: the signal comes to the worker's own process. No slice ends by itself here."""
    folder = tmp_path / "run"
    make(folder, n=1, steps=30, step_s=0.1)
    running = run_driver(folder, 2, 600)
    for count in (5, 50):
        until(lambda count=count: len(steps(folder)) > count)
        notes = [json.loads(p.read_text()) for p in (folder / "workers").iterdir()]
        (pid, *_) = [note["pid"] for note in notes if note["keys"] and psutil.pid_exists(note["pid"])]
        worker = psutil.Process(pid)
        worker.send_signal(number)
        worker.wait(30)
    code, error = running.end()
    assert code == 0, error
    store = Store.open(folder)
    events = list(store.events.read())
    assert "lost" not in {e["kind"] for e in events}
    assert [e["stage"] for e in events if e["kind"] == "sliced"] == ["simulate"] * 2
    assert len({e["worker"] for e in events if e["kind"] == "finished"}) > 2
    done = steps(folder)
    assert len(done) == len(set(done)) == 4 * 30, "no step was done twice"
    assert len(list(store.keys("rank"))) == 1


def test_a_second_signal_does_not_wait(tmp_path: Path, run_driver: Callable[..., Running]) -> None:
    folder = tmp_path / "run"
    make(folder, n=1, step_s=3.0)
    running = run_driver(folder, 1, 600)
    until(lambda: len(steps(folder)) > 0)
    (worker,) = running.workers()
    worker.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert worker.is_running()
    begin = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    worker.wait(30)
    assert time.monotonic() - begin < 2.0


def test_a_killed_driver_is_resumed_by_the_same_command(tmp_path: Path, run_driver: Callable[..., Running]) -> None:
    folder = tmp_path / "run"
    make(folder, step_s=0.1)
    running = run_driver(folder, 0)
    until(lambda: len(steps(folder)) > 8)
    running.process.kill()
    running.end()
    finished = set(results(folder))
    assert finished
    assert read_status(folder).state == "interrupted"
    code, error = run_driver(folder, 0).end()
    assert code == 0, error
    done = steps(folder)
    assert len(done) - len(set(done)) <= 1
    assert finished <= set(results(folder))
    assert read_status(folder).state == "finished"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_signals_end_it_cleanly(tmp_path: Path, number: signal.Signals, run_driver: Callable[..., Running]) -> None:
    folder = tmp_path / "run"
    make(folder, step_s=0.3)  # long enough that the signal comes before the end, also on a busy machine
    running = run_driver(folder, 0)
    until(lambda: len(steps(folder)) > 4)
    running.process.send_signal(number)
    code, error = running.end()
    assert code == 130, error
    assert "Traceback" not in error
    status = read_status(folder)
    assert status.state == "interrupted"
    assert not any(c.get("running") for c in status.stages.values())
    assert serial(folder).exit_code == 0


def test_cancel_ends_a_run_from_another_process(tmp_path: Path, run_driver: Callable[..., Running]) -> None:
    folder = tmp_path / "run"
    make(folder, step_s=0.1)
    running = run_driver(folder, 0)
    until(lambda: len(steps(folder)) > 4)
    assert read_status(folder).state == "running"
    second, error = run_driver(folder, 0).end()
    assert second == 2
    assert "is working on this folder" in error
    assert cancel(folder) == "cancelled"
    assert running.end()[0] == 130
    assert read_status(folder).state == "cancelled"
    assert cancel(folder) == "nothing runs here"
    assert serial(folder).exit_code == 0


def test_poison_is_set_aside_after_three_deaths(tmp_path: Path, run_driver: Callable[..., Running]) -> None:
    folder = tmp_path / "run"
    store = make(folder, n=2, poison="c000001", temperatures_K=(800.0,))
    code, error = run_driver(folder, 2).end()
    assert code == 3, error
    (row,) = store.ledger.trouble([State.QUARANTINED])
    assert "died under it 3 times" in row.reason
    lost = [e for e in store.events.read() if e["kind"] == "lost"]
    assert len(lost) == 3
    assert {e["candidate"] for e in lost} == {"c000001"}
    told = candidate_status(folder, "c000001")
    assert any("quarantined" in line for line in told.story)
    store.close_ledger()
    assert len(list(store.keys("rank"))) == 1
    (released,) = retry(folder).rows
    assert released.key == row.key
    assert store.ledger.get(row.key) is not None


def spoil(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "flip":
        data[len(data) // 2] ^= 16
    elif how == "cut":
        del data[len(data) // 2 :]
    path.unlink() if how == "remove" else path.write_bytes(bytes(data))


@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
@pytest.mark.parametrize("stage", ["generate", "relax", "simulate", "measure", "fit", "rank"])
def test_damaged_records_are_computed_again(
    tmp_path: Path, undisturbed: dict[str, bytes], stage: str, how: str
) -> None:
    folder = tmp_path / "run"
    make(folder)
    serial(folder)
    store = Store.open(folder)
    key = next(store.keys(stage))
    spoil(store.record_path(stage, key), how)
    assert serial(folder).exit_code == 0
    assert results(folder) == undisturbed


@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_a_damaged_trajectory_is_found_by_its_reader(tmp_path: Path, undisturbed: dict[str, bytes], how: str) -> None:
    folder = tmp_path / "run"
    make(folder)
    serial(folder)
    store = Store.open(folder)
    key = next(store.keys("simulate"))
    spoil(next((folder / "files" / "simulate" / key).iterdir()), how)
    assert [name for name, _ in verify(folder)] == [f"simulate/{key}"]
    # its measurement is lost too: the reader meets the damage, the run is made again
    for other in list(store.keys("measure")):
        request = store.request(other)
        if request is not None and key in request.input_keys:
            store.discard("measure", other)
    assert serial(folder).exit_code == 0
    assert results(folder) == undisturbed
    assert verify(folder) == []


def test_an_input_that_is_damaged_again_and_again_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    make(folder, n=1, temperatures_K=(900.0, 1100.0))

    def always_damaged(request: Request, store: Store, deadline_s: float | None) -> None:
        raise DamagedError("the trajectory fails its digest", key=f"simulate/{request.inputs['simulate']}")

    monkeypatch.setattr(null.STAGES["measure"], "run", always_damaged)
    serial(folder, RunRules(attempts=3))
    store = Store.open(folder)
    aside = store.ledger.trouble([State.QUARANTINED])
    assert {row.stage for row in aside} == {"measure"}
    assert all("damaged 4 times" in row.reason for row in aside)
    assert len(steps(folder)) == 2 * 4 * 3  # two runs of three steps, made four times each
    assert read_status(folder).state == "finished"


def test_work_that_was_asked_again_waits(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    make(folder, n=17)
    serial(folder)
    assert read_status(folder).state == "finished"
    retry(folder, chemistry=True)
    assert read_status(folder).state == "waiting"


def test_verify_mends(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    folder = tmp_path / "run"
    make(folder)
    serial(folder)
    key = next(Store.open(folder).keys("simulate"))
    spoil(next((folder / "files" / "simulate" / key).iterdir()), "flip")
    assert len(verify(folder, mend=True)) == 1
    assert serial(folder).exit_code == 0
    assert results(folder) == undisturbed


@pytest.mark.parametrize("damage", ["remove", "cut", "garbage"])
def test_a_lost_ledger_is_made_again(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "run"
    store = make(folder)
    serial(folder)
    before = {(r.key, str(r.state), r.outcome, r.attempts) for r in store.ledger.rows()}
    store.close_ledger()
    done = steps(folder)
    path = folder / "ledger.sqlite"
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:5000] if damage == "cut" else b"garbage" * 1000)
    assert serial(folder).exit_code == 0
    assert steps(folder) == done
    after = {(r.key, str(r.state), r.outcome, r.attempts) for r in Store.open(folder).ledger.rows()}
    assert before == after


def test_a_changed_temperature_adds_only_what_is_new(tmp_path: Path) -> None:
    make(tmp_path / "a", temperatures_K=(800.0, 1000.0))
    serial(tmp_path / "a")
    campaign = null_campaign(4, steps=3, temperatures_K=(800.0, 1100.0))
    Store.create(tmp_path / "b", campaign, share=[tmp_path / "a"])
    (tmp_path / "b" / "journal").mkdir()
    assert serial(tmp_path / "b").exit_code == 0
    assert len({s.split(":")[0] for s in steps(tmp_path / "b")}) == 4, "one new temperature of four candidates"
    Store.create(tmp_path / "a", campaign, amend=True)
    before = len(steps(tmp_path / "a"))
    assert serial(tmp_path / "a").exit_code == 0
    assert len(steps(tmp_path / "a")) == before + 4 * 3


def test_clean_keeps_what_is_needed(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    folder = tmp_path / "run"
    store = make(folder)
    serial(folder)
    (store.workdir("a" * 64) / "checkpoint").write_text("x" * 1000)
    key = next(store.keys("relax"))
    store.workdir(key)
    (store.record_path("relax", key).parent / "x.json.part-1-2").write_text("half")
    done = clean(folder)
    assert done.scratch == 1
    assert done.temporary == 1
    assert (folder / "scratch" / ("a" * 64)).exists()
    assert clean(folder, checkpoints=True).scratch == 1
    assert results(folder) == undisturbed
    assert serial(folder).exit_code == 0


def test_an_exception_is_tried_again_and_then_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ionsieve.testing import null_campaign as null

    folder = tmp_path / "run"
    store = make(folder)
    calls: list[str] = []
    real = null.STAGES["simulate"].run

    def flaky(request: object, store_: object, deadline_s: float | None) -> object:
        calls.append(request.key)  # type: ignore[attr-defined]
        if request.parameters["temperature_K"] == 800.0:  # type: ignore[attr-defined]
            raise ValueError("tensor trouble")
        return real(request, store_, deadline_s)

    monkeypatch.setattr(null.STAGES["simulate"], "run", flaky)
    report = serial(folder)
    assert report.exit_code == 3
    assert report.quarantined == 4
    rows = store.ledger.trouble([State.QUARANTINED])
    assert all("tensor trouble" in r.reason for r in rows)
    assert max(map(calls.count, set(calls))) == 3
    assert "Traceback" in next((folder / "logs").glob("simulate-*.txt")).read_text()
    store.close_ledger()
    monkeypatch.undo()
    assert len(retry(folder).rows) == 4
    assert serial(folder).exit_code == 0
    assert not Store.open(folder).ledger.trouble([State.QUARANTINED])


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_full_disk_loses_nothing(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(mount)], check=False).returncode != 0:
        pytest.skip("mounting is not permitted here")
    try:
        folder = mount / "run"
        make(folder)
        ballast = mount / "ballast"
        with ballast.open("wb", buffering=0) as stream:
            try:
                while True:
                    stream.write(b"\0" * 4096)
            except OSError:
                size = ballast.stat().st_size
        os.truncate(ballast, size - 200_000)
        with pytest.raises(SetupError, match=r"No space left|full"):
            serial(folder)
        ballast.unlink()
        assert serial(folder).exit_code == 0
        assert results(folder) == undisturbed
        assert verify(folder) == []
        shutil.copytree(folder, tmp_path / "kept")
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=False)


def test_rebuild_agrees_with_what_the_driver_wrote(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    store = make(folder)
    serial(folder)
    with store.lock:
        before = {r.key: (r.stage, r.candidate, r.state, r.facts, r.attempts, r.steps) for r in store.ledger.rows()}
        store.rebuild(facts)
        after = {r.key: (r.stage, r.candidate, r.state, r.facts, r.attempts, r.steps) for r in store.ledger.rows()}
        store.close()
    assert before == after
