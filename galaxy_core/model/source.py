"""A plan or inventory file as plain data: read within bounds, decoded, parsed, and refused with the places of what is wrong.

YAML, JSON and TOML give the same values: mappings with text as keys, lists, text, numbers, true, false and (not in
TOML) null. What only one of them has, or what two readers would take for two things, is refused rather than guessed:
see docs/reference/plan-files.md.
"""

from __future__ import annotations

import gc
import json
import math
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, time
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from galaxy_core.errors import DocumentError
from galaxy_core.model.places import (
    HALF_A_PAIR,
    Findings,
    Place,
    has_surrogate,
    json_problems,
    lines_of,
    path_text,
    too_many_digits,
)
from galaxy_core.model.serial import MOST_BITS

#: Bytes of a file, unless the caller says otherwise.
MAX_BYTES: Final = 64 * 2**20
#: How deep mappings and lists may lie in one another.
MAX_DEPTH: Final = 50
FORMATS: Final = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}

NOT_FINITE: Final = "infinity and NaN are not values here"
TOO_DEEP: Final = f"lies deeper than the {MAX_DEPTH} levels that are read"

_TOO_LARGE: Final = (
    "has more than the {:,} bytes that are read; if it is meant to be that large, raise max_bytes in Python"
)
_NO_TEXT: Final = "is no text: it has zero bytes in it; name another file, or, if this is UTF-16, save it as UTF-8"
_UTF16_AND_32 = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_TOML_NOT_FINITE = re.compile(r"[=\[,]\s*([-+]?(?:inf|nan)\b|[-+]?[\d_.]+[eE]\+?\d{3,})")
_LONG_NUMBER = re.compile(r"[=\[,]\s*([-+]?[\d_]{4001,})")
#: The least of each document, as YAML and, nearly, as JSON and TOML have it.
_SUCH_AS: Final = {
    "a plan": "tasks: {hello: {run: [echo, hello]}}",
    "an inventory": "devices: {here: {transport: local}}",
}
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")


@define
class Source:
    """A document on its way in. `text` is None when it came as data, which has no lines."""

    name: str
    format: str
    text: str | None = field(default=None, repr=False)

    def refuse(self, findings: Findings) -> DocumentError:
        """The error for what was found, in the order of the lines; looking up those costs a pass over the text."""
        wanted = {place for place, line, _ in findings.listed if place and line is None}
        lines = lines_of(self.format, self.text, wanted) if self.text is not None and wanted else {}
        found = [(path_text(place), line or lines.get(place), text) for place, line, text in findings.listed]
        found.sort(key=lambda problem: math.inf if problem[1] is None else problem[1])
        if findings.more:
            found.append(("", None, _rest(findings)))
        return DocumentError(self.name, found)

    def refuse_whole(self, text: str, line: int | None = None) -> DocumentError:
        """The error for a problem of the document as such."""
        return DocumentError(self.name, [("", line, text)])


def _rest(findings: Findings) -> str:
    """What is said of the problems that are not listed."""
    if findings.stopped:
        return f"and more: after {len(findings.listed) + findings.more:,} problems, no more were looked for"
    return f"and {findings.more:,} more problem{'' if findings.more == 1 else 's'}"


@contextmanager
def collector_paused() -> Iterator[None]:
    """Holds back the cyclic garbage collector, which would look at a growing document again and again.

    Documents are trees, so nothing is missed. Loading a large one takes about half the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_source(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> Source:
    """The text of a file, whose suffix says the format; a file without one is taken for YAML.

    Raises:
        DocumentError: it is a folder, too large, not UTF-8, or has a suffix that says nothing.
        OSError: it cannot be read; FileNotFoundError when there is none.
    """
    place = Path(path)
    name = str(place)
    kind = FORMATS.get(place.suffix.lower(), "yaml" if not place.suffix else "")
    source = Source(name, kind)
    if place.is_dir():
        raise source.refuse_whole("is a folder; name the file in it")
    if not kind:
        known = ", ".join(FORMATS)
        raise source.refuse_whole(f"cannot tell its format from {place.suffix!r}; known are {known}")
    with place.open("rb") as file:
        raw = file.read(max_bytes + 1)  # one more than allowed: the size that the system tells is not to be trusted
    if len(raw) > max_bytes:
        raise source.refuse_whole(_TOO_LARGE.format(max_bytes))
    source.text = _decoded(source, raw)
    return source


def document_lines(path: str | os.PathLike[str], places: Iterable[Place]) -> dict[Place, int]:
    """On which line of a plan or inventory file a place such as ``("devices", "pixel", "settings", "port")`` stands.

    For a place that is not in the file, the line of the innermost part around it that is. Costs a pass over the
    file. Empty when it cannot be read any more, and without the places that nothing is known of.
    """
    try:
        source, wanted = read_source(path), set(places)
        found = lines_of(source.format, source.text or "", wanted)
    except (OSError, ValueError, IndexError):  # somebody has changed it meanwhile
        return {}
    return {place: found[place] for place in wanted if place in found}


def _decoded(source: Source, raw: bytes) -> str:
    if raw.startswith(_UTF16_AND_32):
        raise source.refuse_whole("is UTF-16 or UTF-32 text; save it as UTF-8", 1)
    try:
        text = raw.decode("utf-8-sig")  # some editors begin UTF-8 with a byte order mark
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        if b"\x00" in raw:
            raise source.refuse_whole(_NO_TEXT) from None
        text = f"byte 0x{raw[error.start]:02x} at offset {error.start} is not UTF-8; save the file as UTF-8"
        raise source.refuse_whole(text, line) from None
    if "\x00" in text:  # which no format takes, each with words of its own
        raise source.refuse_whole(_NO_TEXT)
    return text


def text_source(text: str, format: str, name: str, max_bytes: int = MAX_BYTES) -> Source:
    """A text that is already in memory.

    Raises:
        DocumentError: `format` is not known, or the text is too large or cannot be UTF-8.
    """
    source = Source(name, format, text)
    if format not in FORMATS.values():
        raise source.refuse_whole(f"unknown format {format!r}; known are yaml, json and toml")
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise source.refuse_whole(f"character {text[error.start]!a} cannot be UTF-8", line) from None
    if size > max_bytes:
        raise source.refuse_whole(_TOO_LARGE.format(max_bytes))
    source.text = text.removeprefix("\ufeff")
    return source


def parse(source: Source, what: str) -> dict[str, Any]:
    """The mapping that a source holds; `what` ("a plan") names it in errors.

    Raises:
        DocumentError: it is empty, not in its format, not a mapping, or out of bounds.
    """
    assert source.text is not None
    with collector_paused():
        data = _PARSERS[source.format](source)
    if isinstance(data, dict):
        return data
    said = [line for line in map(str.strip, source.text.split("\n")) if line] if data is None else []
    found = f"holds {described(data)}"
    if data is None and all(line.startswith("#") for line in said):
        found = "holds nothing but comments" if said else "is empty"
    such_as = f", such as {_SUCH_AS[what]}" if what in _SUCH_AS else ""
    raise source.refuse_whole(f"{found}; {what} is a mapping of keys to values{such_as}")


def described(value: Any, show: bool = True) -> str:
    """What was found, in words; `show` False keeps the value itself out of them."""
    match value:
        case None:
            return "nothing (null)"
        case bool():
            return str(value).lower()
        case int() if value.bit_length() > MOST_BITS:
            return "a number of very many digits"
        case int() | float():
            return f"the number {str(value)[:40]}" if show else "a number"
        case str():
            short = value if len(value) <= 60 else value[:59] + "…"
            return f"the text {short!r}" if show else "a text"
        case Mapping():
            return "a mapping" if value else "an empty mapping"
        case list() | tuple():
            return f"a list of {len(value)}" if value else "an empty list"
        case _:
            return f"a {type(value).__name__}"


def find_foreign(place: Place, value: Any, findings: Findings) -> bool:
    """Adds what in a value is not plain data: dates, NaN, keys that are not text, whatever else Python has.

    True when there is nothing of that kind; the value then is at most `MAX_DEPTH` deep.
    """
    before = len(findings.listed) + findings.more
    open_values: list[tuple[Place, Any]] = [(place, value)]
    while open_values:
        where, found = open_values.pop()
        if isinstance(found, dict):
            for key, item in found.items():
                if not isinstance(key, str):
                    findings.add(where, f"{key!r} cannot be a key: keys are text")
                elif problem := _foreign(key):
                    findings.add((*where, key), problem)
                else:
                    open_values.append(((*where, key), item))
        elif isinstance(found, list):
            open_values.extend(((*where, index), item) for index, item in enumerate(found))
        elif problem := _foreign(found):
            findings.add(where, problem)
        if len(where) > MAX_DEPTH:
            findings.add(where, TOO_DEEP)
            break
    return len(findings.listed) + findings.more == before


def _foreign(value: Any) -> str | None:
    match value:
        case None | bool() | int():
            return None
        case float():
            return None if math.isfinite(value) else NOT_FINITE
        case str():
            return None if value.isascii() or not has_surrogate(value) else HALF_A_PAIR
        case date() | time():
            return f"found the {type(value).__name__} {value}; there are no dates among the values: quote it"
        case _:
            return f"found {described(value)}; a text, number, true, false, null, list or mapping is wanted here"


def _parse_yaml(source: Source) -> Any:
    from galaxy_core.model.yaml_source import parse_yaml  # PyYAML is loaded by the first YAML file

    return parse_yaml(source)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _NotFiniteError
    return number


class _NotFiniteError(ValueError):
    """Thrown through the foreign parsers: such a number is in the text."""


def _parse_json(source: Source) -> Any:
    text = source.text or ""
    if not text.strip():
        return None
    twice = False

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal twice
        found = dict(pairs)
        twice = twice or len(found) != len(pairs)
        return found

    try:
        data = json.loads(text, object_pairs_hook=mapping, parse_float=_finite, parse_constant=_finite)
    except json.JSONDecodeError as error:
        raise source.refuse_whole(f"is not JSON: {error.msg}", error.lineno) from None
    except RecursionError:
        raise source.refuse_whole(TOO_DEEP) from None
    except ValueError as error:  # a number that is not finite, or longer than Python takes
        problems = json_problems(text)
        if problems:
            raise source.refuse(problems) from None
        raise source.refuse_whole(str(error)) from None
    # An escaped surrogate is rare, and only then is each text worth a look.
    if twice or re.search(r"\\u[dD][89a-fA-F]", text):
        problems = json_problems(text)
        if problems:
            raise source.refuse(problems)
    _refuse_depth(source, data)
    return data


def _parse_toml(source: Source) -> Any:
    try:
        data = tomllib.loads(source.text or "", parse_float=_finite)
    except tomllib.TOMLDecodeError as error:
        from galaxy_core.model.toml_places import toml_problems  # only who errs needs it

        problems = toml_problems(source.text or "") if str(error).startswith(("Cannot ", "Duplicate ")) else None
        if problems:
            raise source.refuse(problems) from None
        where = _AT_LINE.search(str(error))
        line = int(where[1]) if where else None
        raise source.refuse_whole(f"is not TOML: {_AT_LINE.sub('', str(error))}", line) from None
    except RecursionError:
        raise source.refuse_whole(TOO_DEEP) from None
    except _NotFiniteError:
        raise source.refuse_whole(NOT_FINITE, _line_of(_TOML_NOT_FINITE, source)) from None
    except ValueError as error:  # an integer longer than Python takes
        found = _LONG_NUMBER.search(source.text or "")
        text = str(error) if found is None else too_many_digits(found[1])
        raise source.refuse_whole(text, _line_of(_LONG_NUMBER, source)) from None
    if not data and not (source.text or "").strip():
        return None
    _refuse_depth(source, data)
    return data


def _line_of(pattern: re.Pattern[str], source: Source) -> int | None:
    """The line of the first match: a guess, because what stands in a text is not told from what is a value."""
    found = pattern.search(source.text or "")
    return None if found is None else (source.text or "").count("\n", 0, found.start(1)) + 1


def _refuse_depth(source: Source, data: Any) -> None:
    """Iterative, because what it looks for is what recursion fails on."""
    level: list[Any] = [data] if isinstance(data, (dict, list)) else []
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = [
            item
            for value in level
            for item in (value.values() if isinstance(value, dict) else value)
            if isinstance(item, (dict, list))
        ]
    if level:
        raise source.refuse_whole(TOO_DEEP)


_PARSERS: dict[str, Callable[[Source], Any]] = {"yaml": _parse_yaml, "json": _parse_json, "toml": _parse_toml}
