"""The folder in which a run goes on: the one in which it was under way."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from galaxy_core.errors import ResumeError
from galaxy_core_cli.kept.reading import Origin
from galaxy_core_cli.text import safe_line

#: Names a folder, and is read whenever a journal is used.
_JOURNAL = "GALAXY_JOURNAL"
#: Where shells say which folder is the current one; commands inherit it.
_HERE = "PWD"


def current_folder() -> str | None:
    """None when it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return None


def gone_to(origin: Origin) -> str:
    """Change to the folder of a run that goes on; what is to be said of that, an empty text when this was it already.

    What stands in the environment as seen from the folder that is left means afterwards what it did.

    Raises:
        ResumeError: the folder is gone, or may not be entered. Not of a run that is over, of which that is not the reason.
    """
    before, folder = current_folder(), origin.folder
    if folder is None or folder == before:
        return ""
    journal = os.environ.get(_JOURNAL)
    if journal and before is not None:
        os.environ[_JOURNAL] = os.path.join(before, journal)
    try:
        os.chdir(folder)
    except (OSError, ValueError) as error:
        if origin.is_over():
            return ""
        raise ResumeError(origin.run_id, [_refusal(folder, error)]) from error
    if current_folder() == before:  # by another name
        return ""
    if _HERE in os.environ:
        os.environ[_HERE] = folder
    here = "the current folder" if before is None else safe_line(before)
    return f"in {safe_line(folder)}, where the run was under way; to go on in {here} instead: --here"


def _refusal(folder: str, error: Exception) -> str:
    why, remedy = f"cannot be entered ({getattr(error, 'strerror', None) or error})", "see to that"
    if isinstance(error, FileNotFoundError):
        why, remedy = "is not there any more", "make it again"
    elif isinstance(error, NotADirectoryError):
        why, remedy = "is no folder any more", "make it again"
    elif isinstance(error, PermissionError):
        why, remedy = "may not be entered", "have its permissions changed"
    return f"it was under way in {folder!r}, which {why}: {remedy}, or go on in the current folder with --here"


@contextmanager
def returning(is_here_meant: bool) -> Iterator[None]:
    """Have the current folder, and what is said of it, be afterwards what they were: this may be a part of a program.

    With `is_here_meant` the kernel's warning that a run goes on in another folder reaches nobody.
    """
    before, said = current_folder(), {name: os.environ[name] for name in (_JOURNAL, _HERE) if name in os.environ}
    logger = logging.getLogger("galaxy_core.orchestrator")
    if is_here_meant:
        logger.addFilter(_is_of_something_else)
    try:
        yield
    finally:
        logger.removeFilter(_is_of_something_else)
        os.environ.update(said)
        if before is not None and before != current_folder():
            with suppress(OSError):
                os.chdir(before)


def _is_of_something_else(record: logging.LogRecord) -> bool:
    return not hasattr(record, "recorded_folder")
