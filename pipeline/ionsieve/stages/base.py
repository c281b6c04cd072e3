"""What a stage is: a question (`Request`) answered by one record."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ionsieve.errors import BugError, TransientError
from ionsieve.potentials.settings import PotentialSettings
from ionsieve.records import Candidate, FileReference, Frozen, Record
from ionsieve.store import Request, Store, canonical_json

__all__ = [
    "Stage",
    "StageRun",
    "check_potential",
    "unknown_elements",
    "input_key",
    "input_keys",
    "plain",
    "potential_preimage",
    "scratch_files",
]

#: run(request, store, deadline_s) -> the record, or None when the work is unfinished and saved: ask again.
StageRun = Callable[[Request, Store, float | None], Record | None]


@dataclass(frozen=True)
class Stage:
    """One verb.

    Attributes
    ----------
    name, physics
        `physics` is an integer that is raised whenever the stage's numbers change: the addresses change with it.
    record
        Type of its result.
    run
        Does the work. Reads its input records from the store by their addresses and puts nothing itself: the driver
        puts the record, with the files that it names in `Store.workdir` (see `scratch_files`). Returns None when the
        deadline came first and the work is saved in `Store.workdir`.
    uses_device
        Whether it evaluates the potential: such work claims a GPU where there is one.
    run_many
        For stages that do several requests in one forward pass: returns what each came to, in the order asked.
    libraries
        Modules that take seconds to load: a worker that has nothing to do yet loads them ahead.
    share_done
        What share of a request its scratch folder shows as done, for estimates of the time left.
    """

    name: str
    physics: int
    record: type[Record]
    run: StageRun
    uses_device: bool = False
    run_many: Callable[[Sequence[Request], Store, float | None], list[Record | None]] | None = None
    libraries: tuple[str, ...] = ()
    share_done: Callable[[Request, Path], float] | None = None


def input_key(request: Request, name: str) -> str:
    """Return the address of the one input record called `name`."""
    key = request.inputs[name]
    if not isinstance(key, str):
        raise BugError("one address was expected", key=f"inputs.{name}", found=f"{len(key)} addresses")
    return key


def input_keys(request: Request, name: str) -> tuple[str, ...]:
    """Return the addresses of the input records called `name`."""
    keys = request.inputs[name]
    return (keys,) if isinstance(keys, str) else tuple(keys)


@lru_cache(maxsize=256)
def _parsed(text: str) -> Mapping[str, Any]:
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def plain(
    *parts: Frozen, include: frozenset[str] | None = None, exclude: frozenset[str] = frozenset(), **named: Frozen
) -> Mapping[str, Any]:
    """Return settings as plain JSON: equal settings give the same object, so that an address writes them out once.

    `include` and `exclude` name what a stage is told of its room's settings: its own, and no others.
    """
    if named:
        texts = (f"{json.dumps(name)}:{part.model_dump_json()}" for name, part in named.items())
        return _parsed("{" + ",".join(texts) + "}")
    (only,) = parts
    return _parsed(only.model_dump_json(include=None if include is None else set(include), exclude=set(exclude)))


def potential_preimage(settings: PotentialSettings) -> Mapping[str, Any]:
    """Return what determines the potential's numbers: weights by digest, precision, head; not the device, not the path.

    Raises
    ------
    InputError
        When the name is unknown, or a setting makes no sense with it.
    SetupError
        When a package or a model file is missing, or a calculator from outside is not trusted.
    """
    from ionsieve.potentials import digest
    from ionsieve.potentials.ase_origin import origin
    from ionsieve.potentials.registry import check_settings, resolve_file, singles

    card = check_settings(settings)
    preimage: dict[str, Any] = {"name": settings.name, "dtype": settings.dtype, "head": settings.head}
    if settings.name.startswith("ase:"):
        preimage["ase"] = origin(settings)
    elif card is not None and card.family == "pair":
        preimage["pair"] = settings.pair.model_dump(mode="json")
    else:
        preimage["sha256"] = [digest(resolve_file(single, card)[0]) for single in singles(settings)]
    return preimage


def unknown_elements(settings: PotentialSettings, candidate: Candidate) -> list[str]:
    """Return the candidate's elements that the potential, where it is known by name, was not trained for."""
    from ase.data import atomic_numbers

    from ionsieve.potentials import catalogue

    card = next((c for c in catalogue() if c.name == settings.name), None)
    if card is None or not card.elements:
        return []
    return [element for element in candidate.composition if atomic_numbers.get(element) not in card.elements]


def check_potential(settings: PotentialSettings, asked: Mapping[str, Any]) -> None:
    """Refuse to answer a request with another potential than the one in its address.

    Raises
    ------
    TransientError
        When the campaign's model file changed under a running worker, or the worker still holds an older campaign.
    """
    here = potential_preimage(settings)
    if canonical_json(here) != canonical_json(asked):
        raise TransientError(
            "the potential of this worker is not the one that the request names",
            key="potential",
            found=str(dict(here)),
            expected=str(dict(asked)),
            cause="the model file was replaced, or the campaign amended, while workers were running",
            remedy="restart the workers, then `ionsieve resume FOLDER`",
        )


def scratch_files(request: Request, record: Record) -> list[str]:
    """Return the paths, relative to the folder, of the files that `record` names in the request's scratch folder."""
    home = f"scratch/{request.key}/"

    def walk(value: Any) -> list[str]:
        if isinstance(value, FileReference):
            return [value.path] if value.path.startswith(home) else []
        if isinstance(value, Frozen):
            return [path for name in type(value).model_fields for path in walk(getattr(value, name))]
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], (Frozen, list, tuple)):
            return [path for item in value for path in walk(item)]
        return []

    return walk(record)
