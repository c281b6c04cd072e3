"""``ionsieve init``: write a commented campaign to start from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from ionsieve.errors import InputError

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(rich_help_panel="Campaigns")
    def init(
        path: Annotated[Path, typer.Argument(help="The YAML file to write.")] = Path("campaign.yaml"),
        like: Annotated[str, typer.Option(help="Name of the shipped campaign to start from.")] = "template",
    ) -> None:
        """Write a commented campaign to start from."""
        from ionsieve.campaign import find_campaign

        if path.exists():
            raise InputError("this file exists", where=str(path), remedy="name another file, or move this one away")
        if not path.parent.is_dir():
            raise InputError("the folder does not exist", where=str(path.parent), remedy=f"mkdir -p {path.parent}")
        text = find_campaign(like).read_text(encoding="utf-8")
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-.") or "campaign"
        text = re.sub(r"^name: \S+", f"name: {stem}", text, count=1, flags=re.MULTILINE)
        from ionsieve.store.folder import write_file

        write_file(path, text)
        typer.echo(f"wrote {path}\nnext: edit it, then  ionsieve validate {path}")
