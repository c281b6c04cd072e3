"""Ions: usual charges, Shannon radii, electronegativities for bond valences, and how ions are written.

Radii: R. D. Shannon, Acta Cryst. A32 (1976) 751, effective ionic radii in Å by coordination number (high spin where two
are given). Bond-valence parameters: M. O'Keeffe, N. E. Brese, J. Am. Chem. Soc. 113 (1991) 3226, size and
electronegativity parameters r (Å) and c.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ionsieve.errors import InputError

__all__ = [
    "COMMON_CHARGES",
    "MOBILE_IONS",
    "bond_valence_r0_A",
    "is_element",
    "parse_ion",
    "radius_A",
    "radius_mismatch",
]

#: Charge taken for a dopant when neither prototype nor recipe states one.
COMMON_CHARGES: dict[str, int] = {
    "H": 1, "Li": 1, "Na": 1, "K": 1, "Rb": 1, "Cs": 1, "Ag": 1, "Cu": 1, "Tl": 1,
    "Be": 2, "Mg": 2, "Ca": 2, "Sr": 2, "Ba": 2, "Zn": 2, "Cd": 2, "Hg": 2, "Pb": 2, "Ni": 2, "Co": 2, "Mn": 2,
    "B": 3, "Al": 3, "Ga": 3, "In": 3, "Sc": 3, "Y": 3, "La": 3, "Ce": 3, "Pr": 3, "Nd": 3, "Sm": 3, "Eu": 3, "Gd": 3,
    "Tb": 3, "Dy": 3, "Ho": 3, "Er": 3, "Tm": 3, "Yb": 3, "Lu": 3, "Cr": 3, "Fe": 3, "Bi": 3,
    "C": 4, "Si": 4, "Ge": 4, "Sn": 4, "Ti": 4, "Zr": 4, "Hf": 4, "Th": 4,
    "P": 5, "As": 5, "Sb": 5, "V": 5, "Nb": 5, "Ta": 5, "W": 6, "Mo": 6, "Te": 6,
    "O": -2, "S": -2, "Se": -2, "F": -1, "Cl": -1, "Br": -1, "I": -1, "N": -3,
}  # fmt: skip

MOBILE_IONS = ("Li", "Na", "K", "Rb", "Cs", "Ag", "Mg", "Ca", "Zn", "Al")

#: Distance in Å below which two sites cannot both hold these cations in a starting structure.
EXCLUSION_A: dict[str, float] = {"H": 1.60, "Li": 1.95, "Na": 2.40, "K": 2.9, "Mg": 2.2, "Y": 3.6, "Ag": 2.4, "Ca": 2.4}
EXCLUSION_OTHER_A = 1.5

_SHANNON = """
H +1 1:-0.38 2:-0.18
Li +1 4:0.59 6:0.76 8:0.92
Na +1 4:0.99 5:1 6:1.02 7:1.12 8:1.18 9:1.24 12:1.39
K +1 4:1.37 6:1.38 7:1.46 8:1.51 9:1.55 10:1.59 12:1.64
Rb +1 6:1.52 7:1.56 8:1.61 9:1.63 10:1.66 11:1.69 12:1.72 14:1.83
Cs +1 6:1.67 8:1.74 9:1.78 10:1.81 11:1.85 12:1.88
Ag +1 2:0.67 4:1 5:1.09 6:1.15 7:1.22 8:1.28
Ag +2 6:0.94
Ag +3 6:0.75
Cu +1 2:0.46 4:0.6 6:0.77
Cu +2 4:0.57 5:0.65 6:0.73
Cu +3 6:0.54
Tl +1 6:1.5 8:1.59 12:1.7
Tl +3 4:0.75 6:0.885 8:0.98
Be +2 3:0.16 4:0.27 6:0.45
Mg +2 4:0.57 5:0.66 6:0.72 8:0.89
Ca +2 6:1 7:1.06 8:1.12 9:1.18 10:1.23 12:1.34
Sr +2 6:1.18 7:1.21 8:1.26 9:1.31 10:1.36 12:1.44
Ba +2 6:1.35 7:1.38 8:1.42 9:1.47 10:1.52 11:1.57 12:1.61
Zn +2 4:0.6 5:0.68 6:0.74 8:0.9
Cd +2 4:0.78 5:0.87 6:0.95 7:1.03 8:1.1 12:1.31
Hg +1 3:0.97 6:1.19
Hg +2 2:0.69 4:0.96 6:1.02 8:1.14
Pb +2 6:1.19 7:1.23 8:1.29 9:1.35 10:1.4 11:1.45 12:1.49
Pb +4 4:0.65 5:0.73 6:0.775 8:0.94
Ni +2 4:0.55 5:0.63 6:0.69
Ni +3 6:0.6
Ni +4 6:0.48
Co +2 4:0.58 5:0.67 6:0.745 8:0.9
Co +3 6:0.61
Co +4 4:0.4 6:0.53
Mn +2 4:0.66 5:0.75 6:0.83 7:0.9 8:0.96
Mn +3 5:0.58 6:0.645
Mn +4 4:0.39 6:0.53
Mn +5 4:0.33
Mn +6 4:0.255
Mn +7 4:0.25 6:0.46
Fe +2 4:0.63 6:0.78 8:0.92
Fe +3 4:0.49 5:0.58 6:0.645 8:0.78
Fe +4 6:0.585
Fe +6 4:0.25
Pd +1 2:0.59
Pd +2 6:0.86
Pd +3 6:0.76
Pd +4 6:0.615
Pt +2 6:0.8
Pt +4 6:0.625
Pt +5 6:0.57
B +3 3:0.01 4:0.11 6:0.27
Al +3 4:0.39 5:0.48 6:0.535
Ga +3 4:0.47 5:0.55 6:0.62
In +3 4:0.62 6:0.8 8:0.92
Sc +3 6:0.745 8:0.87
Y +3 6:0.9 7:0.96 8:1.019 9:1.075
La +3 6:1.032 7:1.1 8:1.16 9:1.216 10:1.27 12:1.36
Ce +3 6:1.01 7:1.07 8:1.143 9:1.196 10:1.25 12:1.34
Ce +4 6:0.87 8:0.97 10:1.07 12:1.14
Pr +3 6:0.99 8:1.126 9:1.179
Pr +4 6:0.85 8:0.96
Nd +2 8:1.29 9:1.35
Nd +3 6:0.983 8:1.109 9:1.163 12:1.27
Sm +2 7:1.22 8:1.27 9:1.32
Sm +3 6:0.958 7:1.02 8:1.079 9:1.132 12:1.24
Eu +2 6:1.17 7:1.2 8:1.25 9:1.3 10:1.35
Eu +3 6:0.947 8:1.066 9:1.12
Gd +3 6:0.938 7:1 8:1.053 9:1.107
Tb +3 6:0.923 7:0.98 8:1.04 9:1.095
Tb +4 6:0.76 8:0.88
Dy +2 6:1.07 7:1.13 8:1.19
Dy +3 6:0.912 7:0.97 8:1.027 9:1.083
Ho +3 6:0.901 8:1.015 9:1.072 10:1.12
Er +3 6:0.89 7:0.945 8:1.004 9:1.062
Tm +2 6:1.03 7:1.09
Tm +3 6:0.88 8:0.994 9:1.052
Yb +2 6:1.02 7:1.08 8:1.14
Yb +3 6:0.868 7:0.925 8:0.985 9:1.042
Lu +3 6:0.861 8:0.977 9:1.032
Cr +2 6:0.8
Cr +3 6:0.615
Cr +4 4:0.41 6:0.55
Cr +5 4:0.345 6:0.49 8:0.57
Cr +6 4:0.26 6:0.44
V +2 6:0.79
V +3 6:0.64
V +4 5:0.53 6:0.58 8:0.72
V +5 4:0.355 5:0.46 6:0.54
Ti +2 6:0.86
Ti +3 6:0.67
Ti +4 4:0.42 5:0.51 6:0.605 8:0.74
Zr +4 4:0.59 5:0.66 6:0.72 7:0.78 8:0.84 9:0.89
Hf +4 4:0.58 6:0.71 7:0.76 8:0.83
Si +4 4:0.26 6:0.4
Ge +2 6:0.73
Ge +4 4:0.39 6:0.53
Sn +4 4:0.55 5:0.62 6:0.69 7:0.75 8:0.81
C +4 3:-0.08 4:0.15 6:0.16
N -3 4:1.46
N +3 6:0.16
N +5 3:-0.104 6:0.13
P +3 6:0.44
P +5 4:0.17 5:0.29 6:0.38
As +3 6:0.58
As +5 4:0.335 6:0.46
Sb +3 5:0.8 6:0.76
Sb +5 6:0.6
Bi +3 5:0.96 6:1.03 8:1.17
Bi +5 6:0.76
Nb +3 6:0.72
Nb +4 6:0.68 8:0.79
Nb +5 4:0.48 6:0.64 7:0.69 8:0.74
Ta +3 6:0.72
Ta +4 6:0.68
Ta +5 6:0.64 7:0.69 8:0.74
Mo +3 6:0.69
Mo +4 6:0.65
Mo +5 4:0.46 6:0.61
Mo +6 4:0.41 5:0.5 6:0.59 7:0.73
W +4 6:0.66
W +5 6:0.62
W +6 4:0.42 5:0.51 6:0.6
Te -2 6:2.21
Te +4 3:0.52 4:0.66 6:0.97
Te +6 4:0.43 6:0.56
Se -2 6:1.98
Se +4 6:0.5
Se +6 4:0.28 6:0.42
S -2 6:1.84
S +4 6:0.37
S +6 4:0.12 6:0.29
O -2 2:1.35 3:1.36 4:1.38 6:1.4 8:1.42
F -1 2:1.285 3:1.3 4:1.31 6:1.33
F +7 6:0.08
Cl -1 6:1.81
Cl +5 3:0.12
Cl +7 4:0.08 6:0.27
Br -1 6:1.96
Br +3 4:0.59
Br +5 3:0.31
Br +7 4:0.25 6:0.39
I -1 6:2.2
I +5 6:0.95
I +7 4:0.42 6:0.53
Th +4 6:0.94 8:1.05 9:1.09 10:1.13 11:1.18 12:1.21
U +3 6:1.025
U +4 6:0.89 7:0.95 8:1 9:1.05 12:1.17
U +5 6:0.76 7:0.84
U +6 2:0.45 4:0.52 6:0.73 7:0.81 8:0.86
Re +4 6:0.63
Re +5 6:0.58
Re +6 6:0.55
Re +7 4:0.38 6:0.53
Ru +3 6:0.68
Ru +4 6:0.62
Ru +5 6:0.565
Ru +7 4:0.38
Ru +8 4:0.36
Rh +3 6:0.665
Rh +4 6:0.6
Rh +5 6:0.55
Ir +3 6:0.68
Ir +4 6:0.625
Ir +5 6:0.57
"""

_BOND_VALENCE = """
Ag:1.12/1.42 Al:1.13/1.47 As:1.21/2.23 B:0.79/1.6 Ba:1.88/0.97 Be:0.81/1.47 Bi:1.54/1.67 Br:1.13/2.58 C:0.78/2
Ca:1.5/1.04 Cd:1.28/1.46 Ce:1.68/1.08 Cl:0.99/2.74 Co:1.09/1.7 Cr:1.16/1.56 Cs:2.05/0.86 Cu:0.87/1.75 Dy:1.54/1.1
Er:1.51/1.11 Eu:1.62/1.01 F:0.58/3.98 Fe:1.16/1.64 Ga:1.14/1.82 Gd:1.58/1.11 Ge:1.21/1.51 H:0.38/0.89 Hf:1.42/1.23
Hg:1.32/1.44 Ho:1.53/1.1 I:1.33/2.38 In:1.34/1.49 Ir:1.37/1.55 K:1.73/0.91 La:1.71/1.08 Li:1/0.97 Lu:1.47/1.14
Mg:1.21/1.23 Mn:1.17/1.6 Mo:1.37/1.3 N:0.72/2.61 Na:1.36/1.01 Nb:1.4/1.23 Nd:1.64/1.07 Ni:1.04/1.75 O:0.63/3.15
P:1.09/1.96 Pb:1.53/1.55 Pd:1.11/1.35 Pr:1.66/1.07 Rb:1.84/0.89 Re:1.37/1.46 Rh:1.18/1.54 Ru:1.21/1.42 S:1.03/2.35
Sb:1.41/1.72 Sc:1.34/1.2 Se:1.18/2.51 Si:1.12/1.58 Sm:1.61/1.07 Sn:1.37/1.72 Sr:1.66/0.99 Ta:1.39/1.33 Tb:1.56/1.1
Te:1.4/2.72 Th:1.7/1.11 Ti:1.27/1.32 Tl:1.62/1.44 Tm:1.5/1.11 U:1.59/1.22 V:1.21/1.45 W:1.38/1.4 Y:1.52/1.11
Yb:1.49/1.06 Zn:1.07/1.66 Zr:1.43/1.22
"""


@lru_cache(maxsize=1)
def _radii() -> dict[tuple[str, int], dict[int, float]]:
    table: dict[tuple[str, int], dict[int, float]] = {}
    for line in _SHANNON.split("\n"):
        if line:
            symbol, charge, *entries = line.split()
            table[symbol, int(charge)] = {int(k): float(v) for k, v in (entry.split(":") for entry in entries)}
    return table


@lru_cache(maxsize=1)
def _size_and_electronegativity() -> dict[str, tuple[float, float]]:
    pairs = (entry.split(":") for entry in _BOND_VALENCE.split())
    return {symbol: (float(v.split("/")[0]), float(v.split("/")[1])) for symbol, v in pairs}


def is_element(symbol: str) -> bool:
    """Whether the tables know the element."""
    return symbol in COMMON_CHARGES or symbol in _size_and_electronegativity()


def radius_A(symbol: str, charge: int, coordination: int = 6) -> float | None:
    """Shannon's effective ionic radius in Å, at the nearest tabulated coordination; None when the ion is not listed."""
    row = _radii().get((symbol, charge))
    if not row:
        return None
    return row[min(row, key=lambda n: (abs(n - coordination), n))]


def radius_mismatch(dopant: str, dopant_charge: int, host: str, host_charge: int, coordination: int) -> float | None:
    """Return (r_dopant - r_host) / r_host at the coordination nearest to the given one that both are tabulated for.

    None when a radius is unknown.
    """
    a, b = _radii().get((dopant, dopant_charge)), _radii().get((host, host_charge))
    if not a or not b:
        return None
    shared = sorted(set(a) & set(b), key=lambda n: (abs(n - coordination), n))
    if shared and b[shared[0]] > 0:
        return a[shared[0]] / b[shared[0]] - 1.0
    x, y = radius_A(dopant, dopant_charge, coordination), radius_A(host, host_charge, coordination)
    return x / y - 1.0 if x is not None and y is not None and y > 0 else None


def bond_valence_r0_A(a: str, b: str) -> float | None:
    """Length of a bond of valence 1 between a and b, Å (O'Keeffe and Brese 1991); None when unknown."""
    table = _size_and_electronegativity()
    if a not in table or b not in table:
        return None
    (ra, ca), (rb, cb) = table[a], table[b]
    return float(ra + rb - ra * rb * (ca**0.5 - cb**0.5) ** 2 / (ca * ra + cb * rb))


def parse_ion(text: str) -> tuple[str, int]:
    """Read ``Si4+``, ``O2-`` or ``Cl-`` into symbol and charge.

    Raises
    ------
    InputError
        When the text is no ion.
    """
    match = re.fullmatch(r"([A-Z][a-z]?)(\d*)([+-])", text)
    if not match:
        raise InputError(f"{text!r} is no ion", expected="element, charge number and sign, like Si4+ or Cl-")
    symbol, digits, sign = match.groups()
    return symbol, int(digits or 1) * (1 if sign == "+" else -1)
