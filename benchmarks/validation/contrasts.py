"""Contrasts that the literature is clear about, and what the runs say of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ionsieve.records import Candidate, Estimate, Measurement
from ionsieve.report.literature import distance, fractions

__all__ = ["CONTRASTS", "Contrast", "Told", "Version", "compare", "outcome_word", "probability_greater"]

#: two compositions nearer than this are the same member of a contrast
SAME = 0.004


@dataclass(frozen=True)
class Version:
    """One side of a contrast: a composition of a family."""

    formula: str
    family: str

    def is_it(self, candidate: Candidate) -> bool:
        """Whether a candidate is this composition."""
        if candidate.family != self.family or not candidate.composition:
            return False
        total = sum(candidate.composition.values())
        own = {s: v / total for s, v in candidate.composition.items()}
        return distance(own, fractions(self.formula)) < SAME


@dataclass(frozen=True)
class Contrast:
    """`faster` conducts better than `slower`, by the literature; where `ratio` is given, by that factor of D."""

    title: str
    faster: Version
    slower: Version
    known: str
    ratio: float | None = None


def _v(formula: str, family: str) -> Version:
    return Version(formula, family)


_A, _S, _N = "antiperovskite", "sulfide", "nasicon"
CONTRASTS: tuple[Contrast, ...] = (
    Contrast(
        "Na3OCl: Sr with a vacancy > undoped",
        _v("Na2.75Sr0.125OCl", _A),
        _v("Na3OCl", _A),
        "without vacancies nothing moves (10.1039/d1ta07588h)",
    ),
    Contrast(
        "Na3OCl: D proportional to the vacancies",
        _v("Na2.5Sr0.25OCl", _A),
        _v("Na2.75Sr0.125OCl", _A),
        "D grows as the number of vacancies, Ea does not (calculations on Na3OBr)",
        2.0,
    ),
    Contrast(
        "Na3OBr: Sr with a vacancy > undoped",
        _v("Na2.75Sr0.125OBr", _A),
        _v("Na3OBr", _A),
        "as for the chloride",
    ),
    Contrast(
        "Na3OBr with vacancies: Br0.6I0.4 > Br",
        _v("Na2.75Sr0.125OBr0.625I0.375", _A),
        _v("Na2.75Sr0.125OBr", _A),
        "Ea 0.63 against 0.76 eV (Wang 2024 [106])",
    ),
    Contrast(
        "Na3PS4: Cl on S > undoped",
        _v("Na2.875PS3.875Cl0.125", _S),
        _v("Na3PS4", _S),
        "1e-3 against 5e-5 S/cm at x = 0.0625 (Wang 2024 [123])",
    ),
    Contrast(
        "Na3PS4: Si on P > undoped",
        _v("Na3.125P0.875Si0.125S4", _S),
        _v("Na3PS4", _S),
        "7.4e-4 against 2e-4 S/cm at x = 0.06 (Wang 2024 [115])",
    ),
    Contrast(
        "Na3PSe4 > Na3PS4",
        _v("Na3PSe4", _S),
        _v("Na3PS4", _S),
        "1.16e-3 against 5e-5 to 2e-4 S/cm (Wang 2024 [121])",
    ),
    Contrast(
        "Na3SbS4: W on Sb > undoped",
        _v("Na2.875Sb0.875W0.125S4", _S),
        _v("Na3SbS4", _S),
        "1e-2 to 3e-2 against 1e-3 S/cm (Wang 2024 [120], 10.1038/s41467-019-13178-2)",
    ),
    Contrast(
        "NASICON: Na3Zr2Si2PO12 > NaZr2(PO4)3",
        _v("Na3Zr2Si2PO12", _N),
        _v("NaZr2P3O12", _N),
        "the sodium-poor end member is an insulator beside it (10.1038/s41467-022-32190-7)",
    ),
    Contrast(
        "NASICON: Sc on Zr > undoped",
        _v("Na3.5Zr1.5Sc0.5Si2PO12", _N),
        _v("Na3Zr2Si2PO12", _N),
        "up to 2e-3 against 6e-4 S/cm (10.1038/s41598-018-30478-7)",
    ),
    Contrast(
        "NASICON: Mg on Zr > undoped",
        _v("Na3.5Zr1.75Mg0.25Si2PO12", _N),
        _v("Na3Zr2Si2PO12", _N),
        "3.5e-3 against 4e-4 S/cm at x = 0.05 (Wang 2023)",
    ),
    Contrast(
        "NASICON: Zn on Zr > undoped",
        _v("Na3.5Zr1.75Zn0.25Si2PO12", _N),
        _v("Na3Zr2Si2PO12", _N),
        "5.3e-3 against 4e-4 S/cm at x = 0.1 with more Si (Wang 2024 [93])",
    ),
)


@dataclass(frozen=True)
class Told:
    """What the runs say of a contrast at one temperature.

    Attributes
    ----------
    probability
        That the side expected to be faster is faster; a bound where one side has only an upper limit; None when nothing
        can be said.
    bound
        ``at least``, ``at most`` or empty.
    log10_ratio, error
        log10 of faster over slower with its standard error, where both have values.
    jumps
        Seen on each side, all runs together; an ion that jumps forth and back counts twice and does not diffuse.
    """

    contrast: Contrast
    temperature_K: float
    faster: Estimate
    slower: Estimate
    probability: float | None
    bound: str = ""
    log10_ratio: float | None = None
    error: float | None = None
    jumps: tuple[int | None, int | None] = (None, None)


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
        sides: list[dict[float, list[Measurement]]] = []
        for version in (contrast.faster, contrast.slower):
            side: dict[float, list[Measurement]] = {}
            for m in runs:
                candidate = by_id.get(m.candidate_id)
                if candidate is not None and version.is_it(candidate):
                    side.setdefault(m.temperature_K, []).append(m)
            sides.append(side)
        for temperature in sorted(set(sides[0]) & set(sides[1])):
            runs_of = sides[0][temperature], sides[1][temperature]
            fast, slow = ([getattr(m, quantity) for m in side] for side in runs_of)
            jumps = tuple(
                sum(m.hops for m in side if m.hops is not None) if any(m.hops is not None for m in side) else None
                for side in runs_of
            )
            probability, bound, ratio, error = probability_greater(fast, slow)
            told.append(Told(contrast, temperature, fast[0], slow[0], probability, bound, ratio, error, jumps))
    return told


def outcome_word(told: Told) -> str:
    """Return confirmed, contradicted or undecided, by nine to one; a bound decides in its own direction only."""
    p = told.probability
    if p is None:
        return "undecided: no side gave a value"
    if p >= 0.9 and told.bound != "at most":
        return "confirmed"
    if p <= 0.1 and told.bound != "at least":
        return "contradicted"
    return "undecided"
