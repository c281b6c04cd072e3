"""One MD step of CHGNet: our fast path against the package's own ASE calculator.

    python benchmarks/chgnet_step.py [--small]

CPU seconds a step for energy and forces, one thread, float32, atoms moved between steps as MD at about 600 K moves
them (so that the Verlet list is rebuilt as often as it would be). The stock path is `CHGNetCalculator`, whose
`calculate` always computes stress and magnetic moments; the second stock column asks the package for energy and
forces alone, which its calculator offers no switch for.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import time
import warnings
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from ase import Atoms
from pymatgen.core import Structure

from ionsieve.potentials import PotentialSettings, load
from ionsieve.resources import data_folder
from ionsieve.systems import Batch


def antiperovskite(repeat: tuple[int, int, int]) -> Atoms:
    atoms = Atoms(
        "Li3OCl",
        scaled_positions=[(0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5), (0.5, 0.5, 0.5), (0, 0, 0)],
        cell=[3.91] * 3,
        pbc=True,
    )
    return atoms * repeat


def nasicon() -> Atoms:
    return Structure.from_file(data_folder("structures") / "LiTi2P3O12_R-3c.cif").to_ase_atoms(msonable=False)


def seconds_a_step(atoms: Atoms, step: Callable[[Atoms], object], steps: int) -> float:
    """Median CPU seconds of `step` after each small move; the first is thrown away."""
    rng = np.random.default_rng(0)
    velocity = rng.normal(0, 0.012, atoms.positions.shape)  # Å in 2 fs at about 600 K for Li
    times = []
    for k in range(steps + 1):
        if k % 10 == 9:
            velocity = -velocity
        atoms.positions += velocity
        start = time.process_time()
        step(atoms)
        times.append(time.process_time() - start)
    return float(np.median(times[1:]))


def measure(label: str, atoms: Atoms, steps: int, stock_steps: int) -> str:
    atoms.positions += np.random.default_rng(1).normal(0, 0.05, atoms.positions.shape)
    potential = load(PotentialSettings(name="chgnet-0.3.0"))
    with contextlib.redirect_stdout(io.StringIO()):
        calculator = potential.as_ase()

    def ours(moved: Atoms) -> object:
        return potential.evaluate(Batch.from_atoms([moved]))

    def stock(moved: Atoms) -> object:
        moved.calc = calculator
        return moved.get_forces()

    def stock_forces(moved: Atoms) -> object:
        calculator.calculate(moved, task="ef")
        return calculator.results["forces"]

    expected = stock(atoms.copy())
    deviation = np.abs(ours(atoms).forces.numpy() - expected).max()  # type: ignore[attr-defined]
    fast = seconds_a_step(atoms.copy(), ours, steps)
    slow = seconds_a_step(atoms.copy(), stock, stock_steps)
    bare = seconds_a_step(atoms.copy(), stock_forces, stock_steps)
    return (
        f"| {label} | {len(atoms)} | {fast:.3f} | {slow:.3f} | {bare:.3f} | {slow / fast:.1f} | {fast / slow:.2f} | "
        f"{deviation:.1e} |"
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="40 atoms and few steps")
    small = parser.parse_args(argv).small
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    cases = [("Li3OCl 2x2x2", antiperovskite((2, 2, 2)))]
    if not small:
        cases += [("LiTi2(PO4)3", nasicon()), ("Li3OCl 3x3x3", antiperovskite((3, 3, 3)))]
    print("CPU seconds a step, energy and forces, one thread, float32\n")
    print("| cell | atoms | ours | ASE + CHGNetCalculator | the package, no stress | stock/ours | ours/stock | "
          "largest force difference eV/Å |")  # fmt: skip
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    steps = 5 if small else 15
    for label, atoms in cases:
        print(measure(label, atoms, steps, 3 if small else 5), flush=True)
    print("\nTarget: ours/stock at most 0.50 at 135 atoms, forces within 1e-4 eV/Å.")
    print(f"\nCommand: python {' '.join(['benchmarks/chgnet_step.py', *(argv or sys.argv[1:])])}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
