"""Options of the commands that read trajectories of other programs: one meaning and one help text for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Elements", "Format", "Stop", "Topology", "Unwrapped"]

Stop = Annotated[int | None, typer.Option(help="End before this frame.")]
Format = Annotated[str | None, typer.Option(help="ASE's name of the format, if the file name does not tell.")]
Topology = Annotated[Path | None, typer.Option(help="Topology file: read with MDAnalysis.")]
Elements = Annotated[str, typer.Option(help="Element of every atom type, comma-separated (LAMMPS).")]
Unwrapped = Annotated[bool, typer.Option("--unwrapped", help="Positions were never wrapped: leave them.")]
