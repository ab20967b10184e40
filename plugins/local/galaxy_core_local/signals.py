"""Signals that have ended a command, in words."""

from __future__ import annotations

import signal


def signal_text(exit_code: int) -> str | None:
    """What an exit code says of a signal: a negative one for certain, one above 128 perhaps; None when it says nothing."""
    if (
        exit_code > 128
    ):  # of a shell, which says so of a program that a signal has ended; but so may a program by itself
        try:
            name = signal.Signals(exit_code - 128).name
        except ValueError:
            return None
        return f"exit code {exit_code}: killed by {name}, unless it chose that number itself"
    if exit_code >= 0:
        return None
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:  # a real-time signal has no name
        return f"killed by signal {-exit_code}"
