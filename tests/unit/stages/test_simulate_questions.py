"""What the simulate stage asks: what is off is no part of an address; an early end reaches the record."""

import dataclasses

import pytest

from ionsieve.campaign import parse_campaign
from ionsieve.records import Measurement, RunRecord
from ionsieve.screening import run_campaign
from ionsieve.stages import simulate
from ionsieve.store import Store
from ionsieve.testing.tiny_mace import write_tiny_mace
from ionsieve.verdicts import Flag, Outcome

#: hot enough that every ion flows within a picosecond: the number behind the stop is a matter of seconds
CAMPAIGN = """
name: hot
seed: 11
generate:
  ordering: {n_configurations: 1}
  supercell: {matrix: [2, 2, 2], min_image_A: 4, max_atoms: 60}
  recipes: [{prototype: Na3OCl_Pm-3m}]
potential: {name: pair-ionic, dtype: float64}
sieve: {min_percolation_radius_A: null}
relax: {cell_policy: published, fmax_eV_per_A: 0.1, max_steps: 60}
dynamics: {equilibrate_ps: 0.1, produce_ps: 3, guards: {max_framework_rms_A: 90}}
simulate: {temperatures_K: [600, 4000]}
"""
EARLY = "dynamics: {stop_relative_error: 0.3, stop_after_ps: 1, "


def asked(text):
    campaign = parse_campaign(text)
    return simulate.request("a" * 64, "b" * 64, 0, campaign, family="antiperovskite", temperature_K=600.0)


def test_what_is_off_is_no_part_of_an_address():
    """A run stored before these settings were is still found."""
    off = asked(CAMPAIGN)
    assert set(off.settings) == {"dynamics", "potential"}
    assert not {"stop_relative_error", "stop_after_ps"} & set(off.settings["dynamics"])
    assert "max_force_disagreement_eV_per_A" not in off.settings["dynamics"]["guards"]
    assert asked(CAMPAIGN.replace("dynamics: {", "dynamics: {stop_after_ps: 4, ")).key == off.key


def test_how_the_mean_cell_is_summed_is_part_of_an_npt_runs_address_alone():
    npt = asked(CAMPAIGN.replace("dynamics: {", "dynamics: {npt_ps: 1, "))
    assert npt.settings["mean_cell"] == "by step"


def test_the_stop_rule_and_how_it_measures_are_part_of_it():
    on = asked(CAMPAIGN.replace("dynamics: {", EARLY))
    assert on.settings["dynamics"]["stop_relative_error"] == 0.3
    others = (
        CAMPAIGN,
        CAMPAIGN.replace("dynamics: {", EARLY.replace("0.3", "0.2")),
        CAMPAIGN.replace("dynamics: {", EARLY.replace("stop_after_ps: 1", "stop_after_ps: 2")),
        CAMPAIGN.replace("dynamics: {", EARLY) + "transport: {jump_length_A: 2.5}\n",
    )
    assert len({on.key, *(asked(other).key for other in others)}) == 5
    same = CAMPAIGN.replace("dynamics: {", EARLY) + "ranking: {target_temperature_K: 320}\n"
    assert asked(same).key == on.key


def test_a_committees_bound_is_part_of_it(tmp_path):
    files = [str(write_tiny_mace(tmp_path / f"{k}.model", numbers=(8, 11, 17), seed=k)) for k in range(2)]
    text = CAMPAIGN.replace(
        "{name: pair-ionic, dtype: float64}", f"{{name: mace, path: {files[0]}, committee: [{files[1]}], trust: true}}"
    )
    one = asked(text)
    two = asked(text.replace("guards: {", "guards: {max_force_disagreement_eV_per_A: 1, "))
    assert one.settings["dynamics"]["guards"]["max_force_disagreement_eV_per_A"] == 2.0
    assert one.key != two.key


def test_a_known_run_ends_early_and_says_so_in_its_record(tmp_path):
    campaign = parse_campaign(CAMPAIGN.replace("dynamics: {", EARLY))
    assert run_campaign(campaign, tmp_path / "run", n_workers=0, progress="quiet").status == "finished"
    store = Store.open(tmp_path / "run")
    cold, hot = sorted((r for _, r in store.records("simulate", RunRecord)), key=lambda r: r.run.temperature_K)
    assert (cold.outcome, cold.reason) == (Outcome.COMPLETED, "")
    assert cold.summary.length_ps == pytest.approx(3.0)
    assert hot.outcome is Outcome.STOPPED_EARLY
    assert hot.summary.length_ps < 3.0
    assert 0 < hot.summary.relative_error_D <= 0.3
    assert f"known to {100 * hot.summary.relative_error_D:.0f} % after" in hot.reason
    assert hot.settings["stop_relative_error"] == 0.3
    measured = {m.run_id for _, m in store.records("measure", Measurement)}
    assert measured == {cold.run.run_id, hot.run.run_id}  # an early end is no failure
    states = {row.label: row.state.value for row in store.ledger.rows() if row.stage == "simulate"}
    assert states[hot.run.run_id] == "stopped"


def test_a_fast_path_that_fails_on_the_first_frame_gives_way_with_a_flag(tmp_path, monkeypatch):
    """The relaxation's gate passed; here, maybe on another device, it does not. Asked once for all temperatures."""
    from ionsieve import potentials

    check, loaded, seen = potentials.check_parity, potentials.load, []

    def failing(potential, atoms, **how):
        seen.append(how)
        return dataclasses.replace(check(potential, atoms, **how), passed=False)

    fast = []
    monkeypatch.setattr(potentials, "check_parity", failing)
    monkeypatch.setattr(potentials, "load", lambda settings: fast.append(settings.fast) or loaded(settings))
    monkeypatch.setattr(simulate, "_AGREES", {})
    campaign = parse_campaign(CAMPAIGN.replace("produce_ps: 3", "produce_ps: 0.1").replace("4000", "700"))
    assert run_campaign(campaign, tmp_path / "run", n_workers=0, progress="quiet").status == "finished"
    runs = [r for _, r in Store.open(tmp_path / "run").records("simulate", RunRecord)]
    assert len(runs) == 2
    assert all(Flag.PARITY_FALLBACK in r.flags for r in runs)
    assert seen == [{"seed": 0, "copies": 0}]
    assert False in fast
