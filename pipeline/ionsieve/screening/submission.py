"""Submitting a campaign: one job holds scheduler and driver, so that a closed laptop stops nothing.

The driver's job submits the worker jobs, keeps them queued while there is work, and ends when the ranking is there. Two
minutes before its walltime the batch system warns it (SIGUSR1): it saves what it knows, and the script puts itself back
into the queue. PBS has no such signal: there the script warns itself. Results are files, so nothing else is handed
over.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ionsieve.errors import InputError, Problems, SetupError
from ionsieve.screening.material import freeze, live
from ionsieve.screening.profiles import QUEUES, Profile, WorkerGroup, load_profile, walltime_s
from ionsieve.screening.queues import DRIVER_JOB, QUEUE, clock, submit_script, worker_script
from ionsieve.store import Store
from ionsieve.store.folder import write_file

if TYPE_CHECKING:
    from ionsieve.campaign import Campaign

__all__ = ["Submission", "check_feasible", "driver_script", "partitions", "submit_campaign"]

WARNING_S = 120
"""How long before its end the driver's job is warned."""


@dataclass(frozen=True)
class Submission:
    """What was (or would be) submitted: scripts by name, and the job's number."""

    folder: Path
    scripts: Mapping[str, str]
    job: str = ""
    note: str = ""


def driver_script(kind: str, profile: Profile, folder: Path, *, campaign: str, profile_path: Path) -> str:
    """Return the script of the job that holds scheduler and driver.

    Parameters
    ----------
    kind
        ``slurm``, ``pbs`` or ``sge``.
    profile, profile_path
        The profile and where its copy lies.
    folder
        The campaign's folder.
    campaign
        Name of the campaign, shown in the queue.
    """
    group = profile.driver
    program = "import sys; from ionsieve.cli import main; sys.exit(main())"
    command = shlex.join(
        [
            *(group.python or sys.executable, "-c", program),
            *("resume", str(folder), "--cluster", str(profile_path), "--progress", "plain"),
        ]
    )
    header = _header(kind, group, folder, f"ionsieve-{campaign}"[:60])
    requeue = {
        "slurm": 'scontrol requeue "$SLURM_JOB_ID"',
        "pbs": 'qrerun "$PBS_JOBID"',
        "sge": "exit 99",
    }[kind]
    left = max(60, walltime_s(group.walltime) - WARNING_S)
    alarm = [
        f"( trap 'kill $!; exit' TERM; sleep {left} & wait $!; kill -USR1 $$ ) </dev/null >/dev/null 2>&1 &",
        "alarm=$!",
    ]
    if kind != "pbs":
        alarm = []
    return "\n".join(
        [
            "#!/bin/bash",
            *header,
            *alarm,
            "export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1",
            *group.prologue,
            "stopping=0",
            "warned() { stopping=1; kill -USR1 $child; }",
            "trap warned USR1",
            "trap 'kill -TERM $child' TERM",
            f"{command} &",
            "child=$!",
            "wait $child; code=$?",
            "while kill -0 $child 2>/dev/null; do wait $child; code=$?; done",
            *(["kill $alarm 2>/dev/null"] if alarm else []),
            f"if [ $stopping = 1 ] && [ $code = 130 ]; then {requeue}; fi",
            "exit $code",
            "",
        ]
    )


def _header(kind: str, group: WorkerGroup, folder: Path, name: str) -> list[str]:
    mark = QUEUE[kind].directive
    logs = folder / "logs"
    memory_MB = max(1, round(group.memory_GB * 1000))
    seconds = walltime_s(group.walltime)
    if kind == "slurm":
        lines = [
            f"-J {name}",
            f"-o {logs}/driver-%J.out",
            f"-e {logs}/driver-%J.err",
            "--open-mode=append",
            *([f"-p {group.queue}"] if group.queue else []),
            *([f"-A {group.account}"] if group.account else []),
            "-n 1",
            f"--cpus-per-task={group.cores}",
            f"--mem={memory_MB}M",
            f"-t {clock(group)}",
            "--requeue",
            f"--signal=B:USR1@{WARNING_S}",
        ]
    elif kind == "pbs":
        lines = [
            f"-N {name[:15]}",
            f"-o {logs}/",
            f"-e {logs}/",
            *([f"-q {group.queue}"] if group.queue else []),
            *([f"-A {group.account}"] if group.account else []),
            f"-l select=1:ncpus={group.cores}:mem={memory_MB}mb",
            f"-l walltime={clock(group)}",
            "-r y",
        ]
    else:
        lines = [
            f"-N {name}",
            f"-o {logs}/",
            f"-e {logs}/",
            *([f"-q {group.queue}"] if group.queue else []),
            *([f"-P {group.account}"] if group.account else []),
            f"-l h_rt={clock(group)},s_rt={max(60, seconds - WARNING_S)},h_vmem={memory_MB}M",
            "-r y",
            "-cwd",
        ]
    lines = [line for line in lines if not any(skip in line for skip in group.skip_directives)]
    return [f"{mark} {line}" for line in (*lines, *group.directives)]


def submit_campaign(
    campaign: Campaign, folder: str | Path, cluster: str | Path, *, source: str = "", dry_run: bool = False
) -> Submission:
    """Write the scripts of a campaign and submit the one that holds the scheduler.

    Parameters
    ----------
    campaign
        What is asked.
    folder
        Its results folder; must lie where the nodes see it.
    cluster
        Profile of a batch system, by name or file.
    source
        The campaign's YAML text.
    dry_run
        Write and submit nothing; return the scripts.

    Raises
    ------
    ProblemsError
        When the profile asks for what the cluster does not have.
    SetupError
        When the batch system refuses the job.
    """
    profile = load_profile(cluster)
    if profile.kind not in QUEUES:
        raise InputError(
            "this profile has no queue to submit to",
            found=f"{cluster} (kind {profile.kind})",
            expected=f"a profile of kind {', '.join(QUEUES)}",
            remedy=f"run it in an allocation: `srun --ntasks=N ionsieve run CAMPAIGN --cluster {cluster}`"
            if profile.kind == "srun"
            else f"run it here instead: `ionsieve run CAMPAIGN --cluster {cluster}`",
        )
    folder = Path(folder).absolute()
    if re.search(r"\s", str(folder)):
        raise InputError(
            "batch systems cannot write logs below a path with blanks", found=str(folder), remedy="name another folder"
        )
    path = folder / "cluster.yaml"
    kind = profile.kind
    name = campaign.name or "campaign"
    scripts = {"driver": driver_script(kind, profile, folder, campaign=name, profile_path=path)}
    address = f"{'tls' if profile.scheduler.tls else 'tcp'}://DRIVER:PORT"
    logs_home = folder if not dry_run else Path("RESULTS") if not folder.exists() else folder
    for group_name, group in profile.groups.items():
        scripts[group_name] = _without_folders(
            lambda group=group, group_name=group_name: worker_script(
                kind, f"{group_name}1", group, scheduler=address, folder=logs_home, campaign=name
            ),
            logs_home / "logs",
        )
    if dry_run:
        try:
            check_feasible(profile, where=str(cluster))
        except SetupError as error:
            return Submission(folder, scripts, note=f"not checked against the cluster: {error.problem.message}")
        return Submission(folder, scripts)
    check_feasible(profile, where=str(cluster))
    from ionsieve.screening.run import check

    material = live(campaign, check(campaign, here=False))
    store = Store.create(folder, campaign.model_dump(mode="json"), source=source, share=campaign.run.share, hold=True)
    with closing(store):  # its lock keeps a run off the folder
        freeze(store, campaign, material)  # the job asks this, or refuses
    write_file(path, _yaml(profile))
    for part in ("jobs", "logs"):
        (folder / part).mkdir(exist_ok=True)
    script = folder / "jobs" / "driver.sh"
    write_file(script, scripts["driver"])
    number = submit_script(kind, script)
    write_file(folder / DRIVER_JOB, json.dumps({"kind": kind, "number": number}) + "\n")  # for `cancel`
    return Submission(folder, scripts, number)


def _without_folders(make: Any, logs: Path) -> str:
    """Run `make`; dask-jobqueue creates the log folder, a dry run leaves none behind."""
    existed = logs.parent.exists(), logs.exists()
    script = str(make())
    if not existed[1]:
        shutil.rmtree(logs, ignore_errors=True)
    if not existed[0]:
        shutil.rmtree(logs.parent, ignore_errors=True)
    return script


def _yaml(profile: Profile) -> str:
    import io

    from ruamel.yaml import YAML

    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(profile.model_dump(mode="json"), stream)
    return stream.getvalue()


# -- can the cluster do it? -------------------------------------------------------------------------------------------


def partitions() -> list[dict[str, Any]]:
    """Return the partitions that ``sinfo`` lists: name, cpus, memory_MB, gpus, limit_s (largest a node)."""
    done = subprocess.run(
        ["sinfo", "--noheader", "--exact", "--format=%R|%c|%m|%G|%l"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode != 0:
        raise SetupError("sinfo does not answer", cause=done.stderr.strip()[:300], remedy="is this a login node?")
    found = []
    for line in done.stdout.splitlines():
        name, cpus, memory, gres, limit = line.split("|")
        gpus = sum(int(n or 1) for n in re.findall(r"gpu(?::[A-Za-z][\w.-]*)?(?::(\d+))?", gres))
        try:
            limit_s = walltime_s(limit)
        except ValueError:
            limit_s = 10**9  # infinite
        found.append(
            {
                "name": name,
                "cpus": int(re.sub(r"\D", "", cpus) or 0),
                "memory_MB": int(re.sub(r"\D", "", memory) or 0),
                "gpus": gpus,
                "limit_s": limit_s,
            }
        )
    return found


def check_feasible(profile: Profile, *, where: str = "", known: list[dict[str, Any]] | None = None) -> None:
    """Refuse a profile that asks for what no node has: such jobs wait for ever without a word.

    Only SLURM can be asked; elsewhere, and where ``sinfo`` is missing, the batch system's own answer must do.

    Raises
    ------
    ProblemsError
        With every problem found.
    """
    if known is None:
        if profile.kind != "slurm" or shutil.which("sinfo") is None:
            return
        known = partitions()
    names = sorted({p["name"] for p in known})
    problems = Problems()
    for label, group in [*((f"groups.{n}", g) for n, g in profile.groups.items()), ("driver", profile.driver)]:
        mine = [p for p in known if group.queue is None or p["name"] in group.queue.split(",")]
        if not mine:
            problems.add(
                "the cluster has no such partition",
                where=where,
                key=f"{label}.queue",
                found=str(group.queue),
                expected=", ".join(names) or "any partition",
            )
            continue
        for key, asked, have, unit in (
            ("cores", group.cores, "cpus", "cores"),
            ("memory_GB", group.memory_GB * 1000, "memory_MB", "MB"),
            ("gpus", group.gpus, "gpus", "GPUs"),
            ("walltime", walltime_s(group.walltime), "limit_s", "s"),
        ):
            best = max(p[have] for p in mine)
            if asked > best and not any(key == "memory_GB" and "mem" in s for s in group.skip_directives):
                problems.add(
                    "no node of the partition has so much: the job would wait for ever",
                    where=where,
                    key=f"{label}.{key}",
                    found=f"{asked:g} {unit}",
                    expected=f"{best:g} {unit} at most",
                )
        words = " ".join(group.directives)
        if group.gpus and not re.search(r"gres|gpu", words):
            problems.add(
                "the jobs claim GPUs but ask the batch system for none",
                where=where,
                key=f"{label}.directives",
                remedy=f"add --gres=gpu:{group.gpus} (or what your site wants)",
            )
    problems.throw()
