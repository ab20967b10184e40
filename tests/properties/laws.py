"""What must hold when a script has been played to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from galaxy_core import (
    AssignmentError,
    ConditionError,
    ConstellationEvent,
    EventType,
    StrategyError,
    TaskConstellation,
    TaskEvent,
    TaskStar,
    TaskStatus,
)
from tests.properties.oracle import COMPLETED, FAILED, unexplained
from tests.properties.world import World

END_OF = {
    TaskStatus.COMPLETED: EventType.TASK_COMPLETED,
    TaskStatus.FAILED: EventType.TASK_FAILED,
    TaskStatus.CANCELLED: EventType.TASK_CANCELLED,
    TaskStatus.SKIPPED: EventType.TASK_SKIPPED,
    TaskStatus.UNKNOWN: EventType.TASK_UNKNOWN,
}
FINAL_OF = {
    "completed": EventType.CONSTELLATION_COMPLETED,
    "partially_failed": EventType.CONSTELLATION_FAILED,
    "failed": EventType.CONSTELLATION_FAILED,
    "cancelled": EventType.CONSTELLATION_CANCELLED,
}


def broken_laws(world: World, results: Mapping[str, dict[str, Any]], was_cancelled: Callable[[str], bool]) -> list[str]:
    """Everything that is wrong, in words; nothing when all is well.

    `was_cancelled` says of a run whether somebody may have cancelled it, or one of its tasks.
    """
    problems = list(leaks(world))
    for run_id, constellation in world.constellations.items():
        problems += [f"{run_id}: {problem}" for problem in constellation.validate_dag()[1]]
        if not started(world, run_id):
            problems += [f"{run_id}: {problem}" for problem in _untouched(world, run_id)]
            continue
        cancels = was_cancelled(run_id)
        for task in constellation.get_all_tasks():
            problems += [
                f"{run_id}/{task.task_id}: {problem}" for problem in _of_task(world, run_id, task, cancels=cancels)
            ]
        problems += [f"{run_id}: {problem}" for problem in _of_events(world, run_id)]
        if run_id in results:
            problems += [f"{run_id}: {problem}" for problem in _of_result(constellation, results[run_id])]
    return problems


def started(world: World, run_id: str) -> bool:
    """Whether a run got as far as to start."""
    return any(kind is EventType.CONSTELLATION_STARTED for kind in _final_kinds(world, run_id))


def leaks(world: World) -> Iterator[str]:
    """Slots, queues, loads and runs that nobody gave back."""
    for device_id, lane in world.lanes.items():
        if lane.free != lane.device.max_concurrency:
            yield f"{device_id}: {lane.free} of {lane.device.max_concurrency} slots are free"
        if lane.queued:
            yield f"{device_id}: {lane.queued} entries in the queue, {len(lane.waiting())} of them valid"
        if lane.assigned or abs(lane.assigned_s) > 1e-9:
            yield f"{device_id}: {lane.assigned} tasks ({lane.assigned_s} s) are counted as assigned"
        if world.fakes[device_id].running:
            yield f"{device_id}: {world.fakes[device_id].running} still run there"
    book = world.manager.lane_book
    if book.runs or book.hungry:
        yield f"{len(book.runs)} runs and {len(book.hungry)} hungry ones are still in the book"
    if world.orchestrator.runs():
        yield "the orchestrator still holds a run"
    for run_id, constellation in world.constellations.items():
        if constellation._listener is not None:
            yield f"{run_id}: somebody still listens to the constellation"


def _untouched(world: World, run_id: str) -> Iterator[str]:
    if any(one.run_id == run_id for one in world.tries):
        yield "a run that never started had attempts"
    if any(isinstance(event, TaskEvent) and event.data["constellation_id"] == run_id for _, event in world.events):
        yield "a run that never started had events"


def _of_task(world: World, run_id: str, task: TaskStar, *, cancels: bool) -> Iterator[str]:
    tries = world.tries_of(run_id, task.task_id)
    if not task.is_terminal:
        yield f"the run is over, and it is {task.status.value}"
        return
    events = [event.event_type for event in _task_events(world, run_id, task.task_id)]
    ends = [kind for kind in events if kind in END_OF.values()]
    retried = [EventType.TASK_FAILED] * world.retried[run_id, task.task_id]
    if ends != [*retried, END_OF[task.status]]:
        yield f"it is {task.status.value}, and the ends that were told are {[kind.value for kind in ends]}"
    elif events[-1] is not ends[-1]:
        yield f"{events[-1].value} was told after its end"
    if any(one.end is None for one in tries):
        yield "an attempt never ended"
        return
    if (run_id, task.task_id) in world.by_hand or (run_id, task.task_id) in world.handled:
        return
    starts = events.count(EventType.TASK_STARTED)
    # Of an attempt that is recorded its device hears when that is kept: one that is interrupted before is never heard of.
    if not task.attempts == starts == len(tries) + world.unsent[task.task_id]:
        yield f"{len(tries)} attempts, {starts} were told, {task.attempts} are counted"
    unplaced = isinstance(task.error, AssignmentError | StrategyError)
    plan = world.plans[run_id, task.task_id]
    yield from unexplained(plan, tries, task.status, cancels=cancels, unplaced=unplaced)
    yield from _of_status(world, run_id, task, cancels=cancels)


def _of_status(world: World, run_id: str, task: TaskStar, *, cancels: bool) -> Iterator[str]:
    tries = world.tries_of(run_id, task.task_id)
    unplaced = isinstance(task.error, AssignmentError | StrategyError)
    if task.status is TaskStatus.SKIPPED:
        if tries:
            yield "it is skipped, and was attempted"
        cause = getattr(task.error, "cause_id", None)
        if not any(text.startswith(f"{cause} ended") for text in world.refusing(run_id, task.task_id, surely=False)):
            yield f"it is skipped because of {cause}, whose link does not say so"
    elif task.status is TaskStatus.CANCELLED and not cancels:
        yield "it is cancelled, and nobody cancelled"
    elif task.status in (COMPLETED, FAILED) and not tries and not unplaced:
        yield f"it is {task.status.value} without an attempt: {task.error!r}"
    if task.status is not TaskStatus.SKIPPED and tries and task.error is None and task.status is not COMPLETED:
        yield f"it is {task.status.value} without an error"


def _task_events(world: World, run_id: str, task_id: str) -> list[TaskEvent]:
    return [
        event
        for _, event in world.events
        if isinstance(event, TaskEvent) and event.task_id == task_id and event.data["constellation_id"] == run_id
    ]


def _final_kinds(world: World, run_id: str) -> list[EventType]:
    return [
        event.event_type
        for _, event in world.events
        if isinstance(event, ConstellationEvent) and event.constellation_id == run_id
    ]


def _of_events(world: World, run_id: str) -> Iterator[str]:
    source = f"orchestrator_{run_id}"
    kinds = [event.event_type for _, event in world.events if event.source_id == source]
    finals = [kind for kind in kinds if kind in FINAL_OF.values()]
    if kinds.count(EventType.CONSTELLATION_STARTED) != 1 or kinds[0] is not EventType.CONSTELLATION_STARTED:
        yield "its start was not told first, once"
    state = world.constellations[run_id].state.value
    if finals != [FINAL_OF[state]] or kinds[-1] is not finals[0]:
        yield f"it is {state}, and its end was told as {[kind.value for kind in finals]}, last {kinds[-1].value}"


def _of_result(constellation: TaskConstellation, result: dict[str, Any]) -> Iterator[str]:
    tasks = constellation.tasks
    if list(result["results"]) != list(tasks) or result["total_tasks"] != len(tasks):
        yield f"results of {list(result['results'])}, tasks are {list(tasks)}"
        return
    for task_id, one in result["results"].items():
        if one.status is not tasks[task_id].status or one.attempts != tasks[task_id].attempts:
            yield f"the result of {task_id} says {one.status} after {one.attempts} attempts"
    counts = Counter(task.status for task in tasks.values())
    if result["statistics"]["task_status_counts"] != {status.value: count for status, count in counts.items()}:
        yield f"the statistics count {result['statistics']['task_status_counts']}"
    unjudged = sum(isinstance(task.error, ConditionError) for task in tasks.values())
    bad = counts[FAILED] + counts[TaskStatus.UNKNOWN] + unjudged
    expected = "completed" if not bad else "partially_failed" if counts[COMPLETED] else "failed"
    if result["status"] != expected and not counts[TaskStatus.CANCELLED]:
        yield f"its status is {result['status']}, and should be {expected}"
