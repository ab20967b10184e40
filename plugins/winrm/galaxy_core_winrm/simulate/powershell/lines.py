"""A few lines of PowerShell: enough for a tutorial, and no more.

Known: comments; `param(…)`; `$name = expression`, `$env:NAME = expression`; expressions that are a literal, a text with
variables in it, a variable, a property (`.Length`, `.Count`, a key), an index, or sums of those; here-strings;
`Write-Output`, `Write-Host`, `Write-Error`, `Write-Warning`, `Write-Verbose`, `Write-Debug`, `Write-Information`,
`Write-Progress`, `Start-Sleep`, `Get-Content`, `Set-Content`, `Add-Content`, `Test-Path`, `throw`, `exit`;
`[Console]::Out.Write(…)`, `[Console]::Error.WriteLine(…)` and their like; `| ConvertTo-Json -Compress`. One statement
a line, or several with `;` between. Not known: blocks, pipelines, functions, types, native programs.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any

from .console import Console, Drive, ExitError
from .values import Expressions, UnknownLineError, shown

_ASSIGNED = re.compile(r"\$(?:(env):)?(\w+)\s*=\s*(.+)", re.I | re.S)
_PREFERENCE = re.compile(r"\$(\w+Preference)\s*=\s*['\"]?(\w+)['\"]?\s*$", re.I)
_CONSOLE = re.compile(r"\[(?:System\.)?Console\]::(?:(Out|Error)\.)?(Write|WriteLine)\((.*)\)\s*$", re.I | re.S)
_IGNORED = re.compile(
    r"\[(?:System\.)?Console\]::(Input|Output)Encoding\s*=|\$OutputEncoding\s*=|Set-StrictMode\b", re.I
)
_COMMAND = re.compile(r"([A-Za-z]+-[A-Za-z]+|throw|exit|echo)\b\s*(.*)", re.I | re.S)
_JSON = re.compile(r"\s*\|\s*ConvertTo-Json((?:\s+-Compress|\s+-Depth\s+\d+)*)\s*$", re.I)
_STREAMS = {"error": "", "warning": "Continue", "verbose": "", "debug": "", "information": ""}


class Interpreter:
    """Runs one script with its parameters, which are data: they are never read as language."""

    def __init__(self, console: Console, drive: Drive, parameters: Mapping[str, Any], *, is_silent: bool) -> None:
        self._console, self._drive = console, drive
        self._given = {name.lower(): value for name, value in parameters.items()}
        self._preferences = {"verbose": "SilentlyContinue", "debug": "SilentlyContinue", "progress": "Continue"}
        if is_silent:
            self._preferences["progress"] = "SilentlyContinue"
        self._values = Expressions()
        self._values.names.update({"psversiontable": {"PSVersion": "5.1.20348.1"}, "pid": 4711, "lastexitcode": 0})

    def run(self, script: str) -> None:
        """Run every statement.

        Raises:
            ExitError: it says so, or an error ended it.
        """
        self._declared(script)
        body = _without_param(script)
        for statement in statements(body):
            try:
                self._statement(statement)
            except UnknownLineError as error:
                self._console.error(f"The simulated PowerShell does not know this: {error}")
                raise ExitError(1) from None

    def _declared(self, script: str) -> None:
        """Parameters by the names of the param block, else by those that they came with."""
        self._values.names.update(self._given)
        block = _param_block(script)
        for found in re.finditer(r"\$(\w+)\s*(?:=\s*([^,\n)]+))?", block or ""):
            name = found[1].lower()
            if name not in self._given:
                self._values.names[name] = self._values.of(found[2].strip()) if found[2] else None

    def _statement(self, text: str) -> None:
        if found := _PREFERENCE.match(text):
            self._preferences[found[1].lower().removesuffix("preference")] = found[2]
        elif _IGNORED.match(text):
            pass
        elif found := _ASSIGNED.fullmatch(text):
            value = self._json_or_value(found[3])
            if found[1]:
                os.environ[found[2].upper()] = shown(value)
            else:
                self._values.names[found[2].lower()] = value
        elif found := _CONSOLE.match(text):
            said = shown(self._values.of(found[3])) if found[3].strip() else ""
            said += "\r\n" if found[2].lower() == "writeline" else ""
            if (found[1] or "").lower() == "error":
                self._console.error_text(said)
            else:
                self._console.out(said, "")
        elif found := _COMMAND.fullmatch(text):
            self._command(found[1].lower(), found[2].strip())
        else:
            self._put(self._json_or_value(text))

    def _json_or_value(self, text: str) -> Any:
        if found := _JSON.search(text):
            value = self._values.of(text[: found.start()])
            return json.dumps(value, separators=(",", ":") if "ompress" in found[1] else None, ensure_ascii=False)
        if re.match(r"Get-Content\b|Test-Path\b", text, re.I):
            name, _, rest = text.partition(" ")
            return self._read(name.lower(), rest)
        return self._values.of(text)

    def _put(self, value: Any) -> None:
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                self._console.out(shown(each))

    def _command(self, name: str, rest: str) -> None:
        if name == "exit":
            raise ExitError(int(self._values.of(rest)) if rest else 0)
        if name == "throw":
            self._console.error(shown(self._values.of(rest)) if rest else "ScriptHalted")
            raise ExitError(1)
        if name in {"write-output", "echo"}:
            self._put(self._json_or_value(rest) if "|" in rest else self._argument(rest))
        elif name == "write-host":
            self._console.out(shown(self._argument(rest)))
        elif name == "write-progress":
            if self._preferences["progress"].lower() == "continue":
                self._console.record("progress", shown(self._argument(re.sub(r"-Activity\s+", "", rest))))
        elif name.startswith("write-") and name[6:] in _STREAMS:
            self._write(name[6:], rest)
        elif name == "start-sleep":
            self._sleep(rest)
        elif name in {"get-content", "test-path"}:
            self._put(self._read(name, rest))
        elif name in {"set-content", "add-content"}:
            self._save(name, rest)
        else:
            raise UnknownLineError(f"{name} {rest}")

    def _argument(self, rest: str) -> Any:
        words = self._values.words(re.sub(r"^-(Message|InputObject|MessageData|Object)\s+", "", rest, flags=re.I))
        return words[0] if len(words) == 1 else words

    def _write(self, stream: str, rest: str) -> None:
        text = shown(self._argument(rest))
        if stream == "error":
            self._console.error(text)
            if self._preferences.get("erroraction", "").lower() == "stop":
                raise ExitError(1)
        elif self._preferences.get(stream, "Continue").lower() == "continue":
            self._console.record(stream, text)

    def _sleep(self, rest: str) -> None:
        found = re.fullmatch(r"(?:-(Seconds|s|Milliseconds|m)\s+)?(.+)", rest, re.I)
        if found is None:
            raise UnknownLineError(f"Start-Sleep {rest}")
        unit = 1000 if (found[1] or "").lower().startswith("m") else 1
        time.sleep(float(self._values.of(found[2])) / unit)

    def _read(self, name: str, rest: str) -> Any:
        path = self._drive.path(
            shown(self._values.words(re.sub(r"-(Path|LiteralPath|Raw)\s*", "", rest, flags=re.I))[0])
        )
        if name == "test-path":
            return path.exists()
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            self._console.error(f"Cannot find path '{rest}' because it does not exist.")
            return None
        return text if "-raw" in rest.lower() else text.splitlines()

    def _save(self, name: str, rest: str) -> None:
        words = self._values.words(re.sub(r"-(Path|LiteralPath|Value)\s+", "", rest, flags=re.I))
        if len(words) != 2:
            raise UnknownLineError(f"{name} {rest}")
        try:
            with self._drive.path(shown(words[0])).open(
                "a" if name.startswith("add") else "w", encoding="utf-8"
            ) as file:
                file.write(shown(words[1]) + "\r\n")
        except OSError as error:
            self._console.error(f"Could not write '{shown(words[0])}': {error.strerror}")


def _param_block(script: str) -> str | None:
    """What stands between the parentheses of `param(…)`, if it is there."""
    found = re.match(r"\s*(?:#[^\n]*\n|\[CmdletBinding\(\)\]\s*)*\s*param\s*\(", script, re.I)
    if found is None:
        return None
    depth = 1
    for at in range(found.end(), len(script)):
        depth += {"(": 1, ")": -1}.get(script[at], 0)
        if not depth:
            return script[found.end() : at]
    return script[found.end() :]


def _without_param(script: str) -> str:
    block = _param_block(script)
    if block is None:
        return script
    start = script.index(block) if block else script.index("(") + 1
    return script[start + len(block) + 1 :]


def statements(script: str) -> list[str]:
    """Split at line ends and semicolons that stand in no quotes, without comments and empty ones."""
    found, letters, quote = [], "", ""
    at = 0
    while at < len(script):
        two = script[at : at + 2]
        if not quote and two in {"@'", '@"'}:
            end = re.compile(r"\r?\n" + re.escape(two[::-1])).search(script, at + 2)
            if end is None:
                raise UnknownLineError("a here-string that does not end")
            inner = script[at + 2 : end.start()].partition("\n")[2]
            # As a quoted text of the same kind, whose quotes are doubled.
            letters += two[1] + inner.replace(two[1], two[1] * 2) + two[1]
            at = end.end()
            continue
        letter = script[at]
        if quote:
            if letter == "`" and quote == '"':
                letters += two
                at += 2
                continue
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and (not letters or letters[-1].isspace()):
            at = script.find("\n", at)
            if at < 0:
                break
            continue
        elif letter in ";\n":
            found.append(letters)
            letters = ""
            at += 1
            continue
        letters += letter
        at += 1
    return [each.strip() for each in [*found, letters] if each.strip()]
