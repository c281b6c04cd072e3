"""Where bundles of work go: this process, or a Dask cluster. Nothing but Dask's transport is known here.

Dask is disposable carriage: a bundle carries a folder's name and a few questions, an answer a few words. Whoever
dies, the results are files; what was being done when a worker died is told by the note that it wrote (see
`worker.marker_path`).
"""

from __future__ import annotations

import asyncio
import json
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ionsieve.errors import SetupError, TransientError
from ionsieve.screening import leaving
from ionsieve.screening.worker import Answer, marker_path, prepare, time_left_s, work

__all__ = ["Bundle", "Completion", "DaskPool", "Pool", "SerialPool", "read_marker"]


RESULT_S = 5.0
"""How long to wait for the few words of a finished bundle: its worker may have died since. It is then asked again, and
finds its answers on disk."""
SILENT_S = 60.0
"""A scheduler that has not answered for so long is taken for dead."""


@dataclass(frozen=True)
class Bundle:
    """Requests of one stage that one worker answers in one go. `device`: claims a GPU where there is one."""

    name: str
    requests: tuple[Mapping[str, Any], ...]
    device: bool
    deadline_s: float | None
    fresh: tuple[str, ...] = ()


@dataclass(frozen=True)
class Completion:
    """How a bundle went: its answers; or lost, with the keys that its worker was at (none: it had not begun)."""

    bundle: str
    answers: tuple[Answer, ...] = ()
    lost: bool = False
    culprits: tuple[str, ...] = ()
    worker: str = ""
    reason: str = ""


class Pool(Protocol):
    """What the driver needs of a place where work is done."""

    def capacity(self) -> Mapping[str, int]:
        """Return how many bundles run at a time: ``device`` and ``cpu``; equal pools share the same workers."""

    def shared(self) -> bool:
        """Whether device and CPU work share the same workers."""

    def submit(self, bundle: Bundle) -> None:
        """Hand out a bundle."""

    def wait(self, timeout_s: float) -> list[Completion]:
        """Return what has completed, waiting at most so long for the first."""

    def describe(self) -> Mapping[str, Any]:
        """Return what people want to know: workers, dashboard, scheduler."""

    def close(self) -> None:
        """End the workers that this pool started."""


def read_marker(folder: Path, worker: str, bundle: str) -> tuple[str, ...]:
    """Return the keys that `worker` was at when it died; empty when it had not begun this bundle."""
    try:
        note = json.loads(marker_path(folder, worker).read_text())
    except (OSError, json.JSONDecodeError):
        return ()
    return tuple(note.get("keys", ())) if note.get("bundle") == bundle else ()


class SerialPool:
    """Everything in this process, one bundle after the other: for tests, debugging and ``--workers 0``."""

    def __init__(self, folder: Path, stages: str) -> None:
        self._folder = folder
        self._stages = stages
        self._waiting: list[Bundle] = []

    def capacity(self) -> Mapping[str, int]:
        """One of either."""
        return {"device": 1, "cpu": 1}

    def shared(self) -> bool:
        """It is one process."""
        return True

    def submit(self, bundle: Bundle) -> None:
        """Queue a bundle."""
        self._waiting.append(bundle)

    def wait(self, timeout_s: float) -> list[Completion]:
        """Do the next bundle."""
        if not self._waiting:
            return []
        bundle = self._waiting.pop(0)
        answers = work(
            str(self._folder),
            bundle.requests,
            bundle=bundle.name,
            stages=self._stages,
            deadline_s=bundle.deadline_s,
            worker="serial",
            fresh=bundle.fresh,
        )
        return [Completion(bundle.name, tuple(answers), worker="serial")]

    def describe(self) -> Mapping[str, Any]:
        """No workers but this process."""
        return {"workers": 0, "where": "this process"}

    def close(self) -> None:
        """Nothing to end."""


def _on_worker(folder: str, requests: Sequence[Mapping[str, Any]], *, bundle: str, **told: Any) -> list[Answer]:
    """Run `work` under the name of the Dask worker that was given it."""
    from distributed import get_worker

    worker = get_worker()
    with leaving.at_work(worker, bundle):
        answers = work(folder, requests, bundle=bundle, worker=worker.address, **told)
        left = time_left_s()
        if left is not None and left <= 0:  # the job ends soon: leave before it is killed
            worker.loop.add_callback(leaving.leave, worker, restart=False)
    return answers


class DaskPool:
    """The workers of one Dask cluster.

    Parameters
    ----------
    client
        Connected; closed by `close`.
    folder, stages
        Store and stages that the workers use.
    owned
        Whatever must be closed with the pool (a cluster that was started for it).
    patience_s
        How long to go without a single worker before giving up.
    on_idle
        Called about once a second (to keep a queue of jobs filled).
    gpus
        Whether the cluster is to have GPUs: dynamics waits for the first of them and never goes to a CPU worker that
        came earlier.
    """

    def __init__(
        self,
        client: Any,
        folder: Path,
        stages: str,
        *,
        owned: Sequence[Any] = (),
        patience_s: float = 120.0,
        on_idle: Callable[[], None] | None = None,
        notes: Mapping[str, Any] | None = None,
        gpus: bool = False,
    ) -> None:
        self._client = client
        self._gpus = gpus
        self._folder = folder
        self._stages = stages
        self._owned = list(owned)
        self._futures: dict[str, Any] = {}
        self._done: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._patience_s = patience_s
        self._without_since: float | None = None
        self._looked = 0.0
        self._question: Future[Any] | None = None  # to the scheduler, as long as it has not answered
        self._asked = 0.0
        self._workers: dict[str, Any] = {}
        self._on_idle = on_idle
        self._notes = dict(notes or {})
        self._look(force=True)
        self._dashboard = str(client.dashboard_link or "")  # asks the scheduler each time

    # -- the cluster ------------------------------------------------------------------------------------------------

    def _look(self, *, force: bool = False) -> None:
        """Learn which workers there are, about once a second."""
        now = time.monotonic()
        if self._question is None:
            if not force and now - self._looked < 1.0:
                return
            self._looked = now
            if self._on_idle is not None:
                self._on_idle()
        seen = self._identity(wait=force)
        if self._client.status != "running":
            raise TransientError("the Dask scheduler is gone", cause=f"client is {self._client.status}")
        if seen is not None:
            self._workers = dict(seen.get("workers", {}))
        if self._workers:
            self._without_since = None
        elif self._without_since is None:
            self._without_since = now
        elif now - self._without_since > self._patience_s:
            raise SetupError(
                f"no worker has been there for {self._patience_s:.0f} s",
                where=str(self._client.scheduler.address if self._client.scheduler else ""),
                cause="the cluster started none, or each died at once",
                remedy="look into the logs in the folder's logs/; `ionsieve doctor` checks the machine",
            )

    def _identity(self, *, wait: bool) -> Mapping[str, Any] | None:
        """Return what the scheduler says of itself: its answer to an earlier question, or None while there is none.

        A scheduler may hang. Nobody waits for it here, so that a driver that is told to end can do so.

        Raises
        ------
        TransientError
            When it has said nothing for `SILENT_S`, or is gone.
        """
        try:
            if self._question is None:
                asked = self._client.scheduler.identity(n_workers=-1)
                self._asked = time.monotonic()
                self._question = asyncio.run_coroutine_threadsafe(asked, self._client.loop.asyncio_loop)
            overdue = time.monotonic() - self._asked > SILENT_S
            if not (wait or overdue or self._question.done()):
                return None
            question, self._question = self._question, None
            return dict(question.result(timeout=SILENT_S if wait else RESULT_S))
        except TimeoutError as error:
            question.cancel()
            raise TransientError(f"the Dask scheduler has not answered for {SILENT_S:.0f} s") from error
        except OSError:  # the client notices too
            return None
        except (ValueError, AttributeError, CancelledError) as error:
            raise TransientError("the Dask scheduler is gone", cause=str(error)) from error

    def prepare(self) -> None:
        """Let workers load the heavy libraries while the first tasks are made elsewhere: all but one, and every GPU."""
        from distributed import fire_and_forget

        gpus = [a for a, w in self._workers.items() if w.get("resources", {}).get("GPU", 0)]
        for address in gpus or list(self._workers)[1:]:
            fire_and_forget(
                self._client.submit(
                    prepare,
                    self._stages,
                    key=f"prepare-{address}",
                    workers=[address],
                    pure=False,
                    retries=0,
                    resources={"GPU": 1} if gpus else None,
                )
            )

    def capacity(self) -> Mapping[str, int]:
        """Threads of the workers, and GPUs they declare."""
        gpus = sum(int(w.get("resources", {}).get("GPU", 0)) for w in self._workers.values())
        threads = sum(int(w.get("nthreads", 1)) for w in self._workers.values())
        cpus = sum(int(w.get("resources", {}).get("CPU", 0)) for w in self._workers.values())
        return {"device": gpus if self._gpus else gpus or threads, "cpu": cpus or threads}

    def shared(self) -> bool:
        """Whether one group of workers does both kinds of work."""
        return not (self._gpus or self._declared("GPU"))

    def _declared(self, name: str) -> bool:
        return any(w.get("resources", {}).get(name, 0) for w in self._workers.values())

    def _resources(self, device: bool) -> dict[str, float] | None:
        name = "GPU" if device else "CPU"
        return {name: 1} if self._declared(name) or (device and self._gpus) else None

    def submit(self, bundle: Bundle) -> None:
        """Send a bundle to a worker."""
        future = self._client.submit(
            _on_worker,
            str(self._folder),
            list(bundle.requests),
            bundle=bundle.name,
            stages=self._stages,
            deadline_s=bundle.deadline_s,
            fresh=bundle.fresh,
            key=(bundle.name, 0),  # in a group of its own: Dask places the members of large groups by number, not time
            pure=False,
            retries=0,
            resources=self._resources(bundle.device),
            priority=0 if bundle.device else 1,
        )
        self._futures[bundle.name] = future
        name = bundle.name
        future.add_done_callback(lambda _: self._done.put(name))

    def wait(self, timeout_s: float) -> list[Completion]:
        """Collect what has completed."""
        names: list[str] = []
        try:
            names.append(self._done.get(timeout=timeout_s))
            while True:
                names.append(self._done.get_nowait())
        except queue.Empty:
            pass
        self._look()
        return [c for name in names if (c := self._collect(name)) is not None]

    def _collect(self, name: str) -> Completion | None:
        from distributed import KilledWorker

        future = self._futures.pop(name, None)
        if future is None:
            return None
        status = future.status
        try:
            if status == "finished":
                answers = tuple(future.result(timeout=RESULT_S))
                return Completion(name, answers, worker=answers[0].worker if answers else "")
            error = future.exception() if status == "error" else None
        except Exception as failure:  # noqa: BLE001 (the result died with its worker: the work is done again)
            error = failure
        finally:
            future.release()
        if isinstance(error, KilledWorker):
            address = str(error.last_worker.address)
            culprits = read_marker(self._folder, address, name)
            return Completion(name, lost=True, culprits=culprits, worker=address, reason="the worker died")
        if error is not None and status == "error":
            return Completion(name, lost=True, reason=f"{type(error).__name__}: {error}")
        return Completion(name, lost=True, reason=f"the bundle was {status}")

    def describe(self) -> Mapping[str, Any]:
        """Workers, dashboard and scheduler."""
        scheduler = self._client.scheduler.address if self._client.scheduler is not None else ""
        return {
            "workers": len(self._workers),
            "dashboard": self._dashboard,
            "scheduler": scheduler,
            **self._notes,
        }

    def close(self) -> None:
        """Close client and cluster; running work is ended, its checkpoints stay."""
        for future in self._futures.values():
            future.release()
        self._futures.clear()
        if self._question is not None:
            self._question.cancel()
        for thing in (self._client, *self._owned):
            try:
                thing.close(timeout=20)
            except TypeError:
                thing.close()
            except (TimeoutError, OSError):  # it is dead already
                continue
