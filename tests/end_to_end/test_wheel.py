"""The built wheel runs on its own: structures, campaigns and literature travel with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True, capture_output=True)
    (wheel,) = folder.glob("ionsieve-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True, capture_output=True)
    return folder


def run(installed, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(installed / "site"), "COLUMNS": "160"}
    code = "import sys; from ionsieve.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=installed, env=environment, capture_output=True, text=True
    )


def test_it_is_the_wheel_that_runs(installed):
    out = subprocess.run(
        [sys.executable, "-c", "import ionsieve.resources as r; print(r.__file__, r.data_folder('literature'))"],
        cwd=installed,
        env={**os.environ, "PYTHONPATH": str(installed / "site")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert out.count(str(installed)) == 2


def test_prototypes_and_campaigns_travel(installed):
    listing = run(installed, "prototypes")
    assert listing.returncode == 0, listing.stderr
    assert "Na3Zr2Si2PO12_R-3c" in listing.stdout
    valid = run(installed, "validate", "quickstart", "--no-timing")
    assert valid.returncode == 0, valid.stderr
    assert "6 candidates" in valid.stdout
