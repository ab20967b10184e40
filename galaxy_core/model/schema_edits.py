"""The shapes of transactions: their JSON Schema, by which editors complete and check them, and language models write them.

Operations are written in the keys of plan files (schema_files.py), or as `to_dict` has tasks, links and plans
(schema.py); the schema is put together of these shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from galaxy_core.model.condition import Expression
from galaxy_core.model.dependency import DependencyType
from galaxy_core.model.device import DeviceType
from galaxy_core.model.explain import explain
from galaxy_core.model.places import Findings, Place
from galaxy_core.model.policy import Effect, TaskPriority
from galaxy_core.model.schema import TaskConstellationSchema, TaskStarLineSchema, TaskStarSchema
from galaxy_core.model.schema_files import ID, plan_json_schema

_MODELS: Final[Mapping[str, type[BaseModel]]] = {
    "task": TaskStarSchema,
    "link": TaskStarLineSchema,
    "plan": TaskConstellationSchema,
}
_PARTS: Final[Mapping[str, type[BaseModel]]] = {"tasks": TaskStarSchema, "dependencies": TaskStarLineSchema}


def validated_document(kind: str, data: dict[str, Any], findings: Findings) -> dict[str, Any] | None:
    """`data` as the `to_dict` of a "task", "link" or "plan" gives it; None, and findings, when it is nothing of the kind."""
    model = _MODELS[kind]
    # What is nothing need not be written.
    data = {"name": "", "description": "", **data} if kind == "task" else data

    def keys_at(place: Place) -> list[str]:
        part = model if not place else _PARTS.get(str(place[0])) if len(place) == 2 else None
        return [] if part is None else list(part.model_fields)

    try:
        return model.model_validate(data).model_dump(by_alias=True)
    except ValidationError as error:
        explain(error.errors(include_url=False), keys_at, {}, findings)
        return None


_TEXT: Final = {"type": "string"}
_SOME_TEXT: Final = {"type": "string", "pattern": r"\S"}
_ENDS: Final = {"from": _SOME_TEXT, "to": _SOME_TEXT}
_ACCEPTED: Final = {
    "on": {
        "enum": ["success", "completion", "always"],
        "description": "The ends of `from` that let `to` run; the default is success.",
    },
    "when": {
        "type": "string",
        "minLength": 1,
        "maxLength": Expression.MAX_LENGTH,
        "description": "A JMESPath condition over status, exit_code, stdout, stderr, value, json and error of `from`, as "
        "in: exit_code == `0`",
    },
}
_NOT_BOTH: Final = {"not": {"required": ["on", "when"]}}


def transaction_json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of transactions."""
    plan = plan_json_schema()
    definitions = plan.pop("$defs")
    dialect = plan.pop("$schema")
    whole = TaskConstellationSchema.model_json_schema(ref_template="#/$defs/{model}")
    definitions |= whole.pop("$defs")
    definitions |= {
        "PlanDocument": plan,
        "TaskConstellationSchema": _any_form(whole, "constellation_id", tasks="array", dependencies="array"),
        "TaskStarSchema": _any_form(definitions["TaskStarSchema"], "task_id", priority="integer"),
        "AddedTask": _added_task(definitions["TaskDocument"]),
        "ChangedTask": _changed_task(definitions["TaskDocument"]),
    }
    return {
        "$schema": dialect,
        "title": "Galaxy transaction",
        "description": "Operations on a plan that take effect together, or not at all.",
        **_object(
            {
                "base_revision": {
                    "type": ["integer", "null"],
                    "minimum": 0,
                    "description": "The revision of the plan that the operations are meant for: what they touch must not "
                    "have been edited since. Without one they are judged by the plan as it is.",
                },
                "description": {"type": ["string", "null"], "description": "What the edit is for, in words."},
                "author": {"type": ["string", "null"], "description": "Who proposes it."},
                "operations": {"type": "array", "items": {"anyOf": _operations()}},
            },
            "operations",
        ),
        "$defs": definitions,
    }


def _any_form(schema: Mapping[str, Any], required: str, **more: str) -> dict[str, Any]:
    """The schema of a model, with the other types that its keys are read from, and the one key that it insists on."""
    properties = dict(schema["properties"])
    for key, other in more.items():
        properties[key] = {"anyOf": [properties[key], {"type": other}]}
    return {**schema, "properties": properties, "required": [required]}


def _added_task(task: Mapping[str, Any]) -> dict[str, Any]:
    task_id = {"type": "string", "pattern": ID, "description": "The id of the task: one that no other task has."}
    return {**task, "properties": {"id": task_id, **task["properties"]}, "required": ["id"]}


def _changed_task(task: Mapping[str, Any]) -> dict[str, Any]:
    keys = {key: {"anyOf": [shape, {"type": "null"}]} for key, shape in task["properties"].items() if key != "needs"}
    return {
        "description": "The keys that change; null for one that is to say nothing. What a task runs is changed as a whole.",
        **_object({"id": {**_SOME_TEXT, "description": "The id of the task."}, **keys}, "id"),
    }


def _operations() -> list[dict[str, Any]]:
    by_ends, by_id = _object(_ENDS, "from", "to"), _object({"id": _SOME_TEXT}, "id")
    one = {"description": "Which one: its id, or the ids of its tasks, when it is the only one between them."}
    added = _object({**_ENDS, **_ACCEPTED, "id": _SOME_TEXT}, "from", "to") | _NOT_BOTH
    says = {"anyOf": [{"required": ["on"]}, {"required": ["when"]}]}
    changed = [_object({**name, **_ACCEPTED}, *name) | _NOT_BOTH | says for name in (_ENDS, {"id": _SOME_TEXT})]
    fields = {"changes": _object(_LINE_FIELDS)}
    changed += [_object({**name, **fields}, *name, "changes") for name in (_ENDS, {"id": _SOME_TEXT})]
    changed_task = _object({"task_id": _TEXT, "changes": _object(_TASK_FIELDS)}, "task_id", "changes")
    return [
        _one("add_task", "Add a task, with the links that it needs.", _ref("AddedTask"), _ref("TaskStarSchema")),
        _one("remove_task", "Take a task out, by its id, with its links.", _SOME_TEXT, by_id),
        _one("update_task", "Change what a task says.", _ref("ChangedTask"), changed_task),
        _one("add_dependency", "Have the task `to` wait for the task `from`.", added, _ref("TaskStarLineSchema")),
        _one("remove_dependency", "Take a link out.", _SOME_TEXT | one, by_ends | one, by_id | one),
        _one("update_dependency", "Change which ends of its prerequisite a link accepts.", *changed),
        _one(
            "replace_plan",
            "Make the plan what this one says, as far as it has not started.",
            _ref("PlanDocument"),
            _ref("TaskConstellationSchema"),
        ),
    ]


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _one(kind: str, description: str, *shapes: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, **_object({kind: {"anyOf": list(shapes)}}, kind)}


def _object(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def _or_null(*types: str) -> dict[str, Any]:
    return {"type": [*types, "null"]}


def _names(*names: str) -> dict[str, Any]:
    return {"enum": [*names, None]}


_LIST: Final = {"type": ["array", "null"], "items": _TEXT}
#: The fields of `UpdateTask` and `UpdateDependency`, as `transaction_to_dict` writes them.
_TASK_FIELDS: Final[Mapping[str, Any]] = {
    "name": _or_null("string"),
    "description": _or_null("string"),
    "tips": _LIST,
    "target_device_id": _or_null("string"),
    "device_type": _names(*(member.value for member in DeviceType)),
    "priority": _names(*(member.name.lower() for member in TaskPriority)),
    "timeout": _or_null("number"),
    "retry_count": _or_null("integer"),
    "task_data": _or_null("object"),
    "expected_output_type": _or_null("string"),
    "request": _or_null("object"),
    "requires": _LIST,
    "effect": _names(*(member.value for member in Effect)),
    "retry": _or_null("object"),
    "estimate_s": _or_null("number"),
}
_LINE_FIELDS: Final[Mapping[str, Any]] = {
    "dependency_type": _names(*(member.value for member in DependencyType)),
    "condition_description": _or_null("string"),
    "condition_evaluator": _or_null("string"),
    "metadata": _or_null("object"),
}
