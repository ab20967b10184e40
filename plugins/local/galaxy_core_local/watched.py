"""Marked commands on Linux: their output comes through pipes that outlive the orchestrator.

A shell writes down how the command ended, as on any other POSIX far side (`galaxy_core.extension.adapter.marks`). But nothing
stands between the command and the orchestrator, which itself keeps the beginning of each stream in the marker: it moves
what is in the pipe to the file (`splice`, so that what has left the one is in the other, whenever the orchestrator is
killed), and reads it from there. The shell, too, holds the pipes open for reading (``/proc/self/fd``), so that they do
not break when the orchestrator dies; and a fork of it, which waits on a pipe for the word that all has been read, or for
its end, goes on reading then.
"""

from __future__ import annotations

import fcntl
import os
import sys
import termios
from contextlib import suppress
from typing import Final

from anyio import EndOfStream, notify_closing, wait_readable
from anyio.abc import ByteReceiveStream
from attrs import define, field

from galaxy_core.extension.adapter.marks import KEPT_BYTES, OWNER_ONLY
from galaxy_core.extension.adapter.posix import NOT_STARTED

#: Words before those of the command; the marker and whether there is input follow them.
_SHELL: Final = ("/bin/sh", "-c")


def is_possible() -> bool:
    """Whether pipes can be opened by their names in /proc, and moved into files."""
    return sys.platform == "linux" and os.path.isdir("/proc/self/fd")


def leading(place: str, *, has_input: bool) -> list[str]:
    """The words that, before those of a command, have it leave a marker at `place`, whose folder is there.

    Where that cannot be made, as when it is there, they end with `NOT_STARTED` and say nothing.
    """
    return [*_SHELL, _WATCHED, "galaxy", place, "in" if has_input else ""]


# Built-ins alone, until the orchestrator dies. Its standard input is the pipe on which the fork waits. The traps and the
# braces are explained in galaxy_core.extension.adapter.marks. Descriptors have one digit, as dash knows no others.
# It says nothing when it cannot make the marker: its output would be taken for that of the attempt which has made it.
_WATCHED: Final = rf"""galaxy_m=$1 galaxy_n=$2; shift 2
{OWNER_ONLY}
set -C; {{ echo $$ >"$galaxy_m.pid"; }} 2>/dev/null || exit {NOT_STARTED}; set +C
trap : HUP
exec 5</proc/self/fd/1 6</proc/self/fd/2 7<&0
if [ -n "$galaxy_n" ]; then exec <"$galaxy_m.in"; rm -f -- "$galaxy_m.in"; else exec </dev/null; fi
(trap '' HUP INT TERM; exec >/dev/null 2>&1; read -r x && exit
trap '' PIPE XFSZ; exec 9>"$galaxy_m.said"; o=$galaxy_m.out r=$galaxy_m.err s=whole
ulimit -f {KEPT_BYTES // 512} || o=/dev/null r=/dev/null s=lost
tee -a "$o" <&5 9>&- & x=$!; tee -a "$r" <&6 9>&- || s=part; wait $x || s=part; echo $s >&9) <&7 &
exec 7<&-
trap : HUP INT TERM
{{ (umask $galaxy_umask; exec "$@" 5<&- 6<&- 2>&8 8>&-); galaxy_c=$?; }} 8>&2 2>/dev/null
{{ echo "exit $galaxy_c" >"$galaxy_m.end"; }} 2>/dev/null || echo "exit $galaxy_c" >>"$galaxy_m.pid"; exit $galaxy_c"""


@define(eq=False)
class Kept(ByteReceiveStream):
    """The reading end of an output stream, whose beginning it keeps in the file `path`."""

    fd: int
    path: str
    _file: int | None = None
    _size: int = 0
    _keeps: bool = True

    async def receive(self, max_bytes: int = KEPT_BYTES) -> bytes:
        while True:
            await wait_readable(self.fd)
            with suppress(BlockingIOError):
                if chunk := self._take(max_bytes):
                    return chunk
                raise EndOfStream

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        """May be called again."""
        if self.fd >= 0:
            notify_closing(self.fd)
            os.close(self.fd)
            self.fd = -1
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _take(self, max_bytes: int) -> bytes:
        room = min(KEPT_BYTES - self._size, max_bytes) if self._keeps and sys.platform == "linux" else 0
        if not room or (self._file is None and not _holds_something(self.fd)):
            return os.read(self.fd, max_bytes)
        try:
            if self._file is None:
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            size = os.splice(self.fd, self._file, room, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            raise
        except OSError:  # no room on the disk, or a file system that cannot
            self._give_up()
            return os.read(self.fd, max_bytes)
        chunk = os.pread(self._file, size, self._size)
        self._size += size
        return chunk

    def _give_up(self) -> None:
        """A file that is longer than any says that the output is not there; a hole takes no room."""
        self._keeps = False
        if self._file is not None:
            with suppress(OSError):
                os.ftruncate(self._file, KEPT_BYTES + 1)


def _holds_something(fd: int) -> bool:
    held = bytearray(4)
    fcntl.ioctl(fd, termios.FIONREAD, held)
    return any(held)


@define(eq=False)
class Pipes:
    """What a marked command is started with, and the ends that stay here. Files of its marker at `place` are kept open."""

    place: str
    given: list[int] = field(factory=list)
    stdout: Kept = field(init=False)
    stderr: Kept = field(init=False)
    _word: int = -1

    def __attrs_post_init__(self) -> None:
        """Raises OSError when there are no descriptors left."""
        ends: list[int] = []
        try:
            for _ in range(3):
                ends.extend(os.pipe())
        except OSError:
            for fd in ends:
                os.close(fd)
            raise
        heard, self._word, out, given_out, err, given_err = ends
        self.given = [heard, given_out, given_err]
        self.stdout, self.stderr = Kept(out, f"{self.place}.out"), Kept(err, f"{self.place}.err")
        for fd in (out, err):
            os.set_blocking(fd, False)

    def started(self) -> None:
        """The command has its ends; or none, because it could not be started."""
        for fd in self.given:
            os.close(fd)
        self.given = []

    def read_whole(self) -> None:
        """All that will be read has been: say so in the marker, and to who waits to read on."""
        with suppress(OSError):
            said = os.open(f"{self.place}.said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.write(said, b"whole\n")
            finally:
                os.close(said)
        self.dismiss()

    def dismiss(self) -> None:
        """The command is over: who waits to read on need not. It is not ended by signals. May be called again."""
        with suppress(OSError):
            os.write(self._word, b"read\n")

    def close(self) -> None:
        """Without `read_whole` before, what is left of the command goes on as if we had died."""
        self.started()
        self.stdout.close()
        self.stderr.close()
        if self._word >= 0:
            os.close(self._word)
            self._word = -1
