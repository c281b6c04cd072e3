"""The bond-valence site energy of a framework on a grid and at single points, there with gradient and curvature.

A sum over pairs (equations in `bvse`), one radial function for each kind of framework ion. A site shared by several
species, or filled in part, counts each with its occupancy: the energy is the mean over the disorder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from scipy.special import erfc

from ionsieve.channels.bvse_parameters import (
    COULOMB_EV_A,
    SCREENING,
    covalent_radius_A,
    morse,
    principal_quantum_number,
)
from ionsieve.channels.framework import Framework
from ionsieve.geometry.cells import heights_A, images_within

__all__ = ["CEILING_EV", "SiteEnergy"]

Floats = NDArray[np.float64]

CEILING_EV = 100.0
_BINS = 1 << 16
_NEAREST_A = 0.5  # nearer than this the energy is that at this distance: no ion goes there
_TAIL_EV = 5e-4
_PAIRS_AT_ONCE = 2_000_000


class _Radial(Protocol):
    def value(self, r: Floats) -> Floats:
        """Energy at a distance, eV."""
        ...

    def slopes(self, r: Floats) -> tuple[Floats, Floats, Floats]:
        """Energy (eV), its first (eV/Å) and second (eV/Å²) derivative."""
        ...


@dataclass(frozen=True)
class _Morse:
    distance: float
    alpha: float
    depth: float

    def value(self, r: Floats) -> Floats:
        return np.asarray(0.5 * self.depth * ((np.exp(self.alpha * (self.distance - r)) - 1.0) ** 2 - 1.0))

    def slopes(self, r: Floats) -> tuple[Floats, Floats, Floats]:
        u = np.exp(self.alpha * (self.distance - r))
        pull, push = self.depth * u, self.depth * u * u
        return 0.5 * push - pull, self.alpha * (pull - push), self.alpha**2 * (2.0 * push - pull)


@dataclass(frozen=True)
class _Coulomb:
    strength: float
    length: float

    def value(self, r: Floats) -> Floats:
        return np.asarray(self.strength / r * erfc(r / self.length))

    def slopes(self, r: Floats) -> tuple[Floats, Floats, Floats]:
        energy = self.value(r)
        cloud = 2.0 * self.strength / (self.length * np.sqrt(np.pi)) * np.exp(-((r / self.length) ** 2))
        first = -(energy + cloud) / r
        second = 2.0 * (energy + cloud) / r**2 + 2.0 * cloud / self.length**2
        return energy, first, second


@dataclass(frozen=True)
class _Kind:
    """Framework ions of one species: places, occupancies, radial function and its reach, Å."""

    centres: Floats
    weights: Floats
    radial: _Radial
    reach_A: float


class SiteEnergy:
    """Energy of the mobile ion in a rigid framework.

    Parameters
    ----------
    framework
        With parameters for all its pairs: ask `bvse.missing_pairs` first.
    cutoff_A
        Longest reach of an interaction, Å; each kind reaches as far as all beyond adds 0.5 meV.
    """

    def __init__(self, framework: Framework, cutoff_A: float) -> None:
        self.cell = framework.cell
        members: dict[tuple[str, float], list[tuple[int, float]]] = {}
        for i, occupants in enumerate(framework.occupants):
            for symbol, charge, amount in occupants:
                members.setdefault((symbol, charge), []).append((i, amount))
        self.kinds: list[_Kind] = []
        for (symbol, charge), rows in members.items():
            radial = _radial(framework, symbol, charge)
            weights = np.array([amount for _, amount in rows])
            reach = 0.0 if radial is None else _reach(radial, float(weights.sum()) / framework.volume_A3, cutoff_A)
            if radial is not None and reach > 0:
                self.kinds.append(_Kind(framework.positions[[i for i, _ in rows]], weights, radial, reach))
        self._copies: list[tuple[Floats, Floats]] = []

    def on_grid(self, shape: tuple[int, int, int]) -> Floats:
        """Return the energy (nx, ny, nz) at fractional coordinates i/nx, j/ny, k/nz, eV, at most 100."""
        energy = np.zeros(shape)
        for kind in self.kinds:
            squares = (np.arange(_BINS) + 0.5) * (kind.reach_A**2 / _BINS)
            table = kind.radial.value(np.maximum(np.sqrt(squares), _NEAREST_A)).astype(np.float32)
            for weight in np.unique(kind.weights):
                same = kind.centres[kind.weights == weight]
                _spread(energy, self.cell, same, table * np.float32(weight), kind.reach_A)
        return np.minimum(energy, CEILING_EV, out=energy)

    def at(self, points: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Return energy (K,), gradient (K, 3) and curvature (K, 3, 3) at points (K, 3) Å, in eV and Å."""
        x = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        fractional = x @ np.linalg.inv(self.cell)
        home = (fractional - np.floor(fractional)) @ self.cell
        energy, gradient, curvature = np.zeros(len(x)), np.zeros((len(x), 3)), np.zeros((len(x), 3, 3))
        if not self._copies:
            for kind in self.kinds:
                index, _, places = images_within(kind.centres, self.cell, kind.reach_A)
                self._copies.append((places, kind.weights[index]))
        for kind, (places, weights) in zip(self.kinds, self._copies, strict=True):
            step = max(1, _PAIRS_AT_ONCE // max(len(places), 1))
            for begin in range(0, len(x), step):
                rows = slice(begin, begin + step)
                apart = cdist(home[rows], places)
                i, j = np.nonzero(apart < kind.reach_A)
                r = np.maximum(apart[i, j], _NEAREST_A)
                value, first, second = (weights[j] * d for d in kind.radial.slopes(r))
                unit = (home[rows][i] - places[j]) / r[:, None]
                count = len(apart)
                energy[rows] += np.bincount(i, value, count)
                across = first / r
                for a in range(3):
                    gradient[rows, a] += np.bincount(i, first * unit[:, a], count)
                    for b in range(3):
                        term = (second - across) * unit[:, a] * unit[:, b] + (across if a == b else 0.0)
                        curvature[rows, a, b] += np.bincount(i, term, count)
        return energy, gradient, curvature


def _radial(framework: Framework, symbol: str, charge: float) -> _Radial | None:
    from ase.data import atomic_numbers

    if charge < 0:
        parameters = morse(framework.mobile, symbol, framework.mobile_charge, charge)
        assert parameters is not None  # missing_pairs() was asked
        return _Morse(*parameters)
    if charge > 0:
        n = principal_quantum_number(atomic_numbers[framework.mobile])
        n *= principal_quantum_number(atomic_numbers[symbol])
        return _Coulomb(
            strength=COULOMB_EV_A * framework.mobile_charge * charge / float(np.sqrt(n)),
            length=SCREENING * (covalent_radius_A(framework.mobile) + covalent_radius_A(symbol)),
        )
    return None


def _reach(radial: _Radial, density_A3: float, cutoff_A: float) -> float:
    """Distance beyond which a uniform density of such ions adds less than 0.5 meV, at most the cut-off, Å."""
    r = np.linspace(_NEAREST_A, cutoff_A, 400)
    shell = np.abs(radial.value(r)) * 4 * np.pi * r**2 * density_A3
    beyond = np.cumsum(shell[::-1])[::-1] * (r[1] - r[0])
    far = np.flatnonzero(beyond > _TAIL_EV)
    return float(r[far[-1]]) if len(far) else 0.0


def _spread(energy: Floats, cell: Floats, centres: Floats, table: NDArray[np.float32], reach: float) -> None:
    """Add the energy of every centre, all images, to the grid.

    One box of grid points per centre, folded into the cell. `table` holds the energy by squared distance up to the
    reach squared.
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
