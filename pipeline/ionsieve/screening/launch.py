"""``python -m ionsieve.screening.launch SCHEDULER [options of dask worker]``: one Dask worker a visible GPU.

Each worker is a process of its own with ``CUDA_VISIBLE_DEVICES`` set to its card, so that the card is ``cuda:0`` for it
and no two workers share one. Without GPUs, ``--workers N`` workers are started. Signals are passed on, once: a batch
system may have sent them to every process of the job, and Dask's nanny takes the second for "now", with the run that
its worker is saving. When a worker ends, the launcher waits for the others and ends with the worst exit code.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["commands", "main", "serve", "visible_gpus"]

OWN_S = 1.0
"""How long a worker has to hear a signal by itself before it is passed on."""


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the GPUs this process may use: ``CUDA_VISIBLE_DEVICES`` when it is set, else what nvidia-smi lists."""
    text = environment.get("CUDA_VISIBLE_DEVICES")
    if text is not None:
        return [part.strip() for part in text.split(",") if part.strip() and part.strip() not in ("-1", "NoDevFiles")]
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    listed = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False, timeout=60)
    return [str(i) for i, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU ")]


def commands(
    arguments: Sequence[str], gpus: Sequence[str], workers: int, *, python: str = sys.executable
) -> list[tuple[list[str], dict[str, str]]]:
    """Return (command, extra environment) of each worker.

    Parameters
    ----------
    arguments
        Options for ``dask worker``; the value of ``--name`` gets a number.
    gpus
        Cards; one worker each.
    workers
        Number of workers when there are no cards.
    """
    arguments = list(arguments)
    name = "worker"
    if "--name" in arguments:
        at = arguments.index("--name")
        name = arguments[at + 1]
        del arguments[at : at + 2]
    base = [python, "-m", "distributed.cli.dask_worker", *arguments, "--nthreads", "1", "--nworkers", "1"]
    if gpus:
        return [
            ([*base, "--name", f"{name}-gpu{i}", "--resources", "GPU=1"], {"CUDA_VISIBLE_DEVICES": card})
            for i, card in enumerate(gpus)
        ]
    return [
        ([*base, "--name", f"{name}-cpu{i}", "--resources", "CPU=1"], {"CUDA_VISIBLE_DEVICES": ""})
        for i in range(workers)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Start the workers and wait for them."""
    return serve(sys.argv[1:] if argv is None else argv)[0]


def serve(arguments: Sequence[str]) -> tuple[int, bool]:
    """Start the workers and wait for them; return the exit code, and whether a signal ended them."""
    arguments = list(arguments)
    workers, gpus = 1, visible_gpus()
    if "--workers" in arguments:
        at = arguments.index("--workers")
        workers, gpus = int(arguments[at + 1]), []
        del arguments[at : at + 2]
    unheard = signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # inherited: it would end a nanny, which hears SIGTERM only
    try:
        processes = [
            subprocess.Popen(command, env={**os.environ, **extra})
            for command, extra in commands(arguments, gpus, workers)
        ]
    finally:
        signal.signal(signal.SIGUSR1, unheard)
    told: float | None = None

    def hear(number: int, frame: object) -> None:
        nonlocal told
        told = time.monotonic() if told is None else told

    before = {number: signal.signal(number, hear) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    waiting = list(processes)
    try:
        while any(p.poll() is None for p in processes):
            if told is not None and time.monotonic() - told > OWN_S:
                for process in [p for p in waiting if p.poll() is None and _listens(p.pid)]:
                    waiting.remove(process)
                    process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    stopped = told is not None
    return (0 if stopped else max((abs(p.returncode) for p in processes), default=0)), stopped


def _listens(pid: int) -> bool:
    """Whether a process has a handler for SIGTERM: Dask's nanny has, until it is told to end."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # no such system, or no such process any more
        return True
    caught = next((line for line in status.splitlines() if line.startswith("SigCgt:")), "SigCgt: 4000")
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


if __name__ == "__main__":
    sys.exit(main())
