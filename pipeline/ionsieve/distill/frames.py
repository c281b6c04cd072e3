"""Frames of teacher runs, labelled with the teacher's energies and forces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ionsieve.distill.settings import DistillSettings
from ionsieve.errors import InputError
from ionsieve.rng import generator
from ionsieve.systems import Batch

if TYPE_CHECKING:
    from ionsieve.potentials.base import Potential
    from ionsieve.trajectory import Trajectory

__all__ = ["Frames", "choose_frames", "label"]


@dataclass(frozen=True)
class Frames:
    """Labelled frames, possibly of cells with different numbers of atoms.

    Attributes
    ----------
    positions
        One (N, 3) array a frame, Å.
    cells
        One (3, 3) array a frame, Å, rows are lattice vectors.
    numbers
        One (N,) array a frame, atomic numbers.
    energies_eV
        (F,).
    forces_eV_per_A
        One (N, 3) array a frame.
    run
        (F,) which run each frame is from.
    """

    positions: tuple[NDArray[np.float64], ...]
    cells: tuple[NDArray[np.float64], ...]
    numbers: tuple[NDArray[np.int64], ...]
    energies_eV: NDArray[np.float64]
    forces_eV_per_A: tuple[NDArray[np.float64], ...]
    run: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers that occur, ascending."""
        return tuple(sorted({int(z) for numbers in self.numbers for z in numbers}))

    @property
    def force_rms_eV_per_A(self) -> float:
        """Root-mean-square force component."""
        return float(np.sqrt(np.mean(np.concatenate([f.ravel() for f in self.forces_eV_per_A]) ** 2)))


def choose_frames(
    trajectories: Sequence[Trajectory], settings: DistillSettings
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return (run, frame) of the training and of the test frames, evenly spread over runs.

    Test frames come from the last part of each run, after a gap: frames a few steps apart are nearly the same, and a
    random split would let the student be examined on what it has learnt.

    Raises
    ------
    InputError
        When there is no run, or a run is too short to be split.
    """
    if not trajectories:
        raise InputError("distillation needs at least one teacher run", expected="runs that completed")
    train: list[tuple[int, int]] = []
    test: list[tuple[int, int]] = []
    per_train = -(-settings.n_train // len(trajectories))
    per_test = -(-settings.n_test // len(trajectories))
    for run, trajectory in enumerate(trajectories):
        frames = len(trajectory)
        begin_test = frames - max(round(frames * settings.test_fraction), 1)
        end_train = begin_test - round(frames * settings.gap_fraction)
        if end_train < 2:
            raise InputError(
                "a teacher run is too short to hold frames out",
                key=f"run {run}",
                found=f"{frames} frames",
                remedy="run the teacher for longer, or store frames more often (dynamics.frame_interval_fs)",
            )
        train += [(run, int(i)) for i in np.unique(np.linspace(0, end_train - 1, per_train).round())]
        test += [(run, int(i)) for i in np.unique(np.linspace(begin_test, frames - 1, per_test).round())]
    return train, test


def label(
    trajectories: Sequence[Trajectory],
    chosen: Sequence[tuple[int, int]],
    teacher: Potential,
    *,
    perturbation_A: float = 0.0,
    seed: int = 0,
    chunk: int = 16,
) -> Frames:
    """Evaluate the teacher on chosen frames.

    Parameters
    ----------
    chosen
        (run, frame) pairs.
    perturbation_A
        Standard deviation of Gaussian displacements on every third frame, Å; drawn by counter from `seed`,
        run and frame.
    chunk
        Frames a forward pass.
    """
    positions, cells, numbers = [], [], []
    for count, (run, frame) in enumerate(chosen):
        trajectory = trajectories[run]
        x = np.array(trajectory.positions[frame], dtype=np.float64)
        if perturbation_A > 0 and count % 3 == 2:
            x += perturbation_A * generator(seed, "distill", "perturb", run, frame).standard_normal(x.shape)
        positions.append(x)
        cells.append(np.array(trajectory.cells[frame], dtype=np.float64))
        numbers.append(np.array(trajectory.numbers, dtype=np.int64))
    energies, forces = evaluate(teacher, positions, cells, numbers, chunk=chunk)
    return Frames(
        tuple(positions),
        tuple(cells),
        tuple(numbers),
        energies,
        tuple(forces),
        np.array([run for run, _ in chosen], dtype=np.int64),
    )


def evaluate(
    potential: Potential,
    positions: Sequence[NDArray[np.float64]],
    cells: Sequence[NDArray[np.float64]],
    numbers: Sequence[NDArray[np.int64]],
    *,
    chunk: int = 16,
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Return energies (F,), eV, and one (N, 3) array of forces a frame, eV/Å."""
    energies: list[float] = []
    forces: list[NDArray[np.float64]] = []
    for begin in range(0, len(positions), chunk):
        part = slice(begin, begin + chunk)
        counts = [len(n) for n in numbers[part]]
        batch = Batch(
            positions=torch.as_tensor(np.concatenate(positions[part])),
            cells=torch.as_tensor(np.stack(cells[part])),
            numbers=torch.as_tensor(np.concatenate(numbers[part])),
            system_index=torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)),
        )
        result = potential.evaluate(batch)
        energies += result.energies.detach().cpu().double().tolist()
        forces += np.split(result.forces.detach().cpu().double().numpy(), np.cumsum(counts)[:-1])
    return np.asarray(energies), forces
