"""Texts that come from a far side, made fit to be shown."""

from __future__ import annotations

import re
from typing import Final

#: Longest text of a far side that is shown, in characters.
LONGEST: Final = 300
_CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029]+")


def one_line(text: str) -> str:
    """Text without control characters and line breaks, at most `LONGEST` long."""
    line = _CONTROL.sub(" ", text).strip()
    return line if len(line) <= LONGEST else line[:LONGEST] + "…"


def name_of_state(state: str) -> str:
    """What the state of a device that cannot be used means, and what to do about it."""
    return _STATES.get(state.partition(" (")[0].partition(";")[0], f"adb says {one_line(state)!r} of it")


_STATES: Final = {
    "unauthorized": "it does not trust this computer yet: unlock its screen and agree to USB debugging there",
    "authorizing": "it is being asked whether it trusts this computer",
    "offline": "adb has lost contact with it: plug it in again, or restart it",
    "connecting": "adb is still connecting to it",
    "no permissions": "adb may not use its USB port: on Linux it needs a udev rule for the device's vendor",
    "bootloader": "it is in its bootloader, where it runs no commands",
    "recovery": "it is in its recovery system; Galaxy wants the real one",
    "sideload": "it is waiting for an update; Galaxy wants its real system",
    "rescue": "it is in rescue mode; Galaxy wants its real system",
    "host": "it is a computer",
    "detached": "another adb server or program uses it (adb attach)",
}
