"""From a formula to substitutions on a prototype."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linprog

from ionsieve.errors import InputError
from ionsieve.generate.compensation import add_mobile, known_sites, room_for_mobile
from ionsieve.generate.formula import flatten, group_hint, parse_formula
from ionsieve.generate.groups import GROUPS
from ionsieve.generate.ions import COMMON_CHARGES, MOBILE_IONS
from ionsieve.generate.kinship import exchange_cost, ion_cost, listed_pairs, objection
from ionsieve.generate.prototypes import Prototype, load, names
from ionsieve.generate.targets import (
    MOBILE,
    Substitution,
    Target,
    base_target,
    charge_of,
    places_of,
    sites_of_host,
    substitute,
)

__all__ = ["NoPrototype", "solve_formula"]

#: Amounts that differ by less than this part are taken as printed roundings.
ROUNDING = 0.004


class NoPrototype(Exception):  # noqa: N818 - a finding: expand turns it into a refused candidate
    """The formula fits no prototype; the message says why."""


@dataclass(frozen=True)
class _Solution:
    """One prototype with the changes that make the formula of it.

    Attributes
    ----------
    cost
        Of the changes, see `kinship.exchange_cost`: comparable between prototypes.
    objection
        Why a chemist would not call the result this prototype any more; empty when he would.
    possible
        Whether the mobile ions fit on the sites at all.
    stated
        The formula as written, a formula unit of the prototype.
    """

    cost: float
    prototype: Prototype
    changes: tuple[Substitution, ...]
    mobile_ion: str
    mobile_amount: float
    objection: str
    possible: bool
    stated: dict[str, float]


def solve_formula(
    text: str, prototype: str | None, library: Sequence[str | Path] = (), overrides: Mapping[str, int] | None = None
) -> Target:
    """Return the target that realises a formula on the named prototype, or on the one that needs the least change.

    Raises
    ------
    NoPrototype
        When the formula fits none.
    InputError
        For text that is no formula, or an unknown prototype.
    """
    overrides = overrides or {}
    parse_formula(text)
    choices = [prototype] if prototype else names(library)
    solutions, reasons = [], []
    for name in choices:
        try:
            solutions.append(_solve_on(text, load(name, library), overrides))
        except NoPrototype as error:
            reasons.append(str(error))
    if not solutions:
        if prototype:
            raise NoPrototype(reasons[0])
        raise NoPrototype(
            f"{text} fits none of the {len(choices)} prototypes of the library: their sites cannot hold these elements "
            "in these amounts; add your own prototype (CIF and YAML), or name the nearest one to see where it fails"
            + group_hint(text)
        )
    solutions.sort(
        key=lambda s: (round(s.cost, 6), -len(s.prototype.rotations), len(s.prototype.name), s.prototype.name)
    )
    nearest = solutions[0]
    best = nearest if prototype else next((s for s in solutions if not s.objection), None)
    if prototype and not nearest.possible:
        raise NoPrototype(nearest.objection)
    if best is None:
        name = nearest.prototype.name
        again = f", or name this one (prototype: {name}) to have it made all the same" if nearest.possible else ""
        raise NoPrototype(
            f"{text} fits none of the {len(choices)} prototypes of the library. The nearest is {name}, but "
            f"{nearest.objection}. Add your own prototype (CIF and YAML){again}{group_hint(text)}"
        )
    target = _target_of(text, best, overrides)
    if prototype:
        if best.objection:
            target.notes.append(f"far from its prototype: {best.objection}")
    else:
        others = [
            s.prototype.name for s in solutions if s is not best and not s.objection and s.cost < best.cost + 0.02
        ]
        target.notes.append(
            f"prototype found automatically: {best.prototype.name}"
            + (f"; also possible: {', '.join(others)}" if others else "")
        )
    return target


def _solve_on(text: str, prototype: Prototype, overrides: Mapping[str, int]) -> _Solution:
    groups = [s for s in prototype.charges if s in GROUPS]
    wanted = parse_formula(text, groups=groups)
    base = base_target(prototype, overrides)
    own = base.composition
    if not groups and set(wanted) - set(flatten(wanted)) and not set(flatten(wanted)) - set(flatten(own)):
        wanted = flatten(wanted)
    charges = {}
    for species in wanted:
        try:
            charges[species] = charge_of(species, prototype, overrides)
        except InputError as error:
            raise NoPrototype(f"{text}: {error.problem.message}") from None
    anions, own_anions = (sum(a for s, a in c.items() if q[s] < 0) for c, q in ((wanted, charges), (own, base.charges)))
    if anions <= 0:
        raise NoPrototype(f"{text} has no anion of {prototype.name}")
    scale = own_anions / anions
    wanted = {s: a * scale for s, a in wanted.items()}
    ion, swap = _mobile_ion(text, wanted, own, prototype, charges)
    stated = dict(wanted)
    mobile_amount = wanted.pop(ion)
    z = charges[ion]
    own_mobile = own_mobile_amount = own.pop(prototype.mobile_ion)
    # what is no part of the prototype was put in on purpose, however little: nothing as large is a rounding
    fresh = min((a for s, a in wanted.items() if s not in own), default=math.inf)
    if ion == prototype.mobile_ion and abs(mobile_amount - own_mobile) <= min(ROUNDING * own_mobile, 0.5 * fresh):
        mobile_amount = own_mobile
    elif swap:
        own_mobile *= base.charges[prototype.mobile_ion] / z
    excess = {s: wanted.get(s, 0.0) - own.get(s, 0.0) for s in {**wanted, **own}}
    excess = {
        s: d
        for s, d in excess.items()
        if abs(d) > (max(1e-6, min(ROUNDING * min(own[s], 1.0), 0.5 * fresh)) if s in own else 1e-6)
    }
    changes = _assign(text, base, excess, charges, fixed={s for s in wanted if s not in own})
    room = room_for_mobile(base) + own_mobile_amount - sum(c.amount for c in changes if c.host == prototype.mobile_ion)
    cost = exchange_cost(base, changes, charges) + 0.2 * abs(mobile_amount - own_mobile) / own_mobile
    if swap:
        cost += ion_cost(ion, z, prototype.mobile_ion, prototype.mobile_charge, listed=False) + 0.1
    possible = mobile_amount <= room + 1e-6
    found = (
        objection(text, base, changes, ion, charges)
        if possible
        else f"{text} holds {mobile_amount:.4g} {ion} a formula unit of {prototype.formula}, and {prototype.name} "
        f"has room for {max(room, 0.0):.4g}{known_sites(prototype)}"
    )
    return _Solution(cost, prototype, changes, ion, round(mobile_amount, 8), found, possible, stated)


def _mobile_ion(
    text: str, wanted: Mapping[str, float], own: Mapping[str, float], prototype: Prototype, charges: Mapping[str, int]
) -> tuple[str, bool]:
    if prototype.mobile_ion in wanted:
        return prototype.mobile_ion, False
    for ion in MOBILE_IONS:
        if ion in wanted and ion not in own and charges[ion] > 0:
            return ion, True
    raise NoPrototype(f"{text} holds no mobile ion for {prototype.name}")


def _assign(
    text: str, base: Target, excess: Mapping[str, float], charges: Mapping[str, int], fixed: AbstractSet[str]
) -> tuple[Substitution, ...]:
    """Distribute what is too much over what is too little: cheapest by charge, radius and lists.

    The amounts of the `fixed` species are kept to the letter.
    """
    prototype = base.prototype
    hosts = {s: -d for s, d in excess.items() if d < 0}
    dopants = {s: d for s, d in excess.items() if d > 0}
    if not hosts and not dopants:
        return ()
    listed = listed_pairs(prototype)
    pairs, costs = [], []
    ion = prototype.mobile_ion
    for dopant in dopants:
        for host in (*hosts, ion):
            if charges[dopant] * base.charges[host] < 0:
                continue
            known = (dopant, host) in listed
            cost = ion_cost(dopant, charges[dopant], host, base.charges[host], listed=known)
            pairs.append((dopant, host))
            costs.append(cost + (0.4 if host == ion else 0.0))
    rows, right = [], []
    for species, amount in dopants.items():
        rows.append([1.0 if d == species else 0.0 for d, _ in pairs])
        right.append(amount)
    for species, amount in hosts.items():
        rows.append([1.0 if h == species else 0.0 for _, h in pairs])
        right.append(amount)
    if not pairs or any(not any(r) for r in rows):
        raise NoPrototype(_unmatched(text, prototype, hosts, dopants))
    solution = linprog(costs, A_eq=rows, b_eq=right, method="highs")
    if not solution.success:
        # printed formulas are rounded: allow the sums to differ by half a percent of an atom
        play = np.array([0.0 if s in fixed else 0.006 for s in (*dopants, *hosts)])
        slack = linprog(
            costs,
            A_ub=np.vstack([rows, -np.array(rows)]),
            b_ub=np.concatenate([np.array(right) + play, play - np.array(right)]),
            method="highs",
        )
        if not slack.success:
            raise NoPrototype(_unmatched(text, prototype, hosts, dopants))
        solution = slack
    return tuple(
        Substitution(host, dopant, round(float(amount), 8))
        for (dopant, host), amount in zip(pairs, np.asarray(solution.x), strict=True)
        if amount > 1e-6
    )


def _unmatched(text: str, prototype: Prototype, hosts: Mapping[str, float], dopants: Mapping[str, float]) -> str:
    more = ", ".join(f"{a:.4g} {s}" for s, a in dopants.items()) or "nothing"
    less = ", ".join(f"{a:.4g} {s}" for s, a in hosts.items()) or "nothing"
    return f"{text} on {prototype.name}: {more} too much and {less} too little a formula unit do not match"


def _target_of(text: str, solution: _Solution, overrides: Mapping[str, int]) -> Target:
    target = base_target(solution.prototype, overrides)
    target.stated = dict(solution.stated)
    ion = solution.mobile_ion
    if ion != target.mobile_ion:
        _swap_mobile_ion(target, ion, overrides)
    before = target.mobile.amounts[ion]
    for change in solution.changes:
        host = ion if change.host == solution.prototype.mobile_ion else change.host
        labels = _roomy_sites(target, host, change)
        substitute(target, Substitution(host, change.dopant, change.amount, labels), overrides)
    mobile = target.mobile
    extra = round(solution.mobile_amount - mobile.amounts[ion], 8)
    if extra > 1e-6:
        where = add_mobile(target, extra)
        if where != "vacant regular sites":
            target.notes.append(f"the additional mobile ions stand on {where}")
    else:
        mobile.amounts[ion] = solution.mobile_amount
    difference = solution.mobile_amount - before
    on_mobile = sum(a for s, a in mobile.amounts.items() if s != ion)
    if difference + on_mobile > 1e-4:
        target.mechanism = "interstitial"
    elif difference + on_mobile < -1e-4:
        target.mechanism = "vacancy"
    else:
        step = {round(target.charges[s.dopant] - _host_charge(target, s), 6) for s in solution.changes}
        target.mechanism = "codopant" if any(step) else "none"
    target.reason = (
        f"as the formula {text} states: {solution.mobile_amount:g} {ion} a formula unit, {difference:+.4g} against the "
        "prototype"
    )
    return target


def _roomy_sites(target: Target, host: str, change: Substitution) -> tuple[str, ...]:
    """The sites that list the dopant, or all that hold the host when those are too few."""
    preferred = sites_of_host(target, host, change.dopant)
    room = sum(
        target.prototype.per_formula_unit(site) * site.occupancy.get(change.host, 0.0)
        for site in map(target.prototype.site, preferred)
    )
    if change.amount <= room + 1e-6:
        return preferred
    return places_of(target, host)


def _host_charge(target: Target, change: Substitution) -> int:
    host = change.host if change.host in target.charges else target.mobile_ion
    return target.charges[host]


def _swap_mobile_ion(target: Target, ion: str, overrides: Mapping[str, int]) -> None:
    old, mobile = target.mobile_ion, next(s for s in target.sublattices if s.name == MOBILE)
    target.charges[ion] = overrides.get(ion, COMMON_CHARGES[ion])
    amount = mobile.amounts.pop(old)
    mobile.amounts = {ion: amount * target.charges[old] / target.charges[ion], **mobile.amounts}
    mobile.allowed[ion] = mobile.allowed.pop(old)
    target.mobile_ion = ion
    target.notes.append(f"mobile ion {old} of the prototype replaced by {ion}")
