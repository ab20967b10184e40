"""One task takes another's output by reference; and requests that a transport does not take."""

from __future__ import annotations

from typing import Any

import anyio
import pydantic
import pytest

from galaxy_core import (
    Action,
    Call,
    Command,
    Completed,
    Device,
    EventType,
    InputError,
    InvalidPlanError,
    Reference,
    RequestError,
    RetryPolicy,
    TaskConstellation,
    TaskStar,
)
from galaxy_core.testing.fakes import FakeTransport

from .fakes import link, plan, rig

pytestmark = pytest.mark.anyio


class Tap(pydantic.BaseModel):
    x: int
    y: int = 0


def taking(request: Any, links: str = "a>b", **options: Any) -> TaskConstellation:
    """`a`, and `b` that has this request."""
    constellation = plan("a")
    constellation.add_task(TaskStar("b", description="do b", request=request, **options))
    for arrow in links.split():
        constellation.add_dependency(link(arrow))
    return constellation


@pytest.mark.parametrize(
    ("value", "argument"),
    [
        ("stdout", '{"level": 80, "who": ["me"]}'),
        ("stderr", "careful"),
        ("exit_code", "0"),
        ("status", "completed"),
        ("json", '{"level": 80, "who": ["me"]}'),
        ("json.level", "80"),
        ("json.who[0]", "me"),
        ("file.report", "kept.txt"),
    ],
)
async def test_an_argument_takes_what_it_refers_to_as_text(value: str, argument: str) -> None:
    async with rig() as house:
        house.transport.script(
            "a",
            Completed(
                stdout='{"level": 80, "who": ["me"]}\n', stderr="careful", exit_code=0, files={"report": "kept.txt"}
            ),
        )
        result = await house.run(taking(Command(["echo", Reference("a", value)])))
    request = house.device().attempts[1].request
    assert isinstance(request, Command)
    assert request.argv == ("echo", argument)
    assert result["status"] == "completed"


async def test_standard_input_takes_it_unchanged_and_the_environment_without_the_last_newline() -> None:
    async with rig() as house:
        house.transport.script("a", Completed(stdout="two\nlines\n"))
        command = Command(["x"], stdin=Reference("a"), env={"OUT": Reference("a")}, files={"in": Reference("a")})
        await house.run(taking(command))
    request = house.device().attempts[1].request
    assert isinstance(request, Command)
    assert (request.stdin, dict(request.env), dict(request.files)) == (
        "two\nlines\n",
        {"OUT": "two\nlines"},
        {"in": "two\nlines\n"},
    )


async def test_a_call_takes_the_value_itself() -> None:
    payload = {"live": object()}
    async with rig() as house:
        house.transport.script("a", Completed(payload))
        seen: list[Any] = []
        await house.run(taking(Call(seen.append, (Reference("a", "value"),))))
    assert seen == [payload]
    assert seen[0] is payload


async def test_an_action_takes_the_value_and_is_checked_when_it_is_known() -> None:
    transport = FakeTransport("touch", actions={"tap": Tap})
    async with rig(Device("t", "touch"), plugins=[transport]) as house:
        transport.script("a", Completed({"x": 5}, stdout='{"x": 5}'))
        constellation = taking(Action("tap", {"x": Reference("a", "json.x"), "y": 2}))
        result = await house.run(constellation)
    assert result["status"] == "completed"
    assert transport.device("t").attempts[1].request == Action("tap", {"x": 5, "y": 2})


@pytest.mark.parametrize(
    ("outcome", "value", "why"),
    [
        (Completed(stdout="no json"), "json.x", "is not JSON"),
        (Completed(stdout="{}"), "json.x", "leads nowhere"),
        (Completed(stdout="{}"), "json.length(`5`)", "cannot be evaluated"),
        (Completed(stdout="x"), "file.report", "left no file 'report'"),
        (Completed(value=1), "stdout", "has no stdout"),
        (Completed(value=1), "nonsense", "allowed are stdout"),
    ],
)
async def test_a_reference_that_leads_nowhere_fails_its_task_before_it_starts(
    outcome: Completed, value: str, why: str
) -> None:
    async with rig() as house:
        house.transport.script("a", outcome)
        result = await house.run(taking(Command(["x", Reference("a", value)])))
        assert house.slots_are_free()
    error = result["results"]["b"].error
    assert isinstance(error, InputError)
    assert why in str(error)
    assert house.device().started == ["a"]
    assert house.recorder.story_of("b") == ["task_failed"]
    assert (result["results"]["b"].attempts, result["results"]["b"].execution_time) == (0, None)


async def test_an_input_that_leads_nowhere_is_not_looked_for_again() -> None:
    async with rig() as house:
        house.transport.script("a", Completed(stdout="{}"))
        command, retry = Command(["x", Reference("a", "json.x")]), RetryPolicy(backoff_s=100)
        result = await house.run(taking(command, retry_count=3, retry=retry))
        assert anyio.current_time() < 100
        assert house.slots_are_free()
    assert isinstance(result["results"]["b"].error, InputError)
    assert house.recorder.story_of("b") == ["task_failed"]


async def test_a_request_that_its_inputs_make_wrong_is_not_sent_again() -> None:
    transport = FakeTransport("touch", actions={"tap": Tap})
    async with rig(Device("t", "touch"), plugins=[transport]) as house:
        transport.script("a", Completed({"x": "far left"}, stdout='{"x": "far left"}'))
        constellation = taking(Action("tap", {"x": Reference("a", "json.x")}), retry_count=3)
        result = await house.run(constellation)
        assert house.slots_are_free()
    assert isinstance(result["results"]["b"].error, RequestError)
    assert house.recorder.story_of("b") == ["task_failed"]


async def test_how_a_task_ended_that_never_ran_can_be_taken() -> None:
    async with rig() as house:
        house.transport.script("a", Completed(exit_code=1))
        constellation = plan("a b", "a>b")
        constellation.add_task(TaskStar("tell", request=Command(["echo", Reference("b", "status")])))
        constellation.add_dependency(link("b-tell"))
        result = await house.run(constellation)
    assert (result["results"]["b"].status, result["results"]["tell"].status) == ("skipped", "completed")
    request = house.device().attempts[-1].request
    assert isinstance(request, Command)
    assert request.argv == ("echo", "skipped")


async def test_how_a_task_ended_that_was_cancelled_before_it_started_can_be_taken() -> None:
    async with rig() as house:
        constellation = taking(Command(["echo", Reference("a", "status")]), "a-b")
        constellation.tasks["a"].cancel()
        await house.run(constellation)
    request = house.device().attempts[-1].request
    assert isinstance(request, Command)
    assert request.argv == ("echo", "cancelled")


@pytest.mark.parametrize("value", ["stdout", "exit_code", "value", "json"])
async def test_of_a_task_that_never_ran_nothing_else_can_be_taken(value: str) -> None:
    async with rig() as house:
        house.transport.script("a", Completed(exit_code=1))
        constellation = plan("a b", "a>b")
        constellation.add_task(TaskStar("tell", request=Command(["echo", Reference("b", value)])))
        constellation.add_dependency(link("b-tell"))
        result = await house.run(constellation)
    assert "that task has no result: it ended skipped; take 'status'" in str(result["results"]["tell"].error)


async def test_a_value_that_cannot_be_made_text_fails_its_task_alone() -> None:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    async with rig() as house:
        house.transport.script("a", Completed(loop))
        constellation = taking(Command(["x", Reference("a", "value")]))
        constellation.add_task(TaskStar("c", description="x"))
        result = await house.run(constellation)
        assert house.slots_are_free()
    assert [str(one.status) for one in result["results"].values()] == ["completed", "failed", "completed"]


async def test_a_reference_to_a_task_that_is_not_waited_for_refuses_the_run() -> None:
    async with rig() as house:
        with pytest.raises(InvalidPlanError, match=r"task 'b' takes .*'a'.* without waiting for it"):
            await house.run(taking(Command(["x", Reference("a")]), links=""))
    assert house.recorder.of(EventType.CONSTELLATION_STARTED) == []


@pytest.mark.parametrize(
    ("path", "why"), [("[", "not a JMESPath expression: '['"), ("lenght(a)", "did you mean 'length'")]
)
async def test_a_path_that_could_never_be_found_refuses_the_run(path: str, why: str) -> None:
    async with rig() as house:
        with pytest.raises(InvalidPlanError) as caught:
            await house.run(taking(Command(["x", Reference("a", f"json.{path}")])))
    assert f"task 'b' takes json.{path} of task 'a'" in str(caught.value)
    assert why in caught.value.problems[0]
    assert house.recorder.of(EventType.CONSTELLATION_STARTED) == []


async def test_what_a_failed_task_left_can_still_be_taken() -> None:
    async with rig() as house:
        house.transport.script("a", Completed(exit_code=3, stdout="half"))
        command = Command(["x", Reference("a"), Reference("a", "exit_code"), Reference("a", "status")])
        await house.run(taking(command, "a~b"))
    request = house.device().attempts[1].request
    assert isinstance(request, Command)
    assert request.argv == ("x", "half", "3", "failed")


async def test_a_result_that_was_given_by_hand_can_be_taken() -> None:
    async with rig() as house:
        constellation = taking(Command(["x", Reference("a", "value")]))
        constellation.mark_task_completed("a", True, "by hand")
        await house.run(constellation)
    request = house.device().attempts[0].request
    assert isinstance(request, Command)
    assert request.argv == ("x", "by hand")


async def test_each_attempt_takes_it_anew() -> None:
    async with rig() as house:
        house.transport.script("a", Completed(stdout="out"))
        house.transport.script("b", Completed(exit_code=1), Completed())
        await house.run(taking(Command(["x", Reference("a")]), retry_count=1, retry=RetryPolicy(backoff_s=1)))
    assert [attempt.request for attempt in house.device().attempts[1:]] == [Command(["x", "out"])] * 2


class TestRequestsThatATransportDoesNotTake:
    @pytest.mark.parametrize(
        ("request_", "why"),
        [
            (Command(["ls"]), "does not take an argument list (run); it takes: none, action 'tap'"),
            (Command(None, "ls"), "does not take a shell text (shell)"),
            (Call(print), "does not take a Python call"),
            (Action("swipe"), "does not take action 'swipe'"),
            (Action("tpa"), "does not take action 'tpa'; it takes: none, action 'tap'; did you mean 'tap'?"),
            (Action("tap", {"x": "far"}), "action 'tap': x: found the text 'far'; a whole number is wanted here"),
        ],
    )
    async def test_they_refuse_the_run_before_anything_starts(self, request_: Any, why: str) -> None:
        transport = FakeTransport("touch", requests=frozenset({"none"}), actions={"tap": Tap})
        async with rig(Device("t", "touch"), plugins=[transport]) as house:
            with pytest.raises(InvalidPlanError) as caught:
                await house.run(taking(request_))
        assert why in str(caught.value)
        assert "'b'" in str(caught.value)
        assert "'t'" in str(caught.value)
        assert transport.device("t").started == []
        assert house.recorder.of(EventType.CONSTELLATION_STARTED) == []

    async def test_a_task_that_only_has_a_description_can_be_refused_too(self) -> None:
        transport = FakeTransport("strict", requests=frozenset({"run"}))
        async with rig(Device("s", "strict"), plugins=[transport]) as house:
            with pytest.raises(InvalidPlanError, match="a task that only has a description"):
                await house.run(plan("a"))

    async def test_with_late_binding_the_task_fails_on_the_device_that_does_not_take_it(self) -> None:
        transport = FakeTransport("strict", requests=frozenset({"none"}))
        async with rig(Device("s", "strict"), plugins=[transport]) as house:
            result = await house.run(taking(Command(["ls"])), "earliest_finish")
            assert house.slots_are_free()
        assert isinstance(result["results"]["b"].error, RequestError)
        assert transport.device("s").started == ["a"]

    async def test_an_action_whose_arguments_turn_out_wrong_fails_its_task(self) -> None:
        transport = FakeTransport("touch", actions={"tap": Tap})
        async with rig(Device("t", "touch"), plugins=[transport]) as house:
            transport.script("a", Completed({"x": "far"}))
            result = await house.run(taking(Action("tap", {"x": Reference("a", "json.x")})))
        assert isinstance(result["results"]["b"].error, RequestError)
        assert transport.device("t").started == ["a"]
