"""Clusters by profile: from a YAML file to a pool of workers."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

from ionsieve.errors import InputError, SetupError, TransientError
from ionsieve.screening import launch
from ionsieve.screening.launch import visible_gpus
from ionsieve.screening.pool import DaskPool
from ionsieve.screening.profiles import QUEUES, Profile, SchedulerPlace, load_profile
from ionsieve.screening.queues import QUEUE, Jobs
from ionsieve.store import Store
from ionsieve.store.folder import write_file
from ionsieve.store.lock import holder

__all__ = [
    "allocation_rank",
    "check_workers",
    "choose_profile",
    "configure_dask",
    "open_pool",
    "security_of",
    "serve_allocation",
]

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def configure_dask(folder: Path) -> None:
    """Set what we rely on, before any scheduler or worker exists; send Dask's talk to ``logs/dask.log``.

    ``allowed-failures`` 0: the first death of a worker under a task is ours to count. ``worker-ttl``: a step that holds
    the interpreter for minutes is no dead worker. ``worker-saturation``: with the default, the worker with the fewest
    tasks is taken, so that a run would go behind another run rather than behind two bundles of a second; without, the
    one that is expected to be free first. ``default-task-durations``: until the first run has ended, Dask would take it
    for half a second's work. (Its names are the beginnings of bundles' names.)
    ``profile`` looks at every stack a hundred times a second, ``tick`` at every loop fifty times: time that runs lack.
    """
    import dask
    import distributed  # noqa: F401 (sets up its own logging when imported: ours comes after)

    dask.config.set(
        {
            "distributed.scheduler.allowed-failures": 0,
            "distributed.scheduler.worker-ttl": "1 hour",
            "distributed.scheduler.work-stealing": False,
            "distributed.scheduler.worker-saturation": "inf",
            "distributed.scheduler.default-task-durations": {"relax": "1 minute", "simulate": "1 hour"},
            "distributed.worker.profile.enabled": False,
            "distributed.admin.tick.interval": "500ms",
            "distributed.worker.daemon": True,
            "distributed.comm.timeouts.connect": "60s",
            "distributed.comm.retry.count": 2,
            "distributed.admin.tick.limit": "60s",
            "distributed.nanny.pre-spawn-environ": {
                **THREADS,
                "MALLOC_TRIM_THRESHOLD_": "65536",
                # a worker's trouble with the network is told by the driver; its tracebacks would fill the terminal (so
                # would those of a heartbeat that meets the connection closed at the end)
                "DASK_LOGGING": "{'distributed': 'critical', 'tornado.application': 'critical'}",
            },
        }
    )
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(folder / "logs" / "dask.log", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    for name in [n for n in logging.root.manager.loggerDict if n == "distributed" or n.startswith("distributed.")]:
        logger = logging.getLogger(name)
        for old in list(logger.handlers):
            logger.removeHandler(old)
            old.close()
        logger.propagate = name != "distributed"
    logging.getLogger("distributed").addHandler(handler)


def choose_profile(profile: str | Path | Profile | None, scheduler: str | None) -> Profile:
    """Return the profile that is meant, after a look at what this machine must have for it; nothing is started.

    Raises
    ------
    InputError
        When profile and scheduler are both given, the profile is wrong, or the address is none.
    SetupError
        When a GPU, a certificate or the batch system's command is missing.
    """
    if scheduler is not None:
        if profile is not None:
            raise InputError("give a cluster profile or a scheduler, not both", found=f"{profile} and {scheduler}")
        if not re.fullmatch(r"inproc://\S+|(\w+://)?[^\s/]+:\d+", scheduler):
            raise InputError(
                "this is no address of a scheduler",
                key="--scheduler",
                found=scheduler,
                expected="host and port, for example tcp://10.0.0.1:8786",
            )
        profile = Profile(kind="address", scheduler=SchedulerPlace(address=scheduler))
    elif profile is None:
        profile = Profile(kind="local")
    elif not isinstance(profile, Profile):
        profile = load_profile(profile)
    if profile.kind == "local-gpu":
        _cards()
    elif profile.kind in QUEUES and shutil.which(QUEUE[profile.kind].submit) is None:
        raise SetupError(
            f"there is no {QUEUE[profile.kind].submit} here",
            cause=f"the profile is for {profile.kind}, whose jobs are submitted with it",
            remedy="run this on a login node of the cluster, or use `--cluster local`",
        )
    security_of(profile)
    return profile


def open_pool(
    folder: Path,
    stages: str,
    *,
    profile: str | Path | Profile | None = None,
    scheduler: str | None = None,
    n_workers: int | None = None,
    dashboard: str | None = None,
) -> DaskPool:
    """Start (or join) the cluster of a profile and return its pool.

    Parameters
    ----------
    folder, stages
        Store and stages that the workers use.
    profile
        A profile, its name or its file; local processes when None.
    scheduler
        Address of a running scheduler, instead of a profile.
    n_workers
        Local workers; the profile's number, or one a core, when None.
    dashboard
        Overrides where the dashboard listens.

    Raises
    ------
    InputError
        When profile and scheduler are both given, or the profile is wrong.
    SetupError
        When the cluster cannot be started or reached, or cannot do the work.
    """
    profile = choose_profile(profile, scheduler)
    configure_dask(folder)
    if dashboard is not None:
        place = profile.scheduler.model_copy(update={"dashboard": dashboard})
        profile = profile.model_copy(update={"scheduler": place})
    if profile.kind == "address":
        return _join(folder, stages, profile)
    if profile.kind == "local":
        return _local(folder, stages, profile, n_workers)
    if profile.kind == "local-gpu":
        return _local_gpu(folder, stages, profile, n_workers)
    if profile.kind == "srun":
        return _allocation(folder, stages, profile)
    return _batch(folder, stages, profile)


def security_of(profile: Profile) -> Any:
    """Return Dask's security object for the profile's certificates, or None."""
    tls = profile.scheduler.tls
    if tls is None:
        return None
    from distributed.security import Security

    for name in ("ca_file", "cert", "key"):
        if not Path(getattr(tls, name)).expanduser().is_file():
            raise SetupError(
                "a certificate is missing",
                key=f"scheduler.tls.{name}",
                found=getattr(tls, name),
                remedy="name the file",
            )
    ca, cert, key = (str(Path(p).expanduser()) for p in (tls.ca_file, tls.cert, tls.key))
    return Security(
        tls_ca_file=ca,
        tls_client_cert=cert,
        tls_client_key=key,
        tls_scheduler_cert=cert,
        tls_scheduler_key=key,
        tls_worker_cert=cert,
        tls_worker_key=key,
        require_encryption=True,
    )


def _client(address: Any, *, security: Any = None) -> Any:
    from distributed import Client

    try:
        return Client(address, security=security, set_as_default=False, timeout=60)
    except (OSError, TimeoutError) as error:
        raise SetupError(
            "the Dask scheduler does not answer",
            found=str(address),
            cause=str(error),
            remedy="check address, network and certificates; is it still running?",
        ) from error


def _scheduler_only(profile: Profile) -> Any:
    """Start a scheduler in this process, without workers."""
    from distributed import LocalCluster

    place = profile.scheduler
    host = place.host
    if host is None and place.interface is None:
        host = socket.gethostbyname(socket.gethostname()) if profile.kind in (*QUEUES, "srun") else "127.0.0.1"
    security = security_of(profile)
    return LocalCluster(
        n_workers=0,
        host=host,
        interface=place.interface,
        silence_logs=False,
        dashboard_address=place.dashboard,
        protocol="tls" if security is not None else "tcp",
        security=security,
    )


def _local(folder: Path, stages: str, profile: Profile, n_workers: int | None) -> DaskPool:
    from distributed import LocalCluster

    try:
        cluster = LocalCluster(
            n_workers=n_workers or profile.cpu_workers or len(os.sched_getaffinity(0)),
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=profile.scheduler.dashboard,
            silence_logs=False,
            local_directory=str(folder / "scratch" / "dask"),
            memory_limit=0,
        )
    except RuntimeError as error:  # a worker died while it started
        raise TransientError("the workers could not be started", cause=str(error), remedy="try again") from error
    pool = DaskPool(_deaf(_client(cluster)), folder, stages, owned=[cluster], notes={"where": "local processes"})
    pool.prepare()
    return pool


def _deaf(client: Any) -> Any:
    """Let local workers not hear Ctrl-C: a terminal sends it to them too, and the driver ends them when it is time."""
    from distributed import WorkerPlugin

    class Deaf(WorkerPlugin):  # type: ignore[misc]
        def setup(self, worker: Any) -> None:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, signal.SIG_IGN)

    client.register_plugin(Deaf(), name="deaf")
    return client


def _cards() -> list[str]:
    gpus = visible_gpus()
    if not gpus:
        raise SetupError(
            "no GPU is visible",
            cause="CUDA_VISIBLE_DEVICES is empty, or nvidia-smi lists none",
            remedy="use `--cluster local`; `ionsieve doctor` tells what it sees",
        )
    return gpus


def _local_gpu(folder: Path, stages: str, profile: Profile, n_workers: int | None) -> DaskPool:
    """One worker a visible GPU, and CPU workers for analysis, on this machine."""
    from distributed import Nanny, Scheduler, SpecCluster

    gpus = _cards()
    common = {
        "nthreads": 1,
        "host": "127.0.0.1",
        "memory_limit": 0,
        "local_directory": str(folder / "scratch" / "dask"),
    }
    cpus = n_workers if n_workers is not None else profile.cpu_workers
    if cpus is None:
        cpus = max(1, len(os.sched_getaffinity(0)) - len(gpus))
    spec: dict[str, Any] = {
        f"gpu{i}": {
            "cls": Nanny,
            "options": {**common, "resources": {"GPU": 1}, "env": {**THREADS, "CUDA_VISIBLE_DEVICES": card}},
        }
        for i, card in enumerate(gpus)
    }
    for i in range(cpus):
        spec[f"cpu{i}"] = {
            "cls": Nanny,
            "options": {**common, "resources": {"CPU": 1}, "env": {**THREADS, "CUDA_VISIBLE_DEVICES": ""}},
        }
    scheduler = {
        "cls": Scheduler,
        "options": {"host": "127.0.0.1", "dashboard_address": profile.scheduler.dashboard, "dashboard": True},
    }
    cluster = SpecCluster(workers=spec, scheduler=scheduler, silence_logs=False)
    pool = DaskPool(
        _client(cluster), folder, stages, owned=[cluster], notes={"where": f"{len(gpus)} local GPUs"}, gpus=True
    )
    pool.prepare()
    return pool


def _join(folder: Path, stages: str, profile: Profile) -> DaskPool:
    address = str(profile.scheduler.address)
    client = _client(address, security=security_of(profile))
    try:
        client.wait_for_workers(1, timeout=profile.patience_s)
        check_workers(client, folder)
    except TimeoutError as error:
        client.close()
        raise SetupError(
            f"the scheduler has had no worker for {profile.patience_s:.0f} s",
            where=address,
            cause=str(error),
            remedy=f"start workers for it: `dask worker {address}`, or raise patience_s in a profile of kind address",
        ) from error
    except BaseException:
        client.close()
        raise
    return DaskPool(
        client, folder, stages, patience_s=profile.patience_s, notes={"where": "a scheduler that was there"}
    )


def _batch(folder: Path, stages: str, profile: Profile) -> DaskPool:
    """Scheduler here, workers in jobs."""
    cluster = _scheduler_only(profile)
    campaign = str(Store.open(folder).campaign.get("name", ""))
    jobs = Jobs(profile, cluster.scheduler_address, folder, security=security_of(profile), campaign=campaign)
    try:
        jobs.tend()
        client = _client(cluster)
    except BaseException:
        jobs.close()
        cluster.close()
        raise
    return DaskPool(
        client,
        folder,
        stages,
        owned=[jobs, cluster],
        on_idle=jobs.tend,
        patience_s=float("inf"),  # a queue may be long; the jobs themselves are watched
        notes={"where": profile.kind, "groups": {n: g.jobs for n, g in profile.groups.items()}},
        gpus=any(group.gpus for group in profile.groups.values()),
    )


def _allocation(folder: Path, stages: str, profile: Profile) -> DaskPool:
    """Rank 0 of an ``srun``: scheduler and driver; the other ranks are workers (see `serve_allocation`)."""
    sign = _Sign(_sign_path(folder))
    cluster = _scheduler_only(profile)
    try:
        sign.put_up(cluster.scheduler_address)
        client = _client(cluster)
    except BaseException:
        sign.close()
        cluster.close()
        raise
    return DaskPool(
        client, folder, stages, owned=[sign, cluster], patience_s=profile.patience_s, notes={"where": "srun allocation"}
    )


def _sign_path(folder: Path) -> Path:
    """Where rank 0 says where its scheduler is. A job that was put back into the queue keeps its number."""
    job, restart = (os.environ.get(name, "0") for name in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT"))
    return folder / f"scheduler-{job}-{restart}.json"


class _Sign:
    """The file that leads the other ranks to rank 0's scheduler: there as long as the scheduler is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.close()  # an earlier scheduler's, that could not take it down

    def put_up(self, address: str) -> None:
        """Say where; another scheduler makes another text, also at the same address."""
        write_file(self._path, json.dumps({"address": address, "since": time.time_ns()}))

    def close(self, timeout: float = 0) -> None:
        """Take it down."""
        self._path.unlink(missing_ok=True)


def allocation_rank(profile: str | Path | Profile | None) -> int:
    """Return this process's rank when the profile is an ``srun`` allocation, else 0."""
    if profile is None:
        return 0
    if not isinstance(profile, Profile):
        profile = load_profile(profile)
    return int(os.environ.get("SLURM_PROCID", "0")) if profile.kind == "srun" else 0


def serve_allocation(folder: Path, *, patience_s: float = 300.0) -> int:
    """Work for the scheduler of rank 0, and for those that replace it, until the run ends; return the exit code."""
    path = _sign_path(folder)
    name = f"rank{os.environ.get('SLURM_PROCID', '0')}"
    told, code, stopped = "", 0, False
    until = time.monotonic() + patience_s
    while not stopped:
        try:
            text = path.read_text()
        except FileNotFoundError:
            text = ""
        if text and text != told:
            told, address = text, json.loads(text)["address"]
            arguments = [address, "--name", name, "--nanny", "--death-timeout", "60", "--memory-limit", "0"]
            code, stopped = launch.serve(arguments if visible_gpus() else [*arguments, "--workers", "1"])
            until = time.monotonic() + patience_s
        elif told and (who := holder(folder / "lock")) is not None and who.get("released"):
            break  # the run has ended
        elif time.monotonic() > until:
            if told:
                break
            raise SetupError("rank 0 has started no scheduler", where=str(path), remedy="look at rank 0's output")
        else:
            time.sleep(0.5)
    return code


def _look_around(folder: str) -> dict[str, Any]:
    """What a worker sees (runs on each worker)."""
    import ionsieve

    path = Path(folder) / "store.json"
    return {
        "version": ionsieve.__version__,
        "folder": json.loads(path.read_text()).get("campaign", "") if path.exists() else "",
        "host": socket.gethostname(),
    }


def check_workers(client: Any, folder: Path) -> None:
    """Refuse workers that cannot do the work: another version, or a folder that they do not see.

    Raises
    ------
    SetupError
        Naming host and what is wrong. Asking them anyway would fail on every task, or hang.
    """
    import ionsieve

    try:
        seen = client.run(_look_around, str(folder.absolute()))
    except ModuleNotFoundError as error:
        raise SetupError(
            "the workers have no ionsieve", cause=str(error), remedy="start them in the same environment as this one"
        ) from error
    mine = Store.open(folder).campaign_id
    for found in seen.values():
        if found["version"] != ionsieve.__version__:
            raise SetupError(
                "a worker runs another version of ionsieve",
                where=found["host"],
                found=found["version"],
                expected=ionsieve.__version__,
                remedy="start the workers in the same environment",
            )
        if found["folder"] != mine:
            raise SetupError(
                "a worker does not see the campaign's folder",
                where=found["host"],
                expected=str(folder.absolute()),
                cause="results are files: every worker needs the same path",
                remedy="put the folder on a file system that all workers mount",
            )
