"""A recorded run goes on: wherever its process ended, and only where it can."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from galaxy_core import (
    Call,
    ConstellationDeviceManager,
    DependencyType,
    Device,
    Effect,
    EventBus,
    RetryPolicy,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    TaskStarLine,
    TaskStatus,
    resolve_recorded,
)
from galaxy_core.errors import ResumeError, RunLockedError, UnknownRecordedRunError
from galaxy_core.model.device import SecretRef
from galaxy_core.model.records import replay as replaying
from galaxy_core.model.records.making import hand_over
from galaxy_core.model.records.replay import InFlight, Replay, replay
from galaxy_core.runtime import resuming
from galaxy_core.testing.journals import KeptRun, MemoryJournal

pytestmark = pytest.mark.anyio
ONCE, IDEMPOTENT = Effect.ONCE, Effect.IDEMPOTENT


class Work:
    """What tasks call: counts who has run, and fails those that are called "bad"."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    async def do(self, task_id: str) -> str:
        self.ran.append(task_id)
        await anyio.sleep(0.01)
        if task_id.startswith("bad"):
            raise ValueError(f"{task_id} went wrong")
        return f"of {task_id}"


def a_plan(work: Work, *task_ids: str, links: Sequence[tuple[str, str] | TaskStarLine] = ()) -> TaskConstellation:
    """Tasks called "once…" may run only once."""
    quick = RetryPolicy(backoff_s=0.01)
    tasks = [
        TaskStar(
            task_id,
            request=Call(work.do, (task_id,)),
            effect=ONCE if task_id.startswith("once") else IDEMPOTENT,
            retry_count=int(task_id.startswith("bad")),
            retry=quick,
        )
        for task_id in task_ids
    ]
    lines = [link if isinstance(link, TaskStarLine) else TaskStarLine(*link) for link in links]
    return TaskConstellation.build(tasks, lines, constellation_id="p")


def chain(work: Work) -> TaskConstellation:
    return a_plan(work, "a", "once", "c", "once2", links=[("a", "once"), ("once", "c"), ("c", "once2")])


def flat(work: Work) -> TaskConstellation:
    return a_plan(work, "a", "once", "bad", "d", "once2")


def diamond(work: Work) -> TaskConstellation:
    return a_plan(work, "a", "b", "once", "d", links=[("a", "b"), ("a", "once"), ("b", "d"), ("once", "d")])


def skips(work: Work) -> TaskConstellation:
    only = DependencyType.SUCCESS_ONLY
    return a_plan(work, "bad", "b", "c", "once", links=[TaskStarLine("bad", "b", only), ("b", "c"), ("bad", "once")])


def conditions(work: Work) -> TaskConstellation:
    when = TaskStarLine.create_conditional
    links = [
        when("a", "b", "yes", lambda said: said == "of a"),
        when("a", "c", "no", lambda said: said == "of b"),
        when("c", "d", "never asked", lambda said: True),
    ]
    return a_plan(work, "a", "b", "c", "d", links=links)


PLANS = (chain, flat, diamond, skips, conditions)


@asynccontextmanager
async def orchestrated(
    journal: Any, device_ids: Sequence[str] = ("here",)
) -> AsyncIterator[TaskConstellationOrchestrator]:
    bus = EventBus()
    async with ConstellationDeviceManager(event_bus=bus) as devices:
        for device_id in device_ids:
            devices.add_device(Device(device_id, "python", max_concurrency=2))
        yield TaskConstellationOrchestrator(devices, event_bus=bus, journal=journal)


async def run(plan: TaskConstellation, journal: Any) -> dict[str, Any]:
    async with orchestrated(journal) as orchestrator:
        return await orchestrator.orchestrate_constellation(plan, assignment_strategy="round_robin")


def cut(lines: Sequence[str]) -> MemoryJournal:
    """A journal in which the process ended behind these records."""
    journal = MemoryJournal()
    journal.kept["p"] = KeptRun()
    journal.kept["p"].records = list(lines)
    journal.kept["p"].epoch = replay(lines).epochs[-1].epoch
    return journal


@pytest.mark.parametrize("make", PLANS)
async def test_behind_whichever_record_its_process_ended_a_run_goes_on_and_loses_nothing(
    make: Callable[[Work], TaskConstellation],
) -> None:
    whole = MemoryJournal()
    await run(make(Work()), whole)
    lines = whole.kept["p"].records
    first = next(n for n in range(1, len(lines) + 1) if replay(lines[:n]).is_whole)
    for count in range(first, len(lines)):
        before = replay(lines[:count])
        ended = {task.task_id for task in before.constellation().get_all_tasks() if task.is_terminal}
        journal, work = cut(lines[:count]), Work()
        async with orchestrated(journal) as orchestrator:
            result = await orchestrator.resume("p", constellation=make(work))
        after = replay(journal.kept["p"].records)
        plan = after.document()["tasks"]
        assert after.over == result["status"]
        assert not after.in_flight
        assert all(TaskStatus(task["status"]) is result["results"][name].status for name, task in plan.items())
        assert not ended & set(work.ran), "what had ended was run again"
        unknown = {name for name, task in plan.items() if task["status"] == "unknown"}
        assert unknown == {name for name in before.in_flight if name.startswith("once")}
        assert not unknown & set(work.ran), "what may run only once was run again"
        assert after.epochs[-1].epoch == 2
        assert len({epoch.mark for epoch in after.epochs}) == 2


async def test_a_run_is_resumed_again_and_again_until_it_is_over() -> None:
    whole = MemoryJournal()
    await run(chain(Work()), whole)
    lines = whole.kept["p"].records
    count = next(n for n in range(1, len(lines) + 1) if replay(lines[:n]).is_whole)
    for _ in range(20):
        journal, work = cut(lines[:count]), Work()
        async with orchestrated(journal) as orchestrator:
            await orchestrator.resume(
                "p", constellation=chain(work), on_unknown=lambda flight: "retry" if flight.attempt < 9 else "failed"
            )
        new = journal.kept["p"].records
        assert new[:count] == lines[:count]
        lines = new
        ends = [n for n in range(count + 1, len(lines)) if json.loads(lines[n])[1] == "end"]
        if not ends:
            break
        count = ends[0] + 1
    found = replay(lines)
    assert found.over == "completed"
    assert len(found.epochs) > 4


async def test_the_program_says_what_became_of_what_nobody_knows() -> None:
    whole, asked = MemoryJournal(), list[InFlight]()
    await run(chain(Work()), whole)
    lines = whole.kept["p"].records
    count = next(n for n, line in enumerate(lines) if line.split(",")[1:3] == ['"start"', '"once"']) + 1

    async def say(flight: InFlight) -> str:
        asked.append(flight)
        return "completed"

    journal, work = cut(lines[:count]), Work()
    async with orchestrated(journal) as orchestrator:
        result = await orchestrator.resume("p", constellation=chain(work), on_unknown=say)
    assert [(flight.task_id, flight.device_id, flight.attempt) for flight in asked] == [("once", "here", 1)]
    assert result["status"] == "completed"
    assert work.ran == ["c", "once2"]
    assert replay(journal.kept["p"].records).over == "completed"


async def test_whatever_takes_long_with_a_large_run_is_done_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[tuple[str, bool]] = []
    is_elsewhere = False

    async def elsewhere(function: Callable[..., Any], *args: Any) -> Any:
        nonlocal is_elsewhere
        is_elsewhere = True
        try:
            return function(*args)
        finally:
            is_elsewhere = False

    def seen(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            places.append((name, is_elsewhere))
            return function(*args)

        return call

    journal = await half_done()
    monkeypatch.setattr(resuming, "in_thread", elsewhere)
    monkeypatch.setattr(Replay, "take", seen("take", Replay.take))
    monkeypatch.setattr(replaying, "hand_over", seen("hand over", hand_over))
    async with orchestrated(journal) as orchestrator:
        await orchestrator.resume("p", constellation=chain(Work()))
    assert {name for name, _ in places} == {"take", "hand over"}
    await resolve_recorded(journal, "p", "once", "completed")
    assert [name for name, is_free in places if not is_free] == []


# ------------------------------------------------------------------------------------------------------- refusals
async def half_done() -> MemoryJournal:
    whole = MemoryJournal()
    await run(chain(Work()), whole)
    lines = whole.kept["p"].records
    return cut(lines[: next(n for n, line in enumerate(lines) if '"start","once"' in line) + 1])


async def test_a_run_with_functions_needs_the_plan_that_has_them() -> None:
    async with orchestrated(await half_done()) as orchestrator:
        with pytest.raises(ResumeError, match=r"task 'c' calls the Python function .*which no journal keeps") as caught:
            await orchestrator.resume("p")
    assert len(caught.value.reasons) == 3


async def test_a_run_with_functions_goes_on_when_somebody_has_said_how_a_task_ended() -> None:
    journal, work = await half_done(), Work()
    async with orchestrated(journal) as orchestrator:
        result = await orchestrator.resume("p", constellation=chain(work))
    assert result["results"]["once"].status is TaskStatus.UNKNOWN
    await resolve_recorded(journal, "p", "once", "retry")
    async with orchestrated(journal) as orchestrator:
        result = await orchestrator.resume("p", constellation=chain(work))
    assert result["status"] == "completed"


async def test_another_plan_is_refused_with_the_difference() -> None:
    work = Work()
    other = a_plan(work, "a", "once", "c", "new", links=[("a", "once"), ("once", "c"), ("c", "new")])
    other.get_task("a").description = "another"  # type: ignore[union-attr]
    async with orchestrated(journal := await half_done()) as orchestrator:
        with pytest.raises(ResumeError) as caught:
            await orchestrator.resume("p", constellation=other)
        told = str(caught.value)
        assert "task 'a' has another description" in told
        assert "task 'once2' is missing" in told
        assert "task 'new' is new" in told
        assert "dependency 'c' -> 'once2' is missing" in told
        assert not journal.kept["p"].is_open
        await orchestrator.resume("p", constellation=chain(work))


def edited_by(work: Work, edit: Callable[[TaskConstellation], Any]) -> TaskConstellation:
    """The chain, whose task `a` edits it."""
    built = chain(work)

    async def begin() -> None:
        edit(built)

    built.get_task("a").request = Call(begin)  # type: ignore[union-attr]
    return built


def a_task_that_calls(work: Work) -> Callable[[TaskConstellation], Any]:
    def edit(live: TaskConstellation) -> None:
        live.add_task(TaskStar("new", request=Call(work.do, ("new",))))
        live.add_dependency(TaskStarLine("c", "new"))

    return edit


def a_condition_that_is_a_function(work: Work) -> Callable[[TaskConstellation], Any]:
    def edit(live: TaskConstellation) -> None:
        live.add_dependency(TaskStarLine.create_conditional("once", "once2", "it is so", lambda said: True))

    return edit


@pytest.mark.parametrize("brings", [a_task_that_calls, a_condition_that_is_a_function])
async def test_functions_that_an_edit_has_brought_come_from_the_plan_as_the_edit_has_left_it(
    brings: Callable[[Work], Callable[[TaskConstellation], Any]],
) -> None:
    whole, work = MemoryJournal(), Work()
    as_edited = edited_by(work, brings(work))
    await run(as_edited, whole)
    assert as_edited.is_complete()
    lines = whole.kept["p"].records
    journal = cut(lines[: next(n for n, line in enumerate(lines) if '"end","a"' in line) + 1])
    ran, work.ran = work.ran, []
    async with orchestrated(journal) as orchestrator:
        with pytest.raises(
            ResumeError, match=r"no journal keeps: have the program .* built as before, or as edits have left"
        ):
            await orchestrator.resume("p", constellation=edited_by(work, brings(work)))
        found = await orchestrator.resume("p", constellation=as_edited.copy())
    assert (found["status"], sorted(work.ran)) == ("completed", sorted(ran))


async def test_a_plan_that_is_neither_as_before_nor_as_edited_is_refused_with_the_smaller_difference() -> None:
    whole, work = MemoryJournal(), Work()
    as_edited = edited_by(work, a_task_that_calls(work))
    await run(as_edited, whole)
    lines = whole.kept["p"].records
    journal = cut(lines[: next(n for n, line in enumerate(lines) if '"end","a"' in line) + 1])
    other = as_edited.copy()
    other.get_task("c").description = "another"  # type: ignore[union-attr]
    async with orchestrated(journal) as orchestrator:
        with pytest.raises(ResumeError) as caught:
            await orchestrator.resume("p", constellation=other)
    told = """task 'c' has another description (recorded: ""; given: "another")"""
    assert caught.value.reasons == (f"the plan that is given is not the recorded one: {told}",)


async def test_the_device_of_an_attempt_whose_end_is_not_known_has_to_be_there() -> None:
    async with orchestrated(await half_done(), ["there"]) as orchestrator:
        with pytest.raises(
            ResumeError,
            match="'once' was running on device 'here', which is not registered here",
        ):
            await orchestrator.resume("p", constellation=chain(Work()))


async def test_a_secret_that_is_missing_here_refuses_before_anything_fails_for_it(
    tmp_path: Path,
) -> None:
    """Of a device where tasks are to run; after a restart of the machine a variable is easily forgotten."""
    journal, file = await half_done(), tmp_path / "token"
    count = len(journal.kept["p"].records)
    settings = {"env": {"TOKEN": SecretRef(env="GALAXY_TEST_TOKEN"), "KEY": SecretRef(file=str(file))}}
    bus = EventBus()
    async with ConstellationDeviceManager(event_bus=bus) as devices:
        for device_id in ("here", "spare"):
            devices.add_device(Device(device_id, "local", settings=settings))
        orchestrator = TaskConstellationOrchestrator(devices, event_bus=bus, journal=journal)
        with pytest.raises(ResumeError) as caught:
            await orchestrator.resume("p", constellation=chain(Work()))
    where = "device 'here', where tasks are to run, needs secret"
    variable, missing = caught.value.reasons
    assert variable == (
        f"{where} env:GALAXY_TEST_TOKEN: environment variable 'GALAXY_TEST_TOKEN' is not set; set it before the start"
    )
    assert missing.startswith(f"{where} file:{file}: the file cannot be read: No such file or directory")
    assert len(journal.kept["p"].records) == count, "nothing was begun, so nothing is spoilt"


async def test_a_run_that_is_over_is_not_resumed() -> None:
    journal = MemoryJournal()
    await run(chain(Work()), journal)
    count = len(journal.kept["p"].records)
    async with orchestrated(journal) as orchestrator:
        with pytest.raises(
            ResumeError, match=r"it is over \(completed, 4 of 4 tasks done\), and nothing is left that could run"
        ):
            await orchestrator.resume("p", constellation=chain(Work()))
    assert len(journal.kept["p"].records) == count


async def test_a_strategy_that_is_not_there_and_a_plugin_that_is_missing_are_both_told() -> None:
    journal = await half_done()
    records = journal.kept["p"].records
    number, kind, header = json.loads(records[0])
    header["strategy"], header["plugins"] = "gone", {"galaxy-core-gone": "1.0"}
    records[0] = json.dumps([number, kind, header])
    async with orchestrated(journal) as orchestrator:
        with pytest.raises(ResumeError) as caught:
            await orchestrator.resume("p", constellation=chain(Work()))
    assert "plugin 'galaxy-core-gone' (1.0) is not installed" in str(caught.value)
    assert "there is no strategy 'gone'" in str(caught.value)


async def test_two_never_run_one_run() -> None:
    journal = await half_done()
    async with orchestrated(journal) as first, orchestrated(journal) as second, anyio.create_task_group() as group:
        work = Work()

        async def go() -> None:
            await first.resume("p", constellation=chain(work), on_unknown=lambda flight: "retry")

        group.start_soon(go)
        while first.run_of("p") is None:
            await anyio.lowlevel.checkpoint()
        for orchestrator in (first, second):
            with pytest.raises(RunLockedError):
                await orchestrator.resume("p", constellation=chain(Work()))


async def test_a_run_that_no_journal_has_is_refused_with_those_that_are_near() -> None:
    async with orchestrated(await half_done()) as orchestrator:
        with pytest.raises(UnknownRecordedRunError, match="'p'"):
            await orchestrator.resume("pp")
    async with orchestrated(None) as orchestrator:
        with pytest.raises(ResumeError, match="no journal is given"):
            await orchestrator.resume("p")


async def test_a_run_whose_plan_was_not_recorded_is_to_be_run_anew() -> None:
    journal = await half_done()
    del journal.kept["p"].records[2:]
    async with orchestrated(journal) as orchestrator:
        with pytest.raises(ResumeError, match="nothing of it has started: run the plan anew"):
            await orchestrator.resume("p")
