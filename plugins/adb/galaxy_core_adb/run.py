"""One command on a device from its start to its end, whichever way it ends."""

from __future__ import annotations

from anyio import create_task_group
from attrs import define, field

from galaxy_core.extension.adapter.marks import LET_GO, is_marked
from galaxy_core.extension.adapter.posix import MARK, quote
from galaxy_core.extension.interfaces import Attempt
from galaxy_core_adb.failures import AdbFailureError, ServerSaysNoError
from galaxy_core_adb.link import LONGEST_SCRIPT, Link
from galaxy_core_adb.packets import CLOSE_STDIN, EXIT, STDIN, STDOUT, Packets, packet
from galaxy_core_adb.sinks import Sink
from galaxy_core_adb.smart import Conversation
from galaxy_core_adb.sync import send_bytes

#: A packet of standard input; and how much of it is sent before anything is read, because it surely fits on the way.
_STDIN_BYTES = 1 << 15


class NotStartedError(Exception):
    """The device, or its server, has refused to run it."""


class UncertainError(Exception):
    """It may have run, and nobody can say how it ended."""


@define
class Run:
    """A script of a shell that carries the mark of `attempt`, what it reads, and where what it says goes.

    `paths` are files on the device that must not outlive it. `doubt` says, after it was cancelled, why it may still run.
    """

    link: Link
    attempt: Attempt
    script: str
    stdin: bytes
    stdout: Sink
    stderr: Sink
    paths: tuple[str, ...] = ()
    doubt: str | None = field(default=None, init=False)

    async def to_its_end(self, root: str) -> int:
        """The exit code. A script that is too long for a request is put into `root` first.

        When cancelled, ends what it has started, unless the attempt is let go; when the link is lost, owes that.

        Raises:
            AdbFailureError: nothing has left yet, and nothing can.
            NotStartedError: it was refused.
            UncertainError: nobody knows.
        """
        attempt, mark = self.attempt, self.attempt.mark
        try:
            script = await self._short(root)
            async with self.link.transport() as talk:
                attempt.sent()
                await self._begin(talk, script)
                attempt.acknowledged()
                return await self._converse(talk)
        except NotStartedError:
            await self.link.end(mark, self.paths) if self.paths else None
            raise
        except AdbFailureError as error:
            if attempt.progress == "new":
                self.link.owe(mark, self.paths) if self.paths else None
                raise
            if not is_marked(attempt):  # else it goes on, and somebody asks what became of it
                self.link.owe(mark, self.paths)
            raise UncertainError(f"the way to the device broke off: {error}") from error
        except BaseException:  # goes on to the kernel
            if attempt.is_let_go and attempt.progress != "new":
                self.doubt = LET_GO
            elif attempt.progress != "new" or self.paths:
                self.doubt = await self.link.end(mark, self.paths)
            raise
        finally:
            await self.stdout.aclose()
            await self.stderr.aclose()

    async def _short(self, root: str) -> str:
        """The script, or one that runs it from a file which it removes."""
        if len(self.script.encode()) <= LONGEST_SCRIPT:
            return self.script
        mark = self.attempt.mark
        path = f"{root.rstrip('/')}/.galaxy-{mark}.sh"
        self.paths = (*self.paths, path)
        await send_bytes(self.link, path, f"rm -f -- {quote(path)}\n{self.script}\n".encode())
        return f"{MARK}={mark}; . {quote(path)}"

    async def _begin(self, talk: Conversation, script: str) -> None:
        try:
            await talk.ask(f"shell,v2,raw:{script}")
        except ServerSaysNoError as error:
            if error.closed:  # by the device, or because its link was lost when the request had left: nobody tells
                raise
            raise NotStartedError(str(error)) from error

    async def _converse(self, talk: Conversation) -> int:
        stdin = self.stdin
        if len(stdin) <= _STDIN_BYTES:
            await talk.send((packet(STDIN, stdin) if stdin else b"") + packet(CLOSE_STDIN))
            return await self._hear(talk)
        async with create_task_group() as tasks:
            tasks.start_soon(self._feed, talk)
            code = await self._hear(talk)
            tasks.cancel_scope.cancel()
        return code

    async def _feed(self, talk: Conversation) -> None:
        """A command that does not read all of it has its reasons: that is no error."""
        try:
            for start in range(0, len(self.stdin), _STDIN_BYTES):
                await talk.send(packet(STDIN, self.stdin[start : start + _STDIN_BYTES]))
            await talk.send(packet(CLOSE_STDIN))
        except AdbFailureError:
            pass

    async def _hear(self, talk: Conversation) -> int:
        packets = Packets()
        while True:
            for kind, piece in packets.feed(await talk.some()):
                if kind == EXIT:
                    return piece[0]
                await (self.stdout if kind == STDOUT else self.stderr).take(piece)
