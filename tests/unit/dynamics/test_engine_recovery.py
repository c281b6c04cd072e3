"""The engines after a stop between guard points, a lack of memory, a number that is none, a refusal, a restart."""

import dataclasses

import numpy as np
import pytest
import torch
from ase.build import bulk

from ionsieve.dynamics import DynamicsSettings, Job, RelaxSettings, checkpoint, relax_many, simulate, simulation
from ionsieve.dynamics.book import Book
from ionsieve.dynamics.engines import batch as batch_engine
from ionsieve.dynamics.packing import Capacity
from ionsieve.dynamics.toys import HarmonicLattice, lattice
from ionsieve.errors import DataError, GeometryError
from ionsieve.potentials import memory
from ionsieve.potentials.pair import PairPotential
from ionsieve.systems import Batch
from ionsieve.trajectory import read
from ionsieve.verdicts import Outcome

CRYSTAL = HarmonicLattice(2, 3.0, 2.0, 40.0)
SETTINGS = DynamicsSettings(equilibrate_ps=0.2, produce_ps=0.4, tau_fs=40, guard_steps=20, slice_steps=60)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def saves(monkeypatch):
    """(run, step) of every checkpoint written."""
    seen = []
    write = checkpoint.save

    def save(path, what):
        seen.append((path.parent.name, what.step))
        write(path, what)

    monkeypatch.setattr(checkpoint, "save", save)
    return seen


class Faulty:
    """A potential whose answer to each call goes through ``fault(batch, call, answer)``."""

    def __init__(self, inner, fault):
        self.inner, self.fault, self.info, self.calls = inner, fault, inner.info, 0

    def evaluate(self, batch, *, stress=False):
        self.calls += 1
        return self.fault(batch, self.calls, self.inner.evaluate(batch, stress=stress))


def job(folder, name, **changes):
    return Job(name, lattice(2), 600.0, (1, name), folder / name, **changes)


def same_files(a, b, names):
    return all((a / n / "trajectory.h5").read_bytes() == (b / n / "trajectory.h5").read_bytes() for n in names)


# ---------------------------------------------------------------- guard points at different offsets


def test_runs_resumed_between_guard_points_are_saved_and_come_into_line(tmp_path, monkeypatch, saves):
    folder, names = tmp_path / "x", ("a", "b", "c")
    monkeypatch.setattr(batch_engine, "PATIENCE_S", 0.0)
    answers = iter([False, False, True, True, True, True])
    first = simulate(
        [job(folder, "a"), job(folder, "b")], CRYSTAL, SETTINGS, stop=answers.__next__, capacity=Capacity(8)
    )
    assert 0 < first[0].steps_done < 20
    monkeypatch.setattr(batch_engine, "PATIENCE_S", 5.0)
    blocks = []
    block = batch_engine.BatchEngine._block

    def counted(self, waiting):
        blocks.append(block(self, waiting))
        return blocks[-1]

    monkeypatch.setattr(batch_engine.BatchEngine, "_block", counted)
    saves.clear()
    p = simulate([job(folder, n) for n in names], CRYSTAL, SETTINGS, capacity=Capacity(24))
    assert [q.state for q in p] == ["done"] * 3
    assert len(blocks) == 16  # the rest of a's interval alone, then 15 intervals together
    gaps = [np.diff([0, *(s for n, s in saves if n == name)]).max() for name in names]
    assert max(gaps) <= SETTINGS.slice_steps
    simulate([job(tmp_path / "calm", n) for n in names], CRYSTAL, SETTINGS)
    assert same_files(folder, tmp_path / "calm", names)


def test_those_sent_to_wait_between_guard_points_come_back_as_soon_as_there_is_room(tmp_path, saves):
    def full(batch, call, answer):
        if 77 < call < 80 and batch.n_systems > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return answer

    lengths = {"a": 0.3, "b": 0.2, "c": 0.4, "d": 0.8}

    def jobs(folder):
        return [job(folder, n, produce_ps=length) for n, length in lengths.items()]

    p = simulate(jobs(tmp_path / "x"), Faulty(CRYSTAL, full), SETTINGS, capacity=Capacity(32))
    assert [q.state for q in p] == ["done"] * 4
    assert {("a", 76), ("b", 76)} <= set(saves)  # what they had done is on disk while they wait
    order = [n for n, _ in saves]
    assert order.index("a", saves.index(("a", 76)) + 1) < saves.index(("d", 500))  # beside d, not after all
    simulate(jobs(tmp_path / "calm"), CRYSTAL, SETTINGS)
    assert same_files(tmp_path / "x", tmp_path / "calm", lengths)


def test_frames_after_the_last_good_guard_point_are_dropped_after_a_restart_too(tmp_path, monkeypatch):
    """A save between guard points is not the last good one."""

    def broken(batch, call, answer):
        return dataclasses.replace(answer, forces=answer.forces * torch.nan) if call > limit else answer

    limit = 155
    simulate([job(tmp_path / "calm", "r")], Faulty(CRYSTAL, broken), SETTINGS)
    limit = 10**6
    monkeypatch.setattr(batch_engine, "PATIENCE_S", 0.0)
    wait = iter(range(10**6))
    p = simulate([job(tmp_path / "x", "r")], CRYSTAL, SETTINGS, stop=lambda: next(wait) > 158)[0]
    assert 140 < p.steps_done < 160
    limit = 0
    simulate([job(tmp_path / "x", "r")], Faulty(CRYSTAL, broken), SETTINGS)
    np.testing.assert_array_equal(read(tmp_path / "x" / "r" / "trajectory.h5").steps, np.arange(0, 41, 10))
    np.testing.assert_array_equal(read(tmp_path / "calm" / "r" / "trajectory.h5").steps, np.arange(0, 41, 10))


# ---------------------------------------------------------------- the mean cell


def test_the_mean_cell_does_not_know_where_blocks_end(tmp_path):
    """A mate that explodes in the first half of NPT cuts a block in two."""

    def explode(batch, call, answer):
        forces = answer.forces.clone()
        forces[(batch.numbers == 3) & (call >= 54)] = float("nan")
        return dataclasses.replace(answer, forces=forces)

    settings = SETTINGS.model_copy(
        update={
            "barostat": "crescale_anisotropic",
            "pressure_GPa": 2.0,
            "barostat_tau_fs": 200.0,
            "compressibility_per_GPa": 0.03,
        }
    )
    simulate([job(tmp_path / "alone", "r", npt_ps=0.2)], CRYSTAL, settings)
    bad = job(tmp_path / "mate", "bad", npt_ps=0.2)
    bad.atoms.numbers[:] = 3
    p = simulate([job(tmp_path / "mate", "r", npt_ps=0.2), bad], Faulty(CRYSTAL, explode), settings)
    assert [q.state for q in p] == ["done", "failed"]
    assert same_files(tmp_path / "alone", tmp_path / "mate", ["r"])


# ---------------------------------------------------------------- memory


def test_the_memory_of_a_failed_pass_is_free_before_the_parts_are_tried(tmp_path):
    """1000 bytes an atom and room for 48: the first pass of 64 fails and leaves the device full while it lives."""
    room, used, tried = 48_000, [0], []

    class Activations:
        def __init__(self, size):
            self.size = size
            used[0] += size

        def __del__(self):
            used[0] -= self.size

    def device(batch, call, answer):
        need, before = 1000 * batch.n_atoms, used[0]
        held = Activations(min(need, room - before))
        tried.append((batch.n_systems, before))
        if before + need > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        assert held.size == need
        return answer

    capacity = Capacity(64)
    names = [f"r{i}" for i in range(8)]
    p = simulate([job(tmp_path / "x", n) for n in names], Faulty(CRYSTAL, device), SETTINGS, capacity=capacity)
    assert [q.state for q in p] == ["done"] * 8
    assert tried[:3] == [(8, 0), (4, 0), (4, 0)]
    assert capacity.bound == 32  # once lowered, not again by the first step
    simulate([job(tmp_path / "calm", n) for n in names], CRYSTAL, SETTINGS)
    assert same_files(tmp_path / "x", tmp_path / "calm", names)


def test_the_edge_density_is_that_of_the_densest_structure(monkeypatch):
    soft, hard = bulk("NaI", "rocksalt", a=6.47, cubic=True), bulk("MgO", "rocksalt", a=4.21, cubic=True)

    class Device:
        info = dataclasses.replace(CRYSTAL.info, device="cuda:0", cutoff_A=6.0)

    monkeypatch.setattr(memory, "memory_book", lambda *_: memory.MemoryBook(memory.MemoryModel(1000.0, 0.0, 0.0), 1e9))
    for cells in ([soft, hard * (2, 2, 2), soft * (3, 3, 3)], [hard * (3, 3, 3), soft * (3, 3, 3)]):
        jobs = [Job(str(i), atoms, 300.0, (i,), None) for i, atoms in enumerate(cells)]
        capacity = simulation._capacity(jobs, Device(), SETTINGS)
        for atoms in cells:
            assert capacity.cost(len(atoms)) >= 1000 * memory.count_edges(atoms, 6.0)


# ---------------------------------------------------------------- numbers that are none


def argon(seed):
    atoms = bulk("Ar", "fcc", a=5.4, cubic=True)
    atoms.rattle(0.05, seed=seed)
    return atoms


def _last_stress_is_nan(first):
    def fault(batch, call, answer):
        if call < first or batch.n_systems < 2 or answer.stresses is None:
            return answer
        stresses = answer.stresses.clone()
        stresses[-1] = float("nan")
        return dataclasses.replace(answer, stresses=stresses)

    return fault


def test_a_stress_that_is_no_number_ends_one_npt_run_and_one_relaxation(tmp_path):
    settings = SETTINGS.model_copy(update={"npt_ps": 0.1})
    jobs = [Job(n, argon(1), 40.0, (1, n), tmp_path / n) for n in "ab"]
    p = simulate(jobs, Faulty(PairPotential("pair-lj"), _last_stress_is_nan(10)), settings)
    assert [(q.state, q.outcome) for q in p] == [("done", Outcome.COMPLETED), ("failed", Outcome.EXPLODED)]
    assert "finite" in p[1].reason
    salts = [bulk("NaCl", "rocksalt", a=6.0, cubic=True) for _ in range(2)]
    for seed, salt in enumerate(salts):
        salt.rattle(0.1, seed=seed)
    ends = relax_many(salts, Faulty(PairPotential("pair-ionic"), _last_stress_is_nan(3)), RelaxSettings())
    assert [r.outcome for r in ends] == [Outcome.COMPLETED, Outcome.NOT_RELAXED]
    assert ends[1].max_stress_GPa is None


@pytest.mark.parametrize("stress", [False, True])
@pytest.mark.parametrize("factor", [float("nan"), float("inf"), 0.0])
def test_a_cell_that_is_no_cell_is_a_refusal_that_names_its_system(factor, stress):
    potential = PairPotential("pair-lj")
    batch = Batch.from_atoms([argon(1), argon(2)])
    potential.evaluate(batch)
    cells = batch.cells.clone()
    cells[1] *= factor
    with pytest.raises(GeometryError, match="system 1"):
        potential.evaluate(Batch(batch.positions, cells, batch.numbers, batch.system_index), stress=stress)


# ---------------------------------------------------------------- refusals, restarts


@pytest.mark.parametrize("engine", ["batch", "ase"])
def test_a_refused_geometry_ends_its_run_with_the_last_good_state(tmp_path, engine):
    def refuse(batch, call, answer):
        if call > 150 and (batch.numbers == 3).any():
            raise GeometryError("an atom has no neighbours")
        return answer

    settings = SETTINGS.model_copy(update={"engine": engine})
    bad = job(tmp_path, "bad")
    bad.atoms.numbers[:] = 3
    p = simulate([bad, job(tmp_path, "a")], Faulty(CRYSTAL, refuse), settings)
    assert [(q.state, q.outcome) for q in p] == [("failed", Outcome.EXPLODED), ("done", Outcome.COMPLETED)]
    assert "no neighbours" in p[0].reason
    assert 140 <= p[0].steps_done < 150
    np.testing.assert_array_equal(read(p[0].trajectory).steps, np.arange(0, 41, 10))
    saved = checkpoint.read_head(tmp_path / "bad" / "checkpoint.npz")
    assert (saved["finished"], saved["memory"]["trip"][0]) == (True, "exploded")
    again = simulate([bad], CRYSTAL, settings)[0]
    assert (again.state, again.reason) == ("failed", p[0].reason)


@pytest.mark.parametrize("engine", ["batch", "ase"])
def test_a_refused_start_is_bad_geometry_with_either_engine(tmp_path, engine):
    def refuse(batch, call, answer):
        if (batch.numbers == 3).any():
            raise GeometryError("too close")
        return answer

    bad = job(tmp_path, "bad")
    bad.atoms.numbers[:] = 3
    settings = SETTINGS.model_copy(update={"engine": engine})
    p = simulate([bad, job(tmp_path, "a")], Faulty(CRYSTAL, refuse), settings)
    assert [(q.outcome, q.steps_done) for q in p] == [(Outcome.BAD_GEOMETRY, 0), (Outcome.COMPLETED, 300)]


@pytest.mark.parametrize("left", [0.0, None])
def test_how_a_run_ended_is_known_also_where_the_deadline_comes_before_its_turn(tmp_path, left):
    """A worker died after the run had ended and before its record was stored; the bundle is asked again."""

    def broken(batch, call, answer):
        return dataclasses.replace(answer, forces=answer.forces * torch.nan) if call > 155 else answer

    bad = job(tmp_path, "bad")
    first = simulate([bad], Faulty(CRYSTAL, broken), SETTINGS)[0]
    assert (first.state, first.outcome) == ("failed", Outcome.EXPLODED)
    jobs = [job(tmp_path, "long", produce_ps=2.0), bad]
    again = simulate(jobs, CRYSTAL, SETTINGS, deadline_s=left, capacity=Capacity(8))[1]
    assert (again.state, again.outcome, again.reason) == ("failed", first.outcome, first.reason)
    assert again.summary == first.summary


@pytest.mark.parametrize("engine", ["batch", "ase"])
def test_a_run_killed_before_its_first_checkpoint_begins_anew(tmp_path, monkeypatch, engine):
    """Its frame 0 is on disk already; the running MSD must see it all the same."""
    settings = SETTINGS.model_copy(update={"engine": engine, "equilibrate_ps": 0.0, "sample_interval_fs": 10.0})
    jobs = [dataclasses.replace(job(tmp_path / where, "r"), mobile=("Na",)) for where in ("calm", "killed")]
    simulate(jobs[:1], CRYSTAL, settings)

    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", kill)
        with pytest.raises(Killed):
            simulate(jobs[1:], CRYSTAL, settings)
    assert (tmp_path / "killed" / "r" / "trajectory.frames").exists()
    simulate(jobs[1:], CRYSTAL, settings)
    assert same_files(tmp_path / "calm", tmp_path / "killed", ["r"])


@pytest.mark.parametrize("harm", ["a byte is wrong", "the end is missing", "the file is gone"])
def test_frames_that_were_lost_are_not_passed_over(tmp_path, harm):
    """The checkpoint is whole, its journal is not: a trajectory with a gap must not come of it."""
    asked = iter(range(100))
    assert simulate([job(tmp_path, "r")], CRYSTAL, SETTINGS, stop=lambda: next(asked) > 9)[0].steps_done == 200
    path = tmp_path / "r" / "trajectory.frames"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    if harm == "a byte is wrong":
        path.write_bytes(raw)
    elif harm == "the end is missing":
        path.write_bytes(path.read_bytes()[:-400])
    else:
        path.unlink()
    with pytest.raises(DataError, match="lost or damaged"):
        simulate([job(tmp_path, "r")], CRYSTAL, SETTINGS)


@pytest.mark.parametrize("engine", ["batch", "ase"])
def test_killed_between_the_end_and_its_trajectory_a_broken_run_shows_good_frames_only(tmp_path, monkeypatch, engine):
    """Frames beyond the last good guard point were saved, and the kill came before they were cut."""

    def broken(batch, call, answer):
        return dataclasses.replace(answer, forces=answer.forces * torch.nan) if call > limit else answer

    settings = SETTINGS.model_copy(update={"engine": engine})
    limit = 155
    p = simulate([job(tmp_path / "calm", "r")], Faulty(CRYSTAL, broken), settings)[0]
    with monkeypatch.context() as patch:
        patch.setattr(Book, "_cut_frames", lambda *_: None)
        patch.setattr(Book, "_publish", lambda *_: None)
        patch.setattr(Book, "drop_frames_after_last_good", lambda *_: None)
        simulate([job(tmp_path / "killed", "r")], Faulty(CRYSTAL, broken), settings)
    assert not (tmp_path / "killed" / "r" / "trajectory.h5").exists()
    again = simulate([job(tmp_path / "killed", "r")], CRYSTAL, settings)[0]
    assert (again.state, again.reason) == (p.state, p.reason)
    assert same_files(tmp_path / "calm", tmp_path / "killed", ["r"])


@pytest.mark.parametrize("engine", ["batch", "ase"])
def test_a_broken_run_has_no_running_msd(tmp_path, engine):
    def broken(batch, call, answer):
        return dataclasses.replace(answer, forces=answer.forces * torch.nan) if call > 155 else answer

    settings = SETTINGS.model_copy(update={"engine": engine, "sample_interval_fs": 2.0})
    one = dataclasses.replace(job(tmp_path, "r"), mobile=("Na",))
    p = simulate([one], Faulty(CRYSTAL, broken), settings)[0]
    assert (p.state, p.outcome) == ("failed", Outcome.EXPLODED)
    assert "online_msd" not in read(p.trajectory).attrs


def test_after_a_restart_the_one_with_most_left_enters_first(tmp_path, monkeypatch):
    asked = iter(range(10**6))
    p = simulate([job(tmp_path, "long", produce_ps=2.0)], CRYSTAL, SETTINGS, stop=lambda: next(asked) >= 50)
    assert p[0].steps_done > 700
    entered = []
    enter = batch_engine.BatchEngine._enter

    def watched(self, new, waiting):
        entered.extend(book.job.run_id for book in new)
        return enter(self, new, waiting)

    monkeypatch.setattr(batch_engine.BatchEngine, "_enter", watched)
    jobs = [job(tmp_path, "long", produce_ps=2.0), job(tmp_path, "short", produce_ps=1.6)]
    assert [q.state for q in simulate(jobs, CRYSTAL, SETTINGS, capacity=Capacity(8))] == ["done", "done"]
    assert entered == ["short", "long"]
