"""What a board shows of a run that goes on, and of one whose journal fails: what is kept, and what is known."""

from __future__ import annotations

import time
from typing import Any

import pytest

from galaxy_core import (
    ConstellationEvent,
    Effect,
    Event,
    EventType,
    ExecutionResult,
    TaskConstellation,
    TaskEvent,
    TaskStar,
    TaskStarLine,
)
from galaxy_core.errors import JournalFailedError
from galaxy_core_cli.running.board import SMALL
from galaxy_core_cli.running.plain import FOUND, PlainLines

from .boards import (
    BEGIN,
    STARTED,
    complete,
    event,
    heard,
    looked,
    picture,
    plan,
    run_started,
    start,
)


# ------------------------------------------------------------------------------------------- a run that goes on
def under_way(size: int, effect: str = "once") -> tuple[TaskConstellation, ConstellationEvent]:
    """A plan whose tasks but the last were under way when its process died, and the event with which it goes on."""
    constellation = TaskConstellation(name="plan")
    for number in range(size):
        constellation.add_task(TaskStar(f"t{number}", target_device_id="pi", effect=Effect(effect)))
    for task in constellation.get_all_tasks()[:-1]:
        constellation.begin(task, BEGIN - 60)
    data = {"constellation": constellation, "total_tasks": size}
    return constellation, ConstellationEvent(EventType.CONSTELLATION_STARTED, "test", BEGIN, data, "c", "executing")


@pytest.mark.parametrize(
    ("effect", "said"),
    [("once", "waits for its end"), ("read", "it is ended first"), ("idempotent", "it is ended first")],
)
def test_what_was_under_way_before_a_run_went_on_is_at_work(effect: str, said: str) -> None:
    _, begun = under_way(2, effect)
    board = heard(TaskConstellation(name="plan"), [begun])
    _, first, second, footer = picture(board, 5)
    assert first.split()[1:5] == ["t0", "pi", "running", "1:05"]
    assert first.endswith(f"at work since before; {said}")
    assert (second.split()[2], footer) == ("waiting", "  1 running · 1 waiting")
    looked(board, 5, pi="disconnected")
    assert picture(board, 7)[1].endswith("at work since before; waits for device 'pi'")
    board.hear([event(EventType.TASK_COMPLETED, "t0", "completed", 6)])
    assert "at work" not in picture(board, 8)[1]


def test_what_is_left_at_work_is_not_told_as_not_started() -> None:
    _, begun = under_way(2)
    board = heard(TaskConstellation(name="plan"), [begun])
    board.hear([ConstellationEvent(EventType.CONSTELLATION_STOPPED, "kernel", BEGIN + 3, {}, "c", "stopped")])
    _, first, second, footer = picture(board, 5)
    assert first.split()[:5] == ["…", "t0", "pi", "at", "work"]
    assert first.endswith("left at work on pi; a resume asks what became of it")
    assert second.endswith("not started")
    assert footer == "  1 left at work · 1 waiting"


def test_what_starts_while_a_run_goes_on_was_not_under_way_before() -> None:
    constellation, begun = under_way(2)
    constellation.begin(constellation.get_all_tasks()[-1], BEGIN + 1)
    board = heard(TaskConstellation(name="plan"), [begun])
    assert list(board.running) == ["t0"]


# ------------------------------------------------------------------------------------- when the journal has failed
def chain(*effects: str) -> TaskConstellation:
    """Tasks t0, t1, ... of these effects, each after the one before, but for those that may run only once."""
    constellation = TaskConstellation(name="plan")
    for number, effect in enumerate(effects):
        constellation.add_task(TaskStar(f"t{number}", target_device_id="here", effect=Effect(effect)))
        if number and Effect.ONCE not in {Effect(effect), Effect(effects[number - 1])}:
            constellation.add_dependency(TaskStarLine(f"t{number - 1}", f"t{number}"))
    return constellation


def stopped(task_id: str, at: float) -> TaskEvent:
    return event(EventType.TASK_RETRYING, task_id, "running", at, wait_s=0.0, reason="stopped")


def left() -> ConstellationEvent:
    return ConstellationEvent(EventType.CONSTELLATION_STOPPED, "kernel", BEGIN + 3, {}, "c", "stopped")


def failed_journal(**more: Any) -> JournalFailedError:
    return JournalFailedError("r", "disk is full", **more)


def filled() -> tuple[TaskConstellation, list[Event]]:
    """`t0` goes on, `t1` is done, and `t2`, too, which was not kept, so that nobody heard of it; `t3` was about to start."""
    constellation = chain("once", "read", "read", "read", "read")
    first = [run_started(), start(constellation, "t0", 0), start(constellation, "t1", 0)]
    second = [complete(constellation, "t1", 1, "one\n"), start(constellation, "t2", 1)]
    complete(constellation, "t2", 2)
    return constellation, [*first, *second, stopped("t3", 2), left()]


def test_the_last_picture_of_a_run_whose_journal_failed_shows_what_is_kept() -> None:
    constellation, events = filled()
    board = heard(constellation, events)
    assert board.journal_failed(failed_journal(left={"t0": "here"}, unkept={"t2"})) == [board.rows["t2"]]
    header, *rows, footer = picture(board, 4)
    assert "  1/5  " in header
    assert [" ".join(row.split()) for row in rows] == [
        "… t0 here at work left at work on here; a resume asks what became of it",
        "✓ t1 there done 1.0s one",
        "↻ t2 here retry runs when the run is resumed",
        "· t3 waiting not started",
        "· t4 waiting after t3",
    ]
    assert footer == "  1 done · 1 left at work · 1 to be retried · 2 waiting"


def test_plain_lines_say_what_runs_again_though_it_was_told_as_done() -> None:
    """As it may be where starts and ends are told before they are kept."""
    constellation, events = filled()
    lines = PlainLines(constellation)
    told = list(lines.of([*events[:-2], event(EventType.TASK_COMPLETED, "t2", "completed", 2), *events[-2:]]))
    assert told[-2:] == [
        "[   2.0s] done      t2 on here (1.0s)",
        "[   2.0s] waiting   t3: runs when the run is resumed",
    ]
    failure = failed_journal(ended={"t0": "completed"}, unkept={"t0", "t1", "t2"})
    assert list(lines.journal_failed(failure)) == [
        "not kept  t1 on there: runs when the run is resumed",
        "not kept  t2 on here: runs when the run is resumed",
    ]
    header, first, *_, footer = picture(lines.board, 4)
    assert "  0/5  " in header
    assert first.split() == ["?", "t0", "here", "not", "kept", "completed;", "kept", "nowhere"]
    assert footer == "  2 to be retried · 2 waiting · 1 ended, which is not kept"


def test_of_a_run_of_which_nothing_is_kept_nothing_is_said_to_be_resumed() -> None:
    constellation, events = filled()
    board = heard(constellation, events)
    board.journal_failed(failed_journal(ended={"t0": "completed"}, unkept={"t0", "t1", "t2"}, is_kept=False))
    assert not any("resume" in line for line in picture(board, 4))


def test_of_a_large_plan_whose_journal_failed_only_what_is_kept_is_counted() -> None:
    constellation = plan(SMALL + 10)
    tasks = [f"t{number}" for number in range(20)]
    for task_id in tasks:
        constellation.get_task(task_id).effect = Effect.READ  # type: ignore[union-attr]
    events: list[Event] = [start(constellation, task_id, 0) for task_id in tasks]
    events += [complete(constellation, task_id, 1) for task_id in tasks]
    board = heard(constellation, [run_started(), *events, left()])
    board.journal_failed(failed_journal(unkept=tasks[5:]))
    header, footer = picture(board, 2)
    assert f"  5/{SMALL + 10}  " in header
    assert footer.startswith(f"  5 done · 15 to be retried · {SMALL - 10} waiting")


# ----------------------------------------------------------------------------------------------- what is known of it
@pytest.mark.parametrize("cut", [{"stdout_kept_bytes": 3}, {"truncated": True}])
@pytest.mark.parametrize("is_before", [False, True], ids=["now", "before"])
def test_a_line_of_an_output_that_is_cut_is_not_shown_as_its_last(cut: dict[str, Any], is_before: bool) -> None:
    constellation = plan(1)
    result = ExecutionResult("t0", "completed", stdout="a\nb", device_id="here", metadata={"settled": True, **cut})
    if is_before:
        task = constellation.get_task("t0")
        assert task is not None
        task.start_execution()
        task.complete_with_success(result)
        data = {"constellation": constellation, "total_tasks": 1}
        later = time.time() + 60
        begun = ConstellationEvent(EventType.CONSTELLATION_STARTED, "test", later, data, "c", "executing")
        board = heard(TaskConstellation(name="plan"), [begun])
    else:
        events = [run_started(), start(constellation, "t0", 0)]
        board = heard(constellation, [*events, event(EventType.TASK_COMPLETED, "t0", "completed", 1, result=result)])
    assert board.rows["t0"].line == "b …"


def test_an_attempt_has_the_number_that_its_task_has_counted_also_before_a_run_went_on() -> None:
    constellation = plan(1)
    lines = PlainLines(constellation)
    second = event(STARTED, "t0", "running", 1, attempt=2)
    assert list(lines.of([run_started(), second]))[1] == "[   1.0s] start     t0 on here (attempt 2)"


def test_plain_lines_begin_with_what_was_under_way_before() -> None:
    _, begun = under_way(2)
    lines = list(PlainLines(TaskConstellation(name="plan")).of([begun]))
    assert lines == ["plan: 2 tasks", "was under way: t0 on pi (asking what became of it)"]
    _, begun = under_way(FOUND + 4, "read")
    lines = list(PlainLines(TaskConstellation(name="plan")).of([begun]))
    assert lines[1] == "was under way: t0 on pi (ending what is found of it, and running it again)"
    assert (len(lines), lines[-1]) == (FOUND + 2, "and 3 more tasks")
