"""Charge compensation: named mechanisms, chosen with a reason or refused with what would mend it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from ionsieve.errors import InputError
from ionsieve.generate.formula import format_formula
from ionsieve.generate.packing import capacity, exclusion_A
from ionsieve.generate.prototypes import Prototype, Site
from ionsieve.generate.settings import CompensationSettings
from ionsieve.generate.sites import minimum_distances
from ionsieve.generate.targets import (
    INTERSTITIAL,
    MOBILE,
    Sublattice,
    Substitution,
    Target,
    charge_of,
    host_species,
    sites_of_host,
    substitute,
)

__all__ = ["NotBalanced", "add_mobile", "compensate", "crowded_sites", "known_sites", "room_for_mobile"]

EPSILON = 1e-6


class NotBalanced(Exception):  # noqa: N818 - a finding, not a fault: expand turns it into a refused candidate
    """The composition cannot be balanced; the message says by how much and what would mend it."""


def _describe(target: Target) -> str:
    if not target.substitutions:
        own = target.prototype.charges
        return (
            " and ".join(f"{s}({q:+d})" for s, q in target.charges.items() if q != own.get(s, q)) or "the composition"
        )
    return " and ".join(
        f"{s.amount:g} {s.dopant}({target.charges[s.dopant]:+d}) on {s.host}" for s in target.substitutions
    )


def _held(target: Target) -> float:
    """Ions a formula unit that stand on mobile sites, immobile dopants included."""
    return sum(sum(s.amounts.values()) for s in target.sublattices if s.name in (MOBILE, INTERSTITIAL))


def _empty_sites(target: Target) -> list[Site]:
    """The prototype's empty mobile sites with coordinates that are not in use."""
    return [s for s in target.prototype.sites if s.interstitial and s.label not in target.mobile.capacity]


def room_for_mobile(target: Target) -> float:
    """Mobile ions a formula unit that still fit on regular and interstitial sites, exclusion distances kept."""
    labels = (*target.mobile.capacity, *(s.label for s in _empty_sites(target)))
    return max(0.0, capacity(target.prototype, labels) - _held(target))


def known_sites(prototype: Prototype) -> str:
    """In words, what bounds the room for mobile ions; sites of unknown coordinates are named."""
    sites = (prototype.data or {}).get("mobile_sites", [])
    missing = next((s.get("note") or s["label"] for s in sites if s.get("xyz") is None), None)
    cause = f" ({missing})" if missing else ""
    return f" on sites with known coordinates, no two ions closer than they can be{cause}"


def add_mobile(target: Target, extra: float) -> str:
    """Put `extra` mobile ions a formula unit on empty sites; return in words where.

    Vacant regular sites are filled first, then the prototype's interstitial sites that lie clear of the regular ones;
    both then form one sublattice, over which the ordering distributes all mobile ions. What is left goes on
    interstitial sites that crowd regular ones, as a sublattice of its own: there each ion pushes its neighbours aside.
    """
    prototype, ion, mobile = target.prototype, target.mobile_ion, target.mobile
    held, have = sum(mobile.amounts.values()), mobile.amounts.get(ion, 0.0)
    room = capacity(prototype, tuple(mobile.capacity)) - held
    where = ["vacant regular sites"] if room > EPSILON else []
    crowded = crowded_sites(prototype)
    empty = _empty_sites(target)
    clear = [s for s in empty if s.label not in crowded]
    if room < extra - EPSILON and clear:
        for site in clear:
            mobile.capacity[site.label] = prototype.per_formula_unit(site)
            mobile.allowed[ion] = (*mobile.allowed[ion], site.label)
            mobile.allowed[""] = (*mobile.allowed[""], site.label)
            where.append(f"interstitial site {site.label}")
        room = capacity(prototype, tuple(mobile.capacity)) - held
    inside = min(extra, max(0.0, room))
    mobile.amounts[ion] = round(have + inside, 10)
    rest = round(extra - inside, 10)
    if rest > EPSILON:
        sites = [s for s in empty if s.label in crowded]
        labels = tuple(s.label for s in sites)
        places = {s.label: prototype.per_formula_unit(s) for s in sites}
        target.sublattices.append(Sublattice(INTERSTITIAL, places, {ion: rest}, {ion: labels, "": labels}))
        where.append(f"crowded interstitial site {'/'.join(labels)}, neighbours pushed aside")
    return " and ".join(where)


@lru_cache(maxsize=256)
def crowded_sites(prototype: Prototype) -> frozenset[str]:
    """Labels of interstitial sites that lie within the exclusion distance of a regular mobile site."""
    out = set()
    for empty in (s for s in prototype.sites if s.interstitial):
        for regular in (s for s in prototype.sites if s.mobile and not s.interstitial):
            limit = exclusion_A(prototype, empty.label, regular.label)
            distance = minimum_distances(empty.positions[:1], regular.positions, prototype.cell)
            if float(distance.min()) < limit:
                out.add(empty.label)
    return frozenset(out)


def _mends(target: Target, excess: float) -> str:
    """What would balance the charge: the mechanisms in words."""
    prototype, ion = target.prototype, target.mobile_ion
    z = target.charges[ion]
    options = []
    if excess > 0:
        have = target.mobile.amounts.get(ion, 0.0)
        if have * z >= excess - EPSILON:
            options.append(f"vacancy: {excess / z:.4g} {ion} fewer")
        options.append(f"codopant: a cation of lower charge, {excess:.4g} charges fewer in all")
        options.append(f"anion: an anion of more negative charge, {excess:.4g} charges in all")
    else:
        if room_for_mobile(target) * z >= -excess - EPSILON:
            options.append(f"interstitial: {-excess / z:.4g} {ion} more")
        options.append(f"codopant: a cation of higher charge, {-excess:.4g} charges more in all")
        options.append(f"anion: an anion of less negative charge, {-excess:.4g} charges in all")
    listed = []
    for entry in prototype.dopable:
        for label in entry.sites:
            for host in prototype.site(label).occupancy:
                q = target.charges.get(host)
                for dopant, charge in entry.dopants.items():
                    text = f"{dopant} on {host}"
                    if q is not None and host != ion and (charge - q) * excess < 0 and text not in listed:
                        listed.append(text)
    text = "; ".join(options)
    return f"{text} (listed: {', '.join(listed[:8])})" if listed else text


def compensate(target: Target, wanted: CompensationSettings, overrides: Mapping[str, int]) -> None:
    """Make the target neutral by the wanted mechanism, and write down which and why.

    Raises
    ------
    NotBalanced
        When it cannot be done.
    """
    excess = target.charge
    ion, z = target.mobile_ion, target.charges[target.mobile_ion]
    what = _describe(target)
    mechanism = wanted.mechanism
    if abs(excess) < EPSILON:
        target.mechanism = "none"
        kinds = {target.charges[s.dopant] for s in target.substitutions}
        target.reason = (
            "undoped: nothing to balance"
            if not target.substitutions
            else f"{what}: isovalent, nothing to balance"
            if len(target.substitutions) == 1 and len(kinds) == 1
            else f"{what}: the changes balance each other"
        )
        return
    left = f"{what} leaves {excess:+.4g} charges a formula unit"
    if mechanism == "none":
        raise NotBalanced(f"{left} and no compensation is allowed. It would be mended by {_mends(target, excess)}")
    if mechanism in ("codopant", "anion"):
        _codope(target, wanted, overrides, excess, left)
        return
    if mechanism == "auto":
        mechanism = "vacancy" if excess > 0 else "interstitial"
    mobile = target.mobile
    have = mobile.amounts.get(ion, 0.0)
    if mechanism == "vacancy":
        if excess < 0:
            raise NotBalanced(
                f"{left}: removing {ion} would make it worse. It would be mended by {_mends(target, excess)}"
            )
        if have * z < excess - EPSILON:
            raise NotBalanced(
                f"{left}, more than the {have:g} {ion} a formula unit can give. "
                f"It would be mended by {_mends(target, excess)}"
            )
        mobile.amounts[ion] = round(have - excess / z, 10)
        target.mechanism = "vacancy"
        target.reason = f"{what} adds {excess:.4g} charges a formula unit: {excess / z:.4g} {ion} fewer (vacancies)"
        return
    if excess > 0:
        raise NotBalanced(f"{left}: adding {ion} would make it worse. It would be mended by {_mends(target, excess)}")
    extra = -excess / z
    room = room_for_mobile(target)
    if room < extra - EPSILON:
        raise NotBalanced(
            f"{left}: {extra:.4g} {ion} more a formula unit are needed, and {target.prototype.name} has room for "
            f"{room:.4g}{known_sites(target.prototype)}. It would be mended by {_mends(target, excess)}"
        )
    where = add_mobile(target, extra)
    target.mechanism = "interstitial"
    target.reason = f"{what} removes {-excess:.4g} charges a formula unit: {extra:.4g} {ion} more on {where}"


def _codope(
    target: Target, wanted: CompensationSettings, overrides: Mapping[str, int], excess: float, left: str
) -> None:
    assert wanted.site is not None
    assert wanted.dopant is not None
    prototype = target.prototype
    labels = sites_of_host(target, wanted.site, wanted.dopant)
    host = host_species(target, wanted.site, labels)
    charge, own = charge_of(wanted.dopant, prototype, overrides, site=labels[0]), target.charges[host]
    _check_signs(wanted, host, charge, own)
    step = charge - own
    if step == 0:
        raise NotBalanced(
            f"{left}: {wanted.dopant} carries {charge:+d} as {host} does and balances nothing. "
            f"It would be mended by {_mends(target, excess)}"
        )
    if step * excess > 0:
        raise NotBalanced(
            f"{left}: {wanted.dopant} on {host} changes the charge by {step:+d} each, the wrong way. "
            f"It would be mended by {_mends(target, excess)}"
        )
    amount = round(-excess / step, 10)
    available = sum(s.amounts.get(host, 0.0) for s in target.sublattices)
    if amount > available + EPSILON:
        raise NotBalanced(
            f"{left}: {amount:.4g} {wanted.dopant} would be needed on {host}, and there are {available:g}. "
            f"It would be mended by {_mends(target, excess)}"
        )
    before = _describe(target)
    substitute(target, Substitution(wanted.site, wanted.dopant, amount), overrides)
    target.mechanism = wanted.mechanism
    target.reason = (
        f"{before} leaves {excess:+.4g} charges a formula unit: balanced by {format_formula({wanted.dopant: amount})} "
        f"on {host} ({step:+d} each)"
    )


def _check_signs(wanted: CompensationSettings, host: str, charge: int, own: int) -> None:
    """A co-dopant is a cation on a cation's site, an anion an anion on an anion's.

    Raises
    ------
    InputError
        For any other pair: no composition makes it right.
    """
    sign, kind = (1, "cation") if wanted.mechanism == "codopant" else (-1, "anion")
    if charge * sign > 0 and own * sign > 0:
        return
    if charge * sign < 0 and own * sign < 0:
        remedy = f"write mechanism: {'anion' if wanted.mechanism == 'codopant' else 'codopant'}"
    else:
        remedy = f"name a site and a dopant that are both {kind}s"
    raise InputError(
        f"mechanism {wanted.mechanism!r} puts {kind}s on the sites of {kind}s",
        key="compensation",
        found=f"{wanted.dopant} ({charge:+d}) on {host} ({own:+d})",
        remedy=remedy,
    )
