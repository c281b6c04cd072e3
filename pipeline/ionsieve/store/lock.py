"""One writer a folder: a lock that dies with its holder, and says who it is.

Two things must agree. The operating system's advisory lock (`flock`) is released by the kernel when the holder dies,
however it dies. Network file systems may not carry it between hosts, so the file also names host, process and start
time, and its holder touches it while it works: a lock of another host that was touched lately is respected.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Any, Self

import psutil

from ionsieve.errors import InputError

__all__ = ["CANCEL", "FolderLock", "holder"]

CANCEL = "cancel"
"""Name of the file beside the lock that asks its holder to end; whoever takes the lock removes an old one."""

STALE_S = 300.0
"""A holder on another host that did not touch its lock for so long is taken for dead (it touches every minute)."""


def _start_time(pid: int) -> float | None:
    try:
        return round(float(psutil.Process(pid).create_time()), 2)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def holder(path: Path) -> dict[str, Any] | None:
    """Return who holds (or last held) the lock file: host, pid, started, since, what; None when nobody is named."""
    try:
        data = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return data if isinstance(data, dict) and "pid" in data else None


def _age_s(path: Path) -> float:
    """Age of the last touch by the clock of the file system itself (clients' clocks may differ or jump)."""
    probe = path.with_name(f"{path.name}.probe-{os.getpid()}")
    probe.write_bytes(b"")
    try:
        return probe.stat().st_mtime - path.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


class FolderLock:
    """The right to write one folder, held from `acquire` to `release` (or as a context).

    Parameters
    ----------
    path
        The lock file; made when absent and never deleted, so that two starters cannot lock two different files.
    what
        What holds it, for the message to the second one.
    """

    def __init__(self, path: Path, *, what: str = "ionsieve run") -> None:
        self.path = path
        self.what = what
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._handle is not None

    def acquire(self) -> Self:
        """Take the lock.

        Raises
        ------
        InputError
            When another run works on the folder; names it.
        """
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            supported = True
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    raise self._refusal(holder(self.path)) from None
                supported = False
            other = holder(self.path)
            if other is not None and not other.get("released"):
                here = other["host"] == socket.gethostname()
                alive = _start_time(int(other["pid"])) == other.get("started") if here else _age_s(self.path) < STALE_S
                if alive and not (here and supported):
                    raise self._refusal(other)
            self._handle = handle
            self.path.with_name(CANCEL).unlink(missing_ok=True)  # before anybody can see, and mean, this holder
            self._write(released=False)
        except BaseException:
            if self._handle is None:
                os.close(handle)
            raise
        return self

    def _refusal(self, other: dict[str, Any] | None) -> InputError:
        who = "another process"
        if other:
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(other.get("since", 0))))
            who = f"{other.get('what', 'a run')} (process {other['pid']} on {other.get('host')}, since {since})"
        return InputError(
            f"{who} is working on this folder",
            where=str(self.path.parent),
            cause="one folder has one writer at a time; a second would spoil the ledger",
            remedy=f"watch it with `ionsieve status --watch {self.path.parent}`, or end it with "
            f"`ionsieve cancel {self.path.parent}`, then resume",
        )

    def _write(self, *, released: bool) -> None:
        if self._handle is None:
            return
        content = json.dumps(
            {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "started": _start_time(os.getpid()),
                "since": round(time.time(), 1),
                "what": self.what,
                "released": released,
            }
        ).encode()
        os.pwrite(self._handle, content, 0)
        os.ftruncate(self._handle, len(content))

    def touch(self) -> None:
        """Say that the holder is alive; call it at least every minute."""
        if self._handle is not None:
            os.utime(self._handle)

    def release(self) -> None:
        """Give the lock back; harmless when not held."""
        if self._handle is not None:
            self._write(released=True)
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        return self if self.held else self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()
