"""Gates of named jumps along a trajectory: ours per frame against calling pyzeo on every frame.

    python benchmarks/gates_vs_zeo.py [--small]

The trajectory is NaZr2(PO4)3 with Gaussian displacements of 0.1 Å (thermal motion has this size at some 600 K). pyzeo
gives one free sphere a frame; ours gives area, circumradius and free radius of every gate of every jump, with the
passages.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np


def _peer():
    spec = spec_from_file_location("spheres_vs_zeo", Path(__file__).with_name("spheres_vs_zeo.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="fewer frames")
    args = parser.parse_args(argv)
    from pymatgen.core import Structure

    from ionsieve.channels import crossings, describe, gates_along
    from ionsieve.generate import prototypes

    prototype = prototypes.load("NaZr2P3O12_R-3c")
    structure = Structure.from_file(Path(prototype.location).with_suffix(".cif"))
    sites = [s for s in prototype.sites if s.mobile]
    found = describe(
        structure,
        "Na",
        mobile_sites_A=np.concatenate([s.positions for s in sites]) @ prototype.cell,
        mobile_site_labels=[s.label for s in sites for _ in s.positions],
    )
    gates, framework = found.gate_set, found.framework
    frames, peer_frames = (200, 5) if args.small else (2000, 30)
    rng = np.random.default_rng(0)
    positions = structure.cart_coords + rng.normal(0.0, 0.1, (frames, len(structure), 3))
    cell = structure.lattice.matrix
    gates_along(positions[:10], cell, gates)
    start = time.process_time()
    series = gates_along(positions, cell, gates)
    ours = (time.process_time() - start) / frames
    start = time.process_time()
    crossings(positions[: frames // 4], cell, gates, framework.mobile_indices)
    passing = (time.process_time() - start) / (frames // 4)
    cells = [(x[framework.indices], cell, framework.radii) for x in positions[:peer_frames]]
    peer = np.mean([r[1] for r in _peer().zeo_spheres(cells) if r is not None])
    limit = 2 * np.array([series.free_radius[:, gates.kind == k].min(axis=1).mean() for k in range(len(gates.kinds))])
    print("| what | per frame (CPU ms) | Zeo++ over it |")
    print("|---|---|---|")
    print(f"| {len(gates)} gates: area, circumradius, free radius | {1e3 * ours:.4f} | {peer / ours:.0f} |")
    print(f"| the same with passages of {len(framework.mobile_indices)} ions | {1e3 * (ours + passing):.3f} | "
          f"{peer / (ours + passing):.0f} |")  # fmt: skip
    print(f"| pyzeo: one free sphere | {1e3 * peer:.1f} | 1 |")
    print(f"\nnarrowest gate of each type, mean over frames (diameter, Å): "
          f"{', '.join(f'{n} {v:.2f}' for n, v in zip(gates.kinds, limit, strict=True))}")  # fmt: skip
    print("command: python benchmarks/gates_vs_zeo.py" + (" --small" if args.small else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
