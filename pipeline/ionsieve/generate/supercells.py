"""Supercells: whole atoms that realise a target composition, in a cell of sufficient image distance."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ionsieve.generate.groups import GROUPS
from ionsieve.generate.lattice import best_superlattices, densest_image_distance_A, shortest_vector_A
from ionsieve.generate.packing import capacity
from ionsieve.generate.prototypes import Prototype
from ionsieve.generate.settings import SupercellSettings
from ionsieve.generate.targets import INTERSTITIAL, MOBILE, Sublattice, Target, fits_on_labels

__all__ = ["Counts", "NotRealisable", "Plan", "count_atoms", "realise"]

EPSILON = 1e-6
#: At most this many ways of rounding are tried a cell.
MAX_ROUNDINGS = 4096


class NotRealisable(Exception):  # noqa: N818 - a finding, not a fault: expand turns it into a refused candidate
    """No supercell realises the composition; the message names the nearest that would."""


@dataclass(frozen=True)
class Counts:
    """Whole atoms of each sublattice: species to number, vacancies as `""`.

    `site_deviation` names the framework site and species whose share of the sublattice lies farthest from the target.
    """

    by_sublattice: dict[str, dict[str, int]]
    error: float
    worst: str
    charge: int
    site_deviation: dict[str, str | float] = field(default_factory=dict)

    def totals(self) -> dict[str, int]:
        """Species to number over all sublattices, vacancies left out."""
        out: dict[str, int] = {}
        for counts in self.by_sublattice.values():
            for species, n in counts.items():
                if species and n:
                    out[species] = out.get(species, 0) + n
        return out

    @property
    def n_atoms(self) -> int:
        """Atoms, those of cluster anions counted."""
        return sum(n * (len(GROUPS[s].symbols) if s in GROUPS else 1) for s, n in self.totals().items())


@dataclass(frozen=True)
class Plan:
    """The chosen cell and its atoms.

    Attributes
    ----------
    matrix
        Integer rows in units of the primitive vectors.
    formula_units
        In the cell.
    min_image_A, scale
        Image distance of the scaled cell, and the factor on the prototype's lengths.
    alternatives
        Other sizes that were weighed, with atoms, error and image distance: the trade-off.
    """

    matrix: NDArray[np.int64]
    formula_units: int
    counts: Counts
    min_image_A: float
    scale: float
    alternatives: list[dict[str, float | int | None]] = field(default_factory=list)


def _roundings(sublattice: Sublattice, units: float) -> list[dict[str, int]]:
    """Ways of rounding a sublattice to whole atoms: each species down or up, the main one takes the rest."""
    sites = round(sum(sublattice.capacity.values()) * units)
    amounts = {s: a * units for s, a in sublattice.amounts.items() if a > EPSILON}
    vacant = sites - sum(amounts.values())
    if vacant > 1e-4 * sites:
        amounts[""] = vacant
    if not amounts:
        return [{"": sites}]
    main = max(amounts, key=lambda s: (amounts[s], s))
    others = [s for s in amounts if s != main]
    choices = []
    for species in others:
        low = math.floor(amounts[species] + 1e-4)
        high = math.ceil(amounts[species] - 1e-4)
        choices.append(sorted({low, high}))
    out = []
    for pick in itertools.islice(itertools.product(*choices), MAX_ROUNDINGS):
        rest = sites - sum(pick)
        counts = {**dict(zip(others, pick, strict=True)), main: rest}
        if rest >= 0 and fits_on_labels(sublattice, counts, units):
            out.append(counts)
    return out


def _site_deviation(framework: list[Sublattice], pick: tuple[dict[str, int], ...]) -> tuple[float, dict[str, Any]]:
    """Sum of squares of the deviations of the shares, and the largest with its place."""
    total, largest, where = 0.0, 1e-9, {}
    for sublattice, counts in zip(framework, pick, strict=True):
        sites, positions = sum(counts.values()), sum(sublattice.capacity.values())
        for species, n in counts.items():
            if not species or not sites:
                continue
            wanted, got = sublattice.amounts[species] / positions, n / sites
            total += (got - wanted) ** 2
            if abs(got - wanted) > largest:
                largest = abs(got - wanted)
                where = {
                    "sites": "/".join(sublattice.capacity),
                    "species": species,
                    "target": round(wanted, 6),
                    "realised": round(got, 6),
                }
    return total, where


def _mobile_roundings(target: Target, units: float, charge: int) -> list[dict[str, dict[str, int]]]:
    """Whole atoms of the mobile and the interstitial sublattice that neutralise `charge` of the rest."""
    mobile, ion = target.mobile, target.mobile_ion
    sites = round(sum(mobile.capacity.values()) * units)
    most = int(capacity(target.prototype, tuple(mobile.capacity)) * units + 1e-6)
    crowded = next((s for s in target.sublattices if s.name == INTERSTITIAL), None)
    more = round(sum(crowded.capacity.values()) * units) if crowded else 0
    z = target.charges[ion]
    dopants = [s for s, a in mobile.amounts.items() if s != ion and a > EPSILON]
    choices = []
    for species in dopants:
        exact = mobile.amounts[species] * units
        choices.append(sorted({math.floor(exact + 1e-4), math.ceil(exact - 1e-4)}))
    out = []
    for pick in itertools.product(*choices):
        held = sum(n * target.charges[s] for n, s in zip(pick, dopants, strict=True))
        count, rest = divmod(-(charge + held), z)
        regular = min(count, most - sum(pick))
        if rest or count < 0 or regular < 0 or count - regular > more:
            continue
        placed = {MOBILE: {**dict(zip(dopants, pick, strict=True)), ion: regular, "": sites - sum(pick) - regular}}
        if crowded:
            placed[INTERSTITIAL] = {ion: count - regular, "": more - count + regular}
        if fits_on_labels(mobile, placed[MOBILE], units):
            out.append(placed)
    return out


def count_atoms(target: Target, units: float) -> Counts | None:
    """Return the neutral whole-atom composition nearest to the target in `units` formula units, or None.

    The error is the largest relative deviation of a species' amount from what was asked for. Among equal ones the
    distribution over the sites nearest to the target's is taken.
    """
    wanted = target.stated or target.composition
    framework = [s for s in target.sublattices if s.name not in (MOBILE, INTERSTITIAL)]
    best: Counts | None = None
    best_key: tuple[float, float, float, tuple[int, ...]] | None = None
    options = [_roundings(s, units) for s in framework]
    for pick in itertools.islice(itertools.product(*options), MAX_ROUNDINGS):
        charge = sum(n * target.charges[s] for counts in pick for s, n in counts.items() if s)
        spread, where = _site_deviation(framework, pick)
        for mobile in _mobile_roundings(target, units, charge):
            by_sublattice = dict(mobile)
            by_sublattice.update({s.name: c for s, c in zip(framework, pick, strict=True)})
            counts = Counts(by_sublattice, 0.0, "", 0)
            totals = counts.totals()
            errors = {s: abs(totals.get(s, 0) / units - a) / a for s, a in wanted.items()}
            worst = max(errors, key=lambda s: (errors[s], s))
            key = (
                round(errors[worst], 9),
                round(sum(errors.values()), 9),
                round(spread, 9),
                tuple(totals.get(s, 0) for s in wanted),
            )
            if best_key is None or key < best_key:
                best_key, best = key, Counts(by_sublattice, float(key[0]), worst, 0, where)
    return best


@lru_cache(maxsize=4096)
def _cells_of_index(prototype: Prototype, index: int) -> list[tuple[NDArray[np.int64], float]]:
    return best_superlattices(prototype.cell, prototype.primitive, index)


def _cell_of_index(prototype: Prototype, index: int, min_image_A: float) -> tuple[NDArray[np.int64], float] | None:
    """The preferred superlattice of an index whose image distance is at least `min_image_A` (unscaled cell)."""
    if densest_image_distance_A(prototype.primitive @ prototype.cell, index) < min_image_A:
        return None
    return next((c for c in _cells_of_index(prototype, index) if c[1] >= min_image_A - 1e-4), None)


def realise(target: Target, settings: SupercellSettings, *, scale: float = 1.0) -> Plan:
    """Choose the supercell.

    Parameters
    ----------
    scale
        Factor on the lengths of the prototype's cell; image distances are those of the scaled cell.

    Raises
    ------
    NotRealisable
        When none within the limits realises the composition; the message states the nearest.
    """
    prototype = target.prototype
    per_primitive = prototype.formula_units_per_primitive
    small = prototype.primitive @ prototype.cell
    rows = settings.matrix
    if rows is not None:
        matrix = np.array(rows, dtype=np.int64)
        if settings.of == "conventional":
            matrix = matrix @ np.round(np.linalg.inv(prototype.primitive)).astype(np.int64)
        units = abs(float(np.linalg.det(matrix))) * per_primitive
        if not _whole(units):
            raise NotRealisable(
                f"the given supercell holds {units:g} formula units of {prototype.formula}, and whole ones are needed: "
                f"take a larger matrix, or state the prototype's formula and z for the primitive cell, which holds "
                f"{per_primitive:g} of {prototype.formula}"
            )
        counts = count_atoms(target, units)
        if counts is None or counts.error > settings.composition_tolerance + 1e-9:
            raise NotRealisable(_too_coarse(target, counts, units, settings, "the given supercell"))
        if not counts.totals().get(target.mobile_ion, 0):
            raise NotRealisable(f"the given supercell holds no {target.mobile_ion}: nothing could move in it")
        return Plan(matrix, round(units), counts, round(scale * shortest_vector_A(matrix @ small), 4), scale)
    sites = sum(sum(s.amounts.values()) for s in target.sublattices) * per_primitive
    weighed: list[dict[str, float | int | None]] = []
    nearest: tuple[float, Counts, float] | None = None
    largest = int(settings.max_atoms / max(sites, 1.0)) + 1
    for index in range(1, largest + 1):
        units = index * per_primitive
        if not _whole(units):  # a formula of several primitive cells
            continue
        counts = count_atoms(target, units)
        if counts is None or counts.n_atoms > settings.max_atoms:
            continue
        if counts.totals().get(target.mobile_ion, 0) < settings.min_mobile_ions:
            continue
        found = _cell_of_index(prototype, index, settings.min_image_A / scale)
        if found is not None and (nearest is None or counts.error < nearest[0] - 1e-9):
            nearest = (counts.error, counts, units)
        fits = counts.error <= settings.composition_tolerance + 1e-9
        if fits or (nearest is not None and nearest[2] == units):
            weighed.append(
                {
                    "formula_units": round(units),
                    "n_atoms": counts.n_atoms,
                    "composition_error": counts.error,
                    "min_image_A": round(scale * found[1], 4) if found else None,
                }
            )
        if fits and found is not None:
            return Plan(found[0], round(units), counts, round(scale * found[1], 4), scale, weighed[-8:-1])
    if nearest is None:
        raise NotRealisable(
            f"no cell of at most {settings.max_atoms} atoms has images {settings.min_image_A:g} Å apart; raise "
            "max_atoms or lower min_image_A"
        )
    raise NotRealisable(
        _too_coarse(target, nearest[1], nearest[2], settings, f"cells of at most {settings.max_atoms} atoms")
    )


def _whole(units: float) -> bool:
    return units > 0.5 and abs(units - round(units)) < 1e-6


def _too_coarse(target: Target, counts: Counts | None, units: float, settings: SupercellSettings, where: str) -> str:
    if counts is None:
        return f"{where}: no neutral set of whole atoms fits on the sites"
    nearest = counts.totals().get(counts.worst, 0) / units
    wanted = (target.stated or target.composition)[counts.worst]
    return (
        f"{where} cannot hold {wanted:g} {counts.worst} a formula unit within "
        f"{100 * settings.composition_tolerance:g} %: the nearest is {nearest:.4g} ({counts.n_atoms} atoms, "
        f"{100 * counts.error:.3g} % off); {'take a larger matrix' if settings.matrix else 'raise max_atoms'}, raise "
        f"composition_tolerance, or ask for an amount {f'like {nearest:.4g}' if nearest else 'that is larger'}"
    )
