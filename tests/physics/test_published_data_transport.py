"""Numbers that other groups published and assert in their own tests (tests/data/reference/README.md)."""

import json
from pathlib import Path

import numpy as np
import pytest

from ionsieve.transport import fit_arrhenius, he_zhu_mo, measure, msd, remove_drift
from ionsieve.transport.intervals import log_normal_estimate
from ionsieve.transport.kernels import collective_msd
from ionsieve.units import nernst_einstein_S_per_cm

REFERENCE = Path(__file__).parents[1] / "data" / "reference"


@pytest.fixture(scope="module")
def llzo():
    table = np.loadtxt(REFERENCE / "llzo_D_T.csv", delimiter=",", skiprows=1)
    estimates = [
        log_normal_estimate("tracer_diffusivity", np.log(D), error / D, method="published") for _, D, error in table
    ]
    return fit_arrhenius(table[:, 0], estimates, target_temperature_K=300.0), table


def test_llzo_arrhenius(llzo):
    result, _ = llzo
    assert result.fit.Ea_eV == pytest.approx(0.25813, abs=2e-5)
    assert np.sqrt(result.fit.covariance[1][1]) == pytest.approx(0.01683, abs=1e-5)
    assert result.diffusivity.value == pytest.approx(6.80754e-9, rel=1e-5)
    assert result.fit.chi2_per_dof == pytest.approx(0.566, abs=1e-3)
    assert result.fit.n_points == 9


def test_llzo_conductivity_interval_carries_the_covariance(llzo):
    result, _ = llzo
    factor = 158701249.73  # the authors', mS/cm per cm²/s
    # Li56La24Zr16O96; cubic LLZO has a = 12.97 Å (Murugan 2007, 10.1002/anie.200701144), theirs is relaxed
    ours = 1000.0 * nernst_einstein_S_per_cm(1.0, count=56, charge=1, volume_A3=12.97**3, temperature_K=300.0)
    assert ours == pytest.approx(factor, rel=0.01)
    D = result.diffusivity
    assert D.value * factor == pytest.approx(1.0804, abs=1e-4)
    assert D.low68 * factor == pytest.approx(0.687, abs=5e-4)
    assert D.high68 * factor == pytest.approx(1.699, abs=5e-4)


def test_llzo_interval_without_the_covariance_is_the_one_the_authors_print(llzo):
    """Shows what the omission costs: [0.545, 2.141] instead of [0.687, 1.699]."""
    result, _ = llzo
    c = np.asarray(result.fit.covariance)
    x = np.array([1.0, -1.0 / (8.617333262145179e-5 * 300.0)])
    with_covariance = np.sqrt(x @ c @ x)
    slope_alone = abs(x[1]) * np.sqrt(c[1, 1])
    assert 0.5 * np.log(1.699 / 0.687) == pytest.approx(with_covariance, rel=2e-3)
    assert 0.5 * np.log(2.14125 / 0.545097) > 1.4 * with_covariance
    assert slope_alone > with_covariance


def test_leave_one_out_range_is_printed(llzo):
    low, high = llzo[0].fit.leave_one_out_Ea_eV
    assert 0.22 < low < 0.25813 < high < 0.29


def test_latp_by_the_he_zhu_mo_rule():
    table = np.loadtxt(REFERENCE / "latp_1500K_msd.csv", delimiter=",", skiprows=1)
    result = he_zhu_mo(table[:, 0] * 1e-3, table[:, 1], n_ions=8, jump_length_A=3.2)
    assert result.diffusivity_cm2_per_s == pytest.approx(7.60175023e-5, rel=1e-8)
    assert result.n_eff == pytest.approx(100.48841284, rel=1e-9)
    assert result.relative_error == pytest.approx(0.382165428, rel=1e-8)
    assert result.window == (30, 999)


@pytest.fixture(scope="module")
def lgps():
    data = json.loads((REFERENCE / "lgps_600K_displacements.json").read_text(encoding="utf-8"))
    lattice = np.asarray(data["structure"]["lattice"]["matrix"])
    sites = data["structure"]["sites"]
    symbols = [s["species"][0]["element"] for s in sites]
    start = np.asarray([s["xyz"] for s in sites])
    displacements = np.asarray(data["displacements"]).transpose(1, 0, 2)
    return lattice, symbols, start, displacements


def test_lgps_msd_and_collective_msd(lgps):
    lattice, symbols, _, displacements = lgps
    li = np.asarray([s == "Li" for s in symbols])
    still, _ = remove_drift(displacements, np.where(li, 0.0, 1.0))  # their frame: plain mean of all but lithium
    curve = msd(still[:, li])
    charge = collective_msd(still[:, li], np.ones(20), normalisation=20.0)
    lags = [50, 100, 200, 500]  # 1, 2, 4, 10 ps
    np.testing.assert_allclose(curve[lags], [0.493636, 0.659071, 0.766243, 1.183463], atol=6e-7)
    np.testing.assert_allclose(charge[lags], [0.691311, 1.043285, 1.568816, 2.732138], atol=6e-7)
    assert abs(np.linalg.det(lattice)) == pytest.approx(970.414, abs=5e-4)


def test_lgps_framework_and_conversion(lgps):
    lattice, symbols, _, displacements = lgps
    li = np.asarray([s == "Li" for s in symbols])
    still, _ = remove_drift(displacements, np.where(li, 0.0, 1.0))
    farthest = np.sqrt((still[:, ~li] ** 2).sum(-1).max())
    assert farthest == pytest.approx(1.18657, abs=1e-5)
    factor = 1e3 * nernst_einstein_S_per_cm(
        1.0, count=20, charge=1, volume_A3=abs(np.linalg.det(lattice)), temperature_K=600.0
    )
    assert factor == pytest.approx(6.386447e7, rel=1e-6)


def test_lgps_20_ps_is_a_statement_with_its_limits(lgps):
    """The publishers' tool prints 74.165 +- 0.0097 mS/cm for these 20 ps; twenty ions have made some forty jumps."""
    lattice, symbols, start, displacements = lgps
    result = measure(
        displacements + start[None],
        lattice,
        np.arange(len(displacements)) * 0.02,
        symbols,
        mobile="Li",
        charge=1,
        framework=("Ge", "P", "S"),
        temperature_K=600.0,
        polyanions=(("P", "S", 2.6), ("Ge", "S", 2.8)),
    )
    assert result.outcome == "completed"
    assert result.polyanion_intact_fraction == 1.0
    assert result.verdict in ("indicative", "upper_limit")
    sigma = result.conductivity
    if sigma.is_value:
        assert 0.5 * (sigma.high68 - sigma.low68) / sigma.value > 0.15
        assert sigma.low95 < 0.074165 < sigma.high95
    else:
        assert sigma.value > 0.0742
