"""The door: run jobs with one of the two engines, as far as time allows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ionsieve.dynamics.book import Book
from ionsieve.dynamics.guards import Trip
from ionsieve.dynamics.jobs import Job, Progress
from ionsieve.dynamics.online import StopRule
from ionsieve.dynamics.packing import Capacity
from ionsieve.dynamics.settings import DynamicsSettings
from ionsieve.errors import InputError
from ionsieve.potentials.base import Potential
from ionsieve.verdicts import Outcome

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["simulate"]


def simulate(
    jobs: Sequence[Job],
    potential: Potential,
    settings: DynamicsSettings,
    *,
    deadline_s: float | None = None,
    stop: Callable[[], bool] | None = None,
    capacity: Capacity | None = None,
    rule: StopRule | None = None,
) -> list[Progress]:
    """Run molecular dynamics of all jobs, continuing each from its checkpoint.

    Ask again with the same jobs until none is unfinished: only what is missing is computed, and the trajectory is
    the same as without the interruption.

    Parameters
    ----------
    jobs
        One folder each.
    potential
        Evaluates all systems in one call.
    settings
        Shared by the jobs; a job may override its lengths.
    deadline_s
        Seconds from now; the engine saves and returns at the last guard point before, or between two where they
        lie more than some seconds apart.
    stop
        Asked at guard points; true ends as the deadline does (a signal handler sets it).
    capacity
        What fits into one forward pass; by default measured where the device is CUDA (a few small forward passes, kept
        on disk for the next time), `settings.batch_atoms_cpu` on a CPU, `settings.batch_atoms` elsewhere.
    rule
        Tells how well the diffusivity of a run under way is known; needed by `settings.stop_relative_error`.

    Returns
    -------
    list
        One `Progress` a job, in their order. An element that the potential does not know, a melt or an explosion is
        an outcome (``failed``), not an exception.

    Raises
    ------
    InputError
        When jobs share a folder, a cell or length makes no sense, or runs shall end early without a `rule`.
    DataError
        When a folder holds the checkpoint of another run, or a damaged one.
    TransientError
        When a single system does not fit into the device's memory.
    """
    start = time.perf_counter()
    folders = [job.folder.resolve() for job in jobs]
    if len(set(folders)) != len(folders):
        raise InputError("two jobs share a folder", expected="one folder a run")
    if settings.stop_relative_error is not None and rule is None:
        raise InputError(
            "runs shall end when their diffusivity is known, and nothing tells how well it is",
            key="stop_relative_error",
            remedy="give `simulate` a rule (ionsieve.transport.relative_error is one), or take the setting out",
        )
    from ionsieve.dynamics.engines.ase import ASEEngine
    from ionsieve.dynamics.engines.batch import BatchEngine

    engine: ASEEngine | BatchEngine
    if settings.engine == "ase":
        engine = ASEEngine(potential, settings)
    else:
        engine = BatchEngine(potential, settings, capacity or _capacity(jobs, potential, settings))
    books = [Book(job, settings, potential.info, engine.scalars, rule) for job in jobs]
    refused = {book: reason for book in books if (reason := _unknown(book.job, potential))}

    def should_stop(block_s: float) -> bool:
        if stop is not None and stop():
            return True
        return deadline_s is not None and time.perf_counter() - start + 1.5 * block_s > deadline_s

    runnable = [b for b in books if b not in refused]
    try:
        if not (stop is not None and stop()):
            engine.run(runnable, should_stop)
    finally:
        for book in books:
            book.close()
    return [_refusal(b, refused[b]) if b in refused else b.progress() for b in books]


def _capacity(jobs: Sequence[Job], potential: Potential, settings: DynamicsSettings) -> Capacity:
    """Measure a CUDA device's memory (once a machine and model); elsewhere take the bound of the settings."""
    if potential.info.device.startswith("cpu"):
        return Capacity(settings.batch_atoms_cpu)
    if not potential.info.device.startswith("cuda") or not jobs:
        return Capacity(settings.batch_atoms)
    from ionsieve.potentials.memory import count_edges, memory_book

    distinct = {len(job.atoms): job.atoms for job in jobs}
    structures = [distinct[n] for n in sorted({min(distinct), max(distinct)})]
    every = {_geometry(job.atoms): job.atoms for job in jobs}
    density = max(count_edges(atoms, potential.info.cutoff_A) / len(atoms) for atoms in every.values())
    # hot cells lose their order: room for a tenth more edges than the start has
    return Capacity.measured(memory_book(potential, structures), 1.1 * density)


def _geometry(atoms: Atoms) -> tuple[bytes, bytes]:
    """Tell structures apart by what decides about their edges."""
    return atoms.positions.tobytes(), atoms.cell.array.tobytes()


def _unknown(job: Job, potential: Potential) -> str:
    """Name the elements that the potential does not know."""
    from ase.data import chemical_symbols

    missing = [chemical_symbols[z] for z in np.unique(job.atoms.numbers) if int(z) not in potential.info.elements]
    return f"{potential.info.name} was not trained for {', '.join(missing)}" if missing else ""


def _refusal(book: Book, reason: str) -> Progress:
    book.finished, book.trip = True, Trip(Outcome.UNKNOWN_ELEMENT, reason)
    return book.progress()
