"""Links to a far side in memory, as both ends have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio

if TYPE_CHECKING:
    from galaxy_core.testing.far_side import FakeFarSide

#: How many answers wait in a link for their reader, before the far side waits for it.
BUFFER: Final = 4

#: What a far side says: a word, and what belongs to it.
Answer = tuple[str, Any]


class LinkLostError(ConnectionError):
    """The link to a far side is gone, or could not be made."""


class Link:
    """A connection to a far side, which is lost when either end closes it."""

    def __init__(self, far: FakeFarSide) -> None:
        self._far = far
        self._answers, self.answers = anyio.create_memory_object_stream[Answer](BUFFER)
        self.lost = anyio.Event()
        self.is_mute = False
        self.is_trickling = False
        self.says_twice = False

    async def send(self, *message: Any) -> None:
        """Ask something; what comes back is to be received."""
        await anyio.lowlevel.checkpoint()
        if self.lost.is_set():
            raise LinkLostError("the link is gone")
        self._far.take(self, message)

    async def receive(self) -> Answer:
        """The next answer.

        Raises:
            LinkLostError: there will be none.
        """
        try:
            return await self.answers.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError) as error:
            raise LinkLostError("the link is gone") from error

    async def answer(self, word: str, about: Any = None) -> None:
        """For the far side: say something, unless nobody is there to hear it."""
        if self.is_mute:
            return
        times = 2 if self.says_twice and word in ("started", "exit", "forgotten") else 1
        try:
            for _ in range(times):
                await self._answers.send((word, about))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass

    def close(self) -> None:
        """Either end is gone."""
        if not self.lost.is_set():
            self.lost.set()
            self._far.links.discard(self)
        self._answers.close()

    def leave(self) -> None:
        """As `close`, of the near end: nothing is received any more."""
        self.close()
        self.answers.close()
