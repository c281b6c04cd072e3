"""Files that other programs read; pictures; the commands."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import typer
from ase.io import read as ase_read
from ase.io import write as ase_write
from ase.io.cube import read_cube_data
from pymatgen.core import Structure
from typer.testing import CliRunner

from ionsieve.channels import (
    describe,
    exports,
    gates_along,
    pictures,
    read_framework,
    summarise_gates,
)
from ionsieve.channels.bvse import landscape
from ionsieve.channels.site_energy import SiteEnergy
from ionsieve.cli import channels as command
from ionsieve.errors import InputError
from ionsieve.generate import prototypes
from ionsieve.records import StaticDescriptors


def path_of(name):
    return Path(prototypes.load(name).location).with_suffix(".cif")


@pytest.fixture(scope="module")
def nasicon():
    return describe(Structure.from_file(path_of("NaZr2P3O12_R-3c")), "Na")


def test_network_cif_is_read_back(nasicon):
    text = exports.network_cif(nasicon, min_radius_A=0.5)
    rows = [line.split() for line in text.split("_atom_site_occupancy\n")[1].splitlines()]
    symbols = [row[1] for row in rows]
    assert [symbols.count(e) for e in ("Zr", "P", "O", "Na")] == [12, 18, 72, 6]
    assert len({row[0] for row in rows}) == len(rows)  # labels are unique
    atoms = ase_read(io.StringIO(text), format="cif")  # merges a cavity with the site in its middle
    assert {"Zr", "P", "O", "He", "Ne"} <= set(atoms.get_chemical_symbols())
    np.testing.assert_allclose(atoms.cell.lengths(), np.linalg.norm(nasicon.framework.cell, axis=1), atol=1e-5)


def test_network_xyz_is_read_back_with_radii(nasicon):
    atoms = ase_read(io.StringIO(exports.network_xyz(nasicon)), format="extxyz")
    kinds = np.array(atoms.arrays["kind"])
    assert atoms.arrays["radius"][kinds == "cavity"].max() == pytest.approx(nasicon.included_sphere_A / 2, abs=2e-3)
    assert (kinds == "framework").sum() == 102


def test_cube_is_read_back_by_ase():
    framework = read_framework(Structure.from_file(path_of("Na3OCl_Pm-3m")), "Na")
    field = landscape(framework, path=False)
    text = exports.cube(field.energy_eV, field.cell, [8, 17], framework.positions, comment="eV")
    data, atoms = read_cube_data(io.StringIO(text))
    np.testing.assert_allclose(data, field.energy_eV, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(atoms.cell.array, field.cell, atol=1e-4)
    np.testing.assert_allclose(atoms.positions, framework.positions, atol=1e-4)


def test_the_way_through_the_site_energy_is_read_back():
    framework = read_framework(Structure.from_file(path_of("Na3OCl_Pm-3m")), "Na")
    field = landscape(framework)
    atoms = ase_read(io.StringIO(exports.path_xyz(framework, field)), format="extxyz")
    way = atoms[atoms.arrays["kind"] == "path"]
    np.testing.assert_allclose(way.positions, field.path_A, atol=1e-5)
    assert way.arrays["site_energy_eV"].max() == pytest.approx(field.grid_barriers_eV[0], abs=1e-3)
    assert (atoms.arrays["kind"] == "framework").sum() == len(framework.positions)
    np.testing.assert_allclose(atoms.cell.array, framework.cell, atol=1e-6)


def test_the_written_way_names_both_barriers_and_the_landscape_is_made_once(app, tmp_path, monkeypatch):
    made = []
    spread = SiteEnergy.on_grid
    monkeypatch.setattr(SiteEnergy, "on_grid", lambda *a: (made.append(1), spread(*a))[1])
    arguments = ["channels", "Na3OCl_Pm-3m", "--mobile", "Na", "--bvse", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert len(made) == 1
    atoms = ase_read(tmp_path / "bvse_path.xyz")
    assert atoms.info["barrier_eV"] == pytest.approx(0.378, abs=1e-3)  # as printed
    assert atoms.info["grid_barrier_eV"] == pytest.approx(atoms.arrays["site_energy_eV"].max(), abs=1e-3)


def test_bottleneck_table(nasicon):
    rows = list(csv.DictReader(io.StringIO(exports.bottleneck_table(nasicon.bottlenecks))))
    assert [r["atoms"] for r in rows] == ["O1-O2-O2", "O2-O2-O2"]
    assert float(rows[0]["radius_A"]) == pytest.approx(nasicon.free_sphere_A / 2, abs=2e-3)


def test_density_integrates_to_the_number_of_ions():
    rng = np.random.default_rng(0)
    cell = np.array([[6.0, 0, 0], [1, 7, 0], [0, 1, 8]])
    density, mean = exports.probability_density(rng.uniform(-20, 20, (50, 5, 3)), cell, [1, 3, 4], spacing_A=0.5)
    assert density.sum() * abs(np.linalg.det(mean)) / density.size == pytest.approx(3)


def test_density_lies_where_the_ions_are():
    rng = np.random.default_rng(1)
    positions = rng.normal([5.1, 4.9, 5.0], 0.3, (20_000, 1, 3))
    density, mean = exports.probability_density(positions, 10.0 * np.eye(3), [0])
    text = exports.cube(density, mean, [11], [[0, 0, 0]])
    data, atoms = read_cube_data(io.StringIO(text))
    grid = [np.arange(n) / n * length for n, length in zip(data.shape, atoms.cell.lengths(), strict=True)]
    centre = [(data.sum(axis=tuple({0, 1, 2} - {a})) * grid[a]).sum() / data.sum() for a in range(3)]
    np.testing.assert_allclose(centre, [5.1, 4.9, 5.0], atol=0.01)


def test_gate_table(nasicon):
    rows = list(csv.DictReader(io.StringIO(exports.gate_table(nasicon.gates))))
    assert len(rows) == len(nasicon.gates)
    assert float(rows[0]["area_A2"]) == pytest.approx(nasicon.gates[0].area_A2, abs=1e-4)


def test_jumps_without_a_gate_have_a_row_with_the_reason(app, tmp_path):
    """Garnet: the split 96h position is two points in one cavity, 0.76 Å apart."""
    result = CliRunner().invoke(app, ["channels", "Li7La3Zr2O12_Ia-3d", "--mobile", "Li", "--out", str(tmp_path / "o")])
    assert result.exit_code == 0, result.output
    printed = " ".join(result.stdout.split())
    assert (
        "no gate, nearer than 0.9 Å (min_jump_length_A): positions of one ion, no window was looked for: Li2-Li2 0.76 Å"
        in printed
    )
    rows = list(csv.DictReader(io.StringIO((tmp_path / "o" / "gates.csv").read_text())))
    (short,) = [r for r in rows if r["no_gate_because"]]
    assert (short["jump"], short["area_A2"], short["multiplicity"], short["percolating"]) == (
        "Li2-Li2",
        "",
        "48",
        "True",
    )
    record = StaticDescriptors.from_json((tmp_path / "o" / "channels.json").read_text())
    assert [j.jump for j in record.gateless] == ["Li2-Li2"]
    assert record.gateless[0].jump_length_A == pytest.approx(0.76, abs=0.01)


def test_a_long_table_is_cut_and_says_where_the_rest_is(app, tmp_path):
    atoms = Structure.from_file(path_of("Na3OCl_Pm-3m")).to_ase_atoms()
    atoms.info.clear()
    atoms = atoms.repeat((2, 2, 2))
    atoms.rattle(0.15, seed=1)
    ase_write(tmp_path / "hot.extxyz", atoms)
    result = CliRunner().invoke(
        app, ["channels", str(tmp_path / "hot.extxyz"), "--mobile", "Na", "--out", str(tmp_path / "o")]
    )
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(io.StringIO((tmp_path / "o" / "gates.csv").read_text())))
    assert len(rows) > 24
    assert f"and {len(rows) - 24} rows more: --out FOLDER writes all to gates.csv" in " ".join(result.stdout.split())


def test_overlapping_atoms_are_named_though_they_also_spoil_the_charges(app, tmp_path):
    atoms = Structure.from_file(path_of("Na3OCl_Pm-3m")).to_ase_atoms()
    atoms.info.clear()
    atoms.append(atoms[0])
    atoms.positions[-1] += 0.1
    ase_write(tmp_path / "twice.extxyz", atoms)
    result = CliRunner().invoke(app, ["channels", str(tmp_path / "twice.extxyz"), "--mobile", "Na"])
    assert "two atoms overlap" in str(result.exception)


def test_command_reads_what_its_name_does_not_tell(app, tmp_path):
    atoms = Structure.from_file(path_of("Na3OCl_Pm-3m")).to_ase_atoms()
    atoms.info.clear()
    ase_write(tmp_path / "structure.dat", atoms, format="extxyz")
    arguments = ["channels", str(tmp_path / "structure.dat"), "--mobile", "Na"]
    refused = CliRunner().invoke(app, arguments)
    assert "--format" in str(refused.exception)
    assert CliRunner().invoke(app, [*arguments, "--format", "extxyz"]).exit_code == 0
    assert "a folder" in str(CliRunner().invoke(app, ["channels", str(tmp_path), "--mobile", "Na"]).exception)


def test_pictures_are_drawn(nasicon, tmp_path):
    gates = nasicon.gate_set
    rng = np.random.default_rng(0)
    series = gates_along(gates.reference + rng.normal(0, 0.05, (20, *gates.reference.shape)), gates.cell, gates)
    framework = read_framework(Structure.from_file(path_of("Na3OCl_Pm-3m")), "Na")
    for name, axes in {
        "gates": pictures.draw_gates(nasicon.gates, nasicon.ion_radius_A),
        "motion": pictures.draw_motion(series, gates),
        "cut": pictures.draw_landscape(landscape(framework, path=False)),
        "way": pictures.draw_landscape(landscape(framework)),
    }.items():
        axes.figure.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 3000
    table = exports.gate_motion_table(summarise_gates(series, gates))
    assert len(table.splitlines()) == 1 + len(gates.kinds)


@pytest.fixture(scope="module")
def app():
    made = typer.Typer()
    command.register(made)
    return made


def test_command_on_a_prototype_prints_the_record(app):
    result = CliRunner().invoke(app, ["channels", "NaZr2P3O12_R-3c", "--mobile", "Na", "--json"])
    assert result.exit_code == 0, result.output
    record = StaticDescriptors.from_json(result.stdout)
    assert record.free_sphere_A == pytest.approx(1.619, rel=5e-3)


def test_command_on_a_structure_writes_its_files(app, tmp_path):
    out = tmp_path / "out"
    arguments = [
        "channels",
        str(path_of("Na3OCl_Pm-3m")),
        "--mobile",
        "Na",
        "--bvse",
        "--interstitials",
        "--out",
        str(out),
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "free sphere 1.377" in result.stdout.replace("\n", " ")
    assert "bond-valence barriers 1D 0.378, 2D 0.378, 3D 0.378 eV" in " ".join(result.stdout.split())
    assert {p.name for p in out.iterdir()} == {
        "channels.json", "gates.csv", "bottlenecks.csv", "network.cif", "network.xyz", "gates.png", "bvse.cube",
        "bvse_path.xyz", "bvse.png", "interstitials.json",
    }  # fmt: skip


def test_command_on_a_trajectory_follows_the_gates(app, tmp_path):
    atoms = Structure.from_file(path_of("Na3OCl_Pm-3m")).to_ase_atoms()
    atoms.info.clear()
    atoms = atoms.repeat((2, 2, 2))
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(6):
        copy = atoms.copy()
        copy.positions += rng.normal(0, 0.08, copy.positions.shape)
        frames.append(copy)
    ase_write(tmp_path / "run.extxyz", frames)
    result = CliRunner().invoke(
        app, ["channels", str(tmp_path / "run.extxyz"), "--mobile", "Na", "--out", str(tmp_path / "o")]
    )
    assert result.exit_code == 0, result.output
    assert "gates in motion" in result.stdout
    assert {"gates_in_motion.csv", "gates_in_motion.png", "density.cube"} <= {
        p.name for p in (tmp_path / "o").iterdir()
    }


@pytest.mark.parametrize("turning", [True, False])
def test_command_follows_gates_of_anions_that_turn(app, tmp_path, turning):
    crystal = Structure.from_file(path_of("Na3PS4_I-43m"))
    crystal.remove_oxidation_states()
    atoms = crystal.to_ase_atoms()
    atoms.info.clear()
    rng = np.random.default_rng(0)
    bonds = {
        int(p): [s for s in np.flatnonzero(atoms.symbols == "S") if atoms.get_distance(p, s, mic=True) < 2.3]
        for p in np.flatnonzero(atoms.symbols == "P")
    }
    frames = []
    for turn in range(36):
        copy = atoms.copy()
        angle = np.radians(10 * turn if turning else 5 * (-1) ** turn)  # a full turn about z, or a libration
        rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        for p, around in bonds.items():
            assert len(around) == 4
            copy.positions[around] = (
                atoms[p].position + atoms.get_distances(p, around, mic=True, vector=True) @ rotation.T
            )
        copy.positions += rng.normal(0, 0.03, copy.positions.shape)
        frames.append(copy)
    ase_write(tmp_path / "run.extxyz", frames)
    result = CliRunner().invoke(app, ["channels", str(tmp_path / "run.extxyz"), "--mobile", "Na"])
    assert result.exit_code == 0, result.exception
    assert "gates in motion" in result.stdout
    assert ("nearest to the mean" in result.stderr) is turning


def test_command_takes_sites_from_a_file_of_the_same_cell(app, tmp_path):
    unit = Structure.from_file(path_of("Na3OCl_Pm-3m"))
    unit.to(filename=str(tmp_path / "unit.cif"))
    unit.make_supercell(2)
    unit.to(filename=str(tmp_path / "POSCAR"), fmt="poscar")
    structure = str(tmp_path / "POSCAR")
    fine = CliRunner().invoke(app, ["channels", structure, "--mobile", "Na", "--sites", structure, "--json"])
    assert fine.exit_code == 0, fine.output
    wrong = CliRunner().invoke(app, ["channels", structure, "--mobile", "Na", "--sites", str(tmp_path / "unit.cif")])
    assert isinstance(wrong.exception, InputError)
    assert "another cell" in str(wrong.exception)


def test_command_names_a_missing_file(app):
    result = CliRunner().invoke(app, ["channels", "no/such/file.cif", "--mobile", "Na"])
    assert "no such file" in str(result.exception)


@pytest.mark.parametrize("text", ["", "hello", "data_x\n_cell_length_a 3\n"])
def test_command_names_a_file_that_is_no_structure(app, tmp_path, text):
    bad, good = tmp_path / "bad.cif", str(path_of("Na3OCl_Pm-3m"))
    bad.write_text(text)
    for arguments in (
        ["channels", str(bad), "--mobile", "Na"],
        ["channels", good, "--mobile", "Na", "--sites", str(bad)],
    ):
        result = CliRunner().invoke(app, arguments)
        assert isinstance(result.exception, InputError)
        assert "not a readable" in str(result.exception)
        assert "bad.cif" in str(result.exception)


def test_command_refuses_a_slab_by_its_boundary(app, tmp_path):
    atoms = Structure.from_file(path_of("Na3OCl_Pm-3m")).to_ase_atoms()
    atoms.info.clear()
    atoms.pbc = [True, True, False]
    ase_write(tmp_path / "slab.extxyz", atoms)
    result = CliRunner().invoke(app, ["channels", str(tmp_path / "slab.extxyz"), "--mobile", "Na"])
    assert isinstance(result.exception, InputError)
    assert "not periodic in all three directions" in str(result.exception)


def test_command_refuses_a_file_where_the_folder_should_be(app, tmp_path):
    (tmp_path / "taken").write_text("mine")
    arguments = ["channels", "Na3OCl_Pm-3m", "--mobile", "Na", "--out", str(tmp_path / "taken")]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, InputError)
    assert "--out" in str(result.exception)
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "told"),
    [(["--charges", "Na=1,Zr=4"], "holds no Zr"), (["--charges", "Na=nan"], "not an oxidation state"),
     (["--start", "5"], "--start"), (["--stop", "3", "--stride", "2"], "--stop, --stride")],
)  # fmt: skip
@pytest.mark.parametrize("source", ["Na3OCl_Pm-3m", str(path_of("Na3OCl_Pm-3m"))])
def test_command_refuses_options_that_would_be_ignored(app, source, options, told):
    result = CliRunner().invoke(app, ["channels", source, "--mobile", "Na", *options])
    assert isinstance(result.exception, InputError)
    assert told in str(result.exception)


def test_command_names_the_frame_that_is_no_number(app, tmp_path):
    atoms = Structure.from_file(path_of("Na3OCl_Pm-3m")).to_ase_atoms()
    atoms.info.clear()
    frames = [atoms.copy() for _ in range(4)]
    frames[2].positions[atoms.symbols == "Na"] = np.nan
    ase_write(tmp_path / "run.extxyz", frames)
    result = CliRunner().invoke(app, ["channels", str(tmp_path / "run.extxyz"), "--mobile", "Na"])
    assert isinstance(result.exception, InputError)
    assert "frame 2" in str(result.exception)
    assert "--stop 2" in str(result.exception)
    whole = CliRunner().invoke(app, ["channels", str(tmp_path / "run.extxyz"), "--mobile", "Na", "--stop", "2"])
    assert whole.exit_code == 0, whole.output


def test_gates_along_names_the_frame_that_is_no_number(nasicon):
    gates = nasicon.gate_set
    positions = np.repeat(gates.reference[None], 3, axis=0)
    positions[1, 5] = np.nan
    with pytest.raises(InputError, match="NaN") as caught:
        gates_along(positions, gates.cell, gates)
    assert caught.value.problem.where == "frame 1"


def test_command_refuses_the_wrong_ion(app):
    result = CliRunner().invoke(app, ["channels", "Na3OCl_Pm-3m", "--mobile", "Li"])
    assert isinstance(result.exception, InputError)
    assert "--mobile Na" in str(result.exception)


def test_missing_bond_valence_parameters_are_said(app, tmp_path):
    result = CliRunner().invoke(app, ["channels", "Na3OBH4_P-43m_ordered", "--mobile", "Na", "--bvse"])
    assert result.exit_code == 0, result.output
    assert "no published parameters for Na+1 H-1" in result.stderr
    campaign = tmp_path / "c.yaml"
    campaign.write_text(
        "name: c\ngenerate:\n  recipes:\n    - prototype: Na3OBH4_P-43m_ordered\n      supercell: {matrix: [1, 1, 1]}\n"
        "  ordering: {n_configurations: 1}\nsieve: {max_bvse_barrier_eV: 0.5}\n"
    )
    table = CliRunner().invoke(app, ["sieve", str(campaign)])
    assert "no parameters" in table.stdout
    assert "0 of 1 would be sieved out" in table.stdout


@pytest.mark.parametrize(("name", "warned"), [("Li2OHCl_Pm-3m", True), ("Li2OHCl_P4mm_ordered", False)])
def test_barriers_of_a_mean_field_are_called_so(app, name, warned):
    result = CliRunner().invoke(app, ["channels", name, "--mobile", "Li", "--bvse"])
    assert result.exit_code == 0, result.output
    assert ("mean field" in result.stderr) is warned


def test_sieve_shows_who_would_fall_and_why(app, tmp_path):
    campaign = tmp_path / "c.yaml"
    campaign.write_text(
        "name: c\ngenerate:\n  recipes:\n    - prototype: Na3OCl_Pm-3m\n      supercell: {matrix: [2, 2, 2]}\n"
        "    - prototype: Na3PS4_P-421c\n      supercell: {matrix: [1, 1, 1]}\n"
        "  ordering: {n_configurations: 1}\nsieve: {min_percolation_radius_A: 0.72}\n"
    )
    result = CliRunner().invoke(app, ["sieve", str(campaign), "--csv"])
    assert result.exit_code == 0, result.output
    rows = {r["configuration"].split("--")[0]: r for r in csv.DictReader(io.StringIO(result.stdout))}
    assert rows["Na3OCl_Pm-3m"]["outcome"] == "sieved"
    assert "0.69 Å" in rows["Na3OCl_Pm-3m"]["reason"]
    assert rows["Na3PS4_P-421c"]["outcome"] == "completed"
    assert float(rows["Na3PS4_P-421c"]["narrowest gate Å"]) <= float(rows["Na3PS4_P-421c"]["1D Å"]) + 1e-3
    assert {r["way over sites"] for r in rows.values()} == {"gate"}
    assert {r["barriers"] for r in rows.values()} == {"not computed"}
    assert {r["barrier 1D eV"] for r in rows.values()} == {""}
    table = CliRunner().invoke(app, ["sieve", str(campaign)])
    assert "1 of 2 would be sieved out" in table.stdout
    assert "sieved Na3OCl_Pm-3m--undoped--c0: a sphere of 0.69 Å passes" in " ".join(table.stdout.split())


def test_columns_of_the_sieve_hold_numbers_or_nothing(app, tmp_path):
    campaign = tmp_path / "c.yaml"
    campaign.write_text(
        "name: c\ngenerate:\n  recipes:\n    - prototype: Na3OCl_Pm-3m\n      supercell: {matrix: [1, 1, 1]}\n"
        "    - prototype: Na3OBH4_P-43m_ordered\n      supercell: {matrix: [1, 1, 1]}\n"
        "  ordering: {n_configurations: 1}\nsieve: {bvse: true}\n"
    )
    result = CliRunner().invoke(app, ["sieve", str(campaign), "--csv"])
    assert result.exit_code == 0, result.output
    rows = {r["configuration"].split("--")[0]: r for r in csv.DictReader(io.StringIO(result.stdout))}
    assert [float(rows["Na3OCl_Pm-3m"][f"barrier {d}D eV"]) for d in (1, 2, 3)] == pytest.approx([0.378] * 3, abs=1e-3)
    assert rows["Na3OCl_Pm-3m"]["barriers"] == "computed"
    assert [rows["Na3OBH4_P-43m_ordered"][f"barrier {d}D eV"] for d in (1, 2, 3)] == ["", "", ""]
    assert rows["Na3OBH4_P-43m_ordered"]["barriers"] == "no parameters"
    for row in rows.values():
        assert row["narrowest gate Å"] == "" or float(row["narrowest gate Å"]) > 0


def test_pictures_are_written_whole_or_not_at_all(app, tmp_path, monkeypatch):
    def fail(self, target, **kwargs):
        if isinstance(target, (str, Path)):
            Path(target).write_bytes(b"half a picture")
        raise OSError("interrupted")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    CliRunner().invoke(app, ["channels", "Na3OCl_Pm-3m", "--mobile", "Na", "--out", str(tmp_path)])
    assert list(tmp_path.glob("*.png")) == []


def test_sieve_names_refused_candidates_and_ends_with_three(app, tmp_path):
    campaign = tmp_path / "c.yaml"
    campaign.write_text(
        "name: c\ngenerate:\n  recipes:\n    - prototype: Na3OCl_Pm-3m\n      supercell: {matrix: [1, 1, 1]}\n"
        "    - formula: Na7Zr3P5O31\n  ordering: {n_configurations: 1}\n"
    )
    for how in ([], ["--csv"]):
        result = CliRunner().invoke(app, ["sieve", str(campaign), *how], standalone_mode=False)
        assert result.return_value == 3, result.output
        assert "1 of 2 candidates refused" in result.stderr
        assert "Na7Zr3P5O31" in result.stderr
        assert "refused" not in result.stdout
        assert "Na3OCl" in result.stdout if how else "0 of 1 would be sieved out" in result.stdout


def test_sieve_points_at_the_line_of_a_wrong_recipe(app, tmp_path):
    campaign = tmp_path / "c.yaml"
    campaign.write_text("name: c\ngenerate:\n  recipes:\n    - prototype: Na3OCl_Pm-3n\n")
    result = CliRunner().invoke(app, ["sieve", str(campaign)])
    assert isinstance(result.exception, InputError)
    assert "c.yaml:4" in str(result.exception)


def test_json_of_the_interstitials_is_a_list_of_sites(app, tmp_path):
    arguments = [
        "channels",
        str(path_of("NaZr2P3O12_R-3c")),
        "--mobile",
        "Na",
        "--interstitials",
        "--out",
        str(tmp_path),
    ]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    sites = json.loads((tmp_path / "interstitials.json").read_text())
    assert {"label", "multiplicity", "occupancy", "xyz", "kind"} <= set(sites[0])
