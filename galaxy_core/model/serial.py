"""Values as plain data that JSON can hold, and JSON text to and from files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Self

#: Deeper than this, values are described instead of followed.
MAX_DEPTH = 50


def plain(value: Any, _path: tuple[int, ...] = ()) -> Any:
    """`value` as JSON can hold it.

    Objects become their attributes, results their dictionary; what refers to itself, lies deeper than `MAX_DEPTH` or
    has no plain form is described by its repr. Never raises, and costs the size of the value.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, float):
        return value if value == value and value not in (float("inf"), float("-inf")) else repr(value)
    if isinstance(value, Enum):
        return plain(value.value, _path)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    if id(value) in _path or len(_path) >= MAX_DEPTH:
        return described(value)
    path = (*_path, id(value))
    if isinstance(value, Mapping):
        return {str(plain(key, path)): plain(item, path) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, path) for item in value]
    if isinstance(value, BaseException):
        return str(value)
    to_dict = getattr(value, "to_dict", None)
    try:
        if callable(to_dict) and not isinstance(value, type):
            return plain(to_dict(), path)
        return plain(vars(value), path)
    except Exception:  # a foreign object's own code failed or it has no attributes: it is described instead
        return described(value)


def described(value: Any) -> str:
    """A short text in place of a value that JSON cannot hold."""
    try:
        return repr(value)[:200]
    except Exception:  # a foreign __repr__ failed: the type is all that can be said
        return f"<{type(value).__name__}>"


def dump_json(document: Mapping[str, Any], save_path: str | Path | None) -> str:
    """`document` as indented JSON text, also written to `save_path` when there is one.

    Raises:
        OSError: the file could not be written.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if save_path is not None:
        Path(save_path).write_text(text, encoding="utf-8")
    return text


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
    document = json.loads(json_data)
    if not isinstance(document, dict):
        raise ValueError("JSON data must represent a dictionary/object")
    return document


def parse_moment(text: Any) -> float | None:
    """Seconds since the epoch of an ISO 8601 text; None for None."""
    return None if text is None else datetime.fromisoformat(text).timestamp()


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
        """The object that a pydantic document describes."""
        return cls.from_dict(document.model_dump(by_alias=True))
