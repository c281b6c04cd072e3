"""``ionsieve prototypes``: list the prototype library, show one, or check your own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ionsieve.generate.prototypes import Prototype

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(rich_help_panel="Structures")
    def prototypes(
        name: Annotated[str | None, typer.Argument(help="Show this one: a name, or the path of your own YAML.")] = None,
        check: Annotated[bool, typer.Option("--check", help="Only say whether its files are right.")] = False,
        library: Annotated[list[str] | None, typer.Option(help="Folder with your own prototypes.")] = None,
    ) -> int:
        """List the prototypes, or show one with its sites, dopants and source."""
        from ionsieve.generate import prototypes as store

        folders = library or []
        if name is None:
            _list([store.load(n, folders) for n in store.names(folders)])
            return 0
        if check:
            problems = store.validate(store.find(name, folders))
            for problem in problems:
                typer.secho(problem, fg=typer.colors.RED, err=True)
            if not problems:
                typer.echo(f"{name}: no problem found")
            return 2 if problems else 0
        _show(store.load(name, folders))
        return 0


def _list(found: list[Prototype]) -> None:
    from rich import box
    from rich.table import Table

    from ionsieve.cli.table import WIDE, console

    out = console()
    wide = out.width >= WIDE  # a name holds the formula and the space group: where there is room they stand alone too
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column in ("name", "family", "ion", *(("formula", "space group") if wide else ())):
        table.add_column(column, no_wrap=True)
    table.add_column("dopable sites", overflow="fold")
    for p in sorted(found, key=lambda p: (p.family, p.name)):
        sites = ", ".join(d.label for d in p.dopable)
        more = (p.formula, p.space_group.split(" (")[0]) if wide else ()
        table.add_row(p.name, p.family, p.mobile_ion, *more, sites)
    out.print(table)
    out.print(f"{len(found)} prototypes; `ionsieve prototypes NAME` shows one", highlight=False)


def _ion(symbol: str, charge: int) -> str:
    return f"{symbol}{abs(charge) if abs(charge) != 1 else ''}{'+' if charge > 0 else '-'}"


def _show(p: Prototype) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(f"[bold]{p.name}[/bold]  {p.formula}  {p.family}  {p.space_group}  Z = {p.z}")
    lengths = " ".join(f"{float((row @ row) ** 0.5):.4f}" for row in p.cell)
    console.print(
        f"cell {lengths} Å, {sum(s.multiplicity for s in p.sites)} positions, "
        f"mobile ion {_ion(p.mobile_ion, p.mobile_charge)}"
    )
    sites = Table(title="Sites", title_justify="left")
    for column in ("label", "Wyckoff", "role", "occupancy", "a formula unit", "note"):
        sites.add_column(column, overflow="fold")
    for s in p.sites:
        role = "interstitial" if s.interstitial else "mobile" if s.mobile else "framework"
        held = ", ".join(f"{k} {v:.4g}" for k, v in s.occupancy.items()) or "empty"
        position = s.wyckoff if s.wyckoff[:1].isdigit() else f"{s.multiplicity}{s.wyckoff}"
        sites.add_row(s.label, position, role, held, f"{p.per_formula_unit(s):g}", s.note)
    console.print(sites)
    dopable = Table(title="Dopants known on these sites", title_justify="left")
    for column in ("sites", "coordination", "dopants"):
        dopable.add_column(column, overflow="fold")
    for d in p.dopable:
        dopants = ", ".join(_ion(k, v) for k, v in d.dopants.items())
        dopable.add_row(", ".join(d.sites), d.coordination, dopants)
    console.print(dopable)
    short = (p.data or {}).get("checks", {}).get("mutually_exclusive_pairs_A") or {}
    if short:
        console.print("sites that exclude each other: " + ", ".join(f"{k} ({v} Å)" for k, v in short.items()))
    console.print(f"source: {p.source}" + (f"  doi:{p.doi}" if p.doi and p.doi != "None" else ""))
    if p.quality:
        console.print(f"quality: {p.quality}. {(p.data or {}).get('source_quality_detail', '')}")
