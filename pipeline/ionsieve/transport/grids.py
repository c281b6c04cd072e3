"""Writing a density on the grid of the cell: Gaussian CUBE, VASP CHGCAR, XCrySDen XSF.

VESTA, OVITO and VMD read them. The density is in ions per Å³ (CUBE and XSF), and times the volume of the cell in
CHGCAR, as that format wants.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ionsieve.transport.placing import place

__all__ = ["write_chgcar", "write_cube", "write_xsf"]

Floats = NDArray[np.floating[Any]]
_BOHR_A = 0.529177210903


def _rows(values: Floats, per_row: int, form: str) -> str:
    flat = values.ravel()
    return "\n".join(" ".join(form % v for v in flat[k : k + per_row]) for k in range(0, len(flat), per_row)) + "\n"


def write_cube(path: str | Path, density: Floats, cell_A: Floats, numbers: Sequence[int], positions_A: Floats) -> Path:
    """Write a Gaussian CUBE file (lengths in bohr, values as given)."""
    lines = ["ion density, ions per cubic angstrom", "ionsieve", f"{len(numbers):5d} 0.000000 0.000000 0.000000"]
    for n, vector in zip(density.shape, np.asarray(cell_A) / _BOHR_A, strict=True):
        lines.append(f"{n:5d} " + " ".join(f"{x / n:12.6f}" for x in vector))
    for z, r in zip(numbers, np.asarray(positions_A) / _BOHR_A, strict=True):
        lines.append(f"{z:5d} {float(z):12.6f} " + " ".join(f"{x:12.6f}" for x in r))
    body = "".join(_rows(row, 6, "%13.5E") for plane in density for row in plane)
    return place(path, "\n".join(lines) + "\n" + body)


def write_xsf(path: str | Path, density: Floats, cell_A: Floats, numbers: Sequence[int], positions_A: Floats) -> Path:
    """Write an XSF file; its general grid repeats the first plane at the end, as the format wants."""
    vectors = "\n".join(" ".join(f"{x:14.8f}" for x in row) for row in np.asarray(cell_A))
    atoms = "\n".join(
        f"{z:3d} " + " ".join(f"{x:14.8f}" for x in r) for z, r in zip(numbers, np.asarray(positions_A), strict=True)
    )
    closed = np.pad(density, [(0, 1)] * 3, mode="wrap")
    text = f"CRYSTAL\nPRIMVEC\n{vectors}\nPRIMCOORD\n{len(numbers)} 1\n{atoms}\n"
    text += "BEGIN_BLOCK_DATAGRID_3D\nion_density\nBEGIN_DATAGRID_3D_density\n"
    text += " ".join(str(n) for n in closed.shape) + f"\n0.0 0.0 0.0\n{vectors}\n"
    text += _rows(closed.transpose(2, 1, 0), 6, "%13.5E")
    return place(path, text + "END_DATAGRID_3D\nEND_BLOCK_DATAGRID_3D\n")


def write_chgcar(
    path: str | Path, density: Floats, cell_A: Floats, symbols: Sequence[str], positions_A: Floats
) -> Path:
    """Write a CHGCAR file: density times cell volume, first axis fastest."""
    cell = np.asarray(cell_A, dtype=float)
    kinds = list(dict.fromkeys(symbols))
    order = [k for kind in kinds for k, s in enumerate(symbols) if s == kind]
    fractional = np.asarray(positions_A, dtype=float)[order] @ np.linalg.inv(cell)
    lines = ["ion density by ionsieve", "1.0"]
    lines += [" ".join(f"{x:16.10f}" for x in row) for row in cell]
    lines += [" ".join(kinds), " ".join(str(list(symbols).count(k)) for k in kinds), "Direct"]
    lines += [" ".join(f"{x:14.10f}" for x in row - np.floor(row)) for row in fractional]
    lines += ["", " ".join(str(n) for n in density.shape)]
    body = _rows(density.transpose(2, 1, 0) * abs(np.linalg.det(cell)), 5, "%17.10E")
    return place(path, "\n".join(lines) + "\n" + body)
