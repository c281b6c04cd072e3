"""``ionsieve submit``: put a campaign into a batch system, with the scheduler in a job of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(rich_help_panel="Campaigns")
    def submit(
        campaign: Annotated[str, typer.Argument(help="Campaign file, or the name of a shipped one.")],
        cluster: Annotated[
            str, typer.Option("--cluster", help="Cluster profile: a name of workflows/clusters, or a YAML file.")
        ],
        out: Annotated[Path | None, typer.Option("--out", "-o", help="Results folder (default: runs/NAME).")] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Print every script and submit nothing.")] = False,
    ) -> None:
        """Submit a campaign: a job that holds the scheduler, which submits the workers' jobs."""
        from ionsieve.campaign import find_campaign, load_campaign, located
        from ionsieve.screening.submission import submit_campaign

        file = find_campaign(campaign)
        asked = load_campaign(file)
        folder = out if out is not None else Path("runs") / asked.name
        with located(file):
            done = submit_campaign(asked, folder, cluster, source=file.read_text(encoding="utf-8"), dry_run=dry_run)
        if dry_run:
            for name, script in done.scripts.items():
                typer.secho(f"# --- {name} {'-' * max(0, 60 - len(name))}", bold=True)
                typer.echo(script)
            if done.note:
                typer.secho(done.note, fg=typer.colors.YELLOW, err=True)
            return
        typer.echo(f"job {done.job} holds the campaign; results go to {done.folder}")
        typer.echo(f"watch it:  ionsieve status --watch {done.folder}")
        typer.echo(f"end it:    ionsieve cancel {done.folder}")
