"""What becomes of attempts whose outcome nobody knows, on devices that can be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from galaxy_core import (
    Attempt,
    Command,
    Completed,
    Effect,
    Reference,
    Refused,
    TaskConstellation,
    TaskEvent,
    TaskStarLine,
    TaskStatus,
    TaskTimeoutError,
    Unknown,
)
from galaxy_core.extension.interfaces import FEATURES_OF_COMMANDS, Outcome
from galaxy_core.model.condition import Expression
from galaxy_core.model.records.replay import InFlight
from galaxy_core.runtime import preparing
from galaxy_core.runtime.settler import ENDED_S, RESUMED, RETURNED, Settler
from galaxy_core.testing.fakes import hang, takes
from galaxy_core.testing.journals import MemoryJournal

from .fakes import Rig, plan, rig, until

pytestmark = pytest.mark.anyio

LOST = Unknown("the answer was lost")


@asynccontextmanager
async def settling_rig(*devices: str, settles: bool = True, **options: Any) -> AsyncIterator[Rig]:
    async with rig(*(devices or ("d1",)), **options) as house:
        house.transport.features = FEATURES_OF_COMMANDS | ({"settles"} if settles else set())
        yield house


def once(tasks: str, links: str = "", **options: Any) -> TaskConstellation:
    return plan(tasks, links, target_device_id="d1", effect=Effect.ONCE, **options)


async def run_and(house: Rig, constellation: TaskConstellation, happen: Callable[[], Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}

    async def run() -> None:
        found.update(await house.run(constellation, None))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await happen()
    return found


@pytest.mark.parametrize(
    ("word", "status", "exit_code"),
    [
        (Completed(exit_code=0), "completed", 0),
        (Completed(exit_code=3), "failed", 3),
        (Unknown("its marker is gone"), "unknown", None),
    ],
)
async def test_what_the_device_says_ends_the_task(word: Outcome, status: str, exit_code: int | None) -> None:
    async with settling_rig() as house:
        house.transport.script("a", LOST)
        house.transport.became("a", word)
        found = await house.run(once("a"), None)
        assert house.slots_are_free()
    result = found["results"]["a"]
    assert (result.status.value, result.exit_code, result.attempts) == (status, exit_code, 1)
    assert house.device().started == house.device().asked == ["a"]


@pytest.mark.parametrize("value", ["stdout", "stderr", "value", "json", "json.a"])
async def test_a_success_without_output_is_unknown_while_a_task_is_to_read_it(value: str) -> None:
    async with settling_rig() as house:
        house.transport.script("a", LOST)
        house.transport.became("a", Completed(exit_code=0, metadata={"settled": True}))
        constellation = once("a b", "a>b")
        constellation.get_task("b").request = Command(["echo", Reference("a", value)])  # type: ignore[union-attr]
        found = await house.run(constellation, None)
        assert house.slots_are_free()
        constellation.resolve("a", "completed")
        after = await house.run(constellation, None)
    assert (found["results"]["a"].status, found["results"]["a"].exit_code) == (TaskStatus.UNKNOWN, 0)
    assert "task 'b' reads it" in str(found["results"]["a"].error)
    assert "is lost" in str(after["results"]["b"].error)
    assert house.device().started == ["a"]


async def test_what_is_kept_of_the_output_of_a_success_is_its_output() -> None:
    async with settling_rig() as house:
        house.transport.script("a", LOST)
        house.transport.became("a", Completed(exit_code=0, stdout="kept\n", stderr="", metadata={"settled": True}))
        constellation = once("a b", "a>b")
        constellation.get_task("b").request = Command(["echo", Reference("a", "stdout")])  # type: ignore[union-attr]
        constellation.add_dependency(
            TaskStarLine.create_conditional("a", "b", "it is kept", Expression("contains(stdout, 'kept')"))
        )
        found = await house.run(constellation, None)
    assert found["status"] == "completed"
    assert found["results"]["a"].stdout == "kept\n"
    assert [attempt.request for attempt in house.device().attempts[1:]] == [Command(["echo", "kept"])]


@pytest.mark.parametrize("reads", [True, False])
async def test_a_success_of_which_the_beginning_is_kept_is_one_while_nobody_reads_it(reads: bool) -> None:
    async with settling_rig() as house:
        house.transport.script("a", LOST)
        cut = Completed(exit_code=0, stdout="the beg", stderr="", metadata={"settled": True}, truncated=True)
        house.transport.became("a", cut)
        constellation = once("a b", "a>b")
        if reads:
            constellation.get_task("b").request = Command(["echo", Reference("a", "stdout")])  # type: ignore[union-attr]
        found = await house.run(constellation, None)
        result = found["results"]["a"]
        assert (result.stdout, result.exit_code) == ("the beg", 0)
        assert result.status is (TaskStatus.UNKNOWN if reads else TaskStatus.COMPLETED)
        if reads:
            assert "task 'a' has done all that it was to do: it ended well, but only the beginning" in str(result.error)
            assert "of what it printed is kept, and task 'b' reads it" in str(result.error)
            constellation.resolve("a", "completed")
            after = await house.run(constellation, None)
            assert "only its beginning is kept" in str(after["results"]["b"].error)
        else:
            assert result.metadata["truncated"] is True


@pytest.mark.parametrize("exit_code", [0, 3])
async def test_a_condition_never_judges_output_that_is_lost(exit_code: int) -> None:
    async with settling_rig() as house:
        house.transport.script("a", LOST)
        house.transport.became("a", Completed(exit_code=exit_code, metadata={"settled": True}))
        constellation = once("a b")
        constellation.add_dependency(
            TaskStarLine.create_conditional("a", "b", "it is empty", Expression("stdout == null || status == 'failed'"))
        )
        found = await house.run(constellation, None)
        if exit_code == 0:
            assert found["results"]["a"].status is TaskStatus.UNKNOWN
            assert "the condition of task 'b' looks at it" in str(found["results"]["a"].error)
            constellation.resolve("a", "completed")
            found = await house.run(constellation, None)
    assert "what it printed and returned is lost" in str(constellation.get_task("b").error)  # type: ignore[union-attr]
    assert house.device().started == ["a"]


async def test_a_condition_that_is_not_asked_any_more_does_not_miss_output_that_is_lost() -> None:
    async with settling_rig() as house:
        house.transport.script("a", LOST)
        house.transport.became("a", Completed(exit_code=0, metadata={"settled": True}))
        constellation = once("a b")
        constellation.add_dependency(
            TaskStarLine.create_conditional("a", "b", "it has", Expression("contains(stdout, 'x')"))
        )
        constellation.get_task("b").cancel()  # type: ignore[union-attr]
        found = await house.run(constellation, None)
    assert found["results"]["a"].status is TaskStatus.COMPLETED


@pytest.mark.parametrize("judge", [lambda payload: not payload, lambda payload, outcome: not outcome.stdout])
async def test_a_function_never_judges_output_that_is_lost(judge: Callable[..., Any]) -> None:
    async with settling_rig() as house:
        house.transport.script("a", LOST)
        house.transport.became("a", Completed(exit_code=3, metadata={"settled": True}))
        constellation = once("a b")
        constellation.add_dependency(TaskStarLine.create_conditional("a", "b", "it is empty", judge))
        found = await house.run(constellation, None)
    assert found["results"]["a"].exit_code == 3
    told = str(constellation.get_task("b").error)  # type: ignore[union-attr]
    assert "what it printed and returned is lost" in told
    assert "an Expression that looks at status or exit_code" in told
    assert house.device().started == ["a"]


@pytest.mark.parametrize("value", ["exit_code", "status"])
async def test_a_success_without_output_is_one_when_only_how_it_ended_is_read(value: str) -> None:
    async with settling_rig() as house:
        house.transport.script("a", LOST)
        house.transport.became("a", Completed(exit_code=0, metadata={"settled": True}))
        constellation = once("a b", "a>b")
        constellation.get_task("b").request = Command(["echo", Reference("a", value)])  # type: ignore[union-attr]
        found = await house.run(constellation, None)
    assert found["results"]["a"].status is TaskStatus.COMPLETED
    assert "lost" not in str(found["results"]["b"].error)


async def test_what_never_started_is_started() -> None:
    async with settling_rig() as house:
        house.transport.script("a", LOST, Completed("done"))
        house.transport.became("a", Refused("it never started"))
        found = await house.run(once("a", retry_count=0), None)
    assert (found["results"]["a"].result, found["results"]["a"].attempts) == ("done", 2)


async def test_a_device_that_went_is_asked_when_it_is_back() -> None:
    async with settling_rig(reconnect_delay=1.0, max_retries=20) as house:
        house.transport.script("a", hang)
        house.transport.became("a", takes(5, Completed(exit_code=0)))
        constellation = once("a b", "a>b")

        async def happen() -> None:
            await until(lambda: house.device().running)
            house.device().unplug()
            await until(lambda: house.orchestrator.why("a", constellation.constellation_id).kind == "settling")
            await anyio.sleep(0.1)
            told = str(house.orchestrator.why("a", constellation.constellation_id))
            assert "waits for device 'd1'" in told
            house.device().plug_in()
            await until(lambda: house.device().asked)
            told = str(house.orchestrator.why("a", constellation.constellation_id))
            assert "asks device 'd1'" in told
            assert constellation.get_task("b").status is not TaskStatus.RUNNING  # type: ignore[union-attr]

        found = await run_and(house, constellation, happen)
        assert house.slots_are_free()
    assert found["status"] == "completed"
    assert house.device().started == ["a", "b"]


async def test_its_slot_stays_taken_while_the_device_may_be_at_it() -> None:
    async with settling_rig() as house:
        house.transport.script("a", LOST)
        house.transport.became("a", takes(5, Completed()))
        constellation = once("a b")

        async def happen() -> None:
            await until(lambda: house.device().asked)
            await anyio.sleep(1)
            assert house.device().started == ["a"]

        found = await run_and(house, constellation, happen)
    assert found["status"] == "completed"


async def test_a_device_that_goes_while_it_is_asked_is_asked_again() -> None:
    async with settling_rig(reconnect_delay=1.0) as house:
        house.transport.script("a", LOST)
        house.transport.became("a", hang, Completed(exit_code=0))
        constellation = once("a")

        async def happen() -> None:
            await until(lambda: house.device().asked)
            house.device().unplug()
            await anyio.sleep(0.5)
            house.device().plug_in()

        found = await run_and(house, constellation, happen)
    assert (found["status"], house.device().asked, house.device().started) == ("completed", ["a", "a"], ["a"])


async def test_a_device_that_never_comes_back_leaves_the_task_unknown() -> None:
    async with settling_rig(reconnect_delay=1.0, max_retries=2) as house:
        house.transport.script("a", hang)
        constellation = once("a b", "a>b")

        async def happen() -> None:
            await until(lambda: house.device().running)
            house.device().unplug()

        found = await run_and(house, constellation, happen)
    assert found["results"]["a"].status is TaskStatus.UNKNOWN
    assert "could not be asked" in str(found["results"]["a"].error)
    assert found["results"]["b"].status is TaskStatus.SKIPPED


async def test_of_a_transport_that_cannot_settle_nobody_knows() -> None:
    async with settling_rig(settles=False) as house:
        house.transport.script("a", LOST)
        found = await house.run(once("a"), None)
    assert found["results"]["a"].status is TaskStatus.UNKNOWN
    assert not house.device().asked


async def test_the_deadline_of_the_task_holds_while_it_is_found_out() -> None:
    async with settling_rig() as house:
        house.transport.script("a", LOST)
        house.transport.became("a", hang, Unknown("it was stopped"))
        begun = anyio.current_time()
        found = await house.run(once("a", timeout=30), None)
        assert 29 <= anyio.current_time() - begun <= 32
        assert house.slots_are_free()
    assert found["results"]["a"].status is TaskStatus.FAILED
    assert "30" in str(found["results"]["a"].error)


async def test_a_deadline_that_passed_while_the_device_was_away_is_told_as_that() -> None:
    async with settling_rig(reconnect_delay=1.0, max_retries=20) as house:
        house.transport.script("a", hang)
        house.transport.became("a", hang, Unknown("it was stopped"))
        constellation = once("a", timeout=10)

        async def happen() -> None:
            await until(lambda: house.device().running)
            house.device().unplug()
            await anyio.sleep(15)  # virtual seconds
            house.device().plug_in()

        found = await run_and(house, constellation, happen)
    assert str(found["results"]["a"].error) == f"task 'a': its deadline of 10 s passed {RETURNED}"


@pytest.mark.parametrize(
    ("word", "status"),
    [
        (Completed(exit_code=0), "completed"),
        (Completed(exit_code=143), "failed"),
        (Unknown("it was stopped"), "failed"),
    ],
)
async def test_what_could_not_be_stopped_at_its_deadline_is_stopped_first(word: Outcome, status: str) -> None:
    async def stubborn(attempt: Attempt) -> Outcome:
        try:
            await anyio.sleep_forever()
        finally:
            attempt.partial = Unknown("the device did not answer")
        raise AssertionError

    async with settling_rig() as house:
        house.transport.script("a", stubborn)
        house.transport.became("a", word)
        found = await house.run(once("a", timeout=2), None)
    assert found["results"]["a"].status.value == status
    assert house.device().stopped == ["a"]


ENDED = Completed(exit_code=0, stdout="said", metadata={"settled": True})


async def fetches(attempt: Attempt) -> Outcome:
    """It has ended, and its files take a minute."""
    attempt.partial = ENDED
    await anyio.sleep(60)  # virtual seconds
    return ENDED


async def test_what_had_ended_has_all_the_time_that_its_files_take() -> None:
    async with settling_rig() as house:
        house.transport.script("a", LOST)
        house.transport.became("a", fetches)
        found = await house.run(once("a", timeout=5), None)
        assert house.slots_are_free()
    assert found["results"]["a"].status is TaskStatus.COMPLETED


async def test_what_had_ended_is_told_when_it_is_cancelled_while_its_files_are_fetched() -> None:
    async with settling_rig() as house:
        house.transport.script("a", LOST)
        house.transport.became("a", fetches)
        constellation = once("a")

        async def happen() -> None:
            await until(lambda: house.device().asked)
            await house.orchestrator.cancel_execution(constellation.constellation_id)

        found = await run_and(house, constellation, happen)
    result = found["results"]["a"]
    assert (result.status, result.exit_code, result.stdout) == (TaskStatus.CANCELLED, 0, "said")


UNFETCHED = Unknown("no room", Completed(exit_code=0, metadata={"not_collected": {"out": "no room"}}))


@pytest.mark.parametrize(
    ("said", "journal", "status"),
    [
        (UNFETCHED, MemoryJournal, "stopped"),
        (UNFETCHED, None, "failed"),
        (Unknown("no marker", Completed(exit_code=0)), MemoryJournal, "failed"),
        (
            Unknown("no marker", Completed(exit_code=1, metadata={"not_collected": {"out": "-"}})),
            MemoryJournal,
            "failed",
        ),
    ],
)
async def test_a_run_is_stopped_only_for_files_that_can_be_fetched_later(
    said: Unknown, journal: Callable[[], MemoryJournal] | None, status: str
) -> None:
    async with settling_rig() as house:
        if journal is not None:
            house.orchestrator._journal = journal()
        house.transport.script("a", said)
        house.transport.became("a", said)
        found = await house.run(once("a b", "a>b"), None)
        assert house.slots_are_free()
    assert found["status"] == status
    if status == "failed":
        assert found["results"]["a"].status is TaskStatus.UNKNOWN
        assert said.reason in str(found["results"]["a"].error)


async def test_the_program_says_first_what_became_of_a_task_without_room_for_its_files() -> None:
    async with settling_rig() as house:
        house.transport.became("a", UNFETCHED)
        found = await resumed(house, once("a b", "a>b"), lambda _in_flight: "completed")
    assert found["status"] == "completed"


async def test_a_run_that_is_cancelled_while_it_settles_leaves_nothing() -> None:
    async with settling_rig() as house:
        house.transport.script("a", LOST)
        house.transport.became("a", hang)
        constellation = once("a b", "a>b")

        async def happen() -> None:
            await until(lambda: house.device().asked)
            await house.orchestrator.cancel_execution(constellation.constellation_id)

        found = await run_and(house, constellation, happen)
        assert house.slots_are_free()
    assert found["results"]["a"].status is TaskStatus.CANCELLED
    assert house.device().cancelled == ["a"]


async def test_whoever_cancels_the_call_of_a_run_that_settles_is_not_held_up() -> None:
    async with settling_rig() as house:
        house.transport.script("a", LOST)
        house.transport.became("a", hang)
        constellation = once("a")
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation, None)
                await until(lambda: house.device().asked)
                scope.cancel()
        assert house.slots_are_free()
        assert constellation.get_task("a").is_terminal  # type: ignore[union-attr]
    assert house.device().cancelled == ["a"]


async def test_the_markers_of_a_journalled_run_are_released_when_their_ends_are_kept() -> None:
    async with settling_rig(slots=8) as house:
        house.orchestrator._journal = journal = MemoryJournal()
        transport = house.transport
        transport.script("failed", Completed(exit_code=1))
        transport.script("late", hang)
        transport.script("lost", LOST)
        transport.became("lost", Completed(exit_code=0))
        transport.script("unknown", LOST)
        transport.became("unknown", Unknown("its marker is gone"))
        constellation = once("done failed late lost unknown")
        constellation.get_task("late")._timeout = 1.0  # type: ignore[union-attr]
        reads = plan("reads", target_device_id="d1", effect=Effect.READ)
        await house.run(constellation, None)
        await house.run(reads, None)
    assert journal.runs()
    device = house.device()
    marked = {attempt.task_id: attempt.mark for attempt in device.attempts if attempt.leaves_marker}
    assert set(marked) == {"done", "failed", "late", "lost", "unknown"}
    assert set(device.released) == {mark for task_id, mark in marked.items() if task_id != "unknown"}


async def test_devices_hear_which_markers_to_expect_before_anything_is_recorded_to_start() -> None:
    async with settling_rig() as house:
        house.orchestrator._journal = journal = MemoryJournal()
        device = house.device()
        expecting, kept = device.expected, []

        def noted(attempt: Attempt) -> Completed:
            kept.append(list(expecting))
            return Completed()

        house.transport.script("a", noted)
        await house.run(once("a"), None)
        await house.run(once("b"), None)
    assert journal.runs()
    assert kept == [[device.attempts[0].mark.rpartition("-")[0]]]
    assert [attempt.mark.rpartition("-")[0] for attempt in device.attempts] == device.expected


async def test_a_run_without_a_journal_has_devices_expect_nothing() -> None:
    async with settling_rig() as house:
        await house.run(once("a"), None)
    assert house.device().expected == []


async def test_a_task_that_is_ended_by_hand_while_it_settles_stays_so() -> None:
    async with settling_rig() as house:
        house.transport.script("a", LOST)
        house.transport.became("a", hang)
        constellation = once("a b", "a>b")

        async def happen() -> None:
            await until(lambda: house.device().asked)
            constellation.mark_task_completed("a", True, "I looked")

        found = await run_and(house, constellation, happen)
        assert house.slots_are_free()
    assert (found["results"]["a"].result, found["status"]) == ("I looked", "completed")


# ------------------------------------------------------------------------------------- attempts of an earlier process
async def resumed(
    house: Rig,
    constellation: TaskConstellation,
    on_unknown: Any = None,
    happen: Any = None,
    progress: str = "sent",
    ago_s: float = 0.0,
) -> dict[str, Any]:
    """Run it as if an earlier process had begun with its task "a"."""
    task = constellation.get_task("a")
    assert task is not None
    constellation.begin(task, 0.0)
    found: dict[str, Any] = {}

    async def run() -> None:
        found.update(await house.run(constellation, None))

    async with anyio.create_task_group() as group:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(preparing, "check_tasks", lambda *given, **more: None)  # as for a run that is resumed
            group.start_soon(run)
            await until(lambda: constellation._listener is not None)
        running: Any = constellation._listener
        in_flight = InFlight("a", 1, 7, "0123456789abcdef", "d1", running.wall() - ago_s, progress)
        Settler(running, on_unknown).take(task, in_flight)
        if happen is not None:
            await happen()
    return found


async def test_an_attempt_of_an_earlier_process_is_asked_about_under_its_own_mark() -> None:
    async with settling_rig() as house:
        house.device().markers["0123456789abcdef-00000007"] = Completed(exit_code=0)
        found = await resumed(house, once("a b", "a>b"))
        assert house.slots_are_free()
    assert (found["status"], house.device().started) == ("completed", ["b"])


async def test_an_attempt_of_an_earlier_process_that_never_started_is_started() -> None:
    async with settling_rig() as house:
        found = await resumed(house, once("a"))
    assert (found["status"], house.device().started, found["results"]["a"].attempts) == ("completed", ["a"], 2)


@pytest.mark.parametrize("effect", [Effect.READ, Effect.IDEMPOTENT])
async def test_what_may_run_again_is_stopped_and_runs_again(effect: Effect) -> None:
    async with settling_rig() as house:
        found = await resumed(house, plan("a", target_device_id="d1", effect=effect, retry_count=0))
        assert house.slots_are_free()
    assert (found["status"], house.device().stopped, house.device().started) == ("completed", ["a"], ["a"])


@pytest.mark.parametrize(
    ("answer", "status", "started"),
    [
        ("completed", "completed", ["b"]),
        ("failed", "failed", []),
        ("retry", "completed", ["a", "b"]),
        (None, "unknown", []),
    ],
)
async def test_the_program_is_asked_when_the_device_does_not_know(answer: Any, status: str, started: list[str]) -> None:
    asked = []

    async def on_unknown(in_flight: InFlight) -> Any:
        await anyio.sleep(3)
        asked.append((in_flight.task_id, in_flight.attempt, in_flight.device_id))
        return answer

    async with settling_rig() as house:
        house.transport.became("a", Unknown("its marker is gone"), Completed())
        constellation = once("a b", "a>b")
        found = await resumed(house, constellation, on_unknown)
        assert house.slots_are_free()
    assert asked == [("a", 1, "d1")]
    assert constellation.get_task("a").status.value == status  # type: ignore[union-attr]
    assert house.device().started == started
    assert (found["status"] == "completed") is (status == "completed")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("completed", ["a task_completed", "b task_started", "b task_completed"]),
        ("failed", ["a task_failed", "b task_skipped"]),
        ("retry", ["a task_retrying", "a task_started", "a task_completed", "b task_started", "b task_completed"]),
        (None, ["a task_unknown", "b task_skipped"]),
    ],
)
async def test_what_the_program_says_is_told_as_if_the_device_had_said_it(answer: Any, told: list[str]) -> None:
    async with settling_rig() as house:
        house.transport.became("a", Unknown("its marker is gone"), Completed())
        constellation = once("a b", "a>b")
        await resumed(house, constellation, lambda flight: answer)
        await house.bus.drain()
    events = [event for event in house.recorder.events if isinstance(event, TaskEvent)]
    assert [f"{event.task_id} {event.event_type.value}" for event in events] == told
    why = "as on_unknown said: its marker is gone"
    assert [why in str(event.error) for event in events if event.error][:1] == [answer is not None] * (
        answer != "completed"
    )


@pytest.mark.parametrize(("answer", "exit_code"), [("completed", 0), ("failed", None)])
async def test_what_the_program_says_counts_as_an_exit_code(answer: str, exit_code: int | None) -> None:
    async with settling_rig() as house:
        house.transport.became("a", Unknown("its marker is gone", Completed(exit_code=0 if answer == "failed" else 9)))
        constellation = once("a")
        constellation.get_task("a").request = Command(["tell"])  # type: ignore[union-attr]
        found = await resumed(house, constellation, lambda flight: answer)
    result = found["results"]["a"]
    assert (result.status.value, result.exit_code) == (answer, exit_code)
    assert result.metadata == {"resolved_by_hand": True, "ended_unseen": True}


async def test_what_nobody_knows_has_ended_unseen() -> None:
    async with settling_rig() as house:
        house.transport.became("a", Unknown("its marker is gone"))
        found = await resumed(house, once("a"))
    assert found["results"]["a"].metadata == {"ended_unseen": True}


@pytest.mark.parametrize("said", [None, Completed(stdout=""), Completed(stdout="so far")])
async def test_what_the_program_says_was_done_leaves_nothing_that_could_be_read(said: Completed | None) -> None:
    async with settling_rig() as house:
        house.transport.became("a", Unknown("its marker is gone", said))
        constellation = once("a b", "a>b")
        constellation.get_task("b").request = Command(["tell", Reference("a", "value")])  # type: ignore[union-attr]
        found = await resumed(house, constellation, lambda flight: "completed")
    assert [found["results"][one].status for one in "ab"] == [TaskStatus.COMPLETED, TaskStatus.FAILED]
    assert "somebody said that it was done" in str(found["results"]["b"].error)


async def test_the_program_is_not_asked_of_what_may_run_again() -> None:
    asked = list[InFlight]()
    async with settling_rig(settles=False) as house:
        found = await resumed(house, plan("a", target_device_id="d1", effect=Effect.READ), asked.append)
    assert (found["status"], house.device().started, asked) == ("completed", ["a"], [])


async def test_a_program_that_fails_to_say_leaves_the_task_unknown(caplog: pytest.LogCaptureFixture) -> None:
    def on_unknown(in_flight: InFlight) -> str:
        raise LookupError(in_flight.task_id)

    async with settling_rig() as house:
        house.transport.became("a", Unknown("its marker is gone"))
        constellation = once("a")
        await resumed(house, constellation, on_unknown)
    assert constellation.get_task("a").status is TaskStatus.UNKNOWN  # type: ignore[union-attr]
    assert "on_unknown failed" in caplog.text


async def test_an_attempt_of_an_earlier_process_is_stopped_when_its_deadline_comes() -> None:
    async with settling_rig() as house:
        house.transport.became("a", hang, Unknown("it was stopped"))
        begun = anyio.current_time()
        found = await resumed(house, once("a", timeout=5))
        assert 5 <= anyio.current_time() - begun <= 6
        assert house.device().cancelled == ["a"]
        assert house.slots_are_free()
    assert found["results"]["a"].status is TaskStatus.FAILED
    assert str(found["results"]["a"].error) == "task 'a' was stopped at its deadline of 5 s"
    assert not found["results"]["a"].metadata


async def test_an_attempt_whose_deadline_passed_while_nobody_was_there_is_stopped_soon() -> None:
    async with settling_rig() as house:
        house.transport.became("a", hang, Unknown("it was stopped"))
        begun = anyio.current_time()
        found = await resumed(house, once("a", timeout=5), ago_s=100)
        assert anyio.current_time() - begun <= ENDED_S + 1
    result = found["results"]["a"]
    assert result.status is TaskStatus.FAILED
    assert str(result.error) == f"task 'a': its deadline of 5 s passed {RESUMED}"
    assert result.metadata == {"ended_unseen": True}


@pytest.mark.parametrize(
    ("word", "status"),
    [(Completed(exit_code=0), "completed"), (Completed(exit_code=3), "failed"), (Refused("never"), "completed")],
)
async def test_what_became_of_an_attempt_while_nobody_was_there_counts_after_its_deadline(
    word: Outcome, status: str
) -> None:
    async with settling_rig() as house:
        house.transport.became("a", takes(1, word))
        found = await resumed(house, once("a", timeout=5), ago_s=100)
    result = found["results"]["a"]
    assert result.status.value == status
    assert not isinstance(result.error, TaskTimeoutError)


@pytest.mark.parametrize(("word", "status"), [(Completed(exit_code=0), "completed"), (Refused("never"), "completed")])
async def test_an_attempt_that_had_ended_when_it_was_to_be_stopped_counts_as_it_ended(
    word: Outcome, status: str
) -> None:
    async with settling_rig() as house:
        house.transport.became("a", hang, word)
        found = await resumed(house, once("a", timeout=5), ago_s=100)
    assert found["results"]["a"].status.value == status


@pytest.mark.parametrize("effect", [Effect.READ, Effect.IDEMPOTENT])
async def test_of_what_was_cancelled_before_its_device_could_be_asked_is_said_that_it_may_still_run(
    effect: Effect,
) -> None:
    async with settling_rig(reconnect_delay=1.0, max_retries=20) as house:
        await house.manager.connect_device("d1")
        house.device().unplug()
        constellation = plan("a", target_device_id="d1", effect=effect)

        async def happen() -> None:
            await anyio.sleep(1)
            await house.orchestrator.cancel_execution(constellation.constellation_id)

        found = await resumed(house, constellation, happen=happen)
        assert house.slots_are_free()
    result = found["results"]["a"]
    assert result.status is TaskStatus.CANCELLED
    assert "its device could not be asked to stop it" in result.metadata["may_still_run"]


async def test_what_was_cancelled_when_the_device_that_was_asked_had_gone_is_unknown() -> None:
    async with settling_rig(reconnect_delay=1.0, max_retries=20) as house:
        house.transport.became("a", hang)
        constellation = once("a")

        async def happen() -> None:
            await until(lambda: house.device().asked)
            house.device().unplug()
            await anyio.sleep(1)
            await house.orchestrator.cancel_execution(constellation.constellation_id)

        found = await resumed(house, constellation, happen=happen)
        assert house.slots_are_free()
    assert found["results"]["a"].status is TaskStatus.UNKNOWN


async def test_what_was_settled_has_ended_when_that_was_found_out() -> None:
    async with settling_rig() as house:
        house.transport.became("a", takes(5, Completed(exit_code=0, metadata={"settled": True})))
        constellation = once("a b", "a>b")
        await resumed(house, constellation)
    settled, after = (constellation.get_task(name) for name in "ab")
    assert settled is not None
    assert after is not None
    assert settled.result.metadata["settled"]
    assert settled.result._end == settled._ended_at
    assert settled._started_at == 0.0
    assert settled.execution_duration == settled._ended_at
    assert after._started_at >= settled._ended_at  # type: ignore[operator]


async def test_what_an_earlier_process_began_on_a_device_that_is_away_waits_for_it() -> None:
    async with settling_rig(reconnect_delay=1.0, max_retries=20) as house:
        await house.manager.connect_device("d1")
        house.device().unplug()
        house.device().markers["0123456789abcdef-00000007"] = Completed(exit_code=0)

        async def happen() -> None:
            await anyio.sleep(5)
            house.device().plug_in()

        found = await resumed(house, once("a"), happen=happen)
    assert (found["status"], house.device().started) == ("completed", [])
