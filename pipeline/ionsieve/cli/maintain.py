"""``ionsieve resume``, ``retry``, ``cancel``, ``clean``, ``verify``: care of a results folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ionsieve.cli.run import Cluster, Dashboard, Progress, ProgressMode, Scheduler, Workers, WriteReport

__all__ = ["register"]

Folder = Annotated[Path, typer.Argument(help="Results folder of a campaign.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @app.command(rich_help_panel="Campaigns")
    def resume(
        folder: Folder,
        scheduler: Scheduler = None,
        cluster: Cluster = None,
        workers: Workers = None,
        progress: Progress = ProgressMode.AUTO,
        dashboard: Dashboard = None,
        report: WriteReport = True,
    ) -> None:
        """Go on where a run stopped; only what is missing is computed."""
        from ionsieve.cli.results import finish
        from ionsieve.screening import resume_campaign

        outcome = resume_campaign(
            folder,
            scheduler=scheduler,
            cluster=cluster,
            n_workers=workers,
            progress=progress.value,
            dashboard=dashboard,
        )
        raise typer.Exit(finish(folder, outcome, report=report))

    @app.command(rich_help_panel="Campaigns")
    def retry(
        folder: Folder,
        failed: Annotated[bool, typer.Option("--failed", help="Release work that was set aside.")] = False,
        chemistry: Annotated[
            bool,
            typer.Option("--chemistry", help="Also forget runs that melted or exploded."),
        ] = False,
    ) -> None:
        """Give failed work another chance: at the next resume, or at the end of the run that is on."""
        from ionsieve.errors import InputError
        from ionsieve.screening.maintenance import retry as release

        if not failed and not chemistry:
            raise InputError("say what to try again", expected="--failed, --chemistry or both")
        done = release(folder, chemistry=chemistry)
        if done.noted:
            typer.echo("noted: the run that works on this folder tries it again when it has done the rest")
            return
        for row in done.rows[:20]:
            typer.echo(f"{row.stage} {row.label}: {row.reason or row.outcome}")
        if done.rows:
            typer.echo(f"{len(done.rows)} released; `ionsieve resume {folder}` works on them")
        else:
            typer.echo("nothing to release: no work " + ("failed" if chemistry else "was set aside"))

    @app.command(rich_help_panel="Campaigns")
    def cancel(folder: Folder) -> None:
        """End the run that works on a folder; nothing finished is lost."""
        from ionsieve.screening.maintenance import cancel as end

        typer.echo(end(folder))

    @app.command(rich_help_panel="Campaigns")
    def clean(
        folder: Folder,
        checkpoints: Annotated[
            bool, typer.Option("--checkpoints", help="Also checkpoints of unfinished work: it starts anew.")
        ] = False,
        outdated: Annotated[
            bool,
            typer.Option("--outdated", help="Also records that this version cannot read."),
        ] = False,
    ) -> None:
        """Drop leftovers: scratch of finished work, interrupted writes, damaged files that were set aside."""
        from ionsieve.screening.maintenance import clean as sweep

        done = sweep(folder, checkpoints=checkpoints, outdated=outdated)
        typer.echo(
            f"freed {done.bytes_freed / 1e6:.1f} MB: {done.scratch} scratch folders, "
            f"{done.temporary} interrupted writes, {done.damaged} damaged files, {done.outdated} outdated records"
        )

    @app.command(rich_help_panel="Campaigns")
    def verify(
        folder: Folder,
        mend: Annotated[bool, typer.Option("--mend", help="Set damaged results aside, to be computed again.")] = False,
    ) -> None:
        """Check the digest of every result."""
        from ionsieve.screening.maintenance import verify as check

        bad = check(folder, mend=mend)
        for name, what in bad:
            typer.echo(f"{name}: {what}")
        typer.echo("every digest agrees" if not bad else f"{len(bad)} damaged")
        raise typer.Exit(1 if bad and not mend else 0)
