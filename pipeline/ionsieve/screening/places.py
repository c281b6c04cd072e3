"""What is asked of a place (a profile, a scheduler, workers, a dashboard), looked at before anything is written."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

from ionsieve.errors import InputError, Problems, SetupError
from ionsieve.screening.clusters import allocation_rank, choose_profile, serve_allocation
from ionsieve.screening.profiles import Profile, is_listening_place

__all__ = ["check_place", "in_this_process"]

REACH_S = 20.0
"""How long a scheduler's port may take to take a connection."""


def in_this_process(profile: Profile, n_workers: int | None) -> bool:
    """Whether the work is done here, without Dask."""
    return profile.kind == "local" and n_workers == 0


def check_place(
    folder: str | Path,
    *,
    cluster: str | Path | None = None,
    scheduler: str | None = None,
    n_workers: int | None = None,
    dashboard: str | None = None,
) -> Profile:
    """Return the profile that is meant; refuse a place that cannot be.

    Under ``srun``, every rank but the first is a worker: it serves and ends the process.

    Raises
    ------
    InputError
        When what is asked contradicts itself, or would be ignored.
    SetupError
        When this machine, or the scheduler, cannot.
    """
    profile = choose_profile(cluster, scheduler)
    problems = Problems()
    if n_workers is not None and profile.kind not in ("local", "local-gpu"):
        theirs = profile.kind == "address"
        problems.add(
            "the number of workers is not ours to choose here",
            key="--workers",
            found=str(n_workers),
            cause=f"a place of kind {profile.kind} has the workers that "
            + ("were started for its scheduler" if theirs else "its profile or its job asks for"),
            remedy="leave --workers out"
            + ("" if theirs or profile.kind == "srun" else "; `jobs` and `workers` of the profile's groups set it"),
        )
    if dashboard is not None and (profile.kind == "address" or in_this_process(profile, n_workers)):
        problems.add(
            "no dashboard is started here",
            key="--dashboard",
            found=dashboard,
            cause="a scheduler that runs already has its own"
            if profile.kind == "address"
            else "--workers 0 has no Dask",
            remedy="leave --dashboard out",
        )
    elif dashboard is not None and not is_listening_place(dashboard):
        problems.add(
            "no dashboard can listen there",
            key="--dashboard",
            found=dashboard,
            expected="host and port, for example 127.0.0.1:8787, or :0 for a free port",
        )
    problems.throw()
    if profile.kind == "srun" and "SLURM_PROCID" not in os.environ:
        raise SetupError(
            "this is no step of an allocation: SLURM_PROCID is not set",
            key="--cluster",
            found=str(cluster),
            cause="a profile of kind srun takes its workers from the other ranks of an `srun`",
            remedy=f"start it with `srun --ntasks=N ionsieve ... --cluster {cluster}`, or use `--cluster local`",
        )
    if allocation_rank(profile) > 0:
        raise SystemExit(serve_allocation(Path(folder)))
    if profile.kind == "address":
        _reach(str(profile.scheduler.address), key="--scheduler" if scheduler else "scheduler.address")
    return profile


def _reach(address: str, *, key: str) -> None:
    """Refuse a scheduler that nobody listens for; one that listens and says nothing is found out later."""
    match = re.fullmatch(r"(?:(?:tcp|tls)://)?\[?([^\s/\]]+)\]?:(\d+)/?", address)
    if match is None:  # another way of Dask's
        return
    if int(match[2]) > 65535:
        raise InputError("a port is at most 65535", key=key, found=address)
    try:
        socket.create_connection((match[1], int(match[2])), timeout=REACH_S).close()
    except OSError as error:
        raise SetupError(
            "nobody listens at the scheduler's address",
            key=key,
            found=address,
            cause=error.strerror or str(error),
            remedy="start it (`dask scheduler`), or correct host and port",
        ) from error
