"""The laws of the plan, under arbitrary edits and progress, against a naive model of it.

The model keeps statuses and links alone and works everything out anew after each step. What is refused, must change
nothing; what is allowed, must come out as the model says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any

import pytest
from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from galaxy_core.errors import ConditionError, CycleError, ImmutableError, PlanError
from galaxy_core.model import analysis, graph, order
from galaxy_core.model.condition import Expression
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.device import DeviceType
from galaxy_core.model.policy import Effect, RetryPolicy, TaskPriority
from galaxy_core.model.request import Action, Command, Reference, Request
from galaxy_core.model.result import TERMINAL, UNSTARTED, ExecutionResult, TaskStatus
from galaxy_core.model.task import TaskStar

#: Few enough for arbitrary steps to meet, one more than a plan ever gets.
IDS = "abcdefgh"
#: The kinds of link, each with what makes it: its type and the text of its condition.
KINDS: dict[str, tuple[DependencyType, str | None]] = {
    "unconditional": (DependencyType.UNCONDITIONAL, None),
    "completion": (DependencyType.COMPLETION_ONLY, None),
    "success": (DependencyType.SUCCESS_ONLY, None),
    "no condition": (DependencyType.CONDITIONAL, None),
    "yes": (DependencyType.CONDITIONAL, "value == 'yes'"),
    "broken": (DependencyType.CONDITIONAL, "length(`5`)"),
}
SETTERS: dict[str, Callable[[TaskStar], None]] = {
    "name": lambda task: setattr(task, "name", "new"),
    "description": lambda task: setattr(task, "task_description", "new"),
    "tips": lambda task: setattr(task, "tips", ["new"]),
    "device": lambda task: setattr(task, "target_device_id", "new"),
    "device type": lambda task: setattr(task, "device_type", DeviceType.LINUX),
    "requirements": lambda task: setattr(task, "requires", {"new"}),
    "priority": lambda task: setattr(task, "priority", TaskPriority.CRITICAL),
    "effect": lambda task: setattr(task, "effect", Effect.READ),
    "request": lambda task: setattr(task, "request", Command(["new"])),
    "data": lambda task: setattr(task, "task_data", {"new": 1}),
    "more data": lambda task: task.update_task_data({"new": 1}),
}
#: What changes nothing of how a link is judged, and counts as an edit.
NOTES: dict[str, Callable[[TaskStarLine], None]] = {
    "description": lambda line: setattr(line, "condition_description", "new"),
    "satisfied": lambda line: line.mark_satisfied(),
    "reset": lambda line: line.reset_satisfaction(),
    "metadata": lambda line: line.update_metadata({"new": 1}),
    "same type": lambda line: setattr(line, "dependency_type", line.dependency_type),
    "same evaluator": lambda line: line.set_condition_evaluator(line.condition_evaluator),
}
#: What may be asked of any link, also of one that cannot be changed.
QUESTIONS: dict[str, Callable[[TaskStarLine, TaskStar], object]] = {
    "payload": lambda line, source: line.evaluate_condition("yes"),
    "no payload": lambda line, source: line.evaluate_condition(None),
    "success": lambda line, source: line.outcome_satisfies(TaskStatus.COMPLETED, "yes", None),
    "cancelled": lambda line, source: line.outcome_satisfies(TaskStatus.CANCELLED, None, None),
    "refusal": lambda line, source: line.refusal(source),
}
WORDS = st.sampled_from(["yes", "no"])


def evaluator(text: str | None) -> Expression | None:
    return None if text is None else Expression(text)


# ----------------------------------------------------------------------------------------------- the naive model
@define
class Node:
    retries_left: int
    status: TaskStatus = TaskStatus.PENDING
    attempts: int = 0
    word: str | None = None


@define
class Link:
    source: str
    target: str
    kind: str


class Model:
    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.links: dict[str, Link] = {}
        self.revision = 0

    def editable(self, task_id: str) -> bool:
        node = self.nodes.get(task_id)
        return node is not None and node.status in UNSTARTED and not node.attempts

    def reaches(self, start: str, end: str) -> bool:
        seen, stack = set(), [start]
        while stack:
            here = stack.pop()
            if here == end:
                return True
            if here not in seen:
                seen.add(here)
                stack += [link.target for link in self.links.values() if link.source == here]
        return False

    def accepts(self, link: Link) -> bool:
        """Whether the link lets its target run, now that its source has ended."""
        source = self.nodes[link.source]
        if link.kind in ("unconditional", "completion"):
            return True
        if link.kind in ("success", "no condition"):
            return source.status is TaskStatus.COMPLETED
        ran = source.status in (TaskStatus.COMPLETED, TaskStatus.FAILED)
        return link.kind == "yes" and ran and source.word == "yes"

    def into(self, task_id: str) -> list[Link]:
        return [link for link in self.links.values() if link.target == task_id]

    def spread(self) -> None:
        """Skip whatever has to be, until nothing changes."""
        changed = True
        while changed:
            changed = False
            for task_id in self.nodes:
                ended = [link for link in self.into(task_id) if self.nodes[link.source].status in TERMINAL]
                if self.editable(task_id) and not all(map(self.accepts, ended)):
                    self.nodes[task_id].status = TaskStatus.SKIPPED
                    changed = True

    def is_ready(self, task_id: str) -> bool:
        node = self.nodes[task_id]
        waits = any(self.nodes[link.source].status not in TERMINAL for link in self.into(task_id))
        return node.status in UNSTARTED and (not waits or node.attempts > 0)


def without_update_times(document: Any) -> Any:
    if isinstance(document, dict):
        return {key: without_update_times(value) for key, value in document.items() if key != "updated_at"}
    return document


class PlanMachine(RuleBasedStateMachine):
    """Arbitrary edits and progress, on the plan and on the model."""

    def __init__(self) -> None:
        super().__init__()
        self.plan = TaskConstellation("plan")
        self.model = Model()
        self.ends: dict[str, TaskStatus] = {}

    def step(self, allowed: bool, action: Callable[[], object], *, edit: bool) -> bool:
        """Do it; the plan has to agree on whether that may be, and to stay as it was when not."""
        before = without_update_times(self.plan.to_dict())
        if allowed:
            action()
            self.model.revision += edit
        else:
            with pytest.raises(PlanError):
                action()
            assert without_update_times(self.plan.to_dict()) == before
        return allowed

    # ---- edits
    @initialize(count=st.integers(2, 6), retries=st.integers(0, 2))
    def fill(self, count: int, retries: int) -> None:
        for task_id in IDS[:count]:
            self.add_task(task_id, retries)

    @rule(task_id=st.sampled_from(IDS), retries=st.integers(0, 2))
    def add_task(self, task_id: str, retries: int) -> None:
        task = TaskStar(task_id, retry_count=retries)
        if self.step(task_id not in self.model.nodes, lambda: self.plan.add_task(task), edit=True):
            self.model.nodes[task_id] = Node(retries)

    @rule(task_id=st.sampled_from(IDS))
    def remove_task(self, task_id: str) -> None:
        if self.step(self.model.editable(task_id), lambda: self.plan.remove_task(task_id), edit=True):
            del self.model.nodes[task_id]
            gone = [line_id for line_id, link in self.model.links.items() if task_id in (link.source, link.target)]
            for line_id in gone:
                del self.model.links[line_id]

    @rule(
        ends=st.tuples(st.sampled_from(IDS), st.sampled_from(IDS)),
        kind=st.sampled_from(sorted(KINDS)),
        name=st.integers(0, 9),
    )
    def add_link(self, ends: tuple[str, str], kind: str, name: int) -> None:
        (source, target), line_id, (kind_type, text) = ends, f"link{name}", KINDS[kind]
        line = TaskStarLine(source, target, kind_type, None, evaluator(text), line_id)
        allowed = (
            line_id not in self.model.links
            and source in self.model.nodes
            and self.model.editable(target)
            and not self.model.reaches(target, source)
        )
        if self.step(allowed, lambda: self.plan.add_dependency(line), edit=True):
            self.model.links[line_id] = Link(source, target, kind)
            self.model.spread()

    @rule(name=st.integers(0, 9))
    def remove_link(self, name: int) -> None:
        line_id = f"link{name}"
        link = self.model.links.get(line_id)
        allowed = link is None or self.model.editable(link.target)
        if self.step(allowed, lambda: self.plan.remove_dependency(line_id), edit=link is not None) and link is not None:
            del self.model.links[line_id]

    @precondition(lambda self: self.model.links)
    @rule(data=st.data(), kind=st.sampled_from(["unconditional", "completion", "success"]))
    def change_link(self, data: st.DataObject, kind: str) -> None:
        line_id = data.draw(st.sampled_from(sorted(self.model.links)))
        link, line = self.model.links[line_id], self.plan.dependencies[line_id]
        if self.step(
            self.model.editable(link.target), lambda: setattr(line, "dependency_type", KINDS[kind][0]), edit=True
        ):
            link.kind = kind
            self.model.spread()

    @precondition(lambda self: self.model.nodes)
    @rule(data=st.data(), setter=st.sampled_from(sorted(SETTERS)))
    def set_something(self, data: st.DataObject, setter: str) -> None:
        task_id = data.draw(st.sampled_from(sorted(self.model.nodes)))
        task = self.plan.tasks[task_id]
        self.step(self.model.editable(task_id), lambda: SETTERS[setter](task), edit=True)

    # ---- progress
    def known(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.model.nodes)))

    @precondition(lambda self: self.model.nodes)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        task_id = self.known(data)
        if self.step(self.model.is_ready(task_id), lambda: self.plan.start_task(task_id), edit=False):
            self.model.nodes[task_id].status = TaskStatus.RUNNING
            self.model.nodes[task_id].attempts += 1

    @precondition(lambda self: self.model.nodes)
    @rule(data=st.data(), success=st.booleans(), word=WORDS, wrapped=st.booleans())
    def end(self, data: st.DataObject, success: bool, word: str, wrapped: bool) -> None:
        task_id = self.known(data)
        node = self.model.nodes[task_id]
        status = TaskStatus.COMPLETED if success else TaskStatus.FAILED
        ready_before = {other for other in self.model.nodes if self.model.is_ready(other)}
        freed: list[TaskStar] = []

        def action() -> None:
            if wrapped:
                result = ExecutionResult(task_id, status, word)
                freed.extend(
                    self.plan.mark_task_completed(task_id, success, result, None if success else OSError("no"))
                )
            else:
                freed.extend(self.plan.mark_task_completed(task_id, success, word, OSError(word)))

        allowed = node.status is TaskStatus.RUNNING or self.model.is_ready(task_id)
        if self.step(allowed, action, edit=False):
            node.attempts += node.status in UNSTARTED
            node.status, node.word = status, word
            self.model.spread()
            ready = {other for other in self.model.nodes if self.model.is_ready(other)}
            assert sorted(task.task_id for task in freed) == sorted(ready - ready_before)

    @precondition(lambda self: self.model.nodes)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        task_id = self.known(data)
        if self.model.nodes[task_id].status is TaskStatus.RUNNING:
            self.plan.end(self.plan.tasks[task_id], TaskStatus.UNKNOWN, None, None, 1.0)
            self.model.nodes[task_id].status = TaskStatus.UNKNOWN
            self.model.spread()

    @precondition(lambda self: self.model.nodes)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        task_id = self.known(data)
        node = self.model.nodes[task_id]
        assert self.plan.tasks[task_id].cancel() == (node.status not in TERMINAL)
        if node.status not in TERMINAL:
            node.status = TaskStatus.CANCELLED
            self.model.spread()

    @precondition(lambda self: self.model.nodes)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        task_id = self.known(data)
        node = self.model.nodes[task_id]
        allowed = node.status is TaskStatus.FAILED and node.retries_left > 0
        if self.step(allowed, self.plan.tasks[task_id].retry, edit=False):
            node.status, node.word = TaskStatus.PENDING, None
            node.retries_left -= 1
            del self.ends[task_id]

    @rule()
    def reload(self) -> None:
        written = self.plan.to_dict()
        self.plan = TaskConstellation.from_json(self.plan.to_json())
        assert self.plan.to_dict() == written

    # ---- what always holds
    @invariant()
    def it_is_as_the_model_says(self) -> None:
        nodes = self.model.nodes
        assert {task_id: task.status for task_id, task in self.plan.tasks.items()} == {
            task_id: node.status for task_id, node in nodes.items()
        }
        assert {task.task_id for task in self.plan.get_ready_tasks()} == set(filter(self.model.is_ready, nodes))
        assert {task.task_id for task in self.plan.get_modifiable_tasks()} == set(filter(self.model.editable, nodes))
        assert set(self.plan.dependencies) == set(self.model.links)
        assert self.plan.revision == self.model.revision
        assert self.plan.is_complete() == all(node.status in TERMINAL for node in nodes.values())

    @invariant()
    def no_counter_disagrees_with_a_recomputation(self) -> None:
        assert self.plan.validate_dag() == (True, [])

    @invariant()
    def every_order_respects_the_links(self) -> None:
        place = {task_id: index for index, task_id in enumerate(self.plan.get_topological_order())}
        assert sorted(place) == sorted(self.model.nodes)
        assert all(place[link.source] < place[link.target] for link in self.model.links.values())

    @invariant()
    def an_end_is_final(self) -> None:
        for task_id, status in self.ends.items():
            assert self.plan.tasks[task_id].status is status
        self.ends = {task_id: task.status for task_id, task in self.plan.tasks.items() if task.is_terminal}

    @invariant()
    def a_skipped_task_has_a_cause(self) -> None:
        for task in self.plan.tasks.values():
            assert (task.status is not TaskStatus.SKIPPED) or task.error is not None


PlanMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestPlanMachine = PlanMachine.TestCase


# ----------------------------------------------------------------------------------------------- I3, of links
PROGRESS: dict[str, Callable[[TaskConstellation, TaskStar], object]] = {
    "start": lambda plan, task: task.start_execution(),
    "complete": lambda plan, task: plan.mark_task_completed(task.task_id, success=True, result="yes"),
    "complete otherwise": lambda plan, task: plan.mark_task_completed(task.task_id, success=True, result="no"),
    "fail": lambda plan, task: plan.mark_task_completed(task.task_id, success=False, error=OSError("no")),
    "cancel": lambda plan, task: task.cancel(),
    "retry": lambda plan, task: task.retry(),
}
STEPS = st.lists(st.tuples(st.sampled_from([*PROGRESS, *(["links"] * 4)]), st.integers(0, 3)), max_size=12)


def standing(plan: TaskConstellation) -> Any:
    ready = [task.task_id for task in plan.get_ready_tasks()]
    return ready, [task.status for task in plan.get_all_tasks()], plan.state


@given(kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=5, max_size=5), steps=STEPS, data=st.data())
@settings(max_examples=200)
def test_what_is_noted_or_asked_of_a_link_decides_nothing_and_changes_no_link_of_a_task_that_has_started(
    kinds: Sequence[str], steps: Sequence[tuple[str, int]], data: st.DataObject
) -> None:
    ends = [("a", "b"), ("a", "c"), ("b", "c"), ("b", "d"), ("c", "d")]
    plan = TaskConstellation.build(
        [TaskStar(task_id, retry_count=1) for task_id in "abcd"],
        [
            TaskStarLine(source, target, KINDS[kind][0], None, evaluator(KINDS[kind][1]))
            for (source, target), kind in zip(ends, kinds, strict=True)
        ],
    )
    for step, task_number in steps:
        if step in PROGRESS:
            with suppress(PlanError):
                PROGRESS[step](plan, plan.get_all_tasks()[task_number])
            continue
        line = data.draw(st.sampled_from(plan.get_all_dependencies()), "link")
        what = data.draw(st.sampled_from([*NOTES, *QUESTIONS]), "what")
        source, target = plan.tasks[line.from_task_id], plan.tasks[line.to_task_id]
        before, stood, revision = line.to_dict(), standing(plan), plan.revision
        if what in QUESTIONS:
            with suppress(ConditionError):  # a broken condition cannot be asked
                QUESTIONS[what](line, source)
            assert (line.to_dict() == before) or (target.is_modifiable and not source.is_terminal)
            assert plan.revision == revision
        elif target.is_modifiable:
            NOTES[what](line)
            assert plan.revision == revision + 1
        else:
            with pytest.raises(ImmutableError):
                NOTES[what](line)
            assert (line.to_dict(), plan.revision) == (before, revision)
        assert standing(plan) == stood
        assert plan.validate_dag() == (True, [])
        again = TaskConstellation.from_dict(plan.to_dict())
        assert again.to_dict() == plan.to_dict()
        assert standing(again) == stood


# ----------------------------------------------------------------------------------------------- I2, at length
@contextmanager
def crowded() -> Iterator[None]:
    """Tasks stand so close together that every move has to make room, and have more links than a list is good for."""
    (gap, order._GAP), (many, graph._MANY) = (order._GAP, 1), (graph._MANY, 1)
    try:
        yield
    finally:
        order._GAP, graph._MANY = gap, many


PAIRS = st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=80)


@given(pairs=PAIRS, removals=st.sets(st.integers(0, 79)))
@settings(max_examples=150)
def test_a_link_is_refused_exactly_when_its_target_reaches_its_source(
    pairs: Sequence[tuple[int, int]], removals: set[int]
) -> None:
    plan, model = TaskConstellation("plan"), Model()
    with crowded():
        for index in range(15):
            plan.add_task(TaskStar(str(index)))
        for index, (source, target) in enumerate(pairs):
            line = TaskStarLine(str(source), str(target), line_id=str(index))
            if model.reaches(str(target), str(source)):
                with pytest.raises(CycleError) as caught:
                    plan.add_dependency(line)
                links = {(link.source, link.target) for link in model.links.values()} | {(str(source), str(target))}
                cycle = caught.value.cycle
                assert cycle[0] == cycle[-1] == str(source)
                assert len(set(cycle)) == len(cycle) - 1
                assert all(step in links for step in pairwise(cycle))
            else:
                plan.add_dependency(line)
                model.links[str(index)] = Link(str(source), str(target), "unconditional")
            if index in removals and model.links:
                gone = sorted(model.links)[index % len(model.links)]
                plan.remove_dependency(gone)
                del model.links[gone]
    assert plan.validate_dag() == (True, [])
    assert set(plan.dependencies) == set(model.links)


@given(pairs=PAIRS)
@settings(max_examples=60)
def test_a_plan_built_whole_is_the_plan_built_link_by_link(pairs: Sequence[tuple[int, int]]) -> None:
    one_by_one = TaskConstellation("plan")
    for index in range(15):
        one_by_one.add_task(TaskStar(str(index)))
    for source, target in pairs:
        if source < target:
            one_by_one.add_dependency(TaskStarLine(str(target), str(source)))
    whole = TaskConstellation.build(
        [TaskStar(str(index)) for index in range(15)], [line.copy() for line in one_by_one.get_all_dependencies()]
    )
    assert whole.get_topological_order() == one_by_one.get_topological_order()
    assert whole.get_ready_tasks() != []
    assert [task.task_id for task in whole.get_ready_tasks()] == [task.task_id for task in one_by_one.get_ready_tasks()]
    # Of equally long paths, either may name any.
    assert whole.get_longest_path()[0] == one_by_one.get_longest_path()[0]
    assert whole.get_max_width() == one_by_one.get_max_width() == max(map(len, analysis.waves(whole)))
    assert len(analysis.maximum_antichain(whole)) >= whole.get_max_width()


# ----------------------------------------------------------------------------------------------- every format
TEXTS = st.text(max_size=8)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda part: st.lists(part, max_size=2) | st.dictionaries(TEXTS, part, max_size=2) | st.tuples(part),
    max_leaves=5,
)
MAPPINGS = st.dictionaries(TEXTS, DATA, max_size=2)
REFERENCES = st.builds(Reference, TEXTS, st.sampled_from(["stdout", "json.a"]))
REQUESTS: st.SearchStrategy[Request] = st.builds(
    Command,
    st.lists(TEXTS | REFERENCES, min_size=1, max_size=3),
    cwd=st.none() | TEXTS,
    env=st.dictionaries(TEXTS, TEXTS | REFERENCES, max_size=2),
    outputs=st.lists(TEXTS, max_size=2),
) | st.builds(Action, TEXTS, st.dictionaries(TEXTS, st.integers() | REFERENCES, max_size=2))
RETRIES = st.builds(RetryPolicy, st.floats(0, 9), on=st.sets(st.sampled_from(["failed", "timeout"])))


@st.composite
def tasks(draw: st.DrawFn, task_id: str) -> TaskStar:
    task = TaskStar(
        task_id,
        draw(TEXTS),
        draw(TEXTS),
        draw(st.lists(TEXTS, max_size=2)),
        draw(st.none() | TEXTS),
        draw(st.none() | st.sampled_from(DeviceType)),
        draw(st.sampled_from(TaskPriority)),
        draw(st.none() | st.floats(0.1, 1e6)),
        draw(st.integers(0, 2)),
        draw(MAPPINGS),
        draw(st.none() | TEXTS),
        request=draw(st.none() | REQUESTS),
        requires=draw(st.sets(TEXTS, max_size=2)),
        effect=draw(st.sampled_from(Effect)),
        retry=draw(RETRIES),
        estimate_s=draw(st.none() | st.floats(0, 1e6)),
    )
    if draw(st.booleans()):
        task._pinned = False
    return task


@st.composite
def results(draw: st.DrawFn, task_id: str, status: TaskStatus) -> Any:
    payload = draw(DATA)
    if draw(st.booleans()):
        return payload
    return ExecutionResult(
        task_id,
        status,
        payload,
        draw(st.none() | st.builds(OSError, TEXTS)),
        draw(MAPPINGS),
        draw(st.none() | st.floats(0, 2e9)),
        draw(st.none() | st.floats(0, 2e9)),
        stdout=draw(st.none() | TEXTS),
        exit_code=draw(st.none() | st.integers(0, 255)),
        device_id=draw(st.none() | TEXTS),
        files=draw(st.none() | st.dictionaries(TEXTS, TEXTS, max_size=1)),
    )


@st.composite
def plans(draw: st.DrawFn) -> TaskConstellation:
    """A plan of up to four tasks, some way through its run."""
    ids = IDS[: draw(st.integers(0, 4))]
    plan = TaskConstellation("plan", draw(TEXTS))
    plan.update_metadata(draw(MAPPINGS))
    for task_id in ids:
        plan.add_task(draw(tasks(task_id)))
    for place, source in enumerate(ids):
        for target in draw(
            st.lists(st.sampled_from(ids[place + 1 :]), max_size=2) if ids[place + 1 :] else st.just([])
        ):
            kind, text = KINDS[draw(st.sampled_from(sorted(KINDS)))]
            condition = evaluator(text) if draw(st.booleans()) else bool
            plan.add_dependency(
                TaskStarLine(source, target, kind, draw(st.none() | TEXTS), condition, metadata=draw(MAPPINGS))
            )
    if draw(st.booleans()):
        plan.start_execution()
    for _ in range(draw(st.integers(0, 6))):
        ready = plan.get_ready_tasks() + plan.get_running_tasks()
        if not ready:
            break
        task = draw(st.sampled_from(ready))
        status = draw(
            st.sampled_from([TaskStatus.RUNNING, TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED])
        )
        if status is TaskStatus.CANCELLED:
            task.cancel()
        elif status is TaskStatus.RUNNING:
            if task.status is not TaskStatus.RUNNING:
                task.start_execution()
        else:
            success = status is TaskStatus.COMPLETED
            plan.mark_task_completed(task.task_id, success, draw(results(task.task_id, status)), OSError(draw(TEXTS)))
            if task.should_retry() and draw(st.booleans()):
                task.retry()
    if draw(st.booleans()):
        plan.complete_execution()
    return plan


@given(plan=plans())
@settings(max_examples=120)
def test_a_plan_comes_back_from_every_format(plan: TaskConstellation, tmp_path_factory: pytest.TempPathFactory) -> None:
    written = plan.to_dict()
    path = tmp_path_factory.getbasetemp() / "plan.json"
    plan.to_json(path)
    for found in (
        TaskConstellation.from_dict(written),
        TaskConstellation.from_json(plan.to_json()),
        TaskConstellation.from_json(file_path=path),
        TaskConstellation.from_basemodel(plan.to_basemodel()),
    ):
        assert found.to_dict() == written
        assert found.validate_dag() == (True, [])
        assert [task.task_id for task in found.get_ready_tasks()] == [task.task_id for task in plan.get_ready_tasks()]


@given(task=tasks("a"))
@settings(max_examples=60)
def test_a_task_comes_back_from_every_format(task: TaskStar) -> None:
    written = task.to_dict()
    for found in (
        TaskStar.from_dict(written),
        TaskStar.from_json(task.to_json()),
        TaskStar.from_basemodel(task.to_basemodel()),
    ):
        assert found.to_dict() == written
        assert found.copy().to_dict().keys() == task.copy().to_dict().keys()


@given(kind=st.sampled_from(DependencyType), text=st.none() | TEXTS, metadata=MAPPINGS, answer=DATA)
@settings(max_examples=60)
def test_a_link_comes_back_from_every_format(
    kind: DependencyType, text: str | None, metadata: dict[str, Any], answer: Any
) -> None:
    line = TaskStarLine("a", "b", kind, text, Expression("value"), metadata=metadata)
    line.evaluate_condition(answer)
    written = line.to_dict()
    for found in (
        TaskStarLine.from_dict(written),
        TaskStarLine.from_json(line.to_json()),
        TaskStarLine.from_basemodel(line.to_basemodel()),
    ):
        assert found.to_dict() == written
