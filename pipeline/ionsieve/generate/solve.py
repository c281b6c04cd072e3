"""From a formula to substitutions on a prototype."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linprog

from ionsieve.errors import InputError
from ionsieve.generate.compensation import add_mobile, room_for_mobile
from ionsieve.generate.formula import flatten, parse_formula
from ionsieve.generate.groups import GROUPS
from ionsieve.generate.ions import COMMON_CHARGES, MOBILE_IONS, radius_A
from ionsieve.generate.prototypes import Prototype, load, names
from ionsieve.generate.targets import MOBILE, Substitution, Target, base_target, charge_of, substitute

__all__ = ["NoPrototype", "solve_formula"]

#: Amounts that differ by less than this part are taken as printed roundings.
ROUNDING = 0.004


class NoPrototype(Exception):  # noqa: N818 - a finding: expand turns it into a refused candidate
    """The formula fits no prototype; the message says why."""


@dataclass(frozen=True)
class _Solution:
    cost: float
    prototype: Prototype
    changes: tuple[Substitution, ...]
    mobile_ion: str
    mobile_amount: float


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
        )
    solutions.sort(
        key=lambda s: (round(s.cost, 6), -len(s.prototype.rotations), len(s.prototype.name), s.prototype.name)
    )
    best = solutions[0]
    target = _target_of(text, best, overrides)
    if not prototype:
        others = [s.prototype.name for s in solutions[1:] if s.cost < best.cost + 0.05]
        target.notes.append(
            f"prototype found automatically: {best.prototype.name}"
            + (f"; also possible: {', '.join(others)}" if others else "")
        )
    return target


def _solve_on(text: str, prototype: Prototype, overrides: Mapping[str, int]) -> _Solution:
    groups = [s for s in prototype.charges if s in GROUPS]
    wanted = parse_formula(text, groups=groups)
    base = base_target(prototype)
    own = base.composition
    if not groups and set(wanted) - set(flatten(wanted)) and not set(flatten(wanted)) - set(flatten(own)):
        wanted = flatten(wanted)
    charges = {}
    for species in wanted:
        try:
            charges[species] = charge_of(species, prototype, overrides)
        except InputError as error:
            raise NoPrototype(f"{text}: {error.problem.message}") from None
    anions, own_anions = (
        sum(a for s, a in c.items() if q[s] < 0) for c, q in ((wanted, charges), (own, prototype.charges))
    )
    if anions <= 0:
        raise NoPrototype(f"{text} has no anion of {prototype.name}")
    scale = own_anions / anions
    wanted = {s: a * scale for s, a in wanted.items()}
    ion, swap = _mobile_ion(text, wanted, own, prototype, charges)
    mobile_amount = wanted.pop(ion)
    z = charges[ion]
    own_mobile = own.pop(prototype.mobile_ion)
    if ion == prototype.mobile_ion and abs(mobile_amount - own_mobile) <= ROUNDING * own_mobile:
        mobile_amount = own_mobile
    elif swap:
        own_mobile *= prototype.mobile_charge / z
    excess = {s: wanted.get(s, 0.0) - own.get(s, 0.0) for s in {**wanted, **own}}
    excess = {s: d for s, d in excess.items() if abs(d) > max(1e-6, ROUNDING * min(own.get(s, math.inf), 1.0))}
    if mobile_amount > room_for_mobile(base) + base.mobile.amounts[prototype.mobile_ion] + 1e-6:
        raise NoPrototype(
            f"{text} holds {mobile_amount:.4g} {ion} a formula unit of {prototype.formula}; {prototype.name} has room "
            f"for {room_for_mobile(base) + base.mobile.amounts[prototype.mobile_ion]:.4g}"
        )
    changes, cost = _assign(text, base, excess, charges)
    cost += (1.0 if swap else 0.0) + 0.05 * abs(mobile_amount - own_mobile)
    return _Solution(cost, prototype, changes, ion, round(mobile_amount, 8))


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
    text: str, base: Target, excess: Mapping[str, float], charges: Mapping[str, int]
) -> tuple[tuple[Substitution, ...], float]:
    """Distribute what is too much over what is too little: cheapest by charge, radius and lists."""
    prototype = base.prototype
    hosts = {s: -d for s, d in excess.items() if d < 0}
    dopants = {s: d for s, d in excess.items() if d > 0}
    if not hosts and not dopants:
        return (), 0.0
    listed = {
        (d, h) for e in prototype.dopable for x in e.sites for h in prototype.site(x).occupancy for d in e.dopants
    }
    pairs, costs = [], []
    ion = prototype.mobile_ion
    for dopant in dopants:
        for host in (*hosts, ion):
            if charges[dopant] * prototype.charges[host] < 0:
                continue
            a, b = radius_A(dopant, charges[dopant], 6), radius_A(host, prototype.charges[host], 6)
            mismatch = abs(a / b - 1) if a and b else 0.3
            cost = 0.3 + mismatch + 0.1 * abs(charges[dopant] - prototype.charges[host])
            cost += 0.0 if (dopant, host) in listed else 1.0
            cost += 0.4 if host == ion else 0.0
            pairs.append((dopant, host))
            costs.append(cost)
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
        slack = linprog(
            costs,
            A_ub=np.vstack([rows, -np.array(rows)]),
            b_ub=np.concatenate([np.array(right) + 0.006, 0.006 - np.array(right)]),
            method="highs",
        )
        if not slack.success:
            raise NoPrototype(_unmatched(text, prototype, hosts, dopants))
        solution = slack
    changes = []
    total = 0.0
    for (dopant, host), amount, cost in zip(pairs, np.asarray(solution.x), costs, strict=True):
        if amount > 1e-6:
            changes.append(Substitution(host, dopant, round(float(amount), 8)))
            total += float(amount) * cost
    return tuple(changes), total


def _unmatched(text: str, prototype: Prototype, hosts: Mapping[str, float], dopants: Mapping[str, float]) -> str:
    more = ", ".join(f"{a:.4g} {s}" for s, a in dopants.items()) or "nothing"
    less = ", ".join(f"{a:.4g} {s}" for s, a in hosts.items()) or "nothing"
    return f"{text} on {prototype.name}: {more} too much and {less} too little a formula unit do not match"


def _target_of(text: str, solution: _Solution, overrides: Mapping[str, int]) -> Target:
    target = base_target(solution.prototype)
    ion = solution.mobile_ion
    if ion != target.mobile_ion:
        _swap_mobile_ion(target, ion, overrides)
    before = target.mobile.amounts[ion]
    for change in solution.changes:
        host = ion if change.host == solution.prototype.mobile_ion else change.host
        substitute(target, Substitution(host, change.dopant, change.amount), overrides)
    mobile = target.mobile
    mobile.amounts[ion] = solution.mobile_amount
    if mobile.vacant < -1e-6:
        overflow = -mobile.vacant
        mobile.amounts[ion] = solution.mobile_amount - overflow
        target.notes.append(f"mobile ions beyond the regular sites stand on {add_mobile(target, overflow)}")
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
