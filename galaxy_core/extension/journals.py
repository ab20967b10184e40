"""Journals: what keeps the records of runs, so that a run survives its process.

A journal stores; what records mean is the kernel's business (galaxy_core/model/records). Each record is one line of JSON
text. A journal keeps the lines of a run in order, survives with them what its documentation says, lets one writer at a time
at a run, and gives the lines back as they were. Nothing else is asked of it, and every journal that does this can be
resumed and replayed from.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from galaxy_core.extension.interfaces import RunInfo

#: "sync": what has happened is kept before anything follows from it. "batched": a little later; the last tenth of a second
#: may be lost with the process. "off": nothing is kept.
Durability = Literal["sync", "batched", "off"]


@runtime_checkable
class JournalWriter(Protocol):
    """Writes one run, as the only one who does."""

    @property
    def epoch(self) -> int:
        """1 for a new run, and one more for each writer that has opened it since."""
        ...

    @property
    def folder(self) -> Path | None:
        """Where large outputs and files of the run may be kept; None: the journal keeps no files."""
        ...

    async def write(self, records: Sequence[str], /) -> None:
        """Keep `records`, after those that were written before. One call at a time.

        On return they outlive this process and, for a journal on a disk, a loss of power. A call that is cancelled has kept
        a beginning of them, none, or all. Raising is final: nothing is written after it, and the run ends.

        Raises:
            JournalError: they cannot be kept, or somebody else writes the run by now.
        """
        ...


@runtime_checkable
class Journal(Protocol):
    """Keeps runs, each under its id (`RunInfo.constellation_id`)."""

    name: str

    def open(self, run: RunInfo, /) -> AbstractAsyncContextManager[JournalWriter]:
        """A writer for a new run.

        Raises, on entering:
            JournalError: it has a run of that id already, or cannot keep one.
        """
        ...

    def reopen(self, run_id: str, /) -> AbstractAsyncContextManager[JournalWriter]:
        """A writer that goes on with a run.

        Raises, on entering:
            UnknownRecordedRunError: it has no run of that id.
            RunLockedError: another writer is at it, in this process or any other.
            JournalError: it cannot be written.
        """
        ...

    def read(self, run_id: str, /) -> Sequence[str]:
        """All records of a run, in order. May block. While a writer is at it: those that were kept by now.

        Raises:
            UnknownRecordedRunError: it has no run of that id.
            JournalDamagedError: what was kept is damaged; it is never passed over in silence.
            JournalVersionError: a newer version of the journal has written it.
        """
        ...

    def runs(self) -> Sequence[str]:
        """The ids of all runs that it keeps, the newest first. May block."""
        ...
