"""The journal `sqlite`."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from anyio import CancelScope, to_thread

from galaxy_core.errors import JournalError, RunLockedError, UnknownRecordedRunError
from galaxy_core.extension.interfaces import JournalWriter, RunInfo
from galaxy_core_journal import locks
from galaxy_core_journal.entries import RunEntry, entry_of
from galaxy_core_journal.places import (
    GOING,
    MAKING,
    ORDERING,
    WRITABLE,
    Place,
    check_folder,
    check_owner,
    default_folder,
    folder_name,
    make_root,
)
from galaxy_core_journal.reading import examine, label_of
from galaxy_core_journal.writing import Writer, attach, create, next_order

#: How old a folder is, in seconds, that was begun or given up and that nobody will end.
_LEFT_S = 3600.0


class SqliteJournal:
    """Keeps each run in a folder of its own below `folder`; without it, below what `$GALAXY_JOURNAL` says.

    What is written is on the disk when `write` returns. docs/reference/journal.md says what that holds against.
    """

    name = "sqlite"

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self._folder = None if folder is None else Path(folder).absolute()

    @property
    def folder(self) -> Path:
        """Where the runs are.

        Raises:
            JournalError: nobody said, and this user has no home.
        """
        return default_folder() if self._folder is None else self._folder

    # ----------------------------------------------------------------------------------------------------- the contract

    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[JournalWriter]:
        """A writer for a new run."""
        async with _closing(await to_thread.run_sync(self._created, run.constellation_id)) as writer:
            yield writer

    @asynccontextmanager
    async def reopen(self, run_id: str, /) -> AsyncIterator[JournalWriter]:
        """A writer that goes on with a run."""
        async with _closing(await to_thread.run_sync(self._attached, run_id)) as writer:
            yield writer

    def read(self, run_id: str, /) -> Sequence[str]:
        """All records of a run, each checked."""
        found = examine(self._place(run_id), run_id)
        if found.problem is not None:
            raise found.problem
        return found.lines

    def runs(self) -> Sequence[str]:
        """The ids of all runs, the newest first; damaged ones among them."""
        return [run_id for run_id, _ in self._all()]

    # ------------------------------------------------------------------------------------------------------ for people

    def salvage(self, run_id: str) -> Sequence[str]:
        """The records before the first that is damaged, if any is. May block.

        Raises:
            UnknownRecordedRunError: there is no such run.
            JournalError: a newer version wrote it, or it cannot be read at all.
        """
        return examine(self._place(run_id), run_id).lines

    def verify(self, run_id: str) -> int:
        """How many records a run has, after checking each. May block.

        Raises:
            JournalDamagedError: something is wrong; it says from where on.
            JournalError: as for `salvage`.
        """
        return len(self.read(run_id))

    def entries(self) -> list[RunEntry]:
        """All runs, the newest first, with what can be said of each in a line. Reads all that is kept of them. May block."""
        return [entry_of(place, run_id) for run_id, place in self._all()]

    def folder_of(self, run_id: str) -> Path:
        """Where the files of a run lie, long texts among them: what its writer has as `folder`.

        Raises:
            UnknownRecordedRunError: there is no such run.
        """
        return self._place(run_id).files

    def entry(self, run_id: str) -> RunEntry:
        """The same of one run.

        Raises:
            UnknownRecordedRunError: there is no such run.
        """
        return entry_of(self._place(run_id), run_id)

    def remove(self, run_id: str) -> None:
        """Remove a run with all its files. May block.

        Raises:
            UnknownRecordedRunError: there is no such run.
            RunLockedError: somebody writes it.
            JournalError: it is not ours, or cannot be removed.
        """
        place = self._place(run_id)
        check_owner(place)
        try:
            lock = locks.acquire(place.lock, run_id)
            try:
                going = place.folder.with_name(GOING + secrets.token_hex(8))
                if sys.platform == "win32":  # nothing is renamed there while a file in it is open
                    lock.release()
                place.folder.rename(going)  # from here on it is gone as a whole
            finally:
                lock.release()
            shutil.rmtree(going)
        except OSError as error:
            raise JournalError(
                f"run {run_id!r} in {str(place.folder)!r} cannot be removed: {error.strerror}. {WRITABLE}"
            ) from error

    def prune(
        self,
        older_than: timedelta | None = None,
        keep: int | None = None,
        *,
        unfinished: bool = False,
        dry_run: bool = False,
    ) -> list[RunEntry]:
        """Remove runs, and say which. May block.

        Only those that were last written `older_than` ago, and never the `keep` newest; one of both has to be given. What
        is under way stays, and so does, unless `unfinished`, what could be resumed, has tasks that ended unknown, or is
        damaged. With `dry_run` nothing is removed.

        Raises:
            ValueError: neither is given, or one is negative.
        """
        if older_than is None and keep is None:
            raise ValueError("prune needs older_than, keep, or both: without them it would remove every run")
        if (keep is not None and keep < 0) or (older_than is not None and older_than < timedelta()):
            raise ValueError("older_than and keep cannot be negative")
        now, gone = datetime.now(UTC), []
        for entry in self.entries()[keep or 0 :]:
            old = older_than is None or (entry.written is not None and now - entry.written >= older_than)
            if old and entry.locked_by is None and ((entry.is_over and not entry.unknown) or unfinished):
                try:
                    if not dry_run:
                        self.remove(entry.run_id)
                except RunLockedError:  # somebody has resumed it meanwhile
                    continue
                gone.append(entry)
        if not dry_run:
            self._sweep()
        return gone

    # ---------------------------------------------------------------------------------------------------------- folders

    def _created(self, run_id: str) -> Writer:
        root = self.folder
        try:
            make_root(root)
        except OSError as error:
            raise JournalError(
                f"the folder of journals {str(root)!r} cannot be made: {error}. Set GALAXY_JOURNAL to another folder"
            ) from error
        check_folder(root)
        return attach(create(root, run_id, next_order(root)), run_id)

    def _attached(self, run_id: str) -> Writer:
        return attach(self._place(run_id), run_id)

    def _place(self, run_id: str) -> Place:
        place = Place(self.folder / folder_name(run_id))
        if not place.folder.is_dir() or place.folder.is_symlink():
            raise UnknownRecordedRunError(run_id, self.runs(), where=str(self.folder))
        return place

    def _all(self) -> list[tuple[str, Place]]:
        found: list[tuple[int, str, Place]] = []
        for path in self._folders():
            if not path.name.startswith((MAKING, GOING)):
                place = Place(path)
                label = label_of(place)
                run_id = label.get("run_id", path.name)
                if folder_name(run_id) != path.name:
                    run_id = path.name
                found.append((_order(label, path), run_id, place))
        return [(run_id, place) for _, run_id, place in sorted(found, key=lambda one: one[:2], reverse=True)]

    def _folders(self) -> Iterator[Path]:
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        yield Path(entry.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise JournalError(f"the folder of journals {str(self.folder)!r} cannot be read: {error}") from error

    def _sweep(self) -> None:
        """Remove what a process left that died while it made or removed a run."""
        for path in list(self._folders()):
            if path.name.startswith((MAKING, GOING)):
                age = datetime.now(UTC).timestamp() - path.stat().st_mtime
                if age > _LEFT_S:
                    shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.glob(f"{ORDERING}*"):
            with suppress(OSError):
                if datetime.now(UTC).timestamp() - path.lstat().st_mtime > _LEFT_S:
                    path.unlink()


def _order(label: dict[str, Any], path: Path) -> int:
    try:
        return int(label["order"]) if label else path.stat().st_mtime_ns
    except OSError:
        return 0


@asynccontextmanager
async def _closing(writer: Writer) -> AsyncIterator[Writer]:
    try:
        yield writer
    except BaseException:
        with CancelScope(shield=True):
            await to_thread.run_sync(partial(_closed_quietly, writer))
        raise
    with CancelScope(shield=True):
        await to_thread.run_sync(writer.close)


def _closed_quietly(writer: Writer) -> None:
    """Another error is on its way already; and what was written is kept, whatever this says."""
    try:
        writer.close()
    except JournalError:
        return
