"""Clusters by profile: from a YAML file to a pool of workers."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from ionsieve.screening.pool import DaskPool

__all__ = ["configure_dask", "open_pool"]

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def configure_dask(folder: Path) -> None:
    """Set what we rely on, before any scheduler or worker exists; send Dask's talk to ``logs/dask.log``.

    ``allowed-failures`` 0: the first death of a worker under a task is ours to count. ``worker-ttl``: a step that holds
    the interpreter for minutes is no dead worker.
    """
    import dask
    import distributed  # noqa: F401 (sets up its own logging when imported: ours comes after)

    dask.config.set(
        {
            "distributed.scheduler.allowed-failures": 0,
            "distributed.scheduler.worker-ttl": "1 hour",
            "distributed.scheduler.work-stealing": False,
            "distributed.worker.daemon": True,
            "distributed.comm.timeouts.connect": "60s",
            "distributed.comm.retry.count": 2,
            "distributed.admin.tick.limit": "60s",
            "distributed.nanny.pre-spawn-environ": {
                **THREADS,
                "MALLOC_TRIM_THRESHOLD_": "65536",
                "DASK_LOGGING__DISTRIBUTED": "error",
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


def open_pool(
    folder: Path,
    stages: str,
    *,
    profile: str | Path | None = None,
    scheduler: str | None = None,
    n_workers: int | None = None,
    dashboard: str | None = None,
) -> DaskPool:
    """Start (or join) the cluster of a profile and return its pool."""
    configure_dask(folder)
    return _local(folder, stages, n_workers or os.cpu_count() or 1, dashboard)


def _local(folder: Path, stages: str, n_workers: int, dashboard: str | None, **told: Any) -> DaskPool:
    from distributed import Client, LocalCluster

    cluster = LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=dashboard or "127.0.0.1:0",
        silence_logs=False,
        local_directory=str(folder / "scratch" / "dask"),
        memory_limit=0,
        **told,
    )
    client = Client(cluster, set_as_default=False)
    return DaskPool(client, folder, stages, owned=[cluster], notes={"where": "local processes"})
