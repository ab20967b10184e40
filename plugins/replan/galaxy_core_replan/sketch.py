"""The operations of one proposal, put together rule by rule so that they fit each other."""

from __future__ import annotations

from collections.abc import Mapping

from galaxy_core import (
    Action,
    AddDependency,
    AddTask,
    Call,
    Command,
    RemoveDependency,
    TaskConstellation,
    TaskStar,
    TaskStarLine,
    Transaction,
    UpdateTask,
)

#: The most letters of an id in a plan file.
_LONGEST_ID = 128


class Sketch:
    """What is to change in `plan`, which itself is only read."""

    def __init__(self, plan: TaskConstellation) -> None:
        self.plan = plan
        self.words: list[str] = []
        self._operations: list[AddTask | AddDependency | RemoveDependency] = []
        self._ids: set[str] = set()
        self._unlinked: set[str] = set()
        self._requests: dict[str, Command | Action | Call] = {}

    def __contains__(self, task_id: object) -> bool:
        """Whether the plan has a task of that id. To copy all ids of a large plan would cost more than the rest."""
        return isinstance(task_id, str) and self.plan.get_task(task_id) is not None

    def free_id(self, wanted: str, number: int = 1) -> str:
        """An id that no task has: `wanted`, or that with a number, counted from `number` (2 at least)."""
        found = wanted[:_LONGEST_ID] if number < 2 else ""
        while not found or found in self._ids or found in self:
            number = max(number, 2)
            found = f"{wanted[: _LONGEST_ID - 8]}.{number}"
            number += 1
        self._ids.add(found)
        return found

    def add(self, task: TaskStar) -> None:
        self._operations.append(AddTask(task))

    def link(self, line: TaskStarLine) -> None:
        self._operations.append(AddDependency(line))

    def unlink(self, line: TaskStarLine) -> None:
        """Take a link out; once, however often it is asked for."""
        if line.line_id not in self._unlinked:
            self._unlinked.add(line.line_id)
            self._operations.append(RemoveDependency(line.line_id))

    def renew_references(self, task: TaskStar, task_ids: Mapping[str, str]) -> None:
        """Have a task take from others what it takes from some (old id: new id)."""
        request = self._requests.get(task.task_id, task.request)
        if request is not None and request.has_references:
            renewed = request.renamed(task_ids)
            if renewed is not request:
                self._requests[task.task_id] = renewed

    @property
    def is_empty(self) -> bool:
        return not self._operations

    def transaction(self) -> Transaction:
        updates = [UpdateTask(task_id, {"request": request}) for task_id, request in self._requests.items()]
        return Transaction([*self._operations, *updates], description="; ".join(self.words))
