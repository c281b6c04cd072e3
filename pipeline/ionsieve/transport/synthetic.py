"""Trajectories with known answers, to calibrate any estimator of diffusion (ours and others').

Walks
    lattice_walk    independent ions on a simple cubic lattice, Poisson jumps, rattling in the cage:
                    D = rate a² / 6 exactly, tracer = charge diffusivity
    vacancy_walk    vacancies that exchange with neighbouring ions on a Bravais or compound lattice:
                    charge diffusivity = free vacancy walk exactly, tracer = f times that, f the correlation factor
Source
    Correlation factors: K. Compaan, Y. Haven, Trans. Faraday Soc. 1956, 10.1039/tf9565200786; G. E. Murch, 1984.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CORRELATION_FACTORS", "VacancyWalk", "Walk", "lattice_walk", "vacancy_walk"]

Floats = NDArray[np.floating[Any]]

#: Exact tracer correlation factors of a single vacancy.
CORRELATION_FACTORS = {"sc": 0.65311, "bcc": 0.72722, "fcc": 0.78146, "diamond": 0.5}


@dataclass(frozen=True)
class Walk:
    """Unwrapped positions (F, N, 3) Å, a cubic cell (3, 3) Å, the exact D in Å²/frame, and the jumps that were made."""

    positions_A: Floats
    cell_A: Floats
    diffusivity_A2_per_frame: float
    jumps: int


def lattice_walk(
    *,
    ions: int,
    frames: int,
    jumps: float,
    jump_length_A: float = 3.0,
    rattle_A: float = 0.3,
    seed: int | np.random.Generator = 0,
) -> Walk:
    """Independent ions that jump at random along the axes and rattle about their sites.

    Parameters
    ----------
    jumps
        Expected number of jumps of all ions in the whole run; the realised one is Poisson.
    rattle_A
        Standard deviation of the rattling per axis, white in time.
    """
    rng = np.random.default_rng(seed)
    rate = jumps / (ions * (frames - 1))
    count = rng.poisson(rate, size=(frames, ions))
    count[0] = 0
    steps = np.zeros((frames, ions, 3))
    for k in range(int(count.max(initial=0))):
        frame, ion = np.nonzero(count > k)
        axis = rng.integers(0, 3, size=len(frame))
        np.add.at(steps, (frame, ion, axis), rng.choice([-jump_length_A, jump_length_A], size=len(frame)))
    n = max(4, int(np.ceil(ions ** (1 / 3))))  # a jump stays well below half the cell
    edge = n * jump_length_A
    place = np.arange(ions)
    home = np.stack([place % n, place // n % n, place // n**2], axis=1) * jump_length_A
    positions = home + np.cumsum(steps, axis=0) + rattle_A * rng.standard_normal((frames, ions, 3))
    return Walk(positions, np.eye(3) * edge, rate * jump_length_A**2 / 6.0, int(count.sum()))


#: Basis (fractional), cubic cell vectors in units of the lattice constant, and the squared jump length in its square.
_LATTICES: dict[str, tuple[Any, float]] = {
    "sc": ([[0, 0, 0]], 1.0),
    "bcc": ([[0, 0, 0], [0.5, 0.5, 0.5]], 0.75),
    "fcc": ([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]], 0.5),
    "diamond": (
        [
            *[[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
            *[[0.25, 0.25, 0.25], [0.25, 0.75, 0.75], [0.75, 0.25, 0.75], [0.75, 0.75, 0.25]],
        ],
        0.1875,
    ),
    "antiperovskite": ([[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]], 0.5),
}


@dataclass(frozen=True)
class VacancyWalk:
    """Independent replicas of one vacancy each.

    Attributes
    ----------
    positions
        (R, F, N, 3), unwrapped paths of the N ions, in units of the cubic lattice constant.
    cell
        (3, 3).
    free_diffusivity
        D of the vacancy per frame if its jumps were free, (steps per frame) l² / 6, in lattice constants squared: the
        exact charge diffusivity of the N ions is this over N, the tracer one f times that.
    """

    positions: Floats
    cell: Floats
    free_diffusivity: float


def vacancy_walk(
    lattice: str, *, repeats: int, frames: int, steps_per_frame: int, replicas: int, seed: int = 0
) -> VacancyWalk:
    """Walk one vacancy per replica over a lattice, all replicas at once.

    Parameters
    ----------
    lattice
        ``sc``, ``bcc``, ``fcc``, ``diamond`` or ``antiperovskite`` (the A sites of A3BX, eight neighbours).
    repeats
        Cubic cells along each axis.
    steps_per_frame
        Exchanges of the vacancy between frames.
    """
    basis, squared = _LATTICES[lattice]
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(repeats)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    sites = (grid[:, None, :] + np.asarray(basis, dtype=float)[None]).reshape(-1, 3)
    d = sites[None] - sites[:, None]
    d -= repeats * np.round(d / repeats)
    close = np.abs((d**2).sum(axis=2) - squared) < 1e-6
    coordination = int(close[0].sum())
    neighbour = np.nonzero(close)[1].reshape(len(sites), coordination)
    vector = np.take_along_axis(d, neighbour[:, :, None], axis=1)

    n = len(sites)
    rows = np.arange(replicas)
    occupant = np.tile(np.arange(-1, n - 1), (replicas, 1))  # site 0 is empty
    vacancy = np.zeros(replicas, dtype=np.int64)
    path = np.tile(sites[1:], (replicas, 1, 1))
    result = np.empty((replicas, frames, n - 1, 3))
    for frame in range(frames):
        result[:, frame] = path
        for choice in rng.integers(0, coordination, size=(steps_per_frame, replicas)):
            target = neighbour[vacancy, choice]
            ion = occupant[rows, target]
            path[rows, ion] -= vector[vacancy, choice]
            occupant[rows, vacancy] = ion
            vacancy = target
    return VacancyWalk(result, np.eye(3) * repeats, steps_per_frame * squared / 6.0)
