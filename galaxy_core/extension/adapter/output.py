"""One output stream of a command: capped in memory, the rest in a file, all of it counted."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from galaxy_core.extension.adapter.folder import create
from galaxy_core.extension.redaction import Redaction

#: Longest piece of a line that is passed on once the cap is exceeded, in characters.
GLIMPSE = 512


class Output:
    """Keeps the first `cap_bytes` of a stream, gives back what observers are to hear, spills to a file, counts.

    Once the cap is exceeded, `place` is asked for a file (None: there is none to be had), which gets the stream from its
    beginning, at most `spill_cap_bytes`, as it is. What exceeds both is counted and dropped. Text is UTF-8; bytes that are
    none are replaced. `secrets` are masked in all but the file: here, because the kernel, which masks them too, cannot
    find one that the cap has cut in two.

    After each `take`, write what is due: ``if output.wants_spill: await to_thread.run_sync(output.spill)``.
    """

    def __init__(
        self,
        name: str,
        *,
        cap_bytes: int,
        place: Callable[[], Path | None],
        spill_cap_bytes: int,
        secrets: Collection[str] = (),
    ) -> None:
        self.name = name
        self.size = 0
        self.spill_error: str | None = None
        self._cap = cap_bytes
        self._place = place
        self._spill_cap = spill_cap_bytes
        self._path: Path | None = None
        self._kept = bytearray()
        self._due = bytearray()
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
    def kept(self) -> bytes:
        """What was kept, as it came."""
        return bytes(self._kept)

    @property
    def is_cut(self) -> bool:
        """Whether `text` is less than what the command wrote."""
        return self.size > len(self._kept)

    @property
    def spilled_to(self) -> Path | None:
        """The file that holds more than `text`; None when there is none."""
        return self._path

    @property
    def wants_spill(self) -> bool:
        """Whether something is due to be written to the file."""
        return bool(self._due)

    def describe(self) -> dict[str, Any]:
        """Sizes, and where the rest is; for `Completed.metadata`."""
        told: dict[str, Any] = {f"{self.name}_bytes": self.size}
        if self.is_cut:
            told[f"{self.name}_kept_bytes"] = len(self._kept)
        if self.spilled_to is not None:
            told[f"{self.name}_file_bytes"] = self._spilled
        if self.spill_error is not None:
            told[f"{self.name}_file_error"] = self.spill_error
        return told

    def take(self, chunk: bytes, *, heard: bool = True) -> str:
        """Take what has come, and return what observers are to hear of it: all that is kept, then a glimpse of the rest.

        `heard` False, when nobody listens, saves the decoding and returns nothing.
        """
        room = self._cap - len(self._kept)
        first = self.size <= self._cap < self.size + len(chunk)
        self.size += len(chunk)
        fits, rest = (chunk, b"") if len(chunk) <= room else (chunk[:room], chunk[room:])
        self._kept += fits
        text = self._hear(fits) + _glimpse(self._hear(rest)) if heard else ""
        if first and self._spill_cap > self._cap:
            try:
                self._path = self._place()
            except OSError as error:  # as when it cannot be written
                self._give_up(error)
        if rest and self._path is not None:
            self._due += rest
        return text

    def finish(self) -> str:
        """The stream has ended: what was held back of a character or a secret that was not complete."""
        rest = self._hear(b"", final=True)
        return rest[-GLIMPSE:] if self.is_cut else rest

    def spill(self) -> None:
        """Write what is due. Blocks: for a worker thread. A full disk costs the file, not the command."""
        due, self._due = self._due, bytearray()
        path = self._path
        if path is None:
            return
        try:
            if self._file is None:
                self._file = create(path)
                self._file.write(self._kept)
                self._spilled = len(self._kept)
            room = self._spill_cap - self._spilled
            self._file.write(due[:room])
            self._spilled += min(room, len(due))
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Write what is due and close the file, if there is one. Blocks."""
        if self._due:
            self.spill()
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                self._give_up(error)

    @property
    def is_open(self) -> bool:
        """Whether `close` has something to do."""
        return self._file is not None or bool(self._due)

    def _hear(self, chunk: bytes, *, final: bool = False) -> str:
        return self._redaction.feed(self._decoder.decode(chunk, final), final=final)

    def _give_up(self, error: OSError) -> None:
        """Go on without a file; what is there of it misleads, and takes what is left of a full disk."""
        self.spill_error = error.strerror or str(error)
        path, file, self._path, self._file = self._path, self._file, None, None
        self._due.clear()
        if file is None or path is None:
            return
        with suppress(OSError):
            file.close()  # tries once more to write what is left
        with suppress(OSError):
            if path.is_file():  # no device
                path.unlink()


def _glimpse(dropped: str) -> str:
    """The last line of output that is not kept: observers see that the command lives, and are not flooded."""
    lines = dropped[-GLIMPSE:].splitlines(keepends=True)
    return lines[-1] if lines else ""
