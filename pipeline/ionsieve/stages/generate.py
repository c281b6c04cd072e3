"""generate: a candidate's specification -> the candidate with its ordered configurations."""

from __future__ import annotations

from ionsieve.campaign import Campaign
from ionsieve.generate.settings import GenerateSettings
from ionsieve.records import Candidate, GeneratedCandidate
from ionsieve.stages.base import Stage, plain
from ionsieve.store import Request, Store

__all__ = ["NAME", "PHYSICS", "STAGE", "request", "run"]

NAME = "generate"
PHYSICS = 1


def request(candidate: Candidate, campaign: Campaign) -> Request:
    """Ask for the configurations of one candidate of `generate.expand`."""
    # versions of the software are provenance; what they change, PHYSICS tells
    origin = {key: value for key, value in candidate.provenance.items() if key != "software"}
    parameters = {"candidate": candidate.model_copy(update={"provenance": origin}).to_dict(), "seed": campaign.seed}
    # The recipes have become candidates: adding a recipe must not re-address the others.
    settings = plain(campaign.generate, exclude=frozenset({"recipes"}))
    return Request(NAME, PHYSICS, parameters=parameters, settings=settings)


def run(request: Request, store: Store, deadline_s: float | None = None) -> GeneratedCandidate:
    """Order the supercell; a refused candidate passes through with its reason."""
    from ionsieve.generate import configure

    del store, deadline_s
    candidate = Candidate.model_validate(request.parameters["candidate"])
    # what the recipe asked for is in the candidate; the settings only want one to be there
    settings = GenerateSettings.model_validate({**request.settings, "recipes": [{"prototype": candidate.prototype}]})
    candidate, configurations = configure(candidate, settings, seed=request.parameters["seed"])
    return GeneratedCandidate(candidate=candidate, configurations=configurations)


STAGE = Stage(NAME, PHYSICS, GeneratedCandidate, run)
