"""Attempts on a link: what a command needs before and after it runs, and files by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from galaxy_core import Command
from galaxy_core.errors import TransferError
from galaxy_core.extension.adapter import marks
from galaxy_core.extension.adapter.fetched import Fetched
from galaxy_core.extension.adapter.names import far_parts, plain_names, remote_path
from galaxy_core.extension.adapter.posix import below, kill_script, wrap
from galaxy_core.extension.adapter.sources import Sources, files_root
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core_ssh import scripts
from galaxy_core_ssh.remote.channel import ChannelRefusedError
from galaxy_core_ssh.remote.command import Running
from galaxy_core_ssh.remote.faults import LinkLostError
from galaxy_core_ssh.remote.files import Copied, Files, NotCopiedError, NotReadError, NotWrittenError
from galaxy_core_ssh.remote.link import Link
from galaxy_core_ssh.requests import Pull, Push

if TYPE_CHECKING:
    from galaxy_core_ssh.remote.host import Host


def sources_of(host: Host, attempt: Attempt) -> Sources:
    """Where files of this machine may come from and go to."""
    return Sources(attempt, files_root(host.device.folder, host.settings.files_root))


class CommandAttempt:
    """One command with its files."""

    def __init__(self, host: Host, link: Link, attempt: Attempt, command: Command) -> None:
        self._host = host
        self._link = link
        self._attempt = attempt
        self._command = command
        self._sources = sources_of(host, attempt)
        self._cwd = below(host.root, command.cwd) or host.root
        self._fetched = Fetched()

    async def run(self) -> Outcome:
        try:
            if marks.is_marked(self._attempt):
                await self._host.expect_on(self._link, marks.run_of(self._attempt.mark))
            text, stdin, covered = self._prepared()
            targets = self._targets()
            if self._command.files:
                await self._put()
        except (ValueError, NotCopiedError) as error:
            return Refused(str(error))
        host, attempt = self._host, self._attempt
        running = Running(
            attempt, self._link, host.settings, host.bridge, self._sources.stream_file, host.secrets, self._cwd
        )
        try:
            await running.run(text, stdin, covered=covered)
        except ChannelRefusedError as error:
            self._link.is_full()
            return Refused(
                f"{error}; the host allows fewer channels than max_channels says, or has run out of something"
            )
        except LinkLostError as error:
            if attempt.progress == "new":
                raise
            self._owe_unless_marked()
            return Unknown(str(error), said=running.said(with_end=False))
        except BaseException:
            if attempt.progress != "new":
                await self._stop(running)
            raise
        outcome = running.outcome()
        if isinstance(outcome, Completed) and targets:
            try:
                return await self._collected(outcome, targets)
            except LinkLostError as error:
                return self._with_files(outcome, targets, str(error))
        elif isinstance(outcome, Unknown):
            self._owe_unless_marked()
        return outcome

    async def settled(self, said: Completed) -> Outcome:
        """The end of a command that was settled, with what it has left, as if somebody had been there.

        Raises:
            LinkLostError: the connection went meanwhile.
        """
        try:
            targets = self._targets()
        except (OSError, ValueError) as error:  # there is no place for them
            return Fetched.nowhere(said, self._command.outputs, error, self._cwd)
        return await self._collected(said, targets)

    def _prepared(self) -> tuple[str, bytes, bool]:
        """The text for the shell, what follows on its standard input, and whether the text has to travel there, too.

        Raises:
            ValueError: something in it cannot be passed on.
        """
        host, command = self._host, self._command
        env = {name: value.get_secret_value() for name, value in host.settings.env.items()}
        stdin = command.stdin
        if stdin is not None and not isinstance(stdin, str):
            raise ValueError(f"standard input is {type(stdin).__name__}, not text")
        for name in (*command.files, *command.outputs):
            far_parts(name)
        try:
            data = b"" if stdin is None else stdin.encode("utf-8", "surrogateescape")
            leading = host.leading(self._attempt, len(data) if data else None)
            text = wrap(command, self._attempt.mark, env=env, root=host.root, leading=leading)
            if leading:
                text = host.released.first() + text
            size = len(text.encode("utf-8", "surrogateescape"))
            is_plain = text.isascii() or not any("\ud800" <= one <= "\udfff" for one in text)
        except UnicodeEncodeError as error:
            raise ValueError(f"the command cannot be written as UTF-8: {error.reason}") from None
        covered = bool(env or command.env) or not host.is_posix or size > scripts.LONGEST or not is_plain
        return text, data, covered

    def _targets(self) -> dict[str, Path]:
        """Asked for now, because a run that cannot keep what the command makes should not start it."""
        plain = plain_names(self._command.outputs)
        return {name: self._host.bridge.ask(self._sources.target, plain[name]) for name in self._command.outputs}

    async def _put(self) -> None:
        async with Files(self._host, self._link) as files:
            for name, source in self._command.files.items():
                try:
                    await files.push(self._sources, str(source), self._cwd, far_parts(name), 0o644, keep_mode=True)
                except NotCopiedError as error:
                    raise ValueError(
                        f"{str(source)!r} cannot be put into the working folder as {name!r}: {error}"
                    ) from error

    async def _collected(self, outcome: Completed, targets: dict[str, Path]) -> Outcome:
        """How it ended, with what it has left. A cancellation leaves in `partial` what there is.

        Raises:
            LinkLostError: the connection went meanwhile.
        """
        fetched = self._fetched
        try:
            async with Files(self._host, self._link) as files:
                for name, target in targets.items():
                    try:
                        copied = await files.pull(self._cwd, far_parts(name), target)
                    except NotWrittenError as error:
                        fetched.unkept[name] = f"{error} (in {str(target.parent)!r})"
                    except NotCopiedError as error:
                        fetched.lost[name] = str(error)
                    else:
                        fetched.files[name] = str(target)
                        fetched.collected[name] = copied.told()
        except LinkLostError:
            raise
        except ChannelRefusedError as error:
            return self._with_files(outcome, targets, str(error))
        except BaseException:  # goes on to the kernel
            said = self._with_files(outcome, targets, "the task was stopped before")
            self._attempt.partial = said.said if isinstance(said, Unknown) else said
            raise
        return fetched.added_to(outcome, self._cwd)

    def _with_files(self, outcome: Completed, targets: dict[str, Path], why: str) -> Completed | Unknown:
        """How it ended, with what there is of its files, and why there are no more."""
        self._fetched.unkept |= dict.fromkeys(self._missing(targets), why)
        return self._fetched.added_to(outcome, self._cwd)

    def _missing(self, targets: dict[str, Path]) -> list[str]:
        fetched = self._fetched
        return [
            name for name in targets if not any(name in one for one in (fetched.files, fetched.lost, fetched.unkept))
        ]

    async def _stop(self, running: Running) -> None:
        """Cancelled after it was asked for."""
        if self._attempt.is_let_go:
            running.channel.close()
            self._attempt.partial = Unknown(marks.LET_GO, said=running.said(with_end=False))
            return
        why = await running.stop()
        if why is None:
            self._attempt.partial = running.said()
        else:
            self._owe()
            self._attempt.partial = Unknown(why, said=running.said(with_end=False))

    def _owe_unless_marked(self) -> None:
        """What leaves a marker goes on, and somebody asks what became of it."""
        if not marks.is_marked(self._attempt):
            self._owe()

    def _owe(self) -> None:
        mark = self._attempt.mark
        self._host.debts[mark] = kill_script(mark, self._host.settings.kill_grace_s)


async def push(host: Host, link: Link, attempt: Attempt, request: Push) -> Outcome:
    """Copy a file to the host."""
    try:
        path = remote_path(host.root, request.target, allow_any=host.settings.allow_any_path)
        base, parts = _split(host.root, path)
        sources = sources_of(host, attempt)
        host.bridge.ask(sources.readable, request.source)
    except ValueError as error:
        return Refused(str(error))
    return await _transferred(
        host,
        link,
        attempt,
        request.target,
        lambda files: files.push(sources, request.source, base, parts, int(request.mode, 8), sent=attempt.sent),
        request.source,
    )


async def pull(host: Host, link: Link, attempt: Attempt, request: Pull) -> Outcome:
    """Copy a file of the host to where the run keeps files."""
    try:
        path = remote_path(host.root, request.path, allow_any=host.settings.allow_any_path)
        base, parts = _split(host.root, path)
        target = host.bridge.ask(sources_of(host, attempt).target, request.name)
    except ValueError as error:
        return Refused(str(error))
    outcome = await _transferred(
        host, link, attempt, request.path, lambda files: files.pull(base, parts, target, sent=attempt.sent)
    )
    if isinstance(outcome, Completed) and outcome.error is None:
        outcome.files = {request.name: str(target)}
    return outcome


async def _transferred(host: Host, link: Link, attempt: Attempt, name: str, copy: Any, source: str = "") -> Outcome:
    try:
        async with Files(host, link) as files:
            try:
                copied: Copied = await copy(files)
            except NotReadError as error:
                return Completed(error=TransferError(host.device.device_id, source, str(error)))
            except NotCopiedError as error:
                return Completed(error=TransferError(host.device.device_id, name, str(error)))
            except BaseException:
                if files.may_have_replaced:
                    attempt.partial = Unknown(f"file {name!r} may have been put in its place already")
                raise
    except ChannelRefusedError as error:
        link.is_full()
        return Refused(str(error))
    except LinkLostError as error:
        if attempt.progress == "new":
            raise
        return Unknown(f"the link was gone while file {name!r} was copied: {error}")
    return Completed(value=copied.told(), metadata={"check": copied.check})


def _split(root: str, path: str) -> tuple[str, tuple[str, ...]]:
    """The folder that is trusted as it is, and the way from there, no part of which may be a link."""
    base = root.rstrip("/")
    if path.startswith(base + "/"):
        return base, tuple(path[len(base) + 1 :].split("/"))
    parts = tuple(path.strip("/").split("/"))
    return "/" + "/".join(parts[:-1]), parts[-1:]
