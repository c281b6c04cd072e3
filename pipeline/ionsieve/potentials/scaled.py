"""A potential whose energies and forces are multiplied by a constant: the optional correction of softening.

Universal potentials learnt mostly relaxed crystals and are too soft away from them: forces and barriers come out too
small by a nearly constant factor (B. Deng et al., npj Comput. Mater. 2025, 10.1038/s41524-024-01500-6). Multiplying the
energy by `scale` multiplies every barrier by it and leaves every relaxed structure where it is.

Molecular dynamics need not be repeated for it. With E' = s E the same trajectory runs at the temperature sT with a
clock faster by √s, so

    D_s(T) = √s D(T / s),        Ea_s = s Ea,        D0_s = √s D0 :

`scaled_arrhenius` applies that to a fit. Off by default everywhere: nothing in ionsieve scales unless it is told to.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from ionsieve.errors import InputError
from ionsieve.potentials.base import Evaluation, Potential, PotentialInfo

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from ionsieve.records.measurement import ArrheniusFit
    from ionsieve.systems import Batch

__all__ = ["ScaledPotential", "scaled_arrhenius"]


def _check(scale: float) -> float:
    if not (0.1 <= scale <= 10.0):
        raise InputError(
            "the scale of a potential is a factor near 1",
            key="scale",
            found=f"{scale:g}",
            expected="0.1 to 10",
            cause="softening of universal potentials is a matter of 10 to 40 %",
        )
    return float(scale)


class ScaledPotential:
    """`potential` with energies, forces and stresses multiplied by `scale`.

    Raises
    ------
    InputError
        When the scale is no factor near 1.
    """

    def __init__(self, potential: Potential, scale: float) -> None:
        self._inner = potential
        self.scale = _check(scale)
        inner = potential.info
        self._info = replace(inner, name=f"{inner.name} x {self.scale:g}")

    @property
    def info(self) -> PotentialInfo:
        """Identity of the inner potential, with the factor in its name."""
        return self._info

    def evaluate(self, batch: Batch, *, stress: bool = False) -> Evaluation:
        """See `Potential.evaluate`."""
        inner = self._inner.evaluate(batch, stress=stress)
        return Evaluation(
            inner.energies * self.scale,
            inner.forces * self.scale,
            None if inner.stresses is None else inner.stresses * self.scale,
            None if inner.disagreement is None else inner.disagreement * self.scale,
        )

    def as_ase(self) -> Calculator:
        """Return the inner calculator, scaled."""
        from ase.calculators.mixing import LinearCombinationCalculator

        return LinearCombinationCalculator([self._inner.as_ase()], [self.scale])


def scaled_arrhenius(fit: ArrheniusFit, scale: float) -> ArrheniusFit:
    """Return the fit that runs with the potential multiplied by `scale` would give: exact in classical dynamics.

    Parameters
    ----------
    fit
        ln D = ln D0 - Ea / kT of the unscaled potential. The scaled one is the same line read at T / scale.

    Raises
    ------
    InputError
        When the scale is no factor near 1.
    """
    s = _check(scale)
    (a, b), (c, d) = fit.covariance
    low_high = fit.leave_one_out_Ea_eV
    return fit.model_copy(
        update={
            "ln_D0": fit.ln_D0 + 0.5 * math.log(s),
            "Ea_eV": s * fit.Ea_eV,
            "covariance": ((a, s * b), (s * c, s * s * d)),
            "leave_one_out_Ea_eV": None if low_high is None else (s * low_high[0], s * low_high[1]),
        }
    )
