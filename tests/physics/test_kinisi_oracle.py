"""The closed form against kinisi's sampled posterior: same lags, same covariance model, same answer."""

import warnings

import numpy as np
import pytest

from ionsieve.transport import fit_line, msd, windowed_moments
from ionsieve.transport.synthetic import lattice_walk

pytestmark = pytest.mark.oracle


def kinisi(walk, lags, start):
    sc = pytest.importorskip("scipp")
    pytest.importorskip("kinisi")
    from ase import Atoms

    n = walk.positions_A.shape[1]
    frames = [
        Atoms(f"Na{n}O", positions=np.concatenate([p + 500.0, np.zeros((1, 3))]), cell=[1000.0] * 3, pbc=True)
        for p in walk.positions_A
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from kinisi.analyze import DiffusionAnalyzer

        analysis = DiffusionAnalyzer.from_ase(
            frames[1:],  # its reader doubles the first frame
            specie="Na",
            time_step=sc.scalar(1.0, unit="ps"),
            step_skip=sc.scalar(1),
            dt=sc.array(dims=["time interval"], values=lags.astype(float), unit="ps"),
            progress=False,
        )
        analysis.diffusion(
            sc.scalar(float(start), unit="ps"), progress=False, random_state=np.random.RandomState(1), n_samples=2000
        )
        samples = analysis.D.to(unit="angstrom^2/ps").values
    return float(np.mean(samples)), float(np.std(samples)), np.asarray(analysis.msd.values, dtype=float)


@pytest.mark.parametrize("seed", [0, 1])
def test_value_and_error_equal_kinisis(seed):
    frames, ions = 400, 24
    walk = lattice_walk(ions=ions, frames=frames, jumps=600, seed=seed)
    lags = np.unique(np.append(np.linspace(20, 200, 13).astype(int), frames - 1))  # the last one keeps its n true
    D, error, their_msd = kinisi(walk, lags, 20)
    curve = msd(walk.positions_A)
    np.testing.assert_allclose(their_msd[:10], curve[lags[:10]], rtol=0.03)  # origins: one frame doubled, one left out
    _, variance = windowed_moments(walk.positions_A, [int(k) for k in lags])
    fit = fit_line(lags.astype(float), curve[lags], variance, particle_time_ps=ions * float(frames - 1), overlap=False)
    assert fit.slope / 6 == pytest.approx(D, abs=0.35 * error)
    # where the noisy variances do not grow with the lag, its conditioning claims less than ours
    assert 0.8 < fit.slope_error / 6 / error < 1.4


def test_overlapping_origins_narrow_the_published_error():
    walk = lattice_walk(ions=24, frames=1000, jumps=3000, seed=3)
    lags = np.arange(20, 300, 5)
    curve = msd(walk.positions_A)
    _, variance = windowed_moments(walk.positions_A, [int(k) for k in lags])
    published, ours = (
        fit_line(lags.astype(float), curve[lags], variance, particle_time_ps=24 * 999.0, overlap=flag)
        for flag in (False, True)
    )
    assert 0.7 < ours.slope_error / published.slope_error < 0.95
    assert abs(ours.slope - published.slope) < published.slope_error
