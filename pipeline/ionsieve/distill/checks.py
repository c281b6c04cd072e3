"""Checks of a student against its teacher. Each returns a `Check`; none raises because the student is bad."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ionsieve.distill.frames import Frames, evaluate
from ionsieve.distill.rdf import partial_rdfs, rdf_distance
from ionsieve.distill.settings import DistillSettings
from ionsieve.distill.verdict import Check
from ionsieve.records.estimate import Estimate
from ionsieve.verdicts import Outcome

if TYPE_CHECKING:
    from ionsieve.potentials.base import Potential
    from ionsieve.trajectory import Trajectory

__all__ = ["check_diffusivity", "check_forces", "check_rdf", "check_survival"]


def check_forces(student: Potential, held_out: Frames, settings: DistillSettings) -> tuple[Check, Check]:
    """Compare forces and energies on the held-out frames.

    Energies are compared after removing each run's mean error: molecular dynamics knows no constant.
    """
    energies, forces = evaluate(student, held_out.positions, held_out.cells, held_out.numbers)
    difference = np.concatenate([(a - b).ravel() for a, b in zip(forces, held_out.forces_eV_per_A, strict=True)])
    error, scale = float(np.sqrt(np.mean(difference**2))), held_out.force_rms_eV_per_A
    relative = error / scale if scale > 0 else math.inf
    per_atom = (energies - held_out.energies_eV) / np.array([len(n) for n in held_out.numbers])
    for run in np.unique(held_out.run):
        per_atom[held_out.run == run] -= per_atom[held_out.run == run].mean()
    energy = 1e3 * float(np.sqrt(np.mean(per_atom**2)))
    limit = settings.max_energy_error_meV_per_atom
    return (
        Check(
            name="forces",
            value=relative,
            limit=settings.max_force_error,
            passed=relative <= settings.max_force_error,
            sentence=f"force error {error:.3f} eV/Å on {len(held_out)} held-out frames is {100 * relative:.0f} % of "
            f"the root-mean-square force {scale:.3f} eV/Å (limit {100 * settings.max_force_error:.0f} %)",
        ),
        Check(
            name="energy",
            value=energy,
            limit=limit,
            passed=energy <= limit,
            sentence=f"energy error {energy:.2f} meV/atom about each run's mean (limit {limit:g})",
        ),
    )


def check_rdf(run: str, teacher: Trajectory, student: Trajectory, settings: DistillSettings) -> Check:
    """Compare the partial radial distribution functions of two runs of the same cell and temperature.

    The worst pair of elements counts. Where the teacher's own two halves differ by more than the limit, the limit is
    what they differ by: a rare pair cannot be known better.
    """
    from ase.data import chemical_symbols

    every_teacher, every_student = max(1, len(teacher) // 100), max(1, len(student) // 100)
    g = partial_rdfs(teacher.positions[::every_teacher], teacher.cells[::every_teacher], teacher.numbers)
    other = partial_rdfs(student.positions[::every_student], student.cells[::every_student], student.numbers)
    half = len(teacher) // 2
    halves = rdf_distance(
        partial_rdfs(teacher.positions[:half:every_teacher], teacher.cells[:half:every_teacher], teacher.numbers),
        partial_rdfs(teacher.positions[half::every_teacher], teacher.cells[half::every_teacher], teacher.numbers),
    )
    excess = {pair: d - max(halves[pair], settings.max_rdf_distance) for pair, d in rdf_distance(g, other).items()}
    worst = max(excess, key=lambda pair: excess[pair])
    limit = max(halves[worst], settings.max_rdf_distance)
    value = excess[worst] + limit
    pair = "-".join(chemical_symbols[z] for z in worst)
    return Check(
        name=f"rdf:{run}",
        value=value,
        limit=limit,
        passed=value <= limit,
        sentence=f"radial distribution of {pair} in {run} differs by {value:.3f} (limit {limit:.3f}; the teacher's own "
        f"halves differ by {halves[worst]:.3f})",
    )


def check_diffusivity(run: str, teacher: Estimate, student: Estimate, settings: DistillSettings) -> Check:
    """Ask whether the student's D agrees with the teacher's within their errors, and whether the errors allow to tell.

    ln(D student / D teacher) must lie within 1.96 standard errors of the difference, and that error must be below
    `max_log10_D_error` decades: two runs without hops agree on everything.
    """
    if not (teacher.is_value and student.is_value):
        who, lacking = ("teacher", teacher) if not teacher.is_value else ("student", student)
        return Check(
            name=f"diffusivity:{run}",
            value=None,
            limit=None,
            passed=False,
            sentence=f"D in {run} cannot be compared: the {who} gave no value ({lacking.kind}): {lacking.reason}",
        )
    ratio = math.log10(_value(student) / _value(teacher))
    error = math.hypot(_error(teacher), _error(student))
    allowed = 1.96 * error
    told = error <= settings.max_log10_D_error
    low, high = teacher.low95, teacher.high95
    inside = low is not None and high is not None and low <= _value(student) <= high
    sentence = (
        f"D of the student in {run} is 10^{ratio:+.2f} of the teacher's (error of the difference {error:.2f} decades; "
        f"{'inside' if inside else 'outside'} the teacher's 95 % interval)"
    )
    if not told:
        sentence += f"; too uncertain to be a test (limit {settings.max_log10_D_error:g})"
    return Check(
        name=f"diffusivity:{run}",
        value=abs(ratio),
        limit=allowed,
        passed=told and abs(ratio) <= allowed,
        sentence=sentence,
    )


def check_survival(run: str, outcome: Outcome, reason: str = "") -> Check:
    """Ask whether the student's run ended as it should: neither melted nor exploded."""
    good = outcome is Outcome.COMPLETED
    return Check(
        name=f"survival:{run}",
        value=0.0 if good else 1.0,
        limit=0.0,
        passed=good,
        sentence=f"the student's {run} ran to its end" if good else f"the student's {run} ended as {outcome}: {reason}",
    )


def _value(estimate: Estimate) -> float:
    if estimate.value is None or estimate.value <= 0:
        raise ValueError("a diffusivity with a value was expected")
    return estimate.value


def _error(estimate: Estimate) -> float:
    """Standard error of log10 D from the 68 % interval."""
    low, high = estimate.low68, estimate.high68
    if low is None or high is None or low <= 0:
        return math.inf
    return 0.5 * (math.log10(high) - math.log10(low))
