"""Trajectories of other programs, read into the same `Trajectory` as ours.

Formats
    .h5 .h5md               ours, or any H5MD with positions, box and species
    everything ASE reads    .traj, extxyz, XDATCAR, vasprun.xml, LAMMPS dump, CP2K, ... one frame in memory at a time
    with a topology         what MDAnalysis reads (.xtc, .dcd, .nc, ...); needs the extra ``foreign``
Unwrapping
    Foreign positions may be wrapped. They are joined frame by frame by the minimum image in the current cell, which
    changes nothing in a path that was never wrapped, and refused when a step is too long to be sure
    (`ionsieve.transport.unwrap`'s rule, repeated here in plain NumPy because rooms below cannot import it). How many
    steps were joined and how long the longest is stands in ``attrs`` (``unwrapped_steps``, ``longest_step_of_height``).
    Our own H5MD is continuous as it stands; that of other programs is treated like any foreign file.
Time
    Most formats carry none: the interval between stored frames must then be given; so for DCD, whose header often
    holds a default.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ionsieve.errors import DataError, InputError, SetupError
from ionsieve.trajectory.h5md import Trajectory
from ionsieve.trajectory.h5md import creator as h5md_creator
from ionsieve.trajectory.h5md import read as read_h5md

__all__ = ["read_any", "unwrap_frames"]

Floats = NDArray[Any]
_H5 = {".h5", ".h5md", ".hdf5"}
# formats of MDAnalysis whose frames carry their time in ps. Not DCD (its header often holds a default, or LAMMPS's own
# unit) and not LAMMPS dumps (step numbers); others hold none, and MDAnalysis counts 1 ps a frame
_TIMED = {"XTC", "TRR", "TNG", "NCDF", "H5MD", "TRC", "TRZ"}


def read_any(
    path: str | Path,
    *,
    frame_interval_fs: float | None = None,
    start: int = 0,
    stop: int | None = None,
    stride: int = 1,
    format: str | None = None,
    topology: str | Path | None = None,
    elements: Sequence[str] | None = None,
    unwrapped: bool = False,
    max_height_fraction: float = 0.4,
) -> Trajectory:
    """Read a trajectory of any supported format.

    Parameters
    ----------
    frame_interval_fs
        Time between two stored frames (before `stride`); wins over times in the file.
    start, stop, stride
        Frames to take.
    format
        ASE's name of the format, when the file name does not tell.
    topology
        Topology file: read with MDAnalysis.
    elements
        Element of each atom (N) or of each LAMMPS type, when the file does not say.
    unwrapped
        The positions are continuous already and frames lie far apart: do not touch them.
    max_height_fraction
        Longest step that is accepted while unwrapping, in shortest cell heights.

    Raises
    ------
    DataError
        Unreadable, atoms that change, no cell, or frames too far apart to unwrap.
    InputError
        No time between frames is known.
    SetupError
        MDAnalysis is needed and missing.
    """
    path = Path(path)
    if not path.exists():
        raise InputError("no such trajectory", where=str(path))
    if stride < 1:
        raise InputError("the stride counts frames from 1", key="stride", found=str(stride))
    if path.suffix in _H5 and topology is None:
        return _from_h5md(path, frame_interval_fs, start, stop, stride, unwrapped, max_height_fraction)
    if topology is not None:
        positions, cells, numbers, times, scalars = _mdanalysis(path, Path(topology), start, stop, stride)
    else:
        positions, cells, numbers, times, scalars = _ase(path, format, start, stop, stride)
    if elements is not None:
        numbers = _renamed(numbers, elements, str(path))
    if frame_interval_fs is not None:
        times = np.arange(len(positions)) * stride * frame_interval_fs * 1e-3
    elif times is None:
        raise InputError(
            "the time between frames is not in the file",
            where=str(path),
            key="frame_interval_fs",
            cause="most formats store no times",
            remedy="give it, for example --dt-fs 50 for a frame every 50 fs (MD time step times steps between frames)",
        )
    found = Trajectory(
        positions=positions,
        cells=cells,
        times_ps=np.asarray(times, dtype=np.float64),
        steps=np.arange(len(positions), dtype=np.int64) * stride + start,
        numbers=numbers,
        scalars=scalars,
        attrs={"source": path.name},
    )
    return found if unwrapped else _joined(found, max_height_fraction, str(path))


def _joined(found: Trajectory, max_height_fraction: float, where: str) -> Trajectory:
    """Return the trajectory unwrapped, with what was done in its attributes."""
    joined = unwrap_frames(found.positions, found.cells, max_height_fraction=max_height_fraction, where=where)
    crossed, longest = 0, 0.0
    for first in range(0, len(found) - 1, 500):  # in blocks: a long run is not held three times
        part = slice(first, min(first + 501, len(found)))
        inverse = np.linalg.inv(found.cells[part])
        height = float((1.0 / np.sqrt((inverse**2).sum(axis=1))).min())
        crossed += int((np.abs(np.diff(found.positions[part] @ inverse, axis=0)) > 0.5).any(axis=2).sum())
        steps = np.diff(joined[part] @ inverse, axis=0) @ found.cells[part][1:]
        longest = max(longest, float(np.sqrt((steps**2).sum(axis=2).max(initial=0.0))) / height)
    noted = {"unwrapped_steps": crossed, "longest_step_of_height": round(longest, 4)}
    return replace(found, positions=joined, attrs={**found.attrs, **noted})


def _from_h5md(
    path: Path,
    interval_fs: float | None,
    start: int,
    stop: int | None,
    stride: int,
    unwrapped: bool,
    max_height_fraction: float,
) -> Trajectory:
    found = read_h5md(path, start, stop, stride)
    if len(found) == 0:
        raise DataError("holds no frame in the range asked for", where=str(path))
    if interval_fs is not None:
        times: Floats = np.arange(len(found)) * stride * interval_fs * 1e-3
        found = replace(found, times_ps=times)
    if unwrapped or h5md_creator(path) == "ionsieve":
        return found
    return _joined(found, max_height_fraction, str(path))


_Parts = tuple[Floats, Floats, NDArray[np.int64], Floats | None, dict[str, Floats]]


#: what ASE's readers raise over files that are not what their names say
_UNREADABLE = (
    OSError, ValueError, IndexError, KeyError, StopIteration, RuntimeError, AssertionError, AttributeError, TypeError,
)  # fmt: skip


def _ase(path: Path, format: str | None, start: int, stop: int | None, stride: int) -> _Parts:
    from ase.calculators.calculator import PropertyNotImplementedError
    from ase.io import iread
    from ase.io.formats import UnknownFileTypeError

    positions: list[Floats] = []
    cells: list[Floats] = []
    times: list[float] = []
    energies: list[float] = []
    numbers: NDArray[np.int64] | None = None
    try:
        for k, atoms in enumerate(iread(str(path), index=slice(start, stop, stride), format=format)):
            if numbers is None:
                numbers = np.asarray(atoms.numbers, dtype=np.int64)
            elif len(atoms) != len(numbers) or not np.array_equal(atoms.numbers, numbers):
                raise DataError(
                    "the atoms change along the trajectory",
                    where=str(path),
                    found=f"frame {start + k * stride} holds {atoms.get_chemical_formula()}",
                    expected="the same atoms in the same order in every frame",
                    remedy="sort the frames by atom id before writing them",
                )
            positions.append(np.array(atoms.positions, dtype=np.float64))
            cells.append(np.array(atoms.cell.array, dtype=np.float64))
            time = atoms.info.get("time_ps", atoms.info.get("time_fs", None))
            if time is not None:
                times.append(float(time) * (1.0 if "time_ps" in atoms.info else 1e-3))
            if atoms.calc is not None:
                with suppress(PropertyNotImplementedError):
                    energies.append(float(atoms.get_potential_energy()))
    except DataError:
        raise
    except UnknownFileTypeError as error:
        raise DataError(
            "ASE does not know this format",
            where=str(path),
            found=str(error),
            remedy="name it with --format (see `ase info --formats`), or give --topology to read it with MDAnalysis",
        ) from error
    except _UNREADABLE as error:
        raise DataError(
            f"cannot be read: {error}",
            where=str(path),
            cause=type(error).__name__,
            remedy="" if format else "if its name misleads about its format, name that with --format",
        ) from error
    if numbers is None:
        raise DataError("holds no frame in the range asked for", where=str(path))
    scalars = {"potential_energy": np.asarray(energies)} if len(energies) == len(positions) else {}
    return (
        np.stack(positions),
        np.stack(cells),
        numbers,
        np.asarray(times) if len(times) == len(positions) else None,
        scalars,
    )


def _mdanalysis(path: Path, topology: Path, start: int, stop: int | None, stride: int) -> _Parts:
    try:
        import MDAnalysis
    except ImportError as error:
        raise SetupError(
            "MDAnalysis reads this trajectory and is not installed", remedy="pip install 'ionsieve[foreign]'"
        ) from error
    from ase.data import atomic_numbers

    if not topology.exists():
        raise InputError("no such topology", where=str(topology))
    try:
        universe = MDAnalysis.Universe(str(topology), str(path))
    except (OSError, ValueError, TypeError, IndexError, KeyError) as error:
        raise DataError(
            f"MDAnalysis cannot read it: {error}", where=f"{path} with {topology}", cause=type(error).__name__
        ) from error
    names = getattr(universe.atoms, "elements", None)
    if names is None:
        names = [str(t).capitalize() for t in universe.atoms.types]
    unknown = sorted({n for n in names if n not in atomic_numbers and not n.isdigit()})
    if unknown:
        raise DataError(
            "the topology does not say which elements its atoms are",
            where=str(topology),
            found=", ".join(unknown),
            remedy="give --elements, one per atom or per type",
        )
    numbers = np.asarray([atomic_numbers.get(n, int(n) if n.isdigit() else 0) for n in names], dtype=np.int64)
    positions, cells, times = [], [], []
    formats = universe.trajectory.format
    timed = bool(_TIMED & ({formats} if isinstance(formats, str) else set(formats)))
    for frame in universe.trajectory[start:stop:stride]:
        cell = frame.triclinic_dimensions
        if cell is None:
            raise _no_cell(str(path))
        positions.append(np.array(frame.positions, dtype=np.float64))
        cells.append(np.array(cell, dtype=np.float64))
        timed = timed and "time" in frame.data
        times.append(float(frame.time))
    if not positions:
        raise DataError("holds no frame in the range asked for", where=str(path))
    return np.stack(positions), np.stack(cells), numbers, np.asarray(times) - times[0] if timed else None, {}


def _no_cell(where: str) -> DataError:
    return DataError(
        "a frame has no periodic cell",
        where=where,
        cause="the format does not store it",
        remedy="convert to extxyz",
    )


def _renamed(numbers: NDArray[np.int64], elements: Sequence[str], where: str) -> NDArray[np.int64]:
    from ase.data import atomic_numbers

    unknown = [e for e in elements if e not in atomic_numbers]
    if unknown:
        raise InputError(f"no such element: {', '.join(unknown)}", key="elements")
    z = np.asarray([atomic_numbers[e] for e in elements], dtype=np.int64)
    if len(z) == len(numbers):
        return z
    types = np.unique(numbers)
    if len(z) != len(types):
        raise InputError(
            "elements must name every atom or every type",
            where=where,
            key="elements",
            found=f"{len(z)} elements",
            expected=f"{len(numbers)} atoms or {len(types)} types",
        )
    return z[np.searchsorted(types, numbers)]


def unwrap_frames(positions: Floats, cells: Floats, *, max_height_fraction: float = 0.4, where: str = "") -> Floats:
    """Join wrapped frames to continuous paths by the minimum image in the current cell.

    Parameters
    ----------
    positions, cells
        (F, N, 3) and (F, 3, 3), Å.

    Returns
    -------
    array
        (F, N, 3) Å; r(t) h(t)^-1 is continuous, so that an affine change of the cell moves nothing.

    Raises
    ------
    DataError
        When a cell has no volume, or a step exceeds `max_height_fraction` of the shortest height: beyond one half the
        image is wrong without a sign of it.
    """
    if np.abs(np.linalg.det(cells)).min() < 1e-6:
        raise _no_cell(where)
    if len(positions) < 2:
        return positions
    inverse = np.linalg.inv(cells)
    s = positions @ inverse
    step = np.diff(s, axis=0)
    step -= np.round(step)
    longest = np.sqrt(((step @ cells[1:]) ** 2).sum(axis=2))
    height = float((1.0 / np.sqrt((inverse**2).sum(axis=1))).min())
    frame, atom = np.unravel_index(int(longest.argmax()), longest.shape)
    if longest[frame, atom] > max_height_fraction * height:
        raise DataError(
            f"atom {atom} moves {longest[frame, atom]:.2f} Å between frames {frame} and {frame + 1}",
            where=where,
            found=f"{longest[frame, atom]:.2f} Å",
            expected=f"at most {max_height_fraction * height:.2f} Å, {max_height_fraction:g} of the cell's height",
            cause="frames lie too far apart to say through which face the atom went",
            remedy="save frames more often; if the positions were never wrapped, say --unwrapped",
        )
    s[1:] = s[:1] + np.cumsum(step, axis=0)
    return s @ cells
