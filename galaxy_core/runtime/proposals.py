"""Proposals: the editors that plugins bring, asked about the ends of one run's tasks.

Each editor is asked about one batch of ends after the other; what ends while it thinks is in its next batch. Until it
has answered, what those ends lead to is held, and nothing is skipped because of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import anyio

from galaxy_core.errors import EditError, EditProblem, HookError
from galaxy_core.extension.interfaces import EndedTasks
from galaxy_core.extension.registry import HookCall
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.edits import (
    AddDependency,
    AddTask,
    RemoveDependency,
    RemoveTask,
    ReplacePlan,
    Transaction,
    UpdateDependency,
    UpdateTask,
)
from galaxy_core.model.reasons import is_failure, message_of
from galaxy_core.model.result import TaskStatus
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.blaming import blamed
from galaxy_core.runtime.deciding import answer_of
from galaxy_core.runtime.holding import HoldScope, follows

if TYPE_CHECKING:
    from galaxy_core.runtime.flow import Flow
    from galaxy_core.runtime.synchronizer import ConstellationModificationSynchronizer

logger = logging.getLogger("galaxy_core.plugins")

#: How often an editor is asked about the same ends, when what it proposes does not fit.
TRIES = 3

_OPERATIONS = (AddTask, RemoveTask, UpdateTask, AddDependency, RemoveDependency, UpdateDependency, ReplacePlan)
#: Ends that nobody is asked about: who cancels or skips a task has decided.
_UNASKED = (TaskStatus.CANCELLED, TaskStatus.SKIPPED)


class _Desktop:
    """One editor: what has ended since it was last asked."""

    def __init__(self, call: HookCall, wants: Callable[..., Any] | None) -> None:
        self.call = call
        self._wants = wants
        self.inbox: dict[TaskStar, None] = {}
        self.stirred = anyio.Event()

    def wants(self, plan: TaskConstellation, task: TaskStar, status: TaskStatus) -> bool:
        """Whether it is to be asked about this end. One that cannot say so is asked."""
        if self._wants is None:
            return True
        try:
            return bool(self._wants(plan=plan, task=task, status=status.value))
        except BaseException as error:  # the log receives it, under the plugin's name: a plugin broke
            if not is_failure(error):
                raise
            logger.exception("plugin %s: galaxy_wants_end raised", self.call.plugin)
            return True


class Proposals:
    """The plugin editors of one run."""

    def __init__(
        self,
        run: Flow,
        calls: Sequence[HookCall],
        wants: Sequence[HookCall],
        synchronizer: ConstellationModificationSynchronizer,
    ) -> None:
        self._run = run
        self._synchronizer = synchronizer
        filters = {call.plugin: call.function for call in wants}
        self._editors = [_Desktop(call, filters.get(call.plugin)) for call in calls]
        self._asked: tuple[TaskStar | None, list[_Desktop]] = (None, [])  # the last end, and who is asked about it
        self._unanswered: dict[str, int] = {}  # by task, how many editors are still to answer its end

    # ------------------------------------------------------------------------------------------- for the run
    def asks_about(self, task: TaskStar, status: TaskStatus) -> bool:
        """Whether some editor is asked about this end, which is about to be."""
        asked = (
            []
            if status in _UNASKED
            else [editor for editor in self._editors if editor.wants(self._run.constellation, task, status)]
        )
        self._asked = task, asked
        return bool(asked)

    def ended(self, task: TaskStar) -> None:
        """A task has ended."""
        if self._asked[0] is not task:
            self.asks_about(task, task._status)
        (_, asked), self._asked = self._asked, (None, [])
        for editor in asked:
            if task not in editor.inbox:  # who tries a task again by hand has it end twice
                self._unanswered[task._task_id] = self._unanswered.get(task._task_id, 0) + 1
            editor.inbox[task] = None
            editor.stirred.set()

    @property
    def pending(self) -> bool:
        """Whether some answer is still to come."""
        return bool(self._unanswered)

    def awaits(self, task_id: str) -> bool:
        """Whether an answer to the end of this task is still to come."""
        return task_id in self._unanswered

    def holds(self, task: TaskStar, scope: HoldScope) -> bool:
        """Whether a task that could start may not, before some end was answered."""
        if not self._unanswered or scope == "none":
            return False
        return scope == "all" or follows(task, self._unanswered)

    async def serve(self) -> None:
        """Ask, for as long as the run lasts."""
        async with anyio.create_task_group() as group:
            for editor in self._editors:
                group.start_soon(self._serve, editor)

    # ------------------------------------------------------------------------------------------- one editor
    async def _serve(self, editor: _Desktop) -> None:
        while True:
            await editor.stirred.wait()
            editor.stirred = anyio.Event()
            batch, editor.inbox = list(editor.inbox), {}
            try:
                await self._ask_and_commit(editor, batch)
            finally:
                for task in batch:
                    left = self._unanswered.pop(task._task_id) - 1
                    if left:
                        self._unanswered[task._task_id] = left
                self._synchronizer.stir()

    async def _ask_and_commit(self, editor: _Desktop, batch: list[TaskStar]) -> None:
        constellation, plugin = self._run.constellation, editor.call.plugin
        task_ids = [task.task_id for task in batch]
        refused: EditError | None = None
        for _ in range(TRIES):
            ended = EndedTasks(
                constellation.constellation_id, constellation, tuple(batch), constellation.revision, refused
            )
            constellation.track_edits()
            try:
                answer = await self._answer(editor, ended)
                if answer is None or self._run.cancelled:
                    return
                transaction = _as_transaction(answer, plugin, ended.revision)
                await self._synchronizer.desk.commit(constellation, transaction)
            except EditError as error:
                refused = error
            except BaseException as error:  # whoever hears of refused modifications receives it
                why = message_of(blamed(error, "plugin", plugin))
                self._synchronizer.refuse(constellation.constellation_id, task_ids, why, plugin)
                return
            else:
                return
        self._synchronizer.refuse(constellation.constellation_id, task_ids, str(refused), plugin)

    async def _answer(self, editor: _Desktop, ended: EndedTasks) -> Any:
        """What an editor proposes; None when its time was over, and it is no longer waited for."""
        found: list[Any] = []
        async with anyio.create_task_group() as group:

            async def ask() -> None:
                try:
                    found.append(await answer_of(editor.call, "galaxy_propose_edit", float("inf"), ended=ended))
                except HookError as error:  # raised below: a task group would wrap it
                    found.append(error)
                group.cancel_scope.cancel()

            group.start_soon(ask)
            await anyio.sleep(self._synchronizer.timeout_s)
            if self._overdue(editor, ended):
                group.cancel_scope.cancel()
        if found and isinstance(found[0], HookError):
            raise found[0]
        return found[0] if found else None

    def _overdue(self, editor: _Desktop, ended: EndedTasks) -> bool:
        """An editor has not answered in time; whether it is no longer waited for."""
        task_ids = [task.task_id for task in ended.tasks]
        return self._synchronizer.overdue(ended.constellation_id, task_ids, editor.call.plugin)


def _as_transaction(answer: Any, plugin: str, revision: int) -> Transaction:
    """An editor's answer, attributed to it, and based on what it was shown.

    Raises:
        EditError: it is nothing of the kind.
    """
    if isinstance(answer, _OPERATIONS):
        answer = [answer]
    if isinstance(answer, Transaction) and all(isinstance(operation, _OPERATIONS) for operation in answer.operations):
        base = revision if answer.base_revision is None else answer.base_revision
        return Transaction(answer.operations, base, answer.description, plugin, places=answer.places)
    if isinstance(answer, Iterable) and not isinstance(answer, (str, bytes)):
        operations = tuple(answer)
        if all(isinstance(operation, _OPERATIONS) for operation in operations):
            return Transaction(operations, revision, "", plugin)
    what = f"plugin {plugin} proposed {type(answer).__name__}; wanted is a Transaction, operations or None"
    raise EditError([EditProblem("invalid", what, None, plugin)])
