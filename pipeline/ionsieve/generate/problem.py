"""The ordering problem as arrays: which species may stand where, and what that costs.

    E(s) = E0 + Σ_i h_i q(s_i) + ½ Σ_ij M_ij q(s_i) q(s_j) + ½ Σ_ij C_ij o(s_i) o(s_j)

q charge and o occupation (1 for an ion, 0 for a vacancy) of the species s_i on active site i, M the Ewald matrix, h the
field of the fixed sites, C the cost of two ions on sites that exclude each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ionsieve.errors import BugError
from ionsieve.generate.ewald import ewald_matrix
from ionsieve.generate.sites import SiteTable
from ionsieve.records.candidate import Candidate

__all__ = ["OrderingProblem", "build_problem"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Cost in eV of a pair of ions on exclusive sites: a step, and a slope with the overlap in Å.
CLASH_EV, CLASH_EV_PER_A = 30.0, 30.0


@dataclass(frozen=True, eq=False)
class OrderingProblem:
    """One candidate's cell, ready to be ordered.

    Attributes
    ----------
    active
        (n,) indices of the active sites in the site table, sorted.
    species
        Names; vacancy is ``""``.
    charge, occupied
        (n_species,) charge number, and 1.0 for an ion or 0.0 for a vacancy.
    sublattice
        (n,) index of the sublattice of each active site.
    counts
        (n_sublattices, n_species).
    allowed
        (n_species, n) bool.
    fixed
        Site index to species for the sites that are not active.
    matrix, field, clash, constant_eV
        M (n, n), h (n,), C (n, n) and E0.
    permutations
        (n_operations, n): symmetry of the supercell on the active sites.
    """

    table: SiteTable
    active: Ints
    species: tuple[str, ...]
    charge: Floats
    occupied: Floats
    sublattice: Ints
    counts: Ints
    allowed: NDArray[np.bool_]
    fixed: dict[int, str]
    matrix: Floats
    field: Floats
    clash: Floats
    constant_eV: float
    permutations: Ints

    @property
    def n_active(self) -> int:
        """Number of active sites."""
        return len(self.active)

    def energy_eV(self, states: Ints) -> Floats:
        """(R,) electrostatic energies of occupations (R, n), clashes left out."""
        q = self.charge[states]
        return np.asarray(self.constant_eV + q @ self.field + 0.5 * np.einsum("ri,ri->r", q @ self.matrix, q))

    def clashes(self, states: Ints) -> Ints:
        """(R,) pairs of ions on exclusive sites."""
        o = self.occupied[states]
        return np.asarray(np.round(0.5 * np.einsum("ri,ri->r", o @ (self.clash > 0).astype(float), o)).astype(np.int64))

    def log_arrangements(self) -> float:
        """Natural logarithm of the number of arrangements, restrictions of sites left out."""
        total = 0.0
        for row in self.counts:
            total += math.lgamma(int(row.sum()) + 1) - sum(math.lgamma(int(c) + 1) for c in row)
        return total

    def canonical(self, state: Ints) -> tuple[bytes, Ints]:
        """Return the smallest occupation vector among the symmetry images of a state: equal for equivalent ones."""
        images = state.astype(np.uint8)[self.permutations]
        for start in range(0, images.shape[1], 8):
            if len(images) == 1:
                break
            word = np.zeros((len(images), 8), dtype=np.uint8)
            part = images[:, start : start + 8]
            word[:, : part.shape[1]] = part
            value = word.view(">u8").ravel()
            images = images[value == value.min()]
        return images[0].tobytes(), images[0].astype(np.int64)


@lru_cache(maxsize=12)
def _matrix_of(table: SiteTable, labels: tuple[str, ...]) -> tuple[Ints, Floats]:
    """Ewald matrix of the sites with these labels, and their indices."""
    index = table.indices(labels)
    return index, ewald_matrix(table.fractional[index], table.cell)


def build_problem(candidate: Candidate, table: SiteTable) -> OrderingProblem:
    """Set up the arrays of a candidate from its record."""
    spec, plan = candidate.provenance["spec"], candidate.provenance["plan"]
    charges: dict[str, int] = spec["charges"]
    prototype = table.prototype
    labels = tuple(label for s in spec["sublattices"] for label in s["sites"])
    index, full = _matrix_of(table, tuple(sorted(labels)))
    position = {int(site): k for k, site in enumerate(index)}
    fixed: dict[int, str] = {}
    active_of: list[tuple[int, int]] = []  # (site, sublattice)
    counts_of: list[dict[str, int]] = []
    allowed_of: list[dict[str, set[str]]] = []
    for sublattice in spec["sublattices"]:
        sites = table.indices(tuple(sublattice["sites"]))
        counts = {s: n for s, n in plan["counts"][sublattice["name"]].items() if n}
        if sum(counts.values()) != len(sites):
            raise BugError(f"{sum(counts.values())} species planned for {len(sites)} sites", found=str(counts))
        if len(counts) == 1:
            only = next(iter(counts))
            if only:
                fixed.update({int(i): only for i in sites})
            continue
        active_of.extend((int(i), len(counts_of)) for i in sites)
        counts_of.append(counts)
        allowed_of.append({s: set(v) for s, v in sublattice["allowed"].items()})
    active_of.sort()
    active = np.array([i for i, _ in active_of], dtype=np.int64)
    sub = np.array([k for _, k in active_of], dtype=np.int64)
    species = tuple(sorted({s for c in counts_of for s in c}))
    charge = np.array([float(charges.get(s, 0)) for s in species])
    occupied = np.array([1.0 if s else 0.0 for s in species])
    counts_matrix = np.array([[c.get(s, 0) for s in species] for c in counts_of], dtype=np.int64).reshape(
        len(counts_of), len(species)
    )
    allowed = np.zeros((len(species), len(active)), dtype=bool)
    for j, (site, k) in enumerate(active_of):
        for m, name in enumerate(species):
            places = allowed_of[k].get(name)
            allowed[m, j] = counts_matrix[k, m] > 0 and (not places or table.labels[site] in places)
    rows = np.array([position[int(i)] for i in active], dtype=np.int64)
    fixed_rows = np.array([position[i] for i in fixed], dtype=np.int64)
    q_fixed = np.array([float(charges[s]) for s in fixed.values()])
    matrix = full[np.ix_(rows, rows)]
    field = (full[np.ix_(rows, fixed_rows)] * q_fixed).sum(axis=1) if len(fixed) else np.zeros(len(rows))
    constant = (
        0.5 * float((full[np.ix_(fixed_rows, fixed_rows)] * q_fixed[:, None] * q_fixed).sum()) if len(fixed) else 0.0
    )
    permutations = table.permutations()[:, active] if len(active) else np.zeros((1, 0), dtype=np.int64)
    back = np.full(len(table), -1, dtype=np.int64)
    back[active] = np.arange(len(active))
    return OrderingProblem(
        table=table,
        active=active,
        species=species,
        charge=charge,
        occupied=occupied,
        sublattice=sub,
        counts=counts_matrix,
        allowed=allowed,
        fixed=fixed,
        matrix=matrix,
        field=np.round(field, 9),
        clash=_clash(table, active, prototype.exclusions_A),
        constant_eV=constant,
        permutations=back[permutations],
    )


def _clash(table: SiteTable, active: Ints, exclusions_A: dict[tuple[str, str], float]) -> Floats:
    out = np.zeros((len(active), len(active)))
    if len(active) == 0:
        return out
    distance = table.distances(active, active)
    names = sorted({table.labels[int(i)] for i in active})
    code = np.array([names.index(table.labels[int(i)]) for i in active])
    limit = np.zeros((len(names), len(names)))
    for (a, b), value in exclusions_A.items():
        if a in names and b in names:
            limit[names.index(a), names.index(b)] = limit[names.index(b), names.index(a)] = value
    overlap = np.round(limit[code[:, None], code[None]] - distance, 6)
    np.fill_diagonal(overlap, 0.0)
    return np.where(overlap > 0, CLASH_EV + CLASH_EV_PER_A * overlap, 0.0)
