"""`ionsieve analyze` end to end on files of a foreign format."""

import csv
import json

import numpy as np
import pytest
import typer
from ase import Atoms
from ase.io import write
from typer.testing import CliRunner

from ionsieve.cli import analyze as command
from ionsieve.errors import DataError, InputError
from ionsieve.records import CandidateEstimate, Measurement
from ionsieve.transport.synthetic import lattice_walk


@pytest.fixture(scope="module")
def app():
    app = typer.Typer()
    command.register(app)
    app.callback()(lambda: None)
    return app


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    for T, jumps in ((600, 60), (900, 300)):
        walk = lattice_walk(ions=12, frames=400, jumps=jumps, seed=T)
        rest = rng.uniform(0, 18, size=(1, 8, 3)) + 0.1 * rng.normal(size=(400, 8, 3))
        frames = [
            Atoms("Na12S8", positions=np.concatenate([a, b]), cell=[18] * 3, pbc=True)
            for a, b in zip(walk.positions_A, rest, strict=True)
        ]
        for atoms in frames:
            atoms.wrap()
        write(folder / f"run{T}.extxyz", frames)
    grid = np.stack(np.meshgrid(*[np.arange(6)] * 3, indexing="ij"), -1).reshape(-1, 3) * 3.0
    write(folder / "sites.cif", Atoms("Na216", positions=grid, cell=[18] * 3, pbc=True))
    return folder


def call(app, *arguments):
    result = CliRunner().invoke(app, ["analyze", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_two_temperatures_with_everything(app, runs, tmp_path):
    out = tmp_path / "out"
    result = call(
        app, runs / "run600.extxyz", runs / "run900.extxyz", "--mobile", "Na", "--framework", "S", "-T", 600, "-T", 900,
        "--dt-fs", 200, "--sites", runs / "sites.cif", "--out", out, "--export", "pymatgen", "--export", "matcalc",
        "--export", "cube", "--export", "xsf", "--export", "chgcar",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "D*" in result.output
    assert "Fitted through fewer than four temperatures" in " ".join(result.output.split())
    measured = Measurement.from_json((out / "run900.json").read_text(encoding="utf-8"))
    candidate = CandidateEstimate.from_json((out / "candidate.json").read_text(encoding="utf-8"))
    assert measured.hops > 250
    assert candidate.n_runs == 2
    summary = json.loads((out / "run900.pymatgen.json").read_text(encoding="utf-8"))
    assert summary["D"] == measured.tracer_diffusivity.value
    with (out / "run900.msd.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 400
    assert float(rows[3]["msd_A2"]) == pytest.approx(sum(float(rows[3][f"msd_{a}_A2"]) for a in "xyz"), rel=1e-6)
    for name in ("run600.msd.png", "run900.van_hove.png", "arrhenius.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    for name in ("run900.density.cube", "run900.density.xsf", "run900.density.CHGCAR.vasp", "run900.jumps.csv"):
        assert (out / name).stat().st_size > 0


def test_figures_are_the_same_twice(app, runs, tmp_path):
    arguments = (runs / "run900.extxyz", "--mobile", "Na", "-T", 900, "--dt-fs", 200, "--out")
    call(app, *arguments, tmp_path / "a")
    call(app, *arguments, tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_undeclared_framework_is_said(app, runs, tmp_path):
    result = call(
        app, runs / "run900.extxyz", "--mobile", "Na", "-T", 900, "--dt-fs", 200, "--no-plots", "--out", tmp_path
    )
    assert "framework taken as S" in result.output
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mobile", "Nb", "-T", "900"], "charge of Nb"),
        (["--mobile", "Na", "-T", "900", "-T", "600"], "one temperature per trajectory"),
        (["--mobile", "Na", "-T", "900", "--export", "pymatgn"], "did you mean pymatgen"),
        (["--mobile", "Na", "--dt-fs", "200"], "temperature is not in the file"),
        (["--mobile", "Na", "-T", "900"], "time between frames"),
        (["--mobile", "Na", "-T", "900", "--dt-fs", "200", "--polyanion", "P-O"], "not a bond"),
        (["--mobile", "Na", "-T", "900", "--dt-fs", "200", "--charges", "Na"], "not a charge"),
        (["--mobile", "Na", "-T", "900", "--dt-fs", "200", "--discard-ps", "1000"], "nothing is left"),
        (["--mobile", "Li", "-T", "900", "--dt-fs", "200"], "no Li in the trajectory"),
        (["--mobile", "na", "-T", "900", "--dt-fs", "200"], "did you mean Na"),
        (["--mobile", "Na", "-T", "900", "--dt-fs", "0"], "--dt-fs = 0: must be above zero"),
        (["--mobile", "Na", "-T", "900", "--dt-fs", "200", "--target", "-3"], "--target = -3"),
        (["--mobile", "Na", "-T", "900", "--dt-fs", "200", "--target", "6000"], "--target = 6000"),
        (["--mobile", "Na", "-T", "0", "--dt-fs", "200"], "above 0 K"),
        (["--mobile", "Na", "-T", "900", "--dt-fs", "200", "--jump-length", "-3"], "--jump-length = -3"),
        (["--mobile", "Na", "-T", "900", "--dt-fs", "200", "--sites", "no.cif"], "no such file"),
        (["--mobile", "Na", "-T", "900", "--dt-fs", "200", "--sites", __file__], "sites cannot be read"),
        (["--mobile", "Na", "-T", "900", "--dt-fs", "200", "--polyanion", "P-S:2.5"], "no P in the trajectory"),
        (["--mobile", "Na", "-T", "900", "--dt-fs", "200", "--unwrapped"], "wrapped into the cell"),
    ],
)
def test_wrong_input_teaches(app, runs, tmp_path, arguments, message):
    with pytest.raises(InputError) as error:
        call(app, runs / "run900.extxyz", *arguments, "--out", tmp_path / "o")
    assert message in str(error.value)
    assert not (tmp_path / "o").exists()  # nothing is written


def test_a_file_where_the_folder_should_be(app, runs, tmp_path):
    with pytest.raises(InputError, match="is a file"):
        call(app, runs / "run900.extxyz", "--mobile", "Na", "-T", 900, "--dt-fs", 200, "--out", runs / "sites.cif")


def test_a_file_in_the_way_to_the_folder_is_said_at_once(app, tmp_path):
    """Before the trajectory is read: this one could not be."""
    (tmp_path / "f.txt").write_text("x")
    (tmp_path / "bad.extxyz").write_text("x")
    with pytest.raises(InputError, match="cannot be made there"):
        call(app, tmp_path / "bad.extxyz", "--mobile", "Na", "--out", tmp_path / "f.txt" / "sub")


def test_a_second_trajectory_that_is_broken_leaves_nothing_behind(app, runs, tmp_path):
    (tmp_path / "bad.extxyz").write_text("x")
    with pytest.raises(DataError):
        call(
            app, runs / "run900.extxyz", tmp_path / "bad.extxyz", "--mobile", "Na", "-T", 900, "-T", 600,
            "--dt-fs", 200, "--out", tmp_path / "o",
        )  # fmt: skip
    assert not (tmp_path / "o").exists()


def test_a_figure_that_cannot_be_drawn_leaves_the_old_one(tmp_path, monkeypatch):
    from ionsieve.transport import placing

    path = placing.place(tmp_path / "a.cube", "old")

    def fail(_):
        raise OSError("disk full")

    monkeypatch.setattr(placing.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        placing.place(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_labels_of_the_sites_name_the_jumps(app, runs, tmp_path):
    """A CIF with symmetry: two kinds of sites, one of them a way station."""
    (tmp_path / "sites.cif").write_text(
        "data_sites\n_cell_length_a 18\n_cell_length_b 18\n_cell_length_c 18\n"
        "_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\n_symmetry_space_group_name_H-M 'P 1'\n"
        "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
        + "".join(
            f"{label} Na {(i + shift) / 6:.6f} {j / 6:.6f} {k / 6:.6f}\n"
            for label, shift in (("Na1", 0.0), ("mid", 0.5))
            for i in range(6)
            for j in range(6)
            for k in range(6)
        )
    )
    call(
        app, runs / "run900.extxyz", "--mobile", "Na", "--framework", "S", "-T", 900, "--dt-fs", 200, "--no-plots",
        "--sites", tmp_path / "sites.cif", "--out", tmp_path / "o",
    )  # fmt: skip
    measured = Measurement.from_json((tmp_path / "o" / "run900.json").read_text(encoding="utf-8"))
    assert set(measured.mechanism["jumps"]["occupancy"]) == {"Na1", "mid"}
    assert measured.mechanism["jump_length_A"] == pytest.approx(3.0, abs=1e-4)
