"""Where in a TOML text the keys and values stand. Of a text that is none, what comes before the first mistake."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from itertools import count
from typing import Final

from galaxy_core.model.places import Findings, Place, twice

_SPACE: Final = re.compile(r"[ \t]*")
_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
# What is longer stands before the shorter one that it begins with.
_SCALAR: Final = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}'
    r"|'''(?:[^']|'(?!''))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|[^\s\[\]{},#\"']+(?: \d[^\s\[\]{},#]*)?",  # the time of a date may stand after a space
    re.DOTALL,
)
_KEY: Final = re.compile(r""""(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[A-Za-z0-9_-]+""")


def toml_entries(text: str) -> Iterator[tuple[Place, int]]:
    """Tables, keys and what lies in lists, in the order of the text, each with its line. Costs the size of the text.

    The line is that of the key in a mapping, of the value in a list.
    """
    try:
        yield from _Scan(text).document()
    except _NotTomlError:
        return


def toml_problems(text: str) -> Findings:
    """Keys that stand twice."""
    found = Findings()
    seen: dict[Place, int] = {}
    for place, line in toml_entries(text):
        if place in seen:
            found.add(place, twice(seen[place], line), line)
        seen.setdefault(place, line)
    return found


class _NotTomlError(ValueError):
    """What stands here is not TOML."""


class _Scan:
    """One pass over a text. `_tables` says which table of each list of tables is the last."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._tables: dict[Place, int] = {}

    def document(self) -> Iterator[tuple[Place, int]]:
        header: Place = ()
        self._take(_BLANK)
        while self._at < len(self._text):
            if self._sees("["):
                line = self._line
                header = self._header()
                yield header, line
            else:
                yield from self._entry(header)
            self._take(_BLANK)

    def _header(self) -> Place:
        ends = "]]" if self._sees("[") else "]"
        keys = self._keys()
        self._must(ends)
        place: Place = ()
        for key in keys[:-1]:
            place = (*place, key)
            if place in self._tables:  # it leads through a list of tables: into the last of them
                place = (*place, self._tables[place])
        place = (*place, keys[-1])
        if ends == "]]":
            self._tables[place] = self._tables.get(place, -1) + 1
            place = (*place, self._tables[place])
        return place

    def _entry(self, table: Place) -> Iterator[tuple[Place, int]]:
        """A key and what lies in its value; a loop, because values may be deeper than Python goes."""
        within = self._key_of(table)
        yield within
        opened = [self._value(within[0])]
        while opened:
            inner = opened[-1]
            if inner is None:
                opened.pop()
                continue
            place, indices = inner
            self._take(_BLANK)
            if self._sees(","):
                self._take(_BLANK)
            if self._sees("}" if indices is None else "]"):
                opened.pop()
                continue
            found = self._key_of(place) if indices is None else ((*place, next(indices)), self._line)
            yield found
            opened.append(self._value(found[0]))

    def _key_of(self, table: Place) -> tuple[Place, int]:
        line = self._line
        place = (*table, *self._keys())
        self._must("=")
        self._take(_SPACE)
        return place, line

    def _value(self, place: Place) -> tuple[Place, Iterator[int] | None] | None:
        """The table, or the list with its indices, that begins here; None when a scalar was passed."""
        if self._sees("["):
            return place, count()
        if self._sees("{"):
            return place, None
        if not self._take(_SCALAR):
            raise _NotTomlError
        return None

    def _keys(self) -> Place:
        keys: list[str] = []
        while not keys or self._sees("."):
            self._take(_SPACE)
            word = self._take(_KEY)
            if not word:
                raise _NotTomlError
            keys.append(_unquoted(word))
            self._take(_SPACE)
        return tuple(keys)

    def _take(self, pattern: re.Pattern[str]) -> str:
        """What matches here, which is passed; empty when nothing does."""
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        self._line += found[0].count("\n")
        return found[0]

    def _sees(self, sign: str) -> bool:
        """Whether `sign` stands here; then it is passed."""
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        return True

    def _must(self, sign: str) -> None:
        if not self._sees(sign):
            raise _NotTomlError


def _unquoted(key: str) -> str:
    if "\\" in key and key.startswith('"'):
        try:
            key = tomllib.loads(f"key = {key}")["key"]
        except tomllib.TOMLDecodeError:
            raise _NotTomlError from None
        return key
    return key[1:-1] if key[0] in "\"'" else key
