"""Files that appear whole or not at all, names that cannot leave their folder, and digests.

A file is written under a temporary name in the same folder, flushed to the disk (fsync), renamed, and the folder is
flushed: after a kill or a power cut the name holds the old content or the new one, never a part.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ionsieve.errors import DataError, InputError, SetupError

__all__ = [
    "digest",
    "flush",
    "is_temporary",
    "link_file",
    "move_file",
    "read_json",
    "safe_name",
    "sync_folder",
    "within",
    "write_file",
    "write_part",
]

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@=,-]{0,199}")
_TEMPORARY = ".part-"
FLUSH_TOGETHER = 4
"""From so many files on, the file system is flushed as a whole."""


def safe_name(name: str, *, what: str = "name") -> str:
    """Return `name` when it is one plain path component.

    Raises
    ------
    InputError
        When it is empty, hidden, too long, or holds a separator, a blank or another character that some file system
        or shell treats specially.
    """
    if not _SAFE.fullmatch(name) or ".." in name:
        raise InputError(
            f"this {what} cannot be a file name",
            found=repr(name),
            expected="letters, digits and . _ + - = , @, beginning with a letter, a digit or _, 200 at most",
        )
    return name


def within(root: Path, relative: str) -> Path:
    """Return ``root / relative``, refusing paths that leave `root` (absolute, ``..``, or through a link).

    Raises
    ------
    DataError
        When the path leaves the root.
    """
    path = root / relative
    if Path(relative).is_absolute() or not path.resolve().is_relative_to(root.resolve()):
        raise DataError("a record names a file outside its folder", where=str(root), found=relative)
    return path


def is_temporary(path: Path) -> bool:
    """Whether `path` is the leftover of an interrupted write."""
    return _TEMPORARY in path.name


def temporary(path: Path) -> Path:
    """Return a fresh temporary name beside `path`."""
    return path.with_name(f"{path.name[:150]}{_TEMPORARY}{os.getpid()}-{uuid.uuid4().hex[:8]}")


def sync_folder(folder: Path) -> None:
    """Flush the folder's entries to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush(paths: Collection[Path], *, root: Path) -> None:
    """Flush files and folders to the disk: one by one, or, where many wait, the file system of `root` in one call.

    Each ``fsync`` waits for the disk's own cache; fifty of them cost fifty such waits, ``syncfs`` (Linux) costs one.
    """
    if len(paths) >= FLUSH_TOGETHER and _syncfs is not None:
        handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if _syncfs(handle) == 0:
                return
        finally:
            os.close(handle)
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _find_syncfs() -> Callable[[int], int] | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError, TypeError):  # no such call on this system
        return None
    function.argtypes, function.restype = [ctypes.c_int], ctypes.c_int
    return function


_syncfs = _find_syncfs()


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk into a `SetupError` that says what to do."""
    try:
        yield
    except OSError as error:
        remedies = {
            errno.ENOSPC: "free some space (`ionsieve clean FOLDER` drops scratch), then `ionsieve resume FOLDER`",
            errno.EDQUOT: "your quota is used up: free some space, then `ionsieve resume FOLDER`",
            errno.EROFS: "the file system is mounted read-only: choose another folder",
            errno.EACCES: "you may not write there: choose another folder or ask for the permission",
            errno.EPERM: "you may not write there: choose another folder or ask for the permission",
            errno.ENOENT: "the path cannot be made: choose another folder",
            errno.EEXIST: "a file has that name: choose another folder",
            errno.ENOTDIR: "a part of the path is a file: choose another folder",
            errno.ENAMETOOLONG: "the path is too long: choose a shorter one",
            errno.EIO: "the disk reports a fault: choose another folder and tell the administrator",
        }
        if error.errno not in remedies:
            raise
        raise SetupError(
            f"cannot write: {os.strerror(error.errno)}", where=str(path), remedy=remedies[error.errno]
        ) from error


def write_file(path: Path, content: bytes | str, *, sync: bool = True) -> str:
    """Write `content` to `path` atomically; return its SHA-256.

    Raises
    ------
    SetupError
        When the disk is full, read-only or forbidden. Nothing is left behind.
    """
    data = content.encode() if isinstance(content, str) else content
    part = write_part(path, data, sync=sync)
    with disk_errors(path):
        try:
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        if sync:
            sync_folder(path.parent)
    return hashlib.sha256(data).hexdigest()


def write_part(path: Path, data: bytes, *, sync: bool = False) -> Path:
    """Write `data` under a temporary name beside `path`; return that name, to be renamed by the caller.

    Raises
    ------
    SetupError
        When the disk is full, read-only or forbidden. Nothing is left behind.
    """
    part = temporary(path)
    with disk_errors(path):
        try:
            try:
                handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            with open(handle, "wb") as stream:  # noqa: PTH123 (an open handle)
                stream.write(data)
                stream.flush()
                if sync:
                    os.fsync(stream.fileno())
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    return part


def link_file(source: Path, target: Path, *, sync: bool = True) -> None:
    """Give a finished file a second name, or copy it where links are impossible; the target appears whole.

    `sync` False: the caller flushes both before it says that they are there.
    """
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if sync:
            with source.open("rb+") as stream:
                os.fsync(stream.fileno())
        part = temporary(target)
        try:
            try:
                os.link(source, part)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                    raise
                shutil.copyfile(source, part)
                with part.open("rb+") as stream:
                    os.fsync(stream.fileno())
            part.replace(target)
            part.unlink(missing_ok=True)  # renaming a link over its twin leaves both
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        if sync:
            sync_folder(target.parent)


def move_file(source: Path, target: Path) -> None:
    """Move a finished file, across file systems too: flushed first, and the target appears whole."""
    link_file(source, target)
    source.unlink()


def digest(path: Path, *, on_bytes: Callable[[int], None] | None = None) -> str:
    """Return the SHA-256 of a file, read in pieces of 1 MiB."""
    total = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            total.update(piece)
            if on_bytes is not None:
                on_bytes(len(piece))
    return total.hexdigest()


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    DataError
        When it is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"the file is damaged: {error}", where=str(path)) from error
