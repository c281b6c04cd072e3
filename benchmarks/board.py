"""The benchmark board: run every benchmark beside this file and write ``docs/benchmarks.md``.

    python benchmarks/board.py                  # all of them, full size (`make benchmarks`)
    python benchmarks/board.py --small          # small sizes, a smoke test of the benchmarks themselves
    python benchmarks/board.py --only packing,neighbours   # some of them; the others keep their section of the page
    python benchmarks/board.py --missing --small           # those that have no section yet

The page can be filled in pieces and on several machines: every section names its date, machine and versions. Each
benchmark is a script with ``main(argv) -> int`` that runs ours and the peer side by side and prints a Markdown table,
in a process of its own with one thread, one after another, so that no two share a core.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
PACKAGES = ("ionsieve", "torch", "numpy", "ase", "chgnet", "mace-torch", "vesin", "pymatgen", "kinisi")
HEAD = """# Benchmarks

Ours and the peer in one run on one machine, written by `make benchmarks`; a ratio above one means that ours is faster
unless the table says otherwise. One thread a process. Seconds depend on the machine and on what else it does (a load
average above the number of cores means that other work ran beside): the ratio is what to read. `--small` marks sizes
chosen for a look; the full ones take the same command without it. `python benchmarks/board.py --only NAME` renews one
section and keeps the others, each with its own date and machine.
"""


@dataclass(frozen=True)
class Outcome:
    """What one benchmark printed and how it ended."""

    name: str
    title: str
    command: str
    output: str
    error: str
    exit_code: int
    seconds: float
    load: float


def scripts(folder: Path = HERE) -> list[Path]:
    """Return the benchmarks: every script of the folder that defines ``main``, but the board."""
    return [
        path
        for path in sorted(folder.glob("*.py"))
        if path.name != "board.py" and re.search(r"^def main\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]


def title_of(script: Path) -> str:
    """Return the first paragraph of the script's docstring, in one line."""
    told = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or script.stem
    return " ".join(told.split("\n\n")[0].split())


def run(script: Path, *, small: bool, timeout_s: float) -> Outcome:
    """Run one benchmark in a process of its own."""
    arguments = ["--small"] if small else []
    start, load = time.perf_counter(), os.getloadavg()[0]
    command = [sys.executable, str(script), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **ONE_THREAD}, timeout=timeout_s, check=False
        )
        output, error, code = done.stdout, done.stderr, done.returncode
    except subprocess.TimeoutExpired as late:
        raw = late.stdout or b""
        output = raw.decode(errors="replace") if isinstance(raw, bytes) else raw
        error, code = f"stopped after {timeout_s:.0f} s", 124
    return Outcome(
        script.stem,
        title_of(script),
        " ".join(["python", f"{script.parent.name}/{script.name}", *arguments]),
        output.strip(),
        error.strip(),
        code,
        time.perf_counter() - start,
        load,
    )


def machine() -> str:
    """Return the machine and the packages in one line."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(encoding="utf-8"), re.MULTILINE)
        cpu = found.group(1) if found else cpu
    versions = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"{name} absent")
    return f"{cpu}, {os.cpu_count()} logical cores, {platform.system()}; {', '.join(versions)}"


def spaced(output: str) -> str:
    """Return what was printed with an empty line around every table, without which Markdown shows none."""
    lines: list[str] = []
    for line in output.splitlines():
        if lines and lines[-1].strip() and line.strip() and lines[-1].startswith("|") != line.startswith("|"):
            lines.append("")
        lines.append(line)
    return "\n".join(lines)


def section(outcome: Outcome) -> str:
    """Return the Markdown of one benchmark."""
    verdict = "ran" if outcome.exit_code == 0 else f"**ended with exit code {outcome.exit_code}**"
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    lines = [
        f"## {outcome.name}",
        "",
        outcome.title,
        "",
        f"`{outcome.command}` {verdict} in {outcome.seconds:.0f} s on {today} (load average {outcome.load:.1f} at its "
        "start).",
        "",
        f"Machine: {machine()}.",
        "",
        spaced(outcome.output) or "(printed nothing)",
    ]
    if outcome.exit_code:
        lines += ["", "```", outcome.error[-1500:], "```"]
    return "\n".join(lines).rstrip() + "\n"


def kept_sections(page: Path) -> dict[str, str]:
    """Return the sections of the page as it stands, by name."""
    if not page.is_file():
        return {}
    parts = re.split(r"^## (\S+)\n", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name: f"## {name}\n{body.rstrip()}\n" for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def contents(sections: Mapping[str, str], titles: Mapping[str, str]) -> str:
    """Return the table of all benchmarks: what was run when, in which size."""
    lines = ["| benchmark | question | size | date | ended |", "| --- | --- | --- | --- | --- |"]
    for name in sorted(titles):
        text = sections.get(name)
        if text is None:
            lines.append(f"| {name} | {titles[name]} | - | - | not run |")
            continue
        date = re.search(r" s on (\d{4}-\d\d-\d\d) ", text)
        ended = re.search(r"\*\*ended with exit code (\d+)\*\*", text)
        command = re.search(r"^`(.+?)`", text, re.MULTILINE)
        size = "small" if command and "--small" in command.group(1) else "full"
        lines.append(
            f"| [{name}](#{name}) | {titles[name]} | {size} | {date.group(1) if date else '-'} | "
            f"{'exit code ' + ended.group(1) if ended else 'well'} |"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run and write; the exit code is 1 when a benchmark failed."""
    parser = argparse.ArgumentParser(description="Run the benchmarks and write docs/benchmarks.md.")
    parser.add_argument("names", nargs="*", help="benchmarks to run [default: all]")
    parser.add_argument("--only", metavar="NAMES", help="the same, as one word with commas")
    parser.add_argument("--missing", action="store_true", help="those without a section on the page")
    parser.add_argument("--small", action="store_true", help="small sizes")
    parser.add_argument("--timeout-s", type=float, default=1800.0, help="longest run of one benchmark")
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--folder", type=Path, default=HERE, help="where the benchmarks are")
    options = parser.parse_args(argv)

    known = {path.stem: path for path in scripts(options.folder)}
    asked = [*options.names, *(options.only.split(",") if options.only else [])]
    unknown = sorted(set(asked) - set(known))
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; known: {', '.join(known)}")
    titles = {name: title_of(path) for name, path in known.items()}
    sections = {name: text for name, text in kept_sections(options.out).items() if name in known}
    chosen = asked or [name for name in known if not (options.missing and name in sections)]
    failed = []
    for name in chosen:
        print(f"{name} ...", flush=True)
        outcome = run(known[name], small=options.small, timeout_s=options.timeout_s)
        sections[name] = section(outcome)
        print(f"{outcome.output}\n({outcome.seconds:.0f} s, exit code {outcome.exit_code})\n", flush=True)
        if outcome.exit_code:
            failed.append(name)
            print(outcome.error, file=sys.stderr)
        # written after each, so that an interrupted board keeps what it has
        sections |= {k: v for k, v in kept_sections(options.out).items() if k in known and k not in chosen}
        body = "\n".join(sections[key] for key in sorted(sections))
        options.out.write_text(f"{HEAD}\n{contents(sections, titles)}\n\n{body}", encoding="utf-8")
    print(f"wrote {options.out}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
