"""Distillation: a small, fast MACE student of a large teacher, for one family of candidates, trusted only after checks.

The room knows arrays of frames, potentials and its settings. It runs no molecular dynamics: whoever calls it brings the
teacher's and the student's trajectories. `ionsieve distill` does that for a campaign's folder.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ionsieve.distill.checks import check_diffusivity as check_diffusivity
    from ionsieve.distill.checks import check_forces as check_forces
    from ionsieve.distill.checks import check_rdf as check_rdf
    from ionsieve.distill.checks import check_survival as check_survival
    from ionsieve.distill.frames import Frames as Frames
    from ionsieve.distill.frames import choose_frames as choose_frames
    from ionsieve.distill.frames import label as label
    from ionsieve.distill.rdf import partial_rdfs as partial_rdfs
    from ionsieve.distill.settings import DistillSettings as DistillSettings
    from ionsieve.distill.training import Student as Student
    from ionsieve.distill.training import train as train
    from ionsieve.distill.verdict import Check as Check
    from ionsieve.distill.verdict import StudentVerdict as StudentVerdict
    from ionsieve.distill.verdict import potential_for as potential_for

_HOMES = {
    "Check": "verdict",
    "DistillSettings": "settings",
    "Frames": "frames",
    "Student": "training",
    "StudentVerdict": "verdict",
    "check_diffusivity": "checks",
    "check_forces": "checks",
    "check_rdf": "checks",
    "check_survival": "checks",
    "choose_frames": "frames",
    "label": "frames",
    "partial_rdfs": "rdf",
    "potential_for": "verdict",
    "train": "training",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
