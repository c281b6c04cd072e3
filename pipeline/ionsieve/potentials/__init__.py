"""Machine-learned and analytic potentials behind one protocol; the registry that loads them by name and digest."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ionsieve.potentials.base import Evaluation, Potential, PotentialInfo
    from ionsieve.potentials.models import ModelCard, catalogue, digest
    from ionsieve.potentials.parity import ParityReport, check_parity, load_checked
    from ionsieve.potentials.registry import load
    from ionsieve.potentials.settings import PairSettings, PotentialSettings

_HOMES = {
    "Evaluation": "base",
    "ModelCard": "models",
    "PairSettings": "settings",
    "ParityReport": "parity",
    "Potential": "base",
    "PotentialInfo": "base",
    "PotentialSettings": "settings",
    "catalogue": "models",
    "check_parity": "parity",
    "digest": "models",
    "load": "registry",
    "load_checked": "parity",
}

__all__ = [
    "Evaluation",
    "ModelCard",
    "PairSettings",
    "ParityReport",
    "Potential",
    "PotentialInfo",
    "PotentialSettings",
    "catalogue",
    "check_parity",
    "digest",
    "load",
    "load_checked",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
