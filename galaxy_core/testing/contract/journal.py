"""JournalContract: what the kernel asks of every journal."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import anyio
import pytest
from anyio.lowlevel import checkpoint
from attrs import define

from galaxy_core.extension.interfaces import Journal, RunInfo
from galaxy_core.model.events import Event
from galaxy_core.testing.contract.clause import Contract, clause
from galaxy_core.testing.contract.story import Story, story

STEPS: Final = (0, 1, 2, 3, 5, 8)
_NAME = re.compile(r"[a-z][a-z0-9_.-]*")


class OwnError(Exception):
    """Raised by the contract within an open journal."""


@define
class Archive:
    """A journal to be tried. `read_back` returns what it has kept of a run: one text for each event, in order.

    The text is whatever the journal makes of that event alone; `told_of` says the same of an event that was not written.
    `read_back` reads from where it was kept, as another process would; of a run that it does not know it returns nothing.
    """

    journal: Journal
    read_back: Callable[[RunInfo], Sequence[str]]
    told_of: Callable[[Event], str]

    def kept(self, run: RunInfo, wanted: Sequence[Event]) -> None:
        """It has kept `wanted`, and nothing else."""
        found, told = list(self.read_back(run)), [self.told_of(event) for event in wanted]
        assert found == told, f"{len(told)} events were written, and {len(found)} read back, or others: {found[:3]}…"


@pytest.mark.anyio
class JournalContract(Contract):
    """Subclass it, and supply the fixture `journal`::

    class TestMine(JournalContract):
        @pytest.fixture
        def journal(self, tmp_path: Path) -> Archive:
            mine = Mine(tmp_path)
            return Archive(mine, lambda run: Mine(tmp_path).lines_of(run), mine.line_of)
    """

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> Any:
        """Every clause is asked twice."""
        return request.param

    @pytest.fixture
    def journal(self) -> Archive:
        """The subclass supplies it."""
        raise pytest.UsageError(f"{type(self).__name__} has to supply the fixture 'journal', which gives an Archive")

    @clause("the attributes of your journal: `name`, text; `open`")
    async def test_it_is_a_journal_with_a_name(self, journal: Archive) -> None:
        assert isinstance(journal.journal, Journal), "it lacks `name` or `open` of the Protocol Journal"
        name = journal.journal.name
        assert isinstance(name, str), f"its name is {name!r}"
        assert _NAME.fullmatch(name), f"its name {name!r} is not small letters, digits, '_', '-', '.'"

    @clause("`write`: every event of every batch, in order; and what leaving does with what is still in a buffer")
    async def test_what_was_written_is_read_back_in_order(self, journal: Archive) -> None:
        told = await story()
        for size in (1, 4, len(told.events)):
            run = _run(told, f"batches-of-{size}")
            async with journal.journal.open(run) as writer:
                for start in range(0, len(told.events), size):
                    await writer.write(told.events[start : start + size])
            journal.kept(run, told.events)

    @clause("`open`: a run has one writer; a second one has to be refused as long as the first is there")
    async def test_a_second_writer_of_the_same_run_is_refused(self, journal: Archive) -> None:
        told = await story()
        refused = False
        async with journal.journal.open(told.run) as writer:
            await writer.write(told.events[:2])
            try:
                async with journal.journal.open(told.run):
                    pass
            except Exception:  # that it is refused is what is asked for
                refused = True
            await writer.write(told.events[2:3])
        assert refused, "a second writer was let in"

    @clause("what leaving does after an error: close, keep what was written, and let the error pass")
    async def test_after_an_error_what_was_written_is_whole(self, journal: Archive) -> None:
        told = await story()
        passed = False
        try:
            async with journal.journal.open(told.run) as writer:
                await writer.write(told.events[:5])
                raise OwnError
        except OwnError:
            passed = True
        assert passed, "the error was swallowed"
        journal.kept(told.run, told.events[:5])

    @clause("where your journal keeps runs: each by its `constellation_id`")
    async def test_runs_beside_each_other_do_not_mix(self, journal: Archive) -> None:
        told = await story()
        runs = [_run(told, f"run-{number}") for number in range(3)]
        events = [told.events[number::3] for number in range(3)]
        async with (
            journal.journal.open(runs[0]) as first,
            journal.journal.open(runs[1]) as second,
            journal.journal.open(runs[2]) as third,
        ):
            for number, writer in enumerate((first, second, third)):
                await writer.write(events[number][:2])
            for number, writer in enumerate((first, second, third)):
                await writer.write(events[number][2:])
        for run, wanted in zip(runs, events, strict=True):
            journal.kept(run, wanted)

    @clause("each await of `write`: what is cancelled is kept as a whole or not at all, and never half an event")
    async def test_a_cancelled_write_leaves_the_events_before_it_whole(self, journal: Archive) -> None:
        told = await story()
        for steps in STEPS:
            run = _run(told, f"cancelled-{steps}")
            async with journal.journal.open(run) as writer:
                await writer.write(told.events[:3])
                await _cancelled(writer, told.events[3:6], steps)
            found = list(journal.read_back(run))
            lines = [journal.told_of(event) for event in told.events[:6]]
            assert found in (lines[:3], lines), f"of 3 events and a cancelled batch of 3, {len(found)} are there"


def _run(told: Story, name: str) -> RunInfo:
    return RunInfo(f"constellation-{name}", name, told.run.tasks, {}, {})


async def _cancelled(writer: Any, events: Sequence[Event], steps: int) -> None:
    async with anyio.create_task_group() as group:

        async def cancel() -> None:
            for _ in range(steps - 1):
                await checkpoint()
            group.cancel_scope.cancel()

        if steps == 0:
            group.cancel_scope.cancel()
        else:
            group.start_soon(cancel)
        await writer.write(events)
        group.cancel_scope.cancel()
