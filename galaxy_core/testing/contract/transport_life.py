"""Clauses about sessions: how they are opened, and left."""

from __future__ import annotations

from typing import Final

import anyio
from anyio.lowlevel import checkpoint

from galaxy_core.errors import DeviceLostError
from galaxy_core.testing.contract.bench import LIMIT_S, Bench
from galaxy_core.testing.contract.clause import clause

#: After how many steps of the event loop something is cancelled; steps far apart are enough where much goes on.
STEPS: Final = (0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 29, 38, 50)


class OwnError(Exception):
    """Raised by the bench within a session."""


class LifeClauses:
    """How sessions are opened and left."""

    @clause(
        "what your sessions share: each has to have a link of its own, or a count of who uses it. When the only session "
        "that is open is wrong already: how it reads standard output"
    )
    async def test_two_sessions_at_once_do_not_know_of_each_other(self, bench: Bench) -> None:
        async with bench.opened() as first:
            try:
                await bench.works(first, "alone")
            except AssertionError as error:
                raise AssertionError(f"in the only session that is open, {error}") from error
            async with bench.opened() as second:
                assert first is not second, "opening twice gave the same session twice"
                await bench.works(first, "first")
                await bench.works(second, "second")
            await bench.works(first, "first again")

    @clause("the code after `yield` in your `open`: it has to close, wait and remove all that stands before it")
    async def test_leaving_a_session_closes_everything(self, bench: Bench) -> None:
        await _use(bench)
        async with bench.leaving_nothing():
            await _use(bench)

    @clause("`try: yield … finally:` in your `open`: it has to close in whichever way it is left, and let errors pass")
    async def test_leaving_a_session_with_an_error_closes_everything_and_lets_the_error_pass(
        self, bench: Bench
    ) -> None:
        await _use(bench)
        async with bench.leaving_nothing():
            passed = False
            try:
                async with bench.opened() as session:
                    await session.probe()
                    raise OwnError
            except OwnError:
                passed = True
            assert passed, "the error that was raised within the session was swallowed"

    @clause("timeouts of connecting, and what your `open` raises: DeviceLostError, which says why", needs=["nowhere"])
    async def test_opening_what_is_not_there_raises_device_lost_error(self, bench: Bench) -> None:
        async def enter() -> None:
            async with bench.opened({**bench.settings, **(bench.nowhere or {})}):
                raise AssertionError("a session was opened where nobody is")

        why = None
        async with bench.leaving_nothing():
            with anyio.move_on_after(LIMIT_S) as scope:
                try:
                    await enter()
                except DeviceLostError as error:
                    bench.seen.append(repr(error))
                    why = error.why
            assert not scope.cancelled_caught, f"it had not given up after {LIMIT_S:.0f} s"
        assert why, "it does not say why"

    @clause("what your `open` holds at each await, before it yields: `try/finally` or an exit stack around each of it")
    async def test_connecting_can_be_cancelled_at_each_step(self, bench: Bench) -> None:
        await _use(bench)
        async with bench.leaving_nothing():
            for steps in STEPS:
                if not await _opened_and_cancelled(bench, steps):
                    break


async def _use(bench: Bench) -> None:
    async with bench.opened() as session:
        await session.probe()
        request = bench.work.say("used")
        if request is not None:
            await bench.outcome(session, request)


async def _opened_and_cancelled(bench: Bench, steps: int) -> bool:
    """Whether the cancellation came before it was open."""
    opened = False
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:

            async def cancel() -> None:
                for _ in range(steps - 1):
                    await checkpoint()
                if not opened:
                    scope.cancel()

            if steps == 0:
                scope.cancel()
            else:
                group.start_soon(cancel)
            async with bench.opened():
                opened = True
            group.cancel_scope.cancel()
    return not opened
