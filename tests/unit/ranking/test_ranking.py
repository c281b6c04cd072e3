"""The ranking: order, probabilities against closed forms, sections, fronts, limits, bytes."""

import csv
import io
import json
import math
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import norm

from ionsieve.errors import InputError
from ionsieve.ranking import (
    ELEMENTS,
    HardLimit,
    Posterior,
    RankingSettings,
    Weights,
    fronts,
    rank,
    read_columns,
    table,
    to_csv,
)
from ionsieve.ranking.elements import dearest, most_hazardous
from ionsieve.ranking.posterior import ln_sigma_of, sample, statistics
from ionsieve.ranking.scores import desirability, score
from ionsieve.records import Candidate, CandidateEstimate, Estimate, Measurement, Ranking, StaticDescriptors
from ionsieve.verdicts import Flag, Outcome, Verdict


def candidate(name: str, formula: str = "Na3PS4", **more: object) -> Candidate:
    return Candidate.model_validate(
        {
            "candidate_id": name,
            "prototype": "Na3PS4_I-43m",
            "family": "sulfide",
            "mobile_ion": "Na",
            "mobile_charge": 1,
            "target_formula": formula,
            "composition": {"Na": 3.0, "P": 1.0, "S": 4.0},
            **more,
        }
    )


def value(key: str, x: float, std_ln: float, **more: object) -> Estimate:
    return Estimate.model_validate(
        {
            "quantity": key,
            "kind": "value",
            "value": x,
            "low68": x * math.exp(-std_ln),
            "high68": x * math.exp(std_ln),
            "low95": x * math.exp(-1.96 * std_ln),
            "high95": x * math.exp(1.96 * std_ln),
            **more,
        }
    )


def measured(name: str, sigma: float, std_ln: float = 0.3, Ea: float = 0.3, **more: object) -> CandidateEstimate:
    return CandidateEstimate.model_validate(
        {
            "candidate_id": name,
            "mobile_ion": "Na",
            "n_configurations": 1,
            "n_runs": 4,
            "target_temperature_K": 300.0,
            "activation_energy": value("activation_energy", Ea, 0.05),
            "conductivity": value("conductivity", sigma, std_ln),
            "tracer_diffusivity": value("tracer_diffusivity", sigma * 1e-6, std_ln),
            "ln_sigma_mean": math.log(sigma),
            "ln_sigma_std": std_ln,
            "total_length_ps": 500.0,
            **more,
        }
    )


def limited(name: str, limit: float) -> CandidateEstimate:
    top = Estimate(quantity="conductivity", kind=Verdict.UPPER_LIMIT, value=limit, flags=(Flag.NO_HOPS,))
    return measured(
        name,
        limit,
        conductivity=top,
        ln_sigma_mean=None,
        ln_sigma_std=None,
        activation_energy=Estimate.refused("activation_energy", "no jumps"),
    )


def ranked(estimates: list[CandidateEstimate], **options: object) -> Ranking:
    given = RankingSettings.model_validate(options)
    return rank(
        estimates,
        candidates={e.candidate_id: candidate(e.candidate_id) for e in estimates},
        settings=given,
        campaign="t",
    )


def row_of(ranking: Ranking, name: str):
    return next(r for r in ranking.rows if r.candidate_id == name)


def test_two_normal_posteriors_agree_with_the_closed_form():
    a, b = measured("a", 2e-3, 0.6), measured("b", 1e-3, 0.8)
    found = ranked([a, b], top_k=1, samples=200_000)
    p = norm.cdf(math.log(2) / math.hypot(0.6, 0.8))
    error = math.sqrt(p * (1 - p) / 200_000)
    assert row_of(found, "a").probability_top_k == pytest.approx(p, abs=5 * error)
    assert row_of(found, "a").expected_rank.value == pytest.approx(1 * p + 2 * (1 - p), abs=5 * error)
    assert row_of(found, "a").rank == 1


def test_the_probability_of_a_target_has_the_shared_error_of_the_potential_and_the_order_has_not():
    decades = 0.5
    alone = ranked([measured("a", 5e-4, 0.4)], samples=200_000, shared_model_error_decades=decades)
    p = norm.cdf((math.log(5e-4) - math.log(1e-3)) / math.hypot(0.4, decades * math.log(10)))
    assert row_of(alone, "a").probability_targets["0.001"] == pytest.approx(p, abs=0.005)
    several = [measured("a", 5e-4, 0.4), measured("b", 3e-4, 0.4), measured("c", 4e-4, 0.4)]
    bare, shared = (ranked(several, top_k=1, shared_model_error_decades=d) for d in (0.0, 2.0))
    assert [r.probability_top_k for r in bare.rows] == [r.probability_top_k for r in shared.rows]
    assert [r.probability_targets for r in bare.rows] != [r.probability_targets for r in shared.rows]


def test_the_own_error_of_the_potential_loosens_the_order():
    several = [measured("a", 2e-3, 0.2), measured("b", 1e-3, 0.2)]
    tight, loose = (row_of(ranked(several, top_k=1, own_model_error_decades=d), "a").probability_top_k for d in (0, 1))
    p = norm.cdf(math.log(2) / math.hypot(math.hypot(0.2, math.log(10)), math.hypot(0.2, math.log(10))))
    assert loose == pytest.approx(p, abs=0.02)
    assert tight > loose


def test_an_upper_limit_holds_at_95_per_cent():
    draws = sample([Posterior("x", math.log(1e-4), None)], samples=400_000, seed=3)
    below = np.mean(draws < math.log(1e-4))
    assert below == pytest.approx(0.95, abs=5 * math.sqrt(0.95 * 0.05 / 400_000))


def test_a_bounded_candidate_may_still_win_but_is_not_ranked():
    found = ranked([measured("a", 1e-4, 0.3), limited("b", 1e-2)], top_k=1)
    b = row_of(found, "b")
    assert (b.section, b.rank, b.verdict) == ("bounded", None, Verdict.UPPER_LIMIT)
    # two of six decades (and the twentieth above the limit) lie above the other's median
    assert b.probability_top_k == pytest.approx((2 + 0.05 * 6) / 6, abs=0.02)
    assert b.reason == Verdict.UPPER_LIMIT.sentence
    hopeless = row_of(ranked([measured("a", 1e-2, 0.3), limited("b", 1e-7)], top_k=1), "b")
    assert hopeless.probability_top_k < 0.001


def test_without_a_fit_the_interval_is_read_as_a_normal_law():
    estimate = measured("a", 1e-3, 0.5).conductivity
    mean, std = ln_sigma_of(estimate, None, None)
    assert mean == pytest.approx(math.log(1e-3))
    assert std == pytest.approx(0.5, rel=1e-4)
    assert ln_sigma_of(Estimate.refused("conductivity", "no"), None, None) is None


def test_every_candidate_stands_in_one_section_with_its_reason():
    names = ["good", "bound", "melted", "refused", "sieved", "late", "dear"]
    closed = StaticDescriptors(
        configuration_id="sieved--c0",
        mobile_ion="Na",
        outcome=Outcome.SIEVED,
        reason="radius 0.2 below 0.3",
        percolation_radius_A=(0.2, 0, 0),
    )
    melted = Estimate.refused("conductivity", "melted at 900 K")
    found = rank(
        [
            measured("good", 1e-3),
            limited("bound", 1e-5),
            measured("melted", 1, conductivity=melted, outcome=Outcome.MELTED, reason="melted at 900 K"),
            measured("dear", 1e-3, Ea=0.9),
        ],
        candidates={
            n: candidate(n, **({"outcome": Outcome.NOT_NEUTRAL, "reason": "one charge left"} if n == "refused" else {}))
            for n in names
        },
        descriptors={"sieved--c0": closed},
        settings=RankingSettings(hard_limits=(HardLimit(column="activation_energy", maximum=0.5),)),
    )
    assert sorted(r.candidate_id for r in found.rows) == sorted(names)
    assert {r.candidate_id: r.section for r in found.rows} == {
        "good": "ranked",
        "bound": "bounded",
        "dear": "excluded",
        "melted": "failed",
        "refused": "failed",
        "sieved": "sieved",
        "late": "waiting",
    }
    assert row_of(found, "melted").reason == "melted at 900 K"
    assert row_of(found, "refused").reason == "one charge left"
    assert row_of(found, "sieved").reason == "radius 0.2 below 0.3"
    assert row_of(found, "dear").reason == "activation_energy 0.9 is above the campaign's 0.5."
    for row in found.rows:
        assert (row.section == "ranked") == (row.rank is not None)
        if row.section != "ranked":
            assert row.reason


def test_the_bottleneck_carries_an_interval_never_narrower_than_the_radius_tables():
    described = [
        StaticDescriptors(configuration_id=f"a--c{i}", mobile_ion="Na", percolation_radius_A=(r, r, r))
        for i, r in enumerate((0.6, 0.62))
    ]
    found = rank(
        [measured("a", 1e-3)], candidates={"a": candidate("a")}, descriptors={d.configuration_id: d for d in described}
    )
    gate = row_of(found, "a").bottleneck
    assert gate.value == pytest.approx(0.61)
    assert gate.high68 - gate.value == pytest.approx(0.05)
    by_candidate = rank([measured("a", 1e-3)], candidates={"a": candidate("a")}, descriptors={"a": described})
    assert row_of(by_candidate, "a").bottleneck == gate


def test_weights_reorder_by_score_and_leave_the_probabilities_alone():
    fast_dear, slow_cheap = measured("fast", 1e-2, 0.1, Ea=0.6), measured("slow", 5e-3, 0.1, Ea=0.15)
    plain = ranked([fast_dear, slow_cheap], top_k=1)
    weighed = ranked([fast_dear, slow_cheap], top_k=1, weights=Weights(conductivity=1, activation_energy=1))
    assert [r.candidate_id for r in plain.rows] == ["fast", "slow"]
    assert [r.candidate_id for r in weighed.rows] == ["slow", "fast"]
    assert row_of(plain, "fast").probability_top_k == row_of(weighed, "fast").probability_top_k
    assert row_of(weighed, "slow").score > row_of(weighed, "fast").score


def test_scores_lie_on_fixed_scales():
    assert desirability("conductivity", 1e-5) == pytest.approx(0.5)
    assert desirability("activation_energy", 0.8) == 0
    assert desirability("cost_class", 1) == 1
    assert score(
        {"conductivity": 1e-5, "activation_energy": 0.1}, Weights(conductivity=1, activation_energy=3)
    ) == pytest.approx((0.5 + 3) / 4)
    assert score({"conductivity": None}, Weights()) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=14))
def test_fronts_agree_with_peeling_by_hand(points):
    left, expected, level = set(range(len(points))), {}, 0
    while left:
        level += 1
        best = {
            i
            for i in left
            if not any(
                all(a >= b for a, b in zip(points[j], points[i], strict=True)) and points[j] != points[i] for j in left
            )
        }
        expected.update(dict.fromkeys(best, level))
        left -= best
    assert fronts(points).tolist() == [expected[i] for i in range(len(points))]


def test_fronts_refuse_another_shape():
    with pytest.raises(ValueError, match=r"\(N, M\)"):
        fronts([1.0, 2.0])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-20, -2), min_size=2, max_size=8, unique=True), st.integers(0, 99))
def test_the_statistics_are_probabilities(means, seed):
    draws = sample([Posterior(str(i), m, 0.5) for i, m in enumerate(means)], samples=1000, seed=seed)
    found = statistics(draws, top_k=2, targets_S_per_cm=(1e-4,), shared_decades=0.5, seed=seed)
    assert found.probability_top_k.sum() == pytest.approx(2)
    assert found.mean_rank.sum() == pytest.approx(len(means) * (len(means) + 1) / 2)
    assert np.all((found.probability_targets >= 0) & (found.probability_targets <= 1))
    assert np.all(np.diff(found.rank_quantiles, axis=1) >= 0)


def test_equal_inputs_in_any_order_give_equal_bytes_and_strangers_change_no_draw():
    several = [measured(f"c{i}", 10 ** -(2 + i / 7), 0.5) for i in range(12)] + [limited("low", 1e-5)]
    first = ranked(several)
    shuffled = several.copy()
    random.Random(4).shuffle(shuffled)
    assert ranked(shuffled).to_json() == first.to_json()
    assert Ranking.from_json(first.to_json()) == first
    one = sample([Posterior("c1", -5, 0.5)], samples=1000, seed=0)
    two = sample([Posterior("c0", -5, 0.5), Posterior("c1", -5, 0.5)], samples=1000, seed=0)
    assert np.array_equal(one[:, 0], two[:, 1])


def test_the_csv_has_one_line_a_candidate_and_says_what_is_imported(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("candidate_id,band_gap_eV,moisture\na,4.1,poor\nb,,\n")
    found = ranked(
        [measured("a", 1e-3), measured("b", 1e-4)],
        columns_csv=str(file),
        hard_limits=[{"column": "band_gap_eV", "minimum": 5}],
    )
    assert row_of(found, "a").section == "excluded"
    assert found.imported_columns == ("band_gap_eV", "moisture")
    rows = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert len(rows) == 2
    by_name = {r["candidate_id"]: r for r in rows}
    assert by_name["a"]["imported_band_gap_eV"] == "4.1"
    assert by_name["b"]["imported_moisture"] == ""
    assert float(by_name["b"]["conductivity_S_per_cm"]) == 1e-4
    assert len({tuple(r) for r in table(found)}) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,gap\na,1\n", "no column says which candidate"),
        ("formula,gap\nx,1\nx,2\n", "stands in the file twice"),
        ("formula,gap\n,1\n", "the formula is empty"),
        ("formula,conductivity\nx,1\n", "conductivity is measured here"),
    ],
)
def test_a_bad_table_of_columns_is_refused_with_its_line(tmp_path, text, message):
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_columns(file)
    assert str(file) in str(caught.value)


def test_an_imported_column_replaces_a_computed_one_only_where_it_has_a_value(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("candidate_id,cost_class,gap\na,5,4.1\n")
    estimates = [measured("a", 1e-3), measured("b", 1e-4)]
    plain, found = ranked(estimates), ranked(estimates, columns_csv=str(file))
    assert row_of(found, "a").columns["cost_class"] == 5.0
    assert row_of(plain, "b").columns["cost_class"] is not None
    assert row_of(found, "b").columns["cost_class"] == row_of(plain, "b").columns["cost_class"]
    assert row_of(found, "b").columns["gap"] is None
    assert found.imported_columns == ("gap",)
    assert "USGS" in found.column_sources["cost_class"]
    assert str(file) in found.column_sources["cost_class"]


def test_a_limit_on_a_column_that_no_table_has_is_refused_with_the_nearest_name(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("candidate_id,band_gap_eV,moisture\na,4.1,poor\n")
    limits = [
        {"column": "activation_enrgy", "maximum": 0.4},
        {"column": "band_gap", "minimum": 3},
        {"column": "moisture", "minimum": 3},
    ]
    with pytest.raises(InputError) as caught:
        ranked([measured("a", 1e-3)], columns_csv=str(file), hard_limits=limits)
    told = str(caught.value)
    assert "'activation_energy'" in told
    assert "'band_gap_eV'" in told
    assert "'moisture' holds no number" in told
    good = [{"column": "band_gap_eV", "minimum": 3}, {"column": "bulk_modulus", "minimum": 3}]
    assert ranked([measured("a", 1e-3)], columns_csv=str(file), hard_limits=good).rows[0].section == "ranked"


def test_an_upper_limit_below_the_minimum_excludes():
    limits = [{"column": "conductivity", "minimum": 1e-5}]
    found = ranked([measured("a", 1e-3), limited("low", 1e-6), limited("high", 1e-4)], hard_limits=limits)
    assert {r.candidate_id: r.section for r in found.rows} == {"a": "ranked", "high": "bounded", "low": "excluded"}
    assert "at most 1e-06" in row_of(found, "low").reason


def test_a_missing_table_of_columns_names_the_setting():
    with pytest.raises(InputError, match=r"columns_csv"):
        read_columns("nowhere.csv")


def test_elements_have_classes_and_the_worst_one_counts():
    assert dearest(("Na", "Ge", "S")) == (4, "Ge")
    assert most_hazardous(("Na", "As", "S")) == (4, "As")
    assert most_hazardous(("Xe",)) is None
    assert all(c.cost in {None, 1, 2, 3, 4, 5} and c.hazard in {None, 0, 1, 2, 3, 4} for c in ELEMENTS.values())
    with_arsenic = candidate("a", composition={"Na": 3, "As": 1, "S": 4})
    found = rank([measured("a", 1e-3)], candidates={"a": with_arsenic})
    assert found.rows[0].columns["hazard_class"] == 4
    assert "ICH Q3D" in found.column_sources["hazard_class"]


def test_trust_is_told_in_words():
    extrapolated = (Flag.EXTRAPOLATED, Flag.SOFT_POTENTIAL, Flag.ASSUMED_EA)
    short = [
        measured(
            f"c{i}",
            10 ** -(2 + i),
            0.2,
            flags=extrapolated,
            total_length_ps=40,
            conductivity_points=((800.0, value("conductivity", 0.1, 0.1)),),
        )
        for i in range(7)
    ]
    text = ranked(short, top_k=3).trust
    assert "The choice of the first 3 among 7 is firm" in text
    assert "The runs are short: 40 ps of simulation" in text
    assert "extrapolated from 800 K or hotter for all of them" in text
    assert "the activation energy is assumed" in text
    assert "trust the order more than the absolute numbers" in text
    assert "No candidate has a measured conductivity" in ranked([limited("a", 1e-5)]).trust


@pytest.mark.parametrize(
    "options",
    [
        {"weights": {"conductivity": 0}},
        {"hard_limits": [{"column": "activation_energy"}]},
        {"hard_limits": [{"column": "x", "minimum": 2, "maximum": 1}]},
        {"targets_S_per_cm": [0]},
        {"top_k": 0},
    ],
)
def test_settings_that_mean_nothing_are_refused(options):
    with pytest.raises(ValidationError):
        RankingSettings.model_validate(options)


def test_estimates_of_strangers_are_refused():
    with pytest.raises(ValueError, match="not in the campaign: a"):
        rank([measured("a", 1e-3)], candidates={})


def test_the_settings_import_nothing_heavy():
    code = (
        "import sys, json, ionsieve.ranking.settings; print(json.dumps([m for m in"
        " ('torch','scipy','ase','pymatgen','numpy') if m in sys.modules]))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(out.stdout) == []


def volume_run(temperature_K: float, volume_A3: float, index: int = 0) -> Measurement:
    nothing = {
        key: Estimate.refused(quantity, "not measured")
        for key, quantity in (
            ("tracer_diffusivity", "tracer_diffusivity"),
            ("charge_diffusivity", "charge_diffusivity"),
            ("conductivity", "conductivity"),
            ("charge_conductivity", "charge_conductivity"),
            ("inverse_haven_ratio", "inverse_haven_ratio"),
        )
    }
    return Measurement(
        run_id=f"r{index}-{temperature_K:g}",
        configuration_id=f"a--c{index}",
        candidate_id="a",
        temperature_K=temperature_K,
        mobile_ion="Na",
        mobile_charge=1,
        n_mobile=10,
        volume_A3=volume_A3,
        length_ps=10.0,
        **nothing,
    )


def test_thermal_expansion_is_read_from_cells_that_follow_the_temperature():
    alpha = 3e-5
    grown = [volume_run(T, 1000 * math.exp(3 * alpha * (T - 300))) for T in (600.0, 800.0, 1000.0, 1200.0)]
    row = rank([measured("a", 1e-3)], candidates={"a": candidate("a")}, measurements=grown).rows[0]
    assert row.columns["linear_expansion_per_K"] == pytest.approx(alpha, rel=1e-4)
    assert row.columns["linear_expansion_error_per_K"] < 1e-9
    held = [volume_run(T, 1000.0) for T in (600.0, 800.0, 1000.0)]
    row = rank([measured("a", 1e-3)], candidates={"a": candidate("a")}, measurements=held).rows[0]
    assert "linear_expansion_per_K" not in row.columns


def test_cells_of_different_volume_are_no_thermal_expansion():
    held = [volume_run(T, V, i) for i, V in enumerate((1000.0, 1008.0)) for T in (600.0, 800.0, 1000.0)]
    row = rank([measured("a", 1e-3)], candidates={"a": candidate("a")}, measurements=held).rows[0]
    assert "linear_expansion_per_K" not in row.columns
    alpha = 3e-5
    # the larger cell ran colder: one line through all would even shrink on heating
    grown = [
        volume_run(T, V * math.exp(3 * alpha * (T - 300)), i)
        for i, V, temperatures in ((0, 1300.0, (600.0, 700.0, 800.0)), (1, 1000.0, (900.0, 1000.0)))
        for T in temperatures
    ]
    row = rank([measured("a", 1e-3)], candidates={"a": candidate("a")}, measurements=grown).rows[0]
    assert row.columns["linear_expansion_per_K"] == pytest.approx(alpha, rel=1e-4)
    assert row.columns["linear_expansion_error_per_K"] < 1e-9
