"""How a command line becomes words on Windows: a reference splitter, by the documented rules of the C runtime.

Source: "Parsing C command-line arguments" and `CommandLineToArgvW` of Microsoft's documentation. The program's name is
read by simpler rules than the arguments: quotes only, no backslashes.
"""

from __future__ import annotations

import re

#: Letters that are themselves, within quotes and without.
_QUOTED, _BARE = re.compile(r'[^\\"]+'), re.compile(r'[^\\" \t]+')
#: What CreateProcess takes, and what cmd.exe takes, in characters.
PROCESS_LIMIT, CMD_LIMIT = 32_767, 8_191


def split(line: str) -> list[str]:
    """The words of a command line, program first; the empty line has none."""
    line = line.lstrip(" \t")
    if not line:
        return []
    program, at = _program(line)
    words = [program]
    while True:
        while at < len(line) and line[at] in " \t":
            at += 1
        if at == len(line):
            return words
        word, at = _argument(line, at)
        words.append(word)


def _program(line: str) -> tuple[str, int]:
    if line[0] == '"':
        end = line.find('"', 1)
        return (line[1:], len(line)) if end < 0 else (line[1:end], end + 1)
    end = next((at for at, letter in enumerate(line) if letter in " \t"), len(line))
    return line[:end], end


def _argument(line: str, at: int) -> tuple[str, int]:
    """One argument from `at` on, and where it ends.

    2n backslashes and a quote: n backslashes, and the quote begins or ends a quoted part. 2n + 1: n backslashes and a
    quote. Backslashes before anything else are themselves. Inside quotes, two quotes are one.
    """
    word: list[str] = []
    quoted = False
    while at < len(line) and (quoted or line[at] not in " \t"):
        if plain := (_QUOTED if quoted else _BARE).match(line, at):
            word.append(plain[0])
            at = plain.end()
            continue
        slashes = 0
        while at < len(line) and line[at] == "\\":
            slashes += 1
            at += 1
        if at < len(line) and line[at] == '"':
            word.append("\\" * (slashes // 2))
            if slashes % 2:
                word.append('"')
            elif quoted and line[at + 1 : at + 2] == '"':
                word.append('"')
                at += 1
            else:
                quoted = not quoted
            at += 1
            continue
        word.append("\\" * slashes)
    return "".join(word), at
