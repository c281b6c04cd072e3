"""Filling a device with runs of different sizes and lengths: makespan against the lower bound and against
equal-length bins.

    python benchmarks/packing.py [--small] [--seed 1]

No molecular dynamics: a clock. A step of a batch takes a fixed time (launches) plus a time an atom. Ours is the
engine's own decision function (`ionsieve.dynamics.packing.admit`): whoever ends leaves, the longest that fits
enters. The rival packs bins by best fit decreasing and runs every member of a bin as long as its longest, the next
bin after it (the way of torch-sim's `integrate(autobatcher=True)`); runs that fail stay in their bin. The lower
bound knows all failures in advance.
"""

from __future__ import annotations

import argparse
import random

from ionsieve.dynamics.packing import Capacity, admit, lower_bound_s

CAPACITY_ATOMS = 12_000
FIXED_S, PER_ATOM_S = 0.025, 4e-6
DT_PS = 0.002


def campaign(count: int, dice: random.Random) -> list[tuple[int, int, int]]:
    """(atoms, steps planned, steps until failure or the end) of 40 to 400 atoms, 10 to 200 ps; one in eight fails."""
    jobs = []
    for _ in range(count):
        atoms = dice.randint(40, 400)
        planned = round(10 * 20 ** dice.random() / DT_PS)
        ends = dice.randint(1, planned) if dice.random() < 0.125 else planned
        jobs.append((atoms, planned, ends))
    return jobs


def ours(jobs: list[tuple[int, int, int]], guard_steps: int = 50) -> float:
    """Makespan of in-flight refill; decisions fall at guard points."""
    capacity = Capacity(CAPACITY_ATOMS)
    waiting = list(range(len(jobs)))
    left: dict[int, int] = {}
    clock = 0.0
    while waiting or left:
        queue = [(jobs[i][0], jobs[i][1]) for i in waiting]
        for k in admit(queue, [jobs[i][0] for i in left], capacity):
            left[waiting[k]] = jobs[waiting[k]][2]
        waiting = [i for i in waiting if i not in left]
        block = -(-min(left.values()) // guard_steps) * guard_steps
        clock += block * (FIXED_S + PER_ATOM_S * sum(jobs[i][0] for i in left))
        left = {i: n - block for i, n in left.items() if n > block}
        waiting = [i for i in waiting if i not in left]
    return clock


def bins(jobs: list[tuple[int, int, int]], *, by_length: bool) -> float:
    """Makespan of bins; with `by_length` the list is cut by length first, the best a user can do by hand."""
    order = sorted(jobs, key=lambda j: (-j[1] if by_length else 0, -j[0]))
    filled: list[list[tuple[int, int, int]]] = []
    for j in order:
        room = [(CAPACITY_ATOMS - sum(m[0] for m in b) - j[0], k) for k, b in enumerate(filled)]
        if by_length:
            room = room[-1:]
        fitting = [(free, k) for free, k in room if free >= 0]
        if fitting:
            filled[min(fitting)[1]].append(j)
        else:
            filled.append([j])
    return sum(max(j[1] for j in b) * (FIXED_S + PER_ATOM_S * sum(j[0] for j in b)) for b in filled)


def main(argv: list[str] | None = None) -> int:
    """Print the table; exit status 1 when ours is more than 5 % above the bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="200 runs in place of 1000")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(argv)
    count = 200 if arguments.small else 1000
    worst = 0.0
    print("| runs | policy | hours | against the lower bound |\n|---|---|---|---|")
    for seed in range(arguments.seed, arguments.seed + 3):
        jobs = campaign(count, random.Random(seed))
        bound = lower_bound_s([(a, e) for a, _, e in jobs], CAPACITY_ATOMS, FIXED_S, PER_ATOM_S)
        rows = {
            "lower bound": bound,
            "ionsieve: refill, longest first": ours(jobs),
            "bins, best fit decreasing": bins(jobs, by_length=False),
            "bins, sorted by length": bins(jobs, by_length=True),
        }
        for name, seconds in rows.items():
            print(f"| {count} (seed {seed}) | {name} | {seconds / 3600:.2f} | {seconds / bound:.3f} |")
        worst = max(worst, rows["ionsieve: refill, longest first"] / bound)
    print(f"\nworst of ours: {worst:.3f}; `python benchmarks/packing.py{' --small' if arguments.small else ''}`")
    return 0 if worst <= 1.05 else 1


if __name__ == "__main__":
    raise SystemExit(main())
