"""Accidents of the machine: a scheduler's signal, a full disk. Nothing is lost, nothing becomes chemistry."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ionsieve.dynamics import DynamicsSettings, Job, StopOnSignal, simulate
from ionsieve.dynamics.toys import HarmonicLattice, lattice

SETTINGS = DynamicsSettings(equilibrate_ps=0.1, produce_ps=0.4, guard_steps=25, slice_steps=100)
CRYSTAL = HarmonicLattice(2, 3.0, 2.0, 40.0)

CHILD = """
import resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from ionsieve.dynamics import DynamicsSettings, Job, StopOnSignal, simulate
from ionsieve.dynamics.toys import HarmonicLattice, lattice
settings = DynamicsSettings.model_validate_json(sys.argv[2])
job = Job("r", lattice(2), 600.0, (1, "r"), Path(sys.argv[1]))
if sys.argv[3].startswith("full"):
    size = int(sys.argv[3].split()[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))  # the next write beyond fails as on a full disk
class Told(HarmonicLattice):
    calls = 0
    def evaluate(self, batch, *, stress=False):
        Told.calls += 1
        if Told.calls == 60:
            print("running", flush=True)
            if sys.argv[3] == "wait":
                sys.stdin.readline()  # until the parent has sent its signal
        return super().evaluate(batch, stress=stress)
with StopOnSignal() as stop:
    progress = simulate([job], Told(2, 3.0, 2.0, 40.0), settings, stop=stop)[0]
print(progress.state, progress.steps_done, flush=True)
"""


def child(folder, how):
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), SETTINGS.model_dump_json(), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
    )


def calm(folder):
    job = Job("r", lattice(2), 600.0, (1, "r"), folder)
    assert simulate([job], CRYSTAL, SETTINGS)[0].state == "done"
    return job.trajectory_path.read_bytes()


def finish(folder):
    job = Job("r", lattice(2), 600.0, (1, "r"), folder)
    return simulate([job], CRYSTAL, SETTINGS)[0], job.trajectory_path.read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_schedulers_signal_ends_at_the_next_guard_point_with_all_saved(tmp_path, number):
    process = child(tmp_path / "r", "wait")
    assert process.stdout.readline().strip() == "running"
    process.send_signal(number)
    out, err = process.communicate("go on\n", timeout=120)
    assert process.returncode == 0, err
    assert out.split() == ["unfinished", "75"]  # step 59 was under way; guard points lie 25 steps apart
    progress, trajectory = finish(tmp_path / "r")
    assert (progress.state, progress.diagnostics["restarts"]) == ("done", 1)
    assert trajectory == calm(tmp_path / "calm")


@pytest.mark.parametrize("size", [3000, 6000])
def test_a_full_disk_is_an_error_and_the_run_goes_on_later(tmp_path, size):
    """3000 bytes hold no checkpoint, 6000 a checkpoint and the journal but no trajectory."""
    process = child(tmp_path / "r", f"full {size}")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "OSError" in err
    assert "File too large" in err
    assert not list(Path(tmp_path / "r").glob("trajectory.h5"))
    progress, trajectory = finish(tmp_path / "r")
    assert progress.state == "done"
    assert trajectory == calm(tmp_path / "calm")


def test_stop_flag_restores_the_handlers_it_found():
    before = signal.getsignal(signal.SIGTERM)
    with StopOnSignal() as stop:
        assert signal.getsignal(signal.SIGTERM) != before
        assert not stop()
        stop.request()
        assert stop()
    assert signal.getsignal(signal.SIGTERM) == before
