"""The laws of records, on the model alone: whatever is done to a plan, its records come to the same plan.

A naive recorder stands in for the run: it finds what was changed by looking at all of the plan before and after.
"""

from __future__ import annotations

import json
import math
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_core.errors import OutcomeUnknownError, TaskCancelledError, TaskError, TaskFailedError
from galaxy_core.model.changes import Changes
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.edits import (
    AddDependency,
    AddTask,
    Operation,
    RemoveDependency,
    RemoveTask,
    Transaction,
    UpdateDependency,
    UpdateTask,
)
from galaxy_core.model.records import encode
from galaxy_core.model.records.header import Header
from galaxy_core.model.records.lean import lean_line, lean_task
from galaxy_core.model.records.replay import Replay, replay
from galaxy_core.model.records.unkept import Keeper
from galaxy_core.model.request import Command
from galaxy_core.model.result import ExecutionResult, TaskStatus
from galaxy_core.model.task import TaskStar
from tests.properties.transactions import LINK_IDS, LINKS, SOUND, LinkSpec, Spec, operations, specs

KEEPER = Keeper()
_ENDS = (TaskStatus.COMPLETED, TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.UNKNOWN, TaskStatus.CANCELLED)
_RUNS = (
    ("begin",) * 10
    + ("end",) * 10
    + ("end held",) * 4
    + ("again", "again", "judge", "judge")
    + ("resolve",) * 4
    + ("cancel",)
)
_HANDS = ("start", "complete", "fail", "cancel by hand", "retry", "set", "mark", "say")
_PAYLOADS: list[Any] = [
    None, "yes", "", 0, 1.5, True, [1, [2]], {"a": {"b": None}}, "é\ud800\0", 10**400, math.nan, -math.inf, b"\xff",
    {1, 2}, {1: 2}, (1, "two"), {"$unkept": 1}, {"$dict": {}}, {"$text": "x"}, {"$value": 3}, object, OSError("x"),
]  # fmt: skip


def _breaks(value: Any) -> bool:
    raise ValueError(f"nobody can say of {value!r}")


BROKEN = {"dependency_type": DependencyType.CONDITIONAL, "condition_evaluator": _breaks}


class Diary:
    """Does things to a plan, and records them as a run would."""

    def __init__(self, plan: TaskConstellation) -> None:
        self.plan, self.lines = plan, list[str]()
        self.replay = Replay()
        self._now = plan._updated_at
        self._leases = 0
        self._leased: dict[TaskStar, int] = {}
        header = Header("1.0", plan.constellation_id, "mark", 1.0)
        self._put(encode.header(0, header.to_dict()))
        for line in encode.whole_plan(1, plan):
            self._put(line)

    def _put(self, line: str) -> None:
        assert line.isascii()
        assert "\n" not in line
        self.lines.append(line)
        self.replay.take(line)

    @property
    def n(self) -> int:
        return len(self.lines)

    def _at(self) -> float:
        self._now += 0.5
        return self._now

    def _looks(self) -> tuple[dict[Any, str], dict[Any, str]]:
        tasks = {task: json.dumps(lean_task(task, KEEPER)) for task in self.plan.get_all_tasks()}
        return tasks, {line: json.dumps(lean_line(line, KEEPER)) for line in self.plan.get_all_dependencies()}

    # ------------------------------------------------------------------------------------------- as a run does
    def run(self, what: str, pick: int, payload: Any) -> None:
        plan = self.plan
        if what == "begin":
            if ready := plan.get_ready_tasks():
                self._begin(ready[pick % len(ready)], f"d{pick}")
        elif what == "judge":
            held = list(plan._withheld)[: pick + 1]
            before = self._looks()[1]
            at = self._at()
            _, skipped = plan.judge_withheld(held, at)
            self._follows(before, None, skipped)
        elif what == "cancel":
            at, tasks = self._at(), plan.get_pending_tasks()
            for task in tasks:
                plan.withdraw(task, TaskCancelledError(task.task_id, f"task {task.task_id!r}: enough"), at)
            plan._cancelled = plan._cancelled or pick == 0
            for some in (tasks[:2], tasks[2:]):
                self._put(encode.cancel(self.n, [task.task_id for task in some], at, "enough", pick == 0))
        elif what == "resolve":
            if unknown := [task for task in plan.get_all_tasks() if task.status is TaskStatus.UNKNOWN]:
                task, as_ = unknown[pick % len(unknown)], ("completed", "failed", "retry")[pick % 3]
                made = plan.resolve(task.task_id, as_, payload)
                at = task._updated_at
                record = encode.resolve(self.n, plan, task.task_id, as_, "me", at, made.tasks, made.links, KEEPER)
                self._put(record)
        elif running := plan.get_running_tasks():
            self._goes_on(running[pick % len(running)], what, pick, payload)

    def _begin(self, task: TaskStar, device_id: str) -> None:
        if not task.is_pinned:
            task._target_device_id = device_id
        self.plan.begin(task, self._at())
        self._leases += 1
        self._leased[task] = self._leases
        self._put(
            encode.start(
                self.n, task.task_id, self._leases, task._attempts, task.target_device_id or "", task._started_at or 0.0
            )
        )
        if self._leases % 3:
            self._put(encode.sent(self.n, task.task_id, self._leases))
        if not self._leases % 2:
            self._put(encode.ack(self.n, task.task_id, self._leases))

    def _goes_on(self, task: TaskStar, what: str, pick: int, payload: Any) -> None:
        plan, lease = self.plan, self._leased.pop(task, 0)
        if what == "again":
            task._again(self._at(), counted=bool(pick % 2))
            self._put(encode.again(self.n, task, "failed", 1.5, TaskFailedError(task.task_id, "it failed", 3)))
            return
        status, at = _ENDS[pick % len(_ENDS)], self._at()
        error: Exception | None = None
        if status is not TaskStatus.COMPLETED:
            kinds: tuple[type[TaskError], ...] = (TaskFailedError, OutcomeUnknownError, TaskCancelledError)
            error = kinds[pick % 3](task.task_id, f"task {task.task_id!r}: it is {payload!r}")
        result: Any = ExecutionResult(
            task.task_id, status, payload, error, {"said": payload} if pick % 2 else None, task._started_at, at,
            device_id=task.target_device_id, attempts=task.attempts, exit_code=pick,
        )  # fmt: skip
        before = self._looks()[1]
        _, skipped = plan.end(task, status, result if pick else payload, error, at, what == "end held")
        self._put(encode.end(self.n, task, lease, what == "end held", KEEPER))
        self._follows(before, at, skipped)

    def _follows(self, before: dict[Any, str], at: float | None, skipped: Any) -> None:
        changed = [line for line, look in self._looks()[1].items() if before[line] != look]
        plain = [line for line in changed if at is not None and line._evaluated_at == at]
        for line in changed:
            if line not in plain:
                self._put(encode.link(self.n, line, KEEPER))
        for task in skipped:
            self._put(encode.skip(self.n, task))

    # ------------------------------------------------------------------------------------------- as others do
    def hand(self, what: str, pick: int, payload: Any) -> None:
        before = self._looks()
        able = [task for task in self.plan.get_all_tasks() if _can(task, what)]
        if what == "say":
            lines = [
                line for line in self.plan.get_all_dependencies() if self.plan.is_dependency_modifiable(line.line_id)
            ]
            for line in lines[pick : pick + 1]:
                line.evaluate_condition(payload)
        elif able:
            _do(self.plan, able[pick % len(able)], what, payload)
        self._image(before, None)

    def edit(self, batch: list[Operation]) -> None:
        changes = Changes(self.plan, Transaction(batch))
        before = self._looks()
        if not changes.problems:
            changes.apply()
            self._image(before, changes.transaction)

    def _image(self, before: tuple[dict[Any, str], dict[Any, str]], transaction: Transaction | None) -> None:
        (old_tasks, old_links), (tasks, links) = before, self._looks()
        changed = [one for one, look in tasks.items() if old_tasks.get(one) != look]
        changed_links = [one for one, look in links.items() if old_links.get(one) != look]
        gone: list[str] = [one.task_id for one in old_tasks if one not in tasks]
        gone_links: list[str] = [one.line_id for one in old_links if one not in links]
        for task in gone + [one.task_id for one in changed if one.status is not TaskStatus.RUNNING]:
            self._leased = {one: lease for one, lease in self._leased.items() if one.task_id != task}
        if transaction is None:
            line = encode.image(self.n, self.plan, changed, changed_links, gone, gone_links, KEEPER)
        else:
            line = encode.edit(
                self.n, self.plan, id="e", description=str(transaction), author="me", transaction=transaction,
                tasks=changed, links=changed_links, gone_tasks=gone, gone_links=gone_links, keeper=KEEPER,
            )  # fmt: skip
        self._put(line)


def _can(task: TaskStar, what: str) -> bool:
    if what in ("start", "mark"):
        return task.is_ready_to_execute
    if what in ("complete", "fail"):
        return task.status is TaskStatus.RUNNING
    if what == "retry":
        return task.should_retry()
    return not task.is_terminal if what == "cancel by hand" else task.is_modifiable


def _do(plan: TaskConstellation, task: TaskStar, what: str, payload: Any) -> None:
    match what:
        case "start":
            task.start_execution()
        case "complete":
            task.complete_with_success(payload)
        case "fail":
            task.complete_with_failure(KeyError(repr(payload)))
        case "cancel by hand":
            task.cancel()
        case "retry":
            task.retry()
        case "mark":
            plan.mark_task_completed(task.task_id, payload is not None, payload, OSError(2, "gone"))
        case _:
            task.task_data = {"said": payload}
            plan.update_metadata({"said": payload})


def inside(plan: TaskConstellation) -> dict[str, Any]:
    """What no document says, and a run goes by."""
    return {
        "ready": [task.task_id for task in plan.get_ready_tasks()],
        "pending": {task.task_id: task._pending for task in plan.get_pending_tasks()},
        "open": {line.line_id: line._open for line in plan.get_all_dependencies() if not _is_over(line)},
        "withheld": {line.line_id for line in plan._withheld if not _is_over(line)},
        "counts": {status: plan.count(status) for status in TaskStatus},
        "broken": plan._broken,
        "cancelled": plan._cancelled,
        "errors": {task.task_id: type(task.error).__name__ for task in plan.get_all_tasks()},
        "revision": plan.revision,
        "order": [task.task_id for task in plan.get_all_tasks()],
    }


def _is_over(line: TaskStarLine) -> bool:
    """Whether nobody waits for its target any more."""
    return line._target is None or line._target.is_terminal


_numbers = st.integers(0, 6)
_payload = st.sampled_from(_PAYLOADS)
_run = st.tuples(st.sampled_from(_RUNS), _numbers, _payload)
_hand = st.tuples(st.sampled_from(_HANDS), _numbers, _payload)


@st.composite
def stories(draw: st.DrawFn) -> tuple[Spec, list[Any]]:
    spec = draw(specs())
    batches = st.lists(operations(spec, draw(st.sampled_from("abcdef"))), min_size=1, max_size=3)
    return spec, draw(st.lists(st.one_of(_run, _run, _run, _hand, batches), max_size=24))


def wild(seed: int) -> tuple[Spec, list[Any]]:
    """A story in which more happens than hypothesis draws by itself."""
    chance = random.Random(seed)
    ids = "abcdef"[: chance.randint(3, 6)]
    free = chance.sample(LINK_IDS, len(LINK_IDS))
    pairs = [(one, other) for one in ids for other in ids if one < other]
    chosen = chance.sample(pairs, min(len(pairs), chance.randint(2, 8)))
    links = {free.pop(): LinkSpec(*ends, chance.choice([*LINKS, BROKEN])) for ends in chosen}
    said = {task_id: {"request": None, **chance.choice(SOUND)} for task_id in chance.sample(ids, len(ids))}
    said = {task_id: {**one, "request": Command(["ls"])} if one["request"] else one for task_id, one in said.items()}
    spec, steps = Spec(said, links), list[Any]()
    for _ in range(chance.randint(10, 40)):
        if chance.random() < 0.12:
            steps.append([_wild_operation(chance, ids, free) for _ in range(chance.randint(1, 2))])
        else:
            what = chance.choice(_RUNS if chance.random() < 0.9 else _HANDS)
            steps.append((what, chance.randint(0, 6), chance.choice(_PAYLOADS)))
    return spec, steps


def _wild_operation(chance: random.Random, ids: str, free: list[str]) -> Operation:
    ends, said = sorted(chance.sample(ids, 2)), chance.choice(LINKS)
    match chance.randint(0, 5):
        case 0:
            return AddTask(TaskStar(chance.choice("abcdefgh"), **chance.choice(SOUND[:14])))
        case 1:
            return RemoveTask(chance.choice(ids))
        case 2:
            return UpdateTask(chance.choice(ids), chance.choice(SOUND[3:14]))
        case 3:
            return AddDependency(TaskStarLine(ends[0], ends[1], line_id=chance.choice(LINK_IDS), **said))
        case 4:
            return RemoveDependency((ends[0], ends[1]))
        case _:
            return UpdateDependency((ends[0], ends[1]), said)


some_stories = st.one_of(st.integers(0, 1 << 32).map(wild), stories())


def played(story: tuple[Spec, list[Any]]) -> Diary:
    spec, steps = story
    diary = Diary(spec.build())
    diary.plan.start_execution()
    diary.hand("nothing", 0, None)
    for step in steps:
        if isinstance(step, list):
            diary.edit(step)
        elif step[0] in _RUNS:
            diary.run(*step)
        else:
            diary.hand(*step)
        assert diary.replay.document() == diary.plan.to_dict(), step
    return diary


@given(story=some_stories)
@settings(max_examples=300, deadline=None)
def test_records_come_to_the_plan_that_they_tell_of(story: tuple[Spec, list[Any]]) -> None:
    diary = played(story)
    live = diary.plan
    running = {task.task_id for task in live.get_running_tasks()}
    assert {task_id for task_id in diary.replay.in_flight if task_id in running} == set(diary.replay.in_flight)
    assert {task.task_id: lease for task, lease in diary._leased.items()} == {
        task_id: flight.lease for task_id, flight in diary.replay.in_flight.items()
    }
    restored = replay(diary.lines).constellation()
    assert inside(restored) == inside(live)
    assert restored.to_dict() == live.to_dict()
    assert restored.validate_dag() == live.validate_dag()


@given(story=some_stories)
@settings(max_examples=150, deadline=None)
def test_what_is_replayed_can_be_recorded_and_replayed_again(story: tuple[Spec, list[Any]]) -> None:
    live = played(story).plan
    once = replay(played(story).lines)
    document, restored = once.document(), once.constellation()
    again = Diary(restored)
    assert {**again.replay.document(), "tasks": 0} == {**document, "tasks": 0}
    assert inside(again.replay.constellation()) == inside(live)


@given(story=some_stories, data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_beginning_of_the_records_comes_to_a_plan_that_can_go_on(story: tuple[Spec, list[Any]], data: Any) -> None:
    lines = played(story).lines
    until = data.draw(st.integers(1, len(lines) - 1))
    cut = replay(lines, until)
    assert cut.count == until + 1
    if not cut.is_whole:
        return
    restored = cut.constellation()
    restored.judge_withheld(list(restored._withheld), restored._updated_at)
    for _ in range(len(restored.tasks)):
        for task in [*restored.get_running_tasks(), *restored.get_ready_tasks()]:
            if not task.is_terminal:
                restored.mark_task_completed(task.task_id, True, "yes")
    left = restored.get_pending_tasks()
    assert not left, left


@given(story=some_stories, data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_document_says_all_of_a_plan_that_a_run_goes_by(story: tuple[Spec, list[Any]], data: Any) -> None:
    live = played(story).plan
    document = json.loads(json.dumps(live.to_dict()))
    restored = TaskConstellation.from_dict(document)
    assert restored.to_dict() == document
    theirs, ours = inside(restored), inside(live)
    for known in ("errors", "broken", "open", "cancelled"):  # what these say is in a document as far as it decides
        del theirs[known], ours[known]
    assert theirs == ours
