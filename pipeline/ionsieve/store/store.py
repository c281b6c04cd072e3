"""The store: one campaign's folder, addressed by content.

```
FOLDER/
  store.json                         layout version, identity of the campaign, shared stores
  campaign.json  campaign.yaml       the frozen campaign, and the text it was read from
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
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import ValidationError

from ionsieve.errors import BugError, DataError, InputError
from ionsieve.records.base import Record
from ionsieve.records.files import FileReference
from ionsieve.store import envelope as env
from ionsieve.store import folder as fs
from ionsieve.store import rows
from ionsieve.store.address import Request, content_key, is_key
from ionsieve.store.envelope import DamagedError, Stored
from ionsieve.store.events import EventLog
from ionsieve.store.ledger import Ledger, Row, State
from ionsieve.store.lock import FolderLock
from ionsieve.store.migrations import LAYOUT, migrate_record, plan_folder

__all__ = ["Store", "identity"]

R = TypeVar("R", bound=Record)

_RUN_KEYS = ("run",)


def identity(campaign: Mapping[str, Any]) -> str:
    """Return what makes two campaigns the same: all but how they are run (section ``run``)."""
    return content_key({k: v for k, v in campaign.items() if k not in _RUN_KEYS})


class Store:
    """A campaign's folder. Make it by `create` or `open`.

    Reading and `put` need no lock, so that any number of workers use the folder; `events` and `ledger` are written by
    the one process that holds `lock`.
    """

    def __init__(self, folder: Path, meta: Mapping[str, Any]) -> None:
        self.folder = folder
        self._meta = dict(meta)
        self.lock = FolderLock(folder / "lock")
        self.events = EventLog(folder / "events.jsonl")
        self._ledger: Ledger | None = None
        self._campaign: dict[str, Any] | None = None
        self._stages: dict[str, str] = {}
        self._shares: list[Store] | None = None

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

        Raises
        ------
        InputError
            When the folder belongs to another campaign, or holds foreign files.
        SetupError
            When the disk is full, read-only or forbidden.
        """
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise InputError("this is a file, not a folder", where=str(folder), remedy="name another folder")
        name = identity(campaign)
        meta_path = folder / "store.json"
        if meta_path.exists():
            store = cls.open(folder)
            if store._meta["campaign"] != name and not amend:
                raise InputError(
                    "this folder belongs to another campaign",
                    where=str(folder),
                    found=f"campaign {store._meta['campaign'][:12]}",
                    expected=f"campaign {name[:12]}",
                    cause="the campaign file was changed after the folder was made",
                    remedy="name a new folder and set `run.share` to this one (common results are reused), "
                    "or say --amend",
                )
            shares = [str(Path(p).absolute()) for p in share]
            if store._meta["campaign"] != name:
                old = store._meta["campaign"]
                fs.write_file(folder / "campaigns" / f"{old}.json", (folder / "campaign.json").read_bytes())
                store._freeze(campaign, source, name, shares)
            elif sorted(shares) != sorted(store._meta.get("share", [])):
                store._meta["share"] = shares
                fs.write_file(meta_path, env.pretty(store._meta))
            return store
        if folder.exists() and any(p.name != "logs" and not fs.is_temporary(p) for p in folder.iterdir()):
            raise InputError(
                "this folder holds other files and is no campaign's folder",
                where=str(folder),
                remedy="name a new or empty folder",
            )
        store = cls(folder, {})
        fresh = not folder.exists()
        try:
            store._freeze(campaign, source, name, [str(Path(p).absolute()) for p in share])
        except BaseException:
            # nothing half-written stays: without store.json the folder would be nobody's
            with contextlib.suppress(OSError):  # the first error is the one to tell
                for part in ("campaign.json", "campaign.yaml", "store.json"):
                    (folder / part).unlink(missing_ok=True)
                if fresh and folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
            raise
        return store

    def _freeze(self, campaign: Mapping[str, Any], source: str, name: str, share: list[str]) -> None:
        fs.write_file(self.folder / "campaign.json", env.pretty(campaign))
        if source:
            fs.write_file(self.folder / "campaign.yaml", source)
        self._meta = {"ionsieve": "store", "layout": LAYOUT, "campaign": name, "share": share}
        fs.write_file(self.folder / "store.json", env.pretty(self._meta))

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open a campaign's folder.

        Raises
        ------
        InputError
            When it is none.
        DataError
            When it was made by a newer version.
        """
        folder = Path(folder)
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
        for step in plan_folder(meta["layout"], where=str(folder)):
            step(folder)
        if meta["layout"] != LAYOUT:
            meta["layout"] = LAYOUT
            fs.write_file(folder / "store.json", env.pretty(meta))
        return cls(folder, meta)

    @property
    def campaign(self) -> dict[str, Any]:
        """The frozen campaign as JSON.

        Raises
        ------
        DataError
            When it was edited after the folder was made.
        """
        if self._campaign is not None:
            return self._campaign
        path = self.folder / "campaign.json"
        data = fs.read_json(path)
        if not isinstance(data, dict) or identity(data) != self._meta["campaign"]:
            raise DataError(
                "the frozen campaign was edited",
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

    # -- records ----------------------------------------------------------------------------------------------------

    def record_path(self, stage: str, key: str) -> Path:
        """Where the record of a request lies."""
        return self.folder / "records" / stage / key[:2] / f"{key}.json"

    def _find(self, key: str, hint: str) -> Path | None:
        if not is_key(key):
            raise BugError("a record is named by its address", found=str(key))
        guess = self._stages.get(hint)
        if guess is not None and (path := self.record_path(guess, key)).exists():
            return path
        root = self.folder / "records"
        if root.is_dir():
            for entry in sorted(_names(root)):
                if (path := self.record_path(entry, key)).exists():
                    self._stages[hint] = entry
                    return path
        return None

    def has(self, key: str, *, stage: str = "") -> bool:
        """Whether an answer is stored (its digest is checked when it is read)."""
        if stage and self.record_path(stage, key).exists():
            return True
        return self._find(key, stage) is not None or self._borrow(key, stage) is not None

    def stored(self, key: str, *, hint: str = "") -> Stored | None:
        """Read and verify one record's file without interpreting the record.

        Raises
        ------
        DamagedError
            When a digest does not agree.
        """
        path = self._find(key, hint) or self._borrow(key, hint)
        if path is None:
            return None
        return env.read(path, key)

    def get(self, key: str, record_type: type[R]) -> R | None:
        """Return the record under `key`, verified, or None when it is not there (here or in a shared store).

        Raises
        ------
        DamagedError
            When the file fails its digest.
        DataError
            When it holds another kind of record, or one of a version that cannot be read.
        """
        stored = self.stored(key, hint=record_type.__name__)
        if stored is None:
            return None
        where = str(stored.path)
        data = migrate_record(stored.data, name=record_type.__name__, schema=record_type.SCHEMA, where=where)
        try:
            return record_type.model_validate(data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise DataError(
                f"not a valid {record_type.__name__}: {first['msg']}",
                where=where,
                key=".".join(map(str, first["loc"])),
                remedy="it was written by another version; `ionsieve clean --outdated FOLDER` drops it",
            ) from error

    def need(self, key: str, record_type: type[R]) -> R:
        """Return the record under `key`, which must be there: an input of the stage that asks.

        Raises
        ------
        DamagedError
            When it is missing or damaged: the driver then makes it again.
        """
        record = self.get(key, record_type)
        if record is None:
            raise DamagedError(
                f"a {record_type.__name__} is missing",
                where=str(self.folder),
                key=f"/{key}",
                remedy="`ionsieve resume FOLDER` computes it again",
            )
        return record

    def request(self, key: str) -> Request | None:
        """Return the request that a stored record answers."""
        stored = self.stored(key)
        return None if stored is None else stored.request

    def put(self, request: Request, record: Record, files: Mapping[str, Path] | None = None) -> str:
        """Store the answer to `request`; return its key.

        Files are put into place first; the record's file is the commit; the scratch folder goes last. References to
        files in the request's scratch folder are rewritten to where the files now lie. A record that is stored already
        stays: the second answer to the same question is dropped.

        Parameters
        ----------
        request, record
            The question and its answer.
        files
            Further files: name in the store -> where it is.

        Raises
        ------
        SetupError
            When the disk is full.
        InputError
            When a file's name is unsafe.
        """
        key = request.key
        path = self.record_path(request.stage, key)
        if path.exists():
            try:
                env.read(path, key)
            except DamagedError:
                self.discard(request.stage, key, damaged=True)
            else:
                return key
        data = record.to_dict()
        scratch = self.folder / "scratch" / key
        moves = {}
        for reference in env.references(data):
            source = self.folder / reference.path
            if scratch in source.parents:
                moves[reference.path] = (source, source.name)
        for name, source in (files or {}).items():
            moves[self._relative(Path(source))] = (Path(source), name)
        home = f"files/{request.stage}/{key}"
        for _, (source, name) in sorted(moves.items()):
            fs.link_file(source, self.folder / home / fs.safe_name(name, what="file's name"))
        data = env.relocate(data, {old: f"{home}/{name}" for old, (_, name) in moves.items()})
        env.check_references(data, self.folder, request)
        fs.write_file(path, env.envelope(request, data))
        shutil.rmtree(scratch, ignore_errors=True)
        return key

    def discard(self, stage: str, key: str, *, damaged: bool = False) -> bool:
        """Forget a record and its files, or set them aside when damaged; return whether there was one."""
        found = False
        for path in (self.record_path(stage, key), self.folder / "files" / stage / key):
            if not path.exists():
                continue
            found = True
            if damaged:
                aside = self.folder / "damaged" / stage / f"{path.name}.{time.time_ns()}"
                aside.parent.mkdir(parents=True, exist_ok=True)
                path.replace(aside)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        return found

    def stages(self) -> list[str]:
        """Stages that have records."""
        root = self.folder / "records"
        return sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []

    def keys(self, stage: str) -> Iterator[str]:
        """Yield the keys stored of a stage, in order."""
        root = self.folder / "records" / stage
        if root.is_dir():
            for part in sorted(_names(root)):
                for name in sorted(_names(root / part)):
                    if name.endswith(".json") and is_key(name[:-5]):
                        yield name[:-5]

    def records(self, stage: str, record_type: type[R] | None = None) -> Iterator[tuple[Request, Any]]:
        """Yield (request, record) of a stage in the order of the keys; plain JSON when no type is given."""
        for key in self.keys(stage):
            stored = env.read(self.record_path(stage, key), key)
            if record_type is None:
                yield stored.request, stored.data
            else:
                record = self.get(key, record_type)
                if record is not None:
                    yield stored.request, record

    # -- files ------------------------------------------------------------------------------------------------------

    def _relative(self, path: Path) -> str:
        try:
            return path.absolute().relative_to(self.folder.absolute()).as_posix()
        except ValueError:
            return path.absolute().as_posix()

    def workdir(self, key: str) -> Path:
        """Return the scratch folder of a request: for checkpoints, survives kills, dropped by `put`."""
        if not is_key(key):
            raise BugError("a scratch folder is named by an address", found=str(key))
        path = self.folder / "scratch" / key
        with fs.disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        return path

    def reference(self, path: str | Path) -> FileReference:
        """Return the reference (path relative to the folder, SHA-256, size) of a file as it is now."""
        path = Path(path)
        return FileReference(path=self._relative(path), sha256=fs.digest(path), size_bytes=path.stat().st_size)

    def adopt(self, request: Request, path: str | Path, name: str = "") -> FileReference:
        """Take a finished file of `workdir` into the store; return the reference for the record.

        The file is linked, not moved: it stays in the scratch folder until `put` commits the record, so that a kill
        between the two costs nothing.

        Raises
        ------
        InputError
            When the name is unsafe.
        SetupError
            When the disk is full.
        """
        path = Path(path)
        target = (
            self.folder / "files" / request.stage / request.key / fs.safe_name(name or path.name, what="file's name")
        )
        fs.link_file(path, target)
        return self.reference(target)

    def file(self, reference: FileReference, *, verify: bool = True) -> Path:
        """Return the path of a file that a record names, verified.

        Raises
        ------
        DamagedError
            When it is missing, has another size, or fails its digest.
        """
        path = fs.within(self.folder, reference.path)
        parts = Path(reference.path).parts
        owner = f"{parts[1]}/{parts[2]}" if len(parts) > 3 and parts[0] == "files" else ""
        if not path.is_file():
            problem = "is missing"
        elif path.stat().st_size != reference.size_bytes:
            problem = f"has {path.stat().st_size} bytes instead of {reference.size_bytes}"
        elif verify and fs.digest(path) != reference.sha256:
            problem = "fails its digest"
        else:
            return path
        raise DamagedError(
            f"a stored file {problem}", where=str(path), key=owner, remedy="`ionsieve resume FOLDER` computes it again"
        )

    # -- other campaigns --------------------------------------------------------------------------------------------

    def _borrow(self, key: str, hint: str) -> Path | None:
        """Take over a record, with its files, from a shared store that has it intact."""
        if self._shares is None:
            self._shares = [Store.open(p) for p in self._meta.get("share", []) if (Path(p) / "store.json").exists()]
        for other in self._shares:
            found = other._find(key, hint)
            if found is None:
                continue
            try:
                stored = env.read(found, key)
                references = list(env.references(stored.data))
                sources = [(other.file(r), self.folder / r.path) for r in references]
            except DamagedError:
                continue
            for source, target in sources:
                if not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    part = fs.temporary(target)
                    try:
                        os.link(source, part)
                    except OSError:
                        shutil.copyfile(source, part)
                    part.replace(target)
            path = self.record_path(stored.request.stage, key)
            fs.write_file(path, found.read_bytes())
            self._stages[hint] = stored.request.stage
            return path
        return None

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
        for suffix in ("", "-journal"):
            (self.folder / f"ledger.sqlite{suffix}").unlink(missing_ok=True)
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
                    self.ledger.write(batch)
                    batch.clear()
        for key, history in work.items():  # quarantined work has no record; its row comes from the events
            if history.get("reason") and history.get("stage"):
                fields = {k: v for k, v in history.items() if k in Row.__dataclass_fields__}
                batch.append(Row(key=key, **{**fields, "state": State.QUARANTINED}))
                count += 1
        self.ledger.write(batch)
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


def _names(folder: Path) -> list[str]:
    return os.listdir(folder)  # noqa: PTH208 (a million names: no Path objects)
