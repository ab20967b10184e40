"""Transactions on plans in progress, and a naive oracle of what comes of them.

The oracle copies the plan as plain dictionaries, applies one operation after the other to them, and looks at all of the
result. It knows no objects, no counters and no order, and nothing of how the kernel finds out what is touched.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from attrs import define, field, frozen
from hypothesis import strategies as st

from galaxy_core.errors import PlanError
from galaxy_core.model.condition import Expression
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.device import DeviceType
from galaxy_core.model.edits import (
    AddDependency,
    AddTask,
    LinkName,
    Operation,
    RemoveDependency,
    RemoveTask,
    ReplacePlan,
    UpdateDependency,
    UpdateTask,
)
from galaxy_core.model.policy import Effect, TaskPriority
from galaxy_core.model.request import Command, Reference
from galaxy_core.model.result import TERMINAL, UNSTARTED, TaskStatus
from galaxy_core.model.task import TaskStar

Steps = list[tuple[str, int]]

#: Few enough for operations to meet.
TASK_IDS, LINK_IDS = "abcdef", "klmnopqrst"

#: What tasks are made with; the second half cannot be.
SOUND: list[dict[str, Any]] = [
    {},
    {},
    {},
    {"priority": TaskPriority.HIGH},
    {"timeout": 5.0},
    {"timeout": None},
    {"retry_count": 2},
    {"retry_count": 1, "name": "again"},
    {"target_device_id": "here"},
    {"target_device_id": None},
    {"requires": ["camera"]},
    {"effect": Effect.READ},
    {"effect": "read"},
    {"device_type": DeviceType.LINUX},
    {"tips": []},
    {"task_data": {"level": 1}},
    {"task_data": {"level": True}},
    {"task_data": {}},
    {"request": Command(["ls"])},
    {"request": None},
    *({"request": Command(["cat", Reference(task_id)])} for task_id in TASK_IDS[:4]),
]
UNSOUND: list[dict[str, Any]] = [
    {"timeout": -1},
    {"retry_count": True},
    {"priority": 3},
    {"requires": "camera"},
    {"effect": "perhaps"},
    {"request": "ls"},
    {"retry": {"backoff_s": 1}},
    {"task_data": 5},
    {"estimate_s": -1},
    {"name": None},
]
LINKS: list[dict[str, Any]] = [
    {"dependency_type": DependencyType.UNCONDITIONAL},
    {"dependency_type": DependencyType.SUCCESS_ONLY},
    {"dependency_type": DependencyType.COMPLETION_ONLY},
    {"dependency_type": DependencyType.CONDITIONAL},
    {"dependency_type": DependencyType.CONDITIONAL, "condition_evaluator": Expression("value == 'yes'")},
    {"dependency_type": DependencyType.CONDITIONAL, "condition_evaluator": bool, "condition_description": "it is so"},
    {"condition_description": "in other words"},
    {"condition_evaluator": None},
    {"metadata": {"by": ["me"]}},
    {"metadata": {}},
    {},
]
UNSOUND_LINKS: list[dict[str, Any]] = [
    {"dependency_type": "success"},
    {"condition_evaluator": "status"},
    {"metadata": 3},
]


# ------------------------------------------------------------------------------------------------- what is drawn
@frozen
class LinkSpec:
    source: str
    target: str
    said: Mapping[str, Any]

    def make(self, link_id: str) -> TaskStarLine:
        return TaskStarLine(self.source, self.target, line_id=link_id, **self.said)


@frozen
class Spec:
    """A plan, as what its tasks and links are made with."""

    tasks: Mapping[str, Mapping[str, Any]]
    links: Mapping[str, LinkSpec]
    plan_id: str = "plan"

    def build(self) -> TaskConstellation:
        return TaskConstellation.build(
            [TaskStar(task_id, **said) for task_id, said in self.tasks.items()],
            [link.make(link_id) for link_id, link in self.links.items()],
            constellation_id=self.plan_id,
        )


_any_task_id, _any_link_id = st.sampled_from(TASK_IDS), st.sampled_from(LINK_IDS)
_sound, _unsound = st.sampled_from(SOUND), st.sampled_from(UNSOUND)
_link, _unsound_link = st.sampled_from(LINKS), st.sampled_from(UNSOUND_LINKS)
_rarely, _sometimes = st.sampled_from([False] * 11 + [True]), st.sampled_from([False] * 3 + [True])
_often = st.booleans()
_pairs = st.tuples(_any_task_id, _any_task_id)
_some_pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), max_size=7)
_few_ids = st.lists(_any_task_id, min_size=2, max_size=len(TASK_IDS), unique=True)
_kinds = st.sampled_from(("add", "remove", "update", "update", "link", "link", "link", "unlink", "relink", "relink"))


@st.composite
def specs(draw: st.DrawFn, *, sound: bool = True, plan_ids: Collection[str] = ("plan",)) -> Spec:
    """Plans in which links lead from earlier to later ids, in an order that does not tell, and inputs are waited for."""
    ids = draw(_few_ids)
    ordered = sorted(ids)
    said = {task_id: draw(_sound if sound or draw(_sometimes) else _unsound) for task_id in ids}
    links: dict[str, LinkSpec] = {}
    free = list(draw(st.permutations(LINK_IDS)))
    for place, step in draw(_some_pairs):
        if place + step < len(ids):
            links[free.pop()] = LinkSpec(ordered[place], ordered[place + step], draw(_link))
    for task_id, one in said.items():
        for source in sorted(taken(one.get("request"))):
            if source < task_id and source in ids and free:
                links[free.pop()] = LinkSpec(source, task_id, {})
            else:
                said[task_id] = {}
    return Spec(said, links, draw(st.sampled_from(sorted(plan_ids))))


@st.composite
def operations(draw: st.DrawFn, spec: Spec, focus: str) -> Operation:
    """An operation on a plan, which mostly can be, and often names a task in `focus`."""
    kind = draw(_kinds)
    task_id = focus if draw(_often) else draw(_any_task_id)
    known = sorted(spec.links)
    link_id = draw(_any_link_id if not known or draw(_rarely) else st.sampled_from(known))
    ends = (draw(_any_task_id), task_id) if draw(_often) else draw(_pairs)
    if draw(_sometimes):
        ends = draw(st.sampled_from([(link.source, link.target) for link in spec.links.values()] or [ends]))
    match kind:
        case "add":
            return AddTask(made(task_id, draw(_unsound if draw(_rarely) else _sound)))
        case "remove":
            return RemoveTask(task_id)
        case "update":
            return UpdateTask(task_id, draw(_unsound if draw(_rarely) else _sound))
        case "link":
            said = draw(_unsound_link if draw(_rarely) else _link)
            if said.get("metadata") == 3 or said.get("condition_evaluator") == "status":  # of which no link can be made
                said = {}
            source, target = ends if draw(_sometimes) else sorted(ends)
            line = TaskStarLine(source, target, line_id=draw(_any_link_id), **said)
            return AddDependency(line, unless_there=draw(_sometimes))
        case "unlink":
            return RemoveDependency(ends if draw(_sometimes) else link_id)
        case _:
            said = draw(_unsound_link if draw(_rarely) else _link)
            return UpdateDependency(ends if draw(_sometimes) else link_id, said)


def made(task_id: str, said: Mapping[str, Any]) -> TaskStar:
    """A task, if Python lets one be made; a sound one when not."""
    try:
        return TaskStar(task_id, **said)
    except PlanError:
        return TaskStar(task_id)


@st.composite
def replacements(draw: st.DrawFn, spec: Spec, focus: str) -> list[Operation]:
    """A new plan, hardly ever with something beside it."""
    wanted = draw(specs(sound=not draw(_sometimes), plan_ids=("plan", "other", "")))
    tasks = {key: _kwargs(made(key, said)) for key, said in wanted.tasks.items()}
    beside = [draw(operations(spec, focus))] if draw(_rarely) else []
    return [ReplacePlan(Spec(tasks, wanted.links, wanted.plan_id).build()), *beside]


@frozen
class Scene:
    """A plan, how far it has come, and operations on it; and what others do to it, and how it goes on."""

    spec: Spec
    progress: Steps
    batch: list[Operation]
    others: list[Operation]
    more: Steps

    def plan(self) -> TaskConstellation:
        plan = self.spec.build()
        go_on(plan, self.progress)
        return plan


@st.composite
def scenes(draw: st.DrawFn, *, others: bool = False, more: bool = False) -> Scene:
    spec, focus = draw(specs()), draw(_any_task_id)
    one = operations(spec, focus)
    few = st.lists(one, max_size=4)
    batch = draw(st.one_of(few, few, st.lists(one, max_size=12), replacements(spec, focus)))
    theirs = draw(st.lists(one, min_size=1 - more, max_size=3)) if others else []
    return Scene(spec, draw(_steps), batch, theirs, draw(_steps) if more else [])


_PROGRESS = ("start", "complete", "fail", "complete", "fail", "cancel", "retry", "say yes")
_steps: st.SearchStrategy[Steps] = st.lists(st.tuples(st.sampled_from(_PROGRESS), st.integers(0, 6)), max_size=8)


def go_on(plan: TaskConstellation, steps: Iterable[tuple[str, int]]) -> None:
    """Let a plan run; what cannot be is left out."""
    for what, number in steps:
        able = [task for task in plan.get_all_tasks() if _can(task, what)]
        if not able:
            continue
        task = able[number % len(able)]
        if what == "start":
            task.start_execution()
        elif what == "cancel":
            task.cancel()
        elif what == "retry":
            task.retry()
        else:
            result = "yes" if what == "say yes" else None
            plan.mark_task_completed(task.task_id, what != "fail", result, OSError("it went wrong"))


def _can(task: TaskStar, what: str) -> bool:
    if what == "start":
        return task.is_ready_to_execute
    if what == "retry":
        return task.should_retry()
    if what == "cancel":
        return not task.is_terminal
    return task.is_ready_to_execute or task.status is TaskStatus.RUNNING


# ------------------------------------------------------------------------------------------------- what is compared
_TIMES = ("created_at", "updated_at")


def said_by(task: TaskStar) -> str:
    """Everything that the author of a task said, as text, because 1 and true are equal otherwise."""
    return json.dumps({key: value for key, value in task.copy().to_dict().items() if key not in _TIMES})


def link_said(line: TaskStarLine) -> tuple[Any, ...]:
    """Everything that the author of a link said, but for its id."""
    return (
        line.from_task_id,
        line.to_task_id,
        line.dependency_type,
        line.condition_description,
        line.condition_evaluator,
        repr(line.metadata),
    )


@frozen
class Picture:
    """A plan without its progress."""

    tasks: Mapping[str, str]
    links: Mapping[str, tuple[Any, ...]]


def picture(plan: TaskConstellation) -> Picture:
    tasks = {task.task_id: said_by(task) for task in plan.get_all_tasks()}
    return Picture(tasks, {line.line_id: link_said(line) for line in plan.get_all_dependencies()})


def taken(request: Any) -> set[str]:
    """The tasks that a request takes something from."""
    return {reference.task_id for reference in request.references} if isinstance(request, Command) else set()


def _kwargs(task: TaskStar) -> dict[str, Any]:
    return {
        "name": task._name,
        "target_device_id": task.target_device_id if task.is_pinned else None,
        "device_type": task.device_type,
        "priority": task.priority,
        "timeout": task.timeout,
        "retry_count": task.retry_count,
        "task_data": task.task_data,
        "request": task.request,
        "requires": sorted(task.requires),
        "effect": task.effect,
        "retry": task.retry_policy,
        "estimate_s": task.estimate_s,
    }


# ------------------------------------------------------------------------------------------------- the oracle
#: A problem: the place of its operation, its kind.
Expected = tuple[int | None, str]


@define
class Oracle:
    """A plan as plain dictionaries. `moved` are task ids and ("link", id) that somebody edited since the base."""

    tasks: dict[str, dict[str, Any]]
    links: dict[str, LinkSpec]
    started: frozenset[str]
    moved: frozenset[object] = frozenset()
    fresh: set[object] = field(factory=set)
    removed: set[object] = field(factory=set)
    not_added: set[str] = field(factory=set)
    problems: set[Expected] = field(factory=set)
    doubted: set[object] = field(factory=set)  # tasks and links of which an operation was refused
    place: int = 0

    @classmethod
    def of(cls, plan: TaskConstellation, moved: Iterable[object] = ()) -> Oracle:
        tasks = {task.task_id: _kwargs(task) for task in plan.get_all_tasks()}
        links = {
            line.line_id: LinkSpec(
                line.from_task_id,
                line.to_task_id,
                {
                    "dependency_type": line.dependency_type,
                    "condition_description": line.condition_description,
                    "condition_evaluator": line.condition_evaluator,
                    "metadata": line.metadata,
                },
            )
            for line in plan.get_all_dependencies()
        }
        started = frozenset(
            task.task_id for task in plan.get_all_tasks() if task.status not in UNSTARTED or task.attempts
        )
        return cls(tasks, links, started, frozenset(moved))

    def picture(self) -> Picture:
        tasks = {task_id: said_by(TaskStar(task_id, **said)) for task_id, said in self.tasks.items()}
        return Picture(tasks, {link_id: link_said(link.make(link_id)) for link_id, link in self.links.items()})

    def wrong(self, kind: str) -> None:
        self.problems.add((self.place, kind))

    # --------------------------------------------------------------------------------------------- operations
    def read(self, operations: Iterable[Operation]) -> None:
        """Apply operations, one by one, and look at what they lead to."""
        before = Oracle(dict(self.tasks), dict(self.links), self.started)
        listed = list(operations)
        for self.place, operation in enumerate(listed):
            if isinstance(operation, ReplacePlan):
                self.replace(operation.plan, alone=len(listed) == 1)
            else:
                known = len(self.problems)
                self.apply(operation)
                if len(self.problems) > known:
                    self.doubt(operation)
        self.problems |= {(None, "cycle")} if self.is_cyclic() else set()
        self.problems |= {(None, "input")} if any(self.lacking(before)) else set()

    def doubt(self, operation: Operation) -> None:
        """An operation was refused: what it is about may look wrong for that reason alone."""
        match operation:
            case AddTask(task):
                self.doubted.add(("new links", task.task_id))
                self.doubted.add(("inputs", task.task_id))
            case UpdateTask(task_id):
                self.doubted.add(("inputs of", task_id))
            case RemoveTask(task_id):
                self.doubted |= {("new links", task_id), ("inputs", task_id)}
                links = self.links.items()
                self.doubted |= {
                    ("link", key)
                    for key, link in links
                    if task_id in (link.source, link.target) and ("link", key) not in self.fresh
                }
            case AddDependency(line):
                self.doubted.add(("input", line.from_task_id, line.to_task_id))
            case RemoveDependency(str(name)):
                if name in self.links:  # one that comes later under this id would not have been taken out
                    self.doubted.add(("link", name))
            case RemoveDependency(ends):
                self.doubted |= {
                    ("link", key) for key, link in self.links.items() if (link.source, link.target) == ends
                }
            case _:
                pass

    def apply(self, operation: Operation) -> None:
        match operation:
            case AddTask(task):
                self.add_task(task)
            case RemoveTask(task_id):
                if self.has(task_id):
                    self.remove_task(task_id)
            case UpdateTask(task_id, changes):
                if self.has(task_id) and self.may_change(task_id) and self.unmoved(task_id):
                    self.update_task(task_id, changes)
            case AddDependency(line, unless_there=once):
                self.add_link(line, once)
            case RemoveDependency(name):
                link_id = self.one(name)
                if link_id is not None and self.may_change_link(link_id):
                    del self.links[link_id]
                    self.gone("link", link_id)
            case UpdateDependency(name, changes):
                link_id = self.one(name)
                if link_id is not None and self.may_change_link(link_id):
                    self.update_link(link_id, changes)

    def has(self, task_id: str) -> bool:
        if task_id not in self.tasks and task_id not in self.not_added:
            self.wrong("unknown")
        return task_id in self.tasks

    def may_change(self, task_id: str) -> bool:
        if task_id in self.started and task_id not in self.fresh:
            self.wrong("started")
            return False
        return True

    def unmoved(self, key: object) -> bool:
        if key in self.moved and key not in self.fresh:
            self.wrong("changed")
            return False
        return True

    def gone(self, *key: str) -> None:
        name = key if len(key) > 1 else key[0]
        if name in self.fresh:
            self.fresh.discard(name)
        else:
            self.removed.add(name)

    def add_task(self, task: TaskStar) -> None:
        task_id = task.task_id
        if not is_sound(task):
            self.wrong("invalid")
        elif task_id in self.tasks:
            self.wrong("duplicate")
        elif task_id in self.moved and task_id not in self.removed:
            self.wrong("changed")
        else:
            self.tasks[task_id] = _kwargs(task)
            self.fresh.add(task_id)
            return
        self.not_added.add(task_id)

    def remove_task(self, task_id: str) -> None:
        beside = [key for key, link in self.links.items() if task_id in (link.source, link.target)]
        if task_id not in self.fresh:
            links_unmoved = [self.unmoved(("link", key)) for key in beside]
            if not (self.may_change(task_id) and self.unmoved(task_id) and all(links_unmoved)):
                return
        del self.tasks[task_id]
        self.gone(task_id)
        for key in beside:
            del self.links[key]
            self.gone("link", key)

    def update_task(self, task_id: str, changes: Mapping[str, Any]) -> None:
        if changes.get("requires") == "camera":
            self.wrong("invalid")
            return
        said = self.tasks[task_id] | dict(changes)
        try:
            task = TaskStar(task_id, **said)
        except (ValueError, TypeError):
            self.wrong("invalid")
            return
        if is_sound(task):
            self.tasks[task_id] = _kwargs(task)
        else:
            self.wrong("invalid")

    def one(self, name: LinkName) -> str | None:
        if isinstance(name, str):
            found = [name] if name in self.links else []
        else:
            found = [key for key, link in self.links.items() if (link.source, link.target) == name]
        if len(found) != 1:
            self.wrong("unknown")
            return None
        return found[0]

    def may_change_link(self, link_id: str) -> bool:
        if ("link", link_id) in self.fresh:
            return True
        return self.may_change(self.links[link_id].target) and self.unmoved(("link", link_id))

    def add_link(self, line: TaskStarLine, once: bool) -> None:
        link = LinkSpec(
            line.from_task_id,
            line.to_task_id,
            {
                "dependency_type": line.dependency_type,
                "condition_description": line.condition_description,
                "condition_evaluator": line.condition_evaluator,
                "metadata": line.metadata,
            },
        )
        key = "link", line.line_id
        same = [one for one in self.links.values() if (one.source, one.target) == (link.source, link.target)]
        if not is_sound_link(link.said):
            self.wrong("invalid")
        elif line.line_id in self.links or (once and any(alike(one.said, link.said) for one in same)):
            self.wrong("duplicate")
        elif all([self.has(link.source), self.has(link.target)]) and self.may_change(link.target):
            ends = [end for end in (link.source, link.target) if end not in self.fresh]
            if (key in self.moved and key not in self.removed) or any(("gone", end) in self.moved for end in ends):
                self.wrong("changed")
            else:
                self.links[line.line_id] = link
                self.fresh.add(key)

    def update_link(self, link_id: str, changes: Mapping[str, Any]) -> None:
        if not is_sound_link(changes):
            self.wrong("invalid")
            return
        link = self.links[link_id]
        self.links[link_id] = LinkSpec(link.source, link.target, {**link.said, **changes})

    # --------------------------------------------------------------------------------------------- a whole plan
    def replace(self, plan: TaskConstellation, *, alone: bool) -> None:
        proposed = Oracle.of(plan)
        strange = plan.constellation_id == "other" and proposed.tasks and self.tasks
        if not alone or (strange and not set(proposed.tasks) & set(self.tasks)):
            self.wrong("invalid")
            return
        for task_id in set(self.tasks) - set(proposed.tasks) - self.started:
            del self.tasks[task_id]
            self.gone(task_id)
            for key in [key for key, link in self.links.items() if task_id in (link.source, link.target)]:
                del self.links[key]
        for task_id, said in proposed.tasks.items():
            if task_id not in self.tasks:
                self.fresh.add(task_id)
            elif task_id in self.started:
                continue
            elif said["target_device_id"] is None:
                said["target_device_id"] = self.tasks[task_id]["target_device_id"]
            if is_sound(plan.tasks[task_id]):
                self.tasks[task_id] = said
            else:
                self.wrong("invalid")
        kept = {key: link for key, link in self.links.items() if link.target in self.started}
        new = {key: link for key, link in proposed.links.items() if link.target not in self.started}
        if set(kept) & set(new):
            self.wrong("duplicate")
        self.links = kept | new

    # --------------------------------------------------------------------------------------------- the whole
    def is_cyclic(self) -> bool:
        links = [link for key, link in self.links.items() if not self.is_doubted(key, link)]
        left = set(self.tasks)
        while free := {task for task in left if not any(link.target == task and link.source in left for link in links)}:
            left -= free
        return bool(left)

    def is_doubted(self, key: str, link: LinkSpec) -> bool:
        is_new = ("link", key) in self.fresh
        ends = {("new links", link.source), ("new links", link.target)}
        return ("link", key) in self.doubted or bool(is_new and ends & self.doubted)

    def lacking(self, before: Oracle) -> Iterator[tuple[str, str]]:
        """Tasks, and what they take without waiting for it, if that is this edit's doing."""
        for task_id, said in self.tasks.items():
            if task_id in self.started and task_id not in self.fresh:
                continue
            missing = taken(said["request"]) - self.sources(task_id)
            if task_id not in self.fresh and said["request"] == before.tasks[task_id]["request"]:
                missing &= before.sources(task_id)
            for source in missing:
                doubts = {("inputs", task_id), ("inputs of", task_id), ("inputs", source), ("input", source, task_id)}
                if not doubts & self.doubted:
                    yield task_id, source

    def sources(self, task_id: str) -> set[str]:
        return {link.source for link in self.links.values() if link.target == task_id}


def is_sound(task: TaskStar) -> bool:
    """Whether a task is none of those of `UNSOUND`, as far as they can be made."""
    return (
        (task.timeout is None or task.timeout > 0)
        and type(task.retry_count) is int
        and isinstance(task.priority, TaskPriority)
        and isinstance(task.name, str)
        and task._name is not None
        and not isinstance(task.request, str)
        and not isinstance(task.retry_policy, dict)
        and (task.estimate_s is None or task.estimate_s >= 0)
    )


def alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two links say the same."""
    nothing: dict[str, Any] = {"dependency_type": DependencyType.UNCONDITIONAL, "condition_description": None}
    nothing |= {"condition_evaluator": None, "metadata": {}}
    return {**nothing, **one} == {**nothing, **other}


def is_sound_link(said: Mapping[str, Any]) -> bool:
    """Whether it says none of `UNSOUND_LINKS`."""
    return (
        isinstance(said.get("dependency_type", DependencyType.UNCONDITIONAL), DependencyType)
        and said.get("condition_evaluator") != "status"
        and said.get("metadata") != 3
    )


def skipped(plan: TaskConstellation) -> set[str]:
    """The tasks that are skipped."""
    return {task.task_id for task in plan.get_all_tasks() if task.status is TaskStatus.SKIPPED}


def unsettled(plan: TaskConstellation, new_skips: Collection[str]) -> Iterator[str]:
    """What does not follow from how the tasks of a plan stand, by looking at all of it."""
    tasks = plan.tasks
    for task in tasks.values():
        into = [line for line in plan.get_all_dependencies() if line.to_task_id == task.task_id]
        ended = [line for line in into if tasks[line.from_task_id].status in TERMINAL]
        refusing = [line for line in ended if not _accepts(line, tasks[line.from_task_id])]
        if task.task_id in new_skips and not refusing:
            yield f"{task.task_id} is skipped, and nothing refuses it"
        if task.is_modifiable:
            if refusing:
                yield f"{task.task_id} waits, though {refusing} refuse it"
            if task.is_ready_to_execute != (len(ended) == len(into)):
                yield f"{task.task_id} is ready: {task.is_ready_to_execute}, and {len(ended)} of {len(into)} have ended"


def _accepts(line: TaskStarLine, source: TaskStar) -> bool:
    if line.dependency_type in (DependencyType.UNCONDITIONAL, DependencyType.COMPLETION_ONLY):
        return True
    if line.dependency_type is DependencyType.SUCCESS_ONLY or line.condition_evaluator is None:
        return source.status is TaskStatus.COMPLETED
    if source.status not in (TaskStatus.COMPLETED, TaskStatus.FAILED):
        return False
    # One condition asks for "yes", the other for anything that is true; a failure's payload is its error.
    return source.result == "yes" or (line.condition_evaluator is bool and source.status is TaskStatus.FAILED)
