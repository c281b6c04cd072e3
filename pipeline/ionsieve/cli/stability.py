"""``ionsieve stability``: elastic moduli and energies above competing phases of the winners."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(rich_help_panel="Results")
    def stability(
        folder: Annotated[Path, typer.Argument(help="Results folder of a campaign, finished or running.")],
        top: Annotated[int | None, typer.Option(min=1, help="The first so many (default: the ranking's k).")] = None,
        candidate: Annotated[list[str] | None, typer.Option(help="Only this candidate; may be repeated.")] = None,
        elastic: Annotated[bool, typer.Option("--elastic/--no-elastic", help="Also the elastic moduli.")] = True,
    ) -> None:
        """Compute stability columns of the winners with the campaign's potential; the report shows them."""
        from ionsieve.campaign import Campaign
        from ionsieve.potentials import load
        from ionsieve.report import load_results
        from ionsieve.report.exports.select import choose
        from ionsieve.report.stability import FILE, stability_rows, to_csv
        from ionsieve.store.folder import write_file

        results = load_results(folder)
        named = tuple(candidate or ())
        chosen = choose(results, top=None if named else top or results.ranking.top_k, candidates=named)
        calculator = load(Campaign.model_validate(results.campaign).potential).as_ase()
        rows = stability_rows(chosen, calculator, elastic=elastic, tell=lambda line: typer.echo(line, err=True))
        write_file(folder / FILE, to_csv(rows))
        typer.echo(to_csv(rows), nl=False)
        typer.echo(str(folder / FILE))
