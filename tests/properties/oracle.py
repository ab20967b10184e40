"""A naive oracle of outcomes: what may become of each task, by plain recomputation.

It knows nothing of lanes, queues or time. `outcomes` walks over every way in which a task's attempts can go, and over
the links in their order; in a world without losses and cancellations that leaves one end per task. `unexplained` looks
the other way: at what devices were asked to do, and whether that leads to the status that the kernel came to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from attrs import define, frozen

from galaxy_core import DependencyType, Effect, TaskStatus
from tests.properties.values import Plan, Step, TaskPlan

#: How often the kernel takes a task up again whose device went, before it gives it up; see `MAX_FAILOVERS`.
FAILOVERS = 10
FAILURES = frozenset({"says", "exits", "raises", "wrong"})
NEVER_RAN = frozenset({TaskStatus.CANCELLED, TaskStatus.SKIPPED, TaskStatus.UNKNOWN})


@frozen
class End:
    """One way in which a task may end; payload and exit code as a condition sees them."""

    status: TaskStatus
    value: Any = None
    exit_code: int | None = None


COMPLETED, FAILED = TaskStatus.COMPLETED, TaskStatus.FAILED
SKIPPED, CANCELLED, UNKNOWN = End(TaskStatus.SKIPPED), End(TaskStatus.CANCELLED), End(TaskStatus.UNKNOWN)


def _boom(end: End) -> bool:
    raise LookupError(end)


CONDITIONS: dict[str, Callable[[End], bool]] = {
    "yes": lambda end: True,
    "no": lambda end: False,
    "raises": _boom,
    "positive": lambda end: end.value > 0,  # raises for None
    "exit 3": lambda end: end.exit_code == 3,
}


def accepts(kind: DependencyType, condition: str | None, end: End) -> bool:
    """Whether a link lets its target run after this end of its source."""
    if kind in (DependencyType.UNCONDITIONAL, DependencyType.COMPLETION_ONLY):
        return True
    if kind is DependencyType.SUCCESS_ONLY or condition is None:
        return end.status is COMPLETED
    if end.status in NEVER_RAN:
        return False
    try:
        return bool(CONDITIONS[condition](end))
    except (LookupError, TypeError):
        return False


def _kinds(task: TaskPlan, step: Step, *, losses: bool) -> set[str]:
    """How one attempt can go: "done", a failure, "timeout", "refused" or "unknown"."""
    natural = {"drops": "unknown", "hangs": "timeout"}.get(step.end, step.end)
    kinds = {natural}
    if step.end != "hangs" and task.timeout_s is not None:
        if step.takes_s > task.timeout_s and not (step.deaf and natural == "done"):
            kinds = {"timeout"}  # the result of a deaf one counts, as it is there; its other ends do not
        elif step.takes_s == task.timeout_s:
            kinds.add("timeout")  # either may come first
    if losses:
        kinds.add("unknown")
    return kinds


def ends_alone(task: TaskPlan, *, losses: bool = False) -> frozenset[End]:
    """Every way in which a task may end that is allowed to run, over every way in which its attempts may go.

    With `losses`, any attempt may be lost with its device, and the last fitting device may go for good.
    """
    found: set[End] = {End(FAILED)} if losses else set()
    seen: set[tuple[int, int, int]] = set()
    todo = [(0, 0, 0)]  # attempts, retries, failovers so far
    while todo:
        attempts, retries, failovers = todo.pop()
        at = (min(attempts, len(task.steps) - 1), retries, failovers)
        if at in seen:
            continue
        seen.add(at)
        step = task.step(attempts)
        for kind in _kinds(task, step, losses=losses):
            if kind == "done":
                found.add(End(COMPLETED, step.value))
            elif kind == "unknown" and task.effect is Effect.ONCE:
                found.add(UNKNOWN)
            elif kind == "unknown":
                todo.append((attempts + 1, retries, failovers + 1)) if failovers < FAILOVERS else found.add(UNKNOWN)
            elif retries < task.retry_count and _as_retried(kind) in task.retried:
                todo.append((attempts + 1, retries + 1, failovers))
            else:
                found.add(End(FAILED, step.value, 3) if kind == "exits" else End(FAILED))
    return frozenset(found)


def _as_retried(kind: str) -> str:
    return "failed" if kind in FAILURES else kind


def outcomes(plan: Plan, *, losses: bool = False, cancels: bool = False) -> dict[str, frozenset[End]]:
    """Every end that each task may come to: one, unless attempts and deadlines tie or the world is not calm."""
    ends: dict[str, frozenset[End]] = {}
    for task in plan.tasks:
        into = [link for link in plan.links if link.target == task.task_id]
        answers = [{accepts(link.kind, link.condition, end) for end in ends[link.source]} for link in into]
        possible: set[End] = set()
        if all(True in answer for answer in answers):
            possible |= ends_alone(task, losses=losses)
        if any(False in answer for answer in answers):
            possible.add(SKIPPED)
        if cancels:
            possible.add(CANCELLED)
        ends[task.task_id] = frozenset(possible)
    return ends


def start_order(plan: Plan, *, late: bool) -> list[str]:
    """The order in which one slot serves a plan of tasks that are tried once: by priority, then by age.

    A task's age counts from when it became ready; for a strategy that binds `late`, from when it was planned.
    """
    tasks = {task.task_id: task for task in plan.tasks}
    waits = {task_id: sum(link.target == task_id for link in plan.links) for task_id in tasks}
    skipped: set[str] = set()
    ready = sorted((task_id for task_id in tasks if not waits[task_id]), key=lambda one: -tasks[one].priority.value)
    order: list[str] = []
    while ready:
        planned = list(tasks)
        running = min(
            ready, key=lambda one: (-tasks[one].priority.value, planned.index(one) if late else ready.index(one))
        )
        ready.remove(running)
        order.append(running)
        (end,) = ends_alone(tasks[running])
        ended = [(running, end)]
        for source, how in ended:
            for link in [link for link in plan.links if link.source == source and link.target not in skipped]:
                waits[link.target] -= 1
                if not accepts(link.kind, link.condition, how):
                    skipped.add(link.target)
                    ended.append((link.target, SKIPPED))
                elif not waits[link.target]:
                    ready.append(link.target)
    return order


# ------------------------------------------------------------------------------------------------- the other way

#: Virtual clocks add floats.
BLINK_S = 1e-6


@define
class Try:
    """One attempt as its device saw it.

    `end` is what the session told the kernel (an end of `Step`, "lost" when the connection went, or "cancelled" when
    the kernel stopped it, at `stopped_at`); `stale` says that the lane had another session by then, or none.
    """

    run_id: str
    task: TaskPlan
    device_id: str
    number: int
    lease: int
    began_at: float
    end: str | None = None
    ended_at: float = 0.0
    stopped_at: float | None = None
    stale: bool = False
    told: str | None = None  # its end and its payload, when somebody else decides on them
    value: int | None = None

    @property
    def payload(self) -> int | None:
        """What it returns, if it returns anything."""
        return self.task.step(self.number - 1).value if self.told is None else self.value

    @property
    def late(self) -> bool:
        """Whether its deadline had come when it ended."""
        return self.task.timeout_s is not None and self.ended_at >= self.began_at + self.task.timeout_s - BLINK_S

    def kinds(self) -> list[str]:
        """What the kernel may make of it: "done", "failed", "timeout", "refused", "unknown" or "cancelled"."""
        if self.end == "refused" and self.stale:
            return ["not started"]
        if self.end in ("drops", "lost", "unknown") or self.stale:
            # That a deadline passed as well is no reason to run again what may have run.
            return ["unknown", "timeout"] if self.late and self.task.effect is not Effect.ONCE else ["unknown"]
        if self.end == "cancelled":
            return ["timeout" if self.late else "cancelled"]
        kind = _as_retried(str(self.end))
        return [kind, "timeout"] if self.late and kind != "done" else [kind]


def unexplained(
    task: TaskPlan, tries: Sequence[Try], status: TaskStatus, *, cancels: bool, unplaced: bool
) -> Iterator[str]:
    """What is wrong with the attempts at a task, or with the status that they led to.

    `cancels` says that somebody may have cancelled it, `unplaced` that it failed because there was no device (any more).
    """
    retries = failovers = 0
    for one in tries if unplaced else tries[:-1]:
        again = [kind for kind in one.kinds() if _taken_up_again(kind, task)]
        if not again:
            yield f"attempt {one.number} ended {one.kinds()}, and the task ran again"
        elif again[0] in ("unknown", "not started"):
            failovers += 1
        else:
            retries += 1
    if retries > task.retry_count:
        yield f"{retries} retries, {task.retry_count} are allowed"
    if failovers > FAILOVERS:
        yield f"{failovers} failovers, {FAILOVERS} are allowed"
    if not tries:
        if status in (COMPLETED, TaskStatus.UNKNOWN):
            yield f"it ended {status.value} without an attempt"
        return
    yield from _hurried(task, tries)
    allowed = {FAILED} if unplaced else _statuses(tries[-1])
    if cancels:
        allowed.add(TaskStatus.CANCELLED)
        if tries[-1].end == "done":
            allowed.add(COMPLETED)  # as nothing comes after it, its success may stand even if its device was lost
    if status not in allowed:
        yield f"its last attempt ended {tries[-1].kinds()}, and it is {status.value}"
    may_retry = retries < task.retry_count and set(tries[-1].kinds()) <= task.retried
    if status is FAILED and may_retry and not unplaced and not cancels:
        yield f"it failed after {retries} of {task.retry_count} retries"


def _taken_up_again(kind: str, task: TaskPlan) -> bool:
    return kind in task.retried or kind == "not started" or (kind == "unknown" and task.effect is not Effect.ONCE)


def _hurried(task: TaskPlan, tries: Sequence[Try]) -> Iterator[str]:
    for one, after in pairwise(tries):
        if after.began_at < one.ended_at + task.backoff_s * (1 - task.jitter) - BLINK_S:
            yield f"attempt {after.number} came {after.began_at - one.ended_at} s after attempt {one.number}"


def _statuses(last: Try) -> set[TaskStatus]:
    status = {"done": COMPLETED, "unknown": TaskStatus.UNKNOWN, "cancelled": None}
    return {found for kind in last.kinds() if (found := status.get(kind, FAILED)) is not None}
