"""What the report is made from: the records of one campaign, however they are stored.

`load_results` gathers them from a results folder; tests and notebooks build `CampaignResults` directly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ionsieve.records import (
    Candidate,
    CandidateEstimate,
    Configuration,
    Measurement,
    PotentialIdentity,
    Ranking,
    RelaxedConfiguration,
    RunRecord,
    StaticDescriptors,
)
from ionsieve.verdicts import Outcome

__all__ = ["CampaignResults", "Density", "Event", "load_results"]


@dataclass(frozen=True)
class Event:
    """One line of the campaign's story: when, what happened, to whom, in words."""

    time: str
    kind: str
    subject: str
    text: str


@dataclass(frozen=True)
class Density:
    """Where the mobile ion was in one run: the cells of a grid that hold most of its time.

    Attributes
    ----------
    temperature_K
        Of the run.
    grid
        Number of cells along each lattice vector.
    points
        Fractional coordinates of the centres of the densest cells that together hold `fraction` of the ion's time.
    weights
        Share of the densest cell's occupancy, 0 to 1, one a point.
    """

    temperature_K: float
    grid: tuple[int, int, int]
    points: tuple[tuple[float, float, float], ...]
    weights: tuple[float, ...]
    fraction: float


@dataclass(frozen=True)
class CampaignResults:
    """Everything known of one campaign, finished or running.

    Attributes
    ----------
    name, folder
        Of the campaign; the folder as given (empty when the records were built in memory).
    campaign
        The frozen campaign as plain JSON types.
    versions
        Name and version of the software that made the records, as they say themselves.
    report_versions
        What is installed where the records are gathered: the report is made with it.
    cost
        What it took: ``device_hours``, ``simulated_ps``, ``runs`` and the like.
    progress
        Number of pieces of work by state; `complete` when nothing is left to do.
    note
        What a reader must know of these results as a whole, for example that an earlier version made them.
    """

    name: str
    ranking: Ranking
    folder: str = ""
    campaign: Mapping[str, Any] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    configurations: tuple[Configuration, ...] = ()
    descriptors: tuple[StaticDescriptors, ...] = ()
    relaxed: tuple[RelaxedConfiguration, ...] = ()
    runs: tuple[RunRecord, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    estimates: tuple[CandidateEstimate, ...] = ()
    densities: Mapping[str, Density] = field(default_factory=dict)
    potential: PotentialIdentity | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    report_versions: Mapping[str, str] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    progress: Mapping[str, int] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    complete: bool = True
    note: str = ""

    def configurations_of(self, candidate_id: str) -> tuple[Configuration, ...]:
        """Return the ordered cells of a candidate, by index."""
        return tuple(sorted((c for c in self.configurations if c.candidate_id == candidate_id), key=lambda c: c.index))

    def relaxed_of(self, configuration_id: str) -> RelaxedConfiguration | None:
        """Return the relaxed cell of a configuration, None where the relaxation came to no good end."""
        good = (Outcome.COMPLETED, Outcome.STOPPED_EARLY)
        return next((r for r in self.relaxed if r.configuration_id == configuration_id and r.outcome in good), None)

    def measurements_of(self, candidate_id: str) -> tuple[Measurement, ...]:
        """Return the measurements of a candidate, by temperature and run."""
        own = [m for m in self.measurements if m.candidate_id == candidate_id]
        return tuple(sorted(own, key=lambda m: (m.temperature_K, m.run_id)))


def load_results(folder: str | Path) -> CampaignResults:
    """Gather the records of a results folder.

    Raises
    ------
    InputError
        When the folder is no results folder.
    """
    from ionsieve.report.gather import gather

    return gather(Path(folder))
