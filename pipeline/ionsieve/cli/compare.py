"""``ionsieve compare``: two results folders side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(rich_help_panel="Results")
    def compare(
        folder_a: Annotated[Path, typer.Argument(help="Results folder A.")],
        folder_b: Annotated[Path, typer.Argument(help="Results folder B, for example of another potential.")],
        csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of the table.")] = False,
        out: Annotated[Path | None, typer.Option("--out", "-o", help="Also write the comparison as HTML.")] = None,
    ) -> None:
        """Compare ranks and conductivities of two campaigns."""
        from ionsieve.cli.targets import check_target
        from ionsieve.report import load_results
        from ionsieve.report.compare import compare_campaigns, comparison_csv, comparison_html

        if out is not None:
            check_target(out, "--out", folder=False)
        comparison = compare_campaigns(load_results(folder_a), load_results(folder_b))
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            from ionsieve.store.folder import write_file

            write_file(out, comparison_html(comparison))
        if csv:
            typer.echo(comparison_csv(comparison), nl=False)
            return
        from rich import box
        from rich.table import Table

        from ionsieve.cli.table import console, interval_of, value_of

        terminal = console()
        terminal.print(f"A {comparison.name_a} ({folder_a})   B {comparison.name_b} ({folder_b})", highlight=False)
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        table.add_column("candidate", overflow="fold")
        for name in ("rank A", "rank B", "σ A\nS/cm", "σ B\nS/cm", "decades\nB - A"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in comparison.rows:
            cells = [row.formula or row.candidate_id]
            cells += [str(s.rank or s.section) if s else "absent" for s in (row.a, row.b)]
            cells += [
                f"{value_of(s.conductivity)}\n{interval_of(s.conductivity)}".strip() if s else "-"
                for s in (row.a, row.b)
            ]
            table.add_row(*cells, f"{row.decades:+.2f}" if row.decades is not None else "-")
        terminal.print(table)
        terminal.print(comparison.told, highlight=False)
