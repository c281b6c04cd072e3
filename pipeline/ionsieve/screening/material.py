"""What the wording of a campaign's questions takes from files of the user's, kept in the folder beside the campaign.

```
FOLDER/
  questions.json           the candidates, the identity of the potential, the digest of the user's columns
  columns/<sha256>.csv     the columns themselves
```
A results folder is moved, mailed and read years later: its table must not need the model file, the prototype library or
the table of columns at their old places. A folder without this (an earlier version made it) is read from those files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from ionsieve.errors import DataError, InputError, Problems, SetupError
from ionsieve.potentials.settings import PotentialSettings
from ionsieve.records import Candidate
from ionsieve.stages.generate import questioned
from ionsieve.stages.rank import columns_digest, columns_file
from ionsieve.store import Store
from ionsieve.store.address import canonical_json
from ionsieve.store.folder import read_json, write_file

if TYPE_CHECKING:
    from ionsieve.campaign import Campaign

__all__ = ["FILE", "Material", "campaign_of", "freeze", "frozen", "kept", "live", "unchanged"]

FILE = "questions.json"

T = TypeVar("T")


@dataclass(frozen=True)
class Material:
    """What questions are worded from.

    Attributes
    ----------
    candidates
        What the recipes ask for.
    potential
        What determines the potential's numbers (`stages.base.potential_preimage`).
    columns
        SHA-256 of the user's own columns; None without any.
    """

    candidates: tuple[Candidate, ...]
    potential: Mapping[str, Any]
    columns: str | None = None


def campaign_of(store: Store) -> Campaign:
    """Return the campaign that a folder keeps.

    Raises
    ------
    DataError
        When it was edited or lost, or another version froze it.
    """
    from ionsieve.campaign import thaw_campaign

    return thaw_campaign(store.campaign, where=str(store.folder / "campaign.json"))


def live(campaign: Campaign, candidates: Sequence[Candidate] | None = None, *, store: Store | None = None) -> Material:
    """Read the user's files as they are now; where one is gone, take what was frozen in `store`.

    Raises
    ------
    InputError, SetupError
        When a file is gone or wrong, and nothing was frozen.
    """
    from ionsieve.generate import expand
    from ionsieve.stages.base import potential_preimage

    before = None if store is None else frozen(store)

    def first(read: Callable[[], T], otherwise: Callable[[], T | None]) -> T:
        try:
            return read()
        except (InputError, SetupError):
            kept = otherwise()
            if kept is None:
                raise
            return kept

    return Material(
        tuple(candidates)
        if candidates is not None
        else first(lambda: tuple(expand(campaign.generate)), lambda: before.candidates if before else None),
        first(
            lambda: potential_preimage(campaign.potential),
            lambda: before.potential if before else _asked_before(store, campaign.potential),
        ),
        _columns(campaign, before),
    )


def _columns(campaign: Campaign, before: Material | None) -> str | None:
    """Return the digest of the columns: an edited file is another question, a missing one is what was kept of it."""
    path = campaign.ranking.columns_csv
    if path is not None and before is not None and before.columns is not None and not Path(path).exists():
        return before.columns
    return columns_digest(path)


def _asked_before(store: Store | None, settings: PotentialSettings) -> Mapping[str, Any] | None:
    """Return the one potential of that name that the stored relaxations were asked with; None if there are several."""
    told = ("name", "dtype", "head")
    found = {}
    for request, _ in () if store is None else store.records("relax"):
        asked = request.settings["potential"]
        if all(asked.get(name) == getattr(settings, name) for name in told):
            found[canonical_json(asked)] = asked
    return next(iter(found.values())) if len(found) == 1 else None


def kept(store: Store, campaign: Campaign) -> Material:
    """Return what the stored results were asked with: as it was frozen; in a folder without that, as the files are.

    Raises
    ------
    InputError, SetupError
        When nothing was frozen and a file is gone or wrong.
    """
    before = frozen(store)
    if before is None:
        return live(campaign, store=store)
    return Material(before.candidates, before.potential, _columns(campaign, before))


def unchanged(store: Store, campaign: Campaign) -> Material:
    """Return what a campaign that goes on asks: what it was begun, or submitted, with.

    Another table of columns is taken as it is: it makes another ranking of the same results.

    Raises
    ------
    InputError
        When the model file, or a prototype, is not the one that was frozen.
    """
    now, before = live(campaign, store=store), frozen(store)
    if before is None:
        return now
    remedy = "put the old file back; or take the new one: run the campaign's YAML file on this folder again"
    problems = Problems()
    if canonical_json(now.potential) != canonical_json(before.potential):
        problems.add(
            "the potential is not the one that this campaign was begun with",
            where=str(store.folder),
            key="potential",
            found=canonical_json(now.potential),
            expected=canonical_json(before.potential),
            remedy=remedy,
        )
    asked, was = ({c.candidate_id: questioned(c) for c in m.candidates} for m in (now, before))
    if differ := sorted(name for name in asked | was if asked.get(name) != was.get(name)):
        problems.add(
            "the recipes give other candidates than when this campaign was begun",
            where=str(store.folder),
            key="generate",
            found=f"{len(differ)} differ: {', '.join(differ[:3])}",
            cause="a prototype's file was changed, or another version of ionsieve was installed",
            remedy=remedy,
        )
    problems.throw()
    return now


def freeze(store: Store, campaign: Campaign, material: Material) -> None:
    """Keep the material in the folder, whose lock is held."""
    if material.columns is not None and campaign.ranking.columns_csv is not None:
        copy = columns_file(store, material.columns)
        if not copy.exists():
            copy.parent.mkdir(exist_ok=True)
            write_file(copy, Path(campaign.ranking.columns_csv).read_bytes())
    data = {
        "campaign": store.campaign_id,
        "potential": dict(material.potential),
        "columns": material.columns,
        "candidates": [candidate.to_dict() for candidate in material.candidates],
    }
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    path = store.folder / FILE
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_file(path, text)


def frozen(store: Store) -> Material | None:
    """Return what was frozen for the campaign that the folder holds now, if this version can read it."""
    try:
        data = read_json(store.folder / FILE)
    except (FileNotFoundError, DataError):
        return None
    if not isinstance(data, dict) or data.get("campaign") != store.campaign_id:
        return None
    try:
        candidates = tuple(Candidate.model_validate(candidate) for candidate in data["candidates"])
        return Material(candidates, data["potential"], data["columns"])
    except (KeyError, ValidationError):
        return None
