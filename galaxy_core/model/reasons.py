"""What an exception says, in words for people: never that of a group of them, and never nothing."""

from __future__ import annotations

from collections.abc import Iterator

from galaxy_core.errors import GalaxyError

#: Of several errors that came together, so many are told; the rest is counted.
MOST = 5


def message_of(error: BaseException | str) -> str:
    """The message of an error; those in a group, each once.

    The class stands before it where the words alone may not be enough: of KeyError they are the key, of some nothing.
    """
    if isinstance(error, str):
        return error.strip()
    if isinstance(error, BaseExceptionGroup):
        each = list(dict.fromkeys(message_of(one) for one in _leaves(error)))
        more = f"; and {len(each) - MOST} more" if len(each) > MOST else ""
        return "; ".join(each[:MOST]) + more
    text = _words_of(error)
    if not text:
        return type(error).__name__
    clear = isinstance(error, GalaxyError) or (isinstance(error, OSError) and bool(error.strerror))
    return text if clear else f"{type(error).__name__}: {text}"


def _words_of(error: BaseException) -> str:
    try:
        return _without_groups(error)
    except Exception:  # whoever reads the message gets the class alone: even the exception is broken
        return ""


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group, at whatever depth, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


def _without_groups(error: BaseException) -> str:
    """The text of an error. Where it repeats that of a group that led to it, what is in the group stands instead."""
    text, seen, cause = str(error).strip(), {id(error)}, error.__cause__ or error.__context__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, BaseExceptionGroup):
            text = text.replace(str(cause), message_of(cause))
        cause = cause.__cause__ or cause.__context__
    return text
