"""What every potential is: one call for many systems, and the plain ASE calculator of the same model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from torch import Tensor

from ionsieve.systems import Batch

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

__all__ = ["Evaluation", "Potential", "PotentialInfo"]


@dataclass(frozen=True)
class PotentialInfo:
    """Identity and range of a potential.

    Attributes
    ----------
    name, sha256, version
        The model's name, the digest of its weights file, the version of the package that runs it.
    elements
        Atomic numbers that it was trained for.
    cutoff_A
        Radius of its neighbour list, Å.
    dtype, device
        In which it computes.
    licence
        Of the weights.
    cite
        DOIs.
    members
        Models whose mean it is; above one, evaluations carry their disagreement.
    """

    name: str
    sha256: str
    elements: frozenset[int]
    cutoff_A: float
    dtype: str
    device: str
    version: str = ""
    licence: str = ""
    cite: tuple[str, ...] = field(default=())
    members: int = 1


@dataclass(frozen=True)
class Evaluation:
    """Energies (S,) eV; forces (N, 3) eV/Å; stresses (S, 3, 3) eV/Å³, ASE's sign (dE/dstrain/V), or None.

    `disagreement` (N,) eV/Å: of a committee about the force on each atom, sqrt(sum_c var_m F_c) with the unbiased
    variance over members m and components c; None of a single model.
    """

    energies: Tensor
    forces: Tensor
    stresses: Tensor | None = None
    disagreement: Tensor | None = None


@runtime_checkable
class Potential(Protocol):
    """A potential that evaluates many systems in one call."""

    @property
    def info(self) -> PotentialInfo:
        """Identity and range."""
        ...

    def evaluate(self, batch: Batch, *, stress: bool = False) -> Evaluation:
        """Return energies, forces and, where asked, stresses of all systems; results have the batch's dtype.

        Raises
        ------
        InputError
            When the batch holds an element outside `info.elements`.
        GeometryError
            When positions or cell of a system cannot be evaluated; any other error counts as a fault of the potential.
        """
        ...

    def as_ase(self) -> Calculator:
        """Return the model's own plain ASE calculator: the reference that `evaluate` must equal."""
        ...
