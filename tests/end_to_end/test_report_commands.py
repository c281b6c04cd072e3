"""report, export, sheet, compare, stability and serve on the folder of a real, tiny campaign (pair potential)."""

import json
import shutil
import sqlite3
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from ionsieve import __version__
from ionsieve.campaign import parse_campaign
from ionsieve.cli.app import run as ionsieve
from ionsieve.ranking import to_csv
from ionsieve.report import load_results
from ionsieve.report.exports import EXPORTS
from ionsieve.report.methods import methods_view
from ionsieve.report.serve import LivePage, make_server
from ionsieve.screening import run_campaign
from ionsieve.store import Store

CAMPAIGN = """
name: report-drill
seed: 3
generate:
  ordering: {n_configurations: 1}
  supercell: {min_image_A: 4, max_atoms: 60}
  recipes:
    - {prototype: Na3OCl_Pm-3m, substitute: {Na: {Sr: 0.125}}, supercell: {matrix: [2, 2, 2], min_image_A: 4}}
    - {prototype: Na3OCl_Pm-3m, substitute: {Na: {Ca: 0.125}}, supercell: {matrix: [2, 2, 2], min_image_A: 4}}
    - {prototype: Na3OCl_Pm-3m, substitute: {Na: {Ca: 0.01}}, supercell: {max_atoms: 60}}
potential: {name: pair-ionic}
relax: {fmax_eV_per_A: 0.3, max_steps: 40}
dynamics: {equilibrate_ps: 0.1, produce_ps: 0.6, frame_interval_fs: 20}
simulate: {temperatures_K: [900, 1200]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("drill") / "results"
    run_campaign(parse_campaign(CAMPAIGN), home, source=CAMPAIGN, n_workers=0, progress="quiet")
    return home


def test_the_records_come_together(folder):
    results = load_results(folder)
    assert results.complete
    assert len(results.candidates) == 3
    assert len(results.runs) == 4
    assert results.potential.name == "pair-ionic"
    assert results.cost["simulated_ps"] == pytest.approx(2.4)
    assert any(event.kind == "finished" for event in results.events)
    sections = {row.section for row in results.ranking.rows}
    assert "failed" in sections  # the candidate that needs a larger cell
    assert sections & {"ranked", "bounded"}


def test_an_amended_campaign_is_not_shown_as_the_one_before(folder, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    monkeypatch.setattr("ionsieve.stages.fit.PHYSICS", 999)  # another version: its numbers are not in the folder
    earlier = load_results(copy)
    assert earlier.complete
    assert "earlier version" in earlier.note
    monkeypatch.undo()
    hotter = CAMPAIGN.replace("[900, 1200]", "[1000, 1300]")
    Store.create(copy, parse_campaign(hotter).model_dump(mode="json"), source=hotter, amend=True)
    amended = load_results(copy)
    assert not amended.complete
    assert amended.note == ""
    assert amended.estimates == ()
    Store.create(copy, parse_campaign(CAMPAIGN).model_dump(mode="json"), source=CAMPAIGN, amend=True)
    assert load_results(copy).complete
    monkeypatch.setattr("ionsieve.stages.fit.PHYSICS", 999)
    assert "earlier version" in load_results(copy).note  # the run said of which campaign it was


def test_versions_are_those_of_the_records(folder, monkeypatch):
    made = load_results(folder).versions
    assert made["ionsieve"] == __version__
    assert "numpy" in made
    monkeypatch.setattr("ionsieve.report.gather.__version__", "99.9")
    monkeypatch.setattr("ionsieve.report.gather.metadata.version", lambda name: "99.9")
    later = load_results(folder)
    assert later.versions == made
    assert set(later.report_versions.values()) == {"99.9"}
    shown = dict(methods_view(later).versions)
    assert shown["records made with ionsieve"] == __version__
    assert "ionsieve 99.9" in shown["report made with"]


def test_report_writes_the_same_page_twice(folder, capsys):
    assert ionsieve(["report", str(folder)]) == 0
    page = (folder / "report.html").read_bytes()
    assert str(folder / "report.html") in capsys.readouterr().out
    assert ionsieve(["report", str(folder), "--out", str(folder / "again.html")]) == 0
    assert (folder / "again.html").read_bytes() == page
    assert b"report-drill" in page


def test_exports_land_where_they_are_asked(folder, tmp_path, capsys):
    results = load_results(folder)
    names = [row.candidate_id for row in results.ranking.rows if row.section in ("ranked", "bounded")]
    asked = [option for name in names for option in ("--candidate", name)]
    for name in ("json", "sqlite", "cif", "lammps", "eln"):  # the others in the unit tests
        target = tmp_path / EXPORTS[name].target
        assert ionsieve(["export", str(folder), "--to", name, "-o", str(target), *asked]) == 0, capsys.readouterr()
        assert target.exists()
    assert json.loads((tmp_path / "results.json").read_text())["campaign"]["name"] == "report-drill"
    connection = sqlite3.connect(tmp_path / "results.sqlite")
    assert connection.execute("SELECT count(*) FROM runs").fetchone() == (4,)
    connection.close()
    capsys.readouterr()
    assert ionsieve(["export", str(folder), "--to", "csv"]) == 0
    assert (folder / "export" / "ranking.csv").read_text() == to_csv(results.ranking)
    assert ionsieve(["export", str(folder)]) == 0
    listed = capsys.readouterr().out
    assert all(f"{one.name} " in listed for one in EXPORTS.values())
    assert ionsieve(["export", str(folder), "--to", "excel"]) == 2
    assert "no export is called" in capsys.readouterr().err


def test_sheets_are_written_and_nonsense_is_refused(folder, tmp_path, capsys):
    name = next(r.candidate_id for r in load_results(folder).ranking.rows if r.section in ("ranked", "bounded"))
    arguments = ["sheet", str(folder), "-o", str(tmp_path), "--candidate", name, "--batch", "3", "--purity", "Na2O=98"]
    assert ionsieve(arguments) == 0
    page = next(tmp_path.glob("*.html")).read_text()
    assert "3 g of product" in page
    assert ">98<" in page
    capsys.readouterr()
    assert ionsieve([*arguments, "--purity", "Na2O:98"]) == 2
    assert "Na2CO3=10" in capsys.readouterr().err
    assert ionsieve(["sheet", str(folder), "--candidate", name, "--batch", "0"]) == 2


def test_a_campaign_agrees_with_itself(folder, tmp_path, capsys):
    assert ionsieve(["compare", str(folder), str(folder), "--csv", "-o", str(tmp_path / "c.html")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert "report-drill" in (tmp_path / "c.html").read_text()


def test_stability_stands_in_the_next_report(folder, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    name = next(r.candidate_id for r in load_results(copy).ranking.rows if r.section in ("ranked", "bounded"))
    assert ionsieve(["stability", str(copy), "--candidate", name, "--no-elastic"]) == 0
    assert "reference phase Na2O" in capsys.readouterr().err
    row = next(r for r in load_results(copy).ranking.rows if r.candidate_id == name)
    assert isinstance(row.columns["energy_above_hull"], float)
    assert "Na2O" in row.columns["competing_phases"] or "NaCl" in row.columns["competing_phases"]


def test_the_live_page_serves_this_machine_only(folder):
    server = make_server(LivePage(folder), 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        with urllib.request.urlopen(f"{address}/") as answer:
            assert b"data-live" in answer.read()
            assert answer.headers["Cache-Control"] == "no-store"
        with urllib.request.urlopen(f"{address}/version") as answer:
            version = answer.read()
        assert len(version) == 16
        foreign = urllib.request.Request(f"{address}/", headers={"Host": "evil.example"})
        for request, status in ((foreign, 403), (f"{address}/../campaign.json", 404)):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request)
            assert caught.value.code == status
            caught.value.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_a_folder_without_a_campaign_teaches(tmp_path, capsys):
    for command in ("report", "serve", "sheet"):
        assert ionsieve([command, str(tmp_path)]) == 2
        assert "there is no campaign in this folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", "{f}", "--out", "{f}"],
        ["report", "{f}", "--out", "{file}/x.html"],
        ["report", "{f}", "--figures", "{file}"],
        ["export", "{f}", "--to", "csv", "-o", "{f}"],
        ["export", "{f}", "--to", "cif", "-o", "{file}"],
        ["export", "{f}", "--to", "cfi"],
        ["export", "{f}", "--to", "vasp"],
        ["sheet", "{f}", "--candidate", "{c}", "-o", "{file}"],
        ["sheet", "{f}", "--candidate", "{c}", "--precursor", "Foo2"],
        ["sheet", "{f}", "--candidate", "{c}", "--precursor", "Na2O", "--precursor", "NaCl"],
        ["sheet", "{f}", "--candidate", "{c}", "--batch", "0"],
        ["sheet", "{f}", "--candidate", "{c}", "--excess", "Li2O=5"],
        ["compare", "{f}", "{f}", "-o", "{file}/x.html"],
        ["compare", "{f}", "{empty}"],
        ["stability", "{f}"],
        ["rank", "{empty}"],
        ["serve", "{empty}"],
    ],
    ids=lambda a: " ".join(a[:1] + a[2:])[:40],
)
def test_wrong_input_is_one_message_and_leaves_nothing(folder, tmp_path, capsys, arguments):
    file, empty = tmp_path / "file", tmp_path / "empty"
    file.write_text("mine")
    empty.mkdir()
    name = next(r.candidate_id for r in load_results(folder).ranking.rows if "--Ca_Na-0.125" in r.candidate_id)
    places = {"f": folder, "file": file, "empty": empty, "c": name}

    def there() -> dict[Path, int]:
        return {p: p.stat().st_mtime_ns for root in (folder, tmp_path) for p in root.rglob("*") if p.is_file()}

    before = there()
    assert ionsieve([a.format(**places) for a in arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert said.err.strip()
    assert {p: t for p, t in there().items() if "ledger" not in p.name} == {
        p: t for p, t in before.items() if "ledger" not in p.name
    }


@pytest.mark.parametrize("command", ["rank", "resume"])
def test_a_folder_of_another_version_is_said_to_be_one(folder, command, capsys, monkeypatch):
    from ionsieve.store import Store

    campaign = Store.open(folder).campaign
    monkeypatch.setattr(Store, "campaign", {**campaign, "transport": {"a_setting_of_later": 1}})
    assert ionsieve([command, str(folder)]) == 2
    said = capsys.readouterr().err
    assert "frozen by another version" in said
    assert "transport.a_setting_of_later" in said
