"""Ordering of disordered NASICON cells: ours beside pymatgen's OrderDisorderedStructureTransformation.

    python benchmarks/ordering.py            # the 126-site cell; the peer takes minutes
    python benchmarks/ordering.py --small    # the 42-site primitive cell

Both order the same sites: Si/P on 18e, Na and vacancies on Na1 and Na2 together. Energies of both results come from
pymatgen's EwaldSummation. CPU seconds of this process are given beside wall seconds, since machines are shared.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np


def timed(function: Callable[[], Any]) -> tuple[Any, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def ours(matrix: list[int], of: str, seed: int) -> Any:
    from ionsieve.generate import GenerateSettings, configure, expand

    settings = GenerateSettings.model_validate(
        {
            "recipes": [
                {"prototype": "Na3Zr2Si2PO12_R-3c", "supercell": {"matrix": matrix, "of": of, "max_atoms": 5000}}
            ],
            "ordering": {"n_configurations": 5},
        }
    )
    (candidate,) = expand(settings)
    return configure(candidate, settings, seed=seed)[1]


def disordered(matrix: list[int], of: str) -> Any:
    """The prototype's average structure without its empty sites, for pymatgen."""
    from pymatgen.core import Lattice, Species, Structure

    from ionsieve.generate import prototypes
    from ionsieve.generate.sites import site_table

    p = prototypes.load("Na3Zr2Si2PO12_R-3c")
    rows = np.diag(matrix)
    if of == "conventional":
        rows = rows @ np.round(np.linalg.inv(p.primitive)).astype(int)
    table = site_table(p, rows)
    keep = [i for i, label in enumerate(table.labels) if p.site(label).occupancy]
    fill = {"Si": 2 / 3, "P": 1 / 3, "Na": 0.75}
    species = []
    for i in keep:
        occupancy = p.site(table.labels[i]).occupancy
        species.append(
            {
                Species(s, p.charges[s]): fill.get(s, 1.0) if len(occupancy) > 1 or v < 1 else 1.0
                for s, v in occupancy.items()
            }
        )
    return Structure(Lattice(table.cell), species, table.fractional[keep])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="the 42-site primitive cell")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true", help="ours alone")
    arguments = parser.parse_args(argv)
    warnings.filterwarnings("ignore")
    from pymatgen.analysis.ewald import EwaldSummation
    from pymatgen.transformations.standard_transformations import OrderDisorderedStructureTransformation

    matrix, of = ([1, 1, 1], "primitive") if arguments.small else ([1, 1, 1], "conventional")
    sites = 42 if arguments.small else 126

    def energy(structure: Any) -> float:
        return float(EwaldSummation(structure, acc_factor=12).total_energy)

    ours([1, 1, 1], "primitive", 0)  # imports and prototype files are not ordering
    rows = []
    best_ours, cost = np.inf, []
    for seed in range(arguments.seeds):
        from ionsieve.generate import problem
        from ionsieve.generate import sites as site_module

        problem._matrix_of.cache_clear()
        site_module._table.cache_clear()
        site_module._permutations.cache_clear()
        found, wall, cpu = timed(lambda seed=seed: ours(matrix, of, seed))
        value = energy(found[0].structure.to_pymatgen())
        best_ours = min(best_ours, value)
        cost.append((wall, cpu))
        rows.append((f"ionsieve, {len(found)} distinct, seed {seed}", value, wall, cpu))
    own_cpu = float(np.median(np.array(cost)[:, 1]))
    ratio = None
    if not arguments.no_peer:
        structure = disordered(matrix, of)
        assert len(structure) == sites
        transformation = OrderDisorderedStructureTransformation(algo=0)
        result, wall, cpu = timed(lambda: transformation.apply_transformation(structure))
        value = energy(result)
        rows.append(("pymatgen OrderDisorderedStructureTransformation(algo=0), 1 structure", value, wall, cpu))
        result, w2, c2 = timed(lambda: OrderDisorderedStructureTransformation(algo=2).apply_transformation(structure))
        rows.append(("pymatgen algo=2 (best first)", energy(result), w2, c2))
        ratio = cpu / own_cpu
    print(f"\n### Na3Zr2Si2PO12, {sites} sites\n")
    print("| method | Ewald energy, eV | wall s | CPU s |\n|---|---|---|---|")
    for name, value, wall, cpu in rows:
        print(f"| {name} | {value:.4f} | {wall:.2f} | {cpu:.2f} |")
    if ratio is not None:
        lower = best_ours <= value_of(rows, "algo=0") + 1e-3
        print(f"\nsame or lower energy: {'yes' if lower else 'NO'}; {ratio:.0f} times faster (CPU)")
    if not arguments.small:
        found, wall, cpu = timed(lambda: ours([2, 2, 1], "conventional", 0))
        print(f"\n504 sites (2x2x1): {len(found)} configurations in {wall:.1f} s wall, {cpu:.1f} s CPU")
    print(f"\n`python benchmarks/ordering.py{' --small' if arguments.small else ''}`")
    return 0


def value_of(rows: list[tuple[str, float, float, float]], word: str) -> float:
    return next(row[1] for row in rows if word in row[0])


if __name__ == "__main__":
    sys.exit(main())
