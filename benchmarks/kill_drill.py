"""kill -9 at random moments: how much work is repeated, and is the trajectory the same?

    python benchmarks/kill_drill.py [--small] [--kills 50] [--seed 1]

A child process runs three small crystals; it is killed at a random moment and started again until the runs are done;
then further runs are begun, until all kills are spent. Every evaluation of the potential is counted in a file that
survives the child. What a kill costs: the evaluations of the life that it ended, less the steps by which that life's
checkpoints went on. At the end each trajectory is compared byte by byte with that of a run that nobody killed. Exit
status 0 means: all equal, and no kill cost more than one slice (and the evaluation at the start of a life).
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import struct
import tempfile
import time
import traceback
from pathlib import Path

from ionsieve.dynamics import DynamicsSettings, Job, checkpoint, simulate
from ionsieve.dynamics.toys import HarmonicLattice, lattice

SLICE, GUARD = 40, 20


class Counted:
    """The potential, with every evaluation counted on disk."""

    def __init__(self, inner, path: Path) -> None:
        self.inner, self.info = inner, inner.info
        self.file = os.open(path, os.O_RDWR | os.O_CREAT)
        raw = os.pread(self.file, 8, 0)
        self.calls = struct.unpack("<q", raw)[0] if len(raw) == 8 else 0

    def evaluate(self, batch, *, stress=False):
        self.calls += 1
        os.pwrite(self.file, struct.pack("<q", self.calls), 0)
        return self.inner.evaluate(batch, stress=stress)

    def as_ase(self):
        return self.inner.as_ase()


def jobs(folder: Path, seed: int) -> list[Job]:
    """Three crystals at three temperatures."""
    return [Job(f"r{i}", lattice(2), 300.0 + 200 * i, (seed, i), folder / f"r{i}") for i in range(3)]


def child(folder: Path, seed: int, settings: DynamicsSettings) -> int:
    """Start the run in a process of its own; return its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        progress = simulate(jobs(folder, seed), Counted(HarmonicLattice(2, 3.0, 2.0, 40.0), folder / "calls"), settings)
        status = 0 if all(p.state == "done" for p in progress) else 1
    except Exception:  # noqa: BLE001  the parent sees the status, the reader the trace
        traceback.print_exc()
    finally:
        os._exit(status)


def calls(folder: Path) -> int:
    """Evaluations so far."""
    path = folder / "calls"
    raw = path.read_bytes() if path.exists() else b""
    return struct.unpack("<q", raw[:8])[0] if len(raw) >= 8 else 0


def saved(folder: Path, seed: int) -> int:
    """Step of the run that is furthest behind, by the checkpoints."""
    paths = [job.checkpoint_path for job in jobs(folder, seed)]
    return min(checkpoint.read_head(path)["step"] if path.exists() else 0 for path in paths)


def main(argv: list[str] | None = None) -> int:
    """Run the drill and print the table."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="5 kills")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(argv)
    kills = 5 if arguments.small else arguments.kills
    torch.set_num_threads(1)
    settings = DynamicsSettings(
        equilibrate_ps=0.4,
        produce_ps=0.8 if arguments.small else 2.0,
        guard_steps=GUARD,
        slice_steps=SLICE,
        slice_s=1e9,
        tau_fs=40,
    )
    dice = random.Random(arguments.seed)
    done = lives = runs = unequal = 0
    repeated: list[int] = []
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        while done < kills:
            runs += 1
            seed = 1000 * arguments.seed + runs
            calm, rough = base / f"calm{runs}", base / f"rough{runs}"
            calm.mkdir()
            rough.mkdir()
            start = time.perf_counter()
            _, status = os.waitpid(child(calm, seed, settings), 0)
            assert status == 0, f"the undisturbed run ended with status {status}"
            length = time.perf_counter() - start
            while True:
                lives += 1
                before = calls(rough), saved(rough, seed)
                pid = child(rough, seed, settings)
                killed = False
                if done < kills:
                    time.sleep(dice.uniform(0.0, 0.35 * length))
                    finished, status = os.waitpid(pid, os.WNOHANG)
                    if finished == 0:
                        os.kill(pid, signal.SIGKILL)
                        os.waitpid(pid, 0)
                        done, killed = done + 1, True
                        repeated.append(calls(rough) - before[0] - (saved(rough, seed) - before[1]))
                else:
                    _, status = os.waitpid(pid, 0)
                if not killed:
                    assert status == 0, f"a disturbed run ended with status {status}"
                    break
            for i in range(3):
                same = (calm / f"r{i}/trajectory.h5").read_bytes() == (rough / f"r{i}/trajectory.h5").read_bytes()
                unequal += not same
    worst = max(repeated)
    print("| kills | runs | trajectories that differ | steps repeated a kill, mean | worst | slice |")
    print("|---|---|---|---|---|---|")
    mean = sum(repeated) / len(repeated)
    print(f"| {done} | {runs} of 3 systems | {unequal} of {3 * runs} | {mean:.1f} | {worst} | {SLICE} |")
    print(f"\n`python benchmarks/kill_drill.py{' --small' if arguments.small else f' --kills {kills}'}`")
    return 0 if unequal == 0 and worst <= SLICE + 1 else 1


if __name__ == "__main__":
    raise SystemExit(main())
