"""Charge numbers of a structure's species: given, carried by the structure, or guessed, in that order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ionsieve.channels.rows import Rows
from ionsieve.errors import InputError

__all__ = ["OxidationStates", "guess_charges", "mobile_charge", "site_charges"]

#: by element, or one per site
OxidationStates = Mapping[str, float] | Sequence[float]

#: oxidation states taken when none are given; anions first, the rest balances
_COMMON = {
    "O": -2, "S": -2, "Se": -2, "Te": -2, "F": -1, "Cl": -1, "Br": -1, "I": -1, "N": -3, "H": 1,
    "Li": 1, "Na": 1, "K": 1, "Rb": 1, "Cs": 1, "Ag": 1, "Mg": 2, "Ca": 2, "Sr": 2, "Ba": 2, "Zn": 2, "Cd": 2,
    "Al": 3, "Ga": 3, "In": 3, "Sc": 3, "Y": 3, "La": 3, "B": 3, "Si": 4, "Ge": 4, "Sn": 4, "Ti": 4, "Zr": 4, "Hf": 4,
    "P": 5, "As": 5, "Sb": 5, "Nb": 5, "Ta": 5, "V": 5, "W": 6, "Mo": 6, "C": 4,
}  # fmt: skip


def guess_charges(amounts: Mapping[str, float]) -> dict[str, float]:
    """Return an oxidation state per element: the common ones, the one variable cation balancing the cell.

    Parameters
    ----------
    amounts
        Atoms of each element in the cell.

    Raises
    ------
    InputError
        When the common states do not balance within 0.5 per cell and no element can take up the difference.
    """
    states = {e: float(_COMMON[e]) for e in amounts if e in _COMMON}
    unknown = [e for e in amounts if e not in _COMMON]
    if "B" in amounts and amounts.get("H", 0) >= 4 * amounts["B"] - 1e-6:
        states["H"] = -1.0
    if len(unknown) <= 1:
        rest = -sum(amounts[e] * z for e, z in states.items())
        if unknown:
            states[unknown[0]] = rest / amounts[unknown[0]]
            if states[unknown[0]] > 0:
                return states
        elif abs(rest) < 0.5:
            return states
    from pymatgen.core import Composition

    guesses = Composition(dict(amounts)).oxi_state_guesses(max_sites=-50)
    if guesses:
        return {str(e): float(z) for e, z in guesses[0].items()}
    raise InputError(
        "the oxidation states cannot be guessed",
        key="oxidation_states",
        found=", ".join(f"{e} {n:g}" for e, n in amounts.items()),
        cause="the common states do not add up to a neutral cell",
        remedy='give them: --charges Na=1,P=5,S=-2, or oxidation_states={"Na": 1, "P": 5, "S": -2}',
    )


def site_charges(rows: Rows, given: OxidationStates | None) -> list[dict[str, float]]:
    """Charge of every species on every site: given by site, given by element, carried, guessed, in that order."""
    if given is not None and not isinstance(given, Mapping):
        if len(given) == len(rows.species):
            return [dict.fromkeys(s, float(z)) for s, z in zip(rows.species, given, strict=True)]
        if len(given):
            raise InputError(f"{len(given)} oxidation states for {len(rows.species)} sites", key="oxidation_states")
        given = None
    table: dict[str, float] = {str(k): float(v) for k, v in (given or {}).items()}
    missing = any(z is None and e not in table for site in rows.charges for e, z in site.items())
    if missing:
        amounts: dict[str, float] = {}
        for site in rows.species:
            for e, a in site.items():
                amounts[e] = amounts.get(e, 0.0) + a
        guessed = guess_charges(amounts)
        table = {**guessed, **table}
    out = []
    for states in rows.charges:
        charges: dict[str, float] = {}
        for e, z in states.items():
            charges[e] = (
                table[e] if e in table and (z is None or given is not None) else float(z if z is not None else 0.0)
            )
        out.append(charges)
    return out


def mobile_charge(
    rows: Rows,
    charges: list[dict[str, float]],
    is_mobile: NDArray[np.bool_],
    mobile: str,
    given: OxidationStates | None,
) -> float:
    """Charge number of the mobile ion."""
    if isinstance(given, Mapping) and mobile in given:
        return float(given[mobile])
    if np.any(is_mobile):
        return charges[int(np.flatnonzero(is_mobile)[0])][mobile]
    if mobile in _COMMON:
        return float(_COMMON[mobile])
    raise InputError(f"the charge of {mobile} is unknown", key="oxidation_states", remedy=f'give {{"{mobile}": ...}}')
