"""Standard input, output and error of a running command, none of which may block another."""

from __future__ import annotations

from anyio import BrokenResourceError, CancelScope, CapacityLimiter, ClosedResourceError, EndOfStream, to_thread
from anyio.abc import ByteReceiveStream, ByteSendStream

from galaxy_core.extension.adapter.output import Output
from galaxy_core.extension.interfaces import Attempt

CHUNK_BYTES = 1 << 16


async def feed(stream: ByteSendStream, data: bytes) -> None:
    """Write `data` and close. A command that does not read all of it has its reasons: that is no error."""
    try:
        for start in range(0, len(data), CHUNK_BYTES):
            await stream.send(data[start : start + CHUNK_BYTES])
    except (BrokenResourceError, ClosedResourceError, OSError):
        pass
    finally:
        with CancelScope(shield=True):
            await stream.aclose()


class Capture:
    """Reads one output stream to its end, whatever happens to it: a command never blocks on its output."""

    def __init__(self, attempt: Attempt, output: Output, threads: CapacityLimiter) -> None:
        self.output = output
        self._attempt = attempt
        self._threads = threads

    async def read(self, stream: ByteReceiveStream) -> None:
        """Until nobody holds the other end any more."""
        attempt, output = self._attempt, self.output
        try:
            while True:
                text = output.take(await stream.receive(CHUNK_BYTES), heard=attempt.wants_output)
                if text:
                    attempt.emit(output.name, text)
                if output.wants_spill:
                    await to_thread.run_sync(output.spill, limiter=self._threads)
        except (EndOfStream, BrokenResourceError, ClosedResourceError):
            if attempt.wants_output and (rest := output.finish()):
                attempt.emit(output.name, rest)

    async def aclose(self) -> None:
        """Close the file, if there is one. Does not stop for cancellation."""
        if self.output.is_open:
            with CancelScope(shield=True):
                await to_thread.run_sync(self.output.close, limiter=self._threads)
