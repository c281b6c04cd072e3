"""Noise by counter: a system's random numbers at a step depend on its names and the step alone.

Numbers are drawn in blocks of steps; a block is a Philox counter (`ionsieve.rng`), so nothing is consumed and a
restart asks for the same block again. Scalar noise comes in blocks of 256 steps, noise per atom in blocks of 16.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ionsieve.rng import generator

__all__ = ["NoiseKind", "Stream", "atoms3", "chi_square", "matrix3", "normal"]

Draw = Callable[[np.random.Generator, int, int, int], NDArray[np.float64]]


def _normal(g: np.random.Generator, steps: int, n_atoms: int, dof: int) -> NDArray[np.float64]:
    return g.standard_normal(steps)


def _chi_square(g: np.random.Generator, steps: int, n_atoms: int, dof: int) -> NDArray[np.float64]:
    return g.chisquare(dof - 1, steps) if dof > 1 else np.zeros(steps)


def _matrix3(g: np.random.Generator, steps: int, n_atoms: int, dof: int) -> NDArray[np.float64]:
    return g.standard_normal((steps, 3, 3))


def _atoms3(g: np.random.Generator, steps: int, n_atoms: int, dof: int) -> NDArray[np.float64]:
    return g.standard_normal((steps, n_atoms, 3))


class NoiseKind:
    """One named stream of a method: how a block is drawn, and whether it is per system or per atom."""

    def __init__(self, name: str, draw: Draw, *, per_atom: bool, block: int) -> None:
        self.name, self.draw, self.per_atom, self.block = name, draw, per_atom, block

    def __repr__(self) -> str:
        return f"NoiseKind({self.name!r}, {'per atom' if self.per_atom else 'per system'})"


#: a standard normal number a system and step
normal = partial(NoiseKind, draw=_normal, per_atom=False, block=256)
#: the sum of dof - 1 squared normal numbers
chi_square = partial(NoiseKind, draw=_chi_square, per_atom=False, block=256)
#: nine standard normal numbers a system and step
matrix3 = partial(NoiseKind, draw=_matrix3, per_atom=False, block=256)
#: three standard normal numbers an atom and step
atoms3 = partial(NoiseKind, draw=_atoms3, per_atom=True, block=16)


class Stream:
    """The noise of one run.

    Parameters
    ----------
    names
        Key of the run, for example ``(campaign_seed, run_id)``.
    n_atoms, dof
        Of the system.
    """

    def __init__(self, names: Sequence[str | int], n_atoms: int, dof: int) -> None:
        self.names, self.n_atoms, self.dof = tuple(names), n_atoms, dof
        self._cache: dict[str, tuple[int, NDArray[np.float64]]] = {}

    def take(self, kind: NoiseKind, first: int, count: int) -> NDArray[np.float64]:
        """Return the noise of steps ``first ... first + count - 1``, shape (count, ...)."""
        parts = []
        step = first
        while step < first + count:
            block, offset = divmod(step, kind.block)
            cached = self._cache.get(kind.name)
            if cached is None or cached[0] != block:
                g = generator(*self.names, "noise", kind.name, step=block)
                cached = (block, kind.draw(g, kind.block, self.n_atoms, self.dof))
                self._cache[kind.name] = cached
            size = min(kind.block - offset, first + count - step)
            parts.append(cached[1][offset : offset + size])
            step += size
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
