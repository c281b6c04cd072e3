"""The append-only event file: what happened and what was decided, one JSON object a line.

One writer, any number of readers. Every event has a running number ``n``, a time ``t`` (seconds since 1970, for people:
nothing is computed from it, so a clock that jumps spoils nothing) and a ``kind``. A line cut by a crash is dropped when
the file is next opened for writing, and skipped by readers.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ionsieve.errors import BugError
from ionsieve.store.folder import disk_errors

__all__ = ["EventLog"]


class EventLog:
    """The events of one folder.

    Parameters
    ----------
    path
        The file; need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None
        self._next = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.read()

    def read(self, *, start_byte: int = 0) -> Iterator[dict[str, Any]]:
        """Yield the events in order; damaged lines are skipped."""
        if not self.path.exists():
            return
        with self.path.open("rb") as stream:
            stream.seek(start_byte)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                try:
                    event = json.loads(line)
                except (json.JSONDecodeError, UnicodeDecodeError):
                    continue
                if isinstance(event, dict) and "kind" in event:
                    yield event

    def open(self) -> None:
        """Open for writing (the caller holds the folder's lock): cut a torn last line, find the next number."""
        if self._handle is not None:
            return
        with disk_errors(self.path):
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        size = os.fstat(handle).st_size
        end, last, tail = size, b"", b""
        while end > 0:  # read backwards to the last whole line
            begin = max(0, end - 65536)
            tail = os.pread(handle, end - begin, begin) + tail
            end = begin
            if tail.count(b"\n") >= 2 or begin == 0:
                break
        keep = tail.rfind(b"\n") + 1
        if keep < len(tail):
            os.ftruncate(handle, size - (len(tail) - keep))
        lines = [line for line in tail[:keep].split(b"\n") if line]
        last = lines[-1] if lines else b""
        try:
            self._next = int(json.loads(last)["n"]) + 1 if last else 0
        except (json.JSONDecodeError, KeyError, UnicodeDecodeError, TypeError):
            self._next = 1 + max((int(e.get("n", -1)) for e in self.read()), default=-1)
        self._handle = handle

    def append(self, kind: str, fields: Mapping[str, Any] | None = None, *, sync: bool = False) -> int:
        """Write one event; return its number."""
        return self.extend([(kind, fields or {})], sync=sync)

    def extend(self, events: list[tuple[str, Mapping[str, Any]]], *, sync: bool = False) -> int:
        """Write several events in one go; return the number of the last.

        Raises
        ------
        SetupError
            When the disk is full.
        """
        if self._handle is None:
            raise BugError("the event file is not open for writing", where=str(self.path))
        now = round(time.time(), 3)
        number, lines = self._next, []
        for kind, fields in events:
            lines.append(json.dumps({"n": number, "t": now, "kind": kind, **fields}, ensure_ascii=False))
            number += 1
        data = ("\n".join(lines) + "\n").encode() if lines else b""
        before = os.fstat(self._handle).st_size
        with disk_errors(self.path):
            try:
                written = 0
                while written < len(data):
                    written += os.write(self._handle, data[written:])
            except OSError:
                os.ftruncate(self._handle, before)
                raise
            if sync:
                os.fsync(self._handle)
        self._next = number
        return number - 1

    def close(self) -> None:
        """Flush and close; harmless when not open."""
        if self._handle is not None:
            os.fsync(self._handle)
            os.close(self._handle)
            self._handle = None
