"""The models that ionsieve knows by name: where their files are, their digests, licences and elements.

Imports no torch: `ionsieve models` answers at once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from ionsieve.errors import InputError, nearest

__all__ = ["ModelCard", "catalogue", "digest", "known_digests", "unknown_name"]

_TO_PU = frozenset(range(1, 95))
#: Po, At, Rn, Fr and Ra do not occur in the Materials Project's relaxation trajectories (89 elements).
_MPTRJ = _TO_PU - frozenset(range(84, 89))
#: ytterbium is absent from the r2SCAN set as well: its reference energy in the weights is zero.
_MP_R2SCAN = _MPTRJ - {70}

#: what `pair-ionic` has a charge and a radius for (potentials/pair.py; a test holds the two equal)
_IONS = frozenset(
    {1, 3, 4, 5, 8, 9, *range(11, 18), *range(19, 23), 30, 31, 32, 34, 35, *range(37, 42), 47, *range(49, 54), 56, 57}
    | {72, 73, 74}
)

_CHGNET_DOI = "10.1038/s42256-023-00716-3"
_CHGNET_R2SCAN_DOI = "10.48550/arXiv.2504.05565"
_MACE_DOI = "10.48550/arXiv.2206.07697"
_MACE_MP_DOI = "10.48550/arXiv.2401.00096"
_SEVENN_DOI = "10.1021/acs.jctc.4c00190"
_ASL = "ASL (non-commercial)"


@dataclass(frozen=True)
class ModelCard:
    """One known model.

    Attributes
    ----------
    name, family
        What `PotentialSettings.name` takes; the adapter that runs it.
    licence
        Of the weights.
    elements
        Atomic numbers that it was trained for; empty where the file itself must be asked.
    path
        Where the file is, or would be.
    present
        Whether it is there.
    size_bytes
        Of the file, when present.
    sha256
        Digest known to ionsieve, or None: then the file needs `sha256` or `trust` in the settings.
    cutoff_A
        Neighbour radius, Å, when known beforehand.
    cite
        DOIs.
    note
        One sentence on what it is good for, or what brings it.
    download_key
        Its name in the package that can fetch it; empty where nothing needs fetching.
    """

    name: str
    family: str
    licence: str
    elements: frozenset[int]
    path: Path | None
    sha256: str | None = None
    cutoff_A: float | None = None
    cite: tuple[str, ...] = ()
    note: str = ""
    download_key: str = ""

    @property
    def present(self) -> bool:
        """Whether it can be loaded now."""
        return self.family == "pair" or (self.path is not None and self.path.is_file())

    @property
    def size_bytes(self) -> int | None:
        """Size of the file."""
        return self.path.stat().st_size if self.path is not None and self.path.is_file() else None


def _package(name: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def mace_cache() -> Path:
    """Folder in which MACE keeps downloaded foundation models."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mace"


#: file names as `mace_mp` writes them (the last part of the address, letters, digits and underscores only), and its
#: own names of the models
_MACE_FILES = {
    "mace-mp-0-small": ("20231210mace128L0_energy_epoch249model", "small", "MIT", "MACE-MP-0 small, 2023"),
    "mace-mp-0-medium": ("20231203mace128L1_epoch199model", "medium", "MIT", "MACE-MP-0 medium, 2023"),
    "mace-mp-0b3-medium": (
        "macemp0b3mediummodel",
        "medium-0b3",
        "MIT",
        "MACE-MP-0b3: better at high pressure and phonons",
    ),
    "mace-mpa-0-medium": (
        "macempa0mediummodel",
        "medium-mpa-0",
        "MIT",
        "MACE-MPA-0: MPtrj and Alexandria; a good default on a GPU",
    ),
    "mace-omat-0-medium": (
        "maceomat0mediummodel",
        "medium-omat-0",
        _ASL,
        "MACE-OMAT-0: OMat24, off-equilibrium, softer bias",
    ),
    "mace-matpes-pbe-0": ("MACEmatpespbeomatftmodel", "mace-matpes-pbe-0", _ASL, "MACE-MATPES-PBE-0: PBE without +U"),
    "mace-matpes-r2scan-0": ("MACEmatpesr2scanomatftmodel", "mace-matpes-r2scan-0", _ASL, "MACE-MATPES-r2SCAN-0"),
}

_SEVENN_FILES = {
    "7net-0": (
        "SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth",
        "7052cb42b7b3be42b40b97fa0d21077a48c54b5548948fc4dcf346629f813c36",
        "SevenNet-0, July 2024; ships with its package",
    ),
    "7net-l3i5": (
        "SevenNet_l3i5/checkpoint_l3i5.pth",
        "a7ff190d41efe5b8317a03d20a468e4036a1a3e64e0b14fdbab64ac3f4bfc09d",
        "SevenNet-l3i5: more accurate and several times slower; ships with its package",
    ),
    "7net-mf-0": (
        "SevenNet_MF_0/checkpoint_sevennet_mf_0.pth",
        "81791329b37d445f46b531578c182c41792d98c7814222c9e5dde276402225fd",
        "SevenNet-MF-0: head PBE or R2SCAN; ships with its package",
    ),
}


def catalogue() -> list[ModelCard]:
    """Return all models known by name, present or not, in the order of recommendation."""
    chgnet, sevenn = _package("chgnet"), _package("sevenn")
    weights = chgnet / "pretrained" if chgnet else None
    bsd = "BSD-3"
    cards = [
        ModelCard(
            "chgnet-0.3.0",
            "chgnet",
            bsd,
            _MPTRJ,
            weights / "0.3.0" / "chgnet_0.3.0_e29f68s314m37.pth.tar" if weights else None,
            "d14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1",
            6.0,
            (_CHGNET_DOI,),
            "PBE/PBE+U, MPtrj; ships with its package: the default",
        ),
        ModelCard(
            "chgnet-r2scan",
            "chgnet",
            bsd,
            _MP_R2SCAN,
            weights / "r2scan" / "chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar" if weights else None,
            "8eba3db0f35a2788bb3ae22885ad340591e27996f213c6643af522a633b50dad",
            6.0,
            (_CHGNET_DOI, _CHGNET_R2SCAN_DOI),
            "r2SCAN by transfer learning; ships with its package",
        ),
    ]
    for name, (file, key, licence, note) in _MACE_FILES.items():
        cards.append(
            ModelCard(
                name, "mace", licence, _MPTRJ, mace_cache() / file, None, None, (_MACE_DOI, _MACE_MP_DOI), note, key
            )
        )
    for name, (file, sha256, note) in _SEVENN_FILES.items():
        path = sevenn / "pretrained_potentials" / file if sevenn else None
        cards.append(ModelCard(name, "sevennet", "MIT", _MPTRJ, path, sha256, 5.0, (_SEVENN_DOI,), note))
    cards.append(
        ModelCard("pair-lj", "pair", "MIT", _TO_PU, None, note="Lennard-Jones, one species: tests and drills only")
    )
    cards.append(
        ModelCard("pair-ionic", "pair", "MIT", _IONS, None, note="rigid ions: tests and drills only, no physics")
    )
    return cards


def known_digests() -> dict[str, ModelCard]:
    """Return the digests that may be loaded without `trust`."""
    return {card.sha256: card for card in catalogue() if card.sha256}


@lru_cache(maxsize=64)
def _digest(path: str, size: int, changed_ns: int) -> str:
    del size, changed_ns  # they are in the key so that an overwritten file is read again
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(path: Path) -> str:
    """Return the SHA-256 of a file; remembered until the file changes."""
    stat = path.stat()
    return _digest(str(path.resolve()), stat.st_size, stat.st_mtime_ns)


#: names that stand for a file of one's own
_FAMILIES = ("mace", "chgnet", "sevennet")


def unknown_name(name: str, known: Sequence[str]) -> InputError:
    """Return the error for a model name that nobody knows."""
    close = nearest(name, known) or nearest(name, _FAMILIES)
    return InputError(
        "no model of this name is known",
        key="potential.name",
        found=name,
        expected=", ".join(known) + ", mace or chgnet or sevennet with `path`, ase:module:factory",
        remedy=f"did you mean {close!r}?" if close else "`ionsieve models` lists them",
    )
