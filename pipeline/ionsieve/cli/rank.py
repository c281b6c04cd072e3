"""``ionsieve rank``: print the table of a results folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(rich_help_panel="Results")
    def rank(
        folder: Annotated[Path, typer.Argument(help="Results folder of a campaign, finished or running.")],
        csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of the table.")] = False,
        json: Annotated[bool, typer.Option("--json", help="Print the ranking record as JSON.")] = False,
    ) -> None:
        """Rank what is known so far and print the table."""
        from ionsieve.cli.table import print_ranking
        from ionsieve.ranking import to_csv
        from ionsieve.report import load_results

        ranking = load_results(folder).ranking
        if json:
            typer.echo(ranking.to_json(), nl=False)
        elif csv:
            typer.echo(to_csv(ranking), nl=False)
        else:
            print_ranking(ranking)
