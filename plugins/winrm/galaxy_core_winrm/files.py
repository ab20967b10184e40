"""Files to a host and from it: in pieces on standard input and output of a script, checked by size and SHA-256.

Where a file is to be, it is whole or it is not: it is written beside its place first, under the name of its attempt.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from anyio import CancelScope, CapacityLimiter, to_thread
from attrs import define, field, frozen

from galaxy_core.errors import TransferError
from galaxy_core.extension.adapter.folder import create, explain
from galaxy_core.extension.adapter.names import quoted, windows_path
from galaxy_core.extension.adapter.sources import Sources
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core_winrm import clixml, powershell, quoting
from galaxy_core_winrm.actions import Pull, Push
from galaxy_core_winrm.debts import Debts
from galaxy_core_winrm.facts import ANSWER_CAP_BYTES, ask_script
from galaxy_core_winrm.faults import shown
from galaxy_core_winrm.host import Host, Input, LostError, NotStartedError, Run
from galaxy_core_winrm.running import refusal
from galaxy_core_winrm.shells import Place

#: Of a file, at a time: as base64 and a line end, and again as base64 in a message, it stays below 150 KiB.
PIECE_BYTES = 45 << 10
#: Longest line that a host may print while a file is pulled; ours print 256 KiB.
LINE_CAP_BYTES = 1 << 20
_READ_BYTES = 1 << 20


@frozen
class Source:
    """A file of this machine that is read twice: for its hash, and to be sent."""

    file: BinaryIO
    size_bytes: int
    sha256: str

    @classmethod
    async def of(cls, sources: Sources, path: str, threads: CapacityLimiter) -> Source:
        """Open it, and read it a first time; that may take long, and stops when it is cancelled.

        Raises:
            ValueError: it may not be read.
            OSError: it cannot be.
        """
        with CancelScope(shield=True):  # what is opened has to be closed
            file = await to_thread.run_sync(sources.open, path, limiter=threads)
        try:
            digest, size = hashlib.sha256(), 0
            while chunk := await to_thread.run_sync(_hashed, file, digest, limiter=threads):
                size += chunk
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return cls(file, size, digest.hexdigest())


@define
class Files:
    """The files of one host; `root` is the folder there that they are below, unless `any_path`."""

    host: Host
    program: str
    root: str
    any_path: bool
    threads: CapacityLimiter

    # --------------------------------------------------------------------------------------------------------- push
    async def push(self, attempt: Attempt, asked: Push, sources: Sources) -> Outcome:
        """Copy a file to the host."""
        try:
            path = self._inside(asked.target)
            source = await Source.of(sources, asked.source, self.threads)
        except (OSError, ValueError) as error:
            return Refused(
                f"{asked.source!r} cannot be pushed to {quoted(asked.target)}: {sources.why_not(asked.source, error)}"
            )
        try:
            return await self._push(attempt, asked, path, source)
        finally:
            source.file.close()

    async def _push(self, attempt: Attempt, asked: Push, path: str, source: Source) -> Outcome:
        part = f".{attempt.mark}.part"
        parameters = {"path": path, "part": part, "size": source.size_bytes, "digest": source.sha256}
        reading = _Reading(source.file, self.threads)
        answer = _Answer()
        temporary = "\\".join([*path.split("\\")[:-1], part])
        run = self._run(attempt, "push", parameters, answer, Input(b"", reading.more))
        try:
            exit_code = await run.to_its_end()
        except NotStartedError as error:
            return refusal(attempt, error)
        except LostError as error:
            self.host.shells.debts.parts.add(temporary)
            if reading.error is not None:
                why = f"it could not be read to its end: {explain(reading.error)}"
                return Completed(error=TransferError(attempt.device_id, asked.source, why))
            return Unknown(f"file {quoted(asked.target)} may be there: {error}")
        except BaseException:
            self.host.shells.debts.parts.add(temporary)
            if run.left is not None:
                attempt.partial = Unknown(run.left)
            raise
        found = answer.document
        if found is None or exit_code != 0 or "sha256" not in found:
            return Completed(error=TransferError(attempt.device_id, asked.target, answer.why(exit_code)))
        return Completed(
            {"size_bytes": source.size_bytes, "sha256": source.sha256},
            metadata={"path": shown(found.get("path", asked.target))},
        )

    # --------------------------------------------------------------------------------------------------------- pull
    async def pull(self, attempt: Attempt, asked: Pull, sources: Sources) -> Outcome:
        """Copy a file from the host."""
        try:
            path = self._inside(asked.path)
            target = sources.target(asked.name)
            with CancelScope(shield=True):
                writing = await to_thread.run_sync(_Writing.to, target, attempt.mark, limiter=self.threads)
        except (OSError, ValueError) as error:
            return Refused(f"{quoted(asked.path)} cannot be pulled to {asked.name!r}: {_why_not_here(error)}")
        try:
            return await self._pull(attempt, asked, path, writing)
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(writing.close, limiter=self.threads)

    async def _pull(self, attempt: Attempt, asked: Pull, path: str, writing: _Writing) -> Outcome:
        answer = _Answer(writing, self.threads)
        run = self._run(attempt, "pull", {"path": path}, answer, Input())
        try:
            exit_code = await run.to_its_end()
            found = answer.document
            if found is None or exit_code != 0 or "sha256" not in found:
                return Completed(error=TransferError(attempt.device_id, asked.path, answer.why(exit_code)))
            if (found.get("size_bytes"), found["sha256"]) != (writing.size_bytes, writing.sha256):
                why = f"it arrived with {writing.size_bytes} bytes and SHA-256 {writing.sha256}, not as it was sent"
                return Completed(error=TransferError(attempt.device_id, asked.path, why))
            with CancelScope(shield=True):
                await to_thread.run_sync(writing.keep, limiter=self.threads)
        except NotStartedError as error:
            return refusal(attempt, error)
        except LostError as error:
            return Unknown(f"file {quoted(asked.path)} was not pulled: {error}")
        except (OSError, ValueError) as error:  # of this machine, or lines that are none of our script's
            return Completed(error=TransferError(attempt.device_id, asked.path, _why_not_here(error)))
        except BaseException:
            if run.left is not None:
                attempt.partial = Unknown(run.left)
            raise
        return Completed(
            {"size_bytes": writing.size_bytes, "sha256": writing.sha256}, files={asked.name: str(writing.target)}
        )

    # ------------------------------------------------------------------------------------------------------- common
    async def sweep(self, debts: Debts) -> None:
        """Remove what transfers have left that were stopped half-way.

        Raises:
            HostError: the host does not confirm it.
        """
        parts = sorted(debts.parts)
        await ask_script(self.host, self.program, "remove", {"root": self.root, "paths": parts, "any": self.any_path})
        debts.parts.difference_update(parts)

    def _inside(self, name: str) -> str:
        """
        Raises:
            ValueError: it is not below the root.
        """
        windows_path(self.root, name, allow_any=self.any_path)
        return name.replace("/", "\\")

    def _run(self, attempt: Attempt, script: str, parameters: Mapping[str, Any], answer: _Answer, stdin: Input) -> Run:
        told = {"root": self.root, "any": self.any_path, **parameters}
        stdin.first = powershell.payload(powershell.script(script), told)
        line = quoting.marked(attempt.mark, powershell.line(self.program))
        return Run(self.host, line, Place(), attempt, answer.hear, stdin)


@define
class _Reading:
    """A file on its way out. `error` says why it could not be read on."""

    file: BinaryIO
    threads: CapacityLimiter
    error: OSError | None = None

    async def more(self) -> bytes:
        try:
            chunk = await to_thread.run_sync(self.file.read, PIECE_BYTES, limiter=self.threads)
        except OSError as error:
            self.error = error
            raise
        return base64.b64encode(chunk) + b"\n" if chunk else b""


class _Writing:
    """A file on its way in: beside its place until it is kept. All methods block."""

    def __init__(self, target: Path, part: Path, file: BinaryIO) -> None:
        self.target = target
        self.size_bytes = 0
        self._part: Path | None = part
        self._file = file
        self._digest = hashlib.sha256()

    @classmethod
    def to(cls, target: Path, mark: str) -> _Writing:
        part = target.with_name(f".{mark}.part")
        return cls(target, part, create(part))

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, lines: list[bytes]) -> None:
        for line in lines:
            chunk = base64.b64decode(line, validate=True)
            self._file.write(chunk)
            self._digest.update(chunk)
            self.size_bytes += len(chunk)

    def keep(self) -> None:
        assert self._part is not None
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self.target)
        self._part = None

    def close(self) -> None:
        with suppress(OSError):  # a full disk may be noticed only now; what could not be written is removed
            self._file.close()
        if self._part is not None:
            self._part.unlink(missing_ok=True)


@define
class _Answer:
    """What a script prints: lines of JSON, of which the last one counts, and of base64 for `writing`."""

    writing: _Writing | None = None
    threads: CapacityLimiter | None = None
    document: dict[str, Any] | None = None
    _rest: bytearray = field(factory=bytearray)
    _stderr: bytearray = field(factory=bytearray)

    async def hear(self, stdout: bytes, stderr: bytes) -> None:
        """
        Raises:
            ValueError: a line is none of our script's.
            OSError: it cannot be written here.
        """
        self._stderr += stderr[: ANSWER_CAP_BYTES - len(self._stderr)]
        self._rest += stdout
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        if len(rest) > LINE_CAP_BYTES:
            raise ValueError("the host printed something else than the file")
        told = [line.strip() for line in lines]
        for line in told:
            if line.startswith(b"{"):
                self.document = _document(line)
        encoded = [line for line in told if line and not line.startswith(b"{")]
        if encoded and self.writing is not None and self.threads is not None:
            try:
                await to_thread.run_sync(self.writing.write, encoded, limiter=self.threads)
            except binascii.Error as error:
                raise ValueError("the host printed something else than the file") from error

    def why(self, exit_code: int) -> str:
        """Why there is no file, in the words of the host."""
        if self.document is not None and "error" in self.document:
            return f"the host says: {shown(self.document['error'])}"
        said = shown(clixml.decode(bytes(self._stderr).decode("utf-8", "replace")).text)
        return f"its PowerShell did not do what it was told (exit code {exit_code}){': ' if said else ''}{said}"


def _why_not_here(error: OSError | ValueError) -> str:
    """Of which side it is has to be said: "No space left on device" sounds like the host."""
    return explain(error) if isinstance(error, ValueError) else f"it cannot be written here: {explain(error)}"


def _hashed(file: BinaryIO, digest: Any) -> int:
    """Read on, into `digest`; how much that was."""
    chunk = file.read(_READ_BYTES)
    digest.update(chunk)
    return len(chunk)


def _document(line: bytes) -> dict[str, Any]:
    found = json.loads(line)
    assert isinstance(found, dict)  # it begins with a brace
    return found
