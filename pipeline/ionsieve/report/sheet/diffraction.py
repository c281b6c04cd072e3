"""Powder pattern of a predicted structure, by pymatgen: reflections and a profile.

The profile is a sum of Gaussians of 0.12 degrees full width at half maximum: it shows where to look.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ionsieve.records import CrystalStructure

__all__ = ["FWHM_DEG", "Pattern", "Reflection", "pattern"]

FWHM_DEG = 0.12


@dataclass(frozen=True)
class Reflection:
    """One line: position, spacing, relative intensity (100 is the strongest), indices in the cell drawn."""

    two_theta_deg: float
    d_A: float
    intensity_percent: float
    hkl: str


@dataclass(frozen=True)
class Pattern:
    """Reflections above the threshold and a smooth profile (degrees, per cent)."""

    wavelength: str
    reflections: tuple[Reflection, ...]
    two_theta_deg: tuple[float, ...]
    profile_percent: tuple[float, ...]


def pattern(
    crystal: CrystalStructure, *, wavelength: str, two_theta_deg: tuple[float, float], minimum_percent: float
) -> Pattern:
    """Return the powder pattern of a structure."""
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    structure = crystal.to_pymatgen()
    structure.remove_oxidation_states()
    found = XRDCalculator(wavelength=wavelength).get_pattern(structure, two_theta_range=two_theta_deg)
    low, high = two_theta_deg
    grid = np.linspace(low, high, 1201)
    sigma = FWHM_DEG / 2.3548200450309493
    profile = np.zeros_like(grid)
    for position, intensity in zip(found.x, found.y, strict=True):
        profile += float(intensity) * np.exp(-0.5 * ((grid - float(position)) / sigma) ** 2)
    profile *= 100.0 / max(profile.max(), 1e-12)
    lines = tuple(
        Reflection(
            round(float(x), 3),
            round(float(d), 4),
            round(float(y), 2),
            "; ".join(
                " ".join(str(i) for i in one["hkl"]) for one in sorted(hkls, key=lambda h: -h["multiplicity"])[:2]
            ),
        )
        for x, y, hkls, d in zip(found.x, found.y, found.hkls, found.d_hkls, strict=True)
        if y >= minimum_percent
    )
    return Pattern(
        wavelength, lines, tuple(round(float(x), 3) for x in grid), tuple(round(float(y), 3) for y in profile)
    )
