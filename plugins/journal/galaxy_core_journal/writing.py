"""Makes the folder of a run, and writes it: one connection, one call at a time, and nothing after the first failure."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from anyio import CapacityLimiter, to_thread

from galaxy_core.errors import JournalError, RunLockedError
from galaxy_core.extension.adapter.owners import give, give_open
from galaxy_core_journal import locks
from galaxy_core_journal.layout import APPLICATION, FORMAT, INSERT, TABLES, Chain, checked
from galaxy_core_journal.places import MAKING, ORDERING, WRITABLE, Place, check_owner, folder_name, remedy, synced
from galaxy_core_journal.reading import connect, examine

#: How large the log gets before its pages move to the database; each such move waits for the disk twice.
LOG_BYTES: Final = 8 * 2**20
#: Seconds after which a writer looks whether its file still is where it was.
LOOK_S: Final = 1.0
#: Of a new journal.
PAGE_BYTES: Final = 4096


def create(root: Path, run_id: str, order: int) -> Place:
    """The folder of a new run, empty but for what it says of itself. It appears at once and whole, on the disk.

    Raises:
        JournalError: there is one of that id, or it cannot be made.
    """
    place = Place(root / folder_name(run_id))
    if os.path.lexists(place.folder):
        raise _there_already(run_id, place)
    try:
        making = Place(Path(tempfile.mkdtemp(prefix=MAKING, dir=root)))
        try:
            _fill(making, run_id, order)
            give(making.folder)  # not before: whoever has it may put anything where files are opened by their names
            making.folder.rename(place.folder)
        except BaseException:
            shutil.rmtree(making.folder, ignore_errors=True)
            raise
    except (OSError, sqlite3.Error) as error:
        if os.path.lexists(place.folder):
            raise _there_already(run_id, place) from error
        raise _not_kept(run_id, root, error) from error
    try:
        synced(root)
    except OSError as error:
        shutil.rmtree(place.folder, ignore_errors=True)  # nobody has it yet
        raise _not_kept(run_id, root, error) from error
    return place


def _not_kept(run_id: str, root: Path, error: Exception) -> JournalError:
    more = remedy(error, root, ", or set GALAXY_JOURNAL to a folder on another disk")
    return JournalError(f"run {run_id!r} cannot be kept in {str(root)!r}: {error}{more}")


def _there_already(run_id: str, place: Place) -> JournalError:
    return JournalError(f"there is a run {run_id!r} already, in {str(place.folder)!r}: resume it, or choose another id")


def _fill(place: Place, run_id: str, order: int) -> None:
    created_at = datetime.now(UTC).isoformat()
    meta = {
        "run_id": run_id.encode("utf-8", "surrogatepass"),
        "created_at": created_at.encode(),
        "secret": os.urandom(8),
    }
    place.files.mkdir(0o700)
    os.close(os.open(place.database, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with closing(connect(place.database, "mode=rw")) as db:
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        _set_mode(db, place)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN")
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute(f"PRAGMA user_version = {FORMAT}")
        for table in TABLES:
            db.execute(table)
        for key, value in meta.items():
            db.execute("INSERT INTO meta VALUES (?, ?, ?)", (key, value, checked(key, value)))
        db.execute("INSERT INTO tail VALUES (1, 0, 'closed', 0, ?)", (Chain(meta["secret"]).crc,))
        db.execute("COMMIT")
    label = json.dumps({"run_id": run_id, "created_at": created_at, "order": order})
    with place.label.open("x", encoding="utf-8") as file:
        file.write(label)
    for path in (place.files, place.database, place.label):  # SQLite gives the log the same rights, and the same owner
        give(path, place.folder.parent)
    for path in (place.label, place.database, place.folder):
        synced(path)


def _set_mode(db: sqlite3.Connection, place: Place) -> None:
    (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != b"wal":
        raise JournalError(
            f"SQLite cannot keep a write-ahead log in {str(place.folder.parent)!r}: the file system cannot share memory, or "
            "failed. Set GALAXY_JOURNAL to a folder on a local disk"
        )


def attach(place: Place, run_id: str) -> Writer:
    """The one writer of a run that is there.

    Raises:
        RunLockedError: it has one.
        JournalError: it is damaged, or cannot be written.
    """
    check_owner(place)
    try:
        lock = locks.acquire(place.lock, run_id)
    except OSError as error:
        raise JournalError(
            f"run {run_id!r} in {str(place.folder)!r} cannot be locked: {error.strerror}. {WRITABLE}"
        ) from error
    try:
        found = examine(place, run_id, records=False, writing=True)
        if found.problem is not None:  # how much is sound is found out by reading all
            raise examine(place, run_id, writing=True).problem or found.problem
        assert found.chain is not None
        writer = Writer(place, run_id, lock, found.chain)
        writer.begin()
    except BaseException:
        lock.release()
        raise
    return writer


class Writer:
    """Writes one run. See `galaxy_core.extension.journals.JournalWriter`."""

    def __init__(self, place: Place, run_id: str, lock: locks.Lock, chain: Chain) -> None:
        self.epoch = 0
        self.folder: Path | None = place.files
        self._place = place
        self._run_id = run_id
        self._lock = lock
        self._chain = chain
        self._failure: BaseException | None = None
        self._log_bytes = 0
        self._inode: tuple[int, int] | None = None
        self._looked = 0.0
        self._limiter = CapacityLimiter(1)
        self._db: sqlite3.Connection | None = None

    def begin(self) -> None:
        """Open it, move what a log still holds into the database, and count the epoch up. Blocks."""
        try:
            with self._blamed():
                self._db = connect(self._place.database, "mode=rw", check_same_thread=False)
                self._prepare(self._db)
                self._inode, self._looked = _inode(self._place.database), time.monotonic()
        except BaseException:
            self._leave()
            raise

    def _prepare(self, db: sqlite3.Connection) -> None:
        for pragma in ("trusted_schema = OFF", "synchronous = FULL", "wal_autocheckpoint = 0", "fullfsync = ON"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("PRAGMA checkpoint_fullfsync = ON")
        _set_mode(db, self._place)
        self._move_log(db)
        told = json.dumps({"at": datetime.now(UTC).isoformat(), "pid": os.getpid(), "host": locks.host()}).encode()
        db.execute("BEGIN IMMEDIATE")
        (epoch,) = db.execute("SELECT epoch + 1 FROM tail").fetchone()
        db.execute("UPDATE tail SET epoch = ?, state = 'open'", (epoch,))
        db.execute("INSERT INTO writer VALUES (?, ?, ?)", (epoch, told, checked(str(epoch), told)))
        db.execute("COMMIT")
        self.epoch = epoch
        self._move_log(db)  # so that a database without its log says that it lacks one

    async def write(self, records: Sequence[str], /) -> None:
        """Keep them. What has begun is not cancelled.

        Raises:
            JournalError: they cannot be kept; the same error comes from each later call.
            RunLockedError: somebody else has opened the run, although this process had it.
        """
        if self._failure is not None:
            raise self._failure
        await to_thread.run_sync(partial(self._keep, records), limiter=self._limiter)

    def _keep(self, records: Sequence[str]) -> None:
        with self._blamed():
            if self._db is None:
                raise JournalError(f"run {self._run_id!r} is closed: nothing is written to it any more")
            for chunk in self._chain.chunks_of(records, self.epoch):
                row = (chunk.first, chunk.mark, chunk.count, chunk.epoch, chunk.crc, chunk.body)
                self._db.execute(INSERT, row)
                self._chain.follow(chunk)
                self._log_bytes += len(chunk.body) + 3 * PAGE_BYTES  # about; asking the disk would give way to the loop
            if self._log_bytes > LOG_BYTES:
                self._move_log(self._db)
            if time.monotonic() - self._looked > LOOK_S:
                self._look()

    def _look(self) -> None:
        """A file that was removed or moved can be written for ever, and nobody finds it again.

        Raises:
            JournalError: it is not there any more.
        """
        self._looked = time.monotonic()
        if _inode(self._place.database) != self._inode:
            raise JournalError(
                f"{str(self._place.database)!r} was removed, moved or replaced while the run was written. If it was moved, "
                "move it back to go on with the run"
            )

    def _move_log(self, db: sqlite3.Connection) -> None:
        """Move the pages of the log to the database, and cut it; a reader may keep it from being cut, until next time."""
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._log_bytes = 0
        if self._place.log.exists():
            synced(self._place.log)

    def close(self) -> None:
        """Say that all is there, make one file of it, and let others have it. Blocks."""
        try:
            if self._failure is None and self._db is not None:
                with self._blamed():
                    mine = self._db.execute("UPDATE tail SET state = 'closed' WHERE epoch = ?", (self.epoch,))
                    if mine.rowcount:
                        self._move_log(self._db)
                    self._look()
        finally:
            self._leave()

    def _leave(self) -> None:
        """Close the connection and let go of the lock. After a failure nothing more is written, not even that."""
        db, self._db = self._db, None
        try:
            if db is not None and self._failure is not None:
                self._close_without_writing(db)
            elif db is not None:
                db.close()
        except sqlite3.Error as error:
            raise JournalError(f"run {self._run_id!r} cannot be closed: {error}") from error
        finally:
            self._lock.release()

    def _close_without_writing(self, db: sqlite3.Connection) -> None:
        """SQLite moves the log when its last connection closes: one that can only read is made the last."""
        try:
            with closing(connect(self._place.database, "mode=ro")) as last:
                last.execute("SELECT count(*) FROM sqlite_master").fetchone()
                db.close()
        except sqlite3.Error:  # the run hears of what failed first
            db.close()

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        """The first failure is kept, and is the last thing that happens."""
        if self._failure is not None:
            raise self._failure
        try:
            yield
        except sqlite3.IntegrityError as error:
            self._failure = RunLockedError(self._run_id, locks.holder(self._place.lock))
            raise self._failure from error
        except (sqlite3.Error, OSError) as error:
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            more = remedy(error, self._place.folder)
            self._failure = JournalError(
                f"{str(self._place.folder)!r} cannot be written any more: {error} ({name}){more}"
            )
            raise self._failure from error
        except BaseException as error:
            self._failure = error
            raise


def _inode(path: Path) -> tuple[int, int] | None:
    """Which file it is; None when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def next_order(root: Path) -> int:
    """A number that grows with each new run, also when the clock goes backwards: nanoseconds, or one more than the last."""
    path = root / "order"
    try:
        last = int(path.read_text())
    except (OSError, ValueError):
        last = 0
    order = max(time.time_ns(), last + 1) if last < 2**62 else time.time_ns()
    name = None
    try:
        handle, name = tempfile.mkstemp(prefix=ORDERING, dir=root)
        with os.fdopen(handle, "w") as file:
            give_open(handle, name)
            file.write(str(order))
        Path(name).replace(path)
    except OSError:  # then lists are ordered by the clock alone; whether runs can be kept is found out by making one
        with suppress(OSError):
            if name is not None:
                os.unlink(name)
    return order
