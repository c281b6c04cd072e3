"""The ranking itself: every candidate in one section, the measured ones in order of their posterior.

Definition   ranked by expected rank under the posterior of sigma at the temperature of use; by score when the campaign
             weighs more than conductivity. Equals stand in alphabetical order: equal inputs, equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ionsieve.ranking.elements import COST_SOURCE, HAZARD_SOURCE
from ionsieve.ranking.imported import ImportedColumns, check_limits, read_columns
from ionsieve.ranking.pareto import fronts
from ionsieve.ranking.posterior import Posterior, RankStatistics, ln_sigma_of, sample, statistics
from ionsieve.ranking.properties import (
    bottleneck_of,
    descriptors_of,
    element_columns,
    expansion_columns,
    first_failure,
    worst_flags,
)
from ionsieve.ranking.scores import oriented, score
from ionsieve.ranking.settings import HardLimit, RankingSettings
from ionsieve.ranking.trust import trust
from ionsieve.records import (
    Candidate,
    CandidateEstimate,
    Estimate,
    Measurement,
    RankedCandidate,
    Ranking,
    StaticDescriptors,
)
from ionsieve.verdicts import Flag, Outcome, Verdict

__all__ = ["SECTION_ORDER", "rank"]

SECTION_ORDER = ("ranked", "bounded", "excluded", "failed", "sieved", "waiting")
_SOURCES = {
    "cost_class": COST_SOURCE,
    "hazard_class": HAZARD_SOURCE,
    "linear_expansion_per_K": "from the volumes of the runs, where the cell followed the temperature",
}
_GOOD = (Outcome.COMPLETED, Outcome.STOPPED_EARLY)


@dataclass
class _Row:
    candidate: Candidate
    estimate: CandidateEstimate | None
    section: str = "waiting"
    outcome: Outcome = Outcome.COMPLETED
    reason: str = ""
    posterior: Posterior | None = None
    bottleneck: Estimate | None = None
    columns: dict[str, float | str | None] = field(default_factory=dict)
    computed: frozenset[str] = frozenset()
    flags: tuple[Flag, ...] = ()
    score: float | None = None
    front: int | None = None

    def value_of(self, key: str) -> float | None:
        """Central value of an objective or a numeric column, None when unknown or only bounded."""
        estimates = {
            "conductivity": self.estimate.conductivity if self.estimate else None,
            "activation_energy": self.estimate.activation_energy if self.estimate else None,
            "bottleneck_radius": self.bottleneck,
        }
        if key in estimates:
            found = estimates[key]
            return found.value if found is not None and found.is_value else None
        column = self.columns.get(key)
        return float(column) if isinstance(column, (int, float)) else None

    @property
    def limit_S_per_cm(self) -> float | None:
        """The upper limit of the conductivity where nothing more is known of it."""
        return self.estimate.conductivity.value if self.estimate and self.section == "bounded" else None


def rank(
    estimates: Sequence[CandidateEstimate],
    *,
    candidates: Mapping[str, Candidate],
    descriptors: Mapping[str, StaticDescriptors | Sequence[StaticDescriptors]] | None = None,
    measurements: Sequence[Measurement] = (),
    settings: RankingSettings | None = None,
    campaign: str = "",
    stability: Mapping[str, Mapping[str, float | str | None]] | None = None,
    imported: ImportedColumns | None = None,
) -> Ranking:
    """Rank all candidates of a campaign; those without a number stand in their own sections with the reason.

    Parameters
    ----------
    estimates
        What MD says, one a candidate; candidates without one are sieved, failed or waiting.
    candidates
        By candidate id; all of the campaign, refused ones included.
    descriptors
        Static geometry, keyed by candidate id (one or several) or by configuration id.
    measurements
        Of any candidates, for the breathing of the bottleneck and the reasons of failed runs.
    settings
        Temperature, targets, weights, limits.
    campaign
        Its name, for the record.
    stability
        Further computed columns by candidate id, for example ``shear_modulus`` in GPa.
    imported
        Columns of the user's; read from `settings.columns_csv` when not given.

    Returns
    -------
    Ranking
        Equal inputs, in any order, give equal bytes.
    """
    settings = settings or RankingSettings()
    if imported is None:
        imported = read_columns(settings.columns_csv) if settings.columns_csv else ImportedColumns()
    check_limits(settings.hard_limits, imported, sorted({name for row in (stability or {}).values() for name in row}))
    by_id = {e.candidate_id: e for e in estimates}
    unknown = sorted(set(by_id) - set(candidates))
    if unknown:
        raise ValueError(f"estimates of candidates that are not in the campaign: {', '.join(unknown[:5])}")
    measured: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        measured.setdefault(measurement.candidate_id, []).append(measurement)

    rows = [
        _row(
            candidates[key],
            by_id.get(key),
            descriptors_of(key, descriptors or {}),
            measured.get(key, []),
            (stability or {}).get(key, {}),
            imported,
        )
        for key in sorted(candidates)
    ]
    for row in rows:
        _exclude(row, settings.hard_limits)
    compared = [row for row in rows if row.section in ("ranked", "bounded") and row.posterior]
    draws = sample(
        [row.posterior for row in compared if row.posterior],
        samples=settings.samples,
        seed=settings.seed,
        own_decades=settings.own_model_error_decades,
        limit_decades=settings.limit_decades,
    )
    found = statistics(
        draws,
        top_k=settings.top_k,
        targets_S_per_cm=settings.targets_S_per_cm,
        shared_decades=settings.shared_model_error_decades,
        seed=settings.seed,
    )
    mixed = [name for name in imported.names if any(name in row.computed for row in rows)]
    objectives = _score_and_fronts([row for row in compared if row.section == "ranked"], settings)
    place = {row.candidate.candidate_id: index for index, row in enumerate(compared)}
    records = _ordered(rows, place, found, settings)
    return Ranking(
        campaign=campaign,
        target_temperature_K=settings.target_temperature_K,
        top_k=settings.top_k,
        targets_S_per_cm=settings.targets_S_per_cm,
        rows=records,
        trust=trust(records, by_id, settings),
        pareto_objectives=objectives,
        imported_columns=tuple(name for name in imported.names if name not in mixed),
        column_sources={
            **_SOURCES,
            **dict.fromkeys(imported.names, f"imported from {imported.source}"),
            **{name: f"{_SOURCES.get(name, 'computed')}; where it has a value, {imported.source}" for name in mixed},
        },
        settings=settings.model_dump(mode="json"),
    )


def _formula(candidate: Candidate) -> str:
    return candidate.realised_formula or candidate.target_formula


def _row(
    candidate: Candidate,
    estimate: CandidateEstimate | None,
    described: Sequence[StaticDescriptors],
    measured: Sequence[Measurement],
    stability: Mapping[str, float | str | None],
    imported: ImportedColumns,
) -> _Row:
    computed = {**element_columns(candidate), **expansion_columns(measured), **stability}
    row = _Row(
        candidate=candidate,
        estimate=estimate,
        bottleneck=bottleneck_of(described, measured),
        columns=imported.over(computed, candidate.candidate_id, _formula(candidate)),
        computed=frozenset(name for name, value in computed.items() if value is not None),
        flags=worst_flags(
            candidate.flags,
            estimate.flags if estimate else (),
            estimate.conductivity.flags if estimate else (),
            estimate.activation_energy.flags if estimate else (),
        ),
    )
    if candidate.outcome not in _GOOD:
        row.section, row.outcome, row.reason = "failed", candidate.outcome, candidate.reason
        return row
    if estimate is None:
        sieved = bool(described) and all(d.outcome is Outcome.SIEVED for d in described)
        failure = first_failure(described) or first_failure(measured)
        if sieved:
            row.section, row.outcome = "sieved", Outcome.SIEVED
            row.reason = described[0].reason or Outcome.SIEVED.sentence
        elif failure and failure[0] is not Outcome.SIEVED:
            row.section, (row.outcome, row.reason) = "failed", failure
        else:
            row.reason = "Not measured yet."
        return row
    row.outcome, row.reason = estimate.outcome, estimate.reason
    if estimate.outcome is Outcome.SIEVED:
        row.section = "sieved"
        return row
    if estimate.outcome not in _GOOD:
        row.section = "failed"
        return row
    law = ln_sigma_of(estimate.conductivity, estimate.ln_sigma_mean, estimate.ln_sigma_std)
    if law is None:
        row.section = "failed"
        row.reason = row.reason or estimate.conductivity.reason or Verdict.REFUSED.sentence
        return row
    row.posterior = Posterior(candidate.candidate_id, *law)
    row.section = "bounded" if row.posterior.is_limit else "ranked"
    if row.posterior.is_limit:
        row.reason = row.reason or Verdict.UPPER_LIMIT.sentence
    return row


def _exclude(row: _Row, limits: Sequence[HardLimit]) -> None:
    if row.section not in ("ranked", "bounded"):
        return
    for limit in limits:
        value = row.value_of(limit.column)
        bound = row.limit_S_per_cm if limit.column == "conductivity" else None
        if bound is not None and limit.minimum is not None and bound < limit.minimum:
            row.section, row.reason = (
                "excluded",
                f"conductivity is at most {bound:.3g}, below the campaign's {limit.minimum:g}.",
            )
        if value is None:
            continue
        if limit.minimum is not None and value < limit.minimum:
            row.section, row.reason = (
                "excluded",
                f"{limit.column} {value:.3g} is below the campaign's {limit.minimum:g}.",
            )
        elif limit.maximum is not None and value > limit.maximum:
            row.section, row.reason = (
                "excluded",
                f"{limit.column} {value:.3g} is above the campaign's {limit.maximum:g}.",
            )


def _score_and_fronts(ranked: Sequence[_Row], settings: RankingSettings) -> tuple[str, ...]:
    if not ranked:
        return ()
    values = {key: [row.value_of(key) for row in ranked] for key in settings.pareto}
    known = {key: [v for v in column if v is not None] for key, column in values.items()}
    objectives = tuple(key for key in settings.pareto if len(known[key]) == len(ranked))
    if objectives:
        for row, front in zip(
            ranked,
            fronts([[oriented(key, known[key][i]) for key in objectives] for i in range(len(ranked))]),
            strict=True,
        ):
            row.front = int(front)
    for row in ranked:
        row.score = score({key: row.value_of(key) for key in settings.weights.model_dump()}, settings.weights)
    return objectives


def _ordered(
    rows: Sequence[_Row], place: Mapping[str, int], found: RankStatistics, settings: RankingSettings
) -> tuple[RankedCandidate, ...]:
    def key(row: _Row) -> tuple[float, float, str]:
        index = place.get(row.candidate.candidate_id)
        expected = float(found.mean_rank[index]) if index is not None else 0.0
        by_score = -(row.score or 0.0) if row.section == "ranked" and not settings.weights.conductivity_alone else 0.0
        return by_score, expected, row.candidate.candidate_id

    records: list[RankedCandidate] = []
    for section in SECTION_ORDER:
        for number, row in enumerate(sorted((r for r in rows if r.section == section), key=key), start=1):
            index = place.get(row.candidate.candidate_id)
            records.append(_record(row, number if section == "ranked" else None, index, found, settings))
    return tuple(records)


def _record(
    row: _Row, number: int | None, index: int | None, found: RankStatistics, settings: RankingSettings
) -> RankedCandidate:
    candidate, estimate = row.candidate, row.estimate
    reason = row.reason or row.outcome.sentence
    nothing = reason if row.section != "waiting" else "Not measured yet."
    conductivity = estimate.conductivity if estimate else Estimate.refused("conductivity", nothing)
    return RankedCandidate(
        candidate_id=candidate.candidate_id,
        formula=_formula(candidate),
        family=candidate.family,
        mobile_ion=candidate.mobile_ion,
        section=row.section,
        rank=number,
        conductivity=conductivity,
        activation_energy=estimate.activation_energy if estimate else Estimate.refused("activation_energy", nothing),
        expected_rank=_expected_rank(found, index) if index is not None else None,
        probability_top_k=round(float(found.probability_top_k[index]), 6) if index is not None else None,
        probability_targets={
            f"{target:g}": round(float(found.probability_targets[index, j]), 6)
            for j, target in enumerate(settings.targets_S_per_cm)
        }
        if index is not None
        else {},
        bottleneck=row.bottleneck,
        score=None if row.score is None else round(row.score, 6),
        pareto_front=row.front,
        columns=dict(sorted(row.columns.items())),
        verdict=conductivity.kind,
        outcome=row.outcome,
        reason=row.reason,
        flags=row.flags,
    )


def _expected_rank(found: RankStatistics, index: int) -> Estimate:
    mean = round(float(found.mean_rank[index]), 6)
    low95, low68, _, high68, high95 = (float(q) for q in found.rank_quantiles[index])
    low68, high68 = min(low68, mean), max(high68, mean)
    return Estimate(
        quantity="expected_rank",
        kind=Verdict.VALUE,
        value=mean,
        low68=low68,
        high68=high68,
        low95=min(low95, low68),
        high95=max(high95, high68),
        method="posterior samples",
    )
