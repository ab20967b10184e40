"""A session of transport `winrm`."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from anyio import CapacityLimiter
from pydantic import BaseModel

from galaxy_core import Action, Command, Device, DeviceLostError
from galaxy_core.extension.adapter.marks import run_of
from galaxy_core.extension.adapter.sources import Sources, files_root
from galaxy_core.extension.interfaces import Attempt, Outcome, Refused
from galaxy_core.extension.models import validated, with_paths
from galaxy_core.extension.redaction import secrets_in
from galaxy_core_winrm import powershell, quoting
from galaxy_core_winrm.actions import PowerShell, Pull, Push
from galaxy_core_winrm.facts import ask_facts, ask_whether_it_lives
from galaxy_core_winrm.faults import HostError, NotSentError
from galaxy_core_winrm.files import Files
from galaxy_core_winrm.host import Host, Input
from galaxy_core_winrm.markers import Markers
from galaxy_core_winrm.running import Asked, Caps, in_lines, run
from galaxy_core_winrm.settings import WinrmSettings
from galaxy_core_winrm.shells import Place

#: Threads of one session for files on this machine.
FILE_THREADS = 4
#: As base64 in a message, again as base64, that stays below 150 KiB.
SCRIPT_PIECE_BYTES = 45 << 10
_log = logging.getLogger(__name__)
_ABSOLUTE = re.compile(r"[A-Za-z]:[\\/]|[\\/]|%")


class WinrmSession:
    """Runs commands on one host. `facts` is filled by `connect`."""

    def __init__(self, device: Device, settings: WinrmSettings, host: Host) -> None:
        self.facts: Mapping[str, str] = {}
        self._device = device
        self._settings = settings
        self._host = host
        self._env = {name: value.get_secret_value() for name, value in settings.env.items()}
        self._caps = Caps(settings.output_cap_bytes, settings.artifact_cap_bytes, _masked(device, self._env))
        self._threads = CapacityLimiter(FILE_THREADS)
        self._unmarked: set[str] = set()  # attempts under way that leave no marker
        self.markers = Markers(
            host, device.device_id, (settings.endpoint, settings.username), settings.powershell, SCRIPT_PIECE_BYTES
        )

    async def connect(self) -> None:
        """Make sure that the host answers and takes us, and ask what it is.

        Raises:
            DeviceLostError: it does not.
        """
        try:
            await self._host.shells.pay()
            await ask_whether_it_lives(self._host)
        except HostError as error:
            raise DeviceLostError(self._device.device_id, f"its host {self._settings.endpoint}: {error}") from error
        self.facts = await ask_facts(self._host, self._settings.powershell, self._settings.root)
        self.markers.can = "powershell" in self.facts

    async def probe(self) -> Mapping[str, str]:
        """Facts about the host, which has just answered."""
        await self._pay()
        await self._host.shells.thin()
        await ask_whether_it_lives(self._host)
        return self.facts

    async def execute(self, attempt: Attempt, /) -> Outcome:
        try:
            await self._pay()
        except NotSentError as error:
            raise DeviceLostError(self._device.device_id, str(error)) from error
        except HostError as error:
            debts = self._host.shells.debts
            if debts.running:
                return Refused(
                    f"a command that was to be stopped may still run on the host, and cannot be ended: {error}"
                )
            _log.info("left on the host for now: %s (%s)", debts, error)
        if self.markers.are_left_by(attempt):
            await self.markers.expect(run_of(attempt.mark))
        request = attempt.request
        if isinstance(request, Action):
            return await self._act(attempt, request)
        if not isinstance(request, Command):
            return Refused(f"transport 'winrm' takes commands and actions, not {type(request).__name__}")
        try:
            asked = self._asked(attempt, request)
        except ValueError as error:
            return Refused(str(error))
        return await self._run(attempt, asked)

    async def _run(self, attempt: Attempt, asked: Asked) -> Outcome:
        if asked.outlives is None:  # also when a trial succeeds meanwhile: nobody could ask about it later
            self._unmarked.add(attempt.mark)
        try:
            return await run(self._host, attempt, asked, self._caps, self._threads)
        finally:
            self._unmarked.discard(attempt.mark)

    async def expect(self, run_mark: str, /) -> None:
        """See `SessionThatSettles`."""
        await self.markers.expect(run_mark)

    async def settle(self, attempt: Attempt, /) -> Outcome:
        """See `SessionThatSettles.settle`."""
        return await self.markers.settle(attempt)

    async def stop(self, attempt: Attempt, /) -> None:
        """See `SessionThatSettles.stop`."""
        await self.markers.stop(attempt)

    def lets_go(self, attempt: Attempt, /) -> bool:
        """See `SessionThatSettles`."""
        return self.markers.works and self.markers.are_left_by(attempt) and attempt.mark not in self._unmarked

    def release(self, mark: str, /) -> None:
        """See `SessionThatSettles.release`."""
        self.markers.release(mark)

    async def _pay(self) -> None:
        debts = self._host.shells.debts
        if debts:
            await self._host.shells.pay()
        if debts.parts:
            await self._files.sweep(debts)

    @property
    def _files(self) -> Files:
        settings = self._settings
        root = str(self.facts.get("root", settings.root))
        return Files(self._host, settings.powershell, root, settings.allow_any_path, self._threads)

    # ------------------------------------------------------------------------------------------------------ commands
    def _asked(self, attempt: Attempt, command: Command) -> Asked:
        """
        Raises:
            ValueError: there is no way of passing that to Windows.
        """
        place = Place.of(self._folder(command.cwd), self._environment(command.env))
        stdin = None if command.stdin is None else str(command.stdin).encode()
        if command.shell is not None:
            # cmd.exe cannot be told where its input comes from without taking the text apart: it is closed.
            line = quoting.shell_line(command.shell)
            if self.markers.works and self.markers.are_left_by(attempt):
                return self.markers.asked(attempt.mark, *_by_cmd(line), stdin or b"", place)
            return Asked(quoting.marked(attempt.mark, line), place, Input(stdin or b""))
        words = [str(word) for word in command.argv or ()]
        direct = quoting.through_cmd(words)
        if self.markers.works and self.markers.are_left_by(attempt):
            # As without a marker, because cmd.exe finds more than CreateProcess does: batch files, its own commands.
            if direct is None:
                started = quoting.without_cmd(words)
            else:
                started = _by_cmd(direct + quoting.NO_INPUT if stdin is None else direct)
            return self.markers.asked(attempt.mark, *started, stdin or b"", place)
        if direct is None:
            return self._without_cmd(attempt, words, place, stdin or b"")
        if stdin is None:
            return Asked(quoting.marked(attempt.mark, direct + quoting.NO_INPUT), place)
        return Asked(quoting.marked(attempt.mark, direct), place, Input(stdin))

    def _without_cmd(self, attempt: Attempt, words: list[str], place: Place, stdin: bytes) -> Asked:
        program, arguments = quoting.without_cmd(words)
        parameters = {"mark": attempt.mark, "program": program, "arguments": arguments}
        first = powershell.payload(powershell.script("run"), parameters)
        more = in_lines(stdin, SCRIPT_PIECE_BYTES)
        return Asked(
            quoting.marked(attempt.mark, powershell.line(self._settings.powershell)),
            place,
            Input(first, more if stdin else None),
            not_started=f"galaxy: not started {attempt.mark}: ",
        )

    def _environment(self, own: Mapping[str, object]) -> dict[str, str]:
        """A task's own variables win, however they are written: Windows takes Path and PATH for the same."""
        variables = quoting.environment({name: str(value) for name, value in own.items()})
        taken = {name.upper() for name in variables}
        return {name: value for name, value in self._env.items() if name.upper() not in taken} | variables

    def _folder(self, cwd: object) -> str | None:
        if cwd is None:
            return None
        text = quoting.check_xml(str(cwd), "the folder")
        if _ABSOLUTE.match(text):
            return text
        return f"{self.facts.get('root', self._settings.root)}\\{text}"

    # ------------------------------------------------------------------------------------------------------- actions
    async def _act(self, attempt: Attempt, action: Action) -> Outcome:
        models: dict[str, type[BaseModel]] = {"powershell": PowerShell, "push": Push, "pull": Pull}
        model = models.get(action.name)
        if model is None:
            return Refused(f"transport 'winrm' has no action {action.name!r}; there are: {', '.join(models)}")
        asked, problems = validated(model, _thawed(action.arguments))
        if problems:
            each = "; ".join(f"{path}: {text}" if path else text for path, text in with_paths(problems))
            return Refused(f"action {action.name!r}: {each}")
        if isinstance(asked, PowerShell):
            return await self._script(attempt, asked)
        sources = Sources(attempt, files_root(self._device.folder, self._settings.files_root))
        if isinstance(asked, Push):
            return await self._files.push(attempt, asked, sources)
        assert isinstance(asked, Pull)
        return await self._files.pull(attempt, asked, sources)

    async def _script(self, attempt: Attempt, wanted: PowerShell) -> Outcome:
        try:
            first = powershell.payload(wanted.script, wanted.parameters)
            asked = self._asked_of_powershell(attempt, first, Place.of(None, self._env))
        except ValueError as error:
            return Refused(str(error))
        return await self._run(attempt, asked)

    def _asked_of_powershell(self, attempt: Attempt, first: bytes, place: Place) -> Asked:
        program = self._settings.powershell
        if self.markers.works and self.markers.are_left_by(attempt):
            arguments = powershell.line(program).removeprefix(f"{program} ")
            return self.markers.asked(attempt.mark, program.strip('"'), arguments, first, place, is_script=True)
        return Asked(quoting.marked(attempt.mark, powershell.line(program)), place, Input(first), is_script=True)


def _by_cmd(line: str) -> tuple[str, str]:
    """The program and its arguments that run a line as WinRM does; with /s, cmd.exe takes away these two quotes, and no other."""
    return "cmd.exe", f'/s /c "{line}"'


def _masked(device: Device, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Values that the inventory holds by reference. What it says in clear is no secret."""
    return tuple(secrets_in({"env": device.settings.get("env", {})}, {"env": variables}))


def _thawed(value: object) -> object:
    """What pydantic and JSON take: the arguments of an action are read-only."""
    if isinstance(value, Mapping):
        return {key: _thawed(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_thawed(each) for each in value]
    return value
