"""The view and its figures: everything the page says, against the records it was made from."""

import json
import math
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from ionsieve import units
from ionsieve.ranking import RankingSettings, rank
from ionsieve.records import Estimate, Ranking
from ionsieve.report import CampaignResults, build_view
from ionsieve.report.figure import Axis, Figure, Reference, Series
from ionsieve.report.kit import legend
from ionsieve.report.literature import distance, fractions, matches, published
from ionsieve.report.page import html
from ionsieve.report.plots import forest, gate_motion
from ionsieve.report.plots.arrhenius import factor_of, fit_line
from ionsieve.report.plots.parity import compare
from ionsieve.report.scales import Scale, extent
from ionsieve.report.svg import draw
from ionsieve.report.text import (
    estimate_text,
    formula_html,
    formula_text,
    interval_text,
    number,
    probability,
    signed,
    target_text,
    words,
)
from ionsieve.report.view import answer, as_json
from ionsieve.testing.synthetic_campaign import synthetic_campaign
from ionsieve.verdicts import Flag, Verdict


def test_every_candidate_has_a_page_and_every_row_a_section(view, results):
    assert [c.row.candidate_id for c in view.candidates] == [r.candidate_id for r in results.ranking.rows]
    assert sum(len(rows) for _, _, rows in view.sections) == len(results.ranking.rows) == 24
    assert {key for key, _, _ in view.sections} == {"ranked", "bounded", "failed", "sieved", "waiting"}


def test_the_view_is_plain_json_and_equal_for_equal_results(view, results):
    first = json.dumps(as_json(view), sort_keys=True, allow_nan=False)
    again = json.dumps(as_json(build_view(synthetic_campaign(24))), sort_keys=True, allow_nan=False)
    assert first == again
    assert html(view) == html(build_view(results))


def test_every_figure_carries_the_rows_it_draws(view):
    figures = [*view.figures.values(), *(f for c in view.candidates for f in c.figures)]
    assert {"ranking", "tradeoff", "bottleneck", "arrhenius-overview", "parity"} <= set(view.figures)
    assert len({f.key for f in figures}) == len(figures)
    for figure in figures:
        assert figure.rows
        assert figure.description
        for series in figure.series:
            lengths = {len(v) for v in (series.x, series.x_low, series.x_high, series.y_low, series.y_high) if v}
            assert len(lengths) == (1 if series.x else 0)  # without points it explains a mark in the legend
            drawn = [v for part in (series.x, series.y, series.y_low, series.y_high) for v in part]
            assert all(math.isfinite(v) for v in drawn)


def test_the_forest_says_what_the_ranking_says(view, results):
    ranked = [r for r in results.ranking.rows if r.section == "ranked"][:15]
    figure = view.figures["ranking"]
    assert [row["candidate_id"] for row in figure.rows] == [r.candidate_id for r in ranked]
    assert figure.series[1].x == tuple(r.conductivity.value for r in ranked)
    assert figure.series[0].x_low == tuple(r.conductivity.low95 for r in ranked)


def test_the_forest_draws_limits_below_what_is_ranked(results):
    ranked = [r for r in results.ranking.rows if r.section == "ranked"][:3]
    bounded = [r for r in results.ranking.rows if r.conductivity.kind is Verdict.UPPER_LIMIT][:4]
    assert bounded
    figure = forest(results.ranking.model_copy(update={"rows": (*ranked, *bounded)}))
    assert [row["upper_limit"] for row in figure.rows] == [False] * 3 + [True] * len(bounded)
    arrows = figure.series[2]
    assert arrows.kind == "limit"
    assert arrows.x == tuple(r.conductivity.value for r in bounded)
    assert "h-16" in draw(figure), "the arrow of a limit points to lower conductivities"


def test_a_campaign_with_limits_only_says_so_and_draws_them(results):
    limits = [e for e in results.estimates if e.conductivity.kind is Verdict.UPPER_LIMIT]
    assert limits
    ids = {e.candidate_id for e in limits}
    candidates = tuple(c for c in results.candidates if c.candidate_id in ids)
    ranking = rank(limits, candidates={c.candidate_id: c for c in candidates})
    bounded = build_view(replace(results, ranking=ranking, candidates=candidates, estimates=tuple(limits)))
    drawn = [s for s in bounded.figures["arrhenius-overview"].series if s.kind == "limit"]
    assert drawn
    at = {round(1000 / T, 6) for e in limits for T, p in e.conductivity_points if p.kind is Verdict.UPPER_LIMIT}
    assert at & {round(x, 6) for s in drawn for x in s.x}
    page = html(bounded)
    assert "upper limits only, drawn at their temperatures" in page
    assert "Nothing has been measured yet" not in page


def test_the_gates_that_limit_stand_on_top(results):
    """Of many kinds of gate those on the widest way come first, the narrowest on top, whatever else is wider."""
    measured = results.measurements[:1]
    radii = {f"way {k}": 0.9 + 0.01 * k for k in range(3)} | {f"other {k}": 1.0 + 0.1 * k for k in range(9)}
    gate, motion = results.descriptors[0].gates[0], measured[0].gates[0]
    run = measured[0].model_copy(
        update={
            "gates": tuple(motion.model_copy(update={"jump": j, "free_radius_mean_A": r}) for j, r in radii.items())
        }
    )
    still = results.descriptors[0].model_copy(
        update={"gates": tuple(gate.model_copy(update={"jump": j, "percolating": j.startswith("way")}) for j in radii)}
    )
    figure = gate_motion([run], [still], "X", "key")
    shown = figure.y.categories
    assert shown[:4] == ("way 0", "way 1", "way 2", "other 8")
    assert len(shown) == 8
    assert "8 of 12" in figure.title


def test_the_arrhenius_line_passes_the_conductivity_at_the_temperature_of_use(results):
    checked = 0
    for estimate in results.estimates:
        if estimate.arrhenius is None:
            continue
        (_, mean, std), *_ = fit_line(estimate, [estimate.target_temperature_K])
        assert mean == pytest.approx(math.log(estimate.conductivity.value), abs=1e-6)
        kT = units.BOLTZMANN_EV_PER_K * estimate.target_temperature_K
        (c00, c01), (_, c11) = estimate.arrhenius.covariance
        gradient = np.array([1.0, -1.0 / kT])
        assert std == pytest.approx(math.sqrt(gradient @ np.array([[c00, c01], [c01, c11]]) @ gradient))
        checked += 1
    assert checked > 10


def test_the_factor_between_sigma_and_diffusivity_is_that_of_nernst_einstein(results):
    estimate = next(e for e in results.estimates if e.arrhenius)
    measurement = next(m for m in results.measurements if m.candidate_id == estimate.candidate_id)
    expected = units.nernst_einstein_S_per_cm(
        1.0, count=measurement.n_mobile, charge=1, volume_A3=measurement.volume_A3, temperature_K=1.0
    )
    assert factor_of(estimate) == pytest.approx(expected)


def test_the_summary_names_the_best_and_says_how_far_to_trust(view, results):
    best = results.ranking.rows[0]
    assert best.formula in view.summary.sentences[0]
    assert estimate_text(best.conductivity) in view.summary.sentences[0]
    assert " ".join(view.summary.trust) == results.ranking.trust
    assert len(view.summary.trust) > 3
    assert view.summary.sentences[-1] == results.ranking.trust
    assert [r.rank for r in view.summary.leaders] == [1, 2, 3, 4, 5]
    assert dict(view.summary.facts)["candidates"] == "24"


def test_flags_are_explained_worst_first(view, results):
    present = {f for r in results.ranking.rows for f in r.flags}
    assert {f.key for f in view.flags} == {f.value for f in present}
    severities = [f.severity for f in view.flags]
    assert severities == sorted(severities, key=["serious", "caution", "note"].index)
    assert all(f.sentence == Flag(f.key).sentence for f in view.flags)


def test_an_empty_and_a_running_campaign_make_a_page():
    empty = CampaignResults(name="empty", ranking=rank([], candidates={}, campaign="empty"))
    assert "No candidate has a measured conductivity" in html(build_view(empty))
    running = replace(synthetic_campaign(6), complete=False)
    page = html(build_view(running), live=True)
    assert "This campaign is not finished" in page
    assert 'data-live="1"' in page


def test_texts_from_outside_cannot_become_markup():
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    results = synthetic_campaign(8)
    rows = tuple(r.model_copy(update={"reason": evil, "formula": f"Na3{evil}"}) for r in results.ranking.rows)
    poisoned = replace(
        results,
        name=evil,
        ranking=results.ranking.model_copy(update={"rows": rows, "campaign": evil, "trust": evil}),
        campaign={"description": evil},
        measurements=tuple(m.model_copy(update={"reason": evil}) for m in results.measurements),
    )
    page = html(build_view(poisoned))
    clean = html(build_view(results))
    assert page.count("<script") == clean.count("<script")
    assert "<img" not in page
    assert "onerror=alert" in page  # it is there, as text


def test_the_page_asks_nothing_of_anyone(view):
    page = unescape(html(view))
    assert "default-src 'none'" in page
    assert "connect-src 'none'" in page
    for word in ("http://", "https://", "@import", "url(http"):
        for line in page.split("\n"):
            if word in line:
                assert 'xmlns", "http://www.w3.org/2000/svg"' in line, line[:200]


def test_ranking_section_columns_of_the_user_are_marked_as_imported(tmp_path):
    names = [c.candidate_id for c in synthetic_campaign(6).candidates]
    table = tmp_path / "mine.csv"
    table.write_text("candidate_id,band_gap_eV\n" + f"{names[0]},4.25\n")
    view = build_view(synthetic_campaign(6, settings=RankingSettings(columns_csv=str(table))))
    assert view.extra_columns == ("band_gap_eV",)
    page = html(view)
    assert "imported" in page
    assert "4.25" in page


# -- literature


def test_the_shipped_literature_is_read_with_its_blanks():
    rows = published()
    assert len(rows) >= 29
    assert all(r.sigma_S_per_cm is None or 1e-8 < r.sigma_S_per_cm < 1 for r in rows)
    assert any(r.sigma_S_per_cm is None for r in rows)


def test_compositions_are_matched_by_atomic_fractions():
    assert fractions("MgZr4(PO4)6") == pytest.approx({"Mg": 1 / 35, "Zr": 4 / 35, "P": 6 / 35, "O": 24 / 35})
    assert distance(fractions("Na3PS4"), fractions("Na6P2S8")) == pytest.approx(0)
    assert distance(fractions("NaCl"), fractions("KBr")) == pytest.approx(1)
    near = matches({"Na": 2.9375, "P": 1, "S": 3.9375, "Cl": 0.0625}, mobile_ion="Na", family="sulfide")
    assert near[0][1].formula == "Na2.9375PS3.9375Cl0.0625"
    assert near[0][0] == pytest.approx(0, abs=1e-9)
    assert not matches({"Na": 3, "P": 1, "S": 4}, mobile_ion="Li", family="sulfide")


def test_the_comparison_stands_at_the_published_temperature(results):
    found = compare({c.candidate_id: c for c in results.candidates}, results.estimates)
    row = next(c for c in found if c.published.formula == "Na2.9375PS3.9375Cl0.0625")
    assert row.temperature_K == pytest.approx(298.15)
    assert row.same_composition
    estimate = next(e for e in results.estimates if e.candidate_id == row.candidate_id)
    assert row.computed_S_per_cm < estimate.conductivity.value  # 298 K lies below 300 K
    assert row.decades == pytest.approx(math.log10(row.computed_S_per_cm / 1e-3))


# -- numbers as people read them


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0, 3, "0"),
        (None, 3, "–"),
        (float("nan"), 3, "–"),
        (1234.5, 3, "1234"),
        (0.26149, 3, "0.261"),
        (3.16e-7, 2, "3.2 × 10⁻⁷"),
        (9.96e-4, 2, "0.0010"),
        (-2.5e-6, 2, "−2.5 × 10⁻⁶"),
        (1.5e9, 2, "1.5 × 10⁹"),
    ],
)
def test_numbers(value, digits, text):
    assert number(value, digits) == text


def test_formulas_and_probabilities():
    assert formula_html("Na2.94PS4") == "Na<sub>2.94</sub><wbr>PS<sub>4</sub><wbr>"
    assert formula_html("<b>2") == "&lt;b&gt;2"
    assert formula_text("MgZr4(PO4)6") == "MgZr₄(PO₄)₆"
    assert [probability(p) for p in (None, 0.0, 0.004, 0.5, 0.995, 1.0)] == [
        "–",
        "< 1 %",
        "< 1 %",
        "50 %",
        "> 99 %",
        "> 99 %",
    ]
    assert [target_text(v) for v in (1e-4, 5e-4)] == ["10⁻⁴", "5.0 × 10⁻⁴"]


def test_an_interval_shares_its_value_s_power_of_ten(results):
    sigma = results.ranking.rows[0].conductivity
    assert estimate_text(sigma) == "2.7 × 10⁻³"
    assert interval_text(sigma) == "(1.2 – 6.1) × 10⁻³"
    limit = next(r for r in results.ranking.rows if r.section == "bounded").conductivity
    assert estimate_text(limit).startswith("< ")
    assert interval_text(limit) == ""


def test_a_wide_interval_keeps_its_own_powers_and_decimals_follow_the_interval():
    def of(quantity: str, value: float, low: float, high: float) -> Estimate:
        return Estimate(
            quantity=quantity, kind="value", value=value, low68=low, high68=high, low95=min(low, low / 2),
            high95=2 * high, method="made up",
        )  # fmt: skip

    wide = of("conductivity", 1.2e-4, 3.3e-6, 4.4e-3)
    assert interval_text(wide) == "3.3 × 10⁻⁶ – 4.4 × 10⁻³"
    assert [estimate_text(e) for e in (wide, of("conductivity", 0.45, 0.36, 0.55))] == ["1.2 × 10⁻⁴", "0.45"]
    rough = of("activation_energy", 0.0401, -0.00895, 0.0891)
    assert (estimate_text(rough), interval_text(rough)) == ("0.040", "−0.009 – 0.089")
    prior = of("activation_energy", 0.35, 0.23, 0.47)
    assert (estimate_text(prior), interval_text(prior)) == ("0.35", "0.23 – 0.47")


def test_the_summary_says_when_nobody_wins_and_what_is_wrong_with_the_winner(results):
    rows = results.ranking.rows
    bounded = results.ranking.model_copy(update={"rows": tuple(r for r in rows if r.section == "bounded")})
    assert answer(bounded) == [
        "There is no winner: for each of the 3 measured candidates only an upper limit of the conductivity is known."
    ]
    doubtful = rows[0].model_copy(update={"flags": (Flag.FEW_HOPS, Flag.SOFT_POTENTIAL)})
    told = answer(results.ranking.model_copy(update={"rows": (doubtful, *rows[1:])}))
    assert "Its number has reservations: few hops." in told


def test_marks_beside_points_never_cover_each_other():
    import re

    crowd = Series(
        kind="points",
        x=tuple(0.3 + 0.001 * i for i in range(12)),
        y=tuple(1e-3 * (1 + 0.02 * i) for i in range(12)),
        marks=tuple(str(i + 1) for i in range(12)),
    )
    alone = Series(kind="points", x=(0.6,), y=(1e-7,), marks=("13",))
    figure = Figure("crowd", "t", "d", Axis("x"), Axis("y", "log"), (crowd, alone), rows=({"a": 1},))
    placed = re.findall(r'<text class="mark" x="([\d.]+)" y="([\d.]+)">(\d+)</text>', str(draw(figure)))
    assert "13" in {text for _, _, text in placed}
    boxes = [(float(x), float(x) + 7 * len(text), float(y) - 9, float(y)) for x, y, text in placed]
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[1] <= b[0] or b[1] <= a[0] or a[3] <= b[2] or b[3] <= a[2]


# -- axes


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.2, 17.0), (0.261, 0.262), (1e-9, 1e-2), (3.0, 5.0)])
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_ticks_lie_within_the_axis_and_are_told_apart(low, high, scale):
    if scale == "log" and low <= 0:
        low, high = 0.5, 20.0
    ticks = Scale(Axis("x", scale), low, high, 0, 100).ticks()
    assert len(ticks) >= 2
    assert len({label for _, label in ticks}) == len(ticks)
    assert all(low - 1e-9 * abs(low) <= v <= high * (1 + 1e-9) for v, _ in ticks)


def test_an_axis_holds_its_data_and_maps_its_ends():
    low, high = extent([1e-5, 1e-2], Axis("σ", "log"))
    assert low < 1e-5 < 1e-2 < high
    scale = Scale(Axis("σ", "log"), 1e-4, 1e-2, 0.0, 200.0)
    assert scale(1e-3) == pytest.approx(100)
    assert extent([], Axis("x")) == (0.0, 1.0)
    assert extent([2.0], Axis("x"))[0] < 2.0


def test_a_drawing_is_well_formed_and_escaped():
    from xml.etree import ElementTree

    figure = Figure(
        key="odd",
        title="<&>",
        description='a "quoted" text',
        x=Axis("1/T <K>"),
        y=Axis("σ", "log"),
        series=(
            Series(
                kind="points", x=(1.0, 2.0), y=(1e-3, 1e-4), y_low=(5e-4, 5e-5), y_high=(2e-3, 2e-4), names=("<a>", "b")
            ),
            Series(kind="limit", x=(1.5,), y=(1e-5,)),
            Series(kind="band", x=(1.0, 2.0), y=(), y_low=(1e-5, 1e-5), y_high=(1e-3, 1e-3)),
        ),
        references=(Reference("y", 1e-4, "<target>"), Reference("x", 1.5, "&")),
    )
    tree = ElementTree.fromstring(str(draw(figure)))
    assert tree.find("title").text == "<&>"
    circles = list(tree.iter("circle"))
    assert len(circles) == 2
    assert float(circles[0].get("cy")) < float(circles[1].get("cy"))  # the larger value stands higher


def test_the_ranking_record_reads_back(results):
    assert Ranking.from_json(results.ranking.to_json()) == results.ranking


def test_leaders_are_recommended_only_when_they_are_likelier_than_not(results):
    rows = results.ranking.rows
    first = [r.candidate_id for r in rows if r.section == "ranked"][: results.ranking.top_k]
    bounded = next(r.candidate_id for r in rows if r.section == "bounded")

    def told(leaders: float, limit: float) -> tuple[bool, list[str], str]:
        chance = {bounded: limit, **dict.fromkeys(first, leaders)}
        changed = [
            r.model_copy(update={"probability_top_k": chance.get(r.candidate_id, 0.0)})
            if r.section in ("ranked", "bounded")
            else r
            for r in rows
        ]
        ranking = results.ranking.model_copy(update={"rows": tuple(changed)})
        view = build_view(replace(results, ranking=ranking))
        return view.summary.firm, [r.candidate_id for r in view.summary.rivals], html(view)

    firm, rivals, page = told(0.8, 0.3)
    assert (firm, rivals) == (True, [])
    assert "To make first" in page
    firm, rivals, page = told(0.3, 0.4)
    assert (firm, rivals) == (False, [bounded])
    assert "To make first" not in page
    assert "Run longer before choosing" in page


def test_the_legend_shows_a_limit_as_a_limit():
    series = Series(kind="limit", label="neighbour: upper limit", tone=1, hollow=True, x=(1.0,), y=(1.0,))
    figure = Figure(key="f", title="t", description="d", x=Axis("x"), y=Axis("y"), series=(series,), rows=({"a": 1},))
    assert legend(figure) == [("neighbour: upper limit", "limit", 1)]


def test_words_and_signs():
    assert (words("assumed_ea"), words("two_temperatures")) == ("assumed Ea", "two temperatures")
    assert (signed(-0.04), signed(0.04), signed(-0.06)) == ("+0.0", "+0.0", "−0.1")
