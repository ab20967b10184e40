"""Values of another kind than wanted: refused before a run with an error of the tree, and no end of the kernel."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from galaxy_core import (
    Completed,
    ConditionError,
    ConstellationEditor,
    ConstellationManager,
    EditError,
    Event,
    EventType,
    InvalidPlanError,
    PlanError,
    TaskConstellation,
    TaskStar,
    TaskStarLine,
    TaskStatus,
    UnknownDeviceError,
    UnknownStrategyError,
    event_document,
)
from galaxy_core.model.condition import LostCondition
from galaxy_core.testing.fakes import takes

from .fakes import plan, rig

pytestmark = pytest.mark.anyio

LONG = 10**5000


@pytest.mark.parametrize(("slot", "value"), [("_retry", 5), ("_current_retry", "x"), ("_attempts", "x")])
async def test_a_plan_whose_attempts_could_not_end_does_not_start(slot: str, value: Any) -> None:
    async with rig() as here:
        constellation = plan("a b")
        setattr(constellation.tasks["b"], slot, value)
        with pytest.raises(InvalidPlanError, match="task 'b': "):
            await here.run(constellation)
        assert here.recorder.story() == []


async def test_a_task_whose_attempts_could_not_end_cannot_be_added_to_a_running_plan() -> None:
    async with rig() as here:
        here.transport.script("a", takes(1))
        constellation, refused = plan("a"), []

        class Adding:
            async def on_event(self, event: Event) -> None:
                wrong = TaskStar("b", description="d")
                wrong._retry = {"backoff_s": "1"}  # type: ignore[assignment]
                if event.event_type is EventType.TASK_STARTED:
                    with pytest.raises(InvalidPlanError, match="Retry must be a RetryPolicy") as caught:
                        constellation.add_task(wrong)
                    refused.append(caught.value)

        here.bus.subscribe(Adding())
        summary = await here.run(constellation)
    assert summary["status"] == "completed"
    assert list(summary["results"]) == ["a"]
    assert refused


@pytest.mark.parametrize("retry", [{"backoff_s": -1}, {"jitter": 5}, {"on": ["never"]}, {"bogus": 1}, "fast"])
def test_an_editor_refuses_a_retry_that_no_run_could_work_with(retry: Any) -> None:
    editor = ConstellationEditor(plan("a"))
    edits: list[Callable[[], object]] = [
        lambda: editor.update_task("a", retry=retry),
        lambda: editor.add_task({"task_id": "b", "description": "d", "retry": retry}),
    ]
    for edit in edits:
        with pytest.raises(EditError, match="retry"):
            edit()
    assert list(editor.constellation.tasks) == ["a"]


@pytest.mark.parametrize("request_", [{"run": "ls -l"}, {"run": [1]}, {"shell": 5}, {"run": ["a"], "env": {"A": 1}}])
def test_an_editor_refuses_a_request_as_documents_do(request_: dict[str, Any]) -> None:
    editor = ConstellationEditor(plan("a"))
    with pytest.raises(EditError, match="is wanted here"):
        editor.update_task("a", request=request_)
    with pytest.raises(EditError, match="is wanted here"):
        editor.load_from_dict({"tasks": {"a": {"description": "d", "request": request_}}})


@pytest.mark.parametrize("device_id", [None, 5, [], {}])
async def test_a_device_that_is_named_by_no_text_is_an_unknown_device(device_id: Any) -> None:
    async with rig() as here:
        await here.manager.connect_device("d1")
        with pytest.raises(UnknownDeviceError, match=r"Device .* is not registered; registered: 'd1'"):
            await here.run(plan("a"), None, device_assignments={"a": device_id})
        with pytest.raises(UnknownDeviceError, match=r"Device .* is not registered; registered: 'd1'"):
            await here.orchestrator.assign_devices_automatically(
                plan("a"), "load_balance", device_preferences={"a": device_id}
            )


@pytest.mark.parametrize("strategy", [5, [], {}])
async def test_a_strategy_that_is_named_by_no_text_is_an_unknown_strategy(strategy: Any) -> None:
    async with rig() as here:
        with pytest.raises(UnknownStrategyError, match="Unknown assignment strategy: "):
            await here.run(plan("a"), strategy)


def test_a_task_cannot_be_given_to_a_device_that_is_no_text() -> None:
    constellation, wrong = plan("a"), cast("str", 5)
    with pytest.raises(PlanError, match="target device of task 'a' must be a text or None, not 5"):
        ConstellationManager(enable_logging=False).reassign_task_device(constellation, "a", wrong)
    assert constellation.tasks["a"].target_device_id is None


async def test_a_number_of_very_many_digits_is_described_in_every_event() -> None:
    async with rig() as here:
        here.transport.script("a", Completed(LONG))
        constellation = plan("a")
        summary = await here.run(constellation)
        told = [event_document(event, constellation) for event in here.recorder.events]
    assert summary["status"] == "completed"
    assert [json.loads(json.dumps(found, allow_nan=False)) for found in told]
    assert [found["value"] for found in told if "value" in found] == [f"<int of {LONG.bit_length()} bits>"]


async def test_a_dependent_whose_condition_was_lost_in_a_document_is_skipped_with_an_error() -> None:
    live = plan("a b")
    live.add_dependency(TaskStarLine.create_conditional("a", "b", "never", lambda payload: False))
    async with rig() as here:
        summary = await here.run(TaskConstellation.from_json(live.to_json()))
    assert summary["results"]["b"].status is TaskStatus.SKIPPED
    assert isinstance(summary["results"]["b"].error, ConditionError)
    assert summary["status"] == "partially_failed"


def test_an_editor_reads_that_a_condition_was_lost_and_keeps_the_one_that_is_there() -> None:
    live = plan("a b")
    live.add_dependency(TaskStarLine.create_conditional("a", "b", "never", bool))
    editor = ConstellationEditor(live)
    editor.build_constellation(live.to_dict())
    assert live.get_all_dependencies()[0].condition_evaluator is bool
    other = ConstellationEditor(TaskConstellation())
    other.load_from_dict(live.to_dict())
    assert isinstance(other.constellation.get_all_dependencies()[0].condition_evaluator, LostCondition)
