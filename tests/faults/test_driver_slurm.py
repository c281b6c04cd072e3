"""A campaign on a real SLURM: submitted, scancelled half-way, resumed and finished.

Slow: `make test-slow` (as root on Debian installs slurm-wlm and munge; elsewhere a SLURM that is there is used).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ionsieve.errors import ProblemsError
from ionsieve.screening.profiles import load_profile
from ionsieve.screening.queues import job_state
from ionsieve.screening.status import read_status
from ionsieve.screening.submission import check_feasible, partitions
from ionsieve.store import Store

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parent / "slurm" / "one_node.sh"
CAMPAIGN = """
name: on-slurm
seed: 7
generate:
  ordering: {n_configurations: 1}
  supercell: {min_image_A: 6.0, max_atoms: 90}
  recipes:
    - prototype: Na3OCl_Pm-3m
      supercell: {matrix: [2, 2, 2]}
    - prototype: Na3OCl_Pm-3m
      substitute: {Na: {Sr: 0.125}}
      supercell: {matrix: [2, 2, 2]}
potential: {name: pair-ionic}
relax: {fmax_eV_per_A: 0.2, max_steps: 50, max_volume_change_percent: 80}
dynamics: {dt_fs: 2.0, equilibrate_ps: 0.2, produce_ps: 4.0, frame_interval_fs: 20.0}
simulate: {temperatures_K: [800, 1100]}
run: {slice_seconds: 5}
"""
PROFILE = """
kind: slurm
groups:
  gpu: {jobs: 1, gpus: 1, cores: 1, memory_GB: 2, walltime: "00:30:00", queue: gpu, directives: ["--gres=gpu:1"]}
  cpu: {jobs: 1, workers: 1, cores: 1, memory_GB: 2, walltime: "00:30:00", queue: gpu}
driver: {cores: 1, memory_GB: 2, walltime: "01:00:00", queue: gpu}
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("a SLURM of our own needs root")
    if shutil.which("slurmctld") is None or shutil.which("munged") is None:
        subprocess.run([str(SCRIPT), "install"], check=True, timeout=500)
    folder = tmp_path_factory.mktemp("slurm")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    subprocess.run([str(SCRIPT), "start", str(folder)], check=True, timeout=120)
    yield folder
    subprocess.run([str(SCRIPT), "stop", str(folder)], check=False, timeout=60)
    del os.environ["SLURM_CONF"]


def until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.5)


def command(*arguments: object) -> str:
    program = "import sys; from ionsieve.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def logs(folder: Path) -> str:
    return "\n".join(f"== {p.name}\n{p.read_text()[-1500:]}" for p in sorted((folder / "logs").glob("*")))


def test_partitions_are_read_and_the_impossible_is_refused(slurm: Path, tmp_path: Path) -> None:
    (found,) = partitions()
    assert found["name"] == "gpu"
    assert (found["cpus"], found["gpus"]) == (8, 1)
    path = tmp_path / "p.yaml"
    path.write_text(PROFILE.replace("gpus: 1", "gpus: 2").replace("queue: gpu}", "queue: cpu}"))
    with pytest.raises(ProblemsError) as caught:
        check_feasible(load_profile(path))
    assert {p.key for p in caught.value.problems} == {"groups.gpu.gpus", "groups.cpu.queue", "driver.queue"}


def test_submitted_scancelled_resumed_and_finished(slurm: Path, tmp_path: Path) -> None:
    campaign, profile, folder = tmp_path / "c.yaml", tmp_path / "p.yaml", tmp_path / "run"
    campaign.write_text(CAMPAIGN)
    profile.write_text(PROFILE)
    dry = command("submit", campaign, "--cluster", profile, "--out", folder, "--dry-run")
    assert "#SBATCH --gres=gpu:1" in dry
    assert not folder.exists()
    said = command("submit", campaign, "--cluster", profile, "--out", folder)
    job = said.split()[1]

    def half() -> bool:
        stages = read_status(folder).stages
        return stages.get("simulate", {}).get("done", 0) >= 1

    try:
        until(half, 300, "the first finished run")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{logs(folder)}") from None
    subprocess.run(["scancel", job], check=True)
    until(lambda: job_state("slurm", job) == "gone", 60, "the end of the job")
    until(lambda: read_status(folder).state != "running", 60, "the end of the driver")
    status = read_status(folder)
    assert status.stages["simulate"].get("done", 0) < 4, "it was cancelled half-way"
    until(lambda: "gpu" not in subprocess.check_output(["squeue", "-h", "-o", "%j"], text=True), 90, "its workers' end")
    store = Store.open(folder)
    finished = {stage: set(store.keys(stage)) for stage in store.stages()}

    command("submit", campaign, "--cluster", profile, "--out", folder)
    until(lambda: read_status(folder).state == "finished", 400, "the end of the campaign")
    events = list(store.events.read())
    redone = [e for e in events if e["kind"] == "finished" and not e.get("reused")]
    keys = [e["key"] for e in redone]
    assert len(keys) == len(set(keys)), "nothing that was finished was computed twice"
    for stage, before in finished.items():
        assert before <= set(store.keys(stage))
    devices = {e["device"] for e in redone if e["stage"] == "simulate"}
    assert devices == {"cuda:0"}, "MD ran on the worker that claims the GPU"
    assert {e["device"] for e in redone if e["stage"] == "measure"} == {"cpu"}
    assert len(list(store.keys("rank"))) == 1


def test_one_allocation_serves_scheduler_and_workers(slurm: Path, tmp_path: Path) -> None:
    campaign, folder = tmp_path / "c.yaml", tmp_path / "run"
    campaign.write_text(CAMPAIGN.replace("produce_ps: 4.0", "produce_ps: 1.0"))
    program = "import sys; from ionsieve.cli import main; sys.exit(main())"
    arguments = ["run", str(campaign), "--cluster", "slurm-allocation", "--out", str(folder), "--progress", "plain"]
    done = subprocess.run(
        ["srun", "--ntasks=3", sys.executable, "-c", program, *arguments, "--no-report"],
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_status(folder).state == "finished"
    workers = {e["worker"] for e in Store.open(folder).events.read() if e["kind"] == "finished"}
    assert len(workers) == 2, "three tasks: one schedules, two work"
