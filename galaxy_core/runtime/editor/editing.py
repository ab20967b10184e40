"""Tasks and dependencies, one at a time: the part of an editor that adds, changes and removes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from galaxy_core.errors import CommandExecutionError, EditError, GalaxyError
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.edits import (
    AddDependency,
    AddTask,
    LinkName,
    Operation,
    RemoveDependency,
    RemoveTask,
    UpdateDependency,
    UpdateTask,
    named,
)
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.editor.fields import check_ids, configured, line_fields, task_fields, together
from galaxy_core.runtime.editor.pending import Pending, Work
from galaxy_core.runtime.editor.plan_reading import Parts, read_line, read_task
from galaxy_core.runtime.editor.workbench import Workbench


def adding(parts: Parts) -> list[Operation]:
    """The operations that add what was read."""
    return [*(AddTask(task) for task in parts.tasks), *(AddDependency(line) for line in parts.lines)]


class Editing(Workbench):
    """What of `ConstellationEditor` is about single tasks and dependencies."""

    @property
    def _view(self) -> TaskConstellation | Pending:
        """Where tasks and links are looked up: the plan, or what an open transaction would make of it."""
        return self._constellation if self._pending is None else self._pending

    @contextmanager
    def _reading(self, description: str) -> Iterator[None]:
        """What is given by somebody is read: whatever is wrong with it refuses the command.

        Raises:
            CommandExecutionError
        """
        try:
            yield
        except EditError as error:
            raise CommandExecutionError(description, error.problems) from None
        except (GalaxyError, OSError, TypeError, ValueError) as error:
            self._refuse(description, str(error), error)

    # ------------------------------------------------------------------------------------------- tasks
    def add_task(self, task: TaskStar | Mapping[str, Any]) -> TaskStar:
        """Add a copy of a task, not started; the live task.

        A mapping has the keys of `TaskStar.to_dict` or of a task in a plan file, with its `task_id`. What it `needs`, or
        refers to, becomes its dependencies.

        Raises:
            CommandExecutionError: there is one of that id, or it says what cannot be.
        """
        task_id = getattr(task, "task_id", None) or (task.get("task_id") if isinstance(task, Mapping) else None)
        what = f"Add task: {task_id}"
        with self._reading(what):
            parts = read_task(task, self._constellation, lambda other: self.get_task(other) is not None)
            operations = adding(parts)
        added: TaskStar = self._do(Work("add_task", what, operations), lambda plan: plan.get_task(task_id))
        return added

    def create_and_add_task(self, task_id: str, description: str, name: str = "", **fields: Any) -> TaskStar:
        """Add a task; `fields` are arguments of `TaskStar`, or keys of a plan file.

        Raises:
            CommandExecutionError: as `add_task`.
        """
        config = fields.pop("config", None)
        with self._reading(f"Add task: {task_id}"):
            given = fields if config is None else configured(fields, config)
        return self.add_task({"task_id": task_id, "description": description, "name": name, **given})

    def update_task(self, task_id: str, updates: Mapping[str, Any] | None = None, **fields: Any) -> TaskStar:
        """Change fields of a task that has not started, as keywords or as one mapping; the live task.

        Raises:
            CommandExecutionError: there is no such task, it has started, or a field cannot be.
        """
        what = f"Update task: {task_id}"
        with self._reading(what):
            check_ids(task_id)
            operation = UpdateTask(task_id, task_fields(together(updates, fields)))
        task: TaskStar = self._do(Work("update_task", what, [operation]), lambda plan: plan.get_task(task_id))
        return task

    def remove_task(self, task_id: str) -> str:
        """Take a task that has not started out, with its dependencies; its id.

        Raises:
            CommandExecutionError: there is no such task, or it has started.
        """
        what = f"Remove task: {task_id}"
        with self._reading(what):
            check_ids(task_id)
        return self._do(Work("remove_task", what, [RemoveTask(task_id)]), lambda plan: task_id)

    def get_task(self, task_id: str) -> TaskStar | None:
        """The task of that id, or None. In a transaction: as it would be."""
        return self._view.get_task(task_id)

    def list_tasks(self) -> list[TaskStar]:
        """All tasks. In a transaction: as they would be."""
        return self._view.get_all_tasks()

    # ------------------------------------------------------------------------------------------- dependencies
    def add_dependency(self, dependency: TaskStarLine | Mapping[str, Any]) -> TaskStarLine:
        """Add a copy of a dependency, with its id; the live one. A mapping has the keys of `TaskStarLine.to_dict`.

        Raises:
            CommandExecutionError: there is one of that id, an end is missing, its target has started, or it would close
                a cycle.
        """
        with self._reading("Add dependency"):
            line = read_line(dependency)
        what, line_id = f"Add dependency: {line.from_task_id} -> {line.to_task_id}", line.line_id
        work = Work("add_dependency", what, [AddDependency(line)])
        live: TaskStarLine = self._do(work, lambda plan: plan.get_dependency(line_id))
        return live

    def create_and_add_dependency(
        self,
        from_task_id: str,
        to_task_id: str,
        dependency_type: str | DependencyType = "UNCONDITIONAL",
        **fields: Any,
    ) -> TaskStarLine:
        """Add a dependency; `dependency_type` is a member, or its name in any case, `fields` are those of `TaskStarLine`.

        Raises:
            KeyError: there is no such type.
            CommandExecutionError: as `add_dependency`.
        """
        if isinstance(dependency_type, str):
            if dependency_type.upper() not in DependencyType.__members__:
                allowed = ", ".join(DependencyType.__members__)
                raise KeyError(f"there is no dependency type {dependency_type!r}; there are {allowed}")
            dependency_type = DependencyType[dependency_type.upper()]
        ends = {"from_task_id": from_task_id, "to_task_id": to_task_id}
        return self.add_dependency({**ends, "dependency_type": dependency_type, **fields})

    def update_dependency(
        self, dependency_id: LinkName, updates: Mapping[str, Any] | None = None, **fields: Any
    ) -> TaskStarLine:
        """Change fields of a dependency of a task that has not started; the live one.

        It is named by its id, or by the ids of both its tasks, when there is no other between them.

        Raises:
            CommandExecutionError: there is no such dependency, its target has started, or a field cannot be.
        """
        link, line_id, what = self._link("Update dependency", dependency_id)
        with self._reading(what):
            operation = UpdateDependency(link, line_fields(together(updates, fields)))
        work = Work("update_dependency", what, [operation])
        live: TaskStarLine = self._do(work, lambda plan: plan.get_dependency(line_id))
        return live

    def remove_dependency(self, dependency_id: LinkName) -> str:
        """Take a dependency of a task that has not started out, named as in `update_dependency`; its id.

        Raises:
            CommandExecutionError: there is no such dependency, or its target has started.
        """
        link, line_id, what = self._link("Remove dependency", dependency_id)
        work = Work("remove_dependency", what, [RemoveDependency(link)])
        return self._do(work, lambda plan: line_id)

    def _link(self, verb: str, link: LinkName) -> tuple[LinkName, str, str]:
        """The name of a link, its id (as far as there is one), and what is to be done to it."""
        if not isinstance(link, str) and not (isinstance(link, tuple | list) and len(link) == 2):
            self._refuse(verb, f"a dependency is named by its id or by the ids of its two tasks, not {link!r:.80}")
        if isinstance(link, str):
            return link, link, f"{verb}: {link}"
        with self._reading(verb):
            check_ids(*link)
        pair = (link[0], link[1])
        found = [line.line_id for line in self.get_task_dependencies(pair[1]) if line.from_task_id == pair[0]]
        return pair, found[0] if len(found) == 1 else "", f"{verb}: {named(pair)}"

    def get_dependency(self, dependency_id: str) -> TaskStarLine | None:
        """The dependency of that id, or None. In a transaction: as it would be."""
        return self._view.get_dependency(dependency_id)

    def list_dependencies(self) -> list[TaskStarLine]:
        """All dependencies. In a transaction: as they would be."""
        return self._view.get_all_dependencies()

    def get_task_dependencies(self, task_id: str) -> list[TaskStarLine]:
        """What a task waits for; nothing for an unknown id. In a transaction: as it would be."""
        return self._view.get_task_dependencies(task_id)
