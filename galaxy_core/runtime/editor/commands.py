"""The commands of an editor by name, for programs and language models that choose one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from attrs import frozen


@frozen
class Command:
    """A command of an editor: the method of that name."""

    category: str
    description: str
    is_undoable: bool = True


_TASKS, _LINKS, _BULK, _FILES = "task_management", "dependency_management", "bulk_operations", "file_operations"
COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "add_task": Command(_TASKS, "Add a task"),
        "remove_task": Command(_TASKS, "Take a task that has not started out, with its dependencies"),
        "update_task": Command(_TASKS, "Change fields of a task that has not started"),
        "add_dependency": Command(_LINKS, "Have a task that has not started wait for another"),
        "remove_dependency": Command(_LINKS, "Take a dependency of a task that has not started out"),
        "update_dependency": Command(_LINKS, "Change the type, condition or metadata of a dependency"),
        "build_constellation": Command(_BULK, "Build a plan, in place of what has not started or beside it"),
        "clear_constellation": Command(_BULK, "Take everything that has not started out"),
        "merge_constellation": Command(_BULK, "Add a copy of another plan"),
        "load_constellation": Command(_FILES, "Load a plan from a file, in place of what has not started"),
        "save_constellation": Command(_FILES, "Save the plan to a JSON file"),
    }
)


def described(name: str, editor: object) -> dict[str, Any]:
    """What there is to know of a command, as plain data."""
    command = COMMANDS[name]
    parameters = inspect.signature(getattr(editor, name)).parameters.values()
    return {
        "name": name,
        "description": command.description,
        "category": command.category,
        "is_undoable": command.is_undoable,
        "parameters": [str(parameter).partition(":")[0].partition("=")[0].strip() for parameter in parameters],
    }


def bound(name: str, editor: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
    """The arguments of a command, as its method takes them.

    Raises:
        ValueError: there is no such command, or it does not take them.
    """
    if not isinstance(name, str) or name not in COMMANDS:
        raise ValueError(f"Command {name!r} not found in registry; there are {', '.join(COMMANDS)}")
    try:
        return inspect.signature(getattr(editor, name)).bind(*args, **kwargs)
    except TypeError as error:
        raise ValueError(f"Failed to create command {name}: {error}") from error
