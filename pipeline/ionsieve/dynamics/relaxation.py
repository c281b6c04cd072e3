"""Relaxation of positions and cell to the minimum of the potential, with flags for what did not go well."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ionsieve.dynamics import checkpoint
from ionsieve.dynamics.fire import Descent, Minimum, begin, fire
from ionsieve.dynamics.jobs import structure_sha256
from ionsieve.dynamics.settings import RelaxSettings
from ionsieve.errors import GeometryError
from ionsieve.potentials.base import Potential
from ionsieve.units import GPA_PER_EV_PER_A3
from ionsieve.verdicts import Flag, Outcome

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Relaxation", "relax", "relax_many", "relax_resumable"]

#: seconds of work that a kill may cost a relaxation that is kept on disk
SAVE_S = 15.0
_TENSORS = ("v", "v_cell", "dt", "mix", "good", "energy_start")


@dataclass(frozen=True)
class Relaxation:
    """How one relaxation ended.

    Attributes
    ----------
    atoms
        Relaxed, in the order given, without calculator.
    energy_eV, energy_start_eV
        Potential energy of the whole cell.
    max_force_eV_per_A, max_stress_GPa
        What is left; the stress is None where the cell was kept.
    volume_change_percent
        Against the starting cell.
    outcome
        ``completed``; ``collapsed`` when the volume changed beyond all bounds; ``not_relaxed`` when energy, forces
        or stress are no finite numbers, or the potential refuses the geometry on the way; ``bad_geometry`` when it
        refuses the start.
    flags
        ``not_converged``, ``large_volume``.
    seconds_before
        What earlier calls of `relax_resumable`, which did not come to the end, took.
    """

    atoms: Atoms
    energy_eV: float | None
    energy_start_eV: float | None
    max_force_eV_per_A: float | None
    max_stress_GPa: float | None
    volume_change_percent: float
    steps: int
    outcome: Outcome
    reason: str
    flags: tuple[Flag, ...]
    seconds_before: float = 0.0


def relax(atoms: Atoms, potential: Potential, settings: RelaxSettings) -> Relaxation:
    """Relax one cell.

    Raises
    ------
    InputError
        When the potential does not know an element.
    """
    return relax_many([atoms], potential, settings)[0]


def relax_many(systems: Sequence[Atoms], potential: Potential, settings: RelaxSettings) -> list[Relaxation]:
    """Relax several cells: together in one batch, or one by one with ASE, as `settings.engine` says."""
    if settings.engine == "ase":
        return [_relax_ase(a, potential, settings) for a in systems]
    results: list[Relaxation] = []
    for group in _groups(systems, settings.batch_atoms):
        try:
            ends = fire(group, potential, settings)
        except GeometryError:  # of one of them: each for itself
            results += [_descend(atoms, potential, settings, begin([atoms], potential.info.device)) for atoms in group]
        else:
            results += [_judged(atoms, end, settings) for atoms, end in zip(group, ends, strict=True)]
    return results


def _descend(
    atoms: Atoms,
    potential: Potential,
    settings: RelaxSettings,
    active: Descent,
    after_step: Callable[[Descent], None] | None = None,
) -> Relaxation:
    """Relax one cell from where it is; a refusal of its geometry is how it ends."""
    try:
        (end,) = fire([atoms], potential, settings, active, after_step)
    except GeometryError as refusal:
        return _refused(atoms, active.step, refusal)
    return _judged(atoms, end, settings)


def _refused(atoms: Atoms, step: int, refusal: GeometryError) -> Relaxation:
    clean = atoms.copy()
    clean.calc = None
    return Relaxation(
        atoms=clean,
        energy_eV=None,
        energy_start_eV=None,
        max_force_eV_per_A=None,
        max_stress_GPa=None,
        volume_change_percent=0.0,
        steps=step,
        outcome=Outcome.NOT_RELAXED if step else Outcome.BAD_GEOMETRY,
        reason=f"the potential refuses the geometry after {step} steps: {refusal}",
        flags=(),
    )


class _PausedError(Exception):
    """Time is up; where the relaxation stands is on disk."""


def relax_resumable(
    atoms: Atoms,
    potential: Potential,
    settings: RelaxSettings,
    path: Path,
    *,
    deadline_s: float | None = None,
    stop: Callable[[], bool] | None = None,
) -> Relaxation | None:
    """Relax one cell, going on from `path`. Ask again until the answer is not None: it is that of `relax`.

    The whole state of the optimiser is kept, so the answer does not depend on where it was interrupted. With
    `engine: ase`, the reference, a relaxation is done in one go.

    Parameters
    ----------
    atoms, potential, settings
        As in `relax`; the cell as it was at the very beginning.
    path
        Where the state is kept; the caller drops it when the answer is safe.
    deadline_s, stop
        As in `simulate`; looked at after every step. At least one step is done.

    Raises
    ------
    DataError
        When `path` holds another relaxation, or is damaged.
    """
    if settings.engine == "ase":
        return _relax_ase(atoms, potential, settings)
    identity = {
        "structure_sha256": structure_sha256(atoms),
        "potential": [potential.info.name, potential.info.sha256, potential.info.dtype],
        "settings": settings.model_dump(mode="json", exclude={"batch_atoms"}),
    }
    active, before = begin([atoms], potential.info.device), 0.0
    if path.exists():
        head, arrays = checkpoint.read(path, identity)
        active, before = _restored(active, head["step"], arrays), head["seconds"]
    began = clock = saved = time.perf_counter()
    longest = 0.0

    def look(now_at: Descent) -> None:
        nonlocal clock, saved, longest
        now = time.perf_counter()
        longest, clock = max(longest, now - clock), now
        late = stop is not None and stop()
        late = late or (deadline_s is not None and now - began + 1.5 * longest > deadline_s)
        if late or now - saved >= SAVE_S:
            checkpoint.write(path, identity, {"step": now_at.step, "seconds": before + now - began}, _arrays(now_at))
            saved = now
        if late:
            raise _PausedError

    try:
        return replace(_descend(atoms, potential, settings, active, look), seconds_before=before)
    except _PausedError:
        return None


def _arrays(active: Descent) -> dict[str, Any]:
    tensors = {"positions": active.batch.positions, "cells": active.batch.cells}
    tensors |= {name: getattr(active, name) for name in _TENSORS}
    return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}


def _restored(start: Descent, step: int, arrays: dict[str, Any]) -> Descent:
    tensors: dict[str, Any] = {name: torch.from_numpy(a).to(start.batch.device) for name, a in arrays.items()}
    batch = replace(start.batch, positions=tensors.pop("positions"), cells=tensors.pop("cells"))
    return replace(start, batch=batch, step=step, **tensors)


def _judged(atoms: Atoms, end: Minimum, settings: RelaxSettings) -> Relaxation:
    relaxed = atoms.copy()
    relaxed.set_cell(end.cell)
    relaxed.positions = end.positions
    return judge(
        atoms,
        relaxed,
        settings,
        energy_eV=end.energy_eV,
        energy_start_eV=end.energy_start_eV,
        max_force=end.max_force_eV_per_A,
        max_stress_GPa=end.max_stress_GPa,
        steps=end.steps,
    )


def _groups(systems: Sequence[Atoms], bound: int) -> list[list[Atoms]]:
    """Cut a list into runs of at most `bound` atoms (a larger single system stands alone)."""
    groups: list[list[Atoms]] = []
    size = 0
    for atoms in systems:
        if not groups or size + len(atoms) > bound:
            groups.append([])
            size = 0
        groups[-1].append(atoms)
        size += len(atoms)
    return groups


def judge(
    start: Atoms,
    end: Atoms,
    settings: RelaxSettings,
    *,
    energy_eV: float,
    energy_start_eV: float,
    max_force: float,
    max_stress_GPa: float | None,
    steps: int,
) -> Relaxation:
    """Turn the numbers of a relaxation into a statement."""
    change = 100.0 * (end.cell.volume / start.cell.volume - 1.0)
    numbers = [energy_eV, max_force, change, 0.0 if max_stress_GPa is None else max_stress_GPa]
    finite = bool(np.isfinite(numbers).all())
    flags: list[Flag] = []
    outcome, reason = Outcome.COMPLETED, ""
    if not finite:
        outcome, reason = Outcome.NOT_RELAXED, f"energy, forces or stress are not finite after {steps} steps"
    elif abs(change) > settings.max_volume_change_percent:
        outcome = Outcome.COLLAPSED
        reason = f"the volume changed by {change:+.0f} % (bound: {settings.max_volume_change_percent:g} %)"
    stress_left = max_stress_GPa is not None and max_stress_GPa > settings.max_stress_GPa
    if max_force > settings.fmax_eV_per_A or stress_left:
        flags.append(Flag.NOT_CONVERGED)
    if abs(change) > settings.flag_volume_change_percent:
        flags.append(Flag.LARGE_VOLUME)
    clean = end.copy()
    clean.calc = None
    return Relaxation(
        atoms=clean,
        energy_eV=energy_eV if np.isfinite(energy_eV) else None,
        energy_start_eV=energy_start_eV if np.isfinite(energy_start_eV) else None,
        max_force_eV_per_A=max_force if np.isfinite(max_force) else None,
        max_stress_GPa=max_stress_GPa if max_stress_GPa is not None and np.isfinite(max_stress_GPa) else None,
        volume_change_percent=float(change) if np.isfinite(change) else 0.0,
        steps=steps,
        outcome=outcome,
        reason=reason,
        flags=tuple(flags),
    )


def _relax_ase(atoms: Atoms, potential: Potential, settings: RelaxSettings) -> Relaxation:
    """ASE's FIRE, with FrechetCellFilter where the cell relaxes too."""
    done = [0]
    try:
        return _relax_with_ase(atoms, potential, settings, done)
    except GeometryError as refusal:
        return _refused(atoms, done[0], refusal)


def _relax_with_ase(atoms: Atoms, potential: Potential, settings: RelaxSettings, done: list[int]) -> Relaxation:
    """Count the steps in `done`, which outlives an exception."""
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE

    from ionsieve.dynamics.ase_bridge import BatchCalculator

    work = atoms.copy()
    work.calc = BatchCalculator(potential)
    with_cell = settings.cell_policy != "published"
    target = FrechetCellFilter(work, hydrostatic_strain=settings.keep_symmetry) if with_cell else work

    def largest() -> tuple[float, float | None]:
        forces = work.get_forces()
        force = float(np.sqrt((forces * forces).sum(axis=1)).max(initial=0.0))
        if not with_cell:
            return force, None
        stress = work.get_stress(voigt=False) * GPA_PER_EV_PER_A3
        return force, float(abs(np.trace(stress)) / 3 if settings.keep_symmetry else np.abs(stress).max())

    energy_start = float(work.get_potential_energy())
    with warnings.catch_warnings(), FIRE(target, logfile=None) as optimiser:
        warnings.filterwarnings("ignore", message="logm result may be inaccurate")  # of 1e-13, from the cell filter
        for _ in optimiser.irun(fmax=1e-9, steps=settings.max_steps):
            done[0] = optimiser.nsteps
            force, stress = largest()
            collapsed = abs(work.cell.volume / atoms.cell.volume - 1) * 100 > settings.max_volume_change_percent
            converged = force <= settings.fmax_eV_per_A and (stress is None or stress <= settings.max_stress_GPa)
            if converged or collapsed or not np.isfinite([force, stress or 0.0]).all():
                break
    force, stress = largest()
    return judge(
        atoms,
        work,
        settings,
        energy_eV=float(work.get_potential_energy()),
        energy_start_eV=energy_start,
        max_force=force,
        max_stress_GPa=stress,
        steps=done[0],
    )
