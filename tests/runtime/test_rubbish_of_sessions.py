"""Whatever a transport opens or a session returns: one attempt, or one device, is harmed, with an error that says how."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from galaxy_core import (
    Completed,
    Device,
    DeviceLostError,
    Effect,
    OutcomeUnknownError,
    PluginError,
    Refused,
    TaskConstellation,
    TaskFailedError,
    TaskRefusedError,
    TaskTimeoutError,
    Unknown,
)
from galaxy_core.extension.interfaces import Attempt
from galaxy_core.testing.fakes import FakeTransport

from .fakes import plan, rig, until

pytestmark = pytest.mark.anyio


def fails(*_: Any) -> Any:
    raise LookupError("not to be asked")


class Touchy:
    """Nothing can be done with it."""

    __bool__ = __eq__ = __hash__ = __iter__ = __len__ = __repr__ = __str__ = fails
    __format__ = fails


class TouchyNumber(int):
    __bool__ = __eq__ = __hash__ = __int__ = __repr__ = __str__ = fails


class TouchyMapping(Mapping[str, str]):
    __len__ = fails

    def __getitem__(self, name: str) -> str:
        return "/tmp/x"

    def __iter__(self) -> Iterator[str]:
        raise SystemExit(4)


class Quiet(Completed):
    """What somebody made of an outcome."""


NUMBER, TEXT = "allowed is a whole number (int) of at most 64 bits or None", "allowed is text (str) or None"
FILES = "allowed is a mapping of names (str) to paths (str), or None"
RUBBISH: list[tuple[str, Any, str]] = [
    ("exit_code", "0", f"exit_code: found '0'; {NUMBER}"),
    ("exit_code", 0.0, f"exit_code: found 0.0; {NUMBER}"),
    ("exit_code", Touchy(), f"exit_code: found Touchy that cannot be shown; {NUMBER}"),
    ("exit_code", 10**5000, f"exit_code: found int that cannot be shown; {NUMBER}"),
    ("exit_code", 1 << 64, f"exit_code: found {1 << 64}; {NUMBER}"),
    ("stdout", b"bytes", f"stdout: found b'bytes'; {TEXT}"),
    ("stdout", ["lines"], f"stdout: found ['lines']; {TEXT}"),
    ("stderr", b"x" * 1000, f"stderr: found b'{'x' * 98}…; {TEXT}"),
    ("error", 5, "error: found 5; allowed is an exception, text or None"),
    ("error", ValueError, "error: found <class 'ValueError'>; allowed is an exception, text or None"),
    ("error", Touchy(), "error: found Touchy that cannot be shown; allowed is an exception, text or None"),
    ("files", ["a.txt"], f"files: found ['a.txt']; {FILES}"),
    ("files", {"a.txt": 3}, f"files: found {{'a.txt': 3}}; {FILES}"),
    ("files", {1: "/tmp/a"}, f"files: found {{1: '/tmp/a'}}; {FILES}"),
    ("files", {"a.txt": Path("a")}, "files: found {'a.txt': "),
    ("files", TouchyMapping(), "files: found <"),
    ("metadata", [("a", 1)], "metadata: found [('a', 1)]; allowed is a dict or None"),
    ("metadata", Touchy(), "metadata: found Touchy that cannot be shown; allowed is a dict or None"),
    ("truncated", "yes", "truncated: found 'yes'; allowed is True or False"),
    ("truncated", Touchy(), "truncated: found Touchy that cannot be shown; allowed is True or False"),
]


class TestOutcomes:
    @pytest.mark.parametrize(
        ("field", "value", "told"), RUBBISH, ids=[f"{row[0]}-{n}" for n, row in enumerate(RUBBISH)]
    )
    async def test_a_field_of_another_kind_fails_the_attempt_and_says_so(
        self, field: str, value: Any, told: str
    ) -> None:
        async with rig("d1", "d2") as house:
            house.transport.script("a", Completed(**{"value": {"kept": 1}, field: value}))
            constellation = plan("a b c", "a~b")
            result = await house.run(constellation)
            assert house.slots_are_free()
        assert {one: str(found.status) for one, found in result["results"].items()} == {
            "a": "failed",
            "b": "completed",
            "c": "completed",
        }
        failed = result["results"]["a"]
        assert isinstance(failed.error, PluginError)
        assert failed.error.plugin == "fake"
        assert f"transport 'fake' returned Completed with {told}" in str(failed.error)
        assert failed.result == {"kept": 1}
        assert TaskConstellation.from_json(constellation.to_json()).is_complete()

    async def test_all_fields_are_told_of_with_what_was_sound_and_the_error_that_there_was(self) -> None:
        async with rig() as house:
            house.transport.script(
                "a",
                Completed(exit_code=7, stdout="so far", stderr=b"!", files=[1], error=OSError("disk full")),  # type: ignore[arg-type]
            )
            result = await house.run(plan("a"))
        failed = result["results"]["a"]
        for words in ("stderr: found b'!'", "files: found [1]", "Its error: OSError: disk full"):
            assert words in str(failed.error)
        assert isinstance(failed.error.__cause__, OSError)
        assert (failed.exit_code, failed.stdout, failed.stderr, failed.files) == (7, "so far", None, None)

    async def test_an_attempt_that_was_harmed_is_tried_again(self) -> None:
        async with rig() as house:
            house.transport.script("a", Completed(exit_code="0"), Completed("fine"))  # type: ignore[arg-type]
            result = await house.run(plan("a", retry_count=1))
        assert (result["results"]["a"].result, result["results"]["a"].attempts) == ("fine", 2)

    @pytest.mark.parametrize(
        "outcome",
        [
            Completed("v", 0, "out", "err", None, {"a.txt": "/tmp/a"}, {"k": 1}, True),
            Completed("v", False, type("S", (str,), {})("out"), "err", None, type("D", (dict,), {})(a="b"), None),
            Quiet("v", None, "out", "err"),
            Completed("v", TouchyNumber(0), "out", "err", None, {}, {}),
        ],
        ids=["full", "subclasses", "own class", "empty"],
    )
    async def test_what_is_sound_succeeds(self, outcome: Completed) -> None:
        async with rig() as house:
            house.transport.script("a", outcome)
            result = await house.run(plan("a"))
        found = result["results"]["a"]
        assert (str(found.status), found.result, found.stdout, found.error) == ("completed", "v", "out", None)
        assert type(found.stdout) is str
        assert type(found.exit_code) in (int, type(None))

    async def test_an_empty_error_is_a_failure_that_says_as_much(self) -> None:
        async with rig() as house:
            house.transport.script("a", Completed(error=""))
            result = await house.run(plan("a"))
        assert isinstance(result["results"]["a"].error, TaskFailedError)
        assert str(result["results"]["a"].error) == "transport 'fake' says that it failed, and not why"

    @pytest.mark.parametrize("reason", [None, 5, b"no", Touchy()], ids=["None", "number", "bytes", "touchy"])
    @pytest.mark.parametrize(
        ("kind", "status", "error"), [(Refused, "failed", TaskRefusedError), (Unknown, "unknown", OutcomeUnknownError)]
    )
    async def test_a_reason_that_is_no_text_leaves_the_end_what_it_is(
        self, kind: Any, status: str, error: type, reason: Any
    ) -> None:
        async with rig() as house:
            house.transport.script("a", kind(reason))
            result = await house.run(plan("a b", "a-b", effect=Effect.ONCE))
        assert str(result["results"]["a"].status) == status
        assert isinstance(result["results"]["a"].error, error)
        assert f"transport 'fake' returned {kind.__name__} with reason: found" in str(result["results"]["a"].error)

    @pytest.mark.parametrize("kind", [Refused, Unknown])
    async def test_an_empty_reason_is_said_to_be_none(self, kind: Any) -> None:
        async with rig() as house:
            house.transport.script("a", kind(""))
            result = await house.run(plan("a"))
        assert str(result["results"]["a"].error).endswith(": no reason given")

    @pytest.mark.parametrize(
        "rubbish", [None, "done!", Ellipsis, 7, Touchy()], ids=["None", "text", "dots", "number", "touchy"]
    )
    async def test_what_is_no_outcome_at_all_is_refused(self, rubbish: Any) -> None:
        async with rig() as house:
            house.transport.script("a", _returns(rubbish))
            await house.manager.connect_all()
            single = await house.manager.assign_task_to_device("a", "d1", "do a")
            result = await house.run(plan("a b", "a~b"))
        for error in (result["results"]["a"].error, single.error):
            assert isinstance(error, PluginError)
            name = type(rubbish).__name__
            assert f"transport 'fake' returned {name} instead of Completed, Refused or Unknown" in str(error)
        assert str(result["results"]["b"].status) == "completed"

    async def test_of_a_single_task_a_field_of_another_kind_is_its_failure(self) -> None:
        async with rig() as house:
            house.transport.script("a", Completed("kept", metadata=[1]))  # type: ignore[arg-type]
            await house.manager.connect_all()
            result = await house.manager.assign_task_to_device("a", "d1", "do a")
        assert (str(result.status), result.result) == ("failed", "kept")
        assert "metadata: found [1]; allowed is a dict or None" in str(result.error)

    @pytest.mark.parametrize(
        "partial",
        ["text", Refused("no"), Touchy(), Completed(stdout=b"bytes", stderr="kept")],  # type: ignore[arg-type]
        ids=["text", "refused", "touchy", "bytes"],
    )
    async def test_what_a_stopped_attempt_left_may_be_anything(
        self, partial: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def leave(attempt: Attempt) -> Any:
            attempt.partial = partial
            await anyio.sleep_forever()

        async with rig() as house:
            house.transport.script("a", leave)
            result = await house.run(plan("a b", "a~b", timeout=5))
        found = result["results"]["a"]
        assert isinstance(found.error, TaskTimeoutError)
        assert found.stderr == ("kept" if isinstance(partial, Completed) else None)
        assert "what transport 'fake' left of an attempt is of no use" in caplog.text

    async def test_a_lost_device_need_not_say_why_in_the_kernels_words(self) -> None:
        class MyLostError(DeviceLostError):
            def __init__(self) -> None:
                Exception.__init__(self, "cable")

        async with rig(reconnect_delay=1) as house:
            house.transport.script("a", MyLostError())
            result = await house.run(plan("a b", "a-b"))
        assert {one: str(found.status) for one, found in result["results"].items()} == {
            "a": "unknown",
            "b": "completed",
        }
        assert "cable" in str(result["results"]["a"].error)


def _returns(rubbish: Any) -> Callable[[Attempt], Any]:
    """A step that returns it, without the fake looking at it."""

    async def step(attempt: Attempt) -> Any:
        return rubbish

    return step


class Opening(FakeTransport):
    """A transport of the name `bad`, whose `open` returns what it is told to."""

    def __init__(self, opened: Callable[[], Any]) -> None:
        super().__init__("bad")
        self.open = lambda device, settings: opened()  # type: ignore[method-assign]


class NoProbe:
    async def execute(self, attempt: Attempt, /) -> Completed:
        return Completed()


@asynccontextmanager
async def yields(session: Any) -> AsyncIterator[Any]:
    yield session


async def later() -> None:
    """A coroutine in place of a context manager."""


NO_MANAGER = "instead of an asynchronous context manager that yields a session; put @asynccontextmanager above it"


@pytest.mark.parametrize(
    ("opened", "told"),
    [
        (lambda: yields(None), "opened NoneType, which has no execute and no probe: that is no session"),
        (lambda: yields(NoProbe()), "opened NoProbe, which has no probe: that is no session"),
        (lambda: None, f"its `open` returned NoneType {NO_MANAGER}"),
        (later, f"its `open` returned coroutine {NO_MANAGER}"),
        (NoProbe, f"its `open` returned NoProbe {NO_MANAGER}"),
    ],
    ids=["nothing", "half a session", "no manager", "a coroutine", "a session"],
)
async def test_what_is_no_session_is_told_of_at_once_and_the_other_devices_work(
    opened: Callable[[], Any], told: str
) -> None:
    async with rig("good", Device("bad", "bad"), plugins=[Opening(opened)]) as house:
        result = await house.run(plan("a b"))
        assert result["status"] == "completed"
        await until(lambda: house.manager.get_device_status("bad")["status"] == "failed")
        assert anyio.current_time() < 1
        error = house.manager.get_device_status("bad")["error"]
        assert "transport 'bad'" in error
        assert told in error


class Hasty:
    """A session that does not wait."""

    def execute(self, attempt: Attempt, /) -> Completed:
        return Completed("done")

    async def probe(self) -> Mapping[str, str]:
        return {}


class Lazy(Hasty):
    """A session whose `execute` is no coroutine function, and still returns something to await."""

    def execute(self, attempt: Attempt, /) -> Any:
        async def later() -> Completed:
            return Completed("done")

        return later()


async def test_an_execute_that_does_not_wait_is_told_to() -> None:
    async with rig(Device("bad", "bad"), plugins=[Opening(lambda: yields(Hasty()))]) as house:
        result = await house.run(plan("a"))
        single = await house.manager.assign_task_to_device("b", "bad", "do b")
    for error in (result["results"]["a"].error, single.error):
        assert isinstance(error, PluginError)
        assert str(error) == (
            "transport 'bad': `execute` of its session returned Completed without being awaited; "
            "make it `async def execute`"
        )


async def test_whatever_can_be_awaited_is() -> None:
    async with rig(Device("d", "bad"), plugins=[Opening(lambda: yields(Lazy()))]) as house:
        result = await house.run(plan("a"))
    assert result["results"]["a"].result == "done"
