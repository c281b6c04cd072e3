"""A results folder answers from itself: its model file, prototype library and table of columns may be gone."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from ionsieve.campaign import load_campaign, thaw_campaign
from ionsieve.cli.app import app
from ionsieve.errors import InputError, ProblemsError, SetupError
from ionsieve.report import load_results
from ionsieve.resources import data_folder
from ionsieve.screening import resume_campaign, run_campaign, submission
from ionsieve.screening.material import FILE, kept
from ionsieve.store import Store
from ionsieve.testing.tiny_mace import write_tiny_mace

CAMPAIGN = """
name: alone
seed: 3
generate:
  library: [mine]
  ordering: {n_configurations: 1}
  supercell: {matrix: [2, 2, 2], min_image_A: 4, max_atoms: 60}
  recipes: [{prototype: mine_Pm-3m}]
potential: {name: mace, path: tiny.model, trust: true, device: cpu}
sieve: {min_percolation_radius_A: null}
relax: {cell_policy: published, fmax_eV_per_A: 0.1, max_steps: 2}
dynamics: {equilibrate_ps: 0.004, produce_ps: 0.04, frame_interval_fs: 4}
simulate: {temperatures_K: [600]}
ranking: {columns_csv: prices.csv}
"""
FILES = ("mine", "tiny.model", "prices.csv")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished campaign and the table it gave, its files moved away."""
    home = tmp_path_factory.mktemp("alone")
    write_tiny_mace(home / "tiny.model", numbers=(8, 11, 17), seed=1)
    (home / "mine").mkdir()
    for suffix in (".yaml", ".cif"):
        text = (data_folder("structures") / f"Na3OCl_Pm-3m{suffix}").read_text(encoding="utf-8")
        (home / "mine" / f"mine_Pm-3m{suffix}").write_text(text.replace("Na3OCl_Pm-3m", "mine_Pm-3m"))
    (home / "prices.csv").write_text("formula,price\nNa3OCl,7.5\n")
    (home / "c.yaml").write_text(CAMPAIGN)
    campaign = load_campaign(home / "c.yaml")
    assert run_campaign(campaign, home / "run", n_workers=0, progress="quiet").status == "finished"
    table = load_results(home / "run").ranking.to_json()
    (home / "away").mkdir()
    for name in FILES:
        shutil.move(home / name, home / "away" / name)
    return home, table


@pytest.fixture
def folder(made, tmp_path):
    """A copy elsewhere, as one mails it."""
    shutil.copytree(made[0] / "run", tmp_path / "run")
    return tmp_path / "run"


def test_the_table_and_the_page_come_from_the_folder(made, folder):
    results = load_results(folder)
    assert results.complete
    assert results.ranking.to_json() == made[1]
    assert any(7.5 in row.columns.values() for row in results.ranking.rows)
    for command in (["rank", str(folder)], ["status", str(folder)], ["report", str(folder)]):
        ended = CliRunner().invoke(app, command)
        assert ended.exit_code == 0, ended.output


def test_the_table_is_made_anew_from_the_kept_columns(made, folder):
    shutil.rmtree(folder / "records" / "rank")
    assert load_results(folder).ranking.to_json() == made[1]


def test_a_finished_folder_resumes_without_the_files(made, folder):
    before = {stage: list(Store.open(folder).keys(stage)) for stage in Store.open(folder).stages()}
    assert resume_campaign(folder, n_workers=0, progress="quiet").status == "finished"
    assert {stage: list(Store.open(folder).keys(stage)) for stage in before} == before


def test_a_folder_of_an_earlier_version_asks_with_the_potential_of_its_relaxations(made, folder):
    (folder / FILE).unlink()
    shutil.copytree(made[0] / "away" / "mine", made[0] / "mine")
    shutil.copy(made[0] / "away" / "prices.csv", made[0] / "prices.csv")
    try:
        assert load_results(folder).ranking.to_json() == made[1]
        (made[0] / "prices.csv").unlink()
        with pytest.raises(InputError) as error:
            load_results(folder)
        problem = error.value.problem
        assert (problem.key, problem.where) == ("ranking.columns_csv", str(made[0] / "prices.csv"))
        assert problem.remedy
    finally:
        shutil.rmtree(made[0] / "mine")
        (made[0] / "prices.csv").unlink(missing_ok=True)


def test_without_anything_kept_the_missing_file_is_named(made, folder):
    """No relaxation is stored: nothing tells which potential was meant."""
    (folder / FILE).unlink()
    shutil.rmtree(folder / "records" / "relax")
    shutil.copytree(made[0] / "away" / "mine", made[0] / "mine")
    try:
        with pytest.raises((InputError, SetupError), match=r"tiny\.model"):
            load_results(folder)
    finally:
        shutil.rmtree(made[0] / "mine")


@pytest.fixture
def back(made):
    """The files at their old places again, for a while."""
    home, _ = made
    for name in FILES:
        source = home / "away" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, home / name)
    yield home
    for name in FILES:
        target = home / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()


def test_what_goes_on_is_what_was_begun(back, folder):
    """A model or a prototype that was changed since is refused by name; another table of columns is another ranking."""
    (back / "prices.csv").write_text("formula,price\nNa3OCl,9.5\n")
    assert resume_campaign(folder, n_workers=0, progress="quiet").status == "finished"
    assert any(9.5 in row.columns.values() for row in load_results(folder).ranking.rows)
    write_tiny_mace(back / "tiny.model", numbers=(8, 11, 17), seed=2)
    card = back / "mine" / "mine_Pm-3m.yaml"
    card.write_text(card.read_text(encoding="utf-8") + "\n# a note\n")
    with pytest.raises(ProblemsError) as error:
        resume_campaign(folder, n_workers=0, progress="quiet")
    assert [p.key for p in error.value.problems] == ["potential", "generate"]
    assert all("YAML file on this folder" in p.remedy for p in error.value.problems)


def test_a_submitted_job_asks_what_was_submitted(back, tmp_path, monkeypatch):
    """The file of the model is replaced while the job waits in the queue."""
    (tmp_path / "q.yaml").write_text(
        "kind: slurm\n"
        "groups: {cpu: {jobs: 1, workers: 1, cores: 1, memory_GB: 2, walltime: '00:30:00'}}\n"
        "driver: {cores: 1, memory_GB: 2, walltime: '01:00:00'}\n"
    )
    monkeypatch.setattr(submission, "submit_script", lambda kind, script: "17")
    monkeypatch.setattr(submission, "check_feasible", lambda *_, **__: None)
    told = submission.submit_campaign(load_campaign(back / "c.yaml"), tmp_path / "run", cluster=tmp_path / "q.yaml")
    assert (told.job, (tmp_path / "run" / FILE).exists()) == ("17", True)
    write_tiny_mace(back / "tiny.model", numbers=(8, 11, 17), seed=2)
    with pytest.raises(ProblemsError, match="not the one that this campaign was begun with"):
        resume_campaign(tmp_path / "run", n_workers=0, progress="quiet")
    shutil.copy(back / "away" / "tiny.model", back / "tiny.model")
    assert resume_campaign(tmp_path / "run", n_workers=0, progress="quiet").status == "finished"


def test_what_was_kept_for_another_campaign_is_not_used(folder):
    told = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps(told | {"campaign": "0" * 64}))
    store = Store.open(folder)
    with pytest.raises(InputError):
        kept(store, thaw_campaign(store.campaign, where="here"))


def test_a_second_campaign_finds_all_that_the_first_stored(made, folder):
    home, _ = made
    for name in FILES:
        shutil.move(home / "away" / name, home / name)
    try:
        (home / "d.yaml").write_text(CAMPAIGN + f"run: {{share: ['{folder}']}}\n")
        run_campaign(load_campaign(home / "d.yaml"), home / "second", n_workers=0, progress="quiet")
    finally:
        for name in FILES:
            shutil.move(home / name, home / "away" / name)
    mine, theirs = Store.open(home / "second"), Store.open(folder)
    for stage in ("generate", "sieve", "relax", "simulate", "measure", "fit", "rank"):
        assert set(mine.keys(stage)) == set(theirs.keys(stage)), stage
