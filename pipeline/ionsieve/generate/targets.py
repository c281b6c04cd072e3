"""Targets: how much of what should sit where, a formula unit, before any supercell is chosen.

A *sublattice* is a set of sites that exchange their species: the mobile sites together, framework sites that share a
mixed occupancy, and sites that one substitution touches together. Amounts are kept by sublattice, and for each species
the sites on which it may stand.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ionsieve.errors import InputError, Problems, nearest
from ionsieve.generate.groups import GROUPS
from ionsieve.generate.ions import COMMON_CHARGES, is_element
from ionsieve.generate.prototypes import Prototype, Site

__all__ = [
    "INTERSTITIAL",
    "MOBILE",
    "Sublattice",
    "Substitution",
    "Target",
    "base_target",
    "charge_of",
    "check_charges",
    "fits_on_labels",
    "places_of",
    "sites_of_host",
    "substitute",
]

MOBILE = "mobile"
#: Sublattice of the mobile ions that must share crowded sites with the regular ones.
INTERSTITIAL = "interstitial"
EPSILON = 1e-7


@dataclass(frozen=True)
class Substitution:
    """`amount` of `dopant` a formula unit in place of `host`, on the sites `labels` (empty: chosen by `substitute`)."""

    host: str
    dopant: str
    amount: float
    labels: tuple[str, ...] = ()


@dataclass
class Sublattice:
    """Sites that exchange species.

    Attributes
    ----------
    capacity
        Site label to positions a formula unit.
    amounts
        Species to atoms a formula unit; the rest of the capacity is vacant.
    allowed
        Species to the labels on which it may stand; `""` is the vacancy.
    """

    name: str
    capacity: dict[str, float]
    amounts: dict[str, float]
    allowed: dict[str, tuple[str, ...]]

    @property
    def vacant(self) -> float:
        """Empty positions a formula unit."""
        return sum(self.capacity.values()) - sum(self.amounts.values())


@dataclass
class Target:
    """Composition aimed at, by sublattice."""

    prototype: Prototype
    sublattices: list[Sublattice]
    charges: dict[str, int]
    substitutions: list[Substitution] = field(default_factory=list)
    mobile_ion: str = ""
    mechanism: str = "none"
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    #: Species to atoms a formula unit as a formula was written; empty when none was.
    stated: dict[str, float] = field(default_factory=dict)

    @property
    def mobile(self) -> Sublattice:
        """The sublattice of the mobile ion."""
        return next(s for s in self.sublattices if s.name == MOBILE)

    @property
    def mobile_amount(self) -> float:
        """Mobile ions a formula unit, on regular and interstitial sites."""
        return sum(s.amounts.get(self.mobile_ion, 0.0) for s in self.sublattices if s.name in (MOBILE, INTERSTITIAL))

    @property
    def composition(self) -> dict[str, float]:
        """Species to atoms a formula unit: mobile ion first, dopants beside their sites."""
        out: dict[str, float] = {self.mobile_ion: 0.0}
        for sublattice in sorted(self.sublattices, key=lambda s: s.name not in (MOBILE, INTERSTITIAL)):
            for species, amount in sublattice.amounts.items():
                out[species] = out.get(species, 0.0) + amount
        return {s: a for s, a in out.items() if a > EPSILON}

    @property
    def charge(self) -> float:
        """Charge a formula unit; zero when neutral."""
        return sum(a * self.charges[s] for s, a in self.composition.items())


def charge_of(species: str, prototype: Prototype, overrides: Mapping[str, int], *, site: str = "") -> int:
    """Charge of a species: the recipe's, the prototype's (for that site first), a cluster anion's, the usual one.

    Raises
    ------
    InputError
        For an unknown species; the nearest is suggested.
    """
    if species in overrides:
        return overrides[species]
    if species in prototype.charges:
        return prototype.charges[species]
    for entry in prototype.dopable:
        if species in entry.dopants and (not site or site in entry.sites):
            return entry.dopants[species]
    listed = prototype.listed_charge(species)
    if listed is not None:
        return listed
    if species in GROUPS:
        return GROUPS[species].charge
    if species in COMMON_CHARGES:
        return COMMON_CHARGES[species]
    if is_element(species):
        raise InputError(
            f"the charge of {species} is not known",
            key="oxidation_states",
            remedy=f"state it in the recipe: oxidation_states: {{{species}: 3}}",
        )
    close = nearest(species, [*COMMON_CHARGES, *GROUPS])
    raise InputError(
        f"unknown species {species!r}",
        found=species,
        expected=f"an element of the table of ions, or a cluster anion: {', '.join(GROUPS)}",
        remedy=f"did you mean {close!r}?" if close else "",
    )


def check_charges(overrides: Mapping[str, int], known: Iterable[str], prototypes: Iterable[Prototype] = ()) -> None:
    """Refuse stated charges of species that do not occur, and those that turn a cation into an anion.

    Raises
    ------
    ProblemsError
        With every one of them.
    """
    problems, names = Problems(), list(dict.fromkeys(known))
    prototypes = list(prototypes)
    for species, charge in overrides.items():
        key = f"oxidation_states.{species}"
        if species not in names:
            close = nearest(species, names)
            problems.add(
                f"{species} does not occur in this recipe",
                key=key,
                found=species,
                expected=f"one of {', '.join(names)}",
                remedy=f"did you mean {close!r}?" if close else "leave it out",
            )
        elif charge == 0 or any(charge * p.charges.get(species, charge) < 0 for p in prototypes):
            problems.add(
                f"{species} cannot carry {charge:+d} here",
                key=key,
                found=str(charge),
                cause="cations stay cations and anions anions",
            )
    problems.throw()


def base_target(prototype: Prototype, overrides: Mapping[str, int] | None = None) -> Target:
    """The prototype's own composition, its sites grouped into sublattices; `overrides` states other charges."""
    mobile = [s for s in prototype.sites if s.mobile and not s.interstitial]
    ion = prototype.mobile_ion
    sublattices = [_merge(MOBILE, mobile, prototype)]
    framework = [s for s in prototype.sites if not s.mobile]
    parent = {s.label: s.label for s in framework}

    def root(label: str) -> str:
        while parent[label] != label:
            label = parent[label]
        return label

    for i, a in enumerate(framework):
        for b in framework[i + 1 :]:
            mixed = len(a.occupancy) > 1 or a.vacant > 1e-3
            same = set(a.occupancy) == set(b.occupancy) and all(
                abs(a.occupancy[s] - b.occupancy[s]) < 1e-3 for s in a.occupancy
            )
            exclusive = tuple(sorted((a.label, b.label))) in prototype.exclusions_A and a.vacant > 1e-3
            if (mixed and same) or (exclusive and set(a.occupancy) & set(b.occupancy)):
                parent[root(b.label)] = root(a.label)
    for label in dict.fromkeys(root(s.label) for s in framework):
        sublattices.append(_merge(label, [s for s in framework if root(s.label) == label], prototype))
    sublattices[0].amounts.setdefault(ion, 0.0)
    sublattices[0].allowed.setdefault(ion, tuple(s.label for s in mobile))
    charges = {s: (overrides or {}).get(s, charge) for s, charge in prototype.charges.items()}
    return Target(prototype, sublattices, charges, mobile_ion=ion)


def _merge(name: str, sites: list[Site], prototype: Prototype) -> Sublattice:
    capacity = {s.label: prototype.per_formula_unit(s) for s in sites}
    amounts: dict[str, float] = {}
    allowed: dict[str, tuple[str, ...]] = {}
    for site in sites:
        for species, fraction in site.occupancy.items():
            amounts[species] = amounts.get(species, 0.0) + fraction * capacity[site.label]
            allowed[species] = (*allowed.get(species, ()), site.label)
    # occupancies like 0.66666667 stand for exact thirds
    amounts = {
        s: round(a * 720) / 720 if abs(a * 720 - round(a * 720)) < 1e-2 else round(a, 6) for s, a in amounts.items()
    }
    vacant = tuple(s.label for s in sites if s.vacant > 1e-3)
    return Sublattice(name, capacity, amounts, {**allowed, "": tuple(capacity) if name == MOBILE else vacant})


def _confined(sublattice: Sublattice, counts: Mapping[str, float]) -> Iterator[tuple[set[str], float]]:
    """Sets of species that may not stand everywhere, with the positions a formula unit that they share."""
    tied = [s for s, n in counts.items() if n > EPSILON and sublattice.allowed.get(s)]
    tied = [s for s in tied if set(sublattice.allowed[s]) < set(sublattice.capacity)]
    for size in range(1, len(tied) + 1):
        for chosen in itertools.combinations(tied, size):
            labels = {label for s in chosen for label in sublattice.allowed[s]}
            yield set(chosen), sum(sublattice.capacity[label] for label in labels)


def fits_on_labels(sublattice: Sublattice, counts: Mapping[str, float], units: float = 1.0) -> bool:
    """Whether the species fit on the labels on which they may stand (Hall's condition), in `units` formula units."""
    return all(
        sum(counts[s] for s in species) <= room * units + 1e-4 for species, room in _confined(sublattice, counts)
    )


def places_of(target: Target, species: str) -> tuple[str, ...]:
    """All labels on which a species may stand."""
    return tuple(dict.fromkeys(label for s in target.sublattices for label in s.allowed.get(species, ())))


def sites_of_host(target: Target, host: str, dopant: str) -> tuple[str, ...]:
    """Labels on which `dopant` replaces `host`, an element or a site label.

    With an element: the sites that list the dopant, else all that hold the host.

    Raises
    ------
    InputError
        When the prototype has no such site.
    """
    prototype = target.prototype
    labels = [s.label for s in prototype.sites if not s.interstitial]
    if host in labels:
        return (host,)
    holding = places_of(target, host)
    if not holding:
        known = [*dict.fromkeys(sp for s in target.sublattices for sp in s.amounts), *labels]
        close = nearest(host, known)
        raise InputError(
            f"{prototype.name} has no site {host!r}",
            key=f"substitute.{host}",
            found=host,
            expected=f"one of {', '.join(known)}",
            remedy=f"did you mean {close!r}?" if close else f"`ionsieve prototypes {prototype.name}` shows the sites",
        )
    listed = [label for d in prototype.dopable if dopant in d.dopants for label in d.sites]
    preferred = tuple(label for label in holding if label in listed)
    return preferred or holding


def host_species(target: Target, host: str, labels: tuple[str, ...]) -> str:
    """The species that `host` stands for: itself, or the main species of the site it labels.

    Raises
    ------
    InputError
        When a labelled site holds several species and none is meant more than the other.
    """
    if any(host in s.amounts for s in target.sublattices):
        return host
    occupancy = target.prototype.site(labels[0]).occupancy
    return max(occupancy, key=lambda s: (occupancy[s], s))


def substitute(target: Target, change: Substitution, overrides: Mapping[str, int]) -> None:
    """Put `change` into the target, merging the sublattices it touches.

    Raises
    ------
    InputError
        For an unknown site or dopant, or more dopant than there is host.
    """
    labels = change.labels or sites_of_host(target, change.host, change.dopant)
    host = host_species(target, change.host, labels)
    dopant = change.dopant
    charge = charge_of(dopant, target.prototype, overrides, site=labels[0])
    if target.charges.setdefault(dopant, charge) != charge:
        raise InputError(
            f"{dopant} would carry two charges, {target.charges[dopant]:+d} and {charge:+d}",
            key="oxidation_states",
            remedy=f"state one: oxidation_states: {{{dopant}: {charge}}}",
        )
    if charge * target.charges[host] < 0:
        raise InputError(
            f"{dopant} ({charge:+d}) cannot stand on the site of {host} ({target.charges[host]:+d})",
            key=f"substitute.{change.host}",
            cause="cations replace cations and anions replace anions",
        )
    if dopant == host:
        raise InputError(f"{dopant} cannot replace itself", key=f"substitute.{change.host}")
    touched = [s for s in target.sublattices if any(label in s.capacity for label in labels)]
    merged = touched[0]
    for other in touched[1:]:
        merged.capacity.update(other.capacity)
        for species, amount in other.amounts.items():
            merged.amounts[species] = merged.amounts.get(species, 0.0) + amount
        for species, places in other.allowed.items():
            merged.allowed[species] = (*merged.allowed.get(species, ()), *places)
        target.sublattices.remove(other)
    available = merged.amounts.get(host, 0.0)
    merged.allowed[dopant] = tuple(dict.fromkeys((*merged.allowed.get(dopant, ()), *labels)))
    held = {**merged.amounts, "": merged.vacant, dopant: merged.amounts.get(dopant, 0.0) + change.amount}
    for tied, room in _confined(merged, held):
        if dopant in tied and host not in tied:
            available = min(available, room - sum(held[s] for s in tied) + change.amount)
    available = max(0.0, available)
    if change.amount > available + 1e-6:
        others = [label for label in places_of(target, host) if label not in labels]
        raise InputError(
            f"{change.amount:g} {dopant} a formula unit on {change.host} of {target.prototype.name}: there is room for "
            f"{available:g}",
            key=f"substitute.{change.host}.{dopant}",
            found=f"{change.amount:g}",
            expected=f"at most {available:g} a formula unit of {target.prototype.formula}",
            remedy=f"{dopant} is listed for {', '.join(labels)}; name {' or '.join(others)} to use that site as well"
            if others and not change.labels
            else "",
        )
    merged.amounts[host] = max(0.0, round(merged.amounts.get(host, 0.0) - change.amount, 10))
    merged.amounts[dopant] = round(merged.amounts.get(dopant, 0.0) + change.amount, 10)
    target.substitutions.append(Substitution(change.host, dopant, change.amount, labels))
