"""The batch engine: a run is the same alone, in any batch, refilled, interrupted; broken ones leave, others go on."""

import dataclasses

import numpy as np
import pytest
import torch

from ionsieve.dynamics import DynamicsSettings, GuardSettings, Job, simulate
from ionsieve.dynamics.packing import Capacity
from ionsieve.dynamics.toys import FreeParticles, HarmonicLattice, lattice
from ionsieve.errors import DataError, GeometryError, InputError, TransientError
from ionsieve.trajectory import read
from ionsieve.verdicts import Flag, Outcome

CRYSTAL = HarmonicLattice(2, 3.0, 2.0, 40.0)
SETTINGS = DynamicsSettings(equilibrate_ps=0.2, produce_ps=0.4, tau_fs=40, guard_steps=20, slice_steps=60)


pytestmark = pytest.mark.usefixtures("one_thread")


def job(folder, name, temperature=600.0, **changes):
    return Job(name, lattice(2), temperature, (1, name), folder / name, **changes)


def trajectory_bytes(folder, name):
    return (folder / name / "trajectory.h5").read_bytes()


def to_the_end(jobs, potential, settings, **keywords):
    """Ask again and again, each time stopped at the first guard point."""
    calls = 0
    while True:
        calls += 1
        progress = simulate(jobs, potential, settings, **keywords)
        if all(p.state != "unfinished" for p in progress):
            return progress, calls
        assert calls < 200


class Watched:
    """A potential under observation; `fault(batch, call)` may change its answer or raise."""

    def __init__(self, inner, fault=None):
        self.inner, self.fault, self.info = inner, fault, inner.info
        self.calls = 0
        self.sizes = []

    def evaluate(self, batch, *, stress=False):
        self.calls += 1
        self.sizes.append(batch.n_systems)
        answer = self.inner.evaluate(batch, stress=stress)
        return self.fault(batch, self.calls, answer) if self.fault else answer

    def as_ase(self):
        return self.inner.as_ase()


# ---------------------------------------------------------------- the same run in any company


@pytest.mark.parametrize("integrator", ["csvr", "nose_hoover", "baoab", "nve"])
def test_alone_in_a_batch_refilled_and_interrupted_give_the_same_bytes(tmp_path, integrator):
    settings = SETTINGS.model_copy(update={"integrator": integrator})
    names = [f"r{i}" for i in range(4)]
    temperatures = dict(zip(names, (300.0, 500.0, 700.0, 900.0), strict=True))

    def jobs(tag, some=names):
        return [job(tmp_path / tag, n, temperatures[n], produce_ps=0.4 if n != "r1" else 0.2) for n in some]

    together = simulate(jobs("together"), CRYSTAL, settings)
    assert [p.state for p in together] == ["done"] * 4
    assert [p.steps_done for p in together] == [300, 200, 300, 300]
    simulate(jobs("alone", ["r2"]), CRYSTAL, settings)
    simulate(jobs("refilled"), CRYSTAL, settings, capacity=Capacity(16))
    asked = iter(range(10**6))
    to_the_end(jobs("stopped"), CRYSTAL, settings, stop=lambda: next(asked) % 3 == 2)
    assert trajectory_bytes(tmp_path / "alone", "r2") == trajectory_bytes(tmp_path / "together", "r2")
    for name in names:
        assert trajectory_bytes(tmp_path / "refilled", name) == trajectory_bytes(tmp_path / "together", name)
        assert trajectory_bytes(tmp_path / "stopped", name) == trajectory_bytes(tmp_path / "together", name)


def test_other_names_give_another_trajectory(tmp_path):
    a = job(tmp_path, "a")
    b = dataclasses.replace(job(tmp_path, "b"), seed_names=(2, "a"))
    simulate([a, b], CRYSTAL, SETTINGS)
    assert not np.array_equal(read(a.trajectory_path).positions, read(b.trajectory_path).positions)


def test_trajectory_holds_production_only_with_its_first_frame(tmp_path):
    (p,) = simulate([job(tmp_path, "r")], CRYSTAL, SETTINGS)
    t = read(p.trajectory)
    np.testing.assert_array_equal(t.steps, np.arange(0, 201, 10))
    assert t.times_ps[-1] == pytest.approx(0.4)
    assert t.frame_interval_ps == pytest.approx(0.02)
    assert set(t.scalars) == {"temperature", "potential_energy", "conserved"}
    assert t.attrs["equilibration"] == [["equilibrate", "csvr", 100]]
    assert p.summary.length_ps == pytest.approx(0.4)
    assert p.summary.n_atoms == 8
    assert not p.trajectory.with_suffix(".frames").exists()


def test_mean_temperature_of_production(tmp_path):
    """Eight runs of 8 atoms: the mean of all frames within 4 standard errors, which are below 3 %."""
    settings = DynamicsSettings(equilibrate_ps=0.5, produce_ps=2.0, tau_fs=30)
    jobs = [job(tmp_path, f"r{i}") for i in range(8)]
    means = [p.summary.mean_temperature_K for p in simulate(jobs, CRYSTAL, settings)]
    error = np.std(means, ddof=1) / np.sqrt(8)
    assert error < 0.03 * 600
    assert abs(np.mean(means) - 600) < 4 * error


def test_hydrogen_halves_the_step_and_mixes_with_others(tmp_path):
    light = job(tmp_path, "light")
    light.atoms.numbers[:] = 1
    heavy, alone = job(tmp_path, "heavy"), job(tmp_path / "x", "heavy")
    p = simulate([light, heavy], CRYSTAL, SETTINGS)
    assert (p[0].summary.dt_fs, p[1].summary.dt_fs) == (1.0, 2.0)
    assert (p[0].summary.steps, p[1].summary.steps) == (400, 200)
    simulate([alone], CRYSTAL, SETTINGS)
    assert trajectory_bytes(tmp_path, "heavy") == trajectory_bytes(tmp_path / "x", "heavy")


# ---------------------------------------------------------------- NPT, then production at the mean cell


@pytest.mark.parametrize("barostat", ["crescale", "crescale_anisotropic"])
def test_npt_segment_gives_the_mean_cell_and_shares_the_batch(tmp_path, barostat):
    settings = SETTINGS.model_copy(
        update={"barostat": barostat, "pressure_GPa": 2.0, "barostat_tau_fs": 200.0, "compressibility_per_GPa": 0.03}
    )
    npt, nvt = job(tmp_path, "npt", npt_ps=1.0), job(tmp_path, "nvt")
    p = simulate([npt, nvt], CRYSTAL, settings)
    t = read(p[0].trajectory)
    assert np.ptp(t.cells, axis=0).max() == 0
    # 3 k (a - a0) a... : springs of 2 eV/Å² hold 2 GPa at a compression of 1 to 4 % in length
    assert 0.86 < t.volumes_A3[0] / 216.0 < 0.995
    assert t.attrs["equilibration"][0][:2] == ["npt", barostat]
    other = tmp_path / "alone"
    simulate([job(other, "npt", npt_ps=1.0)], CRYSTAL, settings)
    assert trajectory_bytes(other, "npt") == trajectory_bytes(tmp_path, "npt")
    np.testing.assert_allclose(read(p[1].trajectory).volumes_A3, 216.0)
    asked = iter(range(10**6))
    stopped = tmp_path / "stopped"
    to_the_end([job(stopped, "npt", npt_ps=1.0)], CRYSTAL, settings, stop=lambda: next(asked) % 4 == 3)
    assert trajectory_bytes(stopped, "npt") == trajectory_bytes(tmp_path, "npt")


# ---------------------------------------------------------------- broken systems leave


def _nan_in_lithium(batch, call, answer):
    if call < 170:
        return answer
    forces = answer.forces.clone()
    forces[batch.numbers == 3] = float("nan")
    return dataclasses.replace(answer, forces=forces)


def test_a_system_that_explodes_is_evicted_and_the_others_do_not_notice(tmp_path):
    bad = job(tmp_path, "bad")
    bad.atoms.numbers[:] = 3
    p = simulate([job(tmp_path, "a"), bad, job(tmp_path, "b")], Watched(CRYSTAL, _nan_in_lithium), SETTINGS)
    assert [q.state for q in p] == ["done", "failed", "done"]
    assert p[1].outcome is Outcome.EXPLODED
    assert "not a finite number" in p[1].reason
    frames = read(p[1].trajectory)
    assert np.isfinite(frames.positions).all()
    np.testing.assert_array_equal(frames.steps, np.arange(0, 61, 10))  # up to the last good guard point
    clean = tmp_path / "clean"
    simulate([job(clean, "a"), job(clean, "b")], CRYSTAL, SETTINGS)
    for name in "ab":
        assert trajectory_bytes(tmp_path, name) == trajectory_bytes(clean, name)
    again = simulate([bad], Watched(CRYSTAL, _nan_in_lithium), SETTINGS)[0]
    assert (again.state, again.outcome, again.reason) == (p[1].state, p[1].outcome, p[1].reason)


def test_a_geometry_that_the_potential_refuses_ends_only_its_own_run(tmp_path):
    def refuse(batch, call, answer):
        if call > 150 and (batch.numbers == 3).any():
            raise GeometryError("an atom has no neighbours")
        return answer

    bad = job(tmp_path, "bad")
    bad.atoms.numbers[:] = 3
    p = simulate([job(tmp_path, "a"), bad], Watched(CRYSTAL, refuse), SETTINGS)
    assert [q.state for q in p] == ["done", "failed"]
    assert p[1].outcome is Outcome.EXPLODED
    assert "no neighbours" in p[1].reason
    simulate([job(tmp_path / "clean", "a")], CRYSTAL, SETTINGS)
    assert trajectory_bytes(tmp_path, "a") == trajectory_bytes(tmp_path / "clean", "a")


def test_a_refused_start_is_bad_geometry_and_a_fault_of_the_potential_is_an_error(tmp_path):
    def refuse_lithium(batch, call, answer):
        if (batch.numbers == 3).any():
            raise GeometryError("too close")
        return answer

    bad = job(tmp_path, "bad")
    bad.atoms.numbers[:] = 3
    p = simulate([bad, job(tmp_path, "a")], Watched(CRYSTAL, refuse_lithium), SETTINGS)
    assert (p[0].outcome, p[0].steps_done, p[1].state) == (Outcome.BAD_GEOMETRY, 0, "done")

    for number, (first, names) in enumerate([(0, "xy"), (5, "xy"), (0, "x"), (5, "x")]):

        def fault(batch, call, answer, first=first):
            if call > first:
                raise ValueError("a fault of the potential itself")
            return answer

        folder = tmp_path / str(number)
        with pytest.raises(ValueError, match="potential itself"):
            simulate([job(folder, n) for n in names], Watched(CRYSTAL, fault), SETTINGS)
        assert not list(folder.glob("*/checkpoint.npz"))  # nothing of it is stored as a result


def test_an_unknown_element_is_an_outcome(tmp_path):
    potential = Watched(CRYSTAL)
    potential.info = dataclasses.replace(CRYSTAL.info, elements=frozenset({11}))
    bad = job(tmp_path, "bad")
    bad.atoms.numbers[0] = 92
    p = simulate([bad, job(tmp_path, "a")], potential, SETTINGS)
    assert (p[0].state, p[0].outcome, p[0].reason) == (
        "failed",
        Outcome.UNKNOWN_ELEMENT,
        f"{CRYSTAL.info.name} was not trained for U",
    )
    assert p[1].state == "done"


def test_melting_and_broken_polyanions_end_a_run(tmp_path):
    """Free particles: a framework that flies apart, and bonds that do not hold."""
    guards = GuardSettings(max_framework_rms_A=1.0, min_distance_A=0.0)
    settings = SETTINGS.model_copy(update={"guards": guards})
    melting = job(tmp_path, "melting")
    broken = job(tmp_path, "broken", polyanions=(("P", "O", 3.1),), mobile=("O", "P"))
    broken.atoms.numbers[:] = [15, 8, 8, 8, 8, 8, 8, 8]
    melting = dataclasses.replace(melting, mobile=("Li",))
    p = simulate([melting, broken], FreeParticles(), settings)
    assert [q.outcome for q in p] == [Outcome.MELTED, Outcome.POLYANION_BROKEN]
    assert "framework moved 1." in p[0].reason
    assert "P-O" in p[1].reason


@pytest.mark.parametrize(
    ("guards", "words"),
    [
        ({"max_temperature_factor": 1.01}, "kinetic temperature"),
        ({"max_force_eV_per_A": 0.01}, "a force of"),
        ({"min_distance_A": 3.5}, "two atoms came as close"),
    ],
)
def test_every_bound_trips_with_its_sentence(tmp_path, guards, words):
    settings = SETTINGS.model_copy(update={"guards": GuardSettings(**guards), "start_kinetic_factor": 4.0})
    (p,) = simulate([job(tmp_path, "r")], CRYSTAL, settings)
    assert (p.state, p.outcome) == ("failed", Outcome.EXPLODED)
    assert words in p.reason


# ---------------------------------------------------------------- memory


def test_out_of_memory_halves_the_batch_and_changes_nothing_else(tmp_path):
    def small(batch, call, answer):
        if batch.n_systems > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return answer

    names = [f"r{i}" for i in range(5)]
    potential = Watched(CRYSTAL, small)
    capacity = Capacity(10_000)
    p = simulate([job(tmp_path, n) for n in names], potential, SETTINGS, capacity=capacity)
    assert [q.state for q in p] == ["done"] * 5
    assert capacity.bound <= 20
    simulate([job(tmp_path / "x", n) for n in names], CRYSTAL, SETTINGS)
    for name in names:
        assert trajectory_bytes(tmp_path, name) == trajectory_bytes(tmp_path / "x", name)


def test_running_out_in_the_middle_loses_no_step(tmp_path):
    def later(batch, call, answer):
        if call > 77 and batch.n_systems > 1:
            raise RuntimeError("CUDA error: out of memory")
        return answer

    names = ["a", "b", "c"]
    assert all(
        q.state == "done" for q in simulate([job(tmp_path, n) for n in names], Watched(CRYSTAL, later), SETTINGS)
    )
    simulate([job(tmp_path / "x", n) for n in names], CRYSTAL, SETTINGS)
    for name in names:
        assert trajectory_bytes(tmp_path, name) == trajectory_bytes(tmp_path / "x", name)


def test_one_system_that_does_not_fit_is_an_accident_not_chemistry(tmp_path):
    def never(batch, call, answer):
        raise MemoryError

    with pytest.raises(TransientError, match="one system alone does not fit"):
        simulate([job(tmp_path, "r")], Watched(CRYSTAL, never), SETTINGS)
    assert not (tmp_path / "r" / "checkpoint.npz").exists()


# ---------------------------------------------------------------- time, restart, identity


def test_asked_again_a_finished_run_costs_nothing(tmp_path):
    first = simulate([job(tmp_path, "r")], CRYSTAL, SETTINGS)[0]
    potential = Watched(CRYSTAL)
    again = simulate([job(tmp_path, "r")], potential, SETTINGS)[0]
    assert potential.calls == 0
    assert again.summary == first.summary
    assert again.state == "done"


def test_deadline_and_stop_save_and_return(tmp_path):
    p = simulate([job(tmp_path, "r")], CRYSTAL, SETTINGS, deadline_s=0.0)[0]
    assert (p.state, p.steps_done, p.summary) == (
        "unfinished",
        20,
        None,
    )  # one guard point at least: progress is certain
    assert simulate([job(tmp_path, "r")], CRYSTAL, SETTINGS, stop=lambda: True)[0].steps_done == 20
    assert simulate([job(tmp_path, "new")], CRYSTAL, SETTINGS, stop=lambda: True)[0].steps_done == 0
    p = simulate([job(tmp_path, "r")], CRYSTAL, SETTINGS)[0]
    assert (p.state, p.diagnostics["restarts"]) == ("done", 1)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"temperature_K": 601.0}, "temperature_K"),
        ({"seed_names": (9, "r")}, "seed_names"),
        ({"produce_ps": 0.6}, "segments"),
    ],
)
def test_checkpoint_of_another_run_is_refused(tmp_path, change, key):
    first = job(tmp_path, "r")
    simulate([first], CRYSTAL, SETTINGS, deadline_s=0.0)
    with pytest.raises(DataError, match="belongs to another run") as caught:
        simulate([dataclasses.replace(first, **change)], CRYSTAL, SETTINGS)
    assert key in str(caught.value)
    other = HarmonicLattice(2, 3.0, 2.0, 0.0)
    other.info = dataclasses.replace(other.info, sha256="2" * 64)
    with pytest.raises(DataError, match="potential"):
        simulate([first], other, SETTINGS)


def test_damaged_checkpoint_teaches(tmp_path):
    simulate([job(tmp_path, "r")], CRYSTAL, SETTINGS, deadline_s=0.0)
    path = tmp_path / "r" / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="cannot be read"):
        simulate([job(tmp_path, "r")], CRYSTAL, SETTINGS)


def test_wrong_jobs_are_refused(tmp_path):
    with pytest.raises(InputError, match="share a folder"):
        simulate([job(tmp_path, "r"), job(tmp_path, "r")], CRYSTAL, SETTINGS)
    with pytest.raises(InputError, match="shorter than one frame"):
        simulate([job(tmp_path, "r", produce_ps=0.001)], CRYSTAL, SETTINGS)
    open_cell = job(tmp_path, "r")
    open_cell.atoms.pbc = False
    with pytest.raises(InputError, match="periodic"):
        simulate([open_cell], CRYSTAL, SETTINGS)
    with pytest.raises(InputError, match="above 0 K"):
        simulate([job(tmp_path, "r", 0.0)], CRYSTAL, SETTINGS)


def test_disk_error_of_the_writing_thread_reaches_the_caller(tmp_path):
    target = job(tmp_path, "r")
    (tmp_path / "r" / "checkpoint.npz").mkdir(parents=True)  # the checkpoint cannot be renamed onto a folder
    with pytest.raises((OSError, DataError)):
        simulate([target], CRYSTAL, SETTINGS)


def test_a_run_that_is_not_at_temperature_is_flagged(tmp_path):
    """No thermostat and a cold start: production stays at about half the target."""
    settings = DynamicsSettings(
        integrator="nve", equilibrate_ps=0, produce_ps=1.0, start_kinetic_factor=1.0, guard_steps=50
    )
    thermal = settings.model_copy(update={"integrator": "csvr", "tau_fs": 1e6})
    assert simulate([job(tmp_path, "nve")], CRYSTAL, settings)[0].flags == ()  # nve has no target to miss
    p = simulate([job(tmp_path, "r")], HarmonicLattice(2, 3.0, 8.0, 0.0), thermal)[0]
    assert p.summary.mean_temperature_K < 450
    assert p.flags == (Flag.NOT_EQUILIBRATED,)


def test_a_slow_block_is_left_between_guard_points(tmp_path, monkeypatch):
    from ionsieve.dynamics.engines import batch

    monkeypatch.setattr(batch, "PATIENCE_S", 0.0)
    p = simulate([job(tmp_path, "r")], CRYSTAL, SETTINGS, stop=iter([False, False, True, True, True]).__next__)[0]
    assert p.state == "unfinished"
    assert 0 < p.steps_done < 20
    assert simulate([job(tmp_path, "r")], CRYSTAL, SETTINGS)[0].state == "done"
    simulate([job(tmp_path / "x", "r")], CRYSTAL, SETTINGS)
    assert trajectory_bytes(tmp_path, "r") == trajectory_bytes(tmp_path / "x", "r")


@pytest.mark.parametrize("kind", ["pair-lj", "pair-ionic"])
def test_real_pair_potentials_are_bitwise_independent_of_company(tmp_path, kind):
    from ase.build import bulk

    from ionsieve.potentials.pair import PairPotential

    def some(folder, wanted):
        made = []
        for i in wanted:
            salt = kind == "pair-ionic"
            atoms = bulk("NaCl", "rocksalt", a=6.3, cubic=True) if salt else bulk("Ar", "fcc", a=5.4, cubic=True)
            atoms *= (1 + i % 2, 1, 1)
            atoms.rattle(0.05, seed=i)
            made.append(Job(f"r{i}", atoms, (300.0 if salt else 40.0) + 20 * i, (1, i), folder / f"r{i}"))
        return made

    settings = SETTINGS.model_copy(update={"produce_ps": 0.1, "equilibrate_ps": 0.1})
    assert all(p.state == "done" for p in simulate(some(tmp_path, range(3)), PairPotential(kind), settings))
    for i in range(3):
        simulate(some(tmp_path / "alone", [i]), PairPotential(kind), settings)
        assert trajectory_bytes(tmp_path / "alone", f"r{i}") == trajectory_bytes(tmp_path, f"r{i}")
