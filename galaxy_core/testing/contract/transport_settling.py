"""Clauses about settling: what a session finds out about attempts of earlier ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import anyio

from galaxy_core.errors import DeviceLostError
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core.testing.contract.bench import LIMIT_S, Bench, Ended
from galaxy_core.testing.contract.clause import NotAskedError, clause
from galaxy_core.testing.contract.faults import Fault, Phase

#: What may cut the link of an attempt, or swallow its answer, so that somebody has to ask.
CUTS: Final[tuple[tuple[Fault, Phase], ...]] = (
    ("disconnect", "start"),
    ("disconnect", "middle"),
    ("disconnect", "exit"),
    ("lost_answer", "exit"),
)
#: Seconds that work lasts which is asked about while it runs.
LASTS_S: Final = 1.5
#: Seconds that work may take to say its first word.
SPEAKS_S: Final = 0.6
#: Seconds after which an attempt is cancelled whose answer was swallowed.
CUT_S: Final = 1.5
SETTLES: Final = ("settles",)


class SettlingClauses:
    """What becomes of attempts that leave a marker, and how one learns of it."""

    @clause(
        "what leaving a marker changes of a command: nothing, neither its output and input nor its exit code",
        needs=SETTLES,
    )
    async def test_an_attempt_that_leaves_a_marker_runs_as_any_other(self, bench: Bench) -> None:
        requests = [
            bench.work.say("marked"),
            bench.work.say_both("to out", "to err"),
            bench.work.copy_stdin("line\nline é"),
            bench.work.end(3),
        ]
        async with bench.opened() as session:
            for request in requests:
                if request is None:
                    continue
                found = []
                for leaves_marker in (False, True):
                    ended = await _ended(bench, session, bench.attempt(request, leaves_marker=leaves_marker))
                    done = ended.outcome
                    assert isinstance(done, Completed), f"{request!r} came to {done!r}"
                    found.append((done.stdout, done.stderr, done.exit_code))
                plain, marked = found
                assert marked == plain, f"{request!r} comes to {plain}, and with a marker to {marked}"

    @clause(
        "how the end of a marked attempt is written down, and read: its exit code, and each time the same",
        needs=SETTLES,
    )
    async def test_what_has_ended_is_settled_as_it_ended(self, bench: Bench) -> None:
        bench.can(bench.work.end(0), "end")
        for code in (0, 3):
            attempt = bench.attempt(bench.work.end(code), leaves_marker=True)
            async with bench.opened() as session:
                await _ended(bench, session, attempt)
            async with bench.opened() as session:
                for _ in range(2):
                    found = await settled(bench, session, attempt)
                    assert isinstance(found, Completed), f"it ended with {code}, and is settled as {found!r}"
                    assert found.exit_code == code, f"it ended with {code}, and is settled as {found!r}"
                    assert (found.metadata or {}).get("settled") is True, "its metadata does not say 'settled': True"
                session.release(attempt.mark)  # type: ignore[attr-defined]  # declared

    @clause(
        "what `settle` says of output: all of it as `execute` did, or its beginning, and `truncated`, or nothing (None)",
        needs=SETTLES,
    )
    async def test_output_is_settled_as_it_was_or_is_said_to_be_lost(self, bench: Bench) -> None:
        for request in (bench.work.say_both("to out é", "to err"), bench.work.copy_stdin("line é\n" * 12_000)):
            if request is None:
                continue
            attempt = bench.attempt(request, leaves_marker=True)
            async with bench.opened() as session:
                await _expected(session, attempt)
                said = (await _ended(bench, session, attempt)).outcome
                assert isinstance(said, Completed), f"{request!r} came to {said!r}"[:400]
                found = await settled(bench, session, attempt)
                session.release(attempt.mark)  # type: ignore[attr-defined]  # declared
            assert isinstance(found, Completed), f"it ended, and is settled as {found!r}"[:400]
            for stream, all_of_it, kept in (
                ("stdout", said.stdout, found.stdout),
                ("stderr", said.stderr, found.stderr),
            ):
                told = f"its {stream} was {(all_of_it or '')[:80]!r}…, and is settled as {(kept or '')[:80]!r}…"
                if found.truncated:
                    assert (all_of_it or "").startswith(kept or ""), told
                else:
                    assert kept is None or kept == all_of_it, told

    @clause(
        "the files that a settled command was to leave (`outputs`): `settle` has to fetch them, as `execute` does, and name them "
        "in `Completed.files`",
        needs=[*SETTLES, "outputs"],
    )
    async def test_files_of_what_is_settled_are_fetched(self, bench: Bench) -> None:
        name = "galaxy-bench-settled.txt"
        request = bench.can(bench.work.leave(name, "left behind"), "leave")
        attempt = bench.attempt(request, leaves_marker=True)
        async with bench.opened() as session:
            await _expected(session, attempt)
            done = (await _ended(bench, session, attempt)).outcome
            assert isinstance(done, Completed), f"it was not completed: {done!r}"
            if name not in (done.files or {}):
                return  # which is another clause
            Path((done.files or {})[name]).unlink()
        async with bench.opened() as session:
            found = await settled(bench, session, attempt)
            session.release(attempt.mark)  # type: ignore[attr-defined]  # declared
        assert isinstance(found, Completed), f"it ended well, and is settled as {found!r}"
        path = Path((found.files or {}).get(name, ""))
        assert path.is_file(), f"it has left {name!r}, and is settled as {found!r}"
        text = path.read_bytes().decode()
        assert bench.work.same(text, "left behind"), f"what was fetched holds {text!r}"

    @clause(
        "what `settle` says of a mark that is not there: Refused; but of a run that left nothing there, nobody knows",
        needs=SETTLES,
    )
    async def test_what_never_started_is_settled_as_refused(self, bench: Bench) -> None:
        async with bench.opened() as session:
            attempt = bench.attempt(bench.can(bench.work.say("never"), "say"), leaves_marker=True)
            if not await _expected(session, attempt):
                await _leave_one(bench, session)
            for _ in range(2):
                found = await settled(bench, session, attempt)
                assert isinstance(found, Refused), f"it was never started, and is settled as {found!r}"

    @clause(
        "the fence in `settle`: once it has said Refused, a late start under this mark has to be Refused, too",
        needs=SETTLES,
    )
    async def test_what_is_settled_as_refused_cannot_start_any_more(self, bench: Bench) -> None:
        async with bench.opened() as session:
            await _leave_one(bench, session)
            attempt = bench.attempt(bench.can(bench.work.say("late"), "say"), leaves_marker=True)
            if isinstance(await settled(bench, session, attempt), Refused):
                await _does_not_start(bench, session, attempt)

    @clause(
        "your `release` of what was settled as Refused: a start that is still on its way has to be Refused afterwards, too",
        needs=SETTLES,
    )
    async def test_a_fence_outlives_its_release(self, bench: Bench) -> None:
        async with bench.opened() as session:
            await _leave_one(bench, session)
            attempt = bench.attempt(bench.can(bench.work.say("late"), "say"), leaves_marker=True)
            if not isinstance(await settled(bench, session, attempt), Refused):
                return
            if not isinstance((await _ended(bench, session, attempt)).outcome, Refused):
                return  # it has no fence, which is another clause
            session.release(attempt.mark)  # type: ignore[attr-defined]  # declared
            await _leave_one(bench, session)
            await _does_not_start(bench, session, attempt)
        async with bench.opened() as session:
            await _does_not_start(bench, session, attempt)

    @clause(
        "the fence in `stop`: it proves nothing; where `settle` says Unknown of a mark that is not there, it does so afterwards",
        needs=SETTLES,
    )
    async def test_what_was_stopped_is_not_said_to_have_never_started_without_proof(self, bench: Bench) -> None:
        request = bench.can(bench.work.say("never"), "say")
        async with bench.opened() as session:
            first, attempt = (bench.attempt(request, leaves_marker=True) for _ in range(2))
            if isinstance(await settled(bench, session, first), Unknown):
                await session.stop(bench.restored(attempt))  # type: ignore[attr-defined]  # declared
                found = await settled(bench, session, attempt)
                told = f"a mark that is not there is settled as Unknown, and after `stop` as {found!r}"
                assert isinstance(found, Unknown), told

    @clause(
        "how a marker is made: in a way that succeeds once, such as making a folder, before anything starts",
        needs=SETTLES,
    )
    async def test_under_one_mark_nothing_starts_twice(self, bench: Bench) -> None:
        request = bench.can(bench.work.say("once"), "say")
        async with bench.opened() as session:
            attempt = bench.attempt(request, leaves_marker=True)
            await _ended(bench, session, attempt)
            again = await _ended(bench, session, bench.same_mark(attempt))
            assert isinstance(again.outcome, Refused), f"a second start under one mark came to {again.outcome!r}"

    @clause("where your markers are kept: under the whole mark, so that no attempt is taken for another", needs=SETTLES)
    async def test_each_attempt_is_settled_by_its_own_marker(self, bench: Bench) -> None:
        bench.can(bench.work.end(0), "end")
        codes = (5, 6, 7)
        attempts = [bench.attempt(bench.work.end(code), leaves_marker=True) for code in codes]
        async with bench.opened() as session:
            async with anyio.create_task_group() as group:
                for attempt in attempts:
                    group.start_soon(_ended, bench, session, attempt)
            for code, attempt in zip(codes, attempts, strict=True):
                found = await settled(bench, session, attempt)
                told = f"one that ended with {code} is settled as {found!r}"
                assert isinstance(found, Completed), told
                assert found.exit_code == code, told

    @clause("your `settle` while the work still runs: it waits for the end, and says how it was", needs=SETTLES)
    async def test_settling_waits_for_what_still_runs(self, bench: Bench) -> None:
        request = bench.can(bench.work.wait("here", LASTS_S), "wait")
        attempt = bench.attempt(request, leaves_marker=True)
        async with bench.opened() as session, bench.opened() as other, anyio.create_task_group() as group:
            group.start_soon(_ended, bench, session, attempt)
            await _at_work(bench, attempt)
            found = await settled(bench, other, attempt)
            runs = await bench.runs(attempt)
            told = f"it ended well, and is settled as {found!r}"
            assert isinstance(found, Completed), told
            assert bench.is_success(found), told
            assert not runs or bench.faults is None, "it was settled while it still ran"

    @clause(
        "what your `execute` and `settle` do when they are cancelled with `is_let_go` set, after `lets_go` has agreed: nothing is "
        "stopped, now or when the session is closed, `partial` is Unknown, and another session settles it",
        needs=SETTLES,
    )
    async def test_an_attempt_that_is_let_go_runs_on_and_is_settled_later(self, bench: Bench) -> None:
        request = bench.can(bench.work.wait("here", LASTS_S), "wait")
        for from_settling in (False, True):
            attempt = bench.attempt(request, leaves_marker=True)
            async with bench.opened() as session, anyio.create_task_group() as group:
                if not hasattr(session, "lets_go"):
                    raise NotAskedError("its session has no `lets_go`")
                await _expected(session, attempt)
                told = attempt
                with anyio.CancelScope() as scope:
                    group.start_soon(_let_go_when_at_work, bench, session, told, scope)
                    await session.execute(attempt)
                assert isinstance(attempt.partial, Unknown), f"it was let go, and left {attempt.partial!r}"
                if from_settling:
                    told = bench.restored(attempt)
                    with anyio.CancelScope() as scope:
                        group.start_soon(_let_go_when_at_work, bench, session, told, scope)
                        await session.settle(told)  # type: ignore[attr-defined]  # declared
            async with bench.opened() as session:
                found = await settled(bench, session, attempt)
            assert isinstance(found, Completed), f"it was let go, and is settled as {found!r}"
            assert bench.is_success(found), f"it was let go, and is settled as {found!r}"

    @clause("what your `settle` does on cancellation: stop the work, as `execute` does", needs=SETTLES)
    async def test_a_cancelled_settling_stops_the_work(self, bench: Bench) -> None:
        request = bench.can(bench.work.forever("here"), "forever")
        attempt = bench.attempt(request, leaves_marker=True)
        async with bench.opened() as session, bench.opened() as other, anyio.create_task_group() as group:
            group.start_soon(_ended, bench, session, attempt)
            await _at_work(bench, attempt)
            restored = bench.restored(attempt)
            with anyio.move_on_after(bench.deadline_s) as scope:
                await other.settle(restored)  # type: ignore[attr-defined]  # declared
            assert scope.cancelled_caught, "it was settled while it ran"
            if not isinstance(restored.partial, Unknown):
                await bench.is_stopped(attempt)
            else:
                await other.stop(restored)  # type: ignore[attr-defined]  # declared
            group.cancel_scope.cancel()

    @clause("your `stop`: everything that the attempt has started ends, and `partial` stays None", needs=SETTLES)
    async def test_what_is_stopped_in_another_session_runs_no_more(self, bench: Bench) -> None:
        request = bench.can(bench.work.forever_with_child("here") or bench.work.forever("here"), "forever")
        for leaves_marker in (True, False):
            attempt = bench.attempt(request, leaves_marker=leaves_marker)
            async with bench.opened() as session, bench.opened() as other, anyio.create_task_group() as group:
                group.start_soon(_ended, bench, session, attempt)
                await _at_work(bench, attempt)
                restored = bench.restored(attempt)
                with anyio.fail_after(LIMIT_S):
                    await other.stop(restored)  # type: ignore[attr-defined]  # declared
                assert not isinstance(restored.partial, Unknown), f"it could not be stopped: {restored.partial!r}"
                await bench.is_stopped(attempt)
                group.cancel_scope.cancel()

    @clause(
        "what `settle` says of an attempt that was stopped in its middle: no success, and not Refused", needs=SETTLES
    )
    async def test_what_was_stopped_in_its_middle_is_no_success(self, bench: Bench) -> None:
        request = bench.can(bench.work.forever("here"), "forever")
        attempt = bench.attempt(request, leaves_marker=True)
        async with bench.opened() as session:
            await bench.stopped(session, attempt, lambda over: _at_work(bench, attempt, over))
            found = await settled(bench, session, attempt)
        success = isinstance(found, Completed) and bench.is_success(found)
        assert not success, f"it was stopped in its middle, and is settled as {found!r}"
        assert not isinstance(found, Refused), f"it had started, and is settled as {found!r}"

    @clause("what `settle` says of an attempt that left no marker: Unknown", needs=SETTLES)
    async def test_an_attempt_without_a_marker_is_not_settled(self, bench: Bench) -> None:
        request = bench.can(bench.work.say("unmarked"), "say")
        async with bench.opened() as session:
            attempt = bench.attempt(request)
            await _ended(bench, session, attempt)
            found = await settled(bench, session, attempt)
        assert isinstance(found, Unknown), f"it has left no marker, and is settled as {found!r}"

    @clause(
        "your `release`, and the end of your sessions: markers that nobody needs are removed",
        needs=[*SETTLES, "faults"],
    )
    async def test_markers_that_are_released_are_removed(self, bench: Bench) -> None:
        request = bench.can(bench.work.say("released"), "say")
        async with bench.opened() as session:
            for _ in range(2):
                attempt = bench.attempt(request, leaves_marker=True)
                await _ended(bench, session, attempt)
                session.release(attempt.mark)  # type: ignore[attr-defined]  # declared
        await bench.is_clean()

    @clause(
        "what becomes of a marked attempt when its link goes: it is neither stopped nor forgotten, and the next session "
        "settles it",
        needs=[*SETTLES, "faults"],
    )
    async def test_an_attempt_whose_link_went_is_settled_in_the_next_session(self, bench: Bench) -> None:
        request = bench.can(bench.work.end(3), "end")
        cuts = [cut for cut in CUTS if bench.far.cells.get(cut, "") is None]
        if not cuts:
            raise NotAskedError("its far side can neither cut a link nor lose an answer")
        for fault, phase in cuts:
            async with bench.opened() as session:
                await _leave_one(bench, session)
            attempt = bench.attempt(request, leaves_marker=True)
            ended = await _cut(bench, attempt, fault, phase)
            await bench.far.heal()
            if not isinstance(ended, Unknown):
                continue
            async with bench.opened() as session:
                found = await settled(bench, session, attempt)
            truth = await bench.truth(attempt)
            told = f"after {fault} at its {phase}, with {truth}, it is settled as {found!r}"
            assert isinstance(found, Refused) is (truth.starts == 0), told
            assert truth.starts == 0 or (isinstance(found, Completed) and found.exit_code == 3), told


async def settled(bench: Bench, session: Any, attempt: Attempt) -> Outcome:
    """What a session says became of an attempt, as a later process would ask."""
    restored = bench.restored(attempt)
    with bench.busy("settling"), anyio.fail_after(LIMIT_S):
        found: Outcome = await session.settle(restored)
    bench.seen.append(f"settled as {found!r}"[:400])
    return found


async def _at_work(bench: Bench, attempt: Attempt, over: anyio.Event | None = None) -> None:
    """Wait until the work itself has begun, as far as one can tell: what a far side counts may be what comes before it."""
    await bench.until_running(attempt, over)
    if "streams" in bench.features:
        with anyio.move_on_after(SPEAKS_S):
            while "here" not in bench.heard(attempt) and not (over is not None and over.is_set()):
                await anyio.sleep(0.01)


async def _let_go_when_at_work(bench: Bench, session: Any, attempt: Attempt, scope: anyio.CancelScope) -> None:
    await _at_work(bench, attempt)
    assert session.lets_go(attempt), "`lets_go` says no, though it leaves a marker"
    attempt.is_let_go = True
    scope.cancel()


async def _ended(bench: Bench, session: Any, attempt: Attempt) -> Ended:
    return await bench.ended(session, attempt.request, attempt=attempt)


async def _does_not_start(bench: Bench, session: Any, attempt: Attempt) -> None:
    ended = await _ended(bench, session, attempt)
    assert isinstance(ended.outcome, Refused), f"it was settled as refused, then it came to {ended.outcome!r}"
    if bench.faults is not None:
        truth = await bench.truth(attempt)
        assert truth.starts == 0, f"it was settled as refused, and then started: {truth}"


async def _leave_one(bench: Bench, session: Any) -> None:
    """A first attempt of this run leaves its marker, which its far side expects if it can."""
    first = bench.attempt(bench.can(bench.work.say("first"), "say"), leaves_marker=True)
    await _expected(session, first)
    await _ended(bench, session, first)


async def _expected(session: Any, attempt: Attempt) -> bool:
    """Have the far side expect markers of the run of an attempt. Whether it can."""
    expect = getattr(session, "expect", None)
    if expect is not None:
        await expect(attempt.mark.rpartition("-")[0])
    return expect is not None


async def _cut(bench: Bench, attempt: Attempt, fault: Fault, phase: Phase) -> Any:
    """The outcome of an attempt that something happens to."""
    try:
        async with bench.opened() as session:
            await bench.far.inject(fault, phase)
            ended = await bench.ended(session, attempt.request, attempt=attempt, timeout_s=CUT_S)
            return ended.outcome
    except DeviceLostError as error:  # of closing what is gone
        return Unknown(error.why)
