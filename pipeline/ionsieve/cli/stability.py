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
        expansion: Annotated[
            bool, typer.Option("--expansion", help="Also the thermal expansion, from NPT runs at 300 to 750 K.")
        ] = False,
        expansion_ps: Annotated[
            float, typer.Option("--expansion-ps", min=0.1, max=1000, help="Length of each of these runs, ps.")
        ] = 10.0,
    ) -> None:
        """Compute stability columns of the winners with the campaign's potential; report and ranking use them."""
        from ionsieve.campaign import Campaign
        from ionsieve.potentials import load
        from ionsieve.report import load_results
        from ionsieve.report.exports.select import choose
        from ionsieve.report.stability import FILE, merged, stability_rows, to_csv
        from ionsieve.store.folder import write_file

        def tell(line: str) -> None:
            typer.echo(line, err=True)

        results = load_results(folder)
        named = tuple(candidate or ())
        chosen = choose(results, top=None if named else top or results.ranking.top_k, candidates=named)
        campaign = Campaign.model_validate(results.campaign)
        potential = load(campaign.potential)
        rows = stability_rows(chosen, potential.as_ase(), elastic=elastic, tell=tell)
        if expansion:
            from ionsieve.report.expansion import expansion_rows

            found = expansion_rows(
                chosen, potential, campaign.dynamics, folder, length_ps=expansion_ps, seed=campaign.seed, tell=tell
            )
            rows = {name: {**row, **found.get(name, {})} for name, row in rows.items()}
        write_file(folder / FILE, to_csv(merged(folder / FILE, rows)))
        typer.echo(to_csv(rows), nl=False)
        typer.echo(str(folder / FILE))
