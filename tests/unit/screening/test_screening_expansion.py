"""A run expands its recipes once: the candidates of the check are those that are planned."""

from __future__ import annotations

from pathlib import Path

import pytest

from ionsieve.campaign import parse_campaign
from ionsieve.generate import expansion
from ionsieve.screening import run

CAMPAIGN = """
name: once
generate:
  recipes:
    - prototype: Na3OCl_Pm-3m
    - grid: {prototypes: [Na3PS4_P-421c], sites: [S], dopants: [Cl], levels: 0.125}
potential: {name: pair-ionic}
"""


def test_recipes_are_expanded_once_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expanded, planned = [], []
    original = expansion._candidates_of

    def counted(recipe, *rest):
        expanded.append(recipe)
        return original(recipe, *rest)

    monkeypatch.setattr(expansion, "_candidates_of", counted)
    monkeypatch.setattr(run, "run_plan", lambda store, subjects, *_, **__: planned.extend(subjects))
    campaign = parse_campaign(CAMPAIGN)
    run.run_campaign(campaign, tmp_path / "once", n_workers=0)
    assert len(expanded) == len(campaign.generate.recipes) == 2
    assert [s.name for s in planned] == ["Na3OCl_Pm-3m--undoped", "Na3PS4_P-421c--undoped", "Na3PS4_P-421c--Cl_S-0.125"]
