"""What may look wrong with an edit only because some of its operations were refused, and so is not told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.edits import AddDependency, AddTask, Operation, RemoveDependency, RemoveTask, UpdateTask

if TYPE_CHECKING:
    from galaxy_core.model.changes import Changes


class Doubts:
    """What the refused operations of a transaction are about. `lines` are links that would be gone, by their ids."""

    def __init__(self) -> None:
        self.lines: dict[str, TaskStarLine] = {}
        # Tasks that would be others, or gone, by their ids; those that would say something else, by ("says", id); and
        # pairs of tasks between which there would be a link.
        self._about: set[object] = set()

    def note(self, operation: Operation, changes: Changes) -> None:
        """An operation was refused, as `changes` stand after those before it."""
        match operation:
            case AddTask(task):
                self._about.add(task._task_id)
            case UpdateTask(task_id):
                self._about.add(("says", task_id))
            case RemoveTask(task_id):
                self._about.add(task_id)
            case AddDependency(line):
                self._about.add((line._from, line._to))
            case _:  # a change of a link leads no other way
                pass
        self.lines.update((line.line_id, line) for line in _taken_out(operation, changes))

    def about_task(self, task_id: str) -> bool:
        """Whether a task would be another one, or gone."""
        return task_id in self._about

    def about_words(self, task_id: str) -> bool:
        """Whether a task would say something else, be another one, or gone."""
        return not self._about.isdisjoint((task_id, ("says", task_id)))

    def about_way(self, source_id: str, target_id: str) -> bool:
        """Whether there would be a link between two tasks, or the first would be another one."""
        return not self._about.isdisjoint((source_id, (source_id, target_id)))


def _taken_out(operation: Operation, changes: Changes) -> Iterator[TaskStarLine]:
    """The links that an operation would have taken out."""
    match operation:
        case RemoveTask(task_id):
            task = changes.plan._tasks.get(task_id)
            yield from () if task is None else (*task._in, *task._out)
        case RemoveDependency(str(line_id)):
            if (line := changes.plan._lines_by_id.get(line_id)) is not None:
                yield line
        case RemoveDependency((source_id, target_id)):
            yield from changes.between(source_id, target_id)
        case _:
            pass
