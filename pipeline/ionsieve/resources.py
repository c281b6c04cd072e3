"""Data that travels with the package: prototypes, ready campaigns, the literature table.

In the wheel they lie under ``ionsieve/data``; in a checkout (editable install) in the repository's own folders.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from ionsieve.errors import SetupError

__all__ = ["data_folder"]


def data_folder(name: str) -> Path:
    """Return the folder `name` (``structures``, ``workflows`` or ``literature``) as shipped.

    Raises
    ------
    SetupError
        When the installation lacks it.
    """
    package = Path(str(files("ionsieve")))
    for folder in (package / "data" / name, package.parents[1] / name):
        if folder.is_dir():
            return folder
    raise SetupError(
        f"the installation lacks its data folder {name!r}",
        where=str(package),
        remedy="reinstall ionsieve; the folder belongs to the wheel and to a full checkout",
    )
