"""The ledger: what has been asked, decided and done in one folder.

Truth        Files are the truth (records, trajectories, the event file); the ledger is their index: `Store.rebuild`
             reproduces every row of what is finished, and the driver plans the rest anew.
Owner        One writer process, holding the folder's lock; readers any number, read-only. Rollback journal, not WAL:
             write-ahead logs need shared memory, which network file systems lack.
Commit       A row says ``done`` only after its record was renamed into place: the row never runs ahead of the files.
States       waiting -> running -> done | failed | sieved | stopped;  running -> waiting (worker lost, slice ended);
             running -> quarantined (died three times);  quarantined -> waiting (`retry --failed`).
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from ionsieve.errors import BugError, DataError, InputError, SetupError, TransientError
from ionsieve.store.lock import FolderLock

__all__ = ["Ledger", "Row", "State"]


class State(StrEnum):
    """Where one request stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SIEVED = "sieved"
    STOPPED = "stopped"
    QUARANTINED = "quarantined"

    @property
    def finished(self) -> bool:
        """Whether an answer is on disk (chemistry: also a failed one)."""
        return self in (State.DONE, State.FAILED, State.SIEVED, State.STOPPED)


_FINISHED = frozenset({State.DONE, State.FAILED, State.SIEVED, State.STOPPED})
_ALLOWED: Final[Mapping[State, frozenset[State]]] = {
    State.WAITING: frozenset({State.RUNNING, State.WAITING, State.QUARANTINED}) | _FINISHED,
    State.RUNNING: frozenset({State.WAITING, State.RUNNING, State.QUARANTINED}) | _FINISHED,
    State.QUARANTINED: frozenset({State.WAITING}) | _FINISHED,
    **{state: frozenset({state, State.WAITING}) for state in _FINISHED},
}


@dataclass(frozen=True)
class Row:
    """One request's line in the ledger.

    Attributes
    ----------
    key, stage, candidate, label
        What is asked, of which candidate; the label reads well (``Na3PS4--c0 900 K r0``).
    state, outcome, reason
        Where it stands; the outcome of `ionsieve.verdicts` and its sentence, or the reason of a quarantine.
    attempts, deaths, slices
        How often it was started, died with its worker, and ended a slice unfinished.
    seconds, steps, ps
        Work so far: seconds on the worker, MD steps and simulated time.
    device, worker
        Where it ran last.
    facts
        What planning needs of the record.
    """

    key: str
    stage: str
    candidate: str = ""
    label: str = ""
    state: State = State.WAITING
    outcome: str = ""
    reason: str = ""
    attempts: int = 0
    deaths: int = 0
    slices: int = 0
    seconds: float = 0.0
    steps: int = 0
    ps: float = 0.0
    device: str = ""
    worker: str = ""
    digest: str = ""
    updated: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)


_TROUBLE = "state IN ('failed', 'quarantined', 'running')"
_COLUMNS = tuple(f for f in Row.__dataclass_fields__ if f != "facts")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tasks (
  key TEXT PRIMARY KEY, stage TEXT NOT NULL, candidate TEXT NOT NULL, label TEXT NOT NULL, state TEXT NOT NULL,
  outcome TEXT NOT NULL, reason TEXT NOT NULL, attempts INTEGER NOT NULL, deaths INTEGER NOT NULL,
  slices INTEGER NOT NULL, seconds REAL NOT NULL, steps INTEGER NOT NULL, ps REAL NOT NULL, device TEXT NOT NULL,
  worker TEXT NOT NULL, digest TEXT NOT NULL, updated REAL NOT NULL, facts TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS totals (
  stage TEXT NOT NULL, state TEXT NOT NULL, outcome TEXT NOT NULL, n INTEGER NOT NULL, seconds REAL NOT NULL,
  steps INTEGER NOT NULL, ps REAL NOT NULL, PRIMARY KEY (stage, state, outcome)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_candidate ON tasks (candidate);
CREATE INDEX IF NOT EXISTS by_trouble ON tasks (state, stage) WHERE state IN ('failed', 'quarantined', 'running');
CREATE TRIGGER IF NOT EXISTS total_insert AFTER INSERT ON tasks BEGIN
  INSERT INTO totals VALUES (new.stage, new.state, new.outcome, 1, new.seconds, new.steps, new.ps)
    ON CONFLICT DO UPDATE SET n = n + 1, seconds = seconds + new.seconds, steps = steps + new.steps, ps = ps + new.ps;
END;
CREATE TRIGGER IF NOT EXISTS total_delete AFTER DELETE ON tasks BEGIN
  UPDATE totals SET n = n - 1, seconds = seconds - old.seconds, steps = steps - old.steps, ps = ps - old.ps
    WHERE stage = old.stage AND state = old.state AND outcome = old.outcome;
END;
CREATE TRIGGER IF NOT EXISTS total_update AFTER UPDATE ON tasks BEGIN
  UPDATE totals SET n = n - 1, seconds = seconds - old.seconds, steps = steps - old.steps, ps = ps - old.ps
    WHERE stage = old.stage AND state = old.state AND outcome = old.outcome;
  INSERT INTO totals VALUES (new.stage, new.state, new.outcome, 1, new.seconds, new.steps, new.ps)
    ON CONFLICT DO UPDATE SET n = n + 1, seconds = seconds + new.seconds, steps = steps + new.steps, ps = ps + new.ps;
END;
"""
_UPSERT = (
    f"INSERT INTO tasks VALUES ({', '.join('?' * (len(_COLUMNS) + 1))}) ON CONFLICT (key) DO UPDATE SET "  # noqa: S608
    + ", ".join(f"{c} = excluded.{c}" for c in (*_COLUMNS[1:], "facts"))
)
VERSION = 1
BUSY_S = 30.0


class Ledger:
    """The index of one folder, in one SQLite file.

    Parameters
    ----------
    path
        The file.
    writable
        Open for writing (the caller holds the folder's lock); otherwise read-only.
    """

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self.path = path
        self.writable = writable
        self._closed = False
        try:
            if writable:
                # the collector may close a forgotten ledger from another thread; nobody uses one from two at a time
                self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
                self._db.execute("PRAGMA journal_mode=DELETE")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.execute("PRAGMA cache_size=-65536")
                self._db.executescript(_SCHEMA)
                self._db.execute("INSERT OR IGNORE INTO meta VALUES ('version', ?)", (str(VERSION),))
                version = self._version()
            else:
                try:
                    version = self._open_to_read()
                except sqlite3.OperationalError as error:
                    if not _half_written(error):
                        raise
                    self._db.close()
                    self._roll_back()
                    version = self._open_to_read()
        except sqlite3.DatabaseError as error:
            raise self._problem(error) from error
        if version is None or int(version[0]) != VERSION:
            raise DataError(
                "the ledger was written by another version of ionsieve",
                where=str(path),
                found=f"version {version[0] if version else 'none'}",
                expected=f"version {VERSION}",
                remedy="delete ledger.sqlite and resume: it is made again from the files",
            )

    def _version(self) -> Any:
        return self._db.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()

    def _open_to_read(self) -> Any:
        address = f"{self.path.absolute().as_uri()}?mode=ro"
        self._db = sqlite3.connect(address, uri=True, timeout=BUSY_S, check_same_thread=False)
        return self._version()

    def _roll_back(self) -> None:
        """Undo what a killed writer left half done: a reader cannot, so become the writer for a moment."""
        try:
            with FolderLock(self.path.parent / "lock", what="a repair of the ledger"):
                db = sqlite3.connect(self.path, timeout=BUSY_S)
                try:
                    db.execute("SELECT count(*) FROM meta").fetchone()
                finally:
                    db.close()
        except (InputError, OSError) as error:
            raise _wants_a_writer(self.path, str(error)) from error

    def _problem(self, error: sqlite3.Error) -> Exception:
        text = str(error)
        if _half_written(error):
            return _wants_a_writer(self.path, text)
        if "locked" in text or "busy" in text:
            return TransientError("the ledger is busy", where=str(self.path), cause=text, remedy="try again")
        if "disk is full" in text or "disk I/O error" in text:
            return SetupError(
                f"the ledger cannot be written: {text}",
                where=str(self.path),
                remedy="free some space (`ionsieve clean FOLDER` drops scratch), then `ionsieve resume FOLDER`",
            )
        if isinstance(error, sqlite3.OperationalError) and "unable to open" in text:
            if self.path.exists():
                return SetupError(
                    "the ledger may not be opened",
                    where=str(self.path),
                    remedy="ask the owner of the folder for the permission to read it",
                )
            return DataError("there is no ledger here", where=str(self.path), remedy="name the folder of a campaign")
        return DataError(
            f"the ledger cannot be read: {text}",
            where=str(self.path),
            remedy="delete ledger.sqlite and resume: it is made again from the files",
        )

    # -- writing ----------------------------------------------------------------------------------------------------

    def write(self, rows: Iterable[Row]) -> None:
        """Insert or replace rows in one transaction; the state may only move along `States`.

        Raises
        ------
        BugError
            When a row would move against the arrows.
        TransientError
            When another process keeps the file busy for half a minute.
        """
        rows = list(rows)
        if not rows:
            return
        if not self.writable:
            raise BugError("this ledger was opened for reading", where=str(self.path))
        now = time.time()
        with self._transaction():
            before = self._states([r.key for r in rows])
            for row in rows:
                old = before.get(row.key)
                if old is not None and row.state not in _ALLOWED[old]:
                    raise BugError(
                        f"a request cannot go from {old} to {row.state}",
                        where=str(self.path),
                        key=row.key,
                        found=row.label,
                    )
            self._db.executemany(
                _UPSERT,
                [
                    (
                        *(
                            getattr(r, c) if c not in ("state", "updated") else (str(r.state) if c == "state" else now)
                            for c in _COLUMNS
                        ),
                        json.dumps(dict(r.facts), separators=(",", ":")),
                    )
                    for r in rows
                ],
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is written inside, or nothing of it."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # on a full disk SQLite has rolled back by itself
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._problem(error) from error

    def _states(self, keys: list[str]) -> dict[str, State]:
        found: dict[str, State] = {}
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            marks = ",".join("?" * len(part))
            for key, state in self._db.execute(f"SELECT key, state FROM tasks WHERE key IN ({marks})", part):  # noqa: S608
                found[key] = State(state)
        return found

    def remove(self, keys: Iterable[str]) -> None:
        """Forget rows (their records were dropped)."""
        doomed = [(k,) for k in keys]
        if not doomed:
            return
        with self._transaction():
            self._db.executemany("DELETE FROM tasks WHERE key = ?", doomed)

    def put_meta(self, name: str, value: Any) -> None:
        """Keep a small JSON value under a name (the state of the run, the dashboard's address)."""
        try:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, json.dumps(value)))
        except sqlite3.Error as error:
            raise self._problem(error) from error

    # -- reading ----------------------------------------------------------------------------------------------------

    def _query(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._problem(error) from error

    def get_meta(self, name: str, default: Any = None) -> Any:
        """Return what `put_meta` kept."""
        rows = self._query("SELECT value FROM meta WHERE name = ?", (name,))
        return json.loads(rows[0][0]) if rows else default

    def totals(self) -> list[dict[str, Any]]:
        """Counts and sums by stage, state and outcome: answers at once, however large the campaign."""
        names = ("stage", "state", "outcome", "n", "seconds", "steps", "ps")
        return [
            dict(zip(names, row, strict=True))
            for row in self._query("SELECT * FROM totals WHERE n > 0 ORDER BY 1, 2, 3")
        ]

    def _rows(self, where: str, values: tuple[Any, ...] = ()) -> list[Row]:
        sql = f"SELECT {', '.join(_COLUMNS)}, facts FROM tasks {where}"  # noqa: S608 (constants of this module)
        return [_row(r) for r in self._query(sql, values)]

    def get(self, key: str) -> Row | None:
        """Return one row."""
        rows = self._rows("WHERE key = ?", (key,))
        return rows[0] if rows else None

    def candidate(self, candidate: str) -> list[Row]:
        """All rows of one candidate."""
        return self._rows("WHERE candidate = ? ORDER BY stage, label", (candidate,))

    def candidates(self) -> list[str]:
        """Names of all candidates."""
        return [r[0] for r in self._query("SELECT DISTINCT candidate FROM tasks WHERE candidate <> '' ORDER BY 1")]

    def trouble(self, states: Iterable[State], *, limit: int = 1000) -> list[Row]:
        """Rows in the given states."""
        names = ",".join(f"'{State(s)}'" for s in states)
        # the first condition is the index's own, word for word: without it SQLite reads the whole table
        return self._rows(f"WHERE {_TROUBLE} AND state IN ({names}) ORDER BY stage, label LIMIT {int(limit)}")

    def rows(self, *, finished: bool | None = None) -> Iterator[Row]:
        """Yield every row, optionally only those with an answer (or without one)."""
        names = ",".join(f"'{s}'" for s in sorted(_FINISHED))
        where = "" if finished is None else f"WHERE state {'IN' if finished else 'NOT IN'} ({names})"
        try:
            for row in self._db.execute(f"SELECT {', '.join(_COLUMNS)}, facts FROM tasks {where}"):  # noqa: S608
                yield _row(row)
        except sqlite3.Error as error:
            raise self._problem(error) from error

    def check(self) -> None:
        """Look through the file's structure.

        Raises
        ------
        DataError
            When it is broken.
        """
        found = self._query("PRAGMA quick_check(1)")
        if found != [("ok",)]:
            raise DataError(
                f"the ledger is broken: {found[0][0] if found else 'no answer'}",
                where=str(self.path),
                remedy="delete ledger.sqlite and resume: it is made again from the files",
            )

    def close(self) -> None:
        """Close the file."""
        if not self._closed:
            self._db.close()
            self._closed = True

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_db"):
            self.close()


def _half_written(error: sqlite3.Error) -> bool:
    """Whether a reader met the journal of a writer that was killed in the middle of a commit."""
    return isinstance(error, sqlite3.OperationalError) and "readonly database" in str(error)


def _wants_a_writer(path: Path, cause: str) -> TransientError:
    return TransientError(
        "a run was killed while it wrote the ledger",
        where=str(path),
        cause=cause,
        remedy="`ionsieve resume FOLDER` puts it right; nothing is lost",
    )


def _row(values: tuple[Any, ...]) -> Row:
    fields = dict(zip(_COLUMNS, values[:-1], strict=True))
    return Row(**{**fields, "state": State(fields["state"])}, facts=json.loads(values[-1]))
