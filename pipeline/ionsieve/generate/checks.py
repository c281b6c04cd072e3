"""Checks on a generated structure: each with its number, its bounds and whether it holds."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ionsieve.generate.assembly import Assembled
from ionsieve.generate.groups import GROUPS
from ionsieve.generate.ions import bond_valence_r0_A, radius_A
from ionsieve.generate.neighbours import pair_list
from ionsieve.generate.packing import exclusion_A
from ionsieve.generate.prototypes import Prototype
from ionsieve.generate.settings import CheckSettings
from ionsieve.records.candidate import Candidate, Check
from ionsieve.units import AVOGADRO_PER_MOL
from ionsieve.verdicts import Flag, Outcome

__all__ = ["check_structure", "density_g_per_cm3", "global_instability_index"]

Floats = NDArray[np.float64]
#: Bonds longer than this do not count into a bond-valence sum, Å.
BOND_CUTOFF_A = 4.5
BOND_SOFTNESS_A = 0.37
#: Part of the exclusion distance that two ions must keep: crowded ones are moved apart until they meet others.
CROWDING = 0.9


def density_g_per_cm3(symbols: tuple[str, ...], volume_A3: float) -> float:
    """Mass density."""
    from ase.data import atomic_masses, atomic_numbers

    mass = sum(float(atomic_masses[atomic_numbers[s]]) for s in symbols)
    return mass / AVOGADRO_PER_MOL / (volume_A3 * 1e-24)


def global_instability_index(
    symbols: tuple[str, ...], states: Floats, i: NDArray[np.int64], j: NDArray[np.int64], distance: Floats
) -> tuple[float | None, dict[str, float]]:
    """Return the rms deviation of the bond-valence sums from the formal charges, and the mean sum by element.

        s = exp((R0 - d) / b),  V_i = Σ_j s_ij over neighbours of opposite charge,  GII = sqrt(mean((V_i - |q_i|)²))

    with R0 of O'Keeffe and Brese (1991), b = 0.37 Å. None when a parameter is missing.

    References
    ----------
    A. Salinas-Sanchez et al., J. Solid State Chem. 100 (1992) 201.
    """
    if any(s == "H" and q < 0 for s, q in zip(symbols, states, strict=True)):
        return None, {}  # the parameters are those of protons, not of hydrides
    opposite = states[i] * states[j] < 0
    names = sorted(set(symbols))
    table = np.full((len(names), len(names)), np.nan)
    for a, x in enumerate(names):
        for b, y in enumerate(names):
            r0 = bond_valence_r0_A(x, y)
            table[a, b] = np.nan if r0 is None else r0
    code = np.array([names.index(s) for s in symbols])
    r0 = table[code[i[opposite]], code[j[opposite]]]
    if np.isnan(r0).any():
        return None, {}
    sums = np.bincount(i[opposite], weights=np.exp((r0 - distance[opposite]) / BOND_SOFTNESS_A), minlength=len(symbols))
    by_element = {s: round(float(sums[code == k].mean()), 3) for k, s in enumerate(names)}
    return float(np.sqrt(np.mean((sums - np.abs(states)) ** 2))), by_element


@lru_cache(maxsize=256)
def prototype_gii(prototype: Prototype) -> float | None:
    """Global instability index of the prototype's average structure, bonds weighted by the occupancies.

    None when a parameter is missing or a cluster anion is present.
    """
    sites = [s for s in prototype.sites if s.occupancy]
    if any(sp in GROUPS for s in sites for sp in s.occupancy):
        return None
    points = np.vstack([s.positions for s in sites]) @ prototype.cell
    owner = [s for s in sites for _ in range(s.multiplicity)]
    i, j, distance, _ = pair_list(points, prototype.cell, BOND_CUTOFF_A)
    total, weight = 0.0, 0.0
    start = 0
    for site in sites:  # one position stands for all of a site
        rows = (i == start) & (distance > 0.7)
        start += site.multiplicity
        for species, fraction in site.occupancy.items():
            q = prototype.charges[species]
            valence = 0.0
            for k, d in zip(j[rows], distance[rows], strict=True):
                for other, part in owner[k].occupancy.items():
                    if q * prototype.charges[other] < 0:
                        r0 = bond_valence_r0_A(species, other)
                        if r0 is None:
                            return None
                        valence += part * math.exp((r0 - float(d)) / BOND_SOFTNESS_A)
            total += site.multiplicity * fraction * (valence - abs(q)) ** 2
            weight += site.multiplicity * fraction
    return math.sqrt(total / weight)


def check_structure(
    candidate: Candidate, prototype: Prototype, assembled: Assembled, settings: CheckSettings
) -> tuple[tuple[Check, ...], Outcome, str, tuple[Flag, ...]]:
    """Return the checks, and what follows from them: outcome with reason, and flags."""
    structure = assembled.structure
    symbols = structure.symbols
    states = np.array(structure.oxidation_states)
    cell = np.array(structure.lattice_A)
    volume = abs(float(np.linalg.det(cell)))
    i, j, distance, _ = pair_list(np.array(structure.positions_A), cell, BOND_CUTOFF_A)
    groups = np.array(assembled.group_of)
    checks: list[Check] = []
    flags: list[Flag] = []
    total = float(states.sum())
    checks.append(Check(name="neutrality", passed=abs(total) < 1e-6, value=total, unit="e", bounds="0"))
    contact, failed = _distances(symbols, states, groups, i, j, distance, settings)
    checks.append(contact)
    gii, sums = global_instability_index(symbols, states, i, j, distance)
    if gii is not None:
        detail = "mean bond-valence sums: " + ", ".join(f"{s} {v:.2f}" for s, v in sums.items())
        reference = prototype_gii(prototype)
        limit = max(settings.max_gii, (reference or 0.0) + settings.max_gii_above_prototype)
        passed = gii <= limit
        if reference is not None:
            detail += f"; average structure of the prototype {reference:.3f}"
        checks.append(Check(name="global instability index", passed=passed, value=round(gii, 4), unit="v.u.",
                            bounds=f"<= {limit:.3g}", detail=detail))  # fmt: skip
        if not passed:
            flags.append(Flag.BOND_VALENCE)
    checks.append(_density(candidate, prototype, symbols, volume, settings))
    polyanions = _coordination(candidate, symbols, states, i, j, distance)
    if polyanions is not None:
        checks.append(polyanions)
        if not polyanions.passed:
            flags.append(Flag.POLYANION_STRAINED)
    crowding, crowded = _exclusions(candidate, prototype, structure.site_labels, groups, i, j, distance)
    if crowding is not None:
        if assembled.moved_A > 1e-3:
            moved = f"neighbours of crowded sites moved aside by up to {assembled.moved_A:.2f} Å"
            crowding = crowding.model_copy(update={"detail": f"{crowding.detail}; {moved}"})
        checks.append(crowding)
    for entry in candidate.provenance.get("composition_checks", []):
        checks.append(Check.model_validate(entry))
    outcome, reason = Outcome.COMPLETED, ""
    if not checks[0].passed:
        outcome, reason = Outcome.NOT_NEUTRAL, f"the cell carries {total:+g} charges"
    elif failed or crowded:
        outcome, reason = Outcome.BAD_GEOMETRY, failed or crowded
        flags.append(Flag.SHORT_CONTACT)
    return tuple(checks), outcome, reason, tuple(flags)


def _distances(
    symbols: tuple[str, ...],
    states: Floats,
    groups: NDArray[np.int64],
    i: NDArray[np.int64],
    j: NDArray[np.int64],
    distance: Floats,
    settings: CheckSettings,
) -> tuple[Check, str]:
    """Shortest distance of every pair of species against the sum of the radii; atoms of one cluster anion left out."""
    inside = (groups[i] >= 0) & (groups[i] == groups[j])
    kinds = sorted({(s, q) for s, q in zip(symbols, states.tolist(), strict=True)})
    code = np.array([kinds.index((s, q)) for s, q in zip(symbols, states.tolist(), strict=True)])
    shortest: dict[str, float] = {}
    worst: tuple[float, str, float, float] | None = None
    for a, (x, qx) in enumerate(kinds):
        for b in range(a, len(kinds)):
            y, qy = kinds[b]
            rows = distance[(code[i] == a) & (code[j] == b) & ~inside]
            if not len(rows):
                continue
            d = float(rows.min())
            shortest[f"{x}-{y}"] = min(round(d, 3), shortest.get(f"{x}-{y}", 99.0))
            if qx * qy < 0:
                rx, ry = (max(radius_A(s, round(q), 4) or 1.2, 0.1) for s, q in ((x, qx), (y, qy)))
                limit = settings.min_distance_fraction * (rx + ry)
            else:
                limit = settings.min_like_charge_A
            if worst is None or d / limit < worst[0]:
                worst = (d / limit, f"{x}-{y}", d, limit)
    if worst is None:
        return Check(name="shortest distances", passed=True), ""
    ratio, pair, d, limit = worst
    text = ", ".join(f"{k} {v:.3f}" for k, v in sorted(shortest.items(), key=lambda kv: kv[1])[:12])
    check = Check(name="shortest distances", passed=ratio >= 1, value=round(d, 4), unit="Å",
                  bounds=f"{pair} >= {limit:.2f}", detail=text)  # fmt: skip
    return check, "" if ratio >= 1 else f"{pair} {d:.2f} Å apart, less than {limit:.2f} Å"


def _exclusions(
    candidate: Candidate,
    prototype: Prototype,
    labels: tuple[str, ...],
    groups: NDArray[np.int64],
    i: NDArray[np.int64],
    j: NDArray[np.int64],
    distance: Floats,
) -> tuple[Check | None, str]:
    """Ions on sites that exclude each other keep their distance, the cell's scale taken into account."""
    names = sorted(set(labels))
    limit = np.array([[exclusion_A(prototype, a, b) for b in names] for a in names])
    limit *= float(candidate.provenance["spec"]["cell_scale"])
    code = np.array([names.index(label) for label in labels])
    least = limit[code[i], code[j]]
    rows = np.flatnonzero((least > 0) & ((groups[i] < 0) | (groups[i] != groups[j])))
    if not len(rows):
        return None, ""
    k = rows[int(np.argmin(distance[rows] / least[rows]))]
    a, b, d, bound = labels[i[k]], labels[j[k]], float(distance[k]), float(CROWDING * least[k])
    check = Check(name="exclusive sites", passed=d >= bound, value=round(d, 4), unit="Å", bounds=f">= {bound:.2f}",
                  detail=f"nearest ions on sites that exclude each other: {a} and {b}")  # fmt: skip
    return check, "" if d >= bound else f"ions on {a} and {b} are {d:.2f} Å apart, less than {bound:.2f} Å"


def _density(
    candidate: Candidate, prototype: Prototype, symbols: tuple[str, ...], volume_A3: float, settings: CheckSettings
) -> Check:
    density = density_g_per_cm3(symbols, volume_A3)
    reference = 0.0
    parent_volume = abs(float(np.linalg.det(prototype.cell)))
    for species, amount in prototype.composition.items():
        parts = GROUPS[species].symbols if species in GROUPS else (species,)
        reference += amount * prototype.z * density_g_per_cm3(parts, parent_volume)
    change = density / reference - 1.0
    passed = abs(change) <= settings.max_density_change
    return Check(name="density", passed=passed, value=round(density, 4), unit="g/cm³",
                 bounds=f"{reference:.3f} ± {100 * settings.max_density_change:.0f} %",
                 detail=f"{100 * change:+.1f} % against {prototype.formula} at the prototype's cell")  # fmt: skip


def _coordination(
    candidate: Candidate,
    symbols: tuple[str, ...],
    states: Floats,
    i: NDArray[np.int64],
    j: NDArray[np.int64],
    distance: Floats,
) -> Check | None:
    """Every polyanion centre keeps the number of ligands that its element has most often."""
    names = np.array(symbols)
    centres = {a for a, _, _ in candidate.polyanions}
    found: dict[str, list[int]] = {}
    for centre in sorted(centres):
        bound = np.zeros(len(i), dtype=bool)
        for a, b, cutoff in candidate.polyanions:
            if a == centre:
                bound |= (names[i] == a) & (names[j] == b) & (distance <= cutoff)
        numbers = np.bincount(i[bound], minlength=len(symbols))
        sign = 1.0 if centre not in ("O", "N", "S", "C") else 0.0
        found[centre] = [
            int(numbers[k]) for k in np.flatnonzero(names == centre) if states[k] * sign > 0 or numbers[k] > 0
        ]
    found = {c: n for c, n in found.items() if n}
    if not found:
        return None
    broken = {c: sum(x != max(set(n), key=n.count) for x in n) for c, n in found.items()}
    text = ", ".join(f"{c} {min(n)}" if min(n) == max(n) else f"{c} {min(n)}-{max(n)}" for c, n in found.items())
    return Check(name="polyanion coordination", passed=not any(broken.values()), value=float(sum(broken.values())),
                 bounds="0 centres that differ", detail=text)  # fmt: skip
