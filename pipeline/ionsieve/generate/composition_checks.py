"""Flags that follow from the composition alone: radius mismatch, tolerance factor, composition error."""

from __future__ import annotations

import math

from ionsieve.generate import ions
from ionsieve.generate.groups import GROUP_RADII_A
from ionsieve.generate.ions import radius_A
from ionsieve.generate.settings import CheckSettings
from ionsieve.generate.supercells import Plan
from ionsieve.generate.targets import Target
from ionsieve.records.candidate import Check
from ionsieve.verdicts import Flag

__all__ = ["composition_checks", "radius_mismatch", "tolerance_factor"]


def radius_mismatch(target: Target) -> dict[str, float]:
    """Relative radius difference (r_dopant - r_host) / r_host of each substitution, where both radii are known."""
    out = {}
    for change in target.substitutions:
        site = target.prototype.site(change.labels[0])
        host = change.host if change.host in target.charges and change.host in site.occupancy else None
        host = host or max(site.occupancy, key=lambda s: (site.occupancy[s], s))
        entry = next((d for d in target.prototype.dopable if change.labels[0] in d.sites), None)
        coordination = 4 if entry and "tetrahedral" in entry.coordination else 6
        charge, own = target.charges[change.dopant], target.charges.get(host, 0)
        value = ions.radius_mismatch(change.dopant, charge, host, own, coordination)
        if value is not None:
            out[f"{change.dopant} on {host}"] = value
    return out


def tolerance_factor(target: Target) -> float | None:
    """Goldschmidt factor t = (r_A + r_X) / (sqrt 2 (r_A + r_O)) of an anti-perovskite A3OX, with site averages.

    None for other structures, or when a radius is unknown.
    """
    prototype = target.prototype
    if prototype.family != "antiperovskite" or "Pm-3m" not in prototype.space_group:
        return None
    framework = [s for s in target.sublattices if s is not target.mobile]
    centre = next((s for s in framework if "O1" in s.capacity), None)
    cage = next((s for s in framework if s is not centre), None)
    if centre is None or cage is None:
        return None
    radii = []
    for sublattice, coordination in ((target.mobile, 6), (centre, 6), (cage, 6)):
        total, weight = 0.0, 0.0
        for species, amount in sublattice.amounts.items():
            radius = GROUP_RADII_A.get(species) or radius_A(species, target.charges[species], coordination)
            if radius is None:
                return None
            total, weight = total + amount * radius, weight + amount
        if weight <= 0:
            return None
        radii.append(total / weight)
    a, o, x = radii
    return (a + x) / (math.sqrt(2.0) * (a + o))


def composition_checks(
    target: Target, plan: Plan | None, settings: CheckSettings
) -> tuple[tuple[Check, ...], tuple[Flag, ...]]:
    """Checks and flags of a candidate before any structure is made."""
    checks, flags = [], []
    if plan is not None and plan.counts.error > 1e-6:
        flags.append(Flag.COMPOSITION_ERROR)
    mismatch = radius_mismatch(target)
    if mismatch:
        worst = max(mismatch, key=lambda k: abs(mismatch[k]))
        passed = abs(mismatch[worst]) <= settings.max_radius_mismatch
        checks.append(
            Check(
                name="ionic radius mismatch",
                passed=passed,
                value=round(100 * mismatch[worst], 2),
                unit="%",
                bounds=f"within ±{100 * settings.max_radius_mismatch:g} %",
                detail=", ".join(f"{k} {100 * v:+.1f} %" for k, v in mismatch.items()),
            )
        )
        if not passed:
            flags.append(Flag.RADIUS_MISMATCH)
    factor = tolerance_factor(target)
    if factor is not None:
        low, high = settings.tolerance_factor
        passed = low <= factor <= high
        checks.append(
            Check(
                name="Goldschmidt tolerance factor",
                passed=passed,
                value=round(factor, 4),
                bounds=f"{low:g} to {high:g}",
            )
        )
        if not passed:
            flags.append(Flag.TOLERANCE_FACTOR)
    return tuple(checks), tuple(flags)
