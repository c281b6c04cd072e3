"""What the potentials are told. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ionsieve.records.base import Frozen

__all__ = ["PairSettings", "PotentialSettings"]


class PairSettings(Frozen):
    """Parameters of the analytic potentials `pair-lj` and `pair-ionic`, which serve tests and drills."""

    epsilon_eV: float = Field(default=0.0104, gt=0, description="Well depth of Lennard-Jones, eV (argon).")
    sigma_A: float = Field(default=3.4, gt=0, description="Diameter of Lennard-Jones, Å (argon).")
    cutoff_A: float = Field(default=6.0, gt=0, description="Where energy, force and curvature reach zero, Å.")
    switch_A: float = Field(default=1.0, gt=0, description="Width of the switching region inside the cut-off, Å.")
    charge_scale: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="Share of the formal charges that `pair-ionic` carries; 0.7 is usual for rigid-ion glasses.",
    )
    hardness_A: float = Field(
        default=0.3, gt=0, description="Decay length rho of the Born-Mayer repulsion of `pair-ionic`, Å."
    )
    damping_per_A: float = Field(
        default=0.2, gt=0, description="Damping alpha of the shifted-force Coulomb sum of `pair-ionic`, 1/Å."
    )

    @model_validator(mode="after")
    def _switch_inside(self) -> PairSettings:
        if self.switch_A >= self.cutoff_A:
            raise ValueError(f"switch_A ({self.switch_A} Å) must be smaller than cutoff_A ({self.cutoff_A} Å)")
        return self


class PotentialSettings(Frozen):
    """Which potential, in which precision, where."""

    name: str = Field(
        default="chgnet-0.3.0",
        description="A name of `ionsieve models`, `mace` with a path, or `ase:module:factory` for any ASE calculator. "
        "CHGNet's weights come with its package: the default needs no download.",
    )
    path: str | None = Field(default=None, description="Model file, where the name is not one that ships or is cached.")
    committee: tuple[str, ...] = Field(
        default=(), description="Further model files of the same kind: mean prediction, and their force disagreement."
    )
    sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="Digest that the model file must have. Pinning it is the way to trust exactly one file.",
    )
    trust: bool = Field(
        default=False,
        description="Load a model file whose digest is not known. Loading a pickled model executes code in it.",
    )
    download: bool = Field(
        default=False,
        description="Fetch a MACE foundation model that is not in the cache. It still needs `sha256` or `trust`.",
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="`auto` takes the first CUDA device, else the CPU. Not `mps`: MD needs float64.",
    )
    dtype: Literal["float32", "float64"] = Field(
        default="float32",
        description="Precision of the network. float32 is what the models were trained in; relaxations and references "
        "may ask for float64.",
    )
    head: str | None = Field(default=None, description="Head of a multi-head MACE, or modality of a SevenNet.")
    skin_A: float = Field(
        default=0.5,
        ge=0,
        description="Verlet skin, Å: extra radius of the kept neighbour list. 0.5 lasts about 20 steps at 600 K.",
    )
    accelerate: Literal["auto", "on", "off"] = Field(
        default="auto", description="cuEquivariance kernels for MACE: `auto` uses them where installed, on CUDA."
    )
    fast: bool = Field(
        default=True,
        description="False evaluates one system at a time with the model's own ASE calculator: the plain path.",
    )
    pair: PairSettings = Field(default=PairSettings(), description="Parameters of `pair-lj` and `pair-ionic`.")
