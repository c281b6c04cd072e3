"""What leaves the house: tables, structures, inputs for other codes, archives for notebooks and repositories.

`EXPORTS` names every format and says what it is; `export` writes one. Libraries load when a format is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ionsieve.errors import InputError, nearest

if TYPE_CHECKING:
    from ionsieve.report.source import CampaignResults

__all__ = ["EXPORTS", "Export", "export"]


@dataclass(frozen=True)
class Export:
    """One format: its name on the command line, what it is, where it goes, and which function writes it."""

    name: str
    meaning: str
    target: str
    home: str
    winners_only: bool = False


EXPORTS: dict[str, Export] = {
    e.name: e
    for e in (
        Export("csv", "the ranking, one row a candidate", "ranking.csv", "tables:write_csv"),
        Export("json", "all records, with their JSON schema beside it", "results.json", "tables:write_json"),
        Export("parquet", "ranking, measurements and runs as Parquet tables", "parquet", "tables:write_parquet"),
        Export("sqlite", "the same tables in one SQLite file", "results.sqlite", "tables:write_sqlite"),
        Export("cif", "structures as CIF, numbered by rank", "cif", "structures:write_cif"),
        Export("poscar", "structures as POSCAR, numbered by rank", "poscar", "structures:write_poscar"),
        Export("entries", "pymatgen ComputedStructureEntry list (JSON)", "entries.json", "structures:write_entries"),
        Export("ase", "ASE database with the ranking as key-value pairs", "structures.db", "structures:write_ase"),
        Export("vasp", "inputs for a DFT check of the winners with VASP", "vasp", "inputs:write_vasp", True),
        Export("qe", "inputs for a DFT check with Quantum ESPRESSO", "qe", "inputs:write_qe", True),
        Export("lammps", "inputs for longer dynamics with LAMMPS", "lammps", "inputs:write_lammps", True),
        Export("ro-crate", "research-object crate of tables, structures and report", "ro-crate", "crates:write_crate"),
        Export("eln", "electronic-lab-notebook archive, one entry a winner", "results.eln", "crates:write_eln", True),
    )
}


def export(
    results: CampaignResults,
    name: str,
    path: str | Path,
    *,
    top: int | None = None,
    candidates: Sequence[str] = (),
) -> list[Path]:
    """Write one format; return the files or folders made.

    Parameters
    ----------
    results
        Of a campaign.
    name
        A key of `EXPORTS`.
    path
        File or folder to write.
    top
        Only the first so many ranked candidates; for inputs and notebooks the ranking's top k when not given.
    candidates
        Only these ids (instead of `top`).

    Raises
    ------
    InputError
        When the format or a candidate is unknown, or nothing can be written.
    SetupError
        When a library that the format needs is not installed.
    """
    from ionsieve.report.exports.select import choose

    if name not in EXPORTS:
        close = nearest(name, EXPORTS)
        raise InputError(
            f"no export is called {name!r}",
            key="--to",
            remedy=f"did you mean {close!r}?" if close else f"known: {', '.join(EXPORTS)}",
        )
    found = EXPORTS[name]
    module, function = found.home.split(":")
    if top is None and found.winners_only and not candidates:
        top = results.ranking.top_k
    chosen = choose(results, top=top, candidates=candidates)
    written: list[Path] = getattr(import_module(f"{__name__}.{module}"), function)(results, chosen, Path(path))
    return written
