"""How soft are the potentials? Barriers at rest against published calculations, and forces of two trainings compared.

    python benchmarks/validation/softening.py --out benchmarks/validation/softening.md

1. The barrier of one jump by the nudged elastic band, in the published cell and in the potential's own, over the
   published first-principles barrier: below one is soft. No calibration to it is made anywhere.
2. Forces of CHGNet's PBE weights against its r2SCAN weights on rattled cells of the library: slope and scatter. That
   is no test against first principles; it shows how far two trainings of one network differ.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.mep import NEB
from ase.optimize import FIRE, LBFGS
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from ionsieve.dynamics import BatchCalculator
from ionsieve.potentials import PotentialSettings, load
from ionsieve.potentials.base import Potential
from ionsieve.potentials.scaled import ScaledPotential
from ionsieve.resources import data_folder
from ionsieve.rng import generator
from ionsieve.systems import Batch

MODELS = ("chgnet-0.3.0", "chgnet-r2scan")


@dataclass(frozen=True)
class Jump:
    """A jump with a published barrier.

    Attributes
    ----------
    mobile, repeat
        The ion that jumps into a vacancy of its own kind, and the supercell.
    low_eV, high_eV, source
        The published barrier.
    """

    title: str
    prototype: str
    mobile: str
    repeat: tuple[int, int, int]
    low_eV: float
    high_eV: float
    source: str


JUMPS = (
    Jump("Na vacancy in Na3OBr", "Na3OBr_Pm-3m", "Na", (2, 2, 2), 0.41, 0.43, "DFT and a potential trained on it [1]"),
    Jump("Mg vacancy in MgSc2Se4", "MgSc2Se4_Fd-3m", "Mg", (1, 1, 1), 0.375, 0.375, "DFT (Shinde 2023 [143])"),
)


def host(jump: Jump) -> Atoms:
    """Return the perfect supercell."""
    structure = Structure.from_file(data_folder("structures") / f"{jump.prototype}.cif")
    atoms: Atoms = AseAtomsAdaptor.get_atoms(structure) * jump.repeat
    return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)


def ends(atoms: Atoms, mobile: str) -> tuple[Atoms, Atoms]:
    """Return the two ends of the shortest jump into a vacancy, atoms in the same order."""
    sites = [i for i, s in enumerate(atoms.symbols) if s == mobile]
    distances = atoms.get_distances(sites[0], sites[1:], mic=True)
    partner = sites[1 + int(np.argmin(distances))]
    first = atoms.copy()
    vector = atoms.get_distance(partner, sites[0], mic=True, vector=True)
    second = atoms.copy()
    second.positions[partner] += vector
    del first[sites[0]]
    del second[sites[0]]
    return first, second


def barrier(atoms: Atoms, mobile: str, potential: Potential, *, images: int, fmax: float, steps: int) -> float:
    """Return the barrier of the shortest jump, eV, by a climbing band at fixed cell."""
    first, second = ends(atoms, mobile)
    for end in (first, second):
        end.calc = BatchCalculator(potential)
        LBFGS(end, logfile=None).run(fmax=fmax, steps=steps)
    band = [first, *(first.copy() for _ in range(images)), second]
    for image in band[1:-1]:
        image.calc = BatchCalculator(potential)
    neb = NEB(band, k=0.5, climb=True, method="improvedtangent", allow_shared_calculator=False)
    neb.interpolate("idpp", mic=True)
    FIRE(neb, logfile=None).run(fmax=fmax, steps=steps)
    energies = [image.get_potential_energy() for image in band]
    return float(max(energies) - energies[0])


def relaxed(atoms: Atoms, potential: Potential, *, fmax: float, steps: int) -> Atoms:
    """Return the perfect crystal at the potential's own volume (isotropic)."""
    free = atoms.copy()
    free.calc = BatchCalculator(potential)
    LBFGS(FrechetCellFilter(free, hydrostatic_strain=True), logfile=None).run(fmax=fmax, steps=steps)
    free.calc = None
    return free


def barriers_table(*, images: int, fmax: float, steps: int, jumps: tuple[Jump, ...] = JUMPS) -> list[str]:
    """Return the table of barriers."""
    lines = [
        "| jump | potential | cell | volume against published | barrier (eV) | published (eV) | ratio | source |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for jump in jumps:
        published = host(jump)
        middle = 0.5 * (jump.low_eV + jump.high_eV)
        shown = f"{jump.low_eV:g}" if jump.low_eV == jump.high_eV else f"{jump.low_eV:g} to {jump.high_eV:g}"
        for name in MODELS:
            potential = load(PotentialSettings(name=name, device="cpu"))
            own = relaxed(published, potential, fmax=fmax, steps=steps)
            for cell, atoms in (("published", published), ("relaxed", own)):
                height = barrier(atoms, jump.mobile, potential, images=images, fmax=fmax, steps=steps)
                change = 100 * (atoms.get_volume() / published.get_volume() - 1)
                lines.append(
                    f"| {jump.title} | {name} | {cell} | {change:+.1f} % | {height:.3f} | {shown} | "
                    f"{height / middle:.2f} | {jump.source} |"
                )
            if name == MODELS[0] and jump is jumps[0]:
                scale = 1.2
                height = barrier(
                    own, jump.mobile, ScaledPotential(potential, scale), images=images, fmax=fmax * scale, steps=steps
                )
                lines.append(
                    f"| {jump.title} | {name} x {scale:g} (correction shown) | relaxed | - | {height:.3f} | {shown} | "
                    f"{height / middle:.2f} | {jump.source} |"
                )
    return lines


def forces_table(prototypes: tuple[str, ...], *, amplitudes_A: tuple[float, ...], copies: int) -> list[str]:
    """Return slope and scatter of the r2SCAN weights' forces against the PBE weights', by amplitude of the rattle."""
    first, second = (load(PotentialSettings(name=name, device="cpu")) for name in MODELS)
    lines = [
        "| prototype | rattle (Å) | rms force, PBE weights (eV/Å) | slope r2SCAN over PBE | scatter about it |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in prototypes:
        structure = Structure.from_file(data_folder("structures") / f"{name}.cif")
        plain = AseAtomsAdaptor.get_atoms(structure)
        atoms = Atoms(plain.numbers, positions=plain.positions, cell=plain.cell, pbc=True)
        for amplitude in amplitudes_A:
            cells = []
            for copy in range(copies):
                moved = atoms.copy()
                noise = generator("softening", name, copy).standard_normal((len(atoms), 3))
                moved.positions += amplitude * noise
                cells.append(moved)
            batch = Batch.from_atoms(cells, dtype=torch.float64)
            x, y = (p.evaluate(batch).forces.double().numpy().ravel() for p in (first, second))
            slope = float(x @ y / (x @ x))
            scatter = float(np.sqrt(np.mean((y - slope * x) ** 2) / np.mean(y**2)))
            rms = np.sqrt(np.mean(x**2))
            lines.append(f"| {name} | {amplitude:g} | {rms:.2f} | {slope:.3f} | {100 * scatter:.0f} % |")
    return lines


TEXT = """Universal potentials learnt mostly relaxed crystals; B. Deng et al. (npj Comput. Mater. 2025,
[10.1038/s41524-024-01500-6](https://doi.org/10.1038/s41524-024-01500-6)) found their energies and forces away from
equilibrium systematically too small, CHGNet among them, migration barriers included. What we can measure without
first-principles calculations of our own is little: barriers at rest of jumps with a published one, and how two
trainings of the same network differ. Two barriers are no calibration, and none is applied.
"""
NOTE = """
[1] A deep potential trained on DFT, barrier at rest 0.41 to 0.43 eV with vacancies; known to us from the abstract only.
Barriers are those of a neutral vacancy in a small cell at fixed volume.

Optional correction, off by default: `ionsieve.potentials.scaled.ScaledPotential(potential, s)` multiplies energies and
forces, so every barrier grows by s and every relaxed structure stays. Dynamics need not be run again: classically
D_s(T) = √s D(T/s), so `scaled_arrhenius(fit, s)` turns a fit into Ea → s Ea and D0 → √s D0, exactly. With Ea = 0.3 eV
and s = 1.2, sigma at 300 K falls by a factor of ten; a common factor hardly moves the order of candidates with similar
Ea.
"""


def main(argv: list[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="one jump, three images, loose forces")
    parser.add_argument("--out", type=Path, help="also write the text for docs/validation.md here")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    heights = barriers_table(
        images=3 if options.small else 5,
        fmax=0.1 if options.small else 0.05,
        steps=40 if options.small else 150,
        jumps=JUMPS[:1] if options.small else JUMPS,
    )
    slopes = forces_table(
        ("Na3OCl_Pm-3m",) if options.small else ("Na3OCl_Pm-3m", "Na3PS4_P-421c", "NaZr2P3O12_R-3c"),
        amplitudes_A=(0.05, 0.2),
        copies=2 if options.small else 6,
    )
    text = "\n".join(
        [
            TEXT,
            *heights,
            NOTE,
            "Forces of the two trainings of CHGNet on the same rattled cells:",
            "",
            *slopes,
            "",
            f"`python benchmarks/validation/softening.py{' --small' if options.small else ''}`",
            "",
        ]
    )
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
