"""What rules do: retry, skip, diagnose. Each adds its operations to a sketch."""

from __future__ import annotations

from collections.abc import Container, Mapping
from fnmatch import fnmatchcase
from typing import Any

from galaxy_core import (
    Command,
    DependencyType,
    ExecutionResult,
    InputError,
    Reference,
    TaskStar,
    TaskStarLine,
)
from galaxy_core_replan.marks import mark_of, marked
from galaxy_core_replan.rules import Retry, Skip
from galaxy_core_replan.sketch import Sketch
from galaxy_core_replan.templates import FAILED, Template, copy_of, link_between, template

#: Links that let their target run although their source was skipped.
_ANY_END = (DependencyType.UNCONDITIONAL, DependencyType.COMPLETION_ONLY)
#: Where a task may run; a diagnosis that says none of them runs where the failed task did.
_WHERE = ("device", "device_type", "requires")
DIAGNOSIS = "diagnosis"


def matches(task_id: str, patterns: list[str]) -> bool:
    """Whether an id is one of these, or fits one of these patterns."""
    return any(task_id == pattern or fnmatchcase(task_id, pattern) for pattern in patterns)


# ----------------------------------------------------------------------------------------------- retry
def retry(sketch: Sketch, rule: int, what: Retry, failed: TaskStar, origin: str) -> None:
    """Add a copy of the failed task, and what is to be done first; what waited for the failed task waits for the copy.

    Raises:
        DocumentError: what is to be done first names tasks that are no longer there.
    """
    first = template(what.before, sketch) if what.before else Template((), ())
    copy_id = sketch.free_id(origin, 2)
    sketch.add(_copy(what, failed, copy_id))
    sketch.link(marked(failed.task_id, copy_id, rule, "copy"))
    for line in sketch.plan.get_task_dependencies(failed.task_id):
        if mark_of(line) is None:
            sketch.link(link_between(line, line.from_task_id, copy_id))
    for line in sketch.plan.get_task_dependents(failed.task_id):
        _move(sketch, line, copy_id)
    added = _add(sketch, rule, first, failed)
    for task_id in added:
        sketch.link(marked(task_id, copy_id, rule, "gate"))
    words = f" after {', '.join(added)}" if added else ""
    sketch.words.append(f"{failed.task_id} again as {copy_id}{words}")


def _copy(what: Retry, failed: TaskStar, copy_id: str) -> TaskStar:
    changes: dict[str, Any] = {}
    if what.device is not None:
        changes["target_device_id"] = what.device
    elif what.device_type is not None or what.requires is not None:
        changes["target_device_id"] = None  # what it needs instead is to find its own device
    if what.platform is not None:
        changes["device_type"] = what.platform
    if what.requires is not None:
        changes["requires"] = what.requires
    return copy_of(failed, copy_id, **changes)


def _move(sketch: Sketch, line: TaskStarLine, copy_id: str) -> None:
    """Have the target of a link from the failed task wait for the copy, and take its data from there."""
    target = sketch.plan.get_task(line.to_task_id)
    if target is None or not target.is_modifiable or mark_of(line) is not None:
        return
    sketch.unlink(line)
    sketch.link(link_between(line, copy_id, target.task_id))
    sketch.renew_references(target, {line.from_task_id: copy_id})


def _add(sketch: Sketch, rule: int, what: Template, failed: TaskStar, **changes: Any) -> list[str]:
    """Add the tasks of a rule, which wait for the end of the failed task; their ids."""
    ids = {task.task_id: sketch.free_id(f"{failed.task_id}.{task.task_id}") for task in what.tasks}
    for task in what.tasks:
        request = None if task.request is None else task.request.renamed({**ids, FAILED: failed.task_id})
        sketch.add(copy_of(task, ids[task.task_id], **{"request": request, **changes}))
        sketch.link(marked(failed.task_id, ids[task.task_id], rule, "added"))
    for line in what.lines:
        # Of what it waits for, the failed task is known to have ended, whatever it is called in the plan.
        source = ids.get(line.from_task_id, line.from_task_id)
        sketch.link(link_between(line, source, ids[line.to_task_id]))
    return list(ids.values())


# ----------------------------------------------------------------------------------------------- diagnose
def diagnose(sketch: Sketch, rule: int, keys: Mapping[str, Any], failed: TaskStar) -> None:
    """Add a task that finds out more, where the failed one ran, and with what that has said on its standard error.

    Raises:
        DocumentError: it names tasks that are no longer there.
    """
    read = template({DIAGNOSIS: keys}, sketch)
    (task,) = read.tasks
    changes: dict[str, Any] = {}
    if not any(key in keys for key in _WHERE):
        changes["target_device_id"] = failed.target_device_id
    task = copy_of(task, DIAGNOSIS, request=_with_stderr(task, failed))
    (task_id,) = _add(sketch, rule, Template((task,), read.lines), failed, **changes)
    sketch.words.append(f"{task_id} of {failed.task_id}")


def _with_stderr(task: TaskStar, failed: TaskStar) -> Any:
    """The request of a diagnosis; when it is a command that reads nothing else, it reads what the failed task has said."""
    request, error = task.request, Reference(FAILED, "stderr")
    if not isinstance(request, Command) or request.stdin is not None or not isinstance(failed.result, ExecutionResult):
        return request
    try:
        error.read(failed.result)
    except InputError:  # it has said nothing, or more than was kept: the diagnosis has to do without
        return request
    said = {name: getattr(request, name) for name in ("argv", "shell", "cwd", "env", "files", "outputs")}
    return Command(**said, stdin=error)


# ----------------------------------------------------------------------------------------------- skip
def skip(sketch: Sketch, what: Skip, failed: TaskStar) -> None:
    """Have the tasks `until` which the branch behind the failed task reaches go on without it. Costs the branch.

    The rest of the branch is left as it is, and so is skipped. One of `until` that takes data from the branch cannot go
    on without it, and belongs to it.
    """
    plan = sketch.plan
    queue, seen, freed = [failed], {failed.task_id}, dict[str, None]()
    for at in queue:  # it grows
        for line in plan.get_task_dependents(at.task_id):
            target = plan.get_task(line.to_task_id)
            if target is None or not target.is_modifiable or mark_of(line) is not None or not _refuses(line, at):
                continue
            if matches(target.task_id, what.until) and not _takes_from(target, (at.task_id,)):
                sketch.unlink(line)
                freed[target.task_id] = None
            elif target.task_id not in seen:
                seen.add(target.task_id)
                queue.append(target)
    if freed:
        sketch.words.append(f"{', '.join(freed)} without {failed.task_id}")


def _refuses(line: TaskStarLine, source: TaskStar) -> bool:
    """Whether a link lets its target be skipped: by the end of the failed task, or by its source's being skipped."""
    if not source.is_terminal:
        return line.dependency_type not in _ANY_END
    return line.copy().refusal(source) is not None  # a copy, because the answer is noted on the link


def _takes_from(task: TaskStar, task_ids: Container[str]) -> bool:
    return task.request is not None and any(reference.task_id in task_ids for reference in task.request.references)
