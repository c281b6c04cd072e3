"""generate: a candidate's specification -> the candidate with its ordered configurations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ionsieve.campaign import Campaign
from ionsieve.generate.settings import GenerateSettings
from ionsieve.records import Candidate, GeneratedCandidate
from ionsieve.stages.base import Stage, plain
from ionsieve.store import Request, Store

__all__ = ["NAME", "PHYSICS", "STAGE", "questioned", "request", "run"]

NAME = "generate"
PHYSICS = 2


def questioned(candidate: Candidate) -> Candidate:
    """Return what a question says of a candidate: all but where its files lie and which software made it."""
    # versions of the software are provenance; what they change, PHYSICS tells
    origin = {key: value for key, value in candidate.provenance.items() if key != "software"}
    if "prototype" in origin:  # known by its digest, wherever its files lie
        origin["prototype"] = {**origin["prototype"], "location": ""}
    return candidate.model_copy(update={"provenance": origin})


def request(candidate: Candidate, campaign: Campaign) -> Request:
    """Ask for the configurations of one candidate of `generate.expand`."""
    parameters = {"candidate": questioned(candidate).to_dict(), "seed": campaign.seed}
    # The recipes have become candidates: adding a recipe must not re-address the others.
    settings = plain(campaign.generate, exclude=frozenset({"recipes", "library"}))
    return Request(NAME, PHYSICS, parameters=parameters, settings=settings)


def run(request: Request, store: Store, deadline_s: float | None = None) -> GeneratedCandidate:
    """Order the supercell; a refused candidate passes through with its reason."""
    from ionsieve.generate import configure

    del deadline_s
    candidate = Candidate.model_validate(request.parameters["candidate"])
    # what the recipe asked for is in the candidate; the settings only want one to be there
    settings = GenerateSettings.model_validate({**request.settings, "recipes": [{"prototype": candidate.prototype}]})
    asked = store.campaign.get("generate", {})
    candidate = _with_location(candidate, asked)
    library = asked.get("library", ())
    candidate, configurations = configure(candidate, settings, seed=request.parameters["seed"], library=library)
    return GeneratedCandidate(candidate=candidate, configurations=configurations)


def _with_location(candidate: Candidate, asked: Mapping[str, Any]) -> Candidate:
    """Say where the campaign has the prototype's files, when a recipe names it by path."""
    from ionsieve.generate import prototypes

    entry = candidate.provenance.get("prototype")
    if entry is None:
        return candidate
    for recipe in asked.get("recipes", ()):
        for name in (recipe.get("prototype"), *((recipe.get("grid") or {}).get("prototypes") or ())):
            if not name or not prototypes.is_file_name(name) or Path(name).stem != candidate.prototype:
                continue
            if prototypes.load(name).sha256 == entry["sha256"]:
                located = {**candidate.provenance, "prototype": {**entry, "location": str(name)}}
                return candidate.model_copy(update={"provenance": located})
    return candidate


STAGE = Stage(NAME, PHYSICS, GeneratedCandidate, run)
