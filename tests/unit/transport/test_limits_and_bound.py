"""Upper limits as Poisson likelihoods, and the activation energy below which no crystal is known."""

import math

import numpy as np
import pytest
from scipy.stats import poisson

from ionsieve.records.estimate import Estimate
from ionsieve.transport import TransportSettings, combine, fit_arrhenius
from ionsieve.transport.between import Censored, between_variance, posterior
from ionsieve.transport.censoring import events_per_diffusivity, hazard, log_at_most
from ionsieve.transport.intervals import log_normal_estimate, poisson_limit
from ionsieve.units import BOLTZMANN_EV_PER_K
from ionsieve.verdicts import Flag, Verdict

K = BOLTZMANN_EV_PER_K
S = TransportSettings()


def value(D, relative=0.2, kind=Verdict.VALUE):
    return log_normal_estimate("tracer_diffusivity", math.log(D), relative, kind=kind, method="test", n_eff=30.0)


def limit(D, events=0.0):
    return Estimate(quantity="tracer_diffusivity", kind=Verdict.UPPER_LIMIT, value=D, n_eff=events, reason="few")


def line(T, Ea=0.3, lnD0=-7.0):
    return math.exp(lnD0 - Ea / (K * T))


@pytest.mark.parametrize("events", [0, 1, 7, 19])
def test_likelihood_is_the_poisson_probability_of_at_most_n(events):
    expected = np.array([1e-3, 0.5, 4.0, 20.0, 60.0, 400.0])
    np.testing.assert_allclose(log_at_most(events, expected), poisson.logcdf(events, expected), rtol=1e-8, atol=1e-15)
    step = 1e-5
    slope = (log_at_most(events, expected * (1 + step)) - log_at_most(events, expected * (1 - step))) / (2 * step)
    np.testing.assert_allclose(hazard(events, expected), -slope, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("events", [0.0, 2.5, 12.0])
def test_a_limit_has_five_per_cent_at_its_value(events):
    per_D, seen = events_per_diffusivity(limit(3e-7, events))
    assert seen == events
    assert math.exp(log_at_most(seen, per_D * 3e-7)) == pytest.approx(0.05, rel=1e-9)
    assert log_at_most(seen, per_D * 3e-12) == pytest.approx(0.0, abs=2e-4)


def test_limits_narrow_what_one_temperature_says():
    alone = fit_arrhenius((900.0,), [value(1e-5)])
    bounded = fit_arrhenius((600.0, 900.0), [limit(1e-7), value(1e-5)])
    assert {Flag.ASSUMED_EA, Flag.CENSORED_POINTS} <= set(bounded.flags)
    steepest = math.log(1e-5 / 1e-7) / (1 / (K * 600.0) - 1 / (K * 900.0))
    assert alone.activation_energy.value < steepest  # the prior alone would break the limit
    assert bounded.activation_energy.value > alone.activation_energy.value + 0.1
    assert bounded.diffusivity.value < 1e-2 * alone.diffusivity.value
    loose = fit_arrhenius((600.0, 900.0), [limit(1e-4), value(1e-5)])
    assert loose.ln_D_mean == pytest.approx(alone.ln_D_mean, abs=0.1)


def test_intervals_with_limits_cover_the_truth():
    """Hot runs give values, cold ones Poisson counts below twenty: limits. Truth at 300 K, 400 candidates."""
    rng = np.random.default_rng(4)
    hot, cold = (850.0, 1000.0, 1200.0), (600.0, 700.0)
    inside68 = inside95 = 0
    n = 400
    for _ in range(n):
        Ea = 0.4
        estimates = [value(line(T, Ea) * math.exp(0.2 * rng.normal())) for T in hot]
        for T in cold:
            per_event = line(T, Ea) / 4.0  # four jumps are expected
            seen = float(rng.poisson(4.0))
            estimates.append(limit(poisson_limit(seen) * per_event, seen))
        D = fit_arrhenius((*hot, *cold), estimates).diffusivity
        inside68 += D.low68 < line(300.0, Ea) < D.high68
        inside95 += D.low95 < line(300.0, Ea) < D.high95
    assert inside68 / n > 0.60
    assert inside95 / n > 0.90


def test_limits_of_scattered_runs_are_softer():
    sharp = combine([value(1e-6, 0.1), value(1.05e-6, 0.1), limit(5e-7)])
    soft = combine([value(3e-7, 0.1), value(3e-6, 0.1), limit(2.5e-7)])
    assert sharp.value < 1e-6
    assert soft.low68 < 2.5e-7 * 4 < soft.high95


def test_a_slope_no_crystal_has_is_not_extrapolated():
    """Two temperatures, almost the same D: 0.03 eV would be 2 S/cm at 300 K."""
    result = fit_arrhenius((550.0, 800.0), [value(line(T, 0.03), 0.1) for T in (550.0, 800.0)])
    assert result.activation_energy.kind is Verdict.REFUSED
    assert "0.030" in result.activation_energy.reason
    assert "lowest of any known crystal" in result.activation_energy.reason
    assert {Flag.IMPLAUSIBLE_EA, Flag.ASSUMED_EA} <= set(result.flags)
    assert result.diffusivity.kind is Verdict.INDICATIVE
    assert "550 K" in result.diffusivity.reason
    gap = 1 / (K * 300.0) - 1 / (K * 550.0)
    expected = math.log(line(550.0, 0.03)) - S.assumed_Ea_eV * gap
    assert result.ln_D_mean == pytest.approx(expected)
    assert result.diffusivity.value < 0.01 * line(300.0, 0.03)


def test_inside_the_measured_range_the_line_may_be_flat():
    TS = (250.0, 320.0, 400.0, 500.0)
    result = fit_arrhenius(TS, [value(line(T, 0.05), 0.05) for T in TS])
    assert result.activation_energy.kind is Verdict.REFUSED
    assert result.diffusivity.value == pytest.approx(line(300.0, 0.05), rel=1e-6)
    assert Flag.IMPLAUSIBLE_EA in result.flags


def test_the_bound_leaves_the_best_conductors_alone():
    TS = (500.0, 600.0, 800.0, 1000.0)
    result = fit_arrhenius(TS, [value(line(T, 0.12), 0.02) for T in TS])
    assert Flag.IMPLAUSIBLE_EA not in result.flags
    assert result.activation_energy.value == pytest.approx(0.12, abs=1e-9)


def test_an_unresolved_slope_takes_the_prior_and_is_never_vaguer_than_one_temperature():
    TS = (800.0, 850.0)
    noisy = fit_arrhenius(TS, [value(2e-5, 0.4), value(1e-5, 0.4)])
    assert Flag.ASSUMED_EA in noisy.flags
    assert S.lowest_Ea_eV < noisy.activation_energy.value < S.assumed_Ea_eV
    one = fit_arrhenius((800.0,), [value(2e-5, 0.4)])
    assert noisy.ln_D_std < one.ln_D_std


@pytest.mark.parametrize("bound", [3e-7, 1e-7, 1e-8, 1e-10])
def test_a_contradicting_limit_widens_and_both_stay_inside(bound):
    alone, both = value(1e-5, 0.15), combine([value(1e-5, 0.15), limit(bound)])
    assert both.low95 < bound < both.value < 1e-5 < both.high95
    assert both.high68 / both.low68 > (alone.high68 / alone.low68) ** 4


def test_a_limit_far_above_changes_nothing():
    both = combine([value(1e-6, 0.2), limit(1e-4)], apart_at_least=0.09)
    assert both.low95 == pytest.approx(value(1e-6, 0.2).low95, rel=0.02)
    assert both.high95 == pytest.approx(value(1e-6, 0.2).high95, rel=0.02)


def test_the_posterior_is_the_integral():
    """Two values, a limit of three events, scatter 0.5: against plain quadrature over mu and the limit's own ln D."""
    censored = Censored([(limit(1e-7, 3.0), 0.0)])
    y, s = [math.log(1e-6), math.log(5e-7)], [0.2, 0.3]
    mean, error = posterior(y, s, [censored], 0.25)
    mu = np.linspace(-22.0, -10.0, 2401)
    v = np.linspace(-4.0, 4.0, 801)
    own = np.exp(-2.0 * v**2) / np.exp(-2.0 * v**2).sum()
    per_D, seen = events_per_diffusivity(limit(1e-7, 3.0))
    p = poisson.cdf(seen, per_D * np.exp(mu[:, None] + v)) @ own
    for a, b in zip(y, s, strict=True):
        p *= np.exp(-0.5 * (a - mu) ** 2 / (b**2 + 0.25))
    p /= p.sum()
    assert mean == pytest.approx(p @ mu, abs=2e-3)
    assert error == pytest.approx(math.sqrt(p @ (mu - p @ mu) ** 2), rel=5e-3)


def test_values_and_limits_of_one_truth_do_not_differ():
    """Poisson counts about seven: those below eight are limits. The intervals cover the truth."""
    rng = np.random.default_rng(1)
    inside68 = inside95 = apart = 0
    n = 60
    for _ in range(n):
        counts = rng.poisson(7.0, size=3)
        while counts.max() < 8 or counts.min() >= 8:
            counts = rng.poisson(7.0, size=3)
        runs = [
            limit(poisson_limit(k) * 1e-7, float(k)) if k < 8 else value(k * 1e-7, 1.0 / math.sqrt(k)) for k in counts
        ]
        found = combine(runs)
        inside68 += found.low68 < 7e-7 < found.high68
        inside95 += found.low95 < 7e-7 < found.high95
        firm = [e for e in runs if e.is_value]
        spread = between_variance(
            [math.log(e.value) for e in firm],
            [math.log(e.high68 / e.low68) / 2 for e in firm],
            [Censored([(e, 0.0)]) for e in runs if not e.is_value],
        )
        apart += spread > 0.09
    assert inside68 / n > 0.6
    assert inside95 / n > 0.93
    assert apart / n < 0.2
