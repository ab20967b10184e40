"""The board keeps up with events, and its picture fits the terminal, whatever the size of the plan."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from galaxy_core import (
    ConstellationEvent,
    EventType,
    TaskConstellation,
    TaskStar,
    TaskStarLine,
    Why,
)
from galaxy_core.errors import RunError, TaskFailedError, TaskSkippedError
from galaxy_core_cli.running.board import RECENT, SMALL, Board, error_line
from galaxy_core_cli.running.picture import ASCII, UNICODE, Painter, signs_for

from .boards import (
    BEGIN,
    OUTPUT,
    STARTED,
    Waits,
    complete,
    event,
    fail,
    heard,
    looked,
    picture,
    plan,
    run_started,
    start,
)


def test_a_row_follows_its_task_from_start_to_end() -> None:
    constellation = plan(1)
    board = heard(constellation, [run_started(), start(constellation, "t0", 1)])
    [row] = board.running.values()
    assert (row.status, row.device, row.attempts, row.elapsed(BEGIN + 3)) == ("running", "here", 1, 2)
    board.hear([event(OUTPUT, "t0", "running", 2, text="half a li", stream="stdout")])
    assert row.line == "half a li"
    board.hear([event(OUTPUT, "t0", "running", 2, text="ne\nnext\n\n", stream="stdout")])
    assert row.line == "next"
    board.hear([complete(constellation, "t0", 4)])
    assert (row.status, row.device, row.elapsed(BEGIN + 9)) == ("completed", "there", 3)
    assert not board.running
    assert list(board.recent) == [row]


def test_a_progress_bar_that_a_task_draws_is_one_line() -> None:
    constellation = plan(1)
    board = heard(
        constellation, [start(constellation, "t0", 0), event(OUTPUT, "t0", "running", 0, text="10%\r20%\r30%")]
    )
    assert board.rows["t0"].line == "30%"


def test_a_retry_waits_and_starts_again() -> None:
    constellation = plan(1)
    board = heard(constellation, [start(constellation, "t0", 0)])
    error = TaskFailedError("t0", "exit status 2")
    board.hear([event(EventType.TASK_RETRYING, "t0", "pending", 1, error, wait_s=2.5)])
    assert board.retrying["t0"].note == "again in 2.5s: exit status 2"
    assert not board.running
    board.hear([event(STARTED, "t0", "running", 4)])
    assert (board.running["t0"].attempts, board.running["t0"].note) == (2, "")
    assert not board.retrying


def test_a_back_off_is_counted_down() -> None:
    constellation = plan(1)
    board = heard(constellation, [run_started(), start(constellation, "t0", 0)])
    error = TaskFailedError("t0", "exit status 2")
    board.hear([event(EventType.TASK_RETRYING, "t0", "pending", 1, error, wait_s=60)])
    assert picture(board, 1)[1].endswith("again in 1:00: exit status 2")
    assert picture(board, 31)[1].endswith("again in 30s: exit status 2")
    assert picture(board, 62)[1].endswith("waits for its turn: exit status 2")


def test_what_waits_says_for_which_device_as_long_as_there_is_a_run_to_ask() -> None:
    painter = Painter(heard(plan(1), [run_started()]), UNICODE)

    def shown() -> str:
        return painter.frame(BEGIN, 100, 30)[1].plain.rstrip()

    def over(task_id: str) -> object:
        raise RunError("the constellation does not run")

    assert shown().endswith("waits for its turn")
    painter.why = lambda task_id: Waits(task_id, "device")
    assert shown().endswith("  waits for 'it'")
    painter.why = lambda task_id: Waits(task_id, "starting")
    assert shown().endswith("waits for its turn")
    painter.why = over
    assert shown().endswith("waits for its turn")


def test_of_a_run_that_is_being_stopped_every_row_says_what_becomes_of_its_task() -> None:
    constellation = plan(3)
    begun = [start(constellation, name, 0) for name in ("t0", "t1")]
    said = event(OUTPUT, "t0", "running", 0, text="half way\n", stream="stdout")
    board = heard(constellation, [run_started(), *begun, said])
    error = TaskFailedError("t1", "the run was stopped")
    board.hear([event(EventType.TASK_RETRYING, "t1", "pending", 1, error, wait_s=0.0, reason="stopped")])
    painter = Painter(board, UNICODE)
    painter.why = lambda task_id: Waits(task_id, "paused")
    painter.is_stopping = lambda: False
    before = [line.plain.rstrip() for line in painter.frame(BEGIN + 2, 100, 30)]
    assert ("stopping" in before[0], before[1].endswith("s  half way")) == (False, True)
    painter.is_stopping = lambda: True
    heading, first, second, third, _ = [line.plain.rstrip() for line in painter.frame(BEGIN + 2, 100, 30)]
    assert heading.endswith("  stopping")
    assert first.endswith("the run waits for its end: half way")
    assert second.endswith("runs when the run is resumed")
    assert third.endswith("  waits for 'it'")  # as the run says
    board.hear([ConstellationEvent(EventType.CONSTELLATION_STOPPED, "kernel", BEGIN + 3, {}, "c", "stopped")])
    over = [line.plain.rstrip() for line in painter.frame(BEGIN + 4, 100, 30)]
    assert ("stopping" in over[0], over[3].endswith("not started")) == (False, True)


def test_the_time_that_is_left_never_rises_while_nothing_ends() -> None:
    constellation = plan(10)
    board = heard(constellation, [run_started()])
    for number in range(5):
        board.hear([start(constellation, f"t{number}", number), complete(constellation, f"t{number}", number + 1)])
    board.hear([start(constellation, "t5", 5)])
    assert [board.eta_s(BEGIN + at) for at in (5, 7, 9.5, 10, 500)] == [5, 3, 0.5, None, None]


def test_a_skipped_task_says_why() -> None:
    constellation = plan(1)
    board = heard(
        constellation, [event(EventType.TASK_SKIPPED, "t0", "skipped", 0, TaskSkippedError("t0", "a", "because"))]
    )
    assert (board.rows["t0"].status, board.rows["t0"].note) == ("skipped", "because")


def test_an_error_is_one_harmless_line_without_the_name_that_stands_beside_it() -> None:
    assert error_line("a", TaskSkippedError("a", "b", "because\x1b[2J\nof it")) == r"because\x1b[2J\nof it"
    assert error_line("a", TimeoutError()) == "TimeoutError"


def test_of_a_large_plan_only_what_moves_is_remembered() -> None:
    constellation = plan(2000)
    board = heard(constellation, [run_started()])
    for number in range(1990):
        board.hear([start(constellation, f"t{number}", number)])
        board.hear([(fail if number == 5 else complete)(constellation, f"t{number}", number + 1)])
    board.hear([start(constellation, f"t{number}", 1990) for number in range(1990, 2000)])
    assert len(board.rows) == len(board.running) == 10
    assert len(board.recent) == RECENT
    lines = picture(board, 1995, height=30)
    assert len(lines) <= 30
    assert "1,990/2,000" in lines[0]
    assert "about 5.0s left" in lines[0]
    assert "t5" in lines[1]  # what failed stays in sight
    assert all(any(f" t{number} " in line for line in lines) for number in range(1990, 2000))
    assert lines[-1] == "  1,989 done · 10 running · 1 failed"


def test_more_running_tasks_than_lines_are_counted() -> None:
    constellation = plan(SMALL + 100)
    board = heard(constellation, [run_started(), *(start(constellation, f"t{number}", 0) for number in range(60))])
    lines = picture(board, 1, height=20)
    assert len(lines) <= 20
    assert lines[-1] == "  60 running · 240 waiting · 43 more not shown"


def test_what_ended_last_keeps_a_third_of_the_lines_however_much_runs() -> None:
    constellation = plan(SMALL + 100)
    board = heard(constellation, [run_started()])
    for number in range(50):
        board.hear([start(constellation, f"t{number}", 0), complete(constellation, f"t{number}", 1)])
    board.hear([start(constellation, f"t{number}", 0) for number in range(50, 150)])
    words = [line.split()[3] for line in picture(board, 1, height=33)[1:-1]]
    assert words == ["done"] * 10 + ["running"] * 20


def test_a_small_plan_has_a_line_for_each_task_in_an_order_that_respects_links() -> None:
    constellation = plan(3)
    constellation.add_dependency(TaskStarLine("t2", "t0"))
    board = heard(constellation, [run_started(), start(constellation, "t2", 1)])
    header, t1, t2, t0, footer = picture(board, 2.5)
    assert header.split() == ["plan", "─" * 24, "0/3", "2.5s"]
    assert t1.split() == ["·", "t1", "waiting", "waits", "for", "its", "turn"]
    assert t2.split() == ["⠴", "t2", "here", "running", "1.5s"]
    assert t0.split() == ["·", "t0", "waiting", "after", "t2"]
    assert footer == "  1 running · 2 waiting"


def test_before_the_run_starts_devices_are_being_connected() -> None:
    assert picture(Board(plan(1)), 0)[0] == "plan  connecting"


def test_names_and_outputs_cannot_act_on_the_terminal() -> None:
    constellation = plan(1, "evil\x1b[2J\nname")
    board = heard(
        constellation, [start(constellation, "t0", 0), event(OUTPUT, "t0", "running", 0, text="\x1b]0;x\x07\x9b2Jhi")]
    )
    text = "".join(picture(board, 1))
    assert r"evil\x1b[2J\nname" in text
    assert not [character for character in text if ord(character) < 32 or 127 <= ord(character) < 160]


@given(st.integers(1, 300), st.integers(1, 200), st.integers(1, 60), st.sampled_from(["a", "語", "é" * 40, "x" * 300]))
def test_a_picture_fits_whatever_the_terminal(size: int, width: int, height: int, word: str) -> None:
    constellation = plan(size, word)
    board = heard(
        constellation, [run_started(), *(start(constellation, f"t{number}", 0) for number in range(min(9, size)))]
    )
    board.hear([event(OUTPUT, "t0", "running", 0, text=word)])
    lines = picture(board, 1, width, height)
    assert len(lines) <= max(height, 4)
    assert all(cell_len(line) <= width for line in lines)


@pytest.mark.parametrize(
    ("encoding", "signs"), [("utf-8", UNICODE), ("ascii", ASCII), ("latin-1", ASCII), (None, ASCII), ("?", ASCII)]
)
def test_a_terminal_that_cannot_show_the_signs_gets_plainer_ones(encoding: str | None, signs: object) -> None:
    assert signs_for(encoding) is signs


# ------------------------------------------------------------------------------------------- devices that are away


def test_a_device_that_is_gone_is_told_of_with_who_waits_for_it_until_it_is_back() -> None:
    constellation = TaskConstellation(name="plan")
    for name, device in (("a", "it"), ("b", "it"), ("c", "here")):
        constellation.add_task(TaskStar(name, target_device_id=device))
    board = heard(constellation, [run_started()])
    assert looked(board, 1, it="disconnected", here="idle")
    assert picture(board, 3)[-2] == "  ↻ device it is being reached again (2.0s); a, b wait: the wire was cut"
    assert looked(board, 4, it="connecting", here="busy")
    assert not looked(board, 5, it="connecting", here="idle")
    assert "(4.0s); a, b wait" in picture(board, 5)[-2]
    assert looked(board, 6, it="idle", here="idle")
    assert not any("being reached" in line for line in picture(board, 6))


def test_a_device_that_nobody_tries_any_more_is_told_of() -> None:
    board = heard(plan(1), [run_started()])
    looked(board, 1, it="failed")
    assert picture(board, 1)[-2] == "  ✗ device it cannot be reached: the wire was cut"
    board.hear([ConstellationEvent(EventType.CONSTELLATION_FAILED, "test", BEGIN + 2, {}, "c", "failed")])
    assert not any("cannot be reached" in line for line in picture(board, 3))


def test_devices_that_are_connected_soon_are_not_worth_a_line() -> None:
    board = Board(plan(1))
    board.look({"here": {"status": "connecting", "error": None}}, BEGIN)
    assert not any("being reached" in line for line in picture(board, 0.5))
    assert picture(board, 2)[-2] == "  ↻ device here is being reached (2.0s); t0 waits"


@pytest.mark.parametrize("height", [4, 5, 12])
def test_many_devices_that_are_away_leave_room_for_tasks(height: int) -> None:
    board = heard(plan(50), [run_started()])
    looked(board, 1, **{f"d{number}": "failed" for number in range(30)})
    lines = picture(board, 2, 100, height)
    assert len(lines) <= height
    if height == 12:
        assert "    and 27 more devices" in lines


def test_a_task_that_waits_for_a_device_that_is_away_says_so_in_few_words() -> None:
    board = heard(plan(1), [run_started()])
    looked(board, 1, here="connecting")
    painter = Painter(board, UNICODE)
    painter.why = lambda task_id: Why(task_id, "device", "task 't0' waits for device 'here', which is …", ("here",))
    assert painter.frame(BEGIN + 2, 100, 24)[1].plain.endswith("waits for device 'here'")


def test_a_name_stands_beside_the_id_if_it_says_more() -> None:
    constellation = TaskConstellation(name="plan")
    for task_id, name in (("a", "Fetch\x1b[2J it"), ("fetch-it", "Fetch it"), ("c", "")):
        constellation.add_task(TaskStar(task_id, name, target_device_id="here"))
    rows = [line.split("waiting")[0].strip() for line in picture(heard(constellation, [run_started()]), 1)[1:4]]
    assert rows == [r"· a (Fetch\x1b[2J it)", "· fetch-it", "· c"]
