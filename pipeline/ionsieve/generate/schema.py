"""The form of a prototype's YAML: which keys, of which kind; every wrong entry with its place and what is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ionsieve.errors import InputError, Problems, nearest
from ionsieve.generate.formula import parse_formula
from ionsieve.generate.groups import GROUPS
from ionsieve.generate.ions import is_element

__all__ = ["OPTIONAL", "REQUIRED", "check_form"]

#: Key of the YAML to its meaning: the schema that the guide prints.
REQUIRED: dict[str, str] = {
    "formula": "composition of one formula unit, like Na3PS4",
    "family": "the family it is compared within, like sulfide",
    "mobile_ion": "element of the mobile ion, like Na",
    "oxidation_states": "mapping of every element to its charge, like {Na: 1, P: 5, S: -2}",
    "z": "formula units in the cell of the CIF",
    "mobile_sites": "list of {label, occupancy, xyz}; labels as in the CIF, occupancy 0 with xyz for empty sites",
    "source": "where the structure comes from",
}


OPTIONAL: dict[str, str] = {
    "dopable_sites": "list of {label, sites, dopants}; dopants like {Sc: 3, Mg: 2}",
    "polyanions": "list of [centre, ligand, longest bond in Å]",
    "groups": "list of {site, group, absorbs}: rows of the CIF that are one cluster anion",
    "exclusion_distances_A": "mapping of the mobile ion to a distance in Å, like {Na: 2.4}",
    "doi": "of the source",
    "space_group": "its symbol",
    "source_quality": "how the structure was obtained",
}


def check_form(path: Path, data: dict[str, Any], problems: Problems) -> None:
    """Add a problem for every entry of the wrong kind, and for keys that look like misspelt ones."""
    known = {**REQUIRED, **OPTIONAL}
    absent = [key for key in known if key not in data]
    for key in data:
        close = nearest(str(key), absent)
        if key not in known and close is not None:
            problems.add(f"unknown key {key!r}", where=str(path), key=str(key), remedy=f"did you mean {close!r}?")
    for key, value in data.items():
        checker = _CHECKS.get(key)
        if checker is None or value in (None, "", [], {}):
            continue
        for place, found in checker(value):
            problems.add("the entry has the wrong form", where=str(path), key=f"{key}{place}", found=repr(found),
                         expected=known[key])  # fmt: skip


Wrong = Iterator[tuple[str, Any]]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_charge(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value != 0


def _is_species(name: Any) -> bool:
    return str(name) in GROUPS or is_element(str(name))


def _formula(value: Any) -> Wrong:
    try:
        parse_formula(str(value))
    except InputError:
        yield "", value


def _element(value: Any) -> Wrong:
    if not is_element(str(value)):
        yield "", value


def _whole(value: Any) -> Wrong:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        yield "", value


def _charges(value: Any) -> Wrong:
    if not isinstance(value, dict):
        yield "", value
        return
    for name, charge in value.items():
        if not _is_species(name) or not _is_charge(charge):
            yield f".{name}", charge


def _mobile_sites(value: Any) -> Wrong:
    for place, entry in _entries(value):
        if not isinstance(entry, dict):
            yield place, entry
            continue
        occupancy, xyz = entry.get("occupancy"), entry.get("xyz")
        if occupancy is not None and (not _is_number(occupancy) or not 0 <= occupancy <= 1):
            yield f"{place}.occupancy", occupancy
        if xyz is not None and not (isinstance(xyz, list) and len(xyz) == 3 and all(map(_is_number, xyz))):
            yield f"{place}.xyz", xyz


def _dopable_sites(value: Any) -> Wrong:
    for place, entry in _entries(value):
        if not isinstance(entry, dict) or not isinstance(entry.get("sites") or [], list):
            yield place, entry
            continue
        for inner, found in _charges(entry.get("dopants") or {}):
            yield f"{place}.dopants{inner}", found


def _polyanions(value: Any) -> Wrong:
    for place, entry in _entries(value):
        if not (
            isinstance(entry, list) and len(entry) == 3 and _is_number(entry[2]) and all(map(_is_species, entry[:2]))
        ):
            yield place, entry


def _groups(value: Any) -> Wrong:
    for place, entry in _entries(value):
        if not isinstance(entry, dict) or not isinstance(entry.get("absorbs") or [], list):
            yield place, entry


def _distances(value: Any) -> Wrong:
    if not isinstance(value, dict):
        yield "", value
        return
    for name, distance in value.items():
        if not _is_number(distance) or distance <= 0:
            yield f".{name}", distance


def _entries(value: Any) -> Wrong:
    """Places and entries of a list; what is no list comes as itself."""
    if not isinstance(value, list):
        yield "", value
        return
    for k, entry in enumerate(value):
        yield f"[{k}]", entry


_CHECKS: dict[str, Callable[[Any], Wrong]] = {
    "formula": _formula,
    "mobile_ion": _element,
    "oxidation_states": _charges,
    "z": _whole,
    "mobile_sites": _mobile_sites,
    "dopable_sites": _dopable_sites,
    "polyanions": _polyanions,
    "groups": _groups,
    "exclusion_distances_A": _distances,
}
