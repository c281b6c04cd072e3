"""Reading a CIF: cell, symmetry operations, sites with their labels and occupancies.

Labels and the operations as written are kept, which general readers drop. Covers the core dictionary: quoted and
semicolon-delimited values, numbers with a standard uncertainty in brackets, loops.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ionsieve.errors import InputError

__all__ = ["CifRow", "CifStructure", "read_cif"]

_TOKENS = re.compile(
    r"""(?m)^;(.*?)^;|'((?:[^'\n]|'(?=\S))*)'(?=\s|$)|"((?:[^"\n]|"(?=\S))*)"(?=\s|$)|(\#[^\n]*)|(\S+)""", re.DOTALL
)


@dataclass(frozen=True)
class CifRow:
    """One row of the atom-site loop: fractional coordinates and what sits there how often."""

    label: str
    element: str
    charge: int | None
    xyz: tuple[float, float, float]
    occupancy: float
    wyckoff: str = ""


@dataclass(frozen=True)
class CifStructure:
    """Cell rows in Å; rotations (m, 3, 3) and translations (m, 3) on fractional columns; the rows."""

    cell: NDArray[np.float64]
    rotations: NDArray[np.int64]
    translations: NDArray[np.float64]
    rows: tuple[CifRow, ...]


def read_cif(path: Path) -> CifStructure:
    """Read the first structure of a CIF; data blocks after it are not looked at.

    Raises
    ------
    InputError
        When cell or sites are missing or unreadable.
    """
    items, loops = _parse(path)
    where = str(path)
    try:
        lengths, angles = (
            [_number(items[key], where, key) for key in keys]
            for keys in (
                [f"_cell_length_{k}" for k in "abc"],
                [f"_cell_angle_{k}" for k in ("alpha", "beta", "gamma")],
            )
        )
    except KeyError as error:
        raise InputError(f"the CIF lacks {error.args[0]}", where=where) from None
    rotations, translations = _operations(items, loops, where)
    table = next((t for t in loops if "_atom_site_fract_x" in t), None)
    if table is None:
        raise InputError("the CIF has no atom sites with fractional coordinates", where=where, key="_atom_site_fract_x")

    def coordinate(axis: str, i: int) -> float:
        name = f"_atom_site_fract_{axis}"
        if name not in table:
            raise InputError(f"the CIF lacks {name}", where=where, key=name)
        label = _column(table, ("_atom_site_label",), i, "")
        return _number(table[name][i], where, f"{name}, row {i + 1}" + (f" ({label})" if label else ""))

    rows = []
    for i in range(len(table["_atom_site_fract_x"])):
        symbol = _column(table, ("_atom_site_type_symbol", "_atom_site_label"), i, "")
        match = re.match(r"([A-Z][a-z]?)(?:(\d*)([+-]))?", symbol)
        if match is None:
            raise InputError(f"no element in {symbol!r}", where=where, key="_atom_site_type_symbol")
        element, digits, sign = match.groups()
        rows.append(
            CifRow(
                label=_column(table, ("_atom_site_label",), i, f"{element}{i + 1}"),
                element=element,
                charge=int(digits or 1) * (1 if sign == "+" else -1) if sign else None,
                xyz=(coordinate("x", i), coordinate("y", i), coordinate("z", i)),
                occupancy=_number(
                    _column(table, ("_atom_site_occupancy",), i, "1"), where, f"_atom_site_occupancy, row {i + 1}"
                ),
                wyckoff=_column(table, ("_atom_site_Wyckoff_symbol", "_atom_site_wyckoff_symbol"), i, ""),
            )
        )
    return CifStructure(_cell(lengths, angles), rotations, translations, tuple(rows))


def _parse(path: Path) -> tuple[dict[str, str], list[dict[str, list[str]]]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from error
    tokens = [(m.lastindex != 5, m.group(m.lastindex or 5)) for m in _TOKENS.finditer(text) if m.lastindex != 4]
    items: dict[str, str] = {}
    loops: list[dict[str, list[str]]] = []
    i = 0
    while i < len(tokens):
        quoted, word = tokens[i]
        if not quoted and word.lower().startswith("data_") and any("_atom_site_fract_x" in t for t in loops):
            break
        if not quoted and word.lower().startswith("data_"):  # a block without sites, like the text of a paper
            items, loops = {}, []
        if quoted or not (word.startswith("_") or word.lower() == "loop_"):
            i += 1
            continue
        if word.lower() != "loop_":
            if i + 1 < len(tokens):
                items[word] = tokens[i + 1][1]
            i += 2
            continue
        i += 1
        names = []
        while i < len(tokens) and not tokens[i][0] and tokens[i][1].startswith("_"):
            names.append(tokens[i][1])
            i += 1
        values = []
        while i < len(tokens) and (tokens[i][0] or not re.match(r"_|loop_$|data_", tokens[i][1], re.IGNORECASE)):
            values.append(tokens[i][1])
            i += 1
        if names and len(values) % len(names):
            raise InputError(
                f"the loop of {names[0]} has {len(values)} values for {len(names)} columns", where=str(path)
            )
        loops.append({name: values[k :: len(names)] for k, name in enumerate(names)})
    return items, loops


def _column(table: dict[str, list[str]], names: tuple[str, ...], i: int, default: str) -> str:
    return next((table[n][i] for n in names if n in table), default)


def _number(text: str, where: str, key: str) -> float:
    bare = re.sub(r"\(\d+\)$", "", text)
    try:
        return float(bare)
    except ValueError:
        raise InputError(f"{text!r} is no number", where=where, key=key, expected="a number in the CIF") from None


def _cell(lengths: list[float], angles: list[float]) -> NDArray[np.float64]:
    """Cell rows, a along x, b in the xy plane; cosines of right angles and of 60 and 120 degrees are exact."""
    exact = {90.0: 0.0, 60.0: 0.5, 120.0: -0.5}
    ca, cb, cg = (exact.get(x, float(np.cos(np.radians(x)))) for x in angles)
    sg = float(np.sqrt(1 - cg * cg))
    a, b, c = lengths
    cx, cy = cb, (ca - cb * cg) / sg
    return np.array([[a, 0, 0], [b * cg, b * sg, 0], [c * cx, c * cy, c * float(np.sqrt(1 - cx * cx - cy * cy))]])


def _operations(
    items: dict[str, str], loops: list[dict[str, list[str]]], where: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    for key in ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz"):
        for table in loops:
            if key in table:
                parsed = [parse_operation(text, where) for text in table[key]]
                return np.array([r for r, _ in parsed]), np.array([t for _, t in parsed], dtype=float)
    number = items.get("_space_group_IT_number") or items.get("_symmetry_Int_Tables_number")
    if number and number.isdigit() and int(number) > 1:
        raise InputError(
            "the CIF names its space group but lists no symmetry operations",
            where=where,
            found=f"_space_group_IT_number {number}",
            expected="a loop with _space_group_symop_operation_xyz",
            remedy="write the CIF again with its operations, or in P1 with all atoms",
        )
    return np.eye(3, dtype=np.int64)[None], np.zeros((1, 3))


def parse_operation(text: str, where: str = "") -> tuple[list[list[int]], list[float]]:
    """Read ``-y, x-y, z+1/3`` into a rotation and a translation."""
    parts = text.lower().replace(" ", "").split(",")
    if len(parts) != 3:
        raise InputError(f"{text!r} is no symmetry operation", where=where)
    rotation = [[0, 0, 0] for _ in range(3)]
    translation = [0.0, 0.0, 0.0]
    for row, part in enumerate(parts):
        for sign, term in re.findall(r"([+-]?)([xyz]|[\d./]+)", part):
            factor = -1 if sign == "-" else 1
            if term in "xyz":
                rotation[row]["xyz".index(term)] += factor
            else:
                translation[row] += factor * float(Fraction(term))
    return rotation, [t % 1.0 for t in translation]
