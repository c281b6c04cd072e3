"""Addresses: equal questions have equal keys, and nothing that is not JSON has one."""

from __future__ import annotations

import json
import math
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ionsieve.errors import BugError, DataError
from ionsieve.store import Request, canonical_json, content_key
from ionsieve.verdicts import Outcome

KEY = "ab" * 32
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def test_the_key_is_the_sha256_of_the_documented_text() -> None:
    request = Request("simulate", 3, {"relax": KEY}, {"temperature_K": 1200.0, "replica": 0}, {"dt_fs": 2.0})
    assert request.text == (
        '{"inputs":{"relax":"' + KEY + '"},"parameters":{"replica":0,"temperature_K":1200},"physics":3,'
        '"settings":{"dt_fs":2},"stage":"simulate"}'
    )
    assert request.text == canonical_json(request.to_dict())
    # golden: an address never changes; a failure here re-addresses every stored result
    assert request.key == "29662ee97c650cc6dc269d45a46e2127af3e3fb6869f9e673293c8b1524a89b9"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"x": 1473}, {"x": 1473.0}),
        ({"x": 0.1 + 0.2}, {"x": 0.3}),
        ({"x": -0.0}, {"x": 0}),
        ({"x": (1, 2)}, {"x": [1, 2]}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"x": Outcome.MELTED}, {"x": "melted"}),
    ],
)
def test_equal_questions_have_equal_keys(a: dict[str, object], b: dict[str, object]) -> None:
    assert content_key(a) == content_key(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"x": 1}, {"x": True}),
        ({"x": 0}, {"x": False}),
        ({"x": None}, {}),
        ({"x": "1"}, {"x": 1}),
        ({"x": 1.00000000001}, {"x": 1.0}),
        ({"x": [1, [2]]}, {"x": [[1], 2]}),
    ],
)
def test_different_questions_have_different_keys(a: dict[str, object], b: dict[str, object]) -> None:
    assert content_key(a) != content_key(b)


@given(json_values)
@settings(max_examples=200, deadline=None)
def test_the_text_is_json_and_a_fixed_point(value: object) -> None:
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text


@pytest.mark.parametrize("bad", [math.nan, math.inf, {1: 2}, {"x": object()}, {"x": {1, 2}}, b"x"])
def test_what_is_no_json_is_refused_with_its_place(bad: object) -> None:
    with pytest.raises(BugError) as caught:
        canonical_json({"deep": [bad]})
    assert "$.deep[0]" in str(caught.value)


def test_every_part_of_a_request_changes_the_key() -> None:
    base = {
        "stage": "relax",
        "physics": 1,
        "inputs": {"generate": KEY},
        "parameters": {"index": 0},
        "settings": {"f": 0.1},
    }
    keys = {Request(**base).key}  # type: ignore[arg-type]
    for change in (
        {"stage": "sieve"},
        {"physics": 2},
        {"inputs": {"generate": "cd" * 32}},
        {"inputs": {"other": KEY}},
        {"inputs": {"generate": [KEY]}},
        {"parameters": {"index": 1}},
        {"settings": {"f": 0.2}},
    ):
        keys.add(Request(**{**base, **change}).key)  # type: ignore[arg-type]
    assert len(keys) == 8


def test_shared_settings_are_written_by_value_not_by_identity() -> None:
    keys = {Request("relax", 1, settings={"f": i}).key for i in range(200)}
    assert len(keys) == 200


def test_a_request_travels_and_comes_back() -> None:
    request = Request("fit", 1, {"measure": [KEY, "cd" * 32]}, {}, {"x": 0.5})
    assert pickle.loads(pickle.dumps(request)) == request
    assert Request.from_dict(json.loads(request.text)) == request
    assert request.input_keys == (KEY, "cd" * 32)


@pytest.mark.parametrize("inputs", [{"relax": "../../etc/passwd"}, {"relax": ["x"]}, {"relax": KEY.upper()}])
def test_an_input_that_is_no_address_is_refused(inputs: dict[str, object]) -> None:
    with pytest.raises(BugError):
        Request("simulate", 1, inputs)  # type: ignore[arg-type]
    with pytest.raises(DataError):
        Request.from_dict({"stage": "simulate", "physics": 1, "inputs": inputs, "parameters": {}, "settings": {}})
