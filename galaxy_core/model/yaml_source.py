"""YAML as plain data: the parser of PyYAML, and a builder of our own that is bounded and reads scalars as YAML 1.2 does.

PyYAML's own loader follows YAML 1.1 (``no`` is false, ``010`` is 8, ``1:30`` is 90), lets a key stand twice and
follows aliases, of which a few hundred bytes can describe gigabytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import yaml

from galaxy_core.model.places import MAX_DIGITS, Findings, Place, Token, entries, too_many_digits, twice
from galaxy_core.model.source import MAX_DEPTH, NOT_FINITE, TOO_DEEP, Source

#: Scalars and containers of one file. Each costs about a hundred bytes of memory, and a plan has some twenty a task.
MAX_VALUES: Final = 20_000_000

# libyaml, where PyYAML was built with it, is more than ten times as fast as the parser in Python.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_AMBIGUOUS = re.compile(r"[-+]?0[0-9]+")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def plain_value(text: str) -> Any:
    """What a scalar without quotes is in the core schema of YAML 1.2.

    Raises:
        ValueError: readers do not agree on it, or it is a number that we do not take.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "-+.0123456789":
        return text
    if _AMBIGUOUS.fullmatch(text):
        raise ValueError(f"{text[:40]} is octal to some readers and decimal to others; drop the zeros, or quote it")
    if _DECIMAL.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise ValueError(too_many_digits(text))
        return int(text)
    if _OCTAL_OR_HEX.fullmatch(text):
        return int(text, 0)
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text}: {NOT_FINITE}; quote it if it is text")
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(f"{text[:40]} is too large for a number; quote it if it is text")
        return number
    return text


class _TooMuchError(Exception):
    """Ends the reading at once: the event is where the bound was passed, or what cannot be built upon."""

    def __init__(self, event: Any, text: str) -> None:
        self.event, self.text = event, text
        super().__init__(text)


_NO_KEY: Final = object()


class _Builder:
    """Makes one document of parser events; collects what is wrong and goes on where that makes sense."""

    def __init__(self) -> None:
        self.root: Any = None
        self.findings = Findings()
        self.has_twice = False
        self._top: Any = None  # the innermost open container
        self._key: Any = _NO_KEY  # the key whose value comes next, when that is a mapping
        self._outer: list[tuple[Any, Any]] = []
        self._documents = 0
        self._values = 0
        self._texts: dict[str, str] = {}  # equal keys and short texts are kept once
        self._handlers: dict[type, Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: lambda event: self._open(event, {}),
            yaml.SequenceStartEvent: lambda event: self._open(event, []),
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }

    def build(self, loader: Any) -> None:
        handlers = self._handlers
        get_event = loader.get_event
        while True:
            event = get_event()
            handler = handlers.get(type(event))
            if handler is not None:
                handler(event)
            elif type(event) is yaml.StreamEndEvent:
                return

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            raise _TooMuchError(event, "a second document begins here; a file holds one")

    def _scalar(self, event: Any) -> None:
        if event.anchor is not None or event.tag is not None:
            self._refuse_marks(event)
        text = event.value
        if self._key is _NO_KEY and type(self._top) is dict:
            self._key = self._texts.setdefault(text, text)
            return
        if event.implicit[0]:
            try:
                text = plain_value(text)
            except ValueError as error:
                self._problem(event, str(error))
        if type(text) is str and len(text) <= 128:
            text = self._texts.setdefault(text, text)
        self._put(event, text)

    def _put(self, event: Any, value: Any) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise _TooMuchError(event, f"has more than the {MAX_VALUES:,} values that are read")
        top = self._top
        if type(top) is list:
            top.append(value)
        elif top is None:
            self.root = value
        elif self._key is _NO_KEY:
            raise _TooMuchError(event, "a list or mapping cannot be a key; keys are text")
        else:
            if self._key in top:
                self.has_twice = True
            else:
                top[self._key] = value
            self._key = _NO_KEY

    def _open(self, event: Any, container: Any) -> None:
        if event.anchor is not None or event.tag is not None:
            self._refuse_marks(event)
        key = self._key
        self._put(event, container)
        self._outer.append((self._top, key))
        self._top = container
        if len(self._outer) > MAX_DEPTH:
            raise _TooMuchError(event, TOO_DEEP)

    def _close(self, event: Any) -> None:
        self._top, _ = self._outer.pop()

    def _alias(self, event: Any) -> None:
        self._problem(event, f"alias *{event.anchor}: anchors and aliases are not read; write the value out")
        self._scalar_in_place(event)

    def _scalar_in_place(self, event: Any) -> None:
        if self._key is _NO_KEY and type(self._top) is dict:
            self._key = f"*{event.anchor}"
        else:
            self._put(event, None)

    def _refuse_marks(self, event: Any) -> None:
        if event.anchor is not None:
            self._problem(event, f"anchor &{event.anchor}: anchors and aliases are not read; write the value out")
        if event.tag is not None:
            self._problem(event, f"tag {event.tag!r}: tags are not read; quote what is to be text, drop the others")

    def _problem(self, event: Any, text: str) -> None:
        self.findings.add(self.place(), text, event.start_mark.line + 1)

    def place(self) -> Place:
        """Where the value that comes next will stand."""
        place: list[str | int] = []
        for container, key in self._outer:
            if isinstance(container, list):
                place.append(len(container) - 1)  # what is open in it has been appended
            elif container is not None:
                place.append(key)
        if isinstance(self._top, list):
            place.append(len(self._top))
        elif self._key is not _NO_KEY:
            place.append(self._key)
        return tuple(place)


def parse_yaml(source: Source) -> Any:
    """The one document of a YAML text; None when there is none.

    Raises:
        DocumentError: it is not YAML, or uses what we do not read.
    """
    text = source.text or ""
    builder = _Builder()
    findings = builder.findings
    try:
        loader = _Loader(text)  # the one in Python looks at the characters here, the other when it comes to them
        try:
            builder.build(loader)
        finally:
            loader.dispose()
    except _TooMuchError as error:
        findings.add(builder.place(), error.text, error.event.start_mark.line + 1)
        raise source.refuse(findings) from None
    except yaml.YAMLError as error:
        _add_syntax_problem(findings, text, error)
        raise source.refuse(findings) from None
    if builder.has_twice:
        for entry in entries(yaml_tokens(text)):
            if entry.earlier is not None:
                findings.add(entry.place, twice(entry.earlier, entry.line), entry.line)
    if findings:
        raise source.refuse(findings)
    return builder.root


def _add_syntax_problem(findings: Findings, text: str, error: yaml.YAMLError) -> None:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        context = f" {error.context}" if error.context else ""
        if mark is not None and re.match(r" *\t", "".join(text.split("\n")[mark.line : mark.line + 1])):
            context += "; indent with blanks, YAML takes no tabs"
        findings.add((), f"is not YAML: {error.problem}{context}", None if mark is None else mark.line + 1)
        return
    found = _NOT_PRINTABLE.search(text)
    if found is None:
        findings.add((), f"is not YAML: {error}")
        return
    line = text.count("\n", 0, found.start()) + 1
    findings.add((), f"character {found[0]!a} cannot stand in YAML; write it as an escape in double quotes", line)


def yaml_tokens(text: str) -> Iterator[Token]:
    """The steps through a text that is known to be YAML of ours.

    Raises:
        ValueError: it is not, because somebody has changed it since.
    """
    loader = _Loader(text)
    try:
        while True:
            event = loader.get_event()
            kind = type(event)
            if kind is yaml.StreamEndEvent:
                return
            line = event.start_mark.line + 1
            if kind is yaml.ScalarEvent:
                yield Token("=", event.value, line)
            elif kind is yaml.AliasEvent:
                yield Token("=", f"*{event.anchor}", line)
            elif kind is yaml.MappingStartEvent:
                yield Token("{", "", line)
            elif kind is yaml.SequenceStartEvent:
                yield Token("[", "", line)
            elif kind in (yaml.MappingEndEvent, yaml.SequenceEndEvent):
                yield Token("}", "", line)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    finally:
        loader.dispose()
