"""What determines the numbers of an ``ase:module:factory``, as far as it can be seen without running it.

The digest of the module's source, the versions of the packages that the source imports, and the digest of the model
file where the settings name one. Weights that the factory fetches by itself are not seen: name them with `path`.
"""

from __future__ import annotations

import ast
import hashlib
from functools import lru_cache
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ionsieve.errors import InputError, SetupError

if TYPE_CHECKING:
    from ionsieve.potentials.settings import PotentialSettings

__all__ = ["origin", "parts_of"]


def parts_of(settings: PotentialSettings) -> tuple[str, str]:
    """Return module and factory of a name.

    Raises
    ------
    InputError
        When the name does not have the three parts.
    SetupError
        When it is not trusted: looking for a module inside a package imports the package.
    """
    parts = settings.name.split(":")
    if len(parts) != 3 or not all(parts):
        raise InputError(
            "the ASE door wants ase:module:factory",
            key="potential.name",
            found=settings.name,
            remedy="for example ase:my_potentials:orb, with a function orb() that returns a calculator",
        )
    if not settings.trust:
        raise SetupError(
            "a calculator from outside runs its own code, and is not trusted yet",
            key="potential.trust",
            found=settings.name,
            remedy="set `trust: true` after reading the module",
        )
    return parts[1], parts[2]


def origin(settings: PotentialSettings) -> dict[str, Any]:
    """Return the part of an address that stands for the factory: source, versions, and model file.

    Raises
    ------
    InputError, SetupError
        See `parts_of`; also when the module or the model file cannot be found.
    """
    module, _ = parts_of(settings)
    try:
        spec = util.find_spec(module)
    except (ImportError, ValueError) as error:
        raise _missing(settings, module, str(error)) from error
    if spec is None:
        raise _missing(settings, module, "there is no such module")
    source = Path(spec.origin) if spec.origin and Path(spec.origin).is_file() else None
    found: dict[str, Any] = {"source": None, "versions": _versions((module.partition(".")[0],))}
    if source is not None:
        stat = source.stat()
        found["source"], imported = _read(source, stat.st_mtime_ns, stat.st_size)
        found["versions"] |= _versions(imported)
    if settings.path is not None:
        path = Path(settings.path).expanduser()
        if not path.is_file():
            raise SetupError("the model file is not there", key="potential.path", found=str(path))
        stat = path.stat()
        found["sha256"] = _digest(path, stat.st_mtime_ns, stat.st_size)
    return found


def _missing(settings: PotentialSettings, module: str, cause: str) -> SetupError:
    return SetupError(
        f"cannot import {module!r}: {cause}",
        key="potential.name",
        found=settings.name,
        remedy="install the package, or put the module's folder on PYTHONPATH",
    )


@lru_cache(maxsize=32)
def _read(path: Path, mtime_ns: int, size: int) -> tuple[str, tuple[str, ...]]:
    """Return digest of a source file and the top-level packages that it imports; read again when it changed."""
    data = path.read_bytes()
    names: set[str] = set()
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(data)):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return hashlib.sha256(data).hexdigest(), tuple(sorted(names))


@lru_cache(maxsize=8)
def _digest(path: Path, mtime_ns: int, size: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@lru_cache(maxsize=64)
def _distributions() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())


@lru_cache(maxsize=64)
def _versions_of(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    known = _distributions()
    found = {d: metadata.version(d) for name in names for d in known.get(name, ())}
    return tuple(sorted(found.items()))


def _versions(names: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of the distributions that hold these packages; the standard library has none."""
    return dict(_versions_of(names))
