"""From a composition a chemist writes to supercells that are right.

>>> from ionsieve.generate import GenerateSettings, expand, configure
>>> settings = GenerateSettings(recipes=[{"prototype": "Na3PS4_P-421c", "substitute": {"S": {"Cl": 0.0625}}}])
>>> candidates = expand(settings)
>>> candidates[0].realised_formula
'Na2.9375PS3.9375Cl0.0625'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ionsieve.generate import prototypes as prototypes
    from ionsieve.generate.configuring import configure as configure
    from ionsieve.generate.expansion import expand as expand
    from ionsieve.generate.expansion import expand_recipes as expand_recipes
    from ionsieve.generate.exporting import export as export
    from ionsieve.generate.prototypes import Prototype as Prototype
    from ionsieve.generate.settings import GenerateSettings as GenerateSettings

_HOMES = {
    "GenerateSettings": "settings",
    "Prototype": "prototypes",
    "configure": "configuring",
    "expand": "expansion",
    "expand_recipes": "expansion",
    "export": "exporting",
}

__all__ = ["GenerateSettings", "Prototype", "configure", "expand", "expand_recipes", "export", "prototypes"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "prototypes":
        return import_module("ionsieve.generate.prototypes")
    if name in _HOMES:
        value = getattr(import_module(f"ionsieve.generate.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
