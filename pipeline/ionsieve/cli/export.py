"""``ionsieve export``: tables, structures, inputs for other codes, archives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(rich_help_panel="Results")
    def export(
        folder: Annotated[Path, typer.Argument(help="Results folder of a campaign, finished or running.")],
        to: Annotated[
            str,
            typer.Option(
                help="csv, json, parquet, sqlite, cif, poscar, entries, ase, vasp, qe, lammps, ro-crate, eln; or list."
            ),
        ] = "list",
        out: Annotated[
            Path | None, typer.Option("--out", "-o", help="File or folder to write (default: FOLDER/export/...).")
        ] = None,
        top: Annotated[int | None, typer.Option(min=1, help="Only the first so many ranked candidates.")] = None,
        candidate: Annotated[list[str] | None, typer.Option(help="Only this candidate; may be repeated.")] = None,
    ) -> None:
        """Export results; without --to, list the formats."""
        from ionsieve.report.exports import EXPORTS
        from ionsieve.report.exports import export as write

        if to == "list":
            for name, one in EXPORTS.items():
                typer.echo(f"{name:<9}{one.meaning}" + (" (the winners)" if one.winners_only else ""))
            return
        from ionsieve.cli.targets import check_target
        from ionsieve.report import load_results

        target = EXPORTS[to].target if to in EXPORTS else to
        if out is not None and to in EXPORTS:
            check_target(out, "--out", folder=not Path(target).suffix)
        written = write(
            load_results(folder), to, out or folder / "export" / target, top=top, candidates=tuple(candidate or ())
        )
        for path in written[:20]:
            typer.echo(str(path))
        if len(written) > 20:
            typer.echo(f"... {len(written)} in all")
