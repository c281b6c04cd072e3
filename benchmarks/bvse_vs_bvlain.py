"""Bond-valence site energy: barriers and time, ours against BVlain.

    python benchmarks/bvse_vs_bvlain.py [--small]

Both use softBV parameters with softBV covalent radii, a grid of 0.2 Å, interactions to 10 Å and 26 neighbours on the
grid.
BVlain repeats the first grid plane as the last, stops at the 100 nearest atoms and bisects to 0.01 eV, which moves its
barriers by up to some 0.03 eV.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
import warnings
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np

SMALL = ("Na3OCl_Pm-3m", "Na3PS4_P-421c")


def bvlain_barriers(framework, spacing_A: float = 0.2):
    """Percolation barriers in 1, 2 and 3 dimensions (eV) of BVlain and the seconds it took."""
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
            mobile_ion=f"{f.mobile}{charge}+", r_cut=10, resolution=spacing_A, k=100, use_softbv_covalent_radii=True
        )
        found = lain.percolation_barriers(encut=10)
        seconds = time.process_time() - start
    return [float(found[f"E_{d}D"]) for d in (1, 2, 3)], seconds


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="two prototypes instead of the library")
    args = parser.parse_args(argv)
    from ionsieve.channels.bvse import landscape, missing_pairs

    spec = spec_from_file_location("spheres_vs_zeo", Path(__file__).with_name("spheres_vs_zeo.py"))
    peer = module_from_spec(spec)
    spec.loader.exec_module(peer)
    print("| framework | ours 1D, 2D, 3D (eV) | BVlain | difference (eV) | ours (CPU s) | BVlain (CPU s) | ratio |")
    print("|---|---|---|---|---|---|---|")
    for name, framework in peer.library(SMALL if args.small else None):
        if missing_pairs(framework):
            print(f"| {name} | no parameters: {', '.join(missing_pairs(framework))} | | | | | |")
            continue
        landscape(framework, path=False)
        start = time.process_time()
        ours = landscape(framework, path=False).barriers_eV
        seconds = time.process_time() - start
        theirs, peer_seconds = bvlain_barriers(framework)
        both = [abs(a - b) for a, b in zip(ours, theirs, strict=True) if a is not None and np.isfinite(b)]
        print(
            f"| {name} | {', '.join('none' if v is None else f'{v:.3f}' for v in ours)} | "
            f"{', '.join('none' if not np.isfinite(v) else f'{v:.3f}' for v in theirs)} | {max(both, default=0):.3f} | "
            f"{seconds:.2f} | {peer_seconds:.2f} | {peer_seconds / seconds:.0f} |",
            flush=True,
        )
    print("\ncommand: python benchmarks/bvse_vs_bvlain.py" + (" --small" if args.small else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
