"""Arrhenius fits, censored points, random effects and whole candidates."""

import math

import numpy as np
import pytest
from scipy.stats import poisson

from ionsieve.errors import InputError
from ionsieve.records import CandidateEstimate, Measurement
from ionsieve.records.estimate import Estimate
from ionsieve.transport import TransportSettings, combine, estimate_candidate, fit_arrhenius
from ionsieve.transport.arrhenius import fit_line_censored
from ionsieve.transport.candidate import configuration_variance, random_effects
from ionsieve.transport.intervals import log_normal_estimate, poisson_limit
from ionsieve.units import BOLTZMANN_EV_PER_K
from ionsieve.verdicts import Flag, Outcome, Verdict

K = BOLTZMANN_EV_PER_K


def value(D, relative, kind=Verdict.VALUE, quantity="tracer_diffusivity"):
    return log_normal_estimate(quantity, math.log(D), relative, kind=kind, method="test", n_eff=1 / relative**2)


def limit(D, events=0.0):
    return Estimate(
        quantity="tracer_diffusivity",
        kind=Verdict.UPPER_LIMIT,
        value=D,
        method="poisson-95",
        n_eff=events,
        reason="few",
    )


def line(T, Ea=0.3, lnD0=-7.0):
    return math.exp(lnD0 - Ea / (K * T))


TS = (600.0, 750.0, 900.0, 1100.0)


def test_exact_line_comes_back():
    result = fit_arrhenius(TS, [value(line(T), 0.1) for T in TS], target_temperature_K=300.0)
    assert result.fit.Ea_eV == pytest.approx(0.3, abs=1e-12)
    assert result.fit.ln_D0 == pytest.approx(-7.0, abs=1e-10)
    assert result.diffusivity.value == pytest.approx(line(300.0), rel=1e-9)
    assert result.fit.chi2_per_dof == pytest.approx(0.0, abs=1e-15)
    assert set(result.flags) == {Flag.EXTRAPOLATED, Flag.HIGH_TEMPERATURE_ONLY}
    assert result.activation_energy.kind is Verdict.VALUE


def test_extrapolated_intervals_cover_the_truth():
    rng = np.random.default_rng(0)
    inside68 = inside95 = 0
    n = 400
    for _ in range(n):
        estimates = [value(line(T) * math.exp(0.2 * rng.normal()), 0.2) for T in TS]
        D = fit_arrhenius(TS, estimates).diffusivity
        inside68 += D.low68 < line(300.0) < D.high68
        inside95 += D.low95 < line(300.0) < D.high95
    assert 0.64 < inside68 / n < 0.83  # chi² rescaling with two degrees of freedom may only widen
    assert inside95 / n > 0.94


def test_scatter_beyond_the_errors_widens_the_interval():
    good = fit_arrhenius(TS, [value(line(T), 0.05) for T in TS])
    wild = fit_arrhenius(TS, [value(line(T) * f, 0.05) for T, f in zip(TS, (1.5, 0.6, 1.6, 0.7), strict=True)])
    width = [math.log(r.diffusivity.high68 / r.diffusivity.low68) for r in (good, wild)]
    assert width[1] > 4 * width[0]
    assert wild.fit.chi2_per_dof > 10


def test_curvature_is_seen():
    bend = [value(line(T) * math.exp(-3.0 * (1000 / T - 1.25) ** 2), 0.05) for T in TS]
    result = fit_arrhenius(TS, bend)
    assert Flag.CURVED in result.flags
    assert result.activation_energy.kind is Verdict.INDICATIVE
    assert Flag.CURVED not in fit_arrhenius(TS, [value(line(T), 0.05) for T in TS]).flags


def test_two_temperatures_are_flagged_and_wide():
    result = fit_arrhenius((800.0, 900.0), [value(line(T), 0.2) for T in (800.0, 900.0)])
    assert {Flag.TWO_TEMPERATURES, Flag.NARROW_SPAN} <= set(result.flags)
    assert result.diffusivity.kind is Verdict.INDICATIVE
    assert result.diffusivity.high95 / result.diffusivity.low95 > 1e3


def test_one_temperature_takes_the_prior_activation_energy():
    settings = TransportSettings()
    result = fit_arrhenius((800.0,), [value(1e-6, 0.2)])
    assert Flag.ASSUMED_EA in result.flags
    assert result.activation_energy.value == pytest.approx(settings.assumed_Ea_eV)
    gap = 1 / (K * 300.0) - 1 / (K * 800.0)
    assert result.ln_D_mean == pytest.approx(math.log(1e-6) - settings.assumed_Ea_eV * gap)
    assert result.ln_D_std == pytest.approx(math.hypot(0.2, settings.assumed_Ea_std_eV * gap), rel=1e-6)
    assert result.diffusivity_at(800.0).value == pytest.approx(1e-6, rel=1e-9)


def test_limits_enter_as_censored_points():
    values = [value(line(T), 0.3) for T in TS[1:]]
    free = fit_arrhenius(TS[1:], values)
    loose = fit_arrhenius(TS, [limit(line(TS[0]) * 100), *values])
    tight = fit_arrhenius(TS, [limit(line(TS[0]) / 5), *values])
    assert Flag.CENSORED_POINTS in tight.flags
    assert loose.fit.Ea_eV == pytest.approx(free.fit.Ea_eV, abs=2e-3)
    assert tight.fit.Ea_eV > free.fit.Ea_eV + 0.02
    assert tight.fit.n_censored == 1


def test_censored_maximum_is_the_maximum():
    T = np.array([700.0, 900.0, 1100.0])
    y = np.array([-11.2, -10.5, -10.3])
    c = np.diag([0.04, 0.09, 0.04])
    at_most = limit(math.exp(-13.0), events=2.0)
    limits = [(600.0, at_most)]
    p, covariance, _ = fit_line_censored(T, y, c, limits)

    def minus_log(q):
        mu = q[0] - q[1] / (K * T)
        expected = poisson_limit(2.0) * math.exp(q[0] - q[1] / (K * 600.0) + 13.0)
        return 0.5 * ((y - mu) ** 2 / np.diag(c)).sum() - poisson.logcdf(2, expected)

    best = minus_log(p)
    rng = np.random.default_rng(0)
    for _ in range(200):
        assert minus_log(p + rng.normal(size=2) * [0.05, 0.003]) >= best - 1e-9
    h = np.array([1e-3, 1e-4])
    hessian = np.empty((2, 2))
    for i in range(2):
        for j in range(2):
            e, f = np.eye(2)[i] * h, np.eye(2)[j] * h
            hessian[i, j] = (
                minus_log(p + e + f) - minus_log(p + e - f) - minus_log(p - e + f) + minus_log(p - e - f)
            ) / (4 * h[i] * h[j])
    np.testing.assert_allclose(covariance, np.linalg.inv(hessian), rtol=2e-3)


def test_only_limits_give_a_limit_at_the_target():
    settings = TransportSettings()
    result = fit_arrhenius((600.0, 900.0), [limit(1e-7), limit(3e-6)])
    gap = 1 / (K * 300.0) - 1 / (K * 600.0)
    assert result.diffusivity.kind is Verdict.UPPER_LIMIT
    assert result.diffusivity.value == pytest.approx(1e-7 * math.exp(-settings.lowest_Ea_eV * gap))
    assert result.activation_energy.kind is Verdict.REFUSED


def test_limits_below_the_target_say_nothing():
    assert fit_arrhenius((250.0,), [limit(1e-9)]).diffusivity.kind is Verdict.REFUSED


def test_nothing_measured_is_refused_with_the_reason():
    result = fit_arrhenius((600.0,), [Estimate.refused("tracer_diffusivity", "melted")])
    assert result.diffusivity.kind is Verdict.REFUSED
    assert "melted" in result.diffusivity.reason
    with pytest.raises(InputError):
        result.ln_diffusivity(300.0)


def test_random_effects_against_the_closed_form():
    y, s = [1.0, 2.0, 4.0], [0.1, 0.1, 0.1]
    mean, error, between = random_effects(y, s)
    assert mean == pytest.approx(np.mean(y))
    assert between == pytest.approx(np.var(y, ddof=1) - 0.01)
    assert error == pytest.approx(math.sqrt(np.var(y, ddof=1) / 3))
    assert random_effects([1.0, 1.05], [0.3, 0.3])[2] == 0.0


def test_combining_never_divides_by_root_n_what_disagrees():
    agree = combine([value(1e-6, 0.2)] * 4)
    differ = combine([value(1e-6 * f, 0.2) for f in (0.3, 0.6, 1.7, 3.3)])
    assert math.log(agree.high68 / agree.low68) == pytest.approx(2 * 0.2 / 2, rel=1e-6)
    assert math.log(differ.high68 / differ.low68) > 0.8


def test_exposures_of_limits_add():
    one = limit(3e-7)
    assert combine([one, one, one]).value == pytest.approx(1e-7)
    assert combine([one]).value == pytest.approx(3e-7)


def test_a_limit_beside_a_value_pulls_it_down():
    both = combine([value(1e-6, 0.5), limit(3e-7)])
    assert both.value < 1e-6
    assert Flag.CENSORED_POINTS in both.flags
    assert both.kind is Verdict.INDICATIVE


def test_configuration_spread_is_shrunk_to_the_assumed_one():
    s = TransportSettings()
    assert configuration_variance([[(600.0, 0.0, 0.1)]], s) == (s.configuration_spread_ln**2, 1)
    apart = [[(600.0, x, 0.01), (900.0, x + 3, 0.01)] for x in (-1.0, 0.0, 1.0)]
    variance, m = configuration_variance(apart, s)
    assert m == 3
    assert variance == pytest.approx((2 * 0.09 + 2 * 1.0) / 4, rel=0.02)


def measurement(T, D, *, relative=0.15, configuration="c0", outcome=Outcome.COMPLETED, kind=None):
    tracer = D if isinstance(D, Estimate) else value(D, relative)
    if outcome is not Outcome.COMPLETED:
        tracer = Estimate.refused("tracer_diffusivity", "melted at once")
    sigma = tracer.model_copy(update={"quantity": "conductivity"})
    no = Estimate.refused("charge_diffusivity", "one run")
    return Measurement(
        run_id=f"{configuration}-{T:g}",
        configuration_id=configuration,
        candidate_id="x",
        temperature_K=T,
        mobile_ion="Na",
        mobile_charge=1,
        n_mobile=20,
        volume_A3=1000.0,
        length_ps=100.0,
        tracer_diffusivity=tracer,
        charge_diffusivity=no,
        conductivity=sigma,
        charge_conductivity=no.model_copy(update={"quantity": "charge_conductivity"}),
        inverse_haven_ratio=Estimate.refused("inverse_haven_ratio", "one run"),
        outcome=outcome,
        reason="the framework flows" if outcome is not Outcome.COMPLETED else "",
    )


def test_candidate_at_the_target():
    e = estimate_candidate([measurement(T, line(T), configuration=c) for T in TS for c in ("c0", "c1")])
    assert isinstance(e, CandidateEstimate)
    assert e.activation_energy.value == pytest.approx(0.3, abs=1e-6)
    factor = 1.602176634e-19**2 * 20 / 1000e-24 / (1.380649e-23 * 300.0)
    assert e.conductivity.value == pytest.approx(line(300.0) * factor, rel=1e-6)
    assert e.ln_sigma_mean == pytest.approx(math.log(e.conductivity.value), rel=1e-9)
    assert e.n_configurations == 2
    assert e.n_runs == 8
    assert Flag.ASSUMED_SPREAD not in e.flags
    assert CandidateEstimate.from_json(e.to_json()) == e


def test_one_configuration_is_less_certain_than_four():
    one = estimate_candidate([measurement(T, line(T)) for T in TS])
    four = estimate_candidate([measurement(T, line(T), configuration=f"c{k}") for T in TS for k in range(4)])
    assert Flag.ASSUMED_SPREAD in one.flags
    assert one.ln_sigma_std > 1.3 * four.ln_sigma_std


def test_an_ordering_that_is_frozen_widens_the_candidate():
    conducting = [measurement(T, line(T)) for T in TS]
    frozen = [measurement(T, limit(line(T) / 50), configuration="c1") for T in TS]
    one, two = estimate_candidate(conducting), estimate_candidate([*conducting, *frozen])
    assert two.conductivity.low95 < one.conductivity.value / 50
    assert two.conductivity.high95 > one.conductivity.value
    assert two.ln_sigma_std > 2.0 * one.ln_sigma_std
    assert two.n_configurations == 2
    assert Flag.ASSUMED_SPREAD not in two.flags
    assert Flag.CENSORED_POINTS in two.flags


def test_an_ordering_whose_limit_says_nothing_changes_nothing():
    conducting = [measurement(T, line(T)) for T in TS]
    loose = [measurement(T, limit(line(T) * 300), configuration="c1") for T in TS]
    one, two = estimate_candidate(conducting), estimate_candidate([*conducting, *loose])
    assert two.conductivity.low95 == pytest.approx(one.conductivity.low95, rel=0.05)
    assert two.conductivity.high95 == pytest.approx(one.conductivity.high95, rel=0.05)
    assert Flag.ASSUMED_SPREAD in two.flags


def test_limits_count_in_the_spread_between_orderings():
    s = TransportSettings()
    values = [[(T, math.log(line(T)), 0.1) for T in TS]]
    below = [[(T, limit(line(T) / 50)) for T in TS]]
    above = [[(T, limit(line(T) * 300)) for T in TS]]
    assert configuration_variance(values, s, limits=above) == (s.configuration_spread_ln**2, 1)
    assert configuration_variance(values, s, limits=below)[0] > 1.0


def test_a_melted_temperature_is_left_out_visibly():
    runs = [measurement(T, line(T)) for T in TS] + [measurement(1400.0, 1e-4, outcome=Outcome.MELTED)]
    e = estimate_candidate(runs)
    assert e.activation_energy.value == pytest.approx(0.3, abs=1e-6)
    assert dict(e.points)[1400.0].kind is Verdict.REFUSED
    assert "1400 K: melted" in e.reason
    assert e.outcome is Outcome.COMPLETED


def test_all_melted_is_the_outcome():
    e = estimate_candidate([measurement(T, 1.0, outcome=Outcome.MELTED) for T in TS])
    assert e.outcome is Outcome.MELTED
    assert e.conductivity.kind is Verdict.REFUSED
    assert e.reason


def test_only_limits_bound_the_candidate():
    e = estimate_candidate([measurement(T, limit(1e-7)) for T in (600.0, 900.0)])
    assert e.conductivity.kind is Verdict.UPPER_LIMIT
    assert e.ln_sigma_mean is None
    assert "too few jumps" in e.reason


@pytest.mark.parametrize(
    ("hops", "words"),
    [((0, 0), "no jump was seen at 600, 900 K"), ((0, 7), "(seen, with those that went back: 0 at 600 K, 7 at 900 K)")],
)
def test_limits_say_how_often_ions_jumped(hops, words):
    runs = [
        measurement(T, limit(1e-7)).model_copy(update={"hops": n}) for T, n in zip((600.0, 900.0), hops, strict=True)
    ]
    assert words in estimate_candidate(runs).reason


@pytest.mark.parametrize(
    "runs", [[], [measurement(600.0, 1e-6), measurement(600.0, 1e-6).model_copy(update={"candidate_id": "y"})]]
)
def test_contradicting_input_is_refused(runs):
    with pytest.raises(InputError):
        estimate_candidate(runs)
