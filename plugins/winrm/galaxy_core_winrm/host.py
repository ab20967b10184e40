"""A host that is connected, and one command on it from its start to its end, whichever way it ends."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from anyio import CancelScope, create_task_group, move_on_after
from attrs import define, field

from galaxy_core.extension.adapter.marks import LET_GO
from galaxy_core_winrm.conversations import Conversation, Conversations
from galaxy_core_winrm.faults import (
    WORN_OUT,
    FaultError,
    HostError,
    NoAnswerError,
    NothingYetError,
    RefusedByHostError,
)
from galaxy_core_winrm.protocol import WinrmProtocol
from galaxy_core_winrm.shells import Place, Shell, Shells

#: Time for ending a command on the far side, or for tidying up after it, whoever is in a hurry.
STOP_S = 0.7
#: Longest time for giving everything back when a session is closed in peace.
CLOSE_S = 3.0
#: Longest input that is sent before the first output is asked for. More is sent beside it, on a connection of its own:
#: a program that answers before it has read everything would wait for us, and we for it.
AT_ONCE_BYTES = 4096
#: What is sent at a time; as base64 it fits into a message of 150 KiB, the oldest default of Windows.
PIECE_BYTES = 60 << 10

_log = logging.getLogger(__name__)


class NotStartedError(Exception):
    """The command certainly did not start; says why."""


class LostError(Exception):
    """The command may have started, and nobody knows how it ended; says why."""


class Steps(Protocol):
    """Hears how far a command has come; `Attempt` does."""

    is_let_go: bool

    def sent(self) -> None: ...

    def acknowledged(self) -> None: ...


#: Hears output, standard output and standard error, as it comes. OSError ends the command.
Hear = Callable[[bytes, bytes], Awaitable[None]]


@define
class Input:
    """Standard input: `first`, then what `more` returns, again and again, until that is nothing."""

    first: bytes = b""
    more: Callable[[], Awaitable[bytes]] | None = None
    _sent: int = field(default=0, init=False)

    @property
    def is_small(self) -> bool:
        """Whether it is sent before the first output is asked for."""
        return self.more is None and len(self.first) <= AT_ONCE_BYTES

    async def piece(self) -> bytes:
        """The next piece of it that fits into a message; nothing at the end."""
        if self._sent < len(self.first):
            start, self._sent = self._sent, self._sent + PIECE_BYTES
            return self.first[start : start + PIECE_BYTES]
        return b"" if self.more is None else await self.more()


@define
class Host:
    """What sessions have of one host."""

    conversations: Conversations
    shells: Shells

    async def aclose(self, *, hastily: bool) -> None:
        """Give everything back that can be; `hastily` in the time that stopping takes."""
        try:
            await self.shells.aclose(STOP_S if hastily else CLOSE_S)
        finally:
            self.conversations.close()


@define
class Run:
    """One command. `outlives`: the mark of one that is not ended when its link is lost, because it leaves a marker. `left` says what may still be running, and why, after it was stopped; None when nothing is."""

    host: Host
    line: str
    place: Place
    steps: Steps
    hear: Hear
    stdin: Input | None = None
    outlives: str | None = None
    left: str | None = field(default=None, init=False)
    _input_error: HostError | None = field(default=None, init=False)

    async def to_its_end(self) -> int:
        """Its exit code. When cancelled, ends it first, unless it is let go.

        Raises:
            NotStartedError, LostError: see there.
            OSError, ValueError: of `hear` or of the input; the command was ended.
        """
        conversation = self.host.conversations.take()
        try:
            shell, command_id = await self._start(conversation)
            try:
                exit_code = await self._converse(conversation, shell, command_id)
            except HostError as error:
                await self._part(shell, command_id)
                raise LostError(f"the command was started, and then {error}") from error
            except BaseException:
                await self._break_off(shell, command_id)
                raise
            await self._tidy(shell, command_id, conversation)
        finally:
            self.host.conversations.give_back(conversation)
        return exit_code

    async def _start(self, conversation: Conversation) -> tuple[Shell, str]:
        """Start it, with a new shell if the first one is worn out."""
        try:
            return await self._start_in(await self.host.shells.borrow(self.place, conversation), conversation)
        except FaultError as error:
            if error.code not in WORN_OUT:
                raise NotStartedError(str(error)) from error
        except HostError as error:
            raise NotStartedError(str(error)) from error
        try:
            return await self._start_in(await self.host.shells.borrow(self.place, conversation), conversation)
        except HostError as error:
            raise NotStartedError(str(error)) from error

    async def _start_in(self, shell: Shell, conversation: Conversation) -> tuple[Shell, str]:
        try:
            await conversation.ask(WinrmProtocol.connect)
        except BaseException:
            self.host.shells.lose(shell, may_run=False)
            raise
        self.steps.sent()
        has_stdin = self.stdin is not None
        try:
            command_id = await conversation.ask(WinrmProtocol.command, shell.shell_id, self.line, has_stdin=has_stdin)
        except NoAnswerError as error:
            await self._part(shell, None)
            raise LostError(f"the host was told to start the command, and then {error}") from error
        except HostError:
            self.host.shells.lose(shell, may_run=False)
            await self._repay()
            raise
        except BaseException:
            await self._break_off(shell, None)
            raise
        self.steps.acknowledged()
        return shell, command_id

    async def _repay(self) -> None:
        """The shell would do no good to the next command; but its slot may be wanted, and its quota."""
        try:
            with move_on_after(STOP_S):
                await self.host.shells.pay()
        except HostError as error:
            _log.info("left on the host for now: %s (%s)", self.host.shells.debts, error)

    async def _converse(self, conversation: Conversation, shell: Shell, command_id: str) -> int:
        exit_code: int | None = None
        failure: Exception | None = None
        async with create_task_group() as tasks:
            try:
                if self.stdin is not None:
                    if self.stdin.is_small:
                        await self._send(conversation, shell, command_id, self.stdin.first, end=True)
                    else:
                        tasks.start_soon(self._feed, shell, command_id, conversation)
                while exit_code is None:
                    exit_code = await self._listen(conversation, shell, command_id)
            except (HostError, OSError, ValueError) as error:  # not from inside of a group of errors
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None and exit_code is None:
            raise self._input_error or failure
        assert exit_code is not None
        return exit_code

    async def _listen(self, conversation: Conversation, shell: Shell, command_id: str) -> int | None:
        try:
            received = await conversation.ask(WinrmProtocol.receive, shell.shell_id, command_id)
        except NothingYetError:
            return None
        if received.stdout or received.stderr:
            await self.hear(received.stdout, received.stderr)
        return received.exit_code

    async def _send(self, conversation: Conversation, shell: Shell, command_id: str, data: bytes, *, end: bool) -> bool:
        """Whether the command takes more."""
        try:
            await conversation.ask(WinrmProtocol.send, shell.shell_id, command_id, data, end=end)
        except RefusedByHostError:  # it has ended, or has closed its standard input; how it ended is heard elsewhere
            return False
        return True

    async def _feed(self, shell: Shell, command_id: str, listening: Conversation) -> None:
        assert self.stdin is not None
        try:
            async with self.host.conversations.one() as conversation:
                while piece := await self.stdin.piece():
                    if not await self._send(conversation, shell, command_id, piece, end=False):
                        return
                await self._send(conversation, shell, command_id, b"", end=True)
        except (HostError, OSError, ValueError) as error:
            # A piece whose answer is lost must not be sent again, so the command can no longer get what it was to get.
            self._input_error = InputBrokenError(f"its standard input broke off: {error}")
            self._input_error.__cause__ = error
            listening.abort()

    async def _tidy(self, shell: Shell, command_id: str, conversation: Conversation) -> None:
        """What the command did is known, and stands; what its shell is still good for is seen now, in little time."""
        with CancelScope(shield=True):
            try:
                with move_on_after(STOP_S):
                    await self.host.shells.give_back(shell, command_id, conversation)
            except HostError as error:
                _log.info("shell %s is deleted later: %s", shell.shell_id, error)

    async def _part(self, shell: Shell, command_id: str | None) -> None:
        """Nobody hears it any more: end it, unless somebody asks what became of it."""
        if self.outlives is None:
            await self._stop(shell, command_id)
        else:
            self.host.shells.leave(shell, self.outlives)

    async def _break_off(self, shell: Shell, command_id: str | None) -> None:
        """It is cancelled: end it, unless it is let go."""
        if self.outlives is not None and self.steps.is_let_go:
            self.host.shells.leave(shell, self.outlives)
            self.left = LET_GO
        else:
            await self._stop(shell, command_id)

    async def _stop(self, shell: Shell, command_id: str | None) -> None:
        """End the command and everything in its shell, through another connection. Sets `left`."""
        self.host.shells.lose(shell, may_run=True)
        why = f"did not confirm it within {STOP_S} s"
        with CancelScope(shield=True):
            try:
                with move_on_after(STOP_S):
                    async with self.host.conversations.one() as conversation:
                        await self._end(conversation, shell, command_id)
                    self.host.shells.debts.settled(shell.shell_id)
                    return
            except HostError as error:
                why = f"did not confirm it: {error}"
        self.left = f"the command may still run: its host was told to end it, and {why}"

    async def _end(self, conversation: Conversation, shell: Shell, command_id: str | None) -> None:
        if command_id is not None:
            try:
                await conversation.ask(WinrmProtocol.terminate, shell.shell_id, command_id)
            except RefusedByHostError as error:  # it has ended by itself; the shell goes in any case
                _log.debug("terminating %s: %s", command_id, error)
        await conversation.ask(WinrmProtocol.delete, shell.shell_id)


class InputBrokenError(HostError):
    """The standard input of a command could not be sent whole."""
