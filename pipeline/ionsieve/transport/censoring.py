"""What an upper limit says about a diffusivity: at most n events were seen, so the rate cannot be large.

Equations
    limit        L = D_1 n95,  D_1 = a² / (2 d N T) the diffusivity of one event, n95 the 95 % Poisson limit of n events
    expected     lambda = D / D_1 = D n95(n) / L
    likelihood   P(at most n events | lambda) = Q(n + 1, lambda) = Gamma(n + 1, lambda) / Gamma(n + 1)
                 = exp(-lambda) for n = 0; 0.05 at D = L, whatever n; 1 far below: a limit says nothing downwards
    hazard       h = -d ln Q / d ln lambda = lambda^(n + 1) e^(-lambda) / Gamma(n + 1, lambda)
    curvature    -d² ln Q / d(ln lambda)² = h (n + 1 - lambda + h) > 0: log-concave, one maximum
Why one-sided
    The events behind a limit may be jumps back and forth, which count as events and carry nothing. As an upper bound
    of the effective jumps they are safe; as a measured rate they would pull D up.
Numerics
    n need not be whole. Above lambda = n + 6 Gamma(n + 1, lambda) is a continued fraction: ln Q has no underflow.
Source
    Continued fraction: NIST DLMF 8.9.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincc, gammaln

from ionsieve.records.estimate import Estimate
from ionsieve.transport.intervals import poisson_limit

__all__ = ["events_per_diffusivity", "hazard", "log_at_most"]

Floats = NDArray[np.floating[Any]]
_TERMS = 60  # to 1e-10 above lambda = n + 6


def events_per_diffusivity(limit: Estimate) -> tuple[float, float]:
    """Return (expected events per cm²/s, events seen) of an upper limit."""
    if limit.value is None:
        raise ValueError("not an upper limit")
    seen = limit.n_eff or 0.0
    return poisson_limit(seen) / limit.value, seen


def hazard(events: ArrayLike, expected: ArrayLike) -> Floats:
    """Return -d ln P(at most `events` | `expected`) / d ln(expected)."""
    a, x = _arguments(events, expected)
    near = np.minimum(x, a + 5.0)
    result = np.exp(a * np.log(near) - near - gammaln(a)) / gammaincc(a, near)
    return np.asarray(np.where(x > a + 5.0, _tail(a, x), result)) if (x > a + 5.0).any() else np.asarray(result)


def log_at_most(events: ArrayLike, expected: ArrayLike) -> Floats:
    """Return ln P(at most `events` | `expected`)."""
    a, x = _arguments(events, expected)
    result = np.log(gammaincc(a, np.minimum(x, a + 5.0)))
    if (x > a + 5.0).any():
        result = np.where(x > a + 5.0, a * np.log(x) - x - gammaln(a) - np.log(_tail(a, x)), result)
    return np.asarray(result)


def _arguments(events: ArrayLike, expected: ArrayLike) -> tuple[Floats, Floats]:
    a, x = np.broadcast_arrays(np.asarray(events, dtype=float) + 1.0, np.asarray(expected, dtype=float))
    return a, np.maximum(x, 1e-300)


def _tail(a: Floats, x: Floats) -> Floats:
    """Return x^a e^-x / Gamma(a, x) by its continued fraction, for x > a + 5."""
    x = np.maximum(x, a + 5.0)
    result = x + 1.0 - a + 2.0 * _TERMS
    for k in range(_TERMS, 0, -1):
        result = x + 1.0 - a + 2.0 * (k - 1) - k * (k - a) / result
    return np.asarray(result)
