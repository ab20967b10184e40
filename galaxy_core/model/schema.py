"""The pydantic documents of tasks, links and constellations, for those who speak pydantic: language-model agents, web APIs.

They hold exactly what `to_dict` gives, with the names of enums in upper case, and are stricter than `from_dict`:
unknown keys, unknown names and values of other types are refused.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from galaxy_core.model.condition import Expression
from galaxy_core.model.constellation import ConstellationState
from galaxy_core.model.dependency import DependencyType
from galaxy_core.model.device import DeviceType
from galaxy_core.model.policy import TaskPriority
from galaxy_core.model.result import TaskStatus


def _task_id() -> str:
    return f"task_{uuid.uuid4().hex[:8]}"


def _line_id() -> str:
    return f"line_{uuid.uuid4().hex[:8]}"


def _constellation_id() -> str:
    # The host's own time, as people read it; the hexadecimal digits are what makes it unique.
    return f"constellation_{uuid.uuid4().hex[:8]}_{datetime.now().astimezone():%Y%m%d_%H%M%S}"


def _upper_case(names: type[Enum]) -> BeforeValidator:
    """Takes a member, its value, or its name in any case; gives the name."""

    def convert(found: Any) -> Any:
        for member in names:
            if found is member or found == member.value or (isinstance(found, str) and found.upper() == member.name):
                return member.name
        raise ValueError(f"{found!r} is not one of {', '.join(names.__members__)}")

    return BeforeValidator(convert)


def _or_new(make: Callable[[], str]) -> BeforeValidator:
    return BeforeValidator(lambda found: make() if found is None or found == "" else found)


class Schema(BaseModel):
    """A document whose keys in `RARE` are written only when they were given."""

    model_config = ConfigDict(strict=True, extra="forbid")
    RARE: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = handler(self)
        for key in self.RARE - self.model_fields_set:
            document.pop(key, None)
        return document


class TaskStarSchema(Schema):
    """A task, as `TaskStar.to_dict` gives it."""

    RARE = frozenset({"effect", "requires", "request", "retry", "estimate_s", "pinned", "attempts", "task_description"})

    task_id: Annotated[str, _or_new(_task_id)] = Field(default_factory=_task_id)
    name: str
    description: str
    tips: list[str] | None = None
    task_description: str | None = None
    target_device_id: str | None = None
    device_type: Annotated[str, _upper_case(DeviceType)] | None = None
    priority: Annotated[str, _upper_case(TaskPriority)] = "MEDIUM"
    status: Annotated[str, _upper_case(TaskStatus)] = "PENDING"
    result: Any = None
    error: str | None = None
    timeout: float | None = None
    retry_count: int = 0
    current_retry: int = 0
    task_data: dict[str, Any] = Field(default_factory=dict)
    expected_output_type: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    execution_start_time: str | None = None
    execution_end_time: str | None = None
    execution_duration: float | None = None
    dependencies: list[str] = Field(default_factory=list)
    dependents: list[str] = Field(default_factory=list)
    effect: str = "once"
    requires: list[str] = Field(default_factory=list)
    request: dict[str, Any] | None = None
    retry: dict[str, Any] | None = None
    estimate_s: float | None = None
    pinned: bool = True
    attempts: int | None = None


class TaskStarLineSchema(Schema):
    """A link, as `TaskStarLine.to_dict` gives it."""

    RARE = frozenset({"condition_expression", "condition_lost", "withheld"})

    line_id: Annotated[str, _or_new(_line_id)] = Field(default_factory=_line_id)
    from_task_id: str
    to_task_id: str
    dependency_type: Annotated[str, _upper_case(DependencyType)] = "UNCONDITIONAL"
    condition_description: str | None = None
    condition_expression: str | None = None
    condition_lost: bool = Field(default=False, description="Whether its condition was a Python function.")
    metadata: dict[str, Any] = Field(default_factory=dict)
    is_satisfied: bool = False
    last_evaluation_result: Any = None
    last_evaluation_time: str | None = None
    withheld: bool = Field(default=False, description="Whether it refuses its dependent, which nobody has skipped yet.")
    created_at: str | None = None
    updated_at: str | None = None

    @field_validator("condition_expression")
    @classmethod
    def _is_an_expression(cls, text: str | None) -> str | None:
        if text is not None:
            Expression(text)  # raises a ValueError that says what is wrong with it
        return text


def _by_id(found: Any, key: str, make: Callable[[], str]) -> Any:
    """Entries of a list or dictionary as a dictionary by id; those without an id get one.

    Raises:
        ValueError: an id stands twice, or an entry under another id than its own.
    """
    if isinstance(found, Mapping):
        entries: Iterable[tuple[Any, Any]] = found.items()
    elif isinstance(found, (list, tuple)):
        entries = ((None, entry) for entry in found)
    else:
        return found  # pydantic says what is wrong with it
    ids: dict[Any, Any] = {}
    unnamed = []
    for place, entry in entries:
        own = entry.get(key) if isinstance(entry, Mapping) else getattr(entry, key, None)
        entry_id = own or place
        if entry_id in ids:
            raise ValueError(f"Duplicate {key} found: {entry_id}")
        if place is not None and entry_id != place:
            raise ValueError(f"{place!r} stands for an entry whose {key} is {entry_id!r}; make them equal")
        if entry_id is None:
            unnamed.append(entry)
        else:
            ids[entry_id] = entry if own or not isinstance(entry, Mapping) else {**entry, key: entry_id}
    for entry in unnamed:
        new = make()
        while new in ids:
            new = make()
        ids[new] = {**entry, key: new} if isinstance(entry, Mapping) else entry
    return ids


class TaskConstellationSchema(Schema):
    """A constellation, as `TaskConstellation.to_dict` gives it; its tasks and links may also be given as lists."""

    RARE = frozenset({"revision"})

    constellation_id: Annotated[str, _or_new(_constellation_id)] = Field(default_factory=_constellation_id)
    name: str | None = None
    state: Annotated[str, _upper_case(ConstellationState)] = "CREATED"
    tasks: dict[str, TaskStarSchema] = Field(default_factory=dict)
    dependencies: dict[str, TaskStarLineSchema] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)
    created_at: str | None = None
    updated_at: str | None = None
    execution_start_time: str | None = None
    execution_end_time: str | None = None
    execution_duration: float | None = None
    revision: int = 0

    @field_validator("tasks", mode="before")
    @classmethod
    def _tasks_by_id(cls, found: Any) -> Any:
        return _by_id(found, "task_id", _task_id)

    @field_validator("dependencies", mode="before")
    @classmethod
    def _dependencies_by_id(cls, found: Any) -> Any:
        return _by_id(found, "line_id", _line_id)

    def get_tasks_as_list(self) -> list[TaskStarSchema]:
        """The tasks, in the order of the document."""
        return list(self.tasks.values())

    def get_dependencies_as_list(self) -> list[TaskStarLineSchema]:
        """The links, in the order of the document."""
        return list(self.dependencies.values())

    def to_dict_with_lists(self) -> dict[str, Any]:
        """The document with tasks and links as lists, which language models write more easily than dictionaries."""
        document = self.model_dump(by_alias=True)
        document["tasks"] = list(document["tasks"].values())
        document["dependencies"] = list(document["dependencies"].values())
        return document
