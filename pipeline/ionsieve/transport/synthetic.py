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

__all__ = ["CORRELATION_FACTORS", "Walk", "lattice_walk"]

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
    edge = max(2, int(np.ceil(ions ** (1 / 3)))) * jump_length_A
    place = np.arange(ions)
    n = round(edge / jump_length_A)
    home = np.stack([place % n, place // n % n, place // n**2], axis=1) * jump_length_A
    positions = home + np.cumsum(steps, axis=0) + rattle_A * rng.standard_normal((frames, ions, 3))
    return Walk(positions, np.eye(3) * edge, rate * jump_length_A**2 / 6.0, int(count.sum()))
