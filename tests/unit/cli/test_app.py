"""The door is light, and every command refuses bad input with a message and exit code 2."""

import os
import subprocess
import sys

import pytest

from ionsieve.cli.app import COMMANDS, run

HEAVY = ("torch", "scipy", "pymatgen", "ase", "dask", "distributed", "h5py", "matplotlib", "numpy")


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from ionsieve.cli import main; sys.argv = ['ionsieve', '--help']; code = main();"
        f"print([m for m in {HEAVY} if m in sys.modules]); sys.exit(code)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"
    for command in ("run", "status", "report", "rank", "prototypes", "models", "init", "validate", "doctor"):
        assert f" {command} " in out


def test_version(capsys):
    import ionsieve

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"ionsieve {ionsieve.__version__}\n"


def test_every_command_has_help(capsys):
    import typer

    from ionsieve.cli.app import app

    names = list(typer.main.get_command(app).commands)
    assert len(names) >= len(COMMANDS)
    for name in names:
        assert run([name, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "Usage" in shown
        assert " ." not in shown.replace(" ...", "")  # rich takes [words in brackets] of a help text for markup


def test_run_and_resume_take_the_same_options():
    import typer

    from ionsieve.cli.app import app

    commands = typer.main.get_command(app).commands
    run_, resume = (
        {p.name for p in commands[name].params if p.name not in ("campaign", "folder")} for name in ("run", "resume")
    )
    assert run_ - resume == {"out", "amend"}  # a folder knows its campaign
    assert resume <= run_


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "missing.yaml"], "no such campaign file"),
        (["run", "quikstart"], "did you mean 'quickstart'"),
        (["validate", "missing.yaml"], "no such campaign file"),
        (["prototypes", "Na3OCL_Pm-3m"], "Na3OCl_Pm-3m"),
        (["rank", "nowhere"], "no campaign in this folder"),
        (["status", "nowhere"], "no campaign in this folder"),
        (["report", "nowhere"], "no campaign in this folder"),
        (["resume", "nowhere"], "no campaign in this folder"),
        (["init", "missing/folder/x.yaml"], "the folder does not exist"),
        (["nonsense"], "nonsense"),
        (["run"], "Missing argument 'campaign'"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_bad_input_is_one_message_and_exit_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []


def test_init_writes_a_valid_campaign_and_overwrites_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["init", "mine.yaml"]) == 0
    text = (tmp_path / "mine.yaml").read_text()
    assert run(["validate", "mine.yaml", "--no-timing"]) == 0
    assert "runs" in capsys.readouterr().out
    assert run(["init", "mine.yaml"]) == 2
    assert "this file exists" in capsys.readouterr().err
    assert (tmp_path / "mine.yaml").read_text() == text


CAMPAIGN = """
generate:
  supercell: {{min_image_A: 6, max_atoms: 100}}
  recipes:
    - {recipe}
{more}
"""


@pytest.mark.parametrize(
    ("recipe", "more", "message"),
    [
        ("{prototype: Na3OCI_Pm-3m}", "", "did you mean 'Na3OCl_Pm-3m'"),
        ("{prototype: Na3OCl_Pm-3m, substitute: {Zr: {Sc: 0.1}}}", "", "Zr"),
        ("{prototype: Na3OCl_Pm-3m, substitute: {Na: {Sr: 7}}}", "", "7"),
        ("{prototype: Na3OCl_Pm-3m}", "simulate: {families: {antiperovskit: {replicas: 2}}}", "'antiperovskite'"),
        ("{prototype: Na3OCl_Pm-3m}", "dynamic: {dt_fs: 2}", "did you mean 'dynamics'"),
        (
            "{prototype: Na3OCl_Pm-3m}",
            "potential: {name: mace, path: /no/such/file.model}",
            "bad.yaml:6  potential.path = /no/such/file.model: the model file is not there",
        ),
        ("{prototype: Na3OCl_Pm-3m}", "potential: {device: cuda:7}", "bad.yaml:6  potential.device = cuda:7"),
        ("{prototype: Na3OCl_Pm-3m}", "run: {share: [nowhere]}", "bad.yaml:6  run.share[0]"),
        ("{prototype: Na3OCl_Pm-3m}", "ranking: {columns_csv: no.csv}", "bad.yaml:6  ranking.columns_csv"),
        ("{prototype: Na3OCl_Pm-3m}", "potential: {name: chgnet-0.3}", "did you mean 'chgnet-0.3.0'"),
    ],
    ids=["prototype", "site", "amount", "family", "key", "model-file", "device", "share", "columns", "model-name"],
)
def test_bad_campaigns(recipe, more, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(CAMPAIGN.format(recipe=recipe, more=more))
    for command in (["validate", "bad.yaml", "--no-timing"], ["run", "bad.yaml"]):
        assert run(command) == 2
        assert message in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["bad.yaml"]


@pytest.mark.parametrize(
    ("recipe", "more", "message"),
    [
        ("{prototype: Na3OCl_Pm-3m, substitute: {Na: {Ca: 0.125}}, compensation: none}", "", "charge"),
        (
            "{prototype: Na3OCl_Pm-3m, substitute: {Na: {Yb: 0.125}}, oxidation_states: {Yb: 2}}",
            "potential: {name: chgnet-r2scan}",
            "was not trained for Yb",
        ),
    ],
    ids=["not-neutral", "element"],
)
def test_named_compositions_that_cannot_be_run_are_bad_input(recipe, more, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(CAMPAIGN.format(recipe=recipe, more=more))
    assert run(["run", "bad.yaml"]) == 2
    assert message in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["bad.yaml"]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (["--scheduler", "localhost"], "no address"),
        (["--scheduler", "tcp://x"], "no address"),
        (["--scheduler", "tcp://127.0.0.1:1"], "nobody listens"),
        (["--scheduler", "127.0.0.1:99999"], "at most 65535"),
        (["--scheduler", "tcp://127.0.0.1:1", "--workers", "4"], "--workers = 4: the number"),
        (["--scheduler", "tcp://127.0.0.1:1", "--dashboard", ":0"], "--dashboard = :0: no dashboard"),
        (["--cluster", "nix"], "no such cluster profile"),
        (["--cluster", "slurm-allocation"], "SLURM_PROCID is not set"),
        (["--cluster", "slurm-allocation", "--workers", "4"], "--workers = 4: the number"),
        (["--dashboard", "nonsense"], "no dashboard can listen there"),
        (["--dashboard", "0.0.0.0:99999"], "no dashboard can listen there"),
        (["--dashboard", ":8787", "--workers", "0"], "no dashboard is started here"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_a_place_that_is_none_is_refused_before_the_folder_is_made(place, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    (tmp_path / "good.yaml").write_text(CAMPAIGN.format(recipe="{prototype: Na3OCl_Pm-3m}", more=""))
    assert run(["run", "good.yaml", *place]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert any(value in said for value in place[1::2])
    assert [p.name for p in tmp_path.iterdir()] == ["good.yaml"]


def test_a_folder_that_may_not_be_read(capsys, tmp_path):
    assert run(["status", str(tmp_path / "nowhere")]) == 2  # all that the command imports is there now
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o000)
    me = os.geteuid()
    os.seteuid(me or 65534)  # to root nothing is forbidden
    try:
        assert run(["status", str(theirs)]) == 2
    finally:
        os.seteuid(me)
    assert f"{theirs}/store.json: permission denied" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["/dev/null/x", "/proc/nope/x"])
def test_a_folder_that_cannot_be_made(out, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text(CAMPAIGN.format(recipe="{prototype: Na3OCl_Pm-3m}", more=""))
    assert run(["run", "good.yaml", "--out", out]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_doctor_reports_a_potential_that_fails_on_its_device(capsys, monkeypatch):
    def load(settings):
        raise RuntimeError("CUDA error: no kernel image is available")

    monkeypatch.setattr("ionsieve.potentials.load", load)
    assert run(["doctor"]) == 2
    out = capsys.readouterr().out
    assert "no kernel image" in out
    assert "1 problem(s)" in out


def test_doctor(capsys):
    assert run(["doctor", "--no-potential"]) == 0
    out = capsys.readouterr().out
    assert "chgnet" in out
    assert "prototypes" in out
