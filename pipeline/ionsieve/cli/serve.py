"""``ionsieve serve``: the live page of a running campaign."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(rich_help_panel="Results")
    def serve(
        folder: Annotated[Path, typer.Argument(help="Results folder of a campaign, finished or running.")],
        port: Annotated[
            int, typer.Option("--port", min=0, max=65535, help="Port on this machine; 0: any free.")
        ] = 8600,
    ) -> None:
        """Show the report of a running campaign on this machine; it renews itself."""
        from ionsieve.report.serve import LivePage, make_server

        page = LivePage(folder)
        page.page()  # a folder that holds no campaign is an error now, not in the browser
        with make_server(page, port) as server:
            host, actual = server.server_address[:2]
            typer.echo(f"http://{host!s}:{actual}  (Ctrl-C ends)")
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                typer.echo("ended")
