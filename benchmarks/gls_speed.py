"""Diffusivity with its error: ours beside kinisi, the same walk in one run, time and answer.

kinisi's default takes every lag and samples the posterior; in another row it gets 100 lags, the documented way
to save time. Times are wall clock; the ratio is of processor seconds, which other work on the machine leaves alone.

    python benchmarks/gls_speed.py [--small] [--large]

`--large` adds 100 ions x 20,000 frames for ours alone (the target is below one second).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from ionsieve.transport import TransportSettings, diffusivity
from ionsieve.transport.synthetic import lattice_walk

warnings.simplefilter("ignore")
SETTINGS = TransportSettings(jump_length_A=3.0)


def ours(walk, dt_ps, repeat=5):
    """Return the best wall and processor seconds, and the result."""
    walls, processors = [], []
    for _ in range(repeat):
        start, busy = time.perf_counter(), time.process_time()
        result = diffusivity(walk.positions_A, dt_ps, jump_length_A=3.0, settings=SETTINGS)
        walls.append(time.perf_counter() - start)
        processors.append(time.process_time() - busy)
    return min(walls), min(processors), result


def kinisi(walk, dt_ps, start_ps, lags=None):
    """Return wall and processor seconds, D and its standard deviation in cm²/s."""
    import scipp as sc
    from ase import Atoms
    from kinisi.analyze import DiffusionAnalyzer

    n = walk.positions_A.shape[1]
    fixed = np.zeros((1, 3))
    cell = np.eye(3) * 1000.0  # so large that nothing needs unwrapping
    frames = [
        Atoms(f"Na{n}O", positions=np.concatenate([p + 500.0, fixed]), cell=cell, pbc=True) for p in walk.positions_A
    ]
    step = sc.scalar(dt_ps, unit="ps")
    dt = None if lags is None else sc.array(dims=["time interval"], values=np.asarray(lags) * dt_ps, unit="ps")
    begin, busy = time.perf_counter(), time.process_time()
    analysis = DiffusionAnalyzer.from_ase(
        frames, specie="Na", time_step=step, step_skip=sc.scalar(1), dt=dt, progress=False
    )
    analysis.diffusion(sc.scalar(start_ps, unit="ps"), progress=False, random_state=np.random.RandomState(0))
    seconds, processor = time.perf_counter() - begin, time.process_time() - busy
    samples = (
        analysis.D.values * 1e-16 / 1e-12 if str(analysis.D.unit) == "Å^2/ps" else analysis.D.to(unit="cm^2/s").values
    )
    return seconds, processor, float(np.mean(samples)), float(np.std(samples))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="500 frames instead of 2,000")
    parser.add_argument("--large", action="store_true", help="also 100 ions x 20,000 frames, ours alone")
    parser.add_argument("--skip-default", action="store_true", help="leave out kinisi's default of all lags")
    options = parser.parse_args(argv)
    frames, ions, dt = (500 if options.small else 2000), 96, 0.1
    walk = lattice_walk(ions=ions, frames=frames, jumps=6 * frames, seed=0)
    truth = walk.diffusivity_A2_per_frame / dt * 1e-4
    ours(walk, dt)
    seconds, processor, result = ours(walk, dt)
    rows = [("ionsieve", seconds, processor, result.value, result.error)]
    try:
        lags = np.unique(
            np.concatenate([np.linspace(result.window.lags[0], frames // 2, 100).astype(int), [frames - 1]])
        )
        rows.append(("kinisi, 100 lags", *kinisi(walk, dt, result.window_ps[0], lags)))
        if not options.skip_default:
            rows.append(("kinisi, default (all lags)", *kinisi(walk, dt, result.window_ps[0])))
    except ImportError as error:
        print(f"kinisi is not installed ({error.name}): pip install 'ionsieve[oracles]'\n")
    print(f"D with its error, {ions} ions x {frames} frames, {walk.jumps} jumps, true D = {truth:.4e} cm²/s\n")
    print("| code | s | processor s | times ours | D (cm²/s) | error | pull |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, t, busy, D, error in rows:
        pull = (D - truth) / error
        print(f"| {name} | {t:.3f} | {busy:.3f} | {busy / processor:.0f} | {D:.4e} | {error:.1e} | {pull:+.2f} |")
    if options.large:
        large = lattice_walk(ions=100, frames=20000, jumps=60000, seed=1)
        t, cpu, result = ours(large, 0.05)
        truth = large.diffusivity_A2_per_frame / 0.05 * 1e-4
        print(f"\n100 ions x 20,000 frames: {t:.2f} s (processor {cpu:.2f} s)")
        print(f"D = {result.value:.4e} +- {result.error:.1e}, true {truth:.4e} cm²/s")
    print(f"\n    python benchmarks/gls_speed.py {' '.join(argv if argv is not None else sys.argv[1:])}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
