"""A run that is recorded: what its records come to, when what is kept, and what follows when it cannot be."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
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
    Event,
    EventBus,
    EventType,
    RetryPolicy,
    RunError,
    RunInfo,
    SecretRef,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    TaskStarLine,
    TaskStatus,
)
from galaxy_core.errors import JournalError, JournalFailedError
from galaxy_core.extension.interfaces import Durability, JournalWriter
from galaxy_core.model.records.replay import replay
from galaxy_core.runtime import ledger
from galaxy_core.runtime.recording import device_document
from galaxy_core.testing.journals import MemoryJournal

pytestmark = pytest.mark.anyio
DURABILITIES: tuple[Durability, ...] = ("sync", "batched")


def answer(text: str) -> str:
    if text.startswith("bad"):
        raise ValueError(f"{text} went wrong")
    return text


def a_task(task_id: str, **more: Any) -> TaskStar:
    return TaskStar(task_id, request=Call(answer, (task_id,)), **more)


def a_plan(run_id: str, *task_ids: str, links: Sequence[tuple[str, str] | TaskStarLine] = ()) -> TaskConstellation:
    quick = RetryPolicy(backoff_s=0.01)
    tasks = [a_task(task_id, retry_count=int(task_id.startswith("bad")), retry=quick) for task_id in task_ids]
    lines = [link if isinstance(link, TaskStarLine) else TaskStarLine(*link) for link in links]
    return TaskConstellation.build(tasks, lines, constellation_id=run_id)


def plans() -> list[TaskConstellation]:
    only, any_end, when = DependencyType.SUCCESS_ONLY, DependencyType.COMPLETION_ONLY, TaskStarLine.create_conditional
    return [
        a_plan("chain", "a", "b", "c", links=[("a", "b"), ("b", "c")]),
        a_plan("flat", *(f"t{number}" for number in range(20)), "bad"),
        a_plan("diamond", "a", "b", "c", "d", links=[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]),
        a_plan(
            "skips",
            *("bad", "b", "c", "d"),
            links=[TaskStarLine("bad", "b", only), ("b", "c"), TaskStarLine("bad", "d", any_end)],
        ),
        a_plan(
            "conditions",
            *("a", "b", "c", "d"),
            links=[
                when("a", "b", "it says a", lambda said: said == "a"),
                when("a", "c", "it says b", lambda said: said == "b"),
                when("c", "d", "it breaks", lambda said: said.nothing),
            ],
        ),
    ]


@asynccontextmanager
async def orchestrated(
    journal: Any, durability: Durability = "sync", observers: Sequence[Any] = (), slots: int = 4
) -> AsyncIterator[TaskConstellationOrchestrator]:
    bus = EventBus()
    for observer in observers:
        bus.subscribe(observer)
    async with ConstellationDeviceManager(event_bus=bus) as devices:
        devices.add_device(Device("here", "python", max_concurrency=slots))
        yield TaskConstellationOrchestrator(devices, event_bus=bus, journal=journal, durability=durability)


async def run(plan: TaskConstellation, journal: Any, durability: Durability = "sync") -> dict[str, Any]:
    async with orchestrated(journal, durability) as orchestrator:
        return await orchestrator.orchestrate_constellation(plan, assignment_strategy="round_robin")


def kinds(lines: Sequence[str]) -> list[str]:
    return [json.loads(line)[1] for line in lines]


class Gate(MemoryJournal):
    """Keeps nothing until it is opened; fails at the `fails_at`-th write."""

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__()
        self.opened = anyio.Event()
        self.fails_at = fails_at
        self.writes = 0

    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[JournalWriter]:  # type: ignore[override]  # it is one
        async with super().open(run) as writer:
            yield _Gated(self, writer)


class _Gated:
    def __init__(self, journal: Gate, writer: JournalWriter) -> None:
        self.journal, self.inner = journal, writer
        self.epoch, self.folder = writer.epoch, writer.folder

    async def write(self, records: Sequence[str], /) -> None:
        self.journal.writes += 1
        if self.journal.writes == self.journal.fails_at:
            raise OSError("no space left on device")
        await self.journal.opened.wait()
        await self.inner.write(records)


def an_open(fails_at: int | None = None) -> Gate:
    journal = Gate(fails_at)
    journal.opened.set()
    return journal


# ------------------------------------------------------------------------------------------------------- the records
@pytest.mark.parametrize("durability", DURABILITIES)
async def test_what_the_records_of_a_run_come_to_is_the_plan_as_it_is_in_the_end(durability: Durability) -> None:
    for plan in plans():
        journal = MemoryJournal()
        result = await run(plan, journal, durability)
        found = replay(journal.kept[plan.constellation_id].records)
        assert found.document() == plan.to_dict()
        assert found.over == result["status"]
        assert not found.in_flight


async def test_the_first_record_says_with_what_the_run_was_started() -> None:
    journal = MemoryJournal()
    async with orchestrated(journal) as orchestrator:
        await orchestrator.orchestrate_constellation(
            a_plan("p", "a"), assignment_strategy="round_robin", metadata={"who": "me", "source": {"path": "p.yaml"}}
        )
    header = replay(journal.kept["p"].records).header
    assert header is not None
    assert (header.strategy, header.durability, header.metadata["who"]) == ("round_robin", "sync", "me")
    assert header.source == {"path": "p.yaml"}
    assert [device["device_id"] for device in header.devices] == ["here"]
    assert header.requires["transports"] == ["python"]


async def test_no_secret_of_a_device_is_recorded() -> None:
    settings = {
        "host": "h",
        "password": SecretRef(env="PW"),
        "proxy": {"api_key": ["hunter2"], "passphrase": "hunter2"},
    }
    document = device_document(Device("d", "ssh", settings=settings, metadata={"token": "hunter2"}))
    assert "hunter2" not in json.dumps(document)
    assert document["settings"]["password"] == {"env": "PW"}
    assert document["settings"]["host"] == "h"


async def test_edits_and_what_is_done_by_hand_are_recorded() -> None:
    journal = MemoryJournal()
    plan = a_plan("p", "a", "b", "c", links=[("a", "b"), ("b", "c")])

    def edit(said: str) -> bool:
        plan.add_task(a_task("new"))
        plan.add_dependency(TaskStarLine("a", "new"))
        plan.remove_task("c")
        plan.get_task("b").description = "changed"  # type: ignore[union-attr]
        plan.name = "renamed"
        plan.update_metadata({"note": [1, 2]})
        plan.add_task(a_task("by hand"))
        plan.mark_task_completed("by hand", success=False, error=ValueError("no"))
        return True

    plan.get_all_dependencies()[0].set_condition_evaluator(edit)
    plan.get_all_dependencies()[0].dependency_type = DependencyType.CONDITIONAL
    await run(plan, journal)
    assert replay(journal.kept["p"].records).document() == plan.to_dict()
    assert "edit" in kinds(journal.kept["p"].records)


async def test_a_run_without_a_journal_and_one_that_is_off_record_nothing() -> None:
    journal = MemoryJournal()
    plan = a_plan("p", "a")
    async with orchestrated(journal, "off") as orchestrator:
        await orchestrator.orchestrate_constellation(plan, assignment_strategy="round_robin")
    assert not journal.kept
    assert plan._recorder is None


async def test_long_texts_stand_in_files_of_the_run(tmp_path: Path) -> None:
    class Filing(Gate):
        @asynccontextmanager
        async def open(self, run: RunInfo, /) -> AsyncIterator[JournalWriter]:  # type: ignore[override]  # it is one
            async with super().open(run) as writer:
                assert isinstance(writer, _Gated)
                writer.folder = tmp_path
                yield writer

    journal = Filing()
    journal.opened.set()
    text = "é" * (1 << 20) + "x"
    plan = TaskConstellation.build([TaskStar("a", request=Call(lambda: text))], [], constellation_id="p")
    await run(plan, journal)
    (file,) = (tmp_path / "texts").iterdir()
    assert file.read_text("utf-8") == text
    assert len("".join(journal.kept["p"].records)) < 100_000


# ------------------------------------------------------------------------------------------------------- durability
class Devices:
    """What the device heard, at which number of kept records."""

    def __init__(self, journal: MemoryJournal) -> None:
        self.journal = journal
        self.heard: dict[str, list[str]] = {}

    def __call__(self, task_id: str) -> str:
        self.heard[task_id] = list(self.journal.kept["p"].records)
        return task_id


async def test_in_sync_a_device_hears_of_a_task_when_its_start_is_kept_and_what_that_follows_from() -> None:
    journal = MemoryJournal()
    device = Devices(journal)
    tasks = [TaskStar(task_id, request=Call(device, (task_id,))) for task_id in ("a", "b", "c")]
    plan = TaskConstellation.build(tasks, [TaskStarLine("a", "b"), TaskStarLine("b", "c")], constellation_id="p")
    await run(plan, journal)
    for task_id, before in (("a", None), ("b", "a"), ("c", "b")):
        records = [json.loads(line) for line in device.heard[task_id]]
        assert [record[2] for record in records if record[1] == "start"][-1] == task_id
        if before is not None:
            assert [record[2] for record in records if record[1] == "end"][-1] == before


async def test_in_sync_nobody_is_told_what_is_not_kept() -> None:
    journal = Gate()
    told: list[tuple[EventType, int]] = []

    class Listener:
        async def on_event(self, event: Event) -> None:
            if event.event_type.value.startswith(("task_", "constellation_")):
                told.append((event.event_type, len(journal.kept["p"].records)))

    plan = a_plan("p", "a", "b", links=[("a", "b")])
    async with orchestrated(journal, observers=[Listener()]) as orchestrator, anyio.create_task_group() as group:

        async def go() -> None:
            await orchestrator.orchestrate_constellation(plan, assignment_strategy="round_robin")
            assert kinds(journal.kept["p"].records)[-1] == "over"

        group.start_soon(go)
        await anyio.wait_all_tasks_blocked()
        assert (told, plan.get_task("a").status) == ([], TaskStatus.RUNNING)  # type: ignore[union-attr]
        journal.opened.set()
    lines = kinds(journal.kept["p"].records)
    assert next(kept for kind, kept in told if kind is EventType.TASK_COMPLETED) > lines.index("end")
    assert [kept for kind, kept in told if kind is EventType.CONSTELLATION_COMPLETED] == [len(lines)]


async def test_what_happens_at_the_same_time_shares_a_write() -> None:
    journal = an_open()
    plan = a_plan("p", *(f"t{number}" for number in range(64)))
    async with orchestrated(journal, slots=64) as orchestrator:
        await orchestrator.orchestrate_constellation(plan, assignment_strategy="round_robin")
    assert journal.writes < 16


async def test_in_batched_records_wait_for_others() -> None:
    journal = an_open()
    await run(a_plan("p", *(f"t{number}" for number in range(50))), journal, "batched")
    assert journal.writes <= 5


async def test_in_batched_one_record_tells_of_what_has_begun_and_ended_since_the_last_write() -> None:
    journal = MemoryJournal()
    plan = a_plan("p", *(f"t{number}" for number in range(300)), "bad", links=[("t0", "t1")])
    await run(plan, journal, "batched")
    records = [json.loads(line) for line in journal.kept["p"].records]
    told = [attempt[0] for record in records if record[1] == "ran" for attempt in record[2]]
    assert len(told) == len(set(told)) > 250
    assert kinds(journal.kept["p"].records).count("ran") < 10
    assert replay(journal.kept["p"].records).document() == plan.to_dict()


async def test_in_batched_what_is_said_of_running_attempts_follows_their_starts() -> None:
    journal = MemoryJournal()
    plan = a_plan("p", "b")

    def edit() -> str:
        plan.add_task(a_task("new"))
        return "edited"

    plan.add_task(TaskStar("a", request=Call(edit)))
    await run(plan, journal, "batched")
    records = [json.loads(line)[1:3] for line in journal.kept["p"].records]
    edited = next(n for n, record in enumerate(records) if record[0] == "edit")
    assert ["start", "a"] in records[:edited]
    assert next(record[1] for record in records[edited:] if record[0] == "end") == "a"
    assert replay(journal.kept["p"].records).document() == plan.to_dict()


async def test_large_results_do_not_share_a_record() -> None:
    journal = MemoryJournal()
    tasks = [TaskStar(f"t{number}", request=Call(lambda: "x" * 900_000)) for number in range(4)]
    plan = TaskConstellation.build(tasks, [], constellation_id="p")
    await run(plan, journal, "batched")
    assert max(map(len, journal.kept["p"].records)) < 1_000_000
    assert replay(journal.kept["p"].records).document() == plan.to_dict()


# ------------------------------------------------------------------------------------------------------- failures
@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("fails_at", [1, 2, 3])
async def test_a_run_whose_journal_fails_is_stopped_and_says_why(fails_at: int, durability: Durability) -> None:
    journal, began = an_open(fails_at), list[str]()

    async def wait(task_id: str) -> None:
        began.append(task_id)
        await anyio.sleep(0.15)

    tasks = [TaskStar(f"t{number}", request=Call(wait, (f"t{number}",))) for number in range(6)]
    lines = [TaskStarLine(f"t{number}", f"t{number + 1}") for number in range(5)]
    plan = TaskConstellation.build(tasks, lines, constellation_id="p")
    with pytest.raises(JournalFailedError, match="its journal failed: no space left on device") as caught:
        await run(plan, journal, durability)
    assert isinstance(caught.value.__cause__, OSError)
    assert journal.writes == fails_at
    if durability == "sync":
        starts = [json.loads(line)[2] for line in journal.kept["p"].records if '"start"' in line]
        assert began == starts, "nothing was sent whose start was not kept"
    assert len(began) < 6
    records = journal.kept["p"].records
    kept = {task.task_id for task in replay(records).constellation().get_completed_tasks()} if records[1:] else ()
    assert caught.value.ended == {id_: "completed" for id_ in began if id_ not in kept}, (
        "nobody could ask about it later"
    )
    after = {task.task_id: task.status for task in plan.get_all_tasks()}
    assert after == {f"t{n}": TaskStatus.COMPLETED if f"t{n}" in began else TaskStatus.PENDING for n in range(6)}


class Locked(MemoryJournal):
    """Cannot be opened, or cannot be closed."""

    def __init__(self, when: str) -> None:
        super().__init__()
        self._when = when

    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[JournalWriter]:  # type: ignore[override]  # it is one
        if self._when == "open":
            raise OSError("it is locked")
        async with super().open(run) as writer:
            yield writer
        raise OSError("it is locked")


@pytest.mark.parametrize("when", ["open", "close"])
async def test_a_journal_that_cannot_be_opened_or_closed_is_named_by_the_runs_error(when: str) -> None:
    with pytest.raises(RunError, match=f"cannot {when} journal 'memory': it is locked") as caught:
        await run(a_plan("p", "a"), Locked(when))
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_run_id_that_the_journal_has_already_is_refused_before_anything_starts() -> None:
    journal = MemoryJournal()
    await run(a_plan("p", "a"), journal)
    plan = a_plan("p", "a")
    with pytest.raises(JournalError, match="'p'"):
        await run(plan, journal)
    assert plan.get_task("a").status is TaskStatus.PENDING  # type: ignore[union-attr]


async def test_a_journal_that_is_none_is_refused() -> None:
    with pytest.raises(RunError, match="journal is the name of a journal, or one itself, not 7"):
        await run(a_plan("p", "a"), 7)


async def test_a_durability_that_there_is_not_is_refused() -> None:
    async with orchestrated(MemoryJournal()) as orchestrator:
        with pytest.raises(ValueError, match="'safe' is no durability; it is one of 'sync', 'batched', 'off'"):
            await orchestrator.orchestrate_constellation(a_plan("p", "a"), durability="safe")  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------- cancellation
async def test_the_last_records_of_a_run_that_its_host_cancels_are_kept() -> None:
    journal, plan = (
        MemoryJournal(),
        TaskConstellation.build(
            [TaskStar("a", request=Call(anyio.sleep_forever)), a_task("b")],
            [TaskStarLine("a", "b")],
            constellation_id="p",
        ),
    )
    with anyio.CancelScope() as scope:
        async with orchestrated(journal) as orchestrator, anyio.create_task_group() as group:
            group.start_soon(orchestrator.orchestrate_constellation, plan, None, "round_robin")
            while plan.get_task("a").status is not TaskStatus.RUNNING:  # type: ignore[union-attr]
                await anyio.lowlevel.checkpoint()
            scope.cancel()
    found = replay(journal.kept["p"].records)
    assert found.document() == plan.to_dict()
    assert found.over == "cancelled"
    assert not journal.kept["p"].is_open


async def test_cancelled_at_any_await_a_run_leaves_records_that_are_its_plan_and_a_journal_that_is_closed() -> None:
    """Cancels at the k-th checkpoint that the journal, a device or the run comes to, for all k."""
    for step in range(60):
        journal, plan = MemoryJournal(), a_plan("p", "a", "bad", "c", links=[("a", "bad"), ("bad", "c")])
        over = False
        with anyio.CancelScope() as scope:
            async with orchestrated(journal) as orchestrator, anyio.create_task_group() as group:

                async def cancel(scope: anyio.CancelScope = scope, step: int = step) -> None:
                    for _ in range(step):
                        await anyio.lowlevel.checkpoint()
                    scope.cancel()

                group.start_soon(cancel)
                await orchestrator.orchestrate_constellation(plan, assignment_strategy="round_robin")
                over = True
                group.cancel_scope.cancel()
        kept = journal.kept.get("p")
        if kept is None or not kept.records:
            assert not over
            continue
        assert not kept.is_open
        found = replay(kept.records)
        if found.is_whole:
            assert found.document() == plan.to_dict()


async def test_an_attempt_that_is_cancelled_before_its_start_is_kept_is_never_sent() -> None:
    journal, heard = Gate(), list[str]()
    plan = TaskConstellation.build([TaskStar("a", request=Call(heard.append, ("a",)))], [], constellation_id="p")
    async with orchestrated(journal) as orchestrator, anyio.create_task_group() as group:
        group.start_soon(orchestrator.orchestrate_constellation, plan, None, "round_robin")
        while plan.get_task("a").status is not TaskStatus.RUNNING:  # type: ignore[union-attr]
            await anyio.lowlevel.checkpoint()
        assert orchestrator.cancel_task("a", "p")
        journal.opened.set()
    assert (heard, plan.get_task("a").status) == ([], TaskStatus.CANCELLED)  # type: ignore[union-attr]
    assert replay(journal.kept["p"].records).document() == plan.to_dict()


@pytest.mark.parametrize("was", [None, b"", b"a lonf text", b"a long text"])
def test_a_long_text_is_whole_after_it_was_kept_whatever_was_there(tmp_path: Path, was: bytes | None) -> None:
    path = tmp_path / "texts" / "1.txt"
    if was is not None:
        path.parent.mkdir()
        path.write_bytes(was)
    ledger._keep_texts([(path, "a long text")])
    assert path.read_bytes() == b"a long text"
