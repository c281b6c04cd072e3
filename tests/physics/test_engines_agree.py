"""The batch engine against ASE: the same trajectory where nothing is random, the same averages where something is."""

import numpy as np
import pytest

from ionsieve.dynamics import DynamicsSettings, Job, simulate
from ionsieve.dynamics.toys import HarmonicLattice, lattice
from ionsieve.trajectory import read

CRYSTAL = HarmonicLattice(2, 3.0, 2.0, 40.0)


pytestmark = pytest.mark.usefixtures("one_thread")


def run(folder, engine, integrator, **changes):
    values = {"equilibrate_ps": 0.0, "produce_ps": 0.1, "frame_interval_fs": 4.0, "tau_fs": 50.0, "guard_steps": 25}
    settings = DynamicsSettings(engine=engine, integrator=integrator, **{**values, **changes})
    jobs = [Job(f"r{i}", lattice(2), 600.0, (1, i), folder / engine / integrator / f"r{i}") for i in range(2)]
    progress = simulate(jobs, CRYSTAL, settings)
    assert [p.state for p in progress] == ["done"] * 2
    return [read(j.trajectory_path) for j in jobs]


def test_nve_is_the_same_trajectory(tmp_path):
    """Same start, same forces: float32 frames differ by rounding only over 50 steps."""
    for ours, theirs in zip(run(tmp_path, "batch", "nve"), run(tmp_path, "ase", "nve"), strict=True):
        np.testing.assert_allclose(ours.positions, theirs.positions, atol=2e-6)
        np.testing.assert_allclose(ours.scalars["temperature"], theirs.scalars["temperature"], rtol=1e-6)
        assert np.abs(ours.positions[-1] - ours.positions[0]).max() > 0.1  # it did move


def test_nose_hoover_is_the_same_trajectory(tmp_path):
    """One thermostat: ASE's chain counts three degrees of freedom more, which its first link alone can be told."""
    settings = {"dt_fs": 0.5, "produce_ps": 0.1, "chain_length": 1}
    ours = run(tmp_path, "batch", "nose_hoover", **settings)[0]
    theirs = run(tmp_path, "ase", "nose_hoover", **settings)[0]
    np.testing.assert_allclose(ours.positions, theirs.positions, atol=5e-4)
    nve = run(tmp_path, "batch", "nve", **settings)[0]
    assert np.abs(ours.positions - nve.positions).max() > 0.005  # the thermostat matters here


@pytest.mark.parametrize("integrator", ["csvr", "baoab"])
def test_averages_agree(tmp_path, integrator):
    """Potential and kinetic energy of 2 x 6 ps; 4 standard errors from blocks of 0.4 ps."""
    means = {}
    for engine in ("batch", "ase"):
        parts = run(
            tmp_path,
            engine,
            integrator,
            equilibrate_ps=0.5,
            produce_ps=4.0,
            frame_interval_fs=8.0,
            friction_per_ps=20.0,
            tau_fs=30.0,
        )
        for key in ("temperature", "potential_energy"):
            values = np.concatenate([p.scalars[key] for p in parts])
            blocks = np.array([b.mean() for b in np.array_split(values, 20)])
            means[engine, key] = blocks.mean(), blocks.std(ddof=1) / np.sqrt(20)
    for key in ("temperature", "potential_energy"):
        (a, ea), (b, eb) = means["batch", key], means["ase", key]
        assert abs(a - b) < 4 * np.hypot(ea, eb)
        assert ea < 0.06 * a


def test_ase_engine_restarts_to_the_same_frames(tmp_path):
    for integrator in ("csvr", "nose_hoover", "baoab"):
        settings = DynamicsSettings(
            engine="ase", integrator=integrator, equilibrate_ps=0.1, produce_ps=0.2, guard_steps=25
        )
        calm = Job("r", lattice(2), 600.0, (1, "r"), tmp_path / integrator / "calm")
        rough = Job("r", lattice(2), 600.0, (1, "r"), tmp_path / integrator / "rough")
        simulate([calm], CRYSTAL, settings)
        asked = iter(range(1000))
        calls = 0
        while simulate([rough], CRYSTAL, settings, stop=lambda a=asked: next(a) % 2 == 1)[0].state != "done":
            calls += 1
        assert calls > 2
        a, b = read(calm.trajectory_path), read(rough.trajectory_path)
        np.testing.assert_array_equal(a.positions, b.positions)
        # ASE's chain hides its half-done kinetic energy: a rounding error a restart
        rounding = 1e-9 if integrator == "nose_hoover" else 0.0
        np.testing.assert_allclose(a.scalars["temperature"], b.scalars["temperature"], rtol=rounding, atol=0)
