"""The sieve: which frameworks are spared the MD because nothing can pass. Decisions are pure and carry their reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ionsieve.channels.settings import ChannelSettings
from ionsieve.verdicts import Flag, Outcome

if TYPE_CHECKING:
    from ionsieve.channels.description import Channels

__all__ = ["judge"]


def judge(channels: Channels, settings: ChannelSettings | None = None) -> tuple[Outcome, str, tuple[Flag, ...]]:
    """Hold a framework's numbers against the thresholds.

    Returns
    -------
    outcome, reason, flags
        `Outcome.SIEVED` with all thresholds that were missed, each with number and bound, or `Outcome.COMPLETED`. The
        flag `CLOSED_CHANNELS` is set when the widest path is narrower than ``closed_ratio`` times the ion, sieved or
        not.
    """
    settings = settings or ChannelSettings()
    reasons = []
    d = settings.percolation_dimensions
    where = f"in {d} dimension{'s' if d > 1 else ''}"
    radius = channels.percolation_radius_A[d - 1]
    if settings.min_percolation_radius_A is not None and radius < settings.min_percolation_radius_A:
        reasons.append(
            f"a sphere of {radius:.2f} Å passes {where}, at least {settings.min_percolation_radius_A:g} Å is asked for"
        )
    if settings.min_gate_free_radius_A is not None:
        limit = channels.limiting_gate_A
        if limit is None:
            reasons.append("no way through over the mobile sites was found, and a free radius is asked for")
        elif limit < settings.min_gate_free_radius_A:
            reasons.append(
                f"the widest way over the mobile sites passes a gate of free radius {limit:.2f} Å, "
                f"at least {settings.min_gate_free_radius_A:g} Å is asked for"
            )
    if settings.max_bvse_barrier_eV is not None:
        barrier = None if channels.bvse_barriers_eV is None else channels.bvse_barriers_eV[d - 1]
        if channels.bvse_barriers_eV is not None and (barrier is None or barrier > settings.max_bvse_barrier_eV):
            found = "no path" if barrier is None else f"a barrier of {barrier:.2f} eV"
            reasons.append(
                f"bond-valence landscape: {found} {where}, at most {settings.max_bvse_barrier_eV:g} eV is asked for"
            )
    flags: list[Flag] = []
    if channels.percolation_radius_A[0] < settings.closed_ratio * channels.ion_radius_A:
        flags.append(Flag.CLOSED_CHANNELS)
    if reasons:
        return Outcome.SIEVED, "; ".join(reasons), tuple(flags)
    return Outcome.COMPLETED, "", tuple(flags)
