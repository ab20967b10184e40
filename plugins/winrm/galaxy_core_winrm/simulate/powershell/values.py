"""Expressions of the few lines of PowerShell that are known: literals, texts with variables in them, variables, sums."""

from __future__ import annotations

import json
import re
from typing import Any

from .console import variable

_TOKEN = re.compile(
    r"""\s*(?:(?P<single>'(?:[^']|'')*')|(?P<double>"(?:[^"`]|`.|"")*")|(?P<number>-?\d+(?:\.\d+)?)(?![\w.])"""
    r"""|(?P<variable>\$(?:env:)?\w+|\$\{[^}]+\}|\$\?)|(?P<member>\.\w+|\[\d+\])|(?P<sign>[-+*,()])|(?P<bare>[^\s'"$+*,()|]+))""",
    re.S | re.I,
)
_INNER = re.compile(r"`(.)|\$\{([^}]+)\}|\$\(([^()]*(?:\([^()]*\))?[^()]*)\)|\$((?:env:)?\w+)|\"\"", re.S | re.I)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "a": "\a", "b": "\b"}
_CONSTANTS = {"true": True, "false": False, "null": None}


class UnknownLineError(ValueError):
    """The simulated PowerShell does not know it."""


def shown(value: Any) -> str:
    """As PowerShell puts a value into a text."""
    if value is None:
        return ""
    if isinstance(value, list):
        return " ".join(map(shown, value))
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


class Expressions:
    """`names` are variables, by lower-case name."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}

    def of(self, text: str) -> Any:
        """The value of an expression: terms with + or * between them, or a list with commas.

        Raises:
            UnknownLineError: it is none that is known.
        """
        terms = self._terms(text)
        if not terms:
            raise UnknownLineError(text)
        lists: list[Any] = []
        value, signs = terms[0], terms[1:]
        while signs:
            sign, other, *signs = signs
            if sign == ",":
                lists.append(value)
                value = other
            elif sign == "+":
                value = value + other if not isinstance(value, str) else value + shown(other)
            elif sign == "-":
                value -= other
            elif sign == "*":
                value *= other
            else:
                raise UnknownLineError(text)
        return [*lists, value] if lists else value

    def words(self, text: str) -> list[Any]:
        """The arguments of a command: values with blanks between them, of which a bare word is a text."""
        found: list[Any] = []
        at = 0
        while text[at:].strip():
            value, at = self._term(text, at)
            found.append(value)
            if text[at : at + 1] == ",":
                at += 1
        return found

    def _terms(self, text: str) -> list[Any]:
        """Terms and the signs between them, in turns."""
        found: list[Any] = []
        at = 0
        while text[at:].strip():
            if len(found) % 2:
                sign = _TOKEN.match(text, at)
                if sign is None or sign.lastgroup != "sign":
                    raise UnknownLineError(text)
                found.append(sign["sign"])
                at = sign.end()
            else:
                value, at = self._term(text, at, bare=False)
                found.append(value)
        if found and len(found) % 2 == 0:
            raise UnknownLineError(text)
        return found

    def _term(self, text: str, at: int, *, bare: bool = True) -> tuple[Any, int]:
        found = _TOKEN.match(text, at)
        if found is None:
            raise UnknownLineError(text)
        kind, at = found.lastgroup, found.end()
        value: Any
        if kind == "sign" and found["sign"] == "(":
            end = _closing(text, at)
            value, at = self.of(text[at:end]), end + 1
        elif kind == "single":
            value = found["single"][1:-1].replace("''", "'")
        elif kind == "double":
            value = self.expanded(found["double"][1:-1])
        elif kind == "number":
            value = float(found["number"]) if "." in found["number"] else int(found["number"])
        elif kind == "variable":
            value = self._variable(found["variable"][1:].strip("{}"))
        elif kind == "bare" and bare:
            value = found["bare"]
        else:
            raise UnknownLineError(text)
        while (member := _TOKEN.match(text, at)) and member.lastgroup == "member" and text[at : at + 1] in ".[":
            value, at = _member(value, member["member"]), member.end()
        return value, at

    def _variable(self, name: str) -> Any:
        if name.lower().startswith("env:"):
            return variable(name[4:])
        if name.lower() in _CONSTANTS:
            return _CONSTANTS[name.lower()]
        return self.names.get(name.lower())

    def expanded(self, text: str) -> str:
        """A text in double quotes, without them."""

        def one(found: re.Match[str]) -> str:
            if found[1]:
                return _ESCAPES.get(found[1], found[1])
            if found[3]:
                return shown(self.of(found[3]))
            name = found[2] or found[4]
            return shown(self._variable(name)) if name else '"'

        return _INNER.sub(one, text)


def _closing(text: str, at: int) -> int:
    depth = 1
    for end in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if not depth:
            return end
    raise UnknownLineError(text)


def _member(value: Any, member: str) -> Any:
    if member.startswith("["):
        return value[int(member[1:-1])]
    name = member[1:].lower()
    if isinstance(value, dict):
        return next((each for key, each in value.items() if key.lower() == name), None)
    if name in {"length", "count"}:
        return len(value) if isinstance(value, (str, list)) else 1
    raise UnknownLineError(member)
