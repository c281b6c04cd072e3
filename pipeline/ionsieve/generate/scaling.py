"""The prototype's cell scaled to the doping: Vegard's rule from bond lengths.

Every bond between ions of opposite charge in the average structure changes by the difference of its tabulated lengths
R0 (O'Keeffe and Brese 1991) before and after the substitution; the cell scales with the mean relative change, bonds
weighted by the square root of their valence, so that neither the stiff short bonds of polyanions nor distant contacts
rule alone. Checked on pairs of shipped prototypes: complete substitutions (Br for Cl, Se for S, Sb for P, K for Na) lie
within 1.6 % of the published lengths, dilute ones in proportion.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from ionsieve.generate.groups import GROUPS
from ionsieve.generate.ions import bond_valence_r0_A
from ionsieve.generate.neighbours import pair_list
from ionsieve.generate.prototypes import Prototype

__all__ = ["cell_scale"]

CUTOFF_A = 4.5
SOFTNESS_A = 0.37


def cell_scale(prototype: Prototype, sublattices: list[dict[str, Any]], charges: dict[str, int]) -> float:
    """Return the factor on all lengths of the prototype's cell for a composition, rounded to 1e-6.

    Parameters
    ----------
    sublattices
        As in a candidate's specification: sites, amounts and allowed labels of each.
    charges
        Charge number of every species.

    Notes
    -----
    Vacancies and cluster anions change nothing: no bond length is tabulated for them.
    """
    after = _occupancies(prototype, sublattices)
    before = {s.label: s.occupancy for s in prototype.sites if s.occupancy}
    if all(_plain(held) == _plain(after.get(label, held)) for label, held in before.items()):
        return 1.0
    change, total = 0.0, 0.0
    for a, b, distance, count in _bonds(prototype):
        old = _mean_r0(before[a], before[b], prototype.charges)
        new = _mean_r0(after.get(a, before[a]), after.get(b, before[b]), charges)
        if old is None or new is None:
            continue
        weight = math.exp(0.5 * (old - distance) / SOFTNESS_A) * count
        change += weight * (new - old)
        total += weight * distance
    return round(1.0 + change / total, 6) if total > 0 else 1.0


@lru_cache(maxsize=256)
def _bonds(prototype: Prototype) -> tuple[tuple[str, str, float, float], ...]:
    """Pairs of site labels, distance in Å, and how many such pairs a cell holds, weighted by the occupancies."""
    sites = [s for s in prototype.sites if s.occupancy]
    points = np.vstack([s.positions for s in sites]) @ prototype.cell
    owner = [s for s in sites for _ in range(s.multiplicity)]
    i, j, distance, _ = pair_list(points, prototype.cell, CUTOFF_A)
    out: dict[tuple[str, str, float], float] = {}
    start = 0
    for site in sites:  # one position stands for all of a site
        rows = (i == start) & (distance > 0.7)
        start += site.multiplicity
        for k, d in zip(j[rows], distance[rows], strict=True):
            other = owner[int(k)]
            key = (site.label, other.label, round(float(d), 3))
            filled = sum(site.occupancy.values()) * sum(other.occupancy.values()) * site.multiplicity
            out[key] = out.get(key, 0.0) + filled
    return tuple((a, b, d, count) for (a, b, d), count in sorted(out.items()))


def _occupancies(prototype: Prototype, sublattices: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Fractions of each species on each site label, a species spread evenly over the labels it may stand on."""
    out: dict[str, dict[str, float]] = {}
    for sublattice in sublattices:
        capacity = {label: prototype.per_formula_unit(prototype.site(label)) for label in sublattice["sites"]}
        for species, amount in sublattice["amounts"].items():
            labels = sublattice["allowed"].get(species) or list(capacity)
            room = sum(capacity[label] for label in labels)
            for label in labels:
                out.setdefault(label, {})[species] = amount / room
    return out


def _plain(occupancy: dict[str, float]) -> dict[str, float]:
    """Shares of the species that are there, vacancies left out."""
    total = sum(occupancy.values())
    return {s: round(v / total, 5) for s, v in sorted(occupancy.items()) if v > 1e-6} if total > 0 else {}


def _mean_r0(a: dict[str, float], b: dict[str, float], charges: dict[str, int]) -> float | None:
    """Mean bond length R0 between two sites, Å; None when no pair of opposite charge is tabulated."""
    total, weight = 0.0, 0.0
    for x, fx in a.items():
        for y, fy in b.items():
            if x in GROUPS or y in GROUPS or charges[x] * charges[y] >= 0:
                continue
            r0 = bond_valence_r0_A(x, y)
            if r0 is not None:
                total, weight = total + fx * fy * r0, weight + fx * fy
    return total / weight if weight > 1e-9 else None
