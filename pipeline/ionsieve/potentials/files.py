"""A trusted file of weights and how to run it: what every adapter of a network begins with."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ionsieve.errors import IonsieveError, SetupError
from ionsieve.potentials.models import ModelCard, digest

if TYPE_CHECKING:
    from ionsieve.potentials.base import PotentialInfo

__all__ = ["ModelFile", "loading", "quietly"]


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Silence what the packages print and warn of while they load: nothing there that a user can mend."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def loading(path: Path, family: str) -> Iterator[None]:
    """Load quietly; whatever a damaged or foreign file raises while it is unpickled is told as one error.

    Raises
    ------
    SetupError
        When the file cannot be loaded.
    """
    try:
        with quietly():
            yield
    except (IonsieveError, MemoryError):
        raise
    except Exception as error:
        raise SetupError(
            f"this file cannot be loaded as a {family} model: {type(error).__name__}: {error}",
            where=str(path),
            key="potential.path",
            cause="another kind of file, a damaged download, or weights of another version of the package",
            remedy=f"name a model that {family} itself has saved, or fetch it again",
        ) from error


@dataclass(frozen=True)
class ModelFile:
    """A model file that the registry has admitted (a pickled model runs code when it is loaded).

    Attributes
    ----------
    path
        Where it is.
    card
        What is known of it, or None for a user's own file.
    dtype, device, skin_A
        As in `PotentialSettings`.
    """

    path: Path
    card: ModelCard | None = None
    dtype: str = "float32"
    device: str = "cpu"
    skin_A: float = 0.5

    def info(
        self,
        family: str,
        *,
        package: str,
        elements: frozenset[int],
        cutoff_A: float,
        cite: tuple[str, ...],
        backend: str = "",
        head: str = "",
    ) -> PotentialInfo:
        """Return the identity of the potential: what the card knows, else what the file says.

        Parameters
        ----------
        family, package
            Name of the adapter; distribution that runs the model, `backend` beside it.
        elements, cutoff_A
            Of the network.
        cite
            Where there is no card.
        head
            Of a file that holds several: part of the name, for the digest does not tell them apart.
        """
        from ionsieve.potentials.base import PotentialInfo

        card = self.card
        return PotentialInfo(
            name=(card.name if card else f"{family}:{self.path.name}") + (f" [{head}]" if head else ""),
            sha256=digest(self.path),
            elements=elements,
            cutoff_A=cutoff_A,
            dtype=self.dtype,
            device=self.device,
            version=f"{package} {version(package)}{backend}",
            licence=card.licence if card else "",
            cite=card.cite if card else cite,
        )
