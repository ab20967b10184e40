"""What a plan document says beyond its shape: one request a task, prerequisites that exist, references that can be met.

Documents may still have the wrong shape here and there. That is passed over in silence, because it has been reported
already, and so all problems of a file come together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from galaxy_core.errors import nearest
from galaxy_core.model.condition import Expression
from galaxy_core.model.credentials import SECRETIVE, find_credentials
from galaxy_core.model.dependency import DependencyType
from galaxy_core.model.explain import hint, likely
from galaxy_core.model.places import Findings, Place
from galaxy_core.model.request import REFERENCE_VALUES
from galaxy_core.model.source import described, find_foreign

REQUESTS: Final = ("run", "shell", "action")
#: Keys that say how a command runs, and so go with `run` or `shell` only.
COMMAND_KEYS: Final = ("cwd", "env", "stdin", "files", "outputs")
#: Where transports keep the whole of a stream that is too long for a result, whether or not the task names it.
STREAM_FILES: Final = ("stdout.txt", "stderr.txt")
#: What a need may say of the ends that it accepts.
ENDS: Final[Mapping[str, DependencyType]] = {
    "success": DependencyType.SUCCESS_ONLY,
    "completion": DependencyType.COMPLETION_ONLY,
    "always": DependencyType.UNCONDITIONAL,
}
_SUCCESS: Final = DependencyType.SUCCESS_ONLY


#: A need of a task: source before target, the ends it accepts, and its condition. A plain tuple for its speed.
Link = tuple[str, str, DependencyType, Expression | None]


def is_reference(value: Any) -> bool:
    """Whether an argument of an action is a reference, and not a mapping that stands for itself."""
    return isinstance(value, dict) and "from" in value and value.keys() <= {"from", "value"}


def references(task: Mapping[str, Any]) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """The references of a task, with their places in it."""
    run = task.get("run")
    if type(run) is list:
        for index, part in enumerate(run):
            if type(part) is dict:
                yield ("run", index), part
    stdin = task.get("stdin")
    if type(stdin) is dict:
        yield ("stdin",), stdin
    for key in ("env", "files"):
        values = task.get(key)
        if type(values) is dict:
            for name, value in values.items():
                if type(value) is dict:
                    yield (key, name), value
    action = task.get("action")
    if type(action) is dict:
        for name, arguments in action.items():
            for argument, value in arguments.items() if type(arguments) is dict else ():
                if is_reference(value):
                    yield ("action", name, argument), value


def _has_mappings(items: Any) -> bool:
    return type(items) is list and dict in map(type, items)


# Most tasks have neither, and are worth a shorter way.
_NOT_PLAIN: Final = frozenset({"shell", "action", "data"})
_TAKING: Final = frozenset({"stdin", "env", "files", "action"})


class LinkReader:
    """Reads the links of a plan's tasks, and finds what is wrong with them. O(tasks + links).

    `in_order` says whether every task stands after those that it needs, so that there can be no cycle. Unless they are
    `alone`, tasks may need others that are not among them.
    """

    def __init__(self, tasks: Mapping[str, Any], findings: Findings, *, alone: bool = True) -> None:
        self.links: list[Link] = []
        self.in_order = True
        self._read: set[str] = set()
        self._tasks = tasks
        self._findings = findings
        self._alone = alone
        # By their text; of a wrong one, what is wrong with it. A path sees other names than a condition.
        self._expressions: dict[str, Expression | str] = {}
        self._paths: dict[str, str | None] = {}

    def read(self) -> list[Link]:
        """The links in the order of the document, those that references imply included."""
        for task_id, task in self._tasks.items():
            self.read_task(task_id, task)
            if self._findings.more and self._findings.stops():
                break
        return self.links

    def read_task(self, task_id: str, task: Any) -> None:
        """Add the links into one task."""
        if type(task) is dict:
            if "run" not in task or not _NOT_PLAIN.isdisjoint(task):
                self._request(task_id, task)
            if not SECRETIVE.isdisjoint(task):
                find_credentials(("tasks", task_id), task, self._findings)
            named = self._needs(task_id, task)
            if not _TAKING.isdisjoint(task) or _has_mappings(task.get("run")):
                for place, reference in references(task):
                    self._reference(task_id, named, ("tasks", task_id, *place), reference)
        self._read.add(task_id)

    def _request(self, task_id: str, task: Mapping[str, Any]) -> None:
        given = [key for key in REQUESTS if key in task]
        if len(given) > 1:
            self._findings.add(("tasks", task_id), f"{' and '.join(map(repr, given))} exclude each other; keep one")
        if not given and not str(task.get("description", "")).strip() and not _is_misspelt(task):
            self._findings.add(
                ("tasks", task_id),
                "has nothing to do; give it one of 'run', 'shell' and 'action', or a 'description' for a device that "
                "reads it",
            )
        if "run" not in given and "shell" not in given:
            for key in COMMAND_KEYS:
                if key in task:
                    self._findings.add(("tasks", task_id, key), f"{key!r} goes with 'run' or 'shell' only")
        if "data" in task:
            find_foreign(("tasks", task_id, "data"), task["data"], self._findings)
        if "action" in task:
            self._action(("tasks", task_id, "action"), task["action"])

    def _action(self, place: Place, action: Any) -> None:
        if not find_foreign(place, action, self._findings) or not isinstance(action, dict):
            return
        for name, arguments in action.items():
            for argument, value in arguments.items() if isinstance(arguments, dict) else ():
                for inner in _inner_mappings((*place, name, argument), value):
                    self._refuse_inner_reference(*inner)

    def _refuse_inner_reference(self, place: Place, value: Mapping[str, Any]) -> None:
        """It would reach the device as it stands, because references are only looked for among the arguments."""
        if is_reference(value) and isinstance(value["from"], str) and value["from"] in self._tasks:
            self._findings.add(place, "a reference stands only for a whole argument of an action, not inside of one")

    def _needs(self, task_id: str, task: Mapping[str, Any]) -> set[str]:
        """Adds the links of `needs`; the ids that it names."""
        named: set[str] = set()
        needs = task.get("needs")
        if type(needs) is not list:
            return named
        for index, need in enumerate(needs):
            kind, condition = _SUCCESS, None
            if type(need) is str:
                source = need
            elif type(need) is dict and type(need.get("task")) is str:
                source = need["task"]
                kind, condition = self._accepted(("tasks", task_id, "needs", index), need)
            else:
                continue
            if source not in self._read:
                self.in_order = False
                if source not in self._tasks and self._alone:
                    self._unknown(("tasks", task_id, "needs", index), source)
                    continue
            if source in named:
                self._findings.add(
                    ("tasks", task_id, "needs", index), f"task {source!r} stands here twice; name each task once"
                )
            else:
                named.add(source)
                self.links.append((source, task_id, kind, condition))
        return named

    def _accepted(self, place: Place, need: Mapping[str, Any]) -> tuple[DependencyType, Expression | None]:
        """Which ends of a prerequisite its need accepts."""
        when = need.get("when")
        if when is None:
            ends = need.get("on", "success")
            return (ENDS.get(ends, _SUCCESS) if type(ends) is str else _SUCCESS), None
        if "on" in need:
            self._findings.add(place, "'on' and 'when' exclude each other; a condition can ask for the status itself")
        condition = self._expression(when) if type(when) is str else None
        if isinstance(condition, str):
            self._findings.add((*place, "when"), condition)
            condition = None
        return DependencyType.CONDITIONAL, condition

    def _expression(self, text: str) -> Expression | str:
        if text not in self._expressions:
            try:
                self._expressions[text] = Expression(text)
            except ValueError as error:
                self._expressions[text] = _first_line(error)
        return self._expressions[text]

    def _path_problem(self, text: str) -> str | None:
        if text not in self._paths:
            self._paths[text] = path_problem(text)
        return self._paths[text]

    def _reference(self, task_id: str, named: set[str], place: Place, reference: Mapping[str, Any]) -> None:
        unchecked = place[2] == "action"  # the shapes leave the arguments of actions alone
        source = reference.get("from")
        if type(source) is not str:
            if unchecked:
                self._findings.add((*place, "from"), f"found {described(source)}; a task's id is wanted here")
            return
        if source not in self._tasks and self._alone:
            self._unknown((*place, "from"), source)
            return
        if source not in named:
            named.add(source)
            self.in_order = self.in_order and source in self._read
            self.links.append((source, task_id, _SUCCESS, None))
        value = reference.get("value", "stdout")
        if place[2] == "files" and type(value) is str and not _may_be_a_path(value):
            if "value" in reference:
                self._findings.add((*place, "value"), f"found {described(value)}; {_A_FILE_IS_WANTED}")
        elif type(value) is str or unchecked:
            problem = self._value_problem(source, value) if type(value) is str else _not_a_value(value)
            if problem:
                self._findings.add((*place, "value"), problem)

    def _value_problem(self, source: str, value: str) -> str | None:
        if value in REFERENCE_VALUES:
            return None
        kind, _, rest = value.partition(".")
        if kind == "json" and rest:
            return self._path_problem(rest)
        if kind == "file" and rest:
            task = self._tasks.get(source)
            if not isinstance(task, dict) or "action" in task:
                return None
            outputs = task.get("outputs", [])
            if not isinstance(outputs, list) or rest in outputs or rest in STREAM_FILES:
                return None
            names = [name for name in outputs if isinstance(name, str)]
            listed = f"its outputs are {', '.join(map(repr, names))}" if names else "it has no outputs"
            return f"task {source!r} collects no file {rest!r}{hint(rest, names)}; {listed}"
        return _not_a_value(value)

    def _unknown(self, place: Place, source: str) -> None:
        if self._findings.is_full:  # looking for near names among many costs
            self._findings.more += 1
            return
        near = nearest(source, self._tasks)
        meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        self._findings.add(place, f"there is no task {source!r}{meant}")


def path_problem(text: str) -> str | None:
    """What is wrong with the PATH of a ``json.PATH``, whatever it is looked up in; None when nothing is."""
    from galaxy_core.model.query import Query  # loads jmespath, with the first plan that has a path

    try:
        Query(text)
    except ValueError as error:
        return _first_line(error)
    return None


def _is_misspelt(task: Mapping[str, Any]) -> bool:
    """Whether a key of it was probably to be one that gives it something to do: that is told of the key."""
    known = (*REQUESTS, "description")
    return any(isinstance(key, str) and key not in known and likely(key, known) for key in task)


def _first_line(error: ValueError) -> str:
    return str(error).partition("\n")[0].rstrip(": ")  # what follows points into the expression


_A_FILE_IS_WANTED: Final = "a file is wanted here, such as file.NAME; hand over text by 'stdin', 'env' or 'run'"


def _may_be_a_path(value: str) -> bool:
    return value == "value" or value.startswith(("file.", "json."))


def _not_a_value(value: Any) -> str:
    allowed = ", ".join(map(repr, REFERENCE_VALUES))
    return (
        f"found {described(value)}{hint(value, REFERENCE_VALUES)}; allowed are {allowed}, 'json.PATH' and 'file.NAME'"
    )


def _inner_mappings(place: Place, value: Any) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Mappings inside of a plain value, at any depth, without the value itself."""
    items: Collection[tuple[str | int, Any]]
    items = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    for key, item in items:
        if isinstance(item, dict):
            yield (*place, key), item
        yield from _inner_mappings((*place, key), item)


def find_cycles(tasks: Mapping[str, Any], links: list[Link], findings: Findings) -> None:
    """Adds each cycle in full, at the need of one of its links; those that share a task with one are left out.

    O(tasks + links) when there is none, and for each that is listed.
    """
    waiting = dict.fromkeys(tasks, 0)
    after: dict[str, list[str]] = {}
    for source, target, _, _ in links:
        waiting[target] += 1
        after.setdefault(source, []).append(target)
    _drop_ended(waiting, after, [task_id for task_id, count in waiting.items() if not count])
    if not waiting:
        return
    before: dict[str, list[str]] = {}
    for source, target, _, _ in links:
        if source in waiting and target in waiting:
            before.setdefault(target, []).append(source)
    while waiting and not findings.is_full:
        cycle = _cycle_in(waiting, before)
        target = cycle[1]
        place = ("tasks", target, *_place_of_need(tasks[target], cycle[0]))
        findings.add(place, f"a cycle: {' -> '.join(cycle)}; remove one of these needs")
        for task_id in cycle[1:]:
            waiting[task_id] = 0
        _drop_ended(waiting, after, cycle[1:])


def _drop_ended(waiting: dict[str, int], after: Mapping[str, list[str]], ended: list[str]) -> None:
    """Takes `ended` out of `waiting`, and all that waits for nothing else."""
    for task_id in ended:  # it grows
        del waiting[task_id]
        for target in after.get(task_id, ()):
            if waiting.get(target):
                waiting[target] -= 1
                if not waiting[target]:
                    ended.append(target)


def _cycle_in(waiting: Mapping[str, int], before: Mapping[str, list[str]]) -> list[str]:
    """A cycle among tasks that all wait for one of them: in the direction of the links, its first task again at the end."""
    at = next(iter(waiting))
    way: dict[str, None] = {}
    while at not in way:
        way[at] = None
        at = next(source for source in before[at] if source in waiting)
    backward = list(way)
    cycle = backward[backward.index(at) :]
    return [at, *reversed(cycle)]


def _place_of_need(task: Mapping[str, Any], source: str) -> Place:
    needs = task.get("needs")
    for index, need in enumerate(needs if isinstance(needs, list) else ()):
        if need == source or (isinstance(need, dict) and need.get("task") == source):
            return ("needs", index)
    return next((place for place, reference in references(task) if reference.get("from") == source), ())
