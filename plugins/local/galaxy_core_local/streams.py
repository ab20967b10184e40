"""Standard input, output and error of a running command, none of which may block another."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, BinaryIO

from anyio import BrokenResourceError, CancelScope, CapacityLimiter, ClosedResourceError, EndOfStream, to_thread
from anyio.abc import ByteReceiveStream, ByteSendStream

from galaxy_core.extension.interfaces import Attempt
from galaxy_core.extension.redaction import Redaction
from galaxy_core_local.folder import create

CHUNK_BYTES = 1 << 16
#: Longest piece of a line that is passed on once the cap is exceeded, in characters.
GLIMPSE = 512


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
    """Reads one output stream to its end: keeps the first `cap` bytes, lets observers hear, spills to a file, counts.

    Once `cap` is exceeded, `spill` is asked for a file (None: there is none to be had), which gets the stream from its
    beginning, at most `spill_cap` bytes, as it is. What exceeds both is read and dropped, so that the command never
    blocks on it. `secrets` are masked in all but the file: here, because the kernel, which masks them too, cannot find
    one that the cap has cut in two.
    """

    def __init__(
        self,
        attempt: Attempt,
        name: str,
        cap: int,
        spill: Callable[[], Path | None],
        spill_cap: int,
        threads: CapacityLimiter,
        secrets: Collection[str] = (),
    ) -> None:
        self.name = name
        self.size = 0
        self.spill_error: str | None = None
        self._attempt = attempt
        self._cap = cap
        self._spill = spill
        self._spill_cap = spill_cap
        self._path: Path | None = None
        self._threads = threads
        self._kept = bytearray()
        self._spilled = 0
        self._file: BinaryIO | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._secrets = secrets
        self._redaction = Redaction(secrets)

    @property
    def text(self) -> str:
        """What was kept. Undecodable bytes are replaced; a character or secret that the cap cut in two is left out."""
        text = codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(self._kept), final=not self.is_cut)
        return Redaction(self._secrets).feed(text, final=not self.is_cut)

    @property
    def is_cut(self) -> bool:
        """Whether `text` is less than what the command wrote."""
        return self.size > len(self._kept)

    @property
    def spilled_to(self) -> Path | None:
        """The file that holds more than `text`; None when there is none."""
        return self._path

    def describe(self) -> dict[str, Any]:
        """Sizes, and where the rest is."""
        told: dict[str, Any] = {f"{self.name}_bytes": self.size}
        if self.is_cut:
            told[f"{self.name}_kept_bytes"] = len(self._kept)
        if self.spilled_to is not None:
            told[f"{self.name}_file_bytes"] = self._spilled
        if self.spill_error is not None:
            told[f"{self.name}_file_error"] = self.spill_error
        return told

    async def read(self, stream: ByteReceiveStream) -> None:
        """Until nobody holds the other end any more."""
        try:
            while True:
                await self._take(await stream.receive(CHUNK_BYTES))
        except (EndOfStream, BrokenResourceError, ClosedResourceError):
            if self._attempt.wants_output and (rest := self._hear(b"", final=True)):
                self._attempt.emit(self.name, rest[-GLIMPSE:] if self.is_cut else rest)

    async def _take(self, chunk: bytes) -> None:
        room = self._cap - len(self._kept)
        first = self.size <= self._cap < self.size + len(chunk)
        self.size += len(chunk)
        fits, rest = (chunk, b"") if len(chunk) <= room else (chunk[:room], chunk[room:])
        self._kept += fits
        if self._attempt.wants_output:
            text = self._hear(fits) + _glimpse(self._hear(rest))
            if text:
                self._attempt.emit(self.name, text)
        if first and self._spill_cap > self._cap:
            try:
                self._path = self._spill()
            except OSError as error:  # as when it cannot be written
                self._give_up(error)
        if rest and self._path is not None:
            await to_thread.run_sync(self._write, self._path, rest, limiter=self._threads)

    def _hear(self, chunk: bytes, *, final: bool = False) -> str:
        return self._redaction.feed(self._decoder.decode(chunk, final), final=final)

    def _write(self, path: Path, rest: bytes) -> None:
        """In a worker thread. A full disk costs the file, not the command."""
        try:
            if self._file is None:
                self._file = create(path)
                self._file.write(self._kept)
                self._spilled = len(self._kept)
            room = self._spill_cap - self._spilled
            self._file.write(rest[:room])
            self._spilled += min(room, len(rest))
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.spill_error = error.strerror or str(error)
        self._path = None

    async def aclose(self) -> None:
        """Close the file, if there is one. Does not stop for cancellation."""
        if self._file is not None:
            with CancelScope(shield=True):
                await to_thread.run_sync(self._close, limiter=self._threads)

    def _close(self) -> None:
        assert self._file is not None
        try:
            self._file.close()
        except OSError as error:
            self._give_up(error)


def _glimpse(dropped: str) -> str:
    """The last line of output that is not kept: observers see that the command lives, and are not flooded."""
    lines = dropped[-GLIMPSE:].splitlines(keepends=True)
    return lines[-1] if lines else ""
