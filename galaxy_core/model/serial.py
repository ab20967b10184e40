"""Values as plain data that JSON can hold, and JSON text to and from files."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Self

from galaxy_core.errors import PlanError
from galaxy_core.model.reasons import shown

#: Deeper than this, values are described instead of followed.
MAX_DEPTH = 50
#: Parts beyond so many are described. What is shared is written out each time, so a small value can have very many.
MAX_PARTS = 1_000_000
#: Integers of more bits are described: of more than 4,300 digits Python neither writes nor reads them.
MOST_BITS = 13_000
#: Of nested lists and dictionaries, unlike the builtin, it looks at the first parts alone.
_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 200


def plain(value: Any) -> Any:
    """`value` as JSON can hold it.

    Objects become their attributes, results their dictionary, sets sorted lists; what refers to itself, lies deeper
    than `MAX_DEPTH`, comes after `MAX_PARTS` others, has very many digits or no plain form is described in a short text. Never raises.
    """
    return _Plain().of(value)


class _Plain:
    """One walk through a value."""

    def __init__(self) -> None:
        self.path: set[int] = set()  # the ids of what is being followed now
        self.parts = 0

    def of(self, value: Any) -> Any:
        self.parts += 1
        if value is None or type(value) in (str, bool):
            return value
        try:
            return self.simple(value)
        except Exception:  # a foreign object's own code failed, even in saying what it is: it is described instead
            return described(value)

    def simple(self, value: Any) -> Any:
        if isinstance(value, Enum):
            return self.of(value.value)
        if isinstance(value, int):
            return int(value) if value.bit_length() <= MOST_BITS else described(value)
        if isinstance(value, str):
            return str(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else str(float(value))
        if isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, (bytes, bytearray)):
            return bytes(value).decode("utf-8", "replace")
        if id(value) in self.path or len(self.path) >= MAX_DEPTH or self.parts > MAX_PARTS:
            return described(value)
        self.path.add(id(value))
        try:
            return self.followed(value)
        finally:
            self.path.discard(id(value))

    def followed(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(self.of(key)): self.of(item) for key, item in value.items()}
        if isinstance(value, (set, frozenset)):
            return sorted((self.of(item) for item in value), key=_order)
        if isinstance(value, (list, tuple)):
            return [self.of(item) for item in value]
        if isinstance(value, BaseException):
            return str(value)
        if isinstance(value, (type, ModuleType)):
            return described(value)
        to_dict = getattr(value, "to_dict", None)
        if callable(to_dict):
            return self.of(to_dict())
        attributes = vars(value)
        return self.of(attributes) if attributes else described(value)


def _order(item: Any) -> tuple[str, str]:
    return str(item), type(item).__name__  # 1 and "1" look the same


def described(value: Any) -> str:
    """A short text in place of a value that JSON cannot hold."""
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        return f"<int of {value.bit_length()} bits>"
    try:
        return _SHORT.repr(value)[:200]
    except Exception:  # a foreign __repr__ failed: the type is all that can be said
        return f"<{type(value).__name__}>"


def dump_json(document: Mapping[str, Any], save_path: str | Path | None) -> str:
    """`document` as indented JSON text, also written to `save_path` when there is one.

    Raises:
        OSError: the file could not be written.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if not _is_unicode(text):  # half a surrogate pair, from undecodable file names: only its escape can be written
        text = json.dumps(document, indent=2)
    if save_path is not None:
        Path(save_path).write_text(text, encoding="utf-8")
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def load_json(json_data: str | None, file_path: str | Path | None) -> dict[str, Any]:
    """The JSON object in exactly one of a text and a file.

    Raises:
        ValueError: both or neither is given, or the text is not an object (json.JSONDecodeError when it is not JSON).
        FileNotFoundError: there is no such file.
    """
    if json_data is None and file_path is None:
        raise ValueError("Either json_data or file_path must be provided")
    if json_data is not None and file_path is not None:
        raise ValueError("Only one of json_data or file_path should be provided")
    if file_path is not None:
        try:
            json_data = Path(file_path).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise FileNotFoundError(f"JSON file not found: {file_path}") from error
    if not isinstance(json_data, str):
        raise ValueError("JSON data must represent a dictionary/object")
    try:
        document = json.loads(json_data)
    except RecursionError as error:
        raise ValueError("JSON data is nested too deeply") from error
    if not isinstance(document, dict):
        raise ValueError("JSON data must represent a dictionary/object")
    return document


def parse_moment(moment: Any) -> float | None:
    """Seconds since the epoch of an ISO 8601 text or a datetime; None for None.

    Raises:
        ValueError: the text is no such moment.
    """
    if moment is None:
        return None
    return (moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)).timestamp()


class Document:
    """What has a dictionary form: its JSON text and its pydantic document follow from that."""

    __slots__ = ()
    #: The name of its pydantic class in `model.schema`, which is loaded only by those who ask for it.
    SCHEMA: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        raise TypeError(f"{type(self).__name__} has no dictionary form")

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        raise TypeError(f"{cls.__name__} has no dictionary form")

    def to_json(self, save_path: str | Path | None = None) -> str:
        """Indented JSON text, also written to `save_path` when there is one.

        Raises:
            OSError: the file could not be written.
        """
        return dump_json(self.to_dict(), save_path)

    @classmethod
    def from_json(cls, json_data: str | None = None, file_path: str | Path | None = None) -> Self:
        """An object from exactly one of a JSON text and a file.

        Raises:
            ValueError: both or neither is given, or the text is not a JSON object.
            FileNotFoundError: there is no such file.
        """
        return cls.from_dict(load_json(json_data, file_path))

    def to_basemodel(self) -> Any:
        """The pydantic document of `model.schema` that says the same."""
        from galaxy_core.model import schema

        return getattr(schema, self.SCHEMA).model_validate(self.to_dict())

    @classmethod
    def from_basemodel(cls, document: Any) -> Self:
        """The object that a pydantic document describes: one of `model.schema`, or any model with the same keys.

        Raises:
            PlanError: it is no pydantic document, or the one of something else; and as `from_dict`.
        """
        if not callable(getattr(document, "model_dump", None)) or isinstance(document, type):
            raise PlanError(f"{cls.__name__} is read from a {cls.SCHEMA}, not from {shown(document)}")
        from galaxy_core.model.schema import Schema, TaskConstellationSchema, TaskStarLineSchema, TaskStarSchema

        schemas = {kind.__name__: kind for kind in (TaskConstellationSchema, TaskStarLineSchema, TaskStarSchema)}
        if isinstance(document, Schema) and not isinstance(document, schemas[cls.SCHEMA]):
            raise PlanError(f"{cls.__name__} is read from a {cls.SCHEMA}, not from a {type(document).__name__}")
        return cls.from_dict(document.model_dump(by_alias=True))
