"""Messages for whoever sits in front of it: always on standard error."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import click

from galaxy_core_cli.options import State
from galaxy_core_cli.text import safe, safe_line


class WrongValueError(click.ClickException):
    """A file or a value that was named cannot be used: told as all errors are, without how the command is used."""

    def show(self, file: object = None) -> None:
        error(self.format_message())


def _echo(text: str) -> None:
    with suppress(OSError):  # the terminal is gone, and nobody is left to be told
        click.echo(text, err=True)


#: Reasons that are told one by one; of more, how many there are.
ENOUGH = 50


def error(text: str) -> None:
    """Why nothing came of it; several lines stand below the word."""
    _echo(f"{click.style('error:', fg='red', bold=True)}{chr(10) if chr(10) in text else ' '}{safe(text)}")


def errors(heading: str, reasons: Sequence[str]) -> None:
    """Why nothing came of it, in a line for each reason; those beyond the first `ENOUGH` are counted."""
    rest = len(reasons) - ENOUGH
    lines = [*reasons[:ENOUGH], *([f"and {rest:,} more reason{'' if rest == 1 else 's'}"] if rest > 0 else [])]
    _echo("\n".join([f"{click.style('error:', fg='red', bold=True)} {safe(heading)}", *map(safe, lines)]))


def warning(text: str) -> None:
    """What the user may want to mend, though things go on."""
    _echo(f"{click.style('warning:', fg='yellow')} {safe(text)}")


def note(text: str) -> None:
    """What happens just now."""
    _echo(safe(text))


def trace(problem: BaseException) -> None:
    """The whole traceback, for `--debug`."""
    _echo(safe("".join(traceback.format_exception(problem))))


class _LogLines(logging.Handler):
    """Hands what the kernel and its plugins log to `tell`, a line each; tracebacks, and all that is no warning, only for
    debugging.
    """

    def __init__(self, tell: Callable[[str], None], state: State) -> None:
        super().__init__()
        self._tell = tell
        self._state = state

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING and not self._state.debug:
            return
        text = safe_line(_message(record))
        problem = record.exc_info[1] if record.exc_info else None
        if problem is not None and self._state.debug:
            text += "\n" + safe("".join(traceback.format_exception(problem))).rstrip()
        elif problem is not None:
            from galaxy_core_cli.reasons import why

            text += f": {safe_line(why(problem))}"
        self._tell(text)


def _message(record: logging.LogRecord) -> str:
    """The text of a record, with what exceptions say where these stand among its arguments."""
    arguments = record.args
    if isinstance(arguments, tuple) and any(isinstance(one, BaseException) for one in arguments):
        from galaxy_core_cli.reasons import why

        told = tuple(why(one) if isinstance(one, BaseException) else one for one in arguments)
        with suppress(TypeError, ValueError):  # a format that wants something else of it than text
            return str(record.msg) % told
    return record.getMessage()


@contextmanager
def listening(tell: Callable[[str], None], state: State) -> Iterator[None]:
    """Have `tell`, and nobody else, hear what is logged meanwhile."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = [_LogLines(tell, state)]
    if state.debug:
        root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.handlers, root.level = handlers, level
