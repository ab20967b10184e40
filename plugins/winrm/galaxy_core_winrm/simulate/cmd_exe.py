"""`cmd.exe`, started by a program: its command line is one argument, as Windows hands it over."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from galaxy_core_winrm.simulate.cmd import translated
from galaxy_core_winrm.simulate.cmd_line import program_of, unwrapped
from galaxy_core_winrm.simulate.computer import Computer

#: What processes of this machine have in their environment, and those of Windows have not; see `Computer.process_environment`.
_OURS = frozenset({"PATH", "LANG", "LC_CTYPE", "HOME", "TMPDIR", "PWD", "OLDPWD", "SHLVL", "_"})


def main() -> None:
    """Run `/c TEXT`, in UTF-8, in place of this process."""
    environment = {
        ("PATH" if name == "PATH_OF_WINDOWS" else name): text
        for name, text in os.environ.items()
        if name not in _OURS and not name.startswith("SIMULATED_")
    }
    computer = Computer(environment["COMPUTERNAME"], Path(os.environ["SIMULATED_HOST"]))
    folder = computer.windows_path(Path.cwd())
    text = unwrapped("cmd.exe " + " ".join(sys.argv[1:]), strip_quotes=False)
    script = translated(text, environment, folder, 65001, computer, lambda name: program_of(name, computer, folder))
    # As `Running.start`: what is replaced within a line must not stand in a list of processes.
    file = os.memfd_create("script", flags=0)
    os.write(file, script + b"\n")
    os.execv("/bin/sh", ["/bin/sh", f"/proc/self/fd/{file}"])  # noqa: S606  that is its work
