"""The ranked table on a terminal: what ended without a number first, the ranking and how far to trust it last.

A terminal shows the end of what is printed, so the answer stands there. Flags are letters in the table, explained
under it; those that every row of a section carries stand in its title.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ionsieve.records import Estimate, RankedCandidate, Ranking
from ionsieve.verdicts import Flag, Verdict

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["console", "interval_of", "number", "print_ranking", "value_of"]

#: Width of tables that go to a file or a pipe; a terminal has its own.
FILE_WIDTH = 150
#: From these widths on the table has bottlenecks and the chances to reach the targets, and intervals of Ea.
WIDE, WIDEST = 110, 132

#: In the order in which they are printed.
SECTIONS = {
    "sieved": "Sieved out before molecular dynamics",
    "failed": "Failed, with the reason",
    "waiting": "Not measured yet",
    "excluded": "Outside the campaign's hard limits",
    "bounded": "Only bounded: too few jumps were seen",
    "ranked": "Ranked",
}
#: Sections whose rows have a number or a limit.
NUMBERS = ("ranked", "bounded", "excluded")
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def console() -> Console:
    """Return a console that does not fold tables to 80 columns when the output is no terminal."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=FILE_WIDTH)


def number(value: float | None, form: str = ".1e") -> str:
    """Return a number, ``2.7e-3`` without the exponent's zeros, ``0.38`` and ``1.1`` without an exponent, or a dash."""
    if value is None:
        return "-"
    if form.endswith("e") and 0.1 <= abs(value) < 100:
        return f"{value:.{max(0, int(form[1:-1]) - math.floor(math.log10(abs(value))))}f}"
    mantissa, mark, exponent = f"{value:{form}}".partition("e")
    return f"{mantissa}e{int(exponent)}" if mark else mantissa


def value_of(estimate: Estimate | None, form: str = ".1e") -> str:
    """Return a value, a limit as ``< 2.7e-3``, or a dash."""
    if estimate is None or estimate.value is None:
        return "-"
    sign = "< " if estimate.kind is Verdict.UPPER_LIMIT else ""
    return sign + number(estimate.value, form)


def interval_of(estimate: Estimate | None, form: str = ".1e") -> str:
    """Return the 68 % interval of a value; nothing for a limit."""
    if estimate is None or not estimate.is_value:
        return ""
    return f"{number(estimate.low68, form)} to {number(estimate.high68, form)}"


def _chance(probability: float | None) -> str:
    if probability is None:
        return "-"
    return "< 1 %" if probability < 0.01 else "> 99 %" if probability > 0.99 else f"{100 * probability:.0f} %"


def print_ranking(ranking: Ranking) -> None:
    """Print the sections of a ranking, the flags in words, who wins, and how far to trust it."""
    from rich.table import Table

    from ionsieve.report.view import answer

    out = console()
    letters = _letters(ranking.rows)
    for section, title in SECTIONS.items():
        rows = [row for row in ranking.rows if row.section == section]
        if not rows:
            continue
        common = _common(rows, letters)
        told = f"; all carry the flags {common}" if common and len(rows) > 1 else ""
        out.print(f"{title} ({len(rows)}){told}", style="bold", highlight=False)
        numbers = section in NUMBERS
        out.print(_numbers(ranking, rows, letters, width=out.width) if numbers else _reasons(rows))
        if section == "bounded":  # no jump and too few jumps are different findings
            for row in rows:
                out.print(f"  {row.formula}: {row.reason}", highlight=False)
        out.print()
    if letters:
        out.print("Flags", style="bold")
        grid = Table.grid(padding=(0, 1, 0, 0))
        for flag, letter in letters.items():
            grid.add_row(f" {letter}", f"{flag.value}: {flag.sentence}")
        out.print(grid)
        out.print()
    out.print("What was found", style="bold")
    for sentence in answer(ranking):
        out.print(sentence, highlight=False)
    if ranking.trust:
        out.print("\nHow far to trust this table", style="bold")
        out.print(ranking.trust, highlight=False)


def _letters(rows: Sequence[RankedCandidate]) -> dict[Flag, str]:
    present = {flag for row in rows if row.section in NUMBERS for flag in row.flags}
    return dict(zip((flag for flag in Flag if flag in present), _LETTERS, strict=False))


def _common(rows: Sequence[RankedCandidate], letters: dict[Flag, str]) -> str:
    """Return the letters of the flags that every one of several rows carries."""
    shared = set.intersection(*(set(row.flags) for row in rows)) if len(rows) > 1 else set()
    return "".join(letter for flag, letter in letters.items() if flag in shared)


def _numbers(ranking: Ranking, rows: Sequence[RankedCandidate], letters: dict[Flag, str], *, width: int) -> Table:
    from rich import box
    from rich.table import Table

    common = _common(rows, letters)
    wide, widest = width >= WIDE, width >= WIDEST
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, expand=False)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("candidate", overflow="fold", min_width=16)
    table.add_column(f"σ({ranking.target_temperature_K:g} K)\nS/cm", justify="right", no_wrap=True)
    table.add_column("68 % interval", no_wrap=True)
    table.add_column("Ea\neV", justify="right", no_wrap=True)
    if widest:
        table.add_column("68 %", no_wrap=True)
    if wide:
        table.add_column("bottleneck\nÅ", justify="right", no_wrap=True)
        for target in ranking.targets_S_per_cm:
            table.add_column(f"P(σ >\n{number(target, '.0e')})", justify="right", no_wrap=True)
    table.add_column(f"P(top\n{ranking.top_k})", justify="right", no_wrap=True)
    table.add_column("flags", no_wrap=True)
    for row in rows:
        cells = [
            str(row.rank or "-"), row.formula, value_of(row.conductivity), interval_of(row.conductivity),
            value_of(row.activation_energy, ".2f"),
        ]  # fmt: skip
        if widest:
            cells.append(interval_of(row.activation_energy, ".2f"))
        if wide:
            cells.append(value_of(row.bottleneck, ".2f"))
            cells += [_chance(row.probability_targets.get(f"{t:g}")) for t in ranking.targets_S_per_cm]
        flags = "".join(letter for flag, letter in letters.items() if flag in row.flags and letter not in common)
        table.add_row(*cells, _chance(row.probability_top_k), flags)
    return table


def _reasons(rows: Sequence[RankedCandidate]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, expand=False)
    table.add_column("candidate", overflow="fold", max_width=28)
    table.add_column("outcome", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for row in rows:
        ended = row.section != "waiting"
        outcome = row.outcome.value.replace("_", " ") if ended or row.outcome.value != "completed" else "waiting"
        table.add_row(row.formula or row.candidate_id, outcome, row.reason or row.outcome.sentence)
    return table
