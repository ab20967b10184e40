"""Where output of a running command goes."""

from __future__ import annotations

from typing import Protocol

from anyio import CancelScope, CapacityLimiter, to_thread

from galaxy_core.extension.adapter.output import Output
from galaxy_core.extension.interfaces import Attempt


class Sink(Protocol):
    """Takes one stream of a command."""

    async def take(self, data: bytes) -> None: ...
    async def aclose(self) -> None: ...


class Heard:
    """Text: kept up to a cap, passed on to whoever listens, the rest to a file."""

    def __init__(self, attempt: Attempt, output: Output, threads: CapacityLimiter) -> None:
        self.output = output
        self._attempt = attempt
        self._threads = threads

    async def take(self, data: bytes) -> None:
        attempt, output = self._attempt, self.output
        text = output.take(data, heard=attempt.wants_output)
        if text:
            attempt.emit(output.name, text)
        if output.wants_spill:
            await to_thread.run_sync(output.spill, limiter=self._threads)

    async def aclose(self) -> None:
        """The stream has ended. Does not stop for cancellation."""
        if self._attempt.wants_output and (rest := self.output.finish()):
            self._attempt.emit(self.output.name, rest)
        if self.output.is_open:
            with CancelScope(shield=True):
                await to_thread.run_sync(self.output.close, limiter=self._threads)


class Blob:
    """Bytes, kept in memory up to `cap_bytes`; `size` counts all of them."""

    def __init__(self, cap_bytes: int) -> None:
        self.size = 0
        self._cap = cap_bytes
        self._kept = bytearray()

    async def take(self, data: bytes) -> None:
        self.size += len(data)
        self._kept += data[: self._cap - len(self._kept)]

    async def aclose(self) -> None:
        """There is nothing to close."""

    @property
    def kept(self) -> bytes:
        """What was kept."""
        return bytes(self._kept)

    @property
    def is_cut(self) -> bool:
        """Whether there was more."""
        return self.size > len(self._kept)
