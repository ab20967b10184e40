"""Editors of small plans, and what stands in them."""

from __future__ import annotations

from typing import Any

from galaxy_core.runtime.editor.constellation_editor import ConstellationEditor

from .fakes import plan


def editor_of(tasks: str = "", links: str = "", **options: Any) -> ConstellationEditor:
    return ConstellationEditor(plan(tasks, links), **options)


def links_of(editor: ConstellationEditor) -> list[str]:
    return sorted(f"{line.from_task_id}>{line.to_task_id}" for line in editor.list_dependencies())


def ids_of(editor: ConstellationEditor) -> list[str]:
    return [task.task_id for task in editor.list_tasks()]


def is_five(payload: Any) -> bool:
    return payload == 5  # type: ignore[no-any-return]
