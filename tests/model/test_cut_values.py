"""Long values of records whose files are gone or changed: nobody gets a part of them."""

from __future__ import annotations

import copy
import hashlib
import json
from base64 import b64encode
from typing import Any

import pytest

from galaxy_core import (
    ExecutionResult,
    Expression,
    InputError,
    Reference,
    TaskStar,
    TaskStarLine,
    TaskStatus,
)
from galaxy_core.model.dependency import DependencyType
from galaxy_core.model.records.lean import lean_result
from galaxy_core.model.records.restore import Restorer
from galaxy_core.model.records.unkept import HEAD, MAX_TEXT, Beginning, Keeper, LongText, first_unkept

BIG = "x" * (3 * MAX_TEXT)


# ----------------------------------------------------------------------------------------------- results
def spill(text: str) -> tuple[str, str]:
    return "texts/1.txt", hashlib.sha256(text.encode()).hexdigest()


def gone(text: LongText) -> str:
    raise FileNotFoundError(text.file)


def again(keeper: Keeper | None = None, read: Any = gone, **fields: Any) -> ExecutionResult:
    """The result of a task, as it comes back from its record."""
    task = TaskStar("a")
    task._status = TaskStatus.COMPLETED
    told = lean_result(ExecutionResult("a", TaskStatus.COMPLETED, **fields), task, keeper or Keeper(spill))
    found: ExecutionResult = Restorer(read).result(json.loads(json.dumps(told)), task)
    return found


@pytest.mark.parametrize("keeper", [Keeper(spill), Keeper()], ids=["the file is gone", "no files are kept"])
@pytest.mark.parametrize("value", ["stdout", "value", "json", "json.a"])
def test_output_whose_rest_is_lost_is_shown_and_not_passed_on(value: str, keeper: Keeper) -> None:
    made = again(keeper, result=BIG, stdout=BIG, stderr="careful")
    assert made.stdout is not None
    assert BIG.startswith(made.stdout)
    assert made.to_dict()["stdout"] == made.to_dict()["result"] == made.stdout
    assert made.metadata["truncated"] is True
    why = (
        r"'texts/1\.txt' of the run is missing or was changed: put"
        if keeper.spill
        else "keeps no files: run that task again"
    )
    with pytest.raises(InputError, match=why):
        Reference("a", value).read(made)


def test_a_cut_stream_does_not_pass_for_whole_because_the_other_is_told_to_be_cut() -> None:
    told = {"truncated": True, "stderr_kept_bytes": 2}
    made = again(stdout=BIG, stderr="ab", metadata=told)
    for result in (made, ExecutionResult("a", "completed", stdout=str(made.stdout), metadata=made.metadata)):
        with pytest.raises(InputError):
            Reference("a", "stdout").read(result)
    assert made.metadata["stdout_kept_bytes"] == HEAD


@pytest.mark.parametrize(
    "value", [BIG, BIG.encode(), bytearray(BIG.encode()), {"a": [BIG]}, (BIG,), {BIG}], ids=lambda v: type(v).__name__
)
def test_a_value_whose_rest_is_lost_is_not_passed_on(value: Any) -> None:
    made = again(result=value)
    lost = first_unkept(made.result)
    assert lost is not None
    assert lost.text.startswith("one with xxx" if isinstance(value, set) else "xxx")
    for name in ("value", "json", "json.a[0]", "json.a[0] == 'x'"):
        with pytest.raises(InputError, match=r"'texts/1\.txt' of the run is missing|leads nowhere"):
            Reference("a", name).read(made)


@pytest.mark.parametrize("value", [BIG, BIG.encode(), {"a": [BIG]}, {BIG}], ids=lambda value: type(value).__name__)
def test_a_cut_value_that_is_recorded_again_is_whole_when_its_file_is_back(value: Any) -> None:
    cut = again(result=value, stdout=BIG)
    texts = {len(text): text for text in (BIG, b64encode(BIG.encode()).decode())}
    back = again(Keeper(), lambda text: texts[text.length], result=cut.result, stdout=cut.stdout)
    assert back.result == value
    assert back.stdout == BIG


def test_a_cut_stream_can_be_copied() -> None:
    made = copy.deepcopy(again(stdout=BIG).stdout)
    assert type(made) is Beginning
    assert made.lost.cut is not None


@pytest.mark.parametrize(
    "condition", [Expression("contains(stdout, 'y')"), Expression("value == 'x'"), lambda value: len(value) > 9]
)
def test_a_condition_does_not_judge_output_whose_rest_is_lost(condition: Any) -> None:
    line = TaskStarLine("a", "b", DependencyType.CONDITIONAL, condition_evaluator=condition)
    made = again(result=BIG, stdout=BIG)
    with pytest.raises(Exception, match="is missing or was changed"):
        line.outcome_satisfies(TaskStatus.COMPLETED, made.result, made)
    line.condition_evaluator = Expression("exit_code == `0`")
    made.exit_code = 0
    assert line.outcome_satisfies(TaskStatus.COMPLETED, made.result, made)
