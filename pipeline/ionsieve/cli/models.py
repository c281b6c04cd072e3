"""``ionsieve models``: the potentials that are known by name, and whether they are here."""

from __future__ import annotations

from typing import Annotated, Any

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(rich_help_panel="Set-up")
    def models(
        elements: Annotated[
            str, typer.Option("--elements", "-e", help="Only models that know these elements, for example Li,P,S.")
        ] = "",
        verify: Annotated[
            bool, typer.Option("--verify", help="Read every present file and compare its SHA-256 with the known one.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        """List the potentials known by name: licence, elements, size, presence, SHA-256."""
        raise typer.Exit(_models(elements, verify, as_json))


def _models(elements: str, verify: bool, as_json: bool) -> int:
    from ionsieve.potentials.models import catalogue, digest

    wanted = _numbers(elements)
    rows: list[dict[str, Any]] = []
    for card in catalogue():
        if wanted - card.elements and card.elements:
            continue
        found = digest(card.path) if verify and card.path is not None and card.present else None
        rows.append(
            {
                "name": card.name,
                "family": card.family,
                "licence": card.licence,
                "elements": len(card.elements) or None,
                "size_MB": round(card.size_bytes / 1e6, 1) if card.size_bytes is not None else None,
                "present": card.present,
                "sha256": found or card.sha256,
                "verified": None if found is None or card.sha256 is None else found == card.sha256,
                "path": str(card.path) if card.path is not None else None,
                "cite": list(card.cite),
                "note": card.note,
            }
        )
    if as_json:
        import json

        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        _print(rows)
    return 2 if any(row["verified"] is False for row in rows) else 0


def _numbers(elements: str) -> set[int]:
    from ionsieve.errors import InputError, nearest
    from ionsieve.potentials.symbols import SYMBOLS

    numbers = set()
    for word in elements.replace(",", " ").split():
        if word not in SYMBOLS[1:]:
            close = nearest(word, SYMBOLS[1:])
            raise InputError(
                "no such element", key="--elements", found=word, remedy=f"did you mean {close}?" if close else ""
            )
        numbers.add(SYMBOLS.index(word))
    return numbers


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    wide = console.width >= 120
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("name", no_wrap=True)
    table.add_column("licence", no_wrap=True)
    table.add_column("elements", justify="right")
    table.add_column("MB", justify="right")
    table.add_column("here", justify="center")
    table.add_column("SHA-256", no_wrap=True)
    if wide:
        table.add_column("what it is", overflow="fold")
    marks = {True: " ✓", False: " ✗ differs", None: ""}
    for row in rows:
        unknown = "built in" if row["family"] == "pair" else "pin or trust"
        cells = [
            row["name"],
            row["licence"],
            str(row["elements"] or "-"),
            "-" if row["size_MB"] is None else str(row["size_MB"]),
            "yes" if row["present"] else "no",
            f"{row['sha256'][:12]}…{marks[row['verified']]}" if row["sha256"] else unknown,
        ]
        table.add_row(*cells, *([row["note"]] if wide else []))
    console.print(table)
    console.print(
        "\nAnother MACE, CHGNet or SevenNet file: `name: mace` with `path`, and `sha256` or `trust: true`.\n"
        "Any ASE calculator: `name: ase:module:factory`.\n"
        "Model files are pickles, which run code: an unknown one is refused until pinned or trusted.",
        highlight=False,
    )
