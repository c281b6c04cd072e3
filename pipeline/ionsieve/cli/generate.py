"""``ionsieve generate``: write the structures of a campaign without running any dynamics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ionsieve.generate import GenerateSettings
    from ionsieve.records import Candidate, GeneratedCandidate

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(rich_help_panel="Structures")
    def generate(
        campaign: Annotated[str, typer.Argument(help="Campaign YAML, or the name of a shipped one.")],
        out: Annotated[Path, typer.Option("--out", "-o", help="Folder for structures, records and table.")],
        processes: Annotated[int, typer.Option("--processes", "-j", min=1, help="Processes that order cells.")] = 1,
        dry: Annotated[
            bool, typer.Option("--dry", help="Only the table of candidates, nothing ordered or written.")
        ] = False,
    ) -> int:
        """Make the doped supercells of a campaign: CIF, POSCAR, extxyz, records and a table."""
        import functools
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        from contextlib import ExitStack

        from rich.console import Console
        from rich.progress import track

        from ionsieve.campaign import load_campaign, located
        from ionsieve.generate import expand, export
        from ionsieve.generate.exporting import export_folder
        from ionsieve.records import GeneratedCandidate

        export_folder(out)
        plan = load_campaign(campaign)
        with located(campaign):
            candidates = expand(plan.generate)
        if dry:
            return _table([GeneratedCandidate(candidate=c) for c in candidates])
        console = Console(stderr=True)
        work = functools.partial(_make, settings=plan.generate, seed=plan.seed)
        with ExitStack() as stack:
            steps: Iterable[GeneratedCandidate] = map(work, candidates)
            if processes > 1:
                context = multiprocessing.get_context("spawn")
                pool = stack.enter_context(ProcessPoolExecutor(processes, mp_context=context))
                steps = pool.map(work, candidates, chunksize=4)
            quiet = not console.is_terminal
            made = list(track(steps, total=len(candidates), description="generating", console=console, disable=quiet))
        path = export(made, out)
        code = _table(made)
        typer.echo(f"wrote {sum(len(m.configurations) for m in made)} structures and {path}")
        return code


def _make(candidate: Candidate, *, settings: GenerateSettings, seed: int) -> GeneratedCandidate:
    """Order one candidate; runs in a worker process."""
    from ionsieve.generate import configure
    from ionsieve.records import GeneratedCandidate

    done, configurations = configure(candidate, settings, seed=seed)
    return GeneratedCandidate(candidate=done, configurations=configurations)


def _table(made: list[GeneratedCandidate]) -> int:
    """Print the table; return the exit code: 3 when candidates were refused."""
    from rich.table import Table

    from ionsieve.cli.table import console as make_console
    from ionsieve.verdicts import Outcome

    console = make_console()
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
    return 3 if refused else 0
