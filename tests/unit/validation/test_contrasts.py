"""Contrasts are judged by their odds, pairs by errors and ranks with bootstrap intervals."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "benchmarks" / "validation"))

import contrasts as c  # noqa: E402
import pairs as p  # noqa: E402
import report as r  # noqa: E402

from ionsieve.campaign import load_campaign  # noqa: E402
from ionsieve.generate import expand  # noqa: E402
from ionsieve.records import ArrheniusFit, Candidate, CandidateEstimate, Estimate  # noqa: E402
from ionsieve.report.literature import matches  # noqa: E402
from ionsieve.testing.synthetic_campaign import synthetic_campaign  # noqa: E402
from ionsieve.units import BOLTZMANN_EV_PER_K  # noqa: E402
from ionsieve.verdicts import Verdict  # noqa: E402


def value(number, decades=0.1, quantity="tracer_diffusivity"):
    if quantity == "activation_energy":
        low95, low68, high68, high95 = (number + k * decades for k in (-1.96, -1, 1, 1.96))
    else:
        low95, low68, high68, high95 = (number * 10 ** (k * decades) for k in (-1.96, -1, 1, 1.96))
    return Estimate(
        quantity=quantity, kind=Verdict.VALUE, value=number, low95=low95, low68=low68, high68=high68, high95=high95
    )


def limit(number):
    return Estimate(quantity="tracer_diffusivity", kind=Verdict.UPPER_LIMIT, value=number)


def test_odds_of_two_values_are_gaussian_in_log10():
    probability, bound, ratio, error = c.probability_greater([value(2e-5, 0.1)], [value(1e-5, 0.1)])
    assert bound == ""
    assert ratio == pytest.approx(math.log10(2))
    assert error == pytest.approx(0.1 * math.sqrt(2))
    z = math.log10(2) / (0.1 * math.sqrt(2))
    assert probability == pytest.approx(0.5 * math.erfc(-z / math.sqrt(2)))
    assert c.probability_greater([value(1e-5)], [value(1e-5)])[0] == pytest.approx(0.5)


def test_limits_give_bounds_in_their_own_direction():
    probability, bound, *_ = c.probability_greater([value(1e-4)], [limit(1e-6)])
    assert (bound, probability) == ("at least", pytest.approx(0.95))
    probability, bound, *_ = c.probability_greater([limit(1e-6)], [value(1e-4)])
    assert (bound, probability) == ("at most", pytest.approx(0.05))
    assert c.probability_greater([limit(1e-6)], [limit(1e-7)])[0] is None


def test_runs_of_one_kind_are_averaged_and_their_spread_counts():
    _, _, ratio, tight = c.probability_greater([value(2e-5, 0.1)] * 4, [value(1e-5, 1e-6)])
    assert ratio == pytest.approx(math.log10(2))
    assert tight == pytest.approx(0.05, rel=1e-3)
    _, _, _, wide = c.probability_greater([value(1e-6, 0.1), value(1e-4, 0.1)], [value(1e-5, 1e-6)])
    assert wide > 0.7


def told(probability, bound=""):
    return c.Told(c.CONTRASTS[0], c.CONTRASTS[0].pairs[0], 900.0, value(1e-5), value(1e-5), probability, bound)


@pytest.mark.parametrize(
    ("probability", "bound", "word"),
    [
        (0.95, "", "confirmed"),
        (0.95, "at least", "confirmed"),
        (0.95, "at most", "undecided"),
        (0.5, "", "undecided"),
        (0.05, "", "contradicted"),
        (0.05, "at most", "contradicted"),
        (0.05, "at least", "undecided"),
        (None, "", "undecided: no side gave a value"),
    ],
)
def test_outcomes(probability, bound, word):
    assert c.outcome_word(told(probability, bound)) == word


def candidates_of(name):
    campaign = load_campaign(ROOT / "workflows" / f"{name}.yaml")
    return [x for x in expand(campaign.generate) if x.outcome == "completed"]


def test_every_contrast_is_in_the_two_campaigns():
    candidates = [*candidates_of("validation"), *candidates_of("validation-other")]
    for contrast in c.CONTRASTS:
        for formula in contrast.pairs[0]:
            found = [x.candidate_id for x in candidates if c.is_it(x, formula, contrast.family)]
            assert len(found) == 1, f"{contrast.title}: {formula} is {found}"


@pytest.mark.parametrize(
    "name",
    [
        *("antiperovskite", "vacancy", "bromide", "r2scan", "r2scan-1000"),
        *("sulfide", "na", "na11", "lgps", "argyrodite", "lgps-r2scan", "sevennet", "nasicon", "nasicon-poor"),
    ],
)
def test_every_candidate_of_a_short_campaign_is_a_side_of_a_contrast_or_has_a_published_value(name):
    sides = [(formula, contrast.family) for contrast in c.CONTRASTS for pair in contrast.pairs for formula in pair]
    for candidate in candidates_of(f"validation-{name}"):
        rows = matches(candidate.composition, mobile_ion=candidate.mobile_ion, family=candidate.family)
        assert rows or any(c.is_it(candidate, *side) for side in sides), candidate.candidate_id


def test_spearman_and_bootstrap():
    x = np.arange(12.0)
    assert p.spearman(x, np.exp(x)) == pytest.approx(1)
    assert p.spearman(x, -x) == pytest.approx(-1)
    assert math.isnan(p.spearman(x, np.ones(12)))
    assert p.spearman(np.array([1.0, 2, 2, 3]), np.array([1.0, 2, 2, 3])) == pytest.approx(1)
    scipy = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, 40).astype(float), rng.normal(size=40)
    assert p.spearman(a, b) == pytest.approx(scipy.spearmanr(a, b).statistic)


def test_bootstrap_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(120):
        x = rng.normal(size=40)
        y = x + rng.normal(size=40)
        _, low, high = p.bootstrap(lambda a, b: float(np.mean(np.abs(a - b))), x, y, n=300)
        inside += low <= math.sqrt(2 / math.pi) <= high
    # 95 % of 120 is 114; the percentile bootstrap is a little narrow; 102 is 5 standard errors below
    assert 102 <= inside <= 120


def estimate(**changes):
    values = {
        "candidate_id": "x",
        "mobile_ion": "Na",
        "n_configurations": 1,
        "n_runs": 2,
        "target_temperature_K": 300.0,
        "activation_energy": value(0.3, 0.02, "activation_energy"),
        "conductivity": value(1e-3, 0.2, "conductivity"),
        "tracer_diffusivity": value(1e-8),
        "points": ((800.0, value(1e-5)), (1000.0, value(3e-5))),
    }
    return CandidateEstimate(**{**values, **changes})


def candidate(formula, family, composition):
    return Candidate(
        candidate_id="x",
        prototype="p",
        family=family,
        mobile_ion="Na",
        mobile_charge=1,
        target_formula=formula,
        realised_formula=formula,
        composition=composition,
    )


NZSP = candidate("Na3Zr2Si2PO12", "nasicon", {"Na": 3, "Zr": 2, "Si": 2, "P": 1, "O": 12})


def test_pairs_move_sigma_along_the_arrhenius_line():
    found = {round(x.temperature_K): x for x in p.pairs_of(NZSP, estimate(), "m") if x.quantity == "log10_sigma"}
    assert set(found) == {298, 573}
    assert found[298].computed == pytest.approx(-3)
    assert found[298].extrapolated_K == pytest.approx(800 - 298.15)
    hot = found[573].temperature_K
    expected = 1e-3 * (300 / hot) * math.exp(-0.3 / BOLTZMANN_EV_PER_K * (1 / hot - 1 / 300))
    assert 10 ** found[573].computed == pytest.approx(expected)
    assert all(x.exact for x in found.values())


def test_an_assumed_activation_energy_is_never_compared():
    assert any(x.quantity == "Ea_eV" for x in p.pairs_of(NZSP, estimate(), "m"))
    assumed = estimate(flags=("assumed_ea",))
    assert not any(x.quantity == "Ea_eV" for x in p.pairs_of(NZSP, assumed, "m"))


def test_the_correction_scales_the_activation_energy_and_moves_sigma_along_the_line():
    fit = ArrheniusFit(ln_D0=-9.0, Ea_eV=0.3, covariance=((0.01, 0.0), (0.0, 0.0004)), n_points=2)
    known = estimate(arrhenius=fit)
    scaled = p.corrected(known, 1.2)
    assert scaled.activation_energy.value == pytest.approx(0.36)
    ratio = scaled.conductivity.value / known.conductivity.value
    assert ratio == pytest.approx(math.sqrt(1.2) * math.exp(-0.06 / (BOLTZMANN_EV_PER_K * 300)))
    assert p.corrected(known, 1.0).conductivity.value == pytest.approx(known.conductivity.value)
    assert p.corrected(estimate(), 1.2) is None
    assert p.corrected(estimate(arrhenius=fit, flags=("assumed_ea",)), 1.2) is None


def test_rows_of_one_material_count_once_at_a_temperature():
    rows = p.pairs_of(NZSP, estimate(), "m")
    sigma = [x for x in rows if x.quantity == "log10_sigma"]
    assert len(sigma) == 4
    kept = p.once(sigma)
    assert sorted(round(x.temperature_K) for x in kept) == [298, 573]
    mean = sum(x.published for x in sigma if x.temperature_K < 400) / 3
    assert min(kept, key=lambda x: x.temperature_K).published == pytest.approx(mean)
    assert p.summarise("g", sigma).n == 2
    assert p.summarise("g", sigma).rank is None


def test_calculations_are_no_experiment():
    mg = candidate("Na2.9Mg0.05OCl", "antiperovskite", {"Na": 2.9, "Mg": 0.05, "O": 1, "Cl": 1})
    assert p.pairs_of(mg, estimate(), "m") == []


def test_page_holds_every_contrast_and_pair(tmp_path):
    out = tmp_path / "validation.md"
    text = r.page(
        [synthetic_campaign(24)], out, remarks="A remark.", softening="A table.", command="python report.py x"
    )
    for contrast in c.CONTRASTS:
        assert contrast.title in text
    assert "python report.py x" in text
    assert "## Softening" in text
    assert text.rstrip().endswith("A remark.")
    figure = tmp_path / "assets" / "validation-parity.svg"
    assert "(assets/validation-parity.svg)" in text
    assert "published log10" in figure.read_text()
    first = figure.read_bytes()
    r.page([synthetic_campaign(24)], out, remarks="", softening="", command="")
    assert figure.read_bytes() == first, "equal pairs, equal figure"


def test_page_of_nothing_says_so(tmp_path):
    from ionsieve.report import CampaignResults

    ranking = synthetic_campaign(4).ranking
    text = r.page(
        [CampaignResults(name="empty", ranking=ranking)], tmp_path / "v.md", remarks="", softening="", command=""
    )
    assert "0 runs of 0 of 0 candidates" in text
    assert all(contrast.title in text.split("Not run: ")[1] for contrast in c.CONTRASTS)


def test_a_side_that_melted_is_no_contrast_that_was_not_run():
    melted = candidate("Na2.5Sr0.25OCl", "antiperovskite", {"Na": 2.5, "Sr": 0.25, "O": 1, "Cl": 1})
    assert r.lost_sides(c.CONTRASTS[0], {"x": melted}, {"x": r.Outcome.MELTED}) == ["Na2.5Sr0.25OCl melted"]
    assert r.lost_sides(c.CONTRASTS[4], {"x": melted}, {"x": r.Outcome.MELTED}) == []
    table = "\n".join(r.contrasts_table([], {"x": melted}, {"x": r.Outcome.MELTED}))
    assert "| Na2.5Sr0.25OCl melted |" in table
    assert c.CONTRASTS[0].title not in table.split("Not run: ")[1]
