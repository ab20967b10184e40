"""TaskStarLine: one link of a plan, and what decides whether it lets its target run."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from galaxy_core.errors import ConditionError, ImmutableError, PlanError, TaskSkippedError
from galaxy_core.model.condition import Evaluator, Expression, checked_evaluator, is_function, takes_outcome
from galaxy_core.model.reasons import is_failure, message_of, shown
from galaxy_core.model.records.unkept import cut_output
from galaxy_core.model.result import ExecutionResult, TaskStatus, as_datetime, new_id, stamp
from galaxy_core.model.serial import Document
from galaxy_core.model.values import copied

if TYPE_CHECKING:
    from galaxy_core.model.task import TaskStar


class DependencyType(Enum):
    """Which ends of the prerequisite let the dependent run."""

    UNCONDITIONAL = "unconditional"
    CONDITIONAL = "conditional"
    SUCCESS_ONLY = "success_only"
    COMPLETION_ONLY = "completion_only"


_UNCONDITIONAL, _COMPLETION_ONLY = DependencyType.UNCONDITIONAL, DependencyType.COMPLETION_ONLY
_SUCCESS_ONLY, _CONDITIONAL = DependencyType.SUCCESS_ONLY, DependencyType.CONDITIONAL
_COMPLETED = TaskStatus.COMPLETED
#: Ends of a prerequisite that never ran to an outcome: of these a condition can judge the status alone.
_NO_OUTCOME = frozenset({TaskStatus.CANCELLED, TaskStatus.SKIPPED, TaskStatus.UNKNOWN})


class TaskStarLine(Document):
    """One link: `to_task_id` waits for `from_task_id`. Owned by at most one constellation.

    Whatever changes it guards I3: a link into a task that has started, or ended, cannot be changed (ImmutableError),
    and what it was judged to be stands. A link of no constellation is free.
    """

    __slots__ = (
        "_condition_description",
        "_created_at",
        "_dependency_type",
        "_evaluated_at",
        "_evaluation",
        "_evaluator",
        "_from",
        "_line_id",
        "_metadata",
        "_open",
        "_satisfied",
        "_source",
        "_target",
        "_to",
        "_updated_at",
    )

    SCHEMA: ClassVar = "TaskStarLineSchema"

    def __init__(
        self,
        from_task_id: str,
        to_task_id: str,
        dependency_type: DependencyType = DependencyType.UNCONDITIONAL,
        condition_description: str | None = None,
        condition_evaluator: Evaluator | None = None,
        line_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self._from = from_task_id
        self._to = to_task_id
        self._dependency_type = dependency_type
        self._condition_description = condition_description
        self._evaluator = None if condition_evaluator is None else checked_evaluator(condition_evaluator)
        self._line_id: str | int | None = line_id  # a number: the id is promised, and was not asked for
        self._metadata = copied(dict(metadata)) if metadata else None
        self._satisfied = False
        self._evaluation: Any = None
        self._evaluated_at: float | None = None
        self._created_at = self._updated_at = stamp()
        # What follows belongs to the constellation that owns the line.
        self._source: TaskStar | None = None
        self._target: TaskStar | None = None
        self._open = True  # whether its source has not ended, so that it counts among what the target waits for

    @classmethod
    def create_unconditional(
        cls, from_task_id: str, to_task_id: str, description: str = "Unconditional dependency"
    ) -> TaskStarLine:
        """A link that any end of the prerequisite satisfies."""
        return cls(from_task_id, to_task_id, _UNCONDITIONAL, description)

    @classmethod
    def create_success_only(
        cls, from_task_id: str, to_task_id: str, description: str = "Success-only dependency"
    ) -> TaskStarLine:
        """A link that only success of the prerequisite satisfies."""
        return cls(from_task_id, to_task_id, _SUCCESS_ONLY, description)

    @classmethod
    def create_conditional(
        cls,
        from_task_id: str,
        to_task_id: str,
        condition_description: str,
        condition_evaluator: Evaluator | None = None,
    ) -> TaskStarLine:
        """A link that is satisfied when `condition_evaluator` says so."""
        return cls(from_task_id, to_task_id, _CONDITIONAL, condition_description, condition_evaluator)

    def __repr__(self) -> str:
        return f"<TaskStarLine {self._from!r} -> {self._to!r} {self._dependency_type.value}>"

    @property
    def line_id(self) -> str:
        """Unique in its constellation; made when first asked for, because most links are never named."""
        found = self._line_id
        if isinstance(found, str):
            return found
        owner = None if self._source is None else self._source._owner
        self._line_id = name = new_id() if found is None or owner is None else owner._lines_by_id.name_of(found)
        if owner is not None:
            owner._lines_by_id[name] = self
        return name

    @property
    def from_task_id(self) -> str:
        """The prerequisite."""
        return self._from

    @property
    def source_task_id(self) -> str:
        """The prerequisite, under its other name."""
        return self._from

    @property
    def to_task_id(self) -> str:
        """The dependent."""
        return self._to

    @property
    def target_task_id(self) -> str:
        """The dependent, under its other name."""
        return self._to

    @property
    def dependency_type(self) -> DependencyType:
        """Which ends of the prerequisite satisfy it. Setting it resets the satisfaction."""
        return self._dependency_type

    @dependency_type.setter
    def dependency_type(self, dependency_type: DependencyType) -> None:
        self._guard()
        if not isinstance(dependency_type, DependencyType):
            raise PlanError(f"the type of a dependency must be a DependencyType, not {shown(dependency_type)}")
        self._dependency_type = dependency_type
        self._changed()

    @property
    def condition_description(self) -> str | None:
        """The condition, in words."""
        return self._condition_description

    @condition_description.setter
    def condition_description(self, description: str | None) -> None:
        self._guard()
        if description is not None and not isinstance(description, str):
            raise PlanError(f"the description of a condition must be a text or None, not {shown(description)}")
        self._condition_description = description
        self._edited()

    @property
    def condition_evaluator(self) -> Evaluator | None:
        """What decides a CONDITIONAL link. Setting it resets the satisfaction."""
        return self._evaluator

    @condition_evaluator.setter
    def condition_evaluator(self, evaluator: Evaluator | None) -> None:
        self.set_condition_evaluator(evaluator)

    def set_condition_evaluator(self, evaluator: Evaluator | None) -> None:
        """Set what decides a CONDITIONAL link, and reset the satisfaction.

        Raises:
            ImmutableError: I3.
            PlanError: it cannot be called.
        """
        self._guard()
        self._evaluator = checked_evaluator(evaluator)
        self._changed()

    @property
    def metadata(self) -> dict[str, Any]:
        """A copy of whatever was noted beside the link, to the depth of `values.copied`."""
        return copied(self._metadata) if self._metadata else {}

    def update_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Merge a copy of `metadata` into what is noted.

        Raises:
            ImmutableError: I3.
        """
        self._guard()
        self._metadata = {**(self._metadata or {}), **copied(dict(metadata))}
        self._edited()

    @property
    def last_evaluation_result(self) -> Any:
        """What the last evaluation returned; None before the first."""
        return self._evaluation

    @property
    def last_evaluation_time(self) -> datetime | None:
        """When it was last evaluated, in UTC."""
        return as_datetime(self._evaluated_at)

    @property
    def created_at(self) -> datetime:
        """When the object was made, in UTC."""
        return as_datetime(self._created_at)  # type: ignore[return-value]

    @property
    def updated_at(self) -> datetime:
        """When it last changed, in UTC."""
        return as_datetime(self._updated_at)  # type: ignore[return-value]

    def is_satisfied(self, completed_tasks: Iterable[Any] | None = None) -> bool:
        """Whether it is satisfied; with `completed_tasks` (ids or tasks), whether the prerequisite is among them."""
        if completed_tasks is None:
            return self._satisfied
        return any(self._from == getattr(task, "task_id", task) for task in completed_tasks)

    def mark_satisfied(self) -> None:
        """Declare it satisfied, whatever was evaluated.

        That is a note, which lasts until the prerequisite ends: the target waits for that end all the same, and is let
        run or skipped by what the link says of it. To have it not wait, remove the link.

        Raises:
            ImmutableError: I3.
        """
        self._guard()
        self._satisfied = True
        self._edited()

    def reset_satisfaction(self) -> None:
        """Forget what was evaluated. If its prerequisite has ended, it is judged anew at once, as by the setters.

        Raises:
            ImmutableError: I3.
        """
        self._guard()
        self._changed()

    def evaluate_condition(self, prerequisite_result: Any) -> bool:
        """Judge a payload by itself. An evaluator that raises counts as not met here.

        The answer is noted, unless the prerequisite or the target has gone on already: how the link was judged stands.
        """
        try:
            answer = self._judge(prerequisite_result, None)
            bool(answer)  # which is asked for by whoever reads it
        except BaseException as error:  # the API document: who calls this by hand gets False; runs use `_refused`
            if not is_failure(error):
                raise
            answer = False
        if self._is_free:
            self._note(answer)
        return answer  # type: ignore[no-any-return]

    @property
    def _is_free(self) -> bool:
        """Whether an answer that somebody asks for by hand may be noted."""
        return self._target is None or (self._open and self._target.is_modifiable)

    def _judge(self, payload: Any, outcome: ExecutionResult | None) -> Any:
        kind = self._dependency_type
        if kind is _UNCONDITIONAL or kind is _COMPLETION_ONLY:
            return True
        if kind is _SUCCESS_ONLY or self._evaluator is None:
            return payload is not None
        if is_function(self._evaluator) and (lost := cut_output(payload, outcome)) is not None:
            raise ValueError(f"a function may look at its output: {lost.why}")
        if outcome is not None and outcome._is_unheard and is_function(self._evaluator):
            remedy = "an Expression that looks at status or exit_code alone can judge it"
            raise ValueError(f"a function may look at its output, and {outcome._why_unheard}; {remedy}")
        if takes_outcome(self._evaluator):
            return self._evaluator(payload, outcome)
        return self._evaluator(payload)

    def outcome_satisfies(self, status: TaskStatus, payload: Any, outcome: ExecutionResult | None) -> bool:
        """Whether an end of the prerequisite lets the dependent run. The answer is noted as by `evaluate_condition`.

        Success is decided by `status` alone. A condition judges only tasks that ran to an outcome, unless it is an
        `Expression` that looks at the status.

        Raises:
            ConditionError: the evaluator raised; its error is chained, and the link counts as not met.
        """
        answer = False
        try:
            answer = self._lets_run(status, payload, outcome)
        finally:
            if self._is_free:
                self._note(answer)
        return answer

    def _lets_run(self, status: TaskStatus, payload: Any, outcome: ExecutionResult | None) -> bool:
        kind = self._dependency_type
        if kind is _UNCONDITIONAL or kind is _COMPLETION_ONLY:
            return True
        if kind is _SUCCESS_ONLY or self._evaluator is None:
            return status is _COMPLETED
        if status in _NO_OUTCOME and not self._judges_any_end:
            return False
        try:
            answer = self._judge(payload, outcome)
            if inspect.isawaitable(answer):
                if inspect.iscoroutine(answer):
                    answer.close()
                raise TypeError("it is `async def`, and nobody can wait for a condition; write it as `def`")
            return bool(answer)
        except BaseException as error:  # the dependent receives it, as the cause of its being skipped
            if not is_failure(error):
                raise
            if status in _NO_OUTCOME:
                return False  # what it could not work with is what this task does not have
            raise ConditionError(self._to, self._from, message_of(error)) from error

    @property
    def _judges_any_end(self) -> bool:
        return isinstance(self._evaluator, Expression) and self._evaluator.asks_for_status

    def refusal(self, source: TaskStar) -> TaskSkippedError | ConditionError | None:
        """Why the link does not let its target run now that `source` has ended; None when it does.

        The answer is noted as by `evaluate_condition`.
        """
        return self._refused(source, note=self._is_free)

    def _refused(self, source: TaskStar, *, note: bool = True) -> TaskSkippedError | ConditionError | None:
        outcome = source._result
        if isinstance(outcome, ExecutionResult):
            payload = outcome.result
        else:  # ended by hand
            payload = source._error if source._status is TaskStatus.FAILED else outcome
            outcome = ExecutionResult(source._task_id, source._status, outcome, source._error)
        try:
            answer = self._lets_run(source._status, payload, outcome)
        except ConditionError as error:
            if note:
                self._note(False)
            return error
        if note:
            self._note(answer)
        if answer:
            return None
        wanted = "it had to succeed"
        if self._dependency_type is _CONDITIONAL:
            wanted = f"condition not met: {self._condition_description or 'success'}"
            if source._status in _NO_OUTCOME and self._evaluator is not None and not self._judges_any_end:
                wanted += ", which judges only what completed or failed"
        why = f"prerequisite {source._task_id!r} ended {source._status.value} ({wanted})"
        return TaskSkippedError(self._to, source._task_id, why)

    def _note(self, answer: Any) -> None:
        self._evaluation = answer
        self._evaluated_at = time.time()
        self._satisfied = bool(answer)
        owner = None if self._target is None else self._target._owner
        if owner is not None and owner._recorder is not None:
            owner._recorder.judged(self)

    def _guard(self) -> None:
        if self._target is not None and not self._target.is_modifiable:
            link = f"dependency {self._from!r} -> {self._to!r}"
            remedy = "add a copy of that task (task.copy()), with the links that it is to have"
            raise ImmutableError(link, self._to, self._target._standing, remedy=remedy)

    def _edited(self) -> None:
        """Something was noted that decides nothing."""
        self._updated_at = time.time()
        if self._target is not None and self._target._owner is not None:
            self._target._owner._edited(self)

    def _forget(self) -> None:
        self._satisfied = False
        self._evaluation = None
        self._evaluated_at = None
        self._updated_at = time.time()

    def _changed(self) -> None:
        """It may be judged differently now."""
        self._forget()
        if self._target is not None and self._target._owner is not None:
            self._target._owner._line_changed(self)

    def copy(self) -> TaskStarLine:
        """A link that says the same, of no constellation, with the same id."""
        return TaskStarLine(
            self._from,
            self._to,
            self._dependency_type,
            self._condition_description,
            self._evaluator,
            self.line_id,
            self._metadata,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with the keys of the API document. An evaluator is kept only when it is an `Expression`.

        Any other is marked as lost: the link that is read instead has an evaluator that raises when it is asked.
        """
        from galaxy_core.model.documents import line_to_dict

        return line_to_dict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> TaskStarLine:
        """The inverse of `to_dict`."""
        from galaxy_core.model.documents import line_from_dict

        return line_from_dict(document)
