"""What outlives a simulated orchestrator: devices with the work that they do, and the disk with the journal.

Both know which life of the orchestrator talks to them, and do nothing for one that is dead. Both look at once whether
what they are asked for may be: nothing begins without a durable start, before what it waits for is durably over, or twice.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import anyio
from attrs import define, field

from galaxy_core import Attempt, Completed, Device, Effect, Refused, RunInfo, Unknown
from galaxy_core.errors import DeviceLostError, JournalError, RunLockedError, UnknownRecordedRunError


class DeadError(JournalError):
    """Asked for by an orchestrator that is no more."""


@define
class Life:
    """One orchestrator, from its start to its crash. `base_s` is the world's time when it began."""

    number: int
    base_s: float
    is_dead: bool = False
    doomed: anyio.Event | None = None  # set: it crashes now, and not later

    def now(self) -> float:
        """The world's time, in seconds: unlike clocks it goes on when an orchestrator dies."""
        return self.base_s + anyio.current_time()

    def check(self) -> None:
        """Nothing is done for the dead."""
        if self.is_dead:
            raise DeadError("the process is dead")


@define
class Work:
    """What a device does for one attempt; `code` is how it ends, if it is let."""

    task_id: str
    mark: str
    began_s: float
    ends_s: float
    code: int
    settles: bool
    stopped_s: float | None = None

    def is_running(self, now: float) -> bool:
        """Whether it is at work."""
        return self.stopped_s is None and now < self.ends_s

    def has_ended(self, now: float) -> bool:
        """Whether it came to its own end."""
        return self.stopped_s is None and now >= self.ends_s


@define
class Disk:
    """Keeps the records of one run. What a write has not acknowledged survives a crash in part, as chance has it."""

    random: Random
    lines: list[str] = field(factory=list)
    epoch: int = 0
    writer: Life | None = None
    started: set[str] = field(factory=set)  # "task/attempt/epoch" of durable starts
    ended: dict[str, str] = field(factory=dict)  # the durable ends, by task
    in_flight: list[str] = field(factory=list)
    fails_at: int = 0  # the write that fails, counted from 1; 0: none
    writes: int = 0

    def keep(self, lines: Sequence[str]) -> None:
        """They are durable from now on."""
        for line in lines:
            self.lines.append(line)
            record = json.loads(line)
            if record[1] == "start":
                self.started.add(f"{record[2]}/{record[3]}/{self.epoch}")
            elif record[1] == "end":
                self.ended[record[2]] = record[5]
            elif record[1] == "ran":
                self.ended |= {one[0]: one[6] if len(one) > 6 else "completed" for one in record[2]}
            elif record[1] == "resolve":
                self.ended[record[2]["task"]] = record[2]["as"]

    def crash(self) -> None:
        """The power is gone: of what was being written, a beginning is there."""
        self.keep(self.in_flight[: self.random.randint(0, len(self.in_flight))])
        self.in_flight, self.writer = [], None


class SimJournal:
    """The journal of one life, on the disk that outlives it."""

    name = "sim"

    def __init__(self, disk: Disk, life: Life) -> None:
        self.disk, self.life = disk, life

    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[SimWriter]:
        if self.disk.lines:
            raise JournalError("there is a run already")
        async with self._writer() as writer:
            yield writer

    @asynccontextmanager
    async def reopen(self, run_id: str, /) -> AsyncIterator[SimWriter]:
        if not self.disk.lines:
            raise UnknownRecordedRunError(run_id)
        async with self._writer() as writer:
            yield writer

    @asynccontextmanager
    async def _writer(self) -> AsyncIterator[SimWriter]:
        self.life.check()
        if self.disk.writer is not None:
            raise RunLockedError("run", "another life")
        self.disk.writer = self.life
        self.disk.epoch += 1
        try:
            yield SimWriter(self.disk, self.life)
        finally:
            if self.disk.writer is self.life:
                self.disk.writer = None

    def read(self, run_id: str, /) -> Sequence[str]:
        if not self.disk.lines:
            raise UnknownRecordedRunError(run_id)
        return list(self.disk.lines)

    def runs(self) -> Sequence[str]:
        return ["run"] if self.disk.lines else []


class SimWriter:
    """Writes to the disk, which takes its time."""

    folder: Path | None = None

    def __init__(self, disk: Disk, life: Life) -> None:
        self.disk, self.life = disk, life
        self.epoch = disk.epoch

    async def write(self, records: Sequence[str], /) -> None:
        self.life.check()
        self.disk.writes += 1
        if self.disk.writes == self.disk.fails_at:
            raise JournalError("no space left on device")
        self.disk.in_flight = list(records)
        await anyio.sleep(self.disk.random.choice((0.0, 0.0, 0.0001, 0.003, 0.02)))
        self.life.check()
        self.disk.keep(self.disk.in_flight)
        self.disk.in_flight = []


@define
class World:
    """The devices, and what they have done."""

    random: Random
    disk: Disk
    works: dict[str, Work] = field(factory=dict)  # by mark
    fenced: set[str] = field(factory=set)
    needs: dict[str, set[str]] = field(factory=dict)  # what has to have completed before
    effects: dict[str, Effect] = field(factory=dict)
    failing: dict[str, int] = field(factory=dict)  # how many of its attempts fail
    pardoned: dict[str, int] = field(factory=dict)  # second begins that a person asked for
    lost: set[str] = field(factory=set)  # the marks of what goes on on a device to which the link broke
    left: set[str] = field(factory=set)  # the marks of what was in flight when the last process died
    problems: list[str] = field(factory=list)
    story: list[str] = field(factory=list)
    is_calm: bool = False  # no more faults
    tells_progress: bool = True  # whether its devices say that they were sent something, and that it began
    sessions: int = 0  # how many are open
    waits_for_disk: bool = True  # "sync"

    def note(self, life: Life, text: str) -> None:
        """Tell the story."""
        self.story.append(f"{life.number} {life.now():9.4f} {text}")

    def problem(self, life: Life, text: str) -> None:
        """Something is wrong."""
        self.note(life, f"WRONG {text}")
        self.problems.append(text)

    def works_of(self, task_id: str) -> list[Work]:
        """All that was ever begun of a task."""
        return [work for work in self.works.values() if work.task_id == task_id]

    def begin(self, life: Life, attempt: Attempt, *, settles: bool) -> Work | None:
        """The device starts an attempt, unless its mark is there already."""
        life.check()
        task_id, mark, now = attempt.task_id, attempt.mark, life.now()
        if mark in self.fenced or mark in self.works:
            if mark in self.works:
                self.problem(life, f"{task_id}: mark {mark} was begun twice")
            return None
        before = self.works_of(task_id)
        if self.waits_for_disk:
            if f"{task_id}/{attempt.number}/{self.disk.epoch}" not in self.disk.started:
                self.problem(life, f"{task_id} begins, and its start is not durable")
            for other in self.needs.get(task_id, ()):
                if self.disk.ended.get(other) != "completed":
                    self.problem(life, f"{task_id} begins, and {other} is not durably completed")
            if self.effects[task_id] is Effect.ONCE:
                unfailed = sum(not (work.code and work.has_ended(now)) for work in before)
                if unfailed > self.pardoned.get(task_id, 0):
                    self.problem(life, f"{task_id} (once) begins again")
        if settles and any(work.is_running(now) and work.mark in self.left and work.settles for work in before):
            self.problem(life, f"{task_id} begins, and what a dead process has begun of it still runs")
        fails = len([work for work in before if work.code]) < self.failing.get(task_id, 0)
        ends_s = now + self.random.choice((0.0, 0.01, 0.3, 2.0))
        work = self.works[mark] = Work(task_id, mark, now, ends_s, 3 if fails else 0, settles)
        self.note(life, f"{task_id} begins as {mark}, until {work.ends_s:.4f}, code {work.code}")
        return work

    def stop(self, life: Life, mark: str) -> Work | None:
        """End what runs under a mark, and let nothing start under it."""
        life.check()
        self.fenced.add(mark)
        work = self.works.get(mark)
        if work is not None and work.is_running(life.now()):
            work.stopped_s = life.now()
            self.note(life, f"{work.task_id} is stopped ({mark})")
        return work


class FarTransport:
    """Devices of the world; `mute` ones cannot say what became of an attempt."""

    settings_model = None
    requests = frozenset({"none"})
    actions: Mapping[str, Any] = {}
    device_type = None

    def __init__(self, world: World, life: Life, *, settles: bool) -> None:
        self.name = "far" if settles else "mute"
        told = {"sends"} if world.tells_progress else set()
        self.features = frozenset({"stops"} | told | ({"settles"} if settles else set()))
        self.world, self.life, self.settles = world, life, settles

    @asynccontextmanager
    async def open(self, device: Device, settings: Any) -> AsyncIterator[FarSession]:
        self.life.check()
        await anyio.sleep(self.world.random.choice((0.0, 0.01, 0.5)))
        self.world.sessions += 1
        try:
            yield FarSession(self.world, self.life, device.device_id, settles=self.settles)
        finally:
            self.world.sessions -= 1


class FarSession:
    """A link to a device, which may break at any moment."""

    def __init__(self, world: World, life: Life, device_id: str, *, settles: bool) -> None:
        self.world, self.life, self.device_id, self.settles = world, life, device_id, settles

    def _fault(self, *kinds: str) -> bool:
        return not self.world.is_calm and self.world.random.random() < 0.04 * len(kinds)

    async def execute(self, attempt: Attempt) -> Completed | Refused | Unknown:
        world, life, random = self.world, self.life, self.world.random
        await anyio.sleep(random.choice((0.0, 0.001)))
        if self._fault("refused"):
            return Refused("not now")
        if self._fault("lost early"):
            raise DeviceLostError(self.device_id, "lost early")
        life.check()
        if world.tells_progress:
            attempt.sent()
        await anyio.sleep(random.choice((0.0, 0.001)))
        if self._fault("lost on the way"):
            raise DeviceLostError(self.device_id, "lost on the way")
        work = world.begin(life, attempt, settles=self.settles)
        if work is None:
            return Refused("its mark is there already")
        if self._fault("lost at once"):
            world.lost.add(work.mark)
            raise DeviceLostError(self.device_id, "lost when it had begun")
        if world.tells_progress:
            attempt.acknowledged()
        try:
            await anyio.sleep(max(0.0, work.ends_s - life.now()))
        except BaseException:
            if not life.is_dead:
                world.stop(life, work.mark)
            raise
        life.check()
        if self._fault("answer", "answer"):
            return Unknown("the answer was lost")
        return self._completed(work)

    def _completed(self, work: Work) -> Completed:
        return Completed(f"{work.task_id} by {work.mark}", exit_code=work.code)

    async def expect(self, mark: str) -> None:
        await anyio.sleep(self.world.random.choice((0.0, 0.01, 0.3)))

    async def settle(self, attempt: Attempt) -> Completed | Refused | Unknown:
        try:
            return await self._became(attempt)
        except BaseException:
            if not self.life.is_dead:
                self.world.stop(self.life, attempt.mark)
            raise

    async def _became(self, attempt: Attempt) -> Completed | Refused | Unknown:
        world, life = self.world, self.life
        await anyio.sleep(world.random.choice((0.0, 0.01)))
        life.check()
        work = world.works.get(attempt.mark)
        world.note(life, f"{attempt.task_id}: what became of {attempt.mark}?")
        if work is None:
            world.fenced.add(attempt.mark)
            return Refused("no marker")
        if self._fault("settle"):
            return Unknown("cannot say")
        await anyio.sleep(max(0.0, work.ends_s - life.now()))
        life.check()
        if work.stopped_s is not None:
            return Unknown("it was stopped in its middle")
        said = self._completed(work)
        said.metadata = {"settled": True}
        return said

    async def stop(self, attempt: Attempt) -> None:
        with anyio.CancelScope(shield=True):  # what it begins is not left halfway
            await anyio.sleep(self.world.random.choice((0.0, 0.01)))
            if not self.life.is_dead:
                self.world.stop(self.life, attempt.mark)

    def release(self, mark: str) -> None:
        return None

    async def probe(self) -> Mapping[str, str]:
        self.life.check()
        return {}
