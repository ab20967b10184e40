"""A journal that fails in the middle of a run: nothing more starts, and nothing that may run only once is cut by it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from galaxy_core import Attempt, Completed, Effect, EventType, TaskConstellation, TaskStatus
from galaxy_core.errors import JournalFailedError
from galaxy_core.extension.interfaces import FEATURES_OF_COMMANDS, Durability
from galaxy_core.model.records.replay import replay
from galaxy_core.testing.fakes import FakeSession, hang, takes
from galaxy_core.testing.journals import MemoryJournal, MemoryWriter

from .fakes import Rig, plan, rig, until

pytestmark = pytest.mark.anyio


class FullJournal(MemoryJournal):
    """Keeps what it is given until it `is_full`."""

    is_full = False

    @asynccontextmanager
    async def open(self, run: Any, /) -> AsyncIterator[Any]:
        async with super().open(run) as writer:
            yield _Writer(self, writer)


class _Writer:
    def __init__(self, journal: FullJournal, inner: MemoryWriter) -> None:
        self.journal, self.inner = journal, inner
        self.epoch, self.folder = inner.epoch, inner.folder

    async def write(self, records: Sequence[str], /) -> None:
        if self.journal.is_full:
            raise OSError("no space left on device")
        await self.inner.write(records)


class Failing:
    """A run under way on one device, and what came of it when its journal had failed."""

    def __init__(self, house: Rig, journal: FullJournal, durability: Durability) -> None:
        self.house, self.journal, self.durability = house, journal, durability
        self.error: JournalFailedError | None = None

    async def run(self, constellation: TaskConstellation) -> None:
        try:
            await self.house.run(constellation, None, durability=self.durability)
        except JournalFailedError as error:
            self.error = error

    def fill(self) -> None:
        """The next record finds no room."""
        self.journal.is_full = True
        run = self.house.orchestrator.run_of("p")
        assert run is not None
        assert run.ledger is not None
        run.ledger.note(lambda n: f'[{n},"pause",0.0,"me"]')


@asynccontextmanager
async def failing(durability: Durability = "sync", *, settles: bool = True, slots: int = 3) -> AsyncIterator[Failing]:
    journal = FullJournal()
    async with rig("d1", slots=slots) as house:
        house.transport.features = FEATURES_OF_COMMANDS | ({"settles"} if settles else set())
        house.orchestrator._journal = journal
        yield Failing(house, journal, durability)
        assert house.slots_are_free()


def mixed(tasks: str, links: str = "", *again: str, effect: Effect = Effect.READ) -> TaskConstellation:
    """Tasks that may run only once, but those in `again`."""
    found = plan(tasks, links, constellation_id="p", target_device_id="d1", effect=Effect.ONCE)
    for task_id in again:
        found.get_task(task_id).effect = effect  # type: ignore[union-attr]
    return found


def statuses(constellation: TaskConstellation) -> dict[str, str]:
    return {task.task_id: task.status.value for task in constellation.get_all_tasks()}


@pytest.mark.parametrize("effect", [Effect.READ, Effect.IDEMPOTENT])
async def test_what_leaves_a_marker_is_left_at_work_and_what_may_run_again_is_ended(effect: Effect) -> None:
    async with failing() as rigged, anyio.create_task_group() as group:
        device, constellation = rigged.house.device(), mixed("once again next", "once>next", "again", effect=effect)
        rigged.house.transport.script("once", hang)
        rigged.house.transport.script("again", hang, Completed("again"))
        group.start_soon(rigged.run, constellation)
        await until(lambda: len(device.running) == 2)
        rigged.fill()
        await until(lambda: rigged.error is not None)
        assert (device.let_go, device.cancelled) == (["once"], ["again"])
        assert statuses(constellation) == {"once": "running", "again": "pending", "next": "pending"}
        assert rigged.error is not None
        assert (rigged.error.left, rigged.error.ended) == ({"once": "d1"}, {})
        assert "'once' on 'd1'" in str(rigged.error)
        assert str(rigged.error).endswith("galaxy resume p")
        assert str(rigged.error).count("no space left on device") == 1
        # There is room again, and the command has ended meanwhile: it is found, and not started again.
        rigged.journal.is_full = False
        [mark] = device.markers
        device.markers[mark] = Completed("paid", 0)
        after = await rigged.house.orchestrator.resume("p")
    assert (after["status"], after["results"]["once"].result) == ("completed", "paid")
    assert sorted(device.started) == ["again", "again", "next", "once"]


async def test_what_nobody_could_ask_about_is_waited_for_and_told() -> None:
    async with failing(settles=False) as rigged, anyio.create_task_group() as group:
        device, constellation = rigged.house.device(), mixed("well badly next", "well>next")
        rigged.house.transport.script("well", takes(5, Completed("paid")))
        rigged.house.transport.script("badly", takes(7, Completed(exit_code=3)))
        group.start_soon(rigged.run, constellation)
        await until(lambda: len(device.running) == 2)
        rigged.fill()
        await until(lambda: rigged.error is not None)
        assert rigged.error is not None
        assert rigged.error.ended == {"well": "completed", "badly": "failed: exit status 3"}
        assert "'badly' failed: exit status 3, 'well' completed" in str(rigged.error)
    assert (device.ended, device.cancelled, device.let_go) == (["well", "badly"], [], [])
    assert constellation.get_task("next").status is TaskStatus.PENDING  # type: ignore[union-attr]
    told = [event.event_type for event in rigged.house.recorder.of_task("well")]
    assert EventType.TASK_COMPLETED not in told, "nobody hears that it is done, since nothing has kept that"
    assert sorted(replay(rigged.journal.kept["p"].records).in_flight) == ["badly", "well"]


async def test_a_session_that_cannot_let_go_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(FakeSession, "lets_go")
    async with failing() as rigged, anyio.create_task_group() as group:
        device = rigged.house.device()
        rigged.house.transport.script("once", takes(5, Completed("paid")))
        group.start_soon(rigged.run, mixed("once"))
        await until(lambda: device.running)
        rigged.fill()
        await until(lambda: rigged.error is not None)
        assert rigged.error is not None
        assert (rigged.error.left, rigged.error.ended, device.ended) == ({}, {"once": "completed"}, ["once"])
        assert (rigged.error.unkept, rigged.error.is_kept) == (frozenset({"once"}), True), (
            "it ended when nothing was kept any more"
        )


@pytest.mark.parametrize("durability", ["sync", "batched"])
async def test_the_error_names_all_whose_end_is_not_kept_whatever_becomes_of_them(durability: Durability) -> None:
    async with failing(durability) as rigged, anyio.create_task_group() as group:
        rigged.house.transport.script("first", takes(2, Completed("one")))
        rigged.house.transport.script("again", takes(4, Completed("two")))
        rigged.house.transport.script("once", hang)
        device, constellation = rigged.house.device(), mixed("once first again", "first>again", "first", "again")
        group.start_soon(rigged.run, constellation)
        await until(lambda: "again" in device.running)
        rigged.journal.is_full = True
        await until(lambda: rigged.error is not None)
        assert rigged.error is not None
        kept = replay(rigged.journal.kept["p"].records).constellation()
        over, known = (
            {task.task_id for task in one.get_all_tasks() if task.is_terminal} for one in (constellation, kept)
        )
        assert rigged.error.unkept == over - known
        assert ("again" in rigged.error.unkept) == (durability == "sync"), (
            "else it is told that it started, and stopped"
        )


async def test_what_is_waited_for_can_still_be_cancelled() -> None:
    async with failing(settles=False) as rigged, anyio.create_task_group() as group:
        device = rigged.house.device()
        rigged.house.transport.script("once", hang)
        group.start_soon(rigged.run, mixed("once"))
        await until(lambda: device.running)
        rigged.fill()
        await until(lambda: rigged.house.orchestrator.runs()[0].failure)
        assert not device.cancelled
        assert await rigged.house.orchestrator.cancel_all() == ["p"]
        await until(lambda: rigged.error is not None)
        assert rigged.error is not None
        assert rigged.error.ended["once"].startswith("cancelled")
    assert device.cancelled == ["once"]


async def test_cancelling_afterwards_ends_nothing_that_was_left_at_work() -> None:
    """Somebody cancels in the very moment in which the journal fails."""
    async with failing() as rigged, anyio.create_task_group() as group:
        device, constellation = rigged.house.device(), mixed("once")
        rigged.house.transport.script("once", hang)
        group.start_soon(rigged.run, constellation)
        await until(lambda: device.running)
        run = rigged.house.orchestrator.run_of("p")
        assert run is not None
        rigged.fill()
        await until(lambda: device.let_go or device.cancelled)
        run.cancel()
        await until(lambda: rigged.error is not None)
    assert (device.let_go, device.cancelled) == (["once"], [])
    assert statuses(constellation) == {"once": "running"}


async def test_a_batched_start_that_was_not_kept_is_waited_for_because_nobody_would_ask() -> None:
    async with failing("batched") as rigged, anyio.create_task_group() as group:
        device = rigged.house.device()
        rigged.house.transport.script("kept", hang)
        rigged.house.transport.script("first", takes(1))
        rigged.house.transport.script("unkept", takes(5, Completed("paid")))
        group.start_soon(rigged.run, mixed("kept first unkept", "first>unkept"))
        await until(lambda: "unkept" in device.running)
        rigged.fill()
        await until(lambda: rigged.error is not None)
        assert rigged.error is not None
        assert rigged.error.left == {"kept": "d1"}
        assert rigged.error.ended == {"first": "completed", "unkept": "completed"}
    assert (device.let_go, device.cancelled) == (["kept"], [])


async def test_what_is_being_found_out_is_left_to_whoever_resumes() -> None:
    """Its link was lost, and its device is at it: asking would go on until it ends, and how it ends cannot be kept."""
    async with failing() as rigged, anyio.create_task_group() as group:
        device, constellation = rigged.house.device(), mixed("once")

        async def lose(attempt: Attempt) -> Any:
            device.unplug()
            device.plug_in()
            await anyio.sleep_forever()

        rigged.house.transport.script("once", lose)
        rigged.house.transport.became("once", hang, Completed("paid", 0))
        group.start_soon(rigged.run, constellation)
        await until(lambda: device.asked)
        rigged.fill()
        await until(lambda: rigged.error is not None)
        assert rigged.error is not None
        assert (rigged.error.left, device.let_go, device.cancelled) == ({"once": "d1"}, ["once"], [])
        assert device.stopped == []
        rigged.journal.is_full = False
        after = await rigged.house.orchestrator.resume("p")
    assert (after["status"], after["results"]["once"].result) == ("completed", "paid")
    assert device.started == ["once"]


async def test_a_start_that_was_not_kept_never_reaches_its_device() -> None:
    async with failing() as rigged, anyio.create_task_group() as group:
        device = rigged.house.device()
        rigged.house.transport.script("first", takes(1))

        async def fail_with_the_next_start() -> None:
            await until(lambda: "first" in device.running)
            rigged.journal.is_full = True

        group.start_soon(fail_with_the_next_start)
        constellation = mixed("first next", "first>next")
        await rigged.run(constellation)
    assert rigged.error is not None
    assert device.started == ["first"]
    assert statuses(constellation) == {"first": "completed", "next": "pending"}


async def test_a_run_that_is_being_left_already_leaves_what_has_a_marker_when_its_journal_fails() -> None:
    async with failing() as rigged, anyio.create_task_group() as group:
        device = rigged.house.device()
        rigged.house.transport.script("once", hang)
        group.start_soon(rigged.run, mixed("once"))
        await until(lambda: device.running)
        run = rigged.house.orchestrator.run_of("p")
        assert run is not None
        assert run.stop("SIGTERM", interrupt=True)
        rigged.fill()
        await until(lambda: rigged.error is not None)
    assert (device.let_go, device.cancelled) == (["once"], [])
