"""Errors render, carry their fields and travel."""

import pickle

import pytest

from ionsieve.errors import (
    BugError,
    DataError,
    InputError,
    IonsieveError,
    Problem,
    Problems,
    ProblemsError,
    SetupError,
    TransientError,
    nearest,
)

FIELDS = {
    "where": "workflows/x.yaml:14",
    "key": "dynamics.dt_fs",
    "found": "'2 fs'",
    "expected": "a time step in fs",
    "cause": "units belong to the key",
    "remedy": "write 2",
}


def test_message_is_complete():
    text = str(InputError("not a number", **FIELDS))
    assert text == (
        "workflows/x.yaml:14  dynamics.dt_fs = '2 fs': not a number\n"
        "  expected: a time step in fs\n  cause: units belong to the key\n  remedy: write 2"
    )


@pytest.mark.parametrize("cls", [InputError, SetupError, DataError, TransientError, BugError])
def test_each_class_renders_and_travels(cls):
    error = cls("message", **FIELDS)
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is cls
    assert str(back) == str(error)
    assert back.problem == error.problem
    assert isinstance(error, IonsieveError)


def test_all_problems_at_once():
    problems = Problems()
    problems.throw()
    problems.add("first", key="a")
    problems.add("second", key="b", remedy="do c")
    with pytest.raises(ProblemsError) as caught:
        problems.throw()
    assert str(caught.value) == "a: first\n\nb: second\n  remedy: do c"
    back = pickle.loads(pickle.dumps(caught.value))
    assert back.problems == (Problem("first", key="a"), Problem("second", key="b", remedy="do c"))
    assert back.exit_code == 2


@pytest.mark.parametrize(
    ("word", "expected"), [("Na3OCI", "Na3OCl"), ("temperature_K", "temperatures_K"), ("zzz", None)]
)
def test_nearest(word, expected):
    assert nearest(word, ["Na3OCl", "temperatures_K", "Na3PS4"]) == expected
