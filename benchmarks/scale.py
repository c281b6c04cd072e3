"""How large may a campaign be? Planning, overhead a task, memory and `status` on campaigns with a null model.

    python benchmarks/scale.py [--small] [--sizes 1000 10000 100000] [--execute 10000]

Planning and bookkeeping of the whole campaign are measured with answers made in this process, so that nothing but our
own work is timed: plan, addresses, ledger, events. Execution (records, files, two Dask workers) is measured on the
sizes up to `--execute`.

The overhead of a task is all that it costs when it computes nothing: from the workers' being there to the ranking, the
CPU seconds of every process (driver, Dask's scheduler, nannies, workers with their imports) a task, less those of the
null model's own functions; and the wall time a task, which is how fast tasks can be put through two workers. A task's
question, its key, its hand-out, its record with digest and flush to disk, its row and its event are in it.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from ionsieve.screening.driver import Driver
from ionsieve.screening.plan import Plan
from ionsieve.screening.pool import Bundle, Completion
from ionsieve.screening.progress import Quiet
from ionsieve.screening.retries import RunRules
from ionsieve.screening.run import run_plan
from ionsieve.screening.status import read_status
from ionsieve.screening.worker import Answer
from ionsieve.store import Request, Store
from ionsieve.testing.null_campaign import NullBuilders, null_campaign, null_subjects

STAGES = "ionsieve.testing.null_campaign:STAGES"


class InstantPool:
    """Answers every question at once with made-up facts: what is left is the driver's own work."""

    def __init__(self, places: int = 512) -> None:
        self._places = places
        self._done: list[Completion] = []

    def capacity(self) -> dict[str, int]:
        """Many places: the driver never waits."""
        return {"device": self._places, "cpu": self._places}

    def shared(self) -> bool:
        """One group."""
        return False

    def submit(self, bundle: Bundle) -> None:
        """Answer."""
        answers = []
        for told in bundle.requests:
            key = Request.from_dict(told).key
            facts: dict[str, object] = {"ok": True}
            if told["stage"] == "generate":
                facts["configurations"] = [[f"{told['parameters']['name']}--c0", True]]
            elif told["stage"] == "simulate":
                facts |= {"steps": 4, "ps": 0.004}
            elif told["stage"] == "fit":
                facts |= {"mean": -6.0, "std": 0.3}
            answers.append(Answer(key, "done", facts=facts, outcome="completed", digest=key, seconds=1e-4))
        self._done.append(Completion(bundle.name, tuple(answers)))

    def wait(self, timeout_s: float) -> list[Completion]:
        """Return them."""
        done, self._done = self._done, []
        return done

    def describe(self) -> dict[str, object]:
        """Nothing to tell."""
        return {"workers": self._places}

    def close(self) -> None:
        """Nothing to close."""


def bookkeeping(n: int, root: Path) -> dict[str, float]:
    """Plan and book a campaign of n candidates x 4 temperatures."""
    process = psutil.Process()
    campaign = null_campaign(n)
    folder = root / f"book-{n}"
    store = Store.create(folder, campaign)
    before = process.memory_info().rss
    begin = time.perf_counter()
    plan = Plan(null_subjects(campaign), NullBuilders(campaign))
    first = plan.start()
    for task in first:
        _ = task.key
    planned = time.perf_counter() - begin
    del first, plan
    begin, cpu = time.perf_counter(), time.process_time()
    with store.lock:
        driver = Driver(
            store,
            Plan(null_subjects(campaign), NullBuilders(campaign)),
            InstantPool(),
            rules=RunRules(),
            progress=Quiet(),
        )
        report = driver.run()
        peak = process.memory_info().rss - before
        del driver
        store.close()
    wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    tasks = sum(int(t["n"]) for t in report.totals)
    begin = time.perf_counter()
    read_status(folder)
    status_s = time.perf_counter() - begin
    shutil.rmtree(folder)
    return {
        "tasks": tasks,
        "plan_s": planned,
        "wall_s": wall,
        "ms": 1e3 * wall / tasks,
        "cpu_ms": 1e3 * cpu / tasks,
        "status_s": status_s,
        "GiB": peak / 2**30,
    }


def _cpu_s() -> np.ndarray:
    """CPU seconds so far of this process (client, scheduler, nannies), and of its children (workers)."""
    me = psutil.Process()
    total = np.zeros(2)
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total[int(process != me)] += times.user + times.system
    return total


def own_work(n: int, root: Path) -> float:
    """CPU milliseconds a task of the null model's own functions, reading their inputs from the store excluded."""
    from ionsieve.screening.pool import SerialPool
    from ionsieve.testing import null_campaign as null

    spent = Counter[str]()

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*told: Any, **named: Any) -> Any:
            begin = time.thread_time()
            try:
                return call(*told, **named)
            finally:
                spent[name] += time.thread_time() - begin

        return run

    kept = {name: stage.run for name, stage in null.STAGES.items()}
    need = Store.need
    campaign = null_campaign(n, steps=1)
    store = Store.create(root / "own", campaign)
    try:
        Store.need = timed("need", need)
        for name, run in kept.items():
            null.STAGES[name].run = timed("run", run)
        report = run_plan(
            store,
            null_subjects(campaign),
            NullBuilders(campaign),
            pool=lambda: SerialPool(store.folder, STAGES),
            stages=STAGES,
        )
    finally:
        Store.need = need
        for name, run in kept.items():
            null.STAGES[name].run = run
    shutil.rmtree(store.folder)
    return 1e3 * (spent["run"] - spent["need"]) / sum(int(t["n"]) for t in report.totals)


def execution(n: int, root: Path) -> dict[str, float]:
    """Run a campaign of n candidates with two workers, records and files."""
    from ionsieve.screening.clusters import open_pool
    from ionsieve.screening.pool import DaskPool

    campaign = null_campaign(n, steps=1)
    folder = root / f"run-{n}"
    store = Store.create(folder, campaign)
    used: list[np.ndarray] = []
    bundles: list[int] = []

    class Counted(DaskPool):
        def close(self) -> None:
            used.append(_cpu_s() - begin)
            super().close()

        def submit(self, bundle: Bundle) -> None:
            bundles.append(len(bundle.requests))
            super().submit(bundle)

    def pool() -> DaskPool:
        nonlocal begin
        place = open_pool(folder, STAGES, n_workers=2)
        place.__class__ = Counted
        begin = _cpu_s()
        return place

    begin = np.zeros(2)
    report = run_plan(store, null_subjects(campaign), NullBuilders(campaign), pool=pool, stages=STAGES)
    tasks = sum(int(t["n"]) for t in report.totals)
    shutil.rmtree(folder)
    return {
        "tasks": tasks,
        "bundles": len(bundles),
        "wall_s": report.seconds,
        "ms": 1e3 * report.seconds / tasks,
        "driver_ms": 1e3 * used[0][0] / tasks,
        "workers_ms": 1e3 * used[0][1] / tasks,
    }


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="100 and 1,000 candidates")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--execute", type=int, default=10_000, help="largest campaign that is really run")
    told = parser.parse_args(argv)
    sizes = [100, 1000] if told.small else told.sizes
    execute = 100 if told.small else told.execute
    root = Path(tempfile.mkdtemp(prefix="ionsieve-scale-"))
    try:
        print(
            "| candidates | tasks | first plan s | whole bookkeeping s | ms a task | CPU ms | status s | memory GiB |"
        )
        print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        for n in sizes:
            r = bookkeeping(n, root)
            print(
                f"| {n:,} | {r['tasks']:,.0f} | {r['plan_s']:.2f} | {r['wall_s']:.1f} | {r['ms']:.3f} "
                f"| {r['cpu_ms']:.3f} | {r['status_s']:.3f} | {r['GiB']:.2f} |",
                flush=True,
            )
        print("\nRun with two workers, records and files:\n")
        own = own_work(min(500, *sizes), root)
        print("| candidates | tasks | bundles | wall s | wall ms | driver CPU ms | workers CPU ms | overhead CPU ms |")
        print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        for n in [s for s in sizes if s <= execute]:
            r = execution(n, root)
            print(
                f"| {n:,} | {r['tasks']:,.0f} | {r['bundles']:,.0f} | {r['wall_s']:.1f} | {r['ms']:.2f} "
                f"| {r['driver_ms']:.2f} | {r['workers_ms']:.2f} | {r['driver_ms'] + r['workers_ms'] - own:.2f} |",
                flush=True,
            )
        print(f"\nall a task; the null model's own functions take {own:.2f} CPU ms a task")
        print(f"\npython benchmarks/scale.py --sizes {' '.join(map(str, sizes))} --execute {execute}")
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
