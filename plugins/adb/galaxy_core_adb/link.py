"""One device, as it is reached through its server."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from anyio import CancelScope, Lock, fail_after, move_on_after
from attrs import frozen

from galaxy_core.extension.adapter.marks import fence_script
from galaxy_core_adb.debts import Debts, tidy_script
from galaxy_core_adb.failures import AdbFailureError, GarbledError
from galaxy_core_adb.packets import CLOSE_STDIN, EXIT, STDOUT, Packets, packet
from galaxy_core_adb.server import Server
from galaxy_core_adb.smart import Conversation
from galaxy_core_adb.texts import one_line

#: Longest script that is sent as part of a request; adb takes 65,535 bytes of request.
LONGEST_SCRIPT = 60_000
#: What a cancelled attempt may take to end what it has started.
STOP_S = 0.8
#: Most that a script of our own may say.
_MOST_BYTES = 4 << 20

_log = logging.getLogger(__name__)


@frozen
class Said:
    """What a script of our own has said, and its exit code."""

    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Its output."""
        return self.stdout.decode(errors="replace")

    @property
    def complaint(self) -> str:
        """Why it failed, in one line."""
        said = one_line(self.stderr.decode(errors="replace")) or one_line(self.text)
        return said or f"it ended with exit code {self.exit_code}"


class Link:
    """The way to one device; it holds no connection of its own. `grace_s` is what stopped processes get to end by themselves."""

    def __init__(self, server: Server, serial: str, grace_s: float) -> None:
        self.server = server
        self.serial = serial
        self._grace_s = grace_s
        self._paying = Lock()

    @property
    def debts(self) -> Debts:
        """What earlier attempts have left there."""
        return self.server.debts_of(self.serial)

    @asynccontextmanager
    async def transport(self) -> AsyncIterator[Conversation]:
        """A conversation that is about this device: its next request goes there.

        Raises:
            AdbFailureError: there is no server, or no such device.
        """
        async with self.server.conversation() as talk:
            await talk.ask(f"host:tport:serial:{self.serial}")
            await talk.exactly(8)  # the number of the transport
            yield talk

    async def number(self) -> int:
        """By which the server knows it until it is unplugged, whatever its serial looks like.

        Raises:
            AdbFailureError: there is no server, or no such device.
        """
        async with self.server.conversation() as talk:
            await talk.ask(f"host:tport:serial:{self.serial}")
            return int.from_bytes(await talk.exactly(8), "little")

    async def host(self, request: str) -> str:
        """What the server itself says about the device, such as its features."""
        return await self.server.say(f"host-transport-id:{await self.number()}:{request}")

    async def run(self, script: str) -> Said:
        """Run a short script of our own, without standard input.

        Raises:
            AdbFailureError: nobody knows how it ended.
        """
        kept = {1: bytearray(), 2: bytearray()}
        packets = Packets()
        async with self.transport() as talk:
            await talk.ask(f"shell,v2,raw:{script}")
            await talk.send(packet(CLOSE_STDIN))
            while True:
                for kind, piece in packets.feed(await talk.some()):
                    if kind == EXIT:
                        return Said(piece[0], bytes(kept[STDOUT]), bytes(kept[2]))
                    kept[kind] += piece
                    if len(kept[kind]) > _MOST_BYTES:
                        raise GarbledError("the device says more than it was asked for")

    async def end(self, mark: str, paths: Iterable[str] = (), folder: str | None = None) -> str | None:
        """End what has `mark` and remove `paths`, within `STOP_S`. None when that is confirmed, else why it is not.

        `folder`: that of the markers, if an attempt which has left none yet is to be kept from starting.

        Stops for no cancellation. What is not confirmed is owed.
        """
        files = tuple(paths)
        with CancelScope(shield=True), move_on_after(STOP_S):
            why = await self._tidy(mark, files, folder)
            if why is not None:
                self.debts.add(mark, files)
            return why
        self.debts.add(mark, files)
        return f"the device did not confirm within {STOP_S:g} s that its processes have ended"

    def owe(self, mark: str, paths: Iterable[str] = ()) -> None:
        """The device cannot be reached: it is tidied up when it can be."""
        self.debts.add(mark, paths)

    async def pay(self) -> None:
        """Tidy up what earlier attempts have left.

        Raises:
            AdbFailureError: the device cannot be reached.
        """
        if not self.debts:
            return
        async with self._paying:
            while (owed := self.debts.first()) is not None:
                mark, paths = owed
                said = await self.run(tidy_script(mark, paths, self._grace_s))
                if said.exit_code != 0:
                    _log.warning(
                        "device %r: what an attempt has left could not be ended: %s",
                        self.serial,
                        "it cannot be looked for without /proc" if said.exit_code == 2 else said.complaint,
                    )
                self.debts.paid(mark)

    async def _tidy(self, mark: str, paths: tuple[str, ...], folder: str | None) -> str | None:
        try:
            fence = "" if folder is None else fence_script(folder, mark)
            said = await self.run(fence + tidy_script(mark, paths, self._grace_s))
        except AdbFailureError as error:
            return f"the device could not be asked to end its processes: {error}"
        if said.exit_code == 0:
            return None
        if said.exit_code == 1:
            return f"processes {one_line(said.text)} could not be ended"
        return "its processes could not be looked for"

    async def within(self, limit_s: float, script: str) -> Said:
        """As `run`, but for a bounded time.

        Raises:
            TimeoutError: it took longer.
            AdbFailureError: nobody knows how it ended.
        """
        with fail_after(limit_s):
            return await self.run(script)
