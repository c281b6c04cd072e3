"""Bond-valence site energy (BVSE): the energy of the mobile ion on a grid, its barriers and its way.

Equations (S. Adams & R. Prasada Rao 2011; H. Chen, L. L. Wong & S. Adams 2019: see `bvse_parameters`)

    E(x) = sum over anions X of  (D0/2) { [exp(α (R_min - r)) - 1]² - 1 }
         + sum over cations C of  k q_A q_C / (sqrt(n_A n_C) r) · erfc( r / (f (ρ_A + ρ_C)) )

Symbols   r distance from the grid point (Å); α = 1/b; k = 14.4 eV Å; q charges; n principal quantum numbers; ρ
covalent radii; f = 0.74. The mobile ions themselves are left out: this is the landscape that one ion sees in the bare
framework. A barrier is the level, above the lowest point, at which the region below it percolates in 1, 2 or 3
dimensions.

Not for   absolute activation energies: a rigid framework without the other mobile ions; barriers rank, they do not
predict.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

from ionsieve.channels.bvse_parameters import (
    COULOMB_EV_A,
    SCREENING,
    covalent_radius_A,
    morse,
    principal_quantum_number,
)
from ionsieve.channels.framework import Framework
from ionsieve.channels.grid import grid_path, grid_percolation
from ionsieve.channels.settings import ChannelSettings
from ionsieve.errors import InputError
from ionsieve.geometry.cells import heights_A

__all__ = ["Landscape", "landscape", "missing_pairs"]

_BINS = 1 << 16
_NEAREST_A = 0.5  # nearer than this the energy is that at this distance: no ion goes there
_CEILING_EV = 100.0
_TAIL_EV = 5e-4


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
    path_A
        (K, 3) Å, a way from the lowest point of the widest region to its own image just above the 1D barrier; empty
        when nothing percolates.
    """

    energy_eV: NDArray[np.float64]
    cell: NDArray[np.float64]
    barriers_eV: tuple[float | None, float | None, float | None]
    path_A: NDArray[np.float64]


def missing_pairs(framework: Framework) -> tuple[str, ...]:
    """Return the pairs mobile ion - anion for which no parameters are known; empty when the landscape can be made."""
    pairs = {
        (symbol, float(charge))
        for symbol, charge in zip(framework.symbols, framework.charges, strict=True)
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
    shape = tuple(int(n) for n in np.maximum(np.ceil(lengths / settings.bvse_spacing_A), 4))
    energy = np.zeros(shape)
    kinds: dict[tuple[str, float], list[int]] = {}
    for i, (symbol, charge) in enumerate(zip(framework.symbols, framework.charges, strict=True)):
        kinds.setdefault((symbol, float(charge)), []).append(i)
    for (symbol, charge), members in kinds.items():
        table, reach = _radial_table(framework, symbol, charge, len(members), settings.bvse_cutoff_A)
        if reach > 0:
            _spread(energy, cell, framework.positions[members], table, reach)
    np.minimum(energy, _CEILING_EV, out=energy)
    percolation = grid_percolation(energy)
    way = np.empty((0, 3))
    if path and percolation.levels[0] is not None:
        indices = grid_path(energy, percolation.levels[0] + 4e-3)
        if indices is not None:
            way = (indices / np.array(shape)) @ cell
    return Landscape(energy, cell, percolation.levels, way)


def _radial_table(
    framework: Framework, symbol: str, charge: float, count: int, cutoff: float
) -> tuple[NDArray[np.float32], float]:
    """Energy by squared distance, `_BINS` values up to the reach squared, and the reach, Å.

    The reach is where all that lies beyond adds less than 0.5 meV (a shell of the mean density), at most the cut-off.
    """
    from ase.data import atomic_numbers

    if charge < 0:
        parameters = morse(framework.mobile, symbol, framework.mobile_charge, charge)
        assert parameters is not None  # missing_pairs() was asked
        distance, alpha, depth = parameters

        def value(r: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(0.5 * depth * ((np.exp(alpha * (distance - r)) - 1.0) ** 2 - 1.0))
    elif charge > 0:
        n = principal_quantum_number(atomic_numbers[framework.mobile])
        n *= principal_quantum_number(atomic_numbers[symbol])
        strength = COULOMB_EV_A * framework.mobile_charge * charge / np.sqrt(n)
        length = SCREENING * (covalent_radius_A(framework.mobile) + covalent_radius_A(symbol))

        def value(r: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(strength / r * erfc(r / length))
    else:
        return np.empty(0, dtype=np.float32), 0.0
    r = np.linspace(_NEAREST_A, cutoff, 400)
    shell = np.abs(value(r)) * 4 * np.pi * r**2 * count / framework.volume_A3
    beyond = np.cumsum(shell[::-1])[::-1] * (r[1] - r[0])
    far = np.flatnonzero(beyond > _TAIL_EV)
    reach = float(r[far[-1]]) if len(far) else 0.0
    if reach == 0.0:
        return np.empty(0, dtype=np.float32), 0.0
    squares = (np.arange(_BINS) + 0.5) * (reach**2 / _BINS)
    return value(np.maximum(np.sqrt(squares), _NEAREST_A)).astype(np.float32), reach


def _spread(
    energy: NDArray[np.float64],
    cell: NDArray[np.float64],
    centres: NDArray[np.float64],
    table: NDArray[np.float32],
    reach: float,
) -> None:
    """Add the energy of every centre, all images, to the grid.

    One box of grid points per centre, folded into the cell.
    """
    shape = np.array(energy.shape)
    metric = cell @ cell.T
    fractional = (centres @ np.linalg.inv(cell)) % 1.0
    margin = reach / heights_A(cell)
    padded = np.concatenate([table, np.zeros(1, dtype=np.float32)])
    scale = np.float32(len(table) / reach**2)
    for centre in fractional:
        low = np.ceil((centre - margin) * shape).astype(int)
        high = np.floor((centre + margin) * shape).astype(int) + 1
        u, v, w = ((np.arange(low[a], high[a]) / shape[a] - centre[a]).astype(np.float32) for a in range(3))
        m = metric.astype(np.float32)
        uv = m[0, 0] * (u * u)[:, None] + m[1, 1] * (v * v)[None, :] + 2 * m[0, 1] * u[:, None] * v[None, :]
        cross = 2 * (m[0, 2] * u[:, None] + m[1, 2] * v[None, :])
        square = cross[:, :, None] * w
        square += uv[:, :, None]
        square += m[2, 2] * (w * w)
        square *= scale
        np.minimum(square, np.float32(len(table)), out=square)
        box = padded[square.astype(np.int32)]
        pieces = [_segments(int(low[a]), int(high[a]), int(shape[a])) for a in range(3)]
        for from_a, to_a in pieces[0]:
            for from_b, to_b in pieces[1]:
                for from_c, to_c in pieces[2]:
                    energy[to_a, to_b, to_c] += box[from_a, from_b, from_c]


def _segments(low: int, high: int, period: int) -> list[tuple[slice, slice]]:
    """Cut [low, high) at multiples of the period: (slice of the box, slice of the cell) for each piece."""
    out = []
    begin = low
    while begin < high:
        end = min(high, (begin // period + 1) * period)
        first = begin % period
        out.append((slice(begin - low, end - low), slice(first, first + end - begin)))
        begin = end
    return out
