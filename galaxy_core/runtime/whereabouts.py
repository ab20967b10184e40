"""The folder of a run: where its process works, from which commands on this machine and relative paths are seen."""

from __future__ import annotations

import logging
import os


def current_folder() -> str | None:
    """The absolute path of the current folder; None when it was removed or cannot be reached."""
    try:
        return os.getcwd()
    except OSError:
        return None


def warn_of_another(run_id: str, recorded: str | None, logger: logging.Logger) -> None:
    """Log that a run goes on elsewhere than in its folder, if so it is: a process is one's own to move.

    The log record has `recorded_folder`, for those who know and let none of these through.
    """
    here = current_folder()
    if recorded is None or recorded == here or _is_here(recorded):
        return
    logger.warning(
        "run %r was under way in %r, and goes on in %s: commands on this machine run there, and relative paths are seen from "
        "there; os.chdir(%r) before it is resumed has it go on where it was, or give devices of this machine a root",
        run_id,
        recorded,
        "a folder that was removed" if here is None else repr(here),
        recorded,
        extra={"recorded_folder": recorded},
    )


def _is_here(folder: str) -> bool:
    """Whether it is the current one by another name."""
    try:
        return os.path.samefile(folder, os.curdir)
    except (OSError, ValueError):
        return False
