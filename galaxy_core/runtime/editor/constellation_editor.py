"""ConstellationEditor: the convenient face of edits, with undo and redo."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from galaxy_core.errors import CommandExecutionError, EditError, EditProblem
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.serial import dump_json, load_json
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.editor.building import merged, replacing, unwritten
from galaxy_core.runtime.editor.commands import COMMANDS, bound, described
from galaxy_core.runtime.editor.editing import Editing, adding
from galaxy_core.runtime.editor.fields import unread
from galaxy_core.runtime.editor.fluent import FluentEdit
from galaxy_core.runtime.editor.history import Content, Step
from galaxy_core.runtime.editor.pending import Work
from galaxy_core.runtime.editor.plan_reading import Parts, read_plan

logger = logging.getLogger("galaxy_core.editor")


class ConstellationEditor(Editing):
    """Edits one constellation, also while it runs: each command is a transaction, which takes effect whole or not at all.

    What has started, and what has ended, is never changed, by undo neither. Everything is synchronous. `author` stands
    in the history. For edits that wait for something between their beginning and their end, there is
    ``synchronizer.edit``.

    Raises:
        ValueError: `max_history_size` is less than 1, or `constellation` is none.
    """

    def __init__(
        self,
        constellation: TaskConstellation | None = None,
        enable_history: bool = True,
        max_history_size: int = 100,
        *,
        author: str = "",
    ) -> None:
        super().__init__(constellation, enable_history=enable_history, max_history_size=max_history_size, author=author)

    def __repr__(self) -> str:
        plan = self._constellation
        return (
            f"<ConstellationEditor of {plan.constellation_id!r}: {plan.task_count} tasks, "
            f"{plan.dependency_count} links, {len(self.get_history_entries())} steps>"
        )

    # ------------------------------------------------------------------------------------------- whole plans
    def build_constellation(self, config: Any, clear_existing: bool = True) -> TaskConstellation:
        """Have the plan be what `config` says, or have that beside what there is; the constellation, the same object.

        `config` is a mapping (of `to_dict`, or of a plan file; tasks and dependencies by id or as lists), a
        `TaskConstellationSchema`, a `Plan` or a constellation. What has started is kept, and the history says so.

        Raises:
            CommandExecutionError: it cannot be, with every reason.
        """
        what = "Build constellation"
        with self._reading(what):
            parts = read_plan(config, self._constellation, replaces=clear_existing)
        what = f"{what}: {len(parts.tasks)} tasks, {len(parts.lines)} dependencies"
        return self._build("build_constellation", what, parts, clear_existing=clear_existing)

    def _build(self, command: str, what: str, parts: Parts, *, clear_existing: bool) -> TaskConstellation:
        plan = self._constellation
        if not clear_existing:
            operations = adding(parts)
            return self._do(Work(command, what, operations, metadata=parts.metadata), lambda _: plan)
        again = [
            task_id
            for task_id in parts.progressed
            if plan.get_task(task_id) is None or plan.is_task_modifiable(task_id)
        ]
        with self._reading(what):
            operations, kept = replacing(plan, parts)
        self._do(Work(command, what, operations, True, parts.name, parts.metadata, kept), lambda _: plan)
        if again:
            logger.warning(
                "%s: %d tasks that had started or ended stand in the plan as not started; TaskConstellation.from_json "
                "keeps how they stood",
                what,
                len(again),
            )
        return plan

    def build_from_tasks_and_dependencies(
        self,
        tasks: Iterable[Any],
        dependencies: Iterable[Any],
        clear_existing: bool = True,
        metadata: Mapping[str, Any] | None = None,
    ) -> TaskConstellation:
        """As `build_constellation`, of lists of tasks and of dependencies, mappings or objects.

        Raises:
            CommandExecutionError
        """
        config = {"tasks": list(tasks), "dependencies": list(dependencies), "metadata": metadata}
        return self.build_constellation(config, clear_existing)

    def clear_constellation(self) -> TaskConstellation:
        """Take all out that has not started; the constellation."""
        return self._build("clear_constellation", "Clear constellation", Parts(), clear_existing=True)

    def merge_constellation(self, other: ConstellationEditor | TaskConstellation, prefix: str = "") -> None:
        """Add a copy of another plan, not started, with `prefix` before each id, those in references as well.

        Raises:
            CommandExecutionError: an id is there already; nothing was added.
        """
        source = other.constellation if isinstance(other, ConstellationEditor) else other
        what = "Merge constellation"
        with self._reading(what):
            if not isinstance(prefix, str):
                raise unread([f"the prefix of ids is a text, not {prefix!r:.80}"])
            parts = merged(source, prefix)
        what = f"{what}: {source.name}"
        operations = adding(parts)
        self._do(Work("merge_constellation", what, operations), lambda _: None)

    def create_subgraph(self, task_ids: Iterable[str]) -> ConstellationEditor:
        """An editor of a new plan: copies of these tasks, not started, and of the dependencies between them.

        Ids that there are not are left out.

        Raises:
            CommandExecutionError: `task_ids` is one text.
        """
        if isinstance(task_ids, str):
            self._refuse("Create subgraph", f"a list of ids is wanted, not the text {task_ids!r}")
        wanted = dict.fromkeys(task_ids)
        tasks = [task.copy() for task_id in wanted if (task := self.get_task(task_id)) is not None]
        lines = [
            line.copy()
            for line in self.list_dependencies()
            if line.from_task_id in wanted and line.to_task_id in wanted
        ]
        name = f"{self._constellation.name}_subgraph"
        return ConstellationEditor(TaskConstellation.build(tasks, lines, name=name), author=self._author)

    # ------------------------------------------------------------------------------------------- files
    def load_constellation(self, file_path: str | Path) -> TaskConstellation:
        """Have the plan be what a file says (JSON of `save_constellation`, or a plan file), as `build_constellation`.

        It keeps its id and takes the file's name. What had started when the file was saved has not, unless it has here.

        Raises:
            CommandExecutionError: there is no such file, or it is no plan.
        """
        what = f"Load constellation: {file_path}"
        with self._reading(what):
            path = Path(file_path)
            if not path.is_file():
                raise unread([f"File {str(file_path)!r} not found"])
            if path.suffix.lower() in (".yaml", ".yml", ".toml"):
                from galaxy_core.model.plan_file import load_plan  # loads pydantic and yaml

                given: Any = load_plan(path)
            else:
                given = load_json(None, path)
            parts = read_plan(given, self._constellation, replaces=True)
        return self._build("load_constellation", what, parts, clear_existing=True)

    def load_from_dict(self, data: Mapping[str, Any]) -> TaskConstellation:
        """As `build_constellation` in place of what there is."""
        return self.build_constellation(data)

    def load_from_json_string(self, json_string: str) -> TaskConstellation:
        """As `load_from_dict`, of JSON text."""
        with self._reading("Build constellation"):
            data = load_json(json_string, None)
        return self.build_constellation(data)

    def save_constellation(self, file_path: str | Path) -> str:
        """Write the plan as JSON; the path as it was given. The file is replaced whole. An undo puts back what it was.

        Conditions and calls that are Python functions are not written; the log says so.

        Raises:
            CommandExecutionError: it cannot be written, or a transaction is open.
        """
        what = f"Save constellation: {file_path}"
        self._alone(what)
        plan = self._constellation
        with self._reading(what):
            content = Content(Path(file_path).resolve(), dump_json(plan.to_dict(), None).encode())
        self._perform(Step(file=content), "save_constellation", what, self._author)
        self._execution_count += 1
        if lost := unwritten(plan):
            logger.warning("%s: Python functions cannot be written: %s", what, ", ".join(lost))
        self._tell("save_constellation", str(file_path))
        return str(file_path)

    # ------------------------------------------------------------------------------------------- together
    @contextmanager
    def transaction(self, description: str = "", *, author: str | None = None) -> Iterator[FluentEdit]:
        """Whatever is edited in the block takes effect together when it ends, as one step of the history.

        Edits are this editor's methods, or those of the object that the block gets, which can be chained. When the block
        raises nothing is done. A transaction in another one becomes part of it. Nothing is awaited inside.

        Raises:
            CommandExecutionError: it cannot be; nothing was changed.
        """
        with self._collecting(description, author):
            yield FluentEdit(self)

    def batch_operations(
        self, operations: Iterable[Callable[[ConstellationEditor], Any]], description: str = ""
    ) -> list[Any]:
        """Call each with this editor; what they edit takes effect together. What they returned, in their order.

        Raises:
            CommandExecutionError: one of them raised (its error is chained), or they cannot be; nothing was changed.
        """
        calls = list(operations)
        what = description or f"Batch of {len(calls)} operations"
        results = []
        is_outer = self._pending is None
        with self._collecting(what, None) as pending:
            for number, call in enumerate(calls, 1):
                where = f"operation {number} of {len(calls)}"
                try:
                    result = call(self)
                except EditError as error:
                    problems = [
                        EditProblem(one.kind, f"{where}: {one.reason}", number - 1, one.subject, one.is_conflict)
                        for one in error.problems
                    ]
                    raise CommandExecutionError(what, problems) from error
                except Exception as error:  # the caller receives it, as the cause
                    self._refuse(what, f"{where} raised {type(error).__name__}: {error}", error)
                if inspect.iscoroutine(result):
                    result.close()
                    self._refuse(what, f"{where} is a coroutine; nothing can be awaited in a batch")
                results.append(result)
        return [pending.settled(result) for result in results] if is_outer else results

    # ------------------------------------------------------------------------------------------- questions
    def validate_constellation(self) -> tuple[bool, list[str]]:
        """Whether the graph is sound, and what is wrong with it."""
        return self._constellation.validate_dag()

    def get_topological_order(self) -> list[str]:
        """Ids, each after its prerequisites; ties in the order of adding."""
        return self._constellation.get_topological_order()

    def has_cycles(self) -> bool:
        """Whether there is a cycle; no edit can close one."""
        return self._constellation.has_cycle()

    def get_ready_tasks(self) -> list[TaskStar]:
        """What could start now: highest priority first, then oldest."""
        return self._constellation.get_ready_tasks()

    def get_statistics(self) -> dict[str, Any]:
        """The constellation's statistics, and the editor's: how much it has done, and what it could undo and redo."""
        return {
            **self._constellation.get_statistics(),
            "editor_execution_count": self._execution_count,
            "editor_history_size": len(self.get_history_entries()),
            "editor_can_undo": self.can_undo(),
            "editor_can_redo": self.can_redo(),
        }

    def display_constellation(self, mode: str = "overview") -> None:
        """Print the plan, as `TaskConstellation.display_dag`."""
        self._constellation.display_dag(mode)

    # ------------------------------------------------------------------------------------------- commands by name
    def list_available_commands(self, category: str | None = None) -> dict[str, dict[str, Any]]:
        """The commands that can be executed by name, all or of one category, with what there is to know of them."""
        return {
            name: described(name, self)
            for name, command in COMMANDS.items()
            if category is None or command.category == category
        }

    def get_command_metadata(self, command_name: str) -> dict[str, Any] | None:
        """What there is to know of a command; None when there is none of that name."""
        return described(command_name, self) if command_name in COMMANDS else None

    def get_command_categories(self) -> list[str]:
        """The categories of commands, sorted."""
        return sorted({command.category for command in COMMANDS.values()})

    def execute_command_by_name(self, command_name: str, *args: Any, **kwargs: Any) -> Any:
        """Do what the method of that name does, without telling observers.

        Raises:
            ValueError: there is no such command, or it does not take these arguments.
            CommandExecutionError: it cannot be.
        """
        arguments = bound(command_name, self, args, kwargs)
        self._is_silent = True
        try:
            return getattr(self, command_name)(*arguments.args, **arguments.kwargs)
        finally:
            self._is_silent = False
