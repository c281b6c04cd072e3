"""The benchmark board runs what is there and writes what it printed."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
spec = importlib.util.spec_from_file_location("board", ROOT / "benchmarks" / "board.py")
board = importlib.util.module_from_spec(spec)

sys.modules["board"] = board
spec.loader.exec_module(board)

GOOD = '''"""Sums, ours against the peer."""
import sys


def main(argv=None):
    print("| n | ours | peer | ratio |\\n| --- | --- | --- | --- |")
    print(f"| {10 if '--small' in (argv or sys.argv) else 1000} | 1 s | 2 s | 2.0 |")
    return 0


sys.exit(main())
'''
BAD = '"""Always fails."""\n\n\ndef main(argv=None):\n    raise ValueError("the peer is missing")\n\n\nmain()\n'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "helper.py").write_text("X = 1\n")
    return tmp_path


def test_table_command_and_title_stand_on_the_page(folder):
    page = folder / "page.md"
    assert board.main(["--folder", str(folder), "--out", str(page)]) == 0
    text = page.read_text()
    assert "| 1000 | 1 s | 2 s | 2.0 |" in text
    assert "Sums, ours against the peer." in text
    assert f"python {folder.name}/good.py`" in text
    assert "helper" not in text
    (folder / "other.py").write_text(GOOD)
    board.main(["--folder", str(folder), "--out", str(page), "good"])
    assert "| other | Sums, ours against the peer. | - | - | not run |" in page.read_text()
    assert "Machine:" in text


def test_the_page_is_filled_in_pieces(folder):
    page = folder / "page.md"
    (folder / "other.py").write_text(GOOD.replace("Sums, ours", "Sums, all of ours\nin two lines,"))
    board.main(["--folder", str(folder), "--out", str(page), "--only", "good", "--small"])
    assert "| [good](#good) | Sums, ours against the peer. | small | " in page.read_text()
    board.main(["--folder", str(folder), "--out", str(page), "--missing"])
    text = page.read_text()
    assert "| 10 | 1 s |" in text, "the small run of the first call is kept"
    assert "| [other](#other) | Sums, all of ours in two lines, against the peer. | full | " in text
    assert "not run" not in text


def test_small_is_passed_on(folder):
    page = folder / "page.md"
    assert board.main(["--folder", str(folder), "--out", str(page), "--small"]) == 0
    assert "| 10 | 1 s |" in page.read_text()


def test_a_failure_is_shown_and_the_rest_stays(folder):
    page = folder / "page.md"
    board.main(["--folder", str(folder), "--out", str(page)])
    (folder / "bad.py").write_text(BAD)
    assert board.main(["--folder", str(folder), "--out", str(page), "bad"]) == 1
    text = page.read_text()
    assert "ended with exit code 1" in text
    assert "the peer is missing" in text
    assert "not run" not in text
    assert "| 1000 | 1 s | 2 s | 2.0 |" in text, "the section of a benchmark that was not run is kept"


def test_tables_stand_apart():
    assert board.spaced("size:\n| a |\n| - |\n| 1 |\ncommand") == "size:\n\n| a |\n| - |\n| 1 |\n\ncommand"
    assert board.spaced("| a |\n\nend") == "| a |\n\nend"


def test_a_benchmark_that_never_ends_is_stopped(folder):
    (folder / "slow.py").write_text('"""Slow."""\nimport time\n\n\ndef main():\n    time.sleep(60)\n\n\nmain()\n')
    outcome = board.run(folder / "slow.py", small=False, timeout_s=0.5)
    assert outcome.exit_code == 124
    assert outcome.seconds < 20


def test_every_benchmark_of_the_repository_can_be_run_by_the_board():
    names = [path.stem for path in board.scripts()]
    others = {p.stem for p in (ROOT / "benchmarks").glob("*.py")} - {"board", "__init__"}
    assert set(names) == others, "a benchmark without main() would never be run"
