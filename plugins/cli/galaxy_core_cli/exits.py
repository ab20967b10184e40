"""Exit codes, and which error leads to which. docs/reference/cli.md tells users the same."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What `galaxy` tells the shell. From 124 on, the numbers are those that shells and timeout(1) use."""

    OK = 0
    NOT_ALL = 1
    REFUSED = 2
    BROKEN = 3
    STOPPED = 4
    TIMED_OUT = 124
    HUNG_UP = 129
    CANCELLED = 130
    QUIT = 131
    NOBODY_READS = 141
    TERMINATED = 143


def code_of(error: BaseException) -> Exit:
    """REFUSED when the input is to blame, so that nothing ran; BROKEN when a plugin or Galaxy itself is."""
    from galaxy_core.errors import ControlError, GalaxyError, JournalError, PluginError, RunError, RunRefusedError

    # A journal that refuses has kept anything from running; one that fails later ends the run with a RunError of its own.
    if isinstance(error, RunError) and not isinstance(error, RunRefusedError | ControlError | JournalError):
        return Exit.BROKEN
    if isinstance(error, PluginError):
        return Exit.BROKEN
    return Exit.REFUSED if isinstance(error, GalaxyError | OSError) else Exit.BROKEN
