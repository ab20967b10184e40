"""Where runs are kept: the folder of all, the folder of each, and the names of what is in it."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import sqlite3
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import frozen

from galaxy_core.errors import JournalError
from galaxy_core.extension.adapter.home import own_home
from galaxy_core.extension.adapter.owners import make_folders

#: What a folder is called that is being made, or removed: no run has such a name.
MAKING, GOING = ".new-", ".gone-"
#: What a file is called in which the number of the newest run is written, before it has its name.
ORDERING = ".order-"
_PLAIN = re.compile(r"[a-z0-9_-][a-z0-9._-]{0,99}")
#: What Windows takes for a device, or does not keep as it is.
_ODD = re.compile(r"((con|prn|aux|nul|com\d|lpt\d)(\..*)?|.*\.)")
#: Bytes that a disk has to have free for anything to be kept: SQLite takes half of that to share a journal at all.
_LITTLE: Final = 64 * 1024
_POSIX: Final = sys.platform != "win32"
#: What to do where a run cannot be written.
WRITABLE: Final = (
    "Whoever changes a run has to write it: make that folder writable, or copy the folder of all runs to where it is, and set "
    "GALAXY_JOURNAL to that"
)


def remedy(error: Exception, folder: Path, more: str = "") -> str:
    """What to do where something could not be written because a disk is full; empty where that is not the reason.

    SQLite does not always say that it is: then the disk is asked.
    """
    if isinstance(error, sqlite3.Error):
        is_full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
    else:
        is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    with suppress(OSError):
        is_full = is_full or shutil.disk_usage(folder).free < _LITTLE
    return f"; make room there{more}" if is_full else ""


@frozen
class Place:
    """The folder of one run."""

    folder: Path

    @property
    def database(self) -> Path:
        """The records, as far as they are not in the log."""
        return self.folder / "journal.db"

    @property
    def log(self) -> Path:
        """SQLite's write-ahead log: what was written last."""
        return self.folder / "journal.db-wal"

    @property
    def lock(self) -> Path:
        """Whoever holds its lock writes."""
        return self.folder / "lock"

    @property
    def files(self) -> Path:
        """Large outputs."""
        return self.folder / "files"

    @property
    def label(self) -> Path:
        """Id and time, for lists; journal.db has them, too."""
        return self.folder / "run.json"

    def size_bytes(self) -> int:
        """What all of it takes on the disk, as its files say."""
        total = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_size
                except OSError:  # it went while we looked
                    continue
        return total


def default_folder() -> Path:
    """`$GALAXY_JOURNAL`, or what the platform has for state: `$XDG_STATE_HOME/galaxy/journal`.

    Raises:
        JournalError: this user has no home.
    """
    if told := os.environ.get("GALAXY_JOURNAL"):
        return Path(told).absolute()
    state = os.environ.get("XDG_STATE_HOME" if _POSIX else "LOCALAPPDATA", "")
    try:
        base = Path(state) if os.path.isabs(state) else own_home() / ".local" / "state"
    except RuntimeError as error:
        raise JournalError(
            "this user has no home folder: say in GALAXY_JOURNAL where journals are to be kept"
        ) from error
    return base / "galaxy" / "journal"


def folder_name(run_id: str) -> str:
    """What the folder of a run is called: its id, or what is plain in it and a hash, so that no two ids share one."""
    if _PLAIN.fullmatch(run_id) and not _ODD.fullmatch(run_id):
        return run_id
    shown = re.sub(r"[^a-z0-9_-]", "_", run_id.lower()[:60])
    return f"{shown}~{hashlib.sha256(run_id.encode('utf-8', 'surrogatepass')).hexdigest()[:20]}"


def make_root(root: Path) -> None:
    """Make the folder of all runs, for its owner alone, and those above it; its name is on the disk afterwards.

    Also when it is there already: whoever has made it may have died before that.
    """
    new = make_folders(root)
    for one in [*reversed(new)] or [root]:
        with suppress(PermissionError):  # of a folder in which one may write, and not read
            if one.stat().st_dev == one.parent.stat().st_dev:  # what is mounted has its name elsewhere
                synced(one.parent)


def check_folder(root: Path) -> None:
    """Where everybody can write, everybody could put another run in place of one.

    Raises:
        JournalError: so it is.
    """
    mode = root.stat().st_mode
    if _POSIX and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise JournalError(
            f"every user can write in the folder of journals {str(root)!r}: chmod o-w it, or take another"
        )


def check_owner(place: Place) -> None:
    """Whoever wrote a run goes on with it: files of somebody else among them would lock them out. Root gives them his.

    Raises:
        JournalError: another user has made it.
    """
    if not _POSIX or os.geteuid() == 0:
        return
    owner = place.folder.stat().st_uid
    if owner != os.geteuid():
        raise JournalError(
            f"the run in {str(place.folder)!r} belongs to the user with id {owner}, and this process runs as {os.geteuid()}: "
            "only its owner can write it"
        )


def synced(path: Path) -> None:
    """Wait until a file, or what stands in a folder, is on the disk."""
    if not _POSIX and path.is_dir():  # Windows has no such thing, and needs none
        return
    handle = os.open(path, os.O_RDONLY if _POSIX else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
