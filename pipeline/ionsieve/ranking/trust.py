"""How far to trust the whole table, in plain words an experimentalist can act on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ionsieve.ranking.settings import RankingSettings
from ionsieve.records import CandidateEstimate, RankedCandidate
from ionsieve.verdicts import Flag, Severity

__all__ = ["trust"]


def _of(count: int, total: int) -> str:
    if count == total:
        return "all of them" if total != 1 else "the only one"
    return f"{count} of {total}"


def trust(
    rows: Sequence[RankedCandidate], estimates: Mapping[str, CandidateEstimate], settings: RankingSettings
) -> str:
    """Return a few sentences: what the order rests on, and what would make it firmer."""
    ranked = [row for row in rows if row.section == "ranked"]
    bounded = [row for row in rows if row.section == "bounded"]
    if not ranked:
        text = "No candidate has a measured conductivity, so there is no order."
        if bounded:
            verb = "is" if len(bounded) == 1 else "are"
            text += (
                f" {len(bounded)} {verb} bounded from above: the runs saw too few jumps."
                " Longer runs or higher temperatures would turn limits into values."
            )
        return text
    parts = [_firmness(ranked, settings)]
    lengths = [e.total_length_ps for row in ranked if (e := estimates.get(row.candidate_id)) and e.total_length_ps > 0]
    if lengths and min(lengths) < 100:
        shortest, longest = f"{min(lengths):.3g}", f"{max(lengths):.3g}"
        span = shortest if shortest == longest else f"from {shortest} to {longest}"
        parts.append(
            f"The runs are short: {span} ps of simulation a candidate,"
            " so only the fastest conductors show enough jumps."
        )
    flags = Counter(flag for row in ranked for flag in set(row.flags))
    n = len(ranked)
    if flags[Flag.EXTRAPOLATED]:
        coldest = min(
            (
                t
                for row in ranked
                if (e := estimates.get(row.candidate_id))
                for t, _ in e.conductivity_points or e.points
            ),
            default=None,
        )
        start = f" from {coldest:g} K or hotter" if coldest is not None else ""
        parts.append(
            f"The conductivity at {settings.target_temperature_K:g} K is extrapolated{start}"
            f" for {_of(flags[Flag.EXTRAPOLATED], n)}: it holds only if no phase transition lies between."
        )
    if flags[Flag.ASSUMED_EA]:
        parts.append(f"For {_of(flags[Flag.ASSUMED_EA], n)} the activation energy is assumed, not measured.")
    if flags[Flag.TWO_TEMPERATURES] or flags[Flag.NARROW_SPAN]:
        few = max(flags[Flag.TWO_TEMPERATURES], flags[Flag.NARROW_SPAN])
        parts.append(f"For {_of(few, n)} the temperatures are too few or too close for a firm activation energy.")
    serious = [row for row in ranked if any(flag.severity is Severity.SERIOUS for flag in row.flags)]
    if serious:
        parts.append(f"Serious flags stand on {_of(len(serious), n)}; read them before weighing anything.")
    if flags[Flag.SOFT_POTENTIAL]:
        parts.append(
            "The potential is a universal one and probably too soft: trust the order more than the absolute numbers."
        )
    parts.append(
        "The intervals hold the statistical error of the simulations; probabilities of reaching a target also allow for"
        f" an error of the potential of {settings.shared_model_error_decades:g} decades."
    )
    if bounded:
        verb = "is" if len(bounded) == 1 else "are"
        parts.append(f"{len(bounded)} more {verb} only bounded from above and may still belong among the ranked.")
    return " ".join(parts)


def _firmness(ranked: Sequence[RankedCandidate], settings: RankingSettings) -> str:
    n, k = len(ranked), settings.top_k
    if n == 1:
        return "One candidate is ranked, so there is nothing to compare it with."
    if n <= k:
        return f"{n} candidates are ranked, no more than the {k} asked for: the table orders them but excludes none."
    chosen = [row.probability_top_k or 0.0 for row in ranked[:k]]
    right = sum(chosen)
    word = "firm" if right >= 0.8 * k else "fairly firm" if right >= 0.6 * k else "loose"
    return (
        f"The choice of the first {k} among {n} is {word}: on average {right:.1f} of them belong to the true first {k},"
        " given the errors of the simulations."
    )
