"""Numbers of a finished production segment, from its own trajectory file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ionsieve.records.simulation import RunSummary
from ionsieve.trajectory.h5md import iter_chunks
from ionsieve.verdicts import Flag

if TYPE_CHECKING:
    from ionsieve.dynamics.book import Book

__all__ = ["summarise"]

#: mean temperature of production against the target beyond which a run is flagged, relative, plus 4 standard errors
TEMPERATURE_TOLERANCE = 0.03


def _drift(values: np.ndarray, times: np.ndarray) -> float | None:
    """Slope of a straight line, or None for fewer than three points."""
    if len(values) < 3:
        return None
    t = times - times.mean()
    return float((t * (values - values.mean())).sum() / (t * t).sum())


def _blocks_error(values: np.ndarray, blocks: int = 10) -> float:
    """Standard error of a mean from blocks (correlations inside a block do not matter)."""
    if len(values) < 2 * blocks:
        return float(values.std() / np.sqrt(2)) if len(values) > 1 else float("inf")
    means = np.array([part.mean() for part in np.array_split(values, blocks)])
    return float(means.std(ddof=1) / np.sqrt(blocks))


def summarise(book: Book) -> tuple[RunSummary, tuple[Flag, ...]]:
    """Return the summary and what limits the trust in the run as a simulation."""
    columns: dict[str, list[np.ndarray]] = {}
    times, volumes = [], []
    for part in iter_chunks(book.job.trajectory_path, 2000):
        times.append(part.times_ps)
        volumes.append(part.volumes_A3)
        for name, values in part.scalars.items():
            columns.setdefault(name, []).append(values)
    t = np.concatenate(times)
    data = {name: np.concatenate(parts) for name, parts in columns.items()}
    temperature = data["temperature"]
    n = book.n_atoms
    disagreement = data.get("force_disagreement")
    drift = _drift(data["conserved"], t) if "conserved" in data else None
    flags: list[Flag] = []
    mean_T = float(temperature.mean())
    if book.trip is None and book.segments[-1].integrator != "nve":
        allowed = TEMPERATURE_TOLERANCE * book.job.temperature_K + 4 * _blocks_error(temperature)
        if abs(mean_T - book.job.temperature_K) > allowed:
            flags.append(Flag.NOT_EQUILIBRATED)
    summary = RunSummary(
        n_atoms=n,
        steps=round(float(t[-1]) * 1000 / book.dt_fs),
        dt_fs=book.dt_fs,
        length_ps=float(t[-1]),
        frame_interval_fs=book.settings.frame_interval_fs,
        mean_temperature_K=mean_T,
        std_temperature_K=float(temperature.std()),
        mean_energy_eV_per_atom=float(data["potential_energy"].mean()) / n,
        energy_drift_eV_per_atom_per_ps=None if drift is None else drift / n,
        volume_A3=float(np.concatenate(volumes).mean()),
        max_force_eV_per_A=book.max_force or None,
        min_distance_A=book.min_distance if np.isfinite(book.min_distance) else None,
        force_disagreement_eV_per_A=float(disagreement.mean()) if disagreement is not None else None,
        max_force_disagreement_eV_per_A=book.max_disagreement,
        relative_error_D=book.relative_error,
        cpu_seconds=book.seconds,
        seconds_per_step=book.seconds / book.step if book.step else None,
    )
    return summary, tuple(flags)
