"""Cluster profiles: where work runs, as one YAML file.

A profile is named (one of those shipped in ``workflows/clusters``) or given as a file. It says nothing about the
campaign, and changes no number of a result.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from ionsieve.errors import InputError, Problems, nearest
from ionsieve.records.base import Frozen
from ionsieve.resources import data_folder

__all__ = [
    "Profile",
    "SchedulerPlace",
    "Tls",
    "WorkerGroup",
    "is_listening_place",
    "load_profile",
    "profile_names",
    "walltime_s",
]

QUEUES = ("slurm", "pbs", "sge")


def walltime_s(text: str) -> int:
    """Return the seconds of ``HH:MM:SS``, ``MM:SS``, ``D-HH:MM:SS`` or plain minutes, as SLURM reads them.

    Raises
    ------
    ValueError
        When it is none of these.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d{1,2}))?(?::(\d{1,2}))?", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration: write HH:MM:SS or D-HH:MM:SS")
    days, *parts = (int(p) if p is not None else None for p in match.groups())
    a, b, c = parts
    assert a is not None
    if days is not None:
        seconds = a * 3600 + (b or 0) * 60 + (c or 0)
    elif c is not None:
        seconds = a * 3600 + (b or 0) * 60 + c
    elif b is not None:
        seconds = a * 60 + b
    else:
        seconds = a * 60
    return seconds + (days or 0) * 86400


def is_listening_place(text: str) -> bool:
    """Whether something could listen there: ``host:port``, ``:port`` or ``port``."""
    match = re.fullmatch(r"(?:(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*):)?(\d{1,5})", text)
    return match is not None and int(match[1]) <= 65535


class WorkerGroup(Frozen):
    """Jobs of one shape. Each job starts one worker a GPU, or `workers` of them on CPUs."""

    jobs: int = Field(1, ge=0, description="jobs kept in the queue while there is work")
    gpus: int = Field(0, ge=0, le=64, description="GPUs a job; each gets one worker that claims it")
    workers: int = Field(1, ge=1, le=1024, description="CPU workers a job (ignored when it has GPUs)")
    cores: int = Field(1, ge=1, description="cores a job")
    memory_GB: float = Field(4.0, gt=0, description="memory a job, GB")
    walltime: str = Field("01:00:00", description="longest life of a job, HH:MM:SS")
    queue: str | None = Field(None, description="partition or queue")
    account: str | None = Field(None, description="account or project that is charged")
    directives: tuple[str, ...] = Field((), description="further lines of the job's header, e.g. --gres=gpu:1")
    skip_directives: tuple[str, ...] = Field((), description="generated lines to leave out, e.g. --mem")
    prologue: tuple[str, ...] = Field((), description="shell lines before the worker, e.g. module load cuda/12")
    python: str | None = Field(None, description="interpreter on the nodes; this one by default")

    @field_validator("walltime")
    @classmethod
    def _walltime(cls, value: str) -> str:
        if walltime_s(value) < 120:
            raise ValueError("a job of less than two minutes ends before it has worked")
        return value

    @field_validator("directives", "skip_directives", "prologue")
    @classmethod
    def _one_line(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any("\n" in line or "\0" in line for line in value):
            raise ValueError("one line each")
        return value

    @field_validator("queue", "account")
    @classmethod
    def _plain(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._,@/-]*", value):
            raise ValueError("letters, digits and . _ , @ / - only")
        return value


class Tls(Frozen):
    """Certificates for encrypted, mutually authenticated connections. All three or none."""

    ca_file: str = Field(description="certificate of the authority")
    cert: str = Field(description="our certificate")
    key: str = Field(description="our private key")


class SchedulerPlace(Frozen):
    """Where the scheduler listens, or which one to join."""

    address: str | None = Field(None, description="an existing scheduler, tcp://host:port or tls://host:port")
    interface: str | None = Field(None, description="network interface for workers on other hosts, e.g. ib0")
    host: str | None = Field(None, description="address to listen on instead of an interface")
    dashboard: str = Field("127.0.0.1:0", description="where the dashboard listens; this machine only by default")
    tls: Tls | None = Field(None, description="certificates; needed wherever others can reach the network")

    @field_validator("dashboard")
    @classmethod
    def _dashboard(cls, value: str) -> str:
        if not is_listening_place(value):
            raise ValueError("host and port, for example 127.0.0.1:8787, or :0 for a free port")
        return value


class Profile(Frozen):
    """One cluster profile."""

    kind: Literal["local", "local-gpu", "slurm", "pbs", "sge", "address", "srun"] = Field(
        description="how workers start"
    )
    description: str = Field("", description="one sentence")
    scheduler: SchedulerPlace = SchedulerPlace()
    groups: dict[str, WorkerGroup] = Field({}, description="job shapes by name, for example gpu and cpu")
    driver: WorkerGroup = Field(
        WorkerGroup(cores=2, memory_GB=8.0, walltime="1-00:00:00"),
        description="the job that holds scheduler and driver when a campaign is submitted",
    )
    cpu_workers: int | None = Field(None, ge=0, description="local: CPU workers; all cores by default")
    patience_s: float = Field(600.0, gt=0, description="longest time without any worker before giving up")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind in QUEUES and not self.groups:
            raise ValueError(f"a {self.kind} profile needs at least one group of workers")
        if self.kind == "address" and not self.scheduler.address:
            raise ValueError("an address profile needs scheduler.address")
        for name in self.groups:
            if not re.fullmatch(r"[a-z][a-z0-9-]{0,20}", name):
                raise ValueError(f"group {name!r}: small letters, digits and dashes, because it becomes a job's name")
        address = self.scheduler.address or ""
        if address.startswith("tls://") and self.scheduler.tls is None:
            raise ValueError("a tls:// scheduler needs scheduler.tls (ca_file, cert, key)")
        return self


def profile_names() -> list[str]:
    """Return the names of the shipped profiles."""
    return sorted(p.stem for p in (data_folder("workflows") / "clusters").glob("*.yaml"))


def load_profile(name: str | Path) -> Profile:
    """Read a profile by name or file.

    Raises
    ------
    InputError
        When there is none, or it is no valid profile; every problem is listed.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path = Path(name)
    if not path.is_file():
        known = profile_names()
        if str(name) not in known:
            close = nearest(str(name), known)
            raise InputError(
                "no such cluster profile",
                found=str(name),
                expected=f"a YAML file, or one of {', '.join(known)}",
                remedy=f"did you mean {close!r}?" if close else "copy one of workflows/clusters/ and edit it",
            )
        path = data_folder("workflows") / "clusters" / f"{name}.yaml"
    try:
        data: Any = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"not valid YAML: {error}", where=str(path)) from error
    if not isinstance(data, dict):
        raise InputError("a profile is a mapping", where=str(path), found=type(data).__name__)
    try:
        return Profile.model_validate(data)
    except ValidationError as error:
        problems = Problems()
        for item in error.errors(include_url=False):
            key = ".".join(map(str, item["loc"]))
            remedy = ""
            if item["type"] == "extra_forbidden":
                close = nearest(str(item["loc"][-1]), [*Profile.model_fields, *WorkerGroup.model_fields])
                remedy = f"did you mean {close!r}?" if close else ""
            found = "" if isinstance(item["input"], dict) else repr(item["input"])
            problems.add(
                item["msg"].removeprefix("Value error, "), where=str(path), key=key, found=found, remedy=remedy
            )
        problems.throw()
        raise
