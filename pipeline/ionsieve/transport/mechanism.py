"""How the ions move: occupancies, jump rates, residence, barriers, correlation, cooperation, vibration, rotation.

Equations
    occupancy     part of the time that sites of a label hold an ion
    residence     time spent on sites of a label / jumps that left them (maximum likelihood: unfinished stays count)
    rate          jumps from a to b / time spent on a;  relative error 1 / sqrt(jumps)
    barrier       kT ln(nu / rate), nu the attempt frequency: an effective free-energy barrier at this temperature
    D_jump        sum over jumps of l² / (2 d N T);  correlation factor f = D* / D_jump
    returns       part of the jumps that go straight back to where the ion came from
    cooperative   part of the jumps with a jump of another ion within a time window and a distance
    amplitude     rms displacement per axis about the local mean over 1 ps
    attempts      mean frequency of the velocity power spectrum of the mobile ions
    rotation      C1 = <u(0).u(t)> and C2 = <(3 (u(0).u(t))² - 1) / 2> of the centre-to-ligand unit vectors
Source
    N. J. J. de Klerk, E. van der Maas, M. Wagemaker, ACS Appl. Energy Mater. 2018, 10.1021/acsaem.8b00457
    (rates, barriers, attempt frequency).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ionsieve.geometry.cells import minimum_image
from ionsieve.transport.kernels.histograms import non_gaussian
from ionsieve.transport.kernels.msd import fast_length
from ionsieve.units import BOLTZMANN_EV_PER_K, CM2_PER_S_FROM_A2_PER_PS

__all__ = [
    "attempt_frequency",
    "describe_motion",
    "jump_statistics",
    "jump_table",
    "non_gaussian_curve",
    "rotation",
    "vibration_amplitude",
]

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
_LARGEST_STEP_PS = 0.05  # a Nyquist frequency of 10 THz: above the rattling of the ions of interest


def jump_table(assignment: Ints) -> Ints:
    """Return one row a jump: frame, ion, from site, to site; ordered by frame."""
    frame, ion = np.nonzero(np.diff(assignment, axis=0))
    return np.stack([frame + 1, ion, assignment[frame, ion], assignment[frame + 1, ion]], axis=1)


def _vectors(sites: Floats, cell: Floats, a: Ints, b: Ints) -> Floats:
    """Minimum-image vectors from sites a to sites b (true minimum, also in skewed cells)."""
    return np.asarray(minimum_image(sites[b] - sites[a], cell), dtype=np.float64)


def jump_statistics(
    assignment: Ints,
    sites_A: Floats,
    cell_A: Floats,
    *,
    dt_ps: float,
    temperature_K: float,
    labels: Sequence[str] = (),
    attempt_THz: float | None = None,
    tracer_cm2_per_s: float | None = None,
    window_ps: float = 1.0,
    distance_A: float = 4.5,
) -> dict[str, Any]:
    """Return the statistics above as plain JSON; see the module's equations.

    Parameters
    ----------
    assignment
        (F, N) site of each ion in each frame, from `sites.assign`.
    labels
        (S,) name of each site; all sites are called ``site`` without.
    """
    frames, ions = assignment.shape
    names = np.asarray(labels if len(labels) == len(sites_A) else ["site"] * len(sites_A))
    length = (frames - 1) * dt_ps
    held = np.bincount(assignment.ravel(), minlength=len(sites_A)) / frames
    occupancy = {str(k): float(held[names == k].mean()) for k in dict.fromkeys(names)}
    double = float(np.mean([len(np.unique(row)) < ions for row in assignment[:: max(1, frames // 200)]]))
    table = jump_table(assignment)
    result: dict[str, Any] = {"occupancy": occupancy, "n_jumps": len(table), "double_occupancy": double}
    if not len(table):
        return result
    time_on = {k: float(held[names == k].sum()) * length for k in occupancy}
    left = Counter(str(names[a]) for a in table[:, 2])
    result["residence_ps"] = {k: time_on[k] / n for k, n in left.items()}
    d = _vectors(sites_A, cell_A, table[:, 2], table[:, 3])
    lengths = np.sqrt((d**2).sum(axis=1))
    pairs: dict[str, dict[str, float | int | None]] = {}
    kinds = np.asarray([f"{names[a]}->{names[b]}" for a, b in table[:, 2:]])
    for kind in dict.fromkeys(kinds):
        chosen = kinds == kind
        n = int(chosen.sum())
        rate = n / time_on[kind.split("->")[0]]
        barrier = None
        if attempt_THz is not None and rate > 0.0:
            barrier = BOLTZMANN_EV_PER_K * temperature_K * math.log(attempt_THz / rate)
        pairs[str(kind)] = {
            "jumps": n,
            "rate_per_ps": rate,
            "rate_relative_error": 1.0 / math.sqrt(n),
            "mean_length_A": float(lengths[chosen].mean()),
            "barrier_eV": barrier,
        }
    result["pairs"] = dict(sorted(pairs.items(), key=lambda item: -int(item[1]["jumps"] or 0))[:40])
    jump_D = float((lengths**2).sum()) / (6.0 * ions * length) * CM2_PER_S_FROM_A2_PER_PS
    result["jump_diffusivity_cm2_per_s"] = jump_D
    if tracer_cm2_per_s is not None and jump_D > 0.0:
        result["correlation_factor"] = tracer_cm2_per_s / jump_D
    result["return_fraction"] = _returns(table)
    result["cooperative_fraction"] = _cooperative(table, sites_A, cell_A, d, dt_ps, window_ps, distance_A)
    return result


def _returns(table: Ints) -> float | None:
    """Part of an ion's jumps, after its first, that undo the one before."""
    order = np.lexsort((table[:, 0], table[:, 1]))
    t = table[order]
    same = t[1:, 1] == t[:-1, 1]
    back = same & (t[1:, 3] == t[:-1, 2])
    return float(back.sum() / same.sum()) if same.any() else None


def _cooperative(
    table: Ints, sites: Floats, cell: Floats, d: Floats, dt_ps: float, window_ps: float, distance_A: float
) -> float:
    """Part of the jumps that have a partner: another ion, close in time and in space (midpoints, minimum image)."""
    if len(table) < 2:
        return 0.0
    middle = (sites[table[:, 2]] + 0.5 * d) @ np.linalg.inv(cell)
    time = table[:, 0] * dt_ps
    pairs = cKDTree(time[:, None]).query_pairs(window_ps, output_type="ndarray")
    if len(pairs) > 5_000_000:
        pairs = pairs[:: len(pairs) // 5_000_000 + 1]
    pairs = pairs[table[pairs[:, 0], 1] != table[pairs[:, 1], 1]]
    s = middle[pairs[:, 1]] - middle[pairs[:, 0]]
    r = (s - np.round(s)) @ cell
    near = pairs[(r**2).sum(axis=1) < distance_A**2]
    return float(len(np.unique(near)) / len(table))


def vibration_amplitude(paths_A: Floats, dt_ps: float, *, window_ps: float = 1.0) -> float | None:
    """Rms displacement per axis about the local mean, Å; None when the window holds fewer than four frames."""
    width = round(window_ps / dt_ps) if dt_ps > 0.0 else 0
    if width < 4 or len(paths_A) < width:
        return None
    use = len(paths_A) // width * width
    blocks = paths_A[:use].reshape(-1, width, paths_A.shape[1], 3)
    squares = blocks.var(axis=1, ddof=1).sum(axis=2)
    return float(np.sqrt(np.median(squares) / 3.0))  # the median leaves out windows with a jump


def attempt_frequency(paths_A: Floats, dt_ps: float) -> float | None:
    """Mean frequency of the velocity power spectrum, THz; None when frames are too far apart to see the rattling."""
    frames = len(paths_A)
    if not 0.0 < dt_ps <= _LARGEST_STEP_PS or frames < 40:
        return None
    n = fast_length(frames)
    power = np.zeros(n // 2 + 1)
    for k in range(paths_A.shape[1]):
        velocity = np.diff(np.asarray(paths_A[:, k], dtype=float), axis=0) / dt_ps
        f = np.fft.rfft((velocity - velocity.mean(axis=0)) * np.hanning(frames - 1)[:, None], n=n, axis=0)
        power += (f.real**2 + f.imag**2).sum(axis=1)
    nu = np.fft.rfftfreq(n, d=dt_ps)
    transfer = np.sinc(nu * dt_ps) ** 2  # a difference over dt sees sin(pi nu dt) / (pi nu dt) of the velocity
    power = np.where(nu > 0.1, power / np.maximum(transfer, 0.1), 0.0)
    return float((nu * power).sum() / power.sum()) if power.sum() > 0.0 else None


def rotation(
    positions_A: Floats,
    cells_A: Floats,
    symbols: Sequence[str],
    polyanions: Sequence[tuple[str, str, float]],
    *,
    dt_ps: float,
) -> dict[str, Any]:
    """Orientational autocorrelation of every kind of polyanion, per ``centre-ligand``: plain JSON.

    ``c1`` and ``c2`` at thinned lags up to half the run, ``relaxation_ps`` where C1 falls below 1/e (None: never).
    """
    names = np.asarray(symbols)
    cells = np.broadcast_to(np.asarray(cells_A, float), (len(positions_A), 3, 3))
    frames = len(positions_A)
    result: dict[str, Any] = {}
    for centre, ligand, cutoff in polyanions:
        c, li = np.nonzero(names == centre)[0], np.nonzero(names == ligand)[0]
        if not len(c) or not len(li) or frames < 8:
            continue
        s = (positions_A[0, li][None] - positions_A[0, c][:, None]) @ np.linalg.inv(cells[0])
        r = np.linalg.norm((s - np.round(s)) @ cells[0], axis=2)
        a, b = np.nonzero((r < cutoff) & (r > 1e-6))
        if not len(a):
            continue
        s = (positions_A[:, li[b]] - positions_A[:, c[a]]) @ np.linalg.inv(cells)
        u = (s - np.round(s)) @ cells
        u /= np.linalg.norm(u, axis=2, keepdims=True)
        c1 = _autocorrelation(u)
        products = np.stack(
            [u[..., i] * u[..., j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))], axis=2
        )
        products[..., 3:] *= math.sqrt(2.0)
        c2 = 1.5 * _autocorrelation(products) - 0.5
        half = frames // 2
        below = np.nonzero(c1[:half] < math.exp(-1.0))[0]
        pick = np.unique(np.geomspace(1, max(half - 1, 1), 40).round().astype(int))
        result[f"{centre}-{ligand}"] = {
            "bonds": len(a),
            "lag_ps": [float(k * dt_ps) for k in pick],
            "c1": [float(c1[k]) for k in pick],
            "c2": [float(c2[k]) for k in pick],
            "relaxation_ps": float(below[0] * dt_ps) if len(below) else None,
        }
    return result


def _autocorrelation(x: Floats) -> Floats:
    """<x(0).x(t)> over origins and bonds of (F, N, K), all lags, by FFT."""
    frames = len(x)
    n = fast_length(2 * frames)
    power = np.zeros(n // 2 + 1)
    for k in range(x.shape[2]):
        f = np.fft.rfft(x[:, :, k], n=n, axis=0)
        power += (f.real**2 + f.imag**2).sum(axis=1)
    return np.asarray(np.fft.irfft(power, n=n)[:frames] / (np.arange(frames, 0, -1) * x.shape[1]))


def non_gaussian_curve(paths_A: Floats, dt_ps: float) -> dict[str, list[float]]:
    """alpha_2 at some twenty lags up to half the run, as plain JSON."""
    half = len(paths_A) // 2
    if half < 2:
        return {}
    lags = np.unique(np.geomspace(1, half, 20).round().astype(int))
    values = non_gaussian(paths_A, [int(k) for k in lags])
    return {"lag_ps": [float(k * dt_ps) for k in lags], "alpha2": [float(v) for v in values]}


def describe_motion(
    paths_A: Floats,
    *,
    dt_ps: float,
    assignment: Ints | None,
    sites_A: Floats | None,
    cell_A: Floats,
    labels: Sequence[str],
    temperature_K: float,
    tracer_cm2_per_s: float | None,
    window_ps: float,
    distance_A: float,
) -> dict[str, Any]:
    """Everything about the motion of the mobile ions that needs no framework, as plain JSON."""
    if len(paths_A) < 4 or dt_ps <= 0.0:
        return {}
    attempts = attempt_frequency(paths_A, dt_ps)
    result: dict[str, Any] = {
        "attempt_frequency_THz": attempts,
        "vibration_amplitude_A": vibration_amplitude(paths_A, dt_ps),
        "non_gaussian": non_gaussian_curve(paths_A, dt_ps),
    }
    if assignment is not None and sites_A is not None:
        result["jumps"] = jump_statistics(
            assignment,
            sites_A,
            cell_A,
            dt_ps=dt_ps,
            temperature_K=temperature_K,
            labels=labels,
            attempt_THz=attempts,
            tracer_cm2_per_s=tracer_cm2_per_s,
            window_ps=window_ps,
            distance_A=distance_A,
        )
    return result
