"""`powershell.exe`: what its command line asks for, run by a twin, from the table of canned answers, or line by line."""

from __future__ import annotations

import binascii
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .console import Console, Drive, ExitError
from .known import CANNED, digest, known_scripts
from .twins import twins

#: Switches that take a value and change nothing here.
_WITH_VALUE = ("-executionpolicy", "-ep", "-ex", "-inputformat", "-windowstyle", "-version", "-configurationname")


def main() -> None:
    """Run, and exit as the script does. Codes beyond 8 bits are left in the file that SIMULATED_EXIT names."""
    script, arguments, is_xml = _asked_for(sys.argv[1:])
    console = Console(is_xml=is_xml)
    code = 0
    try:
        _Powershell(console).run(script, arguments)
        code = int(console.failed)
    except ExitError as error:
        code = error.code
    except BrokenPipeError:
        code = 1
    console.flush()
    if not 0 <= code <= 255:
        exit_file = os.environ.get("SIMULATED_EXIT")
        if exit_file:
            Path(exit_file).write_text(str(code), encoding="ascii")
        code = 255
    os._exit(code)


def _asked_for(words: Sequence[str]) -> tuple[str, dict[str, Any], bool]:
    """The script, its parameters, and whether records go out as CLIXML."""
    is_xml = False
    at = 0
    while at < len(words):
        word, at = words[at].lower(), at + 1
        if word.startswith(("-enc", "-ec")) or word == "-e":
            text = binascii.a2b_base64(words[at] if at < len(words) else "").decode("utf-16-le")
            return text, {}, True
        if word in {"-file", "-f"}:
            path = Drive().path(words[at])
            return path.read_text(encoding="utf-8-sig"), _named(words[at + 1 :]), is_xml
        if word in {"-command", "-c"} or not word.startswith("-"):
            rest = words[at:] if word.startswith("-") else words[at - 1 :]
            text = sys.stdin.buffer.read().decode("utf-8") if rest == ["-"] else " ".join(rest)
            return text, {}, is_xml
        if word in {"-outputformat", "-of"}:
            is_xml = words[at].lower() == "xml"
            at += 1
        elif word in _WITH_VALUE:
            at += 1
        elif word == "-":
            break
    return sys.stdin.buffer.read().decode("utf-8"), {}, is_xml


def _named(words: Sequence[str]) -> dict[str, Any]:
    return {name.lstrip("-"): value for name, value in zip(words[::2], words[1::2], strict=False)}


class _Powershell:
    """One process. Twins may run further scripts in it, as the adapter's bootstrap does."""

    def __init__(self, console: Console) -> None:
        self.console, self.drive, self.is_silent = console, Drive(), False
        self._known = known_scripts()

    def run(self, script: str, parameters: Mapping[str, Any]) -> None:
        """Run a script of any of the three kinds.

        Raises:
            ExitError: it exits.
        """
        sha256 = digest(script)
        if twin := twins.get(self._known.get(sha256, "")):
            twin(self, parameters)
            return
        if "$ProgressPreference" not in script and not self.is_silent:
            # What every first use of a module says, and what ends up on standard error of those who do not know.
            self.console.record("progress", "Preparing modules for first use.")
        canned = self._canned().get(sha256)
        if canned is not None:
            self.console.out(canned["stdout"], "")
            for stream, text in canned["records"]:
                self.console.record(stream, text)
            raise ExitError(canned["exit_code"])
        # Scripts of the adapter, which are most, do not need it.
        from .lines import Interpreter

        Interpreter(self.console, self.drive, parameters, is_silent=self.is_silent).run(script)

    def _canned(self) -> dict[str, Any]:
        try:
            table: dict[str, Any] = json.loads((self.drive.folder / CANNED).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return table
