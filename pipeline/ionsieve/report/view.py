"""Records into one plain view: everything the page says, decided here; the sections only draw it.

`build_view` is the only place of the report that computes; `ReportView` is plain data and goes to JSON (`as_json`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ionsieve.quantities import QUANTITIES, Quantity
from ionsieve.ranking import table
from ionsieve.records import CandidateEstimate, RankedCandidate, Ranking
from ionsieve.report import plots
from ionsieve.report.candidates import CandidateView, candidate_view, compact
from ionsieve.report.figure import Figure
from ionsieve.report.methods import MethodsView, methods_view
from ionsieve.report.plots.parity import Comparison, compare
from ionsieve.report.source import CampaignResults, Event
from ionsieve.report.text import estimate_text, formula_text, interval_text, target_text, words
from ionsieve.verdicts import Flag, Outcome, Severity, Verdict

__all__ = ["FlagView", "ReportView", "SummaryView", "answer", "as_json", "build_view"]

SECTION_TITLES = {
    "ranked": "Ranked",
    "bounded": "Only bounded from above",
    "excluded": "Outside a limit of the campaign",
    "failed": "Failed, with the reason",
    "sieved": "Sieved out before molecular dynamics",
    "waiting": "Not measured yet",
}


@dataclass(frozen=True)
class FlagView:
    """A flag, what it means, how strongly it limits trust, and how many candidates carry it."""

    key: str
    sentence: str
    severity: str
    count: int


@dataclass(frozen=True)
class SummaryView:
    """The first screen: who wins, how far to trust it, key figures, and the candidates to make first.

    `sentences` end with the ranking's own text on trust; `trust` is the same text, one sentence an entry. `firm` says
    whether each leader more likely than not belongs among the first k; `rivals` are bounded candidates that are more
    likely to than one of the leaders.
    """

    sentences: tuple[str, ...]
    trust: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    leaders: tuple[RankedCandidate, ...]
    firm: bool = True
    rivals: tuple[RankedCandidate, ...] = ()


@dataclass(frozen=True)
class ReportView:
    """Everything the page shows."""

    title: str
    campaign: str
    description: str
    version: str
    temperature_K: float
    complete: bool
    ranking: Ranking
    sections: tuple[tuple[str, str, tuple[RankedCandidate, ...]], ...]
    open_sections: tuple[str, ...]
    sigma_limits: tuple[float, float]
    extra_columns: tuple[str, ...]
    table: list[dict[str, float | int | str | None]]
    summary: SummaryView
    figures: dict[str, Figure]
    candidates: tuple[CandidateView, ...]
    structures: dict[str, dict[str, Any]]
    comparisons: tuple[Comparison, ...]
    flags: tuple[FlagView, ...]
    outcomes: tuple[tuple[str, str, int], ...]
    verdicts: tuple[tuple[str, str], ...]
    glossary: tuple[Quantity, ...]
    methods: MethodsView
    events: tuple[Event, ...]
    progress: Mapping[str, int]


def build_view(results: CampaignResults) -> ReportView:
    """Return the view of a campaign's results; equal results give an equal view."""
    ranking = results.ranking
    estimates = {e.candidate_id: e for e in results.estimates}
    candidates = {c.candidate_id: c for c in results.candidates}
    comparisons = compare(candidates, results.estimates)
    sections = tuple(
        (key, title, tuple(row for row in ranking.rows if row.section == key)) for key, title in SECTION_TITLES.items()
    )
    pages = tuple(
        candidate_view(results, row, estimates.get(row.candidate_id), comparisons)
        for row in ranking.rows
        if row.candidate_id in candidates
    )
    return ReportView(
        title=f"Solid electrolytes: {ranking.campaign or results.name}",
        campaign=ranking.campaign or results.name,
        description=str(results.campaign.get("description", "")),
        version=results.report_versions.get("ionsieve", ""),
        temperature_K=ranking.target_temperature_K,
        complete=results.complete,
        ranking=ranking,
        sections=tuple(section for section in sections if section[2]),
        open_sections=_open_sections(ranking),
        sigma_limits=_sigma_limits(ranking),
        extra_columns=tuple(
            sorted(
                {name for row in ranking.rows for name in row.columns}
                - {f"{a}_{b}" for a in ("cost", "hazard") for b in ("class", "element")}
            )
        ),
        table=table(ranking),
        summary=_summary(results),
        figures=_figures(ranking, estimates, comparisons),
        candidates=pages,
        structures={page.anchor: compact(page.structure) for page in pages if page.structure},
        comparisons=comparisons,
        flags=_flags(ranking),
        outcomes=_outcomes(ranking),
        verdicts=tuple((v.value, v.sentence) for v in Verdict),
        glossary=tuple(QUANTITIES.values()),
        methods=methods_view(results),
        events=results.events,
        progress=results.progress,
    )


def as_json(view: ReportView) -> dict[str, Any]:
    """Return the view as plain JSON types (records in their JSON form)."""

    def plain(value: Any) -> Any:
        if hasattr(value, "model_dump"):
            return value.model_dump(mode="json")
        if isinstance(value, Mapping):
            return {str(k): plain(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(v) for v in value]
        if hasattr(value, "__dataclass_fields__"):
            return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
        return value

    return {name: plain(getattr(view, name)) for name in view.__dataclass_fields__}


def _open_sections(ranking: Ranking) -> tuple[str, ...]:
    """Return the sections that the table shows at first: those with numbers, or all while there are none."""
    present = {row.section for row in ranking.rows}
    numbers = ("ranked", "bounded", "excluded")
    return numbers if present & set(numbers) else tuple(SECTION_TITLES)


def _sigma_limits(ranking: Ranking) -> tuple[float, float]:
    values = [
        v
        for row in ranking.rows
        for v in (row.conductivity.low68, row.conductivity.high68, row.conductivity.value)
        if v is not None and v > 0
    ]
    low, high = (min(values), max(values)) if values else (1e-6, 1e-2)
    return max(low / 3, high * 1e-12), high * 3


def _figures(
    ranking: Ranking, estimates: Mapping[str, CandidateEstimate], comparisons: tuple[Comparison, ...]
) -> dict[str, Figure]:
    many = max(5, min(ranking.top_k, 8))
    leading = [row for row in ranking.rows if row.section == "ranked"][:many]
    leading = leading or [row for row in ranking.rows if row.section == "bounded"][:many]
    figures = (
        plots.forest(ranking),
        plots.tradeoff(ranking),
        plots.gates_against_conductivity(ranking),
        plots.overview(
            [(formula_text(r.formula), estimates[r.candidate_id]) for r in leading if r.candidate_id in estimates]
        ),
        plots.parity(comparisons),
    )
    return {figure.key: figure for figure in figures if figure is not None}


def _summary(results: CampaignResults) -> SummaryView:
    ranking = results.ranking
    count = Counter(row.section for row in ranking.rows)
    ranked = [row for row in ranking.rows if row.section == "ranked"]
    sentences = answer(ranking)
    if not results.complete:
        sentences.append("This campaign is not finished: the table shows what is known so far and will change.")
    if results.note:
        sentences.append(results.note)
    sentences.append(ranking.trust)
    names = (
        ("ranked", "ranked"),
        ("bounded", "bounded"),
        ("excluded", "excluded"),
        ("failed", "failed"),
        ("sieved", "sieved out"),
        ("waiting", "waiting"),
    )
    facts = [("candidates", str(len(ranking.rows)))]
    facts += [(name, str(count[key])) for key, name in names if count[key]]
    ps = results.cost.get("simulated_ps", 0.0) or sum(r.summary.length_ps for r in results.runs if r.summary)
    if ps:
        facts.append(("simulated", f"{ps / 1000:.3g} ns" if ps >= 1000 else f"{ps:.3g} ps"))
    hours = results.cost.get("device_hours")
    if hours:
        facts.append(("computing", f"{hours:.3g} h" if hours >= 1 else f"{60 * hours:.2g} min"))
    leaders = tuple(ranked[: ranking.top_k])
    weakest = min((row.probability_top_k or 0.0 for row in leaders), default=1.0)
    rivals = [r for r in ranking.rows if r.section == "bounded" and (r.probability_top_k or 0.0) > weakest]
    return SummaryView(
        sentences=tuple(s for s in sentences if s),
        trust=tuple(re.split(r"(?<=\.) (?=[A-Z0-9])", ranking.trust)),
        facts=tuple(facts),
        leaders=leaders,
        firm=weakest >= 0.5,
        rivals=tuple(sorted(rivals, key=lambda row: -(row.probability_top_k or 0.0))),
    )


def answer(ranking: Ranking) -> list[str]:
    """Return who wins, by how much, how sure its place is, and how many reach the targets."""
    T = f"{ranking.target_temperature_K:g} K"
    ranked = [row for row in ranking.rows if row.section == "ranked"]
    if not ranked:
        bounded = sum(row.section == "bounded" for row in ranking.rows)
        if not bounded:
            return ["There is no winner: no candidate has a measured conductivity."]
        who = "the one measured candidate" if bounded == 1 else f"each of the {bounded} measured candidates"
        return [f"There is no winner: for {who} only an upper limit of the conductivity is known."]
    best = ranked[0]
    first = (
        f"{best.formula} conducts best of the {len(ranked)} ranked candidates"
        if len(ranked) > 1
        else f"{best.formula} is the only candidate with a measured conductivity"
    )
    sentences = [
        f"{first}: {estimate_text(best.conductivity)} S/cm at {T} (68 % interval {interval_text(best.conductivity)})."
    ]
    place = best.expected_rank
    if len(ranked) > 1 and place is not None and place.low68 is not None and place.high68 is not None:
        low, high = round(place.low68), round(place.high68)
        sentences.append(
            "Within the errors of the simulations its first place is firm."
            if high <= 1
            else f"Its first place is not certain: the errors of the simulations allow place {low} to {high}."
        )
    doubts = [words(f.value) for f in best.flags if f.severity is not Severity.NOTE]
    if doubts:
        sentences.append(f"Its number has reservations: {', '.join(doubts)}.")
    reach = []
    for target in ranking.targets_S_per_cm:
        good = sum((row.probability_targets.get(f"{target:g}") or 0.0) >= 0.5 for row in ranked)
        reach.append(f"{good or 'none'} {'reaches' if good < 2 else 'reach'} {target_text(target)} S/cm")
    if reach:
        sentences.append(f"More likely than not, {' and '.join(reach)}; the error of the potential is allowed for.")
    return sentences


def _flags(ranking: Ranking) -> tuple[FlagView, ...]:
    count = Counter(flag for row in ranking.rows for flag in set(row.flags))
    order = {Severity.SERIOUS: 0, Severity.CAUTION: 1, Severity.NOTE: 2}
    present = sorted((f for f in Flag if count[f]), key=lambda f: (order[f.severity], -count[f], f.value))
    return tuple(FlagView(f.value, f.sentence, f.severity.value, count[f]) for f in present)


def _outcomes(ranking: Ranking) -> tuple[tuple[str, str, int], ...]:
    count = Counter(row.outcome for row in ranking.rows)
    return tuple((o.value, o.sentence, count[o]) for o in Outcome if count[o])
