"""Stability columns of the winners: computed on demand with the campaign's potential, kept in the folder as a table.

``stability.csv`` has one row a candidate; the report shows its columns as computed, with the potential's name. It
changes no order: to exclude by it, name the file under ``ranking.columns_csv`` and set a hard limit.
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
from ionsieve.records import Ranking
from ionsieve.report.exports.select import Chosen
from ionsieve.report.exports.structures import with_structures

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

__all__ = ["COLUMNS", "FILE", "add_columns", "stability_rows", "to_csv"]

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
    max_steps: int = 200,
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
        if elastic and converged:
            moduli = elastic_moduli(atoms, calculator, fmax_eV_per_A=fmax_eV_per_A, max_steps=max_steps // 2)
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


def add_columns(ranking: Ranking, file: Path, potential: str) -> Ranking:
    """Return the ranking with the columns of a stability table beside its numbers; the order stays."""
    table = read_columns(file)
    rows = tuple(
        row.model_copy(update={"columns": {**row.columns, **table.of(row.candidate_id, row.formula)}})
        if row.candidate_id in table.rows
        else row
        for row in ranking.rows
    )
    sources = {name: f"{COLUMNS.get(name, name)}; computed with {potential or 'the potential'}" for name in table.names}
    return ranking.model_copy(update={"rows": rows, "column_sources": {**ranking.column_sources, **sources}})
