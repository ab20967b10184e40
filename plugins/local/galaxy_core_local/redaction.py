"""Secrets of a device do not come back in what its commands write."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Shorter values occur in any text by chance.
SHORTEST = 6
MASK = "***"


class Redaction:
    """Replaces each of `secrets` in a text that comes in pieces, also where a secret lies across two of them.

    The end of a piece is held back for as long as it may be the beginning of a secret.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        # The longest first, because one may begin with another.
        self._secrets = sorted({one for one in secrets if len(one) >= SHORTEST}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self._secrets)))
        self._held = ""

    def feed(self, piece: str, *, final: bool = False) -> str:
        """What can be passed on once this piece is there; all that is left, if it is the final one."""
        if not self._secrets:
            return piece
        text, passed, place = self._held + piece, [], 0
        for found in self._pattern.finditer(text):
            if not final and self._may_go_on(text[found.start() :]):
                break
            passed += [text[place : found.start()], MASK]
            place = found.end()
        held = 0 if final else self._beginning(text[place:])
        self._held = text[len(text) - held :]
        return "".join([*passed, text[place : len(text) - held]])

    def _may_go_on(self, end: str) -> bool:
        return any(len(one) > len(end) and one.startswith(end) for one in self._secrets)

    def _beginning(self, text: str) -> int:
        """How many characters at the end may be the beginning of a secret."""
        for size in range(min(len(text), len(self._secrets[0]) - 1), 0, -1):
            if self._may_go_on(text[-size:]):
                return size
        return 0
