"""The computer that a host pretends to be: its name, its drive C: in a folder, its environment."""

from __future__ import annotations

import os
import re
import shlex
import sys
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import define, field

_VARIABLE = re.compile(r"%([^%=\s][^%]*)%")
#: Started without `site` and without looking at PYTHON… variables, which halves the time that it takes.
_PYTHON = (sys.executable, "-S", "-E", "-s")


@define
class Computer:
    """Everything of it lies below `folder`: `c` is the drive, `bin` what commands find beside the programs of this
    machine, `exits` holds exit codes that have more than 8 bits.

    A sandbox for convenience, no security boundary: what a command starts runs as who runs the simulator.
    """

    name: str
    folder: Path
    powershell: str | None = None
    job: str = field(factory=lambda: uuid.uuid4().hex[:12])
    #: What every process finds in its environment from now on.
    environment_of_all: dict[str, str] = field(factory=dict)

    def build(self, users: Iterable[str]) -> None:
        """Make the folders and the programs that a Windows host has and this machine has not."""
        for user in users:
            for part in ("AppData/Local/Temp", "Desktop", "Documents"):
                (self.folder / "c" / "Users" / user / part).mkdir(parents=True, exist_ok=True)
        for part in ("c/Windows/System32", "c/Windows/Temp", "bin", "exits"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        for name, words in self._programs().items():
            program = self.folder / "bin" / name
            program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
            program.chmod(0o755)

    def _programs(self) -> dict[str, list[str]]:
        powershell = [self.powershell] if self.powershell else self.python_words()
        cmd = [sys.executable, "-I", "-c", "from galaxy_core_winrm.simulate.cmd_exe import main; main()"]
        programs = {"cmd": cmd, "powershell": powershell, "python": [sys.executable], "py": [sys.executable]}
        return programs | {f"{name}.exe": words for name, words in programs.items()}

    def python_words(self) -> list[str]:
        """What starts our PowerShell, in Python: see `simulate.powershell`."""
        here = str(Path(__file__).parent)
        start = f"import sys; sys.path.append({here!r}); from powershell.main import main; main()"
        return [*_PYTHON, "-c", start]

    # ------------------------------------------------------------------------------------------------------------ paths
    def path_of(self, windows_path: str, folder: str = "C:\\") -> Path:
        """Where a path of that computer lies here; a relative one is below `folder`, a Windows path too.

        Letters of other drives, UNC paths and paths of this machine stand for what cannot be there.
        """
        text = windows_path.replace("/", "\\")
        if re.match(r"[A-Za-z]:", text):
            drive, rest = text[0].lower(), text[2:]
            below = rest.lstrip("\\") if rest.startswith("\\") or drive != folder[:1].lower() else None
            text = below if below is not None else folder[2:].lstrip("\\") + "\\" + rest
        elif text.startswith("\\\\"):
            return self.folder / "network" / text.strip("\\")
        elif text.startswith("\\"):
            drive, text = folder[:1].lower() or "c", text.lstrip("\\")
        else:
            drive, text = folder[:1].lower() or "c", folder[2:].lstrip("\\") + "\\" + text
        parts: list[str] = []
        for part in text.split("\\"):
            if part == "..":
                parts = parts[:-1]
            elif part not in {"", "."}:
                parts.append(part)
        return self._as_there(self.folder / drive, parts)

    def _as_there(self, root: Path, parts: list[str]) -> Path:
        """Windows' names are the same in every case: take the name that is there."""
        path = root
        for part in parts:
            found = path / part
            if not found.exists() and path.is_dir():
                wanted = part.casefold()
                found = next((path / name for name in os.listdir(path) if name.casefold() == wanted), found)
            path = found
        return path

    def windows_path(self, path: Path) -> str:
        """How a path below the drive is called on that computer."""
        inner = path.relative_to(self.folder).parts
        return f"{inner[0].upper()}:\\" + "\\".join(inner[1:])

    def markers(self) -> list[Path]:
        """What attempts have left that are to be found again."""
        return sorted((self.folder / "c").glob("Users/*/AppData/Local/galaxy/marks/*/*"))

    def temporary_files(self) -> list[Path]:
        """What the adapter's transfers write to before a file is whole."""
        return sorted((self.folder / "c").rglob("*.part"))

    # ------------------------------------------------------------------------------------------------------ environment
    def environment(self, user: str) -> dict[str, str]:
        """What a new shell of that user starts with, by upper-case name."""
        home = f"C:\\Users\\{user}"
        temp = f"{home}\\AppData\\Local\\Temp"
        return {
            "ALLUSERSPROFILE": "C:\\ProgramData",
            "APPDATA": f"{home}\\AppData\\Roaming",
            "COMPUTERNAME": self.name,
            "COMSPEC": "C:\\Windows\\system32\\cmd.exe",
            "HOMEDRIVE": "C:",
            "HOMEPATH": f"\\Users\\{user}",
            "LOCALAPPDATA": f"{home}\\AppData\\Local",
            "NUMBER_OF_PROCESSORS": str(os.cpu_count() or 1),
            "OS": "Windows_NT",
            "PATHEXT": ".COM;.EXE;.BAT;.CMD",
            "PROCESSOR_ARCHITECTURE": "AMD64",
            "PROGRAMDATA": "C:\\ProgramData",
            "PROMPT": "$P$G",
            "SYSTEMDRIVE": "C:",
            "SYSTEMROOT": "C:\\Windows",
            "TEMP": temp,
            "TMP": temp,
            "USERDOMAIN": self.name,
            "USERNAME": user,
            "USERPROFILE": home,
            "WINDIR": "C:\\Windows",
        }

    def process_environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The same for a process of this machine: with its own PATH and locale, and where the computer lies."""
        # A mark is looked for under its own name, and Windows' names have no case.
        own = {("PATH_OF_WINDOWS" if name == "PATH" else name): text for name, text in environment.items()}
        return (
            own
            | self.environment_of_all
            | {
                "PATH": f"{self.folder / 'bin'}:{os.environ.get('PATH', '/usr/bin:/bin')}",
                "LANG": "C.UTF-8",
                "HOME": str(self.path_of(environment["USERPROFILE"])),
                "TMPDIR": str(self.path_of(environment["TEMP"])),
                "SIMULATED_HOST": str(self.folder),
            }
        )

    @staticmethod
    def expanded(text: str, environment: Mapping[str, str]) -> str:
        """With every %NAME% that is known in its place, as cmd does it: names have no case, unknown ones stay."""
        return _VARIABLE.sub(lambda found: environment.get(found[1].upper(), found[0]), text)
