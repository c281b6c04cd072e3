"""Which systems run together: pure decisions, no clock and no device.

`Capacity` says whether a system fits beside those that run. It knows a bound in atoms or, where the device was
measured, bytes a system; running out of memory lowers it for good.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Capacity", "is_out_of_memory"]


@dataclass
class Capacity:
    """How much fits into one forward pass.

    Attributes
    ----------
    bound
        In the unit of `cost`.
    cost
        Cost of one system of n atoms; by default n.
    """

    bound: float
    cost: Callable[[int], float] = float

    def load(self, atoms: Sequence[int]) -> float:
        """Cost of systems that run together."""
        return sum(self.cost(n) for n in atoms)

    def fits(self, inside: Sequence[int], more: int) -> bool:
        """Whether a system of `more` atoms may join those `inside`. A lone system always may."""
        return not inside or self.load(inside) + self.cost(more) <= self.bound

    def ran_out(self, atoms: Sequence[int]) -> None:
        """Lower the bound to half of what did not fit."""
        self.bound = min(self.bound, self.load(atoms)) / 2


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device's memory is exhausted (and no more than that)."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        phrase in text for phrase in ("out of memory", "failed to allocate", "cublas_status_alloc_failed")
    )
