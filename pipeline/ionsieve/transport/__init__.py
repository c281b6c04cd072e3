"""Diffusivities whose error bars are true: from arrays to D, conductivity, Arrhenius fits and mechanism.

A library on its own: it knows arrays, ASE names of elements and its settings, nothing of campaigns or folders.

>>> from ionsieve.transport import measure
>>> result = measure(positions, cells, times_ps, symbols, mobile="Na", charge=1,
...                  framework=("P", "S"), temperature_K=600.0)          # doctest: +SKIP
>>> result.tracer_diffusivity.value, result.verdict                       # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ionsieve.transport.arrhenius import ArrheniusResult, fit_arrhenius
    from ionsieve.transport.candidate import combine, estimate_candidate, fit_candidate
    from ionsieve.transport.diffusion import Diffusivity, diffusivity, judge
    from ionsieve.transport.gls import LineFit, fit_line
    from ionsieve.transport.guards import HeZhuMo, he_relative_error, he_zhu_mo
    from ionsieve.transport.kernels.displacement import remove_breathing, remove_drift, unwrap
    from ionsieve.transport.kernels.msd import collective_msd, msd, msd_tensor, windowed_moments
    from ionsieve.transport.measuring import Transport, measure
    from ionsieve.transport.nernst_einstein import conductivity, haven_ratio
    from ionsieve.transport.settings import TransportSettings
    from ionsieve.transport.streaming import StreamedTransport, relative_error, stream_diffusivity
    from ionsieve.transport.window import FitWindow, choose_window

_HOME = {
    "ArrheniusResult": "arrhenius",
    "fit_arrhenius": "arrhenius",
    "combine": "candidate",
    "estimate_candidate": "candidate",
    "fit_candidate": "candidate",
    "conductivity": "nernst_einstein",
    "haven_ratio": "nernst_einstein",
    "Diffusivity": "diffusion",
    "diffusivity": "diffusion",
    "judge": "diffusion",
    "LineFit": "gls",
    "fit_line": "gls",
    "HeZhuMo": "guards",
    "he_relative_error": "guards",
    "he_zhu_mo": "guards",
    "remove_breathing": "kernels.displacement",
    "remove_drift": "kernels.displacement",
    "unwrap": "kernels.displacement",
    "collective_msd": "kernels.msd",
    "msd": "kernels.msd",
    "msd_tensor": "kernels.msd",
    "windowed_moments": "kernels.msd",
    "Transport": "measuring",
    "measure": "measuring",
    "TransportSettings": "settings",
    "StreamedTransport": "streaming",
    "relative_error": "streaming",
    "stream_diffusivity": "streaming",
    "FitWindow": "window",
    "choose_window": "window",
}

__all__ = [
    "ArrheniusResult",
    "Diffusivity",
    "FitWindow",
    "HeZhuMo",
    "LineFit",
    "StreamedTransport",
    "Transport",
    "TransportSettings",
    "choose_window",
    "collective_msd",
    "combine",
    "conductivity",
    "diffusivity",
    "estimate_candidate",
    "fit_arrhenius",
    "fit_candidate",
    "fit_line",
    "haven_ratio",
    "he_relative_error",
    "he_zhu_mo",
    "judge",
    "measure",
    "msd",
    "msd_tensor",
    "remove_breathing",
    "remove_drift",
    "relative_error",
    "stream_diffusivity",
    "unwrap",
    "windowed_moments",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
