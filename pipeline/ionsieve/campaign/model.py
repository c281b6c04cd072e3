"""The campaign: a name, a seed, and the settings of each room under the room's name."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from ionsieve.channels.settings import ChannelSettings
from ionsieve.dynamics.settings import DynamicsSettings, RelaxSettings
from ionsieve.generate.settings import GenerateSettings
from ionsieve.potentials.settings import PotentialSettings
from ionsieve.ranking.settings import RankingSettings
from ionsieve.records.base import Frozen
from ionsieve.transport.settings import TransportSettings

__all__ = ["Campaign", "FamilyPlan", "RunSettings", "SimulationPlan"]

Temperature_K = Annotated[float, Field(gt=0, le=5000, description="temperature in K")]


def _distinct(value: tuple[float, ...] | None) -> tuple[float, ...] | None:
    if value is not None and len(set(value)) != len(value):
        raise ValueError("a temperature is listed twice; use `replicas` for repeated runs")
    return value


class FamilyPlan(Frozen):
    """What differs for one family: its framework melts lower, or its ions hop more slowly."""

    temperatures_K: Annotated[tuple[Temperature_K, ...] | None, AfterValidator(_distinct)] = Field(
        None, min_length=1, description="temperatures in K"
    )
    replicas: int | None = Field(None, ge=1, description="independent runs a configuration and temperature")
    equilibrate_ps: float | None = Field(None, ge=0, description="length of the discarded start, ps")
    produce_ps: float | None = Field(None, gt=0, description="length of the measured segment, ps")


class SimulationPlan(Frozen):
    """Which runs each configuration gets. The dynamics themselves are set under ``dynamics``."""

    temperatures_K: Annotated[tuple[Temperature_K, ...], AfterValidator(_distinct)] = Field(
        (800.0, 1000.0, 1200.0, 1400.0), min_length=1, description="temperatures in K; four or more make a firm line"
    )
    replicas: int = Field(1, ge=1, description="independent runs a configuration and temperature")
    families: dict[str, FamilyPlan] = Field({}, description="overrides by family, for example antiperovskite")

    def temperatures_for(self, family: str) -> tuple[float, ...]:
        """Temperatures of a family, K, as written."""
        plan = self.families.get(family)
        return plan.temperatures_K if plan and plan.temperatures_K else self.temperatures_K

    def replicas_for(self, family: str) -> int:
        """Independent runs a configuration and temperature."""
        plan = self.families.get(family)
        return plan.replicas if plan and plan.replicas else self.replicas

    def dynamics_for(self, family: str, dynamics: DynamicsSettings) -> DynamicsSettings:
        """The campaign's dynamics with the family's lengths."""
        plan = self.families.get(family)
        update: dict[str, Any] = {}
        if plan and plan.equilibrate_ps is not None:
            update["equilibrate_ps"] = plan.equilibrate_ps
        if plan and plan.produce_ps is not None:
            update["produce_ps"] = plan.produce_ps
        return type(dynamics).model_validate({**dynamics.model_dump(), **update}) if update else dynamics


class RunSettings(Frozen):
    """When and where work is done; changes no number of a finished run."""

    policy: Literal["exhaustive", "funnel"] = Field(
        "exhaustive", description="exhaustive: every run of the plan; funnel: runs go to candidates that can still win"
    )
    relative_error: float = Field(0.2, gt=0, lt=2, description="funnel: stop a candidate when sigma is known this well")
    drop_probability: float = Field(
        0.02, ge=0, lt=1, description="funnel: drop a candidate when P(top k) falls below this"
    )
    budget_hours: float | None = Field(None, gt=0, description="device hours of MD after which no new run starts")
    slice_seconds: float = Field(
        600.0, gt=0, description="longest uninterrupted work; a killed process loses this much"
    )
    share: tuple[str, ...] = Field(
        (), description="folders of other campaigns whose results are reused where they agree"
    )
    deaths_before_quarantine: int = Field(3, ge=1, description="worker deaths after which a task is set aside")


class Campaign(Frozen):
    """A screening campaign, complete: the same campaign gives the same tables."""

    name: str = Field(
        "", max_length=80, description="letters, digits, dot, dash and underscore; names the results folder"
    )
    description: str = Field("", description="a sentence for the report")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of every random choice")
    generate: GenerateSettings
    potential: PotentialSettings = PotentialSettings()
    sieve: ChannelSettings = ChannelSettings()
    relax: RelaxSettings = RelaxSettings()
    dynamics: DynamicsSettings = DynamicsSettings()
    simulate: SimulationPlan = SimulationPlan()
    transport: TransportSettings = TransportSettings()
    ranking: RankingSettings = RankingSettings()
    run: RunSettings = RunSettings()

    @model_validator(mode="before")
    @classmethod
    def _one_target_temperature(cls, data: Any) -> Any:
        """The temperature of use is written once: what one room is told, the other takes over."""
        key = "target_temperature_K"
        if not isinstance(data, dict):
            return data
        told = {
            room: data[room][key]
            for room in ("transport", "ranking")
            if isinstance(data.get(room), dict) and key in data[room]
        }
        first, *others = told.values() or [None]
        if any(other != first for other in others):
            raise PydanticCustomError(
                "across_rooms",
                "the temperature of use is said twice and differs",
                {
                    "key": f"transport.{key}",
                    "found": " and ".join(f"{room} {value}" for room, value in told.items()),
                    "remedy": f"write it once, as ranking.{key}",
                },
            )
        if told:
            value = next(iter(told.values()))
            data = {**data, **{room: {**(data.get(room) or {}), key: value} for room in ("transport", "ranking")}}
        return data

    @model_validator(mode="after")
    def _npt_has_a_length(self) -> Self:
        if self.relax.cell_policy == "npt" and not self.dynamics.npt_ps > 0:
            raise PydanticCustomError(
                "across_rooms",
                "relax.cell_policy `npt` takes the mean cell of an NPT run, which has no length",
                {"key": "relax.cell_policy", "found": "dynamics.npt_ps: 0", "remedy": "set dynamics.npt_ps, e.g. 5"},
            )
        return self

    @model_validator(mode="after")
    def _families_make_a_frame(self) -> Self:
        for family, plan in self.simulate.families.items():
            if plan.produce_ps is not None and 1000.0 * plan.produce_ps < self.dynamics.frame_interval_fs:
                raise PydanticCustomError(
                    "across_rooms",
                    "the production of a family is shorter than a frame",
                    {
                        "key": f"simulate.families.{family}.produce_ps",
                        "found": f"{plan.produce_ps:g}",
                        "remedy": f"at least dynamics.frame_interval_fs: {self.dynamics.frame_interval_fs:g} fs",
                    },
                )
        return self

    @field_validator("name")
    @classmethod
    def _safe_name(cls, value: str) -> str:
        if value and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
            raise ValueError("use letters, digits, dot, dash and underscore only: the name becomes a folder")
        return value
