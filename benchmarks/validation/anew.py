"""Folders of an earlier version: their trajectories measured and fitted by the code of today.

A trajectory does not age, but what is read from it may: where the stored measurements were made with another number of
``measure`` or ``fit`` (`PHYSICS`), both are made anew in memory from the stored runs, with the campaign's own settings.
Nothing is written into the folder, and no dynamics is repeated.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ionsieve.campaign import thaw_campaign
from ionsieve.report import CampaignResults
from ionsieve.stages import fit, measure
from ionsieve.store import Store
from ionsieve.transport import estimate_candidate

__all__ = ["up_to_date"]


def up_to_date(results: CampaignResults, folder: Path) -> tuple[CampaignResults, str]:
    """Return the results as this version measures and fits them, and what was done in a sentence (empty: nothing)."""
    store = Store.open(folder)
    asked = [r for r in map(store.request, store.keys(measure.NAME)) if r is not None]
    fitted = [r for r in map(store.request, store.keys(fit.NAME)) if r is not None]
    made = {r.physics for r in asked}, {r.physics for r in fitted}
    if not asked or all(found <= {stage.PHYSICS} for found, stage in zip(made, (measure, fit), strict=True)):
        return results, ""
    campaign = thaw_campaign(store.campaign, where=str(folder / "campaign.json"))
    questions = {
        (new := measure.request(r.inputs["simulate"], r.inputs["generate"], r.parameters["index"], campaign)).key: new
        for r in asked
    }
    runs = {r.run.run_id for r in results.runs}
    measurements = [
        m for _, question in sorted(questions.items()) if (m := measure.run(question, store)).run_id in runs
    ]
    measurements.sort(key=lambda m: (m.temperature_K, m.run_id))
    estimates = [
        estimate_candidate([m for m in measurements if m.candidate_id == name], settings=campaign.transport)
        for name in sorted({m.candidate_id for m in measurements})
    ]
    told = (
        "The runs were made by an earlier version; their trajectories were measured and fitted anew by this one "
        f"(measure {measure.PHYSICS}, fit {fit.PHYSICS})."
    )
    changed = dataclasses.replace(results, measurements=tuple(measurements), estimates=tuple(estimates))
    return changed, told
