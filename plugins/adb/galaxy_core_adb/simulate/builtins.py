"""Scripts that are simple enough to be run without a process: what keeps a no-op command under a millisecond.

Simple are lists of commands with literal words (quoted or not), joined by newlines, `;`, `&&` and `||`, also in braces, made
of `cd`, `echo`, `exec`, `exit`, `export`, `true`, `false`, `:`, `/bin/sh -c` with a simple script, and the phone's own
commands. Everything else, which is any expansion, redirection (but one of `>&2` and `2>/dev/null`), assignment or program, is for /bin/sh.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from attrs import frozen

from galaxy_core_adb.simulate.disk import Disk


class Terminal(Protocol):
    """What a command reads and writes, and the folder that it sees relative paths from."""

    folder: Path

    async def read(self, size: int | None = None) -> bytes: ...
    async def out(self, data: bytes) -> None: ...
    async def err(self, data: bytes) -> None: ...


Program = Callable[[Sequence[str], Terminal], Awaitable[int]]
SHELLS: Final = ("/bin/sh", "sh", "/system/bin/sh")
_OWN: Final = frozenset({"cd", "echo", "exec", "exit", "export", "true", "false", ":"})
_TOKEN: Final = re.compile(
    r"[ \t]*(?:(?P<joint>&&|\|\||;|\n)|(?P<brace>\{(?=\s)|\}(?=[\s;&|]|$))|(?P<redirect>(?:1?>&2|2>/dev/null)(?=[\s;&|]|$))|"
    r"(?P<word>(?:[\w@%+=:,./-]|'[^']*'|\"[^\"$`\\!]*\"|\\[^\n])+)(?=[\s;&|]|$))",
    re.ASCII,
)
_PART: Final = re.compile(r"'([^']*)'|\"([^\"]*)\"|\\(.)|([^'\"\\]+)", re.DOTALL)
_NAME: Final = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL | re.ASCII)


@frozen
class Simple:
    """One command. `joint` says when it runs after the one before: "" always, "&&" or "||"."""

    joint: str
    words: tuple[str, ...]
    #: ">&2", "2>/dev/null" or neither.
    redirect: str = ""
    #: In place of words: a list in braces, or what a shell of its own is told to run.
    group: tuple[Simple, ...] | None = None
    own_shell: bool = False


def parse(script: str, programs: Mapping[str, Program]) -> tuple[Simple, ...] | None:
    """The commands of a simple script; None when it is not simple."""
    if len(script) > 16_384:
        return None
    commands, position = _list(script, 0, programs, braces=False)
    return commands if commands and position == len(script) else None


def _list(
    script: str, position: int, programs: Mapping[str, Program], *, braces: bool
) -> tuple[tuple[Simple, ...] | None, int]:
    """The commands up to the end, or to the closing brace; None when they are not simple."""
    reader, closed = _Reader(programs), False
    while match := _TOKEN.match(script, position):
        position = match.end()
        if match["brace"] == "}":
            closed = braces and not (reader.words or reader.redirect)
            if not closed:
                return None, position
            break
        if match["brace"] is None:
            if not reader.take(match):
                return None, position
        elif reader.is_idle:
            reader.group, position = _list(script, position, programs, braces=True)
            if reader.group is None:
                return None, position
        else:
            return None, position
    if braces != closed or not reader.finish():
        return None, position
    rest = script[position:]
    return tuple(reader.commands), (position if rest.strip(" \t") else len(script)) if not braces else position


class _Reader:
    """Reads a list of commands, one token after the other: `words` and `redirect` are those of the command at hand."""

    def __init__(self, programs: Mapping[str, Program]) -> None:
        self.commands: list[Simple] = []
        self.words: list[str] = []
        self.group: tuple[Simple, ...] | None = None
        self.redirect = ""
        self._joint = ""
        self._programs = programs

    @property
    def is_idle(self) -> bool:
        """Whether no command is at hand."""
        return not self.words and self.group is None

    def take(self, token: re.Match[str]) -> bool:
        """Take anything but a brace; False when that makes no simple command."""
        if token.lastgroup == "redirect":
            if self.redirect:
                return False
            self.redirect = token["redirect"].removeprefix("1")
            return True
        if token.lastgroup == "word":
            self.words.append(token["word"])
            return self.group is None
        return self._join(token["joint"])

    def _join(self, joint: str) -> bool:
        if self.is_idle:
            if joint != "\n":
                return False
            if self._joint in ("&&", "||"):
                return True
        if not self.finish():
            return False
        self._joint = joint.strip(";\n")
        return True

    def finish(self) -> bool:
        """The command at hand is complete; False when it is no simple one."""
        if self.group is not None:
            self.commands.append(Simple(self._joint, (), self.redirect, self.group))
        elif self.words:
            command = _simple(self._joint, self.words, self._programs, redirect=self.redirect)
            if command is None:
                return False
            self.commands.append(command)
        elif self._joint in ("&&", "||") or self.redirect:
            return False
        self.words.clear()
        self.group, self.redirect = None, ""
        return True


def _simple(joint: str, raw: Sequence[str], programs: Mapping[str, Program], *, redirect: str) -> Simple | None:
    if raw[0][0] in "'\"\\":
        name = unquoted(raw[0])
    elif "=" in raw[0]:
        return None
    else:
        name = raw[0]
    words = (name, *(unquoted(word) for word in raw[1:]))
    if name == "exec" and len(words) > 1:
        inner = _simple(joint, raw[1:], programs, redirect=redirect)
        # A program that is executed is none that the shell has built in; those of both kinds do the same.
        if inner is None or inner.words[:1] in (("cd",), ("exit",), ("export",), ("exec",), (":",)):
            return None
        return Simple(joint, ("exec",), redirect, (inner,))
    if name in SHELLS:
        inner_script = parse(words[2], programs) if len(words) == 3 and words[1] == "-c" else None
        return None if inner_script is None else Simple(joint, (), redirect, inner_script, own_shell=True)
    plain = {
        "exec": False,
        "cd": len(words) == 2 or (len(words) == 3 and words[1] == "--"),
        "exit": len(words) == 1 or (len(words) == 2 and words[1].isdecimal() and words[1].isascii()),
        "export": len(words) > 1 and all(_NAME.fullmatch(word) for word in words[1:]),
        "echo": not any("\\" in word for word in words) and not (len(words) > 1 and words[1].startswith("-")),
    }.get(name, name in _OWN or name in programs)
    return Simple(joint, words, redirect) if plain else None


def unquoted(word: str) -> str:
    """What a word means without its quotes; it has no expansions."""
    return "".join(next(part for part in found if part) if any(found) else "" for found in _PART.findall(word))


class _Exit(Exception):  # noqa: N818  it is no error
    def __init__(self, code: int) -> None:
        self.code = code


class _Redirected:
    def __init__(self, terminal: Terminal, redirect: str) -> None:
        self.folder = terminal.folder
        self.read = terminal.read
        self.out = terminal.err if redirect == ">&2" else terminal.out
        self.err = terminal.err if redirect == ">&2" else self._drop

    async def _drop(self, data: bytes) -> None:
        pass


@frozen
class Interpreter:
    """Runs simple scripts. What one changes of its terminal's folder stays."""

    programs: Mapping[str, Program]
    disk: Disk

    async def run(self, commands: Sequence[Simple], terminal: Terminal) -> int:
        """Its exit status."""
        try:
            return await self._run(commands, terminal, 0)
        except _Exit as end:
            return end.code

    async def _run(self, commands: Sequence[Simple], terminal: Terminal, status: int) -> int:
        for command in commands:
            if (command.joint == "&&" and status != 0) or (command.joint == "||" and status == 0):
                continue
            where: Terminal = _Redirected(terminal, command.redirect) if command.redirect else terminal
            if command.group is None:
                status = await self._one(command.words, where, status)
            elif command.own_shell:
                folder = where.folder
                status = await self.run(command.group, where)
                where.folder = folder
            else:
                status = await self._run(command.group, where, status)
            terminal.folder = where.folder
            if command.words[:1] == ("exec",):
                raise _Exit(status)
        return status

    async def _one(self, words: Sequence[str], terminal: Terminal, status: int) -> int:
        match words[0]:
            case "true" | ":" | "export":
                return 0
            case "false":
                return 1
            case "exit":
                raise _Exit(int(words[1]) & 0xFF if len(words) > 1 else status)
            case "echo":
                await terminal.out(" ".join(words[1:]).encode(errors="surrogateescape") + b"\n")
                return 0
            case "cd":
                there = self.disk.seen_by_commands(words[-1], terminal.folder)
                if not there.is_dir():
                    await terminal.err(f"/system/bin/sh: cd: {words[-1]}: No such file or directory\n".encode())
                    return 2
                terminal.folder = there
                return 0
        return await self.programs[words[0]](words, terminal)
