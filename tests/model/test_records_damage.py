"""Records that cannot be: each is refused with its number and the reason, and what stands before it counts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from galaxy_core import DependencyType, TaskConstellation, TaskStar, TaskStarLine, replay
from galaxy_core.errors import JournalDamagedError, JournalVersionError
from galaxy_core.model.records import encode
from galaxy_core.model.records.header import Header
from galaxy_core.model.records.replay import Replay
from galaxy_core.model.result import TaskStatus

HEADER = Header("1.0", "run-1", "mark-1", 1.0)


def plan() -> TaskConstellation:
    tasks = [TaskStar(task_id, description="x") for task_id in "abc"]
    lines = [
        TaskStarLine("a", "b", DependencyType.SUCCESS_ONLY, line_id="ab"),
        TaskStarLine("b", "c", DependencyType.SUCCESS_ONLY, line_id="bc"),
    ]
    return TaskConstellation.build(tasks, lines, constellation_id="run-1")


def begun() -> list[str]:
    """A run whose task "a" runs under lease 7."""
    live = plan()
    lines = [encode.header(0, HEADER.to_dict()), *encode.whole_plan(1, live)]
    live.begin(live._tasks["a"], 10.0)
    return [*lines, encode.start(len(lines), "a", 7, 1, "d1", live._tasks["a"]._started_at or 0.0)]


N = len(begun())
HEAD = json.loads(begun()[1])[2]
IMAGE: dict[str, Any] = {"tasks": [], "links": [], "gone_tasks": [], "gone_links": [], "head": HEAD}
END = [N, "end", "a", 1, 7, "completed", 11.0, {}, None, False]
LEAN = {"task_id": "new", "created_at": 1.0}
WRONG: list[tuple[str, Any, str]] = [
    ("no JSON", "{", "is no JSON"),
    ("cut off", '[5,"sent","a",', "is no JSON"),
    ("a constant that is no JSON", f'[{N},"pause",NaN,""]', "NaN"),
    ("nested without end", f'[{N},"end",{"[" * 5000}', "is no JSON"),
    ("a number of very many digits", f'[{N},"pause",{"9" * 5000},""]', "is no JSON"),
    ("no list", "{}", "no list of a number"),
    ("too short", f"[{N}]", "no list of a number"),
    ("a number that is true", '[true,"sent","a",7]', "no list of a number"),
    ("a number left out", [N + 1, "sent", "a", 7], f"has the number {N + 1}"),
    ("a number doubled", [N - 1, "sent", "a", 7], f"has the number {N - 1}"),
    ("an unknown kind", [N, "sprout", "a"], "unknown kind 'sprout'"),
    ("a kind that is no text", [N, ["sent"], "a"], "unknown kind"),
    ("a second header", [N, "galaxy", HEADER.to_dict()], "the first is 'galaxy'"),
    ("a second plan", [N, "plan", HEAD, 0, 0], "the second 'plan'"),
    ("tasks after the plan was whole", [N, "tasks", [], 1.0], "0 tasks and 0 links"),
    ("too few parts", [N, "start", "a"], "not as it has to be"),
    ("too many parts", [N, "sent", "a", 7, 8], "not as it has to be"),
    ("a start of a task that is not there", [N, "start", "x", 1, 8, "d1", 11.0], "no task 'x'"),
    ("a start of a task that runs", [N, "start", "a", 2, 8, "d1", 11.0], "is running"),
    ("a start before the prerequisite ended", [N, "start", "b", 1, 8, "d1", 11.0], "waits for 'a'"),
    ("an end of a task that is not there", [N, "end", "x", *END[3:]], "no task 'x'"),
    ("an end under another lease", [*END[:4], 8, *END[5:]], "lease 8 ends, and attempt 1 with lease 7 runs"),
    ("an end of another attempt", [*END[:3], 2, *END[4:]], "attempt 2"),
    ("an end of what does not run", [N, "end", "b", *END[3:]], "no attempt runs"),
    ("an end that is none", [*END[:5], "running", *END[6:]], "running"),
    ("an end at no time", [*END[:6], "noon", *END[7:]], "not as it has to be"),
    ("a result that is none", [*END[:7], "fine", *END[8:]], "not as it has to be"),
    ("an error that is none", [*END[:8], {"text": 5}, False], "type and text"),
    ("a link that is not there", [N, "link", "zz", True, True, 1.0, False, 1.0], "no link 'zz'"),
    ("a skip of what runs", [N, "skip", "a", 1.0, None], "is running"),
    ("a withdrawal of what runs", [N, "cancel", ["a"], 1.0, "enough", False], "is running"),
    ("a retry of what is not there", [N, "again", "x", 1, "failed", 1.0, 1.0, 0, None], "no task 'x'"),
    ("an image without its parts", [N, "image", {}], "gone_links"),
    ("an image of nothing that is there", [N, "image", {**IMAGE, "gone_tasks": ["x"]}], "no task 'x'"),
    ("an image that takes out a link that is not there", [N, "image", {**IMAGE, "gone_links": ["x"]}], "there is none"),
    ("an image of a link that leads nowhere", [N, "image", {**IMAGE, "links": [{"line_id": "z", "from": "a", "to": "z", "created_at": 1.0}]}], "not both there"),
    ("an image of a task of a wrong kind", [N, "image", {**IMAGE, "tasks": [{**LEAN, "name": 5}]}], "name"),
    ("an image of a task with an unknown status", [N, "image", {**IMAGE, "tasks": [{**LEAN, "status": "fine"}]}], "fine"),
    ("an epoch that was before", [N, "opened", {"format": 1, "epoch": 1, "mark": "m", "at": 1.0}], "epoch 1 cannot follow"),
    ("a mark that was before", [N, "opened", {"format": 1, "epoch": 2, "mark": "mark-1", "at": 1.0, "version": "1", "plugins": {}, "head": HEAD}], "mark"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "why"), [pytest.param(line, why, id=name) for name, line, why in WRONG])
def test_a_record_that_cannot_be_is_refused_with_its_number(line: Any, why: str) -> None:
    lines = begun()
    with pytest.raises(JournalDamagedError) as refused:
        replay([*lines, line if isinstance(line, str) else json.dumps(line)])
    error = refused.value
    assert (error.run_id, error.sound) == ("run-1", N)
    assert why in str(error)
    assert f"record {N}" in str(error)
    assert replay(lines).count == N


def test_an_attempt_number_is_not_given_twice() -> None:
    lines = begun()
    lines.append(json.dumps([N, "again", "a", 1, "lost", 1.0, 11.0, 0, None]))
    lines.append(json.dumps([N + 1, "start", "a", 1, 8, "d1", 12.0]))
    with pytest.raises(JournalDamagedError, match="attempt 1 of task 'a' follows its attempt 1"):
        replay(lines)


def test_a_task_ends_once() -> None:
    lines = [*begun(), json.dumps(END), json.dumps([N + 1, *END[1:4], 0, *END[5:], {}])]
    with pytest.raises(JournalDamagedError, match="has ended"):
        replay(lines)


def test_every_part_of_a_record_is_looked_at() -> None:
    """Whatever stands in the place of a part, there is a plan afterwards, or an error of the tree."""
    live, lines = plan(), begun()
    line = live._lines_by_id["ab"]
    sound = [json.loads(text) for text in lines]
    sound += [END, json.loads(encode.link(N, line)), [N, "skip", "b", 1.0, {"type": "TaskSkippedError", "text": "x"}]]
    sound += [[N, "image", {**IMAGE, "tasks": [LEAN]}], [N, "sent", "a", 7], [N, "over", "completed", 1.0, HEAD]]
    wrongs: list[Any] = [None, True, -1, 1e400, "é", [], {}, [[]], {"a": 1}, {"$unkept": 1}, ["a"], [{}]]
    for record in sound:
        for place in range(2, len(record)):
            for wrong in wrongs:
                taken = Replay()
                try:
                    for text in lines[: min(record[0], N)]:
                        taken.take(text)
                    taken.take(json.dumps([*record[:place], wrong, *record[place + 1 :]]))
                    taken.document()
                    taken.constellation().to_dict()
                except (JournalDamagedError, JournalVersionError):
                    pass


# ----------------------------------------------------------------------------------------------- versions
def test_a_newer_format_is_told_from_damage() -> None:
    document = {**HEADER.to_dict(), "format": encode.FORMAT + 1, "unheard": 1}
    with pytest.raises(JournalVersionError) as refused:
        replay([json.dumps([0, "galaxy", document])])
    assert (refused.value.run_id, refused.value.found, refused.value.newest) == (
        "run-1",
        encode.FORMAT + 1,
        encode.FORMAT,
    )


def test_a_newer_version_may_have_gone_on_with_a_run() -> None:
    with pytest.raises(JournalVersionError):
        replay([*begun(), json.dumps([N, "opened", {"format": 9, "epoch": 2}])])


@pytest.mark.parametrize("wrong", [None, 0, "1", True])
def test_a_format_that_is_none_is_damage(wrong: Any) -> None:
    with pytest.raises(JournalDamagedError, match="format"):
        replay([json.dumps([0, "galaxy", {**HEADER.to_dict(), "format": wrong}])])


def test_a_header_keeps_what_it_says_and_leaves_out_what_it_does_not_know() -> None:
    header = Header(
        "1.0", "r", "m", 1.5, "batched", "round-robin", {"galaxy-core-local": "1.0"}, [{"id": "d"}], [], {"a": 1},
        {"path": "p.yaml", "sha256": "0"}, {"transports": ["local"]},
    )  # fmt: skip
    document = json.loads(json.dumps(header.to_dict()))
    read = Header.from_dict({**document, "unheard": 1})
    assert read.to_dict() == document
    assert read.strategy == "round-robin"


@pytest.mark.parametrize("key", ["version", "run_id", "mark", "at"])
def test_a_header_that_lacks_something_is_damage(key: str) -> None:
    document = HEADER.to_dict()
    del document[key]
    with pytest.raises(JournalDamagedError, match=key):
        replay([json.dumps([0, "galaxy", document])])


# ----------------------------------------------------------------------------------------------- beginnings
def test_records_up_to_a_number_count_and_no_other_is_looked_at() -> None:
    lines = [*begun(), json.dumps(END), "damaged"]
    assert replay(lines, N - 1).document()["tasks"]["a"]["status"] == "running"
    assert replay(lines, N).document()["tasks"]["a"]["status"] == "completed"
    with pytest.raises(JournalDamagedError):
        replay(lines, N + 1)


def test_records_that_end_before_the_plan_have_no_plan() -> None:
    for lines in ([], begun()[:1]):
        made = replay(lines, run_id="run-1")
        assert not made.is_whole
        for ask in (made.document, made.constellation):
            with pytest.raises(JournalDamagedError, match="before the plan"):
                ask()


def test_a_plan_that_was_not_wholly_recorded_is_known_as_such() -> None:
    lines = begun()
    assert [replay(lines[:count]).is_whole for count in range(1, N)] == [False, False, False, True]
    with pytest.raises(JournalDamagedError, match="3 tasks and 2 links"):
        replay([*lines[:2], json.dumps([2, *json.loads(lines[-1])[1:]])])


def test_tasks_that_wait_for_each_other_are_no_plan() -> None:
    image = {**IMAGE, "links": [{"line_id": "ca", "from": "c", "to": "a", "created_at": 1.0}]}
    made = replay([*begun(), json.dumps([N, "image", image])])
    with pytest.raises(JournalDamagedError, match="wait for each other"):
        made.constellation()


def test_what_was_handed_over_takes_no_more() -> None:
    made = replay(begun())
    assert made.constellation() is made.constellation()
    with pytest.raises(RuntimeError, match="handed over"):
        made.take(json.dumps(END))


# ----------------------------------------------------------------------------------------------- what is known beside the plan
def test_an_attempt_in_flight_is_known_with_its_mark_whoever_goes_on() -> None:
    made = replay([*begun(), encode.sent(N, "a", 7)])
    flight = made.in_flight["a"]
    assert (flight.attempt, flight.lease, flight.mark, flight.device_id, flight.progress) == (
        1,
        7,
        "mark-1-00000007",
        "d1",
        "sent",
    )
    live = made.constellation()
    again = replay([*begun(), encode.opened(N, 2, "mark-2", 20.0, "1.1", {}, live)])
    assert again.in_flight["a"].mark == "mark-1-00000007"
    assert [epoch.epoch for epoch in again.epochs] == [1, 2]
    ended = replay([*begun(), encode.opened(N, 2, "mark-2", 20.0, "1.1", {}, live), json.dumps([N + 1, *END[1:]])])
    assert ended.in_flight == {}


def test_a_task_between_two_attempts_is_known_with_its_moment() -> None:
    made = replay([*begun(), json.dumps([N, "again", "a", 1, "lost", 2.5, 11.0, 0, None])])
    assert made.backing_off == {"a": 13.5}
    task = made.constellation()._tasks["a"]
    assert (task.status, task.attempts) == (TaskStatus.PENDING, 1)


def test_pauses_and_stops_and_ends_are_known() -> None:
    lines = [*begun(), encode.pause(N, 1.0, "me")]
    assert replay(lines).is_paused
    lines.append(encode.go(N + 1, 1.0, "me"))
    assert not replay(lines).is_paused
    lines.append(encode.stop(N + 2, 1.0, "me"))
    assert replay(lines).stopped_by == "me"
    lines.append(encode.opened(N + 3, 2, "m2", 1.0, "1", {}, replay(lines).constellation()))
    assert replay(lines).stopped_by is None
    lines.append(encode.over(N + 4, replay(lines).constellation(), "completed", 2.0))
    assert replay(lines).over == "completed"
