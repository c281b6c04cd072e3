"""The form of a record's file: one JSON object in four lines; the first holds the SHA-256 of the bytes after it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ionsieve.errors import BugError, DataError
from ionsieve.records.files import FileReference
from ionsieve.store import folder as fs
from ionsieve.store.address import Request

__all__ = ["DamagedError", "Stored", "check_references", "envelope", "pretty", "read", "references", "relocate"]

_HEAD = b'{"digest":"'
_ASKED = b'\n"request":'


class DamagedError(DataError):
    """A stored file fails its digest; `problem.key` is ``stage/key`` of the record that it belongs to."""


@dataclass(frozen=True)
class Stored:
    """One record's file, opened and verified: the request, the record's JSON, the digest."""

    request: Request
    data: dict[str, Any]
    digest: str
    path: Path


def pretty(data: Any) -> str:
    """Return JSON for people: indented, sorted."""
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def envelope(request: Request, data: dict[str, Any]) -> tuple[bytes, str]:
    """Return the bytes of a record's file, and the digest that stands in them."""
    record = json.dumps(data, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    rest = f'"key":"{request.key}",\n"record":{record},\n"request":{request.text}}}\n'.encode()
    digest = hashlib.sha256(rest).hexdigest()
    return _HEAD + digest.encode() + b'",\n' + rest, digest


def read(path: Path, key: str) -> Stored:
    """Read and verify a record's file.

    Raises
    ------
    DamagedError
        When it is missing, cut, changed, or lies under another name.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DamagedError("a record is missing", where=str(path), key=f"{path.parents[1].name}/{key}") from None
    cut = len(_HEAD) + 64
    rest = raw[cut + 3 :]
    digest = raw[len(_HEAD) : cut].decode("ascii", "replace")
    damaged = raw[: len(_HEAD)] != _HEAD or raw[cut : cut + 3] != b'",\n' or hashlib.sha256(rest).hexdigest() != digest
    if not damaged:
        body = json.loads(b"{" + rest)
        text = rest[rest.rfind(_ASKED) + len(_ASKED) : -len(b"}\n")]  # as `envelope` wrote it, to the byte
        request = Request.from_text(text.decode(), body["request"])
        damaged = body["key"] != key or request.key != key or request.stage != path.parents[1].name
    if damaged:
        raise DamagedError(
            "a record fails its digest",
            where=str(path),
            key=f"{path.parents[1].name}/{key}",
            cause="the file was cut, changed, or lies under another name",
            remedy="`ionsieve resume FOLDER` sets it aside and computes it again",
        )
    return Stored(request=request, data=body["record"], digest=digest, path=path)


def references(data: Any) -> Iterator[FileReference]:
    """Yield the file references inside a record's JSON."""
    if isinstance(data, dict):
        if set(data) == {"path", "sha256", "size_bytes"}:
            yield FileReference(**data)
        else:
            for value in data.values():
                yield from references(value)
    elif isinstance(data, list) and data and isinstance(data[0], (dict, list)):
        for value in data:
            yield from references(value)


def relocate(data: Any, moves: Mapping[str, str]) -> Any:
    """Return a record's JSON with the paths of its file references rewritten."""
    if isinstance(data, dict):
        if set(data) == {"path", "sha256", "size_bytes"}:
            return {**data, "path": moves.get(data["path"], data["path"])}
        return {k: relocate(v, moves) for k, v in data.items()}
    if isinstance(data, list) and data and isinstance(data[0], (dict, list)):
        return [relocate(v, moves) for v in data]
    return data


def check_references(data: Any, root: Path, request: Request) -> None:
    """Refuse a record that names files outside its own folder, or files that are not there."""
    for reference in references(data):
        path = fs.within(root, reference.path)
        if not reference.path.startswith(f"files/{request.stage}/{request.key}/") or not path.is_file():
            raise BugError(
                "a record names a file that was not put with it",
                where=str(root),
                key=f"{request.stage}/{request.key}",
                found=reference.path,
                remedy="pass the file to `Store.put(..., files={name: path})`",
            )
