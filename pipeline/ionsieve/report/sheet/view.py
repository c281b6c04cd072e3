"""What one sheet says: computed numbers and guidance, kept apart."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ionsieve.errors import InputError
from ionsieve.records import CandidateEstimate, RankedCandidate
from ionsieve.report.exports.select import Chosen
from ionsieve.report.figure import Axis, Figure, Series
from ionsieve.report.plots.arrhenius import fit_line
from ionsieve.report.sheet.balance import Batch, weigh
from ionsieve.report.sheet.diffraction import Pattern, pattern
from ionsieve.report.sheet.families import Family, family
from ionsieve.report.sheet.settings import SheetSettings
from ionsieve.report.source import CampaignResults

__all__ = ["Expectation", "SheetView", "sheet_view"]


@dataclass(frozen=True)
class Expectation:
    """Predicted bulk conductivity at one temperature of the impedance measurement, S/cm."""

    temperature_C: float
    sigma_S_per_cm: float
    low68_S_per_cm: float
    high68_S_per_cm: float
    low95_S_per_cm: float
    high95_S_per_cm: float


@dataclass(frozen=True)
class SheetView:
    """Everything one sheet prints."""

    campaign: str
    row: RankedCandidate
    prototype: str
    batch: Batch
    guidance: Family
    expectations: tuple[Expectation, ...]
    patterns: tuple[tuple[str, Pattern], ...]
    figure: Figure | None
    potential: str
    relaxed: bool


def sheet_view(results: CampaignResults, chosen: Chosen, settings: SheetSettings) -> SheetView:
    """Return the sheet of one candidate.

    Raises
    ------
    InputError
        When the candidate has no composition, no guidance, or cannot be balanced.
    """
    candidate = chosen.candidate
    if not candidate.composition:
        raise InputError(
            f"{candidate.candidate_id} has no realised composition",
            cause=candidate.reason,
            remedy="choose another candidate",
        )
    guidance = family(candidate.family)
    batch = weigh(
        candidate.composition,
        chosen.row.formula,
        guidance,
        batch_g=settings.batch_g,
        excess_wt_percent=settings.excess_wt_percent,
        purity_wt_percent=settings.purity_wt_percent,
        precursors=settings.precursors,
    )
    estimate = next((e for e in results.estimates if e.candidate_id == candidate.candidate_id), None)
    patterns = _patterns(results, chosen, settings)
    return SheetView(
        campaign=results.name,
        row=chosen.row,
        prototype=candidate.prototype,
        batch=batch,
        guidance=guidance,
        expectations=_expectations(estimate, settings) if estimate else (),
        patterns=patterns,
        figure=_figure(patterns, chosen.row.formula, candidate.candidate_id),
        potential=results.potential.name if results.potential else "",
        relaxed=chosen.relaxed,
    )


def _expectations(estimate: CandidateEstimate, settings: SheetSettings) -> tuple[Expectation, ...]:
    line = fit_line(estimate, [t + 273.15 for t in settings.impedance_temperatures_C])
    if line is None or not estimate.conductivity.is_value:
        return ()
    return tuple(
        Expectation(round(T - 273.15, 2), *(math.exp(mean + z * std) for z in (0.0, -1.0, 1.0, -1.959964, 1.959964)))
        for T, mean, std in line
    )


def _patterns(results: CampaignResults, chosen: Chosen, settings: SheetSettings) -> tuple[tuple[str, Pattern], ...]:
    found = []
    cells = []
    if chosen.relaxed and chosen.structure is not None:
        cells.append(("relaxed with the potential", chosen.structure))
    configurations = results.configurations_of(chosen.candidate.candidate_id)
    if configurations:
        cells.append(("published cell of the prototype", configurations[0].structure))
    for name, crystal in cells:
        found.append(
            (
                name,
                pattern(
                    crystal,
                    wavelength=settings.wavelength,
                    two_theta_deg=settings.two_theta_deg,
                    minimum_percent=settings.minimum_intensity_percent,
                ),
            )
        )
    if len(found) == 2 and found[0][1] == found[1][1]:
        found.pop(0)
    return tuple(found)


def _figure(patterns: tuple[tuple[str, Pattern], ...], formula: str, key: str) -> Figure | None:
    if not patterns:
        return None
    series = tuple(
        Series(
            kind="line",
            label=name,
            tone=tone,
            x=one.two_theta_deg,
            y=tuple(y + 110.0 * tone for y in one.profile_percent),
        )
        for tone, (name, one) in enumerate(patterns)
    )
    return Figure(
        key=f"xrd-{key}",
        title="Powder pattern to expect",
        description=(
            f"Calculated powder diffraction pattern of {formula}, {patterns[0][1].wavelength} radiation; patterns of "
            "several cells are shifted upwards."
        ),
        x=Axis("2θ (degrees)", limits=(patterns[0][1].two_theta_deg[0], patterns[0][1].two_theta_deg[-1])),
        y=Axis("intensity (% of the strongest)"),
        series=series,
        rows=tuple(
            {
                "cell": name,
                "two_theta_deg": line.two_theta_deg,
                "d_A": line.d_A,
                "intensity_percent": line.intensity_percent,
                "hkl": line.hkl,
            }
            for name, one in patterns
            for line in one.reflections
        ),
        width=720,
        height=300,
    )
