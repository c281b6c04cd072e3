"""Where a command may write, asked before anything is computed: a wrong path costs nothing and leaves nothing."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["check_target"]


def check_target(path: Path, option: str, *, folder: bool) -> None:
    """Refuse a path at which the file (or folder) of an option cannot be written.

    Raises
    ------
    InputError
        When the path is of the other kind, a part of it is a file, or the permission is missing.
    """
    from ionsieve.errors import InputError

    wanted = "a folder" if folder else "a file"
    if path.exists() and path.is_dir() is not folder:
        raise InputError(
            f"{'a file' if folder else 'a folder'} of this name is already there",
            key=option,
            found=str(path),
            expected=f"the name of {wanted}",
            remedy="choose another name",
        )
    if path.exists() and not os.access(path, os.W_OK):
        raise InputError("this may not be written", key=option, found=str(path), remedy="choose another name")
    parent = path.parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        cause = "may not be written" if parent.is_dir() else "is a file, not a folder"
        raise InputError(
            f"{wanted} cannot be made there", key=option, found=str(path), cause=f"{parent} {cause}",
            remedy="choose another folder",
        )  # fmt: skip
