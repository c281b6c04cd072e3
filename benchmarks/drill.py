"""The fault drill: a campaign under random faults must end as if nothing had happened.

    python benchmarks/drill.py [--faults 100] [--small] [--seed 0] [--no-tmpfs]

A campaign of made-up physics (`ionsieve.testing.null_campaign`: real records, files, checkpoints, workers) runs while
workers, driver (client, scheduler and nannies are one process) and disk are attacked. Then it is checked that

* the final table and every other record equal those of an undisturbed run byte for byte,
* no finished run was computed twice, except those whose files were damaged on purpose,
* a kill repeated at most the slice that each killed worker was at, a signal nothing,
* the ledger agrees with the files, and rebuilding it from the files gives the same.

Exit code 0 when all holds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ionsieve.screening.facts import facts
from ionsieve.screening.run import run_plan
from ionsieve.store import Store
from ionsieve.testing.null_campaign import NullBuilders, null_campaign, null_subjects

STAGES = "ionsieve.testing.null_campaign:STAGES"
WORKERS = 2


def drive(folder: Path) -> int:
    """One run of the driver over the folder (a process of its own, to be killed)."""
    from ionsieve.screening.clusters import open_pool
    from ionsieve.screening.retries import RunRules

    offset = folder.parent / "clock"
    real = time.time
    time.time = lambda: real() + (float(offset.read_text() or 0) if offset.exists() else 0.0)
    store = Store.open(folder)
    campaign = store.campaign
    report = run_plan(
        store,
        null_subjects(campaign),
        NullBuilders(campaign),
        pool=lambda: open_pool(folder, STAGES, n_workers=WORKERS),
        stages=STAGES,
        rules=RunRules(slice_s=0.2, deaths=10**6),
        progress="quiet",
    )
    return report.exit_code


@dataclass
class Drill:
    """The attacker and what it has done."""

    folder: Path
    random: random.Random
    ballast: Path | None = None
    counts: Counter[str] = field(default_factory=Counter)
    spoiled: set[str] = field(default_factory=set)
    driver: subprocess.Popen[bytes] | None = None
    signalled: set[int] = field(default_factory=set)
    slices: int = 0  # that may have been repeated: one for each worker that was killed or could not write
    starts: int = 0

    # -- the driver's life --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the driver."""
        self.starts += 1
        with (self.folder.parent / "driver.log").open("ab") as log:
            command = [sys.executable, __file__, "--drive", str(self.folder)]
            self.driver = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})

    def alive(self) -> bool:
        """Whether the driver runs."""
        return self.driver is not None and self.driver.poll() is None

    def ensure(self) -> None:
        """Start the driver again when it is gone and has not finished."""
        if not self.alive():
            self.start()

    def end_children(self) -> None:
        """Kill what a killed driver left behind (its workers notice by themselves; this saves waiting)."""
        if self.driver is not None:
            self.driver.wait()

    def workers(self) -> list[psutil.Process]:
        """Worker processes of the driver."""
        if not self.alive():
            return []
        try:
            children = psutil.Process(self.driver.pid).children(recursive=True)
            return [p for p in children if "spawn_main" in " ".join(p.cmdline())]
        except psutil.Error:
            return []

    def steps_done(self) -> int:
        """Steps journalled so far, repeated ones included."""
        return sum(p.stat().st_size for p in (self.folder / "journal").iterdir()) // 2

    # -- faults -------------------------------------------------------------------------------------------------

    def kill_worker(self) -> bool:
        """kill -9 one worker."""
        workers = self.workers()
        if not workers:
            return False
        try:
            self.random.choice(workers).kill()
        except psutil.Error:
            return False
        self.slices += 1
        return True

    def signal_worker(self) -> bool:
        """SIGTERM or SIGUSR1 to one worker's own process, as a batch system sends them to all of a job."""
        workers = self.workers()
        if not workers:
            return False
        worker = self.random.choice(workers)
        try:
            worker.send_signal(self.random.choice([signal.SIGTERM, signal.SIGUSR1]))
        except psutil.Error:
            return False
        if worker.pid in self.signalled:  # the second one does not wait
            self.slices += 1
        self.signalled.add(worker.pid)
        return True

    def kill_driver(self) -> bool:
        """kill -9 the process that is client, scheduler and nannies."""
        if not self.alive():
            return False
        self.driver.kill()
        self.driver.wait()
        self.slices += WORKERS
        return True

    def stop_driver(self) -> bool:
        """SIGTERM or SIGUSR1, as a batch system sends it before the walltime."""
        if not self.alive() or self.starts == 0:
            return False
        self.driver.send_signal(self.random.choice([signal.SIGTERM, signal.SIGUSR1]))
        self.driver.wait(timeout=60)
        return True

    def _some_file(self, *parts: str) -> Path | None:
        root = self.folder.joinpath(*parts)
        found = [p for p in root.rglob("*") if p.is_file() and ".part-" not in p.name] if root.is_dir() else []
        return self.random.choice(sorted(found)) if found else None

    def _spoil(self, path: Path, how: str) -> bool:
        try:
            data = bytearray(path.read_bytes())
            if not data:
                return False
            if how == "flip":
                data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
            else:
                del data[self.random.randrange(len(data)) :]
            path.write_bytes(bytes(data))
        except OSError:
            return False
        return True

    def damage_record(self) -> bool:
        """Flip a bit of a record, or cut it."""
        path = self._some_file("records")
        if path is None or not self._spoil(path, self.random.choice(["flip", "cut"])):
            return False
        if path.parents[1].name == "simulate":
            self.spoiled.add(path.stem)
        return True

    def damage_trajectory(self) -> bool:
        """Flip a bit of a trajectory, or cut it."""
        path = self._some_file("files", "simulate")
        if path is None or not self._spoil(path, self.random.choice(["flip", "cut"])):
            return False
        self.spoiled.add(path.parent.name)
        return True

    def damage_checkpoint(self) -> bool:
        """Cut or flip a checkpoint."""
        found = sorted((self.folder / "scratch").glob("*/checkpoint.json"))
        if not found:
            return False
        path = self.random.choice(found)
        self.spoiled.add(path.parent.name)
        return self._spoil(path, "flip")

    def busy_ledger(self) -> bool:
        """Hold the ledger's lock for two seconds."""
        try:
            with sqlite3.connect(self.folder / "ledger.sqlite", timeout=5) as db:
                db.execute("BEGIN EXCLUSIVE")
                time.sleep(2.0)
                db.execute("ROLLBACK")
        except sqlite3.Error:
            return False
        return True

    def lose_ledger(self) -> bool:
        """Kill the driver and cut or delete the ledger."""
        if not self.kill_driver():
            return False
        path = self.folder / "ledger.sqlite"
        if not path.exists():
            return False
        (self.folder / "ledger.sqlite-journal").unlink(missing_ok=True)
        if self.random.random() < 0.5:
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return True

    def tear_events(self) -> bool:
        """Kill the driver in the middle of a line of the event file."""
        if not self.kill_driver():
            return False
        with (self.folder / "events.jsonl").open("ab") as stream:
            stream.write(b'{"n": 123456, "kind": "finis')
        return True

    def jump_clock(self) -> bool:
        """Move the driver's clock by up to a month, either way."""
        (self.folder.parent / "clock").write_text(str(self.random.uniform(-3e6, 3e6)))
        return True

    def fill_disk(self) -> bool:
        """Fill the file system for two seconds."""
        if self.ballast is None:
            return False
        try:
            with self.ballast.open("wb", buffering=0) as stream:
                while True:
                    stream.write(b"\0" * (1 << 20))
        except OSError:
            pass
        time.sleep(2.0)
        self.ballast.unlink()
        self.slices += WORKERS
        return True

    def attack(self) -> str:
        """Do one fault that can be done now; return its name."""
        faults = [
            (self.kill_worker, 24),
            (self.signal_worker, 8),
            (self.kill_driver, 12),
            (self.stop_driver, 8),
            (self.damage_record, 12),
            (self.damage_trajectory, 8),
            (self.damage_checkpoint, 8),
            (self.busy_ledger, 5),
            (self.lose_ledger, 4),
            (self.tear_events, 4),
            (self.jump_clock, 4),
            (self.fill_disk, 5 if self.ballast is not None else 0),
        ]
        while True:
            fault = self.random.choices([f for f, _ in faults], [w for _, w in faults])[0]
            if fault():
                self.counts[fault.__name__] += 1
                return fault.__name__


def _tree(folder: Path) -> dict[str, str]:
    """Digest of every record and file."""
    out = {}
    for name in ("records", "files"):
        for path in sorted((folder / name).rglob("*")):
            if path.is_file() and ".part-" not in path.name:
                out[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return out


def _steps(folder: Path) -> dict[str, list[int]]:
    return {p.name: [int(x) for x in p.read_text().split()] for p in (folder / "journal").iterdir()}


def run_drill(root: Path, *, faults: int, candidates: int, steps: int, seed: int, tmpfs: bool, say=print) -> list[str]:
    """Run the drill in `root`; return what does not hold (nothing, when all is well)."""
    campaign = null_campaign(candidates, seed=seed, steps=steps, step_s=0.04)
    calm, wild = root / "calm" / "run", root / "wild" / "run"
    for folder in (calm, wild):
        folder.parent.mkdir(parents=True)
    mounted = False
    if tmpfs:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=192m", "tmpfs", str(wild.parent)], check=False)
        mounted = done.returncode == 0
        say(f"tmpfs of 192 MB: {'yes' if mounted else 'not permitted, no full-disk faults'}")
    try:
        return _run(calm, wild, campaign, faults, seed, mounted, say)
    finally:
        if mounted:
            shutil.copytree(wild, root / "wild-kept", dirs_exist_ok=True)
            subprocess.run(["umount", "-l", str(wild.parent)], check=False)


def _run(calm: Path, wild: Path, campaign: dict, faults: int, seed: int, mounted: bool, say) -> list[str]:
    for folder in (calm, wild):
        Store.create(folder, campaign)
        (folder / "journal").mkdir()
    begin = time.monotonic()
    if subprocess.run([sys.executable, __file__, "--drive", str(calm)], check=False).returncode != 0:
        return ["the undisturbed run failed"]
    calm_s = time.monotonic() - begin
    drill = Drill(wild, random.Random(seed), ballast=wild.parent / "ballast" if mounted else None)
    begin = time.monotonic()
    drill.start()
    done = at_work = 0
    while done < faults:
        # attack a campaign that moves, not one that is starting: a few steps between one fault and the next
        wanted, patience = drill.steps_done() + drill.random.randrange(1, 12), time.monotonic() + 60
        while drill.steps_done() < wanted and time.monotonic() < patience:
            if drill.driver.poll() == 0:
                break
            drill.ensure()
            time.sleep(0.05)
        time.sleep(drill.random.uniform(0.0, 0.3))
        at_work += drill.alive()
        drill.attack()
        done += 1
    (wild.parent / "clock").unlink(missing_ok=True)
    for _ in range(20):
        drill.ensure()
        if drill.driver.wait() == 0:
            break
        drill.driver = None
    # what was damaged after the last look is found by the next resume
    drill.start()
    code = drill.driver.wait()
    wild_s = time.monotonic() - begin

    problems = []
    if code != 0:
        log = (wild.parent / "driver.log").read_text()[-3000:]
        problems.append(f"the campaign did not finish: exit code {code}\n{log}")
    a, b = _tree(calm), _tree(wild)
    damaged_files = {k for k in b if k in a and a[k] != b[k]}
    if missing := sorted(set(a) - set(b)):
        problems.append(f"{len(missing)} results lost, for example {missing[0]}")
    if extra := sorted(set(b) - set(a)):
        problems.append(f"{len(extra)} results too many, for example {extra[0]}")
    # a file damaged after its last reader was done is intact or known to `verify`
    from ionsieve.screening.maintenance import verify

    if damaged_files:
        known = {name for name, _ in verify(wild, mend=True)}
        say(f"{len(damaged_files)} files damaged after everything was done; verify found {len(known)}")
        drill.start()
        drill.driver.wait()
        again = {k for k, v in _tree(wild).items() if a.get(k) != v}
        if again:
            problems.append(f"{len(again)} results differ from the undisturbed run, for example {min(again)}")
    base, got = _steps(calm), _steps(wild)
    n_steps = campaign["steps"]
    slice_steps = max(1, round(0.2 / campaign["step_s"]) + 1)
    repeated = sum(len(v) - len(set(v)) for k, v in got.items() if k not in drill.spoiled)
    if any(set(v) != set(range(1, n_steps + 1)) for v in got.values()) or set(base) != set(got):
        problems.append("some run's steps are not complete")
    bound = drill.slices * slice_steps
    if repeated > bound:
        problems.append(f"{repeated} steps were repeated, more than {bound}")
    store = Store.open(wild)
    with store.lock:
        before = {(r.key, str(r.state), r.outcome) for r in store.ledger.rows()}
        store.rebuild(facts)
        after = {(r.key, str(r.state), r.outcome) for r in store.ledger.rows()}
        store.close()
    if before != after:
        problems.append(f"ledger and files disagree in {len(before ^ after)} rows")
    say("| fault | times |\n| --- | ---: |")
    for name, n in sorted(drill.counts.items()):
        say(f"| {name.replace('_', ' ')} | {n} |")
    say(
        f"\n{sum(drill.counts.values())} faults, {at_work} of them at work, {drill.starts} starts of the driver, "
        f"{len(a)} results, {calm_s:.0f} s calm, {wild_s:.0f} s under fire; {repeated} of "
        f"{sum(map(len, base.values()))} steps repeated outside damaged runs "
        f"(at most {bound} may be; a slice is {slice_steps})"
    )
    return problems


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--small", action="store_true", help="5 faults on a small campaign")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--tmpfs",
        action=argparse.BooleanOptionalAction,
        default=os.geteuid() == 0,
        help="run on a small tmpfs and fill it at times (needs root, and is the default for it)",
    )
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=Path, help="work here and keep the folders")
    told = parser.parse_args(argv)
    if told.drive is not None:
        return drive(told.drive)
    root = told.keep or Path(tempfile.mkdtemp(prefix="ionsieve-drill-"))
    faults = 5 if told.small else told.faults
    candidates, steps = (6, 8) if told.small else (44, 40)  # long enough that most faults find it at work
    try:
        problems = run_drill(root, faults=faults, candidates=candidates, steps=steps, seed=told.seed, tmpfs=told.tmpfs)
    finally:
        if told.keep is None:
            shutil.rmtree(root, ignore_errors=True)
    for problem in problems:
        print(f"FAILED: {problem}")
    print(json.dumps({"faults": faults, "problems": len(problems)}))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
