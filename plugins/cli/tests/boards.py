"""Events of runs that never were, and what a board makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from galaxy_core import (
    ConstellationEvent,
    Event,
    EventType,
    ExecutionResult,
    TaskConstellation,
    TaskEvent,
    TaskStar,
)
from galaxy_core.errors import TaskFailedError
from galaxy_core_cli.running.board import Board
from galaxy_core_cli.running.picture import UNICODE, Painter

STARTED, OUTPUT = EventType.TASK_STARTED, EventType.TASK_OUTPUT
BEGIN = 1000.0


@frozen
class Waits:
    """What a run answers that is asked for what a task waits."""

    task_id: str
    kind: str

    def __str__(self) -> str:
        return f"task {self.task_id!r} waits for 'it'"


def plan(size: int, name: str = "plan") -> TaskConstellation:
    constellation = TaskConstellation(name=name)
    for number in range(size):
        constellation.add_task(TaskStar(f"t{number}", description="x", target_device_id="here"))
    return constellation


def event(
    kind: EventType, task_id: str, status: str, at: float, error: Any = None, result: Any = None, **data: Any
) -> TaskEvent:
    return TaskEvent(kind, "test", BEGIN + at, data, task_id, status, result, error)


def run_started() -> ConstellationEvent:
    return ConstellationEvent(EventType.CONSTELLATION_STARTED, "test", BEGIN, {}, "c", "executing")


def start(constellation: TaskConstellation, task_id: str, at: float) -> TaskEvent:
    task = constellation.get_task(task_id)
    assert task is not None
    task.start_execution()
    return event(STARTED, task_id, "running", at)


def complete(constellation: TaskConstellation, task_id: str, at: float, stdout: str = "") -> TaskEvent:
    task = constellation.get_task(task_id)
    assert task is not None
    task.complete_with_success()
    result = ExecutionResult(task_id, "completed", stdout=stdout, device_id="there")
    return event(EventType.TASK_COMPLETED, task_id, "completed", at, result=result)


def fail(constellation: TaskConstellation, task_id: str, at: float) -> TaskEvent:
    task = constellation.get_task(task_id)
    assert task is not None
    error = TaskFailedError(task_id, "exit status 2")
    task.complete_with_failure(error)
    return event(EventType.TASK_FAILED, task_id, "failed", at, error)


def picture(board: Board, at: float, width: int = 100, height: int = 30) -> list[str]:
    return [line.plain.rstrip() for line in Painter(board, UNICODE).frame(BEGIN + at, width, height)]


def heard(constellation: TaskConstellation, events: Sequence[Event]) -> Board:
    board = Board(constellation)
    board.hear(events)
    return board


def looked(board: Board, at: float, **statuses: str) -> bool:
    """Have the board look at devices as `get_all_devices` tells of them."""
    error = "device 'it' is lost: the wire was cut"
    return board.look({name: {"status": status, "error": error} for name, status in statuses.items()}, BEGIN + at)
