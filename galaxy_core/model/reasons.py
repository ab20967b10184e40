"""What an exception says, in words for people: never that of a group of them, and never nothing.

And whether it is a failure of the code that raised it: see docs/decisions/0023-what-counts-as-a-failure.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from galaxy_core.errors import GalaxyError

#: Of several errors that came together, so many are told; the rest is counted.
MOST = 5
#: Of what is no text of ours, so many characters are shown.
MOST_SHOWN = 100


def is_failure(error: BaseException, *passing: type[BaseException]) -> bool:
    """Whether what foreign code raised is its own failure, for whoever called it to report.

    Everything is, `SystemExit` included, but Ctrl-C, the end of a generator and what is `passing`, and a group that
    holds one of these. That is all there is to ask after a synchronous call: no cancellation can arrive inside of one.
    """
    through: tuple[type[BaseException], ...] = (KeyboardInterrupt, GeneratorExit, *passing)
    return not any(isinstance(one, through) for one in leaves(error))


def message_of(error: BaseException | str) -> str:
    """The message of an error; those in a group, each once.

    The class stands before it where the words alone may not be enough: of KeyError they are the key, of some nothing.
    """
    if isinstance(error, str):
        return error.strip()
    if isinstance(error, BaseExceptionGroup):
        each = list(dict.fromkeys(message_of(one) for one in leaves(error)))
        more = f"; and {len(each) - MOST} more" if len(each) > MOST else ""
        return "; ".join(each[:MOST]) + more
    text = words_of(error)
    if not text:
        return type(error).__name__
    clear = isinstance(error, GalaxyError) or (isinstance(error, OSError) and bool(error.strerror))
    return text if clear else f"{type(error).__name__}: {text}"


def text_of(error: BaseException | str) -> str:
    """The words of an error alone; its class when it has none."""
    return error if isinstance(error, str) else words_of(error) or type(error).__name__


def words_of(error: BaseException) -> str:
    """The words of an error; empty when it has none, or cannot be asked for them."""
    try:
        recorded = vars(error).get("recorded_words")  # of an error of an earlier process, whose class is gone
        if type(recorded) is str:
            return recorded
        return f"it called sys.exit({error.code!r})" if isinstance(error, SystemExit) else _without_groups(error)
    except BaseException as broken:  # whoever reads the message gets the class alone: even the exception is broken
        if not is_failure(broken):
            raise
        return ""


def shown(value: Any) -> str:
    """A foreign value as it is written, shortened; its type too, where that does not say it."""
    kind = type(value).__name__
    try:
        text = repr(value)
    except BaseException as broken:  # whoever reads it gets the type alone
        if not is_failure(broken):
            raise
        return f"{kind} that cannot be shown"
    clear = type(value).__module__ == "builtins" or kind in text
    return f"{'' if clear else f'{kind} '}{text[:MOST_SHOWN]}{'…' if len(text) > MOST_SHOWN else ''}"


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group, at whatever depth, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves(one)
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
