"""Records and folders of older versions, brought up to date when they are read.

Files are never rewritten for a new schema: an address and its digest stay what they were. A record's JSON is carried
through the steps registered here before it is validated; a folder's layout is migrated once, when it is opened for
writing.

To change a record's schema: raise its `SCHEMA`, and register ``(record name, old, old + 1): function`` in `RECORDS`. To
change the folder's layout: raise `LAYOUT` and register ``old: function`` in `FOLDERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ionsieve.errors import DataError

__all__ = ["FOLDERS", "LAYOUT", "RECORDS", "migrate_record", "plan_folder"]

Migration = Callable[[dict[str, Any]], dict[str, Any]]
FolderMigration = Callable[[Path], None]

LAYOUT = 1
"""Version of the folder's layout that this program writes."""

RECORDS: dict[tuple[str, int, int], Migration] = {}
FOLDERS: dict[int, FolderMigration] = {}


def migrate_record(
    data: dict[str, Any],
    *,
    name: str,
    schema: int,
    where: str = "",
    steps: Mapping[tuple[str, int, int], Migration] | None = None,
) -> dict[str, Any]:
    """Return `data` as a record `name` of version `schema`.

    Parameters
    ----------
    data
        JSON of the record with its header (``record``, ``schema``).
    name, schema
        What the reader wants.
    where
        The file, for the message.
    steps
        Registered steps; `RECORDS` when None.

    Raises
    ------
    DataError
        When the record is newer than this program, or no way leads from its version.
    """
    steps = RECORDS if steps is None else steps
    found = data.get("schema", schema)
    if not isinstance(found, int):
        raise DataError("the record's schema version is no integer", where=where, found=repr(found))
    if found > schema:
        raise DataError(
            f"this {name} was written by a newer version of ionsieve",
            where=where,
            found=f"schema {found}",
            expected=f"schema {schema} at most",
            remedy="update ionsieve (`pip install -U ionsieve`)",
        )
    while found < schema:
        step = steps.get((name, found, found + 1))
        if step is None:
            raise DataError(
                f"this {name} was written by an older version of ionsieve and cannot be brought up to date",
                where=where,
                found=f"schema {found}",
                expected=f"schema {schema}",
                remedy="`ionsieve clean --outdated FOLDER` drops such records so that they are computed again",
            )
        data = {**step(data), "schema": found + 1}
        found += 1
    return data


def plan_folder(
    layout: int, *, where: str, steps: Mapping[int, FolderMigration] | None = None, newest: int = LAYOUT
) -> list[FolderMigration]:
    """Return the migrations that bring a folder of version `layout` up to date, in order.

    Raises
    ------
    DataError
        When the folder is newer than this program, or no way leads from its version.
    """
    steps = FOLDERS if steps is None else steps
    if layout > newest:
        raise DataError(
            "this folder was made by a newer version of ionsieve",
            where=where,
            found=f"layout {layout}",
            expected=f"layout {newest} at most",
            remedy="update ionsieve (`pip install -U ionsieve`)",
        )
    missing = [v for v in range(layout, newest) if v not in steps]
    if missing:
        raise DataError(
            "this folder was made by an older version of ionsieve and cannot be brought up to date",
            where=where,
            found=f"layout {layout}",
            expected=f"layout {newest}",
            remedy="start the campaign in a new folder",
        )
    return [steps[v] for v in range(layout, newest)]
