"""Frames as they are made: an append-only file of fixed-size records that survives a kill at any byte.

An HDF5 file that is being written when its process dies may be unreadable as a whole. So frames go first into a
journal: a header, then one record a frame, each with its CRC-32. After a kill the records up to the first damaged one
are good, and a restart cuts the file at the step of its checkpoint. When the run ends the journal is published as H5MD
(`ionsieve.trajectory.h5md`).

Layout (little endian)::

    8 bytes   magic  b"IONSFRM1"
    4 bytes   length L of the header
    L bytes   header, JSON: numbers, scalar names, attributes
    4 bytes   CRC-32 of the header
    records   step i8 | time_ps f8 | cell f8 (3,3) | scalars f8 (k,) | positions f4 (N,3) | crc u4
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ionsieve.errors import DataError, InputError

__all__ = ["Journal", "count_frames", "read_header", "record_type"]

MAGIC = b"IONSFRM1"


def record_type(n_atoms: int, n_scalars: int) -> np.dtype[Any]:
    """Return the NumPy type of one frame record."""
    return np.dtype(
        [
            ("step", "<i8"),
            ("time_ps", "<f8"),
            ("cell", "<f8", (3, 3)),
            ("scalars", "<f8", (n_scalars,)),
            ("positions", "<f4", (n_atoms, 3)),
            ("crc", "<u4"),
        ]
    )


def _header_bytes(header: Mapping[str, Any]) -> bytes:
    text = json.dumps(header, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
    return MAGIC + len(text).to_bytes(4, "little") + text + zlib.crc32(text).to_bytes(4, "little")


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Return the header of a journal and the offset of its first record.

    Raises
    ------
    DataError
        When the file is no journal or its header is damaged.
    """
    with path.open("rb") as file:
        start = file.read(12)
        if len(start) < 12 or start[:8] != MAGIC:
            raise DataError("not a frame journal of ionsieve, or cut within its header", where=str(path))
        length = int.from_bytes(start[8:], "little")
        text, crc = file.read(length), file.read(4)
    if len(crc) < 4 or zlib.crc32(text) != int.from_bytes(crc, "little"):
        raise DataError("the header of the frame journal is damaged", where=str(path))
    return json.loads(text), 12 + length + 4


def count_frames(path: Path) -> int:
    """Return how many frames a journal holds, by its size; 0 while there is none. For estimates, not for reading."""
    try:
        header, offset = read_header(path)
        size = path.stat().st_size
    except (FileNotFoundError, DataError):
        return 0
    return max(0, size - offset) // record_type(len(header["numbers"]), len(header["scalars"])).itemsize


class Journal:
    """An append-only file of frames.

    Parameters
    ----------
    path
        Created when absent; continued when present, after the identity in its header was compared.
    numbers
        (N,) atomic numbers.
    scalars
        Names of the numbers that go with each frame.
    attrs
        Plain JSON: what the frames are. A journal with other attributes is refused, not overwritten.

    Raises
    ------
    DataError
        When an existing journal belongs to other atoms, scalars or attributes.
    """

    def __init__(
        self, path: Path, numbers: ArrayLike, *, scalars: Sequence[str] = (), attrs: Mapping[str, Any] | None = None
    ) -> None:
        self.path = Path(path)
        self.numbers = np.asarray(numbers, dtype=np.int64)
        self.scalars = tuple(scalars)
        self.attrs = dict(attrs or {})
        self._type = record_type(len(self.numbers), len(self.scalars))
        header = {"numbers": self.numbers.tolist(), "scalars": list(self.scalars), "attrs": self.attrs}
        head = _header_bytes(header)
        if self.path.exists() and self._compatible(header):
            self._offset = len(head)
            self._file = self.path.open("r+b")
            self._cut(self._intact())
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._offset = len(head)
            self._file = self.path.open("w+b")
            self._file.write(head)
            self._frames = 0
        self.flush()

    def _compatible(self, header: Mapping[str, Any]) -> bool:
        """Whether the file is ours; a file cut within its header (killed at birth) is begun anew."""
        if self.path.stat().st_size < len(_header_bytes(header)):
            return False
        found, _ = read_header(self.path)
        for key, expected in header.items():
            if found.get(key) != json.loads(json.dumps(expected)):
                raise DataError(
                    f"the frame journal belongs to another run: its {key} differ",
                    where=str(self.path),
                    key=key,
                    found=str(found.get(key))[:200],
                    expected=str(expected)[:200],
                    remedy="move the file away, or run with the settings it was begun with",
                )
        return True

    def _intact(self) -> int:
        """Count the records up to the first damaged or out-of-order one."""
        count = (self.path.stat().st_size - self._offset) // self._type.itemsize
        frames = self._map(count)
        last = None
        for i in range(count):
            raw = frames[i : i + 1].tobytes()
            step = int(frames["step"][i])
            if zlib.crc32(raw[:-4]) != int(frames["crc"][i]) or (last is not None and step <= last):
                return i
            last = step
        return int(count)

    def _map(self, count: int) -> NDArray[Any]:
        if count == 0:
            return np.empty(0, self._type)
        return np.memmap(self.path, dtype=self._type, mode="r", offset=self._offset, shape=(count,))

    def _cut(self, count: int) -> None:
        self._frames = count
        self._file.seek(self._offset + count * self._type.itemsize)
        self._file.truncate()

    def __len__(self) -> int:
        return self._frames

    @property
    def last_step(self) -> int | None:
        """Step of the last frame, or None."""
        return int(self._map(self._frames)["step"][-1]) if self._frames else None

    def append(
        self,
        steps: ArrayLike,
        times_ps: ArrayLike,
        positions_A: ArrayLike,
        cells_A: ArrayLike,
        scalars: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        """Append frames; they are durable after `flush`.

        Parameters
        ----------
        steps, times_ps
            (F,), ascending and beyond the last frame.
        positions_A
            (F, N, 3), unwrapped, Å; stored as float32.
        cells_A
            (F, 3, 3) or (3, 3), Å, rows are lattice vectors.
        scalars
            (F,) per name.

        Raises
        ------
        InputError
            When steps do not ascend or a scalar is missing.
        """
        steps = np.atleast_1d(np.asarray(steps, dtype=np.int64))
        given = dict(scalars or {})
        if set(given) != set(self.scalars):
            raise InputError("other scalars than announced", found=str(sorted(given)), expected=str(self.scalars))
        order = np.concatenate([[] if self._frames == 0 else [self.last_step], steps])
        if np.any(np.diff(order) <= 0):
            raise InputError(
                "frames must ascend in step", where=str(self.path), found=str(order[:8].tolist()), expected="ascending"
            )
        records = np.zeros(len(steps), self._type)
        records["step"] = steps
        records["time_ps"] = times_ps
        records["cell"] = cells_A
        records["positions"] = positions_A
        for k, name in enumerate(self.scalars):
            records["scalars"][:, k] = given[name]
        size = self._type.itemsize
        raw = bytearray(records.tobytes())
        for i in range(len(steps)):
            end = (i + 1) * size
            raw[end - 4 : end] = zlib.crc32(memoryview(raw)[end - size : end - 4]).to_bytes(4, "little")
        self._file.seek(self._offset + self._frames * size)
        self._file.write(raw)
        self._file.flush()
        self._frames += len(steps)

    def flush(self) -> None:
        """Make all appended frames durable (fsync)."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def truncate_to_step(self, step: int) -> int:
        """Drop the frames beyond `step`; return how many were dropped."""
        keep = int(np.searchsorted(self._map(self._frames)["step"], step, side="right")) if self._frames else 0
        dropped = self._frames - keep
        if dropped:
            self._cut(keep)
            self.flush()
        return dropped

    def frames(self) -> NDArray[Any]:
        """Return all frames as a read-only memory map of `record_type`."""
        self._file.flush()
        return self._map(self._frames)

    def close(self) -> None:
        """Make durable and close; the file stays."""
        if not self._file.closed:
            self.flush()
            self._file.close()
