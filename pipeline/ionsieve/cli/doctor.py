"""``ionsieve doctor``: what is installed, which devices there are, what is missing and how to get it."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

__all__ = ["register"]

# package, what it is for, how to get it
REQUIRED = (
    ("torch", "molecular dynamics"),
    ("ase", "atoms and reference dynamics"),
    ("pymatgen", "crystals"),
    ("chgnet", "the default potential"),
    ("mace-torch", "MACE potentials"),
    ("vesin", "neighbour lists"),
    ("dask", "workflows"),
    ("distributed", "workflows"),
    ("h5py", "trajectories"),
    ("numpy", "arrays"),
    ("scipy", "statistics"),
    ("pydantic", "settings and records"),
)
OPTIONAL = (
    ("cupy-cuda12x", "analysis on the GPU", "pip install 'ionsieve[gpu]'"),
    ("dask-jobqueue", "SLURM, PBS and SGE", "pip install 'ionsieve[slurm]'"),
    ("dask-cuda", "one worker a GPU by RAPIDS", "pip install 'ionsieve[dask-cuda]'"),
    ("icet", "special quasi-random orderings", "pip install 'ionsieve[sqs]'"),
    ("pyzeo", "Zeo++ as a cross-check", "pip install 'ionsieve[geometry]'"),
    ("MDAnalysis", "foreign trajectories", "pip install 'ionsieve[foreign]'"),
    ("pyarrow", "Parquet export", "pip install 'ionsieve[tables]'"),
    ("cuequivariance", "faster MACE on NVIDIA GPUs", "pip install cuequivariance-torch cuequivariance-ops-torch-cu12"),
    ("sevenn", "SevenNet", "pip install sevenn, in an environment of its own: its e3nn excludes MACE's"),
)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(rich_help_panel="Set-up")
    def doctor(
        potential: Annotated[
            bool, typer.Option("--potential/--no-potential", help="Also load the default potential and time one step.")
        ] = True,
    ) -> None:
        """Say what is installed, which devices there are, and what is missing."""
        raise typer.Exit(_doctor(potential))


def _doctor(potential: bool) -> int:
    import os
    import platform
    import shutil

    import psutil
    import torch

    from ionsieve import __version__
    from ionsieve.resources import data_folder

    missing = 0
    typer.echo(f"ionsieve {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    memory = psutil.virtual_memory()
    disk = shutil.disk_usage(".")
    typer.echo(
        f"machine   {os.cpu_count()} cores, {memory.available / 2**30:.0f} of {memory.total / 2**30:.0f} GiB memory "
        f"free, {disk.free / 2**30:.0f} GiB free in this folder"
    )
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            typer.echo(f"device    cuda:{index} {properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    else:
        typer.echo(
            "device    cpu only (torch sees no CUDA device"
            + (f"; this torch, {torch.__version__}, is a CPU build)" if torch.version.cuda is None else ")")
        )
    typer.echo("\nneeded")
    for package, purpose in REQUIRED:
        version = _version(package)
        missing += version is None
        typer.echo(f"  {package:<16}{version or 'MISSING: pip install ionsieve':<14}{purpose}")
    typer.echo("\noptional")
    for package, purpose, remedy in OPTIONAL:
        version = _version(package)
        typer.echo(f"  {package:<16}{version or '-':<14}{purpose}" + ("" if version else f"   get it: {remedy}"))
    structures = len(list(data_folder("structures").glob("*.yaml")))
    typer.echo(f"\nprototypes  {structures} in {data_folder('structures')}")
    if potential and not missing:
        missing += _try_potential()
    typer.echo("\nall well" if not missing else f"\n{missing} problem(s): see above")
    return 2 if missing else 0


def _try_potential() -> int:
    import time

    import torch
    from ase.build import bulk

    from ionsieve.errors import IonsieveError
    from ionsieve.potentials import load
    from ionsieve.potentials.settings import PotentialSettings
    from ionsieve.systems import Batch

    torch.set_num_threads(1)
    settings = PotentialSettings()

    def finished() -> float:
        """Return the time when the device has done what it was given."""
        if model.info.device.startswith("cuda"):
            torch.cuda.synchronize(model.info.device)
        return time.perf_counter()

    try:
        model = load(settings)
        batch = Batch.from_atoms([bulk("NaCl", "rocksalt", a=5.6, cubic=True) * (2, 2, 2)])
        model.evaluate(batch)
        start = finished()
        model.evaluate(batch)
        seconds = finished() - start
    except (IonsieveError, RuntimeError) as error:  # a RuntimeError is torch's: driver, kernel, memory
        typer.secho(f"potential   {settings.name}: {error}", fg=typer.colors.RED)
        return 1
    typer.echo(
        f"potential   {model.info.name} on {model.info.device}, weights {model.info.sha256[:12]}, "
        f"{seconds * 1e3:.0f} ms a step for {batch.n_atoms} atoms"
    )
    return 0
