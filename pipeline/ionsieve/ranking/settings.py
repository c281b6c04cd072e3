"""What the ranking is told. Changing any of it computes no molecular dynamics again."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ionsieve.records.base import Frozen

__all__ = ["COMPUTED", "OBJECTIVES", "HardLimit", "Objective", "RankingSettings", "Weights"]

Objective = Literal[
    "conductivity",
    "activation_energy",
    "bottleneck_radius",
    "energy_above_hull",
    "shear_modulus",
    "cost_class",
    "hazard_class",
]
OBJECTIVES: tuple[Objective, ...] = (
    "conductivity",
    "activation_energy",
    "bottleneck_radius",
    "energy_above_hull",
    "shear_modulus",
    "cost_class",
    "hazard_class",
)
#: Numbers that are computed beside the objectives, where the campaign or a later command makes them.
COMPUTED: tuple[str, ...] = (
    "bulk_modulus",
    "shear_modulus_error",
    "shear_over_guide",
    "linear_expansion_per_K",
    "linear_expansion_error_per_K",
)


class Weights(Frozen):
    """How much each property counts in the score; relative, their sum does not matter.

    The default counts conductivity alone: then the order is that of the expected rank, and no opinion of ours enters.
    """

    conductivity: float = Field(
        1.0, ge=0, description="log10 of sigma at the temperature of use; 1e-8 S/cm is 0, 1e-2 is 1"
    )
    activation_energy: float = Field(0.0, ge=0, description="Ea; 0.8 eV is 0, 0.1 eV is 1")
    bottleneck_radius: float = Field(0.0, ge=0, description="free radius of the bottleneck; 0.2 A is 0, 1.2 A is 1")
    energy_above_hull: float = Field(0.0, ge=0, description="energy above competing phases; 0.1 eV/atom is 0, 0 is 1")
    shear_modulus: float = Field(0.0, ge=0, description="shear modulus; 0 GPa is 0, 20 GPa is 1")
    cost_class: float = Field(0.0, ge=0, description="dearest element's price class; 5 is 0, 1 is 1")
    hazard_class: float = Field(0.0, ge=0, description="most hazardous element's class; 4 is 0, 0 is 1")

    @model_validator(mode="after")
    def _something_counts(self) -> Self:
        if not any(self.model_dump().values()):
            raise ValueError("at least one weight must be above zero")
        return self

    @property
    def conductivity_alone(self) -> bool:
        """Whether nothing but conductivity counts."""
        return not any(value for key, value in self.model_dump().items() if key != "conductivity")


class HardLimit(Frozen):
    """A candidate outside is not ranked but listed as excluded, with this limit as the reason.

    For an uncertain property the central value decides; an upper limit below the minimum excludes as well.
    """

    column: str = Field(description="an objective, for example activation_energy, or the name of an imported column")
    minimum: float | None = Field(None, description="in the column's own unit")
    maximum: float | None = Field(None, description="in the column's own unit")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.minimum is None and self.maximum is None:
            raise ValueError("a hard limit needs a minimum or a maximum")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("the minimum lies above the maximum")
        return self


class RankingSettings(Frozen):
    """What is ranked, at which temperature, and what counts."""

    target_temperature_K: float = Field(300.0, gt=0, le=2000, description="temperature of use, K")
    targets_S_per_cm: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (1e-4, 1e-3),
        description="conductivities worth exceeding, S/cm: 1e-4 makes a thin separator, 1e-3 a cathode composite",
    )
    top_k: int = Field(5, ge=1, description="how many candidates a laboratory would make first")
    weights: Weights = Field(Weights(), description="what counts beside conductivity")
    hard_limits: tuple[HardLimit, ...] = Field((), description="what excludes a candidate")
    pareto: tuple[Objective, ...] = Field(
        OBJECTIVES, description="objectives of the Pareto fronts; those not known for every candidate are left out"
    )
    shared_model_error_decades: float = Field(
        0.5,
        ge=0,
        le=3,
        description="standard deviation, in decades of sigma, of what is wrong with the potential for all alike; "
        "enters the probability of reaching a target, never the order. Half a decade is the agreement with pellets "
        "that universal potentials reach at best",
    )
    own_model_error_decades: float = Field(
        0.0, ge=0, le=3, description="the same for each candidate on its own; widens ranks and P(top k) too"
    )
    limit_decades: float = Field(
        6.0,
        gt=0,
        le=20,
        description="a candidate with an upper limit only may lie anywhere in this many decades below it, each decade "
        "equally likely; the conductors of the literature table span six decades at room temperature",
    )
    columns_csv: str | None = Field(
        None,
        description="CSV with a candidate_id or formula column and further columns of your own (band gap, moisture ...)"
        ", shown as imported and usable in hard limits",
    )
    samples: int = Field(20_000, ge=1000, le=1_000_000, description="posterior samples; 20 000 fix P to 0.004")
    seed: int = Field(0, ge=0, description="of the samples")
