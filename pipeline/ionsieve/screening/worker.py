"""What a worker does: take a bundle of questions, answer them into the store, and say in a few words how it went.

No Dask here: the function runs in any process that sees the folder. Results never travel; they are files.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import shutil
import socket
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ionsieve.dynamics import stopping
from ionsieve.errors import InputError, IonsieveError, SetupError
from ionsieve.screening.facts import facts
from ionsieve.store import DamagedError, Request, Store
from ionsieve.store.envelope import Stored
from ionsieve.store.rows import outcome_of

__all__ = ["Answer", "Note", "answer", "marker_path", "prepare", "time_left_s", "work"]

MARGIN_S = 30.0
"""Seconds before the end of an allocation at which no work is running any more."""


@dataclass(frozen=True)
class Answer:
    """How one question went.

    Attributes
    ----------
    key
        Address.
    status
        ``done``; ``unfinished`` (a slice ended, the checkpoint is saved); ``damaged`` (an input, named in `culprit`,
        fails its digest); ``busy`` (another process still works on it); ``refused`` (the question itself is wrong);
        ``setup`` (this machine cannot); ``error`` (anything else).
    facts, outcome, reason, digest
        Of the record, when done.
    reused
        Whether the record was there already.
    seconds
        Spent on it.
    """

    key: str
    status: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    outcome: str = ""
    reason: str = ""
    digest: str = ""
    culprit: str = ""
    details: str = ""
    reused: bool = False
    seconds: float = 0.0
    worker: str = ""
    device: str = ""


_STORES: dict[str, tuple[Any, Store]] = {}
_STAGES: dict[str, Mapping[str, Any]] = {}


def _store(folder: str) -> Store:
    """Return the folder's store; opened again when an amendment has put another campaign there."""
    try:
        told = (Path(folder) / "store.json").stat()
        written: Any = (told.st_ino, told.st_mtime_ns, told.st_size)
    except OSError:
        written = None  # `open` says what is wrong
    held = _STORES.get(folder)
    if held is None or held[0] != written:
        _STORES.clear()
        held = _STORES[folder] = (written, Store.open(folder))
    return held[1]


def _stages(where: str) -> Mapping[str, Any]:
    if where not in _STAGES:
        module, name = where.split(":")
        _STAGES[where] = getattr(importlib.import_module(module), name)
    return _STAGES[where]


def prepare(stages: str) -> None:
    """Load what the stages will import, so that a worker that waits for its first task does not wait again in it."""
    for stage in _stages(stages).values():
        for module in getattr(stage, "libraries", ()):
            importlib.import_module(module)


def time_left_s(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return the seconds until this process's allocation ends, less a margin; None when nothing says so."""
    for name in ("IONSIEVE_END_TIME", "SLURM_JOB_END_TIME"):
        value = environment.get(name, "")
        try:
            return float(value) - time.time() - MARGIN_S
        except ValueError:
            continue
    return None


def marker_path(folder: Path, worker: str) -> Path:
    """Where a worker notes what it is doing: read by the driver when it dies."""
    return folder / "workers" / ("".join(c if c.isalnum() else "-" for c in worker)[-120:] + ".json")


@contextmanager
def _claim(store: Store, key: str) -> Iterator[bool]:
    """Hold the scratch folder of a request: a worker that was given up but still runs must not share it."""
    path = store.workdir(key) / ".lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:  # the other one has just finished and dropped the folder
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:  # a file system without locks
            pass
        yield True
    finally:
        os.close(handle)


def work(
    folder: str,
    requests: Sequence[Mapping[str, Any]],
    *,
    bundle: str,
    stages: str,
    deadline_s: float | None,
    worker: str = "",
    fresh: Sequence[str] = (),
) -> list[Answer]:
    """Answer a bundle of requests of one stage.

    Parameters
    ----------
    folder
        The store.
    requests
        As `Request.to_dict`.
    bundle
        Its name, for the note that tells what was going on when a worker died.
    stages
        ``module:NAME`` of the mapping of stages.
    deadline_s
        Seconds after which unfinished work is saved and given back.
    worker
        Name of this worker.
    fresh
        Keys whose scratch folders are emptied first: their last attempts failed.

    Returns
    -------
    list of Answer
        In the order asked; those that the deadline left untouched are ``unfinished``.
    """
    begin = time.monotonic()
    left = time_left_s()
    if left is not None:
        deadline_s = left if deadline_s is None else min(deadline_s, left)
        if deadline_s <= 0:
            return [Answer(Request.from_dict(r).key, "unfinished", worker=worker) for r in requests]
    store, table = _store(folder), _stages(stages)
    asked = [Request.from_dict(r) for r in requests]
    stage = table[asked[0].stage]
    for key in fresh:
        shutil.rmtree(store.folder / "scratch" / key, ignore_errors=True)
    many = getattr(stage, "run_many", None)
    with Note(marker_path(store.folder, worker or f"{socket.gethostname()}-{os.getpid()}"), bundle) as note:
        if many is not None and len(asked) > 1:
            note.at([r.key for r in asked])
            answers = _answer_many(asked, store, stage, deadline_s)
        elif len(asked) > 1:
            answers = _answer_together(asked, store, stage, deadline_s, begin, note)
        else:
            answers = _answer_each(asked, store, stage, deadline_s, begin, note)
        note.at([])
    device = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    device = f"cuda:{device}" if device and getattr(stage, "uses_device", False) else "cpu"
    return [Answer(**{**vars(a), "worker": worker, "device": device}) for a in answers]


class Note:
    """The note of what a worker is at: one small file, written over in place for each request of a bundle.

    Parameters
    ----------
    path
        The file (`marker_path`).
    bundle
        Name of the bundle.
    """

    def __init__(self, path: Path, bundle: str) -> None:
        path.parent.mkdir(exist_ok=True)
        self._bundle = bundle
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._size = os.fstat(self._handle).st_size

    def at(self, keys: Sequence[str]) -> None:
        """Say at which requests the worker is now."""
        note = {"bundle": self._bundle, "keys": list(keys), "pid": os.getpid(), "host": socket.gethostname()}
        # in one write, blanks over what is longer: cutting the file first would cost a flush on some file systems
        text = json.dumps(note).encode().ljust(self._size)
        self._size = len(text)
        os.pwrite(self._handle, text, 0)

    def __enter__(self) -> Note:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)


def _answer_each(
    asked: Sequence[Request], store: Store, stage: Any, deadline_s: float | None, begin: float, note: Note
) -> list[Answer]:
    """Answer one request after the other until a stop or the deadline; the first is begun whatever the deadline."""
    answers: list[Answer] = []
    for request in asked:
        used = time.monotonic() - begin
        if stopping.asked() or (deadline_s is not None and used >= deadline_s and answers):
            answers.append(Answer(request.key, "unfinished"))
            continue
        note.at([request.key])
        answers.append(answer(request, store, stage, None if deadline_s is None else deadline_s - used))
    return answers


def _answer_together(
    asked: Sequence[Request], store: Store, stage: Any, deadline_s: float | None, begin: float, note: Note
) -> list[Answer]:
    """Answer short requests with one flush of the disk for all; when it fails, none of them is answered."""
    answers: list[Answer] = []
    start = time.monotonic()
    try:
        with store.together():
            answers = _answer_each(asked, store, stage, deadline_s, begin, note)
            flush = time.monotonic()
    except (OSError, SetupError) as error:
        share = (time.monotonic() - start) / len(asked)
        return [_trouble(r.key, error, share) for r in asked]
    share = (time.monotonic() - flush) / len(asked)
    return [replace(a, seconds=a.seconds + share) if a.status == "done" and not a.reused else a for a in answers]


def answer(request: Request, store: Store, stage: Any, deadline_s: float | None) -> Answer:
    """Answer one request into the store; never raises what is known to go wrong."""
    start = time.monotonic()
    key = request.key

    def took() -> float:
        return time.monotonic() - start

    try:
        if (known := _known(store, request)) is not None:
            return known
        if not getattr(stage, "uses_device", False):
            record = stage.run(request, store, deadline_s)
        else:
            with _claim(store, key) as mine:
                if not mine:
                    return _known(store, request) or Answer(key, "busy")
                if (known := _known(store, request)) is not None:
                    return known
                record = stage.run(request, store, deadline_s)
        if record is None:
            return Answer(key, "unfinished", seconds=took())
        return _done(store.keep(request, record), seconds=took())
    except Exception as error:  # noqa: BLE001 (sorted by `_trouble`: every kind is reported)
        return _trouble(key, error, took())


def _answer_many(asked: Sequence[Request], store: Store, stage: Any, deadline_s: float | None) -> list[Answer]:
    """Answer several requests in one call of the stage; each is claimed, stored and reported by itself."""
    start = time.monotonic()
    found: dict[str, Answer] = {}
    claims: list[tuple[Request, Any]] = []
    try:
        for request in asked:
            known = _known(store, request)
            if known is None:
                claim = _claim(store, request.key)
                if claim.__enter__():
                    claims.append((request, claim))
                    continue
                claim.__exit__(None, None, None)
                known = _known(store, request) or Answer(request.key, "busy")
            found[request.key] = known
        mine = [r for r, _ in claims]
        records = stage.run_many(mine, store, deadline_s) if mine else []
        share = (time.monotonic() - start) / max(1, len(mine))
        for request, record in zip(mine, records, strict=True):
            if record is None:
                found[request.key] = Answer(request.key, "unfinished", seconds=share)
            else:
                found[request.key] = _done(store.keep(request, record), seconds=share)
    except Exception as error:  # noqa: BLE001 (sorted by `_trouble`: every kind is reported)
        share = (time.monotonic() - start) / len(asked)
        for request in asked:
            found.setdefault(request.key, _trouble(request.key, error, share))
    finally:
        for _, claim in claims:
            claim.__exit__(None, None, None)
    return [found[r.key] for r in asked]


def _known(store: Store, request: Request) -> Answer | None:
    """Return the answer when an intact record is there; set a damaged one aside."""
    try:
        if not store.has(request.key, stage=request.stage):
            return None
        stored = store.stored(request.key, hint=request.stage)
        return None if stored is None else _done(stored, reused=True)
    except DamagedError:
        store.discard(request.stage, request.key, damaged=True)
        return None


def _done(stored: Stored, *, seconds: float = 0.0, reused: bool = False) -> Answer:
    outcome, reason = outcome_of(stored.data)
    return Answer(
        stored.request.key,
        "done",
        facts=facts(stored.data),
        outcome=outcome,
        reason=reason,
        digest=stored.digest,
        reused=reused,
        seconds=seconds,
    )


def _trouble(key: str, error: Exception, seconds: float) -> Answer:
    """Sort an exception by who can act."""
    details = "".join(traceback.format_exception(error))[-8000:]
    text = str(error) or type(error).__name__
    if isinstance(error, DamagedError) and error.problem.key:
        return Answer(key, "damaged", culprit=error.problem.key, reason=text, details=details, seconds=seconds)
    if isinstance(error, SetupError):
        return Answer(key, "setup", reason=text, details=details, seconds=seconds)
    if isinstance(error, InputError):
        return Answer(key, "refused", reason=text, details=details, seconds=seconds)
    if not isinstance(error, IonsieveError):
        text = f"{type(error).__name__}: {text}"
    return Answer(key, "error", reason=text, details=details, seconds=seconds)
