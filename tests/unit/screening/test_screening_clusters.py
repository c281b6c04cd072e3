"""Profiles are read strictly, job scripts say what the profile says, and impossible ones are refused."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ionsieve.errors import InputError, ProblemsError, SetupError
from ionsieve.screening import clusters
from ionsieve.screening.launch import commands, visible_gpus
from ionsieve.screening.profiles import Profile, SchedulerPlace, WorkerGroup, load_profile, profile_names, walltime_s
from ionsieve.screening.queues import worker_script
from ionsieve.screening.submission import check_feasible, driver_script
from ionsieve.screening.worker import time_left_s
from ionsieve.store import FolderLock, Store


@pytest.mark.parametrize("name", profile_names())
def test_every_shipped_profile_is_valid(name: str) -> None:
    profile = load_profile(name)
    assert profile.description


def test_the_shipped_profiles_cover_the_ways_of_running() -> None:
    kinds = {load_profile(n).kind for n in profile_names()}
    assert kinds == {"local", "local-gpu", "slurm", "pbs", "sge", "address", "srun"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("04:00:00", 14400), ("30:00", 1800), ("90", 5400), ("1-12:00:00", 129600), ("2-00", 172800)],
)
def test_walltimes_are_read_as_slurm_reads_them(text: str, seconds: int) -> None:
    assert walltime_s(text) == seconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: slurm\n", "at least one group"),
        ("kind: slrum\n", "Input should be 'local'"),
        ("kind: local\nworkers: 3\n", "did you mean"),
        ("kind: address\n", "scheduler.address"),
        ("kind: address\nscheduler: {address: 'tls://h:1'}\n", "ca_file"),
        ("kind: slurm\ngroups: {gpu: {walltime: soon}}\n", "no duration"),
        ("kind: slurm\ngroups: {gpu: {queue: 'gpu; rm -rf /'}}\n", "letters, digits"),
        ("kind: slurm\ngroups: {'x y': {}}\n", "small letters"),
        ('kind: slurm\ngroups: {gpu: {prologue: ["a\\nb"]}}\n', "one line"),
        ("[1, 2]", "mapping"),
        ("kind: !!python/object/apply:os.system ['true']\n", "YAML"),
        ("kind: [", "YAML"),
    ],
)
def test_a_wrong_profile_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_profile(path)


def test_an_unknown_profile_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="slurm-gpu"):
        load_profile("slurm_gpu")


def gpu_group(**told: Any) -> WorkerGroup:
    return WorkerGroup(
        **{"gpus": 1, "cores": 8, "memory_GB": 64, "walltime": "04:00:00", "queue": "gpu", "account": "acct"}
        | {"directives": ("--gres=gpu:1",), "prologue": ("module load cuda/12",)}
        | told
    )


def test_a_slurm_gpu_job(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    script = worker_script(
        "slurm", "gpu1", gpu_group(), scheduler="tcp://10.0.0.1:4000", folder=tmp_path, campaign="nasicon"
    )
    assert signal.getsignal(signal.SIGINT) is handler, "dask-jobqueue's import must not take Ctrl-C"
    lines = script.splitlines()
    assert lines[0].startswith("#!")
    for wanted in (
        "#SBATCH -J ionsieve-nasicon-gpu1",
        "#SBATCH -p gpu",
        "#SBATCH -A acct",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH -t 04:00:00",
        "#SBATCH --gres=gpu:1",
        "module load cuda/12",
    ):
        assert wanted in lines
    command = lines[-1]
    assert "-m ionsieve.screening.launch tcp://10.0.0.1:4000 --name gpu1" in command
    assert "--workers" not in command
    assert any("IONSIEVE_END_TIME=$(( $(date +%s) + 14400 ))" in line for line in lines)


def test_a_cpu_job_starts_its_workers(tmp_path: Path) -> None:
    group = WorkerGroup(workers=16, cores=16, memory_GB=48)
    for kind, mark in (("slurm", "#SBATCH"), ("pbs", "#PBS"), ("sge", "#$")):
        script = worker_script(kind, "cpu1", group, scheduler="tcp://h:1", folder=tmp_path)
        assert mark in script
        assert script.rstrip().endswith("--workers 16")


def test_skipped_directives_are_left_out(tmp_path: Path) -> None:
    script = worker_script("slurm", "g", gpu_group(skip_directives=("--mem",)), scheduler="tcp://h:1", folder=tmp_path)
    assert "--mem=" not in script


def test_the_driver_job_is_warned_and_requeues(tmp_path: Path) -> None:
    profile = Profile(kind="slurm", groups={"gpu": gpu_group()})
    script = driver_script("slurm", profile, tmp_path, campaign="x", profile_path=tmp_path / "cluster.yaml")
    assert "#SBATCH --signal=B:USR1@120" in script
    assert "#SBATCH --requeue" in script
    assert 'scontrol requeue "$SLURM_JOB_ID"' in script
    assert "resume" in script


@pytest.mark.parametrize(("asked", "clock"), [("1-00:00:00", "24:00:00"), ("30", "00:30:00"), ("90:00", "01:30:00")])
def test_every_batch_system_is_told_hours_minutes_seconds(tmp_path: Path, asked: str, clock: str) -> None:
    group = gpu_group(walltime=asked)
    for kind, line in (("slurm", "#SBATCH -t {}"), ("pbs", "#PBS -l walltime={}"), ("sge", "#$ -l h_rt={}")):
        worker = worker_script(kind, "gpu1", group, scheduler="tcp://h:1", folder=tmp_path)
        assert line.format(clock) in worker.splitlines()
        profile = Profile(kind=kind, groups={"gpu": group}, driver=group)
        driver = driver_script(kind, profile, tmp_path, campaign="x", profile_path=tmp_path / "cluster.yaml")
        assert line.format(clock) in driver


FAKE_PYTHON = """#!/bin/bash
trap 'exit 130' USR1
while true; do sleep 0.1; done
"""


def test_a_pbs_driver_warns_itself_and_requeues(tmp_path: Path) -> None:
    python, qrerun = tmp_path / "python", tmp_path / "qrerun"
    python.write_text(FAKE_PYTHON)
    qrerun.write_text(f"#!/bin/bash\necho $1 > {tmp_path}/requeued\n")
    for program in (python, qrerun):
        program.chmod(0o755)
    driver = WorkerGroup(walltime="00:10:00", python=str(python))
    profile = Profile(kind="pbs", groups={"gpu": gpu_group()}, driver=driver)
    script = driver_script("pbs", profile, tmp_path, campaign="x", profile_path=tmp_path / "cluster.yaml")
    assert "sleep 480 " in script
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PBS_JOBID": "17"}
    done = subprocess.run(
        ["bash", "-c", script.replace("sleep 480 ", "sleep 2 ")], env=environment, timeout=60, check=False
    )
    assert done.returncode == 130
    assert (tmp_path / "requeued").read_text() == "17\n"


def test_a_pbs_driver_that_ends_in_time_leaves_no_alarm(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/bash\nexit 3\n")
    python.chmod(0o755)
    driver = WorkerGroup(walltime="00:10:00", python=str(python))
    profile = Profile(kind="pbs", groups={"gpu": gpu_group()}, driver=driver)
    script = driver_script("pbs", profile, tmp_path, campaign="x", profile_path=tmp_path / "cluster.yaml")
    script = script.replace("sleep 480 ", "sleep 480.125 ")
    assert subprocess.run(["bash", "-c", script], timeout=60, check=False).returncode == 3
    until = time.monotonic() + 10
    while (left := _commands().count("sleep 480.125")) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left


def _commands() -> list[str]:
    import psutil

    return [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]


# -- srun --------------------------------------------------------------------------------------------------------------


def test_ranks_follow_a_scheduler_that_was_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stale address, then the scheduler's, then its replacement's, then the end of the run."""
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    (tmp_path / "scheduler-5-0.json").write_text('{"address": "tcp://before-the-requeue:1"}')
    path = tmp_path / "scheduler-5-1.json"
    path.write_text('{"address": "tcp://stale:1"}')
    lock = FolderLock(tmp_path / "lock").acquire()
    served: list[str] = []

    def serve(arguments: Sequence[str]) -> tuple[int, bool]:
        served.append(arguments[0])
        sign = clusters._Sign(path)
        assert not path.exists()
        if len(served) < 3:
            sign.put_up("tcp://again:2")
        else:
            lock.release()
        return len(served), False

    monkeypatch.setattr(clusters.launch, "serve", serve)
    assert clusters.serve_allocation(tmp_path, patience_s=20.0) == 3
    assert served == ["tcp://stale:1", "tcp://again:2", "tcp://again:2"]


def test_a_rank_that_is_told_to_end_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clusters._Sign(clusters._sign_path(tmp_path)).put_up("tcp://h:1")
    monkeypatch.setattr(clusters.launch, "serve", lambda arguments: (0, True))
    assert clusters.serve_allocation(tmp_path, patience_s=20.0) == 0


def test_the_sign_of_a_scheduler_goes_with_its_pool(tmp_path: Path) -> None:
    Store.create(tmp_path / "run", {"name": "x"})
    pool = clusters.open_pool(tmp_path / "run", "a:B", profile=Profile(kind="srun", scheduler={"host": "127.0.0.1"}))
    try:
        assert len(list((tmp_path / "run").glob("scheduler-*.json"))) == 1
    finally:
        pool.close()
    assert not list((tmp_path / "run").glob("scheduler-*.json"))


def test_a_scheduler_without_workers_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    told = clusters._client
    clients: list[Any] = []

    def client(*args: Any, **more: Any) -> Any:
        clients.append(told(*args, **more))
        return clients[-1]

    monkeypatch.setattr(clusters, "_client", client)
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        place = SchedulerPlace(address=cluster.scheduler_address)
        with pytest.raises(SetupError, match="no worker"):
            clusters.open_pool(tmp_path, "a:B", profile=Profile(kind="address", scheduler=place, patience_s=0.5))
        assert [c.status for c in clients] == ["closed"]


NODE = {"name": "gpu", "cpus": 16, "memory_MB": 64000, "gpus": 2, "limit_s": 86400}


def test_what_no_node_has_is_refused_at_submit() -> None:
    driver = WorkerGroup(queue="gpu")
    check_feasible(Profile(kind="slurm", groups={"gpu": gpu_group(gpus=2)}, driver=driver), known=[NODE])
    profile = Profile(
        kind="slurm",
        groups={
            "gpu": gpu_group(gpus=4, cores=64, walltime="3-00:00:00"),
            "cpu": WorkerGroup(queue="cups"),
            "quiet": gpu_group(directives=()),
        },
        driver=driver,
    )
    with pytest.raises(ProblemsError) as caught:
        check_feasible(profile, known=[NODE])
    keys = {p.key for p in caught.value.problems}
    assert keys == {
        "groups.gpu.gpus",
        "groups.gpu.cores",
        "groups.gpu.walltime",
        "groups.cpu.queue",
        "groups.quiet.directives",
    }


def test_one_worker_a_gpu() -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "3,GPU-8932"}) == ["3", "GPU-8932"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}) == []
    started = commands(["tcp://h:1", "--name", "gpu1", "--death-timeout", "60"], ["3", "5"], 1)
    assert [extra["CUDA_VISIBLE_DEVICES"] for _, extra in started] == ["3", "5"]
    names = [command[command.index("--name") + 1] for command, _ in started]
    assert names == ["gpu1-gpu0", "gpu1-gpu1"]
    assert all(command[-2:] == ["--resources", "GPU=1"] for command, _ in started)
    cpu = commands(["tcp://h:1"], [], 3)
    assert [command[-1] for command, _ in cpu] == ["CPU=1"] * 3


def test_a_worker_knows_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ionsieve.screening.worker.time.time", lambda: 1000.0)
    assert time_left_s({"IONSIEVE_END_TIME": "1100"}) == pytest.approx(70.0)
    assert time_left_s({"SLURM_JOB_END_TIME": "1010"}) == pytest.approx(-20.0)
    assert time_left_s({}) is None


def test_settings_are_strict() -> None:
    with pytest.raises(ValidationError):
        WorkerGroup(cores=0)
    with pytest.raises(ValidationError):
        WorkerGroup(walltime="00:01:00")
