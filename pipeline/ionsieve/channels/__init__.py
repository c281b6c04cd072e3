"""Bottleneck geometry: spheres, percolation, gates between mobile sites (still and in motion), bond-valence landscape.

A library of its own: it knows arrays, ASE `Atoms` and pymatgen `Structure`, nothing of campaigns.

>>> from ionsieve.channels import describe, judge
>>> channels = describe(structure, "Na")          # doctest: +SKIP
>>> outcome, reason, flags = judge(channels)      # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ionsieve.channels.settings import ChannelSettings as ChannelSettings

if TYPE_CHECKING:
    from ionsieve.channels.bvse import Landscape as Landscape
    from ionsieve.channels.bvse import landscape as landscape
    from ionsieve.channels.description import Channels as Channels
    from ionsieve.channels.description import describe as describe
    from ionsieve.channels.framework import Framework as Framework
    from ionsieve.channels.framework import read_framework as read_framework
    from ionsieve.channels.gate_kinds import static_gates as static_gates
    from ionsieve.channels.gates import GateSet as GateSet
    from ionsieve.channels.gates import find_gates as find_gates
    from ionsieve.channels.interstitials import Interstitial as Interstitial
    from ionsieve.channels.interstitials import find_interstitials as find_interstitials
    from ionsieve.channels.motion import crossings as crossings
    from ionsieve.channels.motion import gates_along as gates_along
    from ionsieve.channels.motion import gates_in_motion as gates_in_motion
    from ionsieve.channels.motion import summarise_gates as summarise_gates
    from ionsieve.channels.network import Network as Network
    from ionsieve.channels.network import build_network as build_network
    from ionsieve.channels.network import clearance as clearance
    from ionsieve.channels.network import spheres as spheres
    from ionsieve.channels.sieve import judge as judge

_HOMES = {
    "Landscape": "bvse",
    "landscape": "bvse",
    "Channels": "description",
    "describe": "description",
    "Framework": "framework",
    "read_framework": "framework",
    "GateSet": "gates",
    "find_gates": "gates",
    "static_gates": "gate_kinds",
    "Interstitial": "interstitials",
    "find_interstitials": "interstitials",
    "crossings": "motion",
    "gates_along": "motion",
    "gates_in_motion": "motion",
    "summarise_gates": "motion",
    "Network": "network",
    "build_network": "network",
    "clearance": "network",
    "spheres": "network",
    "judge": "sieve",
}

__all__ = [
    "ChannelSettings",
    "Channels",
    "Framework",
    "GateSet",
    "Interstitial",
    "Landscape",
    "Network",
    "build_network",
    "clearance",
    "crossings",
    "describe",
    "find_gates",
    "find_interstitials",
    "gates_along",
    "gates_in_motion",
    "judge",
    "landscape",
    "read_framework",
    "spheres",
    "static_gates",
    "summarise_gates",
]


def __getattr__(name: str) -> Any:
    """Import on first use, so that settings stay light."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
