"""The fault drill in its short form, and the same on real dynamics. The long form is `make drill`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ionsieve.dynamics.checkpoint import read_head
from ionsieve.store import Store
from ionsieve.trajectory.journal import count_frames

ROOT = Path(__file__).parents[2]
CAMPAIGN = """
name: pair
seed: 7
generate:
  ordering: {n_configurations: 1}
  supercell: {min_image_A: 6.0, max_atoms: 90}
  recipes:
    - prototype: Na3OCl_Pm-3m
      supercell: {matrix: [2, 2, 2]}
potential: {name: pair-ionic}
relax: {fmax_eV_per_A: 0.2, max_steps: 50, max_volume_change_percent: 80}
dynamics: {dt_fs: 2.0, equilibrate_ps: 0.2, produce_ps: 4.0, frame_interval_fs: 20.0}
simulate: {temperatures_K: [800, 1100]}
run: {slice_seconds: 4}
"""
RUN = """
import sys
from ionsieve.campaign import parse_campaign
from ionsieve.screening import run_campaign
if __name__ == "__main__":
    text = open(sys.argv[1]).read()
    sys.exit(run_campaign(parse_campaign(text), sys.argv[2], n_workers=int(sys.argv[3]), progress="quiet").exit_code)
"""


def test_the_short_drill() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "drill.py"), "--small", "--seed", "4"],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_signalled_worker_repeats_no_step_of_real_dynamics(tmp_path: Path) -> None:
    """SIGTERM to the process that moves the atoms, long before its slice ends: its work is in the checkpoint."""
    text = CAMPAIGN.replace("[800, 1100]", "[800]").replace("slice_seconds: 4", "slice_seconds: 600")
    (tmp_path / "c.yaml").write_text(text)
    (tmp_path / "run.py").write_text(RUN)
    folder = tmp_path / "run"
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "c.yaml"), str(folder), "1"]
    driver = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        end = time.monotonic() + 90
        while not any(count_frames(p) > 20 for p in folder.glob("scratch/*/trajectory.frames")):
            assert time.monotonic() < end
            time.sleep(0.02)
        (journal,) = folder.glob("scratch/*/trajectory.frames")
        (note,) = (folder / "workers").glob("*.json")
        told = json.loads(note.read_text())
        assert told["keys"] == [journal.parent.name]
        worker = psutil.Process(told["pid"])
        worker.send_signal(signal.SIGTERM)
        worker.wait(30)
        saved, frames = read_head(journal.with_name("checkpoint.npz"))["step"], count_frames(journal)
        assert driver.wait(120) == 0
    finally:
        driver.kill()
    assert 300 < saved < 2000
    assert frames == 1 + (saved - 100) // 10, "nothing was done beyond the checkpoint"
    work = [e for e in Store.open(folder).events.read() if e.get("stage") == "simulate"]
    assert [e["kind"] for e in work] == ["sliced", "finished"], "given back once, done the next time, never lost"
    assert len({e["worker"] for e in work}) == 2


@pytest.mark.slow
def test_real_dynamics_survives_kills_bit_for_bit(tmp_path: Path) -> None:
    campaign, script = tmp_path / "c.yaml", tmp_path / "run.py"
    campaign.write_text(CAMPAIGN)
    script.write_text(RUN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(folder: str, workers: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(script), str(campaign), str(tmp_path / folder), str(workers)]
        return subprocess.Popen(command, env=environment)

    assert start("calm", 0).wait(600) == 0
    for _ in range(4):
        process = start("wild", 2)
        begin = time.monotonic()
        journal = tmp_path / "wild" / "events.jsonl"
        size = journal.stat().st_size if journal.exists() else 0
        while process.poll() is None and time.monotonic() - begin < 60:
            time.sleep(0.5)
            if journal.exists() and journal.read_bytes()[size:].count(b'"sliced"') >= 1:
                break
        process.kill()
        process.wait()
    assert start("wild", 2).wait(600) == 0
    calm, wild = Store.open(tmp_path / "calm"), Store.open(tmp_path / "wild")
    for stage in ("measure", "fit", "rank"):
        keys = list(calm.keys(stage))
        assert keys == list(wild.keys(stage))
        for key in keys:
            assert calm.record_path(stage, key).read_bytes() == wild.record_path(stage, key).read_bytes()
    for key in calm.keys("simulate"):
        a, b = (sorted((s.folder / "files" / "simulate" / key).iterdir()) for s in (calm, wild))
        assert [p.read_bytes() for p in a] == [p.read_bytes() for p in b]
