"""Files to a device and from it: below its folder alone, whole or not at all, and proved equal by size and hash."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from anyio import CancelScope, to_thread

from galaxy_core.errors import TransferError
from galaxy_core.extension.adapter.folder import Copied, NotKeptError, create, explain
from galaxy_core.extension.adapter.posix import quote
from galaxy_core.extension.adapter.sources import Sources
from galaxy_core_adb.failures import AdbFailureError
from galaxy_core_adb.sync import Entry, FarFileError, Sync, sync

if TYPE_CHECKING:
    from galaxy_core_adb.session import AdbSession

#: How much is read, hashed or written at once, in a worker thread.
CHUNK_BYTES = 1 << 20
#: Files of devices that know no hash are read back up to this size, to be compared.
READ_BACK_BYTES = 64 << 20
_NO_HASH = 3

T = TypeVar("T")

_numbers = count(1)


class Files:
    """Transfers of one attempt. `mark` is part of the names of unfinished files on the device."""

    def __init__(self, session: AdbSession, mark: str, sources: Sources) -> None:
        self._session = session
        self._mark = mark
        self._sources = sources
        self._knows_stat_2 = "stat_v2" in session.facts.get("features", "").split(",")

    async def push(
        self,
        source: str,
        target: str,
        mode: int = 0o644,
        about_to_replace: Callable[[], None] | None = None,
        *,
        is_passing: bool = False,
    ) -> Copied:
        """Copy a file of this machine to the path `target` of the device. `about_to_replace` is called before it shows there.

        What is only `passing` is removed from there, too, when this fails or is cancelled.

        Raises:
            ValueError: the source may not be read.
            TransferError: it could not be copied; what was at `target` is still there.
            AdbFailureError: the device was lost on the way.
        """
        part = f"{posixpath.dirname(target)}/.galaxy-{self._mark}-{next(_numbers)}.part"
        async with self._opened(source) as file, self._removed_if_not_moved(part, *([target] if is_passing else [])):
            copied = await self._send(file, source, part, target, mode)
            if about_to_replace is not None:
                about_to_replace()
            await self._move(part, target, copied)
        return copied

    async def pull(self, path: str, target: Path) -> Copied:
        """Copy the file at `path` of the device to `target`.

        Raises:
            TransferError: it could not be copied; there is nothing at `target`.
            AdbFailureError: the device was lost on the way.
        """
        try:
            return await self.fetch(path, target)
        except NotKeptError as error:
            raise self._failed(path, f"it cannot be written here: {explain(error)}") from error

    async def fetch(self, path: str, target: Path) -> Copied:
        """As `pull`, but:

        Raises:
            NotKeptError: the copy could not be written on this machine.
        """
        part = target.with_name(f".{target.name[:80]}.part")
        try:
            async with sync(self._session.link, knows_stat_2=self._knows_stat_2) as far:
                entry = await self._looked_at(far, path)
                copied = await self._receive(far, path, part)
            await self._compare(path, entry, copied)
            await self._in_thread(os.replace, part, target)
        except FarFileError as error:
            raise self._failed(path, f"the device says: {error}") from error
        except OSError as error:
            if isinstance(error, TransferError):
                raise
            raise NotKeptError(error.errno, error.strerror or str(error)) from error  # the device's are no OSError
        finally:
            with CancelScope(shield=True), suppress(OSError):
                await to_thread.run_sync(part.unlink, True)
        return copied

    # ------------------------------------------------------------------------------------------------ to the device
    @asynccontextmanager
    async def _opened(self, source: str) -> AsyncIterator[BinaryIO]:
        try:
            file = await self._in_thread(self._sources.open, source)
        except OSError as error:
            raise self._failed(source, self._sources.why_not(source, error)) from error
        try:
            yield file
        finally:
            file.close()

    @asynccontextmanager
    async def _removed_if_not_moved(self, *paths: str) -> AsyncIterator[None]:
        link = self._session.link
        try:
            yield
        except AdbFailureError:
            link.owe(self._mark, paths)
            raise
        except BaseException:  # goes on to whoever asked
            await link.end(self._mark, paths)
            raise

    async def _send(self, file: BinaryIO, source: str, part: str, target: str, mode: int) -> Copied:
        digest = hashlib.sha256()
        before = os.fstat(file.fileno())

        def read() -> bytes:
            data = file.read(CHUNK_BYTES)
            digest.update(data)
            return data

        unreadable: list[OSError] = []

        async def pieces() -> bytes:
            try:
                return await self._in_thread(read)
            except OSError as error:
                unreadable.append(error)
                return b""

        try:
            async with sync(self._session.link, knows_stat_2=self._knows_stat_2) as far:
                await self._way_is_clear(far, target)
                size = await far.send(part, mode, pieces)
                there = await far.entry(part)
        except FarFileError as error:
            raise self._failed(target, f"the device says: {error}") from error
        after = os.fstat(file.fileno())
        if unreadable:
            raise self._failed(source, f"it cannot be read: {explain(unreadable[0])}") from unreadable[0]
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or size != after.st_size:
            raise self._failed(
                source, f"it changed while it was read: {before.st_size} bytes before, {size} bytes sent"
            )
        if after.st_nlink == 0:
            raise self._failed(source, "it was removed while it was read")
        if there is None or not self._same_size(there, size):
            found = "nothing" if there is None else f"{there.size_bytes} bytes"
            raise self._failed(target, f"{size} bytes were sent and {found} arrived; is the device's disk full?")
        return Copied(size, digest.hexdigest())

    async def _way_is_clear(self, far: Sync, target: str) -> None:
        """No folder on the way, nor the target itself, may be a symbolic link; the target may be no folder."""
        for path in self._way(target):
            entry = await far.entry(path)
            if entry is None:
                return
            if entry.is_link:
                raise self._failed(target, f"{path!r} is a symbolic link on the device, and might lead elsewhere")
            if path == target and not entry.is_file:
                raise self._failed(target, "there is something on the device that is no regular file")
            if path != target and not entry.is_folder:
                raise self._failed(target, f"{path!r} is no folder on the device")

    def _way(self, target: str) -> list[str]:
        """The paths below the root that lead to a target, itself included; of one outside of the root, itself."""
        root = self._session.settings.root.rstrip("/")
        if not target.startswith(root + "/"):
            return [target]
        parts = target[len(root) + 1 :].split("/")
        return ["/".join([root, *parts[: number + 1]]) for number in range(len(parts))]

    async def _move(self, part: str, target: str, copied: Copied) -> None:
        said = await self._session.link.run(_move_script(part, target, copied.sha256))
        if said.exit_code == _NO_HASH:
            await self._read_back(part, copied)
            said = await self._session.link.run(_move_script(part, target, None))
        if said.exit_code != 0:
            raise self._failed(target, f"the device could not put it in place: {said.complaint}")

    async def _read_back(self, part: str, copied: Copied) -> None:
        """For devices that cannot hash."""
        if copied.size_bytes > READ_BACK_BYTES:
            return
        digest = hashlib.sha256()

        async def take(data: bytes) -> None:
            digest.update(data)

        async with sync(self._session.link, knows_stat_2=self._knows_stat_2) as far:
            await far.receive(part, take)
        if digest.hexdigest() != copied.sha256:
            raise self._failed(part, "what arrived on the device is not what was sent")

    # ---------------------------------------------------------------------------------------------- from the device
    async def _looked_at(self, far: Sync, path: str) -> Entry:
        entry: Entry | None = None
        for step in self._way(path):
            entry = await far.entry(step)
            if entry is None:
                raise self._failed(path, "it does not exist on the device")
            if entry.is_link:
                raise self._failed(path, f"{step!r} is a symbolic link on the device, and might lead elsewhere")
        assert entry is not None
        if entry.is_folder:
            raise self._failed(path, "it is a folder on the device")
        if not entry.is_file:
            raise self._failed(path, "it is no regular file on the device")
        return entry

    async def _receive(self, far: Sync, path: str, part: Path) -> Copied:
        digest, size = hashlib.sha256(), 0
        due = bytearray()
        file = await self._in_thread(create, part)

        def write(data: bytes) -> None:
            digest.update(data)
            file.write(data)

        async def take(data: bytes) -> None:
            nonlocal size
            size += len(data)
            due.extend(data)
            if len(due) >= CHUNK_BYTES:
                chunk = bytes(due)
                due.clear()
                await self._in_thread(write, chunk)

        def finish() -> None:
            write(bytes(due))
            file.flush()
            os.fsync(file.fileno())

        try:
            await far.receive(path, take)
            await self._in_thread(finish)
        finally:
            with CancelScope(shield=True), suppress(OSError):
                await to_thread.run_sync(file.close)
        return Copied(size, digest.hexdigest())

    async def _compare(self, path: str, entry: Entry, copied: Copied) -> None:
        if not self._same_size(entry, copied.size_bytes):
            why = f"it had {entry.size_bytes} bytes and {copied.size_bytes} came: it changed, or was cut short"
            raise self._failed(path, why)
        said = await self._session.link.run(f"sha256sum <{quote(path)}")
        words = said.text.split()
        if said.exit_code == 0 and words and words[0] != copied.sha256:
            raise self._failed(path, "what came is not what is on the device: it changed on the way, or meanwhile")

    # -------------------------------------------------------------------------------------------------------- both
    def _same_size(self, entry: Entry, size: int) -> bool:
        return entry.size_bytes == (size if self._knows_stat_2 else size & 0xFFFF_FFFF)

    def _failed(self, path: str, why: str) -> TransferError:
        return TransferError(self._session.device.device_id, path, why)

    async def _in_thread(self, function: Callable[..., T], *args: object) -> T:
        return await to_thread.run_sync(function, *args, limiter=self._session.threads)


def _move_script(part: str, target: str, sha256: str | None) -> str:
    """Puts a file in its place, if its hash is the right one."""
    check = ""
    if sha256 is not None:
        check = (
            f"h=$(sha256sum <{quote(part)} 2>/dev/null); h=${{h%% *}}\n"
            f"case $h in {sha256}) ;; '') exit {_NO_HASH};; "
            "*) echo 'what arrived is not what was sent' >&2; exit 4;; esac\n"
        )
    return f"{check}mv -f {quote(part)} {quote(target)}"
