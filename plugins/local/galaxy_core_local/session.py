"""A session of transport `local`: each attempt is one subprocess."""

from __future__ import annotations

import os
import platform
import socket
import sys
from collections.abc import Collection, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from attrs import evolve

from galaxy_core import Command
from galaxy_core.extension.adapter.fetched import Fetched, command_of
from galaxy_core.extension.adapter.marks import LET_GO, is_marked, run_of, why_unmarked
from galaxy_core.extension.adapter.output import Output
from galaxy_core.extension.adapter.posix import NOT_STARTED
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core_local.child import is_unheard
from galaxy_core_local.exchange import Exchange
from galaxy_core_local.launch import Launch, prepare, why_not_started
from galaxy_core_local.markers import Markers, default_folder
from galaxy_core_local.run import Run, start
from galaxy_core_local.settings import LocalSettings
from galaxy_core_local.signals import signal_text
from galaxy_core_local.streams import Capture
from galaxy_core_local.tree import Tree
from galaxy_core_local.watched import Pipes

_UNHEARD = "it has ended, and somebody else in this process, or the system, has taken its exit code"

#: Worker threads of one session: for files, for looking into /proc, for explaining what could not be started.
THREADS = 8


class LocalSession:
    """Runs commands in `root`. Holds nothing open between attempts. `masked` are not shown in any output."""

    def __init__(self, settings: LocalSettings, root: Path, masked: Collection[str] = ()) -> None:
        self._settings = settings
        self._root = root
        self._masked = masked
        self._threads = CapacityLimiter(THREADS)
        folder = default_folder(root) if settings.marks is None else Path(root, settings.marks)
        self.markers = Markers(folder, settings.kill_grace_s, self._threads, settings.output_cap_bytes, masked)

    async def execute(self, attempt: Attempt, /) -> Outcome:
        command = attempt.request
        if not isinstance(command, Command):
            return Refused(f"transport 'local' takes commands, not {type(command).__name__}")
        mark = attempt.mark
        marker = self.markers.place(mark) if is_marked(attempt) and sys.platform != "win32" else None
        try:
            launch = prepare(command, self._settings, self._root, mark, marker)
            exchange = Exchange(attempt, command, self._root, launch.cwd, self._threads)
            await exchange.put()
        except ValueError as error:
            return Refused(str(error))
        try:
            if marker is not None:
                await self.markers.expect(run_of(mark))
            pipes = await self._pipes(launch, marker)
        except OSError as error:
            return Refused(f"no marker can be made: {error.strerror}")
        except ValueError as error:
            return Refused(str(error))
        try:
            return await self._run(attempt, launch, exchange, pipes, is_marked=marker is not None)
        finally:
            if pipes is not None:
                pipes.close()

    async def _pipes(self, launch: Launch, marker: str | None) -> Pipes | None:
        """Make what a command that is watched is started with.

        Raises:
            ValueError: one of them cannot be made.
        """
        if marker is None or not launch.is_watched:
            return None
        self.markers.make_room(marker)
        try:
            pipes = Pipes(marker)
        except OSError as error:
            raise ValueError(f"it cannot be given an output: {error.strerror}") from None
        if launch.stdin:
            try:
                await self.markers.give(marker, launch.stdin)
            except BaseException:  # goes on
                pipes.close()
                raise
        return pipes

    async def _run(
        self, attempt: Attempt, launch: Launch, exchange: Exchange, pipes: Pipes | None, *, is_marked: bool
    ) -> Outcome:
        attempt.sent()
        try:
            process = await start(launch, pipes)
        except OSError as error:
            if pipes is not None:
                self.markers.take_back(pipes.place)
            return Refused(
                await to_thread.run_sync(why_not_started, error, launch, self._masked, limiter=self._threads)
            )
        attempt.acknowledged()
        tree = Tree(process, attempt.mark, self._threads, over=None if pipes is None else pipes.dismiss)
        stdout, stderr = (self._capture(attempt, exchange, stream) for stream in ("stdout", "stderr"))
        run = Run(attempt, process, tree, stdout, stderr, self._settings, is_marked=is_marked, pipes=pipes)
        try:
            exit_code = await run.to_its_end(None if pipes is not None else launch.stdin)
        except BaseException:
            said = _outcome(run, process.returncode or 0)
            doubt = LET_GO if attempt.is_let_go else run.doubt
            attempt.partial = said if doubt is None else Unknown(doubt, evolve(said, exit_code=None, error=None))
            self.markers.could_not_end(attempt.mark, run.left)
            raise
        if is_marked and (why := self._why_not_begun(run, exit_code)) is not None:
            return Refused(why)
        if pipes is not None:
            pipes.read_whole()
        if is_unheard(process):
            return Unknown(_UNHEARD, evolve(_outcome(run, exit_code), exit_code=None, error=None))
        outcome = await exchange.collect(_outcome(run, exit_code))
        if run.was_cut_short:  # then the outcome of a command that failed does not count, but what it said does
            attempt.partial = outcome
        return outcome

    def _why_not_begun(self, run: Run, exit_code: int) -> str | None:
        if run.pipes is None:
            return why_unmarked(exit_code, run.stderr.output.text)
        if exit_code != NOT_STARTED or run.stdout.output.size or run.stderr.output.size:
            return None
        why = self.markers.why_not_begun(run.pipes.place, run.process.pid)
        if why is not None:
            self.markers.take_back(run.pipes.place)
        return why

    async def expect(self, run_mark: str, /) -> None:
        """See `SessionThatSettles`."""
        if sys.platform != "win32":
            await self.markers.expect(run_mark)

    async def settle(self, attempt: Attempt, /) -> Outcome:
        """See `SessionThatSettles.settle`."""
        if not is_marked(attempt):
            return Unknown("it has left no marker on this machine")
        return await self.markers.settle(attempt, self._with_files)

    async def _with_files(self, attempt: Attempt, said: Outcome) -> Outcome:
        """The end of a command that was settled, with what it has left, as if somebody had been there. Not to be cancelled."""
        command = command_of(attempt)
        if not isinstance(said, Completed) or command is None or not command.outputs:
            return said
        cwd = self._root if command.cwd is None else self._root / command.cwd
        try:
            exchange = Exchange(attempt, command, self._root, cwd, self._threads)
        except (OSError, ValueError) as error:  # there is no place for them
            return Fetched.nowhere(said, command.outputs, error, str(cwd))
        return await exchange.collect(said)

    async def stop(self, attempt: Attempt, /) -> None:
        """See `SessionThatSettles.stop`."""
        await self.markers.stop(attempt)

    def lets_go(self, attempt: Attempt, /) -> bool:
        """See `SessionThatSettles`."""
        return is_marked(attempt) and sys.platform != "win32"

    def release(self, mark: str, /) -> None:
        """See `SessionThatSettles.release`."""
        self.markers.release(mark)

    @cached_property
    def facts(self) -> Mapping[str, str]:
        """What a plan or a strategy may want to know of this machine."""
        return {
            "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
            "python": platform.python_version(),
            "cpu_count": str(os.cpu_count() or 1),
            "hostname": socket.gethostname(),
            "root": str(self._root),
        }

    async def probe(self) -> Mapping[str, str]:
        if not self._root.is_dir():
            raise NotADirectoryError(f"the working folder {str(self._root)!r} is gone")
        return self.facts

    def _capture(self, attempt: Attempt, exchange: Exchange, stream: str) -> Capture:
        settings = self._settings
        output = Output(
            stream,
            cap_bytes=settings.output_cap_bytes,
            place=partial(exchange.sources.stream_file, stream),
            spill_cap_bytes=settings.artifact_cap_bytes,
            secrets=self._masked,
        )
        return Capture(attempt, output, self._threads)


def _outcome(run: Run, exit_code: int) -> Completed:
    files: dict[str, str] = {}
    metadata: dict[str, Any] = {"pid": run.process.pid, **run.stdout.output.describe(), **run.stderr.output.describe()}
    for output in (run.stdout.output, run.stderr.output):
        if output.spilled_to is not None:
            files.setdefault(output.spilled_to.name, str(output.spilled_to))
    if run.background is not None:
        metadata["background"] = run.background
    return Completed(
        exit_code=exit_code,
        stdout=run.stdout.output.text,
        stderr=run.stderr.output.text,
        error=signal_text(exit_code) if exit_code < 0 or (run.is_marked and exit_code > 128) else None,
        files=files or None,
        metadata=metadata,
        truncated=run.stdout.output.is_cut or run.stderr.output.is_cut,
    )
