"""The synchronous façade for scripts. It starts its own event loop, in real time."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from galaxy_core import (
    Command,
    Completed,
    Device,
    RunInfo,
    RunRefusedError,
    TaskConstellation,
    TaskStar,
    hookimpl,
    run_constellation,
)
from galaxy_core.runtime.plans import arun_constellation
from galaxy_core.testing.fakes import FakeTransport, Recorder

from .fakes import link, plan

both = pytest.mark.parametrize("backend", ["asyncio", "trio"])
D1 = Device("d1", "fake")


@both
def test_a_script_runs_a_plan_in_one_call(backend: str) -> None:
    transport, recorder = FakeTransport(), Recorder()
    transport.script("a", Completed("out of a"))
    result = run_constellation(
        plan("a b", "a>b"), [D1], plugins=[transport], observers=[recorder], metadata={"who": "me"}, backend=backend
    )
    assert (result["status"], result["results"]["a"].result) == ("completed", "out of a")
    assert transport.device("d1").started == ["a", "b"]
    assert transport.device("d1").sessions == 0
    assert recorder.story()[-1].startswith("device_")
    assert recorder.story_of("b") == ["task_started", "task_completed"]


@both
def test_by_default_it_runs_on_this_machine(backend: str) -> None:
    constellation = TaskConstellation()
    constellation.add_task(TaskStar("a", request=Command(["echo", "hello"])))
    constellation.add_task(TaskStar("b", request=Command(["echo", "again"])))
    constellation.add_dependency(link("a>b"))
    result = run_constellation(constellation, backend=backend)
    assert [one.stdout for one in result["results"].values()] == ["hello\n", "again\n"]
    assert result["results"]["a"].device_id == "here"


@both
def test_the_strategy_can_be_named(backend: str) -> None:
    transport = FakeTransport()
    devices = [D1, Device("d2", "fake")]
    result = run_constellation(plan("a b"), devices, strategy="round_robin", plugins=[transport], backend=backend)
    assert [one.device_id for one in result["results"].values()] == ["d1", "d2"]


@both
def test_what_the_orchestrator_raises_comes_out_as_it_is(backend: str) -> None:
    class Never:
        @hookimpl
        def galaxy_review_run(self, run: RunInfo) -> str:
            return "never"

    transport = FakeTransport()
    with pytest.raises(ValueError, match="Unknown assignment strategy"):
        run_constellation(plan("a"), [D1], strategy="nonsense", plugins=[transport], backend=backend)
    with pytest.raises(RunRefusedError, match="never"):
        run_constellation(plan("a"), [D1], plugins=[transport, Never()], backend=backend)
    assert transport.device("d1").sessions == 0


@both
def test_a_failed_task_is_a_result(backend: str) -> None:
    transport = FakeTransport()
    transport.script("a", ValueError("broken"))
    result = run_constellation(plan("a"), [D1], plugins=[transport], backend=backend)
    assert result["status"] == "failed"


@both
def test_two_in_a_row_are_independent(backend: str) -> None:
    for _ in range(2):
        assert run_constellation(plan("a"), [D1], plugins=[FakeTransport()], backend=backend)["status"] == "completed"


@pytest.mark.anyio
async def test_inside_an_event_loop_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="Already running"):
        run_constellation(plan("a"), [D1], plugins=[FakeTransport()])


@pytest.mark.anyio
async def test_inside_an_event_loop_there_is_the_asynchronous_one() -> None:
    transport = FakeTransport()
    result: dict[str, Any] = await arun_constellation(plan("a"), [D1], plugins=[transport])
    assert result["status"] == "completed"
    assert anyio.current_time() < 1
