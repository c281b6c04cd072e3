"""How much time do two workers lose to scheduling? A campaign of 20 real runs with the pair potential.

    python benchmarks/idle.py [--small]

The time two workers were not inside a stage, as a share of the wall time from the first MD run handed out to the last
one finished, and of the whole campaign (which begins with loading torch on each worker and ends with a tail).
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


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="4 short runs")
    told = parser.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    text = CAMPAIGN.format(ps=2.0 if told.small else 4.0, replicas=1 if told.small else 5)
    with tempfile.TemporaryDirectory(prefix="ionsieve-idle-") as root:
        folder = Path(root) / "run"
        begin = time.monotonic()
        report = run_campaign(parse_campaign(text), folder, n_workers=WORKERS, progress="quiet")
        wall = time.monotonic() - begin
        events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    runs = [e for e in events if e["kind"] == "finished" and e["stage"] == "simulate"]
    first = min(e["t"] - e["seconds"] for e in runs)
    last = sorted(e["t"] for e in runs)[-WORKERS]  # before the tail, in which one worker has nothing left to do
    busy = 0.0
    for e in events:
        if e["kind"] in ("finished", "sliced"):
            start, end = e["t"] - e.get("seconds", 0.0), e["t"]
            busy += max(0.0, min(end, last) - max(start, first))
    idle = 1 - busy / (WORKERS * (last - first))
    work = sum(e.get("seconds", 0.0) for e in events if e["kind"] in ("finished", "sliced"))
    print("| runs | wall s | MD phase s | idle in the MD phase | idle over all |\n| ---: | ---: | ---: | ---: | ---: |")
    print(f"| {len(runs)} | {wall:.1f} | {last - first:.1f} | {idle:.1%} | {1 - work / (WORKERS * wall):.1%} |")
    print(f"python benchmarks/idle.py{' --small' if told.small else ''}")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
