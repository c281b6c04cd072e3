"""Published conductivities beside the computed ones: the same composition, or the nearest neighbour of the same host.

Distance     sum over elements of |x_a - x_b| / 2 with x the atomic fractions: 0 same, 1 nothing in common.
Neighbour    same mobile ion and family, distance at most `NEIGHBOUR`.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from ionsieve.resources import data_folder

__all__ = ["NEIGHBOUR", "SAME", "Published", "distance", "fractions", "matches", "published"]

SAME = 0.005
NEIGHBOUR = 0.05


@dataclass(frozen=True)
class Published:
    """One row of the literature table."""

    formula: str
    family: str
    mobile_ion: str
    phase: str
    temperature_C: float | None
    sigma_S_per_cm: float | None
    Ea_eV: float | None
    kind: str
    source: str
    note: str


@lru_cache(maxsize=1)
def published() -> tuple[Published, ...]:
    """Return the shipped table ``literature/conductivity.csv``."""
    with (data_folder("literature") / "conductivity.csv").open(newline="", encoding="utf-8") as stream:
        return tuple(
            Published(
                formula=row["formula"],
                family=row["family"],
                mobile_ion=row["mobile_ion"],
                phase=row["phase"],
                temperature_C=_number(row["temperature_C"]),
                sigma_S_per_cm=_number(row["sigma_S_per_cm"]),
                Ea_eV=_number(row["Ea_eV"]),
                kind=row["kind"],
                source=row["source"],
                note=row["note"],
            )
            for row in csv.DictReader(stream)
        )


def _number(text: str) -> float | None:
    return float(text) if text.strip() else None


@lru_cache(maxsize=512)
def fractions(formula: str) -> Mapping[str, float]:
    """Return the atomic fractions of a formula, for example ``Ca0.5Zr2(PO4)3``."""
    from pymatgen.core import Composition

    composition = Composition(formula).fractional_composition
    return MappingProxyType({element.symbol: float(amount) for element, amount in composition.items()})


def distance(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """Return half the summed differences of atomic fractions."""
    return sum(abs(a.get(s, 0.0) - b.get(s, 0.0)) for s in {*a, *b}) / 2


def matches(
    composition: Mapping[str, float], *, mobile_ion: str, family: str, table: Sequence[Published] | None = None
) -> list[tuple[float, Published]]:
    """Return published rows of the same or a neighbouring composition, nearest first."""
    total = sum(composition.values())
    own = {s: v / total for s, v in composition.items()} if total else {}
    found = []
    for row in published() if table is None else table:
        if row.mobile_ion == mobile_ion and row.family == family:
            gap = distance(own, fractions(row.formula))
            if gap <= NEIGHBOUR:
                found.append((round(gap, 6), row))
    return sorted(found, key=lambda pair: (pair[0], pair[1].formula, pair[1].source))
