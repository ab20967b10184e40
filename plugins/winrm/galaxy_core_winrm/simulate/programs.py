"""How a command of a shell becomes a program of this machine."""

from __future__ import annotations

import os
import re
import shutil

from galaxy_core_winrm.simulate import fault_codes
from galaxy_core_winrm.simulate.cmd import translated
from galaxy_core_winrm.simulate.computer import Computer
from galaxy_core_winrm.simulate.powershell.command_line import CMD_LIMIT, PROCESS_LIMIT, split
from galaxy_core_winrm.simulate.processes import Program
from galaxy_core_winrm.simulate.shells import Shell

#: cmd.exe with what stands before its command: /d /s /q /u and others have no effect here, but for /s.
_CMD = re.compile(
    r'\s*"?(?:[^"\s]*\\)?cmd(?:\.exe)?"?(?P<switches>(?:\s+/[a-bd-jl-z](?::\w+)?)*)\s+/c\s*(?P<text>.*)', re.I | re.S
)
_TOO_LONG = r"The command line is too long.\r\n"


class Programs:
    """Reads command lines of the shells of one computer."""

    def __init__(self, computer: Computer) -> None:
        self._computer = computer

    def __call__(self, line: str, shell: Shell, *, skip_cmd: bool, job: str, command_id: str) -> Program:
        """See `shells.Starter`."""
        words = self._direct(line, shell) if skip_cmd else self._by_cmd(line, shell, strip_quotes=False)
        return Program(
            words,
            self._computer.process_environment(shell.environment),
            self._computer.path_of(shell.folder),
            job,
            self._computer.folder / "exits" / command_id,
        )

    def _direct(self, line: str, shell: Shell) -> list[str | bytes]:
        """With WINRS_SKIP_CMD_SHELL: what CreateProcess does."""
        if len(line) > PROCESS_LIMIT:
            raise fault_codes.too_long(PROCESS_LIMIT)
        if found := _CMD.fullmatch(line):
            return self._by_cmd(found["text"], shell, strip_quotes="/s" in found["switches"].lower().split())
        words = split(line)
        if not words:
            raise fault_codes.not_found("")
        program = self._found(words[0], shell)
        if program is None:
            raise fault_codes.not_found(words[0])
        return [program, *words[1:]]

    def _found(self, name: str, shell: Shell) -> str | None:
        """The program of that name: one of ours, one of the drive, one of this machine."""
        plain = name.rpartition("\\")[2]
        if (ours := self._computer.folder / "bin" / plain.lower()).exists():
            return str(ours)
        there = self._computer.path_of(name, shell.folder)
        if there.is_file() and os.access(there, os.X_OK):
            return str(there)
        # An absolute path of this machine, too: tests say sys.executable.
        for candidate in (name, plain, plain.lower().removesuffix(".exe")):
            if candidate and (found := shutil.which(candidate)):
                return found
        return None

    def _by_cmd(self, text: str, shell: Shell, *, strip_quotes: bool) -> list[str | bytes]:
        """What `cmd /c TEXT` does: by `/bin/sh`, as `cmd.translated` has it."""
        if len(text) + len("cmd.exe /c ") > CMD_LIMIT:
            return ["/bin/sh", "-c", f"printf '{_TOO_LONG}' >&2; exit 1"]
        text = text.strip()
        if found := _CMD.fullmatch(text):
            return self._by_cmd(found["text"], shell, strip_quotes="/s" in found["switches"].lower().split())
        if _loses_quotes(text) or (strip_quotes and text.startswith('"')):
            text = "".join(text[1:].rsplit('"', 1))
        return [
            "/bin/sh",
            "-c",
            translated(
                text,
                shell.environment,
                shell.folder,
                shell.codepage,
                self._computer,
                lambda name: self._found(name, shell),
            ),
        ]


def _loses_quotes(text: str) -> bool:
    """`cmd /?`: a text that begins with a quote keeps its quotes only if it has exactly two, with a blank and none of
    &<>()@^| between them, and names a program."""
    if not text.startswith('"'):
        return False
    if text.count('"') != 2:
        return True
    inner = text[1 : text.index('"', 1)]
    return bool(set(inner) & set("&<>()@^|")) or " " not in inner
