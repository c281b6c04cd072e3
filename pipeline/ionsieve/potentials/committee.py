"""Several models of one kind: their mean, and how far their forces disagree (`Evaluation.disagreement`)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ionsieve.errors import InputError
from ionsieve.potentials.base import Evaluation, Potential, PotentialInfo
from ionsieve.systems import Batch

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

__all__ = ["CommitteePotential"]


class CommitteePotential:
    """The mean of its members, with their force disagreement in each evaluation.

    Parameters
    ----------
    members
        At least two potentials of the same precision and device.

    Raises
    ------
    InputError
        With fewer than two members, or the same weights twice.
    """

    def __init__(self, members: Sequence[Potential]) -> None:
        digests = [member.info.sha256 for member in members]
        if len(digests) < 2 or len(set(digests)) < len(digests):
            raise InputError(
                "a committee needs two or more different models",
                key="potential.committee",
                found=f"{len(digests)} files, {len(set(digests))} different",
                cause="equal weights always agree, which says nothing",
                remedy="name model files that were trained with different seeds or data",
            )
        self.members = tuple(members)
        first = members[0].info
        self._info = replace(
            first,
            name=f"committee of {len(members)}: {first.name}",
            sha256=hashlib.sha256("".join(digests).encode()).hexdigest(),
            elements=frozenset.intersection(*(member.info.elements for member in members)),
            cutoff_A=max(member.info.cutoff_A for member in members),
            members=len(members),
        )

    @property
    def info(self) -> PotentialInfo:
        """Identity and range: elements that all members know, digest over all weights."""
        return self._info

    def evaluate(self, batch: Batch, *, stress: bool = False) -> Evaluation:
        """See `Potential.evaluate`."""
        results = [member.evaluate(batch, stress=stress) for member in self.members]
        forces = torch.stack([result.forces for result in results])
        stresses = None
        if stress:
            stresses = torch.stack([r.stresses for r in results if r.stresses is not None]).mean(0)
        disagreement = forces.var(dim=0, correction=1).sum(dim=1).sqrt()
        return Evaluation(torch.stack([r.energies for r in results]).mean(0), forces.mean(0), stresses, disagreement)

    def as_ase(self) -> Calculator:
        """Return ASE's mean of the members' own calculators."""
        from ase.calculators.mixing import AverageCalculator

        return AverageCalculator([member.as_ase() for member in self.members])
