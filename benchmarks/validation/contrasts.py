"""Contrasts that the literature is clear about, and what the runs say of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ionsieve.records import Candidate, Estimate, Measurement
from ionsieve.report.literature import distance, fractions
from ionsieve.verdicts import Verdict

__all__ = ["CONTRASTS", "Contrast", "Told", "compare", "is_it", "outcome_word", "probability_greater"]

#: two compositions nearer than this are the same member of a contrast
SAME = 0.004


def is_it(candidate: Candidate, formula: str, family: str) -> bool:
    """Whether a candidate is this composition of this family."""
    if candidate.family != family or not candidate.composition:
        return False
    total = sum(candidate.composition.values())
    return distance({s: v / total for s, v in candidate.composition.items()}, fractions(formula)) < SAME


@dataclass(frozen=True)
class Contrast:
    """`faster` conducts better than `slower`, by the literature, for each pair of compositions.

    Attributes
    ----------
    pairs
        (faster, slower), as formulas of one family: several dopant contents stand for one contrast.
    ratios
        The factor of D that the literature gives for each pair, where it gives one.
    """

    title: str
    family: str
    pairs: tuple[tuple[str, str], ...]
    known: str
    ratios: tuple[float, ...] = ()


CONTRASTS: tuple[Contrast, ...] = (
    Contrast(
        "Na3OCl: Sr with a vacancy > undoped",
        "antiperovskite",
        (("Na2.75Sr0.125OCl", "Na3OCl"), ("Na2.5Sr0.25OCl", "Na3OCl"), ("Na2Sr0.5OCl", "Na3OCl")),
        "without vacancies nothing moves (10.1039/d1ta07588h)",
    ),
    Contrast(
        "Na3OCl: D proportional to the vacancies",
        "antiperovskite",
        (("Na2.5Sr0.25OCl", "Na2.75Sr0.125OCl"), ("Na2Sr0.5OCl", "Na2.5Sr0.25OCl")),
        "D grows as the number of vacancies, Ea does not (calculations on Na3OBr)",
        # D of an ion goes as vacancies over ions: (2/20) / (1/22) and (4/16) / (2/20) of 24 sodium sites
        (2.2, 2.5),
    ),
    Contrast(
        "Na3OBr: Sr with a vacancy > undoped",
        "antiperovskite",
        (("Na2.75Sr0.125OBr", "Na3OBr"), ("Na2.5Sr0.25OBr", "Na3OBr")),
        "as for the chloride",
    ),
    Contrast(
        "Na3OBr with vacancies: Br0.6I0.4 > Br",
        "antiperovskite",
        (("Na2.75Sr0.125OBr0.625I0.375", "Na2.75Sr0.125OBr"), ("Na2.5Sr0.25OBr0.625I0.375", "Na2.5Sr0.25OBr")),
        "Ea 0.63 against 0.76 eV (Wang 2024 [106])",
    ),
    Contrast(
        "Na3PS4: Cl on S > undoped",
        "sulfide",
        (("Na2.875PS3.875Cl0.125", "Na3PS4"), ("Na2.75PS3.75Cl0.25", "Na3PS4")),
        "1e-3 against 5e-5 S/cm at x = 0.0625 (Wang 2024 [123])",
    ),
    Contrast(
        "Na3PS4: Si on P > undoped",
        "sulfide",
        (("Na3.125P0.875Si0.125S4", "Na3PS4"), ("Na3.25P0.75Si0.25S4", "Na3PS4")),
        "7.4e-4 against 2e-4 S/cm at x = 0.06 (Wang 2024 [115])",
    ),
    Contrast(
        "Na3PSe4 > Na3PS4",
        "sulfide",
        (("Na3PSe4", "Na3PS4"),),
        "1.16e-3 against 5e-5 to 2e-4 S/cm (Wang 2024 [121])",
    ),
    Contrast(
        "Na3SbS4: W on Sb > undoped",
        "sulfide",
        (("Na2.875Sb0.875W0.125S4", "Na3SbS4"), ("Na2.75Sb0.75W0.25S4", "Na3SbS4")),
        "1e-2 to 3e-2 against 1e-3 S/cm (Wang 2024 [120], 10.1038/s41467-019-13178-2)",
    ),
    Contrast(
        "Li5.5PS4.5Cl1.5 > Li6PS5Cl",
        "argyrodite",
        (("Li5.5PS4.5Cl1.5", "Li6PS5Cl"),),
        "almost four times under the same processing (Adeli 2019, 10.1002/anie.201814222)",
    ),
    Contrast(
        "NASICON: Na3Zr2Si2PO12 > NaZr2(PO4)3",
        "nasicon",
        (("Na3Zr2Si2PO12", "NaZr2P3O12"),),
        "the sodium-poor end member is an insulator beside it (10.1038/s41467-022-32190-7)",
    ),
    Contrast(
        "NASICON: Sc on Zr > undoped",
        "nasicon",
        (("Na3.5Zr1.5Sc0.5Si2PO12", "Na3Zr2Si2PO12"),),
        "up to 2e-3 against 6e-4 S/cm (10.1038/s41598-018-30478-7)",
    ),
    Contrast(
        "NASICON: Mg on Zr > undoped",
        "nasicon",
        (("Na3.5Zr1.75Mg0.25Si2PO12", "Na3Zr2Si2PO12"),),
        "3.5e-3 against 4e-4 S/cm at x = 0.05 (Wang 2023)",
    ),
    Contrast(
        "NASICON: Zn on Zr > undoped",
        "nasicon",
        (("Na3.5Zr1.75Zn0.25Si2PO12", "Na3Zr2Si2PO12"),),
        "5.3e-3 against 4e-4 S/cm at x = 0.1 with more Si (Wang 2024 [93])",
    ),
)


@dataclass(frozen=True)
class Told:
    """What the runs say of one pair of a contrast at one temperature.

    Attributes
    ----------
    pair
        Formulas of the faster and the slower.
    probability
        That the side expected to be faster is faster; a bound where one side has only an upper limit; None when nothing
        can be said.
    bound
        ``at least``, ``at most`` or empty.
    log10_ratio, error
        log10 of faster over slower with its standard error, where both have values.
    jumps
        Seen on each side, all runs together; an ion that jumps forth and back counts twice and does not diffuse.
    expected_ratio
        What the literature gives for this pair, where it gives one.
    """

    contrast: Contrast
    pair: tuple[str, str]
    temperature_K: float
    faster: Estimate
    slower: Estimate
    probability: float | None
    bound: str = ""
    log10_ratio: float | None = None
    error: float | None = None
    jumps: tuple[int | None, int | None] = (None, None)
    expected_ratio: float | None = None


def _gaussian(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """Return mean and standard error of log10 over runs of the same kind; they share no noise, only their spread."""
    values, errors = [], []
    for e in estimates:
        if e.value is None or e.low68 is None or e.high68 is None:
            raise ValueError("a value with its interval was expected")
        values.append(math.log10(e.value))
        errors.append(0.5 * (math.log10(e.high68) - math.log10(e.low68)))
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values)) if len(values) > 1 else 0.0
    return mean, math.sqrt(sum(s * s for s in errors) + len(values) * spread**2) / len(values)


def _above(mean: float, sd: float, threshold: float) -> float:
    return 0.5 * math.erfc((threshold - mean) / (sd * math.sqrt(2.0))) if sd > 0 else float(mean > threshold)


def probability_greater(
    faster: Sequence[Estimate], slower: Sequence[Estimate]
) -> tuple[float | None, str, float | None, float | None]:
    """Return (probability, bound, log10 ratio, its standard error) that `faster` is above `slower`.

    Values are log-normal. An upper limit L holds with 95 %: a value above L is faster with at least 0.95 P(value > L).
    """
    fast = [e for e in faster if e.is_value]
    slow = [e for e in slower if e.is_value]
    fast_limits = [e.value for e in faster if e.kind == "upper_limit" and e.value]
    slow_limits = [e.value for e in slower if e.kind == "upper_limit" and e.value]
    if fast and slow:
        (a, sa), (b, sb) = _gaussian(fast), _gaussian(slow)
        sd = math.hypot(sa, sb)
        return _above(a - b, sd, 0.0), "", a - b, sd
    if fast and slow_limits:
        mean, sd = _gaussian(fast)
        return 0.95 * _above(mean, sd, math.log10(min(slow_limits))), "at least", None, None
    if slow and fast_limits:
        mean, sd = _gaussian(slow)
        return 1.0 - 0.95 * _above(mean, sd, math.log10(min(fast_limits))), "at most", None, None
    return None, "", None, None


def _ordered(estimates: Sequence[Estimate]) -> list[Estimate]:
    """Return values first (the best known of them leading), then limits, the lowest first: the first is shown."""
    return sorted(estimates, key=lambda e: (not e.is_value, -(e.n_eff or 0.0) if e.is_value else (e.value or math.inf)))


def compare(
    candidates: Iterable[Candidate],
    measurements: Iterable[Measurement],
    contrasts: Sequence[Contrast] = CONTRASTS,
    *,
    quantity: str = "tracer_diffusivity",
) -> list[Told]:
    """Compare both sides of every contrast at every temperature that both were run at."""
    by_id: Mapping[str, Candidate] = {c.candidate_id: c for c in candidates}
    runs = list(measurements)
    told = []
    for contrast in contrasts:
        for k, pair in enumerate(contrast.pairs):
            sides: list[dict[float, list[Measurement]]] = []
            for formula in pair:
                side: dict[float, list[Measurement]] = {}
                for m in runs:
                    candidate = by_id.get(m.candidate_id)
                    if candidate is not None and is_it(candidate, formula, contrast.family):
                        side.setdefault(m.temperature_K, []).append(m)
                sides.append(side)
            for temperature in sorted(set(sides[0]) & set(sides[1])):
                runs_of = sides[0][temperature], sides[1][temperature]
                fast, slow = (_ordered([getattr(m, quantity) for m in side]) for side in runs_of)
                jumps = tuple(
                    sum(m.hops for m in side if m.hops is not None) if any(m.hops is not None for m in side) else None
                    for side in runs_of
                )
                probability, bound, ratio, error = probability_greater(fast, slow)
                expected = contrast.ratios[k] if contrast.ratios else None
                told.append(
                    Told(
                        contrast, pair, temperature, fast[0], slow[0], probability, bound, ratio, error, jumps, expected
                    )
                )
    return told


def outcome_word(told: Told) -> str:
    """Return confirmed, contradicted or undecided, by nine to one; a bound decides in its own direction only."""
    p = told.probability
    if p is None:
        refused = Verdict.REFUSED in (told.faster.kind, told.slower.kind)
        return "undecided: a side was refused" if refused else "undecided: no side gave a value"
    if p >= 0.9 and told.bound != "at most":
        return "confirmed"
    if p <= 0.1 and told.bound != "at least":
        return "contradicted"
    return "undecided"
