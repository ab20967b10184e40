"""A session of transport `adb`: each attempt is a conversation of its own with the server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from anyio import CancelScope, CapacityLimiter, Event, get_cancelled_exc_class, move_on_after
from attrs import define, field

from galaxy_core import Action, Command, Device
from galaxy_core.errors import DeviceLostError
from galaxy_core.extension.adapter import marks
from galaxy_core.extension.adapter.fetched import Fetched, command_of
from galaxy_core.extension.adapter.sources import Sources
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core_adb.actions import perform
from galaxy_core_adb.commands import run_command
from galaxy_core_adb.exchange import Exchange
from galaxy_core_adb.failures import AdbFailureError, ServerGoneError
from galaxy_core_adb.forwarding import take_back
from galaxy_core_adb.link import Link
from galaxy_core_adb.settings import AdbSettings
from galaxy_core_adb.texts import name_of_state
from galaxy_core_adb.tracker import Seen

#: Worker threads of one session: for files.
THREADS = 4
#: How long removing markers may take at the end of a session; what stays is removed by its age.
TIDY_S = 1.0


@define
class Place:
    """How the device was listed when the session began; `absences` counts actions that make it go away for a while."""

    version: tuple[int, int]
    absences: int = 0
    _over: Event | None = None

    @contextmanager
    def absence(self) -> Iterator[None]:
        """While the device may be away without being lost."""
        self.absences += 1
        try:
            yield
        finally:
            self.absences -= 1
            if not self.absences and self._over is not None:
                self._over.set()
                self._over = None

    async def until_present(self) -> None:
        """Wait until no action makes it go away any more."""
        while self.absences:
            if self._over is None:
                self._over = Event()
            await self._over.wait()


@define
class AdbSession:
    """Runs commands on one device. Holds nothing open between attempts, but ports that an action has forwarded.

    `files_root` is that of the settings, absolute. `masked` are not shown in any output.
    """

    device: Device
    settings: AdbSettings
    link: Link
    facts: Mapping[str, str]
    place: Place
    files_root: Path
    masked: tuple[str, ...] = ()
    forwards: list[tuple[int, int]] = field(factory=list)
    threads: CapacityLimiter = field(factory=lambda: CapacityLimiter(THREADS))
    released: marks.Released = field(init=False)

    @released.default
    def _nothing_released(self) -> marks.Released:
        return marks.Released(marks_folder(self.settings.root))

    def leading(self, attempt: Attempt, stdin_bytes: int | None) -> list[str]:
        """The words that have a command leave its marker; none, if it leaves none."""
        if not marks.is_marked(attempt):
            return []
        self.released.used(attempt.mark)
        return marks.leading(marks.marker(self.released.folder, attempt.mark), stdin_bytes, "sh")

    async def execute(self, attempt: Attempt, /) -> Outcome:
        request = attempt.request
        while True:
            # A device that another attempt restarts is not lost: to say so would end the session, and that attempt with it.
            await self.place.until_present()
            try:
                await self.link.pay()
                if isinstance(request, Command):
                    return await run_command(self, attempt, request)
                if isinstance(request, Action):
                    return await perform(self, attempt, request)
                break
            except AdbFailureError as error:  # before anything was sent
                if not self.place.absences:
                    raise DeviceLostError(self.device.device_id, str(error)) from error
        return Refused(f"transport 'adb' takes commands and actions, not {type(request).__name__}")

    async def expect(self, run_mark: str, /) -> None:
        """See `SessionThatSettles`."""
        try:
            await self.expect_once(run_mark)
        except AdbFailureError as error:
            raise DeviceLostError(self.device.device_id, str(error)) from error

    async def expect_once(self, run_mark: str) -> None:
        """See `expect`; nothing, if the device was told before.

        Raises:
            AdbFailureError: nobody knows whether it has heard.
        """
        where = (str(self.settings.server_port), self.link.serial, self.released.folder)
        if not marks.EXPECTED.has(run_mark, *where):
            self.released.used(f"{run_mark}-0")
            await self.link.run(marks.expect_script(self.released.folder, run_mark))
            marks.EXPECTED.note(run_mark, *where)

    async def settle(self, attempt: Attempt, /) -> Outcome:
        """See `SessionThatSettles.settle`."""
        if not marks.is_marked(attempt):
            return Unknown("it has left no marker on the device: only commands do")
        script = marks.settle_script(self.released.folder, attempt.mark)
        self.released.used(attempt.mark)
        while True:
            try:
                await self.place.until_present()
                outcome = await self._became(attempt, script)
            except AdbFailureError as error:
                if not self.place.absences:
                    raise DeviceLostError(self.device.device_id, str(error)) from error
                continue
            except get_cancelled_exc_class():  # whatever else keeps us from asking is no reason to stop it
                if attempt.is_let_go:
                    attempt.partial = Unknown(marks.LET_GO)
                elif not isinstance(attempt.partial, Completed):  # else it has ended, and its files were being fetched
                    await self.stop(attempt)
                raise
            if outcome is not None:
                return outcome

    async def _became(self, attempt: Attempt, script: str) -> Outcome | None:
        """What became of it, with what it has said and left; None: it still runs. Raises `AdbFailureError`."""
        said = await self.link.run(script)
        outcome = marks.settled(said.text)
        if outcome is None:
            return None
        outcome = await self._with_output(attempt, outcome, marks.kept(said.text))
        if marks.is_past(said.text):
            return marks.without_outputs(attempt, outcome, marks.PAST)
        command = command_of(attempt)
        if not isinstance(outcome, Completed) or command is None or not command.outputs:
            return outcome
        try:
            exchange = Exchange(self, attempt, command, Sources(attempt, self.files_root))
        except (OSError, ValueError) as error:  # there is no place for them
            return Fetched.nowhere(outcome, command.outputs, error, self.settings.root)
        attempt.partial = outcome
        return await exchange.collect(outcome)

    async def _with_output(self, attempt: Attempt, outcome: Outcome, kept: str | None) -> Outcome:
        if kept is None:
            return outcome
        said = await self.link.run(marks.output_script(self.released.folder, attempt.mark))
        stdout, stderr = marks.output_in(said.stdout), marks.output_in(said.stderr)
        cap, whole = self.settings.output_cap_bytes, kept == "whole"
        return marks.recovered(outcome, stdout, stderr, whole=whole, cap_bytes=cap, secrets=self.masked)

    async def stop(self, attempt: Attempt, /) -> None:
        """See `SessionThatSettles.stop`."""
        folder = self.released.folder if marks.is_marked(attempt) else None
        why = await self.link.end(attempt.mark, folder=folder)
        attempt.partial = None if why is None else Unknown(why)

    def lets_go(self, attempt: Attempt, /) -> bool:
        """See `SessionThatSettles`."""
        return marks.is_marked(attempt)

    def release(self, mark: str, /) -> None:
        """See `SessionThatSettles.release`."""
        self.released.add(mark)

    async def probe(self) -> Mapping[str, str]:
        """Has the device run something: its server lists it even when it is frozen."""
        if not self.place.absences:
            said = await self.link.run("echo galaxy")
            if said.exit_code != 0:
                raise ConnectionError(f"a first word from the device failed: {said.complaint}")
            await self.link.pay()
        return self.facts

    async def until_lost(self) -> str:
        """Until the server does not list it as ready any more, or has seen it go and come back."""
        serial, server = self.link.serial, self.link.server

        def why(devices: Mapping[str, Seen]) -> str | None:
            if self.place.absences:
                return None
            seen = devices.get(serial)
            if seen is None:
                reason = "it is not plugged in any more"
            elif not seen.listed.is_ready:
                reason = f"{name_of_state(seen.listed.state)} (adb: {seen.listed.state})"
            elif seen.version != self.place.version:
                reason = "it was away in between"
            else:
                return None
            server.tried[serial] = seen.version if seen is not None else None
            return reason

        try:
            return await server.tracker.until(why, serial)
        except ServerGoneError as error:
            return str(error)

    async def aclose(self) -> None:
        """Take back forwarded ports and remove markers, if the device can still be asked."""
        if self.forwards:
            await take_back(self)
        if script := self.released.last():
            with CancelScope(shield=True), move_on_after(TIDY_S), suppress(AdbFailureError):
                await self.link.run(script)


def marks_folder(root: str) -> str:
    """Where attempts leave their markers on a device."""
    return f"{root.rstrip('/')}/{marks.FOLDER}"
