"""The ranked table on a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ionsieve.records import Estimate, Ranking
from ionsieve.verdicts import Verdict

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "interval", "print_ranking"]

#: Width of tables that go to a file or a pipe; a terminal has its own.
FILE_WIDTH = 150

SECTIONS = {
    "ranked": "Ranked",
    "bounded": "Only bounded: too few jumps were seen",
    "excluded": "Outside the campaign's hard limits",
    "waiting": "Not measured yet",
    "failed": "Failed, with the reason",
    "sieved": "Sieved out before molecular dynamics",
}


def console() -> Console:
    """Return a console that does not fold tables to 80 columns when the output is no terminal."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=FILE_WIDTH)


def interval(estimate: Estimate, form: str = ".1e") -> str:
    """Return value and 68 % interval, a limit, or a dash."""
    if estimate.is_value:
        return f"{estimate.value:{form}} [{estimate.low68:{form}}, {estimate.high68:{form}}]"
    if estimate.kind is Verdict.UPPER_LIMIT:
        return f"< {estimate.value:{form}}"
    return "-"


def print_ranking(ranking: Ranking) -> None:
    """Print the sections of a ranking, the flags in words, and how far to trust them."""
    from rich.table import Table

    out = console()
    temperature = f"{ranking.target_temperature_K:g} K"
    for section, title in SECTIONS.items():
        rows = [row for row in ranking.rows if row.section == section]
        if not rows:
            continue
        table = Table(title=f"{title} ({len(rows)})", title_justify="left", expand=False)
        if section in ("ranked", "bounded"):
            table.add_column("#", justify="right")
            table.add_column("candidate", overflow="fold")
            table.add_column(f"σ({temperature}) S/cm [68 %]")
            table.add_column("Ea eV [68 %]")
            table.add_column(f"P(top {ranking.top_k})", justify="right")
            table.add_column("bottleneck Å", justify="right")
            table.add_column("flags", overflow="fold")
            for row in rows:
                table.add_row(
                    str(row.rank or "-"),
                    row.formula,
                    interval(row.conductivity),
                    interval(row.activation_energy, ".2f"),
                    f"{row.probability_top_k:.2f}" if row.probability_top_k is not None else "-",
                    interval(row.bottleneck, ".2f").split(" ")[0] if row.bottleneck else "-",
                    ", ".join(flag.value for flag in row.flags),
                )
        else:
            table.add_column("candidate", overflow="fold")
            table.add_column("reason", overflow="fold")
            for row in rows:
                table.add_row(row.formula or row.candidate_id, row.reason or row.outcome.sentence)
        out.print(table)
    flags = sorted({flag for row in ranking.rows for flag in row.flags})
    if flags:
        out.print("Flags", style="bold")
        for flag in flags:
            out.print(f"  {flag.value}: {flag.sentence}", highlight=False)
    if ranking.trust:
        out.print("\nHow far to trust this table", style="bold")
        out.print(ranking.trust, highlight=False)
