"""fit: all measurements of a candidate -> activation energy and conductivity at the temperature of use."""

from __future__ import annotations

from collections.abc import Sequence

from ionsieve.campaign import Campaign
from ionsieve.records import CandidateEstimate, Measurement
from ionsieve.stages.base import Stage, input_keys, plain
from ionsieve.store import Request, Store
from ionsieve.transport.settings import FIT, TransportSettings

__all__ = ["NAME", "PHYSICS", "STAGE", "request", "run"]

NAME = "fit"
PHYSICS = 3


def request(measure_keys: Sequence[str], campaign: Campaign) -> Request:
    """Ask for the estimate of one candidate from its measurements (in any order)."""
    return Request(
        NAME,
        PHYSICS,
        inputs={"measure": sorted(measure_keys)},
        settings=plain(campaign.transport, include=FIT),
    )


def run(request: Request, store: Store, deadline_s: float | None = None) -> CandidateEstimate:
    """Combine configurations, seeds and temperatures."""
    from ionsieve.transport import estimate_candidate

    del deadline_s
    measurements = [store.need(key, Measurement) for key in input_keys(request, "measure")]
    measurements.sort(key=lambda m: (m.temperature_K, m.run_id))
    estimate = estimate_candidate(measurements, settings=TransportSettings.model_validate(request.settings))
    return estimate.model_copy(
        update={"settings": dict(request.settings)}
    )  # what it was told, without others' defaults


STAGE = Stage(NAME, PHYSICS, CandidateEstimate, run)
