"""The stages one after the other on the pair potential: golden numbers, addresses, and reuse.

The golden file holds a few numbers of every stage together with the stage's PHYSICS. When a stage's numbers change, its
PHYSICS must be raised (so that old results are not taken for new ones) and the file written anew:
``python tests/unit/stages/test_chain.py``. The runs of the chain are short and give limits; what values come to stands
under `values` and is made by `synthetic_values`.
"""

import json
import math
import runpy
from pathlib import Path

import pytest

from ionsieve.campaign import parse_campaign
from ionsieve.records import (
    CandidateEstimate,
    GeneratedCandidate,
    Measurement,
    Ranking,
    RelaxedConfiguration,
    RunRecord,
    StaticDescriptors,
)
from ionsieve.screening import run_campaign
from ionsieve.stages import STAGES
from ionsieve.store import Store

synthetic_values = runpy.run_path(str(Path(__file__).with_name("synthetic_values.py")))["numbers"]
GOLDEN = Path(__file__).parents[2] / "data" / "golden_stages.json"
CAMPAIGN = """
name: golden
seed: 11
generate:
  ordering: {n_configurations: 1, chains: 128}
  supercell: {matrix: [2, 2, 2], min_image_A: 4, max_atoms: 60}
  recipes:
    - {prototype: Na3OCl_Pm-3m}
    - {prototype: Na3OCl_Pm-3m, substitute: {Na: {Sr: 0.125}}}
potential: {name: pair-ionic, dtype: float64}
sieve: {min_percolation_radius_A: null, bvse: true}
relax: {cell_policy: published, fmax_eV_per_A: 0.1, max_steps: 60}
dynamics: {equilibrate_ps: 0.1, produce_ps: 0.6, frame_interval_fs: 20}
simulate: {temperatures_K: [600, 900]}
"""


def chain(folder):
    campaign = parse_campaign(CAMPAIGN)
    ended = run_campaign(campaign, folder, n_workers=0, progress="quiet")
    assert ended.status == "finished"
    return campaign, Store.open(folder)


def numbers(store):
    """A few numbers of each stage that any change of its physics would move."""

    def all_of(stage, kind, name):
        return sorted((record for _, record in store.records(stage, kind)), key=name)

    generated = all_of("generate", GeneratedCandidate, lambda r: r.candidate.candidate_id)
    sieved = all_of("sieve", StaticDescriptors, lambda r: r.configuration_id)
    relaxed = all_of("relax", RelaxedConfiguration, lambda r: r.configuration_id)
    runs = all_of("simulate", RunRecord, lambda r: r.run.run_id)
    measured = all_of("measure", Measurement, lambda r: r.run_id)
    fitted = all_of("fit", CandidateEstimate, lambda r: r.candidate_id)
    ((_, ranking),) = store.records("rank", Ranking)
    return {
        "generate": [x for g in generated for x in (g.candidate.n_atoms, g.configurations[0].ewald_energy_eV)],
        "sieve": [
            x
            for s in sieved
            for x in (
                s.free_sphere_A,
                s.included_sphere_A,
                len(s.gates),
                s.gates[0].area_A2,
                s.gates[0].free_radius_A,
                s.bottlenecks[0].area_A2,
                *s.bvse_barriers_eV,
            )
        ],
        "relax": [x for r in relaxed for x in (r.energy_eV, r.steps)],
        "simulate": [x for r in runs for x in (r.summary.mean_energy_eV_per_atom, r.summary.mean_temperature_K)],
        "measure": [x for m in measured for x in (m.tracer_diffusivity.value, m.n_eff, m.drift_A)],
        "fit": [x for f in fitted for x in (f.conductivity.value, f.total_length_ps)],
        "rank": [x for row in ranking.rows for x in (row.section, row.conductivity.value)],
    }


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return chain(tmp_path_factory.mktemp("golden") / "run")


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    return synthetic_values(tmp_path_factory.mktemp("values") / "run")


def same(a, b):
    if isinstance(a, float) or isinstance(b, float):
        return a is not None and b is not None and math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
    return a == b


@pytest.mark.parametrize("stage", list(STAGES))
def test_numbers_change_only_with_physics(stored, stage):
    _, store = stored
    golden = json.loads(GOLDEN.read_text())[stage]
    assert golden["physics"] == STAGES[stage].physics, "PHYSICS was raised: write the golden file anew"
    found = numbers(store)[stage]
    assert len(found) == len(golden["numbers"])
    changed = [(a, b) for a, b in zip(golden["numbers"], found, strict=True) if not same(a, b)]
    assert not changed, f"the numbers of {stage} changed: raise its PHYSICS (golden, found): {changed}"


@pytest.mark.parametrize("stage", ["measure", "fit", "rank"])
def test_values_change_only_with_physics(values, stage):
    golden = json.loads(GOLDEN.read_text())[stage]
    assert golden["physics"] == STAGES[stage].physics, "PHYSICS was raised: write the golden file anew"
    assert len(values[stage]) == len(golden["values"])
    changed = [(a, b) for a, b in zip(golden["values"], values[stage], strict=True) if not same(a, b)]
    assert not changed, f"the values of {stage} changed: raise its PHYSICS (golden, found): {changed}"


def test_every_record_goes_to_json_and_back(stored):
    _, store = stored
    for stage, definition in STAGES.items():
        for _, record in store.records(stage, definition.record):
            assert definition.record.from_json(record.to_json()) == record


def test_the_same_campaign_gives_the_same_bytes(stored, tmp_path):
    _, store = stored
    _, again = chain(tmp_path / "again")
    for stage in STAGES:
        if stage in ("relax", "simulate"):  # these also store how long they took
            continue
        first = {key: store.record_path(stage, key).read_bytes() for key in store.keys(stage)}
        assert first == {key: again.record_path(stage, key).read_bytes() for key in again.keys(stage)}, stage
    hashes = [
        sorted(record.trajectory.sha256 for _, record in s.records("simulate", RunRecord)) for s in (store, again)
    ]
    assert hashes[0] == hashes[1]


def test_ranking_settings_re_address_no_dynamics(stored, tmp_path):
    campaign, store = stored
    changed = parse_campaign(CAMPAIGN + f"ranking: {{top_k: 1}}\nrun: {{share: ['{store.folder}']}}\n")
    assert changed.ranking != campaign.ranking
    run_campaign(changed, tmp_path / "other", n_workers=0, progress="quiet")
    other = Store.open(tmp_path / "other")
    for stage in ("generate", "sieve", "relax", "simulate", "measure", "fit"):
        assert set(other.keys(stage)) == set(store.keys(stage))
    assert set(other.keys("rank")) != set(store.keys("rank"))
    done = [event for event in other.events.read() if event["kind"] == "finished" and not event.get("reused")]
    assert {event["stage"] for event in done} <= {"rank"}


def test_another_temperature_adds_only_what_is_new(stored, tmp_path):
    _, store = stored
    more = CAMPAIGN.replace("[600, 900]", "[600, 750, 900]") + f"run: {{share: ['{store.folder}']}}\n"
    run_campaign(parse_campaign(more), tmp_path / "more", n_workers=0, progress="quiet")
    other = Store.open(tmp_path / "more")
    assert set(store.keys("simulate")) < set(other.keys("simulate"))
    new = [
        e for e in other.events.read() if e["kind"] == "finished" and e["stage"] == "simulate" and not e.get("reused")
    ]
    assert len(new) == 2


def main() -> None:
    """Write the golden file anew."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        _, store = chain(Path(folder) / "run")
        found, values = numbers(store), synthetic_values(Path(folder) / "values")
    data = {stage: {"physics": STAGES[stage].physics, "numbers": found[stage]} for stage in STAGES}
    for stage, listed in values.items():
        data[stage]["values"] = listed
    GOLDEN.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
