"""What `FakeTransport(far=…)` gives: a session that keeps every clause, and a model for those of real transports."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio

from galaxy_core.errors import DeviceLostError, TransferError
from galaxy_core.extension.adapter.fetched import command_of
from galaxy_core.extension.adapter.names import plain_names, remote_path
from galaxy_core.extension.adapter.output import Output
from galaxy_core.extension.adapter.sources import Sources
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core.model.device import Device
from galaxy_core.model.request import Action, Command
from galaxy_core.testing.far_link import Answer, Link, LinkLostError
from galaxy_core.testing.far_side import PIECE_BYTES, ROOT, FakeFarSide

#: How long a cancelled attempt may take to make sure that its work is gone.
CLEAN_UP_S: Final = 0.8
#: How long the end of an attempt that has ended may take to be tidied.
FORGET_S: Final = 0.3
CONNECT_S: Final = 1.0


class GarbageError(ConnectionError):
    """The far side said what nobody understands."""


@asynccontextmanager
async def far_session(
    far: FakeFarSide, device: Device, settings: Any, make: Callable[..., FarSession], debts: list[str]
) -> AsyncIterator[FarSession]:
    """A session over a link of its own. `debts` outlive it: they are paid by the next one.

    Raises:
        DeviceLostError: the far side cannot be reached, or does not answer.
    """
    link: Link | None = None
    if getattr(settings, "address", far.address) != far.address:
        raise DeviceLostError(device.device_id, f"nobody answers at {settings.address!r}")
    try:
        try:
            with anyio.fail_after(CONNECT_S):
                link = await far.connect()
                await link.send("hello")
                word, facts = await link.receive()
        except (LinkLostError, TimeoutError) as error:
            raise DeviceLostError(device.device_id, str(error) or "it does not answer") from error
        if word != "facts":
            raise DeviceLostError(device.device_id, f"it answers {word!r} in place of its facts")
        session = make(far, device, settings, link, facts, debts)
        await session.pay()
        try:
            yield session
        finally:
            await session.leave()
    finally:
        if link is not None:
            link.leave()


class FarSession:
    """A session with a `FakeFarSide`. `debts` are marks of attempts that may still run there."""

    def __init__(
        self,
        far: FakeFarSide,
        device: Device,
        settings: Any,
        link: Link,
        facts: Mapping[str, str],
        debts: list[str],
    ) -> None:
        self.far = far
        self.device = device
        self.settings = settings
        self.link = link
        self.facts = facts
        self.debts = debts
        self.released: list[str] = []

    # --------------------------------------------------------------------------------------------- health
    async def probe(self) -> Mapping[str, str]:
        """Ask the far side itself, over the link that stands; pays debts."""
        await self.link.send("hello")
        word, facts = await self.link.receive()
        if word != "facts":
            raise DeviceLostError(self.device.device_id, f"it answers {word!r} in place of its facts")
        await self.pay()
        return self.checked_facts(facts)

    def checked_facts(self, facts: Any) -> Mapping[str, str]:
        """What was told, if it is text."""
        return {str(name): str(value) for name, value in facts.items()}

    async def until_lost(self) -> str:
        """See `SessionThatWatches.until_lost`."""
        await self.link.lost.wait()
        return "the far side has closed the link"

    async def pay(self) -> None:
        """Stop what could not be stopped before."""
        for mark in list(self.debts):
            if await self.kill(mark):
                self.debts.remove(mark)

    # --------------------------------------------------------------------------------------------- attempts
    async def execute(self, attempt: Attempt, /) -> Outcome:
        """See `Session.execute`."""
        request = attempt.request
        if (why := self.refusal(attempt)) is not None:
            return Refused(why)
        if isinstance(request, Action):
            return await self.transfer(attempt, request)
        assert isinstance(request, Command)
        if (why := self.put(attempt, request)) is not None:
            return Refused(why)
        await self.pay()
        await self.forget()
        try:
            link = await self.far.connect()
        except LinkLostError as error:
            return Refused(str(error))
        try:
            return await self.run(attempt, link, request)
        finally:
            link.leave()

    def refusal(self, attempt: Attempt) -> str | None:
        """Why it cannot be asked of this far side; None when it can."""
        request = attempt.request
        if isinstance(request, Action) and request.name in ("push", "pull"):
            return None
        if not isinstance(request, Command) or request.argv is None:
            return f"this far side takes argument lists, not {type(request).__name__}"
        if any("\0" in str(word) for word in request.argv):
            return "an argument holds a NUL character"
        return None

    async def run(self, attempt: Attempt, link: Link, command: Command) -> Outcome:
        """Have the far side do it, and read what it says."""
        streams = {name: self.output(attempt, name) for name in ("stdout", "stderr")}
        try:
            attempt.sent()
            await self.ask(link, attempt, command)
            outcome = await self.converse(attempt, link, streams)
        except (LinkLostError, GarbageError) as error:
            if not attempt.leaves_marker:  # else it goes on, and somebody asks what became of it
                self.debts.append(attempt.mark)
            return Unknown(str(error), self.said(streams, None))
        except anyio.get_cancelled_exc_class():
            await self.break_off(attempt, streams)
            raise
        finally:
            for output in streams.values():
                output.close()
        if isinstance(outcome, Completed):
            self.collect(attempt, command, outcome)
            await self.tidy(attempt)
        return outcome

    async def ask(self, link: Link, attempt: Attempt, command: Command) -> None:
        """Send the request."""
        await link.send("run", attempt.mark, command, attempt.leaves_marker)

    async def converse(self, attempt: Attempt, link: Link, streams: Mapping[str, Output]) -> Outcome:
        """Read until the far side says how it ended.

        Raises:
            LinkLostError: the link went first.
            GarbageError: something came that belongs nowhere.
        """
        while True:
            word, about = await link.receive()
            match word:
                case "started":
                    attempt.acknowledged()
                case "denied":
                    return Refused(about)
                case "stdout" | "stderr":
                    self.take(attempt, streams[word], about)
                case "exit":
                    return self.ended(attempt, streams, about)
                case _:
                    raise GarbageError(f"it said {word!r}, which belongs nowhere")

    def take(self, attempt: Attempt, output: Output, data: bytes) -> None:
        """A piece of output has come."""
        text = output.take(data)
        if text:
            attempt.emit(output.name, text)
        if output.wants_spill:
            output.spill()

    def ended(self, attempt: Attempt, streams: Mapping[str, Output], exit_code: int) -> Completed:
        """The far side has said how it ended."""
        for output in streams.values():
            if rest := output.finish():
                attempt.emit(output.name, rest)
            output.close()
        return self.said(streams, exit_code)

    def output(self, attempt: Attempt, name: str) -> Output:
        """Where a stream of this attempt goes."""
        sources = Sources(attempt, None)
        cap = getattr(self.settings, "output_cap_bytes", 1 << 20)
        return Output(name, cap_bytes=cap, place=lambda: sources.stream_file(name), spill_cap_bytes=1 << 30)

    def said(self, streams: Mapping[str, Output], exit_code: int | None) -> Completed:
        """What it has said until now."""
        stdout, stderr = streams["stdout"], streams["stderr"]
        files = {one.spilled_to.name: str(one.spilled_to) for one in streams.values() if one.spilled_to is not None}
        return Completed(
            exit_code=exit_code,
            stdout=stdout.text,
            stderr=stderr.text,
            files=files or None,
            metadata={**stdout.describe(), **stderr.describe()},
            truncated=stdout.is_cut or stderr.is_cut,
        )

    # --------------------------------------------------------------------------------------------- ends
    async def break_off(self, attempt: Attempt, streams: Mapping[str, Output]) -> None:
        """The attempt was cancelled: make sure that its work is gone, or say that nobody knows."""
        said = self.said(streams, None)
        if attempt.is_let_go:
            attempt.partial = Unknown("it was let go", said)
            return
        attempt.partial = Unknown("the far side does not say whether it has stopped", said)
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLEAN_UP_S):
            if await self.kill(attempt.mark):
                attempt.partial = said
                return
        self.debts.append(attempt.mark)

    async def kill(self, mark: str) -> bool:
        """End all work of that mark, over a link of its own. Whether the far side says that it is gone."""
        return await self.asked("gone", "kill", mark)

    async def tidy(self, attempt: Attempt) -> None:
        """The attempt has ended, and said so: have its record removed. What fails is tried again later."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(FORGET_S):
            if await self.asked("forgotten", "forget", attempt.mark):
                return
        self.debts.append(attempt.mark)

    async def asked(self, wanted: str, *message: Any) -> bool:
        """Whether the far side answers a question as wanted."""
        try:
            link = await self.far.connect()
        except LinkLostError:
            return False
        try:
            await link.send(*message)
            word, _ = await link.receive()
        except LinkLostError:
            return False
        finally:
            link.leave()
        return word == wanted

    # --------------------------------------------------------------------------------------------- settling
    async def settle(self, attempt: Attempt, /) -> Outcome:
        """See `SessionThatSettles.settle`."""
        if not attempt.leaves_marker:
            return Unknown("it has left no marker")
        try:
            said = await self.became(attempt)
        except LinkLostError as error:
            raise DeviceLostError(self.device.device_id, str(error)) from error
        except anyio.get_cancelled_exc_class():
            if attempt.is_let_go:
                attempt.partial = Unknown("it was let go")
            else:
                await self.stop(attempt)
            raise
        if said == "refused":
            return Refused("it never started")
        if isinstance(said, int):
            done = Completed(exit_code=said, metadata={"settled": True})
            if (command := command_of(attempt)) is not None:
                self.collect(attempt, command, done)
            return done
        return Unknown("it has ended without saying how")

    async def became(self, attempt: Attempt) -> Any:
        """Ask the far side about it: an exit code, "refused", or None."""
        return await self.told("settled", "settle", attempt.mark)

    async def told(self, wanted: str, *message: Any) -> Any:
        """What the far side answers to a question.

        Raises:
            LinkLostError: it does not.
        """
        link = await self.far.connect()
        try:
            await link.send(*message)
            word, about = await link.receive()
        finally:
            link.leave()
        if word != wanted:
            raise LinkLostError(f"it said {word!r} in place of {wanted!r}")
        return about

    async def stop(self, attempt: Attempt, /) -> None:
        """See `SessionThatSettles.stop`."""
        attempt.partial = Unknown("the far side does not say whether it has stopped")
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLEAN_UP_S):
            if await self.fence(attempt) and await self.kill(attempt.mark):
                attempt.partial = None

    async def fence(self, attempt: Attempt) -> bool:
        """Keep an attempt that leaves a marker from starting from now on."""
        return not attempt.leaves_marker or await self.asked("fenced", "fence", attempt.mark)

    def lets_go(self, attempt: Attempt, /) -> bool:
        """See `SessionThatSettles`."""
        return attempt.leaves_marker

    def release(self, mark: str, /) -> None:
        """See `SessionThatSettles.release`."""
        self.released.append(mark)

    async def forget(self) -> None:
        """Drop the markers that nobody needs any more."""
        if self.released:
            marks, self.released = self.released, []
            if not await self.asked("released", "release", marks):
                self.released += marks

    async def leave(self) -> None:
        """The session ends."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(FORGET_S):
            await self.forget()

    # --------------------------------------------------------------------------------------------- files
    def put(self, attempt: Attempt, command: Command) -> str | None:
        """Put the files of a command into its folder; why that cannot be, or None."""
        sources = Sources(attempt, None)
        try:
            for name, source in command.files.items():
                with sources.open(str(source)) as file:
                    self.far.files[remote_path(ROOT, name)] = file.read()
        except (OSError, ValueError) as error:
            return str(error)
        return None

    def collect(self, attempt: Attempt, command: Command, outcome: Completed) -> None:
        """Fetch the files that a command has left."""
        for name, plain in plain_names(command.outputs).items():
            if (found := self.far.files.get(f"{ROOT}/{name}")) is not None:
                path = attempt.artifact_path(plain)
                path.write_bytes(found)
                outcome.files = {**(outcome.files or {}), name: str(path)}

    async def transfer(self, attempt: Attempt, action: Action) -> Outcome:
        """Push or pull one file."""
        try:
            link = await self.far.connect()
        except LinkLostError as error:
            return Refused(str(error))
        try:
            if action.name == "push":
                return await self.push(attempt, link, **action.arguments)
            return await self.pull(attempt, link, **action.arguments)
        except ValueError as error:
            return Refused(str(error))
        except FileNotFoundError as error:
            return Refused(str(error))
        except (LinkLostError, GarbageError) as error:
            return Unknown(str(error))
        finally:
            link.leave()

    async def push(self, attempt: Attempt, link: Link, source: str, target: str, mode: str | None = None) -> Outcome:
        """A file of this machine goes to the far side."""
        path = self.far_path(target)
        with Sources(attempt, None).open(source) as file:
            data = file.read()
        pieces = [data[start : start + PIECE_BYTES] for start in range(0, len(data), PIECE_BYTES)]
        attempt.sent()
        await link.send("push", path, pieces)
        word, size = await link.receive()
        if word != "pushed" or size != len(data):
            return self.failed(target, f"{len(data)} bytes were sent, and it says {word!r} of {size}")
        return self.transferred(data)

    async def pull(self, attempt: Attempt, link: Link, path: str, name: str) -> Outcome:
        """A file of the far side comes to this machine."""
        target = Sources(attempt, None).target(name)
        attempt.sent()
        await link.send("pull", self.far_path(path))
        data = b""
        while True:
            answer: Answer = await link.receive()
            match answer:
                case ("piece", piece):
                    data += piece
                case ("pulled", size) if size == len(data):
                    try:
                        target.write_bytes(data)
                    except OSError as error:
                        return self.failed(path, f"it cannot be kept: {error}")
                    done = self.transferred(data)
                    done.files = {name: str(target)}
                    return done
                case ("missing", why):
                    return self.failed(path, str(why))
                case _:
                    raise GarbageError(f"it said {answer[0]!r}")

    def far_path(self, name: str) -> str:
        """Where a file is on the far side: below its root, and nowhere else."""
        return remote_path(ROOT, name)

    def transferred(self, data: bytes) -> Completed:
        """What is told of a file that arrived."""
        return Completed({"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})

    def failed(self, path: str, why: str) -> Completed:
        """What is told of one that did not."""
        return Completed(error=TransferError(self.device.device_id, path, why))
