"""Worker jobs in a batch system: their scripts, and keeping as many of them queued as the profile says.

dask-jobqueue knows how a job's header looks on each batch system; we take its `Job` classes for that and do the rest
ourselves, because one `JobQueueCluster` has one job shape, while a campaign wants GPU jobs for dynamics and CPU jobs
for analysis on one scheduler.
"""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ionsieve.errors import SetupError
from ionsieve.screening.profiles import Profile, WorkerGroup, walltime_s
from ionsieve.store.folder import write_file

__all__ = [
    "DRIVER_JOB",
    "Jobs",
    "QUEUE",
    "cancel_driver",
    "cancel_job",
    "clock",
    "job_state",
    "submit_script",
    "worker_script",
]


@dataclass(frozen=True)
class Queue:
    """How one batch system is spoken to."""

    module: str
    job: str
    submit: str
    cancel: str
    directive: str
    query: tuple[str, ...]


QUEUE: Mapping[str, Queue] = {
    "slurm": Queue(
        "slurm", "SLURMJob", "sbatch", "scancel", "#SBATCH", ("squeue", "--noheader", "--format=%T", "--jobs")
    ),
    "pbs": Queue("pbs", "PBSJob", "qsub", "qdel", "#PBS", ("qstat",)),
    "sge": Queue("sge", "SGEJob", "qsub", "qdel", "#$", ("qstat", "-j")),
}


def _job_class(kind: str) -> Any:
    """Import dask-jobqueue's class. Its import replaces the handler of SIGINT: ours is put back."""
    if threading.current_thread() is not threading.main_thread():
        raise SetupError(
            "batch systems are set up from the main thread only", cause="dask-jobqueue sets signal handlers"
        )
    told = QUEUE[kind]
    handler = signal.getsignal(signal.SIGINT)
    try:
        module = importlib.import_module(f"dask_jobqueue.{told.module}")
    except ModuleNotFoundError:
        raise SetupError(
            "batch systems need dask-jobqueue", remedy="pip install 'ionsieve[slurm]'", cause="it is not installed"
        ) from None
    finally:
        signal.signal(signal.SIGINT, handler)
    return getattr(module, told.job)


def clock(group: WorkerGroup) -> str:
    """Return a group's walltime as ``HH:MM:SS``: batch systems read days and bare numbers each in a way of its own."""
    seconds = walltime_s(group.walltime)
    return f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}"


def worker_script(
    kind: str, name: str, group: WorkerGroup, *, scheduler: str, folder: Path, security: Any = None, campaign: str = ""
) -> str:
    """Return the script of one worker job.

    Parameters
    ----------
    kind
        ``slurm``, ``pbs`` or ``sge``.
    name
        Name of the job and prefix of its workers.
    group
        Its shape.
    scheduler
        Address that the workers connect to.
    folder
        The campaign's folder; logs go to its ``logs/``.
    security
        TLS of the connection.
    campaign
        Shown in the queue beside the name.
    """
    prologue = [
        "export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1",
        f"export IONSIEVE_END_TIME=$(( $(date +%s) + {walltime_s(group.walltime)} ))",
        "export DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL='1 hour' DASK_LOGGING__DISTRIBUTED=warning",
        *group.prologue,
    ]
    extra = [] if group.gpus else ["--workers", str(group.workers)]
    job = _job_class(kind)(
        scheduler=scheduler,
        name=name,
        job_name="-".join(filter(None, ("ionsieve", campaign, name)))[:60],
        queue=group.queue,
        walltime=clock(group),
        cores=group.cores,
        memory=f"{group.memory_GB:g}GB",
        processes=max(group.gpus, 1) if group.gpus else group.workers,
        worker_command="ionsieve.screening.launch",
        worker_extra_args=extra,
        job_extra_directives=list(group.directives),
        job_directives_skip=list(group.skip_directives),
        job_script_prologue=prologue,
        python=shlex.quote(group.python or sys.executable),
        log_directory=str(folder / "logs"),
        local_directory="${TMPDIR:-/tmp}",
        death_timeout=600,
        security=security,
        interface=None,
        protocol=None,
        **({} if kind == "sge" else {"account": group.account}),
    )
    script = str(job.job_script())
    lines = [line for line in script.splitlines() if line.strip()]
    return "\n".join(lines) + "\n"


def _call(command: Sequence[str], *, what: str) -> str:
    if shutil.which(command[0]) is None:
        raise SetupError(
            f"{command[0]} is not on this machine",
            cause=f"{what} needs the batch system's commands",
            remedy="run this on a login node of the cluster",
        )
    done = subprocess.run(list(command), capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise SetupError(
            f"{command[0]} refused {what}: {(done.stderr or done.stdout).strip()[:500]}", found=shlex.join(command)
        )
    return done.stdout


def submit_script(kind: str, path: Path) -> str:
    """Submit a script; return the job's number.

    Raises
    ------
    SetupError
        When the batch system refuses it; its words are passed on.
    """
    out = _call([QUEUE[kind].submit, str(path)], what=f"the job {path.name}")
    match = re.search(r"(\d+)", out)
    if match is None:
        raise SetupError(f"{QUEUE[kind].submit} gave no job number", found=out.strip()[:200])
    return match[1]


_NO_SUCH_JOB = re.compile(r"invalid job id|unknown job|do not exist|has finished", re.IGNORECASE)


def job_state(kind: str, number: str) -> str:
    """Return ``gone``, ``UNKNOWN``, or what the batch system calls the state (``RUNNING``, ``PENDING`` ...)."""
    told = QUEUE[kind]
    try:
        done = subprocess.run([*told.query, number], capture_output=True, text=True, check=False, timeout=120)
    except subprocess.TimeoutExpired:
        return "UNKNOWN"
    if done.returncode != 0 and not _NO_SUCH_JOB.search(done.stderr + done.stdout):
        return "UNKNOWN"  # the controller does not answer: the job may well be running
    if done.returncode != 0 or not done.stdout.strip():
        return "gone"
    return done.stdout.split()[0].upper() if kind == "slurm" else "QUEUED"


def cancel_job(kind: str, number: str) -> None:
    """Take a job out of the queue; harmless when it is gone."""
    subprocess.run([QUEUE[kind].cancel, number], capture_output=True, check=False, timeout=120)


DRIVER_JOB = Path("jobs") / "driver.json"
"""Below the campaign's folder: which job holds its scheduler."""


def cancel_driver(folder: Path) -> str:
    """Take the campaign's own job out of the queue; return what was done, or nothing when there is none."""
    try:
        told = json.loads((folder / DRIVER_JOB).read_text())
        kind, number = str(told["kind"]), str(told["number"])
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return ""
    if kind not in QUEUE or not number.isdigit() or job_state(kind, number) == "gone":
        return ""
    cancel_job(kind, number)
    return f"job {number} is taken out of the queue"


SHORT_S = 60.0
"""A worker job that ends sooner could not start."""


class Jobs:
    """The worker jobs of a campaign: keeps each group's number in the queue while asked to `tend`.

    Parameters
    ----------
    profile
        Groups and batch system.
    scheduler
        Address that workers connect to.
    folder
        The campaign's folder: scripts go to ``jobs/``.
    security
        TLS of the connection.
    """

    def __init__(
        self, profile: Profile, scheduler: str, folder: Path, *, security: Any = None, campaign: str = ""
    ) -> None:
        self._profile = profile
        self._scheduler = scheduler
        self._folder = folder
        self._security = security
        self._campaign = campaign
        self._jobs: dict[str, dict[str, float]] = {name: {} for name in profile.groups}
        self._short: dict[str, int] = dict.fromkeys(profile.groups, 0)
        self._not_before: dict[str, float] = dict.fromkeys(profile.groups, 0.0)
        self._looked = 0.0
        self._number = 0
        (folder / "jobs").mkdir(exist_ok=True)

    @property
    def numbers(self) -> list[str]:
        """Numbers of the jobs in the queue."""
        return [n for group in self._jobs.values() for n in group]

    def tend(self, *, every_s: float = 15.0) -> None:
        """Submit what is missing; called often, looks every `every_s` seconds.

        Raises
        ------
        SetupError
            When the jobs of a group end within a minute three times in a row.
        """
        now = time.monotonic()
        if self._looked and now - self._looked < every_s:
            return
        self._looked = now
        kind = self._profile.kind
        for name, group in self._profile.groups.items():
            jobs = self._jobs[name]
            for number, since in list(jobs.items()):
                if job_state(kind, number) == "gone":
                    del jobs[number]
                    self._short[name] = self._short[name] + 1 if now - since < SHORT_S else 0
                    # a job that ended at once is not replaced at once: a node or a file system may need a moment
                    self._not_before[name] = now + (2.0 ** self._short[name] * every_s if self._short[name] else 0.0)
            if self._short[name] >= 3:
                raise SetupError(
                    f"the worker jobs of group {name!r} end within a minute",
                    where=str(self._folder / "logs"),
                    cause="the worker cannot start: read the newest .err file there",
                    remedy="check python, prologue and scheduler.interface of the profile, then resume",
                )
            while len(jobs) < group.jobs and now >= self._not_before[name]:
                self._number += 1
                label = f"{name}{self._number}"
                path = self._folder / "jobs" / f"{label}.sh"
                script = worker_script(
                    kind,
                    label,
                    group,
                    scheduler=self._scheduler,
                    folder=self._folder,
                    security=self._security,
                    campaign=self._campaign,
                )
                write_file(path, script)
                jobs[submit_script(kind, path)] = time.monotonic()

    def close(self, timeout: float = 0) -> None:
        """Cancel every job."""
        for number in self.numbers:
            cancel_job(self._profile.kind, number)
        for group in self._jobs.values():
            group.clear()
