r"""Command lines for Windows, where a program gets one text and takes it apart itself.

Most programs do so by the rules of CommandLineToArgvW and the C runtime, for which arguments are quoted here. But WinRM
hands every line to cmd.exe first, which has rules of its own: it replaces ``%VAR%`` even inside quotes, a quote ends what
protects ``&``, and a line ends at a line feed. So a word that holds ``"``, ``%``, ``!`` or a line break never goes through
cmd.exe: such lists are started by a script (scripts/run.ps1), which gets them as data.

Every line begins with ``set "GALAXY_MARK=…"&``: by that the mark of an attempt is in the environment of all that it starts,
and no line begins with a quote, which `cmd /c` would take away under some conditions (`cmd /?`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

#: Longest line of cmd.exe is 8,191 characters, of which its own name takes some.
CMD_LIMIT: Final = 8_000
#: Longest line of CreateProcess is 32,767 characters with its end.
PROCESS_LIMIT: Final = 32_766
#: Standard input from nowhere, so that a program that reads it does not wait for ever.
NO_INPUT: Final = " <nul"
#: Stands after the mark of an attempt that leaves a marker.
LEAVES_MARKER: Final = "set GALAXY_MARKER=1&"

_PLAIN = re.compile(r"[A-Za-z0-9_.:\\/+@-]+")
_PLAIN_PROGRAM = re.compile(r"[A-Za-z0-9_.:\\-]+")
_BATCH = re.compile(r"\.(bat|cmd)[. ]*$", re.IGNORECASE)
_UNSAFE_FOR_CMD = frozenset('"%!\r\n')
_UNSAFE_FOR_BATCH = frozenset('"%!\r\n&|<>^()')
#: What XML 1.0 cannot say, even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: Commands of cmd.exe itself; no program has their names.
BUILT_IN: Final = frozenset(
    {
        "assoc", "break", "call", "cd", "chdir", "cls", "color", "copy", "date", "del", "dir", "echo", "endlocal", "erase",
        "exit", "for", "ftype", "goto", "if", "md", "mkdir", "mklink", "move", "path", "pause", "popd", "prompt", "pushd",
        "rd", "rem", "ren", "rename", "rmdir", "set", "setlocal", "shift", "start", "time", "title", "type", "ver",
        "verify", "vol",
    }
)  # fmt: skip


def marked(mark: str, line: str) -> str:
    """The line for cmd.exe, with the mark in the environment of what it starts."""
    return f'set "GALAXY_MARK={mark}"&{line}'


def quote(word: str, *, plain: re.Pattern[str] = _PLAIN) -> str:
    """The word as one argument, by the rules of CommandLineToArgvW; quoted also where only cmd.exe wants it."""
    if plain.fullmatch(word):
        return word
    # Backslashes count double only before a quote: one in the word, or the one that ends it.
    inner = re.sub(r'(\\*)"', r'\1\1\\"', word)
    inner = re.sub(r"(\\+)$", r"\1\1", inner)
    return f'"{inner}"'


def through_cmd(words: Sequence[str]) -> str | None:
    """The line for cmd.exe that starts a program with these words; None when cmd.exe would not leave them as they are.

    Raises:
        ValueError: there is no way of passing them.
    """
    check(words)
    line = " ".join([quote(words[0], plain=_PLAIN_PROGRAM), *map(quote, words[1:])])
    if any(_UNSAFE_FOR_CMD & set(word) or _NOT_XML.search(word) for word in words) or len(line) > CMD_LIMIT:
        if words[0].casefold() in BUILT_IN:
            raise ValueError(
                f"{words[0]!r} is a command of cmd.exe and no program, and would not get these arguments as they are "
                "('\"', '%', '!', line breaks, or too long): use the action 'powershell', or a program"
            )
        return None
    return line


def without_cmd(words: Sequence[str]) -> tuple[str, str]:
    """The program, and its arguments as one text, for CreateProcess.

    Raises:
        ValueError: there is no way of passing them.
    """
    check(words)
    if not words[0] or _UNSAFE_FOR_CMD & set(words[0]):
        raise ValueError(f"{words[0][:80]!r} cannot be the name of a program on Windows")
    arguments = " ".join(map(quote, words[1:]))
    if len(words[0]) + len(arguments) + 3 > PROCESS_LIMIT:
        raise ValueError(
            f"its arguments have {len(arguments)} characters, and Windows takes {PROCESS_LIMIT} at most: "
            "pass them on standard input, or in a file that is pushed"
        )
    return words[0], arguments


def check(words: Sequence[str]) -> None:
    """
    Raises:
        ValueError: one of the words cannot be passed in any way.
    """
    for word in words:
        check_text(word, "an argument")
    if not words[0]:
        raise ValueError("the name of the program is empty")
    if _BATCH.search(words[0]):
        bad = sorted({character for word in words[1:] for character in word} & _UNSAFE_FOR_BATCH)
        if bad:
            told = " ".join(repr(character) for character in bad)
            raise ValueError(
                f"{words[0][:80]!r} is a batch file, which would not get {told} in its arguments as they are, but might run "
                "them: pass them in a file, or call a program"
            )


def check_text(text: str, what: str) -> None:
    """
    Raises:
        ValueError: it holds NUL, or half a character.
    """
    if "\0" in text:
        raise ValueError(f"{text[:80]!r} holds a NUL character, which {what} on Windows cannot")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{text[:80]!r} holds a surrogate, which is half a character") from error


def shell_line(text: str) -> str:
    """A shell text as a line for cmd.exe: as it is.

    Raises:
        ValueError: cmd.exe would not run it as it is.
    """
    check_text(text, "a shell text")
    text = text.rstrip("\r\n")
    if "\n" in text or "\r" in text:
        raise ValueError(
            "the shell text has several lines, of which cmd.exe would run the first only: join them with '&&', "
            "or use the action 'powershell'"
        )
    if found := _NOT_XML.search(text):
        raise ValueError(f"the shell text holds the control character {found[0]!r}, which WinRM cannot pass on")
    if len(text) > CMD_LIMIT:
        raise ValueError(
            f"the shell text has {len(text)} characters, and cmd.exe takes {CMD_LIMIT} at most: use the action 'powershell'"
        )
    if not text.strip():
        raise ValueError("the shell text is empty")
    return text


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of a shell.

    Raises:
        ValueError: WinRM cannot pass one of them on; does not show its value.
    """
    for name, value in variables.items():
        if not name or "=" in name:
            raise ValueError(f"{name!r} is not the name of an environment variable")
        check_xml(name, "the name of a variable")
        try:
            check_xml(value, "")
        except ValueError:
            raise ValueError(
                f"variable {name!r} holds NUL, another control character or half a character, which WinRM cannot pass on"
            ) from None
    return dict(variables)


def check_xml(text: str, what: str) -> str:
    """The text.

    Raises:
        ValueError: WinRM cannot pass it on.
    """
    check_text(text, what)
    if found := _NOT_XML.search(text):
        raise ValueError(f"{what} holds the control character {found[0]!r}, which WinRM cannot pass on")
    return text
