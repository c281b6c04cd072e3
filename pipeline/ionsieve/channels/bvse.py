"""Bond-valence site energy (BVSE): the energy of the mobile ion on a grid, its barriers and its way.

Equations (S. Adams & R. Prasada Rao 2011; H. Chen, L. L. Wong & S. Adams 2019: see `bvse_parameters`)

    E(x) = sum over anions X of  (D0/2) { [exp(α (R_min - r)) - 1]² - 1 }
         + sum over cations C of  k q_A q_C / (sqrt(n_A n_C) r) · erfc( r / (f (ρ_A + ρ_C)) )

Symbols   r distance from the grid point (Å); α = 1/b; k = 14.4 eV Å; q charges; n principal quantum numbers; ρ
covalent radii; f = 0.74. The mobile ions themselves are left out: this is the landscape that one ion sees in the bare
framework. A barrier is the level, above the lowest point, at which the region below it percolates in 1, 2 or 3
dimensions. Which ways there are is found on a grid; the heights of minima and passes are those of the field itself
(`saddles`), so that they do not depend on where the grid's points fall.

Not for   absolute activation energies: a rigid framework without the other mobile ions; barriers rank, they do not
predict.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ionsieve.channels.bvse_parameters import morse
from ionsieve.channels.framework import Framework
from ionsieve.channels.grid import grid_path, levels_between, watershed
from ionsieve.channels.saddles import barriers_between_points
from ionsieve.channels.settings import ChannelSettings
from ionsieve.channels.site_energy import SiteEnergy
from ionsieve.errors import InputError

__all__ = ["Landscape", "landscape", "missing_pairs", "with_way"]

_HIGHEST_EV = 10.0  # a barrier above it counts as none


@dataclass(frozen=True)
class Landscape:
    """Site energy on a periodic grid.

    Attributes
    ----------
    energy_eV
        (nx, ny, nz) at fractional coordinates i/nx, j/ny, k/nz; capped at 100 eV.
    cell
        (3, 3) Å.
    barriers_eV
        Percolation barriers in 1, 2 and 3 dimensions above the lowest point; None above 10 eV.
    grid_barriers_eV
        The same from the grid's points alone, as codes give them that have no more than a grid: up to some 0.05 eV off
        at 0.2 Å.
    path_A
        (K, 3) Å, the shortest way over the grid's points from the lowest point of the widest region to its own image
        that nowhere rises above the grid's 1D barrier; empty when nothing percolates. Its highest point is a point of
        the grid, so it lies at that barrier and not at `barriers_eV`.
    """

    energy_eV: NDArray[np.float64]
    cell: NDArray[np.float64]
    barriers_eV: tuple[float | None, float | None, float | None]
    grid_barriers_eV: tuple[float | None, float | None, float | None]
    path_A: NDArray[np.float64]


def missing_pairs(framework: Framework) -> tuple[str, ...]:
    """Return the pairs mobile ion - anion for which no parameters are known; empty when the landscape can be made."""
    pairs = {
        (symbol, charge)
        for occupants in framework.occupants
        for symbol, charge, _ in occupants
        if charge < 0 and morse(framework.mobile, symbol, framework.mobile_charge, charge) is None
    }
    return tuple(f"{framework.mobile}{framework.mobile_charge:+g} {s}{c:+g}" for s, c in sorted(pairs))


def landscape(framework: Framework, settings: ChannelSettings | None = None, *, path: bool = True) -> Landscape:
    """Return the bond-valence site energy of a framework on a grid, with its barriers.

    Raises
    ------
    InputError
        When parameters of a pair are missing.
    """
    settings = settings or ChannelSettings()
    missing = missing_pairs(framework)
    if missing:
        raise InputError(
            "no bond-valence parameters for " + ", ".join(missing),
            key="sieve.bvse",
            expected="Li+, Na+, K+, Rb+, Mg2+ or Ca2+ among O, S, Se, Te, F, Cl, Br, I with a published value",
            remedy="switch bvse off for this framework",
        )
    cell = framework.cell
    lengths = np.linalg.norm(cell, axis=1)
    nx, ny, nz = (int(n) for n in np.maximum(np.ceil(lengths / settings.bvse_spacing_A), 4))
    energy = SiteEnergy(framework, settings.bvse_cutoff_A)
    field = energy.on_grid((nx, ny, nz))
    basins = watershed(field, limit=_HIGHEST_EV)
    on_grid = levels_between(basins)
    barriers = barriers_between_points(energy, field, basins, on_grid)
    found = Landscape(field, cell, barriers, on_grid, np.empty((0, 3)))
    return with_way(found) if path else found


def with_way(found: Landscape) -> Landscape:
    """Return a landscape that was made without its way (`path_A`) with it."""
    level = found.grid_barriers_eV[0]
    indices = None if level is None else grid_path(found.energy_eV, level + 1e-6)
    if indices is None:
        return found
    return replace(found, path_A=(indices / np.array(found.energy_eV.shape)) @ found.cell)
