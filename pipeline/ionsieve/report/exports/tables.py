"""Tables: CSV, JSON with schema, Parquet with units in the column metadata, SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ionsieve import __version__
from ionsieve.errors import SetupError
from ionsieve.quantities import QUANTITIES
from ionsieve.ranking import table, to_csv
from ionsieve.records import (
    Candidate,
    CandidateEstimate,
    Configuration,
    Estimate,
    Measurement,
    Ranking,
    RelaxedConfiguration,
    RunRecord,
    StaticDescriptors,
)
from ionsieve.report.exports.select import Chosen
from ionsieve.report.source import CampaignResults
from ionsieve.store.folder import write_file

__all__ = ["json_schema", "tables", "write_csv", "write_json", "write_parquet", "write_sqlite"]

Cell = float | int | str | None
#: Raised when a key of the JSON export changes its meaning.
FORMAT_VERSION = 1

_RECORDS: dict[str, Any] = {
    "candidates": Candidate,
    "configurations": Configuration,
    "descriptors": StaticDescriptors,
    "relaxed": RelaxedConfiguration,
    "runs": RunRecord,
    "measurements": Measurement,
    "estimates": CandidateEstimate,
}


def write_csv(results: CampaignResults, chosen: Sequence[Chosen], path: Path) -> list[Path]:
    """Write the ranking of the chosen candidates; of all, the bytes are those of ``ionsieve rank --csv``."""
    ids = {c.candidate.candidate_id for c in chosen}
    rows = tuple(row for row in results.ranking.rows if row.candidate_id in ids)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, to_csv(results.ranking.model_copy(update={"rows": rows})))
    return [path]


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the JSON export."""
    parts: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for name, kind in {**_RECORDS, "ranking": Ranking}.items():
        schema = kind.model_json_schema(mode="serialization", ref_template="#/$defs/{model}")
        definitions.update(schema.pop("$defs", {}))
        definitions[kind.__name__] = schema
        reference = {"$ref": f"#/$defs/{kind.__name__}"}
        parts[name] = reference if name == "ranking" else {"type": "array", "items": reference}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Results of an ionsieve campaign",
        "type": "object",
        "required": ["format", "version", "campaign", "ranking", *_RECORDS],
        "properties": {
            "format": {"const": "ionsieve-results"},
            "version": {"const": FORMAT_VERSION},
            "campaign": {"type": "object"},
            "versions": {"type": "object", "additionalProperties": {"type": "string"}},
            "report_versions": {"type": "object", "additionalProperties": {"type": "string"}},
            "quantities": {"type": "object"},
            **parts,
        },
        "$defs": dict(sorted(definitions.items())),
    }


def write_json(results: CampaignResults, chosen: Sequence[Chosen], path: Path) -> list[Path]:
    """Write the records of the chosen candidates, and ``*.schema.json`` beside them."""
    ids = {c.candidate.candidate_id for c in chosen}
    configurations = {c.configuration_id for c in results.configurations if c.candidate_id in ids}

    def mine(record: Any) -> bool:
        run = getattr(record, "run", None)
        name = getattr(record, "candidate_id", None) or getattr(run, "candidate_id", None)
        return name in ids if name else record.configuration_id in configurations

    ranking = results.ranking.model_copy(
        update={"rows": tuple(row for row in results.ranking.rows if row.candidate_id in ids)}
    )
    data = {
        "format": "ionsieve-results",
        "version": FORMAT_VERSION,
        "generator": f"ionsieve {__version__}",
        "campaign": dict(results.campaign),
        "versions": dict(results.versions),
        "report_versions": dict(results.report_versions),
        "quantities": {
            key: {"symbol": q.symbol, "unit": q.unit, "meaning": q.meaning} for key, q in QUANTITIES.items()
        },
        "ranking": ranking.model_dump(mode="json"),
        **{
            name: [record.model_dump(mode="json") for record in getattr(results, name) if mine(record)]
            for name in _RECORDS
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n")
    schema = path.with_suffix(".schema.json")
    write_file(schema, json.dumps(json_schema(), ensure_ascii=False, indent=1) + "\n")
    return [path, schema]


def _estimate(name: str, unit: str, estimate: Estimate) -> dict[str, Cell]:
    column = f"{name}_{unit}" if unit else name
    return {
        column: estimate.value,
        f"{column}_low68": estimate.low68,
        f"{column}_high68": estimate.high68,
        f"{column}_low95": estimate.low95,
        f"{column}_high95": estimate.high95,
        f"{name}_verdict": estimate.kind.value,
    }


def _measurement(m: Measurement) -> dict[str, Cell]:
    return {
        "run_id": m.run_id,
        "candidate_id": m.candidate_id,
        "configuration_id": m.configuration_id,
        "temperature_K": m.temperature_K,
        "length_ps": m.length_ps,
        "n_mobile": m.n_mobile,
        "volume_A3": m.volume_A3,
        **_estimate("tracer_diffusivity", "cm2_per_s", m.tracer_diffusivity),
        **_estimate("conductivity", "S_per_cm", m.conductivity),
        **_estimate("charge_conductivity", "S_per_cm", m.charge_conductivity),
        **_estimate("inverse_haven_ratio", "", m.inverse_haven_ratio),
        "hops": m.hops,
        "n_eff": m.n_eff,
        "log_log_slope": m.log_log_slope,
        "lindemann": m.lindemann,
        "outcome": m.outcome.value,
        "reason": m.reason,
        "flags": " ".join(f.value for f in m.flags),
    }


def _run(r: RunRecord) -> dict[str, Cell]:
    s = r.summary
    return {
        "run_id": r.run.run_id,
        "candidate_id": r.run.candidate_id,
        "configuration_id": r.run.configuration_id,
        "temperature_K": r.run.temperature_K,
        "seed": r.run.seed,
        "replica": r.run.replica,
        "potential": r.potential.name,
        "potential_sha256": r.potential.sha256,
        "engine": r.engine,
        "integrator": r.integrator,
        "n_atoms": s.n_atoms if s else None,
        "steps": s.steps if s else None,
        "dt_fs": s.dt_fs if s else None,
        "length_ps": s.length_ps if s else None,
        "mean_temperature_K": s.mean_temperature_K if s else None,
        "force_disagreement_eV_per_A": s.force_disagreement_eV_per_A if s else None,
        "max_force_disagreement_eV_per_A": s.max_force_disagreement_eV_per_A if s else None,
        "relative_error_D": s.relative_error_D if s else None,
        "trajectory": r.trajectory.path if r.trajectory else None,
        "trajectory_sha256": r.trajectory.sha256 if r.trajectory else None,
        "outcome": r.outcome.value,
        "reason": r.reason,
    }


def tables(results: CampaignResults, chosen: Sequence[Chosen]) -> dict[str, list[dict[str, Cell]]]:
    """Return the tables of the Parquet and SQLite exports: ranking, measurements, runs, quantities."""
    ids = {c.candidate.candidate_id for c in chosen}
    return {
        "ranking": [row for row in table(results.ranking) if row["candidate_id"] in ids],
        "measurements": [_measurement(m) for m in results.measurements if m.candidate_id in ids],
        "runs": [_run(r) for r in results.runs if r.run.candidate_id in ids],
        "quantities": [
            {"key": key, "symbol": q.symbol, "unit": q.unit, "meaning": q.meaning} for key, q in QUANTITIES.items()
        ],
    }


def _kind(values: list[Cell]) -> type:
    found = {type(v) for v in values if v is not None}
    return str if str in found or not found else float if float in found else int


_SUFFIXES = (("_S_per_cm", "S/cm"), ("_cm2_per_s", "cm²/s"), ("_eV", "eV"), ("_A3", "Å³"), ("_A", "Å"), ("_K", "K"))


def _unit(column: str) -> str:
    base = column
    for part in ("_low68", "_high68", "_low95", "_high95"):
        base = base.removesuffix(part)
    units = (*_SUFFIXES, ("_ps", "ps"), ("_fs", "fs"))
    return next((unit for suffix, unit in units if base.endswith(suffix)), "")


def write_parquet(results: CampaignResults, chosen: Sequence[Chosen], path: Path) -> list[Path]:
    """Write one Parquet file a table into the folder `path`; each column's metadata names its unit.

    Raises
    ------
    SetupError
        When pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise SetupError(
            "Parquet needs pyarrow", cause=str(error), remedy="pip install 'ionsieve[tables]', or --to sqlite"
        ) from error
    kinds: dict[type, Callable[[], Any]] = {str: pa.string, float: pa.float64, int: pa.int64}
    path.mkdir(parents=True, exist_ok=True)
    written = []
    for name, rows in tables(results, chosen).items():
        columns = list(rows[0]) if rows else []
        fields, arrays = [], []
        for column in columns:
            values = [row[column] for row in rows]
            kind = _kind(values)
            data = [None if v is None else kind(v) for v in values]
            arrays.append(pa.array(data, type=kinds[kind]()))
            fields.append(pa.field(column, kinds[kind](), metadata={"unit": _unit(column)}))
        file = path / f"{name}.parquet"
        pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), file)
        written.append(file)
    return written


def write_sqlite(results: CampaignResults, chosen: Sequence[Chosen], path: Path) -> list[Path]:
    """Write the tables into one SQLite file, replacing an earlier one."""
    names = {str: "TEXT", float: "REAL", int: "INTEGER"}
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.tmp")
    fresh.unlink(missing_ok=True)
    connection = sqlite3.connect(fresh)
    try:
        with connection:
            for name, rows in tables(results, chosen).items():
                if not rows:
                    continue
                columns = list(rows[0])
                declared = ", ".join(f'"{c}" {names[_kind([row[c] for row in rows])]}' for c in columns)
                connection.execute(f'CREATE TABLE "{name}" ({declared})')
                marks = ", ".join("?" for _ in columns)
                connection.executemany(
                    f'INSERT INTO "{name}" VALUES ({marks})',  # noqa: S608  our own table names
                    [tuple(row[c] for c in columns) for row in rows],
                )
    finally:
        connection.close()
    fresh.replace(path)
    return [path]
