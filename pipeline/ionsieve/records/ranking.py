"""Ranking: the order of the candidates, with the probabilities that say how firm it is."""

from __future__ import annotations

from typing import Any, ClassVar

from ionsieve.records.base import Frozen, Record
from ionsieve.records.estimate import Estimate
from ionsieve.verdicts import Flag, Outcome, Verdict

__all__ = ["RankedCandidate", "Ranking"]


class RankedCandidate(Frozen):
    """One row.

    `section` is ``ranked``, ``bounded`` (upper limit only), ``excluded`` (outside a hard limit of the campaign),
    ``failed``, ``sieved`` or ``waiting`` (not measured yet). `columns` holds what stands beside the measured
    quantities: classes of the elements, stability, and imported columns.
    """

    candidate_id: str
    formula: str
    family: str
    mobile_ion: str
    section: str
    rank: int | None = None
    conductivity: Estimate
    activation_energy: Estimate
    expected_rank: Estimate | None = None
    probability_top_k: float | None = None
    probability_targets: dict[str, float] = {}
    bottleneck: Estimate | None = None
    score: float | None = None
    pareto_front: int | None = None
    columns: dict[str, float | str | None] = {}
    verdict: Verdict
    outcome: Outcome = Outcome.COMPLETED
    reason: str = ""
    flags: tuple[Flag, ...] = ()


class Ranking(Record):
    """The table of a campaign at one temperature of use.

    Attributes
    ----------
    trust
        How far to trust the table as a whole, in plain words.
    pareto_objectives
        Objectives known for every ranked candidate, over which the fronts were drawn.
    imported_columns
        Names of the columns that were read from the user's CSV, not computed.
    column_sources
        Where the values of a column come from.
    """

    SCHEMA: ClassVar[int] = 1

    campaign: str
    target_temperature_K: float
    top_k: int
    targets_S_per_cm: tuple[float, ...]
    rows: tuple[RankedCandidate, ...]
    trust: str = ""
    pareto_objectives: tuple[str, ...] = ()
    imported_columns: tuple[str, ...] = ()
    column_sources: dict[str, str] = {}
    settings: dict[str, Any] = {}
