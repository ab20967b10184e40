"""Pieces of files on their way, several requests at a time.

asyncssh does that, too, and leaves its requests to themselves when whoever waits for them is cancelled. So its files are
opened with `ONE_BY_ONE`, which has each call be one request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import asyncssh
from anyio import create_task_group

#: How much is on its way at once.
CHUNK_BYTES: Final = 1 << 20
#: The `block_size` of files that are read and written here.
ONE_BY_ONE: Final = 0
#: No server takes less in one request.
_LEAST_BYTES: Final = 4096


async def read(sftp: asyncssh.SFTPClient, file: asyncssh.SFTPClientFile, start: int) -> bytes:
    """Up to CHUNK_BYTES from `start` on; less only where the file ends."""
    found: dict[int, bytes] = {}

    async def block(begin: int, size: int) -> None:
        data = b""
        while len(data) < size and (more := await file.read(size - len(data), begin + len(data))):
            assert isinstance(more, bytes)  # they are opened without an encoding
            data += more
        found[begin] = data

    await _each(start, CHUNK_BYTES, sftp.limits.max_read_len, block)
    whole = bytearray()
    for begin in sorted(found):
        if start + len(whole) < begin:  # the file ends before
            break
        whole += found[begin]
    return bytes(whole)


async def write(sftp: asyncssh.SFTPClient, file: asyncssh.SFTPClientFile, data: bytes, start: int) -> None:
    """All of `data`, at `start`."""

    async def block(begin: int, size: int) -> None:
        await file.write(data[begin - start : begin - start + size], begin)

    await _each(start, len(data), sftp.limits.max_write_len, block)


async def _each(start: int, size: int, limit: int, block: Callable[[int, int], Awaitable[None]]) -> None:
    step, errors = min(max(limit, _LEAST_BYTES), CHUNK_BYTES), []

    async def guarded(begin: int, size: int) -> None:
        try:
            await block(begin, size)
        except (asyncssh.Error, OSError) as error:  # the first is raised below, and not in a group
            errors.append(error)
            tasks.cancel_scope.cancel()

    async with create_task_group() as tasks:
        for begin in range(start, start + size, step):
            tasks.start_soon(guarded, begin, min(step, start + size - begin))
    if errors:
        raise errors[0]
