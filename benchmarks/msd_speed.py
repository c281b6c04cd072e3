"""Mean-squared displacement over all time origins: ours beside tidynamics, MDAnalysis, GEMDAT and pymatgen.

Every code gets the same unwrapped walk and its answer is compared with ours; a peer that is not installed is named
and left out. Best of `--repeat` on one thread; the ratio is of processor seconds, which other work on the machine
leaves alone.

    python benchmarks/msd_speed.py [--small] [--stream]

`--stream` also runs 1,000,000 frames through the streaming accumulator and prints the largest memory it held.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from ionsieve.transport import msd
from ionsieve.transport.kernels.streaming import MSDStream

warnings.simplefilter("ignore")


def best(function, repeat):
    """Best wall and processor seconds, and the last result."""
    walls, processors = [], []
    for _ in range(repeat):
        start, busy = time.perf_counter(), time.process_time()
        result = function()
        walls.append(time.perf_counter() - start)
        processors.append(time.process_time() - busy)
    return (min(walls), min(processors)), result


def with_torch(x):
    import torch

    torch.set_num_threads(1)
    tensor = torch.as_tensor(x)
    return lambda: msd(tensor).numpy()


def with_tidynamics(x):
    import tidynamics

    return lambda: np.mean([tidynamics.msd(x[:, k]) for k in range(x.shape[1])], axis=0)


def with_mdanalysis(x):
    import MDAnalysis
    from MDAnalysis.analysis.msd import EinsteinMSD
    from MDAnalysis.coordinates.memory import MemoryReader

    universe = MDAnalysis.Universe.empty(x.shape[1], trajectory=True)
    universe.load_new(x.astype(np.float32), format=MemoryReader, order="fac")

    def run():
        analysis = EinsteinMSD(universe, select="all", msd_type="xyz", fft=True)
        analysis.run()
        return analysis.results.timeseries

    return run


def with_gemdat(x):
    from gemdat import Trajectory
    from pymatgen.core import Element, Lattice

    edge = 100.0
    trajectory = Trajectory(
        species=[Element("Na")] * x.shape[1],
        coords=x / edge,
        lattice=Lattice.cubic(edge).matrix,
        time_step=1e-13,
        constant_lattice=True,
        metadata={"temperature": 600},
    )
    return lambda: np.asarray(trajectory.mean_squared_displacement()).mean(axis=0)


def with_pymatgen(x):
    from pymatgen.analysis.diffusion.analyzer import DiffusionAnalyzer
    from pymatgen.core import Lattice, Structure

    n = x.shape[1]
    rng = np.random.default_rng(0)
    structure = Structure(Lattice.cubic(100.0), ["Na"] * n + ["O"], rng.random((n + 1, 3)))
    displacements = np.concatenate([(x - x[:1]).transpose(1, 0, 2), np.zeros((1, len(x), 3))])

    def run():
        return DiffusionAnalyzer(structure, displacements, "Na", 600, 1, 100, smoothed="max").msd

    return run


def stream(frames, ions):
    """Push frames through the accumulator in chunks; return seconds, bytes kept, error, and the process's peaks in MB.

    The peaks are those after a tenth of the frames and at the end: equal when memory does not grow with the run.
    """
    rng = np.random.default_rng(0)
    accumulator = MSDStream()
    chunk, last, kept, seconds = 5000, np.zeros((1, ions, 3)), 0, 0.0
    early = 0.0
    for k in range(frames // chunk):
        if k == frames // chunk // 10:
            early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        block = last + np.cumsum(rng.normal(size=(chunk, ions, 3), scale=0.05), axis=0)
        last = block[-1:]
        start = time.perf_counter()
        accumulator.add(block)
        seconds += time.perf_counter() - start
        kept = max(kept, sum(8 * level.tail.size for level in accumulator.levels if level.tail is not None))
    result = accumulator.result()
    error = result.msd_A2[10] / (3 * 0.05**2 * result.lags[10]) - 1.0
    return seconds, kept, error, (early, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def report_stream(options, argv):
    n = 100_000 if options.small else 1_000_000
    seconds, kept, error, (early, end) = stream(n, 100)
    print(
        f"\nstreaming {n:,} frames x 100 ions: {seconds:.1f} s, {kept / 1e6:.1f} MB of frames kept, "
        f"MSD of a known walk off by {100 * error:.2f} %"
    )
    print(f"peak memory of the process: {early:.0f} MB after {n // 10:,} frames, {end:.0f} MB after {n:,}")
    print(f"\n    python benchmarks/msd_speed.py {' '.join(argv if argv is not None else sys.argv[1:])}")
    return 0


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="2,000 frames instead of 10,000")
    parser.add_argument("--stream", action="store_true", help="also stream 1,000,000 frames (100,000 with --small)")
    parser.add_argument("--stream-only", action="store_true", help="nothing else, so that the memory shown is its own")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args(argv)
    if options.stream_only:
        return report_stream(options, argv)
    frames, ions = (2000 if options.small else 10000), 96
    x = np.cumsum(np.random.default_rng(0).normal(size=(frames, ions, 3), scale=0.05), axis=0)
    ours, reference = best(lambda: msd(x), options.repeat)
    rows = [("ionsieve (NumPy)", ours, 0.0, "")]
    peers = [
        ("ionsieve (torch, CPU)", with_torch, "all lags"),
        ("tidynamics", with_tidynamics, "all lags, a loop over ions"),
        ("MDAnalysis EinsteinMSD fft", with_mdanalysis, "all lags, float32 input"),
        ("GEMDAT", with_gemdat, "all lags, unwraps first"),
        ("pymatgen-analysis-diffusion", with_pymatgen, "200 lags kept; includes charge MSD and fit"),
    ]
    for name, make, note in peers:
        try:
            run = make(x)
        except ImportError as error:
            rows.append((name, None, None, f"not installed: {error.name}"))
            continue
        seconds, result = best(run, options.repeat)
        if len(result) == frames:
            lags = np.arange(1, frames // 2)
            difference = float(np.abs(result[lags] / reference[lags] - 1.0).max())
        else:
            difference = None
        rows.append((name, seconds, difference, note))
    print(f"MSD of {ions} ions x {frames} frames, one thread, best of {options.repeat}\n")
    print("| code | s | processor s | times ours | largest relative difference | note |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, seconds, difference, note in rows:
        if seconds is None:
            print(f"| {name} | - | - | - | - | {note} |")
            continue
        shown = "-" if difference is None else f"{difference:.1e}"
        wall, busy = seconds
        print(f"| {name} | {wall:.3f} | {busy:.3f} | {busy / ours[1]:.1f} | {shown} | {note} |")
    if options.stream:
        return report_stream(options, argv)
    print(f"\n    python benchmarks/msd_speed.py {' '.join(argv if argv is not None else sys.argv[1:])}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
