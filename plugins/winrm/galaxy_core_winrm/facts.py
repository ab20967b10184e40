"""What a host tells about itself, and whether it lives."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping
from typing import Any

from anyio import move_on_after
from attrs import define, field

from galaxy_core_winrm import powershell, quoting
from galaxy_core_winrm.faults import HostError, NoAnswerError, shown
from galaxy_core_winrm.host import Host, Input, LostError, NotStartedError, Run
from galaxy_core_winrm.shells import Place

#: Longest time for asking what a host is; one that runs no PowerShell is used without that.
FACTS_S = 30.0
#: Most of what is read of an answer to a question of ours.
ANSWER_CAP_BYTES = 64 << 10
_KNOWN = (
    "windows", "windows_version", "hostname", "domain", "architecture", "cpu_count", "powershell", "user", "root",
)  # fmt: skip

_log = logging.getLogger(__name__)


@define
class Silent:
    """Nobody is told how far a command of ours has come."""

    is_let_go = False

    def sent(self) -> None: ...

    def acknowledged(self) -> None: ...


@define
class Answer:
    """What a short command of ours has said."""

    exit_code: int = -1
    stdout: bytearray = field(factory=bytearray)
    stderr: bytearray = field(factory=bytearray)

    async def hear(self, stdout: bytes, stderr: bytes) -> None:
        self.stdout += stdout[: ANSWER_CAP_BYTES - len(self.stdout)]
        self.stderr += stderr[: ANSWER_CAP_BYTES - len(self.stderr)]


async def ask(host: Host, line: str, stdin: Input | None = None) -> Answer:
    """Run a short command of ours.

    Raises:
        HostError: it did not come to its end.
    """
    answer = Answer()
    marked = quoting.marked(f"galaxy-{secrets.token_hex(8)}", line)
    try:
        answer.exit_code = await Run(host, marked, Place(), Silent(), answer.hear, stdin).to_its_end()
    except (NotStartedError, LostError) as error:
        # What the host said is told as it is: an unknown user stays one.
        raise error.__cause__ if isinstance(error.__cause__, HostError) else NoAnswerError(str(error)) from error
    return answer


async def ask_script(host: Host, program: str, name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object that a script of ours prints.

    Raises:
        HostError: it did not come to its end, or printed something else.
    """
    first = powershell.payload(powershell.script(name), parameters)
    answer = await ask(host, powershell.line(program), Input(first))
    try:
        found = json.loads(answer.stdout.decode("utf-8"))
    except ValueError as error:
        said = shown((answer.stderr or answer.stdout).decode("utf-8", "replace"))
        raise NoAnswerError(
            f"its PowerShell did not do what it was told (exit code {answer.exit_code}): {said}"
        ) from error
    if not isinstance(found, dict):
        raise NoAnswerError("its PowerShell answered with something else than was asked for")
    return found


async def ask_whether_it_lives(host: Host) -> None:
    """Run the least of all commands.

    Raises:
        HostError: it does not.
    """
    answer = await ask(host, "echo galaxy" + quoting.NO_INPUT)
    if answer.stdout.strip() != b"galaxy":
        raise NoAnswerError(f"its cmd.exe does not do what it is told: {shown(bytes(answer.stderr or answer.stdout))}")


async def ask_facts(host: Host, program: str, root: str) -> dict[str, str]:
    """Facts about the host; few when it runs no PowerShell."""
    found: dict[str, Any] = {}
    try:
        with move_on_after(FACTS_S):
            found = await ask_script(host, program, "facts", {"root": root})
    except HostError as error:
        _log.warning("the host tells nothing about itself: %s", error)
    facts = {name: shown(found[name]) for name in _KNOWN if found.get(name)}
    return {
        "platform": " ".join(facts.get(name, "") for name in ("windows", "windows_version")).strip() or "Windows",
        **facts,
    }
