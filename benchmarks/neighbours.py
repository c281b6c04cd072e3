"""Neighbour work a step: kept lists with a Verlet skin against a search at every step.

    python benchmarks/neighbours.py [--small]

CPU milliseconds a step for a batch that moves as MD does: our `VerletList` (vesin underneath), vesin, matscipy and
ASE at every step. Pairs within the cut-off are counted in both directions for all.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list as ase_list
from vesin import NeighborList

from ionsieve.geometry.neighbours import VerletList
from ionsieve.systems import Batch


def batch_of(count: int, repeat: int) -> list[Atoms]:
    cell = Atoms(
        "Li3OCl",
        scaled_positions=[(0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5), (0.5, 0.5, 0.5), (0, 0, 0)],
        cell=[3.91] * 3,
        pbc=True,
    ) * (repeat, repeat, repeat)
    rng = np.random.default_rng(0)
    systems = []
    for _ in range(count):
        atoms = cell.copy()
        atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
        systems.append(atoms)
    return systems


def milliseconds(systems: list[Atoms], call: Callable[[list[Atoms]], int], steps: int) -> tuple[float, int]:
    rng = np.random.default_rng(1)
    moves = [rng.normal(0, 0.012, a.positions.shape) for a in systems]
    moving = [a.copy() for a in systems]
    found, taken = call(moving), 0.0
    for k in range(steps):
        for atoms, move in zip(moving, moves, strict=True):
            atoms.positions += move if k % 40 < 20 else -move
        start = time.process_time()
        call(moving)
        taken += time.process_time() - start
    return taken / steps * 1e3, found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="four cells, few steps")
    small = parser.parse_args(argv).small
    torch.set_num_threads(1)
    count, repeat, steps, cutoff = (4, 2, 10, 5.0) if small else (16, 3, 40, 5.0)
    systems = batch_of(count, repeat)
    verlet = VerletList(cutoff, 0.8)

    def ours(moving: list[Atoms]) -> int:
        batch = Batch.from_atoms(moving)
        return 2 * verlet.pairs(batch.positions, batch.cells, batch.numbers, batch.system_index).count

    def vesin_each(moving: list[Atoms]) -> int:
        search = NeighborList(cutoff=cutoff, full_list=True, n_threads=1)
        return sum(len(search.compute(a.positions, a.cell.array, periodic=True, quantities="ijS")[0]) for a in moving)

    def matscipy_each(moving: list[Atoms]) -> int:
        from matscipy.neighbours import neighbour_list

        return sum(len(neighbour_list("ijS", a, cutoff)[0]) for a in moving)

    def ase_each(moving: list[Atoms]) -> int:
        return sum(len(ase_list("ijS", a, cutoff)[0]) for a in moving)

    rows = [("VerletList, skin 0.8 Å", ours, steps), ("vesin at every step", vesin_each, steps)]
    try:
        import matscipy  # noqa: F401
    except ImportError:
        print("matscipy is not installed: its row is left out\n")
    else:
        rows.append(("matscipy at every step (MACECalculator's)", matscipy_each, steps))
    rows.append(("ASE at every step", ase_each, max(2, steps // 20)))
    print(f"{count} cells of {len(systems[0])} atoms, cut-off {cutoff} Å\n")
    print("| list | CPU ms a step | pairs | times ours |")
    print("|---|---:|---:|---:|")
    first = 0.0
    for label, call, number in rows:
        taken, pairs = milliseconds(systems, call, number)
        first = first or taken
        print(f"| {label} | {taken:.2f} | {pairs} | {taken / first:.1f} |", flush=True)
    print(f"\nRebuilt: {100 * verlet.statistics.rebuilt_fraction:.1f} % of system lists.")
    print(f"\nCommand: python {' '.join(['benchmarks/neighbours.py', *(argv or sys.argv[1:])])}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
