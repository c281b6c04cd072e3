"""The Ewald matrix: electrostatic energy of unit point charges on fixed sites, so that E = ½ qᵀ M q.

    M_ij = sum_R' erfc(α |r_ij + R|) / |r_ij + R| + (4π/V) sum_{k≠0} exp(-k²/4α²)/k² cos(k·r_ij) - π/(α² V) - 2α/√π δ_ij

in units of e²/(4πε0) = 14.399645 eV Å (the term R = 0 is left out for i = j). The uniform term makes the energy of a
neutral cell independent of α and that of a charged cell that of a compensating background.

References
----------
P. P. Ewald, Ann. Phys. 369 (1921) 253; A. Y. Toukmaji, J. A. Board, Comput. Phys. Commun. 95 (1996) 73.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

__all__ = ["COULOMB_EV_A", "ewald_matrix"]

#: e²/(4πε0), eV Å (CODATA 2018).
COULOMB_EV_A = 14.3996454784255
Floats = NDArray[np.float64]


def ewald_matrix(fractional: Floats, cell: Floats, *, accuracy: float = 1e-11, alpha: float | None = None) -> Floats:
    """Return M in eV for unit charges, (N, N), symmetric.

    Parameters
    ----------
    fractional
        (N, 3), positions in units of the cell.
    cell
        Rows, Å.
    accuracy
        Relative size of the terms left out of both sums.
    alpha
        Splitting parameter in 1/Å; the default balances the two sums. The result does not depend on it.

    Returns
    -------
    numpy.ndarray
        Rounded to 1e-10 eV, so that the last bits of a matrix product on another machine change no ordering.
    """
    n = len(fractional)
    volume = abs(float(np.linalg.det(cell)))
    reach = math.sqrt(-math.log(accuracy))
    if alpha is None:
        alpha = math.sqrt(math.pi) * (3.0 * max(n, 4) / volume**2) ** (1 / 6)
    real_A, reciprocal = reach / alpha, 2.0 * alpha * reach
    matrix = _reciprocal_sum(fractional, cell, alpha, reciprocal) * (4.0 * math.pi / volume)
    matrix += _real_sum(fractional, cell, alpha, real_A)
    matrix -= math.pi / (alpha**2 * volume)
    matrix[np.diag_indices(n)] -= 2.0 * alpha / math.sqrt(math.pi)
    matrix = 0.5 * (matrix + matrix.T) * COULOMB_EV_A
    return np.asarray(np.round(matrix, 10))


def _reciprocal_sum(fractional: Floats, cell: Floats, alpha: float, cutoff: float) -> Floats:
    reciprocal = 2.0 * math.pi * np.linalg.inv(cell).T
    reach = [int(cutoff * float(np.linalg.norm(row)) / (2.0 * math.pi)) + 1 for row in cell]
    grid = np.stack(np.meshgrid(*[np.arange(-m, m + 1) for m in reach], indexing="ij"), axis=-1).reshape(-1, 3)
    half = grid[(grid[:, 0] > 0) | ((grid[:, 0] == 0) & ((grid[:, 1] > 0) | ((grid[:, 1] == 0) & (grid[:, 2] > 0))))]
    square = ((half @ reciprocal) ** 2).sum(axis=1)
    keep = square <= cutoff**2
    half, square = half[keep], square[keep]
    weight = np.sqrt(2.0 * np.exp(-square / (4.0 * alpha**2)) / square)  # twice: k and -k
    out = np.zeros((len(fractional), len(fractional)))
    for start in range(0, len(half), 4096):
        phase = 2.0 * math.pi * (fractional @ half[start : start + 4096].T)
        for part in (np.cos(phase), np.sin(phase)):
            part *= weight[start : start + 4096]
            out += part @ part.T
    return out


def _real_sum(fractional: Floats, cell: Floats, alpha: float, cutoff_A: float) -> Floats:
    n = len(fractional)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    # differences lie in [-1/2, 1/2]: half a cell more than the sphere on each side
    reach = [int(cutoff_A / h + 0.5) + 1 for h in heights]
    shifts = np.array(list(itertools.product(*[range(-m, m + 1) for m in reach])), dtype=float)
    delta = fractional[:, None] - fractional[None]
    delta -= np.round(delta)
    upper = np.triu_indices(n)
    cart = delta[upper] @ cell
    own = upper[0] == upper[1]
    total = np.zeros(len(cart))
    longest = float(np.linalg.norm(cart, axis=1).max(initial=0.0))
    for shift in shifts @ cell:
        if float(np.linalg.norm(shift)) > cutoff_A + longest:
            continue
        square = ((cart + shift) ** 2).sum(axis=1)
        close = np.flatnonzero((square <= cutoff_A**2) & (square > 1e-12 if np.any(shift) else ~own))
        if len(close):
            r = np.sqrt(square[close])
            total[close] += erfc(alpha * r) / r
    out = np.zeros((n, n))
    out[upper] = total
    return out + np.triu(out, 1).T
