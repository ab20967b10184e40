"""Somebody at a ConstellationEditor of the running plan: one command after the other, undo and redo."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio

from galaxy_core import (
    AddDependency,
    AddTask,
    CommandExecutionError,
    CommandUndoError,
    ConstellationEditor,
    EditError,
    RemoveDependency,
    RemoveTask,
    UpdateDependency,
    UpdateTask,
)
from tests.properties.sim.draws import grid
from tests.properties.sim.hands import is_running
from tests.properties.sim.model import Picture, differences
from tests.properties.sim.proposing import Proposer
from tests.properties.sim.world import SimWorld

#: The methods of an editor, or of its transactions, that do what operations say.
METHODS: dict[type, str] = {
    AddTask: "add_task",
    RemoveTask: "remove_task",
    UpdateTask: "update_task",
    AddDependency: "add_dependency",
    RemoveDependency: "remove_dependency",
    UpdateDependency: "update_dependency",
}


class Editing:
    """Somebody at an editor; what is refused is refused, and changes nothing."""

    def __init__(self, world: SimWorld, number: int) -> None:
        self.world = world
        self.rng = random.Random(world.scenario.seed * 1000 + number)
        self.proposer = Proposer(world, f"a{number}", self.rng)
        self.editor = ConstellationEditor(world.plan, author="editor")
        self.done: list[tuple[str, Picture, Picture]] = []  # descriptions of steps, and what they led from and to
        self.undone: list[tuple[str, Picture, Picture]] = []

    async def work(self) -> None:
        """What it does, from the start of the run."""
        rng = self.rng
        await anyio.sleep(grid(rng, 4.0))
        deeds = (self._command, self._command, self._together, self._batch)
        for _ in range(rng.choice((3, 5, 8))):
            if is_running(self.world):
                deed = rng.choice(deeds)
                if (self.done or self.undone) and rng.random() < 0.4:
                    deed = self._undo if self.done and (not self.undone or rng.random() < 0.5) else self._redo
                try:
                    deed()
                except EditError as error:
                    kinds = [problem.kind for problem in error.problems]
                    self.world.note(f"editor {deed.__name__} {type(error).__name__} {kinds}")
                    self.world.look("an editor was refused")
                if rng.random() < 0.2:
                    self._be_disturbed()
            await anyio.sleep(grid(rng, 2.0) if rng.random() < 0.5 else 0.0)

    def _be_disturbed(self) -> None:
        """Somebody else edits what the last step has left."""
        _, before, after = self.done[-1] if self.done else ("", {}, {})
        for kind, task_id in sorted(differences(before, after)):
            task = self.world.plan.get_task(task_id)
            if kind == "task" and task is not None and is_running(self.world):
                text = self.proposer.fresh()
                said = [UpdateTask(task_id, {"description": text})]
                self.world.edit_in_place(said, partial(setattr, task, "description", text))

    def _call(self, operation: Any) -> Callable[[], Any]:
        """What an operation is in terms of the editor; it is handed copies."""
        method = getattr(self.editor, METHODS[type(operation)])
        match operation:
            case AddTask(task):
                return partial(method, task)
            case RemoveTask(task_id):
                return partial(method, task_id)
            case UpdateTask(task_id, changes):
                return partial(method, task_id, dict(changes))
            case AddDependency(line):
                return partial(method, line)
            case RemoveDependency(link):
                return partial(method, link)
            case _:
                return partial(method, operation.link, dict(operation.changes))

    def _describe(self, operation: Any) -> str:
        verb = METHODS[type(operation)].replace("_", " ").capitalize()
        match operation:
            case AddTask(task):
                return f"{verb}: {task.task_id}"
            case RemoveTask(task_id) | UpdateTask(task_id):
                return f"{verb}: {task_id}"
            case AddDependency(line):
                return f"{verb}: {line.from_task_id} -> {line.to_task_id}"
            case _:
                link = operation.link
                return f"{verb}: {link if isinstance(link, str) else ' -> '.join(link)}"

    def _step(self, name: str, deed: Callable[[], Any]) -> None:
        """Have a step done under that description, and note what it came to."""
        before = self.world.changed.pop(name, None)
        try:
            deed()
        finally:
            led = self.world.changed.get(name)
            if led is not None:
                self.done.append((name, *led))
                self.undone.clear()
            elif before is not None:
                self.world.changed[name] = before

    def _command(self) -> None:
        for operation in self.proposer.operations(self.world.plan)[:1]:
            name = self._describe(operation)
            self.world.propose(name, [operation], None)
            self._step(name, self._call(operation))

    def _together(self) -> None:
        """A transaction; what cannot be in it is left out, or the whole is given up."""
        name, operations = self.proposer.fresh(), self.proposer.operations(self.world.plan)

        def edit() -> None:
            with self.editor.transaction(name):
                taken = []
                for operation in operations:
                    try:
                        self._call(operation)()
                        taken.append(operation)
                    except CommandExecutionError:
                        if self.rng.random() < 0.3:
                            raise
                self.world.propose(name, taken, None)

        self._step(name, edit)

    def _batch(self) -> None:
        name, operations = self.proposer.fresh(), self.proposer.operations(self.world.plan)
        self.world.propose(name, operations, None)
        calls = [lambda editor, one=one: self._call(one)() for one in operations]
        self._step(name, lambda: self.editor.batch_operations(calls, name))

    def _undo(self) -> None:
        name, before, after = self.done[-1]
        self.world.turns[f"Undo: {name}"] = after, before
        try:
            self.editor.undo()
        except CommandUndoError:
            if self.rng.random() < 0.5:
                raise
            self.editor.clear_history()
            self.done.clear()
            self.undone.clear()
            raise
        self.undone.append(self.done.pop())

    def _redo(self) -> None:
        name, before, after = self.undone[-1]
        self.world.turns[f"Redo: {name}"] = before, after
        self.editor.redo()
        self.done.append(self.undone.pop())
