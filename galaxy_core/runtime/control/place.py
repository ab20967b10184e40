"""Where the control sockets of runs are, who may use them, and what they are called.

A socket stands in a folder that belongs to us and that nobody else can write to. It is made in a folder of its own that
nobody else can look into, and moved to its place when its permissions are right, so that there is no moment at which
somebody else could connect.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import stat
import struct
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio.to_thread
from attrs import frozen

from galaxy_core.errors import ControlError, UnknownRunError
from galaxy_core.extension.adapter.home import own_home
from galaxy_core.extension.adapter.owners import make_folders

SUFFIX = ".sock"
#: What the path of a UNIX socket may have at most, in bytes.
LONGEST = 107 if sys.platform == "linux" else 103
#: Ids of so many characters that need no escaping are file names as they are; of others a beginning and a hash is taken.
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,39}")
_BEGINNING = 20
#: Characters of a part of an id that can mean a run: shorter ones, as names of plans, are in many ids by chance.
SHORTEST_PART = 4
#: Connections that wait to be taken.
_BACKLOG = 128


def control_folder() -> Path:
    """``$XDG_RUNTIME_DIR/galaxy`` if that is a folder of ours, else ``~/.local/state/galaxy/runs``. It may not be there.

    In a home that root has of another user it is ``runs-0``: the folder of sockets is its owner's alone.
    """
    named = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(named):
        with suppress(OSError):
            # Whoever becomes another user, as with sudo, may keep the variable; that folder is the other user's.
            if os.stat(named).st_uid == os.geteuid():
                return Path(named, "galaxy")
    home, name = own_home(), "runs"
    with suppress(OSError):
        if sys.platform != "win32" and os.geteuid() == 0 and home.stat().st_uid != 0:
            name = "runs-0"
    return home / ".local" / "state" / "galaxy" / name


def socket_name(constellation_id: str) -> str:
    """The file name of the socket of that constellation's run; at most 45 characters."""
    if _PLAIN.fullmatch(constellation_id):
        return constellation_id + SUFFIX
    beginning = re.sub(r"[^A-Za-z0-9_-]", "_", constellation_id[:_BEGINNING])
    return f"{beginning}-{hashlib.sha256(constellation_id.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}{SUFFIX}"


def check_available() -> None:
    """Raises:
    ControlError: this system has no control sockets.
    """
    if sys.platform == "win32":
        raise ControlError("control sockets are not available on Windows, which has no UNIX sockets for them")


def check_folder(folder: Path) -> None:
    """Refuse a folder in which somebody else could put or replace sockets.

    Raises:
        ControlError: it belongs to somebody else, others can write to it, it is a link or no folder.
        FileNotFoundError: it is not there.
    """
    found = os.lstat(folder)
    if stat.S_ISLNK(found.st_mode):
        why = "it is a symbolic link"
    elif not stat.S_ISDIR(found.st_mode):
        why = "it is not a folder"
    elif found.st_uid != os.geteuid():
        why = f"it belongs to user {found.st_uid}, not to {os.geteuid()}"
    elif found.st_mode & 0o022:
        why = f"others can write to it (mode {stat.S_IMODE(found.st_mode):04o}); chmod go-w mends that"
    else:
        return
    raise ControlError(f"control sockets cannot be in {str(folder)!r}: {why}")


def peer_uid(connection: socket.socket) -> int | None:
    """The user of the process at the other end; None where the system does not say."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    return int(uid)


def is_alive(path: str | Path) -> bool:
    """Whether some process listens there. Connects, says nothing, and leaves."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # so many wait to be taken that no more are let in: somebody listens, or we may not know
            return True
    return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Nobody else takes a name in this folder, or clears one away, meanwhile."""
    import fcntl  # not on every system; check_available comes first

    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@frozen
class Place:
    """A socket that is ours, and which file it was when it was put there."""

    path: Path
    device: int
    inode: int

    def leave(self) -> None:
        """Take the socket away, unless somebody else's stands there by now."""
        with suppress(OSError):
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == (self.device, self.inode):
                os.unlink(self.path)


async def listen(path: Path) -> tuple[socket.socket, Place]:
    """Listen at a path, in a folder that is made when it is not there. What a dead process has left gives way.

    Raises:
        ControlError: it cannot be, or another process listens there.
        OSError: the system does not let us.
    """
    check_available()
    folder = path.parent
    make_folders(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    check_folder(folder)
    room = LONGEST - len(os.fsencode(folder)) - 1
    if max(len(os.fsencode(path.name)), 12) > room:
        raise ControlError(
            f"the path {str(path)!r} is too long for a socket, which may have {LONGEST} bytes; "
            "set XDG_RUNTIME_DIR to a folder with a shorter path"
        )
    private = tempfile.mkdtemp(prefix=".", dir=folder)  # 9 characters, and only we can look into it
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        made = os.path.join(private, "s")
        listener.bind(made)
        os.chmod(made, 0o600)
        listener.listen(_BACKLOG)
        return listener, await anyio.to_thread.run_sync(_put, made, path)
    except BaseException:
        listener.close()
        raise
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _put(made: str, path: Path) -> Place:
    """Move a socket to its place."""
    with _locked(path.parent):
        with suppress(FileNotFoundError):
            if not stat.S_ISSOCK(os.lstat(path).st_mode):
                raise ControlError(f"{str(path)!r} is there already, and is no socket")
            if is_alive(path):
                raise ControlError(
                    f"another process has the control socket {str(path)!r}: a run of that id can be reached already"
                )
        os.replace(made, path)
        found = os.lstat(path)
    return Place(path, found.st_dev, found.st_ino)


def clear_away(path: Path) -> bool:
    """Remove a socket whose process has ended; whether it had."""
    with _locked(path.parent):
        if is_alive(path):
            return False
        with suppress(FileNotFoundError):
            os.unlink(path)
        return True


def sockets(folder: Path | None = None) -> list[Path]:
    """The sockets in the folder, by name; some may have been left by processes that were killed.

    Raises:
        ControlError: there can be none there.
    """
    check_available()
    folder = control_folder() if folder is None else folder
    try:
        check_folder(folder)
    except FileNotFoundError:
        return []
    found = [path for path in folder.glob(f"*{SUFFIX}") if stat.S_ISSOCK(os.lstat(path).st_mode)]
    return sorted(found)


def is_part(wanted: str, run: str) -> bool:
    """Whether a text is enough of the id of a run to mean it: its beginning or its end, not a stretch in its middle."""
    return len(wanted) >= SHORTEST_PART and (run.startswith(wanted) or run.endswith(wanted))


def find_socket(
    run: str, folder: Path | None = None, plans: Mapping[str, str] | None = None, silent: Sequence[str] = ()
) -> Path:
    """The socket of a run, by the constellation's id, or by its end or beginning of 4 characters or more that no other has.

    `plans` are the names of the plans, by id, and `silent` the ids of those that do not answer, for messages.

    Raises:
        UnknownRunError: there is none, or there are several.
        ControlError: there can be none there.
    """
    paths = sockets(folder)
    exact = socket_name(run)
    names = {path.name.removesuffix(SUFFIX): path for path in paths}
    for path in paths:
        if path.name == exact:
            return path
    meant = [name for name in names if is_part(run, name)]
    if len(meant) == 1:
        return names[meant[0]]
    if meant:
        raise UnknownRunError(run, names, meant, plans or {})
    raise UnknownRunError(run, names, (), plans or {}, silent=silent)
