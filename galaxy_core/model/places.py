"""Where in a text the parts of a document stand: a second pass, made only when there is something to complain about."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from attrs import define, field

#: The way to a part of a document: keys of mappings and indices of lists.
Place = tuple[str | int, ...]

#: Problems that one error lists; the rest is counted.
MAX_PROBLEMS: Final = 50
#: Problems after which nobody looks for more.
ENOUGH_PROBLEMS: Final = 1000

_DEEPEST = 10
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


def path_text(place: Place) -> str:
    """``tasks.report.run[0]``; keys that would be unclear so are quoted as JSON quotes them, and deep ones cut off."""
    parts: list[str] = []
    for part in place[:_DEEPEST]:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        elif _PLAIN_KEY.fullmatch(part):
            parts.append(f".{part}" if parts else part)
        else:
            parts.append(f"[{json.dumps(part)}]")
    return "".join(parts) + ("…" if len(place) > _DEEPEST else "")


@define
class Findings:
    """What is wrong with a document: `(place, line or None, text)` of the first, and how many `more` there are.

    `stopped` says that somebody has ceased to look, so that there may be more than these.
    """

    listed: list[tuple[Place, int | None, str]] = field(factory=list)
    more: int = 0
    stopped: bool = False

    def add(self, place: Place, text: str, line: int | None = None) -> None:
        """Note a problem; its line is looked up later when it is not known."""
        if self.is_full:
            self.more += 1
        else:
            self.listed.append((place, line, text))

    @property
    def is_full(self) -> bool:
        """Whether what is added now is only counted, so that its text need not be made."""
        return len(self.listed) >= MAX_PROBLEMS

    def stops(self) -> bool:
        """Whether there are so many that looking for more is a waste; asked by those who then cease to look."""
        self.stopped = self.stopped or len(self.listed) + self.more > ENOUGH_PROBLEMS
        return self.stopped

    def __bool__(self) -> bool:
        return bool(self.listed)


class Token(NamedTuple):
    """A step through a document: "{" and "[" open, "}" closes either, "=" is a scalar with its text; `line` 1-based."""

    kind: str
    text: str
    line: int


class Entry(NamedTuple):
    """A value and where it stands: `line` is that of its key in a mapping, of the value in a list.

    `token` is what begins the value; `earlier` the line where the same mapping had the same key before, else None.
    """

    place: Place
    line: int
    token: Token
    earlier: int | None


@define
class _Frame:
    """An open mapping (`index` None) or list; `key` is what the next value of a mapping belongs to."""

    place: Place
    index: int | None
    key: tuple[str, int] | None = None
    seen: dict[str, int] = field(factory=dict)


def entries(tokens: Iterable[Token]) -> Iterator[Entry]:
    """Every value of a document, in the order of the text. Costs the size of the text."""
    frames: list[_Frame] = []
    for token in tokens:
        if token.kind == "}":
            frames.pop()
            continue
        top = frames[-1] if frames else None
        if top is None:
            place: Place = ()
            yield Entry(place, token.line, token, None)
        elif top.index is not None:
            place = (*top.place, top.index)
            top.index += 1
            yield Entry(place, token.line, token, None)
        elif top.key is None:
            top.key = (token.text, token.line)
            continue
        else:
            key, line = top.key
            top.key = None
            place = (*top.place, key)
            yield Entry(place, line, token, top.seen.get(key))
            top.seen.setdefault(key, line)
        if token.kind != "=":
            frames.append(_Frame(place, 0 if token.kind == "[" else None))


_JSON_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]|[^\s{}\[\],:"]+')
_LIST, _KEY_NEXT, _VALUE_NEXT = range(3)


def json_tokens(text: str) -> Iterator[Token]:
    """The steps through a text that is known to be JSON. Scalars keep their notation, keys do not."""
    line, last = 1, 0
    states: list[int] = []  # of each open mapping and list
    for found in _JSON_TOKEN.finditer(text):
        line += text.count("\n", last, found.start())
        last = found.start()
        word = found[0]
        if word in {"}", "]"}:
            states.pop()
            yield Token("}", "", line)
            continue
        is_key = bool(states) and states[-1] == _KEY_NEXT
        if states and states[-1] != _LIST:
            states[-1] = _VALUE_NEXT if is_key else _KEY_NEXT
        if word in {"{", "["}:
            states.append(_KEY_NEXT if word == "{" else _LIST)
            yield Token(word, "", line)
        else:
            yield Token("=", json.loads(word) if is_key else word, line)


def json_problems(text: str) -> Findings:
    """What Python's parser lets pass, or cannot place: keys that stand twice, and scalars that are no value."""
    found = Findings()
    for entry in entries(json_tokens(text)):
        if entry.earlier is not None:
            found.add(entry.place, twice(entry.earlier, entry.line), entry.line)
        key = entry.place[-1] if entry.place else ""
        if isinstance(key, str) and has_surrogate(key):
            found.add(entry.place, HALF_A_PAIR, entry.line)
        if entry.token.kind == "=" and (problem := _scalar_problem(entry.token.text)):
            found.add(entry.place, problem, entry.line)
    return found


HALF_A_PAIR: Final = "half of a surrogate pair is not text; write the whole character"


def has_surrogate(text: str) -> bool:
    """Whether a text cannot be written as UTF-8."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _scalar_problem(notation: str) -> str | None:
    if notation in {"true", "false", "null"}:
        return None
    if notation.startswith('"'):
        return HALF_A_PAIR if "\\" in notation and has_surrogate(json.loads(notation)) else None
    if notation.lstrip("-").isdigit():
        return too_many_digits(notation) if len(notation) > MAX_DIGITS else None
    if math.isfinite(float(notation)):
        return None
    return f"{notation[:40]} is not a value: infinity and NaN are not read"


#: Digits of an integer: below what Python itself takes, so that no format fails in a way of its own.
MAX_DIGITS: Final = 4000


def too_many_digits(notation: str) -> str:
    """The problem of an integer with more than `MAX_DIGITS`."""
    return f"a number of {len(notation)} digits is more than is read"


def twice(first: int, second: int) -> str:
    """The problem of a key with a value on each of these lines."""
    where = f"on line {first}" if first == second else f"on lines {first} and {second}"
    return f"this key stands twice, {where}; remove or rename one"


def _placed(format: str, text: str) -> Iterator[tuple[Place, int]]:
    if format == "toml":
        from galaxy_core.model.toml_places import toml_entries  # as below: with the first TOML file

        for place, line in toml_entries(text):
            for length in range(1, len(place)):  # a dotted key opens what lies between
                yield place[:length], line
            yield place, line
        return
    if format == "json":
        tokens = json_tokens(text)
    else:
        from galaxy_core.model.yaml_source import yaml_tokens  # PyYAML is loaded by the first YAML file

        tokens = yaml_tokens(text)
    for entry in entries(tokens):
        yield entry.place, entry.line


def lines_of(format: str, text: str, wanted: Iterable[Place]) -> dict[Place, int]:
    """The line of each place, or of the innermost part around it that has one; of none for the document itself."""
    missing = {place[:length] for place in wanted for length in range(1, len(place) + 1)}
    found: dict[Place, int] = {}
    for place, line in _placed(format, text):
        if place in missing:
            found[place] = line
            missing.discard(place)
            if not missing:
                break
    for place in wanted:
        around = next((place[:n] for n in range(len(place), 0, -1) if place[:n] in found), None)
        if around is not None:
            found[place] = found[around]
    return found
