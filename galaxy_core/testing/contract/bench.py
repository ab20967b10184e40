"""The bench: a transport, the far side that it is tried on, and how attempts are made there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

import anyio
from attrs import define, field

from galaxy_core.errors import DeviceLostError
from galaxy_core.extension.interfaces import (
    FEATURES,
    FEATURES_OF_COMMANDS,
    Attempt,
    Completed,
    Outcome,
    Refused,
    Session,
    Transport,
    Unknown,
)
from galaxy_core.model.device import Device
from galaxy_core.model.policy import Effect
from galaxy_core.model.request import Request
from galaxy_core.model.task import TaskStar
from galaxy_core.testing.contract.clause import NotAskedError, as_context
from galaxy_core.testing.contract.faults import FarSide, Truth
from galaxy_core.testing.contract.leftovers import Leftovers, PrivateTemporaryFolder
from galaxy_core.testing.contract.work import POSIX, Work

#: Nothing that is not told to last may take longer.
LIMIT_S: Final = 30.0
#: What an attempt that is stopped may take beyond its deadline.
SLACK_S: Final = 1.0
_LEAVING: Final = "leaving a session"


@define
class Stopped:
    """The attempt was cancelled, and is over. `partial` is what it left: what was said, or that nobody knows."""

    partial: Completed | Unknown | None = None

    @property
    def is_confirmed(self) -> bool:
        """Whether the session vouches that the work has stopped."""
        return not isinstance(self.partial, Unknown)

    @property
    def said(self) -> Completed | None:
        """What was said until then."""
        return self.partial.said if isinstance(self.partial, Unknown) else self.partial


@define
class Ended:
    """How one attempt ended, by the rules of the kernel. `raised` is what `execute` raised, if it did.

    `seconds` are those since it began; of one that was stopped by `Bench.stopped`, since it was told to stop.
    """

    attempt: Attempt
    outcome: Outcome | Stopped
    seconds: float = 0.0
    raised: Exception | None = None

    def __str__(self) -> str:
        raised = "" if self.raised is None else f", raised {self.raised!r}"
        told = repr(self.outcome)
        return f"{told if len(told) < 600 else told[:600] + '…'} after {self.seconds:.2f} s{raised}"


@define
class Bench:
    """What the clauses of a `TransportContract` are asked of.

    `settings` are those of an inventory, with secrets in clear. `faults` is the far side, when it can misbehave and be
    asked what happened; without one, clauses about that are skipped. `nowhere` are settings under which nobody answers.
    `discovery` are settings for `Transport.discover`. `deadline_s` is how long attempts run that are to be stopped.
    `still_running` says whether the device is still at an attempt (or at any, if it cannot tell them apart): that is how
    a bench without a far side proves that what was stopped has stopped.
    """

    transport: Transport
    settings: Mapping[str, Any] = field(factory=dict)
    work: Work = POSIX
    faults: FarSide | None = None
    nowhere: Mapping[str, Any] | None = None
    discovery: Mapping[str, Any] = field(factory=dict)
    device_id: str = "bench"
    max_concurrency: int = 4
    deadline_s: float = 0.4
    still_running: Callable[[Attempt], Awaitable[bool]] | None = None
    seen: list[str] = field(factory=list, init=False)
    _leases: Any = field(factory=lambda: count(1), init=False)
    _heard: dict[int, list[tuple[str, str]]] = field(factory=dict, init=False)
    _folder: Path | None = field(default=None, init=False)
    _run_mark: str = field(factory=lambda: token_hex(8), init=False)

    # --------------------------------------------------------------------------------------------- what it has
    @property
    def features(self) -> frozenset[str]:
        """What the transport declares."""
        return getattr(self.transport, "features", FEATURES_OF_COMMANDS)

    @property
    def far(self) -> FarSide:
        """The far side.

        Raises:
            NotAskedError: there is none.
        """
        if self.faults is None:
            raise NotAskedError("its bench has no far side ('faults')")
        return self.faults

    def lacks(self, need: str) -> str | None:
        """Why a clause with that need cannot be asked.

        A need is a feature, "faults", "nowhere", "action NAME", or "far NAME", a method of the far side.
        """
        if need == "faults":
            return "its bench has no far side ('faults')" if self.faults is None else None
        if need == "nowhere":
            return "its bench knows no settings that lead nowhere ('nowhere')" if self.nowhere is None else None
        if need.startswith("far "):
            name = need.removeprefix("far ")
            has = callable(getattr(self.faults, name, None))
            return self.lacks("faults") or (None if has else f"its far side has no {name}()")
        if need.startswith("action "):
            name = need.removeprefix("action ")
            return None if name in self.transport.actions else f"takes no action {name!r}"
        assert need in FEATURES, need
        return None if need in self.features else f"declares no {need!r}"

    @property
    def folder(self) -> Path:
        """A folder for files of this clause; removed when it has been asked."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="galaxy-bench-"))
        return self._folder

    def tidy(self) -> None:
        """Forget what one clause has left here."""
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        self.seen.clear()
        self._heard.clear()

    def can(self, request: Request | None, what: str) -> Request:
        """`request` itself, when the far side knows how to do that.

        Raises:
            NotAskedError: it does not.
        """
        if request is None:
            raise NotAskedError(f"its Work has no words for {what!r}")
        return request

    # --------------------------------------------------------------------------------------------- connecting
    def device(self, settings: Mapping[str, Any] | None = None) -> Device:
        """The device as an inventory would have it."""
        return Device(
            self.device_id,
            self.transport.name,
            self.settings if settings is None else settings,
            max_concurrency=self.max_concurrency,
        )

    @asynccontextmanager
    async def opened(self, settings: Mapping[str, Any] | None = None, **more: Any) -> AsyncIterator[Session]:
        """A session; `settings` in place of the bench's own, `more` beside them."""
        told = {**(self.settings if settings is None else settings), **more}
        model = self.transport.settings_model
        read = None if model is None else model.model_validate(told)
        try:
            async with AsyncExitStack() as stack:
                with self.busy("opening a session"):
                    session = await stack.enter_async_context(as_context(self.transport.open(self.device(told), read)))
                try:
                    yield session
                finally:
                    self.seen.append(_LEAVING)
        finally:
            with suppress(ValueError):
                self.seen.remove(_LEAVING)

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """While it lasts, and if it fails, `what` is among what was seen."""
        self.seen.append(what)
        yield
        with suppress(ValueError):  # a clause may have begun anew
            self.seen.remove(what)

    def has_setting(self, name: str) -> bool:
        """Whether a device of this transport has a setting of that name."""
        model = self.transport.settings_model
        return model is not None and name in model.model_fields

    @asynccontextmanager
    async def leaving_nothing(self) -> AsyncIterator[None]:
        """What is done inside must leave nothing in this process, nor on the far side.

        It is to be done once before, so that what is kept for good is there already.
        """
        with PrivateTemporaryFolder(self.folder / "tmp") as folder:
            before = Leftovers(folder)
            yield
            left = await before.found()
        assert not left, f"left in this process: {', '.join(left)}"
        await self.is_clean()

    async def is_clean(self) -> None:
        """Nothing remains on the far side; it gets a while for that. Without a far side, nobody can tell."""
        if self.faults is None:
            return
        remains: list[str] = []
        with anyio.move_on_after(LIMIT_S / 10):
            while remains := list(await self.faults.remains()):
                await anyio.sleep(0.02)
        assert not remains, f"left on the far side: {', '.join(remains)}"

    # --------------------------------------------------------------------------------------------- attempts
    def attempt(
        self,
        request: Request | None,
        *,
        timeout_s: float | None = None,
        effect: str = "once",
        leaves_marker: bool = False,
    ) -> Attempt:
        """An attempt whose output is heard, and which may keep files."""
        task = TaskStar("task", request=request, effect=Effect(effect))
        lease = next(self._leases)
        run_mark = self._run_mark if leaves_marker else ""
        place = (self._hear, self._keep, run_mark)
        return Attempt("bench", task, self.device_id, 1, lease, request, timeout_s, *place, leaves_marker=leaves_marker)

    def same_mark(self, attempt: Attempt) -> Attempt:
        """Another attempt under the mark of one that leaves a marker."""
        task, request, place = attempt.task, attempt.request, (self._hear, self._keep, self._run_mark)
        return Attempt("bench", task, self.device_id, 1, attempt.lease, request, None, *place, leaves_marker=True)

    def restored(self, attempt: Attempt) -> Attempt:
        """The attempt as a process has it that is to settle it: without a request, and heard by nobody; it may keep files."""
        restored = Attempt.restored("bench", attempt.task, self.device_id, 1, attempt.lease, attempt.mark, self._keep)
        restored.leaves_marker = attempt.leaves_marker
        return restored

    def heard(self, attempt: Attempt, stream: str = "stdout") -> str:
        """What an attempt has said until now."""
        return "".join(text for name, text in self._heard.get(attempt.lease, ()) if name == stream)

    def _hear(self, attempt: Attempt, stream: str, text: str) -> None:
        self._heard.setdefault(attempt.lease, []).append((stream, text))

    def _keep(self, attempt: Attempt, name: str) -> Path:
        if Path(name).name != name or name in ("", ".", ".."):
            raise ValueError(f"{name!r} is not one plain path component")
        folder = self.folder / f"attempt-{attempt.lease}"
        folder.mkdir(exist_ok=True)
        return folder / name

    async def ended(
        self,
        session: Session,
        request: Request | None,
        *,
        timeout_s: float | None = None,
        attempt: Attempt | None = None,
    ) -> Ended:
        """Make an attempt and say how it ended. It is cancelled after `timeout_s`; without, it has to end by itself."""
        attempt = self.attempt(request, timeout_s=timeout_s) if attempt is None else attempt
        start, ended = anyio.current_time(), None
        with self.busy("an attempt"), anyio.move_on_after(LIMIT_S if timeout_s is None else timeout_s):
            ended = await _executed(session, attempt)
        ended = Ended(attempt, Stopped(attempt.partial)) if ended is None else ended
        ended.seconds = anyio.current_time() - start
        self.seen.append(str(ended))
        if timeout_s is None and ended.seconds >= LIMIT_S:
            raise AssertionError(f"an attempt that should have ended by itself had not after {LIMIT_S:.0f} s")
        return ended

    async def outcome(
        self, session: Session, request: Request | None, *, timeout_s: float | None = None
    ) -> Outcome | Stopped:
        """As `ended`, the outcome alone."""
        return (await self.ended(session, request, timeout_s=timeout_s)).outcome

    async def completed(self, session: Session, request: Request | None) -> Completed:
        """As `outcome`, of what has to be completed, with whatever exit code."""
        outcome = await self.outcome(session, request)
        assert isinstance(outcome, Completed), f"it was not completed: {outcome!r}"
        return outcome

    async def stopped(
        self, session: Session, attempt: Attempt, when: Callable[[anyio.Event], Awaitable[None]] | None = None
    ) -> Ended:
        """Make an attempt that does not end by itself, cancel it, and say how it ended.

        It is cancelled when `when` returns, which gets an event that says that the attempt is over; by default when the
        far side is at it. `seconds` counts from there.
        """
        found: list[Ended] = []
        scope, over = anyio.CancelScope(), anyio.Event()

        async def execute() -> None:
            with scope:
                found.append(await _executed(session, attempt))
            if not found:
                found.append(Ended(attempt, Stopped(attempt.partial)))
            over.set()

        with self.busy("an attempt, which was to be cancelled"):
            async with anyio.create_task_group() as group:
                group.start_soon(execute)
                await (self.until_running(attempt, over) if when is None else when(over))
                start = anyio.current_time()
                scope.cancel()
        found[0].seconds = anyio.current_time() - start
        self.seen.append(str(found[0]))
        return found[0]

    async def until_running(self, attempt: Attempt, over: anyio.Event | None = None) -> None:
        """Wait until the far side is at it, or `over` is set: by its own word, else by what is heard, else for a while."""
        if self.faults is None and self.still_running is None and "streams" not in self.features:
            await anyio.sleep(self.deadline_s)
            return

        async def runs() -> bool:
            if over is not None and over.is_set():
                return True
            known = await self.runs(attempt)
            return bool(self.heard(attempt)) if known is None else known

        await self.until(runs, "the far side never began with it")

    async def until(self, holds: Callable[[], Any], otherwise: str) -> None:
        """Wait until something holds, or fail."""
        with anyio.move_on_after(LIMIT_S / 3):
            while not await holds():
                await anyio.sleep(0.01)
            return
        raise AssertionError(otherwise)

    async def truth(self, attempt: Attempt) -> Truth:
        """What really became of an attempt."""
        return await self.far.truth(attempt.mark)

    async def runs(self, attempt: Attempt) -> bool | None:
        """Whether the far side is at it; None when there is nobody to ask."""
        if self.faults is not None:
            truth = await self.truth(attempt)
            self.seen[:] = [*(one for one in self.seen if not one.startswith("Truth(")), str(truth)]
            return truth.running
        return None if self.still_running is None else await self.still_running(attempt)

    async def is_stopped(self, attempt: Attempt) -> None:
        """The far side is not at it, if there is somebody to ask. Asked at once: who vouches for it has seen it."""
        assert not await self.runs(attempt), "it still runs on the far side"

    async def works(self, session: Session, text: str = "still here") -> None:
        """A plain attempt succeeds in this session."""
        done = await self.completed(session, self.can(self.work.say(text), "say"))
        assert self.is_success(done), f"a plain attempt failed: {done!r}"
        assert self.work.same(said(done), text), f"a plain attempt said {said(done)!r} in place of {text!r}"

    @staticmethod
    def is_success(done: Completed) -> bool:
        """Whether the kernel would take it for success."""
        return done.error is None and not done.exit_code


async def _executed(session: Session, attempt: Attempt) -> Ended:
    """What the kernel makes of what comes out of `execute`."""
    try:
        outcome = await session.execute(attempt)
    except DeviceLostError as error:
        return Ended(attempt, Unknown(error.why), raised=error)
    except Exception as error:  # the clause receives it, as what was raised
        if attempt.progress == "new":
            return Ended(attempt, Completed(error=error), raised=error)
        return Ended(attempt, Unknown(f"{type(error).__name__}: {error}"), raised=error)
    assert isinstance(outcome, Completed | Refused | Unknown), f"execute returned {outcome!r}"
    return Ended(attempt, outcome)


def said(done: Completed) -> str | None:
    """What a completed attempt has printed, or returned."""
    return done.stdout if done.stdout is not None else done.value if isinstance(done.value, str) else None
