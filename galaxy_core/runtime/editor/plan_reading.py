"""Tasks, links and whole plans as an editor is given them: objects, documents of `to_dict`, keys of plan files.

The keys of both kinds of document may stand beside each other in a task, because none of them means two things; what is
said twice is refused, and so is every key that neither knows. How a task of a document stood is passed over: what an
editor adds has not started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import Factory, define, field

from galaxy_core.errors import DocumentError, EditError
from galaxy_core.model.condition import LostCondition, is_function
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.plan_links import REQUESTS, references
from galaxy_core.model.request import Call
from galaxy_core.model.task import TaskStar
from galaxy_core.model.validity import task_problems
from galaxy_core.runtime.editor.fields import check_ids, check_line, check_task, line_fields, task_fields, unread

#: Keys of tasks in plan files that `to_dict` has not, and the arguments of `TaskStar` that they give.
_PLAN_KEYS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("run", "shell", "action", "cwd", "env", "stdin", "files", "outputs"), "request"),
    "device": "target_device_id",
    "timeout_s": "timeout",
    "data": "task_data",
    "needs": "",
}
#: What `to_dict` says of how a task or link stands.
_TASK_STATE: Final = frozenset(
    [
        "status",
        "result",
        "error",
        "current_retry",
        "attempts",
        "created_at",
        "updated_at",
        "execution_start_time",
        "execution_end_time",
        "execution_duration",
        "dependencies",
        "dependents",
    ]
)
_LINE_STATE: Final = frozenset(
    ("is_satisfied", "last_evaluation_result", "last_evaluation_time", "withheld", "created_at", "updated_at")
)
_PLAN_STATE: Final = frozenset(
    [
        "constellation_id",
        "state",
        "created_at",
        "updated_at",
        "execution_start_time",
        "execution_end_time",
        "execution_duration",
        "revision",
    ]
)
#: A task of a document that another one needs, and that stands elsewhere.
_ELSEWHERE: Final[Mapping[str, Any]] = {"action": {"elsewhere": {}}}


@define
class Parts:
    """What was read: tasks and links of no constellation. `progressed` are the ids of tasks that stood otherwise."""

    tasks: list[TaskStar] = Factory(list)
    lines: list[TaskStarLine] = Factory(list)
    name: str | None = None
    metadata: dict[str, Any] = field(factory=dict)
    progressed: list[str] = Factory(list)


# ----------------------------------------------------------------------------------------------- one task, one link
def read_task(given: Any, live: TaskConstellation, known: Callable[[str], bool]) -> Parts:
    """One task, with the links that its `needs` and references are. `known` says which ids it may name there.

    Raises:
        EditError
    """
    if isinstance(given, TaskStar):
        check_task(given)
        return Parts([given])
    if not isinstance(given, Mapping):
        raise unread([f"a task is a TaskStar or a mapping, not {given!r:.80}"])
    check_ids(given.get("task_id"))
    return _tasks({given["task_id"]: given}, live, known)


def read_line(given: Any) -> TaskStarLine:
    """One link.

    Raises:
        EditError
    """
    if isinstance(given, TaskStarLine):
        check_line(given)
        return given
    if not isinstance(given, Mapping):
        raise unread([f"a dependency is a TaskStarLine or a mapping, not {given!r:.80}"])
    ends = ("from_task_id", "to_task_id")
    known = (*ends, "line_id", "condition_lost")
    own = {key: value for key, value in given.items() if key not in _LINE_STATE and key not in known}
    if missing := [key for key in ends if key not in given]:
        raise unread([f"a dependency needs {' and '.join(missing)}"])
    check_ids(*(given[key] for key in ends))
    if given.get("line_id") is not None:
        check_ids(given["line_id"])
    fields = line_fields(own, known)
    if given.get("condition_lost") is True and fields.get("condition_evaluator") is None:
        fields["condition_evaluator"] = LostCondition(fields.get("condition_description"))
    return TaskStarLine(given["from_task_id"], given["to_task_id"], line_id=given.get("line_id"), **fields)


def _tasks(documents: Mapping[str, Mapping[Any, Any]], live: TaskConstellation, known: Callable[[str], bool]) -> Parts:
    parts, reasons = Parts(), []
    planned = {task_id: keys for task_id, document in documents.items() if (keys := _plan_part(document))}
    from_plan: Mapping[str, dict[str, Any]] = {}
    try:
        from_plan, parts.lines = _as_plan_file(planned, known)
    except DocumentError as error:
        reasons += [f"{place}: {text}" for place, _, text in error.problems]
    for task_id, document in documents.items():
        try:
            fields = _own_fields(task_id, document, planned.get(task_id, {}), live)
        except EditError as error:
            reasons += [f"task {task_id!r}: {reason}" for reason in _reasons(error)]
            continue
        both = fields.keys() & from_plan.get(task_id, {}).keys()
        if both:
            reasons.append(f"task {task_id!r} says {', '.join(sorted(both))} twice, as in plan files and otherwise")
        if str(document.get("status") or "pending").lower() not in ("pending", "waiting_dependency"):
            parts.progressed.append(task_id)
        if not reasons:
            parts.tasks.append(TaskStar(task_id, **fields, **from_plan.get(task_id, {})))
    if reasons:
        raise unread(reasons)
    return parts


def _reasons(error: EditError) -> list[str]:
    return [problem.reason for problem in error.problems]


def _plan_part(document: Mapping[Any, Any]) -> dict[str, Any]:
    """The keys of a task that only a plan file has."""
    keys = {key: value for key, value in document.items() if key in _PLAN_KEYS}
    retry = document.get("retry")
    if isinstance(retry, Mapping) and "count" in retry:
        keys["retry"] = dict(retry)
    return keys


def _own_fields(
    task_id: str, document: Mapping[Any, Any], planned: Mapping[str, Any], live: TaskConstellation
) -> dict[str, Any]:
    own = {
        key: value
        for key, value in document.items()
        if key not in planned and key not in _TASK_STATE and key not in ("task_id", "pinned")
    }
    check_ids(document.get("task_id", task_id))
    here, request = live.get_task(task_id), own.get("request")
    if isinstance(request, Mapping) and here is not None and isinstance(here.request, Call):
        own["request"] = here.request if here.request.to_dict() == dict(request) else request
    if document.get("pinned") is False:  # a strategy chose it
        own.pop("target_device_id", None)
    for key in ("tips", "task_data"):  # to_dict has them empty where there are none
        own = {name: value for name, value in own.items() if name != key or value}
    return task_fields(own, ("task_id", *_PLAN_KEYS))


def _as_plan_file(
    planned: Mapping[str, dict[str, Any]], known: Callable[[str], bool]
) -> tuple[dict[str, dict[str, Any]], list[TaskStarLine]]:
    """What the keys of plan files give: arguments of tasks by id, and links. Checked as plan files are.

    Raises:
        DocumentError
    """
    if not planned:
        return {}, []
    from galaxy_core.model.plan_file import parse_plan  # loads pydantic, for those who write such keys

    tasks: dict[str, Any] = {}
    for task_id, keys in planned.items():
        tasks[task_id] = keys if not keys.keys().isdisjoint(REQUESTS) else {"description": "-", **keys}
        for source in _named_by(keys):
            if source not in planned and known(source):
                tasks[source] = _ELSEWHERE
    plan = parse_plan({"tasks": tasks}, source="the task" if len(planned) == 1 else "the tasks").to_constellation()
    fields = {}
    for task_id, keys in planned.items():
        task = plan._tasks[task_id]
        given: dict[str, Any] = {
            "request": task._request,
            "target_device_id": task._target_device_id,
            "timeout": task._timeout,
            "task_data": task._task_data,
        }
        said = {_PLAN_KEYS.get(key, "") for key in keys}
        fields[task_id] = {name: value for name, value in given.items() if name in said}
        if "retry" in keys:
            fields[task_id] |= {"retry_count": task._retry_count, "retry": task._retry}
    lines = [line.copy() for line in plan._lines]
    for line in lines:
        line._line_id = None
    return fields, lines


def _named_by(keys: Mapping[str, Any]) -> Iterator[str]:
    needs = keys.get("needs")
    for need in needs if isinstance(needs, list) else ():
        source = need.get("task") if isinstance(need, Mapping) else need
        if isinstance(source, str):
            yield source
    for _, reference in references(keys):
        if isinstance(reference.get("from"), str):
            yield reference["from"]


# ----------------------------------------------------------------------------------------------- whole plans
def read_plan(given: Any, live: TaskConstellation, *, replaces: bool) -> Parts:
    """A whole plan: a constellation, a document, a pydantic document of schema.py, or a `Plan`.

    With `replaces` it will take the place of what `live` has not started. Then a link of a document that has no id is
    the one between the same tasks; and a condition that no document can hold stays with its link, as a call does with
    its task.

    Raises:
        EditError
        GalaxyError: it is a `Plan`, which cannot be built.
    """
    if hasattr(given, "to_constellation"):
        given = given.to_constellation()
    if isinstance(given, TaskConstellation):
        return _of_constellation(given)
    if hasattr(given, "model_dump"):
        given = given.model_dump(by_alias=True)
    if not isinstance(given, Mapping):
        raise unread([f"a plan is a mapping or a constellation, not {given!r:.80}"])
    known = {"name", "metadata", "tasks", "dependencies", "strategy", "description"}
    if wrong := sorted(map(str, given.keys() - known - _PLAN_STATE)):
        raise unread([f"a plan has no key {', '.join(map(repr, wrong))}; it has {', '.join(sorted(known))}"])
    return _of_document(given, live, replaces=replaces)


def _of_constellation(given: TaskConstellation) -> Parts:
    for task in given._tasks.values():
        check_task(task)
    for line in given._lines:
        check_line(line)
    progressed = [task_id for task_id, task in given._tasks.items() if not task.is_modifiable]
    name = None if given.name == given.constellation_id else given.name
    copies = [task.copy() for task in given._tasks.values()], [line.copy() for line in given._lines]
    return Parts(*copies, name, given.metadata, progressed)


def _of_document(given: Mapping[str, Any], live: TaskConstellation, *, replaces: bool) -> Parts:
    reasons: list[str] = []
    objects: list[TaskStar] = []
    documents: dict[str, Mapping[Any, Any]] = {}
    for entry in _entries(given.get("tasks"), "task_id", reasons):
        task_id = entry.task_id if isinstance(entry, TaskStar) else entry.get("task_id")
        if not isinstance(task_id, str) or not task_id.strip():
            reasons.append(f"a task has the task_id {task_id!r}; an id is wanted")
        elif task_id in documents or any(task_id == task.task_id for task in objects):
            reasons.append(f"there are two tasks {task_id!r}")
        elif isinstance(entry, TaskStar):
            objects.append(entry)
        else:
            documents[task_id] = entry
    known = {*documents, *(task.task_id for task in objects), *live._tasks}
    parts = Parts()
    try:
        parts = _tasks(documents, live, known.__contains__)
    except EditError as error:
        reasons += _reasons(error)
    for task in objects:
        reasons += task_problems(task)
    parts.tasks += objects
    for entry in _entries(given.get("dependencies"), "line_id", reasons):
        try:
            parts.lines.append(read_line(entry))
        except EditError as error:
            reasons += [f"dependency: {reason}" for reason in _reasons(error)]
    parts.name, parts.metadata = _heading(given, reasons)
    if reasons:
        raise unread(reasons)
    if replaces:
        _recognise(parts.lines, live)
    return parts


def _heading(given: Mapping[str, Any], reasons: list[str]) -> tuple[str | None, dict[str, Any]]:
    texts = [key for key in ("name", "strategy", "description") if given.get(key) is not None]
    reasons += [f"{key}: a text is wanted, not {given[key]!r:.80}" for key in texts if not isinstance(given[key], str)]
    metadata = given.get("metadata") or {}
    if not isinstance(metadata, Mapping):
        reasons.append(f"metadata: a mapping is wanted here, not {metadata!r:.80}")
        metadata = {}
    said = {key: given[key] for key in ("strategy", "description") if given.get(key) is not None}
    name = given.get("name")
    return (None if name == given.get("constellation_id") else name), {**metadata, **said}


def _entries(found: Any, key: str, reasons: list[str]) -> Iterable[Any]:
    """Objects, and mappings with their ids in them."""
    if found is None:
        return
    if not isinstance(found, Mapping | list | tuple):
        reasons.append(f"a mapping or a list is wanted here, not {found!r:.80}")
        return
    pairs: Iterable[tuple[Any, Any]]
    pairs = found.items() if isinstance(found, Mapping) else ((None, entry) for entry in found)
    for entry_id, entry in pairs:
        if isinstance(entry, TaskStar | TaskStarLine):
            yield entry
        elif not isinstance(entry, Mapping):
            reasons.append(f"a mapping is wanted for {entry_id!r}, not {entry!r:.80}")
        elif entry_id is not None and entry.get(key) not in (None, entry_id):
            reasons.append(f"{entry_id!r} stands for an entry whose {key} is {entry[key]!r}")
        else:
            yield entry if entry_id is None else {**entry, key: entry_id}


def _recognise(lines: Iterable[TaskStarLine], live: TaskConstellation) -> None:
    for line in lines:
        if line._line_id is None:
            between = [other for other in live.get_task_dependencies(line._to) if other._from == line._from]
            if len(between) == 1:
                line._line_id = between[0].line_id
        here = live.get_dependency(line._line_id) if isinstance(line._line_id, str) else None
        says = line._evaluator is not None and not isinstance(line._evaluator, LostCondition)
        if here is None or (here._from, here._to) != (line._from, line._to) or says:
            continue
        conditional = line._dependency_type is here._dependency_type is DependencyType.CONDITIONAL
        if conditional and is_function(here._evaluator):
            line._evaluator = here._evaluator
