"""The whole way on a tiny cell with the real potential: run, interrupt, resume, rank, report."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from ionsieve.records import Ranking

CAMPAIGN = """
name: tiny
seed: 5
generate:
  ordering: {n_configurations: 1}
  supercell: {min_image_A: 4, max_atoms: 60}
  recipes:
    - {prototype: Na3OCl_Pm-3m, supercell: {matrix: [2, 2, 2], min_image_A: 4}}
    - {prototype: Na3OCl_Pm-3m, substitute: {Na: {Sr: 0.125}}, supercell: {matrix: [2, 2, 2], min_image_A: 4}}
    - {prototype: Na3OCl_Pm-3m, substitute: {Na: {Ca: 0.01}}, supercell: {max_atoms: 60}}
relax: {fmax_eV_per_A: 0.3, max_steps: 30}
dynamics: {equilibrate_ps: 0.1, produce_ps: 0.4, frame_interval_fs: 20, slice_steps: 50}
simulate: {temperatures_K: [900, 1200]}
"""

COMMAND = "import sys; from ionsieve.cli import main; sys.exit(main())"


def ionsieve(*arguments, cwd, **options):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def finished(process, timeout=400):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A campaign that was killed half-way and run again."""
    home = tmp_path_factory.mktemp("campaign")
    (home / "tiny.yaml").write_text(CAMPAIGN)
    first = ionsieve("run", "tiny.yaml", "--out", "results", "--workers", "1", "--progress", "quiet", cwd=home)
    runs = home / "results" / "records" / "simulate"
    deadline = time.monotonic() + 300
    while not list(runs.rglob("*.json")):
        assert time.monotonic() < deadline, "no run finished in five minutes"
        if first.poll() is not None:
            pytest.fail(f"the run ended too soon: {first.communicate()}")
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    done = {p: p.read_bytes() for p in (home / "results" / "records").rglob("*.json")}
    assert done
    code, out, err = finished(ionsieve("run", "tiny.yaml", "--out", "results", "--progress", "plain", cwd=home))
    assert code == 3, (code, out, err)  # one candidate needs a larger cell: finished with failed candidates
    for path, content in done.items():
        assert path.read_bytes() == content, f"{path.name} was computed again"
    return home / "results", out, err


def test_the_table_is_printed_and_says_how_far_to_trust_it(folder):
    _, out, _ = folder
    assert "Na3OCl" in out or "Na24" in out
    assert "How far to trust this table" in out
    assert "report.html" in out


def test_results_are_all_there(folder):
    results, _, _ = folder
    ranking = Ranking.from_json((results / "ranking.json").read_text())
    assert len(ranking.rows) == 3
    failed = [row for row in ranking.rows if row.section == "failed"]
    assert [row.outcome.value for row in failed] == ["not_realisable"]
    assert failed[0].reason
    with (results / "ranking.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3
    html = (results / "report.html").read_text()
    assert "<html" in html
    assert 'http-equiv="refresh"' not in html
    from pymatgen.core import Structure

    cifs = sorted((results / "structures").glob("*.cif"))
    assert len(cifs) == 2
    assert {Structure.from_file(c).composition.reduced_formula for c in cifs} >= {"Na3ClO"}
    assert list((results / "files" / "simulate").rglob("trajectory.h5"))
    assert json.loads((results / "campaign.json").read_text())["name"] == "tiny"


def test_the_trajectory_opens_in_mdanalysis(folder):
    import MDAnalysis
    import numpy as np

    from ionsieve.trajectory.h5md import read

    results, _, _ = folder
    path = min((results / "files" / "simulate").rglob("trajectory.h5"))
    universe = MDAnalysis.Universe.empty(len(read(path).numbers), trajectory=False)
    universe.load_new(str(path), format="H5MD")
    assert len(universe.trajectory) == 21
    assert np.isfinite(universe.trajectory[-1].positions).all()
    universe.trajectory.close()


def test_a_second_run_computes_nothing(folder):
    results, _, _ = folder
    before = {p: p.stat().st_mtime_ns for p in (results / "records").rglob("*.json")}
    code, out, err = finished(ionsieve("run", "../tiny.yaml", "--out", ".", "--no-report", cwd=results))
    assert code == 3, (out, err)
    assert {p: p.stat().st_mtime_ns for p in (results / "records").rglob("*.json")} == before


def test_another_campaign_is_refused_and_nothing_is_written(folder):
    results, _, _ = folder
    other = results.parent / "other.yaml"
    other.write_text(CAMPAIGN.replace("seed: 5", "seed: 6"))
    before = sorted(p.name for p in results.iterdir())
    code, _, err = finished(ionsieve("run", other, "--out", results, cwd=results.parent))
    assert code == 2
    assert "belongs to another campaign" in err
    assert sorted(p.name for p in results.iterdir()) == before


def test_commands_on_the_folder(folder):
    results, _, _ = folder
    for command in (["status", "."], ["rank", "."], ["rank", ".", "--csv"], ["rank", ".", "--json"]):
        code, out, err = finished(ionsieve(*command, cwd=results))
        assert code == 0, (command, out, err)
        assert "Na" in out


def test_ctrl_c_is_clean_and_resumable(tmp_path):
    (tmp_path / "tiny.yaml").write_text(CAMPAIGN.replace("produce_ps: 0.4", "produce_ps: 20"))
    process = ionsieve("run", "tiny.yaml", "--out", "r", "--workers", "1", "--progress", "plain", cwd=tmp_path)
    scratch = tmp_path / "r" / "scratch"
    deadline = time.monotonic() + 300
    while not list(scratch.rglob("checkpoint*")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    code, _, err = finished(process, timeout=240)
    assert code == 130
    assert "Traceback" not in err
    assert "continues where it stopped" in err
