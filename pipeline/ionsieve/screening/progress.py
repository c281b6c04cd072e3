"""What a person sees while a campaign runs: live on a terminal, one line a minute in a batch log, or JSON lines."""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TextIO

from ionsieve.store import State

__all__ = ["JsonLines", "Live", "Plain", "Progress", "Quiet", "estimate_left_s", "make_progress", "readable_time"]


def readable_time(seconds: float | None) -> str:
    """Return ``3 h 05 min``, ``12 min``, ``40 s``, or a question mark."""
    if seconds is None:
        return "?"
    seconds = max(0.0, seconds)
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    if minutes < 100:
        return f"{minutes:.0f} min"
    hours, rest = divmod(int(minutes), 60)
    return f"{hours} h {rest:02d} min" if hours < 100 else f"{hours / 24:.0f} days"


def estimate_left_s(work_left_s: float, busy_s: float, wall_s: float, places: int) -> float | None:
    """Return the time left: the work left over the rate at which workers have worked so far.

    Parameters
    ----------
    work_left_s
        Worker-seconds of what is still to do.
    busy_s, wall_s
        Worker-seconds done in so much wall time.
    places
        Workers, used until there is a rate.
    """
    if busy_s <= 0 or wall_s <= 0:
        return None
    rate = min(max(busy_s / wall_s, 0.05), float(max(places, 1)))
    return work_left_s / rate


class Progress(Protocol):
    """Who is told what happens."""

    def asked(self, stage: str) -> None:
        """A question was queued."""

    def reused(self, stage: str) -> None:
        """An answer was there already."""

    def done(self, stage: str, state: State, *, seconds: float, steps: int, ps: float) -> None:
        """An answer was stored."""

    def sliced(self, stage: str, seconds: float) -> None:
        """A slice ended; the work goes on."""

    def failed(self, label: str, why: str) -> None:
        """A candidate or run failed, or work was set aside."""

    def lost(self) -> None:
        """A worker died."""

    def note(self, text: str) -> None:
        """Something worth a line."""

    def update(
        self,
        *,
        waiting: int,
        running: int,
        left: Callable[[], int],
        pool: Mapping[str, Any],
        settled: Mapping[str, int],
        underway: Callable[[], tuple[float, float]] = lambda: (0.0, 0.0),
    ) -> None:
        """Called about twice a second; `underway` tells worker-seconds and runs that dynamics has done so far."""

    def end(self, status: str) -> None:
        """The run ends."""


class Quiet:
    """Counts, and says nothing. The others derive from it."""

    def __init__(self) -> None:
        self.begin = time.monotonic()
        self.counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.seconds: dict[str, float] = defaultdict(float)
        self.slice_s: dict[str, float] = defaultdict(float)
        self.finished: dict[str, int] = defaultdict(int)
        self.steps = 0
        self.ps = 0.0
        self.deaths = 0
        self.failures: list[tuple[str, str]] = []
        self.n_failures = 0
        self.state: dict[str, Any] = {}

    def asked(self, stage: str) -> None:
        """Count it."""
        self.counts[stage]["asked"] += 1

    def reused(self, stage: str) -> None:
        """Count it."""
        self.counts[stage]["asked"] += 1
        self.counts[stage]["done"] += 1

    def done(self, stage: str, state: State, *, seconds: float, steps: int, ps: float) -> None:
        """Count it."""
        self.counts[stage]["done"] += 1
        if state is not State.DONE:
            self.counts[stage][str(state)] += 1
        self.seconds[stage] += seconds
        self.finished[stage] += 1
        self.steps += steps
        self.ps += ps

    def sliced(self, stage: str, seconds: float) -> None:
        """Count it."""
        self.seconds[stage] += seconds

    def failed(self, label: str, why: str) -> None:
        """Keep it."""
        self.n_failures += 1
        self.failures.append((label, why))
        del self.failures[:-20]

    def lost(self) -> None:
        """Count it."""
        self.deaths += 1

    def note(self, text: str) -> None:
        """Ignore it."""

    def update(
        self,
        *,
        waiting: int,
        running: int,
        left: Callable[[], int],
        pool: Mapping[str, Any],
        settled: Mapping[str, int],
        underway: Callable[[], tuple[float, float]] = lambda: (0.0, 0.0),
    ) -> None:
        """Keep it."""
        self.state = {
            "waiting": waiting,
            "running": running,
            "left": left,
            "pool": pool,
            "settled": settled,
            "underway": underway,
        }

    def end(self, status: str) -> None:
        """Nothing to close."""

    def left_s(self) -> float | None:
        """Return the estimated time left, seconds; None until a run shows some work: nothing before tells its cost."""
        wall = time.monotonic() - self.begin
        mean = {s: self.seconds[s] / n for s, n in self.finished.items() if n}
        open_ = {stage: float(count["asked"] - count["done"]) for stage, count in self.counts.items()}
        runs, underway = self.state.get("left"), self.state.get("underway")
        unasked = runs() if runs is not None else 0
        spent, done = underway() if underway is not None and open_.get("simulate", 0) else (0.0, 0.0)
        busy = sum(self.seconds.values()) + spent
        if "simulate" not in mean:
            if done > 0.02:
                mean["simulate"] = spent / done
            elif unasked or open_.get("simulate", 0):
                return None
        if "simulate" in open_:
            open_["simulate"] -= min(done, open_["simulate"])
        work = sum(mean.get(stage, 0.0) * n for stage, n in open_.items())
        work += (mean.get("simulate", 0.0) + mean.get("measure", 0.0)) * unasked
        places = int(self.state.get("pool", {}).get("workers", 1) or 1)
        return estimate_left_s(work, busy, wall, places)

    def summary(self) -> dict[str, Any]:
        """Return the numbers of the moment."""
        wall = max(time.monotonic() - self.begin, 1e-9)
        settled = self.state.get("settled", {})
        left = self.left_s()
        return {
            "elapsed_s": round(wall, 1),
            "left_s": None if left is None else round(left, 1),
            "candidates": settled.get("candidates", 0),
            "settled": settled.get("settled", 0),
            "stages": {s: dict(c) for s, c in self.counts.items()},
            "waiting": self.state.get("waiting", 0),
            "running": self.state.get("running", 0),
            "workers": self.state.get("pool", {}).get("workers", 0),
            "simulated_ns": round(self.ps / 1000, 6),
            "steps_per_s": round(self.steps / wall, 1),
            "failures": self.n_failures,
            "deaths": self.deaths,
        }


class Plain(Quiet):
    """One line when something matters and one a minute: for batch logs and pipes."""

    def __init__(self, stream: TextIO | None = None, *, every_s: float = 60.0) -> None:
        super().__init__()
        self._stream = stream if stream is not None else sys.stderr
        self._every_s = every_s
        self._said = time.monotonic() - every_s + 5.0

    def _say(self, text: str) -> None:
        self._stream.write(f"{time.strftime('%H:%M:%S')}  {text}\n")
        self._stream.flush()

    def failed(self, label: str, why: str) -> None:
        """Say it."""
        super().failed(label, why)
        self._say(f"{label}: {why}")

    def lost(self) -> None:
        """Say it."""
        super().lost()
        self._say("a worker died; its work goes on elsewhere from the last checkpoint")

    def note(self, text: str) -> None:
        """Say it."""
        self._say(text)

    def update(self, **state: Any) -> None:
        """Say how far it is, once a minute."""
        super().update(**state)
        if time.monotonic() - self._said >= self._every_s:
            self._said = time.monotonic()
            self._say(self.line())

    def line(self) -> str:
        """Return the state in one line."""
        s = self.summary()
        stages = ", ".join(f"{name} {c.get('done', 0)}/{c.get('asked', 0)}" for name, c in s["stages"].items())
        return (
            f"{s['settled']}/{s['candidates']} candidates  {stages}  {s['simulated_ns']:.3g} ns  "
            f"{s['steps_per_s']:.0f} steps/s  {s['running']} running  {s['failures']} failed  "
            f"left {readable_time(s['left_s'])}"
        )

    def end(self, status: str) -> None:
        """Say how it ended."""
        self._say(f"{status} after {readable_time(time.monotonic() - self.begin)}: {self.line()}")


class JsonLines(Quiet):
    """One JSON object a line on standard output (or `stream`), for programs that watch."""

    def __init__(self, stream: TextIO | None = None, *, every_s: float = 10.0) -> None:
        super().__init__()
        self._stream = stream if stream is not None else sys.stdout
        self._every_s = every_s
        self._said = time.monotonic()

    def _say(self, kind: str, **fields: Any) -> None:
        self._stream.write(json.dumps({"t": round(time.time(), 3), "kind": kind, **fields}) + "\n")
        self._stream.flush()

    def failed(self, label: str, why: str) -> None:
        """Say it."""
        super().failed(label, why)
        self._say("failed", label=label, why=why)

    def lost(self) -> None:
        """Say it."""
        super().lost()
        self._say("worker_lost")

    def note(self, text: str) -> None:
        """Say it."""
        self._say("note", text=text)

    def update(self, **state: Any) -> None:
        """Say how far it is."""
        super().update(**state)
        if time.monotonic() - self._said >= self._every_s:
            self._said = time.monotonic()
            self._say("progress", **self.summary())

    def end(self, status: str) -> None:
        """Say how it ended."""
        self._say("ended", status=status, **self.summary())


class Live(Quiet):
    """A table that redraws itself on a terminal."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.live import Live as RichLive

        self._console = Console(stderr=True)
        self._live = RichLive(console=self._console, refresh_per_second=4, transient=False)
        self._live.start()

    def lost(self) -> None:
        """Say it."""
        super().lost()
        self._console.print("[yellow]a worker died; its work goes on elsewhere from the last checkpoint")

    def note(self, text: str) -> None:
        """Say it."""
        self._console.print(text, style="yellow", markup=False)

    def update(self, **state: Any) -> None:
        """Redraw."""
        super().update(**state)
        self._live.update(self.table())

    def table(self) -> Any:
        """Return the table of the moment."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        s = self.summary()
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name, justify in (
            ("stage", "left"),
            ("", "left"),
            ("done", "right"),
            ("failed", "right"),
            ("each", "right"),
        ):
            table.add_column(name, justify=justify)  # type: ignore[arg-type]
        for stage, count in s["stages"].items():
            asked, done = count.get("asked", 0), count.get("done", 0)
            bad = count.get("failed", 0) + count.get("sieved", 0)
            mean = self.seconds[stage] / self.finished[stage] if self.finished[stage] else None
            table.add_row(
                stage,
                ProgressBar(total=max(asked, 1), completed=done, width=30),
                f"{done}/{asked}",
                str(bad) if bad else "",
                "" if mean is None else (f"{mean * 1000:.0f} ms" if mean < 1 else readable_time(mean)),
            )
        head = Text(
            f"{s['settled']} of {s['candidates']} candidates settled   {s['running']} running on {s['workers']} "
            f"workers, {s['waiting']} waiting   {s['simulated_ns']:.3g} ns at {s['steps_per_s']:.0f} steps/s   "
            f"elapsed {readable_time(s['elapsed_s'])}, left about {readable_time(s['left_s'])}"
        )
        parts: list[Any] = [head, table]
        dashboard = self.state.get("pool", {}).get("dashboard")
        if dashboard:
            parts.append(Text(f"dashboard {dashboard}", style="dim"))
        for label, why in self.failures[-5:]:
            parts.append(Text(f"{label}: {why.splitlines()[0]}", style="red"))
        return Group(*parts)

    def end(self, status: str) -> None:
        """Leave the last table standing."""
        self._live.update(self.table())
        self._live.stop()


def make_progress(mode: str = "auto", *, stream: TextIO | None = None) -> Progress:
    """Return the progress of a mode: ``auto`` (live on a terminal, else plain), live, plain, json or quiet."""
    if mode == "auto":
        mode = "live" if sys.stderr.isatty() else "plain"
    if mode == "live":
        return Live()
    if mode == "json":
        return JsonLines(stream)
    if mode == "plain":
        return Plain(stream)
    return Quiet()
