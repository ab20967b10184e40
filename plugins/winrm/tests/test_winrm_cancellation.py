"""Cancelled attempts: the far side is stopped through a second connection, or it is said that it may not be."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from galaxy_core import Command, DeviceLostError
from galaxy_core.extension.interfaces import Completed, Refused, Unknown
from galaxy_core_winrm.simulate.host import WindowsHost, windows_host

pytestmark = pytest.mark.anyio
Desk = Any
FOREVER = Command(["sh", "-c", "echo here; sleep 1000 & sleep 1000"])


async def _until(holds: Callable[[], Any]) -> None:
    with anyio.fail_after(10):
        while not await holds():  # noqa: ASYNC110  the far side tells nobody
            await anyio.sleep(0.005)


async def _cancelled(session: Any, attempt: Any, when: Callable[[], Any]) -> float:
    """Seconds that it took to be over after it was told."""
    scope, over = anyio.CancelScope(), anyio.Event()

    async def execute() -> None:
        with scope:
            await session.execute(attempt)
        over.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(execute)
        await _until(when)
        start = anyio.current_time()
        scope.cancel()
        await over.wait()
    return anyio.current_time() - start


async def test_a_cancelled_command_is_gone_with_its_children(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host) as session:
        attempt = desk.attempt(FOREVER)

        async def is_heard() -> bool:
            return bool(desk.heard)

        assert await _cancelled(session, attempt, is_heard) < 1
        assert isinstance(attempt.partial, Completed)
        assert attempt.partial.stdout == "here\n"
        assert not (await host.truth(attempt.mark)).running
        assert isinstance(await desk.run(session, Command(["true"])), Completed)
    assert await host.remains() == []


async def test_a_command_on_a_frozen_host_is_said_to_run_perhaps_and_ended_later(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host) as session:
        attempt = desk.attempt(FOREVER)

        async def freezes() -> bool:
            if desk.heard:
                host.misbehaviour.freeze()
            return bool(desk.heard)

        assert await _cancelled(session, attempt, freezes) < 1
        assert isinstance(attempt.partial, Unknown)
        assert "may still run" in attempt.partial.reason
        assert attempt.partial.said is not None
        assert attempt.partial.said.stdout == "here\n"
        assert (await host.truth(attempt.mark)).running
        await host.heal()
        assert isinstance(await desk.run(session, Command(["true"])), Completed)
        assert not (await host.truth(attempt.mark)).running
    assert await host.remains() == []


async def test_nothing_is_started_while_what_was_to_be_stopped_may_still_run(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host) as session:
        host.misbehaviour.drop_before("Delete")
        host.misbehaviour.drop_before("Signal")
        attempt = desk.attempt(FOREVER)

        async def is_heard() -> bool:
            return bool(desk.heard)

        await _cancelled(session, attempt, is_heard)
        assert isinstance(attempt.partial, Unknown)
        outcome = await desk.run(session, Command(["true"]))
        assert isinstance(outcome, Refused)
        assert "may still run" in outcome.reason
        await host.heal()
        assert isinstance(await desk.run(session, Command(["true"])), Completed)


async def test_a_hung_host_holds_no_thread_once_it_is_given_up(desk: Desk, host: WindowsHost) -> None:
    before = threading.active_count()
    async with desk.open(host, answer_timeout_s=3600) as session:
        host.misbehaviour.hang("Receive")
        for _ in range(3):
            attempt = desk.attempt(FOREVER)

            async def is_started(mark: str = attempt.mark) -> bool:
                return (await host.truth(mark)).running

            assert await _cancelled(session, attempt, is_started) < 1
            assert not (await host.truth(attempt.mark)).running

        async def all_came_back() -> bool:
            return not session._host.conversations._threads.given_up

        await _until(all_came_back)
    assert threading.active_count() <= before + 8  # idle workers of the event loop


async def test_cancelling_while_the_shell_is_made_starts_nothing(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host) as session:
        host.misbehaviour.hang("Create")
        attempt = desk.attempt(Command(["true"], env={"A": "b"}))

        async def is_asked() -> bool:
            return bool(session._host.conversations._threads._limiter.borrowed_tokens)

        assert await _cancelled(session, attempt, is_asked) < 1
        assert attempt.progress == "new"
        assert not isinstance(attempt.partial, Unknown)
        assert (await host.truth(attempt.mark)).starts == 0
        await host.heal()


@pytest.mark.parametrize("verb", ["Signal", "Delete", "*"])
async def test_trouble_while_tidying_up_takes_nothing_from_the_result(desk: Desk, host: WindowsHost, verb: str) -> None:
    async with desk.open(host, commands_per_shell=2) as session:
        if verb != "*":
            host.misbehaviour.drop_after_work(verb)
        for _ in range(4):
            done = await desk.run(session, Command(["echo", "done"]))
            assert (done.exit_code, done.stdout.strip()) == (0, "done")
        await host.heal()
        await session.probe()
        assert len(host.shells) == 1


@pytest.mark.parametrize(
    ("misbehave", "why"),
    [
        (lambda it: it.drop_after_work("Command"), "told to start"),
        (lambda it: it.drop_before("Command"), "told to start"),
        (lambda it: it.garble("Command"), "told to start"),
        (lambda it: it.wrong_relates_to("Command"), "told to start"),
        (lambda it: it.truncate(300, "Command"), "told to start"),
        (lambda it: it.http(500, "Command"), "HTTP 500"),
        (lambda it: it.drop_after_work("Receive"), "was started"),
        (lambda it: it.garble("Receive"), "was started"),
        (lambda it: it.bad_mic("Receive"), "was started"),
        (lambda it: it.wrong_relates_to("Receive"), "was started"),
        (lambda it: it.http(401, "Receive"), "was started"),
    ],
)
async def test_a_lost_answer_is_unknown_and_its_command_is_ended(
    desk: Desk, host: WindowsHost, misbehave: Callable[[Any], None], why: str
) -> None:
    async with desk.open(host) as session:
        misbehave(host.misbehaviour)
        attempt = desk.attempt(FOREVER)
        outcome = await session.execute(attempt)
        assert isinstance(outcome, Unknown)
        assert why in outcome.reason
        await host.heal()
        await session.probe()
        assert not (await host.truth(attempt.mark)).running
    assert await host.remains() == []


@pytest.mark.parametrize("status", [401, 403, 404, 302])
async def test_a_command_that_the_host_does_not_take_is_refused(desk: Desk, host: WindowsHost, status: int) -> None:
    async with desk.open(host) as session:
        host.misbehaviour.http(status, "Command")
        attempt = desk.attempt(FOREVER)
        outcome = await session.execute(attempt)
        assert isinstance(outcome, Refused)
        assert (await host.truth(attempt.mark)).starts == 0


async def test_an_answer_that_comes_twice_counts_once(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host) as session:
        host.misbehaviour.duplicate()
        for number in range(3):
            done = await desk.run(session, Command(["echo", str(number)]))
            assert done.stdout.strip() == str(number)


async def test_a_host_that_says_nothing_loses_its_command_after_a_while(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host, operation_timeout_s=1, answer_timeout_s=1) as session:
        host.misbehaviour.hang("Receive")
        outcome = await desk.run(session, FOREVER)
        assert isinstance(outcome, Unknown)
        assert "did not answer in time" in outcome.reason


async def test_a_command_may_be_silent_for_longer_than_an_operation_takes(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host, operation_timeout_s=1) as session:
        done = await desk.run(session, Command(["sh", "-c", "sleep 1.3; echo late"]))
        assert done.stdout == "late\n"


@pytest.mark.parametrize("certificate", [None, "valid"])
async def test_a_host_that_is_gone_is_told_as_lost_and_the_task_as_not_started(desk: Desk, certificate: Any) -> None:
    async with windows_host(certificate=certificate) as host, desk.open(host) as session:
        await desk.run(session, Command(["true"]))
        host.die()
        await desk.until(lambda: not host._connections)
        attempt = desk.attempt(Command(["true"]))
        with pytest.raises(DeviceLostError, match="cannot be reached"):
            await session.execute(attempt)
        assert attempt.progress == "new"
        await host.heal()
        assert isinstance(await desk.run(session, Command(["true"])), Completed)
