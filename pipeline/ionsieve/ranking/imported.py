"""Columns that the potential cannot give (band gap, window, moisture ...), read from the user's CSV.

They are shown as imported, never as computed, and may be used in hard limits.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ionsieve.errors import InputError

__all__ = ["ImportedColumns", "read_columns"]

KEYS = ("candidate_id", "formula")


@dataclass(frozen=True)
class ImportedColumns:
    """Values by candidate id or formula.

    Attributes
    ----------
    names
        Columns in the file's order.
    rows
        ``{candidate_id or formula: {column: value}}``; numbers where the text is one, else the text.
    source
        The file's path as given.
    """

    names: tuple[str, ...] = ()
    rows: Mapping[str, Mapping[str, float | str | None]] = field(default_factory=dict)
    source: str = ""

    def of(self, candidate_id: str, formula: str) -> dict[str, float | str | None]:
        """Return the columns of one candidate, by its id first, then by its formula; None where the file is silent."""
        row = self.rows.get(candidate_id) or self.rows.get(formula) or {}
        return {name: row.get(name) for name in self.names}


def _value(text: str | None) -> float | str | None:
    if text is None or not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        return text.strip()
    return number if abs(number) != float("inf") and number == number else text.strip()


def read_columns(path: str | Path) -> ImportedColumns:
    """Read a CSV with a ``candidate_id`` or ``formula`` column.

    Raises
    ------
    InputError
        When the file cannot be read, has no key column, or names a candidate twice.
    """
    file = Path(path)
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            header = [name.strip() for name in reader.fieldnames or []]
            lines = [{k.strip(): v for k, v in row.items() if isinstance(k, str)} for row in reader]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "the table of your own columns cannot be read",
            where=str(file),
            cause=str(error),
            remedy="check ranking.columns_csv",
        ) from error
    key = next((k for k in KEYS if k in header), None)
    if key is None:
        raise InputError(
            "no column says which candidate a row belongs to",
            where=f"{file}:1",
            found=", ".join(header) or "an empty file",
            expected="a column candidate_id or formula",
        )
    names = tuple(name for name in header if name not in KEYS)
    rows: dict[str, dict[str, float | str | None]] = {}
    for number, line in enumerate(lines, start=2):
        who = (line.get(key) or "").strip()
        if not who:
            raise InputError(f"the {key} is empty", where=f"{file}:{number}", expected=f"a {key} in every row")
        if who in rows:
            raise InputError(
                f"{key} {who} stands in the file twice", where=f"{file}:{number}", remedy="keep one of the rows"
            )
        rows[who] = {name: _value(line.get(name)) for name in names}
    return ImportedColumns(names=names, rows=rows, source=str(path))
