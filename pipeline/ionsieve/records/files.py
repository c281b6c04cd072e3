"""A file that a record names, with the digest that says it is intact."""

from __future__ import annotations

from ionsieve.records.base import Frozen

__all__ = ["FileReference"]


class FileReference(Frozen):
    """Path relative to the store's root, SHA-256 of the content and its size."""

    path: str
    sha256: str
    size_bytes: int
