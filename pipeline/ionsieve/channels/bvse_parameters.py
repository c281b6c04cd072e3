"""Parameters of the bond-valence site energy, with their sources.

Morse part, per mobile ion and anion: the equilibrium distance R_min and the bond-valence slope b = 1/α of softBV
[1, 2, 3], s- and p-block mobile ions only. The depth follows from them by the published formula [1]

    D0 = k b² |V_A V_X| / (2 R_min sqrt(n_A n_X)),   k = 14.4 eV Å, V valence, n principal quantum number

so that the table holds two numbers a pair. Entries whose slope is negative in the circulating table (Mg-Se, Mg-Te,
Mg-I, Ca-Br, Ca-Te, Ca-I) are errors of transcription and left out: a structure that needs them gets no landscape rather
than a wrong one.

Coulomb part, between cations: covalent radii as in softBV [3]; Cordero's (10.1039/b801115j) for ions that are not
listed.

[1] S. Adams, R. Prasada Rao, Phys. Status Solidi A 208 (2011) 1746, 10.1002/pssa.201001116
[2] H. Chen, S. Adams, IUCrJ 4 (2017) 614, 10.1107/S2052252517010211
[3] H. Chen, L. L. Wong, S. Adams, Acta Cryst. B75 (2019) 18, 10.1107/S2052520618015718; values compared with the
table of
    BVlain (MIT licence)
"""

from __future__ import annotations

import math

__all__ = ["COULOMB_EV_A", "SCREENING", "covalent_radius_A", "morse", "principal_quantum_number"]

COULOMB_EV_A = 14.4
#: factor of the screening length f (r_A + r_B) of the Coulomb part
SCREENING = 0.74

#: mobile ion -> (charge, {anion: (charge, R_min in Å, b in Å)})
_MORSE: dict[str, tuple[int, dict[str, tuple[int, float, float]]]] = {
    "Li": (1, {"O": (-2, 1.940013, 0.516), "F": (-1, 1.872650, 0.508), "S": (-2, 2.409710, 0.653), "Cl": (-1,
    2.396470, 0.634),
               "Se": (-2, 2.683860, 0.684), "Br": (-1, 2.582550, 0.675), "Te": (-2, 2.733130, 0.729), "I": (-1,
               2.788070, 0.735)}),
    "Na": (1, {"O": (-2, 2.374335, 0.482), "F": (-1, 2.232158, 0.474), "S": (-2, 2.916205, 0.619), "Cl": (-1,
    2.748011, 0.601),
               "Se": (-2, 3.046979, 0.650), "Br": (-1, 2.915883, 0.641), "Te": (-2, 3.269608, 0.695), "I": (-1,
               3.198502, 0.701)}),
    "K": (1, {"O": (-2, 2.766359, 0.436), "F": (-1, 2.645968, 0.428), "S": (-2, 3.315285, 0.573), "Cl": (-1, 3.184081,
    0.555),
              "Se": (-2, 3.514990, 0.604), "Br": (-1, 3.373219, 0.595), "Te": (-2, 3.742871, 0.649), "I": (-1,
              3.633321, 0.655)}),
    "Rb": (1, {"O": (-2, 2.896827, 0.413), "F": (-1, 2.785647, 0.404), "S": (-2, 3.460253, 0.550), "Cl": (-1,
    3.370857, 0.531),
               "Se": (-2, 3.629609, 0.580), "Br": (-1, 3.551250, 0.572), "Te": (-2, 3.779363, 0.626), "I": (-1,
               3.823732, 0.632)}),
    "Mg": (2, {"O": (-2, 1.956265, 0.512), "F": (-1, 1.875696, 0.504), "S": (-2, 2.457529, 0.649), "Cl": (-1,
    2.393298, 0.630),
               "Br": (-1, 2.551036, 0.671)}),
    "Ca": (2, {"O": (-2, 2.320320, 0.476), "F": (-1, 2.226693, 0.467), "S": (-2, 2.835405, 0.612), "Cl": (-1,
    2.759777, 0.594),
               "Se": (-2, 2.972826, 0.643)}),
}  # fmt: skip

_COVALENT_A = {
    "H": 0.37, "Li": 1.31, "Be": 0.91, "B": 0.71, "C": 0.77, "N": 0.74, "Na": 1.66, "Mg": 1.36, "Al": 1.11, "Si": 1.17,
    "P": 1.10, "S": 1.04, "Cl": 0.99, "K": 2.06, "Ca": 1.66, "Sc": 1.46, "Ti": 1.26, "V": 1.21, "Cr": 1.21, "Mn": 1.26,
    "Fe": 1.26, "Co": 1.21, "Ni": 1.21, "Cu": 1.21, "Zn": 1.21, "Ga": 1.16, "Ge": 1.22, "As": 1.21, "Se": 1.17,
    "Br": 1.14, "Rb": 2.21, "Sr": 1.86, "Y": 1.66, "Zr": 1.41, "Nb": 1.31, "Mo": 1.31, "Ag": 1.46, "Cd": 1.41,
    "In": 1.41, "Sn": 1.40, "Sb": 1.41, "Te": 1.37, "I": 1.33,
}  # fmt: skip

_PERIOD_ENDS = (2, 10, 18, 36, 54, 86, 118)


def principal_quantum_number(atomic_number: int) -> int:
    """Return the period of an element: the principal quantum number of its valence shell."""
    return next(n for n, last in enumerate(_PERIOD_ENDS, start=1) if atomic_number <= last)


def morse(mobile: str, anion: str, mobile_charge: float, anion_charge: float) -> tuple[float, float, float] | None:
    """Return R_min (Å), α (1/Å) and D0 (eV) of a pair, or None when there is no trustworthy value."""
    from ase.data import atomic_numbers

    entry = _MORSE.get(mobile)
    if entry is None or entry[0] != round(mobile_charge):
        return None
    pair = entry[1].get(anion)
    if pair is None or pair[0] != round(anion_charge):
        return None
    charge, distance, slope = pair
    n = principal_quantum_number(atomic_numbers[mobile]) * principal_quantum_number(atomic_numbers[anion])
    depth = COULOMB_EV_A * slope**2 * abs(entry[0] * charge) / (2.0 * distance * math.sqrt(n))
    return distance, 1.0 / slope, depth


def covalent_radius_A(element: str) -> float:
    """Return the covalent radius of a cation, Å."""
    if element in _COVALENT_A:
        return _COVALENT_A[element]
    from ase.data import atomic_numbers, covalent_radii

    return float(covalent_radii[atomic_numbers[element]])
