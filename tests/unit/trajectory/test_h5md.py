"""The journal survives any cut, the H5MD file is what others read."""

import hashlib

import h5py
import numpy as np
import pytest

from ionsieve.errors import DataError, InputError
from ionsieve.trajectory import Trajectory, Writer, h5md, iter_chunks, read, write
from ionsieve.trajectory.foreign import read_any

NUMBERS = np.array([3, 3, 17, 8], dtype=np.int64)
CELL = np.array([[8.0, 0, 0], [1.0, 7.0, 0], [0.5, 0.2, 9.0]])


def frames(count, start=0):
    rng = np.random.default_rng(5)
    positions = rng.normal(size=(start + count, 4, 3)).cumsum(axis=0)[start:]
    steps = 10 * np.arange(start, start + count)
    return steps, steps * 0.002, positions, CELL, {"temperature": 600.0 + steps}


def open_writer(path, **kwargs):
    return Writer(path, NUMBERS, scalars=("temperature",), attrs={"run_id": "r1", "dt_fs": 2.0}, **kwargs)


def test_roundtrip(tmp_path):
    with open_writer(tmp_path / "t.h5") as writer:
        writer.append(*frames(7))
        writer.append(*frames(5, start=7))
    steps, times, positions, cell, scalars = frames(12)
    t = read(tmp_path / "t.h5")
    np.testing.assert_array_equal(t.positions, positions.astype(np.float32).astype(float))
    assert t.positions.dtype == np.float64
    np.testing.assert_array_equal(t.steps, steps)
    np.testing.assert_allclose(t.times_ps, times)
    np.testing.assert_array_equal(t.cells, np.broadcast_to(cell, (12, 3, 3)))
    np.testing.assert_array_equal(t.numbers, NUMBERS)
    np.testing.assert_array_equal(t.scalars["temperature"], scalars["temperature"])
    assert t.attrs == {"run_id": "r1", "dt_fs": 2.0}
    assert t.symbols == ("Li", "Li", "Cl", "O")
    assert t.frame_interval_ps == pytest.approx(0.02)
    assert not (tmp_path / "t.frames").exists()


def test_a_range_without_frames_is_refused(tmp_path):
    with open_writer(tmp_path / "t.h5") as writer:
        writer.append(*frames(7))
    with pytest.raises(DataError, match="holds no frame"):
        read_any(tmp_path / "t.h5", start=100)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_windows_and_chunks(tmp_path, compression):
    with open_writer(tmp_path / "t.h5", compression=compression) as writer:
        writer.append(*frames(23))
    whole = read(tmp_path / "t.h5")
    np.testing.assert_array_equal(read(tmp_path / "t.h5", 3, 20, 4).positions, whole.positions[3:20:4])
    parts = list(iter_chunks(tmp_path / "t.h5", 3, start=1, stride=2))
    assert [len(p) for p in parts] == [3, 3, 3, 2]
    np.testing.assert_array_equal(np.concatenate([p.positions for p in parts]), whole.positions[1::2])


def test_equal_frames_give_equal_bytes(tmp_path):
    digests = set()
    for name, cut in (("a", 4), ("b", 9)):
        with open_writer(tmp_path / f"{name}.h5") as writer:
            writer.append(*frames(cut))
            writer.append(*frames(12 - cut, start=cut))
        digests.add(hashlib.sha256((tmp_path / f"{name}.h5").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_journal_survives_a_cut_at_every_byte_of_the_last_frame(tmp_path):
    path = tmp_path / "t.h5"
    writer = open_writer(path)
    writer.append(*frames(3))
    writer.close()
    whole = (tmp_path / "t.frames").read_bytes()
    size = 8 + 8 + 72 + 8 + 48 + 4
    for cut in range(1, size):
        (tmp_path / "t.frames").write_bytes(whole[: len(whole) - cut])
        writer = open_writer(path)
        assert len(writer) == 2
        assert writer.last_step == 10
        writer.close()


def test_journal_cut_within_its_header_begins_anew(tmp_path):
    writer = open_writer(tmp_path / "t.h5")
    writer.close()
    raw = (tmp_path / "t.frames").read_bytes()
    for cut in range(len(raw)):
        (tmp_path / "t.frames").write_bytes(raw[:cut])
        again = open_writer(tmp_path / "t.h5")
        assert len(again) == 0
        again.close()
        assert (tmp_path / "t.frames").read_bytes() == raw


def test_damaged_frame_and_all_after_it_are_dropped(tmp_path):
    writer = open_writer(tmp_path / "t.h5")
    writer.append(*frames(5))
    writer.close()
    raw = bytearray((tmp_path / "t.frames").read_bytes())
    size = 8 + 8 + 72 + 8 + 48 + 4
    raw[len(raw) - 3 * size + 100] ^= 1
    (tmp_path / "t.frames").write_bytes(raw)
    writer = open_writer(tmp_path / "t.h5")
    assert len(writer) == 2
    writer.append(*frames(3, start=2))
    writer.publish()
    np.testing.assert_array_equal(read(tmp_path / "t.h5").steps, 10 * np.arange(5))


def test_truncate_to_step_then_continue_equals_uninterrupted(tmp_path):
    with open_writer(tmp_path / "a.h5") as writer:
        writer.append(*frames(9))
    writer = open_writer(tmp_path / "b.h5")
    writer.append(*frames(7))
    writer.close()
    writer = open_writer(tmp_path / "b.h5")
    assert writer.truncate_to_step(34) == 3
    assert writer.last_step == 30
    writer.append(*frames(5, start=4))
    writer.publish()
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_error_in_the_block_publishes_nothing_and_keeps_the_frames(tmp_path):
    def fails():
        with open_writer(tmp_path / "t.h5") as writer:
            writer.append(*frames(2))
            raise KeyError("x")

    with pytest.raises(KeyError):
        fails()
    assert not (tmp_path / "t.h5").exists()
    writer = open_writer(tmp_path / "t.h5")
    assert len(writer) == 2
    writer.close()


def test_refuses_another_runs_journal_and_repeated_frames(tmp_path):
    writer = open_writer(tmp_path / "t.h5")
    writer.append(*frames(2))
    with pytest.raises(InputError, match="ascend"):
        writer.append(*frames(1, start=1))
    with pytest.raises(InputError, match="scalars"):
        writer.append([20], [0.04], np.zeros((1, 4, 3)), CELL, {})
    writer.close()
    with pytest.raises(DataError, match="another run"):
        Writer(tmp_path / "t.h5", NUMBERS, scalars=("temperature",), attrs={"run_id": "r2", "dt_fs": 2.0})


def test_absent_damaged_and_foreign_files_teach(tmp_path):
    with pytest.raises(DataError, match="no such trajectory"):
        read(tmp_path / "none.h5")
    (tmp_path / "bad.h5").write_bytes(b"not hdf5 at all")
    with pytest.raises(DataError, match="not a readable HDF5"):
        read(tmp_path / "bad.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(DataError, match="not H5MD"):
        read(tmp_path / "other.h5")


def test_write_at_once_reads_back(tmp_path):
    steps, times, positions, cell, scalars = frames(6)
    t = Trajectory(
        positions,
        np.broadcast_to(cell, (6, 3, 3)),
        times,
        steps,
        NUMBERS,
        {"temperature": scalars["temperature"] * 1.0},
    )
    write(tmp_path / "t.h5", t)
    np.testing.assert_allclose(read(tmp_path / "t.h5").positions, positions, atol=1e-6)
    uneven = Trajectory(positions, t.cells, times**2, steps, NUMBERS)
    with pytest.raises(InputError, match="evenly"):
        _ = uneven.frame_interval_ps


def test_empty_trajectory(tmp_path):
    with open_writer(tmp_path / "t.h5"):
        pass
    assert len(read(tmp_path / "t.h5")) == 0


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
def test_mdanalysis_reads_it(tmp_path):
    mda = pytest.importorskip("MDAnalysis")
    with open_writer(tmp_path / "t.h5") as writer:
        writer.append(*frames(6))
    universe = mda.Universe.empty(4, trajectory=False)
    universe.load_new(str(tmp_path / "t.h5"), format="H5MD")
    assert len(universe.trajectory) == 6
    ours = read(tmp_path / "t.h5")
    for i, frame in enumerate(universe.trajectory):
        np.testing.assert_allclose(frame.positions, ours.positions[i], atol=1e-5)
        assert frame.time == pytest.approx(ours.times_ps[i])
        np.testing.assert_allclose(
            np.linalg.norm(frame.triclinic_dimensions, axis=1), np.linalg.norm(CELL, axis=1), rtol=1e-5
        )
    universe.trajectory.close()


def test_large_files_are_written_directly_and_read_the_same(tmp_path, monkeypatch):
    with open_writer(tmp_path / "a.h5") as writer:
        writer.append(*frames(9))
    monkeypatch.setattr(h5md, "_MEMORY_BYTES", 0)
    with open_writer(tmp_path / "b.h5") as writer:
        writer.append(*frames(9))
    a, b = read(tmp_path / "a.h5"), read(tmp_path / "b.h5")
    np.testing.assert_array_equal(a.positions, b.positions)
    assert a.attrs == b.attrs
    monkeypatch.setattr(h5md.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100})())
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "c.h5", a)
    assert not list(tmp_path.glob("c.h5*"))
