"""What rules have done, read from the plan itself: the links that they add say which rule added them, and what for.

So nothing has to be remembered between two ends of tasks, and a plan that was saved and loaded knows it, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from galaxy_core import DependencyType, TaskConstellation, TaskStarLine

#: The name of this plugin, under which plans configure it and its links are marked.
NAME = "replan"

#: What a link is for: from a failed task to its copy; from it to a task that a rule has added; from such a one to a copy.
Role = Literal["copy", "added", "gate"]


@dataclass(frozen=True)
class History:
    """How a task came about.

    `origin` is the task that it is a copy of, itself when it is none; `applied` counts, by rule, how often that one and
    its copies were dealt with. `is_added`: a rule has added it, and it is no copy of anything.
    """

    origin: str
    applied: Counter[int]
    is_added: bool


def marked(from_task_id: str, to_task_id: str, rule: int, role: Role) -> TaskStarLine:
    """A link of ours. What stands behind a failed task waits for its end alone; a copy, for what is to be done first."""
    if role == "gate":
        kind, words = DependencyType.SUCCESS_ONLY, "first this, then again"
    else:
        kind, words = DependencyType.UNCONDITIONAL, "because it failed"
    return TaskStarLine(from_task_id, to_task_id, kind, words, metadata={NAME: {"rule": rule, "role": role}})


def mark_of(line: TaskStarLine) -> tuple[int, str] | None:
    """Which rule added a link, by its index, and what for; None when no rule did."""
    mark: Any = line.metadata.get(NAME)
    if not isinstance(mark, Mapping) or not isinstance(mark.get("rule"), int):
        return None
    return mark["rule"], str(mark.get("role"))


def history_of(plan: TaskConstellation, task_id: str) -> History:
    """The history of a task. Costs the links of the task and of those that it is a copy of."""
    applied: Counter[int] = Counter()
    while True:
        marks = (mark_of(line) for line in plan.get_task_dependents(task_id))
        applied.update({mark[0] for mark in marks if mark is not None and mark[1] != "gate"})
        roles = {}
        for line in plan.get_task_dependencies(task_id):
            if (mark := mark_of(line)) is not None:
                roles[mark[1]] = line.from_task_id
        if "copy" not in roles:
            return History(task_id, applied, "added" in roles)
        task_id = roles["copy"]
