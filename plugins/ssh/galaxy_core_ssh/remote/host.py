"""One device over there: its links, what is owed to it, and the attempts that it runs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from anyio import CancelScope, Event, Lock, get_cancelled_exc_class, move_on_after

from galaxy_core import Action, Command, Device
from galaxy_core.errors import DeviceLostError
from galaxy_core.extension.adapter import marks
from galaxy_core.extension.adapter.fetched import command_of
from galaxy_core.extension.adapter.posix import kill_script
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core.extension.models import validated, with_paths
from galaxy_core.extension.redaction import secrets_in
from galaxy_core_ssh.bridge import Bridge
from galaxy_core_ssh.remote.attempts import CommandAttempt, pull, push
from galaxy_core_ssh.remote.channel import ChannelRefusedError
from galaxy_core_ssh.remote.command import STOP_S
from galaxy_core_ssh.remote.faults import LinkLostError
from galaxy_core_ssh.remote.helper import facts_of
from galaxy_core_ssh.remote.link import Link
from galaxy_core_ssh.requests import Pull, Push
from galaxy_core_ssh.settings import SshSettings

#: How long a host may take to end what an attempt has left, and to answer a probe.
ANSWER_S = 5.0
#: The same, when the session is closed anyway.
LAST_S = 1.0
#: Devices of which old markers were removed by this process.
_SWEPT: set[str] = set()

_log = logging.getLogger(__name__)


class Host:
    """Links to one host. `debts` holds, by name, texts that end what attempts have left there, and outlives the session."""

    def __init__(self, device: Device, settings: SshSettings, bridge: Bridge, debts: dict[str, str]) -> None:
        self.device = device
        self.settings = settings
        self.bridge = bridge
        self.debts = debts
        self.folder = Path(device.folder or "").absolute()
        self.secrets = _secrets(device, settings)
        self.facts: dict[str, str] = {}
        self.root = settings.root
        self.is_posix = False
        self.released = marks.Released(marks.FOLDER)
        self._links: list[Link] = []
        self._dead: list[Link] = []  # lost, and not yet closed
        self._dialing = Lock()
        self._paying = Lock()
        self._lost = Event()
        self._why_lost = ""

    async def open(self) -> None:
        """Connect, learn about the host, and end what earlier sessions have left there.

        Raises:
            DeviceLostError: that is not possible.
        """
        link = await self._connect()
        said = link.helper.facts
        if said.get("problem") == "root" or not said.get("root", "").startswith("/"):
            await self.close()
            why = f"its working folder {self.settings.root!r} can neither be made nor entered by user {said.get('user')!r}"
            raise DeviceLostError(self.device.device_id, f"{why}; change its setting 'root'")
        self.root, self.is_posix = said["root"], link.is_posix
        self.released = marks.Released(f"{self.root.rstrip('/')}/{marks.FOLDER}")
        if self.device.device_id not in _SWEPT:
            _SWEPT.add(self.device.device_id)
            await link.answer(marks.sweep_script(self.released.folder), ANSWER_S)
        self.facts = facts_of(said, link.version)
        try:
            await self._pay(link)
        except LinkLostError as error:
            await self.close()
            raise DeviceLostError(self.device.device_id, str(error)) from error

    async def close(self) -> None:
        """End all links. Does not stop for cancellation."""
        with CancelScope(shield=True):
            if self.debts and self._links:
                # What cannot be paid now stays known, for the next session.
                with move_on_after(LAST_S), suppress(LinkLostError):
                    await self._pay(self._links[0])
            if self._links and (script := self.released.last()):
                await self._links[0].answer(script, LAST_S)
            links, self._links = self._links, []
            for link in links:
                await link.close()
            await self._bury()

    async def until_lost(self) -> str:
        """Wait until there is no link any more; returns why."""
        await self._lost.wait()
        return self._why_lost

    async def probe(self) -> Mapping[str, str]:
        """Have the host answer, on every link.

        Raises:
            LinkLostError: one does not.
        """
        for link in list(self._links):
            await self._pay(link)
            if await link.answer(":", ANSWER_S) is None:
                why = link.why_lost or f"the host did not answer within {ANSWER_S:g} s"
                link.cut(why)
                raise LinkLostError(why)
        if not self._links:
            raise LinkLostError(self._why_lost)
        return dict(self.facts)

    async def execute(self, attempt: Attempt) -> Outcome:
        """Run one attempt; see `Session.execute`."""
        try:
            async with self.borrowed() as link:
                if self.debts:
                    await self._pay(link)
                outcome = await self._run(attempt, link)
                if not (isinstance(outcome, Refused) and attempt.progress == "new" and link.room < link.used):
                    return outcome
            async with self.borrowed() as link:  # the host has fewer channels than we thought: on another connection
                return await self._run(attempt, link)
        except (DeviceLostError, LinkLostError, ChannelRefusedError) as error:
            if attempt.progress == "new":
                return Refused(str(error))
            return Unknown(str(error))

    # ------------------------------------------------------------------------------------------- settling
    def leading(self, attempt: Attempt, stdin_bytes: int | None) -> list[str]:
        """The words that have a command leave its marker; none, if it leaves none."""
        if not marks.is_marked(attempt):
            return []
        self.released.used(attempt.mark)
        return marks.leading(marks.marker(self.released.folder, attempt.mark), stdin_bytes)

    async def expect(self, run_mark: str) -> None:
        """See `SessionThatSettles`."""
        try:
            async with self.borrowed() as link:
                await self.expect_on(link, run_mark)
        except LinkLostError as error:
            raise DeviceLostError(self.device.device_id, str(error)) from error

    async def expect_on(self, link: Link, run_mark: str) -> None:
        """See `expect`; nothing, if the host was told before.

        Raises:
            LinkLostError: there was no answer.
        """
        settings = self.settings
        where = (settings.host, str(settings.port), settings.username, self.released.folder)
        if not marks.EXPECTED.has(run_mark, *where):
            self.released.used(f"{run_mark}-0")
            await link.helper.run(marks.expect_script(self.released.folder, run_mark))
            marks.EXPECTED.note(run_mark, *where)

    async def settle(self, attempt: Attempt) -> Outcome:
        """See `SessionThatSettles.settle`."""
        if not marks.is_marked(attempt):
            return Unknown("it has left no marker on the host: only commands do")
        script = marks.settle_script(self.released.folder, attempt.mark)
        self.released.used(attempt.mark)
        try:
            async with self.borrowed() as link:
                while True:
                    _, said = await link.helper.run(script)
                    outcome = marks.settled(said)
                    if outcome is not None:
                        outcome = await self._with_output(link, attempt, outcome, marks.kept(said))
                        if marks.is_past(said):
                            return marks.without_outputs(attempt, outcome, marks.PAST)
                        return await self._with_files(link, attempt, outcome)
        except LinkLostError as error:
            raise DeviceLostError(self.device.device_id, str(error)) from error
        except get_cancelled_exc_class():  # whatever else keeps us from asking is no reason to stop it
            if attempt.is_let_go:
                attempt.partial = Unknown(marks.LET_GO)
            elif not isinstance(attempt.partial, Completed):  # else it has ended, and its files were being fetched
                await self.stop(attempt)
            raise

    async def _with_files(self, link: Link, attempt: Attempt, outcome: Outcome) -> Outcome:
        """With what it was to leave, and whoever ran it did not fetch. Cancelled meanwhile, it leaves its end in `partial`."""
        command = command_of(attempt)
        if not isinstance(outcome, Completed) or command is None or not command.outputs:
            return outcome
        return await CommandAttempt(self, link, attempt, command).settled(outcome)

    async def _with_output(self, link: Link, attempt: Attempt, outcome: Outcome, kept: str | None) -> Outcome:
        """On a channel of its own: it may be more than a helper says. When the host opens none, the end has to do."""
        if kept is None:
            return outcome
        try:
            said = await link.said(marks.output_script(self.released.folder, attempt.mark), 2 * marks.KEPT_BYTES)
        except ChannelRefusedError:
            return outcome
        stdout, stderr = (marks.output_in(one) for one in said)
        cap, whole = self.settings.output_cap_bytes, kept == "whole"
        return marks.recovered(outcome, stdout, stderr, whole=whole, cap_bytes=cap, secrets=self.secrets)

    async def stop(self, attempt: Attempt) -> None:
        """See `SessionThatSettles.stop`."""
        mark, why = attempt.mark, f"the host did not confirm within {STOP_S:g} s that its processes have ended"
        fence = marks.fence_script(self.released.folder, mark) if marks.is_marked(attempt) else ""
        text = fence + kill_script(mark, self.settings.kill_grace_s)
        with CancelScope(shield=True), move_on_after(STOP_S):
            try:
                async with self.borrowed() as link:
                    code, said = await link.helper.run(text)
                if code == 0:
                    attempt.partial = None
                    return
                why = f"processes {said} could not be ended" if code == 1 else "its processes could not be looked for"
            except (LinkLostError, DeviceLostError) as error:
                why = str(error)
        self.debts[mark] = kill_script(mark, self.settings.kill_grace_s)
        attempt.partial = Unknown(why)

    async def _run(self, attempt: Attempt, link: Link) -> Outcome:
        request = attempt.request
        if isinstance(request, Command):
            return await CommandAttempt(self, link, attempt, request).run()
        if isinstance(request, Action) and request.name in ("push", "pull"):
            asked, problems = validated(Push if request.name == "push" else Pull, dict(request.arguments))
            if problems:
                each = "; ".join(f"{path}: {text}" if path else text for path, text in with_paths(problems))
                return Refused(f"action {request.name!r}: {each}")
            return await (push if request.name == "push" else pull)(self, link, attempt, asked)
        what = f"action {request.name!r}" if isinstance(request, Action) else type(request).__name__
        return Refused(f"transport 'ssh' takes commands, 'push' and 'pull', not {what}")

    # ------------------------------------------------------------------------------------------- links
    @asynccontextmanager
    async def borrowed(self) -> AsyncIterator[Link]:
        """A link that has a channel left, an old one or a new one.

        Raises:
            DeviceLostError: another one is needed and cannot be had.
        """
        link = self._free()
        if link is None:
            async with self._dialing:  # one at a time: servers drop those who come in crowds
                link = self._free() or await self._connect()
        link.used += 1
        try:
            yield link
        finally:
            link.used -= 1

    def _free(self) -> Link | None:
        return next((link for link in self._links if link.used < link.room and link.why_lost is None), None)

    async def _connect(self) -> Link:
        await self._bury()
        link = Link(self.settings)
        try:
            await link.open(self.device.device_id, self.folder, self.settings.root, self._on_lost)
        except DeviceLostError as error:
            if not self._links:
                self._is_lost(error.why)
            raise
        if link.why_lost is not None:
            await link.close()
            raise DeviceLostError(self.device.device_id, link.why_lost)
        self._links.append(link)
        return link

    async def _bury(self) -> None:
        while self._dead:
            await self._dead.pop().close()

    def _on_lost(self, link: Link) -> None:
        """One of its connections has ended; there may be others, to hosts on the way."""
        if link in self._links:
            self._links.remove(link)
            self._dead.append(link)
            link.cut(link.why_lost or "the connection was lost")
            if not self._links:
                self._is_lost(link.why_lost or "the connection was lost")

    def _is_lost(self, why: str) -> None:
        if not self._lost.is_set():
            self._why_lost = why
            self._lost.set()

    # ------------------------------------------------------------------------------------------- debts
    async def _pay(self, link: Link) -> None:
        """End what attempts have left.

        Raises:
            LinkLostError: the host does not say that it has.
        """
        async with self._paying:
            for name, text in list(self.debts.items()):
                answer = await link.answer(text, ANSWER_S)
                if answer is None:
                    why = f"the host did not answer within {ANSWER_S:g} s when it was to end what an earlier attempt had left"
                    link.cut(why)
                    raise LinkLostError(link.why_lost or why)
                self.debts.pop(name, None)
                if answer[0] == 1:
                    _log.warning(
                        "host %s: left by attempt %s and not to be ended: %s", self.device.device_id, name, answer[1]
                    )


def _secrets(device: Device, settings: SshSettings) -> list[str]:
    """Values that the inventory holds by reference, as far as a command may print them."""
    env = {name: value.get_secret_value() for name, value in settings.env.items()}
    texts: dict[str, object] = {"env": env}
    for name, secret in (("password", settings.password), ("passphrase", settings.passphrase)):
        if secret is not None:
            texts[name] = secret.get_secret_value()
    return list(secrets_in({name: value for name, value in device.settings.items() if name in texts}, texts))
