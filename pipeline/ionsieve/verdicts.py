"""The words for what happened to a candidate and how far its numbers can be trusted.

One enumeration each, one sentence each; the tables, the report and the documentation print these sentences and no
others. An `Outcome` ends a run and is chemistry, a `Flag` limits trust, a `Verdict` stands with every measured number.
Accidents (lost worker, full disk) are none of these: they are errors, and retried.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Flag", "Outcome", "Severity", "Verdict"]


class _Sentence(StrEnum):
    """A string enumeration whose members carry one sentence."""

    sentence: str

    def __new__(cls, value: str, sentence: str) -> _Sentence:
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member


class Severity(StrEnum):
    """How strongly a flag limits trust."""

    NOTE = "note"
    CAUTION = "caution"
    SERIOUS = "serious"


class Outcome(_Sentence):
    """How a stage ended for one candidate, configuration or run."""

    COMPLETED = "completed", "Ran to its end."
    STOPPED_EARLY = "stopped_early", "Stopped before its end because the answer was already known well enough."
    SIEVED = "sieved", "Excluded by the static sieve: its channels are too narrow or do not percolate."
    NOT_NEUTRAL = "not_neutral", "The requested composition cannot be charge-balanced with the named mechanism."
    NOT_REALISABLE = (
        "not_realisable",
        "No prototype, or no supercell within the allowed size, realises the composition.",
    )
    BAD_GEOMETRY = "bad_geometry", "The generated structure fails a geometry check."
    UNKNOWN_ELEMENT = "unknown_element", "The potential was not trained for one of the elements."
    NOT_RELAXED = "not_relaxed", "The relaxation did not reach its force criterion."
    COLLAPSED = "collapsed", "The cell changed its volume beyond the allowed limit on relaxation."
    MELTED = "melted", "The framework lost its order: the candidate melted or decomposed at this temperature."
    EXPLODED = "exploded", "The dynamics left the range of the potential: force, temperature or distance out of bounds."
    POLYANION_BROKEN = "polyanion_broken", "A polyanion of the framework broke a bond."
    QUARANTINED = "quarantined", "The work died repeatedly with the machine under it and was set aside."


#: How molecular dynamics ends when the crystal did not survive its temperature: a finding about that temperature.
BROKEN = frozenset({Outcome.MELTED, Outcome.EXPLODED, Outcome.POLYANION_BROKEN})


class Verdict(_Sentence):
    """What kind of statement a measured number is."""

    VALUE = "value", "A measured value with its interval."
    INDICATIVE = (
        "indicative",
        "A value from few events or on an assumption: its interval is wide, and holds as it stands.",
    )
    UPPER_LIMIT = "upper_limit", "Too few jumps were seen to measure a value; the true value lies below this limit."
    REFUSED = "refused", "No number is given because the run does not support one."


class Flag(_Sentence):
    """What limits the trust in a number."""

    NO_HOPS = "no_hops", "No jump of the mobile ion was seen."
    FEW_HOPS = "few_hops", "Few jumps were seen: the interval is wide."
    SHORT_RUN = "short_run", "The production run is short against the times between jumps."
    SUBDIFFUSIVE = "subdiffusive", "The mean-squared displacement does not grow linearly in the fit window."
    FRAMEWORK_MOVING = "framework_moving", "The framework itself moves further than vibration explains."
    DRIFT_LARGE = "drift_large", "The framework drifted as a whole by more than 3 Å before the correction."
    NOT_EQUILIBRATED = "not_equilibrated", "Energy or temperature still drifted during production."
    ESTIMATORS_DISAGREE = "estimators_disagree", "Independent error estimates differ by more than a factor of two."
    EXTRAPOLATED = "extrapolated", "Extrapolated to a temperature outside the simulated range."
    TWO_TEMPERATURES = "two_temperatures", "Fitted through fewer than four temperatures: the line cannot be checked."
    NARROW_SPAN = "narrow_span", "The temperatures span too little of 1/T for a firm activation energy."
    CURVED = "curved", "The Arrhenius plot is curved beyond its errors."
    CENSORED_POINTS = "censored_points", "Some runs gave only an upper limit."
    ASSUMED_SPREAD = "assumed_spread", "One configuration only: the spread between orderings is assumed, not measured."
    ASSUMED_EA = (
        "assumed_ea",
        "The activation energy rests on a prior of the family: the temperatures measured do not give it.",
    )
    IMPLAUSIBLE_EA = (
        "implausible_ea",
        "The fitted activation energy lies below that of every known crystal; it was not used to extrapolate.",
    )
    PHASE_CHANGE = (
        "phase_change",
        "The crystal changed between the temperatures: only the part next to the temperature of use was fitted.",
    )
    SOFT_POTENTIAL = "soft_potential", "Universal potentials underestimate barriers: diffusion is probably too fast."
    LARGE_VOLUME = "large_volume", "The relaxed volume differs from the published one by more than 5 %."
    NOT_CONVERGED = "not_converged", "The relaxation stopped before its force criterion."
    PARITY_FALLBACK = "parity_fallback", "The fast path failed its parity check; the plain path was used."
    COMPOSITION_ERROR = "composition_error", "The supercell realises the composition only approximately."
    POLYANION_STRAINED = "polyanion_strained", "A polyanion is distorted beyond its usual range."
    HALIDE_LEFT = "halide_left", "A halide dopant left the polyanion in which it was placed."
    SHORT_CONTACT = "short_contact", "Two ions are closer than their radii allow."
    BOND_VALENCE = "bond_valence", "The bond-valence sums deviate strongly from the oxidation states."
    RADIUS_MISMATCH = "radius_mismatch", "The dopant's ionic radius differs by more than 30 % from the host's."
    TOLERANCE_FACTOR = "tolerance_factor", "The Goldschmidt tolerance factor lies outside the anti-perovskite range."
    CLOSED_CHANNELS = "closed_channels", "The widest path through the framework is far narrower than the ion."
    HIGH_TEMPERATURE_ONLY = "high_temperature_only", "Measured only far above the temperature of use."
    RUNS_MISSING = "runs_missing", "Some of its work was set aside after its workers died or failed under it."

    @property
    def severity(self) -> Severity:
        """How strongly the flag limits trust."""
        return _SEVERITY.get(self, Severity.CAUTION)


_SEVERITY: dict[Flag, Severity] = {
    Flag.SUBDIFFUSIVE: Severity.SERIOUS,
    Flag.FRAMEWORK_MOVING: Severity.SERIOUS,
    Flag.NOT_EQUILIBRATED: Severity.SERIOUS,
    Flag.CURVED: Severity.SERIOUS,
    Flag.ASSUMED_EA: Severity.SERIOUS,
    Flag.IMPLAUSIBLE_EA: Severity.SERIOUS,
    Flag.PHASE_CHANGE: Severity.SERIOUS,
    Flag.SOFT_POTENTIAL: Severity.NOTE,
    Flag.EXTRAPOLATED: Severity.NOTE,
    Flag.PARITY_FALLBACK: Severity.NOTE,
    Flag.ASSUMED_SPREAD: Severity.NOTE,
    Flag.LARGE_VOLUME: Severity.NOTE,
}
