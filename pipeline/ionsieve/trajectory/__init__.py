"""Frames on disk: the H5MD writer and reader, and readers of foreign formats.

Names are loaded when they are asked for, so that importing the room costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ionsieve.trajectory.h5md import Trajectory as Trajectory
    from ionsieve.trajectory.h5md import Writer as Writer
    from ionsieve.trajectory.h5md import iter_chunks as iter_chunks
    from ionsieve.trajectory.h5md import read as read
    from ionsieve.trajectory.h5md import write as write

__all__ = ["Trajectory", "Writer", "iter_chunks", "read", "write"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from ionsieve.trajectory import h5md

        return getattr(h5md, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
