"""Values of Python that JSON has not: taken apart into those that it has, and put together again as they were.

Only what comes back exactly is taken apart. No class is looked up by a name that a record says: a record is data.
"""

from __future__ import annotations

import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any, Final

_PATHS: Final = (PosixPath, WindowsPath, PurePosixPath, PureWindowsPath)
#: What malformed parts may raise.
_MALFORMED: Final = (TypeError, ValueError, ArithmeticError, LookupError)


class NotHereError(Exception):
    """What the parts say can be on another machine only: a path of another system, a time zone that is not installed."""


def apart(value: Any) -> tuple[str, list[Any]] | None:
    """Name and parts of a value of exactly one of these types; None when it is another, or would not come back the same."""
    kind = type(value)
    taken = _APART.get(kind)
    if taken is not None:
        parts: list[Any] | None = taken(value)
        return None if parts is None else (kind.__name__, parts)
    if kind.__name__ in _LAZY and kind is _lazy(kind.__name__):
        return kind.__name__, [str(value)]
    return None


def together(name: Any, parts: Sequence[Any]) -> Any:
    """The inverse of `apart`; also of what a `Keeper` makes of tuples, sets and dictionaries.

    Raises:
        ValueError: there is no such value.
        NotHereError: there is none on this machine.
    """
    made = _TOGETHER.get(name) if type(name) is str else None
    if made is None:
        raise ValueError(f"a value of Python of the kind {str(name)[:40]!r}, which is unknown here")
    try:
        return made(*parts)
    except NotImplementedError as error:
        raise NotHereError(f"{name} is not of this system") from error
    except _MALFORMED as error:
        raise ValueError(f"the parts of a {name} do not make one: {error}") from error


def beginning(name: str, text: str) -> str:
    """How a value looks of whose only part, a text, the beginning is left."""
    if name not in ("bytes", "bytearray"):
        return text
    try:
        return b64decode(text[: len(text) // 4 * 4]).decode("utf-8", "replace")
    except ValueError:
        return text


# ----------------------------------------------------------------------------------------------- taking apart
def _of_bytes(value: bytes | bytearray) -> list[Any]:
    return [b64encode(value).decode("ascii")]


def _of_moment(value: datetime | time) -> list[Any] | None:
    """Its text; the fold, when there is one; and the name of the zone, when it has more than an offset."""
    zone = value.tzinfo
    if zone is None or (type(zone) is timezone and _is_nameless(zone)):
        return [value.isoformat(), 1] if value.fold else [value.isoformat()]
    key = getattr(zone, "key", None)
    if type(key) is not str or type(zone) is not getattr(sys.modules.get("zoneinfo"), "ZoneInfo", None):
        return None
    return [value.replace(tzinfo=None).isoformat(), value.fold, key]


def _is_nameless(zone: timezone) -> bool:
    return zone.tzname(None) == timezone(zone.utcoffset(None)).tzname(None)


def _lazy(name: str) -> Any:
    """Such a class, if anybody has imported its module: whoever has such a value did."""
    return getattr(sys.modules.get(_LAZY[name]), name, None)


#: Classes whose modules take long to import, with the modules; their texts say all of them.
_LAZY: Final = {"Decimal": "decimal", "UUID": "uuid"}
_APART: Final[Mapping[type, Callable[[Any], list[Any] | None]]] = {
    bytes: _of_bytes,
    bytearray: _of_bytes,
    int: lambda value: [hex(value)],  # of a decimal text Python reads 4,300 digits at most
    float: lambda value: [repr(value)],
    date: lambda value: [value.isoformat()],
    datetime: _of_moment,
    time: _of_moment,
    timedelta: lambda value: [value.days, value.seconds, value.microseconds],
    **dict.fromkeys(_PATHS, lambda value: [str(value)]),
}


# ----------------------------------------------------------------------------------------------- putting together
def _bytes(text: str) -> bytes:
    return b64decode(text, validate=True)


def _moment(kind: type[datetime] | type[time], text: str, fold: int, key: str | None) -> Any:
    made = kind.fromisoformat(text).replace(fold=fold)
    if key is None:
        return made
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return made.replace(tzinfo=ZoneInfo(key))
    except (ZoneInfoNotFoundError, OSError) as error:
        raise NotHereError(f"there is no time zone {key!r} here") from error


def _datetime(text: str, fold: int = 0, key: str | None = None) -> datetime:
    made: datetime = _moment(datetime, text, fold, key)
    return made


def _time(text: str, fold: int = 0, key: str | None = None) -> time:
    made: time = _moment(time, text, fold, key)
    return made


def _decimal(text: str) -> Any:
    from decimal import Decimal

    return Decimal(text)


def _uuid(text: str) -> Any:
    from uuid import UUID

    return UUID(text)


def _keyed(*parts: Any) -> dict[Any, Any]:
    return dict(zip(parts[::2], parts[1::2], strict=True))


_TOGETHER: Final[Mapping[str, Callable[..., Any]]] = {
    "tuple": lambda *parts: parts,
    "set": lambda *parts: set(parts),
    "frozenset": lambda *parts: frozenset(parts),
    "dict": _keyed,
    "bytes": _bytes,
    "bytearray": lambda text: bytearray(_bytes(text)),
    "int": lambda text: int(text, 16),
    "float": float,
    "date": date.fromisoformat,
    "datetime": _datetime,
    "time": _time,
    "timedelta": timedelta,
    "Decimal": _decimal,
    "UUID": _uuid,
    **{kind.__name__: kind for kind in _PATHS},
}
