"""The one place where radii are chosen: Shannon's, by element, oxidation state and coordination.

Source: R. D. Shannon, Acta Cryst. A32 (1976) 751, 10.1107/S0567739476001551, as tabulated in pymatgen. The rules:

1. An override of the settings wins: by ion (``"Zr+4"``, ``"O-2"``), else by element (``"O"``).
2. Anions take the six-coordinate radius (O2- 1.40, S2- 1.84, Cl- 1.81 Å): Shannon's scale is built on it, and a gate
   should not change its free radius because a cation far behind it was counted or not.
3. Cations take the radius at their coordination number: anions nearer than 1.25 times the nearest one. A coordination
missing from
   the table is replaced by the nearest one that is there; high spin where spins differ.
4. Hydrogen is not in the table in the forms met here. H+ bound in OH- is a bare proton inside its oxygen: 0 Å. H- of a
   complex hydride (BH4-): 0.85 Å, the thermochemical radius of BH4- (2.05 Å; M. F. C. Ladd & W. H. Lee, Prog. Solid
   State Chem. 1 (1964) 37) less the B-H bond of 1.20 Å.
5. An ion of a charge that Shannon does not list takes his nearest charge of the same sign; where there is none, the
   radius is refused with the remedy of an override.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ionsieve.channels.settings import ChannelSettings
from ionsieve.errors import InputError

__all__ = ["coordination_numbers", "ion_name", "ion_radius_A", "mobile_radius_A"]

_ROMAN = {
    "I": 1, "II": 2, "III": 3, "IIIPY": 3, "IV": 4, "IVSQ": 4, "IVPY": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8,
    "IX": 9, "X": 10, "XI": 11, "XII": 12, "XIII": 13, "XIV": 14,
}  # fmt: skip
_HYDROGEN = {1: 0.0, -1: 0.85}
_ANION_COORDINATION = 6


def ion_name(element: str, charge: float) -> str:
    """Return the name of an ion as used for overrides and tables: ``Zr+4``, ``O-2``, ``Ti+3.5``."""
    return f"{element}{charge:+g}"


@functools.cache
def _shannon(element: str) -> dict[int, dict[int, tuple[float, float]]]:
    """Shannon's table of an element: charge -> coordination -> (ionic, crystal) radius, Å."""
    from pymatgen.core import Element

    table: dict[int, dict[int, tuple[float, float]]] = {}
    for charge, rows in (Element(element).data.get("Shannon radii") or {}).items():
        for label, spins in rows.items():
            coordination = _ROMAN.get(str(label))
            if coordination is None or (
                str(label) in ("IVSQ", "IVPY", "IIIPY") and coordination in table.get(int(charge), {})
            ):
                continue
            entry = spins.get("") or spins.get("High Spin") or next(iter(spins.values()))
            table.setdefault(int(charge), {})[coordination] = (
                float(entry["ionic_radius"]),
                float(entry["crystal_radius"]),
            )
    return table


def _lookup(element: str, charge: int, coordination: int, column: int) -> float:
    if element in ("H", "D"):
        return _HYDROGEN[1 if charge > 0 else -1]
    table = _shannon(element)
    same_sign = [z for z in table if z * charge > 0]
    if not same_sign:
        raise InputError(
            f"Shannon lists no radius for {ion_name(element, charge)}",
            key="sieve.radius_overrides_A",
            found=ion_name(element, charge),
            expected=f"a charge of {', '.join(ion_name(element, z) for z in sorted(table)) or 'a listed element'}",
            cause="an unusual oxidation state, often a wrong guess",
            remedy=f'give the oxidation states, or add "{element}" to radius_overrides_A',
        )
    rows = table[min(same_sign, key=lambda z: (abs(z - charge), z))]
    return rows[min(rows, key=lambda n: (abs(n - coordination), n))][column]


def ion_radius_A(
    element: str, charge: float, coordination: int | None = None, settings: ChannelSettings | None = None
) -> float:
    """Return the radius of an ion, Å.

    Parameters
    ----------
    element, charge
        Element symbol and oxidation state; a fractional charge is interpolated between its neighbours.
    coordination
        Number of neighbours of opposite charge; ignored for anions, six when unknown.

    Raises
    ------
    InputError
        When the table has no such ion and no override is given.
    """
    settings = settings or ChannelSettings()
    overrides: Mapping[str, float] = settings.radius_overrides_A
    for key in (ion_name(element, charge), element):
        if key in overrides:
            return overrides[key]
    column = 0 if settings.radii == "shannon" else 1
    number = _ANION_COORDINATION if charge < 0 or coordination is None else max(coordination, 1)
    low, high = int(np.floor(charge)), int(np.ceil(charge))
    if low == high:
        return _lookup(element, low, number, column)
    if low == 0 or high == 0:
        return _lookup(element, low or high, number, column)
    return (high - charge) * _lookup(element, low, number, column) + (charge - low) * _lookup(
        element, high, number, column
    )


def mobile_radius_A(element: str, charge: float, settings: ChannelSettings | None = None) -> float:
    """Return the radius of the mobile ion in a gate: its smallest listed coordination, at most four, Å."""
    return ion_radius_A(element, charge, 4, settings)


def coordination_numbers(
    distances_A: NDArray[np.float64], is_anion: NDArray[np.bool_], *, ratio: float = 1.25
) -> NDArray[np.int64]:
    """Count, for each row of distances to neighbours sorted ascending, the anions within `ratio` of the nearest one.

    Parameters
    ----------
    distances_A, is_anion
        (N, K) Å (infinite where there is no neighbour) and whether each neighbour is an anion.
    """
    anion_distances = np.where(is_anion, distances_A, np.inf)
    nearest = anion_distances.min(axis=1, keepdims=True)
    return np.asarray(np.sum(np.isfinite(anion_distances) & (anion_distances <= ratio * nearest), axis=1))
