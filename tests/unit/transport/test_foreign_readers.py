"""Trajectories of other programs: every format gives back the walk that was written."""

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from ionsieve.errors import DataError, InputError
from ionsieve.trajectory.foreign import read_any, unwrap_frames

CELL = np.array([[9.0, 0.0, 0.0], [3.0, 8.5, 0.0], [0.0, 2.0, 9.5]])


@pytest.fixture(scope="module")
def walk():
    rng = np.random.default_rng(0)
    return np.cumsum(rng.normal(scale=0.25, size=(120, 6, 3)), axis=0) + rng.uniform(0, 8, size=(1, 6, 3))


@pytest.fixture(scope="module")
def frames(walk):
    made = []
    for x in walk:
        atoms = Atoms("Na2PS3", positions=x, cell=CELL, pbc=True)
        atoms.wrap()
        made.append(atoms)
    return made


@pytest.mark.parametrize("name", ["run.traj", "run.extxyz", "XDATCAR"])
def test_wrapped_frames_come_back_continuous(tmp_path, walk, frames, name):
    path = tmp_path / name
    write(path, frames, format="vasp-xdatcar" if name == "XDATCAR" else None)
    found = read_any(path, frame_interval_fs=20.0, format="vasp-xdatcar" if name == "XDATCAR" else None)
    np.testing.assert_allclose(found.positions - found.positions[:1], walk - walk[:1], atol=2e-5)
    assert found.times_ps[-1] == pytest.approx(119 * 0.02)
    assert found.symbols == ("Na", "Na", "P", "S", "S", "S")


def test_slices_stride_and_times(tmp_path, walk, frames):
    path = tmp_path / "run.traj"
    write(path, frames)
    found = read_any(path, frame_interval_fs=20.0, start=10, stop=50, stride=2)
    assert len(found) == 20
    assert found.times_ps[1] == pytest.approx(0.04)
    assert found.steps.tolist()[:3] == [10, 12, 14]
    np.testing.assert_allclose(found.positions - found.positions[:1], walk[10:50:2] - walk[10:11], atol=1e-9)


def test_the_time_must_be_known(tmp_path, frames):
    path = tmp_path / "run.traj"
    write(path, frames[:5])
    with pytest.raises(InputError, match="time between frames") as error:
        read_any(path)
    assert "--dt-fs" in error.value.problem.remedy
    for k, atoms in enumerate(frames[:5]):
        atoms.info["time_fs"] = 20.0 * k
    write(tmp_path / "timed.extxyz", frames[:5])
    assert read_any(tmp_path / "timed.extxyz").times_ps[-1] == pytest.approx(0.08)


def test_atoms_that_change_are_refused(tmp_path, frames):
    path = tmp_path / "run.extxyz"
    write(path, [frames[0], frames[1][[1, 0, 2, 3, 5]]])
    with pytest.raises(DataError, match="atoms change"):
        read_any(path, frame_interval_fs=1.0)


def test_frames_too_far_apart_are_refused_unless_said_unwrapped(tmp_path):
    far = [Atoms("Na", positions=[[x, 0, 0]], cell=[10] * 3, pbc=True) for x in (0.0, 4.6, 9.2)]
    write(tmp_path / "far.traj", far)
    with pytest.raises(DataError, match=r"moves 4.60 Å between frames 0 and 1"):
        read_any(tmp_path / "far.traj", frame_interval_fs=1.0)
    kept = read_any(tmp_path / "far.traj", frame_interval_fs=1.0, unwrapped=True)
    assert kept.positions[:, 0, 0].tolist() == [0.0, 4.6, 9.2]


def test_energies_travel_along(tmp_path):
    from ase.calculators.singlepoint import SinglePointCalculator

    made = []
    for k in range(4):
        atoms = Atoms("Na", positions=[[0.1 * k, 0, 0]], cell=[10] * 3, pbc=True)
        atoms.calc = SinglePointCalculator(atoms, energy=-1.5 * k)
        made.append(atoms)
    write(tmp_path / "e.traj", made)
    assert read_any(tmp_path / "e.traj", frame_interval_fs=1.0).scalars["potential_energy"].tolist() == [
        0.0,
        -1.5,
        -3.0,
        -4.5,
    ]


def test_lammps_types_are_named(tmp_path):
    lines = []
    for step in (0, 10, 20):
        lines += ["ITEM: TIMESTEP", str(step), "ITEM: NUMBER OF ATOMS", "2", "ITEM: BOX BOUNDS pp pp pp"]
        lines += ["0 10", "0 10", "0 10", "ITEM: ATOMS id type x y z"]
        lines += [f"1 1 {0.1 * step / 10} 0 0", "2 2 5 5 5"]
    path = tmp_path / "dump.lammpstrj"
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    found = read_any(path, frame_interval_fs=10.0, format="lammps-dump-text", elements=["Na", "Cl"])
    assert found.symbols == ("Na", "Cl")
    with pytest.raises(InputError, match="every atom or every type"):
        read_any(path, frame_interval_fs=10.0, format="lammps-dump-text", elements=["Na", "Cl", "O"])
    with pytest.raises(InputError, match="no such element"):
        read_any(path, frame_interval_fs=10.0, format="lammps-dump-text", elements=["Na", "Xx"])


def test_our_own_files_are_read_too(tmp_path, walk):
    from ionsieve.trajectory.h5md import Trajectory
    from ionsieve.trajectory.h5md import write as write_h5md

    n = len(walk)
    made = Trajectory(
        walk, np.tile(CELL, (n, 1, 1)), np.arange(n) * 0.05, np.arange(n), np.array([11, 11, 15, 16, 16, 16])
    )
    path = write_h5md(tmp_path / "run.h5", made)
    found = read_any(path)
    np.testing.assert_allclose(found.positions, walk, atol=1e-5)
    assert found.frame_interval_ps == pytest.approx(0.05)


def test_unreadable_files_teach(tmp_path):
    bad = tmp_path / "bad.xyz"
    bad.write_text("not a trajectory", encoding="ascii")
    with pytest.raises(DataError):
        read_any(bad, frame_interval_fs=1.0)
    with pytest.raises(InputError, match="no such trajectory"):
        read_any(tmp_path / "absent.traj")


def test_no_cell_no_unwrapping():
    with pytest.raises(DataError, match="no periodic cell"):
        unwrap_frames(np.zeros((2, 1, 3)), np.zeros((2, 3, 3)))


@pytest.mark.oracle
def test_mdanalysis_reads_what_ase_cannot(tmp_path, walk):
    pytest.importorskip("MDAnalysis")
    import MDAnalysis

    box = np.array([[12.0, 0, 0], [0, 12.0, 0], [0, 0, 12.0]])
    universe = MDAnalysis.Universe.empty(6, trajectory=True)
    universe.add_TopologyAttr("elements", ["Na", "Na", "P", "S", "S", "S"])
    universe.add_TopologyAttr("names", ["Na", "Na", "P", "S", "S", "S"])
    import warnings

    wrapped = walk - 12.0 * np.floor(walk / 12.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe.dimensions = [12.0, 12.0, 12.0, 90.0, 90.0, 90.0]
        universe.atoms.write(str(tmp_path / "top.pdb"))
        with MDAnalysis.Writer(str(tmp_path / "run.xtc"), 6) as writer:
            for k, x in enumerate(wrapped):
                universe.atoms.positions = x
                universe.trajectory.ts.time = 0.5 * k
                writer.write(universe.atoms)
        found = read_any(tmp_path / "run.xtc", topology=tmp_path / "top.pdb")
    np.testing.assert_allclose(found.positions - found.positions[:1], walk - walk[:1], atol=0.02)  # xtc keeps 0.01 Å
    assert found.symbols[:3] == ("Na", "Na", "P")
    assert found.times_ps[2] == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose(found.cells[0], box, atol=1e-4)


def test_joining_is_counted(tmp_path, walk, frames):
    write(tmp_path / "wrapped.traj", frames)
    attrs = read_any(tmp_path / "wrapped.traj", frame_interval_fs=20.0).attrs
    assert attrs["unwrapped_steps"] > 10
    assert 0.05 < attrs["longest_step_of_height"] < 0.4
    plain = [Atoms("Na2PS3", positions=x, cell=CELL, pbc=True) for x in walk]
    write(tmp_path / "plain.traj", plain)
    assert read_any(tmp_path / "plain.traj", frame_interval_fs=20.0).attrs["unwrapped_steps"] == 0


def test_foreign_h5md_is_joined_and_ours_is_left_alone(tmp_path, walk, frames):
    import h5py

    from ionsieve.trajectory import h5md

    n = len(frames)
    wrapped = h5md.Trajectory(
        positions=np.stack([a.positions for a in frames]),
        cells=np.broadcast_to(CELL, (n, 3, 3)).copy(),
        times_ps=np.arange(n) * 0.02,
        steps=np.arange(n),
        numbers=np.array([11, 11, 15, 16, 16, 16]),
    )
    path = h5md.write(tmp_path / "run.h5", wrapped)
    np.testing.assert_allclose(read_any(path).positions, wrapped.positions, atol=1e-5)  # stored in single precision
    with h5py.File(path, "r+") as file:
        file["h5md/creator"].attrs["name"] = "LAMMPS"
        del file["parameters/ionsieve"]
    found = read_any(path)
    np.testing.assert_allclose(found.positions - found.positions[:1], walk - walk[:1], atol=1e-4)
    with h5py.File(path, "r+") as file:
        del file["particles"][next(iter(file["particles"]))]["species"]
    with pytest.raises(DataError, match="lacks an element") as error:
        read_any(path)
    assert "--topology" in error.value.problem.remedy


@pytest.fixture(scope="module")
def universe(tmp_path_factory):
    """Topology and a writer of three frames 0.1 ps apart, with or without a box."""
    MDAnalysis = pytest.importorskip("MDAnalysis")
    import warnings

    folder = tmp_path_factory.mktemp("mda")
    made = MDAnalysis.Universe.empty(2, trajectory=True)
    for name in ("elements", "names"):
        made.add_TopologyAttr(name, ["Na", "S"])

    def frames(name, box=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.dimensions = [12.0, 12.0, 12.0, 90.0, 90.0, 90.0] if box else None
            made.atoms.write(str(folder / "top.pdb"))
            with MDAnalysis.Writer(str(folder / name), 2) as writer:
                for k in range(3):
                    made.trajectory.ts.time = 0.1 * k
                    writer.write(made.atoms)
        return {"path": folder / name, "topology": folder / "top.pdb"}

    return frames


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
def test_a_time_that_mdanalysis_invents_is_not_believed(universe):
    with pytest.raises(InputError, match="time between frames"):
        read_any(**universe("run.dcd"))
    assert read_any(**universe("run.dcd"), frame_interval_fs=100.0).times_ps[-1] == pytest.approx(0.2)
    assert read_any(**universe("run.trr")).times_ps[-1] == pytest.approx(0.2)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
def test_what_mdanalysis_cannot_give_teaches(universe, tmp_path):
    with pytest.raises(DataError, match="no periodic cell"):
        read_any(**universe("run.xyz", box=False), frame_interval_fs=100.0)
    (tmp_path / "bad.dcd").write_text("nothing", encoding="ascii")
    with pytest.raises(DataError, match="MDAnalysis cannot read it"):
        read_any(tmp_path / "bad.dcd", topology=universe("run.dcd")["topology"], frame_interval_fs=100.0)
