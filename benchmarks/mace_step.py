"""Host work of a MACE step: our adapter against MACECalculator, the network itself taken out.

    python benchmarks/mace_step.py [--small]

The network is replaced on both sides by a sum over edges that costs next to nothing, so what remains is what the host
does before and after the GPU computes: neighbour list, graph, tensors, copies, results. Then the same with a small
real MACE on the CPU, float32.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from ionsieve.potentials import PotentialSettings, load
from ionsieve.systems import Batch
from ionsieve.testing.tiny_mace import write_tiny_mace


class NullNetwork(torch.nn.Module):
    """Takes MACE's data and gives MACE's outputs, at the cost of one pass over the edge vectors."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1), requires_grad=False)
        self.r_max, self.atomic_numbers = model.r_max, model.atomic_numbers
        self.atomic_energies_fn, self.heads = model.atomic_energies_fn, model.heads

    def forward(self, data: dict[str, Tensor], compute_force: bool = True, **_: Any) -> dict[str, Tensor]:
        positions, edges = data["positions"], data["edge_index"]
        if compute_force:
            positions.requires_grad_(True)
        vectors = positions[edges[1]] - positions[edges[0]] + data["shifts"]
        per_edge = (vectors * vectors).sum(1)
        node = per_edge.new_zeros(positions.shape[0]).index_add(0, edges[0], per_edge)
        out = {"node_energy": node, "energy": node.sum().unsqueeze(0), "stress": node.new_zeros((1, 3, 3))}
        if compute_force:
            out["forces"] = -torch.autograd.grad(node.sum(), positions)[0]
        return out


def cells(count: int, repeat: tuple[int, int, int]) -> list[Atoms]:
    cell = (
        Atoms(
            "Li3OCl",
            scaled_positions=[(0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5), (0.5, 0.5, 0.5), (0, 0, 0)],
            cell=[3.91] * 3,
            pbc=True,
        )
        * repeat
    )
    rng = np.random.default_rng(0)
    return [Atoms(cell, positions=cell.positions + rng.normal(0, 0.05, cell.positions.shape)) for _ in range(count)]


def milliseconds_a_system(systems: list[Atoms], call: Callable[[list[Atoms]], object], steps: int) -> float:
    rng = np.random.default_rng(1)
    moves = [rng.normal(0, 0.012, a.positions.shape) for a in systems]
    times = []
    for k in range(steps + 1):
        for atoms, move in zip(systems, moves, strict=True):
            atoms.positions += move if k % 40 < 20 else -move
        start = time.process_time()
        call(systems)
        times.append(time.process_time() - start)
    return float(np.mean(times[1:])) / len(systems) * 1e3


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="few cells, few steps")
    small = parser.parse_args(argv).small
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    sizes = [(2, (2, 2, 2))] if small else [(16, (2, 2, 2)), (16, (3, 3, 3)), (4, (6, 6, 6))]
    steps = 5 if small else 20
    with tempfile.TemporaryDirectory() as folder:
        path = write_tiny_mace(Path(folder) / "tiny.model", numbers=(3, 8, 17), r_max_A=5.0)
        potential: Any = load(PotentialSettings(name="mace", path=str(path), trust=True, dtype="float32"))
        calculator: Any = potential.as_ase()

        def one_batch(systems: list[Atoms]) -> object:
            return potential.evaluate(Batch.from_atoms(systems))

        def one_by_one(systems: list[Atoms]) -> object:
            for atoms in systems:
                atoms.calc = calculator
                atoms.get_forces()
            return None

        print("CPU ms a system and step, one thread, float32, cut-off 5 Å\n")
        print("| network | atoms | systems | ours | MACECalculator | times ours |")
        print("|---|---:|---:|---:|---:|---:|")
        real, stock = potential._model, calculator.models
        for label, null in (("none: host work alone", True), ("small MACE, CPU", False)):
            potential._model = NullNetwork(real).to(torch.float32) if null else real
            calculator.models = [NullNetwork(stock[0]).to(torch.float32)] if null else stock
            potential.one_by_one = not null
            for count, repeat in sizes if null else sizes[:1]:
                systems = cells(count, repeat)
                fast = milliseconds_a_system([a.copy() for a in systems], one_batch, steps if null else 4)
                slow = milliseconds_a_system([a.copy() for a in systems], one_by_one, max(2, steps // 4))
                print(
                    f"| {label} | {len(systems[0])} | {count} | {fast:.2f} | {slow:.2f} | {slow / fast:.1f} |",
                    flush=True,
                )
    print(f"\nCommand: python {' '.join(['benchmarks/mace_step.py', *(argv or sys.argv[1:])])}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
