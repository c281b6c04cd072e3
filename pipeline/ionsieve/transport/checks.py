"""What `measure` accepts: element names, shapes, even spacing, charges; all problems reported at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ionsieve.errors import Problems

__all__ = ["RunInput", "check_chunk", "check_continuous", "check_elements", "check_input", "check_names"]

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class RunInput:
    """The checked arrays of one run, float64.

    Attributes
    ----------
    charges
        (N,) charge number of every atom in the charge diffusivity.
    sites, energies
        (S, 3) and (F,), or None.
    """

    positions: NDArray[np.float64]
    cells: NDArray[np.float64]
    times: NDArray[np.float64]
    numbers: NDArray[np.int64]
    symbols: list[str]
    charges: NDArray[np.float64]
    sites: NDArray[np.float64] | None
    energies: NDArray[np.float64] | None


def check_input(
    positions: ArrayLike,
    cells: ArrayLike,
    times_ps: ArrayLike,
    numbers: Sequence[int] | Sequence[str],
    *,
    mobile: str,
    charge: int,
    framework: Sequence[str] = (),
    temperature_K: float = 300.0,
    charges: Mapping[str, float] | Sequence[float] | None = None,
    sites: ArrayLike | None = None,
    labels: Sequence[str] = (),
    polyanions: Sequence[tuple[str, str, float]] = (),
    energies: ArrayLike | None = None,
) -> RunInput:
    """Return the arrays, or raise `ProblemsError` with everything that is wrong with them; names as in `measure`."""
    problems = Problems()
    x = _floats(problems, "positions", positions)
    h = _floats(problems, "cells", cells)
    times = _floats(problems, "times_ps", times_ps)
    z, symbols = check_elements(problems, numbers)
    if x is not None and h is not None and times is not None:
        _check_frames(problems, x, h, times, len(symbols))
    if times is not None:
        _check_spacing(problems, times)
    check_names(problems, symbols, mobile, framework)
    if not (_is_number(temperature_K) and temperature_K > 0):
        problems.add("the temperature must be above 0 K", key="temperature_K", found=str(temperature_K))
    if not (_is_number(charge) and float(charge).is_integer() and charge != 0):
        problems.add(
            "a mobile ion has a charge, a whole number",
            key="charge",
            found=str(charge),
            expected="for example 1 for Na+, 2 for Mg2+",
        )
    per_atom = _charge_numbers(problems, charges, symbols, mobile, charge)
    places = _sites(problems, sites, labels)
    for bond in polyanions:
        _check_bond(problems, bond, symbols)
    energy = None if energies is None else _floats(problems, "energies_eV", energies)
    if energy is not None and times is not None and energy.shape != times.shape:
        problems.add(
            "one energy per frame is needed", key="energies_eV", found=str(energy.shape), expected=str(times.shape)
        )
    elif energy is not None and not np.isfinite(energy).all():
        problems.add("energies hold NaN or infinity", key="energies_eV")
    problems.throw()
    assert x is not None
    assert h is not None
    assert times is not None
    return RunInput(x, h, times, z, symbols, per_atom, places, energy)


def check_names(problems: Problems, symbols: Sequence[str], mobile: str, framework: Sequence[str]) -> None:
    """Note a mobile ion or framework that the atoms contradict."""
    known = ", ".join(dict.fromkeys(symbols))
    if mobile not in symbols:
        problems.add(f"no {mobile} in the trajectory", key="mobile", found=str(mobile), expected=f"one of {known}")
    for element in framework:
        if element not in symbols:
            problems.add(
                f"no {element} in the trajectory", key="framework", found=str(element), expected=f"some of {known}"
            )
    if mobile in framework:
        problems.add(f"{mobile} cannot be both mobile and framework", key="framework", found=mobile)


def check_chunk(
    problems: Problems,
    positions: Floats,
    cells: Floats,
    times_ps: Floats,
    n_atoms: int,
    *,
    before_ps: float | None = None,
    interval_ps: float | None = None,
) -> None:
    """Note what is wrong with some consecutive frames.

    Parameters
    ----------
    before_ps, interval_ps
        Time of the frame before and the interval between frames so far.
    """
    _check_frames(problems, positions, cells, times_ps, n_atoms)
    times = times_ps if before_ps is None else np.concatenate([[before_ps], times_ps])
    _check_spacing(problems, times, interval_ps)


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except TypeError:
        return False


def _floats(problems: Problems, key: str, values: ArrayLike) -> NDArray[np.float64] | None:
    try:
        return np.asarray(values, dtype=np.float64)
    except (ValueError, TypeError) as error:
        problems.add("not an array of numbers", key=key, cause=str(error))
        return None


def check_elements(problems: Problems, numbers: Sequence[int] | Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Return atomic numbers (N,) and element symbols of numbers or symbols; an unknown one keeps its name, number 0."""
    from ase.data import atomic_numbers, chemical_symbols

    z, symbols, unknown = [], [], []
    for n in numbers:
        if isinstance(n, str) and n in atomic_numbers:
            z.append(atomic_numbers[n])
            symbols.append(n)
        elif not isinstance(n, str) and _is_number(n) and int(n) == n and 0 <= n < len(chemical_symbols):
            z.append(int(n))
            symbols.append(chemical_symbols[int(n)])
        else:
            z.append(0)
            symbols.append(str(n))
            unknown.append(str(n))
    if unknown:
        problems.add(
            "no such element",
            key="numbers",
            found=", ".join(dict.fromkeys(unknown)),
            expected="atomic numbers or element symbols",
        )
    return np.asarray(z, dtype=np.int64), symbols


def _check_frames(problems: Problems, positions: Floats, cells: Floats, times: Floats, n_atoms: int) -> None:
    if positions.ndim != 3 or positions.shape[2] != 3:
        problems.add("positions must have shape (frames, atoms, 3)", found=str(positions.shape))
    else:
        if positions.shape[1] != n_atoms:
            problems.add(
                "positions and numbers disagree on the number of atoms",
                found=f"{positions.shape[1]} and {n_atoms}",
            )
        if times.shape != (len(positions),):
            found = f"{len(times)} times" if times.ndim == 1 else f"times of shape {times.shape}"
            problems.add("one time per frame is needed", found=f"{found}, {len(positions)} frames")
        if not np.isfinite(positions).all():
            problems.add("positions hold NaN or infinity", remedy="drop the frames after the run blew up")
        elif len(positions) == 0:
            problems.add("there are no frames", found=str(positions.shape))
    if cells.shape[-2:] == (3, 3) and not (np.isfinite(cells).all() and (np.abs(np.linalg.det(cells)) > 1e-3).all()):
        problems.add("a cell has no volume, or holds NaN or infinity", key="cells")
    frames = len(positions) if positions.ndim else 0
    if cells.shape[-2:] != (3, 3) or cells.ndim > 3 or (cells.ndim == 3 and len(cells) not in (1, frames)):
        problems.add("cells must have shape (frames, 3, 3) or (3, 3)", found=str(cells.shape))


def _check_spacing(problems: Problems, times: Floats, interval_ps: float | None = None) -> None:
    if not np.isfinite(times).all():
        problems.add("times hold NaN or infinity", key="times_ps")
    elif times.ndim == 1 and len(times) > 1:
        step = np.diff(times)
        usual = float(step.mean()) if interval_ps is None else interval_ps
        low, high = min(float(step.min()), usual), max(float(step.max()), usual)
        if low <= 0.0 or high - low > 1e-3 * usual + 1e-9:
            problems.add(
                "frames must be evenly spaced in time",
                found=f"steps from {low:.4g} to {high:.4g} ps",
                cause="segments joined, or frames lost",
                remedy="analyse the longest evenly spaced part",
            )


def _charge_numbers(
    problems: Problems,
    charges: Mapping[str, float] | Sequence[float] | None,
    symbols: Sequence[str],
    mobile: str,
    charge: int,
) -> NDArray[np.float64]:
    """Charge number of every atom (N,): per element, per atom, or of the mobile ions alone."""
    is_mobile = np.asarray([s == mobile for s in symbols], dtype=bool)
    own = float(charge) if _is_number(charge) else 1.0
    if charges is None:
        return np.where(is_mobile, own, 0.0)
    if isinstance(charges, Mapping):
        for element in charges:
            if element not in symbols:
                problems.add(f"no {element} in the trajectory", key="charges", found=str(element))
        given = _floats(problems, "charges", list(charges.values()))
        full = {mobile: own, **dict(zip(charges, given if given is not None else [], strict=False))}
        values = np.asarray([float(full.get(s, 0.0)) for s in symbols])
    else:
        found = _floats(problems, "charges", charges)
        if found is None:
            return np.zeros(len(symbols))
        values = found
        if values.shape != (len(symbols),):
            problems.add(
                "one charge per atom is needed", key="charges", found=str(values.shape), expected=f"({len(symbols)},)"
            )
            return np.zeros(len(symbols))
    if not np.isfinite(values).all():
        problems.add("charges hold NaN or infinity", key="charges")
    elif is_mobile.any() and own != 0.0 and not values[is_mobile].any():
        problems.add(f"{mobile} carries no charge", key="charges", found="0", expected=f"for example {own:g}")
    return values


def _sites(problems: Problems, sites: ArrayLike | None, labels: Sequence[str]) -> NDArray[np.float64] | None:
    places = None if sites is None else _floats(problems, "mobile_sites_A", sites)
    if places is not None and places.size == 0:
        places = None
    if places is not None and (places.ndim != 2 or places.shape[1] != 3):
        problems.add("sites must have shape (sites, 3)", key="mobile_sites_A", found=str(places.shape))
        return None
    if places is not None and not np.isfinite(places).all():
        problems.add("sites hold NaN or infinity", key="mobile_sites_A")
    if len(labels) and len(labels) != (0 if places is None else len(places)):
        problems.add(
            "one label per site is needed",
            key="mobile_site_labels",
            found=f"{len(labels)} labels, {0 if places is None else len(places)} sites",
        )
    return places


def _check_bond(problems: Problems, bond: Any, symbols: Sequence[str]) -> None:
    try:
        centre, ligand, cutoff = bond
    except (TypeError, ValueError):
        centre = ligand = cutoff = None
    if not (isinstance(centre, str) and isinstance(ligand, str) and _is_number(cutoff) and cutoff > 0.0):
        problems.add("not a bond", key="polyanions", found=str(bond), expected="(centre, ligand, cutoff in Å)")
        return
    known = ", ".join(dict.fromkeys(symbols))
    for element in dict.fromkeys((centre, ligand)):
        if element not in symbols:
            problems.add(
                f"no {element} in the trajectory", key="polyanions", found=element, expected=f"a bond between {known}"
            )


def check_continuous(positions: Floats, cells: Floats, *, first_frame: int = 0, vouched: bool = False) -> None:
    """Raise when the positions are wrapped into the cell, or lie in it with frames too far apart to join them.

    Steps of more than half a cell are looked at. When most of them have a short periodic image (below a quarter of the
    cell's height) they are passages through faces. When their images are long and nothing ever leaves the cell, frames
    lie too far apart. Paths that do leave it are continuous, with a few long steps: accepted.

    Parameters
    ----------
    positions, cells
        (F, N, 3) and (F, 3, 3) or (3, 3), Å.
    vouched
        The paths are said to be continuous: refuse only passages through faces in a run that never leaves the cell.

    Raises
    ------
    ProblemsError
        In both cases, with the remedy.
    """
    h = cells if cells.ndim == 3 else cells[None]
    block = max(2, 20_000_000 // (24 * max(1, positions.shape[1])))
    passages = short = 0
    where = (0, 0)
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for start in range(0, len(positions) - 1, block - 1):
        part = slice(start, start + block)
        cell = h if len(h) == 1 else h[part]
        inverse = np.linalg.inv(cell)
        s = positions[part] @ inverse
        low, high = np.minimum(low, s.min(axis=(0, 1))), np.maximum(high, s.max(axis=(0, 1)))
        step = np.diff(s, axis=0)
        frame, atom = np.nonzero((np.abs(step) > 0.5).any(axis=2))
        if not len(frame):
            continue
        if not passages:
            where = (first_frame + start + int(frame[0]), int(atom[0]))
        folded = step[frame, atom] - np.round(step[frame, atom])
        ends = cell[0] if len(cell) == 1 else cell[frame + 1]
        length = np.linalg.norm((folded[:, None, :] @ ends)[:, 0], axis=1)
        height = float((1.0 / np.sqrt((inverse**2).sum(axis=1))).min())
        passages += len(frame)
        short += int((length <= 0.25 * height).sum())
    wrapped = passages > 0 and 2 * short >= passages
    confined = not bool((high - low > 1.0 + 1e-6).any())
    if not passages or not (wrapped or confined) or (vouched and not (wrapped and confined)):
        return
    problems = Problems()
    problems.add(
        "the positions are wrapped into the cell" if wrapped else "frames lie too far apart to join wrapped positions",
        key="positions",
        found=f"{passages} steps across more than half the cell, the first by atom {where[1]} after frame {where[0]}",
        expected="continuous paths",
        remedy="join them with ionsieve.transport.unwrap; if they are continuous as they stand, say unwrapped=True"
        if wrapped
        else "save frames more often; if the paths are continuous as they stand, say unwrapped=True",
    )
    problems.throw()
