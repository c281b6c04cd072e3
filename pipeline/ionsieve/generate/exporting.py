"""Writing generated candidates: CIF, POSCAR, extxyz, tables and records; equal input gives equal bytes."""

from __future__ import annotations

import csv
import io
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ionsieve.errors import InputError
from ionsieve.records.candidate import Candidate, Configuration, GeneratedCandidate
from ionsieve.records.structure import CrystalStructure

__all__ = ["CANDIDATE_COLUMNS", "candidate_row", "cif_text", "export", "export_folder", "extxyz_text", "poscar_text"]

CANDIDATE_COLUMNS = (
    "candidate_id",
    "prototype",
    "family",
    "mobile_ion",
    "target_formula",
    "realised_formula",
    "composition_error",
    "compensation",
    "compensation_reason",
    "n_atoms",
    "formula_units",
    "supercell",
    "supercell_of",
    "min_image_A",
    "configurations",
    "lowest_ewald_eV",
    "flags",
    "outcome",
    "reason",
)


def export(generated: Iterable[GeneratedCandidate], folder: str | Path) -> Path:
    """Write every structure as CIF, POSCAR (``.vasp``) and extxyz, every record as JSON, and the table of candidates.

    Files of candidates that an earlier export wrote here and this one does not make are removed; nothing else is.

    Returns
    -------
    Path
        The table, ``candidates.csv``.

    Raises
    ------
    InputError
        When `folder` is a file.
    """
    root = export_folder(folder)
    earlier = _files_of_earlier(root)
    written: set[Path] = set()

    def write(path: Path, text: str) -> None:
        _write(path, text)
        written.add(path)

    (root / "structures").mkdir(parents=True, exist_ok=True)
    (root / "records").mkdir(exist_ok=True)
    table = io.StringIO()
    writer = csv.DictWriter(table, CANDIDATE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for item in generated:
        for c in item.configurations:
            stem = root / "structures" / c.configuration_id
            write(stem.with_name(stem.name + ".cif"), cif_text(c, item.candidate))
            write(stem.with_name(stem.name + ".vasp"), poscar_text(c.structure, c.configuration_id))
            write(stem.with_name(stem.name + ".extxyz"), extxyz_text(c, item.candidate))
        write(root / "records" / f"{item.candidate.candidate_id}.json", item.to_json())
        writer.writerow(candidate_row(item.candidate, item.configurations))
    path = root / "candidates.csv"
    _write(path, table.getvalue())
    for stale in earlier - written:
        stale.unlink(missing_ok=True)
    return path


def export_folder(folder: str | Path) -> Path:
    """Return the folder as a path; to be asked before the work is done.

    Raises
    ------
    InputError
        When it, or a folder above it, is a file.
    """
    root = Path(folder)
    for path in (root, *root.parents):
        if path.exists():
            if not path.is_dir():
                raise InputError("this is a file, not a folder", where=str(path), key="--out", remedy="name a folder")
            break
    return root


def _files_of_earlier(root: Path) -> set[Path]:
    """Files of the candidates that the table of an earlier export in this folder lists."""
    table = root / "candidates.csv"
    if not table.is_file():
        return set()
    with table.open(encoding="utf-8", newline="") as stream:
        names = {row.get("candidate_id") or "" for row in csv.DictReader(stream)} - {""}
    own = re.compile(r"(.+)--c\d+\.(?:cif|vasp|extxyz)")
    structures = {p for p in (root / "structures").glob("*") if (m := own.fullmatch(p.name)) and m[1] in names}
    return structures | {p for p in (root / "records").glob("*.json") if p.stem in names}


def candidate_row(candidate: Candidate, configurations: tuple[Configuration, ...] = ()) -> dict[str, str]:
    """One row of the table, as text."""
    flags = sorted({f.value for f in candidate.flags} | {f.value for c in configurations for f in c.flags})
    energies = [c.ewald_energy_eV for c in configurations if c.ewald_energy_eV is not None]
    row = {k: getattr(candidate, k) for k in CANDIDATE_COLUMNS if hasattr(candidate, k)}
    row.update(
        supercell=" / ".join(" ".join(map(str, r)) for r in candidate.supercell),
        configurations=len(configurations),
        lowest_ewald_eV=f"{min(energies):.6f}" if energies else "",
        flags=" ".join(flags),
        outcome=candidate.outcome.value,
        min_image_A="" if candidate.min_image_A is None else f"{candidate.min_image_A:.4f}",
        composition_error="" if candidate.composition_error is None else f"{candidate.composition_error:.6f}",
    )
    return {k: str(v) for k, v in row.items()}


def cif_text(configuration: Configuration, candidate: Candidate) -> str:
    """CIF in P1 with oxidation states, the prototype's labels and the provenance as comments."""
    structure = configuration.structure
    cell = np.array(structure.lattice_A)
    lengths = np.linalg.norm(cell, axis=1)
    angles = [
        float(np.degrees(np.arccos(np.clip(cell[a] @ cell[b] / (lengths[a] * lengths[b]), -1, 1))))
        for a, b in ((1, 2), (0, 2), (0, 1))
    ]
    fractional = np.array(structure.positions_A) @ np.linalg.inv(cell)
    lines = [
        f"# {configuration.configuration_id}: {candidate.realised_formula}, {configuration.method} ordering",
        f"# prototype {candidate.prototype}: {_line(candidate.provenance.get('prototype', {}).get('source', ''))}",
        f"# compensation: {candidate.compensation}; {_line(candidate.compensation_reason)}",
        f"# candidate sha256 {candidate.provenance.get('spec_sha256', '')}, seed {configuration.seed}",
        f"data_{configuration.configuration_id}",
        *[f"_cell_length_{k}   {v:.8f}" for k, v in zip("abc", lengths, strict=True)],
        *[f"_cell_angle_{k}   {v:.8f}" for k, v in zip(("alpha", "beta", "gamma"), angles, strict=True)],
        "_space_group_name_H-M_alt   'P 1'",
        "_space_group_IT_number   1",
        "loop_",
        "_space_group_symop_operation_xyz",
        "'x, y, z'",
    ]
    kinds = list(dict.fromkeys(zip(structure.symbols, structure.oxidation_states, strict=True)))
    lines += ["loop_", "_atom_type_symbol", "_atom_type_oxidation_number", *[f"{_ion(s, q)} {q:g}" for s, q in kinds]]
    lines += [
        "loop_",
        "_atom_site_label",
        "_atom_site_type_symbol",
        "_atom_site_description",
        "_atom_site_fract_x",
        "_atom_site_fract_y",
        "_atom_site_fract_z",
        "_atom_site_occupancy",
    ]
    for k, (symbol, q, label, f) in enumerate(
        zip(structure.symbols, structure.oxidation_states, structure.site_labels, fractional, strict=True)
    ):
        lines.append(f"{symbol}{k + 1} {_ion(symbol, q)} {label} {f[0]:.9f} {f[1]:.9f} {f[2]:.9f} 1")
    return "\n".join(lines) + "\n"


def poscar_text(structure: CrystalStructure, title: str) -> str:
    """POSCAR with atoms grouped by element, Cartesian."""
    elements = list(dict.fromkeys(structure.symbols))
    order = [i for e in elements for i, s in enumerate(structure.symbols) if s == e]
    lines = [title, "1.0", *[" ".join(f"{x:.10f}" for x in row) for row in structure.lattice_A]]
    lines += [" ".join(elements), " ".join(str(structure.symbols.count(e)) for e in elements), "Cartesian"]
    lines += [" ".join(f"{x:.10f}" for x in structure.positions_A[i]) for i in order]
    return "\n".join(lines) + "\n"


def extxyz_text(configuration: Configuration, candidate: Candidate) -> str:
    """Extended XYZ with formal charges and site labels."""
    structure = configuration.structure
    lattice = " ".join(f"{x:.10f}" for row in structure.lattice_A for x in row)
    head = (
        f'Lattice="{lattice}" Properties=species:S:1:pos:R:3:oxidation_state:R:1:site_label:S:1 pbc="T T T" '
        f"configuration_id={configuration.configuration_id} formula={candidate.realised_formula} "
        f"ewald_energy_eV={configuration.ewald_energy_eV}"
    )
    rows = [
        f"{s} {p[0]:.10f} {p[1]:.10f} {p[2]:.10f} {q:g} {label}"
        for s, p, q, label in zip(
            structure.symbols, structure.positions_A, structure.oxidation_states, structure.site_labels, strict=True
        )
    ]
    return "\n".join([str(len(structure)), head, *rows]) + "\n"


def _ion(symbol: str, charge: float) -> str:
    n = abs(round(charge))
    return f"{symbol}{'' if n == 1 else n}{'+' if charge > 0 else '-'}"


def _line(text: str) -> str:
    return " ".join(str(text).split())


def _write(path: Path, text: str) -> None:
    """Write by temporary file and rename, so that a file is whole or absent."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.umask(mask := os.umask(0))  # mkstemp makes files for their owner alone
        Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
