"""The streams of one PowerShell process, and its environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .clixml import document


class ExitError(Exception):
    """The script says `exit`; or it is ended by an error that nobody caught (1)."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(code)


class Console:
    """`is_xml`: records go to standard error as CLIXML, as they do with -EncodedCommand; else errors alone, as text.

    Output is UTF-8 whatever the code page: our scripts set it so.
    """

    def __init__(self, *, is_xml: bool) -> None:
        self._is_xml = is_xml
        self._records: list[tuple[str, str]] = []
        self.failed = False

    def out(self, text: str, end: str = "\r\n") -> None:
        self.out_bytes((text + end).encode("utf-8", "replace"))

    def out_bytes(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def error_text(self, text: str) -> None:
        """What `[Console]::Error` writes: no record."""
        sys.stderr.buffer.write(text.encode("utf-8", "replace"))
        sys.stderr.buffer.flush()

    def record(self, stream: str, text: str) -> None:
        self._records.append((stream, text))

    def error(self, text: str) -> None:
        """An error record; lines of it end as those of PowerShell's do."""
        self.failed = True
        for line in text.splitlines() or [""]:
            self.record("error", f"{line}\r\n")

    def read_line(self) -> bytes:
        """A line of standard input, with its end; b"" at the end of it."""
        return sys.stdin.buffer.readline()

    def flush(self) -> None:
        """Write the records that are waiting."""
        records, self._records = self._records, []
        if self._is_xml and records:
            self.error_text(document(records))
        elif not self._is_xml:
            self.error_text("".join(text for stream, text in records if stream == "error"))


class Drive:
    """The paths of the computer, as `Computer.path_of` has them; without its rules for the case of names."""

    def __init__(self) -> None:
        self.folder = Path(os.environ.get("SIMULATED_HOST", "/nonexistent"))

    def path(self, name: str) -> Path:
        """Where a path of Windows lies here; a relative one is below the current folder."""
        full = self.full(name)
        return (self.folder / full[0].lower()).joinpath(*full[3:].split("\\"))

    def full(self, name: str) -> str:
        """The whole name on Windows, variables expanded, without `.`, `..` and a backslash at its end."""
        text = expanded(name).replace("/", "\\")
        if text[1:2] != ":":
            here = self.name(Path.cwd())
            text = here[:2] + text if text.startswith("\\") else f"{here}\\{text}"
        parts: list[str] = []
        for part in text[2:].split("\\"):
            if part == "..":
                parts = parts[:-1]
            elif part not in {"", "."}:
                parts.append(part)
        return f"{text[0].upper()}:\\" + "\\".join(parts)

    def name(self, path: Path) -> str:
        """How a path below a drive is called on Windows."""
        inner = path.relative_to(self.folder).parts
        return f"{inner[0].upper()}:\\" + "\\".join(inner[1:])


def variable(name: str) -> str | None:
    """Of the environment; names have no case on Windows."""
    if name.upper() == "PATH":
        return os.environ.get("PATH_OF_WINDOWS")
    return os.environ.get(name.upper())


def expanded(text: str) -> str:
    """With every %NAME% that is known in its place."""
    pieces = text.split("%")
    for at in range(1, len(pieces) - 1, 2):
        known = variable(pieces[at])
        pieces[at] = f"%{pieces[at]}%" if known is None else known
    if len(pieces) % 2 == 0:
        return "".join(pieces[:-1]) + "%" + pieces[-1]
    return "".join(pieces)


def has_room() -> bool:
    """Whether the drive takes another byte: hosts can be told that it does not."""
    return not os.environ.get("SIMULATED_FULL_DISK")
