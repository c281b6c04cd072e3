"""The ranked table on a terminal."""

from __future__ import annotations

from ionsieve.records import Estimate, Ranking
from ionsieve.verdicts import Verdict

__all__ = ["interval", "print_ranking"]

SECTIONS = {
    "ranked": "Ranked",
    "bounded": "Only bounded: too few jumps were seen",
    "failed": "Failed, with the reason",
    "sieved": "Sieved out before molecular dynamics",
}


def interval(estimate: Estimate, form: str = ".1e") -> str:
    """Return value and 68 % interval, a limit, or a dash."""
    if estimate.is_value:
        return f"{estimate.value:{form}} [{estimate.low68:{form}}, {estimate.high68:{form}}]"
    if estimate.kind is Verdict.UPPER_LIMIT:
        return f"< {estimate.value:{form}}"
    return "-"


def print_ranking(ranking: Ranking) -> None:
    """Print the sections of a ranking, the flags in words, and how far to trust them."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
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
        console.print(table)
    flags = sorted({flag for row in ranking.rows for flag in row.flags})
    if flags:
        console.print("Flags", style="bold")
        for flag in flags:
            console.print(f"  {flag.value}: {flag.sentence}", highlight=False)
    if ranking.trust:
        console.print("\nHow far to trust this table", style="bold")
        console.print(ranking.trust, highlight=False)
