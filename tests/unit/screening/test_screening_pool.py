"""Pools: Dask workers that claim GPUs or CPUs, TLS, feasibility of workers, and stages that take several requests."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ionsieve.dynamics import stopping
from ionsieve.errors import InputError, SetupError, TransientError
from ionsieve.screening import clusters, worker
from ionsieve.screening import pool as pool_module
from ionsieve.screening.clusters import check_workers, open_pool
from ionsieve.screening.funnel import FunnelSettings
from ionsieve.screening.pool import Bundle, DaskPool, SerialPool
from ionsieve.screening.profiles import Profile, SchedulerPlace, Tls
from ionsieve.screening.progress import JsonLines, Plain, Quiet, estimate_left_s, make_progress, readable_time
from ionsieve.screening.run import run_plan
from ionsieve.screening.worker import work
from ionsieve.store import Request, State, Store
from ionsieve.testing import null_campaign as null
from ionsieve.testing.null_campaign import NullBuilders, null_subjects

STAGES = "ionsieve.testing.null_campaign:STAGES"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "run", null.null_campaign(3, steps=2))


def run_here(store: Store, **told: Any) -> Any:
    campaign = store.campaign
    pool = told.pop("pool", lambda: SerialPool(store.folder, STAGES))
    return run_plan(store, null_subjects(campaign), NullBuilders(campaign), pool=pool, stages=STAGES, **told)


# -- several requests in one call --------------------------------------------------------------------------------------


def test_a_stage_that_takes_many_is_given_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def run_many(requests: Sequence[Request], store_: Store, deadline_s: float | None) -> list[Any]:
        seen.append(len(requests))
        return [null.STAGES["simulate"].run(r, store_, deadline_s) for r in requests]

    monkeypatch.setattr(null.STAGES["simulate"], "run_many", run_many)

    class GpuPool(SerialPool):
        def shared(self) -> bool:
            return False

    report = run_here(store, pool=lambda: GpuPool(store.folder, STAGES))
    assert report.exit_code == 0
    assert max(seen) > 1
    assert len(list(store.keys("simulate"))) == 12


def test_one_bad_bundle_does_not_spoil_its_companions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def run_many(requests: Sequence[Request], store_: Store, deadline_s: float | None) -> list[Any]:
        calls.append(len(requests))
        raise RuntimeError("out of memory")

    monkeypatch.setattr(null.STAGES["simulate"], "run_many", run_many)

    class GpuPool(SerialPool):
        def shared(self) -> bool:
            return False

    assert run_here(store, pool=lambda: GpuPool(store.folder, STAGES)).exit_code == 0
    assert calls, "the bundle was tried"
    assert not store.ledger.trouble([State.QUARANTINED]), "each went alone afterwards and succeeded"


def test_work_left_over_by_the_deadline_is_given_back(store: Store) -> None:
    campaign = store.campaign
    builders = NullBuilders(campaign)
    requests = [builders.generate(s).to_dict() for s in null_subjects(campaign)]
    answers = work(str(store.folder), requests, bundle="b", stages=STAGES, deadline_s=0.0)
    assert [a.status for a in answers] == ["done", "unfinished", "unfinished"]


def test_a_job_that_ends_soon_starts_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IONSIEVE_END_TIME", "1")
    requests = [NullBuilders(store.campaign).generate(null_subjects(store.campaign)[0])]
    answers = work(str(store.folder), [r.to_dict() for r in requests], bundle="b", stages=STAGES, deadline_s=60.0)
    assert [(a.key, a.status) for a in answers] == [(requests[0].key, "unfinished")]


def test_a_stop_ends_a_bundle_and_what_it_left_is_given_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stop comes while the first of three is worked on: the others are not begun, and the run can be resumed."""
    generate = null.STAGES["generate"].run
    asked: list[str] = []

    def stopped_at_the_first(request: Request, store_: Store, deadline_s: float | None) -> Any:
        asked.append(request.key)
        signal.raise_signal(signal.SIGTERM)
        return generate(request, store_, deadline_s)

    with monkeypatch.context() as patch:
        patch.setattr(null.STAGES["generate"], "run", stopped_at_the_first)
        report = run_here(store)
    assert (report.status, report.signal, len(asked)) == ("interrupted", "SIGTERM", 1)
    assert not stopping.asked()
    assert run_here(Store.open(store.folder)).exit_code == 0


def test_a_second_interrupt_does_not_wait(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted_twice(*_: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        assert stopping.asked()
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("it waited")

    monkeypatch.setattr(null.STAGES["generate"], "run", interrupted_twice)
    report = run_here(store)
    assert (report.status, report.signal) == ("interrupted", "SIGINT")


def waits_for_the_stop(request: Request, store_: Store, deadline_s: float | None) -> Any:
    """Stand in for dynamics: works until it is told to stop, saves, and returns nothing."""
    until = time.monotonic() + 60
    (store_.folder / "begun").write_text(str(os.getpid()))
    while time.monotonic() < until:
        if stopping.asked():
            (store_.folder / "saved").write_text("")
            return None
        time.sleep(0.05)
    raise AssertionError("nobody said stop")


def many_wait_for_the_stop(requests: Sequence[Request], store_: Store, deadline_s: float | None) -> list[Any]:
    """Stand in for dynamics of several cells in one batch."""
    return [waits_for_the_stop(requests[0], store_, deadline_s)] * len(requests)


ENDLESS = {"generate": SimpleNamespace(run=waits_for_the_stop)}
ENDLESS_BATCH = {"generate": SimpleNamespace(run=waits_for_the_stop, run_many=many_wait_for_the_stop, uses_device=True)}


def test_a_worker_sees_an_amended_campaign(store: Store) -> None:
    before = worker._store(str(store.folder))
    assert before.campaign["seed"] == store.campaign["seed"]
    assert worker._store(str(store.folder)) is before
    Store.create(store.folder, {**store.campaign, "seed": 4711}, amend=True)
    assert worker._store(str(store.folder)).campaign["seed"] == 4711


# -- Dask --------------------------------------------------------------------------------------------------------------


class _Cluster:
    """A scheduler and workers of this test's own, by the command line, as a user starts them."""

    def __init__(self, folder: Path, workers: Sequence[Sequence[str]], *, tls: Sequence[str] = ()) -> None:
        self.file = folder / "scheduler.json"
        scheduler = "-m distributed.cli.dask_scheduler --host 127.0.0.1 --port 0 --no-dashboard"
        worker = "-m distributed.cli.dask_worker --nthreads 1 --host 127.0.0.1 --no-dashboard"
        commands = [scheduler.split(), *([*worker.split(), "--local-directory", str(folder), *w] for w in workers)]
        self.processes = [
            subprocess.Popen(
                [sys.executable, *command, "--scheduler-file", str(self.file), *tls], stderr=subprocess.DEVNULL
            )
            for command in commands
        ]

    @property
    def address(self) -> str:
        import time

        until = time.monotonic() + 60
        while time.monotonic() < until:
            if self.file.exists():
                return str(json.loads(self.file.read_text())["address"])
            time.sleep(0.1)
        raise AssertionError("no scheduler")

    def close(self) -> None:
        for process in self.processes[::-1]:
            process.terminate()
        for process in self.processes:
            process.wait(30)


@pytest.fixture
def mixed(tmp_path: Path) -> Iterator[_Cluster]:
    cluster = _Cluster(tmp_path, [["--resources", "GPU=1"], ["--resources", "CPU=1"]])
    from distributed import Client

    with Client(cluster.address) as client:
        client.wait_for_workers(2, timeout=120)
    yield cluster
    cluster.close()


def test_a_signalled_worker_saves_what_it_is_at(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import Client

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    cluster = _Cluster(tmp_path, [["--nanny"]])
    begun, saved = store.folder / "begun", store.folder / "saved"
    request = NullBuilders(store.campaign).generate(null_subjects(store.campaign)[0])
    try:
        with Client(cluster.address) as client:
            client.wait_for_workers(1, timeout=120)
            pool = DaskPool(client, store.folder, f"{Path(__file__).stem}:ENDLESS")
            pool.submit(Bundle("b", (request.to_dict(),), False, None))
            until = time.monotonic() + 60
            while not (begun.exists() and begun.read_text()) and time.monotonic() < until:
                time.sleep(0.05)
            cluster.processes[1].terminate()
            assert cluster.processes[1].wait(30) is not None
            assert saved.exists()
    finally:
        cluster.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("all_of_them", [True, False])
def test_a_job_whose_processes_are_signalled_saves_what_it_is_at(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, all_of_them: bool
) -> None:
    """Batch systems signal the first process of a job, or all of them: the launcher, the nanny and the worker."""
    from distributed import Client

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    cluster = _Cluster(tmp_path, [])
    request = NullBuilders(store.campaign).generate(null_subjects(store.campaign)[0])
    begun = store.folder / "begun"
    job = None
    try:
        with Client(cluster.address) as client:
            told = f"-m ionsieve.screening.launch {cluster.address} --workers 1 --nanny --no-dashboard"
            job = subprocess.Popen(
                [sys.executable, *told.split(), "--local-directory", str(tmp_path)],
                start_new_session=True,
                stderr=subprocess.DEVNULL,
            )
            client.wait_for_workers(1, timeout=120)
            pool = DaskPool(client, store.folder, f"{Path(__file__).stem}:ENDLESS")
            pool.submit(Bundle("b", (request.to_dict(),), False, None))
            until = time.monotonic() + 60
            while not (begun.exists() and begun.read_text()) and time.monotonic() < until:
                time.sleep(0.05)
            (os.killpg if all_of_them else os.kill)(job.pid, number)
            assert job.wait(30) == 0
            assert (store.folder / "saved").exists()
    finally:
        if job is not None and job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
        cluster.close()


@pytest.mark.parametrize("stages", ["ENDLESS", "ENDLESS_BATCH"])
def test_a_bundle_comes_back_from_a_worker_whose_own_process_is_signalled(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: str
) -> None:
    """What is under way is saved, what was not begun is given back, and the nanny starts another worker."""
    from distributed import Client

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    cluster = _Cluster(tmp_path, [["--nanny"]])
    begun, saved = store.folder / "begun", store.folder / "saved"
    requests = tuple(NullBuilders(store.campaign).generate(s).to_dict() for s in null_subjects(store.campaign))
    try:
        with Client(cluster.address) as client:
            client.wait_for_workers(1, timeout=120)
            (before,) = client.scheduler_info()["workers"]
            pool = DaskPool(client, store.folder, f"{Path(__file__).stem}:{stages}")
            pool.submit(Bundle("b", requests, False, None))
            until = time.monotonic() + 60
            while not (begun.exists() and begun.read_text()) and time.monotonic() < until:
                time.sleep(0.05)
            os.kill(int(begun.read_text()), signal.SIGUSR1)
            (done,) = pool.wait(30)
            assert not done.lost
            assert [a.status for a in done.answers] == ["unfinished"] * 3
            assert saved.exists()
            while before in (now := client.scheduler_info()["workers"]) or not now:
                assert time.monotonic() < until
                time.sleep(0.05)
    finally:
        cluster.close()


def test_a_leaving_worker_stays_paused_until_its_work_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask's look at the memory ends a pause; what came in meanwhile is not waited for."""
    import asyncio

    from distributed.core import Status

    from ionsieve.screening import leaving

    seen: list[tuple[str, bool]] = []

    class Worker:
        status = Status.running

        async def close_gracefully(self, *, restart: bool, reason: str) -> None:
            seen.append((self.status.name, restart))

    async def leaves() -> None:
        worker = Worker()
        leaving._UNDERWAY.add("run")
        task = asyncio.create_task(leaving.leave(worker, restart=True))
        for _ in range(4):
            await asyncio.sleep(2 * leaving.POLL_S)
            assert worker.status is Status.paused
            worker.status = Status.running
        leaving._UNDERWAY.add("later")
        leaving._UNDERWAY.discard("run")
        await asyncio.wait_for(task, 5)

    try:
        asyncio.run(leaves())
    finally:
        leaving._UNDERWAY.clear()
    assert seen == [("paused", True)]


def test_dynamics_goes_to_gpus_and_the_rest_to_cpus(store: Store, mixed: _Cluster) -> None:
    report = run_here(store, pool=lambda: open_pool(store.folder, STAGES, scheduler=mixed.address))
    assert report.exit_code == 0
    workers: dict[str, set[str]] = {}
    for event in store.events.read():
        if event["kind"] == "finished":
            workers.setdefault(event["stage"], set()).add(event["worker"])
    assert len(workers["simulate"]) == 1
    others = set().union(*(w for s, w in workers.items() if s != "simulate"))
    assert len(others) == 1
    assert workers["simulate"].isdisjoint(others)


def test_workers_that_cannot_do_it_are_refused(store: Store) -> None:
    import ionsieve

    good = {"version": ionsieve.__version__, "folder": store.campaign_id, "host": "n1"}

    def client(**change: str) -> Any:
        return SimpleNamespace(run=lambda *_: {"w": {**good, **change}})

    check_workers(client(), store.folder)
    with pytest.raises(SetupError, match="another version"):
        check_workers(client(version="0.0.1"), store.folder)
    with pytest.raises(SetupError, match="does not see the campaign's folder"):
        check_workers(client(folder=""), store.folder)


def test_nobody_waits_for_a_scheduler_that_hangs(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import Client

    cluster = _Cluster(tmp_path, [[]])
    try:
        with Client(cluster.address, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=120)
            pool = DaskPool(client, store.folder, STAGES)
            cluster.processes[0].send_signal(signal.SIGSTOP)
            begin = time.monotonic()
            while time.monotonic() - begin < 2.5:  # two looks
                before = time.monotonic()
                assert pool.wait(0.05) == []
                assert pool.describe()["workers"] == 1
                assert time.monotonic() - before < 1.0
            monkeypatch.setattr(pool_module, "SILENT_S", 0.5)
            monkeypatch.setattr(pool_module, "RESULT_S", 0.1)
            with pytest.raises(TransientError, match="has not answered"):
                pool.wait(0.05)
            cluster.processes[0].send_signal(signal.SIGCONT)
            assert pool.wait(0.05) == []
    finally:
        cluster.processes[0].send_signal(signal.SIGCONT)
        cluster.close()


def test_a_scheduler_that_is_not_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import Client

    def refuse(*_: Any, **__: Any) -> Client:
        raise OSError("Timed out trying to connect")

    monkeypatch.setattr("distributed.Client", refuse)
    with pytest.raises(SetupError, match="does not answer"):
        open_pool(store.folder, STAGES, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(InputError, match="not both"):
        open_pool(store.folder, STAGES, scheduler="tcp://127.0.0.1:1", profile="local")


def test_local_gpu_without_a_gpu_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "visible_gpus", list)
    with pytest.raises(SetupError, match="no GPU is visible"):
        open_pool(store.folder, STAGES, profile="local-gpu")


def test_local_gpu_starts_one_worker_a_card(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "visible_gpus", lambda: ["7"])
    report = run_here(store, pool=lambda: open_pool(store.folder, STAGES, profile="local-gpu", n_workers=1))
    assert report.exit_code == 0
    devices = {(e["stage"] == "simulate", e["device"]) for e in store.events.read() if e["kind"] == "finished"}
    assert devices == {(True, "cuda:7"), (False, "cpu")}


def test_tls_or_nothing(store: Store, tmp_path: Path) -> None:
    if subprocess.run(["openssl", "version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("openssl makes the certificates of this test")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -keyout {key} -out {cert}"
    subprocess.run(make.split(), check=True, capture_output=True)
    tls = ["--tls-ca-file", str(cert), "--tls-cert", str(cert), "--tls-key", str(key)]
    cluster = _Cluster(tmp_path, [[]], tls=[*tls, "--protocol", "tls"])
    try:
        address = cluster.address
        assert address.startswith("tls://")
        place = SchedulerPlace(address=address, tls=Tls(ca_file=str(cert), cert=str(cert), key=str(key)))
        profile = Profile(kind="address", scheduler=place)
        assert run_here(store, pool=lambda: open_pool(store.folder, STAGES, profile=profile)).exit_code == 0
    finally:
        cluster.close()
    missing = Profile(kind="address", scheduler=place.model_copy(update={"tls": Tls(ca_file="x", cert="y", key="z")}))
    with pytest.raises(SetupError, match="certificate is missing"):
        open_pool(store.folder, STAGES, profile=missing)


# -- progress ----------------------------------------------------------------------------------------------------------


def test_json_lines_are_json(store: Store) -> None:
    stream = io.StringIO()
    run_here(store, progress=JsonLines(stream, every_s=0.0))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines[-1]["kind"] == "ended"
    assert lines[-1]["status"] == "finished"
    assert lines[-1]["settled"] == lines[-1]["candidates"] == 3
    assert lines[-1]["stages"]["simulate"]["done"] == 12


def test_plain_lines_say_what_a_person_wants_to_know(store: Store) -> None:
    stream = io.StringIO()
    run_here(store, progress=Plain(stream, every_s=0.0))
    text = stream.getvalue()
    for word in ("3/3 candidates", "simulate 12/12", "ns", "steps/s", "left", "finished after"):
        assert word in text


def test_a_live_table_can_be_drawn(store: Store) -> None:
    from rich.console import Console

    progress = make_progress("live")
    run_here(store, progress=progress)
    console = Console(file=io.StringIO(), width=160)
    console.print(progress.table())  # type: ignore[attr-defined]
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "simulate" in text
    assert "12/12" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "?"), (40, "40 s"), (720, "12 min"), (11100, "3 h 05 min"), (8.64e5, "10 days")]
)
def test_times_read_well(seconds: float | None, text: str) -> None:
    assert readable_time(seconds) == text


def test_time_left_is_work_over_rate() -> None:
    # 2 workers did 100 worker-seconds in 50 s; 300 are left: 150 s
    assert estimate_left_s(300.0, 100.0, 50.0, 2) == pytest.approx(150.0)
    assert estimate_left_s(300.0, 0.0, 50.0, 2) is None


def test_no_time_is_promised_before_a_run_has_ended() -> None:
    progress = Quiet()
    for stage in ("relax", "simulate", "simulate"):
        progress.asked(stage)
    progress.done("relax", State.DONE, seconds=1.0, steps=0, ps=0.0)
    assert progress.left_s() is None  # a relaxation says nothing of the cost of a run
    told = {"waiting": 0, "running": 2, "left": lambda: 0, "pool": {"workers": 1}, "settled": {}}
    progress.update(**told, underway=lambda: (30.0, 0.5))  # half a run of the two in half a minute
    early = progress.left_s()
    assert early is not None
    progress.update(**told, underway=lambda: (30.0, 1.0))
    assert progress.left_s() < early  # type: ignore[operator]
    progress.done("simulate", State.DONE, seconds=10.0, steps=100, ps=0.2)
    progress.update(**told)
    left = progress.left_s()
    assert left is not None
    assert left > 0


def test_a_spent_budget_is_spent_for_a_repeated_command_too(store: Store) -> None:
    told = FunnelSettings(top_k=1, budget=0.02 / 3600, draws=200)
    first = run_here(store, funnel=told)
    kept = {stage: set(store.keys(stage)) for stage in ("simulate", "fit", "rank")}
    assert first.status == "finished"
    assert 0 < len(kept["simulate"]) < 12  # the budget ended it
    for _ in range(3):
        again = run_here(Store.open(store.folder), funnel=told)
        assert again.ranking == first.ranking
        assert {stage: set(store.keys(stage)) for stage in kept} == kept


def test_dynamics_waits_for_a_gpu_that_is_to_come(store: Store, tmp_path: Path) -> None:
    from distributed import Client

    from ionsieve.screening.pool import DaskPool

    cluster = _Cluster(tmp_path, [["--resources", "CPU=1"]])
    try:
        client = Client(cluster.address)
        client.wait_for_workers(1, timeout=120)
        pool = DaskPool(client, store.folder, STAGES, gpus=True)
        assert pool.capacity() == {"device": 0, "cpu": 1}
        assert not pool.shared()
        assert pool._resources(device=True) == {"GPU": 1}  # never to the CPU worker that came first
        pool.close()
    finally:
        cluster.close()


def test_a_job_that_waits_is_taken_out_of_the_queue(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from ionsieve.screening import maintenance, queues

    assert maintenance.cancel(store.folder) == "nothing runs here"
    (store.folder / "jobs").mkdir()
    (store.folder / queues.DRIVER_JOB).write_text('{"kind": "slurm", "number": "17"}')
    taken: list[tuple[str, str]] = []
    monkeypatch.setattr(queues, "job_state", lambda kind, number: "PENDING" if not taken else "gone")
    monkeypatch.setattr(queues, "cancel_job", lambda kind, number: taken.append((kind, number)))
    assert maintenance.cancel(store.folder) == "job 17 is taken out of the queue"
    assert taken == [("slurm", "17")]
    assert maintenance.cancel(store.folder) == "nothing runs here"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"cluster": "local-gpu"}, "no GPU is visible"),
        ({"cluster": "pbs"}, "there is no qsub here"),
        ({"cluster": "nosuch"}, "no such cluster profile"),
        ({"cluster": "local", "scheduler": "tcp://127.0.0.1:1"}, "not both"),
    ],
)
def test_a_place_that_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: dict[str, str], message: str
) -> None:
    from ionsieve.campaign import parse_campaign
    from ionsieve.screening import run_campaign

    monkeypatch.setattr(clusters, "visible_gpus", list)
    monkeypatch.setattr(clusters.shutil, "which", lambda name: None)
    campaign = parse_campaign(
        "{name: x, generate: {recipes: [{prototype: Na3OCl_Pm-3m}]}, potential: {name: pair-ionic}}"
    )
    with pytest.raises((InputError, SetupError), match=message):
        run_campaign(campaign, tmp_path / "run", progress="quiet", **place)
    assert not (tmp_path / "run").exists()


# -- who is given what -------------------------------------------------------------------------------------------------


_GATE = threading.Event()


def _hold(folder: str, requests: Sequence[Any], *, bundle: str, **told: Any) -> list[Any]:
    _GATE.wait(60)
    return []


def test_a_run_goes_to_the_place_that_is_free_first_also_among_many(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind short bundles, not behind another run, where it would wait for a whole slice."""
    from distributed import LocalCluster

    n_workers, free = 24, 4
    _GATE.clear()
    monkeypatch.setattr(pool_module, "_on_worker", _hold)
    clusters.configure_dask(store.folder)
    with (
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            dashboard_address="127.0.0.1:0",
            host="127.0.0.1",
            memory_limit=0,
            local_directory=str(store.folder / "scratch" / "dask"),
        ) as cluster,
        cluster.get_client() as client,
    ):
        pool = DaskPool(client, store.folder, STAGES)

        def send(name: str, *, device: bool) -> dict[str, list[str]]:
            """Send a bundle; return who has what once it has been placed."""
            pool.submit(Bundle(name, (), device=device, deadline_s=None))
            for _ in range(600):
                placed = {w: [k[0] for k in keys] for w, keys in client.processing().items()}
                if any(name in names for names in placed.values()):
                    return placed
                time.sleep(0.05)
            raise AssertionError(f"{name} was not placed")

        try:
            for i in range(n_workers - free):
                send(f"simulate-{i}", device=True)
            for i in range(2 * free):
                send(f"measure-{i}", device=False)
            for i in range(n_workers - free, n_workers):
                placed = send(f"simulate-{i}", device=True)
        finally:
            _GATE.set()
    runs = [[n for n in names if n.startswith("simulate")] for names in placed.values()]
    assert [len(names) for names in runs] == [1] * n_workers, "a run stands behind another"
