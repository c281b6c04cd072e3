"""From settings to a potential: name, file, digest, trust, adapter. One instance per process and settings.

Imports no torch before something is loaded: an address needs names and digests alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ionsieve.errors import InputError, SetupError
from ionsieve.potentials.ase_origin import parts_of
from ionsieve.potentials.files import ModelFile, quietly
from ionsieve.potentials.models import ModelCard, catalogue, digest, known_digests, unknown_name
from ionsieve.potentials.settings import PotentialSettings

if TYPE_CHECKING:
    from ionsieve.potentials.base import Potential

__all__ = ["check_settings", "load", "resolve_file", "singles"]

#: family -> package that must be importable, and what brings it
_PACKAGES = {
    "chgnet": ("chgnet", "pip install chgnet"),
    "mace": ("mace", "pip install mace-torch"),
    "sevennet": ("sevenn", "pip install sevenn, in an environment of its own: it replaces the e3nn that MACE needs"),
}


def load(settings: PotentialSettings | None = None) -> Potential:
    """Return the potential for the settings, loaded once per process.

    Raises
    ------
    InputError
        When the name is unknown, or a setting contradicts it.
    SetupError
        When the file, its package or the device is missing, or the file is not trusted.
    """
    from ionsieve.potentials.checks import choose_device

    settings = settings or PotentialSettings()
    return _load(settings.model_copy(update={"device": choose_device(settings.device)}))


def check_settings(settings: PotentialSettings) -> ModelCard | None:
    """Return the card of the model, if it has one, after refusing what cannot work. Loads and runs nothing.

    Raises
    ------
    InputError
        When the name is unknown, or a setting makes no sense with it.
    SetupError
        When a package is missing, or a calculator from outside is not trusted.
    """
    name = settings.name
    if name.startswith("ase:"):
        parts_of(settings)
        return None
    cards = {card.name: card for card in catalogue()}
    card = cards.get(name)
    family = card.family if card else name
    if card is None and family not in _PACKAGES:
        raise unknown_name(name, list(cards))
    if settings.head is not None and family not in ("mace", "sevennet"):
        raise InputError(
            f"{name} has no heads",
            key="potential.head",
            found=settings.head,
            cause="heads are of MACE, modalities of SevenNet; the functional of a CHGNet is in its name",
            remedy="take `head` out",
        )
    if family == "pair":
        named = [key for key in ("path", "committee", "sha256") if getattr(settings, key)]
        if named:
            raise InputError(
                f"{name} is analytic and has no file",
                key=f"potential.{named[0]}",
                found=str(getattr(settings, named[0])),
                remedy=f"take `{named[0]}` out, or name the family of the file: mace, chgnet, sevennet",
            )
        return card
    package, remedy = _PACKAGES[family]
    if find_spec(package) is None:
        raise SetupError(f"{name} needs the package {package!r}", key="potential.name", found=name, remedy=remedy)
    return card


@lru_cache(maxsize=8)
def _load(settings: PotentialSettings) -> Potential:
    card = check_settings(settings)
    if settings.name.startswith("ase:"):
        from ionsieve.potentials.ase_door import AsePotential

        return AsePotential.from_settings(settings)
    family = card.family if card else settings.name
    if family == "pair":
        from ionsieve.potentials.pair import PairPotential

        # float64 always: it is exact arithmetic that these are for, and they cost nothing
        return PairPotential(settings.name, settings.pair, device=settings.device, skin_A=settings.skin_A)
    if settings.committee:
        from ionsieve.potentials.committee import CommitteePotential

        return CommitteePotential([_load(single) for single in singles(settings)])
    path, card = resolve_file(settings, card)
    file = ModelFile(path, card, dtype=settings.dtype, device=settings.device, skin_A=settings.skin_A)
    potential = _ADAPTERS[family](file, settings)
    if not settings.fast:
        from ionsieve.potentials.ase_door import AsePotential

        return AsePotential(potential.as_ase(), potential.info)
    return potential


def singles(settings: PotentialSettings) -> list[PotentialSettings]:
    """Return the settings of each member of a committee, or of the one model; `sha256` speaks of the first file."""
    return [
        settings.model_copy(update={"path": path, "committee": (), "sha256": None if k else settings.sha256})
        for k, path in enumerate((settings.path, *settings.committee))
    ]


def resolve_file(settings: PotentialSettings, card: ModelCard | None) -> tuple[Path, ModelCard | None]:
    """Return the model file after checking that it may be loaded, and the card whose digest it has.

    Raises
    ------
    SetupError
        When the file is missing, differs from the digest demanded, or is neither known nor trusted.
    InputError
        When a family name comes without a path.
    """
    if settings.path is not None:
        path = Path(settings.path).expanduser()
    elif card is not None and card.path is not None:
        path = card.path
    else:
        raise InputError(
            f"{settings.name} needs the path of a model file",
            key="potential.path",
            remedy="path: /where/the/model.file/is",
        )
    if not path.is_file() and settings.download and settings.path is None and card is not None and card.download_key:
        _download(card)
    if not path.is_file():
        raise SetupError(
            "the model file is not there",
            key="potential.path" if settings.path else "potential.name",
            found=settings.path or settings.name,
            expected="" if settings.path else f"its file at {path}",
            cause="foundation models are not part of any package; they are downloaded once into the cache"
            if card is not None and card.family == "mace" and settings.path is None
            else "",
            remedy="`download: true` fetches it where there is a network; elsewhere copy it there or set `path`"
            if card is not None and card.family == "mace" and settings.path is None
            else "correct the path, or copy the file there",
        )
    found = digest(path)
    if settings.sha256 is not None:
        if found != settings.sha256:
            raise SetupError(
                "the model file is not the one that the settings demand",
                where=str(path),
                key="potential.sha256",
                found=found,
                expected=settings.sha256,
                cause="another version of the model, or a damaged download",
                remedy="fetch the file again, or set `sha256` to the digest found after convincing yourself of it",
            )
        return path, known_digests().get(found, card if settings.path is None else None)
    known = known_digests().get(found)
    if known is not None:
        return path, known
    if not settings.trust:
        raise SetupError(
            "this model file is not known, and loading it would run code that is in it",
            where=str(path),
            key="potential.trust",
            found=f"SHA-256 {found}",
            expected="a file that ionsieve knows, a pinned digest, or `trust: true`",
            cause="model files are Python pickles; whoever wrote the file decides what happens when it is loaded",
            remedy=f"if you know its origin, set `sha256: {found}` (this file only) or `trust: true` (any file)",
        )
    return path, card if settings.path is None else None


def _download(card: ModelCard) -> None:
    """Fetch a foundation model into MACE's cache, with MACE's own downloader."""
    from ionsieve.potentials.mace import import_mace

    import_mace()
    from mace.calculators import foundations_models

    try:
        with quietly():  # it prints its progress
            foundations_models.download_mace_mp_checkpoint(card.download_key)
    except (OSError, RuntimeError, ValueError) as error:
        raise SetupError(
            f"the model could not be downloaded: {error}",
            where=str(card.path),
            key="potential.download",
            found=card.name,
            cause="no network from here (compute nodes often have none), or the server is down",
            remedy="run `ionsieve validate` once on a login node, or copy the file to the path above",
        ) from error


def _chgnet(file: ModelFile, settings: PotentialSettings) -> Potential:
    from ionsieve.potentials.chgnet import CHGNetPotential

    return CHGNetPotential(file)


def _mace(file: ModelFile, settings: PotentialSettings) -> Potential:
    from ionsieve.potentials.mace import MACEPotential

    return MACEPotential(file, head=settings.head, accelerate=settings.accelerate)


def _sevennet(file: ModelFile, settings: PotentialSettings) -> Potential:
    from ionsieve.potentials.sevennet import SevenNetPotential

    return SevenNetPotential(file, modality=settings.head)


_ADAPTERS: dict[str, Callable[[ModelFile, PotentialSettings], Potential]] = {
    "chgnet": _chgnet,
    "mace": _mace,
    "sevennet": _sevennet,
}
