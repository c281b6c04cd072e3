"""The terminal table: readable at 80 and at 120 columns, with the answer and the trust in words at its end."""

import io

import pytest
from rich.console import Console

from ionsieve.cli import table
from ionsieve.cli.table import number, print_ranking
from ionsieve.testing.synthetic_campaign import synthetic_campaign


@pytest.fixture(scope="module")
def ranking():
    return synthetic_campaign(24).ranking


def printed(ranking, width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    stream = io.StringIO()
    monkeypatch.setattr(table, "console", lambda: Console(file=stream, width=width))
    print_ranking(ranking)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 120, 150])
def test_each_ranked_candidate_has_one_line_within_the_width(ranking, width, monkeypatch):
    lines = printed(ranking, width, monkeypatch)
    assert max(map(len, lines)) <= width
    for row in ranking.rows:
        found = [line for line in lines if f" {row.formula} " in f" {line} " and row.section == "ranked"]
        if row.section == "ranked":
            assert any(
                number(row.conductivity.value) in line and number(row.conductivity.low68) in line for line in found
            )


def test_the_end_says_who_wins_and_how_far_to_trust_it(ranking, monkeypatch):
    text = "\n".join(printed(ranking, 120, monkeypatch))
    head, _, end = text.partition("What was found")
    assert f"{ranking.rows[0].formula} conducts best of the 16 ranked candidates" in end
    assert "How far to trust this table" in end
    assert " ".join(end.split()).endswith(" ".join(ranking.trust.split()))
    assert head.index("Failed, with the reason") < head.index("Only bounded") < head.index("Ranked (16)")
    for row in ranking.rows:
        if row.section in ("failed", "sieved"):
            assert row.formula in head
            assert row.reason.split(";")[0][:30] in head


def test_flags_are_letters_and_what_all_carry_is_said_once(ranking, monkeypatch):
    lines = printed(ranking, 120, monkeypatch)
    assert any(line.startswith("Ranked (16); all carry the flags") for line in lines)
    mismatch = next(row for row in ranking.rows if "radius_mismatch" in row.flags and row.section == "ranked")
    (row,) = (line for line in lines if mismatch.formula in line)
    letter = next(line.split()[0] for line in lines if "radius_mismatch:" in line)
    assert row.split()[-1] == letter


def test_numbers_are_short():
    assert [number(v) for v in (None, 2.71e-3, 3.0, 0.377, 44.2, 1e-12)] == [
        "-",
        "2.7e-3",
        "3.0",
        "0.38",
        "44",
        "1.0e-12",
    ]
    assert number(0.261, ".2f") == "0.26"
