"""Reads a run back, and finds what is wrong with it. Nothing that is kept is changed."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from attrs import Factory, define

from galaxy_core.errors import JournalDamagedError, JournalError, JournalVersionError
from galaxy_core_journal import locks
from galaxy_core_journal.layout import (
    APPLICATION,
    CHUNKS,
    FORMAT,
    RECORD_BYTES,
    TABLES,
    BrokenError,
    Chain,
    Chunk,
    checked,
)
from galaxy_core_journal.places import Place, remedy
from galaxy_core_journal.wal import header_is_sound

#: Seconds that a reader waits for a writer at the few moments at which it has to.
BUSY_S: Final = 5.0
#: How often something is read anew that another process changed meanwhile.
_TRIES: Final = 5
#: No page is smaller.
_LEAST_BYTES: Final = 512
#: What says nothing about what is kept: the place, the disk, somebody else.
_CIRCUMSTANCES: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}


@define
class Found:
    """What stands in a run's folder. `problem` says what is wrong with it; `lines` are sound whatever it says.

    `state` is that of the file: "open" while a writer is at it, or was when it died; "closed". `chain` is the end of what
    was read. `created_at` is ISO 8601.
    """

    run_id: str
    created_at: str = ""
    epoch: int = 0
    state: str = ""
    lines: list[str] = Factory(list)
    chain: Chain | None = None
    problem: JournalDamagedError | None = None


def examine(place: Place, run_id: str, *, records: bool = True, writing: bool = False) -> Found:
    """What is there. Without `records` only its beginning and its end are looked at. `writing`: the lock is ours.

    Raises:
        JournalVersionError: a newer version wrote it.
        JournalError: it cannot be read here and now; nothing is said of what is kept.
    """
    for tried in range(_TRIES):
        before = _situation(place, writing)
        try:
            found = _Reader(place, run_id, live=before[0], records=records).read()
        except JournalVersionError:
            raise
        except JournalError:
            if before == _situation(place, writing) or tried == _TRIES - 1:
                raise
            continue
        if found.problem is None or before == _situation(place, writing):
            return found
    return found


def _situation(place: Place, writing: bool) -> tuple[Any, ...]:
    """What tells whether somebody has begun, gone on or ended to write."""
    live = not writing and locks.is_held(place.lock)
    return live, *(_stamp(path) for path in (place.database, place.log))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_ino, told.st_size, told.st_mtime_ns


class _Reader:
    """One reading. While nobody writes (`live` is False), the log is looked through for what SQLite passes over."""

    def __init__(self, place: Place, run_id: str, *, live: bool, records: bool) -> None:
        self._place = place
        self._live = live
        self._records = records
        self._found = Found(run_id)

    def read(self) -> Found:
        found = self._found
        try:
            log = self._checked_files()
            self._read_database()
            if not self._live:
                self._check_log(log)
        except BrokenError as broken:
            if len(broken.args) > 1:
                found.lines += broken.args[1]
            sound = len(found.lines) if self._records else (found.chain.count if found.chain else 0)
            found.problem = JournalDamagedError(found.run_id, broken.args[0], sound, str(self._place.database))
        return found

    def _checked_files(self) -> bytes | None:
        """The log, None when there is none. Beside a database without a page, SQLite would remove it."""
        try:
            size = self._place.database.stat().st_size
            log = None if self._live else _bytes_of(self._place.log)
        except FileNotFoundError:
            raise BrokenError(f"the file {self._place.database.name!r} is missing") from None
        except OSError as error:
            raise _unreadable(self._place, error) from error
        if size < _LEAST_BYTES:
            raise BrokenError(f"the file {self._place.database.name!r} is empty, or cut to {size} bytes")
        return log

    def _read_database(self) -> None:
        try:
            self._read_from(self._place, "mode=ro" if self._live or self._place.log.exists() else "immutable=1")
        except (sqlite3.Error, UnicodeDecodeError) as error:  # a message of SQLite may quote what is damaged
            if not _is_circumstance(error):
                raise BrokenError(f"SQLite says {str(error)!r}") from error
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if self._live or code not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise _unreadable(self._place, error) from error
            self._read_from_copy()

    def _read_from_copy(self) -> None:
        """In a folder that cannot be written, SQLite cannot read a log."""
        try:
            with tempfile.TemporaryDirectory(prefix="galaxy-journal-") as folder:
                copy = Place(Path(folder))
                shutil.copyfile(self._place.database, copy.database)
                if self._place.log.exists():
                    shutil.copyfile(self._place.log, copy.log)
                self._found.lines.clear()
                self._read_from(copy, "mode=rw")
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if _is_circumstance(error):
                raise _unreadable(self._place, error) from error
            raise BrokenError(f"SQLite says {str(error)!r}") from error
        except OSError as error:
            raise _unreadable(self._place, error) from error

    def _read_from(self, place: Place, how: str) -> None:
        with closing(connect(place.database, how)) as db, _transaction(db):
            self._read_head(db)
            self._read_end(db)

    def _read_head(self, db: sqlite3.Connection) -> None:
        found = self._found
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION:
            raise BrokenError("it is not marked as a journal of Galaxy")
        if version > FORMAT:
            raise JournalVersionError(found.run_id, version, FORMAT, str(self._place.database))
        told = {row[0] for row in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
        if version != FORMAT or told != {table.encode() for table in TABLES}:
            raise BrokenError("its tables are not those of a journal")
        meta = dict(self._read_meta(db))
        if set(meta) != {"run_id", "created_at", "secret"}:
            raise BrokenError("what it says of itself is not whole")
        if meta["run_id"].decode("utf-8", "surrogatepass") != found.run_id:
            raise BrokenError(f"it is the journal of another run, {meta['run_id'][:200].decode('utf-8', 'replace')!r}")
        found.created_at = meta["created_at"].decode()
        found.chain = Chain(meta["secret"])

    @staticmethod
    def _read_meta(db: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
        for key, value, crc in db.execute("SELECT key, value, crc FROM meta"):
            if not isinstance(key, bytes) or not isinstance(value, bytes):
                raise BrokenError("what it says of itself is not whole")
            name = key.decode("utf-8", "replace")
            if crc != checked(name, value):
                raise BrokenError(f"the checksum of {name!r} is wrong")
            yield name, value

    def _read_end(self, db: sqlite3.Connection) -> None:
        found, chain = self._found, self._found.chain
        assert chain is not None
        tails = db.execute("SELECT epoch, state, count, crc FROM tail").fetchall()
        if self._records:
            for row in db.execute(CHUNKS):
                chunk = Chunk(*row)
                found.lines += chain.lines_of(chunk)
                chain.follow(chunk)
        else:
            _skip_to_end(db, chain)
        if len(tails) != 1:
            raise BrokenError("how it ends is not said")
        found.epoch, state, count, crc = tails[0]
        found.state = state.decode("utf-8", "replace") if isinstance(state, bytes) else ""
        if found.state not in ("open", "closed") or not isinstance(found.epoch, int):
            raise BrokenError("how it ends is not said")
        if (count, crc) != (chain.count, chain.crc):
            raise BrokenError(f"it should have {count} records, ending otherwise")
        writers = db.execute("SELECT epoch, told, crc FROM writer ORDER BY epoch").fetchall()
        sound = all(isinstance(told, bytes) and crc == checked(str(epoch), told) for epoch, told, crc in writers)
        if not sound or [row[0] for row in writers] != list(range(1, found.epoch + 1)):
            raise BrokenError("who has written it is not whole")

    def _check_log(self, log: bytes | None) -> None:
        """What SQLite passes over: it takes a log to its first frame that is not sound, and says nothing.

        Each write waits for the disk before the next begins. So power loss can leave one chunk behind the last that is
        sound, and never two; and a log with frames has a sound beginning.
        """
        found = self._found
        assert found.chain is not None
        if log is None:
            if found.state == "open":
                raise BrokenError(
                    f"its writer has not closed it, and the file {self._place.log.name!r}, which has the latest records, is "
                    "missing: copy it along"
                )
            return
        beyond = found.chain.beyond(log)
        if beyond and (max(beyond) >= 1 or not header_is_sound(log)):
            raise BrokenError(
                f"at least {max(beyond) + 1} more writes are in {self._place.log.name!r}, behind what is damaged there"
            )


def _skip_to_end(db: sqlite3.Connection, chain: Chain) -> None:
    """Take the last chunk at its word."""
    row = db.execute("SELECT first, mark, count, epoch, crc, NULL FROM chunk ORDER BY first DESC LIMIT 1").fetchone()
    if row is None:
        return
    last = Chunk(*row)
    if not isinstance(last.mark, bytes) or not all(isinstance(one, int) for one in (last.first, last.count, last.crc)):
        raise BrokenError("a column of the table chunk holds what does not belong there")
    chain.count, chain.crc = last.first + last.count, last.crc
    chain.chunks = int.from_bytes(last.mark[-8:], "big") + 1


def connect(path: Path, how: str, *, check_same_thread: bool = True) -> sqlite3.Connection:
    """A connection that begins no transaction by itself, and gives texts as bytes: they may be damaged."""
    # `quote` keeps what no decoder could give back; SQLite takes the bytes of a path as they are.
    address = f"file:{quote(bytes(path), safe='/')}?{how}"
    db = sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=check_same_thread)
    db.text_factory = bytes
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, RECORD_BYTES + CHUNK_SPARE)
    return db


#: What a row has beside its longest record.
CHUNK_SPARE: Final = 2**16


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All that is read inside is of one moment."""
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")
    db.execute("BEGIN")
    yield


def _bytes_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _is_circumstance(error: Exception) -> bool:
    """Whether the place, the disk or somebody else is to blame, and not what is kept."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _CIRCUMSTANCES


def _unreadable(place: Place, error: Exception) -> JournalError:
    return JournalError(f"the journal in {str(place.folder)!r} cannot be read: {error}{remedy(error, place.folder)}")


def label_of(place: Place) -> dict[str, Any]:
    """What run.json says, if it can be read: `run_id` and `order`."""
    try:
        told = json.loads(place.label.read_bytes()[:100_000])
        return {"run_id": str(told["run_id"]), "order": int(told["order"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
