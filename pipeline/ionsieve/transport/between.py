"""How much runs differ beyond their own errors: random effects over values and upper limits.

Model
    y_i   = mu + v_i + e_i,  v_i ~ N(0, V)            values with errors e_i
    P_j   = E_v prod_T P(at most n | mu + v)          censored members; see `censoring`
Estimates
    values alone      V by DerSimonian-Laird
    with limits       V maximises the joint likelihood, mu profiled, times a half-Cauchy density of sqrt V (scale 0.3:
                      a limit has no lower end, so that it alone cannot hold V); never below that of the values alone.
                      A limit that says nothing changes nothing; one that contradicts the values widens them
    mu                posterior mean and deviation on a grid whose ends lie below 1e-6 of the peak
Source
    R. DerSimonian, N. Laird, Control. Clin. Trials 1986, 10.1016/0197-2456(86)90046-2.
    A. Gelman, Bayesian Anal. 2006, 10.1214/06-BA117A (half-Cauchy prior of a group-level deviation).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from ionsieve.records.estimate import Estimate
from ionsieve.transport.censoring import events_per_diffusivity, log_at_most

__all__ = ["Censored", "between_variance", "posterior", "random_effects"]

Floats = NDArray[np.floating[Any]]
_NODES = np.linspace(-5.0, 5.0, 101)
_LOG_WEIGHTS = -0.5 * _NODES**2 - logsumexp(-0.5 * _NODES**2)
_REACH = 40.0  # beyond the limits' own place, in ln D: nothing there changes but the exponent
_SCALE = 0.3  # of sqrt V, in ln D
_SMALLEST = 0.01  # standard deviation of ln D between runs that counts as none


class Censored:
    """Upper limits of one member, as ln P of its own ln D, tabulated once.

    Parameters
    ----------
    limits
        (limit, offset): the limit speaks of ln D + offset.
    """

    def __init__(self, limits: Sequence[tuple[Estimate, float]]) -> None:
        rates = [(*events_per_diffusivity(limit), offset) for limit, offset in limits]
        places = [-math.log(per_D) - offset for per_D, _, offset in rates]
        self.place = min(places)
        near = np.arange(self.place - 20.0, self.place + 12.0, 0.04)
        self._x = np.concatenate([near, np.arange(near[-1] + 0.25, self.place + _REACH, 0.25)])
        self._log_p: Floats = np.zeros_like(self._x)
        for per_D, seen, offset in rates:
            self._log_p += log_at_most(seen, per_D * np.exp(self._x + offset))

    def log_probability(self, mu: Floats, spread: float) -> Floats:
        """Return ln P (K,) for means mu (K,) of ln D over members that scatter by `spread`."""
        if spread <= 0.0:
            return np.asarray(np.interp(mu, self._x, self._log_p))
        own = np.interp(mu[:, None] + spread * _NODES, self._x, self._log_p)
        return np.asarray(logsumexp(own + _LOG_WEIGHTS, axis=1))


def random_effects(values: Sequence[float], errors: Sequence[float]) -> tuple[float, float, float]:
    """DerSimonian-Laird mean, its standard error, and the between-run variance."""
    y, s2 = np.asarray(values, dtype=float), np.maximum(np.asarray(errors, dtype=float), 1e-9) ** 2
    w = 1.0 / s2
    mean = float((w @ y) / w.sum())
    between = 0.0
    if len(y) > 1:
        q = float(w @ (y - mean) ** 2)
        denominator = float(w.sum() - (w**2).sum() / w.sum())
        between = max(0.0, (q - (len(y) - 1)) / denominator)
    w = 1.0 / (s2 + between)
    return float((w @ y) / w.sum()), float(1.0 / math.sqrt(w.sum())), between


def between_variance(values: Sequence[float], errors: Sequence[float], limits: Sequence[Censored]) -> float:
    """Return the variance of ln D between members, from values and censored members together."""
    alone = random_effects(values, errors)[2]
    if not limits:
        return alone
    y = np.asarray(values, dtype=float)
    low, high = min(float(y.min()), *(c.place for c in limits)) - 3.0, float(y.max()) + 1.0

    def loss(spread: float) -> float:
        found = minimize_scalar(
            lambda mu: -float(_log_likelihood(np.asarray([mu]), y, errors, limits, spread, spread)[0]),
            bounds=(low, high),
            method="bounded",
            options={"xatol": 1e-3},
        )
        return float(found.fun) + math.log1p((spread / _SCALE) ** 2)

    found = minimize_scalar(
        lambda u: loss(math.exp(u)),
        bounds=(math.log(_SMALLEST), math.log(2.0 * (high - low))),
        method="bounded",
        options={"xatol": 1e-2},
    )
    joint = math.exp(2.0 * found.x) if found.fun < loss(0.0) - 1e-6 else 0.0
    return max(alone, joint)


def posterior(
    values: Sequence[float],
    errors: Sequence[float],
    limits: Sequence[Censored],
    between: float,
    *,
    limits_at_least: float = 0.0,
) -> tuple[float, float]:
    """Return posterior mean and deviation of the mean ln D of members that scatter by the variance `between`.

    Parameters
    ----------
    limits_at_least
        Variance by which limits differ from the values at least, however well they seem to agree.
    """
    y, spread = np.asarray(values, dtype=float), math.sqrt(between)
    weights = 1.0 / (np.maximum(np.asarray(errors, dtype=float), 1e-9) ** 2 + between)
    mean, error = float(weights @ y / weights.sum()), 1.0 / math.sqrt(float(weights.sum()))
    low, high = mean - 8.0 * error, mean + 8.0 * error
    while True:
        grid = np.linspace(low, high, 1601)
        log_p = _log_likelihood(grid, y, errors, limits, spread, math.sqrt(max(between, limits_at_least)))
        top = int(log_p.argmax())
        inside = np.nonzero(log_p > log_p[top] - math.log(1e6))[0]
        if inside[0] == 0:  # limits only pull down: the upper end is the values' own
            low -= high - low
        elif inside[-1] - inside[0] < 200:  # a narrow peak on a wide grid: look closer
            step = grid[1] - grid[0]
            low, high = grid[inside[0]] - 2.0 * step, grid[inside[-1]] + 2.0 * step
        else:
            break
    p = np.exp(log_p - log_p[top])
    p /= p.sum()
    centre = float(p @ grid)
    return centre, math.sqrt(float(p @ (grid - centre) ** 2))


def _log_likelihood(
    mu: Floats, y: Floats, errors: Sequence[float], limits: Sequence[Censored], spread: float, apart: float
) -> Floats:
    variance = np.maximum(np.asarray(errors, dtype=float), 1e-9) ** 2 + spread**2
    result = -0.5 * ((y - mu[:, None]) ** 2 / variance + np.log(variance)).sum(axis=1)
    for censored in limits:
        result = result + censored.log_probability(mu, apart)
    return np.asarray(result)
