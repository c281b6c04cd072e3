"""A run in which the crystal does not survive is a finding about that temperature and reaches the table."""

import pytest

from ionsieve.campaign import parse_campaign
from ionsieve.errors import GeometryError
from ionsieve.records import CandidateEstimate, Measurement, Ranking, RelaxedConfiguration, RunRecord
from ionsieve.screening import run_campaign
from ionsieve.store import Store
from ionsieve.verdicts import BROKEN, Outcome, Verdict

CAMPAIGN = """
name: broken
seed: 11
generate:
  ordering: {n_configurations: 1}
  supercell: {matrix: [2, 2, 2], min_image_A: 4, max_atoms: 60}
  recipes: [{prototype: Na3OCl_Pm-3m}]
potential: {name: pair-ionic, dtype: float64}
sieve: {min_percolation_radius_A: null}
relax: {cell_policy: published, fmax_eV_per_A: 0.1, max_steps: 60}
dynamics: {equilibrate_ps: 0.1, produce_ps: 1.0}
simulate: {temperatures_K: [600, 4500]}
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken") / "run"
    assert run_campaign(parse_campaign(CAMPAIGN), folder, n_workers=0, progress="quiet").status == "finished"
    return Store.open(folder)


def test_a_guards_end_is_measured_as_refused(store):
    ((_, hot),) = [(k, r) for k, r in store.records("simulate", RunRecord) if r.run.temperature_K == 4500]
    assert hot.outcome in BROKEN
    ((_, told),) = [(k, m) for k, m in store.records("measure", Measurement) if m.temperature_K == 4500]
    assert told.outcome is hot.outcome
    assert told.reason == hot.reason != ""
    assert told.tracer_diffusivity.kind is Verdict.REFUSED


def test_the_estimate_lists_the_temperature_and_leaves_it_out(store):
    ((_, estimate),) = store.records("fit", CandidateEstimate)
    points = dict(estimate.points)
    assert points[4500.0].kind is Verdict.REFUSED
    assert points[600.0].kind is not Verdict.REFUSED
    assert estimate.n_runs == 2
    assert "4500 K" in estimate.reason
    ((_, ranking),) = store.records("rank", Ranking)
    assert "4500 K" in ranking.rows[0].reason


def test_a_geometry_that_the_potential_refuses_is_the_end_of_its_relaxation(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise GeometryError("two atoms lie on each other")

    monkeypatch.setattr("ionsieve.potentials.parity.load_checked", refuse)
    run_campaign(parse_campaign(CAMPAIGN), tmp_path / "run", n_workers=0, progress="quiet")
    store = Store.open(tmp_path / "run")
    ((_, relaxed),) = store.records("relax", RelaxedConfiguration)
    assert relaxed.outcome is Outcome.BAD_GEOMETRY
    assert "lie on each other" in relaxed.reason
    ((_, ranking),) = store.records("rank", Ranking)
    assert "lie on each other" in ranking.rows[0].reason
    assert not list(store.records("simulate", RunRecord))
