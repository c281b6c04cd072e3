"""``ionsieve generate``: write the structures of a campaign without running any dynamics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(rich_help_panel="Structures")
    def generate(
        campaign: Annotated[str, typer.Argument(help="Campaign YAML, or the name of a shipped one.")],
        out: Annotated[Path, typer.Option("--out", "-o", help="Folder for structures, records and table.")],
        dry: Annotated[
            bool, typer.Option("--dry", help="Only the table of candidates, nothing ordered or written.")
        ] = False,
    ) -> int:
        """Make the doped supercells of a campaign: CIF, POSCAR, extxyz, records and a table."""
        from rich.console import Console
        from rich.progress import track

        from ionsieve.campaign import load_campaign
        from ionsieve.generate import configure, expand, export
        from ionsieve.records import GeneratedCandidate

        plan = load_campaign(campaign)
        candidates = expand(plan.generate)
        if dry:
            _table([GeneratedCandidate(candidate=c) for c in candidates])
            return 0
        made = []
        console = Console(stderr=True)
        for candidate in track(candidates, description="generating", console=console, disable=not console.is_terminal):
            done, configurations = configure(candidate, plan.generate, seed=plan.seed)
            made.append(GeneratedCandidate(candidate=done, configurations=configurations))
        path = export(made, out)
        _table(made)
        typer.echo(f"wrote {sum(len(m.configurations) for m in made)} structures and {path}")
        return 0


def _table(made: list) -> None:  # type: ignore[type-arg]  # of GeneratedCandidate, imported where it is made
    from rich.console import Console
    from rich.table import Table

    from ionsieve.verdicts import Outcome

    console = Console()
    refused = [m.candidate for m in made if m.candidate.outcome is not Outcome.COMPLETED]
    table = Table(title=f"{len(made) - len(refused)} candidates", title_justify="left")
    table.add_column("candidate", overflow="fold", min_width=24)
    for column in ("formula", "atoms", "images Å", "error", "compensation", "cells", "flags"):
        table.add_column(column, overflow="fold")
    for item in made:
        c = item.candidate
        if c.outcome is not Outcome.COMPLETED:
            continue
        flags = dict.fromkeys(f.value for f in (*c.flags, *(f for k in item.configurations for f in k.flags)))
        table.add_row(
            c.candidate_id,
            c.realised_formula,
            str(c.n_atoms),
            f"{c.min_image_A:.1f}" if c.min_image_A else "-",
            f"{100 * c.composition_error:.2g} %" if c.composition_error is not None else "-",
            c.compensation,
            str(len(item.configurations)),
            ", ".join(flags),
        )
    console.print(table)
    if refused:
        console.print(f"\n{len(refused)} refused", style="bold")
        for c in refused:
            console.print(f"  {c.candidate_id}: {c.outcome.sentence}\n    {c.reason}", highlight=False)
