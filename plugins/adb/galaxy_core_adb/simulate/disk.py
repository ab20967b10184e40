"""A phone's file system: a folder of this machine, and the paths by which it is known to hosts and to commands.

Sync finds any path of the phone below the folder. A command that runs in this machine's /bin/sh sees this machine's whole
file system; of its text, the absolute words that begin with one of SHARED are replaced before it runs. So a path that a
script puts together, or reads from a file, is not the phone's; a text that only looks like a path is replaced as well; and
what a command prints is where things are on this machine.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from galaxy_core.errors import SimulatorError

#: What commands may use of a phone's file system.
SHARED: Final = ("/data/local/tmp", "/sdcard", "/storage/emulated/0", "/mnt/sdcard")
#: Names of one folder.
_SAME: Final = {"/storage/emulated/0": "/sdcard", "/mnt/sdcard": "/sdcard"}
_WORD: Final = re.compile(r"(?<![\w./~-])(" + "|".join(SHARED) + r")(?![\w.-])")
_SOURCED: Final = re.compile(r"(?:^|[;&|{(\n])\s*\.\s+'?(/[\w./-]+)'?")
_SAFE: Final = re.compile(r"[\w./+@-]+")


class Disk:
    """`folder` is created; its path must not need quoting, as it is put into scripts."""

    def __init__(self, folder: Path) -> None:
        if not _SAFE.fullmatch(str(folder)):
            raise SimulatorError(
                "phone", f"its folder is {str(folder)!r}, and its scripts need one of plain characters"
            )
        self.root = folder
        self.temporary = self.place("/data/local/tmp")
        self.shared = self.place("/sdcard")
        for path in (self.temporary, self.shared / "Download", self.shared / "DCIM"):
            path.mkdir(parents=True)

    def place(self, path: str) -> Path:
        """Where the phone's `path` is on this machine; `..` does not lead out."""
        whole = os.path.normpath("/" + path).replace("//", "/")
        for name, same in _SAME.items():
            if whole == name or whole.startswith(name + "/"):
                whole = same + whole[len(name) :]
        return self.root / whole.lstrip("/")

    def seen_by_commands(self, path: str, folder: Path) -> Path:
        """Where the `path` of a command in `folder` is on this machine: the phone's only if it is shared."""
        return self.place(path) if _WORD.match(path) else folder / path

    def rewritten(self, script: str) -> str:
        """`script` with the shared paths where they are, and likewise the scripts that it sources from there."""
        if not any(name in script for name in SHARED):
            return script
        text = _WORD.sub(lambda found: str(self.place(found[1])), script)
        for found in _SOURCED.finditer(text):
            sourced = Path(found[1])
            if sourced.is_relative_to(self.root) and sourced.is_file():
                inner = sourced.read_bytes().decode(errors="surrogateescape")
                new = _WORD.sub(lambda word: str(self.place(word[1])), inner)
                sourced.write_bytes(new.encode(errors="surrogateescape"))
        return text
