"""Settings of the channels room: radii, jumps, and the thresholds of the sieve."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from ionsieve.errors import nearest
from ionsieve.records.base import Frozen

__all__ = ["ChannelSettings"]


class ChannelSettings(Frozen):
    """How channels are measured and which candidates the sieve excludes.

    A threshold that is ``None`` (``null`` in a campaign) is off. The defaults are argued in docs/theory/channels.md:
    they lie below every known conductor of the prototype library, so that only cages that are shut are spared the MD.
    """

    radii: Literal["shannon", "shannon_crystal"] = Field(
        "shannon", description="Shannon's effective ionic radii (O2- 1.40 Å) or his crystal radii (O2- 1.26 Å)"
    )
    radius_overrides_A: dict[str, float] = Field(
        {}, description='radii by element or ion, Å, for example {"O": 1.35, "S-2": 1.80}'
    )
    min_percolation_radius_A: float | None = Field(
        0.25,
        ge=0,
        description="radius in Å of the widest sphere that must pass through the framework in at least "
        "`percolation_dimensions` dimensions; null: off",
    )
    percolation_dimensions: Literal[1, 2, 3] = Field(
        1, description="in how many dimensions `min_percolation_radius_A` must percolate"
    )
    min_gate_free_radius_A: float | None = Field(
        None, description="free radius in Å of the narrowest gate on the widest way over the mobile sites; null: off"
    )
    max_bvse_barrier_eV: float | None = Field(
        None, gt=0, description="highest bond-valence barrier in eV in `percolation_dimensions` dimensions; null: off"
    )
    bvse: bool = Field(
        False, description="compute the bond-valence landscape (tenths of a second a cell); needed for its threshold"
    )
    bvse_spacing_A: float = Field(0.2, gt=0.04, le=1.0, description="spacing of the grid on which ways are found, Å")
    bvse_cutoff_A: float = Field(10.0, ge=5.0, le=20.0, description="reach of the bond-valence interactions, Å")
    max_jump_length_A: float = Field(
        5.0, gt=0, le=12.0, description="longest straight jump between neighbouring mobile sites, Å"
    )
    min_jump_length_A: float = Field(
        0.9,
        ge=0,
        description="sites closer than this, Å, are positions of one ion: no window is looked for between them",
    )
    closed_ratio: float = Field(
        0.5,
        ge=0,
        le=1.5,
        description="a path narrower than this fraction of the ion's radius gets the flag closed_channels, which "
        "excludes nobody; every good conductor of the library lies above",
    )
    open_ratio: float = Field(
        0.75,
        gt=0,
        le=1.5,
        description="a gate is open when its free radius reaches this fraction of the ion's radius: ions are soft, "
        "and good conductors pass static gates of 0.6 to 1.1 of their Shannon radius",
    )

    @field_validator("radius_overrides_A")
    @classmethod
    def _known_ions(cls, value: dict[str, float]) -> dict[str, float]:
        for key, radius in value.items():
            if not _is_ion(key):
                close = _meant(key)
                raise ValueError(
                    f"{key!r} is neither an element nor an ion, such as O or O-2"
                    + (f"; did you mean {close}?" if close else "")
                )
            if radius < 0:
                raise ValueError(f"the radius of {key} is {radius:g}; give Å, zero or more")
        return value


def _symbols() -> dict[str, str]:
    """Return the elements' names and their symbols."""
    from ase.data import atomic_names, chemical_symbols

    return {str(n): str(s) for n, s in zip(atomic_names[1:], chemical_symbols[1:], strict=True)}


def _is_ion(key: str) -> bool:
    found = re.fullmatch(r"([A-Z][a-z]?)([+-][0-9.]+)?", key)
    return bool(
        found and found[1] in (*_symbols().values(), "D") and (found[2] is None or f"{float(found[2]):+g}" == found[2])
    )


def _meant(key: str) -> str | None:
    """Return the key that was probably meant: ``O-2`` for ``O2-``, ``O-1`` for ``O-``, ``O`` for ``Oxygen``."""
    charge = re.fullmatch(r"([A-Za-z]{1,2})(?:([+-]?)([0-9.]*)|([0-9.]*)([+-]?))", key)
    names = _symbols()
    if charge and charge[1].capitalize() in names.values():
        sign, size = charge[2] or charge[5], charge[3] or charge[4] or "1"
        try:
            return f"{charge[1].capitalize()}{float(sign + size):+g}" if sign else charge[1].capitalize()
        except ValueError:
            return charge[1].capitalize()
    close = nearest(key, [*names, *names.values()])
    return names.get(close, close) if close else None
