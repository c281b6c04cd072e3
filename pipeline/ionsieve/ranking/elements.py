"""What the elements cost and how hazardous they are, in coarse classes.

Coarse on purpose: the classes sort candidates, they do not price a batch or replace a safety data sheet.

Cost         class 1 below 1 $/kg, 2: 1-10, 3: 10-100, 4: 100-1000, 5: above 1000 $/kg, of the element's content in its
             usual traded raw material (salt, oxide or metal). Orders of magnitude compiled by the authors after the
             U.S. Geological Survey, Mineral Commodity Summaries; prices move: expect an error of one class.
Hazard       of elemental impurities by mouth, after the classes of ICH guideline Q3D(R2) (2022), table 4.1:
             0 other elements (low toxicity) - 1 class 3 - 2 class 2B - 3 class 2A - 4 class 1 (As, Cd, Hg, Pb). Be, Th
             and U are not in that table and are set to 4 here, the light non-metals, P, S, Cl and Si to 0.
             None: not assessed there.
Not said     the hazard of the compound: sulphides give off H2S with water, whatever their elements' class.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COST_SOURCE", "ELEMENTS", "HAZARD_SOURCE", "ElementClass", "dearest", "most_hazardous"]

COST_SOURCE = (
    "Coarse classes by decade of raw-material price, 1 (below 1 $/kg) to 5 (above 1000 $/kg), compiled by the authors "
    "after USGS Mineral Commodity Summaries; error one class."
)
HAZARD_SOURCE = (
    "Coarse classes after ICH Q3D(R2) (2022), table 4.1: 0 other elements, 1 class 3, 2 class 2B, 3 class 2A, "
    "4 class 1; Be, Th and U set to 4, light non-metals, P, S, Cl and Si to 0. "
    "Says nothing of the compound (for example H2S from sulphides)."
)


@dataclass(frozen=True)
class ElementClass:
    """Price class 1-5 and hazard class 0-4; None where not assessed."""

    cost: int | None
    hazard: int | None


_COST = {
    1: "H O N C Na K Ca Mg Al Si S Cl Fe P Ba",
    2: "Li Ti Mn Zn Pb F Br Cr Cu Zr B La Ce Sr As Cd",
    3: "Ni Co Sn Sb Mo W V Y Se Bi I Nb Hg Sm Er Gd Nd Pr",
    4: "Ag Te Ta Ge Ga In Be Dy Eu Tb Ho Yb Tm Hf Rb Tl U Th",
    5: "Au Pt Pd Rh Ir Ru Os Sc Cs Lu Re He Ne Ar Kr Xe",
}
_HAZARD = {
    4: "As Cd Hg Pb Be U Th",
    3: "Co Ni V",
    2: "Ag Au Ir Os Pd Pt Rh Ru Se Tl",
    1: "Ba Cr Cu Li Mo Sb Sn",
    0: "Al B Ca Fe K Mg Mn Na W Zn H O N C S P Cl Si",
}


def _build() -> dict[str, ElementClass]:
    cost = {symbol: level for level, symbols in _COST.items() for symbol in symbols.split()}
    hazard = {symbol: level for level, symbols in _HAZARD.items() for symbol in symbols.split()}
    return {symbol: ElementClass(cost.get(symbol), hazard.get(symbol)) for symbol in sorted({*cost, *hazard})}


ELEMENTS: dict[str, ElementClass] = _build()


def dearest(symbols: list[str] | tuple[str, ...]) -> tuple[int, str] | None:
    """Return the highest price class and its element, or None when no element is classified."""
    classed = [(c.cost, s) for s in sorted(symbols) if (c := ELEMENTS.get(s)) and c.cost is not None]
    return max(classed, key=lambda pair: pair[0], default=None)


def most_hazardous(symbols: list[str] | tuple[str, ...]) -> tuple[int, str] | None:
    """Return the highest hazard class and its element, or None when no element is classified."""
    classed = [(c.hazard, s) for s in sorted(symbols) if (c := ELEMENTS.get(s)) and c.hazard is not None]
    return max(classed, key=lambda pair: pair[0], default=None)
