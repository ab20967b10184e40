"""How clauses are asked, skipped and explained."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import nullcontext

import anyio
import pytest
from attrs import evolve

from galaxy_core import Attempt
from galaxy_core.extension.adapter.output import Output
from galaxy_core.extension.interfaces import Outcome
from galaxy_core.model.request import Command
from galaxy_core.testing.contract import POSIX, Bench, Clause, NotAskedError, TransportContract, clauses_of
from galaxy_core.testing.contract.clause import as_context
from galaxy_core.testing.contract.verdicts import CELLS
from galaxy_core.testing.fakes import FakeTransport
from galaxy_core.testing.far_session import FarSession
from galaxy_core.testing.far_side import FakeFarSide
from galaxy_core.testing.far_work import FarWork

from .benches import bench_of, fake_transport

CLAUSES = {clause.name: clause for clause in clauses_of(TransportContract)}


class Deaf(FarSession):
    async def kill(self, mark: str) -> bool:
        return True


async def asked(clause: Clause, bench: Bench) -> str:
    """Why it could not be asked; empty when it was."""
    try:
        await clause.check(bench=bench)
    except NotAskedError as why:
        return str(why)
    return ""


@pytest.mark.anyio
async def test_a_failure_says_which_clause_what_was_seen_and_what_to_look_at() -> None:
    with pytest.raises(BaseExceptionGroup) as failure:  # the far side's group is around it
        async with FakeFarSide() as far:
            bench = bench_of(far, fake_transport(far, Deaf))
            await CLAUSES["test_a_cancelled_attempt_leaves_nothing_running"].check(bench=bench)
    error: BaseException = failure.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert str(error) == "it still runs on the far side"
    (note,) = error.__notes__
    clause, seen, look_at = note.split(" | ")
    assert clause == "clause: a cancelled attempt leaves nothing running"
    assert seen.startswith("seen: Stopped(")
    assert seen.endswith("Truth(starts=1, running=True, exit_code=None)")
    assert look_at.startswith("look at: what your `execute` does on cancellation")


@pytest.mark.anyio
async def test_what_cannot_be_asked_says_why() -> None:
    plain = Bench(FakeTransport(features=frozenset()), work=POSIX)
    assert await asked(CLAUSES["test_a_cancelled_attempt_leaves_nothing_running"], plain) == "declares no 'stops'"
    assert await asked(CLAUSES["test_work_is_started_once"], plain) == "its bench has no far side ('faults')"
    assert await asked(CLAUSES["test_no_name_leads_out_of_the_folders"], plain) == "takes no action 'push'"
    async with FakeFarSide() as far:
        far.cells = {("hang", "start"): "it never hangs"}
        bench = bench_of(far, fake_transport(far))
        hang, slow = (CLAUSES[f"test_a_fault_is_told_as_what_it_is[{cell}]"] for cell in ("hang-start", "slow-start"))
        assert await asked(hang, bench) == "its far side cannot produce this: it never hangs"
        assert await asked(slow, bench) == "its far side cannot produce this: it is not among its cells"


@pytest.mark.anyio
async def test_an_exception_counts_as_the_kernel_counts_it() -> None:
    class Breaks(FarSession):
        async def execute(self, attempt: Attempt, /) -> Outcome:
            if attempt.timeout_s is not None:
                attempt.sent()
            raise ValueError("broken")

    async with FakeFarSide() as far:
        bench = bench_of(far, fake_transport(far, Breaks))
        async with bench.opened() as session:
            before = await bench.ended(session, None)
            after = await bench.ended(session, None, timeout_s=5)
    assert type(before.outcome).__name__ == "Completed"
    assert type(after.outcome).__name__ == "Unknown"


@pytest.mark.anyio
async def test_what_does_not_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("galaxy_core.testing.contract.bench.LIMIT_S", 0.1)

    class Hangs(FarSession):
        async def execute(self, attempt: Attempt, /) -> Outcome:
            await anyio.sleep_forever()
            raise AssertionError

    async with FakeFarSide() as far:
        bench = bench_of(far, fake_transport(far, Hangs))
        async with bench.opened() as session:
            with pytest.raises(AssertionError, match="should have ended by itself"):
                await bench.ended(session, None)


@pytest.mark.anyio
async def test_a_bench_without_a_far_side_proves_that_what_was_stopped_has_stopped() -> None:
    async with FakeFarSide() as far:

        async def still_running(attempt: Attempt) -> bool:
            return (await far.truth(attempt.mark)).running

        clause = CLAUSES["test_a_cancelled_attempt_leaves_nothing_running"]
        for session, is_right in ((FarSession, True), (Deaf, False)):
            bench = bench_of(far, fake_transport(far, session), has_far_side=False)
            bench.still_running = still_running
            with nullcontext() if is_right else pytest.raises(AssertionError, match="it still runs"):
                await clause.check(bench=bench)


@pytest.mark.anyio
async def test_where_arguments_may_hold_nul_it_has_to_arrive() -> None:
    class TakesNul(FarSession):
        def refusal(self, attempt: Attempt) -> str | None:
            return None

    class Words(FarWork):
        takes_nul = True

    clause = CLAUSES["test_an_argument_that_cannot_be_passed_on_is_refused"]
    async with FakeFarSide() as far:
        for session, is_right in ((TakesNul, True), (FarSession, False)):
            bench = bench_of(far, fake_transport(far, session))
            bench.work = Words()
            with nullcontext() if is_right else pytest.raises(AssertionError, match="it was not completed"):
                await clause.check(bench=bench)


def test_without_a_far_side_the_matrix_is_one_test() -> None:
    class Small(TransportContract):
        has_far_side = False

    assert len(TransportContract().cases_of("cell", CELLS)) == len(CELLS) == 65
    (case,) = Small().cases_of("cell", CELLS)
    assert str(case) == "all"


@pytest.mark.anyio
async def test_a_far_side_that_is_there_cannot_be_denied() -> None:
    async with FakeFarSide() as far:
        cells = CLAUSES["test_a_fault_is_told_as_what_it_is[hang-start]"]
        with pytest.raises(AssertionError, match="`has_far_side = False` keeps it from being asked"):
            await evolve(cells, given={"cell": "all"}).check(bench=bench_of(far, fake_transport(far)))


@pytest.mark.anyio
async def test_what_a_far_side_need_not_be_able_to_do_is_skipped_by_name() -> None:
    class Plain(FakeFarSide):
        fill_disk = logins = None  # type: ignore[assignment]

    full, storm = (
        "a_push_that_the_device_has_no_room_for_is_no_success",
        "a_device_that_does_not_let_us_in_is_not_stormed",
    )
    async with Plain() as far:
        bench = bench_of(far, fake_transport(far))
        assert await asked(CLAUSES[f"test_{full}"], bench) == "its far side has no fill_disk()"
        assert await asked(CLAUSES[f"test_{storm}"], bench) == "its far side has no logins()"
        bench.faults = None
        assert await asked(CLAUSES[f"test_{storm}"], bench) == "its bench has no far side ('faults')"


def test_a_simulator_that_knows_faults_loads_no_test_framework() -> None:
    code = (
        "import galaxy_core.testing.contract.faults, sys; print({'pytest', 'hypothesis', 'pydantic'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.anyio
async def test_wrong_output_is_not_blamed_on_what_sessions_share() -> None:
    class Shouts(FarSession):
        def take(self, attempt: Attempt, output: Output, data: bytes) -> None:
            super().take(attempt, output, data.upper())

    async with FakeFarSide() as far:
        bench = bench_of(far, fake_transport(far, Shouts))
        with pytest.raises(AssertionError, match="in the only session that is open, a plain attempt said 'ALONE'"):
            await CLAUSES["test_two_sessions_at_once_do_not_know_of_each_other"].check(bench=bench)


@pytest.mark.anyio
async def test_no_kind_of_request_may_be_refused_after_it_was_said_to_be_sent() -> None:
    class SendsLines(FarSession):
        async def execute(self, attempt: Attempt, /) -> Outcome:
            if isinstance(attempt.request, Command) and attempt.request.argv is None:
                attempt.sent()
            return await super().execute(attempt)

    async with FakeFarSide() as far:
        bench = bench_of(far, fake_transport(far, SendsLines))
        with pytest.raises(AssertionError, match="was refused, and says that it was sent"):
            await CLAUSES["test_an_attempt_says_when_it_is_sent"].check(bench=bench)


def test_an_open_without_its_decorator_is_told_what_it_lacks() -> None:
    async def opened() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(AssertionError, match="`open` returned async_generator, "):
        as_context(opened())  # type: ignore[arg-type]
