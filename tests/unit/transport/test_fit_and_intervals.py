"""The closed-form GLS against dense linear algebra, intervals against their definitions."""

import numpy as np
import pytest
from scipy.optimize import isotonic_regression
from scipy.stats import poisson

from ionsieve.records.estimate import Estimate
from ionsieve.transport import TransportSettings, choose_window, fit_line, he_relative_error, he_zhu_mo
from ionsieve.transport.gls import monotone
from ionsieve.transport.guards import block_errors
from ionsieve.transport.intervals import ln_error, poisson_limit, rate_estimate, rate_interval
from ionsieve.verdicts import Verdict


def test_monotone_is_isotonic_regression():
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 60):
        x = rng.normal(size=n).cumsum() * 0.3 + rng.normal(size=n)
        np.testing.assert_allclose(monotone(x), isotonic_regression(x, increasing=True).x, atol=1e-12)


def test_closed_form_equals_dense_gls():
    t = np.linspace(2.0, 40.0, 25)
    slope, shot, nt = 0.8, 5.0, 5000.0
    variance = 0.8 * (slope * t) ** 2 + shot * t  # above the Gaussian floor, so that no conditioning acts
    rng = np.random.default_rng(4)
    msd = 0.5 + slope * t + 0.01 * rng.normal(size=25)
    fit = fit_line(t, msd, variance, particle_time_ps=nt)
    s = (msd[-1] - msd[0]) / (t[-1] - t[0])
    reduced = variance - (2 / 3) * (s * t) ** 2 / 3
    i, j = np.minimum.outer(range(25), range(25)), np.maximum.outer(range(25), range(25))
    covariance = reduced[i] * t[j] / nt
    design = np.stack([t, np.ones_like(t)], axis=1)
    inverse = np.linalg.inv(covariance)
    c = np.linalg.inv(design.T @ inverse @ design)
    p = c @ design.T @ inverse @ msd
    assert fit.slope == pytest.approx(p[0], rel=1e-8)
    assert fit.intercept == pytest.approx(p[1], rel=1e-6)
    np.testing.assert_allclose(fit.covariance, c, rtol=1e-7)


def test_the_cage_regime_does_not_break_the_fit():
    """Variances that fall with the lag (rattling) made eigenvalue clipping claim 3-5 % with a spread of 30-160 %."""
    t = np.linspace(0.1, 40.0, 80)
    variance = 2 / 3 * (0.5 + 0.05 * t) ** 2 + 3.0 * np.exp(-t) + 0.2 * t
    fit = fit_line(t, 0.5 + 0.05 * t, variance, particle_time_ps=2000.0)
    assert fit.slope == pytest.approx(0.05, rel=1e-6)
    assert 0.0 < fit.slope_error < 0.05


def test_a_flat_curve_has_a_finite_error():
    t = np.linspace(1.0, 10.0, 10)
    fit = fit_line(t, np.full(10, 0.3), np.full(10, 0.02), particle_time_ps=100.0)
    assert fit.slope == pytest.approx(0.0, abs=1e-7)
    assert np.isfinite(fit.slope_error)
    assert fit.slope_error > 0.0


@pytest.mark.parametrize(("n", "p"), [(3, 0.6827), (20, 0.95), (150, 0.6827)])
def test_interval_is_garwoods(n, p):
    low, high = rate_interval(float(n), float(np.sqrt(n)), p)
    tail = (1 - p) / 2
    assert poisson.sf(n - 1, low) == pytest.approx(tail, rel=1e-6)
    assert poisson.cdf(n, high) == pytest.approx(tail, rel=1e-6)


def test_interval_goes_over_into_the_gaussian():
    low, high = rate_interval(1.0, 1e-3, 0.6826894921370859)
    assert high - low == pytest.approx(2e-3, rel=2e-3)
    low, high = rate_interval(1.0, 1e-6, 0.95)
    assert high - low == pytest.approx(2 * 1.959964e-6, rel=1e-5)


def test_no_event_limits_three():
    assert poisson_limit(0.0) == pytest.approx(-np.log(0.05), rel=1e-12)
    assert poisson.cdf(7, poisson_limit(7.0)) == pytest.approx(0.05, rel=1e-9)


def test_rate_estimate_is_a_valid_record():
    e = rate_estimate("tracer_diffusivity", 1e-6, 0.3e-6, method="gls", n_eff=11.0)
    assert e.low95 < e.low68 < e.value < e.high68 < e.high95
    assert ln_error(e) == pytest.approx(0.3, rel=0.16)
    refused = Estimate.refused("tracer_diffusivity", "no")
    with pytest.raises(ValueError, match="no interval"):
        ln_error(refused)


def test_window_starts_past_the_plateau_and_ends_at_half():
    settings = TransportSettings()
    t = np.arange(2001) * 0.1
    msd = np.where(t > 0, 0.5, 0.0) + 0.4 * t
    window = choose_window(msd, 0.1, 3.0, settings)
    start, end = window.bounds_ps(0.1)
    assert window.plateau_A2 == pytest.approx(0.9)
    assert start == pytest.approx((0.9 + 4.5 - 0.5) / 0.4, abs=0.11)
    assert end == pytest.approx(100.0)
    assert not window.capped


def test_window_start_is_capped_when_jumps_are_rare():
    msd = 0.5 + 0.001 * np.arange(2001)
    window = choose_window(msd, 0.1, 3.0, TransportSettings())
    assert window.capped
    assert window.bounds_ps(0.1)[0] == pytest.approx(20.0)


@pytest.mark.parametrize("frames", [2, 3, 5])
def test_no_window_in_a_handful_of_frames(frames):
    assert choose_window(np.arange(frames) * 1.0, 0.1, 3.0, TransportSettings()) is None


def test_he_law():
    assert he_relative_error(50) == pytest.approx(0.525, abs=1e-3)
    assert he_relative_error(460) == pytest.approx(0.2, abs=1e-3)
    assert he_relative_error(0) == float("inf")


def test_he_zhu_mo_refuses_instead_of_returning_nonsense():
    t = np.arange(1, 400) * 0.1
    with pytest.raises(ValueError, match="too little diffusion"):
        he_zhu_mo(t, np.full(399, 0.4), n_ions=10, jump_length_A=3.0)


def test_block_errors_of_white_walks():
    rng = np.random.default_rng(1)
    x = np.cumsum(rng.normal(size=(4000, 40, 3)), axis=0)
    by_block, by_ion = block_errors(x, 1, n_blocks=5)
    # |dr|² of one step: variance 6, 160000 samples: 0.0061
    assert by_ion == pytest.approx(0.0061, rel=0.4)
    assert by_block == pytest.approx(0.0061, rel=0.9)
    assert block_errors(x[:6, :2], 1, n_blocks=5) == (0.0, 0.0)


def test_settings_refuse_contradictions():
    with pytest.raises(ValueError, match="below window_end_fraction"):
        TransportSettings(window_start_max_fraction=0.45, window_end_fraction=0.4)
    with pytest.raises(ValueError, match="must not exceed"):
        TransportSettings(upper_limit_below_n_eff=60.0)
    assert TransportSettings().model_dump_json()
    for name, field in TransportSettings.model_fields.items():
        assert field.description, name


def test_verdict_words():
    assert rate_estimate("tracer_diffusivity", 1.0, 0.1, method="x").kind is Verdict.VALUE
