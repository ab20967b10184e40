"""One command on a host, from its start to its end, whichever way it ends."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from anyio import CancelScope, create_task_group, current_time, move_on_after, to_thread

from galaxy_core.extension.adapter.marks import is_marked, why_unmarked
from galaxy_core.extension.adapter.output import Output
from galaxy_core.extension.adapter.posix import NO_SUCH_FOLDER, NOT_STARTED, kill_script
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core_ssh import scripts
from galaxy_core_ssh.bridge import Bridge
from galaxy_core_ssh.remote.channel import Channel
from galaxy_core_ssh.remote.faults import LinkLostError, clean, explain
from galaxy_core_ssh.remote.link import Link
from galaxy_core_ssh.settings import SshSettings

#: How long ending a cancelled command may take before nobody can vouch for it; the kernel expects an end within a second.
STOP_S: Final = 0.7
#: How long a host that has been asked to end a command may take to say that it has ended.
SETTLE_S: Final = 0.05


class Running:
    """A command that is to run in `folder`, runs, or has run on a link."""

    def __init__(
        self,
        attempt: Attempt,
        link: Link,
        settings: SshSettings,
        bridge: Bridge,
        place: Callable[[str], Path | None],
        secrets: list[str],
        folder: str,
    ) -> None:
        self._attempt = attempt
        self._folder = folder
        self._link = link
        self._settings = settings
        self._bridge = bridge
        self.background: str | None = None
        self._outputs = {
            name: Output(
                name,
                cap_bytes=settings.output_cap_bytes,
                place=lambda name=name: bridge.ask(place, name),  # type: ignore[misc]  # mypy reads no default
                spill_cap_bytes=settings.artifact_cap_bytes,
                secrets=secrets,
            )
            for name in ("stdout", "stderr")
        }
        self.channel = Channel(self._take, asked=attempt.sent, acknowledged=attempt.acknowledged)

    async def run(self, text: str, stdin: bytes, *, covered: bool) -> None:
        """Until the command has ended and all of its output has come, or the link is gone.

        `covered` has the text travel on standard input, out of sight and of whatever length.

        Raises:
            ChannelRefusedError, LinkLostError: see `Channel.open`.
        """
        mark = self._attempt.mark
        try:
            await self.channel.open(self._link.connection, f"{scripts.LAUNCH} galaxy-{mark}" if covered else text)
            first = scripts.line(text) if covered else b""
            if first + stdin:
                async with create_task_group() as tasks:
                    tasks.start_soon(self._feed, first + stdin)
                    await self._listen()
                    tasks.cancel_scope.cancel()
            else:
                self.channel.write_eof()
                await self._listen()
        finally:
            self._finish_hearing()
            if any(output.is_open for output in self._outputs.values()):
                with CancelScope(shield=True):
                    await to_thread.run_sync(self._close_files)

    async def _feed(self, data: bytes) -> None:
        await self.channel.write(data)
        self.channel.write_eof()

    async def _listen(self) -> None:
        channel, drained_at = self.channel, float("inf")
        while True:
            if any(output.wants_spill for output in self._outputs.values()):
                # Held for that time alone: asyncssh grants a host a new window with the first piece that is taken after a
                # pause, so that with one pause for each piece more and more would wait here.
                channel.hold()
                try:
                    await to_thread.run_sync(self._spill)
                finally:
                    channel.go_on()
                continue
            if channel.is_gone or (channel.has_exited and channel.is_silent):
                return
            if channel.has_exited:
                drained_at = min(drained_at, current_time() + self._settings.drain_s)
                if current_time() >= drained_at:
                    self.background = "background processes held the output open after the command, and were left alone"
                    return
            with move_on_after(drained_at - current_time()):
                await channel.changed()

    async def stop(self) -> str | None:
        """End a command that was asked for, with all that it has started; None when that is certain, else why it is not.

        Takes at most STOP_S, and does not stop for cancellation.
        """
        why = f"the host did not confirm within {STOP_S:g} s that the command has ended"
        with CancelScope(shield=True), move_on_after(STOP_S):
            try:
                why = await self._stop() or ""
            except LinkLostError:
                why = f"the connection was lost while the command was to be ended ({self._link.why_lost})"
        if why:
            return why
        self.channel.close()
        return None

    async def _stop(self) -> str | None:
        """A shell that has not yet come to the command has no mark: only when the server, too, says that what it has
        started is over does it count that nobody with the mark is found.
        """
        text = kill_script(self._attempt.mark, self._settings.kill_grace_s)
        while True:
            was_over = self.channel.has_exited
            code, said = await self._link.helper.run(text)
            if code == 1:
                return f"processes of the command could not be ended: {clean(said)}"
            if code != 0:
                return await self._stop_without_looking()
            if was_over:
                return None
            if self.channel.is_gone and not self.channel.has_exited:
                raise LinkLostError("the connection was lost")
            with move_on_after(SETTLE_S):
                await self.channel.changed()

    async def _stop_without_looking(self) -> str | None:
        """Where a host does not show its processes: the server's own signal, to the process group."""
        self.channel.signal("KILL")
        while not (self.channel.has_exited or self.channel.is_gone):
            await self.channel.changed()
        if self.channel.has_exited and self.channel.is_silent:
            return None
        return "the host shows no processes (/proc), so that those in the background cannot be found"

    def outcome(self) -> Outcome:
        """How it ended, once `run` has."""
        channel, said = self.channel, self.said()
        # A channel that the host has closed while we took our time has told all, too; one that went with its link has not.
        is_closed = channel.is_gone and channel.why_gone is None and self._link.why_lost is None
        if channel.has_exited and (channel.is_silent or is_closed or self.background):
            stderr = (said.stderr or "").rstrip("\n")  # before which a host may greet
            if said.exit_code == NOT_STARTED and not said.stdout and stderr.endswith(NO_SUCH_FOLDER + self._folder):
                return Refused(f"its working folder does not exist on the host: {clean(self._folder)}")
            if is_marked(self._attempt) and (why := why_unmarked(said.exit_code, stderr)) is not None:
                return Refused(why)
            return said
        how = self._link.why_lost or (explain(channel.why_gone) if channel.why_gone else "the host closed the channel")
        if channel.has_exited:
            end = said.error or f"exit status {said.exit_code}"
            why = f"it ended with {end}, but before all of its output had come the link was gone: {how}"
        else:
            why = f"the link was gone before the command had ended: {how}"
        return Unknown(why, said=self.said(with_end=False))

    def said(self, *, with_end: bool = True) -> Completed:
        """What it has said so far."""
        stdout, stderr = self._outputs.values()
        metadata: dict[str, Any] = {**stdout.describe(), **stderr.describe()}
        if self.background is not None:
            metadata["background"] = self.background
        files = {one.spilled_to.name: str(one.spilled_to) for one in (stdout, stderr) if one.spilled_to is not None}
        code, error = self._end() if with_end else (None, None)
        return Completed(
            exit_code=code,
            stdout=stdout.text,
            stderr=stderr.text,
            error=error,
            files=files or None,
            metadata=metadata,
            truncated=stdout.is_cut or stderr.is_cut,
        )

    def _end(self) -> tuple[int | None, str | None]:
        name = self.channel.exit_signal
        if name is None:
            return self.channel.exit_code, None
        with suppress(KeyError):
            return -signal.Signals[f"SIG{name}"], f"killed by SIG{name}"
        return None, f"killed by signal {clean(name)}"

    def _take(self, stream: str, data: bytes) -> None:
        output = self._outputs[stream]
        text = output.take(data, heard=self._attempt.wants_output)
        if text:
            self._bridge.tell(self._attempt.emit, stream, text)
        if output.wants_spill:
            self.channel.stir()

    def _finish_hearing(self) -> None:
        if self._attempt.wants_output:
            for name, output in self._outputs.items():
                if rest := output.finish():
                    self._bridge.tell(self._attempt.emit, name, rest)

    def _spill(self) -> None:
        """In a worker thread; meanwhile the channel is held."""
        for output in self._outputs.values():
            if output.wants_spill:
                output.spill()

    def _close_files(self) -> None:
        for output in self._outputs.values():
            output.close()
