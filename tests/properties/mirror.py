"""A naive mirror of a run: statuses, links and retries, kept by plain rules and recomputed as a whole after each step.

It is told what attempts came to and what somebody did, and knows nothing of lanes, queues and workers but which devices
there are. It then says how every task has to stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import define

from galaxy_core import Effect, TaskPriority, TaskStatus
from tests.properties.oracle import BLINK_S, COMPLETED, FAILED, FAILOVERS, End, Try, accepts
from tests.properties.values import LinkPlan, Plan, TaskPlan

PENDING, RUNNING = TaskStatus.PENDING, TaskStatus.RUNNING
CANCELLED, SKIPPED, UNKNOWN = TaskStatus.CANCELLED, TaskStatus.SKIPPED, TaskStatus.UNKNOWN


@define(eq=False)
class Image:
    """How a task stands; `resumes_at` is when its back-off is over."""

    plan: TaskPlan
    status: TaskStatus = PENDING
    end: End | None = None
    attempts: int = 0
    retries: int = 0
    failovers: int = 0
    resumes_at: float = 0.0
    stopping: bool = False
    priority: TaskPriority = TaskPriority.MEDIUM

    @property
    def is_modifiable(self) -> bool:
        return self.status is PENDING and not self.attempts

    def finish(self, end: End) -> None:
        self.status, self.end = end.status, end


@define
class Mirror:
    """One run."""

    tasks: dict[str, Image]
    links: list[LinkPlan]
    cancelled: bool = False

    @classmethod
    def of(cls, plan: Plan) -> Mirror:
        return cls({task.task_id: Image(task) for task in plan.tasks}, list(plan.links))

    # ------------------------------------------------------------------------------------------- what somebody does
    def can_link(self, source: str, target: str) -> bool:
        """Whether a link may be added: I2 and I3."""
        return self.tasks[target].is_modifiable and source not in self._after(target)

    def _after(self, task_id: str) -> set[str]:
        found = {task_id}
        while more := {link.target for link in self.links if link.source in found} - found:
            found |= more
        return found

    def remove(self, task_id: str) -> None:
        del self.tasks[task_id]
        self.links = [link for link in self.links if task_id not in (link.source, link.target)]

    def cancel(self) -> None:
        """The whole run is cancelled: what runs is being stopped, everything else is at its end."""
        self.cancelled = True
        for task in self.tasks.values():
            self.cancel_task(task)

    def cancel_task(self, task: Image) -> None:
        if task.status is RUNNING:
            task.stopping = True
        elif task.status is PENDING:
            task.finish(End(CANCELLED))

    # ------------------------------------------------------------------------------------------- what devices say
    def began(self, one: Try) -> None:
        task = self.tasks[one.task.task_id]
        task.status, task.attempts = RUNNING, task.attempts + 1

    def ended(self, one: Try) -> None:
        """An attempt came to its end."""
        task, (kind, *others) = self.tasks[one.task.task_id], one.kinds()
        assert not others, f"{one} can be understood in several ways"
        once = task.plan.effect is Effect.ONCE
        if kind == "done":
            task.finish(End(COMPLETED, one.payload))
        elif kind == "unknown" and once:
            task.finish(End(UNKNOWN))
        elif task.stopping and kind in ("cancelled", "timeout", "unknown"):
            task.finish(End(CANCELLED))
        elif kind in ("unknown", "not started"):
            task.failovers += 1
            self._again(task, one, task.failovers, may=task.failovers <= FAILOVERS, end=End(UNKNOWN))
        else:
            may = kind in task.plan.retried and task.retries < task.plan.retry_count
            task.retries += may
            end = End(FAILED, one.payload, 3) if one.end == "exits" else End(FAILED)
            self._again(task, one, task.retries, may=may, end=end)

    def _again(self, task: Image, one: Try, number: int, *, may: bool, end: End) -> None:
        if may:
            task.status = PENDING
            task.resumes_at = one.ended_at + min(60.0, task.plan.backoff_s * 2.0 ** (number - 1))
        else:
            task.finish(end)

    # ------------------------------------------------------------------------------------------- what follows
    def settle(self, has_home: Callable[[Image], bool], now: float) -> None:
        """Work out what follows from all that, until nothing more does."""
        changed = True
        while changed:
            changed = False
            for task_id, task in self.tasks.items():
                if task.status is not PENDING:
                    continue
                if not task.attempts and False in self._answers(task_id):
                    task.finish(End(SKIPPED))
                    changed = True
                elif self.may_run(task_id, now) and not has_home(task):
                    task.finish(End(FAILED))
                    changed = True

    def _answers(self, task_id: str) -> Iterable[bool | None]:
        """For each link into a task whether it lets it run; None while its source has not ended."""
        for link in self.links:
            if link.target == task_id:
                end = self.tasks[link.source].end
                yield None if end is None else accepts(link.kind, link.condition, end)

    def is_ready(self, task_id: str) -> bool:
        """Whether every link lets a task run that is not running and has not ended."""
        task = self.tasks[task_id]
        return task.status is PENDING and (bool(task.attempts) or set(self._answers(task_id)) <= {True})

    def may_run(self, task_id: str, now: float) -> bool:
        """Whether a task is ready, and no back-off holds it."""
        return self.is_ready(task_id) and self.tasks[task_id].resumes_at <= now + BLINK_S

    @property
    def is_over(self) -> bool:
        return all(task.end is not None for task in self.tasks.values())
