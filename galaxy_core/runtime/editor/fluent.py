"""Edits in one sentence: what `editor.transaction()` gives to its block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.edits import LinkName
from galaxy_core.model.task import TaskStar

if TYPE_CHECKING:
    from galaxy_core.runtime.editor.constellation_editor import ConstellationEditor


class FluentEdit:
    """The editor's methods, each returning this, so that they can be written one after the other."""

    __slots__ = ("_editor",)

    def __init__(self, editor: ConstellationEditor) -> None:
        self._editor = editor

    def add_task(self, task: TaskStar | Mapping[str, Any]) -> Self:
        """As `ConstellationEditor.add_task`."""
        self._editor.add_task(task)
        return self

    def create_and_add_task(self, task_id: str, description: str, name: str = "", **fields: Any) -> Self:
        """As `ConstellationEditor.create_and_add_task`."""
        self._editor.create_and_add_task(task_id, description, name, **fields)
        return self

    def update_task(self, task_id: str, updates: Mapping[str, Any] | None = None, **fields: Any) -> Self:
        """As `ConstellationEditor.update_task`."""
        self._editor.update_task(task_id, updates, **fields)
        return self

    def remove_task(self, task_id: str) -> Self:
        """As `ConstellationEditor.remove_task`."""
        self._editor.remove_task(task_id)
        return self

    def add_dependency(self, dependency: TaskStarLine | Mapping[str, Any]) -> Self:
        """As `ConstellationEditor.add_dependency`."""
        self._editor.add_dependency(dependency)
        return self

    def create_and_add_dependency(
        self,
        from_task_id: str,
        to_task_id: str,
        dependency_type: str | DependencyType = "UNCONDITIONAL",
        **fields: Any,
    ) -> Self:
        """As `ConstellationEditor.create_and_add_dependency`."""
        self._editor.create_and_add_dependency(from_task_id, to_task_id, dependency_type, **fields)
        return self

    def update_dependency(
        self, dependency_id: LinkName, updates: Mapping[str, Any] | None = None, **fields: Any
    ) -> Self:
        """As `ConstellationEditor.update_dependency`."""
        self._editor.update_dependency(dependency_id, updates, **fields)
        return self

    def remove_dependency(self, dependency_id: LinkName) -> Self:
        """As `ConstellationEditor.remove_dependency`."""
        self._editor.remove_dependency(dependency_id)
        return self

    def merge_constellation(self, other: Any, prefix: str = "") -> Self:
        """As `ConstellationEditor.merge_constellation`."""
        self._editor.merge_constellation(other, prefix)
        return self
