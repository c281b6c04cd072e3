"""The small parts: plan, noise, packing, guards, checkpoints, outbox, light doors."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from ionsieve.dynamics import METHODS, DynamicsSettings, GuardSettings, Job, RelaxSettings, plan
from ionsieve.dynamics.book import Book
from ionsieve.dynamics.guards import Reading, closest_approach_A, find_bonds, framework_mask, framework_rms_A, worst
from ionsieve.dynamics.integrators import method
from ionsieve.dynamics.noise import Stream, atoms3, chi_square, normal
from ionsieve.dynamics.outbox import Outbox
from ionsieve.dynamics.packing import Capacity, admit, lower_bound_s
from ionsieve.dynamics.start import maxwell_boltzmann
from ionsieve.dynamics.state import elementwise, merge, split
from ionsieve.dynamics.toys import FreeParticles, lattice
from ionsieve.errors import InputError
from ionsieve.units import BOLTZMANN_EV_PER_K, EV_PER_U_A2_PER_FS2
from ionsieve.verdicts import Outcome


def job(tmp_path, **changes):
    return Job("r", lattice(2), 600.0, (1, "r"), tmp_path / "r", **changes)


def test_settings_import_nothing_heavy():
    code = (
        "import sys, ionsieve.dynamics.settings, ionsieve.trajectory;"
        "print([m for m in ('torch', 'ase', 'scipy', 'pymatgen', 'h5py', 'numpy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_settings_refuse_what_makes_no_sense():
    with pytest.raises(ValidationError, match="no multiple"):
        DynamicsSettings(frame_interval_fs=15.0, dt_fs=2.0)
    with pytest.raises(ValidationError, match="sample_interval_fs = 5"):
        DynamicsSettings(sample_interval_fs=5.0)
    with pytest.raises(ValidationError, match="runs no NPT"):
        DynamicsSettings(engine="ase", npt_ps=5.0)
    with pytest.raises(ValidationError, match="shorter than a frame"):
        DynamicsSettings(produce_ps=0.01)
    for model in (DynamicsSettings, RelaxSettings, GuardSettings):
        assert model.model_validate_json(model().model_dump_json()) == model()
        assert all(field.description for field in model.model_fields.values())


def test_plan_rounds_to_whole_frames_and_guard_points(tmp_path):
    settings = DynamicsSettings(equilibrate_ps=0.123, produce_ps=0.5, npt_ps=0.2, guard_steps=50)
    segments = plan(job(tmp_path, produce_ps=0.333), settings)
    assert [(s.kind, s.steps) for s in segments] == [("npt", 100), ("equilibrate", 100), ("produce", 160)]
    assert [s.kind for s in plan(job(tmp_path, npt_ps=0.0, equilibrate_ps=0.0), settings)] == ["produce"]


def test_noise_depends_on_names_and_step_alone():
    for kind, shape in ((normal("a"), (7,)), (chi_square("b"), (7,)), (atoms3("c"), (7, 5, 3))):
        whole = Stream((1, "x"), 5, 12).take(kind, 0, 600)
        fresh = Stream((1, "x"), 5, 12).take(kind, 250, 7)
        assert fresh.shape == shape
        np.testing.assert_array_equal(fresh, whole[250:257])
        assert not np.array_equal(Stream((1, "y"), 5, 12).take(kind, 250, 7), fresh)
    chi = Stream((1, "x"), 5, 12).take(chi_square("b"), 0, 4000)
    assert chi.mean() == pytest.approx(11, rel=4 * np.sqrt(2 / 11 / 4000))
    assert not Stream((1, "x"), 1, 1).take(chi_square("b"), 0, 10).any()


def test_noise_is_frozen():
    """Golden numbers: a NumPy with other streams would change every stochastic trajectory, and must be noticed."""
    got = Stream((7, "golden"), 2, 6).take(normal("csvr.R"), 1000, 3)
    np.testing.assert_allclose(got, GOLDEN, rtol=1e-14)


GOLDEN = [0.5738927131319688, -1.7307418963146353, -1.0717893551748903]


def test_initial_velocities():
    masses = np.array([1.0, 7.0, 23.0, 35.5])
    v = maxwell_boltzmann(masses, 500.0, (1, "r"), keeps_momentum=True)
    kinetic = 0.5 * EV_PER_U_A2_PER_FS2 * (masses[:, None] * v**2).sum()
    assert kinetic == pytest.approx(0.5 * 9 * BOLTZMANN_EV_PER_K * 500)
    np.testing.assert_allclose((masses[:, None] * v).sum(axis=0), 0, atol=1e-14)
    single = maxwell_boltzmann(masses[:1], 500.0, (1, "r"), keeps_momentum=True)
    assert 0.5 * EV_PER_U_A2_PER_FS2 * (single**2).sum() == pytest.approx(1.5 * BOLTZMANN_EV_PER_K * 500)


def test_numpy_functions_do_not_depend_on_the_place_of_an_element():
    x = torch.from_numpy(np.random.default_rng(0).normal(size=120) * 0.1)
    for function in (np.exp, np.log):
        values = x.abs() if function is np.log else x
        one = torch.cat([elementwise(function, values[i : i + 1]) for i in range(120)])
        for start in range(0, 40, 3):
            for length in range(1, 40):
                part = elementwise(function, values[start : start + length])
                assert torch.equal(part, one[start : start + length])


def test_split_and_merge_are_inverse(tmp_path):
    books = [Book(job(tmp_path), DynamicsSettings(), FreeParticles.info, ("temperature",)) for _ in range(3)]
    for book in books:
        book.open()
    states = [b.state for b in books]
    again = split(merge(states))
    for a, b in zip(states, again, strict=True):
        assert torch.equal(a.positions, b.positions)
        assert torch.equal(a.velocities, b.velocities)
        assert torch.equal(a.system_index, b.system_index)
    for book in books:
        book.close()


# ---------------------------------------------------------------- packing


def test_longest_first_and_small_ones_into_the_gap():
    waiting = [(40, 100), (90, 500), (50, 400), (20, 10)]
    assert admit(waiting, [], Capacity(120)) == [1, 3]
    assert admit(waiting, [60], Capacity(120)) == [2]
    assert admit([(500, 1)], [], Capacity(120)) == [0]  # alone it must be tried
    assert admit([(500, 1)], [1], Capacity(120)) == []


def test_capacity_in_bytes_remembers():
    told = []
    capacity = Capacity(1000.0, cost=lambda n: 10.0 * n, remember=told.append)
    assert capacity.fits([50], 50)
    assert not capacity.fits([50], 51)
    capacity.ran_out([40, 40])
    assert (capacity.bound, told) == (400.0, [80])
    capacity.ran_out([90])
    assert capacity.bound == 200.0  # only ever down


def test_lower_bound():
    assert lower_bound_s([(100, 1000)], 200, 0.01, 0.0) == pytest.approx(10.0)  # the longest job
    assert lower_bound_s([(100, 1000)] * 4, 200, 0.01, 1e-5) == pytest.approx(20.0 + 4.0)  # the full device


# ---------------------------------------------------------------- guards


def test_worst_has_a_sentence_for_each():
    guards = GuardSettings()
    reading = Reading(temperature_K=600.0, energy_eV=-5.0, force_eV_per_A=3.0, disagreement_eV_per_A=0.1)
    good = {
        "target_K": 600.0,
        "dof": 117.0,
        "distance_A": 1.5,
        "volume_change_percent": 1.0,
        "framework_A": 0.3,
    }
    assert worst(guards, reading, **good) is None
    assert worst(guards, dataclasses.replace(reading, disagreement_eV_per_A=None), **good) is None
    for key, value in {
        "temperature_K": 2500.0,
        "energy_eV": float("nan"),
        "force_eV_per_A": 61.0,
        "disagreement_eV_per_A": 2.1,
    }.items():
        assert worst(guards, dataclasses.replace(reading, **{key: value}), **good).outcome is Outcome.EXPLODED
    for key, value, outcome in (
        ("distance_A", 0.4, Outcome.EXPLODED),
        ("volume_change_percent", -41.0, Outcome.EXPLODED),
        ("framework_A", 2.6, Outcome.MELTED),
    ):
        assert worst(guards, reading, **{**good, key: value}).outcome is outcome
    # 3 T and no more than a fluctuation
    assert worst(guards, dataclasses.replace(reading, temperature_K=1900.0), **good) is None
    assert worst(guards, dataclasses.replace(reading, disagreement_eV_per_A=float("nan")), **good) is not None


def test_geometry_of_the_guards():
    from ase import Atoms

    atoms = Atoms("PO2Li", positions=[[0.1, 0, 0], [9.0, 0, 0], [1.4, 0, 0], [5, 5, 5]], cell=np.eye(3) * 10, pbc=True)
    bonds = find_bonds(atoms, [("P", "O", 1.8)])
    assert sorted(zip(bonds.i, bonds.j, strict=True)) == [(0, 1), (0, 2)]
    moved = atoms.positions + 10 * np.array([[0, 0, 0], [0, 0, 0], [0, 0, 0], [3, 0, 0]])
    np.testing.assert_allclose(sorted(bonds.lengths_A(moved, atoms.cell.array)), [1.1, 1.3])
    assert closest_approach_A(atoms.positions, atoms.cell.array, 2.5) == pytest.approx(1.1)
    assert closest_approach_A(atoms.positions, atoms.cell.array, 1.0) == float("inf")
    symbols = atoms.get_chemical_symbols()
    assert framework_mask(symbols, ["Li"], []).tolist() == [True, True, True, False]
    assert framework_mask(symbols, ["Li"], ["P"]).tolist() == [True, False, False, False]
    mask = framework_mask(symbols, ["Li"], [])
    drifted = atoms.positions + np.array([4.0, 0, 0])
    drifted[3] += 20
    assert framework_rms_A(drifted, atoms.positions, mask) == pytest.approx(0.0, abs=1e-12)


def test_unknown_method_suggests():
    with pytest.raises(InputError, match="did you mean 'csvr'"):
        method("cvsr")


def test_every_method_is_explained_and_cited():
    page = (Path(__file__).parents[3] / "docs" / "theory" / "dynamics.md").read_text()
    for name, m in METHODS.items():
        assert f"`{name}`" in page
        for key in m.cite:
            assert f"- [{key}]" in page


def test_outbox_keeps_order_and_passes_errors_on():
    done = []

    def fail():
        raise OSError("disk full")

    def use():
        with Outbox() as box:
            box.submit(lambda: done.append(1))
            box.submit(fail)
            box.submit(lambda: done.append(2))
            box.drain()

    with pytest.raises(OSError, match="disk full"):
        use()
    assert done == [1]
