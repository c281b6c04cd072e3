"""Conductivity and Haven ratio from diffusivities.

Equations
    tracer      sigma_NE = N z² e² D* / (V k T)                            for ranking: its error is that of D*
    charge      sigma    = N z² e² D_sigma / (V k T),  D_sigma from <|sum_i z_i dr_i|²> / (sum_i z_i² 2 d t)
    Haven       1 / H_R  = D_sigma / D*           linear in the noisy quantity; H_R = D* / D_sigma is biased high
                                                  for one run and is shown only when the error of 1/H_R allows
"""

from __future__ import annotations

import math

from ionsieve.records.estimate import Estimate
from ionsieve.transport.intervals import rate_estimate
from ionsieve.units import nernst_einstein_S_per_cm
from ionsieve.verdicts import Verdict

__all__ = ["conductivity", "haven_ratio", "inverse_haven_ratio", "scaled"]


def scaled(estimate: Estimate, factor: float, quantity: str) -> Estimate:
    """Return the estimate times a known positive factor, under another quantity's name."""

    def times(x: float | None) -> float | None:
        return None if x is None else x * factor

    return estimate.model_copy(
        update={
            "quantity": quantity,
            "value": times(estimate.value),
            "low68": times(estimate.low68),
            "high68": times(estimate.high68),
            "low95": times(estimate.low95),
            "high95": times(estimate.high95),
        }
    )


def conductivity(
    diffusivity: Estimate, *, count: int, charge: float, volume_A3: float, temperature_K: float, quantity: str
) -> Estimate:
    """Return the Nernst-Einstein conductivity, S/cm, of a tracer or charge diffusivity in cm²/s.

    The error of volume and temperature is not included: it is far below that of D.
    """
    factor = nernst_einstein_S_per_cm(1.0, count=count, charge=charge, volume_A3=volume_A3, temperature_K=temperature_K)
    return scaled(diffusivity, factor, quantity)


def inverse_haven_ratio(
    tracer: tuple[float, float] | None, charge: tuple[float, float] | None, *, tracer_is_value: bool
) -> Estimate:
    """Return 1/H = D_sigma / D* from (value, error) pairs."""
    key = "inverse_haven_ratio"
    if not tracer_is_value or tracer is None or charge is None or tracer[0] <= 0.0:
        return Estimate.refused(key, "the tracer diffusivity is not measured")
    if charge[0] <= 0.0:
        return Estimate.refused(key, "the charge diffusivity is not resolved from zero")
    ratio = charge[0] / tracer[0]
    relative = math.hypot(charge[1] / charge[0], tracer[1] / tracer[0])
    if relative > 2.0:
        return Estimate.refused(key, f"its relative error is {relative:.1f}")
    kind = Verdict.VALUE if relative < 0.5 else Verdict.INDICATIVE
    return rate_estimate(key, ratio, ratio * relative, kind=kind, method="ratio of charge to tracer diffusivity")


def haven_ratio(inverse: Estimate, *, max_relative_error: float = 0.5) -> Estimate:
    """Return H_R, or the refusal when the relative error of 1/H_R is too large for its inverse to mean anything."""
    key = "haven_ratio"
    if not inverse.is_value or inverse.value is None or inverse.low68 is None or inverse.high68 is None:
        return Estimate.refused(key, inverse.reason or "1/H_R is not measured")
    relative = 0.5 * (inverse.high68 - inverse.low68) / inverse.value
    if relative > max_relative_error or not inverse.low95:
        return Estimate.refused(key, f"the relative error of 1/H_R is {relative:.2f}, above {max_relative_error:g}")
    assert inverse.high68 is not None
    assert inverse.high95 is not None
    return Estimate(
        quantity=key,
        kind=inverse.kind,
        value=1.0 / inverse.value,
        low68=1.0 / inverse.high68,
        high68=1.0 / inverse.low68,
        low95=1.0 / inverse.high95,
        high95=1.0 / inverse.low95,
        method=inverse.method,
        flags=inverse.flags,
    )
