"""Runs that end because their diffusivity is known: true numbers, the same in any company, and room for the next."""

import dataclasses

import numpy as np
import pytest
from ase import Atoms

from ionsieve.dynamics import DynamicsSettings, GuardSettings, Job, simulate
from ionsieve.dynamics.book import LOOKS
from ionsieve.dynamics.online import OnlineMSD
from ionsieve.dynamics.packing import Capacity
from ionsieve.dynamics.toys import FreeParticles, HarmonicLattice, lattice
from ionsieve.errors import DataError, InputError
from ionsieve.trajectory import read
from ionsieve.transport import TransportSettings, measure, relative_error
from ionsieve.transport.synthetic import lattice_walk
from ionsieve.units import BOLTZMANN_EV_PER_K, EV_PER_U_A2_PER_FS2
from ionsieve.verdicts import Outcome

#: free particles that forget their velocity within 0.1 ps: D = kT / (m gamma)
GAS = {
    "integrator": "baoab",
    "friction_per_ps": 10.0,
    "equilibrate_ps": 0.5,
    "produce_ps": 20.0,
    "frame_interval_fs": 20.0,
    "stop_relative_error": 0.2,
    "stop_after_ps": 2.0,
    "guards": GuardSettings(min_distance_A=0.0),
}
CRYSTAL = HarmonicLattice(2, 3.0, 2.0, 40.0)


pytestmark = pytest.mark.usefixtures("one_thread")


def rule(running):
    return relative_error(running, running.interval_ps)


def gas(folder, name, ions=12):
    atoms = Atoms(f"Na{ions}", scaled_positions=np.random.default_rng(0).random((ions, 3)), cell=[12.0] * 3, pbc=True)
    return Job(name, atoms, 600.0, (1, name), folder / name, mobile=("Na",))


@pytest.mark.parametrize("engine", ["batch", "ase"])
def test_a_known_diffusivity_ends_the_run_and_is_right(tmp_path, engine):
    settings = DynamicsSettings(**GAS, engine=engine)
    (p,) = simulate([gas(tmp_path, "r")], FreeParticles(), settings, rule=rule)
    assert (p.state, p.outcome) == ("done", Outcome.STOPPED_EARLY)
    said = p.summary.relative_error_D
    assert 0.02 < said <= 0.2
    assert 2.0 <= p.summary.length_ps < 20.0
    assert f"known to {100 * said:.0f} %" in p.reason
    assert "of 20 ps (asked for: 20 %)" in p.reason
    t = read(p.trajectory)
    assert t.times_ps[-1] == pytest.approx(p.summary.length_ps)
    found = measure(t.positions, t.cells, t.times_ps, t.symbols, mobile="Na", charge=1, framework=(), temperature_K=600)
    exact = BOLTZMANN_EV_PER_K * 600 / (22.99 * EV_PER_U_A2_PER_FS2 * 10.0e-3) * 1e-1  # Å²/fs in cm²/s
    assert abs(found.tracer_diffusivity.value / exact - 1) < 4 * said


def test_what_is_not_known_runs_to_its_end(tmp_path):
    settings = DynamicsSettings(**{**GAS, "stop_relative_error": 0.01, "produce_ps": 12.0})
    (p,) = simulate([gas(tmp_path, "r")], FreeParticles(), settings, rule=rule)
    assert (p.state, p.outcome, p.reason) == ("done", Outcome.COMPLETED, "")
    assert p.summary.relative_error_D > 0.01
    assert p.steps_done == p.steps_total


def by_samples(running):
    """A rule of its own: twice the ions would know twice as much."""
    return 1.0 / np.sqrt(running.frames * running.per_ion_A2.shape[1])


def crystals(folder, names):
    return [
        Job(n, lattice(2), 500.0, (1, n), folder / n, mobile=("Na",), produce_ps=4.0 if n != "r1" else 0.4)
        for n in names
    ]


COLD = DynamicsSettings(
    equilibrate_ps=0.2,
    produce_ps=4.0,
    tau_fs=40,
    guard_steps=20,
    slice_steps=60,
    stop_relative_error=0.05,
    stop_after_ps=0.2,
    sample_interval_fs=10.0,
)


def test_the_same_end_alone_in_a_batch_refilled_and_interrupted(tmp_path):
    names = ["r0", "r1", "r2"]
    together = simulate(crystals(tmp_path / "together", names), CRYSTAL, COLD, rule=by_samples)
    assert [p.outcome for p in together] == [Outcome.STOPPED_EARLY, Outcome.COMPLETED, Outcome.STOPPED_EARLY]
    simulate(crystals(tmp_path / "alone", ["r0"]), CRYSTAL, COLD, rule=by_samples)
    simulate(crystals(tmp_path / "refilled", names), CRYSTAL, COLD, rule=by_samples, capacity=Capacity(8))
    asked = iter(range(10**6))
    stopped = crystals(tmp_path / "stopped", names)
    while any(
        p.state == "unfinished"
        for p in simulate(stopped, CRYSTAL, COLD, rule=by_samples, stop=lambda: next(asked) % 3 == 2)
    ):
        pass
    for tag, some in (("alone", ["r0"]), ("refilled", names), ("stopped", names)):
        for name in some:
            path = f"{name}/trajectory.h5"
            assert (tmp_path / tag / path).read_bytes() == (tmp_path / "together" / path).read_bytes()
    again = simulate(crystals(tmp_path / "together", names), CRYSTAL, COLD, rule=by_samples)
    kept = [(p.outcome, p.reason, p.steps_done, p.summary.relative_error_D) for p in together]
    assert [(p.outcome, p.reason, p.steps_done, p.summary.relative_error_D) for p in again] == kept


def test_the_room_of_a_known_system_is_given_to_the_next(tmp_path):
    """One place, three runs of 2000 steps that are known after 300: the potential is asked a sixth of the times."""
    calls = []

    class Counted:
        info = CRYSTAL.info

        def evaluate(self, batch, *, stress=False):
            calls.append(batch.n_systems)
            return CRYSTAL.evaluate(batch, stress=stress)

    jobs = crystals(tmp_path, ["r0", "r2", "r3"])
    progress = simulate(jobs, Counted(), COLD, rule=by_samples, capacity=Capacity(8))
    assert {p.outcome for p in progress} == {Outcome.STOPPED_EARLY}
    assert set(calls) == {1}
    assert len(calls) < 3 * 2100 / 4
    # 8 ions: 50 samples at 10 fs make 1/20, so a look after 0.49 ps ends it: the looks are every 2 % (0.08 ps)
    assert all(p.summary.length_ps <= 0.49 + 4.0 / LOOKS + 0.04 for p in progress)


def test_without_a_rule_it_is_refused(tmp_path):
    with pytest.raises(InputError, match="nothing tells how well"):
        simulate(crystals(tmp_path, ["r0"]), CRYSTAL, COLD)


def test_another_rule_is_another_run(tmp_path):
    calls = iter(range(100))
    simulate(crystals(tmp_path, ["r0"]), CRYSTAL, COLD, rule=by_samples, stop=lambda: next(calls) > 1)
    other = COLD.model_copy(update={"stop_relative_error": 0.1})
    with pytest.raises(DataError, match="stop"):
        simulate(crystals(tmp_path, ["r0"]), CRYSTAL, other, rule=by_samples)


def test_no_mobile_ion_no_early_end(tmp_path):
    (job,) = crystals(tmp_path, ["r1"])
    job = dataclasses.replace(job, mobile=())
    (p,) = simulate([job], CRYSTAL, COLD, rule=by_samples)
    assert (p.outcome, p.summary.relative_error_D) == (Outcome.COMPLETED, None)


def test_the_error_at_which_it_stops_is_true():
    """Forty lattice walks stopped by the rule: the said error within a factor of 1.5, no bias from stopping.

    With 40 walks the scatter of D is known to 11 %, its mean to 0.03: a said error too small by half, or a bias of
    15 % from stopping on lucky fluctuations, fails.
    """
    ratios, said = [], []
    for seed in range(40):
        walk = lattice_walk(ions=20, frames=1500, jumps=300, seed=seed)
        online = OnlineMSD(20)
        for frame, x in enumerate(walk.positions_A):
            online.add(x)
            error = None
            if frame > 200 and frame % 30 == 0:
                error = relative_error(online.running(0.02), 0.02)
            if error is not None and error <= 0.2:
                break
        assert error is not None
        said.append(error)
        times = np.arange(frame + 1) * 0.02
        symbols = ["Na"] * 20
        found = measure(
            walk.positions_A[: frame + 1],
            walk.cell_A,
            times,
            symbols,
            mobile="Na",
            charge=1,
            framework=(),
            temperature_K=600.0,
            settings=TransportSettings(jump_length_A=3.0),
        )
        ratios.append(found.tracer_diffusivity.value / (walk.diffusivity_A2_per_frame / 0.02 * 1e-4))
    scatter = np.std(ratios, ddof=1)
    assert np.mean(said) / 1.5 < scatter < 1.5 * np.mean(said)
    assert abs(np.mean(ratios) - 1) < 0.1
