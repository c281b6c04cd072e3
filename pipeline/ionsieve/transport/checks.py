"""What `measure` accepts: element names, shapes, even spacing, charges; all problems reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ionsieve.errors import Problems

__all__ = ["charge_numbers", "check_continuous", "check_input", "elements"]

Floats = NDArray[np.floating[Any]]


def elements(numbers: Sequence[int] | Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Return atomic numbers (N,) and element symbols of numbers or symbols."""
    from ase.data import atomic_numbers, chemical_symbols

    z = np.asarray([atomic_numbers[n] if isinstance(n, str) else int(n) for n in numbers], dtype=np.int64)
    return z, [chemical_symbols[k] for k in z]


def check_input(
    positions: NDArray[Any],
    cells: Floats,
    times: Floats,
    symbols: Sequence[str],
    mobile: str,
    framework: Sequence[str],
    *,
    temperature_K: float = 300.0,
    charge: int = 1,
) -> None:
    """Raise `ProblemsError` with everything that is wrong with the arrays and names."""
    problems = Problems()
    known = ", ".join(dict.fromkeys(symbols))
    if positions.ndim != 3 or positions.shape[2] != 3:
        problems.add("positions must have shape (frames, atoms, 3)", found=str(positions.shape))
    else:
        if positions.shape[1] != len(symbols):
            problems.add(
                "positions and numbers disagree on the number of atoms",
                found=f"{positions.shape[1]} and {len(symbols)}",
            )
        if len(times) != len(positions):
            problems.add("one time per frame is needed", found=f"{len(times)} times, {len(positions)} frames")
        if not np.isfinite(positions).all():
            problems.add("positions hold NaN or infinity", remedy="drop the frames after the run blew up")
        elif len(positions) == 0:
            problems.add("there are no frames", found=str(positions.shape))
    if not (np.isfinite(temperature_K) and temperature_K > 0):
        problems.add("the temperature must be above 0 K", key="temperature_K", found=str(temperature_K))
    if charge == 0:
        problems.add("a mobile ion has a charge", key="charge", found="0", expected="for example 1 for Na+, 2 for Mg2+")
    if cells.shape[-2:] == (3, 3) and not (np.isfinite(cells).all() and (np.abs(np.linalg.det(cells)) > 1e-3).all()):
        problems.add("a cell has no volume, or holds NaN or infinity", key="cells")
    if cells.shape[-2:] != (3, 3) or (cells.ndim == 3 and len(cells) not in (1, len(positions))):
        problems.add("cells must have shape (frames, 3, 3) or (3, 3)", found=str(cells.shape))
    if len(times) > 2:
        step = np.diff(times)
        if step.min() <= 0.0 or step.max() - step.min() > 1e-3 * step.mean() + 1e-9:
            problems.add(
                "frames must be evenly spaced in time",
                found=f"steps from {step.min():.4g} to {step.max():.4g} ps",
                cause="segments joined, or frames lost",
                remedy="analyse the longest evenly spaced part",
            )
    if mobile not in symbols:
        problems.add(f"no {mobile} in the trajectory", key="mobile", found=mobile, expected=f"one of {known}")
    for element in framework:
        if element not in symbols:
            problems.add(f"no {element} in the trajectory", key="framework", found=element, expected=f"some of {known}")
    if mobile in framework:
        problems.add(f"{mobile} cannot be both mobile and framework", key="framework", found=mobile)
    problems.throw()


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


def charge_numbers(
    charges: Mapping[str, float] | Sequence[float] | None, symbols: Sequence[str], mobile: str, charge: int
) -> Floats:
    """Return the charge number of every atom (N,): per element, per atom, or of the mobile ions alone."""
    problems = Problems()
    if charges is None:
        return np.asarray([float(charge) if s == mobile else 0.0 for s in symbols])
    if isinstance(charges, Mapping):
        for element in charges:
            if element not in symbols:
                problems.add(f"no {element} in the trajectory", key="charges", found=str(element))
        problems.throw()
        full = {mobile: float(charge), **{k: float(v) for k, v in charges.items()}}
        return np.asarray([full.get(s, 0.0) for s in symbols])
    values = np.asarray(charges, dtype=float)
    if values.shape != (len(symbols),):
        problems.add(
            "one charge per atom is needed", key="charges", found=str(values.shape), expected=f"({len(symbols)},)"
        )
    problems.throw()
    return values
