"""Plan files: `load_plan`, `parse_plan`, and the `Plan` that they give. See docs/reference/plan-files.md."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import field, frozen

from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.device import DeviceType
from galaxy_core.model.edits import TASK_FIELDS
from galaxy_core.model.places import Findings
from galaxy_core.model.plan_links import COMMAND_KEYS, Link, LinkReader, find_cycles
from galaxy_core.model.policy import DEFAULT_RETRY, Effect, RetryPolicy, TaskPriority
from galaxy_core.model.request import Command, Request
from galaxy_core.model.schema_files import validated_plan
from galaxy_core.model.source import MAX_BYTES, Source, collector_paused, find_foreign, parse, read_source, text_source
from galaxy_core.model.spec_documents import REQUEST_KEYS, request_from_dict
from galaxy_core.model.task import TaskStar
from galaxy_core.model.values import copied

#: Tasks of a plan, unless the caller says otherwise.
MAX_TASKS: Final = 250_000

_PRIORITIES: Final = {priority.name.lower(): priority for priority in TaskPriority}
_EFFECTS: Final = {effect.value: effect for effect in Effect}
_DEVICE_TYPES: Final = {kind.value: kind for kind in DeviceType}
_COMMAND_KEYS: Final = frozenset(COMMAND_KEYS)


@frozen
class Plan:
    """A plan document that has been checked. `tasks` has the keys of the file, and is not to be changed.

    `extensions` is what the document tells plugins, plain data by the plugin's name.
    """

    tasks: Mapping[str, Mapping[str, Any]]
    name: str | None = None
    strategy: str | None = None
    description: str | None = None
    extensions: Mapping[str, Any] | None = None
    _links: list[Link] = field(factory=list, repr=False)

    def to_constellation(self, constellation_id: str | None = None) -> TaskConstellation:
        """A new constellation of the plan. Its metadata has the plan's strategy, description and extensions, if any."""
        metadata = {"strategy": self.strategy, "description": self.description, "extensions": self.extensions}
        with collector_paused():
            reader = _TaskReader()
            return TaskConstellation.build(
                [reader.task(task_id, keys) for task_id, keys in self.tasks.items()],
                [
                    TaskStarLine(source, target, kind, None if condition is None else condition.text, condition)
                    for source, target, kind, condition in self._links
                ],
                constellation_id=constellation_id,
                name=self.name,
                metadata={key: value for key, value in metadata.items() if value is not None},
            )


class _TaskReader:
    """Makes tasks of documents; equal retry policies and sets of capabilities are one object."""

    def __init__(self) -> None:
        self._retries: dict[tuple[Any, ...], RetryPolicy] = {}
        self._capabilities: dict[tuple[str, ...], frozenset[str]] = {}

    def task(self, task_id: str, keys: Mapping[str, Any]) -> TaskStar:
        get = keys.get
        device_type = get("device_type")
        retry = get("retry")
        requires = get("requires")
        return TaskStar(
            task_id,
            get("name", task_id).strip() or task_id,
            get("description", ""),
            get("tips"),
            get("device"),
            None if device_type is None else _DEVICE_TYPES[device_type],
            _PRIORITIES[get("priority", "medium")],
            get("timeout_s"),
            0 if retry is None else retry["count"],
            get("data"),
            request=_request(keys),
            requires=() if requires is None else self._capability_set(requires),
            effect=_EFFECTS[get("effect", "once")],
            retry=DEFAULT_RETRY if retry is None else self._retry(retry),
            estimate_s=get("estimate_s"),
        )

    def _capability_set(self, names: list[str]) -> frozenset[str]:
        key = tuple(names)
        if key not in self._capabilities:
            self._capabilities[key] = frozenset(names)
        return self._capabilities[key]

    def _retry(self, keys: Mapping[str, Any]) -> RetryPolicy:
        chosen = {name: value for name, value in keys.items() if name != "count"}
        if not chosen:
            return DEFAULT_RETRY
        key = tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in chosen.items())
        if key not in self._retries:
            policy = RetryPolicy(**chosen)
            self._retries[key] = DEFAULT_RETRY if policy == DEFAULT_RETRY else policy
        return self._retries[key]


def task_from_keys(task_id: str, keys: Mapping[str, Any]) -> TaskStar:
    """A task of the keys of a plan file, which have been checked."""
    return _TaskReader().task(task_id, keys)


#: The keys of a plan file, and the arguments of `TaskStar` that they give.
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("run", "shell", "action", *COMMAND_KEYS), ("request",)),
    "device": ("target_device_id",),
    "timeout_s": ("timeout",),
    "data": ("task_data",),
    "retry": ("retry_count", "retry"),
}


def plan_keys_of(task_id: str, keys: Mapping[str, Any], given: Iterable[str]) -> dict[str, Any]:
    """Of a task of these keys, which have been checked, the arguments that the `given` keys stand for."""
    task = task_from_keys(task_id, keys)
    names = [name for key in given for name in _FIELDS.get(key, (key,))]
    said = {name: getattr(task, TASK_FIELDS[name]) for name in names if name in TASK_FIELDS}
    if "name" in said and keys.get("name") is None:
        said["name"] = ""
    return said


def _request(keys: Mapping[str, Any]) -> Request | None:
    run = keys.get("run")
    # Most requests are plain argument lists, and are worth a shorter way.
    if run is not None and dict not in map(type, run) and _COMMAND_KEYS.isdisjoint(keys):
        return Command(run)
    if run is None and "shell" not in keys and "action" not in keys:
        return None
    return request_from_dict({key: keys[key] for key in REQUEST_KEYS if key in keys})


def parse_plan(
    data: Mapping[str, Any] | str,
    format: str = "yaml",
    source: str = "<text>",
    *,
    max_bytes: int = MAX_BYTES,
    max_tasks: int = MAX_TASKS,
) -> Plan:
    """The plan of a text in `format` ("yaml", "json", "toml"), or of data that has been parsed already.

    `source` names it in errors.

    Raises:
        DocumentError: it is not a plan; all that is wrong with it is listed, with places.
    """
    if isinstance(data, str):
        return _checked(text_source(data, format, source, max_bytes), None, max_tasks)
    return _checked(Source(source, format), dict(data), max_tasks)


def load_plan(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES, max_tasks: int = MAX_TASKS) -> Plan:
    """The plan of a YAML, JSON or TOML file.

    Raises:
        DocumentError: it is not a plan; all that is wrong with it is listed, with places.
        OSError: it cannot be read; FileNotFoundError when there is none.
    """
    return _checked(read_source(path, max_bytes), None, max_tasks)


def _checked(source: Source, data: dict[str, Any] | None, max_tasks: int) -> Plan:
    if data is None:
        data = parse(source, "a plan")
    if "devices" in data and "tasks" not in data:
        raise source.refuse_whole("is an inventory, not a plan: it has 'devices', and no 'tasks'")
    findings = Findings()
    with collector_paused():
        plan = checked_plan(data, findings, max_tasks)
    if plan is None:
        raise source.refuse(findings)
    return plan


def checked_plan(data: dict[str, Any], findings: Findings, max_tasks: int = MAX_TASKS) -> Plan | None:
    """The plan of a document that has been parsed; None, and findings, when it is not one."""
    tasks = data.get("tasks")
    if isinstance(tasks, dict) and len(tasks) > max_tasks:
        findings.add(
            (),
            f"has {len(tasks):,} tasks, more than the {max_tasks:,} that are read; if it is meant to, raise max_tasks in Python",
        )
        return None
    document = validated_plan(data, findings)
    if "extensions" in data:
        find_foreign(("extensions",), data["extensions"], findings)
    links: list[Link] = []
    if isinstance(tasks, dict):
        reader = LinkReader(tasks, findings)
        links = reader.read()
        if not reader.in_order and not findings.stopped:
            find_cycles(tasks, links, findings)
    if document is None or findings:
        return None
    extensions = document.get("extensions")
    about = (document.get("name"), document.get("strategy"), document.get("description"))
    return Plan(document["tasks"], *about, None if extensions is None else copied(extensions), links)
