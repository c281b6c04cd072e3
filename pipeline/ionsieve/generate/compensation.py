"""Charge compensation: named mechanisms, chosen with a reason or refused with what would mend it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from ionsieve.generate.formula import format_formula
from ionsieve.generate.prototypes import Prototype
from ionsieve.generate.settings import CompensationSettings
from ionsieve.generate.sites import minimum_distances
from ionsieve.generate.targets import (
    INTERSTITIAL,
    Sublattice,
    Substitution,
    Target,
    charge_of,
    host_species,
    sites_of_host,
    substitute,
)

__all__ = ["NotBalanced", "add_mobile", "compensate", "crowded_sites", "room_for_mobile"]

EPSILON = 1e-6


class NotBalanced(Exception):  # noqa: N818 - a finding, not a fault: expand turns it into a refused candidate
    """The composition cannot be balanced; the message says by how much and what would mend it."""


def _describe(target: Target) -> str:
    if not target.substitutions:
        return "the composition"
    return " and ".join(
        f"{s.amount:g} {s.dopant}({target.charges[s.dopant]:+d}) on {s.host}" for s in target.substitutions
    )


def interstitial_room(target: Target) -> float:
    """Positions a formula unit on the prototype's empty mobile sites with coordinates."""
    prototype = target.prototype
    return sum(
        prototype.per_formula_unit(s)
        for s in prototype.sites
        if s.interstitial and s.label not in target.mobile.capacity
    )


def room_for_mobile(target: Target) -> float:
    """Mobile ions a formula unit that still fit: on vacancies of the regular sites and on interstitial sites."""
    return max(0.0, target.mobile.vacant) + interstitial_room(target)


def add_mobile(target: Target, extra: float) -> str:
    """Put `extra` mobile ions a formula unit on empty sites; return in words where.

    Vacant regular sites are filled first, then the prototype's interstitial sites that lie clear of the regular ones;
    both then form one sublattice, over which the ordering distributes all mobile ions. What is left goes on
    interstitial sites that crowd regular ones, as a sublattice of its own: there each ion pushes its neighbours aside.
    """
    prototype, ion, mobile = target.prototype, target.mobile_ion, target.mobile
    where = ["vacant regular sites"] if mobile.vacant > EPSILON else []
    have = mobile.amounts.get(ion, 0.0)
    crowded = crowded_sites(prototype)
    empty = [s for s in prototype.sites if s.interstitial and s.label not in mobile.capacity]
    if mobile.vacant < extra - EPSILON:
        for site in (s for s in empty if s.label not in crowded):
            mobile.capacity[site.label] = prototype.per_formula_unit(site)
            mobile.allowed[ion] = (*mobile.allowed[ion], site.label)
            mobile.allowed[""] = (*mobile.allowed[""], site.label)
            where.append(f"interstitial site {site.label}")
    inside = min(extra, max(0.0, mobile.vacant))
    mobile.amounts[ion] = round(have + inside, 10)
    rest = round(extra - inside, 10)
    if rest > EPSILON:
        sites = [s for s in empty if s.label in crowded]
        labels = tuple(s.label for s in sites)
        capacity = {s.label: prototype.per_formula_unit(s) for s in sites}
        target.sublattices.append(Sublattice(INTERSTITIAL, capacity, {ion: rest}, {ion: labels, "": labels}))
        where.append(f"crowded interstitial site {'/'.join(labels)}, neighbours pushed aside")
    return " and ".join(where)


@lru_cache(maxsize=256)
def crowded_sites(prototype: Prototype) -> frozenset[str]:
    """Labels of interstitial sites that lie within the exclusion distance of a regular mobile site."""
    out = set()
    for empty in (s for s in prototype.sites if s.interstitial):
        for regular in (s for s in prototype.sites if s.mobile and not s.interstitial):
            a, b = sorted((empty.label, regular.label))
            limit = prototype.exclusions_A.get((a, b), 0.0)
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
        missing = [
            s.get("note") or s["label"]
            for s in (target.prototype.data or {}).get("mobile_sites", [])
            if s.get("xyz") is None
        ]
        cause = f" ({missing[0]})" if missing else ""
        raise NotBalanced(
            f"{left}: {extra:.4g} {ion} more a formula unit are needed, and {target.prototype.name} has room for "
            f"{room:.4g} on sites with known coordinates{cause}. It would be mended by {_mends(target, excess)}"
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
    step = charge_of(wanted.dopant, prototype, overrides, site=labels[0]) - target.charges[host]
    if step * excess >= 0:
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
