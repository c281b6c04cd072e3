"""The ranking as plain rows and as CSV: one row a candidate, one column a number, units in the header."""

from __future__ import annotations

import csv
import io

from ionsieve.records import Estimate, Ranking

__all__ = ["table", "to_csv"]

Cell = float | int | str | None


def _estimate(name: str, unit: str, estimate: Estimate | None) -> dict[str, Cell]:
    column = f"{name}_{unit}" if unit else name
    cells: dict[str, Cell] = {column: estimate.value if estimate else None}
    for part in ("low68", "high68", "low95", "high95"):
        cells[f"{column}_{part}"] = getattr(estimate, part) if estimate else None
    cells[f"{name}_verdict"] = estimate.kind.value if estimate else None
    return cells


def table(ranking: Ranking) -> list[dict[str, Cell]]:
    """Return one plain row a candidate, all with the same keys in the same order."""
    further = sorted({key for row in ranking.rows for key in row.columns})
    rows: list[dict[str, Cell]] = []
    for row in ranking.rows:
        cells: dict[str, Cell] = {
            "section": row.section,
            "rank": row.rank,
            "candidate_id": row.candidate_id,
            "formula": row.formula,
            "family": row.family,
            "mobile_ion": row.mobile_ion,
            "temperature_K": ranking.target_temperature_K,
            **_estimate("conductivity", "S_per_cm", row.conductivity),
            **_estimate("activation_energy", "eV", row.activation_energy),
            **_estimate("bottleneck_radius", "A", row.bottleneck),
            **_estimate("expected_rank", "", row.expected_rank),
            f"probability_top_{ranking.top_k}": row.probability_top_k,
            **{
                f"probability_above_{t:g}_S_per_cm": row.probability_targets.get(f"{t:g}")
                for t in ranking.targets_S_per_cm
            },
            "score": row.score,
            "pareto_front": row.pareto_front,
            **{f"imported_{key}" if key in ranking.imported_columns else key: row.columns.get(key) for key in further},
            "flags": " ".join(flag.value for flag in row.flags),
            "outcome": row.outcome.value,
            "reason": row.reason,
        }
        rows.append(cells)
    return rows


def to_csv(ranking: Ranking) -> str:
    """Return the table as CSV with a header line; empty cells are unknown. Equal rankings give equal bytes."""
    rows = table(ranking)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    if rows:
        writer.writerow(rows[0])
        writer.writerows([_text(value) for value in row.values()] for row in rows)
    return stream.getvalue()


def _text(value: Cell) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else str(value)
