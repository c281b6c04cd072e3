"""The tutorials do what they say: every block of docs/tutorials/ is executed, in order, and its output compared.

``python``: executed in the checkout's root, all blocks of a page in one namespace. ``text`` after it: lines that were
printed. ``yaml title="name"``: written to that file. ``console``: lines with ``$`` are run in the folder of the files;
each line after is found in what was printed. A last line ``exit code N`` tells the code, else 0 or 3 (failed
candidates) is right.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def flat(text):
    """Without the frames of tables and the breaks that a terminal's width makes."""
    return re.sub(r"\s+", " ", re.sub(r"[│┃┏┓┗┛━┡┩┳┻╇╈├┤┌┐└┘─╭╮╰╯]", " ", text))


def command(line, folder):
    words = shlex.split(line)
    assert words[0] == "ionsieve", "tutorials run ionsieve only"
    code = "import sys; from ionsieve.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *words[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1", "NO_COLOR": "1"},
        timeout=600,
    )
    return done.returncode, done.stdout + done.stderr


def run_console(body, folder):
    steps = re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]
    assert steps, "a console block without a command"
    for step in steps:
        line, *expected = step.strip().splitlines()
        code, printed = command(line, folder)
        allowed = {0, 3}
        for words in expected:
            if match := re.fullmatch(r"exit code (\d+)", words.strip()):
                allowed = {int(match.group(1))}
            else:
                assert flat(words).strip() in flat(printed), f"$ {line}\nprinted no {words!r}:\n{printed}"
        assert code in allowed, f"$ {line}\nended with {code}:\n{printed}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    names, printed, executed = {"__name__": f"tutorial_{page.stem}"}, "", 0
    for kind, title, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(body, f"{page.name}, block {executed}", "exec"), names)
            printed = out.getvalue()
        elif kind == "text":
            for line in body.strip().splitlines():
                assert flat(line).strip() in flat(printed), f"{page.name} promises {line!r}, printed:\n{printed}"
        elif kind == "yaml":
            (tmp_path / re.search(r'title="([\w.-]+)"', title).group(1)).write_text(body, encoding="utf-8")
        elif kind == "console":
            run_console(body, tmp_path)
        else:
            pytest.fail(f"{page.name}: a block of kind {kind!r} is not executed")
        executed += kind != "text"
    assert executed >= 3, "a tutorial without code"


def test_there_are_tutorials():
    assert {page.stem for page in PAGES} >= {"transport", "channels", "campaign"}
