"""Work that was given up is no chemistry, and the table says what is missing and why."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ionsieve.campaign import parse_campaign
from ionsieve.records import Ranking
from ionsieve.report.gather import gather
from ionsieve.screening import run as running
from ionsieve.screening import run_campaign
from ionsieve.screening.maintenance import retry
from ionsieve.screening.retries import RunRules
from ionsieve.screening.run import resume_campaign
from ionsieve.stages import STAGES
from ionsieve.store import Store
from ionsieve.verdicts import Flag, Outcome

CAMPAIGN = """
name: lost
seed: 3
generate:
  ordering: {n_configurations: 1}
  supercell: {min_image_A: 6.0, max_atoms: 90}
  recipes:
    - prototype: Na3OCl_Pm-3m
      supercell: {matrix: [1, 1, 1]}
potential: {name: pair-ionic}
relax: {fmax_eV_per_A: 0.5, max_steps: 5, max_volume_change_percent: 80}
dynamics: {dt_fs: 2.0, equilibrate_ps: 0.02, produce_ps: 0.2, frame_interval_fs: 20.0}
simulate: {temperatures_K: [900]}
"""


def broken(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = STAGES[stage]

    def run(request: Any, store: Store, deadline_s: float | None = None) -> Any:
        raise OSError("the node's memory is bad")

    broken_stage = SimpleNamespace(
        name=whole.name, physics=whole.physics, record=whole.record, run=run, run_many=None, uses_device=False
    )
    monkeypatch.setitem(STAGES, stage, broken_stage)
    monkeypatch.setattr(running, "RunRules", partial(RunRules, wait_s=0.0))


@pytest.mark.parametrize("stage", ["generate", "relax", "simulate"])
def test_set_aside_work_is_a_row_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        broken(stage, patch)
        report = run_campaign(parse_campaign(CAMPAIGN), folder, n_workers=0, progress="quiet")
    assert report.exit_code == 3
    store = Store.open(folder)
    ranking = store.need(report.ranking, Ranking)
    (row,) = ranking.rows
    assert (row.section, row.outcome) == ("failed", Outcome.QUARANTINED)
    assert row.reason.startswith(f"{stage} of ")
    assert "failed 3 times: OSError: the node's memory is bad" in row.reason
    assert Flag.RUNS_MISSING in row.flags
    assert gather(folder).ranking == ranking  # the report asks the same question
    retry(folder)
    again = resume_campaign(folder, n_workers=0, progress="quiet")
    assert again.exit_code == 0
    (row,) = Store.open(folder).need(again.ranking, Ranking).rows
    assert row.outcome is not Outcome.QUARANTINED
    assert Flag.RUNS_MISSING not in row.flags
