"""Errors in records: Galaxy's own come back as what they were, with their fields; of all others the class's name and words.

As plain data an error is ``{type, text, said?, fields?}``: `text` is its `str`, `said` its words where they differ.
"""

from __future__ import annotations

import builtins
from typing import Any, Final

import galaxy_core.errors as tree
from galaxy_core.errors import GalaxyError
from galaxy_core.model.reasons import text_of
from galaxy_core.model.records.unkept import MAX_TEXT, Keeper, restored
from galaxy_core.model.serial import plain

_OURS: Final[dict[str, type[GalaxyError]]] = {
    name: kind for name, kind in vars(tree).items() if isinstance(kind, type) and issubclass(kind, GalaxyError)
}
_NOTHING: Final = Keeper()
_FIELDS: Final = (str, int, float, bool, type(None))


class RecordedError(Exception):
    """An error of an earlier process. Its class has the name that the error's class had."""

    def __init__(self, text: str, said: str) -> None:
        super().__init__(text)
        self.recorded_words = said


def error_document(error: BaseException | str | None) -> dict[str, Any] | str | None:
    """An error as plain data; a text, as results may have in the place of one, as it is."""
    if error is None or type(error) is str:
        return error
    text, said = str(plain(error)), text_of(error)
    document: dict[str, Any] = {"type": type(error).__name__, "text": text[:MAX_TEXT]}
    if said != text:
        document["said"] = said[:MAX_TEXT]
    if isinstance(error, GalaxyError):
        fields = {name: _NOTHING.keep(value) for name, value in vars(error).items() if type(value) in _FIELDS}
        if fields:
            document["fields"] = fields
    return document


def error_from(document: Any) -> Any:
    """The inverse of `error_document`.

    Raises:
        ValueError: it is none.
    """
    if document is None or isinstance(document, str):
        return document
    name, text = document.get("type"), document.get("text")
    said, fields = document.get("said", text), document.get("fields", {})
    if not (isinstance(name, str) and isinstance(text, str) and isinstance(said, str) and isinstance(fields, dict)):
        raise ValueError("an error needs type and text")
    ours = _OURS.get(name)
    if ours is not None:
        error = _again(ours, text, {name: restored(value, lambda cut: cut.head) for name, value in fields.items()})
        if error is not None:
            return error
    builtin = getattr(builtins, name, None)
    if isinstance(builtin, type) and issubclass(builtin, Exception):
        error = _again(builtin, text, {})
        if error is not None and text_of(error) == said:
            return error
    return type(name, (RecordedError,), {"__module__": RecordedError.__module__})(text, said)


def _again(kind: type[Exception], text: str, fields: dict[str, Any]) -> Exception | None:
    """An error of that class and text, made without its constructor; None when it does not say the text."""
    try:
        # The first base may be another than the one whose layout counts.
        error = OSError.__new__(kind, text) if issubclass(kind, OSError) else kind.__new__(kind, text)
        error.args = (text,)
        vars(error).update(fields)
        return error if str(error) == text else None
    except (TypeError, ValueError, AttributeError):  # a class that cannot be made so
        return None
