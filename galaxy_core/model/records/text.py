"""The text of a record: JSON in ASCII, whatever is in it."""

from __future__ import annotations

from collections.abc import Callable
from json import JSONEncoder
from json.encoder import encode_basestring_ascii
from typing import Any, Final

from galaxy_core.model.records.unkept import Keeper

#: How deep a record that cannot be written is looked through.
_MOST_DEPTH: Final = 40

quoted: Callable[[str], str] = encode_basestring_ascii
_encode: Callable[[Any], str] = JSONEncoder(allow_nan=False, separators=(",", ":"), check_circular=False).encode
_NOTHING: Final = Keeper()


def as_json(document: Any) -> str:
    """A part of a record. Never raises."""
    try:
        return _encode(document)
    except (TypeError, ValueError, RecursionError):  # a field of somebody's making that no `Keeper` was asked about
        return _in_pieces(document)


def _in_pieces(document: Any, depth: int = 0) -> str:
    """The same, in which only what cannot be written is replaced: what was kept already would not come back as it was."""
    if depth < _MOST_DEPTH:
        if type(document) in (list, tuple):
            return f"[{','.join([_in_pieces(part, depth + 1) for part in document])}]"
        if type(document) is dict and all(type(name) is str for name in document):
            parts = [f"{quoted(name)}:{_in_pieces(part, depth + 1)}" for name, part in document.items()]
            return f"{{{','.join(parts)}}}"
    try:
        return _encode(document)
    except (TypeError, ValueError, RecursionError):
        return _encode(_NOTHING.keep(document))
