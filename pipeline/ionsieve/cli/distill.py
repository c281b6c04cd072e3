"""``ionsieve distill``: a small student of the campaign's potential, examined before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]

EXIT_NOT_PASSED = 3


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(rich_help_panel="Campaigns")
    def distill(
        folder: Annotated[Path, typer.Argument(help="Results folder with finished short runs: the teacher's.")],
        family: Annotated[str, typer.Option(help="Family to learn, for example antiperovskite.")],
        out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the student, its verdict and its runs.")],
        frames: Annotated[int | None, typer.Option(min=8, help="Frames to learn from.")] = None,
        epochs: Annotated[int | None, typer.Option(min=1, help="Passes over them.")] = None,
        channels: Annotated[int | None, typer.Option(min=4, help="Channels of the student.")] = None,
        budget_s: Annotated[float | None, typer.Option(min=1, help="CPU seconds of training at most.")] = None,
        examine: Annotated[
            int | None, typer.Option(min=1, help="Runs the student repeats, those with a known D first (default: all).")
        ] = None,
        long_ps: Annotated[
            float | None,
            typer.Option(min=0.1, help="Then run this long, ps: with the student if it passed, else the teacher."),
        ] = None,
    ) -> None:
        """Train a small MACE on the runs of a campaign, check it, and use it for long runs only if it passes.

        Exit code 0: the student passed; 3: it did not, and the teacher stays.
        """
        from ionsieve.distill import DistillSettings
        from ionsieve.screening.distillation import distill_family

        asked = {"n_train": frames, "epochs": epochs, "channels": channels, "budget_s": budget_s}
        settings = DistillSettings.model_validate({k: v for k, v in asked.items() if v is not None})
        verdict = distill_family(
            folder, family, out, settings=settings, examine=examine, long_ps=long_ps, say=typer.echo
        )
        typer.echo(f"verdict: {'passed' if verdict.passed else 'not passed'}   {out / 'verdict.json'}")
        raise typer.Exit(0 if verdict.passed else EXIT_NOT_PASSED)
