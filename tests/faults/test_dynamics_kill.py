"""kill -9 in the middle of a batch: the trajectory is that of a run that nobody killed, and little is repeated."""

import subprocess
import sys
from pathlib import Path

import pytest

DRILL = Path(__file__).parents[2] / "benchmarks" / "kill_drill.py"


@pytest.mark.parametrize("seed", [3])
def test_kill_drill_short_form(seed):
    done = subprocess.run(
        [sys.executable, str(DRILL), "--small", "--seed", str(seed)],
        capture_output=True,
        text=True,
        check=False,
        env={"OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| 0 of 3 |" in done.stdout or "| 0 of 6 |" in done.stdout or "| 0 of 9 |" in done.stdout


@pytest.mark.slow
def test_kill_drill_fifty():
    done = subprocess.run(
        [sys.executable, str(DRILL)], capture_output=True, text=True, check=False, env={"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
