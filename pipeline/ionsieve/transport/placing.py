"""Files that appear whole: written under a temporary name beside their place, then renamed."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["place"]


def place(path: str | Path, content: str | bytes) -> Path:
    """Write `content` to `path`; whatever happens, the path holds the old file or the new one."""
    path = Path(path)
    part = path.with_name(f".{path.name}.tmp{os.getpid()}")
    try:
        with part.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
