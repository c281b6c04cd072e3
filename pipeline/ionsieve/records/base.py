"""What all records share: frozen, strict, schema-versioned, and JSON that comes back unchanged.

Numbers: NaN and infinity are refused; what is unknown is ``None``. Floats keep all their digits (shortest repr).
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from ionsieve.errors import DataError

__all__ = ["Frozen", "Record"]


class Frozen(BaseModel):
    """A frozen part of a record or of settings: unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True, serialize_by_alias=True
    )


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
