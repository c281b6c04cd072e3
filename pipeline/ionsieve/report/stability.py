"""Stability columns of the winners: computed on demand with the campaign's potential, kept in the folder as a table.

``stability.csv`` has one row a candidate; the report shows its columns as computed, with the potential's name, and the
table is ranked with them: hard limits, weights and Pareto fronts on stability count what the file says.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ionsieve.ranking.imported import read_columns
from ionsieve.ranking.references import competing
from ionsieve.ranking.stability import METAL_SHEAR_GPA, Phase, above_phases, elastic_moduli, relax_fully
from ionsieve.report.exports.select import Chosen
from ionsieve.report.exports.structures import with_structures

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

__all__ = ["COLUMNS", "FILE", "merged", "read", "sources", "stability_rows", "to_csv"]

FILE = "stability.csv"
Cell = float | str | None

#: Column -> what it is; the potential's name is added where it is shown.
COLUMNS: dict[str, str] = {
    "energy_above_hull": "energy above the competing phases, eV/atom; a lower bound, since the reference set is small",
    "competing_phases": "mixture of phases that it was compared with",
    "bulk_modulus": "bulk modulus, GPa (Hill)",
    "shear_modulus": "shear modulus, GPa (Hill)",
    "shear_modulus_error": "half the distance of the Voigt and Reuss bounds, GPa",
    "shear_over_guide": "shear modulus over twice that of the metal (Monroe and Newman): above 1 is the dendrite guide",
    "linear_expansion_per_K": "linear thermal expansion, 1/K, from NPT dynamics at several temperatures",
    "linear_expansion_error_per_K": "its standard error, 1/K",
}


def _counts(atoms: Atoms) -> dict[str, int]:
    symbols = atoms.get_chemical_symbols()
    return {s: symbols.count(s) for s in sorted(set(symbols))}


def stability_rows(
    chosen: Sequence[Chosen],
    calculator: Calculator,
    *,
    elastic: bool = True,
    fmax_eV_per_A: float = 0.03,
    max_steps: int = 400,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, dict[str, Cell]]:
    """Return the columns by candidate id; what cannot be said is None, with the reason under ``competing_phases``.

    Parameters
    ----------
    chosen
        Candidates with structures; each is relaxed with its cell first.
    calculator
        ASE calculator of the campaign's potential.
    elastic
        Whether to strain the cells too: twelve relaxations each.
    tell
        Called with a line before each piece of work.
    """
    pairs = with_structures(chosen)
    elements = {s for _, crystal in pairs for s in crystal.symbols}
    phases: list[Phase] = []
    for name, start in competing(elements).items():
        tell(f"reference phase {name}")
        relaxed, _ = relax_fully(start, calculator, fmax_eV_per_A=fmax_eV_per_A, max_steps=max_steps)
        phases.append(Phase(name, _counts(relaxed), float(relaxed.get_potential_energy())))
    rows: dict[str, dict[str, Cell]] = {}
    for one, crystal in pairs:
        name = one.candidate.candidate_id
        tell(f"candidate {name}")
        atoms, converged = relax_fully(crystal.to_ase(), calculator, fmax_eV_per_A=fmax_eV_per_A, max_steps=max_steps)
        own = Phase(name, _counts(atoms), float(atoms.get_potential_energy()))
        found = above_phases(own, phases)
        row: dict[str, Cell] = dict.fromkeys(COLUMNS)
        if found is None:
            row["competing_phases"] = "the reference phases do not give this composition"
        else:
            row["energy_above_hull"] = float(f"{found[0]:.4f}")
            row["competing_phases"] = " + ".join(f"{amount:.3g} {phase}" for phase, amount in found[1].items())
        if elastic and not converged:
            tell(f"no elastic moduli of {name}: its cell did not come to rest in {max_steps} steps")
        if elastic and converged:
            moduli = elastic_moduli(atoms, calculator, fmax_eV_per_A=fmax_eV_per_A, max_steps=max_steps // 4)
            row["bulk_modulus"] = float(f"{moduli.bulk_GPa:.2f}")
            row["shear_modulus"] = float(f"{moduli.shear_GPa:.2f}")
            row["shear_modulus_error"] = float(f"{moduli.shear_error_GPa:.2f}")
            metal = METAL_SHEAR_GPA.get(one.candidate.mobile_ion)
            row["shear_over_guide"] = float(f"{moduli.shear_GPa / (2 * metal):.2f}") if metal else None
        rows[name] = row
    return rows


def to_csv(rows: Mapping[str, Mapping[str, Cell]]) -> str:
    """Return the table; it can be named under ``ranking.columns_csv``."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["candidate_id", *COLUMNS])
    for name, row in sorted(rows.items()):
        writer.writerow([name, *("" if row.get(c) is None else row[c] for c in COLUMNS)])
    return stream.getvalue()


def read(file: Path) -> dict[str, dict[str, Cell]]:
    """Return what a stability table knows, by candidate id; nothing when it has not been made."""
    rows = read_columns(file).rows if file.exists() else {}
    return {key: {name: value for name, value in row.items() if value is not None} for key, row in rows.items()}


def sources(rows: Mapping[str, Mapping[str, Cell]], potential: str) -> dict[str, str]:
    """Return what each column of the rows is and which potential it was computed with."""
    names = {name for row in rows.values() for name in row}
    return {
        name: f"{told}; computed with {potential or 'the potential'}" for name, told in COLUMNS.items() if name in names
    }


def merged(file: Path, rows: Mapping[str, Mapping[str, Cell]]) -> dict[str, dict[str, Cell]]:
    """Return the table with new rows; what an earlier command computed of the same candidate and this one not stays."""
    table = read(file)
    for key, row in rows.items():
        table[key] = table.get(key, {}) | {name: value for name, value in row.items() if value is not None}
    return table
