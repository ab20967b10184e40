"""Values in records: whatever a task returns, its record is written, and what it could not hold is known not to be kept."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Any

import pytest

import galaxy_core.errors as tree
from galaxy_core import (
    Action,
    Command,
    DependencyType,
    Effect,
    ExecutionResult,
    Expression,
    InputError,
    OutcomeUnknownError,
    Reference,
    RetryPolicy,
    TaskConstellation,
    TaskFailedError,
    TaskPriority,
    TaskStar,
    TaskStarLine,
    TaskTimeoutError,
    replay,
)
from galaxy_core.errors import GalaxyError
from galaxy_core.model.device import DeviceType
from galaxy_core.model.reasons import message_of, text_of
from galaxy_core.model.records import encode
from galaxy_core.model.records.faults import error_document, error_from
from galaxy_core.model.records.header import Header
from galaxy_core.model.records.losses import unkept_inputs
from galaxy_core.model.records.replay import Replay
from galaxy_core.model.records.text import as_json
from galaxy_core.model.records.unkept import HEAD, MAX_TEXT, Keeper, LongText, Unkept, first_unkept, restored
from galaxy_core.model.request import Call
from galaxy_core.model.result import TaskStatus
from galaxy_core.runtime.same_plan import differences


class Colour(Enum):
    RED = "red"


class Tone(StrEnum):
    LOUD = "loud"


class Odd:
    def __init__(self) -> None:
        self.size = 3


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("no")


class BrokenText(str):
    def __str__(self) -> str:
        raise RuntimeError("no")


def deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def circle() -> Any:
    value: dict[str, Any] = {"a": 1}
    value["self"] = value
    return value


KEPT: list[Any] = [
    None, True, 0, -1.5, 1e308, 2**64, 10**3900, "", "é", "\0", "\ud800", "\u2028", "x" * 1000, [], {}, {"": [None]},
    {"$unkept": {"type": "t", "text": "x"}}, {"$text": 1}, {"$dict": {"$dict": 2}}, {"$unkept": 1, "b": 2}, deep(150),
]  # fmt: skip
LOST: list[Any] = [
    object, Odd(), [Broken()], (Broken(),), {Colour.RED}, {Colour.RED: 1}, {Odd(): 1}, {1: Odd()}, memoryview(b"x"),
    [BrokenText("x")], Colour.RED, OSError("x"), deep(300), deep(5000), circle(), len, ...,
]  # fmt: skip


def kept_and_read(value: Any) -> Any:
    text = json.dumps(Keeper().keep(value), allow_nan=False)
    return restored(json.loads(text), lambda long: long.head)


@pytest.mark.parametrize("value", KEPT, ids=lambda value: type(value).__name__)
def test_what_json_holds_is_kept_as_it_is(value: Any) -> None:
    assert kept_and_read(value) == value
    assert first_unkept(kept_and_read(value)) is None


@pytest.mark.parametrize("value", LOST, ids=lambda value: type(value).__name__)
def test_what_json_cannot_hold_is_known_not_to_be_kept(value: Any) -> None:
    told: list[str] = []
    Keeper(lost=told.append).keep(value)
    assert told
    for holder in (value, [value], {"a": {"b": value}}):
        assert isinstance(first_unkept(kept_and_read(holder)), Unkept)


def test_what_is_a_plain_value_by_another_class_is_kept_as_that() -> None:
    assert kept_and_read([1, Tone.LOUD]) == [1, "loud"]


def test_what_was_not_kept_is_not_kept_again_in_the_same_words() -> None:
    once = kept_and_read({"a": Colour.RED})
    assert first_unkept(once) is not None
    assert kept_and_read(once) == once


def run_of(task: TaskStar, result: Any, error: BaseException | None = None, keeper: Keeper | None = None) -> list[str]:
    """The records of a run of one task that ended so."""
    keeper = keeper or Keeper()
    plan = TaskConstellation.build([task], [], constellation_id="r")
    lines = [encode.header(0, Header("1", "r", "m", 1.0).to_dict()), *encode.whole_plan(1, plan, keeper)]
    plan.begin(task, 5.0)
    lines.append(encode.start(len(lines), task.task_id, 1, 1, "d", task._started_at or 0.0))
    plan.end(task, TaskStatus.COMPLETED if error is None else TaskStatus.FAILED, result, error, 6.0)
    task._target_device_id, task._pinned = "d", False
    lines.append(encode.end(len(lines), task, 1, keeper=keeper))
    assert all(line.isascii() for line in lines)
    assert replay(lines).document() == plan.to_dict() or keeper.spill is not None or _is_long(result)
    return lines


def _is_long(result: Any) -> bool:
    return isinstance(result, ExecutionResult) and len(result.stdout or "") > MAX_TEXT


@pytest.mark.parametrize("value", KEPT + LOST, ids=lambda value: type(value).__name__)
def test_any_result_is_recorded_and_the_document_is_the_same(value: Any) -> None:
    run_of(TaskStar("a", description="x"), ExecutionResult("a", TaskStatus.COMPLETED, value, metadata={"m": value}))
    run_of(TaskStar("a", description="x"), value)


def test_a_result_keeps_every_field() -> None:
    result = ExecutionResult(
        "a", TaskStatus.COMPLETED, {"v": 1}, None, {"m": [1]}, datetime(2030, 1, 1, tzinfo=UTC), 7.25, stdout="out\n",
        stderr="err", exit_code=0, device_id="other", attempts=4, files={"log": "/tmp/log"},
    )  # fmt: skip
    made = replay(run_of(TaskStar("a", description="x"), result)).constellation()._tasks["a"].result
    assert isinstance(made, ExecutionResult)
    assert made.to_dict() == result.to_dict()
    assert (made.result, made._start, made._end) == (result.result, result._start, result._end)


def test_a_reference_to_what_was_not_kept_is_refused_and_says_what_to_do() -> None:
    result = ExecutionResult("a", TaskStatus.COMPLETED, {"good": 1, "bad": 1j}, exit_code=0)
    made = replay(run_of(TaskStar("a", description="x"), result)).constellation()._tasks["a"].result
    assert Reference("a", "exit_code").read(made) == 0
    assert Reference("a", "json.good").read(made) == 1
    for value in ("value", "json", "json.bad"):
        with pytest.raises(InputError, match=r"it was a complex \(1j\).*run that task again"):
            Reference("a", value).read(made)


def test_a_condition_sees_what_was_not_kept_as_it_saw_it_before() -> None:
    result = ExecutionResult("a", TaskStatus.COMPLETED, {"bad": {Colour.RED}})
    made = replay(run_of(TaskStar("a", description="x"), result)).constellation()._tasks["a"].result
    condition = Expression("value.bad[0] == 'red'")
    assert condition(result.result, result)
    assert condition(made.result, made)


# ----------------------------------------------------------------------------------------------- long texts
def test_a_long_text_goes_to_a_file_and_comes_back_from_it() -> None:
    files: dict[str, str] = {}

    def spill(text: str) -> tuple[str, str]:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        files[digest] = text
        return digest, digest

    def read(text: LongText) -> str:
        if text.file not in files:
            raise FileNotFoundError(text.file)
        return files[text.file]

    whole = "é" * (MAX_TEXT + 1)
    result = ExecutionResult("a", TaskStatus.COMPLETED, whole, stdout=whole)
    lines = run_of(TaskStar("a", description="x"), result, keeper=Keeper(spill))
    assert max(map(len, lines)) < 10 * HEAD
    made = replay(lines, read=read).constellation()._tasks["a"].result
    assert made.stdout == made.result == whole
    assert not made.metadata

    files.clear()
    cut = replay(lines, read=read).constellation()._tasks["a"].result
    assert cut.stdout == whole[:HEAD]
    with pytest.raises(InputError, match="was cut"):
        Reference("a").read(cut)


def test_a_long_text_without_a_file_is_cut_and_known_to_be() -> None:
    whole = "x" * (3 * MAX_TEXT)
    told: list[str] = []
    result = ExecutionResult("a", TaskStatus.COMPLETED, whole, stdout=whole, stderr="short")
    lines = run_of(TaskStar("a", description="x"), result, keeper=Keeper(lost=told.append))
    made = replay(lines).constellation()._tasks["a"].result
    assert len(made.stdout) == MAX_TEXT
    assert made.metadata == {"truncated": True}
    assert told == [f"a text of {len(whole)} characters"]


# ----------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    "error",
    [
        TaskFailedError("a", "exit status 3", 3), TaskTimeoutError("a", 2.5), OutcomeUnknownError("a", "nobody knows"),
        TaskTimeoutError("a", 2.5, "while nobody was there"), ValueError("bad"),
        InputError("stdout of task 'x'", "that task has no result"), KeyError("key"), OSError(2, "gone"),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "no"), Exception(), type("Own", (Exception,), {})("own"), SystemExit(3),
        ExceptionGroup("two", [ValueError("a"), OSError("b")]), KeyboardInterrupt("stop"), Exception("é\ud800\0"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_an_error_says_the_same_afterwards(error: BaseException) -> None:
    made = error_from(json.loads(json.dumps(error_document(error))))
    assert str(made) == str(error)
    assert text_of(made) == text_of(error)
    assert message_of(made) == message_of(error) or isinstance(error, BaseExceptionGroup | OSError)
    if isinstance(error, GalaxyError):
        assert type(made) is type(error)
        assert vars(made) == vars(error)
    lines = run_of(TaskStar("a", description="x"), ExecutionResult("a", TaskStatus.FAILED, None, error), error)
    assert str(replay(lines).constellation()._tasks["a"].error) == str(error)


def test_every_error_of_the_tree_comes_back_as_itself() -> None:
    kinds = [kind for kind in vars(tree).values() if isinstance(kind, type) and issubclass(kind, GalaxyError)]
    assert len(kinds) > 40
    for kind in kinds:
        made = error_from({"type": kind.__name__, "text": "as it was", "fields": {"task_id": "a"}})
        assert type(made) is kind
        assert str(made) == "as it was"
        assert vars(made) == {"task_id": "a"}


def test_a_result_whose_error_is_a_text_keeps_it() -> None:
    lines = run_of(TaskStar("a", description="x"), ExecutionResult("a", TaskStatus.COMPLETED, None, "said so"))
    assert replay(lines).constellation()._tasks["a"].result.error == "said so"


# ----------------------------------------------------------------------------------------------- plans
def full_plan() -> TaskConstellation:
    tasks = [
        TaskStar("a", "A", "do a", ["tip"], "d1", DeviceType.LINUX, TaskPriority.CRITICAL, math.inf, 3, {"k": [1]}, "text",
                 request=Command(["cat", Reference("b", "json.x")], cwd="/", env={"E": Reference("b")}, stdin="in",
                                 files={"f": Reference("b", "file.f")}, outputs=["out"]),
                 requires=["x", "y"], effect=Effect.READ, retry=RetryPolicy(0.5, 3.0, 9.0, 0.0, frozenset({"failed"})),
                 estimate_s=2.5),
        TaskStar("b", request=Command(shell="echo", env={"A": "b"})),  # noqa: S604  nobody runs it
        TaskStar("c", request=Action("tap", {"x": 1, "deep": [{"y": None}], "of": Reference("b")})),
        TaskStar("d", description="é\ud800"),
    ]  # fmt: skip
    lines = [
        TaskStarLine(
            "b", "a", DependencyType.CONDITIONAL, "words", Expression("status == 'completed'"), "l1", {"m": 1}
        ),
        TaskStarLine("b", "c", DependencyType.CONDITIONAL, "lost", bool),
        TaskStarLine("b", "d"),
    ]
    return TaskConstellation.build(tasks, lines, constellation_id="r", name="N", metadata={"x": {"y": 1}})


def test_a_plan_with_everything_in_it_comes_back() -> None:
    plan = full_plan()
    lines = [encode.header(0, Header("1", "r", "m", 1.0).to_dict()), *encode.whole_plan(1, plan)]
    made = replay(lines)
    assert made.document() == plan.to_dict()
    restored_plan = made.constellation()
    assert [task._request for task in restored_plan.get_all_tasks()] == [task._request for task in plan.get_all_tasks()]
    assert [task._retry for task in restored_plan.get_all_tasks()] == [task._retry for task in plan.get_all_tasks()]
    assert restored_plan._tasks["a"].timeout == math.inf


def test_functions_are_known_to_be_lost() -> None:
    plan = TaskConstellation.build([TaskStar("a", request=Call(len, ("x",)))], [], constellation_id="r")
    lines = [encode.header(0, Header("1", "r", "m", 1.0).to_dict()), *encode.whole_plan(1, plan)]
    made = replay(lines)
    assert made.calls == {"a": "builtins:len"}
    assert made.document() == plan.to_dict()
    assert made.constellation()._tasks["a"].request is None


def test_a_plan_takes_less_than_300_bytes_a_task() -> None:
    tasks = [TaskStar(f"task-{i:06d}", description=f"do {i}", target_device_id="d1") for i in range(1000)]
    links = [TaskStarLine(f"task-{i:06d}", f"task-{i + 1:06d}") for i in range(999)]
    plan = TaskConstellation.build(tasks, links, constellation_id="r")
    lines = list(encode.whole_plan(1, plan))
    assert sum(map(len, lines)) / 1000 < 300
    assert max(map(len, lines)) < 300 * encode.CHUNK


def test_links_without_an_id_get_one_of_their_own() -> None:
    tasks = [TaskStar(f"t{i}") for i in range(600)]
    plan = TaskConstellation.build(tasks, [TaskStarLine(f"t{i}", f"t{i + 1}") for i in range(599)])
    lines = [encode.header(0, Header("1", "r", "m", 1.0).to_dict()), *encode.whole_plan(1, plan)]
    read = replay(lines).constellation()
    assert not plan._lines_by_id  # they are promised, and not made yet
    read_ids = [line.line_id for line in read._lines]
    found = plan.get_dependency(read_ids[300])
    assert found is not None
    assert (found.from_task_id, found.line_id) == ("t300", read_ids[300])
    assert [line.line_id for line in plan._lines] == read_ids
    assert len(set(read_ids)) == 599
    assert [plan.get_dependency(line_id) for line_id in read_ids] == list(plan._lines)
    assert plan._lines_by_id.prefix is not None
    assert plan.get_dependency(plan._lines_by_id.prefix + "0" * 11 + "x") is None


def test_values_of_a_plan_that_json_cannot_hold_do_not_break_its_records() -> None:
    task = TaskStar("a", description="x", task_data={"s": {Odd}, "n": math.nan}, timeout="soon", retry_count=Odd())  # type: ignore[arg-type]
    plan = TaskConstellation.build([task], [], constellation_id="r", metadata={"o": Odd(), "c": circle()})
    lines = [encode.header(0, Header("1", "r", "m", 1.0).to_dict()), *encode.whole_plan(1, plan)]
    taken = Replay()
    for line in lines:
        assert "NaN" not in line
        taken.take(line)
    assert taken.document()["tasks"]["a"]["task_data"] == plan.to_dict()["tasks"]["a"]["task_data"]


def test_what_a_task_is_to_get_and_was_not_kept_is_known() -> None:
    tasks = [
        TaskStar("a", description="x", task_data={"deep": [({Odd},)]}),
        TaskStar("b", request=Action("tap", {"at": {"x": [1j]}})),
        TaskStar("c", description="x", task_data={"pair": (1, 2)}),
    ]
    plan = TaskConstellation.build(tasks, [], constellation_id="r")
    lines = [encode.header(0, Header("1", "r", "m", 1.0).to_dict()), *encode.whole_plan(1, plan)]
    made = replay(lines).constellation()
    assert [(task.task_id, lost.type_name) for task, lost in unkept_inputs(made)] == [("a", "set"), ("b", "complex")]
    assert list(differences(made, {}, plan)) == []
    plan._tasks["a"]._task_data = {"deep": [{Colour}]}
    [told] = differences(made, {}, plan)
    assert told.startswith("task 'a' has another task data (recorded: ")


@pytest.mark.parametrize(
    "error", [tree.TaskTimeoutError("bad", math.inf), tree.TaskFailedError("bad", "it failed", 10**5000)]
)
def test_an_error_that_json_cannot_hold_spoils_no_neighbour(error: GalaxyError) -> None:
    good = TaskStar("good", task_data={"k": (1, 2)})
    plan = TaskConstellation.build([TaskStar("bad"), good], [], constellation_id="r")
    plan.mark_task_completed("bad", success=False, error=error)
    found = replay([encode.header(0, Header("1", "r", "m", 1.0).to_dict()), *encode.whole_plan(1, plan)])
    read = found.constellation()
    assert read.tasks["good"].task_data == {"k": (1, 2)}
    again = read.tasks["bad"].error
    assert type(again) is type(error)
    assert vars(again) == vars(error)


def test_what_no_record_can_hold_is_replaced_alone() -> None:
    kept = Keeper().keep({"k": (1, 2)})
    assert json.loads(as_json([kept, {"odd": math.nan}]))[0] == kept


def test_numbers_of_links_are_given_once_over_all_recordings() -> None:
    header = encode.header(0, Header("1", "r", "m", 1.0).to_dict())
    plan = TaskConstellation.build(
        [TaskStar(name) for name in "abcd"], [TaskStarLine("a", "b"), TaskStarLine("b", "c")], constellation_id="r"
    )
    list(encode.whole_plan(1, plan))
    plan.to_dict()  # which names them
    read = replay([header, *encode.whole_plan(1, plan)]).constellation()
    read.add_dependency(TaskStarLine("c", "d"))
    again = replay([header, *encode.whole_plan(1, read)]).constellation()
    assert len({line.line_id for line in again._lines}) == again.dependency_count == 3
    assert again.to_dict()["dependencies"].keys() == read.to_dict()["dependencies"].keys()


@pytest.mark.parametrize(
    ("name", "words"), [("object", "an object"), ("set", "a set"), ("io.StringIO", "an io.StringIO")]
)
def test_what_is_no_more_is_told_with_the_right_article(name: str, words: str) -> None:
    lost = Unkept(name, "<it>")
    assert lost.what == f"{words} (<it>), which no journal keeps"
    assert lost.why.startswith(f"it was {words} (<it>), which ")
