"""What stands around the text of `cmd /c TEXT`, and where its programs are found."""

from __future__ import annotations

import os
import re
import shutil

from galaxy_core_winrm.simulate.computer import Computer

#: cmd.exe with what stands before its command: /d /s /q /u and others have no effect here, but for /s.
CMD = re.compile(
    r'\s*"?(?:[^"\s]*\\)?cmd(?:\.exe)?"?(?P<switches>(?:\s+/[a-bd-jl-z](?::\w+)?)*)\s+/c\s*(?P<text>.*)', re.I | re.S
)


def unwrapped(text: str, *, strip_quotes: bool) -> str:
    """The text that `cmd /c TEXT` runs, without its quotes where cmd takes them away, however many cmds stand before it."""
    text = text.strip()
    while found := CMD.fullmatch(text):
        strip_quotes = "/s" in found["switches"].lower().split()
        text = found["text"].strip()
    if _loses_quotes(text) or (strip_quotes and text.startswith('"')):
        text = "".join(text[1:].rsplit('"', 1))
    return text


def _loses_quotes(text: str) -> bool:
    """`cmd /?`: a text that begins with a quote keeps its quotes only if it has exactly two, with a blank and none of
    &<>()@^| between them, and names a program."""
    if not text.startswith('"'):
        return False
    if text.count('"') != 2:
        return True
    inner = text[1 : text.index('"', 1)]
    return bool(set(inner) & set("&<>()@^|")) or " " not in inner


def program_of(name: str, computer: Computer, folder: str) -> str | None:
    """The program of that name: one of ours, one of the drive, one of this machine. `folder` is the current one."""
    plain = name.rpartition("\\")[2]
    if (ours := computer.folder / "bin" / plain.lower()).exists():
        return str(ours)
    there = computer.path_of(name, folder)
    if there.is_file() and os.access(there, os.X_OK):
        return str(there)
    # An absolute path of this machine, too: tests say sys.executable.
    for candidate in (name, plain, plain.lower().removesuffix(".exe")):
        if candidate and (found := shutil.which(candidate)):
            return found
    return None
