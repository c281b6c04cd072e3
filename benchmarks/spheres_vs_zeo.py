"""Included, free and included-along-free spheres: ours against Zeo++ (pyzeo), numbers and time side by side.

    python benchmarks/spheres_vs_zeo.py [--small]

pyzeo's only door is a file, so its time holds reading the CIF; ours holds everything from arrays to spheres. Zeo++
works on the radical tessellation at probe radius zero: where touching atoms have one radius the two agree to 0.01 Å;
where they differ (O next to I, Br, Cl) its free sphere is too small, and its "high accuracy" mode, where its tables
allow the radii, comes to our value. D_if is the widest cavity on one way of the free sphere, and the ways of a
symmetric crystal are many: there the two may differ by the choice. Atoms are displaced by 1e-4 Å: pyzeo stops on some
symmetric cells.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

SMALL = ("NaZr2P3O12_R-3c", "Na3PS4_P-421c", "Li3PS4_Pnma", "K3OI_Pm-3m")

_WORKER = r"""
import contextlib, json, os, sys, time
from pyzeo import AtomNetwork, high_accuracy_atomnet
jobs = json.load(open(sys.argv[1])); first = int(sys.argv[2]); folder = sys.argv[3]
out = os.fdopen(os.dup(1), "w")
null = os.open(os.devnull, os.O_WRONLY); os.dup2(null, 1); os.dup2(null, 2)
for k in range(first, len(jobs)):
    cif, rad, accuracy = jobs[k]
    start = time.perf_counter()
    net = AtomNetwork.read_from_CIF(cif, rad_flag=True, rad_file=rad)
    if accuracy:
        high_accuracy_atomnet(net, accuracy)
    net.calculate_free_sphere_parameters(folder + "/x.res")
    seconds = time.perf_counter() - start
    values = [float(v) for v in open(folder + "/x.res").read().split()[1:4]]
    out.write(json.dumps([k, values, seconds]) + "\n"); out.flush()
"""
_SYMBOLS = list(map(str, "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn".split()))  # noqa: SIM905


def _write(folder: Path, k: int, positions, cell, radii) -> tuple[str, str]:
    from ase.cell import Cell

    radii = np.round(radii, 5)
    names = {r: _SYMBOLS[i] for i, r in enumerate(np.unique(radii))}
    rad = folder / f"{k}.rad"
    rad.write_text("".join(f"{n} {r:.5f}\n" for r, n in names.items()))
    keys = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_x", "_symmetry_space_group_name_H-M 'P1'", "_symmetry_Int_Tables_number 1"]
    lines += [f"_cell_{key} {v:.8f}" for key, v in zip(keys, Cell(cell).cellpar(), strict=True)]
    lines += ["loop_", "_symmetry_equiv_pos_as_xyz", "'x,y,z'", "loop_", "_atom_site_label", "_atom_site_type_symbol"]
    lines += [f"_atom_site_fract_{x}" for x in "xyz"]
    fractional = (np.asarray(positions) @ np.linalg.inv(cell)) % 1.0
    for f, r in zip(fractional, radii, strict=True):
        lines.append(f"{names[r]} {names[r]} {f[0]:.8f} {f[1]:.8f} {f[2]:.8f}")
    cif = folder / f"{k}.cif"
    cif.write_text("\n".join(lines) + "\n")
    return str(cif), str(rad)


def zeo_spheres(frameworks, accuracy: str = "", timeout_s: float = 600.0):
    """Di, Df, Dif and seconds from pyzeo for each (positions, cell, radii); None where it stops the process.

    A child process does the work, because Zeo++ ends its process on cells that it cannot handle.
    """
    results = [None] * len(frameworks)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = [(*_write(folder, k, *f), accuracy) for k, f in enumerate(frameworks)]
        (folder / "jobs.json").write_text(json.dumps(jobs))
        first = 0
        while first < len(jobs):
            done = subprocess.run(
                [sys.executable, "-c", _WORKER, str(folder / "jobs.json"), str(first), name],
                capture_output=True, text=True, timeout=timeout_s, check=False,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
            rows = [json.loads(line) for line in done.stdout.splitlines()]
            for k, values, seconds in rows:
                results[k] = (np.array(values), seconds)
            first = (rows[-1][0] + 1 if rows else first) + (1 if done.returncode else 0)
            if not done.returncode and not rows:
                break
    return results


def library(names=None):
    """Frameworks of the prototype library: (name, Framework)."""
    from pymatgen.io.cif import CifParser

    from ionsieve.channels import read_framework
    from ionsieve.generate import prototypes

    out = []
    for name in names or prototypes.names():
        prototype = prototypes.load(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structure = CifParser(
                Path(prototype.location).with_suffix(".cif"), occupancy_tolerance=1.01, site_tolerance=1e-4
            ).parse_structures(primitive=False, on_error="ignore")[0]
        out.append((name, read_framework(structure, prototype.mobile_ion)))
    return out


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="four prototypes instead of all")
    args = parser.parse_args(argv)
    from ionsieve.channels.network import spheres

    rng = np.random.default_rng(0)
    rows = []
    frameworks = []
    for name, f in library(SMALL if args.small else None):
        positions = f.positions + rng.normal(0.0, 1e-4, f.positions.shape)
        frameworks.append((positions, f.cell, f.radii))
        spheres(*frameworks[-1])
        start = time.perf_counter()
        found = spheres(*frameworks[-1])
        seconds = time.perf_counter() - start
        rows.append((name, len(positions), np.ptp(f.radii[f.is_anion]) > 0.05, found, seconds))
    peers = zeo_spheres(frameworks)
    print("| framework | atoms | ours Di, Df, Dif (Å) | Zeo++ | largest difference | ours (ms) | Zeo++ (ms) | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    ratios, worst = [], 0.0
    for (name, atoms, mixed, found, seconds), peer in zip(rows, peers, strict=True):
        ours = np.array([found.included, found.free or 0.0, found.included_along_free or 0.0])
        text = ", ".join(f"{v:.3f}" for v in ours)
        if peer is None:
            print(f"| {name} | {atoms} | {text} | stops | | {1e3 * seconds:.0f} | | |")
            continue
        values, peer_seconds = peer
        difference = np.abs(ours - values).max()
        if not mixed:
            worst = max(worst, np.abs(ours - values)[:2].max())
        ratios.append(seconds / peer_seconds)
        print(
            f"| {name} | {atoms} | {text} | {', '.join(f'{v:.3f}' for v in values)} | {difference:.3f}"
            f"{' (anions of several radii)' if mixed else ''} | {1e3 * seconds:.0f} | {1e3 * peer_seconds:.0f} | "
            f"{seconds / peer_seconds:.2f} |"
        )
    print(f"\nmedian time ratio ours/Zeo++ {np.median(ratios):.2f}; "
          f"largest difference of Di and Df where anions have one radius {worst:.4f} Å")  # fmt: skip
    print("command: python benchmarks/spheres_vs_zeo.py" + (" --small" if args.small else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
