"""measure: a run's trajectory -> diffusivities, mechanism, moving bottlenecks, verdict."""

from __future__ import annotations

from ionsieve.campaign import Campaign
from ionsieve.channels.settings import ChannelSettings
from ionsieve.records import (
    Candidate,
    Configuration,
    GateMotion,
    GeneratedCandidate,
    Measurement,
    RunRecord,
)
from ionsieve.stages.base import Stage
from ionsieve.store import Request, Store
from ionsieve.trajectory import h5md
from ionsieve.transport.settings import TransportSettings

__all__ = ["NAME", "PHYSICS", "STAGE", "request", "run"]

NAME = "measure"
PHYSICS = 1


def request(simulate_key: str, generate_key: str, index: int, campaign: Campaign) -> Request:
    """Ask for the transport of one run."""
    return Request(
        NAME,
        PHYSICS,
        inputs={"simulate": simulate_key, "generate": generate_key},
        parameters={"index": index},
        settings={
            "transport": campaign.transport.model_dump(mode="json"),
            "channels": campaign.sieve.model_dump(mode="json"),
        },
    )


def run(request: Request, store: Store, deadline_s: float | None = None) -> Measurement:
    """Measure one run; a run that failed gives a measurement that says so."""
    from ionsieve.transport import measure

    del deadline_s
    record = store.need(request.inputs["simulate"], RunRecord)
    generated = store.need(request.inputs["generate"], GeneratedCandidate)
    candidate, configuration = generated.candidate, generated.configurations[request.parameters["index"]]
    settings = TransportSettings.model_validate(request.settings["transport"])
    trajectory = h5md.read(store.file(record.trajectory)) if record.trajectory else None
    transport = measure(
        trajectory.positions,
        trajectory.cells,
        trajectory.times_ps,
        trajectory.numbers,
        mobile=candidate.mobile_ion,
        charge=candidate.mobile_charge,
        framework=candidate.framework,
        temperature_K=record.run.temperature_K,
        charges=configuration.structure.oxidation_states or None,
        mobile_sites_A=configuration.mobile_sites_A or None,
        mobile_site_labels=configuration.mobile_site_labels or None,
        polyanions=candidate.polyanions,
        settings=settings,
    )
    return transport.to_record(record.run)


STAGE = Stage(NAME, PHYSICS, Measurement, run)
