"""Where the line is fitted: past the rattling, before the noise.

Rule
    plateau     MSD at `min_lag_ps` (or a tenth of the run when that is shorter)
    start       first lag with MSD >= plateau + 0.5 a², at most `window_start_max_fraction` of the run
    end         `window_end_fraction` of the run
Source
    X. He, Y. Zhu, A. Epstein, Y. Mo, npj Comput. Mater. 2018, 10.1038/s41524-018-0074-y (0.5 a², half the run);
    the cap on the start is ours, see `TransportSettings.window_start_max_fraction`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ionsieve.transport.settings import TransportSettings

__all__ = ["FitWindow", "choose_window"]


@dataclass(frozen=True)
class FitWindow:
    """Chosen lags (indices into the MSD), the plateau they start above, and whether the start was capped."""

    lags: NDArray[np.int64]
    plateau_A2: float
    capped: bool
    gain_A2: float

    def bounds_ps(self, dt_ps: float) -> tuple[float, float]:
        """First and last lag, ps."""
        return float(self.lags[0] * dt_ps), float(self.lags[-1] * dt_ps)


def choose_window(
    msd_A2: NDArray[np.float64], dt_ps: float, jump_length_A: float, settings: TransportSettings
) -> FitWindow | None:
    """Return the fit window, or None when fewer than three lags would lie in it."""
    frames = len(msd_A2)
    if frames < 3 or dt_ps <= 0.0:
        return None
    last = int(settings.window_end_fraction * (frames - 1))
    shortest = int(min(max(1, np.ceil(settings.min_lag_ps / dt_ps)), max(1, (frames - 1) // 10)))
    cap = max(shortest, int(settings.window_start_max_fraction * (frames - 1)))
    if last - shortest < 2:
        return None
    plateau = float(msd_A2[shortest]) if shortest > 1 else 0.0
    above = np.nonzero(msd_A2[shortest : last + 1] >= plateau + settings.window_start_gain * jump_length_A**2)[0]
    start = shortest + int(above[0]) if len(above) else last
    capped = start > cap
    start = min(start, cap)
    lags = np.unique(np.linspace(start, last, min(settings.n_lags, last - start + 1)).round().astype(np.int64))
    if len(lags) < 3:
        return None
    return FitWindow(lags=lags, plateau_A2=plateau, capped=capped, gain_A2=float(msd_A2[last] - msd_A2[lags[0]]))
