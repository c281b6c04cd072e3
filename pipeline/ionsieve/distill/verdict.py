"""The verdict on a student: every check with its number, and which potential the long runs get."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from ionsieve.potentials.settings import PotentialSettings
from ionsieve.records.base import Frozen, Record
from ionsieve.records.estimate import Estimate
from ionsieve.records.simulation import PotentialIdentity

__all__ = ["Check", "StudentVerdict", "potential_for"]

#: kinds of checks that must have been made
_NEEDED = ("forces", "energy", "survival", "rdf", "diffusivity")


class Check(Frozen):
    """One bound that a student must keep.

    Attributes
    ----------
    name
        ``forces``, ``energy``, ``rdf``, ``diffusivity`` or ``survival``, with the run where it belongs to one.
    value, limit
        The number and what it may be at most; None when no number could be had, and then the check is not passed.
    sentence
        What was compared, for people.
    """

    name: str
    value: float | None
    limit: float | None
    passed: bool
    sentence: str


class StudentVerdict(Record):
    """What distillation of one family came to.

    Attributes
    ----------
    model_sha256
        Digest of the student's file; empty when none was trained.
    weights_sha256
        Digest of its numbers alone: the same for the same lessons and settings.
    seconds_per_step
        CPU seconds per step and system in the runs that were compared: teacher and student.
    diffusivities
        Teacher and student for each run compared.
    settings
        The room's settings.
    """

    SCHEMA: ClassVar[int] = 1

    family: str
    teacher: PotentialIdentity
    model_file: str = ""
    model_sha256: str = ""
    weights_sha256: str = ""
    n_parameters: int = 0
    elements: tuple[int, ...] = ()
    n_train: int = 0
    n_test: int = 0
    training_cpu_seconds: float = 0.0
    labelling_cpu_seconds: float = 0.0
    checks: tuple[Check, ...] = ()
    teacher_seconds_per_step: float | None = None
    student_seconds_per_step: float | None = None
    diffusivities: tuple[tuple[str, Estimate, Estimate], ...] = ()
    settings: dict[str, Any] = {}

    @property
    def passed(self) -> bool:
        """Whether all checks were made and passed."""
        made = {check.name.split(":")[0] for check in self.checks}
        return set(_NEEDED) <= made and all(c.passed for c in self.checks)

    @property
    def reason(self) -> str:
        """One sentence: why the student is used, or why not."""
        if self.passed:
            return "the student kept every bound"
        failed = [c.sentence for c in self.checks if not c.passed]
        made = {check.name.split(":")[0] for check in self.checks}
        missing = [name for name in _NEEDED if name not in made]
        if missing:
            failed.append(f"no check of {', '.join(missing)} could be made")
        return "; ".join(failed)


def potential_for(verdict: StudentVerdict, teacher: PotentialSettings, folder: Path) -> tuple[PotentialSettings, str]:
    """Return the potential for long runs of the family, and the sentence that says which and why.

    The student is taken only when it passed; otherwise the teacher stays. The student's file is pinned by its digest.

    Parameters
    ----------
    folder
        Where the verdict's model file lies.
    """
    if not verdict.passed:
        return teacher, f"{verdict.family}: the long runs stay with {teacher.name}, because {verdict.reason}."
    student = PotentialSettings(
        name="mace",
        path=str((folder / verdict.model_file).resolve()),
        sha256=verdict.model_sha256,
        device=teacher.device,
        dtype="float32",
        skin_A=teacher.skin_A,
    )
    return student, f"{verdict.family}: the long runs use the student {verdict.model_file}: {verdict.reason}."
