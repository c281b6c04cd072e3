"""rank: what is known of every candidate -> the table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ionsieve.campaign import Campaign
from ionsieve.errors import InputError
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

if TYPE_CHECKING:
    from ionsieve.ranking import ImportedColumns

__all__ = ["NAME", "PHYSICS", "STAGE", "Lost", "request", "run"]

NAME = "rank"
PHYSICS = 1


@dataclass(frozen=True)
class Lost:
    """Work that was set aside after its workers died or failed under it: no chemistry, but the table says so.

    Attributes
    ----------
    candidate
        As it was asked for.
    stage, label, reason
        What is missing and why.
    """

    candidate: Candidate
    stage: str
    label: str
    reason: str


def request(
    campaign: Campaign,
    *,
    generate: Sequence[str],
    sieve: Sequence[str] = (),
    relax: Sequence[str] = (),
    simulate: Sequence[str] = (),
    measure: Sequence[str] = (),
    fit: Sequence[str] = (),
    lost: Sequence[Lost] = (),
    columns: str | None = None,
) -> Request:
    """Ask for the ranking of a campaign from all records that exist, whatever they came to, and of what was lost.

    `columns` is the digest of the user's own columns; unset, the file is read.
    """
    groups = {
        "generate": generate,
        "sieve": sieve,
        "relax": relax,
        "simulate": simulate,
        "measure": measure,
        "fit": fit,
    }
    parameters: dict[str, Any] = {
        "campaign": campaign.name,
        "columns_csv": columns or columns_digest(campaign.ranking.columns_csv),
    }
    if lost:
        parameters["lost"] = [
            {"candidate": _named(a.candidate), "stage": a.stage, "label": a.label, "reason": a.reason} for a in lost
        ]
    return Request(
        NAME,
        PHYSICS,
        inputs={name: sorted(keys) for name, keys in groups.items()},
        parameters=parameters,
        settings=plain(campaign.ranking),
    )


def _named(candidate: Candidate) -> dict[str, Any]:
    """Return the candidate as the table names it: the versions of the software are no part of a question."""
    origin = {key: value for key, value in candidate.provenance.items() if key != "software"}
    return candidate.model_copy(update={"provenance": origin}).to_dict()


def columns_digest(path: str | None) -> str | None:
    """Return the digest of the user's own columns: an edited file is another question.

    Raises
    ------
    InputError
        When the file cannot be read.
    """
    try:
        return None if path is None else digest(Path(path))
    except OSError as error:
        raise _columns_gone(path, error.strerror or str(error)) from error


def columns_file(store: Store, sha256: str) -> Path:
    """Return where the folder keeps the columns with that digest."""
    return store.folder / "columns" / f"{sha256}.csv"


def _columns_gone(path: str | None, found: str, expected: str = "") -> InputError:
    return InputError(
        "the table of your own columns cannot be read",
        where=str(path),
        key="ranking.columns_csv",
        found=found,
        expected=expected,
        cause="it was moved, edited or deleted after the campaign began",
        remedy="put the file back, or run the campaign with --amend and another ranking.columns_csv (or none)",
    )


def _columns(request: Request, store: Store, path: str | None) -> ImportedColumns | None:
    """Read the columns that the request names by their digest: the folder's copy, or the user's file."""
    from ionsieve.ranking import read_columns

    asked = request.parameters.get("columns_csv")
    if asked is None or path is None:
        return None
    for file in (columns_file(store, asked), Path(path)):
        if file.is_file() and digest(file) == asked:
            return replace(read_columns(file), source=path)
    raise _columns_gone(
        path, "another content" if Path(path).is_file() else "no such file", f"the file with SHA-256 {asked[:12]}"
    )


def run(
    request: Request,
    store: Store,
    deadline_s: float | None = None,
    *,
    stability: Mapping[str, Mapping[str, float | str | None]] | None = None,
) -> Ranking:
    """Rank; candidates that ended before MD stand in their own sections with the reason.

    `stability` holds further computed columns by candidate id: they are made on demand after a campaign and are no part
    of the stored ranking's question, so a table with them is made anew where it is shown.
    """
    from ionsieve.ranking import rank

    del deadline_s
    generated = [store.need(key, GeneratedCandidate) for key in input_keys(request, "generate")]
    described = [store.need(key, StaticDescriptors) for key in input_keys(request, "sieve")]
    relaxed = [store.need(key, RelaxedConfiguration) for key in input_keys(request, "relax")]
    runs = [store.need(key, RunRecord) for key in input_keys(request, "simulate")]
    estimates = [store.need(key, CandidateEstimate) for key in input_keys(request, "fit")]
    measured = {e.candidate_id for e in estimates}
    candidates = {g.candidate.candidate_id: with_history(g, relaxed, runs, measured=measured) for g in generated}
    for told in request.parameters.get("lost", ()):
        asked = Candidate.model_validate(told["candidate"])
        name = asked.candidate_id
        candidates[name] = with_loss(candidates.get(name, asked), told, measured=name in measured)
    settings = RankingSettings.model_validate(request.settings)
    return rank(
        estimates,
        candidates=candidates,
        descriptors={d.configuration_id: d for d in described},
        measurements=[store.need(key, Measurement) for key in input_keys(request, "measure")],
        settings=settings,
        campaign=request.parameters["campaign"],
        stability=stability,
        imported=_columns(request, store, settings.columns_csv),
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


def with_loss(candidate: Candidate, told: Mapping[str, Any], *, measured: bool) -> Candidate:
    """Return the candidate with what was set aside of it: a flag beside a number, the outcome where there is none."""
    flags = {*candidate.flags, Flag.RUNS_MISSING}
    update: dict[str, object] = {"flags": tuple(flag for flag in Flag if flag in flags)}
    if not measured and candidate.outcome is Outcome.COMPLETED:
        reason = f"{told['stage']} of {told['label']} was set aside: {told['reason']}"
        update |= {"outcome": Outcome.QUARANTINED, "reason": reason}
    return candidate.model_copy(update=update)


STAGE = Stage(NAME, PHYSICS, Ranking, run)
