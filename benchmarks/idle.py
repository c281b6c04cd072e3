"""How much time do two workers lose to scheduling? A campaign of 20 real runs with the pair potential.

    python benchmarks/idle.py [--small] [--ps 40]
    python benchmarks/idle.py --folder FOLDER          (a campaign that was run, by its events)

The time the workers were not inside a stage, as a share of the wall time from the first MD run handed out to the last
one finished, and of the whole campaign (which begins with starting the workers and ends with a tail). The start costs a
few seconds however long the runs are, so the share falls with their length. The default, 40 ps, takes a worker about 20
seconds a run and is still short: those of the quickstart, with CHGNet, take one to five minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from ionsieve.campaign import parse_campaign
from ionsieve.screening import run_campaign

WORKERS = 2
CAMPAIGN = """
name: idle
seed: 5
generate:
  ordering: {{n_configurations: 1}}
  supercell: {{min_image_A: 6.0, max_atoms: 90}}
  recipes:
    - prototype: Na3OCl_Pm-3m
      supercell: {{matrix: [2, 2, 2]}}
potential: {{name: pair-ionic}}
relax: {{fmax_eV_per_A: 0.2, max_steps: 50, max_volume_change_percent: 80}}
dynamics: {{dt_fs: 2.0, equilibrate_ps: 0.2, produce_ps: {ps}, frame_interval_fs: 20.0}}
simulate: {{temperatures_K: [700, 800, 900, 1000], replicas: {replicas}}}
"""


def report_on(folder: Path, begin: float | None, end: float | None, *, show_events: bool) -> None:
    """Print where the time of a finished campaign went."""
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    ready = next(e["t"] for e in events if e["kind"] == "started")  # the workers are there
    begin = ready if begin is None else begin
    end = events[-1]["t"] if end is None else end
    work = [e for e in events if e["kind"] in ("finished", "sliced") and e.get("seconds")]
    runs = [e for e in work if e["kind"] == "finished" and e["stage"] == "simulate"]
    first = min(e["t"] - e["seconds"] for e in work if e["stage"] == "simulate")
    last = sorted(e["t"] for e in runs)[-WORKERS]  # before the tail, in which one worker has nothing left to do
    busy = sum(max(0.0, min(e["t"], last) - max(e["t"] - e["seconds"], first)) for e in work)
    wall = end - begin
    print("| runs | wall s | start s | before MD s | MD s | after s | idle in MD | idle over all |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    print(
        f"| {len(runs)} | {wall:.1f} | {ready - begin:.1f} | {first - ready:.1f} | {last - first:.1f} "
        f"| {end - last:.1f} | {1 - busy / (WORKERS * (last - first)):.1%} "
        f"| {1 - sum(e['seconds'] for e in work) / (WORKERS * wall):.1%} |"
    )
    for e in work if show_events else ():
        stop = e["t"] - begin
        print(f"{stop - e['seconds']:7.2f} {stop:7.2f} {e['kind']} {e['stage']} {e.get('worker', '')[-6:]}")


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="4 short runs")
    parser.add_argument("--ps", type=float, default=40.0, help="length of a run, ps")
    parser.add_argument("--folder", type=Path, help="look at this finished campaign of two workers instead")
    parser.add_argument("--events", action="store_true", help="print when each answer was worked on")
    told = parser.parse_args(argv)
    if told.folder is not None:
        report_on(told.folder, None, None, show_events=told.events)
        return 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    text = CAMPAIGN.format(ps=2.0 if told.small else told.ps, replicas=1 if told.small else 5)
    with tempfile.TemporaryDirectory(prefix="ionsieve-idle-") as root:
        folder = Path(root) / "run"
        begin = time.time()
        report = run_campaign(parse_campaign(text), folder, n_workers=WORKERS, progress="quiet")
        report_on(folder, begin, time.time(), show_events=told.events)
    print(f"python benchmarks/idle.py {'--small' if told.small else f'--ps {told.ps:g}'}")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
