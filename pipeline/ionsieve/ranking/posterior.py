"""Posterior of the conductivities of all candidates together, by counter-seeded sampling.

Model        ln sigma_i = m_i + s_i z_i + e (o z'_i + c z0),   e = ln 10, z standard normal
             for an upper limit L (one-sided 95 %): log10 sigma_i = log10 L + w (0.05 - u), u uniform in (0, 1), so that
             P(sigma_i < L) = 0.95 and every decade below the limit is equally likely
Symbols      m_i, s_i   mean and standard deviation of ln sigma at the temperature of use (from the Arrhenius fit)
             w          decades over which a bounded candidate is spread (settings)
             o, c       own and shared error of the potential, decades (settings); c shifts all alike: no rank changes
Streams      one a candidate, keyed by (seed, candidate): another candidate in the campaign changes no draw of this one
Validity     a limit carried from a hot run to room temperature says nothing of where below it sigma lies; a prior flat
             in sigma itself would put nine tenths of it into the uppermost decade: the least known would win
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ionsieve import rng
from ionsieve.records import Estimate
from ionsieve.verdicts import Verdict

__all__ = ["Posterior", "RankStatistics", "ln_sigma_of", "sample", "statistics"]

LN10 = float(np.log(10.0))

#: half-width of the 68 and 95 % interval of a normal law in standard deviations
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Posterior:
    """What is known of one candidate's ln sigma: a normal law, or an upper limit.

    Attributes
    ----------
    candidate_id
        Names the random stream.
    mean, std
        Of ln(sigma / (S/cm)); for an upper limit the mean is ln of the limit and the standard deviation is None.
    """

    candidate_id: str
    mean: float
    std: float | None

    @property
    def is_limit(self) -> bool:
        """Whether only an upper limit is known."""
        return self.std is None


@dataclass(frozen=True)
class RankStatistics:
    """Per candidate, in the order of the posteriors given; shapes (N,), (N, 5) and (N, targets).

    `rank_quantiles` are the 2.5, 16, 50, 84 and 97.5 % points.
    """

    mean_rank: NDArray[np.float64]
    rank_quantiles: NDArray[np.float64]
    probability_top_k: NDArray[np.float64]
    probability_targets: NDArray[np.float64]


def ln_sigma_of(conductivity: Estimate, mean: float | None, std: float | None) -> tuple[float, float | None] | None:
    """Return (mean, std) of ln sigma, (ln limit, None) of an upper limit, or None when there is no number.

    The fit's own mean and standard deviation are preferred; without them the 95 % interval is read as a normal law.
    """
    if conductivity.kind is Verdict.UPPER_LIMIT and conductivity.value is not None and conductivity.value > 0:
        return float(np.log(conductivity.value)), None
    if not conductivity.is_value or conductivity.value is None or conductivity.value <= 0:
        return None
    if mean is not None and std is not None:
        return mean, std
    low, high = conductivity.low95, conductivity.high95
    value = float(np.log(conductivity.value))
    if high is None or high <= 0:
        return value, 0.0
    if low is None or low <= 0:
        return value, max(0.0, (float(np.log(high)) - value) / _Z95)
    return value, max(0.0, float(np.log(high / low)) / (2 * _Z95))


def sample(
    posteriors: list[Posterior], *, samples: int, seed: int, own_decades: float = 0.0, limit_decades: float = 6.0
) -> NDArray[np.float64]:
    """Return (samples, N) draws of ln sigma without the shared error."""
    draws = np.empty((samples, len(posteriors)))
    for column, posterior in enumerate(posteriors):
        stream = rng.generator("ranking", seed, posterior.candidate_id)
        if posterior.std is None:
            draws[:, column] = posterior.mean + LN10 * limit_decades * (0.05 - stream.random(samples))
        else:
            draws[:, column] = posterior.mean + posterior.std * stream.standard_normal(samples)
        if own_decades:
            own = rng.generator("ranking", "own", seed, posterior.candidate_id)
            draws[:, column] += LN10 * own_decades * own.standard_normal(samples)
    return draws


def statistics(
    draws: NDArray[np.float64], *, top_k: int, targets_S_per_cm: tuple[float, ...], shared_decades: float, seed: int
) -> RankStatistics:
    """Count ranks and targets over the draws (samples, N) of ln sigma; rank 1 is the best."""
    n_samples, n = draws.shape
    if n == 0:
        empty = np.empty(0)
        return RankStatistics(empty, np.empty((0, 5)), empty, np.empty((0, len(targets_S_per_cm))))
    order = np.argsort(-draws, axis=1, kind="stable")
    ranks = np.empty((n_samples, n))
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(1.0, n + 1.0), (n_samples, n)), axis=1)
    quantiles = np.quantile(ranks, [0.025, 0.15865, 0.5, 0.84135, 0.975], axis=0, method="nearest").T
    shared = np.asarray(rng.generator("ranking", "shared", seed).standard_normal(n_samples)) * (LN10 * shared_decades)
    targets = np.array([np.mean(draws + shared[:, None] > np.log(t), axis=0) for t in targets_S_per_cm])
    return RankStatistics(
        mean_rank=ranks.mean(axis=0),
        rank_quantiles=quantiles,
        probability_top_k=np.mean(ranks <= top_k, axis=0),
        probability_targets=targets.T if len(targets) else np.empty((n, 0)),
    )
