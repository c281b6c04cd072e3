"""Where a structure comes from: hashes and versions."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

__all__ = ["software_versions", "spec_sha256"]


@lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    out = []
    for name in ("ionsieve", "numpy", "scipy", "spglib"):
        try:
            out.append((name, version(name)))
        except PackageNotFoundError:
            out.append((name, ""))
    return tuple(out)


def software_versions() -> dict[str, str]:
    """Versions of the packages that shape a structure."""
    return dict(_versions())


def spec_sha256(spec: dict[str, Any]) -> str:
    """SHA-256 of a specification's canonical JSON."""
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
