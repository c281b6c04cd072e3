"""Kernels on the array API: NumPy, CuPy and torch arrays in, arrays of the same kind out, float64 inside.

Equations, shapes and units stand in each module. Nothing here knows of files, settings or records.
"""

from ionsieve.transport.kernels.displacement import (
    dipole,
    fractional,
    remove_breathing,
    remove_drift,
    unwrap,
)
from ionsieve.transport.kernels.msd import (
    collective_msd,
    msd,
    msd_per_particle_at,
    msd_tensor,
    windowed_moments,
)

__all__ = [
    "collective_msd",
    "dipole",
    "fractional",
    "msd",
    "msd_per_particle_at",
    "msd_tensor",
    "remove_breathing",
    "remove_drift",
    "unwrap",
    "windowed_moments",
]
