"""The store: one campaign's folder, addressed by content.

```
FOLDER/
  store.json                         layout version, identity of the campaign, shared stores
  campaign.json  campaign.yaml       the frozen campaign, and the text it was read from
  questions.json  columns/           what its questions take from files elsewhere (`screening.material`)
  records/<stage>/<ab>/<key>.json    one record with the request that it answers and the digest over both
  files/<stage>/<key>/               the files it names, each with its SHA-256 in the record
  scratch/<key>/                     checkpoints of unfinished work: survives kills, dropped when the record is there
  events.jsonl  ledger.sqlite  lock  what happened (append-only); its index; who writes
  damaged/                           what failed its digest, kept aside
```
A record's file is four lines of one JSON object; the first holds the SHA-256 of the bytes after it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from ionsieve.errors import BugError, DataError, InputError
from ionsieve.store import envelope as env
from ionsieve.store import folder as fs
from ionsieve.store import rows
from ionsieve.store.address import content_key
from ionsieve.store.envelope import DamagedError
from ionsieve.store.events import EventLog
from ionsieve.store.ledger import Ledger, Row, State
from ionsieve.store.lock import FolderLock
from ionsieve.store.migrations import LAYOUT, plan_folder
from ionsieve.store.shelf import Shelf

__all__ = ["Store", "identity"]

_RUN_KEYS = ("run",)


def identity(campaign: Mapping[str, Any]) -> str:
    """Return what makes two campaigns the same: all but how they are run (section ``run``)."""
    return content_key({k: v for k, v in campaign.items() if k not in _RUN_KEYS})


def _frozen_identity(folder: Path) -> str | None:
    try:
        data = fs.read_json(folder / "campaign.json")
    except FileNotFoundError:
        return None
    return identity(data) if isinstance(data, dict) else None


class Store(Shelf):
    """A campaign's folder: a shelf of records with the campaign, the lock, the events and the ledger.

    Make it by `create` or `open`. Reading and `put` need no lock, so that any number of workers use the folder;
    the frozen campaign, `events` and `ledger` are written by the one process that holds `lock`.
    """

    def __init__(self, folder: Path, meta: Mapping[str, Any]) -> None:
        super().__init__(folder, shares=meta.get("share", ()))
        self._meta = dict(meta)
        self.lock = FolderLock(folder / "lock")
        self.events = EventLog(folder / "events.jsonl")
        self._ledger: Ledger | None = None
        self._campaign: dict[str, Any] | None = None

    # -- opening ----------------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        folder: str | Path,
        campaign: Mapping[str, Any],
        *,
        source: str = "",
        share: Sequence[str | Path] = (),
        amend: bool = False,
        hold: bool = False,
    ) -> Self:
        """Make the folder for `campaign`, or open it when it is this campaign's already.

        Parameters
        ----------
        folder
            Where; made with its parents.
        campaign
            The campaign as JSON; frozen in ``campaign.json``.
        source
            The YAML text it was read from; kept beside it.
        share
            Folders of other campaigns whose results are reused where a request's key agrees.
        amend
            When the folder belongs to another campaign, keep that one under ``campaigns/`` and put this one in its
            place: results that both share are reused.
        hold
            Keep the lock that was taken for it: nobody comes between this and the run that follows.

        Raises
        ------
        InputError
            When the folder belongs to another campaign, holds foreign files, or is being worked on.
        SetupError
            When the disk is full, read-only or forbidden.
        """
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise InputError("this is a file, not a folder", where=str(folder), remedy="name another folder")
        shares = sorted(str(Path(p).absolute()) for p in share)
        made = not folder.exists()
        if not (folder / "store.json").exists():
            _refuse_foreign(folder)
            with fs.disk_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(folder / "lock")
        with fs.disk_errors(folder):
            lock.acquire()
        try:
            if (folder / "store.json").exists():
                store = cls._open(folder, lock)
                store._admit(campaign, source, shares, amend=amend)
            else:
                store = cls(folder, {"share": shares})
                store.lock = lock
                store._freeze(campaign, source, shares)
        except BaseException:
            if made:
                _take_back(folder)
            lock.release()
            raise
        if not hold:
            lock.release()
        return store

    def _admit(self, campaign: Mapping[str, Any], source: str, shares: list[str], *, amend: bool) -> None:
        """Let `campaign` into this folder: the same one, or, amended, another one."""
        name = identity(campaign)
        if self.campaign_id == name:
            if env.pretty(campaign) != env.pretty(self.campaign):  # another way of running: what is resumed follows it
                self._freeze(campaign, source, shares)
            elif shares != sorted(self._meta.get("share", [])):
                self._meta["share"] = shares
                self._share_paths, self._lenders = tuple(shares), None
                fs.write_file(self.folder / "store.json", env.pretty(self._meta))
            return
        if not amend:
            raise InputError(
                "this folder belongs to another campaign",
                where=str(self.folder),
                found=f"campaign {self.campaign_id[:12]}",
                expected=f"campaign {name[:12]}",
                cause="the campaign file was changed after the folder was made",
                remedy="name a new folder and set `run.share` to this one (common results are reused), or say --amend",
            )
        kept = self.folder / "campaigns" / f"{self.campaign_id}.json"
        fs.write_file(kept, env.pretty(self.campaign))
        self._freeze(campaign, source, shares)

    def _freeze(self, campaign: Mapping[str, Any], source: str, shares: list[str]) -> None:
        """Write the campaign. A kill in between leaves the old one or the new one, never a folder of neither."""
        name = identity(campaign)
        if self._meta.get("campaign", name) != name:
            fs.write_file(self.folder / "store.json", env.pretty({**self._meta, "next": name}))
        fs.write_file(self.folder / "campaign.json", env.pretty(campaign))
        if source:
            fs.write_file(self.folder / "campaign.yaml", source)
        self._meta = {"ionsieve": "store", "layout": LAYOUT, "campaign": name, "share": shares}
        self._share_paths, self._lenders, self._campaign = tuple(shares), None, None
        fs.write_file(self.folder / "store.json", env.pretty(self._meta))

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open a campaign's folder; one of an older layout is first brought up to date, under its lock.

        Raises
        ------
        InputError
            When it is none, or is of an older layout and being worked on.
        DataError
            When it was made by a newer version.
        """
        return cls._open(Path(folder), None)

    @classmethod
    def _open(cls, folder: Path, lock: FolderLock | None) -> Self:
        try:
            meta = fs.read_json(folder / "store.json")
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(
                "there is no campaign in this folder",
                where=str(folder),
                expected="a folder made by `ionsieve run` or `ionsieve submit`",
                remedy="name the folder that the run printed, or start one: `ionsieve run CAMPAIGN.yaml`",
            ) from None
        if not isinstance(meta, dict) or meta.get("ionsieve") != "store" or not isinstance(meta.get("layout"), int):
            raise DataError("not the description of a store", where=str(folder / "store.json"))
        steps = plan_folder(meta["layout"], where=str(folder))
        if meta["layout"] != LAYOUT:
            with contextlib.nullcontext() if lock is not None else FolderLock(folder / "lock", what="a migration"):
                for step in steps:
                    step(folder)
                meta["layout"] = LAYOUT
                fs.write_file(folder / "store.json", env.pretty(meta))
        if (following := meta.pop("next", None)) is not None and _frozen_identity(folder) == following:
            meta["campaign"] = following  # a kill came between the two files of an amendment
        store = cls(folder, meta)
        if lock is not None:
            store.lock = lock
        return store

    @property
    def campaign(self) -> dict[str, Any]:
        """The frozen campaign as JSON.

        Raises
        ------
        DataError
            When it was edited or lost after the folder was made.
        """
        if self._campaign is not None:
            return self._campaign
        path = self.folder / "campaign.json"
        try:
            data = fs.read_json(path)
        except FileNotFoundError:
            data = None
        if not isinstance(data, dict) or identity(data) != self._meta["campaign"]:
            raise DataError(
                "the frozen campaign is missing" if data is None else "the frozen campaign was edited",
                where=str(path),
                cause="the results in this folder answer the campaign as it was",
                remedy="undo the edit; to change a campaign, run its edited YAML file with --amend or in a new folder",
            )
        self._campaign = data
        return data

    @property
    def campaign_id(self) -> str:
        """Identity of the campaign (see `identity`)."""
        return str(self._meta["campaign"])

    # -- ledger -----------------------------------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        """The index: writable while this object holds the lock, read-only otherwise."""
        writable = self.lock.held
        if self._ledger is not None and self._ledger.writable != writable:
            self._ledger.close()
            self._ledger = None
        if self._ledger is None:
            self._ledger = Ledger(self.folder / "ledger.sqlite", writable=writable)
        return self._ledger

    def rebuild(self, facts: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None) -> int:
        """Make the ledger anew from the files; return the number of rows. The lock must be held.

        Parameters
        ----------
        facts
            What planning needs of a record's JSON (`screening.plan.facts`).
        """
        if not self.lock.held:
            raise BugError("rebuilding the ledger needs the folder's lock", where=str(self.folder))
        self.close_ledger()
        self._forget_ledger("ledger.sqlite.new")  # of a rebuilding that was killed
        # made beside the old one and put into its place when it is whole: half a ledger would be taken for all of it
        made = Ledger(self.folder / "ledger.sqlite.new", writable=True)
        try:
            count = self._fill(made, facts)
        finally:
            made.close()
        self._forget_ledger("ledger.sqlite")
        (self.folder / "ledger.sqlite.new").replace(self.folder / "ledger.sqlite")
        return count

    def _forget_ledger(self, name: str) -> None:
        """Remove a ledger, its journal last: a ledger without the journal that it needs would look whole."""
        for suffix in ("", "-journal"):
            (self.folder / f"{name}{suffix}").unlink(missing_ok=True)

    def _fill(self, ledger: Ledger, facts: Callable[[dict[str, Any]], Mapping[str, Any]] | None) -> int:
        """Write a row for each record, with what the events tell of it, and for what was set aside."""
        work: dict[str, dict[str, Any]] = {}
        for event in self.events.read():
            key = event.get("key")
            if not isinstance(key, str):
                continue
            if event["kind"] in rows.COUNTED:
                rows.replay(work.setdefault(key, {}), event)
        count, batch = 0, []
        for stage in self.stages():
            for key in self.keys(stage):
                try:
                    stored = env.read(self.record_path(stage, key), key)
                except DamagedError:
                    continue  # the driver finds it missing and makes it again
                batch.append(rows.row(stored, work.pop(key, {}), facts))
                count += 1
                if len(batch) >= 2000:
                    ledger.write(batch)
                    batch.clear()
        for key, history in work.items():  # quarantined work has no record; its row comes from the events
            if history.get("reason") and history.get("stage"):
                fields = {k: v for k, v in history.items() if k in Row.__dataclass_fields__}
                batch.append(Row(key=key, **{**fields, "state": State.QUARANTINED}))
                count += 1
        ledger.write(batch)
        return count

    def close_ledger(self) -> None:
        """Close the ledger's file; it opens again when it is next asked for."""
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def close(self) -> None:
        """Close ledger and events and give the lock back."""
        self.close_ledger()
        self.events.close()
        self.lock.release()


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder that holds what is not ours (what a killed start left behind is)."""
    found = {p.name for p in folder.iterdir() if not fs.is_temporary(p)} if folder.exists() else set()
    ours = {"logs", "lock", "campaign.json"} | ({"campaign.yaml"} if "campaign.json" in found else set())
    if found - ours:
        raise InputError(
            "this folder holds other files and is no campaign's folder",
            where=str(folder),
            remedy="name a new or empty folder",
        )


def _take_back(folder: Path) -> None:
    """Leave nothing half-written: without store.json the folder would be nobody's."""
    with contextlib.suppress(OSError):  # the first error is the one to tell
        if (folder / "store.json").exists():
            return
        for part in ("campaign.json", "campaign.yaml", "lock"):
            (folder / part).unlink(missing_ok=True)
        folder.rmdir()
