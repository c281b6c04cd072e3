"""Is it one crystal at all temperatures: jumps of volume, shape, energy or framework between neighbouring ones.

Signs, each of the mean over a run (and over runs of one configuration at one temperature)
    volume     ln(V2/V1) outside -j ... j + alpha dT                      j a jump, alpha the largest expansion
    shape      largest principal strain between the two cells, after their volumes are made equal
    energy     E2 - E1 differs from 3/2 k dT per atom by more than a part of it and by three standard errors
    framework  rms difference of the mean core positions over (V / N)^(1/3), up to a common shift
    order      Lindemann ratio grows faster than root T, and is large
A single line of ln D against 1/T through such a change is vetoed: `segments` cuts there.
Source
    S. Hull, Rep. Prog. Phys. 2004, 10.1088/0034-4885/67/7/R05 (superionic transitions); thresholds: settings.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ionsieve.records.measurement import CrystalState, Measurement
from ionsieve.transport.integrity import block_drift
from ionsieve.transport.settings import TransportSettings
from ionsieve.units import BOLTZMANN_EV_PER_K

__all__ = ["PhaseChange", "changes_between", "crystal_state", "find_phase_changes", "segments"]

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class PhaseChange:
    """The crystal differs below and above; `reason` says by what."""

    below_K: float
    above_K: float
    reason: str


def crystal_state(
    cores_A: Floats,
    core_symbols: Sequence[str],
    cell_A: Floats,
    *,
    n_atoms: int,
    energies_eV: Floats | None,
    times_ps: Floats,
) -> CrystalState:
    """Return the mean crystal of one run.

    Parameters
    ----------
    cores_A
        (F, C, 3), framework without turning ligands, in the mean cell and the frame of the framework.
    energies_eV
        (F,) potential energies of the cell.
    """
    metric = cell_A @ cell_A.T
    lengths = np.sqrt(np.diag(metric))
    angles = [math.degrees(math.acos(metric[i, j] / (lengths[i] * lengths[j]))) for i, j in ((1, 2), (0, 2), (0, 1))]
    energy = error = None
    if energies_eV is not None and len(energies_eV) == len(times_ps) and len(times_ps):
        per_atom = np.asarray(energies_eV, dtype=float) / n_atoms
        drift = block_drift(per_atom, times_ps)
        if drift is not None:  # a mean without an error cannot be compared
            energy = float(per_atom.mean())
            # the error of a mean is that of a slope times the spread of the times; a drift over half the run adds to it
            error = math.hypot(drift[1] * float(np.std(times_ps)), 0.5 * drift[0] * float(times_ps[-1] - times_ps[0]))
    mean = cores_A.mean(axis=0) @ np.linalg.inv(cell_A) if len(cores_A) else np.zeros((0, 3))
    return CrystalState(
        volume_per_atom_A3=float(abs(np.linalg.det(cell_A))) / n_atoms,
        lengths_A=(float(lengths[0]), float(lengths[1]), float(lengths[2])),
        angles_deg=(angles[0], angles[1], angles[2]),
        energy_eV_per_atom=energy,
        energy_error_eV_per_atom=error,
        core_symbols=tuple(core_symbols),
        core_fractional=tuple((round(float(a), 5), round(float(b), 5), round(float(c), 5)) for a, b, c in mean),
    )


def _metric(state: CrystalState) -> Floats:
    a = np.asarray(state.lengths_A)
    bc, ac, ab = (math.cos(math.radians(x)) for x in state.angles_deg)
    return np.asarray(np.outer(a, a) * np.asarray([[1.0, ab, ac], [ab, 1.0, bc], [ac, bc, 1.0]]))


def shape_strain(one: CrystalState, two: CrystalState) -> float:
    """Largest principal strain from one cell to the other, volumes made equal; blind to rotation."""
    h = np.linalg.cholesky(_metric(one))  # rows: lattice vectors in some orientation
    inverse = np.linalg.inv(h)
    stretch = np.sqrt(np.linalg.eigvalsh(inverse @ _metric(two) @ inverse.T))
    return float(np.abs(stretch / np.prod(stretch) ** (1.0 / 3.0) - 1.0).max())


def core_shift(one: CrystalState, two: CrystalState) -> float | None:
    """Rms difference of mean core positions over their spacing; None when the cores are not the same ions."""
    if len(one.core_symbols) < 2 or one.core_symbols != two.core_symbols:
        return None
    d = np.asarray(two.core_fractional) - np.asarray(one.core_fractional)
    angle = 2.0 * np.pi * d  # the common shift is a mean on the circle
    d = d - np.arctan2(np.sin(angle).mean(axis=0), np.cos(angle).mean(axis=0)) / (2.0 * np.pi)
    d -= np.round(d)
    h = np.linalg.cholesky(0.5 * (_metric(one) + _metric(two)))
    squared = float(((d @ h) ** 2).sum(axis=1).mean())
    spacing = math.pow(abs(float(np.linalg.det(h))) / len(d), 1.0 / 3.0)
    return math.sqrt(squared) / spacing


def changes_between(
    one: CrystalState,
    two: CrystalState,
    *,
    from_K: float,
    to_K: float,
    settings: TransportSettings,
    lindemann: tuple[float | None, float | None] = (None, None),
) -> list[str]:
    """Return the signs of a phase change from a run at `from_K` to one at a higher `to_K`, in words."""
    found = []
    dT = to_K - from_K
    volume = 100.0 * math.log(two.volume_per_atom_A3 / one.volume_per_atom_A3)
    allowed = settings.phase_volume_percent
    if not -allowed <= volume <= allowed + 100.0 * settings.phase_expansion_per_K * dT:
        found.append(f"the volume changes by {volume:+.1f} %")
    strain = shape_strain(one, two)
    if strain > settings.phase_shape:
        found.append(f"the cell changes its shape by {100 * strain:.1f} %")
    if one.energy_eV_per_atom is not None and two.energy_eV_per_atom is not None:
        harmonic = 1.5 * BOLTZMANN_EV_PER_K * dT
        heat = two.energy_eV_per_atom - one.energy_eV_per_atom - harmonic
        error = math.hypot(one.energy_error_eV_per_atom or 0.0, two.energy_error_eV_per_atom or 0.0)
        if abs(heat) > settings.phase_heat_ratio * harmonic + 3.0 * error:
            found.append(f"the energy changes by {1e3 * heat:+.0f} meV per atom beyond vibration")
    shift = core_shift(one, two)
    if shift is not None and shift > settings.phase_core_shift:
        found.append(f"the framework ions sit elsewhere, by {shift:.2f} of their spacing")
    cold, hot = lindemann
    if (
        cold
        and hot
        and hot > 0.6 * settings.lindemann_max
        and hot > settings.phase_order_ratio * cold * math.sqrt(to_K / from_K)
    ):
        found.append(f"the framework loses order: Lindemann ratio {cold:.3f} to {hot:.3f}")
    return found


def find_phase_changes(measurements: Sequence[Measurement], settings: TransportSettings) -> tuple[PhaseChange, ...]:
    """Compare runs of the same configuration at neighbouring temperatures.

    A change counts when at least half of the configurations that can be compared show it; runs without a `crystal`
    (an older record) say nothing.
    """
    groups: dict[str, dict[float, list[Measurement]]] = defaultdict(lambda: defaultdict(list))
    for m in measurements:
        if m.crystal is not None:
            groups[m.configuration_id][m.temperature_K].append(m)
    votes: dict[tuple[float, float], list[list[str]]] = defaultdict(list)
    for runs in groups.values():
        for below, above in pairwise(sorted(runs)):
            signs = [
                changes_between(
                    one.crystal,
                    two.crystal,
                    from_K=below,
                    to_K=above,
                    settings=settings,
                    lindemann=(one.lindemann, two.lindemann),
                )
                for one in runs[below]
                for two in runs[above]
                if one.crystal is not None and two.crystal is not None
            ]
            shown = [s for s in signs if s]
            votes[below, above].append(shown[0] if 2 * len(shown) >= len(signs) and shown else [])
    result = []
    for (below, above), seen in sorted(votes.items()):
        shown = [s for s in seen if s]
        if shown and 2 * len(shown) >= len(seen):
            result.append(PhaseChange(below, above, f"between {below:g} and {above:g} K {' and '.join(shown[0])}"))
    return tuple(result)


def segments(temperatures_K: Sequence[float], changes: Sequence[PhaseChange]) -> list[list[float]]:
    """Cut the temperatures into stretches of one phase each, coldest first."""
    stretches: list[list[float]] = []
    for t in sorted(set(temperatures_K)):
        if stretches and not any(stretches[-1][-1] < c.above_K <= t for c in changes):
            stretches[-1].append(t)
        else:
            stretches.append([t])
    return stretches
