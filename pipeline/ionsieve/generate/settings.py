"""Settings of `generate`: what to make, in which cells, ordered how, and what must hold of the result."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from ionsieve.records.base import Frozen

__all__ = [
    "CheckSettings",
    "CompensationSettings",
    "GenerateSettings",
    "GridSettings",
    "LevelRange",
    "Levels",
    "Mechanism",
    "OrderingSettings",
    "Recipe",
    "SupercellSettings",
]

Mechanism = Literal["auto", "vacancy", "interstitial", "codopant", "anion", "none"]
Row = tuple[int, int, int]


class LevelRange(Frozen):
    """Evenly spaced amounts, both ends included: ``{from: 0.1, to: 0.4, step: 0.1}``."""

    start: float = Field(alias="from", ge=0, description="first amount")
    stop: float = Field(alias="to", gt=0, description="last amount")
    step: float = Field(gt=0, description="distance between amounts")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.stop < self.start:
            raise ValueError(f"'to' ({self.stop:g}) lies below 'from' ({self.start:g})")
        steps = (self.stop - self.start) / self.step
        if abs(steps - round(steps)) > 1e-6:
            raise ValueError(
                f"steps of {self.step:g} from {self.start:g} do not reach {self.stop:g}: the last would be "
                f"{self.values()[-1]:g}; choose `to` or `step` so that they meet, or list the amounts"
            )
        return self

    def values(self) -> tuple[float, ...]:
        """The amounts, rounded to ten digits so that 0.1 + 0.2 is 0.3."""
        count = int((self.stop - self.start) / self.step + 1e-6) + 1
        return tuple(round(self.start + i * self.step, 10) for i in range(count))


def _levels(value: Any) -> Any:
    """One amount, a list or a range, as a tuple of amounts."""
    if isinstance(value, Mapping):
        missing = [k for k in ("from", "to", "step") if k not in value]
        if missing:
            raise ValueError(f"a range needs from, to and step; {' and '.join(missing)} missing")
        return LevelRange.model_validate(dict(value)).values()
    amounts = value if isinstance(value, list | tuple) else (value,)
    if not amounts or any(isinstance(x, bool) or not isinstance(x, int | float) for x in amounts):
        raise ValueError("write one amount, a list of amounts, or a range {from: 0.1, to: 0.4, step: 0.1}")
    if any(not 0 <= x <= 100 for x in amounts):
        raise ValueError("an amount lies between 0 and 100 atoms a formula unit")
    return tuple(float(x) for x in amounts)


def _mechanism(value: Any) -> Any:
    return {"mechanism": value} if isinstance(value, str) else value


def _matrix(value: Any) -> Any:
    """Three repeats or three rows, as rows."""
    if value is None:
        return None
    rows = list(value) if isinstance(value, list | tuple) else []
    if len(rows) == 3 and all(isinstance(x, int) and not isinstance(x, bool) for x in rows):
        return tuple(tuple(x if i == j else 0 for j in range(3)) for i, x in enumerate(rows))
    if len(rows) == 3 and all(isinstance(r, list | tuple) and len(r) == 3 for r in rows):
        return tuple(tuple(r) for r in rows)
    raise ValueError("write three repeats, [2, 2, 1], or three rows of three integers")


Levels = Annotated[tuple[float, ...], BeforeValidator(_levels)]


class CompensationSettings(Frozen):
    """What keeps the cell neutral.

    `vacancy` removes mobile ions, `interstitial` puts mobile ions on empty sites, `codopant` and `anion` put `dopant`
    on `site` in the amount that balances, `none` changes nothing. `auto` takes vacancies when the substitution adds
    positive charge and mobile ions on empty sites when it removes some; an isovalent substitution needs nothing.
    """

    mechanism: Mechanism = Field("auto", description="how charge is balanced")
    site: str | None = Field(None, description="codopant, anion: element or site label that is replaced")
    dopant: str | None = Field(None, description="codopant, anion: what is put there")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        named = self.site is not None and self.dopant is not None
        if self.mechanism in ("codopant", "anion") and not named:
            raise ValueError(f"mechanism {self.mechanism!r} needs `site` and `dopant`, for example site: P, dopant: Si")
        if self.mechanism not in ("codopant", "anion") and (self.site or self.dopant):
            raise ValueError(f"`site` and `dopant` belong to codopant and anion, not to {self.mechanism!r}")
        return self


Compensation = Annotated[CompensationSettings, BeforeValidator(_mechanism)]


class SupercellSettings(Frozen):
    """Which supercell realises a composition.

    The smallest cell is taken that meets the tolerance and the image distance; of its shapes a multiple of the
    conventional cell first, else the one with the largest image distance.
    """

    min_image_A: float = Field(
        10.0, gt=0, le=40, description="shortest distance between an atom and its periodic image, Å"
    )
    max_atoms: int = Field(500, ge=4, le=20000, description="largest number of atoms in a cell")
    min_mobile_ions: int = Field(
        8,
        ge=1,
        description="fewest mobile ions in a cell that is searched: fewer give no statistics of their motion; an "
        "explicit `matrix` needs one",
    )
    composition_tolerance: float = Field(
        0.02, ge=0, lt=1, description="largest relative deviation of any element's amount from its target"
    )
    matrix: Annotated[tuple[Row, Row, Row] | None, BeforeValidator(_matrix)] = Field(
        None, description="explicit supercell: three repeats or an integer matrix (rows); overrides the search"
    )
    of: Literal["conventional", "primitive"] = Field("conventional", description="the cell that `matrix` multiplies")

    @model_validator(mode="after")
    def _not_singular(self) -> Self:
        if self.matrix is None:
            return self
        a, b, c = self.matrix
        det = (
            a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])
        )
        if det <= 0:
            raise ValueError(f"the supercell matrix has determinant {det}; it must be positive")
        return self


class OrderingSettings(Frozen):
    """How ions and vacancies are distributed over the sites.

    One Ewald-lowest ordering is not "the" structure: several configurations a candidate make the spread between
    orderings part of the error (Deng et al., Nat. Commun. 13 (2022) 4470).
    """

    method: Literal["ewald", "thermal", "random", "sqs"] = Field(
        "ewald", description="lowest electrostatic energy, Boltzmann sample of it, random, or special quasi-random"
    )
    n_configurations: int = Field(3, ge=1, le=200, description="configurations a candidate, distinct by symmetry")
    chains: int = Field(512, ge=1, le=4096, description="annealing chains, each with its own start")
    sweeps: int = Field(150, ge=1, le=100000, description="swap attempts a site and chain; at least 6000 in all")
    restarts: int = Field(
        2, ge=1, le=100, description="rounds of chains at most; they end when the lowest energy was met twice"
    )
    start_eV: float = Field(1.0, gt=0, description="first annealing temperature, kT in eV")
    end_eV: float = Field(0.05, gt=0, description="last annealing temperature, kT in eV")
    temperature_K: float = Field(1000.0, gt=0, description="thermal: temperature of the sample, K")
    relative_permittivity: float = Field(
        10.0, ge=1, description="thermal: screening of the formal charges; 10 is typical of oxides and sulfides"
    )
    enumerate_below: int = Field(
        20000, ge=0, description="orderings are enumerated exactly when there are at most this many"
    )
    sqs_cutoff_A: float = Field(6.0, gt=0, description="sqs: pair distance up to which correlations are matched, Å")
    sqs_steps: int = Field(5000, ge=10, description="sqs: Monte Carlo steps")
    seed: int | None = Field(None, ge=0, description="overrides the campaign's seed for the orderings")

    @model_validator(mode="after")
    def _cooling(self) -> Self:
        if self.end_eV > self.start_eV:
            raise ValueError("end_eV must not exceed start_eV: annealing cools")
        return self


class CheckSettings(Frozen):
    """Bounds of the checks on what comes out; a failed geometry check ends the candidate, the others set a flag."""

    min_distance_fraction: float = Field(
        0.62, gt=0, lt=1.2, description="shortest cation-anion distance over the sum of the ionic radii"
    )
    min_like_charge_A: float = Field(
        1.6, gt=0, description="shortest distance of two cations or two anions in different polyanions, Å"
    )
    max_gii: float = Field(0.35, gt=0, description="global instability index above which a flag is set, v.u.")
    max_gii_above_prototype: float = Field(
        0.1, ge=0, description="and by which it must exceed that of the prototype's average structure, v.u."
    )
    max_radius_mismatch: float = Field(0.30, gt=0, description="relative radius difference above which a flag is set")
    tolerance_factor: tuple[float, float] = Field(
        (0.75, 1.05), description="Goldschmidt factor of anti-perovskites outside which a flag is set"
    )
    max_density_change: float = Field(0.6, gt=0, description="relative density change against the prototype")


class GridSettings(Frozen):
    """Every dopant of a list on every allowed site at every level, one dopant a candidate."""

    prototypes: tuple[str, ...] = Field((), description="names of prototypes")
    families: tuple[str, ...] = Field((), description="families, for example nasicon; all their prototypes")
    sites: tuple[str, ...] = Field((), description="elements or site labels; empty means every dopable site")
    dopants: tuple[str, ...] = Field((), description="elements or groups; empty means all that the prototype lists")
    levels: Levels = Field(description="amounts a formula unit (or fractions of the site, see levels_are)")
    levels_are: Literal["per_formula_unit", "site_fraction"] = Field(
        "per_formula_unit",
        description="unit of the levels; a fraction compares prototypes with different formula units",
    )
    exclude: tuple[str, ...] = Field((), description="dopants left out")
    max_radius_mismatch: float | None = Field(
        None,
        gt=0,
        description="dopants that differ more in radius are left out; default 0.3 for those the prototype does not "
        "list, since the listed ones are known to go in",
    )
    unlisted: bool = Field(False, description="also dopants that the prototype does not list for the site")
    include_undoped: bool = Field(True, description="also every prototype without dopant, as the reference")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.prototypes and not self.families:
            raise ValueError("a grid needs `prototypes` or `families`")
        return self


class Recipe(Frozen):
    """One way to ask for candidates: `formula`, `prototype` with `substitute`, `prototype` alone, or `grid`."""

    formula: str | None = Field(None, description="composition, for example Na3.4Sc0.4Zr1.6Si2PO12")
    prototype: str | None = Field(None, description="name of a prototype, or path of your own YAML")
    substitute: dict[str, dict[str, Levels]] | None = Field(
        None, description="host element or site label -> dopant -> amounts a formula unit; all combinations are made"
    )
    grid: GridSettings | None = Field(None, description="every dopant on every allowed site at every level")
    compensation: Compensation | None = Field(None, description="overrides the campaign's")
    supercell: SupercellSettings | None = Field(None, description="what differs from the campaign's")
    oxidation_states: dict[str, int] = Field({}, description="charges of dopants where the usual one is not meant")

    @field_validator("formula")
    @classmethod
    def _formula_text(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9().\[\] ]+", value):
            raise ValueError(f"{value!r} is no formula; write it like Na3.4Sc0.4Zr1.6Si2PO12")
        return value

    @model_validator(mode="before")
    @classmethod
    def _one_string_is_a_formula(cls, data: Any) -> Any:
        return {"formula": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.grid is not None:
            if self.formula or self.prototype or self.substitute:
                raise ValueError("`grid` stands alone: name the prototypes inside it")
        elif self.formula is not None:
            if self.substitute:
                raise ValueError("`formula` already says what is substituted; leave `substitute` out")
            if self.compensation is not None:
                raise ValueError("`formula` is taken as written, neutral or not; leave `compensation` out")
        elif self.prototype is None:
            raise ValueError("a recipe needs one of `formula`, `prototype` or `grid`")
        return self


class GenerateSettings(Frozen):
    """What a campaign generates."""

    recipes: tuple[Recipe, ...] = Field(min_length=1, description="what to make; see the guide for the four forms")
    library: tuple[str, ...] = Field(
        (), description="folders with your own prototypes, searched before the shipped ones"
    )
    compensation: Compensation = Field(CompensationSettings(), description="how charge is balanced")
    supercell: SupercellSettings = Field(SupercellSettings(), description="choice of the supercell")
    cell_scaling: Literal["bonds", "none"] = Field(
        "bonds", description="scale the prototype's cell to the doping by its bond lengths (Vegard), or leave it"
    )
    ordering: OrderingSettings = Field(OrderingSettings(), description="distribution of the ions over the sites")
    checks: CheckSettings = Field(CheckSettings(), description="bounds of the checks on the structures")

    def compensation_of(self, recipe: Recipe) -> CompensationSettings:
        """The recipe's compensation, or the campaign's."""
        return recipe.compensation if recipe.compensation is not None else self.compensation

    def supercell_of(self, recipe: Recipe) -> SupercellSettings:
        """The recipe's supercell settings, or the campaign's."""
        return recipe.supercell if recipe.supercell is not None else self.supercell

    @model_validator(mode="after")
    def _recipes_are_whole(self) -> Self:
        """Fill what a recipe leaves unsaid of its supercell from the campaign, once and for all.

        Which fields were stated is known while the file is read and lost when the campaign is frozen: resolved later, a
        campaign read back from its folder would ask for other cells.
        """
        whole = tuple(
            recipe
            if recipe.supercell is None
            else recipe.model_copy(update={"supercell": self.supercell.model_copy(update=_stated(recipe.supercell))})
            for recipe in self.recipes
        )
        object.__setattr__(self, "recipes", whole)
        return self


def _stated(settings: SupercellSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.model_fields_set}
