"""The one register of measured and computed quantities.

Record fields, CSV headers, JSON schema, tooltips, axis labels and the glossary read this table, so a quantity has one key,
one symbol, one unit and one meaning everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ionsieve.errors import InputError, nearest

__all__ = ["QUANTITIES", "Quantity", "quantity"]


@dataclass(frozen=True)
class Quantity:
    """One quantity.

    Parameters
    ----------
    key
        Name in records and headers; with `unit` appended as `column`.
    symbol
        As printed in formulas, for example ``D*``.
    unit
        Unit as printed; empty for a pure number.
    meaning
        One sentence for a tooltip and the glossary.
    good
        Which direction a screening prefers.
    digits
        Significant digits shown.
    scale
        Axis scale on which the quantity is read.
    """

    key: str
    symbol: str
    unit: str
    meaning: str
    good: Literal["high", "low", "neither"] = "neither"
    digits: int = 3
    scale: Literal["linear", "log"] = "linear"

    @property
    def label(self) -> str:
        """Axis label: symbol and unit."""
        return f"{self.symbol} ({self.unit})" if self.unit else self.symbol


_ALL = (
    Quantity("temperature", "T", "K", "Temperature of the simulation or of use."),
    Quantity(
        "tracer_diffusivity",
        "D*",
        "cm²/s",
        "Tracer (self) diffusivity of the mobile ion: slope of the mean-squared displacement over 2d.",
        "high",
        2,
        "log",
    ),
    Quantity(
        "charge_diffusivity",
        "Dσ",
        "cm²/s",
        "Charge (collective) diffusivity: slope of the mean-squared summed displacement of charge over 2d Σz².",
        "high",
        2,
        "log",
    ),
    Quantity(
        "conductivity",
        "σ",
        "S/cm",
        "Ionic conductivity from the tracer diffusivity by Nernst-Einstein: N z² e² D* / (V k T).",
        "high",
        2,
        "log",
    ),
    Quantity(
        "charge_conductivity",
        "σ_c",
        "S/cm",
        "Ionic conductivity from the charge diffusivity, correlations between ions included.",
        "high",
        2,
        "log",
    ),
    Quantity(
        "inverse_haven_ratio",
        "1/H_R",
        "",
        "Charge over tracer diffusivity: above one when ions move together.",
        "neither",
        2,
    ),
    Quantity("haven_ratio", "H_R", "", "Tracer over charge diffusivity.", "neither", 2),
    Quantity(
        "activation_energy", "Ea", "eV", "Activation energy: slope of ln D (equally of ln σT) against -1/kT.", "low", 3
    ),
    Quantity("log10_prefactor", "log10 D0", "cm²/s", "Decadic logarithm of the Arrhenius prefactor of D."),
    Quantity("msd", "MSD", "Å²", "Mean-squared displacement of the mobile ion in the frame of the framework."),
    Quantity("hops", "N_hop", "", "Jumps of mobile ions between sites seen in production.", "high", 3),
    Quantity(
        "n_eff",
        "N_eff",
        "",
        "Effective number of jumps: 2d N D* t / a², t the length of the run, a the jump length.",
        "high",
        3,
    ),
    Quantity(
        "bottleneck_radius",
        "r_b",
        "Å",
        "Radius of the largest sphere that passes the bottleneck between the surfaces of the framework ions.",
        "high",
        3,
    ),
    Quantity("bottleneck_area", "A_b", "Å²", "Area of the polygon of anion centres around the bottleneck.", "high", 3),
    Quantity(
        "free_sphere_diameter",
        "D_f",
        "Å",
        "Diameter of the largest sphere that can travel through the framework.",
        "high",
        3,
    ),
    Quantity(
        "included_sphere_diameter",
        "D_i",
        "Å",
        "Diameter of the largest sphere that fits into the framework.",
        "neither",
        3,
    ),
    Quantity("energy_per_atom", "E", "eV/atom", "Potential energy per atom.", "low", 4),
    Quantity("volume_change", "ΔV/V", "%", "Volume of the relaxed cell against the starting cell.", "neither", 2),
    Quantity("mean_temperature", "⟨T⟩", "K", "Mean kinetic temperature of production.", "neither", 4),
    Quantity(
        "energy_above_hull",
        "E_hull",
        "eV/atom",
        "Energy above the competing phases computed with the same potential.",
        "low",
        3,
    ),
    Quantity("bulk_modulus", "K", "GPa", "Bulk modulus.", "neither", 3),
    Quantity("shear_modulus", "G", "GPa", "Shear modulus.", "high", 3),
    Quantity(
        "probability_top_k",
        "P(top k)",
        "",
        "Posterior probability that the candidate is among the k best conductors of the campaign.",
        "high",
        2,
    ),
    Quantity(
        "probability_target",
        "P(σ>target)",
        "",
        "Posterior probability that the conductivity exceeds the target.",
        "high",
        2,
    ),
    Quantity("expected_rank", "rank", "", "Expected rank under the posterior, 1 is best.", "low", 2),
)

QUANTITIES: dict[str, Quantity] = {q.key: q for q in _ALL}


def quantity(key: str) -> Quantity:
    """Return the quantity of that key.

    Raises
    ------
    InputError
        When no quantity has the key.
    """
    try:
        return QUANTITIES[key]
    except KeyError:
        close = nearest(key, QUANTITIES)
        raise InputError(
            f"unknown quantity {key!r}",
            remedy=f"did you mean {close!r}?" if close else f"known: {', '.join(QUANTITIES)}",
        ) from None
