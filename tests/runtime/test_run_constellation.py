"""The synchronous façade for scripts. It starts its own event loop, in real time."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import Any

import anyio
import pytest
import sniffio

from galaxy_core import (
    AssignmentError,
    Command,
    Completed,
    Device,
    RunError,
    RunInfo,
    RunRefusedError,
    TaskConstellation,
    TaskStar,
    arun_constellation,
    hookimpl,
    run_constellation,
)
from galaxy_core.runtime.plans import _running_loop
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
    runs = f"{sniffio.current_async_library()} runs in this thread already: write `await arun_constellation"
    for backend in ("asyncio", "trio"):
        with pytest.raises(RunError, match=re.escape(runs)):
            run_constellation(plan("a"), [D1], plugins=[FakeTransport()], backend=backend)


def test_inside_a_callback_of_asyncio_it_says_so_too() -> None:
    seen: list[BaseException] = []

    def callback() -> None:
        try:
            run_constellation(plan("a"), [D1], plugins=[FakeTransport()])
        except BaseException as error:  # it is looked at below
            seen.append(error)

    async def main() -> None:
        asyncio.get_running_loop().call_soon(callback)
        await asyncio.sleep(0)

    asyncio.run(main())
    assert [type(error) for error in seen] == [RunError]


@pytest.mark.anyio
async def test_in_a_thread_beside_an_event_loop_it_runs() -> None:
    loops: list[str | None] = []
    thread = threading.Thread(target=lambda: loops.append(_running_loop()))
    thread.start()
    thread.join()
    assert loops == [None]


@pytest.mark.anyio
async def test_inside_an_event_loop_there_is_the_asynchronous_one() -> None:
    transport = FakeTransport()
    result: dict[str, Any] = await arun_constellation(plan("a"), [D1], plugins=[transport])
    assert result["status"] == "completed"
    assert anyio.current_time() < 1


@pytest.mark.parametrize("devices", [["one"], "one", [{"device_id": "one"}]], ids=["id", "text", "document"])
def test_what_is_no_device_is_refused_with_what_is_wanted(devices: Any) -> None:
    with pytest.raises(AssignmentError, match="a Device is wanted, not "):
        run_constellation(plan("a"), devices)


def test_without_the_name_of_a_strategy_it_says_what_is_wanted() -> None:
    with pytest.raises(AssignmentError, match="must be the name of a strategy, such as 'load_balance', not None"):
        run_constellation(plan("a"), [D1], strategy=None)  # type: ignore[arg-type]
