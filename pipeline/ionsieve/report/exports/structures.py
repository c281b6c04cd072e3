"""Structures: CIF, POSCAR, pymatgen entries, ASE database. Relaxed where there is a relaxed cell, and said so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ionsieve.errors import InputError
from ionsieve.records import CrystalStructure
from ionsieve.report.exports.select import Chosen, stem
from ionsieve.report.source import CampaignResults
from ionsieve.store.folder import write_file

__all__ = ["provenance", "with_structures", "write_ase", "write_cif", "write_entries", "write_poscar"]


def with_structures(chosen: Sequence[Chosen]) -> list[tuple[Chosen, CrystalStructure]]:
    """Return the chosen candidates that have a structure.

    Raises
    ------
    InputError
        When none has.
    """
    found = [(c, c.structure) for c in chosen if c.structure is not None]
    if not found:
        raise InputError(
            "none of these candidates has a structure",
            found=", ".join(c.candidate.candidate_id for c in chosen[:5]),
            cause="they were refused before a structure was made, or the campaign has not reached them",
            remedy="`ionsieve rank FOLDER` shows the reasons",
        )
    return found


def provenance(results: CampaignResults, chosen: Chosen) -> dict[str, str | float | int | None]:
    """Return what a structure's file says about where it comes from: plain keys, units in the names."""
    row = chosen.row
    return {
        "candidate_id": chosen.candidate.candidate_id,
        "rank": row.rank,
        "section": row.section,
        "formula": row.formula,
        "campaign": results.name,
        "prototype": chosen.candidate.prototype,
        "relaxed": str(chosen.relaxed),
        "potential": results.potential.name if results.potential else "",
        "potential_sha256": results.potential.sha256 if results.potential else "",
        "temperature_K": results.ranking.target_temperature_K,
        "conductivity_S_per_cm": row.conductivity.value,
        "conductivity_low68_S_per_cm": row.conductivity.low68,
        "conductivity_high68_S_per_cm": row.conductivity.high68,
        "conductivity_verdict": row.conductivity.kind.value,
        "activation_energy_eV": row.activation_energy.value,
        "flags": " ".join(f.value for f in row.flags),
    }


def write_cif(results: CampaignResults, chosen: Sequence[Chosen], path: Path) -> list[Path]:
    """Write one CIF a candidate into the folder `path`; provenance stands in comments at the head."""
    path.mkdir(parents=True, exist_ok=True)
    written = []
    for one, crystal in with_structures(chosen):
        structure = crystal.to_pymatgen()
        structure.remove_oxidation_states()
        structure.relabel_sites()  # labels of a CIF are unique; ours name the prototype's site
        head = "".join(f"# {key}: {value}\n" for key, value in provenance(results, one).items() if value is not None)
        file = path / f"{stem(one)}.cif"
        write_file(file, head + structure.to(fmt="cif"))
        written.append(file)
    return written


def write_poscar(results: CampaignResults, chosen: Sequence[Chosen], path: Path) -> list[Path]:
    """Write one POSCAR a candidate, species in blocks as VASP wants them."""
    from pymatgen.io.vasp import Poscar

    path.mkdir(parents=True, exist_ok=True)
    written = []
    for one, crystal in with_structures(chosen):
        structure = crystal.to_pymatgen()
        structure.remove_oxidation_states()
        told = "relaxed" if one.relaxed else "generated"
        comment = f"{one.row.formula} {told} by ionsieve campaign {results.name} {one.candidate.candidate_id}"
        file = path / f"{stem(one)}.vasp"
        write_file(file, Poscar(structure, comment=comment, sort_structure=True).get_str())
        written.append(file)
    return written


def write_entries(results: CampaignResults, chosen: Sequence[Chosen], path: Path) -> list[Path]:
    """Write a list of pymatgen ``ComputedStructureEntry`` as JSON; only relaxed cells have an energy.

    Raises
    ------
    InputError
        When no candidate was relaxed.
    """
    from monty.json import MontyEncoder
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    entries = []
    for one, crystal in with_structures(chosen):
        if one.energy_eV is None:
            continue
        structure = crystal.to_pymatgen()
        structure.remove_oxidation_states()
        entries.append(
            ComputedStructureEntry(
                structure,
                one.energy_eV,
                entry_id=one.candidate.candidate_id,
                parameters={"potential": results.potential.name if results.potential else ""},
                data=provenance(results, one),
            )
        )
    if not entries:
        raise InputError(
            "none of these candidates has an energy",
            cause="an entry needs the energy of a relaxed cell",
            remedy="export structures with --to cif",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(entries, cls=MontyEncoder) + "\n")
    return [path]


def write_ase(results: CampaignResults, chosen: Sequence[Chosen], path: Path) -> list[Path]:
    """Write an ASE database (SQLite), one row a candidate; numbers as key-value pairs, the rest under ``data``."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.db import connect

    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with connect(path, type="db") as database:
        for one, crystal in with_structures(chosen):
            atoms = crystal.to_ase()
            if one.energy_eV is not None:
                atoms.calc = SinglePointCalculator(atoms, energy=one.energy_eV)
            told = provenance(results, one)
            # ASE refuses key-value strings that could be read as numbers, formulas among them stay under data
            pairs: dict[str, Any] = {
                key: value
                for key, value in told.items()
                if isinstance(value, (int, float)) or key in ("section", "relaxed")
            }
            pairs["relaxed"] = one.relaxed
            database.write(atoms, key_value_pairs=pairs, data=told)
    return [path]
