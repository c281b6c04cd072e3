"""The address of a result: the SHA-256 of the question that it answers.

A `Request` is pure JSON: stage, its integer `PHYSICS`, the addresses of the records that it starts from, literal
parameters, and the stage's own settings. Two requests that ask the same question have the same key, on any machine and
in any campaign; a request never changes its key. What does not determine the numbers (device, worker, batch, deadline,
number of cores) is no part of it.

Canonical JSON: keys sorted, no blanks, UTF-8; floats rounded to 12 significant digits, so that a unit conversion that
costs the last bit does not cost the address; numbers that are equal are written alike (``1473`` and ``1473.0``,
``-0.0`` and ``0``); NaN, infinity and everything that is not JSON are refused.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ionsieve.errors import BugError, DataError

__all__ = ["Request", "canonical_json", "content_key", "is_key"]

DIGITS = 12
"""Significant digits of a float in an address."""

_KEY = re.compile(r"[0-9a-f]{64}")
_SHARED: dict[int, tuple[Any, str]] = {}
_SHARED_MAX = 64


def _plain(value: Any, path: str) -> Any:
    """Return `value` with its numbers normalised; refuse what is not JSON."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BugError("a number that is not finite has no address", key=path, found=repr(value))
        rounded = float(f"{value:.{DIGITS}g}")
        return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise BugError("keys of an address are strings", key=path, found=repr(key))
        return {str(k): _plain(v, f"{path}.{k}") for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v, f"{path}[{i}]") for i, v in enumerate(value)]
    raise BugError(
        "only JSON has an address",
        key=path,
        found=f"{value!r} ({type(value).__name__})",
        remedy="pass plain numbers, strings, lists and dictionaries (`model_dump(mode='json')`)",
    )


def canonical_json(value: Any) -> str:
    """Return the one text that stands for `value`.

    Raises
    ------
    BugError
        When the value is not JSON, or holds NaN or infinity; the message names the place.
    """
    return json.dumps(_plain(value, "$"), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_key(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of `value`, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def is_key(text: str) -> bool:
    """Whether `text` has the form of an address."""
    return _KEY.fullmatch(text) is not None


def _shared(value: Any) -> str:
    """Canonical JSON of a mapping that many requests share (a stage's settings): computed once for each object."""
    held = _SHARED.get(id(value))
    if held is not None and held[0] is value:
        return held[1]
    text = canonical_json(value)
    if len(_SHARED) >= _SHARED_MAX:
        _SHARED.pop(next(iter(_SHARED)))
    _SHARED[id(value)] = (value, text)
    return text


@dataclass(frozen=True)
class Request:
    """One question to one stage.

    Parameters
    ----------
    stage
        Name of the stage, for example ``simulate``.
    physics
        The stage's `PHYSICS`: raised when its numbers change.
    inputs
        Addresses of the records it starts from: one key, or a list of keys, under each name.
    parameters
        Literals, for example ``{"temperature_K": 1200, "replica": 0}``.
    settings
        The stage's own settings as JSON. Never change a mapping after it was given to a request: builders that make
        many requests pass the same object to each, so that it is written out once.
    """

    stage: str
    physics: int
    inputs: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.stage.isidentifier():
            raise BugError("a stage's name is an identifier", found=self.stage)
        for name, value in self.inputs.items():
            for key in (value,) if isinstance(value, str) else value:
                if not is_key(key):
                    raise BugError("an input is named by its address", key=f"inputs.{name}", found=str(key))

    @cached_property
    def text(self) -> str:
        """Canonical JSON of the request: the preimage of its key."""
        head = canonical_json({"inputs": self.inputs, "parameters": self.parameters, "physics": self.physics})
        # "settings" and "stage" sort after the three keys above: the text equals canonical_json(self.to_dict()).
        return f'{head[:-1]},"settings":{_shared(self.settings)},"stage":"{self.stage}"}}'

    @cached_property
    def key(self) -> str:
        """The address: SHA-256 of `text`."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def input_keys(self) -> tuple[str, ...]:
        """All addresses it starts from."""
        keys: list[str] = []
        for value in self.inputs.values():
            keys.extend((value,) if isinstance(value, str) else value)
        return tuple(keys)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "inputs": {k: v if isinstance(v, str) else list(v) for k, v in self.inputs.items()},
            "parameters": dict(self.parameters),
            "physics": self.physics,
            "settings": dict(self.settings),
            "stage": self.stage,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Request:
        """Read what `to_dict` wrote.

        Raises
        ------
        DataError
            When it is no request.
        """
        try:
            return cls(
                stage=data["stage"],
                physics=data["physics"],
                inputs=data["inputs"],
                parameters=data["parameters"],
                settings=data["settings"],
            )
        except (KeyError, TypeError, AttributeError, BugError) as error:
            raise DataError(f"not a request: {error}", found=repr(data)[:200]) from error

    @classmethod
    def from_text(cls, text: str, data: Mapping[str, Any]) -> Request:
        """Read a request of which the canonical text was kept: its key follows from that, and nothing is written anew.

        Parameters
        ----------
        text
            What `text` was when the request was asked.
        data
            The same, parsed.
        """
        request = cls.from_dict(data)
        vars(request)["text"] = text  # where `cached_property` would put it
        return request

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Request) and self.key == other.key

    def __reduce__(self) -> tuple[Any, ...]:
        return Request.from_dict, (self.to_dict(),)
