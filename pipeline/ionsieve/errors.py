"""Errors that teach: what was found, what was expected, why it matters, and what mends it.

Every error carries its fields (so that tests and other programs read them), renders them as text, and survives
pickling (so that it travels back from a worker unchanged). The classes are sorted by who can act:

=================  ====  =====================================================================
class              exit  who acts
=================  ====  =====================================================================
`InputError`       2     the user: a campaign, a prototype, a command-line value
`SetupError`       2     the user or administrator: device, model file, disk, missing package
`GeometryError`    2     the same, of one structure: a potential refuses these positions or this cell
`DataError`        2     the owner of a file: corrupt, foreign, of another version
`TransientError`   1     nobody: the driver retries (lost worker, busy file, full memory)
`BugError`         1     us: please report, the message holds the story
=================  ====  =====================================================================
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "BugError",
    "DataError",
    "GeometryError",
    "InputError",
    "IonsieveError",
    "Problem",
    "ProblemsError",
    "SetupError",
    "TransientError",
    "nearest",
]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was probably meant to be, or None."""
    words = {str(k).lower(): str(k) for k in known}
    close = difflib.get_close_matches(str(word).lower(), list(words), n=1, cutoff=0.6)
    return words[close[0]] if close else None


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and how to mend it.

    Parameters
    ----------
    message
        What is wrong, in one sentence.
    where
        File with line, for example ``workflows/nasicon.yaml:14``.
    key
        Dotted path of the value, for example ``dynamics.temperatures_K[2]``.
    found, expected
        The offending value as written, and what would have been right.
    cause
        Why it is wrong, or how it usually comes about.
    remedy
        What to type instead.
    """

    message: str
    where: str = ""
    key: str = ""
    found: str = ""
    expected: str = ""
    cause: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        head = "  ".join(part for part in (self.where, self.key) if part)
        if self.found:
            head = f"{head} = {self.found}" if head else f"found {self.found}"
        lines = [f"{head}: {self.message}" if head else self.message]
        for label, text in (("expected", self.expected), ("cause", self.cause), ("remedy", self.remedy)):
            if text:
                lines.append(f"  {label}: {text}")
        return "\n".join(lines)


class IonsieveError(Exception):
    """Base of all errors raised on purpose. Keyword fields as in `Problem`."""

    exit_code = 1

    def __init__(self, message: str, **fields: str) -> None:
        self.problem = Problem(message, **fields)
        super().__init__(message)

    def __str__(self) -> str:
        return str(self.problem)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.problem)


def _rebuild(cls: type[IonsieveError], problem: Problem) -> IonsieveError:
    fields = {k: v for k, v in vars(problem).items() if k != "message"}
    return cls(problem.message, **fields)


class InputError(IonsieveError, ValueError):
    """The user's input is wrong: campaign, prototype, structure or command-line value."""

    exit_code = 2


class GeometryError(InputError):
    """A potential cannot evaluate this one structure: not finite, without volume, collapsed, too close.

    The one error that ends a single run or relaxation with a verdict; any other error of a potential is a fault and is
    never stored as chemistry.
    """


class SetupError(IonsieveError, RuntimeError):
    """The machine is not ready: device, model file, package, disk space."""

    exit_code = 2


class DataError(IonsieveError, ValueError):
    """A file is corrupt, foreign or of another schema version."""

    exit_code = 2


class TransientError(IonsieveError, RuntimeError):
    """An accident of the environment: retry. Never stored as a result."""


class BugError(IonsieveError, AssertionError):
    """A broken invariant of ours; the message tells the story to report."""


@dataclass
class Problems:
    """Collects problems so that the user hears of all of them at once."""

    found: list[Problem] = field(default_factory=list)

    def add(self, message: str, **fields: str) -> None:
        """Note one problem; fields as in `Problem`."""
        self.found.append(Problem(message, **fields))

    def throw(self) -> None:
        """Raise `ProblemsError` when anything was noted."""
        if self.found:
            raise ProblemsError(self.found)


class ProblemsError(InputError):
    """Several problems of one input, each with its place and remedy."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} found")

    def __str__(self) -> str:
        return "\n\n".join(str(p) for p in self.problems)

    def __reduce__(self) -> tuple[Any, ...]:
        return ProblemsError, (self.problems,)
