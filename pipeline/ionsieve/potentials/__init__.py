"""Machine-learned and analytic potentials behind one protocol; the registry that loads them by name and digest."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ionsieve.potentials.base import Evaluation, Potential, PotentialInfo
    from ionsieve.potentials.models import ModelCard, catalogue, digest
    from ionsieve.potentials.registry import load
    from ionsieve.potentials.settings import PairSettings, PotentialSettings

_HOMES = {
    "Evaluation": "base",
    "ModelCard": "models",
    "PairSettings": "settings",
    "Potential": "base",
    "PotentialInfo": "base",
    "PotentialSettings": "settings",
    "catalogue": "models",
    "digest": "models",
    "load": "registry",
}

__all__ = [
    "Evaluation",
    "ModelCard",
    "PairSettings",
    "Potential",
    "PotentialInfo",
    "PotentialSettings",
    "catalogue",
    "digest",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
