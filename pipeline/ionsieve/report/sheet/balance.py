"""Which precursors, and how much of each.

Definition   A x = b with x >= 0: A the amounts of the balanced elements in one formula of each precursor, b in one
             formula of the target; elements exchanged with the atmosphere are left out. Of all solutions the one of
             the smallest cost; an atom costs its precursor's place in the list of preference, so that the most usual
             precursors are taken wherever they suffice.
Masses       m_i = n x_i M_i (1 + excess_i) / purity_i with n = batch / M(target)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ionsieve.errors import BugError, InputError
from ionsieve.report.sheet.families import Family

__all__ = ["Batch", "Weighing", "balance", "weigh"]

#: Amounts per formula unit below this are rounding of the supercell's composition, not chemistry.
TINY = 1e-6


@dataclass(frozen=True)
class Weighing:
    """One precursor: moles per formula unit of the target, molar mass, and what to put on the balance."""

    precursor: str
    moles_per_formula: float
    molar_mass_g_per_mol: float
    stoichiometric_g: float
    excess_wt_percent: float
    purity_wt_percent: float
    weigh_g: float


@dataclass(frozen=True)
class Batch:
    """A balanced batch.

    Attributes
    ----------
    loss_g
        What leaves on firing when nothing is in excess: sum of the stoichiometric masses less the product.
    """

    formula: str
    molar_mass_g_per_mol: float
    product_g: float
    product_mol: float
    weighings: tuple[Weighing, ...]
    loss_g: float

    @property
    def total_g(self) -> float:
        """Everything on the balance, g."""
        return sum(w.weigh_g for w in self.weighings)


def balance(
    composition: Mapping[str, float], precursors: Sequence[str], *, exchanged: frozenset[str] = frozenset()
) -> dict[str, float]:
    """Return moles of each precursor per formula unit of the target.

    Parameters
    ----------
    composition
        Amounts per formula unit.
    precursors
        Formulas in order of preference.
    exchanged
        Elements that the atmosphere gives and takes.

    Raises
    ------
    InputError
        When the target cannot be made of them; the message names the elements that are missing.
    """
    from scipy.optimize import linprog

    target = {s: float(x) for s, x in composition.items() if x > TINY}
    contents = {p: _contents(p) for p in precursors}
    # only what the target holds may go into the mortar
    usable = [p for p in precursors if all(e in target or e in exchanged for e in contents[p])]
    carried = {e for p in usable for e in contents[p]}
    balanced = sorted(e for e in target if e not in exchanged)
    missing = [e for e in balanced if e not in carried]
    formula = "".join(f"{s}{x:.4g}" if x != 1 else s for s, x in target.items())
    if missing:
        raise InputError(
            f"{formula} cannot be made of these precursors: none brings {', '.join(missing)}",
            key="--precursor",
            found=", ".join(precursors),
            expected=f"a precursor with {' and one with '.join(missing)} and no element foreign to the target",
            remedy=f"add one with --precursor, for example {missing[0]} itself or its oxide, sulfide or halide",
        )
    A = np.array([[contents[p].get(e, 0.0) for p in usable] for e in balanced])
    b = np.array([target[e] for e in balanced])
    cost = A.sum(axis=0) * np.arange(1.0, len(usable) + 1.0)
    # a shortage, dear enough that it is used only where nothing else helps: it then names the element that is missing
    n = len(balanced)
    solved = linprog(
        np.concatenate([cost, np.full(n, 1e6)]),
        A_eq=np.hstack([A, np.eye(n)]),
        b_eq=b,
        bounds=(0, None),
        method="highs",
    )
    if solved.x is None:  # cannot be: all shortage is a solution
        raise BugError("the balance was not solved", cause=solved.message)
    short = solved.x[len(usable) :]
    tolerance = 2e-3 * float(b.sum())  # the supercell's rounding of the composition
    if short.sum() > tolerance:
        lacking = [e for e, s in zip(balanced, short, strict=True) if s > tolerance / n]
        raise InputError(
            f"{formula} cannot be balanced from these precursors: missing is {', '.join(lacking)}",
            found=", ".join(usable),
            cause="every precursor that brings it brings another element in the wrong ratio",
            remedy=f"add a precursor with {' or '.join(lacking)} in another combination, for example the element",
        )
    return {p: float(x) for p, x in zip(usable, solved.x[: len(usable)], strict=True) if x > TINY}


def _contents(formula: str) -> dict[str, float]:
    """Return the elements of a precursor and their amounts.

    Adducts are written with a dot, as on the bottle, or in parentheses: Na2CO3.10H2O, Na2CO3·10H2O, Na2CO3(H2O)10.

    Raises
    ------
    InputError
        When the text is no formula.
    """
    from pymatgen.core import Composition, Element

    found: dict[str, float] = {}
    try:
        for times, part in _adducts(formula):
            for e, a in Composition(part).items():
                found[str(e)] = found.get(str(e), 0.0) + times * float(a)
        known = found and all(Element.is_valid_symbol(symbol) for symbol in found)
    except ValueError:
        known = False
    if not known:
        raise InputError(
            f"{formula!r} is no chemical formula",
            key="--precursor",
            expected="a formula such as Na2CO3 or NH4H2PO4, with its water as in Na2CO3.10H2O or Na2CO3(H2O)10",
        )
    return found


#: The last full stop before water, or one before a capital, parts an adduct; any other is a decimal point.
_WATER = re.compile(r"(?P<salt>.*?[A-Za-z0-9)])\.(?P<times>\d*\.?\d*)H2O")


def _adducts(formula: str) -> list[tuple[float, str]]:
    """Return (multiple, formula) of the parts of an adduct; a formula without a dot is one part.

    A full stop may be a decimal point as well. Before water at the end it is not (MgCl2.6H2O), except after an element
    and 0 (Li0.5H2O); before any other number it is (Li1.3Al0.3Ti1.7(PO4)3).
    """
    text = re.sub(r"[·•⋅∙*]", "*", formula.replace(" ", ""))
    water = _WATER.fullmatch(text)
    if water and "*" not in water["times"] and not re.search(r"[A-Za-z)]0$", water["salt"]):
        text = f"{water['salt']}*{water['times']}H2O"
    parts = []
    for part in re.sub(r"\.(?=[A-Z(])", "*", text).split("*"):
        times, rest = re.fullmatch(r"(\d+\.?\d*|\.\d+)?(.*)", part).groups()  # type: ignore[union-attr]
        parts.append((float(times) if times else 1.0, rest))
    if not all(rest for _, rest in parts):
        raise ValueError(f"an empty part in {formula}")
    return parts


def _molar_mass(formula: str) -> float:
    from pymatgen.core import Composition

    return float(Composition(_contents(formula)).weight)


def weigh(
    composition: Mapping[str, float],
    formula: str,
    guidance: Family,
    *,
    batch_g: float,
    excess_wt_percent: Mapping[str, float] | None = None,
    purity_wt_percent: Mapping[str, float] | None = None,
    precursors: Sequence[str] = (),
) -> Batch:
    """Return the masses to weigh for `batch_g` grams of product.

    Raises
    ------
    InputError
        When the target cannot be balanced, or an excess or purity names a precursor that is not used.
    """
    from pymatgen.core import Composition

    excess = guidance.excess_wt_percent if excess_wt_percent is None else excess_wt_percent
    purity = purity_wt_percent or {}
    amounts = balance(composition, precursors or guidance.precursors, exchanged=guidance.exchanged)
    asked = {*(excess_wt_percent or {}), *purity}
    for name in sorted(asked - set(amounts)):
        raise InputError(
            f"{name} is not weighed for {formula}",
            key="--excess" if name in (excess_wt_percent or {}) else "--purity",
            found=name,
            expected=f"one of {', '.join(amounts)}",
            remedy="correct the name",
        )
    molar = float(Composition({s: x for s, x in composition.items() if x > TINY}).weight)
    moles = batch_g / molar
    rows = []
    for name, x in amounts.items():
        M = _molar_mass(name)
        stoichiometric = moles * x * M
        extra, pure = excess.get(name, 0.0), purity.get(name, 100.0)
        rows.append(
            Weighing(name, x, M, stoichiometric, extra, pure, stoichiometric * (1 + extra / 100) / (pure / 100))
        )
    return Batch(formula, molar, batch_g, moles, tuple(rows), sum(r.stoichiometric_g for r in rows) - batch_g)
