"""Fakes: devices scripted in process, and an observer that keeps what it hears.

They behave as the Protocols of `galaxy_core.extension.interfaces` say, and wait for events and timers alone, so that they
also work under virtual time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from inspect import isawaitable
from typing import Any

import anyio

from galaxy_core.errors import DeviceLostError
from galaxy_core.extension.interfaces import (
    FEATURES,
    FEATURES_OF_COMMANDS,
    Attempt,
    Completed,
    Outcome,
    Placement,
    Refused,
    Session,
    Sighting,
    SightingSink,
    Unknown,
)
from galaxy_core.model.device import Device
from galaxy_core.model.events import Event, EventType, TaskEvent
from galaxy_core.model.request import Call, Command, Request
from galaxy_core.testing.far_session import FarSession, far_session
from galaxy_core.testing.far_side import FakeFarSide

#: What one attempt comes to: an outcome, an exception that `execute` raises, or a function of the attempt that returns
#: either (`def` or `async def`).
Step = Outcome | Exception | Callable[[Attempt], Any]


async def hang(attempt: Attempt) -> Outcome:
    """A step that never ends by itself."""
    await anyio.sleep_forever()
    raise AssertionError("unreachable: nothing wakes it")


def takes(seconds: float, step: Step | None = None) -> Callable[[Attempt], Awaitable[Any]]:
    """A step that waits `seconds` before it comes to `step` (by default, success)."""

    async def wait(attempt: Attempt) -> Any:
        await anyio.sleep(seconds)
        return await _played(Completed() if step is None else step, attempt)

    return wait


async def _played(step: Any, attempt: Attempt) -> Any:
    """What a step comes to, which may be anything: a script can break the rules, too."""
    while callable(step) or isawaitable(step):
        step = await step if isawaitable(step) else step(attempt)
    if isinstance(step, Exception):
        raise step
    return step


class FakeDevice:
    """What a `FakeTransport` reaches under one device id, and what happened to it.

    `plugged` says whether it can be reached; `connect_s` how many seconds connecting takes; `refusals_left` how many
    more tries to connect fail; `probe_error` is raised by probes, and `frozen` has probes and attempts hang. `started`,
    `cancelled` and `ended` list task ids; `most_running` is the largest number of attempts that ran at once.

    `markers` are what attempts that leave one have left, by mark: how they ended, None as long as they have not. `let_go` lists
    the ids of tasks whose attempts were left at work. `stopped`
    and `asked` list the ids of tasks of which an earlier attempt was stopped, or asked about; `released` lists marks, `expected` the marks of runs.
    """

    def __init__(self, device_id: str) -> None:
        self.device_id = device_id
        self.plugged = True
        self.connect_s = 0.0
        self.refusals_left = 0
        self.probe_error: Exception | None = None
        self.frozen = False
        self.connects = 0
        self.sessions = 0
        self.probes = 0
        self.settings: Any = None
        self.attempts: list[Attempt] = []
        self.started: list[str] = []
        self.ended: list[str] = []
        self.cancelled: list[str] = []
        self.running: list[str] = []
        self.most_running = 0
        self.markers: dict[str, Outcome | None] = {}
        self.stopped: list[str] = []
        self.asked: list[str] = []
        self.let_go: list[str] = []
        self.released: list[str] = []
        self.expected: list[str] = []
        self._links: set[anyio.CancelScope] = set()

    def unplug(self) -> None:
        """The connection breaks: what runs ends with `DeviceLostError`, and so does every try to connect."""
        self.plugged = False
        for link in list(self._links):
            link.cancel()

    def plug_in(self) -> None:
        """It can be connected again."""
        self.plugged = True

    async def connect(self) -> None:
        """One try to connect.

        Raises:
            DeviceLostError: it cannot be reached, or `refusals_left` says so.
        """
        self.connects += 1
        await anyio.sleep(self.connect_s)
        if self.refusals_left > 0:
            self.refusals_left -= 1
            raise DeviceLostError(self.device_id, "it does not answer yet")
        self._need_plug()

    async def probe(self) -> Mapping[str, str]:
        """See `Session.probe`."""
        self.probes += 1
        if self.frozen:
            await anyio.sleep_forever()
        if self.probe_error is not None:
            raise self.probe_error
        self._need_plug()
        return {"fake": self.device_id}

    async def run(self, attempt: Attempt, step: Step) -> Outcome:
        """Play one attempt; the connection may break meanwhile."""
        self._need_plug()
        task_id = attempt.task_id
        if attempt.leaves_marker:
            if attempt.mark in self.markers:
                return Refused("an attempt with this mark was there before")
            self.markers[attempt.mark] = None
        self.attempts.append(attempt)
        self.started.append(task_id)
        self.running.append(task_id)
        self.most_running = max(self.most_running, len(self.running))
        try:
            with anyio.CancelScope() as link:
                self._links.add(link)
                outcome: Outcome = await _played(hang if self.frozen else step, attempt)
                self.ended.append(task_id)
                if attempt.leaves_marker and isinstance(outcome, Completed):
                    self.markers[attempt.mark] = outcome
                return outcome
        except anyio.get_cancelled_exc_class():
            self._broken_off(attempt)
            raise
        finally:
            self._links.discard(link)
            self.running.remove(task_id)
        raise DeviceLostError(self.device_id, "it was unplugged")

    async def settle(self, attempt: Attempt, step: Step | None) -> Outcome:
        """See `SessionThatSettles.settle`; `step` is what is said in place of what the markers say."""
        self._need_plug()
        self.asked.append(attempt.task_id)
        try:
            with anyio.CancelScope() as link:
                self._links.add(link)
                if step is not None:
                    outcome: Outcome = await _played(step, attempt)
                    return outcome
                if attempt.mark not in self.markers:
                    self.markers[attempt.mark] = Refused("it never started")
                return self.markers[attempt.mark] or Unknown("it has ended without saying how")
        except anyio.get_cancelled_exc_class():
            self._broken_off(attempt)
            raise
        finally:
            self._links.discard(link)
        raise DeviceLostError(self.device_id, "it was unplugged")

    def stop(self, task_id: str) -> None:
        """See `SessionThatSettles.stop`."""
        self._need_plug()
        self.stopped.append(task_id)

    def _broken_off(self, attempt: Attempt) -> None:
        if attempt.is_let_go:
            attempt.partial = Unknown("it was let go")
        (self.let_go if attempt.is_let_go else self.cancelled).append(attempt.task_id)

    def _need_plug(self) -> None:
        if not self.plugged:
            raise DeviceLostError(self.device_id, "it is unplugged")


class FakeSession:
    """A session of a `FakeTransport`."""

    def __init__(self, transport: FakeTransport, device: FakeDevice) -> None:
        self._transport = transport
        self._device = device

    async def execute(self, attempt: Attempt, /) -> Outcome:
        """The next step of the task's script; without one, a `Call` is called, and everything else succeeds."""
        return await self._device.run(attempt, self._transport.next_step(attempt))

    async def probe(self) -> Mapping[str, str]:
        """Ask the device."""
        return await self._device.probe()

    async def expect(self, run_mark: str, /) -> None:
        """Note which run is to leave markers."""
        self._device.expected.append(run_mark)

    async def settle(self, attempt: Attempt, /) -> Outcome:
        """What the script says, see `FakeTransport.became`; without one, what the markers say."""
        return await self._device.settle(attempt, self._transport.next_word(attempt))

    async def stop(self, attempt: Attempt, /) -> None:
        """Note that it was stopped."""
        self._device.stop(attempt.task_id)

    def lets_go(self, attempt: Attempt, /) -> bool:
        """Whether it leaves a marker."""
        return attempt.leaves_marker

    def release(self, mark: str, /) -> None:
        """Drop the marker."""
        self._device.released.append(mark)
        self._device.markers.pop(mark, None)


class FakeTransport:
    """A transport to devices that are scripted in process.

    ``transport.script("task", Refused("busy"), takes(5))`` says what the attempts at that task come to, the last step
    being repeated. ``transport.device("id")`` is the device behind an id. `requests`, `actions`, `settings_model` and
    `device_type` are what a transport declares.

    With `far`, it reaches that far side instead, which can misbehave, and keeps the whole contract of transports; its
    sessions are made by `session`. `features` are what it declares then.
    """

    def __init__(
        self,
        name: str = "fake",
        *,
        requests: frozenset[str] = frozenset({"run", "shell", "call", "none"}),
        actions: Mapping[str, Any] | None = None,
        settings_model: Any = None,
        device_type: str | None = None,
        features: frozenset[str] | None = None,
        discovery_model: Any = None,
        far: FakeFarSide | None = None,
        session: Callable[..., FarSession] = FarSession,
    ) -> None:
        self.name = name
        self.features = (FEATURES_OF_COMMANDS if far is None else frozenset(FEATURES)) if features is None else features
        self.discovery_model = discovery_model
        self.far = far
        self.session = session
        self.requests = requests
        self.actions: Mapping[str, Any] = dict(actions or {})
        self.settings_model = settings_model
        self.device_type = device_type
        self.default: Step = _called
        self._devices: dict[str, FakeDevice] = {}
        self._scripts: dict[str, list[Step]] = {}
        self._words: dict[str, list[Step]] = {}
        self._debts: dict[str, list[str]] = {}

    def device(self, device_id: str) -> FakeDevice:
        """The device of that id, connected or not; made when first asked for."""
        return self._devices.setdefault(device_id, FakeDevice(device_id))

    def script(self, task_id: str, *steps: Step) -> None:
        """What the attempts at a task come to, on whatever device, in order; the last one is repeated."""
        self._scripts[task_id] = list(steps)

    def became(self, task_id: str, *steps: Step) -> None:
        """What a device says when it is asked what became of attempts at a task (feature "settles"); the last is repeated."""
        self._words[task_id] = list(steps)

    def next_word(self, attempt: Attempt) -> Step | None:
        """What is said of this attempt, None when no script says anything."""
        steps = self._words.get(attempt.task_id)
        return None if not steps else steps.pop(0) if len(steps) > 1 else steps[0]

    def next_step(self, attempt: Attempt) -> Step:
        """What this attempt comes to."""
        steps = self._scripts.get(attempt.task_id)
        if not steps:
            kind = _kind(attempt.request)
            if kind not in self.requests and kind not in self.actions:
                return Refused(f"transport {self.name!r} takes no {kind!r}")
            return self.default
        return steps.pop(0) if len(steps) > 1 else steps[0]

    @asynccontextmanager
    async def open(self, device: Device, settings: Any, /) -> AsyncIterator[Session]:
        """A session to the fake device of that id, or to the far side."""
        if self.far is not None:
            debts = self._debts.setdefault(device.device_id, [])
            async with far_session(self.far, device, settings, self.session, debts) as session:
                yield session
            return
        fake = self.device(device.device_id)
        fake.settings = settings
        await fake.connect()
        fake.sessions += 1
        try:
            yield FakeSession(self, fake)
        finally:
            fake.sessions -= 1

    async def until_back(self, _device: Device, _settings: Any, /) -> None:
        """Wait until the far side can be reached."""
        while self.far is not None and not self.far.is_there:
            await self.far.changed.wait()

    async def discover(self, _settings: Any, seen: SightingSink, /) -> None:
        """The far side is the one device that there is."""
        assert self.far is not None
        was_there: bool | None = None
        while True:
            changed, is_there = self.far.changed, self.far.is_there
            if is_there is not was_there:
                seen(Sighting(self.far.key, is_there, dict(self.far.settings), dict(self.far.facts)))
            was_there = is_there
            await changed.wait()


def _kind(request: Request | None) -> str:
    """The kind of a request, or the name of an action."""
    match request:
        case None:
            return "none"
        case Call():
            return "call"
        case Command():
            return "run" if request.argv is not None else "shell"
        case _:
            return request.name


async def _called(attempt: Attempt) -> Outcome:
    call = attempt.request
    if not isinstance(call, Call):
        return Completed()
    value = call.function(*call.args, **call.kwargs)
    return Completed(await value if isawaitable(value) else value)


class FirstFit:
    """A strategy: each task goes to the first device that fits."""

    name = "first_fit"

    def assign(self, placement: Placement, /) -> Mapping[str, str]:
        """See `AssignmentStrategy.assign`."""
        return {task.task_id: task.fitting[0] for task in placement.tasks}


class Recorder:
    """An observer that keeps what it hears, in order."""

    def __init__(self, name: str = "recorder") -> None:
        self.name = name
        self.events: list[Event] = []

    async def on_event(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)

    def of(self, *types: EventType) -> list[Any]:
        """The events of these types, in order."""
        return [event for event in self.events if event.event_type in types]

    def of_task(self, task_id: str) -> list[TaskEvent]:
        """The events of one task, in order."""
        return [event for event in self.events if isinstance(event, TaskEvent) and event.task_id == task_id]

    def story_of(self, task_id: str) -> list[str]:
        """The types of the events of one task, in order."""
        return [event.event_type.value for event in self.of_task(task_id)]

    def story(self, *leave_out: EventType) -> list[str]:
        """Everything heard, as "type" or "type task-or-device-id", in order."""
        return [
            " ".join(filter(None, (event.event_type.value, getattr(event, "task_id", getattr(event, "device_id", "")))))
            for event in self.events
            if event.event_type not in leave_out
        ]
