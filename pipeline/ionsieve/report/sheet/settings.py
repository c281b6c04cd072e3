"""What a synthesis sheet is told."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ionsieve.records.base import Frozen

__all__ = ["SheetSettings"]

Percent = Annotated[float, Field(gt=0, le=100)]
Excess = Annotated[float, Field(ge=0, le=100)]


class SheetSettings(Frozen):
    """Batch, purities, excesses, and the temperatures of the impedance measurement."""

    batch_g: float = Field(
        5.0, gt=0, le=1e5, description="mass of product to make, g; 5 g is a pellet series and an XRD mount"
    )
    excess_wt_percent: dict[str, Excess] | None = Field(
        None,
        description=(
            "excess of a precursor against loss on firing, per cent of its mass, for example {Na2CO3: 10}; "
            "the family's usual one when not given, {} for none"
        ),
    )
    purity_wt_percent: dict[str, Percent] = Field(
        {}, description="purity of your chemicals in per cent by mass, for example {Na2S: 98}; 100 when not named"
    )
    precursors: tuple[str, ...] = Field((), description="use these precursors only; the family's usual ones when empty")
    impedance_temperatures_C: tuple[float, ...] = Field(
        (25.0, 40.0, 60.0, 80.0, 100.0), description="temperatures of the impedance measurement, °C"
    )
    wavelength: str = Field(
        "CuKa", description="radiation of the diffractometer as pymatgen names it, for example MoKa"
    )
    two_theta_deg: tuple[float, float] = Field((10.0, 80.0), description="range of the pattern, degrees")
    minimum_intensity_percent: float = Field(
        2.0, gt=0, lt=100, description="weakest reflection in the table, per cent of the strongest"
    )
