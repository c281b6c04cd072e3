"""``ionsieve status``: where a campaign stands, from its folder alone, while it runs or after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ionsieve.screening.status import CandidateStatus, Status

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(rich_help_panel="Campaigns")
    def status(
        folder: Annotated[Path, typer.Argument(help="Results folder of a campaign.")],
        candidate: Annotated[str | None, typer.Argument(help="Tell the story of one candidate.")] = None,
        watch: Annotated[bool, typer.Option("--watch", "-w", help="Redraw every second until the run ends.")] = False,
        json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        """Show how far a campaign is, what failed and why, and how long it will take."""
        from ionsieve.screening.status import candidate_status, read_status

        if candidate is not None:
            told = candidate_status(folder, candidate)
            if json:
                _json({"candidate": told.candidate, "story": list(told.story), "rows": [_row(r) for r in told.rows]})
            else:
                _console().print(_candidate(told))
            return
        if json:
            _json(read_status(folder).to_dict())
        elif watch:
            _watch(folder)
        else:
            _console().print(_table(read_status(folder)))


def _console() -> Any:
    from rich.console import Console

    return Console(highlight=False)


def _json(data: Any) -> None:
    import json

    typer.echo(json.dumps(data, indent=1))


def _row(row: Any) -> dict[str, Any]:
    return {
        "key": row.key,
        "stage": row.stage,
        "label": row.label,
        "state": str(row.state),
        "outcome": row.outcome,
        "reason": row.reason,
        "attempts": row.attempts,
        "deaths": row.deaths,
        "slices": row.slices,
        "seconds": row.seconds,
        "ps": row.ps,
        "device": row.device,
        "worker": row.worker,
    }


def _watch(folder: Path) -> None:
    import time

    from rich.live import Live

    from ionsieve.screening.status import read_status

    with Live(console=_console(), refresh_per_second=2) as live:
        while True:
            now = read_status(folder)
            live.update(_table(now))
            if now.state != "running":
                return
            time.sleep(1.0)


def _table(status: Status) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from ionsieve.screening.progress import readable_time
    from ionsieve.screening.status import COLUMNS

    styles = {"running": "green", "finished": "green", "interrupted": "yellow", "cancelled": "yellow"}
    style = styles.get(status.state, "")
    head = Text.assemble(f"{status.name}  ", (status.state, style), f"  {status.folder}")
    if status.active:
        head.append(f"  process {status.active['pid']} on {status.active['host']}", style="dim")
    parts: list[Any] = [head]
    progress = status.progress
    line = f"{status.ps / 1000:.4g} ns simulated"
    if progress:
        workers = progress.get("workers", 0)
        line = f"{progress.get('settled', 0)} of {progress.get('candidates', 0)} candidates settled   {line}"
        if status.active:
            line += (
                f" at {progress.get('steps_per_s', 0):.0f} steps/s   {workers} worker{'s' if workers != 1 else ''}   "
                f"elapsed {readable_time(progress.get('elapsed_s'))}, "
                f"left about {readable_time(progress.get('left_s'))}"
            )
    parts.append(Text(line))
    if status.stages:
        used = [c for c in COLUMNS if any(s.get(c) for s in status.stages.values())]
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("stage")
        for name in used:
            table.add_column(name, justify="right")
        table.add_column("work", justify="right")
        for stage, counts in status.stages.items():
            cells = [str(counts.get(c, "")) for c in used]
            table.add_row(stage, *cells, readable_time(status.seconds.get(stage, 0.0)))
        parts.append(table)
    if status.active and status.run.get("dashboard"):
        parts.append(Text(f"dashboard {status.run['dashboard']}", style="dim"))
    # what ended a run ends its measurement too: said once, of the earlier stage
    trouble = list({(row.label, row.reason or row.outcome): row for row in status.trouble}.values())
    for row in trouble[:12]:
        parts.append(Text(f"{row.stage} {row.label}: {(row.reason or row.outcome).splitlines()[0]}", style="red"))
    if len(trouble) > 12:
        parts.append(Text(f"... and {len(trouble) - 12} more (--json lists them)", style="red"))
    if status.state in ("interrupted", "cancelled") or (status.state == "waiting" and status.stages):
        parts.append(Text(f"continue with `ionsieve resume {status.folder}`", style="dim"))
    if any(str(r.state) == "quarantined" for r in status.trouble):
        parts.append(Text(f"try set-aside work again: `ionsieve retry {status.folder} --failed`", style="dim"))
    return Group(*parts)


def _candidate(told: CandidateStatus) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from ionsieve.screening.progress import readable_time

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("stage", "what", "state", "work", "where", "reason"):
        table.add_column(name)
    for row in told.rows:
        table.add_row(
            row.stage,
            row.label.removeprefix(told.candidate).lstrip("-"),
            str(row.state),
            readable_time(row.seconds),
            row.device,
            (row.reason or "").split("\n")[0],
        )
    return Group(Text(told.candidate, style="bold"), table, *(Text(line) for line in told.story))
