"""ionsieve models."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from ionsieve.cli.models import register
from ionsieve.errors import InputError


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)

    @app.command()
    def other() -> None:
        """A second command, so that the first keeps its name."""

    return app


def rows(app: typer.Typer, *arguments: str) -> list[dict[str, object]]:
    result = CliRunner().invoke(app, ["models", "--json", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return json.loads(result.stdout)


def test_the_default_potential_is_listed_as_present(app: typer.Typer) -> None:
    first = rows(app)[0]
    assert first["name"] == "chgnet-0.3.0"
    assert first["present"] is True
    assert first["elements"] == 89
    assert first["verified"] is None


def test_verify_reads_the_files(app: typer.Typer) -> None:
    checked = {row["name"]: row["verified"] for row in rows(app, "--verify")}
    assert checked["chgnet-0.3.0"] is True
    assert checked["chgnet-r2scan"] is True
    assert checked["pair-lj"] is None


def test_elements_narrow_the_list(app: typer.Typer) -> None:
    names = {row["name"] for row in rows(app, "-e", "Li,Yb")}
    assert "chgnet-0.3.0" in names
    assert not names & {"chgnet-r2scan", "pair-ionic"}


def test_an_element_that_does_not_exist(app: typer.Typer) -> None:
    with pytest.raises(InputError, match="no such element"):
        CliRunner().invoke(app, ["models", "-e", "Li,Xx"], catch_exceptions=False)


def test_the_table_fits_eighty_columns(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["models"], catch_exceptions=False, env={"COLUMNS": "80"})
    assert result.exit_code == 0
    assert all(len(line) <= 80 for line in result.stdout.splitlines()), result.stdout
    assert "pin or trust" in result.stdout


def test_the_listing_imports_no_torch() -> None:
    code = (
        "import sys; from ionsieve.cli.models import _models; _models('Li', False, False);"
        "print(sorted({'torch', 'ase', 'chgnet', 'mace'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
