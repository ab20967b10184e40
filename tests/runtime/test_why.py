"""Everything that waits can say why."""

from __future__ import annotations

import anyio
import pytest

from galaxy_core import (
    Completed,
    ConstellationModificationSynchronizer,
    Effect,
    RetryPolicy,
    RunError,
    TaskConstellation,
    UnknownTaskError,
)
from galaxy_core.testing.fakes import takes

from .fakes import Rig, plan, rig, until

pytestmark = pytest.mark.anyio


class Asking:
    """A run that is under way, and a question about one of its tasks."""

    def __init__(self, house: Rig, constellation: TaskConstellation, strategy: str = "load_balance") -> None:
        self.house, self.constellation, self.strategy = house, constellation, strategy
        self.group = anyio.create_task_group()

    async def __aenter__(self) -> Asking:
        await self.group.__aenter__()
        self.group.start_soon(self.house.run, self.constellation, self.strategy)
        await until(lambda: any(task.attempts for task in self.constellation.tasks.values()))
        return self

    async def __aexit__(self, *details: object) -> None:
        self.group.cancel_scope.cancel()
        await self.group.__aexit__(None, None, None)

    def why(self, task_id: str) -> tuple[str, tuple[str, ...], str]:
        why = self.house.orchestrator.why(task_id)
        assert why.task_id == task_id
        assert str(why) == why.text
        assert repr(task_id) in why.text
        return why.kind, why.holders, why.text


async def test_what_runs_says_where() -> None:
    async with rig() as house:
        house.transport.script("a", takes(50))
        async with Asking(house, plan("a")) as asking:
            kind, holders, text = asking.why("a")
    assert (kind, holders) == ("running", ("d1",))
    assert "attempt 1, lease 1" in text


async def test_what_waits_for_others_names_them() -> None:
    async with rig(slots=2) as house:
        house.transport.default = takes(50)
        async with Asking(house, plan("a b c d", "a>c b>c c>d")) as asking:
            assert asking.why("c")[:2] == ("link", ("a", "b"))
            assert "'a' (running)" in asking.why("c")[2]
            assert asking.why("d")[:2] == ("link", ("c",))


async def test_what_waits_for_a_slot_says_who_has_it_and_who_is_ahead() -> None:
    async with rig() as house:
        house.transport.default = takes(50)
        async with Asking(house, plan("a b c")) as asking:
            assert asking.why("b")[:2] == ("lane", ("d1", "a"))
            assert "1 run ('a'), 0 are ahead" in asking.why("b")[2]
            assert "1 are ahead" in asking.why("c")[2]


async def test_what_waits_for_a_late_choice_says_so() -> None:
    async with rig() as house:
        house.transport.default = takes(50)
        async with Asking(house, plan("a b"), "earliest_finish") as asking:
            assert asking.why("b")[0] == "choice"


async def test_what_backs_off_says_for_how_long() -> None:
    async with rig() as house:
        house.transport.script("a", Completed(exit_code=1))
        constellation = plan("a", retry_count=1, retry=RetryPolicy(backoff_s=50, jitter=0))
        async with Asking(house, constellation) as asking:
            await anyio.sleep(20)
            kind, _, text = asking.why("a")
    assert kind == "back-off"
    assert "in 30.0 s (attempt 2)" in text


async def test_what_waits_for_its_device_names_it_and_what_is_wrong_with_it() -> None:
    async with rig("d1", "d2", reconnect_delay=60) as house:
        house.transport.default = takes(50)
        async with Asking(house, plan("a b", target_device_id="d1")) as asking:
            house.device("d1").unplug()
            await anyio.sleep(5)
            kind, holders, text = asking.why("b")
    assert (kind, holders) == ("device", ("d1",))
    assert "it was unplugged" in text


async def test_what_waits_for_any_device_that_fits_says_so() -> None:
    async with rig("d1", reconnect_delay=60) as house:
        house.transport.default = takes(50)
        async with Asking(house, plan("a b", effect=Effect.READ)) as asking:
            house.device("d1").unplug()
            await anyio.sleep(10)
            assert asking.why("a")[0] == "device"
            assert asking.why("b")[0] == "device"


async def test_what_an_edit_holds_says_so() -> None:
    async with rig() as house:
        synchronizer = ConstellationModificationSynchronizer(house.orchestrator)
        house.orchestrator.set_modification_synchronizer(synchronizer)
        with synchronizer.editor():
            async with Asking(house, plan("a b", "a>b")) as asking:
                await until(synchronizer.has_pending_modifications)
                assert asking.why("b")[0] == "edit"


async def test_what_has_ended_says_how() -> None:
    async with rig(slots=2) as house:
        house.transport.script("a", Completed(error="broken"))
        house.transport.script("long", takes(50))
        async with Asking(house, plan("a b long", "a>b")) as asking:
            await until(lambda: asking.constellation.tasks["a"].is_terminal)
            assert asking.why("a")[0] == "ended"
            assert "failed: broken" in asking.why("a")[2]
            assert "skipped" in asking.why("b")[2]


async def test_a_plan_that_is_registered_but_does_not_run_says_so() -> None:
    async with rig() as house:
        constellation = plan("a b", "a>b", constellation_id="c1")
        house.orchestrator.manager.register_constellation(constellation)
        assert house.orchestrator.why("a", "c1").kind == "not running"
        assert house.orchestrator.why("b", "c1").kind == "link"


async def test_unknown_tasks_and_plans_are_errors() -> None:
    async with rig() as house:
        house.transport.default = takes(50)
        async with Asking(house, plan("task_one")):
            with pytest.raises(UnknownTaskError, match="task_on not found; did you mean 'task_one'"):
                house.orchestrator.why("task_on")
            with pytest.raises(RunError, match="neither runs nor is registered"):
                house.orchestrator.why("task_one", "nobody")
        with pytest.raises(RunError, match="0 constellations run"):
            house.orchestrator.why("task_one")


async def test_with_two_runs_the_plan_has_to_be_named() -> None:
    async with rig(slots=2) as house:
        house.transport.default = takes(50)
        async with anyio.create_task_group() as group:
            for name in ("one", "two"):
                group.start_soon(house.run, plan("a", constellation_id=name))
            await until(lambda: len(house.device().running) == 2)
            with pytest.raises(RunError, match="2 constellations run"):
                house.orchestrator.why("a")
            assert house.orchestrator.why("a", "two").kind == "running"
            group.cancel_scope.cancel()
