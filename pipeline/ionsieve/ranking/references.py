# ruff: noqa: E501  (one line a phase)
"""Competing phases: simple salts and oxides of the families, as starting structures for a relaxation with any potential.

Lattice parameters only start the relaxation; they are the usual room-temperature values (Å) of the crystallographic handbooks.
A composition that these phases and the ordered prototypes cannot give gets no energy above them, and the reason.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import TYPE_CHECKING

from ionsieve.resources import data_folder

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["competing", "names"]

_ROCKSALT = {
    "LiF": 4.027, "LiCl": 5.130, "LiBr": 5.501, "LiI": 6.012, "NaF": 4.634, "NaCl": 5.640, "NaBr": 5.973, "NaI": 6.473, "KF": 5.347, "KCl": 6.293,
    "KBr": 6.600, "KI": 7.066, "MgO": 4.212, "CaO": 4.811, "SrO": 5.160, "BaO": 5.539, "MgS": 5.200, "CaS": 5.690, "SrS": 6.020, "BaS": 6.390,
}  # fmt: skip
_ANTIFLUORITE = {"Li2O": 4.619, "Na2O": 5.550, "K2O": 6.436, "Li2S": 5.708, "Na2S": 6.526, "K2S": 7.391, "Na2Se": 6.809}
_RUTILE = {"TiO2": (4.594, 2.959, 0.305), "SnO2": (4.738, 3.187, 0.307), "GeO2": (4.395, 2.860, 0.306)}
_BADDELEYITE = {"ZrO2": (5.150, 5.212, 5.317, 99.23), "HfO2": (5.117, 5.175, 5.291, 99.22)}
_CORUNDUM = {
    "Al2O3": (4.759, 12.991, 0.3522, 0.3064),
    "Cr2O3": (4.958, 13.594, 0.3475, 0.3060),
    "Fe2O3": (5.036, 13.747, 0.3553, 0.3059),
}


def _split(formula: str) -> list[str]:
    import re

    return re.findall(r"[A-Z][a-z]?", formula)


def _crystals() -> dict[str, tuple[tuple[str, ...], object]]:
    from ase.spacegroup import crystal

    found: dict[str, tuple[tuple[str, ...], object]] = {}

    def add(name: str, *args: object, **options: object) -> None:
        found[name] = (tuple(sorted(set(_split(name)))), lambda: crystal(*args, primitive_cell=True, **options))

    for name, a in _ROCKSALT.items():
        add(name, _split(name), [(0, 0, 0), (0.5, 0.5, 0.5)], spacegroup=225, cellpar=[a, a, a, 90, 90, 90])
    for name, a in _ANTIFLUORITE.items():
        add(name, _split(name), [(0.25, 0.25, 0.25), (0, 0, 0)], spacegroup=225, cellpar=[a, a, a, 90, 90, 90])
    for name, (a, c, u) in _RUTILE.items():
        add(name, _split(name), [(0, 0, 0), (u, u, 0)], spacegroup=136, cellpar=[a, a, c, 90, 90, 90])
    for name, (a, b, c, beta) in _BADDELEYITE.items():
        metal = _split(name)[0]
        add(
            name, [metal, "O", "O"], [(0.2754, 0.0395, 0.2083), (0.0700, 0.3317, 0.3477), (0.4496, 0.7569, 0.4792)],
            spacegroup=14, cellpar=[a, b, c, 90, beta, 90],
        )  # fmt: skip
    for name, (a, c, z, x) in _CORUNDUM.items():
        add(name, _split(name), [(0, 0, z), (x, 0, 0.25)], spacegroup=167, cellpar=[a, a, c, 90, 90, 120])
    add(
        "SiO2",
        ["Si", "O"],
        [(0.4697, 0, 2 / 3), (0.4135, 0.2669, 0.1191 + 2 / 3)],
        spacegroup=154,
        cellpar=[4.913, 4.913, 5.405, 90, 90, 120],
    )
    add(
        "ZnO",
        ["Zn", "O"],
        [(1 / 3, 2 / 3, 0), (1 / 3, 2 / 3, 0.382)],
        spacegroup=186,
        cellpar=[3.250, 3.250, 5.207, 90, 90, 120],
    )
    return found


def names() -> tuple[str, ...]:
    """Return the built-in salts and oxides."""
    return tuple(sorted([*_ROCKSALT, *_ANTIFLUORITE, *_RUTILE, *_BADDELEYITE, *_CORUNDUM, "SiO2", "ZnO"]))


def competing(elements: Collection[str]) -> dict[str, Atoms]:
    """Return starting cells of the phases that hold no other than these elements: salts, oxides and ordered prototypes."""
    from pymatgen.core import Structure

    allowed = set(elements)
    found = {name: make() for name, (symbols, make) in _crystals().items() if set(symbols) <= allowed}  # type: ignore[operator]
    for file in sorted(data_folder("structures").glob("*.cif")):
        with warnings.catch_warnings():  # pymatgen remarks on every rounded coordinate and partly filled site
            warnings.simplefilter("ignore", UserWarning)
            structure = Structure.from_file(file, merge_tol=0.01)
        if structure.is_ordered and {e.symbol for e in structure.composition.elements} <= allowed:
            structure.remove_oxidation_states()
            found[file.stem] = structure.get_primitive_structure().to_ase_atoms()
    return found
