"""Clauses about trouble beside the link: files that vanish, disks that are full, doors that are shut, sessions that are left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

import anyio
from anyio.lowlevel import checkpoint

from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Session
from galaxy_core.testing.contract.bench import LIMIT_S, Bench, Stopped
from galaxy_core.testing.contract.clause import NotAskedError, clause
from galaxy_core.testing.contract.transport_files import (
    BOTH,
    TARGET,
    content,
    is_no_success,
    pull,
    push,
    pushing,
    some_bytes,
)
from galaxy_core.testing.contract.transport_health import injected

#: After how many steps of the event loop a file vanishes that is being pushed.
STEPS: Final = (0, 1, 2, 4, 8, 16, 40)
SIZE: Final = 200_000
#: What a file of this machine may hold while its disk is full, and what is to be put there.
ROOM_BYTES, TOO_MUCH_BYTES = 256 << 10, 600 << 10
#: How many times one call of `open` may show its credentials to a device that does not take them any more.
LOGINS: Final = 3


class TroubleClauses:
    """What goes wrong elsewhere than in the link."""

    @clause(
        "what your session takes for the end of a file: an error of reading is none. Open it once, count, compare",
        needs=BOTH,
    )
    async def test_a_file_that_vanishes_while_it_is_pushed_is_pushed_whole_or_not_at_all(self, bench: Bench) -> None:
        there = b"the file before"
        async with bench.opened() as session:
            is_there = await push(bench, session, there)
            assert isinstance(is_there, Completed), f"a push was not completed: {is_there!r}"
            for steps in STEPS:
                new = some_bytes(SIZE + steps)
                outcome = await _pushed_while_it_vanishes(bench, session, new, steps)
                bench.seen[:] = [f"it vanished after {steps} steps of the event loop: {outcome!r}"[:600]]
                found = await content(bench, session)
                success = isinstance(outcome, Completed) and bench.is_success(outcome)
                wanted = [new] if success else [there, new]
                assert found in wanted, f"of {len(new)} bytes {len(found)} arrived, or others, and it was told as above"
                there = found

    @clause(
        "what your session does when the device says that it has no room: no success, and the file before stays whole",
        needs=[*BOTH, "far fill_disk"],
    )
    async def test_a_push_that_the_device_has_no_room_for_is_no_success(self, bench: Bench) -> None:
        far: Any = bench.far
        old, new = some_bytes(SIZE), b"new" * SIZE
        async with bench.opened() as session:
            pushed = await push(bench, session, old)
            assert isinstance(pushed, Completed), f"a push was not completed: {pushed!r}"
            await far.fill_disk()
            outcome = await push(bench, session, new)
            await far.heal()
            is_no_success(outcome, "a push to a device without room")
            assert await content(bench, session) == old, "the file before has changed"
            await bench.works(session)
        await bench.is_clean()

    @clause("errors of writing the file that is pulled: no success; and what is pulled next has to arrive", needs=BOTH)
    async def test_a_pull_that_this_machine_has_no_room_for_is_no_success(self, bench: Bench) -> None:
        data = some_bytes(TOO_MUCH_BYTES)
        async with bench.opened() as session:
            pushed = await push(bench, session, data)
            assert isinstance(pushed, Completed), f"a push was not completed: {pushed!r}"
            with _little_room():
                outcome = await pull(bench, session, TARGET)
            is_no_success(outcome, "a pull to a machine without room")
            assert await content(bench, session) == data, "then it arrived otherwise"

    @clause(
        "the code after `yield` in your `open`, and the clean-up of `execute`: both run at once, and both cancelled; what "
        "has to be awaited there belongs behind a shield",
        needs=["stops"],
    )
    async def test_a_session_that_is_cancelled_while_attempts_run_leaves_nothing(self, bench: Bench) -> None:
        request = bench.can(bench.work.forever("here"), "forever")
        await _cancelled_as_a_whole(bench, [bench.attempt(request)])
        async with bench.leaving_nothing():
            attempts = [bench.attempt(request) for _ in range(bench.max_concurrency)]
            start = anyio.current_time()
            await _cancelled_as_a_whole(bench, attempts)
            seconds = anyio.current_time() - start
            for attempt in attempts:
                if Stopped(attempt.partial).is_confirmed:
                    await bench.is_stopped(attempt)
            async with (
                bench.opened() as session
            ):  # what could not be stopped through a link that was left is its to stop
                await session.probe()
        assert seconds <= LIMIT_S / 3, f"it took {seconds:.2f} s"

    @clause(
        "what your `open` does when it is not let in: give up at once; who tries again and again is locked out",
        needs=["far logins"],
    )
    async def test_a_device_that_does_not_let_us_in_is_not_stormed(self, bench: Bench) -> None:
        far: Any = bench.far
        async with bench.opened() as session:
            await bench.works(session)
        await injected(bench, "authentication_lost", "connect")
        before = await far.logins()
        with anyio.move_on_after(LIMIT_S) as scope:
            try:
                async with bench.opened():
                    bench.seen.append("a session was opened all the same")
            except Exception as error:  # what the clause has seen tells of it
                bench.seen.append(f"opening raised {error!r}")
        logins = await far.logins() - before
        await far.heal()
        assert not scope.cancelled_caught, f"it had not given up after {LIMIT_S:.0f} s"
        assert logins <= LOGINS, f"it has tried to get in {logins} times"
        async with bench.opened() as session:
            await bench.works(session)


async def _pushed_while_it_vanishes(bench: Bench, session: Session, data: bytes, steps: int) -> Outcome | Stopped:
    attempt = bench.attempt(None)
    source = attempt.artifact_path("source.bin")
    source.write_bytes(data)
    attempt.request = pushing(str(source), TARGET)
    async with anyio.create_task_group() as group:

        async def vanish() -> None:
            for _ in range(steps):
                await checkpoint()
            with suppress(OSError):  # some systems do not let go of what is open
                os.unlink(source)

        group.start_soon(vanish)
        ended = await bench.ended(session, attempt.request, attempt=attempt)
    return ended.outcome


@contextmanager
def _little_room() -> Iterator[None]:
    """While it lasts, no file of this process grows beyond `ROOM_BYTES`: writing there fails as on a full disk."""
    try:
        import resource
    except ImportError:
        raise NotAskedError("this system does not limit the size of files") from None
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def _cancelled_as_a_whole(bench: Bench, attempts: list[Attempt]) -> None:
    """Run them in a session, and cancel both when the far side is at one of them."""
    with anyio.CancelScope() as scope:
        async with bench.opened() as session, anyio.create_task_group() as group:
            for attempt in attempts:
                group.start_soon(partial(bench.ended, session, attempt.request, attempt=attempt))
            await _until_one_runs(bench, attempts)
            scope.cancel()


async def _until_one_runs(bench: Bench, attempts: list[Attempt]) -> None:
    async with anyio.create_task_group() as group:

        async def wait(attempt: Attempt) -> None:
            await bench.until_running(attempt)
            group.cancel_scope.cancel()

        for attempt in attempts:
            group.start_soon(wait, attempt)
