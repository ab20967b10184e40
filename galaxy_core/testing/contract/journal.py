"""JournalContract: what the kernel asks of every journal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import anyio
import pytest
from anyio.lowlevel import checkpoint
from attrs import define

from galaxy_core.errors import JournalError, RunLockedError, UnknownRecordedRunError
from galaxy_core.extension.interfaces import Journal, JournalWriter, RunInfo
from galaxy_core.testing.contract.clause import Contract, clause

STEPS: Final = (0, 1, 2, 3, 5, 8)
#: Texts that a record may hold as they are, beside those that are plain.
ODD: Final = (
    "",
    "ä€🜚",
    "a\u2028b\u2029c\x85d\x7f",
    "\ufeff\ufffe\U0010ffff",
    "\\n\\u0000\\ud800",
    "  ' \" ; -- %s {} ",
)
#: Ids that are names of no file, or of another one.
IDS: Final = (
    "..",
    "../outside",
    "/outside",
    "a/b",
    "a_b",
    "A_B",
    "a\\b",
    "a b",
    "nul",
    "",
    "ä",
    "x" * 300,
    "a\0b",
    ".new",
    "~",
)
LONG: Final = 2**20
_NAME = re.compile(r"[a-z][a-z0-9_.-]*")


class OwnError(Exception):
    """Raised by the contract within an open journal."""


@define
class Archive:
    """A journal to be tried. `again` makes another one at the same place, as another process would have it.

    `breaks` makes each further `write` of a writer fail, as a full disk would; clauses that need it are skipped without.
    """

    journal: Journal
    again: Callable[[], Journal]
    breaks: Callable[[JournalWriter], None] | None = None

    def lacks(self, need: str) -> str | None:
        """Why a clause cannot be asked, or None."""
        return f"your Archive has no {need!r}" if getattr(self, need, None) is None else None

    def kept(self, run_id: str, wanted: Sequence[str]) -> None:
        """It gives back `wanted`, and nothing else."""
        found = list(self.again().read(run_id))
        assert found == list(wanted), f"{len(wanted)} records were written, and {_shown(found)} read back"


@pytest.mark.anyio
class JournalContract(Contract):
    """Subclass it, and supply the fixture `journal`::

    class TestMine(JournalContract):
        @pytest.fixture
        def journal(self, tmp_path: Path) -> Archive:
            return Archive(Mine(tmp_path), lambda: Mine(tmp_path))
    """

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> Any:
        """Every clause is asked twice."""
        return request.param

    @pytest.fixture
    def journal(self) -> Archive:
        """The subclass supplies it."""
        raise pytest.UsageError(f"{type(self).__name__} has to supply the fixture 'journal', which gives an Archive")

    @clause("the attributes of your journal: `name`, text; `open`, `reopen`, `read`, `runs`")
    async def test_it_is_a_journal_with_a_name(self, journal: Archive) -> None:
        assert isinstance(journal.journal, Journal), "it lacks a method or the name that the Protocol Journal has"
        name = journal.journal.name
        assert isinstance(name, str), f"its name is {name!r}"
        assert _NAME.fullmatch(name), f"its name {name!r} is not small letters, digits, '_', '-', '.'"

    @clause("`write`: every record of every batch, in order, also of many and of none")
    async def test_what_was_written_is_read_back_in_order(self, journal: Archive) -> None:
        for size in (1, 7, 300):
            run_id, records = f"batches-of-{size}", _records(300)
            async with journal.journal.open(_run(run_id)) as writer:
                await writer.write([])
                for start in range(0, len(records), size):
                    await writer.write(records[start : start + size])
            journal.kept(run_id, records)

    @clause("`write`: it returns when the records are kept, and whoever reads from then on has them")
    async def test_what_write_has_returned_for_is_there_at_once(self, journal: Archive) -> None:
        records = _records(6)
        async with journal.journal.open(_run("at-once")) as writer:
            for end in range(2, 7, 2):
                await writer.write(records[end - 2 : end])
                journal.kept("at-once", records[:end])

    @clause("how records become bytes and come back: only '\\n' ends a line (`str.splitlines` knows more ends)")
    async def test_a_record_comes_back_as_it_was(self, journal: Archive) -> None:
        records = [f'[{number},"odd","{text}"]' for number, text in enumerate(ODD)]
        records.append(f'[{len(ODD)},"long","{"€" * (LONG // 3)}"]')
        async with journal.journal.open(_run("odd")) as writer:
            await writer.write(records)
        journal.kept("odd", records)

    @clause("`open`: an id is taken once; whoever means the same run says `reopen`")
    async def test_a_run_that_is_there_is_not_begun_anew(self, journal: Archive) -> None:
        async with journal.journal.open(_run("taken")) as writer:
            await writer.write(_records(3))
        assert await _refusal(journal.again().open(_run("taken"))) is not None, "it was begun a second time"
        journal.kept("taken", _records(3))

    @clause("`open` and `reopen`: a run has one writer; others get a RunLockedError, also from another process")
    async def test_a_second_writer_of_a_run_is_refused(self, journal: Archive) -> None:
        records = _records(5)
        async with journal.journal.open(_run("one")) as writer:
            await writer.write(records[:2])
            for other in (journal.journal, journal.again()):
                assert await _refusal(other.open(_run("one"))) is not None, "a second writer was let in by `open`"
                error = await _refusal(other.reopen("one"))
                assert isinstance(error, RunLockedError), f"`reopen` beside a writer: {error!r}, not a RunLockedError"
            await writer.write(records[2:])
        journal.kept("one", records)

    @clause("`reopen`: it goes on behind what is there; `epoch` is 1 at first, and one more for each writer since")
    async def test_a_run_is_gone_on_with(self, journal: Archive) -> None:
        records, epochs = _records(4), []
        async with journal.journal.open(_run("on")) as writer:
            epochs.append(writer.epoch)
            await writer.write(records[:1])
        for number in (1, 2, 3):
            async with journal.again().reopen("on") as writer:
                epochs.append(writer.epoch)
                await writer.write(records[number : number + 1])
        journal.kept("on", records)
        assert epochs == [1, 2, 3, 4], f"the epochs of four writers were {epochs}"

    @clause("`read` and `reopen` of a run that was never kept: UnknownRecordedRunError, and none is made by asking")
    async def test_a_run_that_is_not_there_is_unknown(self, journal: Archive) -> None:
        async with journal.journal.open(_run("known")):
            pass
        for _ in range(2):
            error = await _refusal(journal.journal.reopen("knwon"))
            assert isinstance(error, UnknownRecordedRunError), f"`reopen` of an unknown run: {error!r}"
            try:
                found = journal.journal.read("knwon")
            except UnknownRecordedRunError:
                continue
            raise AssertionError(f"`read` of an unknown run gave {_shown(found)}")

    @clause("`runs`: each run that is kept, by its id, also one without a record, and the newest first")
    async def test_runs_are_listed_the_newest_first(self, journal: Archive) -> None:
        assert list(journal.again().runs()) == [], "runs are listed before there is one"
        for run_id in ("m", "z", "a"):
            async with journal.journal.open(_run(run_id)) as writer:
                await writer.write(_records(1) if run_id != "z" else [])
        async with journal.journal.reopen("m"):
            pass
        found = list(journal.again().runs())
        assert found == ["a", "z", "m"], f"'m', 'z' and 'a' were begun in this order, and it lists {found}"

    @clause("where your journal keeps runs: each by its id, which may be any text, and never a path")
    async def test_every_id_is_a_run_of_its_own(self, journal: Archive) -> None:
        for number, run_id in enumerate(IDS):
            async with journal.journal.open(_run(run_id)) as writer:
                await writer.write([f"[{number}]"])
        for number, run_id in enumerate(IDS):
            journal.kept(run_id, [f"[{number}]"])
        found = list(journal.again().runs())
        assert sorted(found) == sorted(IDS), f"of {len(IDS)} ids, {found} are listed"

    @clause("writers at the same time: what they share must not hold what belongs to one run")
    async def test_runs_beside_each_other_do_not_mix(self, journal: Archive) -> None:
        records = [_records(4, f"of {number}") for number in range(3)]
        async with (
            journal.journal.open(_run("beside-0")) as first,
            journal.journal.open(_run("beside-1")) as second,
            journal.journal.open(_run("beside-2")) as third,
        ):
            for part in (slice(0, 2), slice(2, 4)):
                for number, writer in enumerate((first, second, third)):
                    await writer.write(records[number][part])
        for number, wanted in enumerate(records):
            journal.kept(f"beside-{number}", wanted)

    @clause("what leaving does after an error: keep what was written, let the next writer in, and let the error pass")
    async def test_after_an_error_what_was_written_is_whole(self, journal: Archive) -> None:
        passed = False
        try:
            async with journal.journal.open(_run("error")) as writer:
                await writer.write(_records(5))
                raise OwnError
        except OwnError:
            passed = True
        assert passed, "the error was swallowed"
        journal.kept("error", _records(5))
        async with journal.again().reopen("error") as writer:
            await writer.write(["[5]"])
        journal.kept("error", [*_records(5), "[5]"])

    @clause("each await of `write`: of what is cancelled a beginning is kept, and the next writer goes on behind it")
    async def test_of_a_cancelled_write_a_beginning_is_kept(self, journal: Archive) -> None:
        records = _records(6)
        for steps in STEPS:
            run_id = f"cancelled-{steps}"
            async with journal.journal.open(_run(run_id)) as writer:
                await writer.write(records[:3])
                await _cancelled(writer, records[3:], steps)
            found = list(journal.again().read(run_id))
            assert found[:3] == records[:3], f"of 3 records before a cancelled write, {_shown(found)} are there"
            assert found == records[: len(found)], (
                f"of a cancelled write, {_shown(found)} are there: no beginning of it"
            )
            async with journal.again().reopen(run_id) as writer:
                await writer.write(["[6]"])
            journal.kept(run_id, [*found, "[6]"])

    @clause("a `write` that raised: it is the last; later ones raise, too, and keep nothing", needs=("breaks",))
    async def test_after_a_failed_write_nothing_is_written(self, journal: Archive) -> None:
        errors: list[Exception] = []
        try:
            async with journal.journal.open(_run("broken")) as writer:
                await writer.write(_records(2))
                assert journal.breaks is not None
                journal.breaks(writer)
                for number in (2, 3):
                    errors += await _failure(writer, f"[{number}]")
        except JournalError:  # leaving may say it once more
            pass
        assert len(errors) == 2, f"of 2 writes after the journal broke, {len(errors)} raised"
        assert all(isinstance(error, JournalError) for error in errors), f"{errors!r} are not all JournalErrors"
        found = list(journal.again().read("broken"))
        assert found in (_records(2), _records(3)), f"2 were written, then one failed, and {_shown(found)} are there"

    @clause(
        "`folder` of a writer: None, or a folder that is there, of this run alone, with the same files when reopened"
    )
    async def test_its_folder_keeps_the_files_of_one_run(self, journal: Archive) -> None:
        async with journal.journal.open(_run("files")) as writer, journal.journal.open(_run("others")) as other:
            folder = writer.folder
            assert (folder is None) == (other.folder is None), "one run has a folder, and another has none"
            if folder is None:
                return
            assert folder.is_dir(), f"its folder {str(folder)!r} is not there"
            assert folder != other.folder, "two runs have one folder"
            (folder / "big.txt").write_bytes(b"big")
        async with journal.again().reopen("files") as writer:
            assert writer.folder is not None, "reopened, it has no folder"
            assert (writer.folder / "big.txt").read_bytes() == b"big", "a file that was kept is not what it was"


def _run(run_id: str) -> RunInfo:
    return RunInfo(run_id, "a run", [], {}, {})


def _records(count: int, text: str = "text") -> list[str]:
    return [f'[{number},"record","{text}"]' for number in range(count)]


def _shown(found: Iterable[str]) -> str:
    lines = [line if len(line) < 60 else f"{line[:60]}…" for line in found]
    return f"{len(lines)} ({', '.join(lines[:8])}{', …' if len(lines) > 8 else ''})"


async def _refusal(opening: Any) -> JournalError | None:
    """Why a writer was refused, or None when it was let in."""
    try:
        async with opening:
            return None
    except JournalError as error:
        return error


async def _failure(writer: JournalWriter, record: str) -> list[Exception]:
    try:
        await writer.write([record])
    except Exception as error:  # the clause looks at its type
        return [error]
    return []


async def _cancelled(writer: JournalWriter, records: Sequence[str], steps: int) -> None:
    async with anyio.create_task_group() as group:

        async def cancel() -> None:
            for _ in range(steps - 1):
                await checkpoint()
            group.cancel_scope.cancel()

        if steps == 0:
            group.cancel_scope.cancel()
        else:
            group.start_soon(cancel)
        await writer.write(records)
        group.cancel_scope.cancel()
