"""TaskConstellation: a plan of tasks and links, as its users see it. What keeps it sound is in graph.py."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from galaxy_core.model import analysis
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.graph import Graph
from galaxy_core.model.result import TaskStatus, as_datetime
from galaxy_core.model.serial import Document
from galaxy_core.model.task import TaskStar

if TYPE_CHECKING:
    from galaxy_core.model.resolving import Resolution

_PENDING, _RUNNING, _WAITING = TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.WAITING_DEPENDENCY
_COMPLETED, _FAILED, _CANCELLED = TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED
_SKIPPED, _UNKNOWN = TaskStatus.SKIPPED, TaskStatus.UNKNOWN


class ConstellationState(Enum):
    """Where a whole plan stands; derived from its tasks."""

    CREATED = "created"
    READY = "ready"
    EXECUTING = "executing"
    COMPLETED = "completed"
    FAILED = "failed"
    PARTIALLY_FAILED = "partially_failed"
    CANCELLED = "cancelled"


class TaskConstellation(Graph, Document):
    """A plan: tasks and the links between them."""

    __slots__ = ()
    SCHEMA: ClassVar = "TaskConstellationSchema"

    def __repr__(self) -> str:
        return (
            f"<TaskConstellation {self._id!r} {self.state.value}: {len(self._tasks)} tasks, {len(self._lines)} links>"
        )

    # ------------------------------------------------------------------------------------------- what it is
    @property
    def constellation_id(self) -> str:
        """Unique among the constellations of a process."""
        return self._id

    @property
    def name(self) -> str:
        """For people; by default the id."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = name or self._id
        self._updated_at = time.time()
        self._told()

    @property
    def revision(self) -> int:
        """Raised by one by every committed edit; progress does not raise it."""
        return self._revision

    @property
    def tasks(self) -> dict[str, TaskStar]:
        """A copy of the mapping; the tasks are the live ones."""
        return dict(self._tasks)

    @property
    def dependencies(self) -> dict[str, TaskStarLine]:
        """Links by id: a copy of the mapping; the links are the live ones."""
        return {line.line_id: line for line in self._lines}

    @property
    def task_count(self) -> int:
        """The number of tasks."""
        return len(self._tasks)

    @property
    def dependency_count(self) -> int:
        """The number of links."""
        return len(self._lines)

    @property
    def metadata(self) -> dict[str, Any]:
        """A copy of whatever was noted beside the plan."""
        return dict(self._metadata)

    def update_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Merge `metadata` into what is noted."""
        self._metadata.update(metadata)
        self._updated_at = time.time()
        self._told()

    def _told(self) -> None:
        """Something of the plan apart from its tasks and links changed."""
        if self._recorder is not None:
            self._recorder.told()

    @property
    def created_at(self) -> datetime:
        """When the object was made, in UTC."""
        return as_datetime(self._created_at)  # type: ignore[return-value]

    @property
    def updated_at(self) -> datetime:
        """When the plan or a status last changed, in UTC."""
        return as_datetime(self._updated_at)  # type: ignore[return-value]

    @property
    def execution_start_time(self) -> datetime | None:
        """When its run started, in UTC."""
        return as_datetime(self._started_at)

    @property
    def execution_end_time(self) -> datetime | None:
        """When its run ended, in UTC."""
        return as_datetime(self._ended_at)

    @property
    def execution_duration(self) -> float | None:
        """Seconds of its run, 0 if the clock was set back further meanwhile; None while either end is missing."""
        if self._started_at is None or self._ended_at is None:
            return None
        return max(0.0, self._ended_at - self._started_at)  # between two processes of a run, a clock may be set back

    @property
    def state(self) -> ConstellationState:
        """Where it stands, from the counts of its tasks' statuses: O(1)."""
        counts, total = self._counts, len(self._tasks)
        completed, cancelled = counts[_COMPLETED], counts[_CANCELLED]
        failed = counts[_FAILED] + counts[_UNKNOWN]
        ended = completed + cancelled + failed + counts[_SKIPPED]
        if ended < total or not total:
            if self._executing or counts[_RUNNING] or ended:
                return ConstellationState.EXECUTING
            if total:
                return ConstellationState.READY
            return ConstellationState.CREATED if self._ended_at is None else ConstellationState.COMPLETED
        if cancelled and (self._cancelled or not (completed or failed)):
            return ConstellationState.CANCELLED
        wrong = failed or self._broken  # a condition that cannot be evaluated is no silent "not met"
        if wrong and not completed:
            return ConstellationState.FAILED
        return ConstellationState.PARTIALLY_FAILED if wrong or cancelled else ConstellationState.COMPLETED

    def update_state(self) -> None:
        """Kept for callers of the API document: the state is derived, so there is nothing to update."""

    # ------------------------------------------------------------------------------------------- its run
    def start_execution(self) -> None:
        """Its run starts."""
        self._executing = True
        self._cancelled = False
        self._started_at = self._updated_at = time.time()
        self._ended_at = None
        self._told()

    def complete_execution(self) -> None:
        """Its run is over."""
        self._executing = False
        self._ended_at = self._updated_at = time.time()
        self._told()

    def start_task(self, task_id: str) -> None:
        """Start a ready task.

        Raises:
            UnknownTaskError, TransitionError
        """
        self._known(task_id).start_execution()

    def resolve(self, task_id: str, as_: str, result: Any = None, by: str = "") -> Resolution:
        """Say how a task ended of which nobody knew (status `unknown`): `as_` is "completed", "failed" or "retry".

        What had been skipped because of it, and of nothing else, is open again, and judged by that end; with "retry" the
        task is pending again, which takes none of its retries. `result` is its payload, or ExecutionResult; without one
        it is what was known of its output. `by` says who says so, for those who keep records.

        Raises:
            UnknownTaskError: there is no such task.
            TransitionError: its status is another.
            PlanError: it cannot be resolved so.
        """
        from galaxy_core.model.resolving import resolve  # which works on these, and so imports them

        return resolve(self, task_id, as_, result, by)

    # ------------------------------------------------------------------------------------------- questions
    def get_task(self, task_id: str) -> TaskStar | None:
        """The live task of that id, or None."""
        return self._tasks.get(task_id)

    def get_all_tasks(self) -> list[TaskStar]:
        """All tasks, in the order of adding."""
        return list(self._tasks.values())

    def get_dependency(self, line_id: str) -> TaskStarLine | None:
        """The live link of that id, or None."""
        return self._lines_by_id.get(line_id)

    def get_all_dependencies(self) -> list[TaskStarLine]:
        """All links, in the order of adding."""
        return list(self._lines)

    def get_task_dependencies(self, task_id: str) -> list[TaskStarLine]:
        """The links into a task; none for an unknown id."""
        task = self._tasks.get(task_id)
        return list(task._in) if task is not None else []

    def get_task_dependents(self, task_id: str) -> list[TaskStarLine]:
        """The links out of a task; none for an unknown id."""
        task = self._tasks.get(task_id)
        return list(task._out) if task is not None else []

    def get_ready_tasks(self) -> list[TaskStar]:
        """What could start now: highest priority first, then oldest."""
        return sorted(self._ready, key=_urgency)

    def _of_status(self, *statuses: TaskStatus) -> list[TaskStar]:
        return [task for task in self._tasks.values() if task._status in statuses]

    def get_running_tasks(self) -> list[TaskStar]:
        """Tasks that run now."""
        return self._of_status(_RUNNING)

    def get_completed_tasks(self) -> list[TaskStar]:
        """Tasks that succeeded."""
        return self._of_status(_COMPLETED)

    def get_failed_tasks(self) -> list[TaskStar]:
        """Tasks that failed."""
        return self._of_status(_FAILED)

    def get_pending_tasks(self) -> list[TaskStar]:
        """Tasks that have not started, ready or not."""
        return self._of_status(_PENDING, _WAITING)

    def get_modifiable_tasks(self) -> list[TaskStar]:
        """Tasks that I3 allows to change."""
        return [task for task in self._tasks.values() if task.is_modifiable]

    def get_modifiable_dependencies(self) -> list[TaskStarLine]:
        """Links that I3 allows to change: those into modifiable tasks."""
        return [line for line in self._lines if line._target is not None and line._target.is_modifiable]

    def is_task_modifiable(self, task_id: str) -> bool:
        """Whether I3 allows to change a task; False for an unknown id."""
        task = self._tasks.get(task_id)
        return task is not None and task.is_modifiable

    def is_dependency_modifiable(self, line_id: str) -> bool:
        """Whether I3 allows to change a link; False for an unknown id."""
        line = self._lines_by_id.get(line_id)
        return line is not None and line._target is not None and line._target.is_modifiable

    def is_complete(self) -> bool:
        """Whether every task has ended; True when there is none. O(1)."""
        counts = self._counts
        return not (counts[_PENDING] or counts[_RUNNING] or counts[_WAITING])

    def count(self, status: TaskStatus) -> int:
        """The number of tasks in a status. O(1)."""
        return self._counts[status]

    def has_cycle(self) -> bool:
        """Whether there is a cycle. I2 says no; this looks, in O(tasks + links)."""
        return analysis.topological_order(self) is None

    def validate_dag(self) -> tuple[bool, list[str]]:
        """Whether the graph is sound, and what is wrong with it. Looks at everything, trusts no counter."""
        problems = analysis.graph_problems(self)
        return not problems, problems

    def get_topological_order(self) -> list[str]:
        """Ids, each after its prerequisites; ties in the order of adding.

        Raises:
            CycleError: there is none, which I2 rules out.
        """
        return [task.task_id for task in analysis.sorted_tasks(self)]

    # ------------------------------------------------------------------------------------------- analysis
    def get_longest_path(self) -> tuple[int, list[str]]:
        """The number of tasks on the longest path, and their ids."""
        return analysis.longest_path(self)

    def get_max_width(self) -> int:
        """The widest wave of Kahn's algorithm; `get_maximum_antichain` is the true maximum, at more cost."""
        return analysis.max_width(self)

    def get_maximum_antichain(self) -> list[str]:
        """The ids of a largest set of tasks of which none waits for another: how many could ever run at once.

        Up to tasks³ / 64 steps; `analysis.maximum_antichain` takes a larger limit.

        Raises:
            ValueError: there are more tasks than `analysis.ANTICHAIN_LIMIT`.
        """
        return analysis.maximum_antichain(self)

    def get_critical_path_length_with_time(self) -> tuple[float, list[str]]:
        """Seconds of the longest path by actual durations, and its ids; a task without one counts 0."""
        return analysis.timed_critical_path(self)

    def get_total_work(self) -> float:
        """Seconds of all durations together."""
        return analysis.total_work(self)

    def get_parallelism_metrics(self) -> dict[str, Any]:
        """Critical path length, total work, their ratio, and whether they count tasks or seconds."""
        return analysis.parallelism_metrics(self)

    def get_statistics(self) -> dict[str, Any]:
        """Everything that can be said in numbers, as plain data."""
        return analysis.statistics(self)

    def display_dag(self, mode: str = "overview") -> None:
        """Print the plan; `mode` is "overview", "topology", "details" or "execution".

        Raises:
            ValueError: another mode.
        """
        print(analysis.describe(self, mode))  # noqa: T201  the API document promises that it prints

    # ------------------------------------------------------------------------------------------- formats
    def copy(self, constellation_id: str | None = None) -> TaskConstellation:
        """The same plan, not started, under an id of its own: tasks, links, name and metadata. O(tasks + links)."""
        return TaskConstellation.build(
            [task.copy() for task in self._tasks.values()],
            [line.copy() for line in self._lines],
            constellation_id=constellation_id,
            name=None if self._name == self._id else self._name,
            metadata=self._metadata,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with the keys of the API document; see `model.documents`."""
        from galaxy_core.model.documents import constellation_to_dict  # documents builds these, so it imports them

        return constellation_to_dict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> TaskConstellation:
        """The inverse of `to_dict`: statuses, results and gating as they were.

        Raises:
            PlanError: a cycle, a link that leads nowhere, an id that stands twice.
        """
        from galaxy_core.model.documents import constellation_from_dict

        return constellation_from_dict(document)


def _urgency(task: TaskStar) -> int:
    """Highest priority first, then oldest: one number sorts three times as fast as a pair."""
    return task._index - (task._priority._value_ << 48)
