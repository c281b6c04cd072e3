"""``ionsieve report``: the page of a results folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(rich_help_panel="Results")
    def report(
        folder: Annotated[Path, typer.Argument(help="Results folder of a campaign, finished or running.")],
        out: Annotated[
            Path | None, typer.Option("--out", "-o", help="File to write; report.html in the folder if not given.")
        ] = None,
        figures: Annotated[
            Path | None,
            typer.Option("--figures", help="Also write every figure as SVG, PNG and PDF with its data to this folder."),
        ] = None,
    ) -> None:
        """Write the report: one HTML file that opens offline."""
        from ionsieve.cli.targets import check_target
        from ionsieve.report import load_results, write_report

        if out is not None:
            check_target(out, "--out", folder=False)
        if figures is not None:
            check_target(figures, "--figures", folder=True)
        results = load_results(folder)
        path = write_report(results, out or folder / "report.html")
        typer.echo(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
        if figures is not None:
            from ionsieve.report import build_view
            from ionsieve.report.static import save_all

            written = save_all(build_view(results), figures)
            typer.echo(f"{figures}  {len(written)} files")
