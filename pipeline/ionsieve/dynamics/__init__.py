"""Relaxation and molecular dynamics of many cells at once: two engines behind one signature.

Names are loaded when they are asked for: importing the room (and its settings) imports no torch and no ASE.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ionsieve.dynamics.ase_bridge import BatchCalculator as BatchCalculator
    from ionsieve.dynamics.integrators import METHODS as METHODS
    from ionsieve.dynamics.jobs import Job as Job
    from ionsieve.dynamics.jobs import Progress as Progress
    from ionsieve.dynamics.jobs import Segment as Segment
    from ionsieve.dynamics.jobs import plan as plan
    from ionsieve.dynamics.relaxation import Relaxation as Relaxation
    from ionsieve.dynamics.relaxation import relax as relax
    from ionsieve.dynamics.relaxation import relax_many as relax_many
    from ionsieve.dynamics.relaxation import relax_resumable as relax_resumable
    from ionsieve.dynamics.settings import DynamicsSettings as DynamicsSettings
    from ionsieve.dynamics.settings import GuardSettings as GuardSettings
    from ionsieve.dynamics.settings import RelaxSettings as RelaxSettings
    from ionsieve.dynamics.simulation import simulate as simulate
    from ionsieve.dynamics.stopping import StopOnSignal as StopOnSignal

_HOMES = {
    "BatchCalculator": "ase_bridge",
    "METHODS": "integrators",
    "Job": "jobs",
    "Progress": "jobs",
    "Segment": "jobs",
    "plan": "jobs",
    "Relaxation": "relaxation",
    "relax": "relaxation",
    "relax_many": "relaxation",
    "relax_resumable": "relaxation",
    "DynamicsSettings": "settings",
    "GuardSettings": "settings",
    "RelaxSettings": "settings",
    "simulate": "simulation",
    "StopOnSignal": "stopping",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
