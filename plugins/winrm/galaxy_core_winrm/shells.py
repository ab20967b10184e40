"""Shells on a host: created when they are needed, used again, replaced before the host's quotas bite, never leaked."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from secrets import token_hex

from anyio import CancelScope, Lock, Semaphore, current_time, move_on_after
from attrs import define, field, frozen

from galaxy_core_winrm.conversations import Conversation, Conversations
from galaxy_core_winrm.debts import LOOKS, Debts
from galaxy_core_winrm.faults import TOO_MANY_SHELLS, FaultError, HostError, NotSentError, RefusedByHostError
from galaxy_core_winrm.protocol import WinrmProtocol

#: A shell that nobody uses is deleted by the host after so long, should we not come to it.
IDLE_TIMEOUT_S = 900

_log = logging.getLogger(__name__)


@frozen
class Place:
    """Where commands of a shell start: WinRM fixes folder and environment with the shell."""

    cwd: str | None = None
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # may hold secrets

    @classmethod
    def of(cls, cwd: str | None, env: Mapping[str, str]) -> Place:
        return cls(cwd, tuple(sorted(env.items())))


@define(eq=False)
class Shell:
    """A shell of ours on the host; `used` counts the commands it has run."""

    shell_id: str
    place: Place
    used: int = 0
    idle_since: float = 0.0


@define
class Shells:
    """At most `limit` shells, each for one command at a time; a command borrows one and gives it back.

    `device_id` is only for what people are told.
    """

    conversations: Conversations
    debts: Debts
    limit: int
    commands_per_shell: int
    idle_s: float
    device_id: str
    _idle: list[Shell] = field(factory=list, init=False)
    _out: set[Shell] = field(factory=set, init=False)
    _slots: Semaphore = field(init=False)
    _paying: Lock = field(factory=Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self._slots = Semaphore(self.limit)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._idle) + len(self._out)

    async def borrow(self, place: Place, conversation: Conversation) -> Shell:
        """A shell at that place that nobody else uses. Waits until there may be another one.

        Raises:
            HostError: there is none to be had.
        """
        await self._slots.acquire()
        try:
            shell = next((each for each in reversed(self._idle) if each.place == place), None)
            if shell is None:
                if self.count >= self.limit:
                    await self._delete(self._idle.pop(0), conversation)
                shell = await self._create(place, conversation)
            else:
                self._idle.remove(shell)
        except BaseException:
            self._slots.release()
            raise
        self._out.add(shell)
        return shell

    async def give_back(self, shell: Shell, command_id: str, conversation: Conversation) -> None:
        """The command has ended: tidy up after it, and keep the shell if it is good for another one.

        Raises:
            HostError: the host did not confirm it; the shell has become a debt.
        """
        shell.used += 1
        try:
            if shell.used >= self.commands_per_shell:
                await conversation.ask(WinrmProtocol.delete, shell.shell_id)
            else:
                await conversation.ask(WinrmProtocol.terminate, shell.shell_id, command_id)
                shell.idle_since = current_time()
                self._idle.append(shell)
        except BaseException:
            # Not before: other commands pay debts meanwhile, and would delete a shell that is still good.
            self.debts.shells.add(shell.shell_id)
            raise
        finally:
            self._forget(shell)

    def lose(self, shell: Shell, *, may_run: bool) -> None:
        """Nobody knows what is in it: it is to be deleted, before anything else is done if something may run there."""
        self.debts.shells.add(shell.shell_id)
        if may_run:
            self.debts.running.add(shell.shell_id)
        self._forget(shell)

    def leave(self, shell: Shell, mark: str) -> None:
        """The attempt with that mark may be at work in it, and goes on."""
        self.debts.leave(mark, shell.shell_id)
        self._forget(shell)

    def _forget(self, shell: Shell) -> None:
        if shell in self._out:
            self._out.remove(shell)
            self._slots.release()

    async def _create(self, place: Place, conversation: Conversation) -> Shell:
        try:
            return await self._create_once(place, conversation)
        except FaultError as error:
            if error.code != TOO_MANY_SHELLS or not self._idle:
                raise
        while self._idle:
            await self._delete(self._idle.pop(0), conversation)
        return await self._create_once(place, conversation)

    async def _create_once(self, place: Place, conversation: Conversation) -> Shell:
        name = f"galaxy-{token_hex(16)}"
        try:
            shell_id = await conversation.ask(WinrmProtocol.create, name, place.cwd, dict(place.env), IDLE_TIMEOUT_S)
        except (NotSentError, RefusedByHostError):
            raise
        except BaseException:
            self.debts.names[name] = LOOKS
            raise
        return Shell(shell_id, place)

    async def _delete(self, shell: Shell, conversation: Conversation) -> None:
        try:
            await conversation.ask(WinrmProtocol.delete, shell.shell_id)
        except BaseException:
            self.debts.shells.add(shell.shell_id)
            raise

    async def pay(self) -> None:
        """Delete what was left behind.

        Raises:
            HostError: the host does not confirm it.
        """
        if not (self.debts.shells or self.debts.names):
            return
        async with self._paying, self.conversations.one() as conversation:
            if self.debts.names:
                await self._look(conversation)
            for shell_id in sorted(self.debts.shells):
                try:
                    await conversation.ask(WinrmProtocol.delete, shell_id)
                except FaultError as error:  # it was said, and there is no more to be done
                    _log.warning("device %r: shell %s could not be deleted: %s", self.device_id, shell_id, error)
                self.debts.settled(shell_id)
        if not self.debts:
            self.debts.told = ""

    async def _look(self, conversation: Conversation) -> None:
        """Shells whose creation was not answered are known by their names."""
        sought = set(self.debts.names)
        try:
            found = await conversation.ask(WinrmProtocol.shells)
        except RefusedByHostError as error:
            _log.warning(
                "device %r: its host does not list its shells (%s); one that is lost ends after %s s",
                self.device_id,
                error,
                IDLE_TIMEOUT_S,
            )
            found = {}
        for shell_id, name in found.items():
            if name in sought:
                self.debts.shells.add(shell_id)
                self.debts.names.pop(name, None)
        for name in sought & set(self.debts.names):
            self.debts.names[name] -= 1
            if self.debts.names[name] <= 0:
                del self.debts.names[name]

    async def thin(self) -> None:
        """Give shells back that nobody has used for a while.

        Raises:
            HostError: the host does not confirm it; they have become debts.
        """
        latest = current_time() - self.idle_s
        old = [shell for shell in self._idle if shell.idle_since < latest]
        for shell in old:
            self._idle.remove(shell)
            self.debts.shells.add(shell.shell_id)
        if old:
            await self.pay()

    async def aclose(self, within_s: float) -> None:
        """Delete all. Does not stop for cancellation, and takes `within_s` at most; what is left stays in `debts`."""
        self.debts.shells.update(shell.shell_id for shell in (*self._idle, *self._out))
        self._idle.clear()
        with CancelScope(shield=True), move_on_after(within_s):
            try:
                await self.pay()
            except HostError as error:
                self._tell(error)

    def _tell(self, error: HostError) -> None:
        """Warn of what is left, but of the same only once: a device that stays away is tried every few seconds."""
        left = str(self.debts)
        if left == self.debts.told:
            return
        self.debts.told = left
        _log.warning("device %r: left on its host until it can be reached again: %s (%s)", self.device_id, left, error)
