"""How a command of a shell becomes a program of this machine."""

from __future__ import annotations

from galaxy_core_winrm.simulate import fault_codes
from galaxy_core_winrm.simulate.cmd import translated
from galaxy_core_winrm.simulate.cmd_line import CMD, program_of, unwrapped
from galaxy_core_winrm.simulate.computer import Computer
from galaxy_core_winrm.simulate.powershell.command_line import CMD_LIMIT, PROCESS_LIMIT, split
from galaxy_core_winrm.simulate.processes import Program
from galaxy_core_winrm.simulate.shells import Shell

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
        if found := CMD.fullmatch(line):
            return self._by_cmd(found["text"], shell, strip_quotes="/s" in found["switches"].lower().split())
        words = split(line)
        if not words:
            raise fault_codes.not_found("")
        program = self._found(words[0], shell)
        if program is None:
            raise fault_codes.not_found(words[0])
        return [program, *words[1:]]

    def _found(self, name: str, shell: Shell) -> str | None:
        return program_of(name, self._computer, shell.folder)

    def _by_cmd(self, text: str, shell: Shell, *, strip_quotes: bool) -> list[str | bytes]:
        """What `cmd /c TEXT` does: by `/bin/sh`, as `cmd.translated` has it."""
        if len(text) + len("cmd.exe /c ") > CMD_LIMIT:
            return ["/bin/sh", "-c", f"printf '{_TOO_LONG}' >&2; exit 1"]
        text = unwrapped(text, strip_quotes=strip_quotes)
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
