"""Intervals of a rate that was measured from events: exact for few events, Gaussian for many.

Equations
    k       = (D / s)^2                                   effective number of independent events behind D +- s
    low_p   = D/k * Gamma^-1(k;     (1 - p)/2)          Garwood's interval of a Poisson rate, k any positive number
    high_p  = D/k * Gamma^-1(k + 1; (1 + p)/2)
    limit   = per event * Gamma^-1(n + 1; 0.95)           upper limit from n events; n = 0 gives 3.00 events
Source
    F. Garwood, Biometrika 1936, 10.1093/biomet/28.3-4.437.
"""

from __future__ import annotations

import math

from scipy.special import gammaincinv

from ionsieve.records.estimate import Estimate
from ionsieve.verdicts import Flag, Verdict

__all__ = ["P68", "P95", "ln_error", "log_normal_estimate", "poisson_limit", "rate_estimate", "rate_interval"]

P68 = 0.6826894921370859
P95 = 0.95


def rate_interval(value: float, error: float, probability: float) -> tuple[float, float]:
    """Return the equal-tailed interval of a positive rate with a standard error."""
    k = (value / error) ** 2
    if k > 1e8:  # the Gaussian limit, where the inverse gamma function loses digits
        half = math.sqrt(2.0) * _inverse_erf(probability) * error
        return value - half, value + half
    low = value / k * float(gammaincinv(k, (1.0 - probability) / 2.0))
    high = value / k * float(gammaincinv(k + 1.0, (1.0 + probability) / 2.0))
    return min(low, value), max(high, value)


def _inverse_erf(probability: float) -> float:
    from scipy.special import erfinv

    return float(erfinv(probability))


def poisson_limit(events: float, probability: float = 0.95) -> float:
    """Return the upper limit of the expected number of events when `events` were seen (0 gives 3.00 at 95 %)."""
    return float(gammaincinv(events + 1.0, probability))


def ln_error(estimate: Estimate) -> float:
    """Return the standard error of ln(value): half the logarithmic width of the 68 % interval."""
    if estimate.low68 is None or estimate.high68 is None:
        raise ValueError(f"a {estimate.kind} has no interval")
    if estimate.low68 <= 0.0:
        return math.inf
    return 0.5 * math.log(estimate.high68 / estimate.low68)


def rate_estimate(
    quantity: str,
    value: float,
    error: float,
    *,
    kind: Verdict = Verdict.VALUE,
    method: str,
    n_eff: float | None = None,
    flags: tuple[Flag, ...] = (),
) -> Estimate:
    """Return an `Estimate` of a positive rate with Garwood intervals."""
    error = max(error, 1e-12 * value)
    low68, high68 = rate_interval(value, error, P68)
    low95, high95 = rate_interval(value, error, P95)
    return Estimate(
        quantity=quantity,
        kind=kind,
        value=value,
        low68=max(low68, low95),
        high68=min(high68, high95),
        low95=low95,
        high95=high95,
        method=method,
        n_eff=n_eff,
        flags=flags,
    )


def log_normal_estimate(
    quantity: str,
    ln_value: float,
    ln_std: float,
    *,
    kind: Verdict = Verdict.VALUE,
    method: str,
    n_eff: float | None = None,
    flags: tuple[Flag, ...] = (),
    z68: float = 1.0,
    z95: float = 1.959963984540054,
) -> Estimate:
    """Return an `Estimate` with log-normal intervals; z68 and z95 are the quantiles (Student's for few points)."""
    value = math.exp(ln_value)

    def at(z: float) -> float:
        return math.exp(min(max(ln_value + z * ln_std, -700.0), 700.0))

    return Estimate(
        quantity=quantity,
        kind=kind,
        value=value,
        low68=at(-z68),
        high68=at(z68),
        low95=at(-z95),
        high95=at(z95),
        method=method,
        n_eff=n_eff,
        flags=flags,
    )
