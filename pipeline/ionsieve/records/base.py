"""What all records share: frozen, strict, schema-versioned, and JSON that comes back unchanged.

Numbers: NaN and infinity are refused; what is unknown is ``None``. Floats keep all their digits (shortest repr).
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError, model_validator
from pydantic_core import CoreSchema

from ionsieve.errors import DataError

__all__ = ["Frozen", "Record"]


def _make_strict(schema: Any) -> None:
    """Set ``strict`` on every number and truth value of a core schema, in place."""
    if isinstance(schema, dict):
        if schema.get("type") in ("int", "float", "bool"):
            schema["strict"] = True
        for name, value in schema.items():
            if name not in ("metadata", "default"):
                _make_strict(value)
    elif isinstance(schema, (list, tuple)):
        for value in schema:
            _make_strict(value)


class Frozen(BaseModel):
    """A frozen part of a record or of settings: unknown keys, NaN and infinity are refused, numbers are numbers.

    Pydantic's strict mode would also refuse lists for tuples and texts for enumerations, which is how JSON writes them;
    here only numbers and truth values are strict: ``"7"`` is no 7, 1 is no ``true``, 2.5 is no integer.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True, serialize_by_alias=True
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Build the schema with strict numbers."""
        schema = handler(source)
        _make_strict(schema)
        return schema


class Record(Frozen):
    """What flows between stages. A subclass sets `SCHEMA`, raised when its fields change their meaning.

    The JSON form carries ``record`` (class name) and ``schema`` so that a file says what it is.
    """

    SCHEMA: ClassVar[int] = 1

    @model_validator(mode="before")
    @classmethod
    def _check_header(cls, data: Any) -> Any:
        if not isinstance(data, dict) or ("record" not in data and "schema" not in data):
            return data
        data = dict(data)
        name, schema = data.pop("record", cls.__name__), data.pop("schema", cls.SCHEMA)
        if name != cls.__name__:
            raise ValueError(f"this is a {name}, not a {cls.__name__}")
        if schema != cls.SCHEMA:
            raise ValueError(f"{cls.__name__} of schema {schema}; this version of ionsieve reads schema {cls.SCHEMA}")
        return data

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, with the header."""
        return {"record": type(self).__name__, "schema": self.SCHEMA, **self.model_dump(mode="json")}

    def to_json(self) -> str:
        """Return indented JSON with sorted keys: equal records give equal bytes."""
        return json.dumps(self.to_dict(), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: str = "") -> Self:
        """Read the JSON form.

        Raises
        ------
        DataError
            When the text is no such record; the message names the file, the field and the value.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise DataError(
                f"not a valid {cls.__name__}: {first['msg']}",
                where=where,
                key=".".join(map(str, first["loc"])),
                remedy="it was edited, or written by another version; `ionsieve clean` drops it to be computed again",
            ) from error
