"""Foreign documents, read strictly: each value is of the kind that is wanted, or refused with its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from galaxy_core.errors import DocumentError
from galaxy_core.model.serial import parse_moment

if TYPE_CHECKING:
    from galaxy_core.model.places import Place

_NAMELESS: Final = "<data>"

Read = TypeVar("Read")


class UnfitError(ValueError):
    """A value of a document that cannot be. `place` is where it stands in what is being read, `text` what is wrong.

    Thrown through the readers, and never to their callers: those get a DocumentError.
    """

    def __init__(self, place: Place, text: str) -> None:
        from galaxy_core.model.places import path_text  # loads much, and only who errs needs it

        self.place, self.text = place, text
        super().__init__(f"{path_text(place)}: {text}" if place else text)


def unfit(value: Any, wanted: str, *place: str | int) -> UnfitError:
    """The error of a value of another kind than the one that is wanted."""
    return UnfitError(place, f"found {_described(value)}; {wanted} is wanted here")


def _described(value: Any) -> str:
    from galaxy_core.model.source import described  # as above

    return described(value)


@contextmanager
def refused_as_document() -> Iterator[None]:
    """What is unfit inside becomes a DocumentError."""
    try:
        yield
    except UnfitError as error:
        from galaxy_core.model.places import path_text  # as above

        raise DocumentError(_NAMELESS, [(path_text(error.place), None, error.text)]) from error.__cause__


def inside(place: str | int, read: Callable[..., Read], *values: Any) -> Read:
    """What `read` makes of values that stand at a place of a document, or are made of what stands there."""
    try:
        return read(*values)
    except UnfitError as error:
        raise UnfitError((place, *error.place), error.text) from error.__cause__
    except (ValueError, TypeError) as error:  # of what makes requests, policies and expressions
        raise UnfitError((place,), str(error)) from error


# ----------------------------------------------------------------------------------------------- one key
def as_mapping(value: Any) -> Mapping[str, Any]:
    """A mapping whose keys are texts."""
    if not isinstance(value, Mapping):
        raise unfit(value, "a mapping")
    for key in value:
        if not isinstance(key, str):
            raise UnfitError((), f"{_described(key)} cannot be a key: keys are text")
    return value


def text_at(document: Mapping[str, Any], key: str) -> str | None:
    """The text of a key; None when there is none."""
    value = document.get(key)
    if value is None or isinstance(value, str):
        return value
    raise unfit(value, "text", key)


def texts_at(document: Mapping[str, Any], key: str) -> list[str] | None:
    """The texts of a key; None when there are none."""
    value = document.get(key)
    if value is None:
        return None
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise unfit(value, "a list of texts", key)
    for place, text in enumerate(value):
        if not isinstance(text, str):
            raise unfit(text, "text", key, place)
    return list(value)


def mapping_at(document: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    """The mapping of a key; None when there is none."""
    value = document.get(key)
    return None if value is None else inside(key, as_mapping, value)


def number_at(document: Mapping[str, Any], key: str) -> float | None:
    """The number of a key; None when there is none."""
    value = document.get(key)
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise unfit(value, "a number", key)


def count_at(document: Mapping[str, Any], key: str) -> int | None:
    """The whole number, from 0, of a key; None when there is none."""
    value = document.get(key)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise unfit(value, "a whole number, from 0,", key)


def flag_at(document: Mapping[str, Any], key: str) -> bool | None:
    """What a key says of yes or no; None when it does not."""
    value = document.get(key)
    if value is None or isinstance(value, bool):
        return value
    raise unfit(value, "true or false", key)


def moment_at(document: Mapping[str, Any], key: str) -> float | None:
    """The moment of a key, in seconds since the epoch; None when there is none."""
    value = document.get(key)
    if value is None:
        return None
    try:
        moment = parse_moment(value)
        datetime.fromtimestamp(moment or 0.0, UTC)  # which is how it is shown; a zone can move it out of all years
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise unfit(value, "a moment such as 2030-01-31T12:00:00+00:00", key) from error
    return moment
