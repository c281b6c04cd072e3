"""Columns that the potential cannot give (band gap, window, moisture ...), read from the user's CSV.

They are shown as imported, never as computed, and may be used in hard limits.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ionsieve.errors import InputError, Problems, nearest
from ionsieve.ranking.settings import COMPUTED, OBJECTIVES, HardLimit

__all__ = ["ImportedColumns", "check_limits", "read_columns"]

KEYS = ("candidate_id", "formula")
#: Measured with an interval: a bare number of the user's cannot stand for it.
_MEASURED = ("conductivity", "activation_energy", "bottleneck_radius")


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

    def over(
        self, computed: Mapping[str, float | str | None], candidate_id: str, formula: str
    ) -> dict[str, float | str | None]:
        """Return the computed columns of one candidate with the file's laid over; where it is silent they stay."""
        own = self.of(candidate_id, formula)
        return {**own, **computed, **{name: value for name, value in own.items() if value is not None}}


def check_limits(limits: Sequence[HardLimit], imported: ImportedColumns, also: Sequence[str] = ()) -> None:
    """Refuse hard limits on a column that no table will have, or that holds no numbers.

    Parameters
    ----------
    limits
        Of the ranking's settings.
    imported
        The user's own columns.
    also
        Names of further computed columns.

    Raises
    ------
    InputError
        With every such limit and the nearest name.
    """
    problems = Problems()
    known = [*OBJECTIVES, *COMPUTED, *imported.names, *also]
    for index, limit in enumerate(limits):
        key = f"ranking.hard_limits[{index}].column"
        if limit.column not in known:
            close = nearest(limit.column, known)
            problems.add(
                f"no column is called {limit.column!r}",
                key=key,
                expected=f"one of {', '.join(known)}",
                remedy=f"did you mean {close!r}?" if close else "name the CSV that has it under ranking.columns_csv",
            )
        elif limit.column in imported.names and limit.column not in (*OBJECTIVES, *COMPUTED, *also):
            values = [row.get(limit.column) for row in imported.rows.values()]
            if not any(isinstance(value, float) for value in values):
                problems.add(
                    f"the column {limit.column!r} holds no number",
                    where=imported.source,
                    key=key,
                    remedy="a hard limit needs numbers",
                )
    problems.throw()


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
        When the file cannot be read, has no key column, has a column of the name of a measured property, or names a
        candidate twice.
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
            key="ranking.columns_csv",
            found=str(file),
            cause=getattr(error, "strerror", None) or str(error),
            remedy="correct the path, or leave the key out",
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
    for name in _MEASURED:
        if name in names:
            raise InputError(
                f"{name} is measured here and cannot be imported", where=f"{file}:1", key=name,
                remedy=f"give the column another name, for example {name}_literature",
            )  # fmt: skip
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
