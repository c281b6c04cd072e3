"""The reference pages that the site makes from the code are complete."""

import sys
from pathlib import Path

from ionsieve.cli.app import COMMANDS

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "docs" / "assets"))

from reference_pages import campaign_page, cli_page  # noqa: E402


def rows(page):
    return [line.split(" | ") for line in page.splitlines() if line.startswith("| ") and "---" not in line]


def test_every_command_is_described():
    page = cli_page()
    grouped = {"maintain"}  # several commands in one file
    for name in set(COMMANDS) - grouped:
        assert f"\n## {name}" in page, name
    assert "## resume" in page
    assert all(row[-1].strip(" |") for row in rows(page) if row[0] != "|"), "an option without a word"


def test_every_key_of_a_campaign_has_a_meaning():
    page = campaign_page()
    silent = [row[0] for row in rows(page) if not row[-1].strip(" |")]
    assert not silent, f"settings without a description: {silent}"
    for key in ("recipes", "temperatures_K", "fmax_eV_per_A", "target_temperature_K", "sha256", "drop_probability"):
        assert f"| `{key}` |" in page
    assert "**needed**" in page
