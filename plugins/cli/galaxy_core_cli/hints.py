"""Commands that a person is told to give, so that they can be pasted into a shell as they stand."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from galaxy_core_cli.text import count, safe_line

if TYPE_CHECKING:
    from galaxy_core import TaskConstellation

#: The journal that commands look into when none is named.
DEFAULT_JOURNAL = "sqlite"


def command(verb: str, *words: str, journal: str | None = None, folder: str | None = None, options: str = "") -> str:
    """``galaxy resume 'a run'``: `words` are quoted, `options` stand as they are, and `journal` is named if it has to be.

    With `folder`, the journal is that of another folder than the one that commands look into here.
    """
    parts = [] if folder is None else [f"GALAXY_JOURNAL={shlex.quote(folder)}"]
    parts += ["galaxy", verb]
    if journal not in {None, DEFAULT_JOURNAL}:
        parts += ["--journal", shlex.quote(str(journal))]
    said, given = [shlex.quote(word) for word in words], [options] if options else []
    if any(word.startswith("-") for word in words):  # which is no option
        said, given = [*given, "--", *said], []
    return safe_line(" ".join([*parts, *said, *given]))


def to_resolve(plan: TaskConstellation, journal: str | None) -> str:
    """What can be done about tasks of a kept run that ended unknown; empty when there are none.

    The command is not ready to be given: how a task ended cannot be taken back, and only who has looked knows.
    """
    unknown = [task.task_id for task in plan.get_all_tasks() if task.status.value == "unknown"]
    if not unknown:
        return ""
    resolve = command("resolve", plan.constellation_id, unknown[0], journal=journal, options="--as WHAT")
    each = "of it" if len(unknown) == 1 else f"of each of the {count(len(unknown), 'unknown task')}"
    return f"look, and say what became {each}, with completed, failed or retry for WHAT: {resolve}"
