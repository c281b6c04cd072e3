"""Tensors that were looked at already: a look waits for the device, the same unchanged object needs none."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field

from torch import Tensor

__all__ = ["Seen"]


@dataclass(eq=False)
class Seen:
    """Remembers some tensors by object and version.

    A tensor changed in place has another version; an inference tensor counts none and is never remembered.
    """

    _last: tuple[tuple[weakref.ref[Tensor], int], ...] = field(default=())

    def __call__(self, *tensors: Tensor) -> bool:
        """Whether these are the very tensors noted last, unchanged since."""
        if len(tensors) != len(self._last):
            return False
        pairs = zip(tensors, self._last, strict=True)
        return all(ref() is t and version == t._version for t, (ref, version) in pairs)

    def note(self, *tensors: Tensor) -> None:
        """Remember these instead."""
        counted = not any(t.is_inference() for t in tensors)
        self._last = tuple((weakref.ref(t), t._version) for t in tensors) if counted else ()
