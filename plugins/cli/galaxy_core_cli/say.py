"""Messages for whoever sits in front of it: always on standard error."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

import click

from galaxy_core_cli.text import safe, safe_line


def error(text: str) -> None:
    """Why nothing came of it; several lines stand below the word."""
    click.echo(f"{click.style('error:', fg='red', bold=True)}{chr(10) if chr(10) in text else ' '}{safe(text)}", err=True)


def warning(text: str) -> None:
    """What the user may want to mend, though things go on."""
    click.echo(f"{click.style('warning:', fg='yellow')} {safe(text)}", err=True)


def note(text: str) -> None:
    """What happens just now."""
    click.echo(safe(text), err=True)


def trace(problem: BaseException) -> None:
    """The whole traceback, for `--debug`."""
    click.echo(safe("".join(traceback.format_exception(problem))), err=True)


class LogLines(logging.Handler):
    """Hands what the kernel and its plugins log to `tell`, a line each; tracebacks only with `debug`."""

    def __init__(self, tell: Callable[[str], None], debug: bool) -> None:
        super().__init__(logging.DEBUG if debug else logging.WARNING)
        self._tell = tell
        self._debug = debug

    def emit(self, record: logging.LogRecord) -> None:
        text = safe_line(record.getMessage())
        if record.exc_info and record.exc_info[1] is not None:
            problem = record.exc_info[1]
            if self._debug:
                text += "\n" + safe("".join(traceback.format_exception(problem))).rstrip()
            else:
                text += f": {type(problem).__name__}: {safe_line(problem)}"
        self._tell(text)


class Listening:
    """While it is entered, `tell` hears what is logged; nothing of it goes anywhere else."""

    def __init__(self, tell: Callable[[str], None], debug: bool) -> None:
        self._handler = LogLines(tell, debug)
        self._root = logging.getLogger()
        self._level = self._root.level

    def __enter__(self) -> None:
        self._root.addHandler(self._handler)
        if self._handler.level < logging.WARNING:
            self._level = self._root.level
            self._root.setLevel(logging.DEBUG)

    def __exit__(self, *_: object) -> None:
        self._root.removeHandler(self._handler)
        self._root.setLevel(self._level)
