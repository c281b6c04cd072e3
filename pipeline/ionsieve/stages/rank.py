"""rank: what is known of every candidate -> the table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from ionsieve.campaign import Campaign
from ionsieve.ranking.settings import RankingSettings
from ionsieve.records import (
    Candidate,
    CandidateEstimate,
    Configuration,
    GeneratedCandidate,
    Measurement,
    Ranking,
    RelaxedConfiguration,
    RunRecord,
    StaticDescriptors,
)
from ionsieve.stages.base import Stage, input_keys, plain
from ionsieve.store import Request, Store
from ionsieve.store.folder import digest
from ionsieve.verdicts import Flag, Outcome

__all__ = ["NAME", "PHYSICS", "STAGE", "request", "run"]

NAME = "rank"
PHYSICS = 1


def request(
    campaign: Campaign,
    *,
    generate: Sequence[str],
    sieve: Sequence[str] = (),
    relax: Sequence[str] = (),
    simulate: Sequence[str] = (),
    measure: Sequence[str] = (),
    fit: Sequence[str] = (),
) -> Request:
    """Ask for the ranking of a campaign from all records that exist, whatever they came to."""
    groups = {
        "generate": generate,
        "sieve": sieve,
        "relax": relax,
        "simulate": simulate,
        "measure": measure,
        "fit": fit,
    }
    return Request(
        NAME,
        PHYSICS,
        inputs={name: sorted(keys) for name, keys in groups.items()},
        parameters={"campaign": campaign.name, "columns_csv": _content(campaign.ranking.columns_csv)},
        settings=plain(campaign.ranking),
    )


def _content(path: str | None) -> str | None:
    """Return the digest of the user's own columns: an edited file is another question."""
    return None if path is None else digest(Path(path))


def run(request: Request, store: Store, deadline_s: float | None = None) -> Ranking:
    """Rank; candidates that ended before MD stand in their own sections with the reason."""
    from ionsieve.ranking import rank

    del deadline_s
    generated = [store.need(key, GeneratedCandidate) for key in input_keys(request, "generate")]
    described = [store.need(key, StaticDescriptors) for key in input_keys(request, "sieve")]
    relaxed = [store.need(key, RelaxedConfiguration) for key in input_keys(request, "relax")]
    runs = [store.need(key, RunRecord) for key in input_keys(request, "simulate")]
    estimates = [store.need(key, CandidateEstimate) for key in input_keys(request, "fit")]
    candidates = {
        g.candidate.candidate_id: with_history(g, relaxed, runs, measured={e.candidate_id for e in estimates})
        for g in generated
    }
    return rank(
        estimates,
        candidates=candidates,
        descriptors={d.configuration_id: d for d in described},
        measurements=[store.need(key, Measurement) for key in input_keys(request, "measure")],
        settings=RankingSettings.model_validate(request.settings),
        campaign=request.parameters["campaign"],
    )


def with_history(
    generated: GeneratedCandidate,
    relaxed: Sequence[RelaxedConfiguration],
    runs: Sequence[RunRecord],
    *,
    measured: Collection[str],
) -> Candidate:
    """Return the candidate with the flags of all that was made of it and, where it has no estimate, why."""
    candidate = generated.candidate
    mine: list[Configuration | RelaxedConfiguration | RunRecord] = [
        *generated.configurations,
        *(r for r in relaxed if r.candidate_id == candidate.candidate_id),
        *(r for r in runs if r.run.candidate_id == candidate.candidate_id),
    ]
    mine.sort(key=lambda record: (getattr(record, "configuration_id", ""), type(record).__name__))
    flags = {flag for record in (candidate, *mine) for flag in record.flags}
    update: dict[str, object] = {"flags": tuple(flag for flag in Flag if flag in flags)}
    failure = next((r for r in mine if r.outcome not in (Outcome.COMPLETED, Outcome.STOPPED_EARLY)), None)
    if failure is not None and candidate.candidate_id not in measured and candidate.outcome is Outcome.COMPLETED:
        update |= {"outcome": failure.outcome, "reason": failure.reason or failure.outcome.sentence}
    return candidate.model_copy(update=update)


STAGE = Stage(NAME, PHYSICS, Ranking, run)
