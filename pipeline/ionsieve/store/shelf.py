"""The records and files of one folder: what workers read and write, without lock and ledger.

Order of a `put`: files into place, then the record's file (the commit), then the scratch folder goes. Each is flushed
before it is renamed. Short questions are answered by the bundle, and a flush costs more than such an answer: inside
`together` all records of the bundle are flushed in one go and become visible at its end. Nobody is told that they are
done before that, so the promise is the same: what was told to be done survives a power cut.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from ionsieve.errors import BugError, DataError
from ionsieve.records.base import Record
from ionsieve.records.files import FileReference
from ionsieve.store import envelope as env
from ionsieve.store import folder as fs
from ionsieve.store.address import Request, is_key
from ionsieve.store.envelope import DamagedError, Stored
from ionsieve.store.migrations import LAYOUT, migrate_record

__all__ = ["Shelf"]

R = TypeVar("R", bound=Record)


@dataclass
class _Group:
    """Records that wait for the common flush: written beside their names, and the scratch folders to drop after."""

    records: dict[str, tuple[Path, Stored]] = field(default_factory=dict)  # key -> temporary, what it will be
    folders: set[Path] = field(default_factory=set)
    scratch: list[Path] = field(default_factory=list)

    def commit(self, root: Path) -> None:
        """Flush everything, then rename, then flush the names."""
        if not self.records:
            return
        with fs.disk_errors(root):
            fs.flush([part for part, _ in self.records.values()], root=root)
            for part, stored in self.records.values():
                part.replace(stored.path)
            fs.flush([*{stored.path.parent for _, stored in self.records.values()}, *self.folders], root=root)
        for path in self.scratch:
            shutil.rmtree(path, ignore_errors=True)

    def abandon(self) -> None:
        """Drop what was not committed."""
        for part, _ in self.records.values():
            part.unlink(missing_ok=True)


class Shelf:
    """The records of a folder under the addresses of their questions. Any number of processes may use it.

    Parameters
    ----------
    folder
        The campaign's folder.
    shares
        Folders of other campaigns that lend their results.
    """

    def __init__(self, folder: Path, *, shares: Sequence[str] = ()) -> None:
        self.folder = folder
        self._stages: dict[str, str] = {}
        self._share_paths = tuple(shares)
        self._lenders: list[Shelf] | None = None
        self._group: _Group | None = None

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
        if stage:
            self._stages.setdefault(stage, stage)  # a stage's name is where its records lie
            if self.record_path(stage, key).exists():
                return True
            return bool(self._share_paths) and self._borrow(key, stage) is not None
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
        """Store the answer to `request`; return its key. See `keep`."""
        return self.keep(request, record, files).request.key

    def keep(self, request: Request, record: Record, files: Mapping[str, Path] | None = None) -> Stored:
        """Store the answer to `request`; return it as stored.

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
                return env.read(path, key)
            except DamagedError:
                self.discard(request.stage, key, damaged=True)
        group = self._group
        if group is not None and key in group.records:
            return group.records[key][1]
        data = record.to_dict()
        scratch = self.folder / "scratch" / key
        moves = {}
        named = list(env.references(data))
        for reference in named:
            source = self.folder / reference.path
            if scratch in source.parents:
                moves[reference.path] = (source, source.name)
        for name, source in (files or {}).items():
            moves[self._relative(Path(source))] = (Path(source), name)
        home = f"files/{request.stage}/{key}"
        for _, (source, name) in sorted(moves.items()):
            fs.link_file(source, self.folder / home / fs.safe_name(name, what="file's name"), sync=group is None)
        if named:
            data = env.relocate(data, {old: f"{home}/{name}" for old, (_, name) in moves.items()})
            env.check_references(data, self.folder, request)
        raw, digest = env.envelope(request, data)
        stored = Stored(request=request, data=data, digest=digest, path=path)
        if group is None:
            fs.write_file(path, raw)
            shutil.rmtree(scratch, ignore_errors=True)
        else:
            group.records[key] = (fs.write_part(path, raw), stored)
            group.scratch.append(scratch)
            if moves:
                group.folders.add(self.folder / home)
        return stored

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let the records that are put inside share one flush; they become visible at the end, or none of them does."""
        if self._group is not None:
            raise BugError("records are being put together already", where=str(self.folder))
        self._group = group = _Group()
        try:
            yield
            group.commit(self.folder)
        except BaseException:
            group.abandon()
            raise
        finally:
            self._group = None

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
        if self._lenders is None:
            self._lenders = [Shelf(Path(p)) for p in self._share_paths if _can_lend(Path(p))]
        for other in self._lenders:
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
                    fs.link_file(source, target, sync=False)  # the lender has flushed it; only its new name is ours
                    fs.sync_folder(target.parent)
            path = self.record_path(stored.request.stage, key)
            fs.write_file(path, found.read_bytes())
            self._stages[hint] = stored.request.stage
            return path
        return None


def _can_lend(folder: Path) -> bool:
    """Whether there is a store of this layout (an older one is migrated when somebody works on it)."""
    try:
        return bool(fs.read_json(folder / "store.json").get("layout") == LAYOUT)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _names(folder: Path) -> list[str]:
    return os.listdir(folder)  # noqa: PTH208 (a million names: no Path objects)
