"""The part of a plan that a picture of its changes shows: what is touched, its neighbours, and how much else there is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from attrs import frozen

from galaxy_core.model.changes import Changes
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.differences import line_differences, task_differences
from galaxy_core.model.result import UNSTARTED
from galaxy_core.model.task import TaskStar

#: Plans up to so many tasks are drawn whole.
WHOLE = 60
#: So many tasks and links are drawn at most. Mermaid itself refuses pictures with more than 500 links.
MOST_TASKS = 100
MOST_LINKS = 300

#: What becomes of a task or link; "" is nothing.
Mark = Literal["added", "removed", "changed", ""]


@frozen
class SketchedTask:
    """`detail` says in what it changes, or how it stands when it is not just pending."""

    task_id: str
    name: str
    detail: str
    mark: Mark


@frozen
class SketchedLink:
    """`label` says how it differs from one that follows any end."""

    from_task_id: str
    to_task_id: str
    label: str
    mark: Mark


@frozen
class Sketch:
    """What is drawn, tasks in the order of the plan and new ones last; `more_tasks` and `more_links` are not."""

    tasks: tuple[SketchedTask, ...]
    links: tuple[SketchedLink, ...]
    more_tasks: int
    more_links: int


_KINDS = {
    DependencyType.UNCONDITIONAL: "",
    DependencyType.SUCCESS_ONLY: "success",
    DependencyType.COMPLETION_ONLY: "completion",
    DependencyType.CONDITIONAL: "condition",
}


def sketch_of(changes: Changes, cycle: tuple[str, ...]) -> Sketch:
    """O(touched), their neighbours, and the links into what is drawn; all of a plan of up to `WHOLE` tasks."""
    plan = changes.plan
    total = len(plan._tasks) + sum(task_id not in plan._tasks for task_id in changes.new_tasks)
    drawn = _first(_touched(changes, cycle), MOST_TASKS)
    if total <= WHOLE:
        drawn.update(dict.fromkeys(plan._tasks))
    else:
        for task_id in _neighbours(changes, [task_id for task_id in drawn if _mark(changes, task_id)]):
            if len(drawn) >= MOST_TASKS:
                break
            drawn[task_id] = None
    links = list(_links(changes, drawn))
    all_links = len(plan._lines) + sum(line_id not in plan._lines_by_id for line_id in changes.new_lines)
    return Sketch(
        tuple(_drawn_task(changes, task_id) for task_id in sorted(drawn, key=lambda task_id: _place(changes, task_id))),
        tuple(links),
        total - len(drawn),
        all_links - len(links),
    )


def _first(task_ids: Iterable[str], most: int) -> dict[str, None]:
    found: dict[str, None] = {}
    for task_id in task_ids:
        if len(found) >= most:
            break
        found[task_id] = None
    return found


def _touched(changes: Changes, cycle: tuple[str, ...]) -> Iterator[str]:
    """What has to be seen, the most important first: the cycle, the tasks that differ, the ends of links that do."""
    yield from cycle
    for tasks in (changes.removed_tasks, changes.updated_tasks, changes.new_tasks):
        yield from tasks
    for lines in (changes.new_lines, changes.removed_lines, changes.updated_lines):
        for line in lines.values():
            yield from (line._from, line._to)


def _neighbours(changes: Changes, drawn: list[str]) -> Iterator[str]:
    for task_id in drawn:
        task = changes.plan._tasks.get(task_id)
        if task is not None:
            yield from (line._from for line in task._in)
            yield from (line._to for line in task._out)


def _place(changes: Changes, task_id: str) -> tuple[int, int]:
    task = changes.plan._tasks.get(task_id)
    return (1, 0) if task is None else (0, task._index)  # sorting keeps the order of new ones


def _mark(changes: Changes, task_id: str) -> Mark:
    if task_id in changes.removed_tasks:
        return "changed" if task_id in changes.new_tasks else "removed"
    if task_id in changes.new_tasks:
        return "added"
    return "changed" if task_id in changes.updated_tasks else ""


def _drawn_task(changes: Changes, task_id: str) -> SketchedTask:
    live = changes.plan._tasks.get(task_id)
    said = changes.new_tasks.get(task_id) or changes.updated_tasks.get(task_id) or live
    assert said is not None
    detail = ""
    if live is None:
        pass
    elif task_id in changes.updated_tasks:
        detail = ", ".join(task_differences(live, said))
    elif said is not live:
        detail = "anew"
    elif live._status not in UNSTARTED:
        detail = live._standing
    return SketchedTask(task_id, _name(said), detail, _mark(changes, task_id))


def _name(task: TaskStar) -> str:
    return task._name if isinstance(task._name, str) and task._name != task._task_id else ""


def _links(changes: Changes, drawn: dict[str, None]) -> Iterator[SketchedLink]:
    """Those between tasks that are drawn, those that differ first."""
    room = MOST_LINKS
    for line, mark in _all_links(changes, drawn):
        if line._from in drawn and line._to in drawn:
            yield SketchedLink(line._from, line._to, _label(line, mark, changes), mark)
            room -= 1
            if not room:
                return


def _all_links(changes: Changes, drawn: dict[str, None]) -> Iterator[tuple[TaskStarLine, Mark]]:
    removed, new, updated = changes.removed_lines, changes.new_lines, changes.updated_lines
    for line_id, line in new.items():
        was = removed.get(line_id)
        yield line, "added" if was is None or (was._from, was._to) != (line._from, line._to) else "changed"
    for line_id, line in removed.items():
        now = new.get(line_id)
        if now is None or (now._from, now._to) != (line._from, line._to):
            yield line, "removed"
    for line in updated.values():
        yield line, "changed"
    for task_id in drawn:
        task = changes.plan._tasks.get(task_id)
        for line in () if task is None else task._in:
            if line._line_id is None or (line._line_id not in removed and line._line_id not in updated):
                yield line, ""


def _label(line: TaskStarLine, mark: Mark, changes: Changes) -> str:
    kind = _KINDS.get(line._dependency_type, "")
    if line._dependency_type is DependencyType.CONDITIONAL and line._condition_description:
        kind = f"if {line._condition_description}"
    if mark == "changed" and not kind:
        live = changes.plan._lines_by_id[line.line_id]
        return ", ".join(line_differences(live, line)) or "anew"
    return kind
