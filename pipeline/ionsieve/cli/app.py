"""The application: collects the commands, turns errors into messages and exit codes.

Exit codes: 0 done, 1 a bug or an accident, 2 bad input or set-up, 3 finished with failed candidates, 130 interrupted.
Nothing heavy is imported here: ``ionsieve --help`` must answer in a third of a second.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Annotated, Any

import typer

from ionsieve import __version__
from ionsieve.errors import IonsieveError, SetupError

__all__ = ["COMMANDS", "app", "run"]

#: Modules of this package, in the order in which ``--help`` lists their commands.
COMMANDS = (
    "init",
    "validate",
    "run",
    "maintain",
    "submit",
    "status",
    "rank",
    "report",
    "serve",
    "export",
    "sheet",
    "compare",
    "stability",
    "prototypes",
    "generate",
    "channels",
    "analyze",
    "distill",
    "models",
    "doctor",
)

EXIT_INTERRUPTED = 130

#: What is wrong with a command line; where this class lives differs between typer's versions.
_ClickException: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

app = typer.Typer(
    name="ionsieve",
    help="Screen doped solid electrolytes by molecular dynamics with machine-learned potentials.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"ionsieve {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    # One thread a process: the work is spread over processes, and spinning threads slow each other down many times.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")


for _name in COMMANDS:
    importlib.import_module(f"ionsieve.cli.{_name}").register(app)


def run(arguments: list[str] | None = None) -> int:
    """Run a command line; return the exit code. Errors made to teach are printed without a traceback."""
    try:
        result = app(args=arguments, standalone_mode=False, prog_name="ionsieve")
    except IonsieveError as error:
        typer.secho(str(error), fg=typer.colors.RED, err=True)
        return error.exit_code
    except _ClickException as error:
        error.show()
        return int(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        typer.secho("interrupted; the same command continues where it stopped", fg=typer.colors.YELLOW, err=True)
        return EXIT_INTERRUPTED
    except PermissionError as error:  # most often the folder of a colleague
        place, remedy = str(error.filename or ""), "ask its owner for the permission, or name another folder"
        typer.secho(str(SetupError("permission denied", where=place, remedy=remedy)), fg=typer.colors.RED, err=True)
        return SetupError.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    return int(result) if isinstance(result, int) else 0
