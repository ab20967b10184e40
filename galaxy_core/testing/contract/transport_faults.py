"""The fault matrix: what is told of an attempt when something goes wrong has to be the truth."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import anyio

from galaxy_core.extension.interfaces import Completed, Refused, Session, Unknown
from galaxy_core.testing.contract.bench import LIMIT_S, SLACK_S, Bench, Ended, Stopped, said
from galaxy_core.testing.contract.clause import NotAskedError, clause
from galaxy_core.testing.contract.verdicts import CELLS, Cell, Verdict

WORDS = "the end is near"
#: In place of all cells, of a transport that nobody can ask any of them.
ALL: Final = "all"


class FaultClauses:
    """One clause for each cell: of a fault, and when it strikes."""

    @clause(
        "which of the three outcomes your session gives when this happens: completed only when the far side said how it "
        "ended; refused only when it never started; unknown otherwise, within the deadline and a second",
        needs=["faults", "stops"],
        each=("cell", CELLS),
    )
    async def test_a_fault_is_told_as_what_it_is(self, bench: Bench, cell: Cell | str) -> None:
        assert isinstance(cell, Cell), "its bench has a far side, and `has_far_side = False` keeps it from being asked"
        why = bench.far.cells.get((cell.fault, cell.phase), "it is not among its cells")
        if why is not None:
            raise NotAskedError(f"its far side cannot produce this: {why}")
        bench.can(bench.work.say(WORDS), "say")
        try:
            ended = await (_connecting if cell.phase == "connect" else _running)(bench, cell)
        finally:
            await bench.far.heal()
        async with bench.opened() as session:
            await bench.works(session, "after it was healed")
        await bench.is_clean()
        if ended is not None and isinstance(ended.outcome, Refused):
            truth = await bench.truth(ended.attempt)
            assert truth.starts == 0, "it was refused, and has started since"


async def _connecting(bench: Bench, cell: Cell) -> Ended | None:
    """Open a session in spite of the fault, and use it if that succeeds."""
    await bench.far.inject(cell.fault, cell.phase)
    ends = "completed" in cell.allowed
    limit_s = LIMIT_S if ends else bench.deadline_s
    ended: Ended | None = None
    start = anyio.current_time()
    async with AsyncExitStack() as stack:
        session = None
        with anyio.move_on_after(limit_s):
            try:
                session = await stack.enter_async_context(bench.opened())
            except Exception as error:  # what the clause has seen tells of it
                bench.seen.append(f"opening raised {error!r}")
        seconds = anyio.current_time() - start
        assert seconds <= limit_s + SLACK_S, f"opening took {seconds:.2f} s; it was cancelled after {limit_s} s"
        if session is not None:
            ended = await bench.ended(session, bench.work.say(WORDS), timeout_s=None if ends else bench.deadline_s)
    _check(bench, cell, "not opened" if ended is None else verdict_of(ended))
    if ended is not None:
        await _is_true(bench, ended)
    return ended


async def _running(bench: Bench, cell: Cell) -> Ended:
    """Have the fault strike an attempt; then heal the far side, and let the session tidy up."""
    ends = cell.allowed == {"completed"}
    async with _left_in_time(bench) as session:
        await bench.far.inject(cell.fault, cell.phase)
        ended = await bench.ended(session, bench.work.say(WORDS), timeout_s=None if ends else bench.deadline_s)
        limit_s = bench.deadline_s + SLACK_S
        assert ends or ended.seconds <= limit_s, f"it took {ended.seconds:.2f} s; its deadline was {bench.deadline_s} s"
        _check(bench, cell, verdict_of(ended))
        await _is_true(bench, ended)
        if isinstance(ended.outcome, Completed) and cell.fault not in ("huge_output", "binary_output"):
            text = said(ended.outcome)
            assert bench.work.same(text, WORDS), f"what it said came back as {text!r}"
        await bench.far.heal()
        with anyio.move_on_after(LIMIT_S / 6):
            try:
                await session.probe()
            except Exception as error:  # as above
                bench.seen.append(f"then a probe raised {error!r}")
    return ended


@asynccontextmanager
async def _left_in_time(bench: Bench) -> AsyncIterator[Session]:
    left = anyio.current_time()
    async with bench.opened() as session:
        yield session
        left = anyio.current_time()
    seconds = anyio.current_time() - left
    assert seconds <= LIMIT_S / 6, f"leaving the session took {seconds:.2f} s"


def verdict_of(ended: Ended) -> Verdict | str:
    """How an attempt ended; text of another kind when that can never be right."""
    match ended.outcome:
        case Refused():
            return "refused"
        case Unknown():
            return "unknown"
        case Stopped():
            return "stopped" if ended.outcome.is_confirmed else "unknown"
        case Completed():
            return "completed" if Bench.is_success(ended.outcome) else "failed"
    raise AssertionError(f"unreachable: {ended.outcome!r}")


def _check(bench: Bench, cell: Cell, verdict: Verdict | str) -> None:
    assert verdict in cell.allowed, f"it was told as {verdict}; the truth would be {' or '.join(sorted(cell.allowed))}"


async def _is_true(bench: Bench, ended: Ended) -> None:
    """What is told agrees with what the far side knows."""
    truth = await bench.truth(ended.attempt)
    bench.seen.append(str(truth))
    match verdict_of(ended):
        case "refused":
            assert truth.starts == 0, "it was refused, and has started"
        case "stopped":
            assert not truth.running, "it vouches that the work has stopped, and it runs"
        case "completed":
            assert truth.starts, "it is told as completed, and never started"
            assert isinstance(ended.outcome, Completed)
            told = ended.outcome.exit_code or 0
            assert truth.exit_code == told, f"it ended with {truth.exit_code}, and {told} is told"
