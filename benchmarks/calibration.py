"""Are the error bars true? Coverage of claimed intervals on walks with known D: ours, pymatgen, kinisi, He-Zhu-Mo.

For each code: bias, true spread between replicas and mean claimed error in per cent of the true D, and which part of
the replicas holds the true D in its 68 and 95 % interval. An honest code shows 0.68 and 0.95, and claims its spread.

    python benchmarks/calibration.py [--replicas 200] [--peer-replicas 30] [--small]
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from ionsieve.transport import TransportSettings, diffusivity, he_zhu_mo
from ionsieve.transport.intervals import P68, rate_interval
from ionsieve.transport.synthetic import lattice_walk

warnings.simplefilter("ignore")
IONS, FRAMES, DT_PS = 24, 1000, 0.1
SETTINGS = TransportSettings(jump_length_A=3.0)


def walks(jumps, n):
    for k in range(n):
        walk = lattice_walk(ions=IONS, frames=FRAMES, jumps=jumps, seed=np.random.default_rng([9, jumps, k]))
        yield walk, walk.diffusivity_A2_per_frame / DT_PS * 1e-4


def ours(walk):
    result = diffusivity(walk.positions_A, DT_PS, jump_length_A=3.0, settings=SETTINGS)
    return (
        result.value,
        result.error,
        *rate_interval(result.value, result.error, P68),
        *rate_interval(result.value, result.error, 0.95),
    )


def gaussian(value, error):
    return value, error, value - error, value + error, value - 1.96 * error, value + 1.96 * error


def he(walk):
    from ionsieve.transport import msd

    curve = msd(walk.positions_A)
    result = he_zhu_mo(np.arange(1, FRAMES) * DT_PS, curve[1:], n_ions=IONS, jump_length_A=3.0)
    return gaussian(result.diffusivity_cm2_per_s, result.diffusivity_cm2_per_s * result.relative_error)


def pymatgen(mode):
    from pymatgen.analysis.diffusion.analyzer import DiffusionAnalyzer
    from pymatgen.core import Lattice, Structure

    rng = np.random.default_rng(0)
    structure = Structure(Lattice.cubic(100.0), ["Na"] * IONS + ["O"], rng.random((IONS + 1, 3)))

    def run(walk):
        x = walk.positions_A
        displacements = np.concatenate([(x - x[:1]).transpose(1, 0, 2), np.zeros((1, FRAMES, 3))])
        analysis = DiffusionAnalyzer(structure, displacements, "Na", 600, 1, int(1000 * DT_PS), smoothed=mode)
        return gaussian(analysis.diffusivity, analysis.diffusivity_std_dev)

    return run


def kinisi():
    import scipp as sc
    from ase import Atoms
    from kinisi.analyze import DiffusionAnalyzer

    def run(walk):
        frames = [
            Atoms(f"Na{IONS}O", positions=np.concatenate([p + 500.0, np.zeros((1, 3))]), cell=[1000.0] * 3, pbc=True)
            for p in walk.positions_A
        ]
        start = diffusivity(walk.positions_A, DT_PS, jump_length_A=3.0, settings=SETTINGS).window_ps[0]
        lags = np.unique(
            np.append(np.linspace(1, FRAMES // 2, 100).astype(int), FRAMES - 1)
        )  # the last one keeps n true
        analysis = DiffusionAnalyzer.from_ase(
            frames,
            specie="Na",
            time_step=sc.scalar(DT_PS, unit="ps"),
            step_skip=sc.scalar(1),
            dt=sc.array(dims=["time interval"], values=lags * DT_PS, unit="ps"),
            progress=False,
        )
        analysis.diffusion(sc.scalar(start, unit="ps"), progress=False, random_state=np.random.RandomState(0))
        samples = analysis.D.to(unit="cm^2/s").values
        low, high = np.percentile(samples, [15.865, 84.135])
        low95, high95 = np.percentile(samples, [2.5, 97.5])
        return float(np.mean(samples)), float(np.std(samples)), low, high, low95, high95

    return run


def row(name, run, jumps, n):
    found = []
    lost = 0
    for walk, truth in walks(jumps, n):
        try:
            found.append(np.asarray(run(walk)) / truth)
        except ValueError:
            lost += 1
    if not found:
        return f"| {name} | {jumps} | 0 | - | - | - | - | - | no run accepted |"
    f = np.asarray(found)
    inside = np.mean((f[:, 2] < 1) & (f[:, 3] > 1)), np.mean((f[:, 4] < 1) & (f[:, 5] > 1))
    note = f"{lost} refused" if lost else ""
    return (
        f"| {name} | {jumps} | {len(f)} | {100 * (f[:, 0].mean() - 1):+.1f} | {100 * f[:, 0].std():.1f} | "
        f"{100 * f[:, 1].mean():.2g} | {inside[0]:.2f} | {inside[1]:.2f} | {note} |"
    )


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, default=200)
    parser.add_argument("--peer-replicas", type=int, default=30, help="for kinisi, which is slow")
    parser.add_argument("--small", action="store_true", help="20 replicas, 3 for kinisi")
    options = parser.parse_args(argv)
    n, few = (20, 3) if options.small else (options.replicas, options.peer_replicas)
    print(f"{IONS} ions x {FRAMES} frames, rattling 0.3 Å, jumps of 3 Å; in % of the true D\n")
    print("| code | jumps | replicas | bias | spread | claimed | in 68 % | in 95 % | note |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for jumps in (50, 500):
        print(row("ionsieve (GLS, automatic window)", ours, jumps, n), flush=True)
        print(row("He-Zhu-Mo rule", he, jumps, n), flush=True)
        for name, make, count in (
            ("pymatgen-analysis-diffusion, default", lambda: pymatgen("max"), n),
            ("pymatgen-analysis-diffusion, smoothed=False", lambda: pymatgen(False), n),
            ("kinisi, our window start, 100 lags", kinisi, few),
        ):
            try:
                run = make()
            except ImportError as error:
                print(f"| {name} | {jumps} | 0 | - | - | - | - | - | not installed: {error.name} |", flush=True)
                continue
            print(row(name, run, jumps, count), flush=True)
    print(f"\n    python benchmarks/calibration.py {' '.join(argv if argv is not None else sys.argv[1:])}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
