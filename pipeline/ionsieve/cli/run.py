"""``ionsieve run``: run a campaign to its table and report, or go on where it stopped."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Cluster", "Dashboard", "Progress", "ProgressMode", "Scheduler", "Workers", "WriteReport", "register"]


class ProgressMode(StrEnum):
    """How progress is shown."""

    AUTO = "auto"
    LIVE = "live"
    PLAIN = "plain"
    JSON = "json"
    QUIET = "quiet"


Scheduler = Annotated[str | None, typer.Option(help="Address of a running Dask scheduler.")]
Cluster = Annotated[str | None, typer.Option(help="Cluster profile (see workflows/clusters).")]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Local worker processes (default: the cores); 0: in this process.")
]
Progress = Annotated[ProgressMode, typer.Option(help="How progress is shown.")]
Dashboard = Annotated[
    str | None, typer.Option(help="Where Dask's dashboard listens (default: this machine only, a free port).")
]
WriteReport = Annotated[bool, typer.Option("--report/--no-report", help="Write report.html at the end.")]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(rich_help_panel="Campaigns")
    def run(
        campaign: Annotated[str, typer.Argument(help="Campaign file, or the name of a shipped one.")],
        out: Annotated[Path | None, typer.Option("--out", "-o", help="Results folder (default: runs/NAME).")] = None,
        scheduler: Scheduler = None,
        cluster: Cluster = None,
        workers: Workers = None,
        progress: Progress = ProgressMode.AUTO,
        dashboard: Dashboard = None,
        amend: Annotated[
            bool, typer.Option("--amend", help="Put a changed campaign into its old folder; what both share is reused.")
        ] = False,
        report: WriteReport = True,
    ) -> None:
        """Run a campaign and print the ranked table. The same command resumes an interrupted run."""
        from ionsieve.campaign import find_campaign, load_campaign, located
        from ionsieve.cli.results import finish
        from ionsieve.screening import run_campaign

        file = find_campaign(campaign)
        asked = load_campaign(file)
        folder = out if out is not None else Path("runs") / asked.name
        with located(file):
            ended = run_campaign(
                asked,
                folder,
                source=file.read_text(encoding="utf-8"),
                scheduler=scheduler,
                cluster=cluster,
                n_workers=workers,
                progress=progress.value,
                amend=amend,
                dashboard=dashboard,
            )
        raise typer.Exit(finish(folder, ended, report=report))
