"""The sites of a supercell: where they are, and how the symmetry that the supercell keeps permutes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ionsieve.errors import BugError
from ionsieve.generate.lattice import reduce_cell
from ionsieve.generate.prototypes import Prototype

__all__ = ["SiteTable", "site_table"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SiteTable:
    """Sites of a supercell, by label in the prototype's order.

    Attributes
    ----------
    cell
        Rows, Å; a along x, b in the xy plane.
    fractional, positions
        (N, 3), of the supercell, in [0, 1); Å.
    labels
        (N,) label of each site.
    mobile, interstitial
        (N,) bool.
    """

    prototype: Prototype
    matrix: Ints
    cell: Floats
    fractional: Floats
    positions: Floats
    labels: tuple[str, ...]
    mobile: NDArray[np.bool_]
    interstitial: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.labels)

    def indices(self, labels: set[str] | frozenset[str] | tuple[str, ...]) -> Ints:
        """Indices of the sites with these labels."""
        wanted = set(labels)
        return np.array([i for i, label in enumerate(self.labels) if label in wanted], dtype=np.int64)

    def distances(self, rows: Ints, columns: Ints) -> Floats:
        """(n, m) shortest distances between sites, periodic images included, Å."""
        return minimum_distances(self.fractional[rows], self.fractional[columns], self.cell)

    def permutations(self) -> Ints:
        """(n_operations, N): operation k carries the content of site i to site `perm[k, i]`."""
        return _permutations(self)


def minimum_distances(a: Floats, b: Floats, cell: Floats) -> Floats:
    """(n, m) shortest distances between fractional positions, periodic images included, Å."""
    change = reduce_cell(cell)  # in a reduced cell the nearest image is among the 27 around the rounded difference
    back = np.linalg.inv(change)
    a, b, cell = a @ back, b @ back, change @ cell
    shifts = np.array(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij"), dtype=float).reshape(3, -1).T @ cell
    delta = a[:, None] - b[None]
    delta -= np.round(delta)
    cart = delta @ cell
    best = np.full(cart.shape[:2], np.inf)
    for shift in shifts:
        np.minimum(best, np.einsum("ijk,ijk->ij", cart + shift, cart + shift), out=best)
    return np.asarray(np.sqrt(best))


def _standard(cell: Floats) -> Floats:
    """The same cell with a along x and b in the xy plane (rotation only)."""
    r = np.linalg.qr(cell.T).R
    signs = np.sign(np.diag(r))
    return np.round((r * signs[:, None]).T, 10) + 0.0


@lru_cache(maxsize=64)
def _table(prototype: Prototype, rows: tuple[tuple[int, int, int], ...]) -> SiteTable:
    matrix = np.array(rows, dtype=np.int64)
    super_in_conventional = matrix @ prototype.primitive
    to_super = np.linalg.inv(super_in_conventional)
    index = abs(round(float(np.linalg.det(matrix))))
    translations = _coset_translations(matrix) @ prototype.primitive
    fractional, labels, mobile, interstitial = [], [], [], []
    for site in prototype.sites:
        members = _modulo_primitive(site.positions, prototype)
        for point in members:
            points = (point + translations) @ to_super
            points = points - np.floor(points + 1e-7)
            order = np.lexsort(np.round(points, 5).T[::-1])
            fractional.append(points[order])
            labels.extend([site.label] * index)
            mobile.extend([site.mobile] * index)
            interstitial.extend([site.interstitial] * index)
    frac = np.where(np.abs(np.concatenate(fractional)) < 1e-9, 0.0, np.concatenate(fractional))
    cell = _standard(super_in_conventional @ prototype.cell)
    return SiteTable(
        prototype, matrix, cell, frac, frac @ cell, tuple(labels), np.array(mobile), np.array(interstitial)
    )


def site_table(prototype: Prototype, matrix: Ints) -> SiteTable:
    """Return the sites of the supercell `matrix` (rows in units of the primitive vectors); cached."""
    return _table(prototype, tuple(tuple(int(x) for x in row) for row in matrix))


def _coset_translations(matrix: Ints) -> Ints:
    """Primitive translations inside the supercell, one of each class, (index, 3)."""
    inverse = np.linalg.inv(matrix)
    index = abs(round(float(np.linalg.det(matrix))))
    reach = np.abs(matrix).sum(axis=0)
    found: dict[tuple[int, ...], NDArray[np.int64]] = {}
    for point in np.array(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij")).reshape(3, -1).T:
        inside = point @ inverse
        key = tuple(np.round((inside - np.floor(inside + 1e-9)) * index * 4).astype(int) % (index * 4))
        if key not in found:
            found[key] = point
            if len(found) == index:
                break
    if len(found) != index:
        raise BugError(f"{len(found)} translations found in a supercell of index {index}", found=str(matrix.tolist()))
    return np.array([found[k] for k in sorted(found)], dtype=np.int64)


def _modulo_primitive(points: Floats, prototype: Prototype) -> Floats:
    """One position of each class under the primitive translations (conventional fractional coordinates)."""
    to_primitive = np.linalg.inv(prototype.primitive)
    kept: list[Floats] = []
    for point in points:
        if kept:
            delta = (np.array(kept) - point) @ to_primitive
            delta -= np.round(delta)
            if np.abs(delta).max(axis=1).min() < 2e-3:
                continue
        kept.append(point)
    return np.array(kept)


@lru_cache(maxsize=64)
def _permutations(table: SiteTable) -> Ints:
    prototype = table.prototype
    super_in_conventional = table.matrix @ prototype.primitive
    to_super = np.linalg.inv(super_in_conventional)
    tree = cKDTree(np.mod(table.fractional + 0.5e-4, 1.0), boxsize=np.ones(3))
    codes = {label: k for k, label in enumerate(dict.fromkeys(table.labels))}
    label_codes = np.array([codes[label] for label in table.labels])
    tolerance = 0.06 / float(np.linalg.norm(table.cell, axis=1).min())

    def image(points: Floats) -> Ints | None:
        distance, target = tree.query(np.mod(points + 0.5e-4, 1.0))
        if np.max(distance) > tolerance or not np.array_equal(label_codes[target], label_codes):
            return None
        target = np.asarray(target, dtype=np.int64)
        return target if len(np.unique(target)) == len(target) else None

    translations = []
    for t in _coset_translations(table.matrix) @ prototype.primitive @ to_super:
        moved = image(table.fractional + t)
        if moved is None:
            raise BugError("a lattice translation does not map the sites onto themselves", found=prototype.name)
        translations.append(moved)
    conventional = table.fractional @ super_in_conventional
    kept: dict[bytes, Ints] = {}
    for rotation, translation in zip(prototype.rotations, prototype.translations, strict=True):
        rotated_lattice = super_in_conventional @ rotation.T @ to_super
        if np.abs(rotated_lattice - np.round(rotated_lattice)).max() > 1e-6:
            continue
        moved = image((conventional @ rotation.T + translation) @ to_super)
        if moved is None:
            continue
        for shift in translations:
            combined = shift[moved]
            kept.setdefault(combined.tobytes(), combined)
    return np.array(list(kept.values()), dtype=np.int64)
