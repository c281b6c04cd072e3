"""Grids: every dopant on every allowed site at every level, filtered by charge, radius and the user's rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ionsieve.errors import InputError, nearest
from ionsieve.generate.ions import radius_mismatch
from ionsieve.generate.prototypes import Prototype, load, names
from ionsieve.generate.settings import GridSettings
from ionsieve.generate.targets import Substitution, base_target, charge_of, check_charges

__all__ = ["grid_changes"]

#: Relative radius difference above which a dopant that the prototype does not list is left out.
DEFAULT_MISMATCH = 0.30


def grid_changes(
    grid: GridSettings, folders: Sequence[str | Path], overrides: Mapping[str, int], balancing: str | None = None
) -> Iterator[tuple[Prototype, list[Substitution]]]:
    """Yield prototype and substitution (none for the undoped reference) for every point of the grid.

    Left out silently, since that is what a grid is for: sites that a prototype lacks, dopants it does not list there
    (unless `unlisted`), wrong sign of charge, too different radius, more dopant than host.

    Raises
    ------
    InputError
        For an unknown prototype, family or species, and for sites that none of the prototypes has.
    """
    prototypes = _prototypes(grid, folders)
    hosts_known = {sp for p in prototypes for s in p.sites for sp in (s.label, *s.occupancy)}
    for site in grid.sites:
        if site not in hosts_known:
            close = nearest(site, hosts_known)
            raise InputError(
                f"none of the grid's prototypes has a site {site!r}",
                key="grid.sites",
                found=site,
                expected=", ".join(sorted(hosts_known)),
                remedy=f"did you mean {close!r}?" if close else "",
            )
    dopants = [*grid.dopants, *(x for p in prototypes for d in p.dopable for x in d.dopants)]
    known = [*(x for p in prototypes for x in p.charges), *dopants, *([balancing] if balancing else [])]
    check_charges(overrides, known, prototypes)
    for prototype in prototypes:
        if grid.include_undoped:
            yield prototype, []
        points = list(_points(prototype, grid, overrides))
        often = Counter((host, dopant) for host, _, dopant in points)
        for host, labels, dopant in points:
            capacity = sum(
                prototype.site(x).occupancy.get(host, 0.0) * prototype.per_formula_unit(prototype.site(x))
                for x in labels
            )
            for level in grid.levels:
                amount = level * capacity if grid.levels_are == "site_fraction" else level
                if 0 < amount <= capacity + 1e-6:
                    # of several places for one exchange, each is told by its label
                    name = _label_for(prototype, host, labels) if often[host, dopant] > 1 else host
                    yield prototype, [Substitution(name, dopant, round(amount, 10), labels)]


def _label_for(prototype: Prototype, host: str, labels: tuple[str, ...]) -> str:
    """The one site's label where it means this host, else the host."""
    occupancy = prototype.site(labels[0]).occupancy
    main = max(occupancy, key=lambda s: (occupancy[s], s))
    return labels[0] if len(labels) == 1 and main == host else host


def _prototypes(grid: GridSettings, folders: Sequence[str | Path]) -> list[Prototype]:
    chosen = {name: load(name, folders) for name in grid.prototypes}
    if grid.families:
        library = [load(name, folders) for name in names(folders)]
        families = {p.family for p in library}
        for family in grid.families:
            if family not in families:
                close = nearest(family, families)
                raise InputError(
                    f"unknown family {family!r}",
                    key="grid.families",
                    expected=", ".join(sorted(families)),
                    remedy=f"did you mean {close!r}?" if close else "",
                )
        chosen.update({p.name: p for p in library if p.family in grid.families})
    return list(chosen.values())


def _points(
    prototype: Prototype, grid: GridSettings, overrides: Mapping[str, int]
) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield (host species, labels, dopant); labels that were met together are not taken again one by one."""
    target = base_target(prototype, overrides)
    done: dict[tuple[str, str], set[str]] = {}
    entries = [(d.label, d.sites, tuple(d.dopants), d.coordination) for d in prototype.dopable]
    if grid.unlisted:
        entries += [(s.label, (s.label,), (), "") for s in prototype.sites if not s.interstitial]
    for label, sites, listed, coordination in entries:
        hosts = dict.fromkeys(sp for x in sites for sp in prototype.site(x).occupancy)
        for host in hosts:
            if grid.sites and host not in grid.sites and label not in grid.sites and not set(sites) & set(grid.sites):
                continue
            labels = tuple(x for x in sites if host in prototype.site(x).occupancy)
            dopants = grid.dopants or listed
            for dopant in dopants:
                if dopant == host or dopant in grid.exclude or set(labels) <= done.get((host, dopant), set()):
                    continue
                if not grid.unlisted and dopant not in listed:
                    continue
                charge = charge_of(dopant, prototype, overrides, site=labels[0])
                if charge * target.charges[host] < 0 or target.charges.get(dopant, charge) != charge:
                    continue
                n = 4 if "tetrahedral" in coordination else 6
                limit = grid.max_radius_mismatch
                if limit is None and dopant not in listed:
                    limit = DEFAULT_MISMATCH
                mismatch = radius_mismatch(dopant, charge, host, target.charges[host], n)
                if limit is not None and mismatch is not None and abs(mismatch) > limit:
                    continue
                done.setdefault((host, dopant), set()).update(labels)
                yield host, labels, dopant
