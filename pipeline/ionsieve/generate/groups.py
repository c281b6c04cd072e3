"""Cluster anions: rigid groups of atoms that stand on one anion site.

Bond lengths are those usual in salts (B-H 1.20 Å, B-F 1.39, Al-H 1.64, B-Cl 1.84, N-H 1.02, O-H 0.97, N-O 1.24 at 115°,
C-N 1.17, S-H 1.34): a start for the relaxation, which knows better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["GROUPS", "GROUP_RADII_A", "Group", "random_rotation"]


@dataclass(frozen=True)
class Group:
    """A rigid anion.

    Attributes
    ----------
    symbols, charges
        Element and formal charge of each atom; the first stands on the site.
    offsets_A
        Position of each atom from the site, Å.
    """

    name: str
    symbols: tuple[str, ...]
    charges: tuple[int, ...]
    offsets_A: tuple[tuple[float, float, float], ...]

    @property
    def charge(self) -> int:
        """Charge of the whole group."""
        return sum(self.charges)

    @property
    def composition(self) -> dict[str, int]:
        """Atoms by element."""
        return {s: self.symbols.count(s) for s in dict.fromkeys(self.symbols)}


Offsets = tuple[tuple[float, float, float], ...]
_ORIGIN = (0.0, 0.0, 0.0)


def _tetrahedron(length: float) -> Offsets:
    s = length / math.sqrt(3.0)
    return (_ORIGIN, (s, s, s), (s, -s, -s), (-s, s, -s), (-s, -s, s))


def _bent(length: float, angle_degrees: float) -> Offsets:
    half = math.radians(angle_degrees) / 2
    x, z = length * math.sin(half), length * math.cos(half)
    return (_ORIGIN, (x, 0.0, z), (-x, 0.0, z))


def _rod(length: float) -> Offsets:
    return (_ORIGIN, (0.0, 0.0, length))


def _of(centre: tuple[str, int], ligand: tuple[str, int], offsets: Offsets, name: str) -> Group:
    n = len(offsets) - 1
    return Group(name, (centre[0], *[ligand[0]] * n), (centre[1], *[ligand[1]] * n), offsets)


GROUPS: dict[str, Group] = {
    g.name: g
    for g in (
        _of(("B", 3), ("H", -1), _tetrahedron(1.20), "BH4"),
        _of(("B", 3), ("F", -1), _tetrahedron(1.39), "BF4"),
        _of(("B", 3), ("Cl", -1), _tetrahedron(1.84), "BCl4"),
        _of(("Al", 3), ("H", -1), _tetrahedron(1.64), "AlH4"),
        _of(("N", -3), ("H", 1), _bent(1.02, 104.0), "NH2"),
        _of(("N", 3), ("O", -2), _bent(1.24, 115.0), "NO2"),
        _of(("O", -2), ("H", 1), _rod(0.97), "OH"),
        _of(("S", -2), ("H", 1), _rod(1.34), "SH"),
        _of(("C", 2), ("N", -3), _rod(1.17), "CN"),
    )
}


#: Thermochemical radii of cluster anions, Å: H. D. B. Jenkins, K. P. Thakur, J. Chem. Educ. 56 (1979) 576.
GROUP_RADII_A = {"BH4": 1.93, "BF4": 2.32, "NH2": 1.90, "OH": 1.33, "NO2": 1.92, "CN": 1.91, "SH": 2.07}


def random_rotation(generator: np.random.Generator) -> NDArray[np.float64]:
    """Return a rotation matrix drawn uniformly from SO(3) (from a normalised Gaussian quaternion)."""
    w, x, y, z = (q := generator.standard_normal(4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
