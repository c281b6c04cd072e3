"""Checkpoints: the float64 state of one run, exact, without pickle, replaced atomically.

A checkpoint is a NumPy ``.npz`` of plain arrays with a JSON text beside them: format version, identity of the run,
step, segment and what the guards remember. It is written to a temporary file, synced and renamed, so the last good
one is always whole. `write` and `read` serve relaxations as well.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ionsieve.dynamics.state import PER_ATOM, PER_SYSTEM, MDState
from ionsieve.errors import DataError

__all__ = ["FORMAT", "Checkpoint", "load", "read", "read_head", "save", "write"]

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to continue.

    Attributes
    ----------
    identity
        What the run is; a checkpoint of another identity is refused.
    state
        One system.
    step, segment
        Steps done over all segments; index of the segment under way.
    finished
        Whether the last segment is complete.
    memory
        Plain JSON: what guards and summaries carry along.
    arrays
        Further arrays by name.
    """

    identity: dict[str, Any]
    state: MDState
    step: int
    segment: int
    finished: bool = False
    memory: dict[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint of a run."""
    state = checkpoint.state
    arrays = {f"state.{n}": getattr(state, n).cpu().numpy() for n in (*PER_ATOM, *PER_SYSTEM)}
    arrays |= {f"bath.{n}": v.cpu().numpy() for n, v in state.bath.items()}
    arrays |= {f"more.{n}": np.asarray(v) for n, v in checkpoint.arrays.items()}
    names = ("step", "segment", "finished", "memory")
    write(path, checkpoint.identity, {name: getattr(checkpoint, name) for name in names}, arrays)


def write(path: Path, identity: Mapping[str, Any], head: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write plain JSON and arrays atomically: temporary file, fsync, rename, fsync of the folder."""
    text = json.dumps({"format": FORMAT, "identity": identity, **head}, sort_keys=True, allow_nan=False)
    raw = io.BytesIO()
    named: dict[str, Any] = {"head": np.frombuffer(text.encode(), dtype=np.uint8), **arrays}
    np.savez(raw, **named)
    temporary = path.with_name(f"{path.name}.tmp{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(raw.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_head(path: Path) -> dict[str, Any]:
    """Read where a checkpoint stands (``step``, ``segment``, ``finished``, ...) and none of its arrays.

    Raises
    ------
    DataError
        When the file is damaged or of another format.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            head = json.loads(file["head"].tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error
    return _of_this_format(path, head)


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        "the checkpoint cannot be read",
        where=str(path),
        cause=str(error),
        remedy="delete it to begin the run anew",
    )


def _of_this_format(path: Path, head: dict[str, Any]) -> dict[str, Any]:
    if head.get("format") != FORMAT:
        raise DataError(
            "the checkpoint is of another format",
            where=str(path),
            found=str(head.get("format")),
            expected=str(FORMAT),
            remedy="finish the run with the version that began it, or delete the file to begin anew",
        )
    return head


def read(path: Path, identity: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `write` wrote for `identity`: its head, and its arrays.

    Raises
    ------
    DataError
        When the file is damaged, of another format, or of another run (the differing keys are named).
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        head = json.loads(arrays.pop("head").tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error
    _of_this_format(path, head)
    wanted = json.loads(json.dumps(dict(identity)))
    if head["identity"] != wanted:
        found = head["identity"]
        keys = sorted(k for k in {*found, *wanted} if found.get(k) != wanted.get(k))
        raise DataError(
            f"the checkpoint belongs to another run: {', '.join(keys)} differ",
            where=str(path),
            key=keys[0],
            found=str(found.get(keys[0])),
            expected=str(wanted.get(keys[0])),
            remedy="use another folder, or delete the file to begin anew",
        )
    return head, arrays


def load(path: Path, identity: Mapping[str, Any]) -> Checkpoint:
    """Read the checkpoint of the run `identity`; raises as `read`."""
    head, arrays = read(path, identity)

    def part(prefix: str) -> dict[str, NDArray[Any]]:
        return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}

    tensors = {n: torch.from_numpy(a) for n, a in part("state.").items()}
    bath = {n: torch.from_numpy(a) for n, a in part("bath.").items()}
    index = torch.zeros(len(tensors["numbers"]), dtype=torch.int64)
    return Checkpoint(
        identity=head["identity"],
        state=MDState(**tensors, system_index=index, bath=bath),
        step=head["step"],
        segment=head["segment"],
        finished=head["finished"],
        memory=head["memory"],
        arrays=part("more."),
    )
