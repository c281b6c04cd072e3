"""Second opinions on the error of a diffusivity, and the He-Zhu-Mo protocol.

Equations
    blocks      x_b = mean over origins of block b of |dr(t_1)|²;  s(D) = std(x_b) / (sqrt(B) t_1 2d)
    ions        the same with ions in the place of blocks (ions that differ or move together make it larger)
    He-Zhu-Mo   window from 0.5 a² (or a given MSD) to half the run, ordinary least squares with free intercept,
                N_eff = N max(MSD, all lags) / a²,   RSD = 3.43 / sqrt(N_eff) + 0.04
Source
    X. He, Y. Zhu, A. Epstein, Y. Mo, npj Comput. Mater. 2018, 10.1038/s41524-018-0074-y (and the authors' code).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from ionsieve.errors import InputError
from ionsieve.transport.kernels.msd import msd_per_particle_at

__all__ = ["HeZhuMo", "block_errors", "he_relative_error", "he_zhu_mo"]


@dataclass(frozen=True)
class HeZhuMo:
    """Result of the He-Zhu-Mo protocol; `window` are indices, end excluded."""

    diffusivity_cm2_per_s: float
    relative_error: float
    n_eff: float
    window: tuple[int, int]
    intercept_A2: float


def he_relative_error(n_eff: float) -> float:
    """Return RSD(D) = 3.43 / sqrt(N_eff) + 0.04, the empirical law of AIMD runs with N_eff of 10 to 265."""
    return float("inf") if n_eff <= 0.0 else 3.43 / float(np.sqrt(n_eff)) + 0.04


def he_zhu_mo(
    lags_ps: NDArray[np.float64],
    msd_A2: NDArray[np.float64],
    *,
    n_ions: int,
    jump_length_A: float,
    lower_msd_A2: float | None = None,
    upper_fraction: float = 0.5,
    dimensions: int = 3,
) -> HeZhuMo:
    """Apply the published protocol to an MSD curve.

    Parameters
    ----------
    lags_ps, msd_A2
        (L,), without the zero lag.
    lower_msd_A2
        MSD at which the window opens; 0.5 a² when not given (the authors' code uses 4.5 Å² for every material).
    upper_fraction
        Part of the longest lag at which it closes.

    Raises
    ------
    InputError
        When the MSD never gets there, or gains less than 0.5 a² in the window: too little diffusion.
    """
    t = np.asarray(lags_ps, dtype=float)
    m = np.asarray(msd_A2, dtype=float)
    lower = 0.5 * jump_length_A**2 if lower_msd_A2 is None else lower_msd_A2
    reached = np.nonzero(m >= lower)[0]
    stop = int(np.floor(upper_fraction * len(t)))
    if not len(reached) or stop - int(reached[0]) < 3 or m[stop - 1] - m[reached[0]] < 0.5 * jump_length_A**2:
        raise InputError(
            "too little diffusion for the He-Zhu-Mo protocol",
            found=f"largest MSD {m.max():.3g} Å²",
            expected=f"an MSD that passes {lower:.3g} Å² and gains {0.5 * jump_length_A**2:.3g} Å² before half the run",
            remedy="run longer, hotter, or take an upper limit",
        )
    start = int(reached[0])
    slope, intercept = np.polyfit(t[start:stop], m[start:stop], 1)
    n_eff = n_ions * float(m.max()) / jump_length_A**2
    return HeZhuMo(
        diffusivity_cm2_per_s=float(slope) / (2 * dimensions) * 1e-4,
        relative_error=he_relative_error(n_eff),
        n_eff=n_eff,
        window=(start, stop),
        intercept_A2=float(intercept),
    )


def block_errors(positions: Any, lag: int, *, n_blocks: int) -> tuple[float, float]:
    """Standard errors of the mean squared displacement at `lag`, from time blocks and from ions, Å².

    Zero when there are not enough blocks or ions to tell.
    """
    xp = array_namespace(positions)
    squared = msd_per_particle_at(positions, lag)
    origins, ions = int(squared.shape[0]), int(squared.shape[1])
    by_block = by_ion = 0.0
    if origins >= 2 * n_blocks:
        over_time = xp.mean(squared, axis=1)
        edges = [round(k * origins / n_blocks) for k in range(n_blocks + 1)]
        means = np.asarray([float(xp.mean(over_time[a:b])) for a, b in pairwise(edges)])
        by_block = float(means.std(ddof=1)) / float(np.sqrt(n_blocks))
    if ions >= 4:
        per_ion = xp.mean(squared, axis=0)
        by_ion = float(xp.std(per_ion, correction=1)) / float(np.sqrt(ions))
    return by_block, by_ion
