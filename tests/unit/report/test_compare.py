"""Two campaigns side by side: rank correlation and shift against numbers by hand."""

import csv
import io
import math
from dataclasses import replace

import pytest
from scipy.stats import kendalltau

from ionsieve.report.compare import compare_campaigns, comparison_csv, comparison_figure, comparison_html
from ionsieve.testing.synthetic_campaign import synthetic_campaign


def shifted(results, factor):
    rows = []
    for row in results.ranking.rows:
        e = row.conductivity
        if e.is_value:
            scaled = {k: getattr(e, k) * factor for k in ("value", "low68", "high68", "low95", "high95")}
            row = row.model_copy(update={"conductivity": e.model_copy(update=scaled)})
        rows.append(row)
    return replace(results, ranking=results.ranking.model_copy(update={"rows": tuple(rows)}))


def test_a_campaign_agrees_with_itself(results):
    found = compare_campaigns(results, results)
    assert found.tau == pytest.approx(1)
    assert (found.shift_decades, found.spread_decades) == (0, 0)
    assert found.common_top == found.top_k
    assert found.n_both == sum(r.rank is not None for r in results.ranking.rows)


def test_a_shift_is_told_in_decades(results):
    found = compare_campaigns(results, shifted(results, 10**0.5))
    assert found.shift_decades == pytest.approx(0.5)
    assert found.spread_decades == pytest.approx(0, abs=1e-9)
    assert "B lies 0.50 decades above A" in found.told


def test_another_campaign_is_compared_by_candidate(results):
    other = synthetic_campaign(20, seed=2)
    found = compare_campaigns(results, other)
    ranks = {r.candidate_id: r.rank for r in other.ranking.rows if r.rank is not None}
    pairs = [(r.rank, ranks[r.candidate_id]) for r in results.ranking.rows if r.rank and r.candidate_id in ranks]
    assert found.n_both == len(pairs)
    assert found.tau == pytest.approx(kendalltau(*zip(*pairs, strict=True)).statistic)
    rows = list(csv.DictReader(io.StringIO(comparison_csv(found))))
    assert len(rows) == len({r.candidate_id for c in (results, other) for r in c.ranking.rows})
    one = next(r for r in rows if r["log10_B_over_A"])
    expected = math.log10(float(one["sigma_S_per_cm_B"]) / float(one["sigma_S_per_cm_A"]))
    assert float(one["log10_B_over_A"]) == pytest.approx(expected)
    assert comparison_figure(found) is not None
    assert "absent" in comparison_html(found)


def test_campaigns_of_one_name_are_told_apart_by_their_folders(results):
    found = compare_campaigns(replace(results, folder="runs/chgnet"), replace(results, folder="runs/mace"))
    assert (found.name_a, found.name_b) == ("chgnet", "mace")


def test_nothing_in_common_is_said(results):
    nobody = replace(results, ranking=results.ranking.model_copy(update={"rows": ()}))
    found = compare_campaigns(results, nobody)
    assert "nothing can be said" in found.told
    assert comparison_figure(found) is None
