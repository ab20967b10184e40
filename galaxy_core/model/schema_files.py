"""The shapes of plan files, for pydantic: what is checked key by key, and what editors are told.

What a shape cannot say, that a prerequisite exists or that a plan has no cycle, is checked in plan_links.py.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import ConfigDict, Discriminator, Field, StringConstraints, Tag, TypeAdapter, ValidationError, with_config
from pydantic.json_schema import GenerateJsonSchema

from galaxy_core.model.condition import Expression
from galaxy_core.model.explain import explain
from galaxy_core.model.places import Findings
from galaxy_core.model.plan_links import COMMAND_KEYS, REQUESTS

if sys.version_info >= (3, 12):
    from typing import TypedDict
else:  # pydantic reads the typing_extensions form alone there, and brings that package
    from typing_extensions import TypedDict

_CONTROL: Final = r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # all but tab and newline

# Named, because the sentences for what does not match are found by pattern (explain.py).
ID: Final = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$"
TEXT: Final = rf"^[^{_CONTROL}]*$"
NAME: Final = rf"^[^\t\n{_CONTROL}]+$"
NO_NUL: Final = r"^[^\x00]*$"
ENVIRONMENT_NAME: Final = rf"^[^=\t\n{_CONTROL}]+$"
# Components with "/" between them, none of which is "." or "..".
_COMPONENT: Final = rf"(\.{{0,2}}[^./\\:\t\n{_CONTROL}][^/\\:\t\n{_CONTROL}]*|\.{{3,}}[^/\\:\t\n{_CONTROL}]*)"
FILE_NAME: Final = rf"^{_COMPONENT}(/{_COMPONENT})*$"
# For editors; plan_links.py says more about what does not match.
FILE_REFERENCE_VALUE: Final = r"^(value|json\.[\s\S]+|file\.[\s\S]+)$"
REFERENCE_VALUE: Final = r"^(stdout|stderr|exit_code|status|value|json|json\.[\s\S]+|file\.[\s\S]+)$"

PATTERNS: Final[Mapping[str, str]] = {
    ID: "an id has up to 128 letters, digits, '_', '-' and '.', and does not begin with '.'",
    TEXT: "control characters other than tab and newline cannot stand here",
    NAME: "text of one line is wanted, not empty and without control characters",
    NO_NUL: "the character NUL cannot stand here",
    ENVIRONMENT_NAME: "the name of an environment variable is not empty and has neither '=' nor control characters",
    FILE_NAME: "the name of a file inside the working directory is wanted: parts separated by '/', none of them '.' or "
    "'..', without '\\' and ':'",
}

Id = Annotated[str, StringConstraints(pattern=ID)]
Text = Annotated[str, StringConstraints(pattern=TEXT)]
Name = Annotated[str, StringConstraints(pattern=NAME)]
FileName = Annotated[str, StringConstraints(pattern=FILE_NAME)]
DeviceTypeName = Literal["windows", "macos", "linux", "android", "ios", "web", "api"]

# Tags of unions stand in the places that pydantic reports; no key of a document begins like this.
_TEXT_TAG, _REFERENCE_TAG, _NEED_TAG = "\0text", "\0reference", "\0need"


def _text_or_reference(value: Any) -> str | None:
    return _TEXT_TAG if type(value) is str else _REFERENCE_TAG if isinstance(value, dict) else None


def _id_or_need(value: Any) -> str | None:
    return _TEXT_TAG if type(value) is str else _NEED_TAG if isinstance(value, dict) else None


def config(**extra: Any) -> ConfigDict:
    """How a mapping of a document is read: strictly, and with no other keys; `extra` goes into its JSON Schema."""
    return ConfigDict(strict=True, extra="forbid", json_schema_extra=extra)


# In this form because `from` cannot be the name of a class attribute.
Reference = TypedDict(
    "Reference",
    {
        "from": Annotated[Id, Field(description="The id of the task whose output is taken.")],
        "value": NotRequired[
            Annotated[
                str,
                Field(
                    json_schema_extra={"default": "stdout", "pattern": REFERENCE_VALUE},
                    description="stdout, stderr, exit_code, status, value, json, json.PATH (a JMESPath expression "
                    "into the parsed output) or file.NAME (a collected file). By default stdout.",
                ),
            ]
        ],
    },
)
Reference.__pydantic_config__ = config(  # type: ignore[attr-defined]
    description="Another task's output. It implies the need of that task."
)

FileReference = TypedDict(
    "FileReference",
    {
        "from": Annotated[Id, Field(description="The id of the task whose file is taken.")],
        "value": Annotated[
            str,
            Field(
                json_schema_extra={"pattern": FILE_REFERENCE_VALUE},
                description="file.NAME (a collected file), or value or json.PATH where these hold the path of a file.",
            ),
        ],
    },
)
FileReference.__pydantic_config__ = config(  # type: ignore[attr-defined]
    description="A file of another task. It implies the need of that task."
)

_REFERENCE_OR = Discriminator(_text_or_reference, custom_error_type="text_or_reference", custom_error_message="?")
_AReference = Annotated[Reference, Tag(_REFERENCE_TAG)]
Argument = Annotated[Annotated[Text, Tag(_TEXT_TAG)] | _AReference, _REFERENCE_OR]
EnvironmentValue = Annotated[
    Annotated[str, StringConstraints(pattern=NO_NUL), Tag(_TEXT_TAG)] | _AReference, _REFERENCE_OR
]
Input = Annotated[Annotated[str, Tag(_TEXT_TAG)] | _AReference, _REFERENCE_OR]
File = Annotated[Annotated[Name, Tag(_TEXT_TAG)] | Annotated[FileReference, Tag(_REFERENCE_TAG)], _REFERENCE_OR]


@with_config(config(title="Need", **{"not": {"required": ["on", "when"]}}))
class Need(TypedDict):
    """A prerequisite, and which of its ends let this task run."""

    task: Annotated[Id, Field(description="The id of the prerequisite.")]
    on: NotRequired[
        Annotated[
            Literal["success", "completion", "always"],
            Field(
                json_schema_extra={"default": "success"},
                description="The ends that let this task run; the default is success.",
            ),
        ]
    ]
    when: NotRequired[
        Annotated[
            str,
            Field(
                json_schema_extra={"minLength": 1, "maxLength": Expression.MAX_LENGTH},
                description="A JMESPath condition over status, exit_code, stdout, stderr, value, json and error of "
                "the prerequisite, as in: exit_code == `0`",
            ),
        ]
    ]


@with_config(config(title="Retry"))
class Retry(TypedDict):
    """How often and when a task is tried again."""

    count: Annotated[int, Field(ge=0, description="Attempts after the first.")]
    backoff_s: NotRequired[
        Annotated[float, Field(ge=0, allow_inf_nan=False, description="Seconds before the first of them.")]
    ]
    factor: NotRequired[
        Annotated[float, Field(ge=1, allow_inf_nan=False, description="Each wait is this many times the one before.")]
    ]
    max_backoff_s: NotRequired[
        Annotated[float, Field(ge=0, allow_inf_nan=False, description="No wait is longer, in seconds.")]
    ]
    jitter: NotRequired[
        Annotated[float, Field(ge=0, le=1, description="The part of a wait that is left to chance, 0 to 1.")]
    ]
    on: NotRequired[
        Annotated[
            list[Literal["failed", "timeout", "refused"]],
            Field(min_length=1, description="The ends after which it is tried again; by default all of them."),
        ]
    ]


def _has(key: str) -> dict[str, list[str]]:
    return {"required": [key]}


_ONE_REQUEST: Final = {
    "oneOf": [
        *map(_has, REQUESTS),
        {
            **_has("description"),
            "properties": {"description": {"pattern": r"\S"}},
            "not": {"anyOf": [*map(_has, REQUESTS)]},
        },
    ],
    "dependentSchemas": {key: {"anyOf": [_has("run"), _has("shell")]} for key in COMMAND_KEYS},
}


@with_config(config(title="Task", **_ONE_REQUEST))
class TaskDocument(TypedDict, total=False):
    """One task: exactly one of run, shell and action, or a description alone for devices that read it."""

    run: Annotated[
        list[Argument],
        Field(
            min_length=1,
            description="A program and its arguments, each text or a reference. Nothing is quoted by hand.",
        ),
    ]
    shell: Annotated[
        Text, Field(min_length=1, description="Text for the device's shell. Nothing is ever substituted in it.")
    ]
    action: Annotated[
        dict[Name, dict[str, Any]],
        Field(
            min_length=1,
            max_length=1,
            description="A request of the transport's own: its name, and its arguments, each a value or a reference.",
        ),
    ]
    name: Annotated[Name, Field(description="For people; by default the id.")]
    description: Annotated[Text, Field(description="What the task does, or is to do, in words.")]
    tips: Annotated[list[Text], Field(description="Hints for whoever does it.")]
    cwd: Annotated[Name, Field(description="The working directory on the device.")]
    env: Annotated[
        dict[Annotated[str, StringConstraints(pattern=ENVIRONMENT_NAME)], EnvironmentValue],
        Field(description="Environment variables, each text or a reference."),
    ]
    stdin: Annotated[Input, Field(description="What the command reads: text or a reference.")]
    files: Annotated[
        dict[FileName, File],
        Field(
            description="Files that are put into the working directory before the start: by their names there, paths on "
            "this machine or references to files of other tasks."
        ),
    ]
    outputs: Annotated[
        list[FileName], Field(description="Names of files to collect from the working directory afterwards.")
    ]
    device: Annotated[Id, Field(description="The id of the one device that this task may run on.")]
    device_type: Annotated[DeviceTypeName, Field(description="The platform that it needs.")]
    requires: Annotated[list[Name], Field(description="Capabilities that its device must have.")]
    needs: Annotated[
        list[
            Annotated[
                Annotated[Id, Tag(_TEXT_TAG)] | Annotated[Need, Tag(_NEED_TAG)],
                Discriminator(_id_or_need, custom_error_type="id_or_need", custom_error_message="?"),
            ]
        ],
        Field(description="Prerequisites: ids, or mappings that say which of their ends count."),
    ]
    priority: Annotated[
        Literal["low", "medium", "high", "critical"],
        Field(
            json_schema_extra={"default": "medium"}, description="Among tasks that are ready, higher ones start first."
        ),
    ]
    timeout_s: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="Seconds that one attempt may take; no limit by default.")
    ]
    retry: Retry
    effect: Annotated[
        Literal["read", "idempotent", "once"],
        Field(
            json_schema_extra={"default": "once"},
            description="What running it again would do: nothing (read), the same (idempotent), or harm (once). "
            "A task whose outcome is not known is run again unless it is `once`.",
        ),
    ]
    estimate_s: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="Expected seconds, for strategies and predictions.")
    ]
    data: Annotated[dict[str, Any], Field(description="Data that goes to the device with the description.")]


@with_config(config(title="Galaxy plan"))
class PlanDocument(TypedDict):
    """A plan: tasks, and what each of them needs."""

    name: NotRequired[Annotated[Name, Field(description="For people.")]]
    strategy: NotRequired[
        Annotated[
            Name, Field(description="What assigns devices, such as load_balance; the command line can override it.")
        ]
    ]
    description: NotRequired[Annotated[Text, Field(description="What the plan is for, in words.")]]
    tasks: Annotated[dict[Id, TaskDocument], Field(description="Tasks by id.")]
    extensions: NotRequired[
        Annotated[
            dict[Name, Any],
            Field(description="What plugins are told, by the plugin's name. What a plugin declares of it is checked."),
        ]
    ]


_PLAN: Final = TypeAdapter[PlanDocument](PlanDocument)

_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "plan": tuple(PlanDocument.__annotations__),
    "task": tuple(TaskDocument.__annotations__),
    "retry": tuple(Retry.__annotations__),
    _NEED_TAG: tuple(Need.__annotations__),
    _REFERENCE_TAG: ("from", "value"),
}


def _keys_at(root: str, item: str, place: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys that a mapping may have, by its place as pydantic reports it."""
    if len(place) <= 2:
        return _KEYS[root if not place else item]
    return _KEYS.get(str(place[-1]), ())


#: Tasks that pydantic gets to see at once: it keeps all that is wrong with them in memory before it tells any of it.
_AT_ONCE: Final = 1000


def validated_plan(data: dict[str, Any], findings: Findings) -> PlanDocument | None:
    """`data` as a plan of the right shape; None, and findings, when it is not one."""
    tasks = data.get("tasks")
    if type(tasks) is not dict or len(tasks) <= _AT_ONCE:
        return _validated_plan(data, findings)
    document = _validated_plan({**data, "tasks": {}}, findings)
    checked: dict[str, TaskDocument] = {}
    entries = iter(tasks.items())
    while (some := dict(islice(entries, _AT_ONCE))) and not findings.stops():
        part = _validated_plan({"tasks": some}, findings)
        if part is None:
            document = None
        else:
            checked.update(part["tasks"])
    if document is not None:
        document["tasks"] = checked
    return document


def _validated_plan(data: dict[str, Any], findings: Findings) -> PlanDocument | None:
    try:
        return _PLAN.validate_python(data)
    except ValidationError as error:
        explain(error.errors(include_url=False), lambda place: _keys_at("plan", "task", place), PATTERNS, findings)
        return None


class _JsonSchema(GenerateJsonSchema):
    """Mappings whose keys have a pattern take no other keys, and nothing has a title that repeats its name."""

    def dict_schema(self, schema: Any) -> dict[str, Any]:
        found = super().dict_schema(schema)
        if "patternProperties" in found:
            found["additionalProperties"] = False
        return found

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema_of(adapter: TypeAdapter[Any]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a kind of document."""
    schema = adapter.json_schema(schema_generator=_JsonSchema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def plan_json_schema(extensions: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The JSON Schema (2020-12) of plan files, by which editors complete and check them.

    `extensions` are pydantic models of what plans tell plugins, by key (`extension_models`); other keys take anything.
    """
    schema = json_schema_of(_PLAN)
    if extensions:
        told = schema["properties"]["extensions"]
        for number, (name, model) in enumerate(extensions.items(), 1):  # a name may be no part of a reference
            of_model = model.model_json_schema(ref_template=f"#/$defs/Extension{number}.{{model}}")
            shapes = of_model.pop("$defs", {}).items()
            schema["$defs"] |= {f"Extension{number}.{key}": shape for key, shape in shapes}
            told.setdefault("properties", {})[name] = of_model
    return schema
