"""A measured quantity: never a bare float, always a statement with its interval."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from ionsieve.quantities import quantity
from ionsieve.records.base import Frozen
from ionsieve.verdicts import Flag, Verdict

__all__ = ["Estimate"]


class Estimate(Frozen):
    """A quantity of `ionsieve.quantities` with its uncertainty.

    Attributes
    ----------
    quantity
        Key in the register; gives symbol and unit.
    kind
        ``value`` and ``indicative`` carry value and intervals; ``upper_limit`` carries the limit in `value` (one-sided
        95 %) and no interval; ``refused`` carries none of them.
    value, low68, high68, low95, high95
        In the quantity's unit. Intervals are equal-tailed.
    method
        How the number was made, for example ``gls`` or ``ols-he2018``.
    n_eff
        Effective number of independent events behind it.
    flags
        What limits the trust.
    reason
        One sentence, required when refused.
    """

    quantity: str
    kind: Verdict
    value: float | None = None
    low68: float | None = None
    high68: float | None = None
    low95: float | None = None
    high95: float | None = None
    method: str = ""
    n_eff: float | None = None
    flags: tuple[Flag, ...] = ()
    reason: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        quantity(self.quantity)
        band = (self.low95, self.low68, self.value, self.high68, self.high95)
        if self.kind in (Verdict.VALUE, Verdict.INDICATIVE):
            if any(b is None for b in band):
                raise ValueError("a value needs its 68 and 95 % intervals")
            if list(band) != sorted(band):  # type: ignore[type-var]
                raise ValueError(f"the intervals do not enclose the value: {band}")
        elif self.kind is Verdict.UPPER_LIMIT:
            if self.value is None or any(b is not None for b in (self.low68, self.high68, self.low95, self.high95)):
                raise ValueError("an upper limit is one number without intervals")
        elif any(b is not None for b in band) or not self.reason:
            raise ValueError("a refused quantity has no numbers and one reason")
        return self

    @property
    def is_value(self) -> bool:
        """Whether value and intervals are given."""
        return self.kind in (Verdict.VALUE, Verdict.INDICATIVE)

    @classmethod
    def refused(cls, key: str, reason: str, *, flags: tuple[Flag, ...] = (), method: str = "") -> Self:
        """Return the statement that no number can be given."""
        return cls(quantity=key, kind=Verdict.REFUSED, reason=reason, flags=flags, method=method)
