"""Clauses about attempts that are stopped, and about what is said of how an attempt stands."""

from __future__ import annotations

from functools import partial
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

from galaxy_core.extension.interfaces import Completed, Refused
from galaxy_core.testing.contract.bench import SLACK_S, Bench, Ended, Stopped
from galaxy_core.testing.contract.clause import clause
from galaxy_core.testing.contract.transport_running import not_taken

#: As in transport_life, and on to where an attempt is well under way.
STEPS: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 19, 24, 30, 40, 60)


class EndsClauses:
    """How attempts are stopped."""

    @clause(
        "where you call `attempt.sent()`: before the first byte that may start the work, and not for what is refused",
        needs=["sends"],
    )
    async def test_an_attempt_says_when_it_is_sent(self, bench: Bench) -> None:
        request = bench.can(bench.work.say("sent"), "say")
        async with bench.opened() as session:
            ended = await bench.ended(session, request)
            refused = [await bench.ended(session, request) for request in not_taken(bench)]
        assert ended.attempt.progress != "new", "the work is done, and the attempt never said that it was sent"
        for one in refused:
            told = f"{one.attempt.request!r} was refused, and says that it was sent"
            assert one.attempt.progress == "new" or not isinstance(one.outcome, Refused), told

    @clause(
        "each `Refused` of your `execute`, once `attempt.sent()` was called: what has started is Completed, whatever its "
        "exit status, or Unknown",
        needs=["sends"],
    )
    async def test_work_that_was_sent_and_has_ended_is_not_refused(self, bench: Bench) -> None:
        bench.can(bench.work.fail(), "fail")
        requests = [bench.work.fail(), *(bench.work.end(code) for code in (2, 126, 127))]
        async with bench.opened() as session:
            for request in (one for one in requests if one is not None):
                ended = await bench.ended(session, request)
                told = f"{request!r} was sent, and failed, and was told as {ended.outcome!r}"
                assert not isinstance(ended.outcome, Refused), told

    @clause(
        "what your `execute` does on cancellation: stop the far side, under a shield, and wait until all is gone",
        needs=["stops"],
    )
    async def test_a_cancelled_attempt_leaves_nothing_running(self, bench: Bench) -> None:
        request = bench.can(bench.work.forever_with_child("here") or bench.work.forever("here"), "forever")
        async with bench.opened() as session:
            await _vouched_for(bench, await bench.stopped(session, bench.attempt(request)))

    @clause(
        "how long your `execute` takes once it is cancelled: confirm within 0.8 s, or say that it is unknown",
        needs=["stops"],
    )
    async def test_a_cancelled_attempt_is_over_within_a_second(self, bench: Bench) -> None:
        request = bench.can(bench.work.forever("here"), "forever")
        async with bench.opened() as session:
            ended = await bench.stopped(session, bench.attempt(request))
        assert ended.seconds <= SLACK_S, f"it took {ended.seconds:.2f} s to stop"

    @clause(
        "each await of your `execute`: a cancellation there must neither leave work behind nor lie about it",
        needs=["stops"],
    )
    async def test_an_attempt_can_be_cancelled_at_each_step(self, bench: Bench) -> None:
        request = bench.can(bench.work.forever("here"), "forever")
        async with bench.opened() as session:
            for steps in STEPS:
                ended = await bench.stopped(session, bench.attempt(request), partial(_some_steps, steps))
                bench.seen[:] = [f"cancelled after {steps} steps of the event loop: {ended}"]
                if isinstance(ended.outcome, Refused) and bench.faults is not None:
                    truth = await bench.truth(ended.attempt)
                    assert truth.starts == 0, "it was refused, and had started"
                elif isinstance(ended.outcome, Completed):
                    assert not bench.is_success(ended.outcome), "what was stopped came back as a success"
                elif isinstance(ended.outcome, Stopped) and ended.outcome.is_confirmed:
                    await bench.is_stopped(ended.attempt)
        await bench.is_clean()

    @clause("`attempt.partial`: set it before the cancellation goes on, to what was said until then", needs=["stops"])
    async def test_what_was_said_before_the_end_is_kept(self, bench: Bench) -> None:
        request = bench.can(bench.work.forever("last words"), "forever")
        bench.can(bench.work.end(0), "end")  # functions of this program print nothing
        attempt = bench.attempt(request)

        async def after_a_while(over: anyio.Event) -> None:
            await bench.until_running(attempt, over)
            await anyio.sleep(bench.deadline_s)

        async with bench.opened() as session:
            ended = await bench.stopped(session, attempt, after_a_while)
        assert isinstance(ended.outcome, Stopped), f"it was not stopped, but {ended.outcome!r}"
        done = ended.outcome.said
        text = "" if done is None else (done.stdout or "")
        assert "last words" in text, f"of what it had said, {text!r} was kept"

    @clause("what a cancelled attempt leaves in the session, such as an answer that nobody has read", needs=["stops"])
    async def test_the_attempt_after_one_that_was_cancelled_is_not_disturbed(self, bench: Bench) -> None:
        request = bench.can(bench.work.forever("here"), "forever")
        async with bench.opened() as session:
            await bench.stopped(session, bench.attempt(request))
            await bench.works(session)


async def _vouched_for(bench: Bench, ended: Ended) -> None:
    assert isinstance(ended.outcome, Stopped), f"it was not stopped, but {ended.outcome!r}"
    assert ended.outcome.is_confirmed, f"nothing went wrong, and it cannot vouch for it: {ended.outcome!r}"
    await bench.is_stopped(ended.attempt)


async def _some_steps(steps: int, _over: anyio.Event) -> None:
    for _ in range(steps):
        await checkpoint()
