"""``ionsieve distill`` after a campaign: a student, a verdict, and the teacher where nobody can vouch for it."""

import json

import pytest

from ionsieve.cli.app import run as main
from ionsieve.distill import StudentVerdict
from ionsieve.records import Measurement

CAMPAIGN = """
name: lessons
seed: 3
generate:
  supercell: {min_image_A: 7.0, max_atoms: 60}
  ordering: {n_configurations: 1}
  recipes:
    - prototype: Na3OCl_Pm-3m
      substitute: {Na: {Sr: 0.125}}
      supercell: {matrix: [2, 2, 2]}
potential: {name: pair-ionic, dtype: float64, device: cpu}
relax: {cell_policy: published, fmax_eV_per_A: 0.1, max_steps: 60}
dynamics: {equilibrate_ps: 0.1, produce_ps: 0.5}
simulate: {temperatures_K: [600]}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lessons")
    (folder / "lessons.yaml").write_text(CAMPAIGN)
    assert main(
        ["run", str(folder / "lessons.yaml"), "--out", str(folder / "run"), "--workers", "0", "--progress", "quiet",
         "--no-report"]
    ) in (0, 3)  # fmt: skip
    return folder / "run"


def distill(finished, out, *more):
    size = ["--frames", "12", "--epochs", "2", "--channels", "4"]
    return main(["distill", str(finished), "--family", "antiperovskite", "--out", str(out), *size, *more])


def test_a_poor_student_is_told_so_and_the_teacher_runs_on(finished, tmp_path, capsys):
    assert distill(finished, tmp_path / "s", "--long-ps", "0.2") == 3
    printed = capsys.readouterr().out
    verdict = StudentVerdict.from_json((tmp_path / "s" / "verdict.json").read_text())
    assert not verdict.passed
    assert verdict.n_train == 12
    assert verdict.teacher.name == "pair-ionic"
    assert {check.name.split(":")[0] for check in verdict.checks} >= {"forces", "energy", "survival"}
    assert verdict.student_seconds_per_step > 0
    assert "the long runs stay with pair-ionic, because" in printed
    (measured,) = (tmp_path / "s" / "long").rglob("measurement.json")
    long = Measurement.from_json(measured.read_text())
    assert long.length_ps == pytest.approx(0.2, abs=0.03)


def test_again_is_the_same_student_and_its_runs_stand(finished, tmp_path):
    verdicts, runs = [], []
    for _ in range(2):
        distill(finished, tmp_path / "a")
        verdicts.append(json.loads((tmp_path / "a" / "verdict.json").read_text()))
        runs.append({path: path.stat().st_mtime_ns for path in (tmp_path / "a" / "runs").rglob("checkpoint.npz")})
    assert verdicts[0]["weights_sha256"] == verdicts[1]["weights_sha256"] != ""
    assert verdicts[0]["model_sha256"] == verdicts[1]["model_sha256"]
    assert runs[0] == runs[1], "the student's runs are not repeated"
    assert len(runs[0]) == 1


def test_an_unknown_family_names_those_that_are_there(finished, tmp_path, capsys):
    assert main(["distill", str(finished), "--family", "garnet", "--out", str(tmp_path / "g")]) == 2
    assert "antiperovskite" in capsys.readouterr().err
    assert not (tmp_path / "g").exists()


def test_a_folder_that_cannot_be_made_is_refused_before_any_work(finished, tmp_path, capsys):
    (tmp_path / "file").write_text("here")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert distill(finished, out) == 2
        told = capsys.readouterr()
        assert "choose another folder" in told.err + told.out
        assert "teacher runs" not in told.out
