"""Exact answers: vacancy walks and their correlation factors, rotated walks, locked pairs, drifting, breathing runs."""

import numpy as np
import pytest

from ionsieve.transport import collective_msd, diffusivity, measure, msd
from ionsieve.transport.settings import TransportSettings
from ionsieve.transport.synthetic import CORRELATION_FACTORS, lattice_walk, vacancy_walk

CASES = [("sc", 8, 0.65311), ("bcc", 6, 0.72722), ("fcc", 5, 0.78146), ("diamond", 4, 0.5), ("antiperovskite", 5, 0.69)]


@pytest.mark.parametrize(("lattice", "repeats", "factor"), CASES)
def test_vacancy_walk_gives_its_correlation_factor(lattice, repeats, factor):
    """Tracer diffusivity = f times the free walk, charge diffusivity = the free walk; 1/H = 1/f.

    Some 40 exchanges per site in 48 replicas: f to about 0.4 %, the charge term to about 1.5 %. The factor N that a
    Haven ratio may lose would show as several hundred.
    """
    basis = {"sc": 1, "bcc": 2, "fcc": 4, "diamond": 8, "antiperovskite": 3}[lattice]
    per_frame = basis * repeats**3
    walk = vacancy_walk(lattice, repeats=repeats, frames=41, steps_per_frame=per_frame, replicas=48, seed=7)
    ions = walk.positions.shape[2]
    tracer = np.mean([msd(p) for p in walk.positions], axis=0)
    charge = np.mean([collective_msd(p, np.ones(ions), normalisation=ions) for p in walk.positions], axis=0)
    free = walk.free_diffusivity / ions
    assert (tracer[16] - tracer[4]) / 12 / 6 / free == pytest.approx(factor, rel=0.015)
    assert charge[1] / 6 / free == pytest.approx(1.0, abs=0.05)
    assert CORRELATION_FACTORS.get(lattice, factor) == factor


def test_haven_ratio_of_a_vacancy_walk_with_its_error():
    """The estimator of `measure` on one long replica: 1/H lies around 1/f within its claimed error."""
    walk = vacancy_walk("diamond", repeats=2, frames=2500, steps_per_frame=8, replicas=5, seed=3)
    pulls = []
    for p in walk.positions:
        result = measure(
            p * 5.0,
            walk.cell * 5.0,
            np.arange(len(p)) * 1.0,
            ["Na"] * p.shape[1],
            mobile="Na",
            charge=1,
            temperature_K=600.0,
            settings=TransportSettings(jump_length_A=5.0 * np.sqrt(0.1875)),
        )
        assert result.inverse_haven_ratio.is_value
        low, high = result.inverse_haven_ratio.low68, result.inverse_haven_ratio.high68
        pulls.append((result.inverse_haven_ratio.value - 2.0) / (0.5 * (high - low)))
    assert abs(np.mean(pulls)) < 1.5
    assert np.max(np.abs(pulls)) < 4.0


def test_rotated_anisotropic_walk_gives_its_tensor():
    """Independent Gaussian steps with variances 1 : 4 : 9 along random orthogonal axes."""
    rng = np.random.default_rng(11)
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    widths = np.array([0.1, 0.2, 0.3])
    frames, ions = 4000, 80
    steps = rng.normal(size=(frames, ions, 3)) * widths
    paths = np.cumsum(steps, axis=0) @ axes.T
    result = measure(
        paths, np.eye(3) * 20.0, np.arange(frames) * 0.1, ["Na"] * ions, mobile="Na", charge=1, temperature_K=600.0
    )
    expected = axes @ np.diag(widths**2 / 0.1 / 2.0) @ axes.T * 1e-4
    tensor = np.asarray(result.tensor_cm2_per_s)
    np.testing.assert_allclose(tensor, expected, atol=0.06 * expected.max())
    assert np.trace(tensor) / 3 == pytest.approx(result.tracer_diffusivity.value, rel=1e-9)
    assert result.mechanism["principal_diffusivities_cm2_per_s"] == pytest.approx(
        list(widths**2 / 0.1 / 2.0 * 1e-4), rel=0.1
    )


def _run(transform=lambda x: x, cells=None):
    rng = np.random.default_rng(0)
    walk = lattice_walk(ions=20, frames=1200, jumps=400, rattle_A=0.2, seed=1)
    framework = rng.uniform(0, 12, size=(1, 16, 3)) + 0.1 * rng.normal(size=(1200, 16, 3))
    positions = np.concatenate([walk.positions_A, framework], axis=1)
    cell = np.eye(3) * 12.0 if cells is None else cells
    return measure(
        transform(positions),
        cell,
        np.arange(1200) * 0.1,
        ["Na"] * 20 + ["P"] * 4 + ["S"] * 12,
        mobile="Na",
        charge=1,
        framework=("P", "S"),
        temperature_K=700.0,
    )


def test_nothing_changes_when_the_crystal_drifts_as_a_whole():
    still = _run()
    drift = np.arange(1200)[:, None, None] * np.array([0.004, -0.002, 0.001])
    moving = _run(lambda x: x + drift)
    assert moving.tracer_diffusivity.value == pytest.approx(still.tracer_diffusivity.value, rel=1e-9)
    assert moving.drift_A == pytest.approx(np.linalg.norm(drift[-1]), rel=0.05)
    assert "drift_large" in moving.flags
    assert "drift_large" not in still.flags


def test_nothing_changes_when_the_cell_breathes():
    still = _run()
    scale = 1.0 + 0.02 * np.sin(np.arange(1200) / 9.0)
    scale /= scale.mean()
    breathing = _run(lambda x: x * scale[:, None, None], cells=scale[:, None, None] * (np.eye(3) * 12.0))
    assert breathing.tracer_diffusivity.value == pytest.approx(still.tracer_diffusivity.value, rel=1e-9)
    assert breathing.hops == still.hops


def test_locked_ion_pairs_conduct_nothing():
    walk = lattice_walk(ions=16, frames=2000, jumps=1500, rattle_A=0.1, seed=2)
    both = np.concatenate([walk.positions_A, walk.positions_A + 1.5], axis=1)
    result = measure(
        both,
        np.eye(3) * 12.0,
        np.arange(2000) * 0.1,
        ["Na"] * 16 + ["Cl"] * 16,
        mobile="Na",
        charge=1,
        temperature_K=700.0,
        charges={"Na": 1, "Cl": -1},
    )
    assert result.tracer.value is not None
    assert result.charge.value < 1e-12 * result.tracer.value + 1e-25


def test_free_walkers_have_a_haven_ratio_of_one_within_the_error():
    pulls = []
    for seed in range(12):
        walk = lattice_walk(ions=24, frames=3000, jumps=2500, seed=100 + seed)
        tracer = diffusivity(walk.positions_A, 0.1, jump_length_A=3.0, settings=TransportSettings())
        result = measure(
            walk.positions_A,
            walk.cell_A,
            np.arange(3000) * 0.1,
            ["Li"] * 24,
            mobile="Li",
            charge=1,
            temperature_K=500.0,
        )
        assert result.tracer.value == pytest.approx(tracer.value)
        e = result.inverse_haven_ratio
        pulls.append((np.log(e.value)) / (0.5 * np.log(e.high68 / e.low68)))
    assert abs(np.mean(pulls)) < 1.0
    assert np.std(pulls) < 2.0
