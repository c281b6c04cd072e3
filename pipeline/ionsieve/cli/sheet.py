"""``ionsieve sheet``: the synthesis sheets of the winners."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


_OPTIONS = {
    "batch_g": "--batch",
    "excess_wt_percent": "--excess",
    "purity_wt_percent": "--purity",
    "precursors": "--precursor",
}


def _numbers(pairs: list[str] | None, key: str) -> dict[str, float]:
    from ionsieve.errors import InputError

    found = {}
    for pair in pairs or []:
        name, _, text = pair.partition("=")
        try:
            found[name.strip()] = float(text)
        except ValueError:
            raise InputError(
                "a precursor and a number were expected", key=key, found=pair, expected="for example Na2CO3=10"
            ) from None
    return found


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(rich_help_panel="Results")
    def sheet(
        folder: Annotated[Path, typer.Argument(help="Results folder of a campaign, finished or running.")],
        out: Annotated[
            Path | None, typer.Option("--out", "-o", help="Folder to write (default: FOLDER/sheets).")
        ] = None,
        candidate: Annotated[list[str] | None, typer.Option(help="Only this candidate; may be repeated.")] = None,
        top: Annotated[int | None, typer.Option(min=1, help="The first so many (default: the ranking's k).")] = None,
        batch: Annotated[float, typer.Option(help="Product to make, g.")] = 5.0,
        excess: Annotated[
            list[str] | None,
            typer.Option(help="Excess in wt %, for example Na2CO3=10; replaces the family's usual one."),
        ] = None,
        no_excess: Annotated[bool, typer.Option("--no-excess", help="Weigh no excess.")] = False,
        purity: Annotated[list[str] | None, typer.Option(help="Purity in wt %, for example Na2S=98.")] = None,
        precursor: Annotated[list[str] | None, typer.Option(help="Use these precursors only; repeat for each.")] = None,
    ) -> None:
        """Write a synthesis sheet (HTML to print, CSV) for each winner.

        A winner that cannot be made of its family's precursors is named with the element that is missing; the others
        are written and the exit code is 3.
        """
        from pydantic import ValidationError

        from ionsieve.cli.targets import check_target
        from ionsieve.errors import InputError
        from ionsieve.report import load_results
        from ionsieve.report.sheet import SheetSettings, write_sheets

        if out is not None:
            check_target(out, "--out", folder=True)

        asked = {} if no_excess else _numbers(excess, "--excess") or None
        try:
            settings = SheetSettings(
                batch_g=batch,
                excess_wt_percent=asked,
                purity_wt_percent=_numbers(purity, "--purity"),
                precursors=tuple(precursor or ()),
            )
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            option, *rest = map(str, first["loc"])
            key = " ".join([_OPTIONS.get(option, option), *rest])
            raise InputError(first["msg"][:1].lower() + first["msg"][1:], key=key, found=str(first["input"])) from None
        refused: list[str] = []

        def refuse(formula: str, error: InputError) -> None:
            refused.append(formula)
            typer.secho(f"no sheet of {formula}\n{error}", fg=typer.colors.YELLOW, err=True)

        named = tuple(candidate or ())
        written = write_sheets(
            load_results(folder),
            out or folder / "sheets",
            settings=settings,
            top=top,
            candidates=named,
            refuse=None if named else refuse,
        )
        for path in written:
            if path.suffix == ".html":
                typer.echo(str(path))
        if refused:
            raise typer.Exit(3)
