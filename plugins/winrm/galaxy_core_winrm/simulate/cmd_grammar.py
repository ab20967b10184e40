"""How cmd.exe reads a line: operators, quotes, carets, redirections. Not: blocks of `if` and `for`, delayed expansion."""

from __future__ import annotations

import re
from typing import Literal

from attrs import define, field, frozen

Operator = Literal["&", "&&", "||", "|"]
_OPERATORS: tuple[Operator, ...] = ("&&", "||", "&", "|")
#: Letters that are themselves, within quotes and without.
_QUOTED, _BARE = re.compile(r'[^"]+'), re.compile(r'[^"^&|)<>\d]+')
_REDIRECTION = re.compile(r"(\d?)(>>|>|<)(?:&(\d))?\s*")


class CmdSyntaxError(ValueError):
    """The line is none of cmd's; or of a part of cmd's language that the simulator does not know."""


@frozen
class Redirection:
    """`target` is a file's name, or the digit of another handle when `to_handle`."""

    handle: int
    operator: str
    target: str
    to_handle: bool


@define
class Simple:
    """`text` is as typed, quotes and all, without carets and redirections."""

    text: str
    redirections: list[Redirection] = field(factory=list)


@define
class Group:
    """What stands in parentheses."""

    line: Line
    redirections: list[Redirection] = field(factory=list)


@define
class Line:
    """Commands with the operators between them: one operator fewer than commands."""

    commands: list[Simple | Group] = field(factory=list)
    operators: list[Operator] = field(factory=list)


def parsed(text: str) -> Line:
    """Read one line; cmd /c takes no more than the first.

    Raises:
        CmdSyntaxError: it cannot be read.
    """
    line, at = _Reader(re.split(r"[\r\n]", text, maxsplit=1)[0]).line(0, depth=0)
    del at
    return line


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text

    def line(self, at: int, depth: int) -> tuple[Line, int]:
        line = Line()
        while True:
            command, at = self._command(at, depth)
            line.commands.append(command)
            operator = next((each for each in _OPERATORS if self._text.startswith(each, at)), None)
            if operator is None:
                break
            line.operators.append(operator)
            at += len(operator)
            if operator == "&" and not self._text[at:].strip(" )"):
                line.operators.pop()
                at = len(self._text) - len(self._text[at:].lstrip())
                break
        if depth and not self._text.startswith(")", at):
            raise CmdSyntaxError("a parenthesis is not closed")
        return line, at

    def _command(self, at: int, depth: int) -> tuple[Simple | Group, int]:
        while at < len(self._text) and self._text[at] in " \t,;=@":
            at += 1
        if self._text.startswith("(", at):
            line, at = self.line(at + 1, depth + 1)
            group = Group(line)
            rest, at = self._simple(at + 1, depth)
            if rest.text.strip():
                raise CmdSyntaxError(f"{rest.text.strip()!r} was unexpected at this time.")
            group.redirections = rest.redirections
            return group, at
        simple, at = self._simple(at, depth)
        if not simple.text.strip() and not simple.redirections:
            raise CmdSyntaxError("The syntax of the command is incorrect.")
        return simple, at

    def _simple(self, at: int, depth: int) -> tuple[Simple, int]:
        """Up to the next operator that is neither quoted nor escaped."""
        letters: list[str] = []
        redirections: list[Redirection] = []
        quoted = False
        while at < len(self._text):
            if plain := (_QUOTED if quoted else _BARE).match(self._text, at):
                letters.append(plain[0])
                at = plain.end()
                continue
            letter = self._text[at]
            if letter == '"':
                quoted = not quoted
            elif not quoted:
                if letter == "^":
                    letters.append(self._text[at + 1 : at + 2])
                    at += 2
                    continue
                if letter in "&|" or (letter == ")" and depth):
                    break
                digit_stands_alone = letter.isdigit() and (not letters or letters[-1][-1:] in " \t")
                if letter in "<>" or digit_stands_alone:
                    found = _REDIRECTION.match(self._text, at)
                    if found is not None:
                        redirection, at = self._redirection(found)
                        redirections.append(redirection)
                        continue
            letters.append(letter)
            at += 1
        return Simple("".join(letters), redirections), at

    def _redirection(self, found: re.Match[str]) -> tuple[Redirection, int]:
        handle = int(found[1]) if found[1] else (0 if found[2] == "<" else 1)
        if found[3] is not None:
            return Redirection(handle, found[2], found[3], to_handle=True), found.end()
        name = re.compile(r'"([^"]*)"?|([^\s"&|<>()]+)').match(self._text, found.end())
        if name is None:
            raise CmdSyntaxError("The syntax of the command is incorrect.")
        return Redirection(handle, found[2], name[1] if name[1] is not None else name[2], to_handle=False), name.end()
