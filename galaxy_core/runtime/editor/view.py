"""A plan as operations would leave it, for whoever asks before they take effect. Each operation costs what it touches."""

from __future__ import annotations

from collections.abc import Iterable

from galaxy_core.errors import GalaxyError
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.differences import changed_line, changed_task
from galaxy_core.model.edits import (
    AddDependency,
    AddTask,
    LinkName,
    Operation,
    RemoveDependency,
    RemoveTask,
    UpdateDependency,
    UpdateTask,
)
from galaxy_core.model.task import TaskStar


class View:
    """What differs from the plan: `tasks` and `lines` by their ids, detached; None stands for what is gone."""

    def __init__(self, plan: TaskConstellation) -> None:
        self.plan = plan
        self.tasks: dict[str, TaskStar | None] = {}
        self.lines: dict[str, TaskStarLine | None] = {}
        self._at: dict[str, dict[str, None]] = {}  # ids of new links, by both of their tasks

    @classmethod
    def after(cls, plan: TaskConstellation, operations: Iterable[Operation]) -> View:
        """The view that operations leave, which were all found to be possible."""
        view = cls(plan)
        for operation in operations:
            view.apply(operation)
        return view

    def task(self, task_id: str) -> TaskStar | None:
        """The task of that id; None when there is none."""
        return self.tasks[task_id] if task_id in self.tasks else self.plan._tasks.get(task_id)

    def line(self, line_id: str) -> TaskStarLine | None:
        """The link of that id; None when there is none."""
        return self.lines[line_id] if line_id in self.lines else self.plan.get_dependency(line_id)

    def lines_at(self, task_id: str) -> list[TaskStarLine]:
        """The links into and out of a task."""
        live = self.plan._tasks.get(task_id)
        ids = [line.line_id for line in (*live._in, *live._out)] if live is not None else []
        ids += self._at.get(task_id, ())
        return [line for line_id in dict.fromkeys(ids) if (line := self.line(line_id)) is not None]

    def apply(self, operation: Operation) -> bool:
        """Whether that can follow, as far as can be said without a look at cycles and inputs. When not, see `Changes`."""
        if isinstance(operation, AddTask):
            task_id = operation.task.task_id
            possible = self.task(task_id) is None
            if possible:
                self.tasks[task_id] = operation.task
            return possible
        if isinstance(operation, RemoveTask | UpdateTask):
            return self._apply_to_task(operation)
        if isinstance(operation, AddDependency):
            return self._add(operation.line)
        if isinstance(operation, RemoveDependency | UpdateDependency):
            return self._apply_to_line(operation)
        return False

    def _may_change(self, task_id: str) -> bool:
        live = self.plan._tasks.get(task_id)
        return self.task(task_id) is not None and (live is None or live.is_modifiable)

    def _apply_to_task(self, operation: RemoveTask | UpdateTask) -> bool:
        task_id = operation.task_id
        task = self.task(task_id)
        if task is None or not self._may_change(task_id):
            return False
        if isinstance(operation, RemoveTask):
            for line in self.lines_at(task_id):
                self.lines[line.line_id] = None
            self.tasks[task_id] = None
            return True
        try:
            self.tasks[task_id] = changed_task(task, operation.changes)
        except (GalaxyError, ValueError, TypeError, AttributeError):  # `Changes` says why
            return False
        return True

    def _add(self, line: TaskStarLine) -> bool:
        if self.line(line.line_id) is not None or self.task(line._from) is None or not self._may_change(line._to):
            return False
        self.lines[line.line_id] = line
        for end in (line._from, line._to):
            self._at.setdefault(end, {})[line.line_id] = None
        return True

    def _apply_to_line(self, operation: RemoveDependency | UpdateDependency) -> bool:
        line = self._named(operation.link)
        if line is None or not self._may_change(line._to):
            return False
        changes = operation.changes if isinstance(operation, UpdateDependency) else None
        self.lines[line.line_id] = None if changes is None else changed_line(line, changes)
        return True

    def _named(self, link: LinkName) -> TaskStarLine | None:
        if isinstance(link, str):
            return self.line(link)
        found = [line for line in self.lines_at(link[1]) if (line._from, line._to) == link]
        return found[0] if len(found) == 1 else None
