"""Results that somebody made by hand, of whatever: their records are written, and come to a plan that can be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.records import encode
from galaxy_core.model.records.header import Header
from galaxy_core.model.records.replay import replay
from galaxy_core.model.records.unkept import Keeper, Unkept
from galaxy_core.model.result import ExecutionResult, TaskStatus
from galaxy_core.model.task import TaskStar


def fails(*_: Any) -> Any:
    raise LookupError("not to be asked")


class Touchy:
    """Nothing can be done with it."""

    __bool__ = __eq__ = __hash__ = __repr__ = __str__ = fails


class TouchyMapping(Mapping[str, str]):
    """It has something, and does not say what."""

    __getitem__ = fails

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        raise LookupError("not to be asked")


def replayed(**fields: Any) -> tuple[Any, dict[str, Any], list[str]]:
    """A result with these fields, as it is after a replay; what a document says of its task; and what was lost."""
    lost: list[str] = []
    keeper = Keeper(None, lost.append)
    plan = TaskConstellation.build([TaskStar("a"), TaskStar("b")], [], constellation_id="p")
    lines = [encode.header(0, Header("1.0", "p", "mark", 1.0).to_dict()), *encode.whole_plan(1, plan)]
    plan.mark_task_completed("a", True, ExecutionResult("a", "completed", 1, **fields))
    lines.append(encode.image(len(lines), plan, plan.tasks.values(), keeper=keeper))
    found = replay(lines)
    document = json.loads(json.dumps(found.document()["tasks"]["a"]))
    task = found.constellation().get_task("a")
    assert task is not None
    return task.result, document, lost


MOMENTS: dict[str, Callable[[], Any]] = {
    "no number": lambda: float("nan"),
    "never": lambda: float("-inf"),
    "in no year": lambda: 1e300,
    "a number of many digits": lambda: 10**5000,
    "a text": lambda: "now",
    "a list": lambda: [1.0],
    "untouchable": Touchy,
}


@pytest.mark.parametrize("field", ["start_time", "end_time"])
@pytest.mark.parametrize("name", MOMENTS)
def test_what_is_no_moment_is_left_out_and_the_rest_is_kept(field: str, name: str) -> None:
    result, document, lost = replayed(**{field: MOMENTS[name]()})
    assert lost
    if name != "untouchable":  # that cannot even be compared
        assert (result.result, getattr(result, field)) == (1, None)
        assert document["result"]["result"] == 1


@pytest.mark.parametrize("moment", [0, 5, 2.5, datetime(2026, 1, 2, tzinfo=UTC)])
def test_a_moment_by_hand_is_kept(moment: Any) -> None:
    result, _, lost = replayed(start_time=moment)
    assert result == ExecutionResult("a", "completed", 1, start_time=moment)
    assert lost == []


OTHERS: dict[str, Callable[[], Any]] = {
    "a number": lambda: 3,
    "a list": lambda: [1],
    "a text": lambda: "x",
    "untouchable": Touchy,
    "one that breaks": TouchyMapping,
}


@pytest.mark.parametrize("field", ["files", "metadata"])
@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_dictionary_is_left_out_where_one_has_to_be(field: str, name: str) -> None:
    result, document, lost = replayed(**{field: OTHERS[name]()}, stdout="x" * (3 << 20))
    assert lost
    if name != "untouchable":
        assert result.result == 1
        assert len(result.stdout) == 1 << 20
        assert document["result"]["metadata"]["truncated"]
        assert document["result"]["files"] == {}


def test_of_a_result_that_cannot_be_read_only_that_is_recorded() -> None:
    result, document, lost = replayed(attempts=Touchy())
    assert isinstance(result, (Unkept, ExecutionResult))
    assert document["status"] == "completed"
    assert lost


def test_a_result_that_breaks_when_it_is_compared_is_recorded() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("it is not to be compared")

        __hash__ = None  # type: ignore[assignment]

    plan = TaskConstellation.build([TaskStar("a")], [], constellation_id="r")
    plan.mark_task_completed("a", True, ExecutionResult("a", TaskStatus.COMPLETED, None, attempts=Odd()))  # type: ignore[arg-type]
    assert json.loads(encode.end(5, plan.tasks["a"], 1))[1] == "end"
