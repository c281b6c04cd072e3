"""Trajectories on disk: H5MD 1.1, written from a journal, read in windows.

Positions are unwrapped float32 in Å, cells rows of lattice vectors in Å, times in ps from the start of production.
Every array carries its unit. Equal frames give equal bytes: no clock and no host name enters the file, so its SHA-256
tells whether two runs are the same. MDAnalysis opens it (``universe.load_new(path, format="H5MD")``).

Layout::

    /h5md {version=[1,1]}  author, creator, modules/units
    /particles/all/position/{value (F,N,3) f4 Å, step (F,), time (F,) ps}
    /particles/all/box {dimension=3, boundary=periodic}/edges/{value (F,3,3) f8 Å, step, time}
    /particles/all/species (N,) atomic numbers
    /observables/<name>/{value (F,), step, time}
    /parameters/ionsieve {metadata: JSON}

References
----------
P. de Buyl, P. H. Colberg, F. Höfling, H5MD, Comput. Phys. Commun. 185, 1546 (2014), 10.1016/j.cpc.2014.01.018.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ionsieve import __version__
from ionsieve.errors import DataError, InputError
from ionsieve.trajectory.journal import Journal

__all__ = ["Trajectory", "Writer", "iter_chunks", "read", "write"]

#: units of the scalars that the dynamics rooms write
UNITS = {
    "temperature": "K",
    "potential_energy": "eV",
    "kinetic_energy": "eV",
    "conserved": "eV",
    "pressure": "GPa",
    "volume": "Angstrom3",
}
_CHUNK_BYTES = 1 << 20
#: files above this are not laid out in memory
_MEMORY_BYTES = 1 << 29


@dataclass(frozen=True)
class Trajectory:
    """Frames of one run.

    Attributes
    ----------
    positions
        (F, N, 3) float64, Å, unwrapped.
    cells
        (F, 3, 3) float64, Å, rows are lattice vectors.
    times_ps
        (F,), from the start of production.
    steps
        (F,) int64.
    numbers
        (N,) int64, atomic numbers.
    scalars
        (F,) per name, for example ``temperature`` (K) and ``potential_energy`` (eV).
    attrs
        What the frames are: run, temperature, time step, settings.
    """

    positions: NDArray[np.float64]
    cells: NDArray[np.float64]
    times_ps: NDArray[np.float64]
    steps: NDArray[np.int64]
    numbers: NDArray[np.int64]
    scalars: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def n_atoms(self) -> int:
        """Number of atoms N."""
        return len(self.numbers)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Element symbols of the N atoms."""
        from ase.data import chemical_symbols

        return tuple(chemical_symbols[z] for z in self.numbers)

    @property
    def volumes_A3(self) -> NDArray[np.float64]:
        """(F,) cell volumes, Å³."""
        return np.asarray(np.abs(np.linalg.det(self.cells)), dtype=np.float64)

    @property
    def frame_interval_ps(self) -> float:
        """Time between frames, ps; frames must be evenly spaced.

        Raises
        ------
        InputError
            When there are fewer than two frames or the spacing varies.
        """
        gaps = np.diff(self.times_ps)
        if len(gaps) == 0 or not np.allclose(gaps, gaps[0], rtol=1e-6, atol=0):
            raise InputError(
                "frames are not evenly spaced in time",
                found=f"{len(self)} frames",
                expected="two or more, evenly spaced",
            )
        return float((self.times_ps[-1] - self.times_ps[0]) / len(gaps))


class Writer:
    """Writes one trajectory: frames into a journal beside `path`, published as H5MD at the end.

    As a context manager it publishes when the block ends well and only closes the journal when it does not.

    Parameters
    ----------
    path
        The H5MD file to make; the journal is ``path`` with suffix ``.frames``.
    numbers, scalars, attrs
        As in `Journal`.
    compression
        ``gzip`` (level 1 with byte shuffling) or None.
    """

    def __init__(
        self,
        path: str | Path,
        numbers: ArrayLike,
        *,
        scalars: Sequence[str] = (),
        attrs: Mapping[str, Any] | None = None,
        compression: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.compression = compression
        self.journal = Journal(self.path.with_suffix(".frames"), numbers, scalars=scalars, attrs=attrs)
        self.append = self.journal.append
        self.flush = self.journal.flush
        self.truncate_to_step = self.journal.truncate_to_step

    def __len__(self) -> int:
        return len(self.journal)

    @property
    def last_step(self) -> int | None:
        """Step of the last frame, or None."""
        return self.journal.last_step

    def publish(self, *, extra: Mapping[str, Any] | None = None, keep_journal: bool = False) -> Path:
        """Write all frames as H5MD (temporary file, fsync, rename) and drop the journal.

        Parameters
        ----------
        extra
            Plain JSON added to the attributes, known only at the end (results of running accumulators).
        keep_journal
            Leave the journal, so that frames can still be appended.
        """
        self.journal.flush()
        frames = self.journal.frames()
        temporary = self.path.with_name(self.path.name + f".tmp{os.getpid()}")
        names = self.journal.scalars
        try:
            _write_h5md(
                temporary,
                self.journal.numbers,
                len(frames),
                lambda a, b: frames[a:b],
                names,
                {**self.journal.attrs, **(extra or {})},
                self.compression,
            )
            temporary.replace(self.path)
            _fsync(self.path.parent)
        finally:
            temporary.unlink(missing_ok=True)
        if not keep_journal:
            self.journal.close()
            self.journal.path.unlink()
        return self.path

    def close(self) -> None:
        """Close the journal; the frames stay and a new `Writer` of the same path continues."""
        self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.publish()
        else:
            self.close()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_h5md(
    path: Path,
    numbers: NDArray[np.int64],
    n_frames: int,
    window: Any,
    scalars: Sequence[str],
    attrs: Mapping[str, Any],
    compression: str | None,
) -> None:
    """Write and sync the file.

    A write that fails inside HDF5 (full disk) can take the whole process down when the library closes. So files up to
    `_MEMORY_BYTES` are laid out in memory and written by us; for larger ones the room on the disk is looked at first.

    Raises
    ------
    OSError
        When the disk is full.
    """
    expected = n_frames * (12 * len(numbers) + 8 * len(scalars) + 96)
    if expected <= _MEMORY_BYTES:
        with h5py.File(path, "w", libver=("earliest", "v110"), driver="core", backing_store=False) as file:
            _fill(file, numbers, n_frames, window, scalars, attrs, compression)
            file.flush()
            image = file.id.get_file_image()
        path.write_bytes(image)
    else:
        if shutil.disk_usage(path.parent).free < 1.1 * expected:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        with h5py.File(path, "w", libver=("earliest", "v110")) as file:
            _fill(file, numbers, n_frames, window, scalars, attrs, compression)
    _fsync(path)


def _fill(
    file: h5py.File,
    numbers: NDArray[np.int64],
    n_frames: int,
    window: Any,
    scalars: Sequence[str],
    attrs: Mapping[str, Any],
    compression: str | None,
) -> None:
    n_atoms = len(numbers)
    chunk = max(1, min(max(n_frames, 1), _CHUNK_BYTES // max(12 * n_atoms, 1)))
    packing: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if compression else {}
    head = file.create_group("h5md")
    head.attrs["version"] = np.array([1, 1], dtype=np.int32)
    head.create_group("author").attrs["name"] = "N/A"
    creator = head.create_group("creator")
    creator.attrs["name"], creator.attrs["version"] = "ionsieve", __version__
    units = head.create_group("modules/units")
    units.attrs["version"], units.attrs["system"] = np.array([1, 0], dtype=np.int32), "SI"
    particles = file.create_group("particles/all")
    particles.create_dataset("species", data=numbers.astype(np.int32))
    position = particles.create_group("position")
    value = position.create_dataset(
        "value",
        (n_frames, n_atoms, 3),
        np.float32,
        chunks=(chunk, max(n_atoms, 1), 3) if n_frames else None,
        **packing,
    )
    value.attrs["unit"] = "Angstrom"
    step = position.create_dataset("step", (n_frames,), np.int64)
    time = position.create_dataset("time", (n_frames,), np.float64)
    time.attrs["unit"] = "ps"
    box = particles.create_group("box")
    box.attrs["dimension"], box.attrs["boundary"] = 3, np.array(["periodic"] * 3, dtype="S8")
    edges = box.create_group("edges")
    edge = edges.create_dataset("value", (n_frames, 3, 3), np.float64)
    edge.attrs["unit"] = "Angstrom"
    edges["step"], edges["time"] = step, time
    columns = []
    for name in scalars:
        group = file.create_group(f"observables/{name}")
        column = group.create_dataset("value", (n_frames,), np.float64)
        if name in UNITS:
            column.attrs["unit"] = UNITS[name]
        group["step"], group["time"] = step, time
        columns.append(column)
    parameters = file.create_group("parameters/ionsieve")
    parameters.attrs["metadata"] = json.dumps(attrs, sort_keys=True, ensure_ascii=False, allow_nan=False)
    for a in range(0, n_frames, chunk):
        b = min(a + chunk, n_frames)
        frames = window(a, b)
        value[a:b], step[a:b], time[a:b], edge[a:b] = (
            frames["positions"],
            frames["step"],
            frames["time_ps"],
            frames["cell"],
        )
        for k, column in enumerate(columns):
            column[a:b] = frames["scalars"][:, k]


def write(path: str | Path, trajectory: Trajectory, *, compression: str | None = None) -> Path:
    """Write a whole trajectory at once (temporary file, rename)."""
    from ionsieve.trajectory.journal import record_type

    path = Path(path)
    names = tuple(trajectory.scalars)
    kind = record_type(trajectory.n_atoms, len(names))

    def window(a: int, b: int) -> NDArray[Any]:
        records = np.zeros(b - a, kind)
        records["step"], records["time_ps"] = trajectory.steps[a:b], trajectory.times_ps[a:b]
        records["cell"], records["positions"] = trajectory.cells[a:b], trajectory.positions[a:b]
        for k, name in enumerate(names):
            records["scalars"][:, k] = trajectory.scalars[name][a:b]
        return records

    temporary = path.with_name(path.name + f".tmp{os.getpid()}")
    try:
        _write_h5md(temporary, trajectory.numbers, len(trajectory), window, names, trajectory.attrs, compression)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _open(path: Path) -> h5py.File:
    if not path.is_file():
        raise DataError("no such trajectory", where=str(path), remedy="was the run finished? `ionsieve status` tells")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(
            "not a readable HDF5 file", where=str(path), cause=str(error), remedy="delete it; the run is computed again"
        ) from error
    if "h5md" not in file or "particles" not in file:
        file.close()
        raise DataError("an HDF5 file, but not H5MD", where=str(path), expected="groups /h5md and /particles")
    return file


def read(path: str | Path, start: int = 0, stop: int | None = None, stride: int = 1) -> Trajectory:
    """Read frames ``start:stop:stride``.

    Raises
    ------
    DataError
        When the file is absent, damaged or not H5MD with positions and box.
    """
    path = Path(path)
    with _open(path) as file:
        return _window(file, path, slice(start, stop, stride))


def creator(path: str | Path) -> str:
    """Return the name of the program that wrote an H5MD file, empty when it does not say."""
    with _open(Path(path)) as file:
        name = file["h5md/creator"].attrs.get("name", "") if "h5md/creator" in file else ""
        return name.decode() if isinstance(name, bytes) else str(name)


def _window(file: h5py.File, path: Path, window: slice) -> Trajectory:
    group = next(iter(file["particles"].values()))
    try:
        position, edges = group["position"], group["box/edges"]
        species = np.asarray(group["species"], dtype=np.int64)
        time, step = position["time"], position["step"]
        if not time.shape or not step.shape:
            raise KeyError("position/time: one value a frame")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            "the H5MD file lacks an element",
            where=str(path),
            key=str(error.args[0]),
            expected="position with value, step and time, box/edges, and species as atomic numbers",
            remedy="read it with MDAnalysis: --topology FILE",
        ) from error
    metadata = file["parameters/ionsieve"].attrs["metadata"] if "parameters/ionsieve" in file else "{}"
    n_frames = position["value"].shape[0]
    if isinstance(edges, h5py.Group):
        cells = np.asarray(edges["value"][window], dtype=np.float64)
    else:
        fixed = np.asarray(edges, dtype=np.float64)
        cells = np.broadcast_to(
            np.diag(fixed) if fixed.ndim == 1 else fixed, (len(range(*window.indices(n_frames))), 3, 3)
        ).copy()
    observables = file.get("observables", {})
    return Trajectory(
        positions=position["value"][window].astype(np.float64),
        cells=cells,
        times_ps=np.asarray(time[window], dtype=np.float64),
        steps=np.asarray(step[window], dtype=np.int64),
        numbers=species,
        scalars={name: np.asarray(item["value"][window], dtype=np.float64) for name, item in observables.items()},
        attrs=json.loads(metadata),
    )


def iter_chunks(
    path: str | Path, chunk_frames: int = 1000, *, start: int = 0, stop: int | None = None, stride: int = 1
) -> Iterator[Trajectory]:
    """Yield windows of at most `chunk_frames` frames, in order, without holding the whole in memory."""
    path = Path(path)
    with _open(path) as file:
        group = next(iter(file["particles"].values()))
        indices = range(*slice(start, stop, stride).indices(group["position/value"].shape[0]))
        for a in range(0, len(indices), chunk_frames):
            part = indices[a : a + chunk_frames]
            yield _window(file, path, slice(part.start, part.stop, part.step))
