"""Bond-valence site energy: barriers and time, ours against BVlain.

    python benchmarks/bvse_vs_bvlain.py [NAME ...] [--small] [--converge]

Both use softBV parameters with softBV covalent radii, interactions to 10 Å and 26 neighbours on a grid of 0.2 Å.

What to expect. BVlain's barriers are those of its grid's points; "grid" is the same of ours, "ours" the barrier between
the stationary points of the field itself, which no longer depends on the grid. BVlain repeats the first plane of the
grid as the last, stops at the 100 nearest atoms and bisects to 0.01 eV, which moves its barriers by up to some 0.03
eV; the rest is where the grid's points fall. With --converge frameworks of up to 400 Å³ that differ by more than 0.03
eV are also given to BVlain on a grid of 0.1 Å: it comes nearer to our value. BVlain takes ordered structures:
mixed sites count as their largest species with the rounded mean charge, and partly filled ones as full, for both.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import sys
import time
import warnings
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np

SMALL = ("Na3OCl_Pm-3m", "Na3PS4_P-421c")


def ordered(framework):
    """Return the framework as BVlain takes it: one full species a site."""
    species = tuple(((s, float(round(c)), 1.0),) for s, c in zip(framework.symbols, framework.charges, strict=True))
    return dataclasses.replace(framework, occupants=species)


def bvlain_barriers(framework, spacing_A: float = 0.2):
    """Percolation barriers in 1, 2 and 3 dimensions (eV) of BVlain and the CPU seconds it took."""
    from bvlain import Lain
    from pymatgen.core import Lattice, Species, Structure

    f = framework
    charge = round(f.mobile_charge)
    species = [Species(s, round(c)) for s, c in zip(f.symbols, f.charges, strict=True)] + [Species(f.mobile, charge)]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        structure = Structure(
            Lattice(f.cell), species, np.vstack([f.positions, f.sites[:1]]), coords_are_cartesian=True
        )
        start = time.process_time()
        lain = Lain(verbose=False)
        lain.read_structure(structure, oxi_check=False)
        lain.atoms_copy.set_array("oxi_states", np.array([s.specie.oxi_state for s in structure]))
        lain.bvse_distribution(
            mobile_ion=f"{f.mobile}{charge}+", r_cut=10, resolution=spacing_A, k=100,
            use_softbv_covalent_radii=True,
        )  # fmt: skip
        found = lain.percolation_barriers(encut=10)
        seconds = time.process_time() - start
    return [float(found[f"E_{d}D"]) for d in (1, 2, 3)], seconds


def largest_difference(ours, theirs) -> float:
    """Largest difference of barriers that both have, eV; infinite when only one has a barrier."""
    pairs = list(zip(ours, theirs, strict=True))
    if any((a is None) != (not np.isfinite(b)) for a, b in pairs):
        return float("inf")
    return max((abs(a - b) for a, b in pairs if a is not None), default=0.0)


def _text(values) -> str:
    return ", ".join("none" if v is None or not np.isfinite(v) else f"{v:.3f}" for v in values)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="prototypes; default: the whole library")
    parser.add_argument("--small", action="store_true", help="two prototypes instead of the library")
    parser.add_argument("--converge", action="store_true", help="a finer grid for BVlain where barriers differ")
    args = parser.parse_args(argv)
    from ionsieve.channels.bvse import landscape, missing_pairs

    spec = spec_from_file_location("spheres_vs_zeo", Path(__file__).with_name("spheres_vs_zeo.py"))
    peer = module_from_spec(spec)
    spec.loader.exec_module(peer)
    print("| framework | ours 1D, 2D, 3D (eV) | grid | BVlain | ours - BVlain, grid - BVlain (eV) | ours (CPU s) "
          "| BVlain (CPU s) | ratio |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    worst, within, ratios, doubtful = [0.0, 0.0], 0, [], []
    for name, original in peer.library(SMALL if args.small else args.names or None):
        framework = ordered(original)
        if missing_pairs(framework):
            print(f"| {name} | no parameters: {', '.join(missing_pairs(framework))} | | | | | | |")
            continue
        landscape(framework, path=False)
        start = time.process_time()
        found = landscape(framework, path=False)
        seconds = time.process_time() - start
        theirs, peer_seconds = bvlain_barriers(framework)
        gaps = [largest_difference(v, theirs) for v in (found.barriers_eV, found.grid_barriers_eV)]
        worst = [max(pair) for pair in zip(worst, gaps, strict=True)]
        within += gaps[0] <= 0.05
        ratios.append(peer_seconds / seconds)
        if gaps[0] > 0.03 and framework.volume_A3 < 400:
            doubtful.append((name, framework, found.barriers_eV))
        print(
            f"| {name} | {_text(found.barriers_eV)} | {_text(found.grid_barriers_eV)} | {_text(theirs)} | "
            f"{gaps[0]:.3f}, {gaps[1]:.3f} | {seconds:.2f} | {peer_seconds:.2f} | {ratios[-1]:.0f} |",
            flush=True,
        )
    print(f"\nwithin 0.05 eV of BVlain: {within} of {len(ratios)} ordered frameworks; "
          f"largest difference: ours {worst[0]:.3f}, grid {worst[1]:.3f} eV; "
          f"times faster: {min(ratios):.0f} to {max(ratios):.0f}")  # fmt: skip
    if args.converge:
        print("\n| framework | ours | BVlain at 0.1 Å | difference (eV) |\n|---|---|---|---|")
        for name, framework, ours in doubtful:
            theirs, _ = bvlain_barriers(framework, 0.1)
            print(f"| {name} | {_text(ours)} | {_text(theirs)} | {largest_difference(ours, theirs):.3f} |", flush=True)
    given = [*args.names, *(f"--{flag}" for flag in ("small", "converge") if getattr(args, flag))]
    print("\ncommand: " + " ".join(["python benchmarks/bvse_vs_bvlain.py", *given]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
