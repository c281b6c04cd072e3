"""The student learns, is reproducible, is read back by its digest; the checks tell a good one from a bad one."""

import numpy as np
import pytest
import torch
from ase import Atoms

from ionsieve.distill import (
    DistillSettings,
    StudentVerdict,
    check_diffusivity,
    check_forces,
    check_rdf,
    check_survival,
    choose_frames,
    label,
    partial_rdfs,
    potential_for,
    train,
)
from ionsieve.distill.frames import evaluate
from ionsieve.distill.rdf import rdf_distance
from ionsieve.distill.training import element_energies
from ionsieve.errors import InputError
from ionsieve.potentials import PotentialSettings, load
from ionsieve.records import Estimate, PotentialIdentity
from ionsieve.rng import generator
from ionsieve.trajectory import Trajectory
from ionsieve.verdicts import Outcome, Verdict

SMALL = DistillSettings(n_train=24, n_test=8, epochs=8, channels=8, batch_frames=2, cutoff_A=4.0, learning_rate=0.02)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def teacher():
    return load(PotentialSettings(name="pair-ionic", dtype="float64", device="cpu"))


def rocksalt():
    return Atoms(
        "NaCl", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=2.82 * (np.ones((3, 3)) - np.eye(3)), pbc=True
    ) * (
        2,
        2,
        2,
    )


def rattled(seed, frames=60, amplitude=0.12):
    atoms = rocksalt()
    noise = generator(seed, "frames").standard_normal((frames, len(atoms), 3))
    return Trajectory(
        positions=atoms.positions + amplitude * noise,
        cells=np.repeat(atoms.cell.array[None], frames, axis=0),
        times_ps=0.02 * np.arange(frames),
        steps=np.arange(frames),
        numbers=atoms.numbers,
    )


@pytest.fixture(scope="module")
def lessons(teacher):
    runs = [rattled(1), rattled(2)]
    chosen, held_out = choose_frames(runs, SMALL)
    return label(runs, chosen, teacher, perturbation_A=0.02, seed=3), label(runs, held_out, teacher)


@pytest.fixture(scope="module")
def student(lessons):
    return train(lessons[0], SMALL)


def test_held_out_frames_come_after_a_gap():
    runs = [rattled(1, frames=200), rattled(2, frames=40)]
    settings = DistillSettings(n_train=20, n_test=8, test_fraction=0.25, gap_fraction=0.1)
    learn, held_out = choose_frames(runs, settings)
    for run, length in ((0, 200), (1, 40)):
        last = max(frame for r, frame in learn if r == run)
        first = min(frame for r, frame in held_out if r == run)
        assert first - last > 0.1 * length
        assert first >= 0.75 * length
    assert len(learn) == 20
    assert len(held_out) == 8


def test_a_run_too_short_to_split_is_refused_with_a_remedy():
    with pytest.raises(InputError, match="too short") as caught:
        choose_frames([rattled(1, frames=2)], SMALL)
    assert "frame_interval_fs" in str(caught.value)
    with pytest.raises(InputError, match="at least one teacher run"):
        choose_frames([], SMALL)


def test_labels_are_the_teachers(teacher, lessons):
    learn, _ = lessons
    energies, forces = evaluate(teacher, learn.positions, learn.cells, learn.numbers, chunk=5)
    np.testing.assert_allclose(energies, learn.energies_eV, rtol=1e-12)
    np.testing.assert_allclose(np.array(forces), np.array(learn.forces_eV_per_A), atol=1e-10)
    # every third is perturbed, the others are as they were
    np.testing.assert_array_equal(learn.positions[0], rattled(1).positions[0])
    assert (
        np.abs(learn.positions[2] - rattled(1).positions[choose_frames([rattled(1), rattled(2)], SMALL)[0][2][1]]).max()
        > 0
    )


def test_element_energies_explain_the_mean(lessons):
    learn, _ = lessons
    shares = element_energies(learn)
    counts = np.array([[np.sum(n == z) for z in learn.elements] for n in learn.numbers])
    assert abs((counts @ shares - learn.energies_eV).mean()) < 1e-6


def test_the_student_learns(student, lessons, tmp_path):
    assert student.history[-1] < 0.25 * student.history[0]
    learn, held_out = lessons
    untrained = train(learn, SMALL.model_copy(update={"epochs": 1, "learning_rate": 1e-9}))
    errors = []
    for number, pupil in enumerate((untrained, student)):
        digest = pupil.save(tmp_path / f"{number}.model")
        potential = load(
            PotentialSettings(name="mace", path=str(tmp_path / f"{number}.model"), sha256=digest, device="cpu")
        )
        errors.append(check_forces(potential, held_out, SMALL)[0].value)
    assert errors[1] < 0.6 < 0.9 < errors[0]


def test_equal_lessons_equal_student(lessons):
    once, again = (train(lessons[0], SMALL.model_copy(update={"epochs": 1})) for _ in range(2))
    assert again.history == once.history
    for a, b in zip(again.model.parameters(), once.model.parameters(), strict=True):
        assert torch.equal(a, b)
    other = train(lessons[0], SMALL.model_copy(update={"epochs": 1, "seed": 1}))
    assert other.history != once.history


def test_training_leaves_the_process_as_it_was(lessons):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(lessons[0], SMALL.model_copy(update={"epochs": 1}))
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_default_dtype() is torch.float32


def test_training_stops_at_its_budget(lessons):
    short = train(lessons[0], SMALL.model_copy(update={"epochs": 5000, "budget_s": 0.5}))
    assert len(short.history) < 500


def test_rdf_of_rocksalt_has_its_shells_and_counts():
    atoms = rocksalt()
    rdf = partial_rdfs(atoms.positions[None], atoms.cell.array[None], atoms.numbers, reach_A=4.5, width_A=0.1)
    density = 8 / atoms.cell.volume
    r = 0.05 + 0.1 * np.arange(45)
    edges = 0.1 * np.arange(46)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    unlike, like = rdf[(11, 17)] * density * shells, rdf[(11, 11)] * density * shells
    assert unlike[np.abs(r - 2.82) < 0.1].sum() == pytest.approx(6)
    assert like[np.abs(r - 2.82 * np.sqrt(2)) < 0.1].sum() == pytest.approx(12)
    assert unlike.sum() == pytest.approx(6)


def test_rdf_distance_is_zero_for_equal_and_one_for_disjoint():
    g, h = np.zeros(10), np.zeros(10)
    g[2], h[7] = 1.0, (2.5 / 7.5) ** 2
    assert rdf_distance({(1, 1): g}, {(1, 1): g})[1, 1] == 0
    assert rdf_distance({(1, 1): g}, {(1, 1): h})[1, 1] == pytest.approx(1)


def test_rdf_check_passes_the_same_and_fails_a_swollen_crystal():
    run = rattled(1)
    swollen = Trajectory(1.1 * run.positions, 1.1 * run.cells, run.times_ps, run.steps, run.numbers)
    assert check_rdf("r", run, rattled(9), DistillSettings()).passed
    bad = check_rdf("r", run, swollen, DistillSettings())
    assert not bad.passed
    assert bad.value > 0.3


def diffusivity(value, decades):
    factors = [10 ** (k * decades) for k in (-1.96, -1, 1, 1.96)]
    return Estimate(
        quantity="tracer_diffusivity",
        kind=Verdict.VALUE,
        value=value,
        low95=value * factors[0],
        low68=value * factors[1],
        high68=value * factors[2],
        high95=value * factors[3],
    )


@pytest.mark.parametrize(
    ("student", "passed", "words"),
    [
        (diffusivity(1.2e-5, 0.1), True, "inside the teacher's 95 % interval"),
        (diffusivity(5e-5, 0.1), False, "outside"),
        (diffusivity(1.2e-5, 0.6), False, "too uncertain"),
        (
            Estimate(quantity="tracer_diffusivity", kind=Verdict.UPPER_LIMIT, value=1e-6),
            False,
            "the student gave no value",
        ),
    ],
)
def test_diffusivity_check(student, passed, words):
    check = check_diffusivity("900K", diffusivity(1e-5, 0.1), student, DistillSettings())
    assert check.passed is passed
    assert words in check.sentence


def verdict(checks):
    return StudentVerdict(
        family="antiperovskite",
        teacher=PotentialIdentity(name="chgnet-0.3.0", sha256="0" * 64),
        model_file="student.model",
        model_sha256="a" * 64,
        checks=checks,
    )


def all_checks(lessons, student_potential):
    run = rattled(1)
    d = diffusivity(1e-5, 0.1)
    return (
        *check_forces(student_potential, lessons[1], DistillSettings()),
        check_rdf("r", run, rattled(9), DistillSettings()),
        check_diffusivity("r", d, d, DistillSettings()),
        check_survival("r", Outcome.COMPLETED),
    )


def test_only_a_student_that_passed_everything_is_used(lessons, teacher, tmp_path):
    checks = all_checks(lessons, teacher)
    settings, sentence = potential_for(verdict(checks), PotentialSettings(), tmp_path)
    assert settings.name == "mace"
    assert settings.sha256 == "a" * 64
    assert "use the student" in sentence
    for missing in range(2, len(checks)):
        short = tuple(c for i, c in enumerate(checks) if i != missing)
        assert potential_for(verdict(short), PotentialSettings(), tmp_path)[0] == PotentialSettings()
    exploded = (*checks[:-1], check_survival("r", Outcome.EXPLODED, "400 eV/Å"))
    settings, sentence = potential_for(verdict(exploded), PotentialSettings(), tmp_path)
    assert settings == PotentialSettings()
    assert "stay with chgnet-0.3.0" in sentence
    assert "400 eV/Å" in sentence


def test_verdict_survives_json(lessons, teacher):
    told = verdict(all_checks(lessons, teacher))
    assert StudentVerdict.from_json(told.to_json()) == told
