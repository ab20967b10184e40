"""Attempts of a session that are commands: what is asked of the host for them, and what their outcome is made of."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from anyio import CancelScope, CapacityLimiter, to_thread
from attrs import define, field

from galaxy_core import DeviceLostError
from galaxy_core.extension.adapter.output import Output
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core_winrm import clixml
from galaxy_core_winrm.faults import NotSentError
from galaxy_core_winrm.host import Host, Input, LostError, NotStartedError, Run
from galaxy_core_winrm.shells import Place

#: Raw CLIXML is several times as long as what it says.
CLIXML_CAP_BYTES = 4 << 20


@define
class Asked:
    """What is to be run: `line` for cmd.exe, with the mark; `is_script` when standard error will be CLIXML.

    `not_started` is how the text on standard error begins by which a script of ours says that it did not start anything.
    `outlives`: see `Run`.
    """

    line: str
    place: Place = field(factory=Place)
    stdin: Input | None = None
    is_script: bool = False
    not_started: str | None = None
    outlives: str | None = None


@define
class Caps:
    """How much of each stream is kept; `secrets` are masked in it."""

    output_bytes: int
    artifact_bytes: int
    secrets: tuple[str, ...] = field(default=(), repr=False)


class Hearing:
    """Both streams of one attempt, while they come."""

    def __init__(self, attempt: Attempt, asked: Asked, caps: Caps, threads: CapacityLimiter) -> None:
        self._attempt = attempt
        self._is_script = asked.is_script
        self._threads = threads
        self._outputs = [self._output(stream, caps) for stream in ("stdout", "stderr")]

    def _output(self, stream: str, caps: Caps) -> Output:
        def place() -> Path | None:
            try:
                return self._attempt.artifact_path(f"{stream}.txt")
            except ValueError:  # an attempt that keeps no files
                return None

        cap = caps.output_bytes
        if self._is_script and stream == "stderr":
            cap = max(cap, CLIXML_CAP_BYTES)
        return Output(stream, cap_bytes=cap, place=place, spill_cap_bytes=caps.artifact_bytes, secrets=caps.secrets)

    async def hear(self, stdout: bytes, stderr: bytes) -> None:
        """Take what has come."""
        for output, chunk in zip(self._outputs, (stdout, stderr), strict=True):
            if chunk:
                self._emit(output.name, output.take(chunk, heard=self._attempt.wants_output))
                if output.wants_spill:
                    await to_thread.run_sync(output.spill, limiter=self._threads)

    def _emit(self, stream: str, text: str) -> None:
        # Of a script, it is CLIXML until it is whole.
        if text and self._attempt.wants_output and not (self._is_script and stream == "stderr"):
            self._attempt.emit(stream, text)

    async def finish(self) -> None:
        """Nothing more comes. Does not stop for cancellation."""
        for output in self._outputs:
            self._emit(output.name, output.finish())
            if output.is_open:
                with CancelScope(shield=True):
                    await to_thread.run_sync(output.close, limiter=self._threads)

    @property
    def stderr(self) -> str:
        """Standard error so far, as it came."""
        return self._outputs[1].text

    def outcome(self, exit_code: int | None, metadata: Mapping[str, Any] | None = None) -> Completed:
        """What was said, with the exit code, or None while there is none."""
        stdout, stderr = self._outputs
        told = clixml.decode(stderr.text) if self._is_script else clixml.Told(stderr.text)
        more: dict[str, Any] = {**stdout.describe(), **stderr.describe(), **(metadata or {})}
        if told.streams:
            more["powershell"] = told.streams
        spilled = [output.spilled_to for output in self._outputs if output.spilled_to is not None]
        return Completed(
            exit_code=exit_code,
            stdout=stdout.text,
            stderr=told.text,
            files={path.name: str(path) for path in spilled} or None,
            metadata=more,
            truncated=stdout.is_cut or stderr.is_cut,
        )


async def run(host: Host, attempt: Attempt, asked: Asked, caps: Caps, threads: CapacityLimiter) -> Outcome:
    """Run it to its end, and say how that was. Leaves in `attempt.partial` what a cancellation leaves open."""
    hearing = Hearing(attempt, asked, caps, threads)
    command = Run(host, asked.line, asked.place, attempt, hearing.hear, asked.stdin, asked.outlives)
    try:
        exit_code = await command.to_its_end()
    except NotStartedError as error:
        return refusal(attempt, error)
    except LostError as error:
        await hearing.finish()
        return Unknown(str(error), said=hearing.outcome(None))
    except BaseException:
        await hearing.finish()
        said = hearing.outcome(None)
        attempt.partial = said if command.left is None else Unknown(command.left, said=said)
        raise
    await hearing.finish()
    refused = _refused(hearing.stderr, exit_code, asked.not_started)
    if refused is not None:
        return Refused(refused)
    outcome = hearing.outcome(exit_code)
    if asked.is_script and attempt.wants_output and outcome.stderr:
        attempt.emit("stderr", outcome.stderr)
    return outcome


def refusal(attempt: Attempt, error: NotStartedError) -> Refused:
    """The outcome of what did not start.

    Raises:
        DeviceLostError: it did not because the host cannot be reached, and so the session is to be opened again.
    """
    if isinstance(error.__cause__, NotSentError) and attempt.progress == "new":
        raise DeviceLostError(attempt.device_id, str(error)) from error
    return Refused(str(error))


def _refused(stderr: str, exit_code: int, sign: str | None) -> str | None:
    if sign is None or exit_code != 126 or not stderr.startswith(sign):
        return None
    return stderr.removeprefix(sign).strip() or "the host could not start it"


def in_lines(data: bytes, piece_bytes: int) -> Callable[[], Awaitable[bytes]]:
    """`data` as lines of base64 of so many bytes, for `Input.more`."""
    pieces = (data[start : start + piece_bytes] for start in range(0, len(data), piece_bytes))

    async def more() -> bytes:
        piece = next(pieces, None)
        return b"" if piece is None else base64.b64encode(piece) + b"\n"

    return more
