"""Transactions as documents: `transaction_from_json` and `transaction_from_dict`.

Two ways of writing an operation are read, and can stand beside each other. People and language models write the keys of
plan files::

    {
        "base_revision": 7,
        "description": "look closer",
        "operations": [
            {"add_task": {"id": "scan", "run": ["df", "-h"], "needs": ["probe"]}},
            {"update_task": {"id": "report", "priority": "high", "timeout_s": null}},
            {"add_dependency": {"from": "scan", "to": "report", "on": "completion"}},
            {"update_dependency": {"from": "probe", "to": "report", "when": "exit_code == `0`"}},
            {"remove_task": "old"},
            {"remove_dependency": {"from": "probe", "to": "report"}},
            {"replace_plan": {"tasks": {}}},
        ],
    }

Programs write what `transaction_to_dict` (edits_fields.py) gives: tasks, links and plans as their `to_dict` has them,
what changes by the names of `TASK_FIELDS` and `LINE_FIELDS`. That loses nothing that can be written at all.

What a task of the first kind needs, by `needs` or because it takes from it, becomes `AddDependency` operations, after
all those of the document, because a task may need one that stands behind it. `Transaction.places` says of each operation
which entry of the document it came from; that is what problems name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from galaxy_core.errors import DocumentError
from galaxy_core.model.condition import Expression
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.edits import (
    AddDependency,
    AddTask,
    LinkName,
    Operation,
    RemoveDependency,
    RemoveTask,
    ReplacePlan,
    Transaction,
    UpdateDependency,
    UpdateTask,
)
from galaxy_core.model.edits_fields import read_line_changes, read_task_changes
from galaxy_core.model.explain import hint
from galaxy_core.model.places import Findings, Place
from galaxy_core.model.plan_file import checked_plan, plan_keys_of, task_from_keys
from galaxy_core.model.plan_links import COMMAND_KEYS, ENDS, REQUESTS, LinkReader
from galaxy_core.model.schema_edits import validated_document
from galaxy_core.model.schema_files import ID, PATTERNS, TaskDocument, validated_plan
from galaxy_core.model.source import Source, collector_paused, described, find_foreign, parse, text_source
from galaxy_core.model.task import TaskStar
from galaxy_core.model.validity import line_problems, task_problems

#: Bytes of a transaction, unless the caller says otherwise.
MAX_BYTES: Final = 10_000_000

_KEYS: Final = ("base_revision", "description", "author", "operations")
_ID = re.compile(ID)

Made = TypeVar("Made")


def transaction_from_json(text: str, name: str = "<text>", *, max_bytes: int = MAX_BYTES) -> Transaction:
    """The transaction of a JSON text; `name` names it in errors.

    Raises:
        DocumentError: it is not a transaction; all that is wrong with it is listed, with places.
    """
    source = text_source(text, "json", name, max_bytes)
    return _read(source, parse(source, "a transaction"))


def transaction_from_dict(document: Mapping[str, Any], name: str = "<data>") -> Transaction:
    """The transaction of a document that has been parsed already.

    Raises:
        DocumentError: as `transaction_from_json`.
    """
    return _read(Source(name, "json"), dict(document))


def _read(source: Source, document: dict[str, Any]) -> Transaction:
    findings = Findings()
    with collector_paused():
        _read_head(document, findings)
        entries = document.get("operations")
        reader = _Reader(entries if isinstance(entries, list) else [], findings)
        found = reader.read()
    if findings:
        raise source.refuse(findings)
    description, author = (document.get(key) or "" for key in ("description", "author"))
    operations, places = [operation for operation, _ in found], [place for _, place in found]
    base = document.get("base_revision")
    return Transaction(
        operations, base, description, author, places=() if places == list(range(len(places))) else places
    )


def _read_head(document: Mapping[str, Any], findings: Findings) -> None:
    _refuse_unknown((), document, _KEYS, findings)
    base = document.get("base_revision")
    if base is not None and (not isinstance(base, int) or isinstance(base, bool) or base < 0):
        findings.add(("base_revision",), f"found {described(base)}; a revision of the plan, from 0, is wanted here")
    for key in ("description", "author"):
        if document.get(key) is not None and not isinstance(document[key], str):
            findings.add((key,), f"found {described(document[key])}; text is wanted here")
    if "operations" not in document:
        findings.add((), "'operations' is missing")
    elif not isinstance(document["operations"], list):
        findings.add(("operations",), f"found {described(document['operations'])}; a list is wanted here")


def _refuse_unknown(place: Place, said: Mapping[str, Any], known: tuple[str, ...], findings: Findings) -> None:
    for key in said:
        if key not in known:
            allowed = ", ".join(map(repr, known))
            findings.add((*place, str(key)), f"unknown key {key!r}{hint(key, known)}; allowed are {allowed}")


def _entry(entry: Any, kind: str) -> dict[str, Any] | None:
    """What an operation of that kind says, if it says anything of the right shape."""
    said = entry.get(kind) if isinstance(entry, dict) else None
    return said if isinstance(said, dict) else None


class _Reader:
    """Reads the operations of one document."""

    def __init__(self, entries: list[Any], findings: Findings) -> None:
        self._entries, self._findings = entries, findings
        self._place: Place = ()
        self._index = 0  # of the entry that is being read
        self._found: list[tuple[Operation, int]] = []
        self._needs: dict[str, tuple[list[TaskStarLine], int]] = {}  # of tasks that are added, and where that stands
        # Tasks that are added, for what their outputs are; and the links that are added by themselves.
        added = [_entry(entry, "add_task") for entry in entries]
        self._added = {said["id"]: said for said in added if said is not None and isinstance(said.get("id"), str)}
        linked = [_entry(entry, "add_dependency") for entry in entries]
        self._linked = {(str(said.get("from")), str(said.get("to"))) for said in linked if said is not None}

    def read(self) -> list[tuple[Operation, int]]:
        """The operations, each with its place, and at the end the needs of the tasks that they add."""
        for index, entry in enumerate(self._entries):
            self._index = index
            self._place = ("operations", index)
            if find_foreign(self._place, entry, self._findings):
                self._operation(entry)
        needs = self._needs.values()
        return [
            *self._found,
            *((AddDependency(line, unless_there=True), place) for lines, place in needs for line in lines),
        ]

    def _keep(self, operation: Operation) -> None:
        self._found.append((operation, self._index))

    def _operation(self, entry: Any) -> None:
        known = ", ".join(map(repr, _READERS))
        if not isinstance(entry, dict):
            self._wrong(f"found {described(entry)}; a mapping with one of {known} is wanted here")
            return
        _refuse_unknown(self._place, entry, tuple(_READERS), self._findings)
        kinds = [kind for kind in entry if kind in _READERS]
        if not entry:
            self._wrong(f"found an empty mapping; one of {known} is wanted here")
        elif len(kinds) > 1:
            self._wrong(f"{' and '.join(map(repr, kinds))} stand here together; write each as an operation of its own")
        elif kinds:
            self._place = (*self._place, kinds[0])
            _READERS[kinds[0]](self, entry[kinds[0]])

    # ------------------------------------------------------------------------------------------- what is wrong
    def _wrong(self, text: str, *inside: str | int) -> None:
        self._findings.add((*self._place, *inside), text)

    def _is_mapping(self, said: Any, *known: str) -> bool:
        """Whether it is a mapping; keys other than those `known` are refused, unless none are given."""
        if not isinstance(said, dict):
            self._wrong(f"found {described(said)}; a mapping is wanted here")
            return False
        if known:
            _refuse_unknown(self._place, said, known, self._findings)
        return True

    def _text(self, said: Mapping[str, Any], key: str) -> str | None:
        """The text of a key; None, and a problem, when there is none."""
        value = said.get(key)
        if isinstance(value, str) and value.strip():
            return value
        if key in said:
            self._wrong(f"found {described(value)}; an id is wanted here", key)
        else:
            self._wrong(f"{key!r} is missing")
        return None

    def _adopt(self, found: Findings, depth: int = 0) -> bool:
        """Take over what was found in a part of the document, whose places are `depth` too deep; whether it is nothing."""
        for place, _, text in found.listed:
            self._findings.add((*self._place, *place[depth:]), text)
        self._findings.more += found.more
        return not found

    # ------------------------------------------------------------------------------------------- tasks
    def add_task(self, said: Any) -> None:
        """A task in the keys of plan files with its `id`, or as `TaskStar.to_dict` has it."""
        if not self._is_mapping(said):
            return
        if "task_id" in said:
            if plan_keys := [key for key in said if key in (*REQUESTS, "needs")]:
                self._wrong(
                    f"{plan_keys[0]!r} is a key of plan files; with those the id of a task stands as 'id'", "task_id"
                )
                return
            task = self._document("task", said, TaskStar.from_dict) if self._text(said, "task_id") is not None else None
            if task is not None and self._is_sound(task_problems(task)):
                self._keep(AddTask(task))
            return
        task_id = self._text(said, "id")
        if task_id is not None and not _ID.fullmatch(task_id):
            self._wrong(f"found {described(task_id)}: {PATTERNS[ID]}", "id")
            task_id = None
        name, keys, found = task_id or "task", {key: value for key, value in said.items() if key != "id"}, Findings()
        document = validated_plan({"tasks": {name: keys}}, found)
        reader = LinkReader(self._added, found, alone=False)
        reader.read_task(name, keys)
        if not self._adopt(found, 2) or document is None or task_id is None:
            return
        self._keep(AddTask(task_from_keys(task_id, document["tasks"][name])))
        needed = {need if isinstance(need, str) else need["task"] for need in keys.get("needs", ())}
        lines = [
            TaskStarLine(source, task_id, kind, None if condition is None else condition.text, condition)
            for source, _, kind, condition in reader.links
            if source in needed or (source, task_id) not in self._linked
        ]
        self._needs[task_id] = lines, self._index

    def remove_task(self, said: Any) -> None:
        """An id, or a mapping with one."""
        if isinstance(said, dict):
            key = "task_id" if "task_id" in said else "id"
            _refuse_unknown(self._place, said, (key,), self._findings)
            task_id = self._text(said, key)
        else:
            task_id = said if isinstance(said, str) and said.strip() else None
            if task_id is None:
                self._wrong(f"found {described(said)}; the id of a task is wanted here")
        if task_id is not None:
            self._keep(RemoveTask(task_id))
            self._needs.pop(task_id, None)  # of a task of that id that was added before

    def update_task(self, said: Any) -> None:
        """The keys of plan files that change, null for none; or `task_id` and `changes`, by the names of fields."""
        if not self._is_mapping(said):
            return
        if "task_id" in said:
            _refuse_unknown(self._place, said, ("task_id", "changes"), self._findings)
            task_id, changes = self._text(said, "task_id"), said.get("changes")
            fields = read_task_changes((*self._place, "changes"), changes, self._findings)
        else:
            task_id, keys = self._text(said, "id"), {key: value for key, value in said.items() if key != "id"}
            fields = self._changed_keys(keys)
        if task_id is not None and not self._findings:
            self._keep(UpdateTask(task_id, fields))

    def _changed_keys(self, keys: dict[str, Any]) -> dict[str, Any]:
        """What the keys of a plan file come to that change, as fields of a task."""
        if "needs" in keys:
            self._wrong(
                "what a task needs is changed by add_dependency, remove_dependency and update_dependency", "needs"
            )
        cleared = {key for key, value in keys.items() if value is None and key in TaskDocument.__annotations__}
        given = {key: value for key, value in keys.items() if key not in cleared and key != "needs"}
        requests = [key for key in REQUESTS if key in keys]
        if requests and given.keys().isdisjoint(REQUESTS) and not str(given.get("description", "")).strip():
            others = ", ".join(map(repr, REQUESTS))
            reason = (
                f"the task would have nothing to do: give it another of {others}, or a 'description' for its device"
            )
            self._wrong(f"{reason}; remove_task takes it out", requests[0])
        for key in COMMAND_KEYS:  # those that are given are told of below
            if key in keys and key not in given and not requests:
                self._wrong(f"{key!r} goes with 'run' or 'shell' only; a request is changed as a whole", key)
        found = Findings()
        document = validated_plan({"tasks": {"task": given}}, found)
        # That it has nothing to do cannot be said of a part of it.
        LinkReader(self._added, found, alone=False).read_task("task", {**given, "description": "as it was"})
        if not self._adopt(found, 2) or document is None:
            return {}
        return plan_keys_of("task", document["tasks"]["task"], [key for key in keys if key != "needs"])

    # ------------------------------------------------------------------------------------------- links
    def _link(self, said: Any, *more: str) -> LinkName | None:
        """A link's id, or the ids of its ends, beside `more` keys."""
        if isinstance(said, str) and said.strip() and not more:
            return said
        if not isinstance(said, dict):
            self._wrong(f"found {described(said)}; a dependency is wanted here: its id, or 'from' and 'to'")
            return None
        key = "line_id" if "line_id" in said else "id"
        if key in said:
            _refuse_unknown(self._place, said, (key, *more), self._findings)
            return self._text(said, key)
        _refuse_unknown(self._place, said, ("from", "to", "id", *more), self._findings)
        source, target = self._text(said, "from"), self._text(said, "to")
        return None if source is None or target is None else (source, target)

    def _accepted(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """What `on` or `when` say, as fields of a link; nothing when something is wrong."""
        if "on" in said and "when" in said:
            self._wrong("'on' and 'when' exclude each other; a condition can ask for the status itself")
        elif "when" in said:
            try:
                condition = Expression(said["when"])
            except (ValueError, TypeError) as error:
                reason = str(error).partition("\n")[0].rstrip(": ")  # what follows points into the expression
                wrong = f"found {described(said['when'])}; text is wanted here"
                self._wrong(reason if isinstance(said["when"], str) else wrong, "when")
                return {}
            kind = DependencyType.CONDITIONAL
            return {"dependency_type": kind, "condition_evaluator": condition, "condition_description": condition.text}
        else:
            ends = said.get("on", "success")
            if isinstance(ends, str) and ends in ENDS:
                return {"dependency_type": ENDS[ends], "condition_evaluator": None, "condition_description": None}
            self._wrong(f"found {described(ends)}{hint(ends, ENDS)}; allowed are {', '.join(map(repr, ENDS))}", "on")
        return {}

    def add_dependency(self, said: Any) -> None:
        """`from`, `to` and `on` or `when`; or as `TaskStarLine.to_dict` has it."""
        if isinstance(said, dict) and "from_task_id" in said:
            line = self._document("link", said, TaskStarLine.from_dict)
            if line is not None and self._is_sound(line_problems(line)):
                self._keep(AddDependency(line))
        elif self._is_mapping(said, "from", "to", "on", "when", "id"):
            source, target = self._text(said, "from"), self._text(said, "to")
            line_id = self._text(said, "id") if "id" in said else None
            fields = self._accepted(said)
            if source is not None and target is not None and fields:
                line = TaskStarLine(source, target, line_id=line_id, **fields)
                self._keep(AddDependency(line, unless_there=line_id is None))

    def remove_dependency(self, said: Any) -> None:
        """A link's id, or `from` and `to`."""
        link = self._link(said)
        if link is not None:
            self._keep(RemoveDependency(link))

    def update_dependency(self, said: Any) -> None:
        """A link's name, and `on` or `when`; or `changes`, by the names of fields."""
        link = self._link(said, "on", "when", "changes")
        if not isinstance(said, dict):
            return
        if "changes" in said:
            if "on" in said or "when" in said:
                self._wrong("'changes' stands alone: it says what 'on' and 'when' say, too")
            fields = read_line_changes((*self._place, "changes"), said["changes"], self._findings)
        elif "on" in said or "when" in said:
            fields = self._accepted(said)
        else:
            self._wrong("says nothing that changes; give it 'on' or 'when'")
            return
        if link is not None:
            self._keep(UpdateDependency(link, fields))

    # ------------------------------------------------------------------------------------------- the plan
    def replace_plan(self, said: Any) -> None:
        """A plan document, or a constellation as its `to_dict` has it."""
        if not self._is_mapping(said):
            return
        plan: TaskConstellation | None = None
        if "constellation_id" in said or "dependencies" in said:
            plan = self._document("plan", said, TaskConstellation.from_dict)
            if plan is not None and not said.get("constellation_id"):
                plan._id = ""
        else:
            found = Findings()
            checked = checked_plan(said, found)
            if self._adopt(found) and checked is not None:
                plan = checked.to_constellation("")  # of whatever is running
        if plan is not None:
            self._keep(ReplacePlan(plan))

    def _document(self, kind: str, said: dict[str, Any], make: Callable[[Mapping[str, Any]], Made]) -> Made | None:
        """What a document of `to_dict` describes; None, and problems, when it is none."""
        found = Findings()
        document = validated_document(kind, said, found)
        if document is not None:
            tasks = document["tasks"] if kind == "plan" else {"": document} if kind == "task" else {}
            for task_id, keys in tasks.items():  # the shapes leave these two alone
                place: Place = ("tasks", task_id) if kind == "plan" else ()
                read_task_changes(place, {key: keys[key] for key in ("request", "retry") if key in keys}, found)
        if not self._adopt(found) or document is None:
            return None
        try:
            return make(document)
        except DocumentError as error:
            for path, _, text in error.problems:
                self._wrong(f"{path}: {text}" if path else text)
            return None
        except (ValueError, TypeError, AttributeError, LookupError) as error:  # of what makes requests and policies
            self._wrong(str(error) or type(error).__name__)
            return None

    def _is_sound(self, problems: list[str]) -> bool:
        for problem in problems:
            self._wrong(problem)
        return not problems


_READERS: Final[Mapping[str, Callable[[_Reader, Any], None]]] = {
    "add_task": _Reader.add_task,
    "remove_task": _Reader.remove_task,
    "update_task": _Reader.update_task,
    "add_dependency": _Reader.add_dependency,
    "remove_dependency": _Reader.remove_dependency,
    "update_dependency": _Reader.update_dependency,
    "replace_plan": _Reader.replace_plan,
}
