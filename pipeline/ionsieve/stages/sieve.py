"""sieve: a configuration -> the geometry of its channels, and whether it deserves molecular dynamics."""

from __future__ import annotations

from ionsieve.campaign import Campaign
from ionsieve.channels.settings import ChannelSettings
from ionsieve.records import Configuration, GeneratedCandidate, StaticDescriptors
from ionsieve.stages.base import Stage, input_key, plain
from ionsieve.store import Request, Store

__all__ = ["NAME", "PHYSICS", "STAGE", "request", "run", "sieve_configuration"]

NAME = "sieve"
PHYSICS = 3


def request(generate_key: str, index: int, campaign: Campaign) -> Request:
    """Ask for the channels of configuration `index` of a generated candidate."""
    return Request(
        NAME,
        PHYSICS,
        inputs={"generate": generate_key},
        parameters={"index": index},
        settings=plain(campaign.sieve),
    )


def sieve_configuration(configuration: Configuration, mobile: str, settings: ChannelSettings) -> StaticDescriptors:
    """Measure the channels of a configuration and judge them."""
    from ionsieve.channels import describe, judge

    channels = describe(
        configuration.structure,
        mobile,
        mobile_sites_A=configuration.mobile_sites_A or None,
        mobile_site_labels=configuration.mobile_site_labels or None,
        settings=settings,
    )
    outcome, reason, flags = judge(channels, settings)
    return channels.record(
        configuration.configuration_id,
        outcome=outcome,
        reason=reason,
        flags=flags,
        settings=settings.model_dump(mode="json"),
    )


def run(request: Request, store: Store, deadline_s: float | None = None) -> StaticDescriptors:
    """Measure the channels and judge them by the campaign's thresholds."""
    del deadline_s
    generated = store.need(input_key(request, "generate"), GeneratedCandidate)
    configuration = generated.configurations[request.parameters["index"]]
    settings = ChannelSettings.model_validate(request.settings)
    return sieve_configuration(configuration, generated.candidate.mobile_ion, settings)


STAGE = Stage(NAME, PHYSICS, StaticDescriptors, run)
