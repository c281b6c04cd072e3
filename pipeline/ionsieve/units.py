"""Physical constants (CODATA 2018, exact where the SI makes them so) and the conversions used between rooms.

Inside: Å, eV, K, fs for steps and time constants, ps for durations, cm²/s, S/cm. Masses in unified atomic mass
units. A conversion is written once, here.
"""

from __future__ import annotations

import math

BOLTZMANN_EV_PER_K = 8.617333262145179e-5
ELEMENTARY_CHARGE_C = 1.602176634e-19
BOLTZMANN_J_PER_K = 1.380649e-23
AVOGADRO_PER_MOL = 6.02214076e23
ATOMIC_MASS_KG = 1.66053906660e-27

#: sqrt(eV / u) in Å/fs: velocity unit of MD state is Å/fs, momenta u Å/fs.
ANGSTROM_PER_FS_FROM_SQRT_EV_PER_U = math.sqrt(ELEMENTARY_CHARGE_C / ATOMIC_MASS_KG) * 1e-5
#: acceleration in Å/fs² of a force of 1 eV/Å on a mass of 1 u.
ACCELERATION_A_PER_FS2 = ANGSTROM_PER_FS_FROM_SQRT_EV_PER_U**2
#: kinetic energy in eV of 1 u moving at 1 Å/fs.
EV_PER_U_A2_PER_FS2 = 1.0 / ACCELERATION_A_PER_FS2
GPA_PER_EV_PER_A3 = 160.21766208
CM2_PER_S_FROM_A2_PER_PS = 1e-4


def nernst_einstein_S_per_cm(
    diffusivity_cm2_per_s: float, *, count: float, charge: float, volume_A3: float, temperature_K: float
) -> float:
    """Conductivity of `count` ions of charge number `charge` in a volume: N z² e² D / (V k T).

    Parameters
    ----------
    diffusivity_cm2_per_s
        Tracer diffusivity (gives the Nernst-Einstein conductivity) or charge diffusivity (gives the true one).
    count, volume_A3
        Mobile ions in the cell and the cell's volume, Å³.

    Returns
    -------
    float
        S/cm.
    """
    density_per_cm3 = count / (volume_A3 * 1e-24)
    return (
        density_per_cm3
        * charge**2
        * ELEMENTARY_CHARGE_C**2
        * diffusivity_cm2_per_s
        / (BOLTZMANN_J_PER_K * temperature_K)
    )
