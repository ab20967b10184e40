"""How long ago something was: as a person writes it, and as a person is told."""

from __future__ import annotations

import re

from galaxy_core_cli import say
from galaxy_core_cli.text import duration

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_DAY_S = 86_400


def seconds(text: str) -> float:
    """``30d``, ``12h``, ``90m``, ``2w`` in seconds.

    Raises:
        WrongValueError: it is none of these.
    """
    parts = _AGE.findall(text)
    if not parts or _AGE.sub("", text).strip():
        raise say.WrongValueError(f"{text!r} is no age: write 30d, 12h, 90m or 2w")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def ago(age_s: float) -> str:
    """``4.2s``, ``3:07``, ``26 h``, ``3 days``."""
    if age_s < _DAY_S:
        return duration(max(0.0, age_s))
    days = int(age_s // _DAY_S)
    return "1 day" if days == 1 else f"{days:,} days"


def size(size_bytes: int) -> str:
    """``812 B``, ``4.0 KiB``, ``31 MiB``."""
    number = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            return f"{number:.0f} {unit}" if unit == "B" or number >= 9.95 else f"{number:.1f} {unit}"
        number /= 1024
    raise AssertionError
