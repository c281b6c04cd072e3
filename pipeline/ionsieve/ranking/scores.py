"""Fixed desirability scales: one number between 0 and 1 a property, the same in every campaign.

Definition   d = clip((x - worst) / (best - worst), 0, 1); conductivity on its decadic logarithm
Score        sum of w d over sum of w, over the properties that are known
Source       G. Derringer, R. Suich, J. Qual. Technol. 12 (1980) 214, with exponent one
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from ionsieve.ranking.settings import Weights

__all__ = ["SCALES", "desirability", "oriented", "score"]

#: (worst, best); conductivity in log10(S/cm). The same numbers stand in the descriptions of `Weights`.
SCALES: dict[str, tuple[float, float]] = {
    "conductivity": (-8.0, -2.0),
    "activation_energy": (0.8, 0.1),
    "bottleneck_radius": (0.2, 1.2),
    "energy_above_hull": (0.1, 0.0),
    "shear_modulus": (0.0, 20.0),
    "cost_class": (5.0, 1.0),
    "hazard_class": (4.0, 0.0),
}


def _on_scale(key: str, value: float) -> float:
    return math.log10(value) if key == "conductivity" else value


def desirability(key: str, value: float) -> float:
    """Return 0 (worst) to 1 (best) of a property in its own unit."""
    worst, best = SCALES[key]
    return min(1.0, max(0.0, (_on_scale(key, value) - worst) / (best - worst)))


def oriented(key: str, value: float) -> float:
    """Return the value on its scale with larger being better, unclipped, for Pareto fronts."""
    worst, best = SCALES[key]
    return _on_scale(key, value) * (1.0 if best > worst else -1.0)


def score(values: Mapping[str, float | None], weights: Weights) -> float | None:
    """Return the weighted mean desirability, or None when no weighted property is known."""
    total, weight_sum = 0.0, 0.0
    for key, weight in weights.model_dump().items():
        value = values.get(key)
        if weight and value is not None:
            total += weight * desirability(key, value)
            weight_sum += weight
    return total / weight_sum if weight_sum else None
