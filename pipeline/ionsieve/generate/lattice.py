"""Lattices: primitive vectors, reduction, and all superlattices of an index (Hermite normal forms).

Rows are vectors. A superlattice of index d of a primitive lattice P is H P with H integer, upper triangular, det H = d,
entries above the diagonal non-negative and smaller than the diagonal entry of their column: each superlattice once.

References
----------
G. L. W. Hart, R. W. Forcade, Algorithm for generating derivative structures, Phys. Rev. B 77 (2008) 224115.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "best_superlattices",
    "densest_image_distance_A",
    "hermite_normal_forms",
    "primitive_vectors",
    "reduce_cell",
    "shortest_vector_A",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_DENOMINATOR = 24
#: A multiple of the conventional cell is taken when its image distance is at least this part of the best one: a cube
#: reaches 0.89 of the densest lattice, so cubes pass and rods do not.
_COMPACT = 0.85


def primitive_vectors(cell: Floats, rotations: Ints, translations: Floats) -> Floats:
    """Return reduced primitive vectors as rows in units of the conventional ones, right-handed."""
    identity = np.eye(3, dtype=int)
    pure = [t % 1.0 for r, t in zip(rotations, translations, strict=True) if np.array_equal(r, identity)]
    rows = np.vstack([np.eye(3, dtype=int) * _DENOMINATOR, np.round(np.array(pure) * _DENOMINATOR).astype(int)])
    basis = _row_basis(rows).astype(float) / _DENOMINATOR
    reduced = reduce_cell(basis @ cell) @ basis
    return np.asarray(np.round(reduced * _DENOMINATOR) / _DENOMINATOR)


def _row_basis(rows: Ints) -> Ints:
    """Basis of the integer lattice that the rows span (row echelon by Euclid's algorithm)."""
    work = [list(map(int, r)) for r in rows]
    basis = []
    for column in range(3):
        active = [r for r in work if r[column] != 0]
        rest = [r for r in work if r[column] == 0]
        while len(active) > 1:
            active.sort(key=lambda r: abs(r[column]))
            pivot = active[0]
            reduced = [
                [x - (r[column] // pivot[column]) * p for x, p in zip(r, pivot, strict=True)] for r in active[1:]
            ]
            rest.extend(r for r in reduced if r[column] == 0)
            active = [pivot, *[r for r in reduced if r[column] != 0]]
        basis.append(active[0])
        work = [r for r in rest if any(r)]
    return np.array(basis, dtype=np.int64)


def reduce_cell(cell: Floats) -> Ints:
    """Return the unimodular integer matrix U for which U @ cell has short, nearly orthogonal rows, right-handed.

    Greedy Minkowski reduction; ties are broken on the integers, so that equal input gives equal output.
    """
    change = np.eye(3, dtype=np.int64)
    steps = np.array(list(itertools.product((-1, 0, 1), repeat=2)), dtype=np.int64)
    for _ in range(200):
        rows = change @ cell
        order = np.argsort(np.round(np.linalg.norm(rows, axis=1), 6), kind="stable")
        change, rows = change[order], rows[order]
        before = change.copy()
        m = int(np.round(rows[1] @ rows[0] / (rows[0] @ rows[0]) - 1e-7))
        change[1] -= m * change[0]
        rows = change @ cell
        gram = rows[:2] @ rows[:2].T
        guess = np.round(np.linalg.solve(gram, rows[:2] @ rows[2]) - 1e-7).astype(np.int64)
        options = guess + steps
        lengths = np.round(np.linalg.norm(rows[2] - options @ rows[:2], axis=1), 6)
        best = min(range(len(options)), key=lambda i: (lengths[i], np.abs(options[i]).sum(), tuple(options[i])))
        change[2] -= options[best] @ change[:2]
        if np.array_equal(change, before):
            break
    if np.linalg.det(change @ cell) < 0:
        change = -change
    return change


@lru_cache(maxsize=512)
def hermite_normal_forms(index: int) -> Ints:
    """All superlattices of an index, (n, 3, 3)."""
    forms = []
    for a in (k for k in range(1, index + 1) if index % k == 0):
        rest = index // a
        for d in (k for k in range(1, rest + 1) if rest % k == 0):
            f = rest // d
            b, c, e = np.meshgrid(np.arange(d), np.arange(f), np.arange(f), indexing="ij")
            block = np.zeros((b.size, 3, 3), dtype=np.int64)
            block[:, 0, 0], block[:, 1, 1], block[:, 2, 2] = a, d, f
            block[:, 0, 1], block[:, 0, 2], block[:, 1, 2] = b.ravel(), c.ravel(), e.ravel()
            forms.append(block)
    return np.concatenate(forms)


def _short_vectors(cell: Floats, radius_A: float) -> tuple[Ints, Floats]:
    """Non-zero lattice vectors up to a length, one of each ± pair, by length."""
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    reach = [int(radius_A / h) + 1 for h in heights]
    grid = np.array(list(itertools.product(*(range(-n, n + 1) for n in reach))), dtype=np.int64)
    half = grid[(grid[:, 0] > 0) | ((grid[:, 0] == 0) & ((grid[:, 1] > 0) | ((grid[:, 1] == 0) & (grid[:, 2] > 0))))]
    lengths = np.linalg.norm(half @ cell, axis=1)
    keep = lengths <= radius_A + 1e-9
    half, lengths = half[keep], lengths[keep]
    order = np.lexsort((half[:, 2], half[:, 1], half[:, 0], np.round(lengths, 6)))
    return half[order], lengths[order]


def shortest_vector_A(cell: Floats) -> float:
    """Length of the shortest lattice vector: the distance of an atom to its nearest periodic image, Å."""
    reduced = reduce_cell(cell) @ cell
    return float(_short_vectors(reduced, float(np.linalg.norm(reduced, axis=1).min()))[1][0])


def _image_distances(cell: Floats, forms: Ints) -> Floats:
    """(n,) shortest vector of each superlattice, Å, of the primitive `cell`."""
    index = int(forms[0, 0, 0] * forms[0, 1, 1] * forms[0, 2, 2])
    volume = abs(float(np.linalg.det(cell))) * index
    vectors, lengths = _short_vectors(cell, 2 ** (1 / 6) * volume ** (1 / 3) + 1e-6)  # no lattice is denser than fcc
    out = np.full(len(forms), np.inf)
    for start in range(0, len(forms), 2048):
        block = forms[start : start + 2048]
        a, d, f = block[:, 0, 0, None], block[:, 1, 1, None], block[:, 2, 2, None]
        k1, r1 = np.divmod(vectors[None, :, 0], a)
        k2, r2 = np.divmod(vectors[None, :, 1] - k1 * block[:, 0, 1, None], d)
        r3 = (vectors[None, :, 2] - k1 * block[:, 0, 2, None] - k2 * block[:, 1, 2, None]) % f
        member = (r1 == 0) & (r2 == 0) & (r3 == 0)
        out[start : start + 2048] = lengths[np.argmax(member, axis=1)]
    return out


def densest_image_distance_A(cell: Floats, index: int) -> float:
    """Image distance that no superlattice of the index can exceed: that of the face-centred cubic lattice, Å."""
    return float(2 ** (1 / 6) * (abs(float(np.linalg.det(cell))) * index) ** (1 / 3))


def best_superlattices(cell: Floats, primitive: Floats, index: int) -> list[tuple[Ints, float]]:
    """Return the superlattices of an index worth using, the preferred first, each with its image distance.

    Parameters
    ----------
    cell
        Conventional cell, rows, Å.
    primitive
        Primitive vectors in units of the conventional ones.

    Returns
    -------
    list
        Integer matrix, rows in units of the *primitive* vectors, and the image distance in Å: the best diagonal
        multiple of the conventional cell when it is compact, then the superlattice with the largest image distance, of
        several the most orthogonal.
    """
    small = primitive @ cell
    out = []
    forms = hermite_normal_forms(index)
    distances = np.round(_image_distances(small, forms), 4)
    best = float(distances.max())
    to_primitive = np.round(np.linalg.inv(primitive)).astype(np.int64)  # conventional vectors in primitive ones
    cells, rest = divmod(index, round(1 / abs(float(np.linalg.det(primitive)))))
    if rest == 0:
        multiples = [
            np.diag((i, j, cells // (i * j)))
            for i in range(1, cells + 1)
            for j in range(1, cells // i + 1)
            if cells % (i * j) == 0
        ]
        ranked = sorted((-round(shortest_vector_A(m @ cell), 4), tuple(np.diag(m)), k) for k, m in enumerate(multiples))
        if -ranked[0][0] >= _COMPACT * best:
            out.append((multiples[ranked[0][2]] @ to_primitive, -ranked[0][0]))
    options = []
    for form in forms[distances >= best - 1e-4][:64]:
        matrix = reduce_cell(form @ small) @ form
        spread = round(float((np.linalg.norm(matrix @ small, axis=1) ** 2).sum()), 3)
        options.append((spread, tuple(map(tuple, matrix.tolist())), matrix))
    out.append((min(options, key=lambda o: o[:2])[2], best))
    return out
