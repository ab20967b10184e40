"""What a journal that fails has at work: who is left there, who is waited for, and that each of them is told."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from galaxy_core import (
    AddTask,
    Attempt,
    Completed,
    ConstellationModificationSynchronizer,
    Effect,
    EventType,
    TaskStar,
    Transaction,
    Unknown,
)
from galaxy_core.errors import JournalError
from galaxy_core.extension.interfaces import FEATURES_OF_COMMANDS
from galaxy_core.model.records.replay import replay
from galaxy_core.runtime.answers import MAY_STILL_RUN
from galaxy_core.runtime.run import Run
from galaxy_core.testing.fakes import FakeSession, hang, takes

from .fakes import plan, rig, until
from .test_journal_failures import Failing, FullJournal, failing, mixed, statuses

pytestmark = pytest.mark.anyio


def run_of(rigged: Failing) -> Run:
    run = rigged.house.orchestrator.run_of("p")
    assert run is not None
    return run


def at_the_failure(rigged: Failing, then: Any) -> None:
    """Fill the journal, and have `then` called in the very moment in which it fails."""
    ledger = run_of(rigged).ledger
    assert ledger is not None
    failed = ledger.failed

    def both(why: str, unkept: Any) -> None:
        failed(why, unkept)
        then()

    ledger.failed = both
    rigged.fill()


# ----------------------------------------------------------------------------------------------- what is being settled
@pytest.mark.parametrize("comes_back", [True, False])
async def test_what_is_settled_and_whose_start_was_not_kept_is_waited_for_and_told(comes_back: bool) -> None:
    async with failing("batched") as rigged, anyio.create_task_group() as group:
        device, constellation = rigged.house.device(), mixed("first once", "first>once")

        async def lose(attempt: Attempt) -> Any:
            rigged.journal.is_full = True
            device.unplug()
            await anyio.sleep_forever()

        rigged.house.transport.script("first", takes(1))
        rigged.house.transport.script("once", lose)
        rigged.house.transport.became("once", takes(3, Completed("paid", 0)))
        group.start_soon(rigged.run, constellation)
        await until(lambda: "once" in device.started and run_of(rigged).failure)
        if comes_back:
            device.plug_in()
        await until(lambda: rigged.error is not None)
        assert rigged.error is not None
        assert list(replay(rigged.journal.kept["p"].records).in_flight) == ["first"], "nobody would ask about the other"
        assert rigged.error.left == {}
        assert list(rigged.error.ended) == ["first", "once"]
        assert rigged.error.ended["once"].startswith("completed" if comes_back else "unknown: it cannot be said")
        assert (device.started, device.let_go, device.cancelled) == (["first", "once"], [], [])


@pytest.mark.parametrize("says", [None, False])
async def test_what_is_settled_by_a_session_that_does_not_let_go_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, says: bool | None
) -> None:
    if says is None:
        monkeypatch.delattr(FakeSession, "lets_go")
    else:
        monkeypatch.setattr(FakeSession, "lets_go", lambda session, attempt: says)
    async with failing() as rigged, anyio.create_task_group() as group:
        device = rigged.house.device()

        async def lose(attempt: Attempt) -> Any:
            device.unplug()
            device.plug_in()
            await anyio.sleep_forever()

        rigged.house.transport.script("once", lose)
        rigged.house.transport.became("once", takes(3, Completed("paid", 0)))
        group.start_soon(rigged.run, mixed("once"))
        await until(lambda: device.asked)
        rigged.fill()
        await until(lambda: rigged.error is not None)
        assert rigged.error is not None
        assert (rigged.error.left, rigged.error.ended) == ({}, {"once": "completed"})
        assert (device.let_go, device.cancelled) == ([], [])


async def test_what_is_lost_after_the_failure_is_left_when_its_device_is_back() -> None:
    """It was waited for, because nobody could let it go; now nothing is cut by leaving it."""
    async with failing() as rigged, anyio.create_task_group() as group:
        device = rigged.house.device()
        rigged.house.transport.script("once", hang)
        rigged.house.transport.became("once", hang)
        group.start_soon(rigged.run, mixed("once"))
        await until(lambda: device.running)
        device.attempts[0].leaves_marker = False
        rigged.fill()
        await until(lambda: run_of(rigged).failure)
        device.attempts[0].leaves_marker = True
        device.unplug()
        device.plug_in()
        await until(lambda: rigged.error is not None)
        assert rigged.error is not None
        assert (rigged.error.left, rigged.error.ended, device.cancelled) == ({"once": "d1"}, {}, [])


async def test_what_turns_out_to_be_unknown_after_the_failure_is_left_to_whoever_resumes() -> None:
    async with failing() as rigged, anyio.create_task_group() as group:
        device = rigged.house.device()
        rigged.house.transport.script("once", takes(5, Unknown("the answer was garbled")))
        rigged.house.transport.became("once", hang)
        group.start_soon(rigged.run, mixed("once"))
        await until(lambda: device.running)
        device.attempts[0].leaves_marker = False
        rigged.fill()
        await until(lambda: run_of(rigged).failure)
        device.attempts[0].leaves_marker = True
        await until(lambda: rigged.error is not None)
        assert rigged.error is not None
        assert (rigged.error.left, rigged.error.ended, device.cancelled) == ({"once": "d1"}, {}, [])


# ----------------------------------------------------------------------------------------------- plugins
async def test_a_session_that_breaks_when_asked_whether_it_lets_go_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lets_go(session: FakeSession, attempt: Attempt) -> bool:
        raise ValueError("a mistake")

    monkeypatch.setattr(FakeSession, "lets_go", lets_go)
    async with failing() as rigged, anyio.create_task_group() as group:
        device = rigged.house.device()
        rigged.house.transport.script("once", takes(5, Completed("paid")))
        group.start_soon(rigged.run, mixed("once"))
        await until(lambda: device.running)
        rigged.fill()
        await until(lambda: rigged.error is not None)
        assert rigged.error is not None
        assert (rigged.error.left, rigged.error.ended, device.cancelled) == ({}, {"once": "completed"}, [])
    assert "task 'once' is not left at work: a mistake" in caplog.text


# ----------------------------------------------------------------------------------------------- what is told
@pytest.mark.parametrize("durability", ["sync", "batched"])
async def test_no_event_says_that_something_is_done_which_the_failed_journal_has_not_kept(durability: Any) -> None:
    async with failing(durability, settles=False) as rigged, anyio.create_task_group() as group:
        rigged.house.transport.script("once", takes(5, Completed("paid")))
        group.start_soon(rigged.run, mixed("once"))
        await until(lambda: rigged.house.device().running)
        rigged.fill()
        await until(lambda: rigged.error is not None)
        assert rigged.error is not None
        assert rigged.error.ended == {"once": "completed"}
    told = [event.event_type for event in rigged.house.recorder.of_task("once")]
    assert EventType.TASK_COMPLETED not in told


@pytest.mark.parametrize("durability", ["sync", "batched"])
async def test_what_has_ended_and_was_not_kept_is_told(durability: Any) -> None:
    """It has ended before the journal fails, and nobody has heard of it."""
    async with failing(durability, settles=False) as rigged, anyio.create_task_group() as group:

        def pay(attempt: Attempt) -> Completed:
            rigged.journal.is_full = True
            return Completed(exit_code=3)

        rigged.house.transport.script("first", takes(1))
        rigged.house.transport.script("once", pay)
        group.start_soon(rigged.run, mixed("first once", "first>once", "first"))
        await until(lambda: rigged.error is not None)
        assert rigged.error is not None
        assert rigged.error.ended == {"once": "failed: exit status 3"}, "what may run again, does"


async def test_who_is_left_at_work_is_said_while_others_are_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    async with failing("batched") as rigged, anyio.create_task_group() as group:
        device = rigged.house.device()
        rigged.house.transport.script("pay", hang)
        rigged.house.transport.script("first", takes(1))
        rigged.house.transport.script("slow", hang)
        group.start_soon(rigged.run, mixed("pay first slow", "first>slow"))
        await until(lambda: "slow" in device.running)
        rigged.fill()
        await until(lambda: run_of(rigged).failure)
        run = run_of(rigged)
        assert run.left_at_work == {device.attempts[0].mark: "pay"}
        run.cancel()
        await until(lambda: rigged.error is not None)
    assert "Left at work, to be found again by whoever resumes: 'pay'. Waiting for" in caplog.text
    assert (device.let_go, device.cancelled) == (["pay"], ["slow"])


# ----------------------------------------------------------------------------------------------- cancelling
async def test_what_was_let_go_is_told_as_left_though_the_run_is_cancelled_at_once() -> None:
    async with failing() as rigged, anyio.create_task_group() as group:
        device, constellation = rigged.house.device(), mixed("once again", "", "again")
        rigged.house.transport.script("once", hang)
        rigged.house.transport.script("again", hang)
        group.start_soon(rigged.run, constellation)
        await until(lambda: len(device.running) == 2)
        at_the_failure(rigged, run_of(rigged).cancel)
        await until(lambda: rigged.error is not None)
        assert rigged.error is not None
        assert rigged.error.left == {"once": "d1"}
    assert statuses(constellation) == {"once": "running", "again": "cancelled"}
    assert (device.let_go, device.cancelled) == (["once"], ["again"])


async def test_what_was_let_go_stays_under_way_though_its_caller_is_cancelled_at_once() -> None:
    async with failing() as rigged:
        device, constellation = rigged.house.device(), mixed("once again", "", "again")
        rigged.house.transport.script("once", hang)
        rigged.house.transport.script("again", hang)
        async with anyio.create_task_group() as group:
            group.start_soon(rigged.run, constellation)
            await until(lambda: len(device.running) == 2)
            at_the_failure(rigged, group.cancel_scope.cancel)
    assert statuses(constellation) == {"once": "running", "again": "cancelled"}
    assert (device.let_go, device.cancelled) == (["once"], ["again"])


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_run_that_was_being_stopped_ends_cancelled_and_says_whom_it_has_not_asked(at_once: bool) -> None:
    async with rig("d1", "d2") as house:
        house.transport.features = FEATURES_OF_COMMANDS | {"settles"}
        house.orchestrator._journal = FullJournal()
        constellation = plan("away here next", "here>next", "p", target_device_id="d2", effect=Effect.ONCE)
        constellation.get_task("away").target_device_id = "d1"  # type: ignore[union-attr]
        house.transport.script("away", hang)
        house.transport.script("here", hang)
        found: list[dict[str, Any]] = []

        async def go() -> None:
            found.append(await house.run(constellation, None))

        async with anyio.create_task_group() as group:
            group.start_soon(go)
            await until(lambda: house.device("d1").running and house.device("d2").running)
            run = house.orchestrator.run_of("p")
            assert run is not None
            house.device("d1").unplug()
            await until(lambda: run.settling)
            run.stop("SIGTERM", interrupt=True)
            if not at_once:
                await until(lambda: not run.settling)
            assert statuses(constellation)["away"] == "running"
            run.cancel()
        assert found[0]["status"] == "cancelled"
        assert statuses(constellation) == {"away": "unknown", "here": "cancelled", "next": "cancelled"}
        assert "cancelled before its device could be asked" in str(found[0]["results"]["away"].error)
        assert house.slots_are_free()


@pytest.mark.parametrize("fails", [True, False])
async def test_a_run_that_was_being_stopped_ends_cancelled_though_a_device_has_not_confirmed_an_end(
    fails: bool,
) -> None:
    async with failing(settles=False) as rigged, anyio.create_task_group() as group:
        house, constellation = rigged.house, mixed("once again", "", "again")

        async def unconfirmed(attempt: Attempt) -> Any:
            try:
                await anyio.sleep_forever()
            finally:
                attempt.partial = Unknown("it does not answer")

        house.transport.script("once", hang)
        house.transport.script("again", unconfirmed)
        group.start_soon(rigged.run, constellation)
        await until(lambda: len(house.device().running) == 2)
        run = run_of(rigged)
        if fails:
            rigged.fill()
        else:
            run.stop("SIGTERM", interrupt=True)
        await until(lambda: run.in_doubt)
        run.cancel()
    assert (rigged.error is not None, statuses(constellation)["again"]) == (fails, "cancelled")
    result = constellation.get_task("again").result  # type: ignore[union-attr]
    assert result.metadata[MAY_STILL_RUN] == "it does not answer"


# ----------------------------------------------------------------------------------------------- markers
async def test_no_marker_is_released_before_an_end_that_was_put_off_is_kept() -> None:
    async with failing("batched") as rigged, anyio.create_task_group() as group:
        device = rigged.house.device()
        gate = anyio.Event()

        async def wait(attempt: Attempt) -> Any:
            await gate.wait()
            rigged.journal.is_full = True
            return Completed("paid", 0)

        rigged.house.transport.script("again", hang)
        rigged.house.transport.script("once", wait)
        group.start_soon(rigged.run, mixed("once again", "", "again"))
        await until(lambda: len(device.running) == 2)
        run = run_of(rigged)
        assert run.ledger is not None
        assert run.recorder is not None
        ledger = run.ledger
        await until(lambda: ledger.kept == ledger.count and not ledger.starting)
        run.recorder.touched("once")  # what is touched ends in a record that is put off
        gate.set()
        await until(lambda: rigged.error is not None)
        assert list(replay(rigged.journal.kept["p"].records).in_flight) == ["once", "again"]
        assert rigged.error is not None
        assert rigged.error.ended == {"once": "completed"}
    assert device.released == []


async def test_no_marker_is_released_before_a_start_and_an_end_that_were_put_off_together_are_kept() -> None:
    async with failing("batched") as rigged, anyio.create_task_group() as group:
        device = rigged.house.device()
        device.unplug()
        await until(lambda: rigged.house.manager.lane_book.lanes["d1"].session is None)
        started: list[None] = []

        def pay(attempt: Attempt) -> Completed:
            rigged.journal.is_full = True
            started.append(None)
            return Completed("paid", 0)

        rigged.house.transport.script("once", pay)
        group.start_soon(rigged.run, mixed("once"))
        await until(rigged.house.orchestrator.runs)
        ledger = run_of(rigged).ledger
        assert ledger is not None
        await until(lambda: ledger.kept == ledger.count)
        device.plug_in()
        await until(lambda: rigged.error is not None)
        assert started
        assert rigged.error is not None
        assert rigged.error.ended == {"once": "completed"}
    assert device.released == []


# ----------------------------------------------------------------------------------------------- edits
async def test_an_edit_that_is_made_as_the_journal_fails_is_told_as_not_kept_and_starts_nothing() -> None:
    async with failing(settles=False) as rigged, anyio.create_task_group() as group:
        device, constellation = rigged.house.device(), mixed("once")
        synchronizer = ConstellationModificationSynchronizer(rigged.house.orchestrator)
        rigged.house.orchestrator.set_modification_synchronizer(synchronizer)
        rigged.house.transport.script("once", takes(5))
        group.start_soon(rigged.run, constellation)
        await until(lambda: device.running)
        rigged.journal.is_full = True
        raised: list[str] = []
        for task_id in ("new", "newer"):  # while it fails, and when it has failed
            try:
                await synchronizer.commit(Transaction([AddTask(TaskStar(task_id, target_device_id="d1"))]))
            except JournalError as error:
                raised.append(str(error))
        await until(lambda: rigged.error is not None)
    assert len(raised) == 2
    assert all("was not: no space left on device" in text for text in raised)
    assert device.started == ["once"]
    assert EventType.EDIT_COMMITTED not in [event.event_type for event in rigged.house.recorder.events]
    plan_kept = replay(rigged.journal.kept["p"].records).constellation()
    assert [task.task_id for task in plan_kept.get_all_tasks()] == ["once"]


async def test_what_was_left_at_work_is_not_told_as_cancelled_when_it_is_to_be() -> None:
    async with failing("batched") as rigged, anyio.create_task_group() as group:
        device, constellation = rigged.house.device(), mixed("pay first slow", "first>slow")
        rigged.house.transport.script("pay", hang)
        rigged.house.transport.script("first", takes(1))
        rigged.house.transport.script("slow", hang)
        group.start_soon(rigged.run, constellation)
        await until(lambda: "slow" in device.running)
        rigged.fill()
        await until(lambda: run_of(rigged).let_go)
        run = run_of(rigged)
        assert [run.cancel_task(task_id) for task_id in ("pay", "slow")] == [False, True]
        await until(lambda: rigged.error is not None)
        assert rigged.error is not None
        assert rigged.error.left == {"pay": "d1"}
    assert statuses(constellation)["pay"] == "running"
