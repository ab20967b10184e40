"""Whatever a plugin raises, and wherever: one attempt or one call is harmed, the rest goes on, and somebody is told why.

`sys.exit` in a plugin does not end the program, and an exception that cannot even be printed breaks nobody else.
See docs/decisions/0023-what-counts-as-a-failure.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import anyio
import pytest
from pydantic import BaseModel, field_validator

from galaxy_core import (
    Completed,
    ConditionError,
    DependencyType,
    Device,
    EventType,
    Expression,
    PluginError,
    RunError,
    RunRefusedError,
    SecretRef,
    StrategyError,
    TaskConstellation,
    TaskStar,
    TaskStarLine,
    TaskTimeoutError,
    hookimpl,
    message_of,
)
from galaxy_core.extension.interfaces import Outcome, Session
from galaxy_core.model.event_document import event_document
from galaxy_core.model.reasons import is_failure
from galaxy_core.runtime.blaming import blamed
from galaxy_core.testing.fakes import FakeTransport, Recorder, takes

from .fakes import Rig, plan, rig, until

pytestmark = pytest.mark.anyio


class Unspeakable(Exception):  # noqa: N818  it is what is wrong with it
    """Cannot be put into words."""

    def __str__(self) -> str:
        raise LookupError("no words")

    __repr__ = __str__


class Panic(BaseException):
    """What a library in another language raises when it breaks: no Exception, so that nobody hides it."""


#: What is raised, and how whoever hears of it is told.
RAISED: list[tuple[Callable[[], BaseException], str]] = [
    (lambda: SystemExit(3), "SystemExit: it called sys.exit(3)"),
    (lambda: Panic("index out of bounds"), "Panic: index out of bounds"),
    (lambda: BaseExceptionGroup("of a task group", [SystemExit("bye")]), "sys.exit('bye')"),
    (Unspeakable, "Unspeakable"),
]
whatever = pytest.mark.parametrize(("error", "told"), RAISED, ids=["exit", "panic", "group", "unspeakable"])
Make = Callable[[], BaseException]


def raising(error: Make) -> Callable[..., Any]:
    """A function of anything, which raises it."""

    def fail(*_: Any, **__: Any) -> Any:
        raise error()

    return fail


def raising_later(error: Make) -> Callable[..., Any]:
    """The same as a coroutine function."""

    async def fail(*_: Any, **__: Any) -> Any:
        await anyio.sleep(1)
        raise error()

    return fail


def statuses(result: dict[str, Any]) -> dict[str, str]:
    return {task_id: str(one.status) for task_id, one in result["results"].items()}


def everything_is_written_down(house: Rig, constellation: TaskConstellation, result: dict[str, Any]) -> None:
    """Nobody who shows, keeps or follows a run stumbles over the error either."""
    for one in result["results"].values():
        assert repr(one)
        assert one.to_dict()["task_id"] == one.task_id
    for event in house.recorder.events:
        assert json.dumps(event_document(event, constellation))
    assert TaskConstellation.from_json(constellation.to_json()).is_complete()


class Connections(FakeTransport):
    """A transport of the name `bad`, which does what it is told when it opens and closes."""

    def __init__(self, **options: Any) -> None:
        super().__init__("bad", **options)
        self.on_open: Callable[[], Any] = lambda: None
        self.on_close: Callable[[], Any] = lambda: None

    @asynccontextmanager
    async def open(self, device: Device, settings: Any, /) -> AsyncIterator[Session]:
        self.on_open()
        async with super().open(device, settings) as session:
            yield session
        self.on_close()


class TestTransports:
    @whatever
    @pytest.mark.parametrize("how", [raising, raising_later])
    async def test_what_execute_raises_is_the_error_of_that_attempt_alone(
        self, how: Callable[[Make], Any], error: Make, told: str
    ) -> None:
        async with rig("d1", "d2") as house:
            house.transport.script("a", how(error))
            constellation = plan("a b c d", "a~b c>d")
            result = await house.run(constellation)
            assert house.slots_are_free()
        assert statuses(result) == {"a": "failed", "b": "completed", "c": "completed", "d": "completed"}
        failure = result["results"]["a"].error
        assert isinstance(failure, Exception)
        assert told in message_of(failure)
        if not isinstance(failure, Unspeakable):
            assert isinstance(failure, PluginError)
            assert "transport 'fake' raised" in str(failure)
        everything_is_written_down(house, constellation, result)

    @whatever
    async def test_what_execute_raises_while_it_is_stopped_at_its_deadline_changes_nothing(
        self, error: Make, told: str
    ) -> None:
        async def breaks_when_stopped(attempt: Any) -> Any:
            try:
                await anyio.sleep_forever()
            finally:
                raise error()

        async with rig() as house:
            house.transport.script("a", breaks_when_stopped)
            result = await house.run(plan("a b", "a~b", timeout=5))
            assert house.slots_are_free()
        assert statuses(result) == {"a": "failed", "b": "completed"}
        assert isinstance(result["results"]["a"].error, TaskTimeoutError)

    @pytest.mark.parametrize("error", [lambda: SystemExit(3), lambda: ValueError("no")], ids=["exit", "exception"])
    async def test_what_comes_together_with_the_cancellation_of_an_attempt_changes_nothing(self, error: Make) -> None:
        async def breaks_when_stopped(attempt: Any) -> Any:
            stopped = anyio.get_cancelled_exc_class()
            try:
                await anyio.sleep_forever()
            except stopped as cancelled:
                raise BaseExceptionGroup("of a task group", [error(), cancelled]) from None

        async with rig() as house:
            house.transport.script("a", breaks_when_stopped)
            result = await house.run(plan("a b", "a~b", timeout=5))
            assert house.slots_are_free()
        assert statuses(result) == {"a": "failed", "b": "completed"}
        assert isinstance(result["results"]["a"].error, TaskTimeoutError)

    @whatever
    async def test_a_run_whose_host_cancels_it_ends_whatever_sessions_raise(self, error: Make, told: str) -> None:
        async def breaks_when_stopped(attempt: Any) -> Any:
            try:
                await anyio.sleep_forever()
            finally:
                raise error()

        async with rig("d1", "d2") as house:
            house.transport.default = breaks_when_stopped
            constellation = plan("a b")
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation)
                await until(lambda: len(constellation.get_running_tasks()) == 2)
                group.cancel_scope.cancel()
            assert house.slots_are_free()
        assert all(task.is_terminal for task in constellation.tasks.values())

    @whatever
    async def test_a_failed_attempt_is_retried_whatever_was_raised(self, error: Make, told: str) -> None:
        async with rig() as house:
            house.transport.script("a", raising(error), Completed("at last"))
            result = await house.run(plan("a", retry_count=1))
        assert (result["results"]["a"].result, result["results"]["a"].attempts) == ("at last", 2)
        [event] = house.recorder.of(EventType.TASK_RETRYING)
        assert told in message_of(event.error)

    @whatever
    async def test_an_error_that_is_returned_may_be_anything(self, error: Make, told: str) -> None:
        async with rig() as house:
            house.transport.script("a", Completed(error=error(), stdout="so far"))
            constellation = plan("a b c", "a~b")
            constellation.add_dependency(
                TaskStarLine("a", "c", DependencyType.CONDITIONAL, "", Expression("error != null"))
            )
            result = await house.run(constellation)
        assert statuses(result) == {"a": "failed", "b": "completed", "c": "completed"}
        assert result["results"]["a"].stdout == "so far"
        assert told in message_of(result["results"]["a"].error)
        everything_is_written_down(house, constellation, result)

    @whatever
    async def test_of_a_single_task_it_is_the_error_of_the_result(self, error: Make, told: str) -> None:
        async with rig() as house:
            house.transport.script("a", raising(error))
            await house.manager.connect_all()
            result = await house.manager.assign_task_to_device("a", "d1", "do a")
            assert house.slots_are_free()
        assert str(result.status) == "failed"
        assert result.error is not None
        assert told in message_of(result.error)
        assert result.result["error_type"] == "execution_error"

    @whatever
    async def test_a_device_that_cannot_be_opened_is_tried_again_and_the_others_work(
        self, error: Make, told: str
    ) -> None:
        bad = Connections()
        bad.on_open = raising(error)
        async with rig("good", Device("bad", "bad"), plugins=[bad], max_retries=2) as house:
            result = await house.run(plan("a b c"))
            await until(lambda: house.manager.get_device_status("bad")["status"] == "failed")
            assert told in house.manager.get_device_status("bad")["error"]
            assert statuses(result) == {"a": "completed", "b": "completed", "c": "completed"}
            bad.on_open = lambda: None
            assert await house.manager.connect_device("bad")
        assert bad.device("bad").connects == 1

    @whatever
    async def test_a_task_that_fits_only_where_nothing_opens_says_why(self, error: Make, told: str) -> None:
        bad = Connections(device_type="odd")
        bad.on_open = raising(error)
        async with rig("good", Device("bad", "bad"), plugins=[bad], max_retries=0) as house:
            constellation = plan("a b")
            constellation.tasks["a"].target_device_id = "bad"
            await house.manager.connect_all()
            constellation.tasks["b"].target_device_id = "good"
            try:
                result = await house.run(constellation, None)
                why = message_of(result["results"]["a"].error)
                assert statuses(result)["b"] == "completed"
            except ValueError as refused:
                why = str(refused)
        assert told in why

    @whatever
    async def test_what_closing_raises_is_known_and_harms_nobody(self, error: Make, told: str) -> None:
        bad = Connections()
        bad.on_close = raising(error)
        async with rig("good", Device("bad", "bad"), plugins=[bad]) as house:
            assert statuses(await house.run(plan("a b c"), "round_robin")) == dict.fromkeys("abc", "completed")
            await house.manager.disconnect_device("bad")
            assert told in house.manager.get_device_status("bad")["error"]
            assert await house.manager.connect_device("bad")
            assert statuses(await house.run(plan("d"))) == {"d": "completed"}

    @whatever
    async def test_a_probe_that_raises_loses_the_device_which_is_opened_again(self, error: Make, told: str) -> None:
        async with rig("d1", "d2", heartbeat_interval=10, reconnect_delay=1) as house:
            lost: list[str] = []
            probe = house.device("d1").probe

            async def broken() -> Any:
                house.device("d1").probe = probe  # type: ignore[method-assign]  # once
                raise error()

            house.device("d1").probe = broken  # type: ignore[method-assign]
            house.transport.default = takes(25)
            result = await house.run(plan("a b", effect="read"), "round_robin")
            lost = [event.data["error"] for event in house.recorder.of(EventType.DEVICE_DISCONNECTED)]
        assert statuses(result) == {"a": "completed", "b": "completed"}
        assert len(lost) == 1
        assert "probe: " in lost[0]
        assert told in lost[0]
        assert house.device("d1").connects == 2

    @whatever
    async def test_a_keyring_that_raises_keeps_its_device_from_opening_and_no_other(
        self, error: Make, told: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keyring: Any = ModuleType("keyring")
        keyring.get_password = raising(error)
        monkeypatch.setitem(sys.modules, "keyring", keyring)

        class Settings(BaseModel):
            password: str

        bad = Connections(settings_model=Settings)
        device = Device("bad", "bad", {"password": SecretRef(keyring="galaxy/me")})
        async with rig("good", device, plugins=[bad]) as house:
            assert statuses(await house.run(plan("a b"))) == {"a": "completed", "b": "completed"}
            await until(lambda: house.manager.get_device_status("bad")["error"])
            assert "the keyring did not answer" in house.manager.get_device_status("bad")["error"]

    @pytest.mark.parametrize("error", [SystemExit, Panic, Unspeakable])
    async def test_a_settings_model_that_raises_is_told_of_as_refused_settings(self, error: type) -> None:
        class Settings(BaseModel):
            password: str

            @field_validator("password")
            @classmethod
            def check(cls, value: str) -> str:
                if value == "secret":
                    raise error
                return value

        async with rig(plugins=[Connections(settings_model=Settings)]) as house:
            with pytest.raises(ValueError, match="Settings broke while it checked them") as caught:
                house.manager.add_device(Device("bad", "bad", {"password": "secret"}))
        assert "password" not in str(caught.value)

    @whatever
    async def test_a_settings_model_whose_complaints_cannot_be_read_has_broken(self, error: Make, told: str) -> None:
        class ComplaintError(ValueError):
            errors = raising(error)

        class Settings:
            @classmethod
            def model_validate(cls, values: Any) -> Any:
                raise ComplaintError

        async with rig(plugins=[Connections(settings_model=Settings)]) as house:
            with pytest.raises(ValueError, match="Settings broke while it checked them: ComplaintError"):
                house.manager.add_device(Device("bad", "bad"))


class Choosing:
    """A strategy which does what it is told for the tasks of that id, and else takes the first device."""

    name = "choosing"

    def __init__(self, answer: Callable[..., Any], task_id: str = "x") -> None:
        self._answer = answer
        self._task_id = task_id

    def assign(self, placement: Any, /) -> Any:
        if any(task.task_id == self._task_id for task in placement.tasks):
            return self._answer()
        return {task.task_id: task.fitting[0] for task in placement.tasks}


class ChoosingLate(Choosing):
    def choose(self, ready: Any, free: Any, /) -> Any:
        if any(task.task_id == self._task_id for task in ready):
            return self._answer()
        return list(zip((task.task_id for task in ready), free, strict=False))


class TestStrategies:
    @whatever
    async def test_one_that_raises_at_the_start_refuses_the_run(self, error: Make, told: str) -> None:
        async with rig(plugins=[Choosing(raising(error))]) as house:
            with pytest.raises(StrategyError, match="strategy 'choosing' raised") as caught:
                await house.run(plan("x"), "choosing")
            assert told in str(caught.value)
            assert statuses(await house.run(plan("y"), "round_robin")) == {"y": "completed"}

    @whatever
    async def test_one_that_raises_for_a_task_that_is_added_fails_that_task(self, error: Make, told: str) -> None:
        async with rig(plugins=[Choosing(raising(error))]) as house:
            constellation = plan("a b", "a>b")

            def add(attempt: Any) -> Outcome:
                constellation.add_task(TaskStar("x", description="added"))
                return Completed()

            house.transport.script("a", add)
            result = await house.run(constellation, "choosing")
        assert statuses(result) == {"a": "completed", "b": "completed", "x": "failed"}
        assert told in str(result["results"]["x"].error)

    @whatever
    async def test_one_that_raises_when_it_binds_late_fails_what_waits_for_it(self, error: Make, told: str) -> None:
        async with rig("d1", "d2", plugins=[ChoosingLate(raising(error))]) as house:
            house.transport.default = takes(5)
            constellation = plan("a b x", "a>x")
            result = await house.run(constellation, "choosing")
            assert house.slots_are_free()
        assert statuses(result) == {"a": "completed", "b": "completed", "x": "failed"}
        assert isinstance(result["results"]["x"].error, StrategyError)
        assert told in str(result["results"]["x"].error)

    async def test_one_that_never_ends_to_choose_is_stopped(self) -> None:
        def endless() -> Iterator[tuple[str, str]]:
            while True:
                yield "x", "d1"

        async with rig(plugins=[ChoosingLate(endless)]) as house:
            result = await house.run(plan("x"), "choosing")
        assert "chose more than it was offered, which was 1 task" in str(result["results"]["x"].error)


class TestConditions:
    @whatever
    @pytest.mark.parametrize("when", ["judged", "read"])
    async def test_one_that_raises_skips_its_task_which_says_why(self, when: str, error: Make, told: str) -> None:
        class Answer:
            __bool__ = raising(error)

        condition = (lambda payload: raising(error)()) if when == "judged" else (lambda payload: Answer())
        async with rig() as house:
            constellation = plan("a b c", "a>c")
            constellation.add_dependency(TaskStarLine.create_conditional("a", "b", "", condition))
            result = await house.run(constellation)
        assert statuses(result) == {"a": "completed", "b": "skipped", "c": "completed"}
        assert isinstance(result["results"]["b"].error, ConditionError)
        assert told in str(result["results"]["b"].error)
        everything_is_written_down(house, constellation, result)

    @whatever
    @pytest.mark.parametrize("when", ["judged", "read"])
    def test_asked_by_hand_it_is_not_met(self, when: str, error: Make, told: str) -> None:
        class Answer:
            __bool__ = raising(error)

        line = TaskStarLine.create_conditional(
            "a", "b", "", (lambda payload: raising(error)()) if when == "judged" else (lambda payload: Answer())
        )
        assert line.evaluate_condition(1) is False


class Hooks:
    """A plugin whose hooks do what they are told."""

    def __init__(self, hook: str, do: Callable[..., Any]) -> None:
        async def galaxy_propose_edit(ended: Any) -> None:
            return None

        setattr(self, hook, hookimpl(specname=hook)(do))
        if hook == "galaxy_wants_end":
            self.galaxy_propose_edit = hookimpl(galaxy_propose_edit)


class TestHooks:
    @whatever
    @pytest.mark.parametrize("how", [raising, raising_later])
    async def test_a_policy_that_raises_has_refused_this_run_and_the_next_one_is_asked_about(
        self, how: Callable[[Make], Any], error: Make, told: str
    ) -> None:
        fail, calls = how(error), []

        def review(run: Any) -> Any:
            calls.append(run.constellation_id)
            return fail() if run.constellation_id == "c1" else None

        async with rig(plugins=[Hooks("galaxy_review_run", review)]) as house:
            with pytest.raises(RunRefusedError) as caught:
                await house.run(plan("a", constellation_id="c1"))
            assert statuses(await house.run(plan("a", constellation_id="c2"))) == {"a": "completed"}
        assert told in str(caught.value)
        assert calls == ["c1", "c2"]

    @whatever
    @pytest.mark.parametrize("how", [raising, raising_later])
    async def test_who_raises_when_it_is_told_of_the_end_is_logged_and_the_result_is_returned(
        self, how: Callable[[Make], Any], error: Make, told: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        heard: list[str] = []
        plugins = [
            Hooks("galaxy_run_finished", lambda result: heard.append(result["status"])),
            Hooks("galaxy_run_finished", how(error)),
        ]
        async with rig(plugins=plugins) as house:
            result = await house.run(plan("a"))
        assert (statuses(result), heard) == ({"a": "completed"}, ["completed"])
        assert told in caplog.text

    @whatever
    @pytest.mark.parametrize("how", [raising, raising_later])
    async def test_an_editor_that_raises_is_refused_and_the_run_goes_on(
        self, how: Callable[[Make], Any], error: Make, told: str
    ) -> None:
        async with rig(plugins=[Hooks("galaxy_propose_edit", how(error))]) as house:
            result = await house.run(plan("a b", "a>b"))
        assert statuses(result) == {"a": "completed", "b": "completed"}
        reasons = [event.data["reason"] for event in house.recorder.of(EventType.MODIFICATION_REFUSED)]
        assert len(reasons) == 2
        assert all(told in reason for reason in reasons)

    @whatever
    async def test_an_editors_answer_that_raises_while_it_is_read_is_refused(self, error: Make, told: str) -> None:
        class Answer:
            __iter__ = raising(error)

        async with rig(plugins=[Hooks("galaxy_propose_edit", lambda ended: Answer())]) as house:
            result = await house.run(plan("a b", "a>b"))
        assert statuses(result) == {"a": "completed", "b": "completed"}
        assert told in house.recorder.of(EventType.MODIFICATION_REFUSED)[0].data["reason"]

    @whatever
    async def test_who_cannot_say_what_ends_it_wants_is_logged_and_asked(
        self, error: Make, told: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with rig(plugins=[Hooks("galaxy_wants_end", raising(error))]) as house:
            result = await house.run(plan("a b", "a>b"))
        assert statuses(result) == {"a": "completed", "b": "completed"}
        assert "galaxy_wants_end raised" in caplog.text

    @whatever
    @pytest.mark.parametrize("how", [raising, raising_later])
    async def test_who_raises_when_it_reviews_an_edit_has_refused_that_edit(
        self, how: Callable[[Make], Any], error: Make, told: str
    ) -> None:
        def propose(ended: Any) -> Any:
            from galaxy_core import AddTask

            return AddTask(TaskStar("more")) if ended.tasks[0].task_id == "a" else None

        plugins = [Hooks("galaxy_propose_edit", propose), Hooks("galaxy_review_edit", how(error))]
        async with rig(plugins=plugins) as house:
            result = await house.run(plan("a b", "a>b"))
        assert statuses(result) == {"a": "completed", "b": "completed"}
        assert told in house.recorder.of(EventType.EDIT_REFUSED)[0].data["reason"]

    @whatever
    async def test_an_answer_that_cannot_be_shown_is_told_of_by_its_type(self, error: Make, told: str) -> None:
        class Answer:
            __repr__ = raising(error)

        async with rig(plugins=[Hooks("galaxy_review_run", lambda run: Answer())]) as house:
            with pytest.raises(RunRefusedError, match="returned Answer that cannot be shown instead of None or a"):
                await house.run(plan("a"))


class TestObserversAndJournals:
    @whatever
    @pytest.mark.parametrize("how", [raising, raising_later])
    @pytest.mark.parametrize("method", ["on_event", "on_events"])
    async def test_an_observer_that_raises_is_logged_and_goes_on_hearing(
        self,
        method: str,
        how: Callable[[Make], Any],
        error: Make,
        told: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        calls: list[Any] = []
        fail = how(error)

        class Observer:
            name = "broken"

            async def on_event(self, event: Any) -> None:
                calls.append(event)
                await _wait(fail)

        if method == "on_events":
            Observer.on_events = Observer.on_event  # type: ignore[attr-defined]
        async with rig(plugins=[Observer()]) as house:
            other = Recorder()
            house.bus.subscribe(other)
            result = await house.run(plan("a b", "a>b"))
            await house.bus.drain()
        assert statuses(result) == {"a": "completed", "b": "completed"}
        assert len(calls) > 1
        assert other.story_of("b") == ["task_started", "task_completed"]
        assert f"observer broken raised {told}" in caplog.text or told == "sys.exit('bye')"
        assert told in caplog.text

    async def test_an_observer_whose_very_name_raises_is_told_of_by_its_type(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Nameless:
            name = property(raising(lambda: SystemExit(3)))

            async def on_event(self, event: Any) -> None:
                raise SystemExit(4)

        async with rig() as house:
            house.bus.subscribe(Nameless())
            assert statuses(await house.run(plan("a"))) == {"a": "completed"}
        assert "observer Nameless raised SystemExit: it called sys.exit(4)" in caplog.text

    @whatever
    @pytest.mark.parametrize("when", ["open", "write", "close"])
    async def test_a_journal_that_raises_fails_the_run_that_wanted_it(self, when: str, error: Make, told: str) -> None:
        class Journal:
            name = "diary"

            @asynccontextmanager
            async def open(self, run: Any, /) -> AsyncIterator[Any]:
                if when == "open":
                    raise error()
                yield self
                if when == "close":
                    raise error()

            async def write(self, records: Any, /) -> None:
                if when == "write":
                    raise error()

            epoch, folder = 1, None

            def reopen(self, run_id: str, /) -> Any:
                return self.open(run_id)

            def read(self, run_id: str, /) -> list[str]:
                return []

            def runs(self) -> list[str]:
                return []

        async with rig(plugins=[Journal()]) as house:
            house.orchestrator._journal = "diary"
            with pytest.raises(RunError, match="journal") as caught:
                await house.run(plan("a"))
            assert told in str(caught.value)
            house.orchestrator._journal = None
            assert statuses(await house.run(plan("a"))) == {"a": "completed"}

    @whatever
    async def test_a_journal_that_cannot_be_closed_does_not_hide_why_it_could_not_be_written(
        self, error: Make, told: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Journal:
            name = "diary"

            @asynccontextmanager
            async def open(self, run: Any, /) -> AsyncIterator[Any]:
                try:
                    yield self
                finally:
                    raise error()

            async def write(self, records: Any, /) -> None:
                raise OSError("no space left on device")

            epoch, folder = 1, None

            def reopen(self, run_id: str, /) -> Any:
                return self.open(run_id)

            def read(self, run_id: str, /) -> list[str]:
                return []

            def runs(self) -> list[str]:
                return []

        async with rig(plugins=[Journal()]) as house:
            house.orchestrator._journal = "diary"
            with pytest.raises(RunError, match="no space left on device"):
                await house.run(plan("a"))
        assert "cannot close journal 'diary'" in caplog.text
        assert told in caplog.text


async def _wait(call: Callable[[], Any]) -> Any:
    answer = call()
    return await answer if hasattr(answer, "__await__") else answer


class TestWhatIsForUs:
    """Ctrl-C and the cancellation of the task that asks are nobody's failure."""

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit()], ids=repr)
    async def test_ctrl_c_and_the_end_of_a_generator_go_through(self, error: BaseException) -> None:
        group = BaseExceptionGroup("of a task group", [ValueError("beside it"), error])
        for raised in (error, group):
            assert not is_failure(raised)
            with pytest.raises(type(raised)) as caught:
                blamed(raised, "plugin", "p")
            assert caught.value is raised
        line = TaskStarLine.create_conditional("a", "b", "", raising(lambda: error))
        with pytest.raises(type(error)):
            line.evaluate_condition(1)

    @pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
    async def test_a_host_that_cancels_its_own_task_while_a_policy_thinks_is_not_refused(self) -> None:
        import asyncio

        async def think(run: Any) -> None:
            await anyio.sleep(20)

        async with rig(plugins=[Hooks("galaxy_review_run", think)]) as house:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await house.run(plan("a"))
            assert anyio.current_time() == pytest.approx(5, abs=0.5)
