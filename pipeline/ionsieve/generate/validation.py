"""What is wrong with a prototype's files: every problem at once, each with what mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ionsieve.errors import InputError, Problem, Problems
from ionsieve.generate.cif import CifStructure, read_cif
from ionsieve.generate.formula import flatten, parse_formula
from ionsieve.generate.groups import GROUPS
from ionsieve.generate.schema import REQUIRED, check_form

__all__ = ["REQUIRED", "problems_of"]


def problems_of(path: Path) -> list[Problem]:
    """Check YAML and CIF against the schema and against each other.

    Returns
    -------
    list
        One `Problem` each; empty when the prototype can be used.
    """
    from ionsieve.generate.prototypes import read_yaml

    problems = Problems()
    try:
        data = read_yaml(path)
    except InputError as error:
        return [error.problem]
    for key, meaning in REQUIRED.items():
        if data.get(key) in (None, "", [], {}):
            problems.add(f"{key!r} is missing", where=str(path), key=key, expected=meaning)
    cif_path = path.with_suffix(".cif")
    if not cif_path.is_file():
        problems.add("there is no CIF beside the YAML", where=str(path), expected=str(cif_path))
        return problems.found
    try:
        cif = read_cif(cif_path)
    except InputError as error:
        return [*problems.found, error.problem]
    check_form(path, data, problems)
    if problems.found:
        return problems.found
    try:
        _check_labels(path, data, cif, problems)
        if not problems.found:
            _check_amounts(path, data, cif, problems)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        problems.add(
            f"an entry has the wrong form: {error!r}", where=str(path), remedy="compare with a shipped prototype"
        )
    return problems.found


def _check_labels(path: Path, data: dict[str, Any], cif: CifStructure, problems: Problems) -> None:
    from ionsieve.generate.prototypes import site_label

    where = str(path)
    labels = {row.label for row in cif.rows} | {site_label(row.label) for row in cif.rows}
    charges = data["oxidation_states"]
    for row in cif.rows:
        if row.element not in charges:
            problems.add(
                f"{row.element} (site {row.label}) has no oxidation state", where=where, key="oxidation_states"
            )
        if not 0 < row.occupancy <= 1.0001:
            problems.add("an occupancy must lie in (0, 1]", where=str(path.with_suffix(".cif")), key=row.label,
                         found=f"{row.occupancy:g}")  # fmt: skip
    mobile = [row for row in cif.rows if row.element == data["mobile_ion"]]
    listed = {m.get("label") for m in data["mobile_sites"]}
    for row in mobile:
        if row.label not in listed:
            problems.add(f"the CIF has the mobile ion on {row.label}, which `mobile_sites` does not list", where=where,
                         key="mobile_sites",
                         remedy=f"add {{label: {row.label}, occupancy: {row.occupancy:g}}}")  # fmt: skip
    for k, entry in enumerate(data["mobile_sites"]):
        if "label" not in entry:
            problems.add("a mobile site needs a label", where=where, key=f"mobile_sites[{k}]")
        elif entry["label"] not in labels and float(entry.get("occupancy") or 0) > 0:
            problems.add(f"no site {entry['label']!r} in the CIF", where=where, key=f"mobile_sites[{k}].label",
                         expected=", ".join(sorted(labels)))  # fmt: skip
    for k, entry in enumerate(data.get("dopable_sites") or []):
        for label in entry.get("sites") or [entry.get("label")]:
            if label not in labels:
                problems.add(f"no site {label!r} in the CIF", where=where, key=f"dopable_sites[{k}]",
                             expected=", ".join(sorted(labels)))  # fmt: skip
    for k, entry in enumerate(data.get("groups") or []):
        if entry.get("group") not in GROUPS:
            problems.add(f"unknown cluster anion {entry.get('group')!r}", where=where, key=f"groups[{k}].group",
                         expected=", ".join(GROUPS))  # fmt: skip
        for label in (entry.get("site"), *entry.get("absorbs", [])):
            if label not in labels:
                problems.add(f"no site {label!r} in the CIF", where=where, key=f"groups[{k}]")


def _check_amounts(path: Path, data: dict[str, Any], cif: CifStructure, problems: Problems) -> None:
    from ionsieve.generate.prototypes import build

    where = str(path)
    prototype = build(path, data, cif, "")
    z = prototype.z
    have = flatten(prototype.composition)
    want = flatten(parse_formula(str(data["formula"])))
    for element in sorted(set(have) | set(want)):
        found, expected = have.get(element, 0.0), want.get(element, 0.0)
        if abs(found - expected) > 0.01 * max(1.0, expected):
            problems.add(f"the CIF holds {found:.4g} {element} a formula unit, the formula says {expected:.4g}",
                         where=where, key="z", cause="z, an occupancy or a site", found=f"{z}")  # fmt: skip
    charge = sum(amount * prototype.charges[s] for s, amount in prototype.composition.items())
    if abs(charge) > 0.02:
        problems.add(f"the average structure is not neutral: {charge:+.3f} a formula unit", where=where,
                     key="oxidation_states",
                     remedy="mend the oxidation states or the occupancy of the mobile ion")  # fmt: skip
    for k, entry in enumerate(prototype.dopable):
        hosts = {sp: prototype.charges[sp] for label in entry.sites for sp in prototype.site(label).occupancy}
        for dopant, charge in entry.dopants.items():
            if any(charge * own < 0 for own in hosts.values()):
                problems.add(f"{dopant} ({charge:+d}) cannot stand on the site of {' and '.join(hosts)}", where=where,
                             key=f"dopable_sites[{k}].dopants.{dopant}",
                             cause="cations replace cations and anions replace anions")  # fmt: skip
    for site in prototype.sites:
        total = sum(site.occupancy.values())
        if total > 1.001:
            problems.add(
                f"site {site.label} is filled to {total:.3f}", where=str(path.with_suffix(".cif")), key=site.label
            )
    points = np.vstack([s.positions for s in prototype.sites])
    owner = [s for s in prototype.sites for _ in range(s.multiplicity)]
    delta = points[:, None] - points[None]
    delta -= np.round(delta)
    distance = np.linalg.norm(delta @ prototype.cell, axis=2)
    seen = set()
    for i, j in np.argwhere(np.triu(distance < 0.9, 1)):
        a, b = owner[i], owner[j]
        key = tuple(sorted((a.label, b.label)))
        if key in seen or not (a.occupancy and b.occupancy):
            continue
        if sum(a.occupancy.values()) + sum(b.occupancy.values()) > 1.02:
            seen.add(key)
            problems.add(f"{a.label} and {b.label} are {distance[i, j]:.3f} Å apart and both filled", where=where,
                         cause="a general position instead of a special one, or a coordinate's wrong sign")  # fmt: skip
