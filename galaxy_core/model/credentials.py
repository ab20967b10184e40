"""Credentials that stand in a plan as themselves: a plan is shared, so they belong in the inventory, by reference.

A name is all there is to go by. What is found is refused, also when it is no secret after all: the remedy serves both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from galaxy_core.model.places import Findings, Place

#: Keys of a task that may hold some.
SECRETIVE: Final = frozenset({"env", "action"})
#: What the name of an argument or variable is, or what its last words are, if it holds a credential.
_NAME: Final = re.compile(
    r"(?:.*[_.-])?(?:pg|mysql_|ssh)?(?:pass|password|passwd|passphrase|secret|token|credentials?|api[_-]?key|"
    r"(?:private|secret|access)[_-]?key)",
    re.IGNORECASE,
)


def find_credentials(place: Place, task: Mapping[str, Any], findings: Findings) -> None:
    """Adds each variable and argument of a task that is called as credentials are, and holds a text."""
    for where, name in _named(task):
        if _NAME.fullmatch(name):
            findings.add(
                (*place, *where),
                f"{name!r} looks like a credential, and a plan is shared: it belongs in the inventory, by reference, such "
                "as in the settings of the device: env: {" + name.upper() + ": {env: MY_SECRET}}",
            )


def _named(task: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    env = task.get("env")
    for name, value in env.items() if type(env) is dict else ():
        if type(value) is str and value:
            yield ("env", name), str(name)
    action = task.get("action")
    for kind, arguments in action.items() if type(action) is dict else ():
        for name, value in arguments.items() if type(arguments) is dict else ():
            if type(value) is str and value:
                yield ("action", kind, name), str(name)
