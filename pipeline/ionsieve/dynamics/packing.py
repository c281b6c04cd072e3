"""Which systems run together: pure decisions, no clock and no device.

`Capacity` says whether a system fits beside those that run. It knows a bound in atoms or, where the device was
measured, bytes a system; running out of memory lowers it for good.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ionsieve.potentials.memory import MemoryBook

__all__ = ["Capacity", "admit", "lower_bound_s"]


@dataclass
class Capacity:
    """How much fits into one forward pass.

    Attributes
    ----------
    bound
        In the unit of `cost`.
    cost
        Cost of one system of n atoms; by default n.
    remember
        Told the atoms of a batch that did not fit.
    """

    bound: float
    cost: Callable[[int], float] = float
    remember: Callable[[int], None] | None = None

    @classmethod
    def measured(cls, book: MemoryBook, edges_per_atom: float) -> Capacity:
        """Return the capacity of a device whose memory was measured, at a density of edges."""
        return cls(
            bound=book.bound_bytes - book.model.fixed,
            cost=book.cost(edges_per_atom),
            remember=lambda atoms: book.ran_out(edges_per_atom * atoms, atoms),
        )

    def load(self, atoms: Sequence[int]) -> float:
        """Cost of systems that run together."""
        return sum(self.cost(n) for n in atoms)

    def fits(self, inside: Sequence[int], more: int) -> bool:
        """Whether a system of `more` atoms may join those `inside`. A lone system always may."""
        return not inside or self.load(inside) + self.cost(more) <= self.bound

    def ran_out(self, atoms: Sequence[int]) -> None:
        """Lower the bound to half of what did not fit."""
        self.bound = min(self.bound, self.load(atoms)) / 2
        if self.remember is not None:
            self.remember(sum(atoms))


def admit(waiting: Sequence[tuple[int, int]], inside: Sequence[int], capacity: Capacity) -> list[int]:
    """Choose who enters: the longest first, and shorter ones into the room that is left.

    Systems are rectangles, atoms wide and steps high, in a strip as wide as the device: longest-first with first fit
    leaves no tall one for the end, where it would run nearly alone.

    Parameters
    ----------
    waiting
        (atoms, steps left) of each waiting system.
    inside
        Atoms of each running system.
    capacity
        What fits.

    Returns
    -------
    list
        Indices into `waiting`, in the order of entering.
    """
    chosen: list[int] = []
    running = list(inside)
    for i in sorted(range(len(waiting)), key=lambda i: (-waiting[i][1], -waiting[i][0], i)):
        if capacity.fits(running, waiting[i][0]):
            chosen.append(i)
            running.append(waiting[i][0])
    return chosen


def lower_bound_s(jobs: Sequence[tuple[int, int]], capacity_atoms: float, fixed_s: float, per_atom_s: float) -> float:
    """Least possible time for jobs (atoms, steps) on a device whose step takes ``fixed_s + per_atom_s * atoms``.

    All atoms' work must be done, and the fixed cost is paid at least as often as the longest job has steps, and as
    often as a full device needs.
    """
    work = sum(atoms * steps for atoms, steps in jobs)
    steps = max([work / capacity_atoms, *(float(s) for _, s in jobs)])
    return fixed_s * steps + per_atom_s * work
