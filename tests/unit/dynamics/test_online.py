"""The running MSD: exact at its lags, unharmed by a restart, and in the file."""

import numpy as np
import pytest

from ionsieve.dynamics import DynamicsSettings, Job, simulate
from ionsieve.dynamics.online import DEPTH, OnlineMSD
from ionsieve.dynamics.toys import HarmonicLattice, lattice
from ionsieve.trajectory import read


def walk(steps=700, ions=5):
    return np.random.default_rng(3).normal(size=(steps, ions, 3)).cumsum(axis=0)


def naive(x, lag, stride):
    """All origins at a stride: the ten-line twin."""
    start = np.arange(0, len(x) - lag, stride)
    d = x[start + lag] - x[start]
    total = d.sum(axis=1)
    return (d**2).sum(axis=2).mean(), (total**2).sum(axis=1).mean() / x.shape[1], len(start)


def test_every_lag_equals_the_plain_average_over_its_origins():
    x = walk()
    online = OnlineMSD(5)
    for sample in x:
        online.add(sample)
    result = online.result(0.5)
    lags = np.round(np.array(result["lag_ps"]) / 0.5).astype(int)
    assert list(lags[:DEPTH]) == list(range(1, DEPTH + 1))
    assert lags.max() > 500
    for i, lag in enumerate(lags):
        stride = 4 ** max(0, int(np.ceil(np.log(lag / DEPTH) / np.log(4) - 1e-12)))
        msd, collective, origins = naive(x, int(lag), stride)
        assert result["origins"][i] == origins
        assert result["msd_A2"][i] == pytest.approx(msd, rel=1e-10)
        assert result["collective_msd_A2"][i] == pytest.approx(collective, rel=1e-10)


def test_continued_equals_uninterrupted():
    x = walk(200)
    whole, part = OnlineMSD(5), OnlineMSD(5)
    for i, sample in enumerate(x):
        whole.add(sample)
        part.add(sample)
        if i % 37 == 0:
            part = OnlineMSD(5, part.arrays())
    assert part.result(1.0) == whole.result(1.0)


def test_a_run_with_few_frames_has_the_msd_of_all_samples(tmp_path):
    crystal = HarmonicLattice(2, 3.0, 2.0, 40.0)

    def run(tag, **changes):
        values = {"equilibrate_ps": 0.1, "produce_ps": 0.4, "sample_interval_fs": 8.0, "guard_steps": 25}
        atoms = lattice(2)
        atoms.numbers[:3] = 3
        job = Job("r", atoms, 600.0, (1, "r"), tmp_path / tag, mobile=("Li",))
        settings = DynamicsSettings(**{**values, **changes})
        asked = iter(range(1000))
        stop = (lambda: next(asked) % 2 == 1) if tag == "stopped" else None
        while simulate([job], crystal, settings, stop=stop)[0].state != "done":
            assert tag == "stopped"
        return read(job.trajectory_path)

    dense = run("dense", frame_interval_fs=8.0)
    sparse = run("sparse", frame_interval_fs=80.0)
    stopped = run("stopped", frame_interval_fs=80.0)
    assert (len(dense), len(sparse)) == (51, 6)
    assert sparse.attrs["online_msd"] == dense.attrs["online_msd"] == stopped.attrs["online_msd"]
    x = dense.positions[:, :3] - dense.positions[:, 3:].mean(axis=1, keepdims=True)
    for lag in (1, 7, 16):
        msd, _, origins = naive(x, lag, 1)
        assert sparse.attrs["online_msd"]["msd_A2"][lag - 1] == pytest.approx(msd, rel=1e-5)
        assert sparse.attrs["online_msd"]["origins"][lag - 1] == origins
