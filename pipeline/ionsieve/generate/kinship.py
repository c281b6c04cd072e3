"""How far a formula may lie from a prototype and still be called by its name.

A formula is solved on a prototype by exchanging ions. Any formula can be reached that way from any prototype; what
comes out is the same structure type only while three things hold, each of which crystal chemists use to tell isotypes
from other structures:

1. *Sites stay distinct.* Sites of the framework that hold different ions in the prototype hold different ions in the
   formula (NaCl is no anti-perovskite: both anion sites would hold Cl), and no ion of the framework spills over onto
   the mobile sites (NaAlSiO4 is no NASICON: it has more Al than octahedra).
2. *The framework keeps its charge.* Σ n |q_new - q_old| over the exchanged ions is at most `MAX_CHARGE` of the charge
   of the prototype's anions. This is what the mobile ions have to make up for. Known solid solutions that keep their
   structure from end to end reach 17 % (Na3YCl6 to Na2ZrCl6), 13 % (NaZr2P3O12 to Na4Zr2Si3O12), 9 % (Li6PS5Cl to
   Li7PS6), 8 % (Li7La3Zr2O12 to Li5La3Ta2O12); NaTaCl6, which is another type than Na3YCl6, would need 33 %.
3. *Ions of like size.* An ion that takes over most of a site differs from its predecessor by at most `MAX_SIZE` in
   radius, which is one row of the periodic table (Li-Na 34 %, Na-K 35 %, O-S 31 %, Y-Al 41 %), unless the prototype
   lists it. A mobile ion of other charge (Mg2+ for Na+ empties half of the sites) is enough for one formula: the
   framework then stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ionsieve.generate.groups import GROUP_RADII_A, GROUPS
from ionsieve.generate.ions import radius_A
from ionsieve.generate.prototypes import Prototype
from ionsieve.generate.targets import Substitution, Target

__all__ = ["MAX_CHARGE", "MAX_SIZE", "exchange_cost", "ion_cost", "listed_pairs", "objection", "size_difference"]

#: Largest part of the framework's charge that may change.
MAX_CHARGE = 0.20
#: Largest relative radius difference of an ion that takes over a site.
MAX_SIZE = 0.45


def size_difference(new: str, new_charge: int, old: str, old_charge: int) -> float | None:
    """Return (r_new - r_old) / r_old for six neighbours, a bare proton as 0.1 Å; None when one is not tabulated."""
    a, b = (
        GROUP_RADII_A.get(species) if species in GROUPS else radius_A(species, charge, 6)
        for species, charge in ((new, new_charge), (old, old_charge))
    )
    return max(a, 0.1) / max(b, 0.1) - 1.0 if a and b else None


def _ion(species: str, charge: int) -> str:
    number = "" if abs(charge) == 1 else str(abs(charge))
    return f"{species}{' ' if species in GROUPS else ''}{number}{'+' if charge > 0 else '-'}"


def listed_pairs(prototype: Prototype) -> set[tuple[str, str]]:
    """(dopant, host) for every exchange that the prototype lists."""
    return {(d, h) for e in prototype.dopable for x in e.sites for h in prototype.site(x).occupancy for d in e.dopants}


def ion_cost(new: str, new_charge: int, old: str, old_charge: int, *, listed: bool) -> float:
    """Price of one exchange: least for ions of like size and equal charge that the prototype lists."""
    difference = size_difference(new, new_charge, old, old_charge)
    step = abs(new_charge - old_charge)
    unknown = 0.0 if listed else 1.0 if step else 0.3
    # the logarithm: Cl for Br costs what Br for Cl does
    return 0.3 + (0.3 if difference is None else abs(math.log1p(difference))) + 0.5 * step + unknown


def exchange_cost(base: Target, changes: Sequence[Substitution], charges: Mapping[str, int]) -> float:
    """Price of all exchanges: the charge they change, and each by the part of its kind of site that it takes over.

    So the formula unit's size does not count, and all S for Se is one step as all Zr for Hf is.
    """
    prototype = base.prototype
    own = prototype.composition
    listed = listed_pairs(prototype)
    size = {s: sum(own.get(x, 0.0) for x in group) for group in _classes(prototype) for s in group}
    size[prototype.mobile_ion] = min(size.values())  # an immobile ion there is as odd as one on the scarcest sites
    return 4.0 * _charge_part(base, changes, charges) + sum(
        c.amount
        / size[c.host]
        * ion_cost(c.dopant, charges[c.dopant], c.host, prototype.charges[c.host], listed=(c.dopant, c.host) in listed)
        for c in changes
    )


def objection(
    text: str, base: Target, changes: Sequence[Substitution], mobile_ion: str, charges: Mapping[str, int]
) -> str:
    """Say why the formula is no variant of the prototype; empty when it is one.

    Parameters
    ----------
    base
        The prototype's own target.
    changes
        Exchanges that make the formula of it, amounts a formula unit of the prototype.
    mobile_ion
        Of the formula.
    charges
        Of the formula's species.
    """
    return (
        _merged_sites(text, base, changes)
        or _changed_charge(text, base, changes, charges)
        or _unlike_sizes(base, changes, mobile_ion, charges)
    )


def _merged_sites(text: str, base: Target, changes: Sequence[Substitution]) -> str:
    prototype = base.prototype
    framework = {s for site in prototype.sites if not site.mobile for s in site.occupancy}
    for change in changes:
        if change.host != prototype.mobile_ion:
            continue
        on_framework = change.dopant in framework
        elsewhere = any(c.dopant == change.dopant and c.host != change.host for c in changes)
        if on_framework or elsewhere:
            return (
                f"{change.amount:.3g} {change.dopant} a formula unit of {prototype.formula} would be left over for the "
                f"sites of the mobile ion: the framework has no room for it"
            )
    holders: dict[str, str] = {}
    for group in _classes(prototype):
        amounts = dict.fromkeys(sorted(group), 0.0)
        for species in group:
            amounts[species] = sum(
                site.occupancy.get(species, 0.0) * prototype.per_formula_unit(site)
                for site in prototype.sites
                if not site.mobile
            )
        name = "/".join(sorted(group, key=lambda s: (-amounts[s], s)))
        for change in changes:
            if change.host in group:
                amounts[change.host] -= change.amount
                amounts[change.dopant] = amounts.get(change.dopant, 0.0) + change.amount
        main = max(amounts, key=lambda s: (round(amounts[s], 6), s))
        if main in holders:
            return (
                f"{main} would stand both on the {holders[main]} and on the {name} sites, which {prototype.formula} "
                f"tells apart: {text} is another structure type"
            )
        holders[main] = name
    return ""


def _classes(prototype: Prototype) -> list[set[str]]:
    """Species of the framework, those that share a site together."""
    classes: list[set[str]] = []
    for site in prototype.sites:
        if site.mobile or not site.occupancy:
            continue
        touching = [c for c in classes if c & set(site.occupancy)]
        classes = [c for c in classes if c not in touching]
        classes.append(set(site.occupancy).union(*touching))
    return classes


def _charge_part(base: Target, changes: Sequence[Substitution], charges: Mapping[str, int]) -> float:
    """Part of the charge of the prototype's anions that the exchanges change."""
    own, q = base.prototype.composition, base.prototype.charges
    anions = -sum(a * q[s] for s, a in own.items() if q[s] < 0)
    return sum(c.amount * abs(charges[c.dopant] - q[c.host]) for c in changes) / anions


def _changed_charge(text: str, base: Target, changes: Sequence[Substitution], charges: Mapping[str, int]) -> str:
    part = _charge_part(base, changes, charges)
    if part <= MAX_CHARGE:
        return ""
    q = base.prototype.charges
    largest = max(changes, key=lambda c: (c.amount * abs(charges[c.dopant] - q[c.host]), c.dopant))
    return (
        f"{text} exchanges {100 * part:.0f} % of the charge of its framework (most of it {largest.dopant} for "
        f"{largest.host}); up to {100 * MAX_CHARGE:.0f} % is doping, more is another compound"
    )


def _unlike_sizes(base: Target, changes: Sequence[Substitution], mobile_ion: str, charges: Mapping[str, int]) -> str:
    prototype = base.prototype
    listed = listed_pairs(prototype)
    own = prototype.composition
    taken = [
        (c.dopant, c.host)
        for c in changes
        if c.host != prototype.mobile_ion and c.amount > 0.5 * own[c.host] and (c.dopant, c.host) not in listed
    ]
    if mobile_ion != prototype.mobile_ion:
        z, old_z = charges[mobile_ion], prototype.mobile_charge
        whole = [c for c in changes if c.host != prototype.mobile_ion and c.amount > 0.5 * own[c.host]]
        if z != old_z and whole:
            return (
                f"{_ion(mobile_ion, z)} for {_ion(prototype.mobile_ion, old_z)} changes the number of mobile ions, and "
                f"{whole[0].dopant} would replace {whole[0].host} as well: too little of the prototype is left"
            )
        taken.append((mobile_ion, prototype.mobile_ion))
    for new, old in taken:
        difference = size_difference(new, charges[new], old, prototype.charges[old])
        if difference is not None and abs(difference) > MAX_SIZE:
            word = "larger" if difference > 0 else "smaller"
            return (
                f"{_ion(new, charges[new])} would take the place of {_ion(old, prototype.charges[old])} and is "
                f"{100 * abs(difference):.0f} % {word}; ions within {100 * MAX_SIZE:.0f} % keep the structure"
            )
    return ""
