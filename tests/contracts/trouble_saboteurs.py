"""Transports that break one clause each of those about trouble beside the link. Importing this registers them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from anyio.lowlevel import checkpoint

from galaxy_core.extension.adapter.sources import Sources
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Session
from galaxy_core.model.device import Device
from galaxy_core.testing.fakes import FakeTransport
from galaxy_core.testing.far_link import Link, LinkLostError
from galaxy_core.testing.far_session import FarSession
from galaxy_core.testing.far_side import PIECE_BYTES

from .saboteurs import breaks, litter


def part_of(source: str, number: int) -> bytes:
    return Path(source).read_bytes()[number * PIECE_BYTES :][:PIECE_BYTES]


@breaks("test_a_file_that_vanishes_while_it_is_pushed_is_pushed_whole_or_not_at_all")
class TakesItsEndForTheEnd(FarSession):
    async def push(self, attempt: Attempt, link: Link, source: str, target: str, mode: str | None = None) -> Outcome:
        path = self.far_path(target)
        pieces: list[bytes] = []
        with Sources(attempt, None).open(source):
            pass
        while True:
            try:
                piece = part_of(source, len(pieces))
            except FileNotFoundError:
                break
            if not piece:
                break
            pieces.append(piece)
            await checkpoint()
        attempt.sent()
        await link.send("push", path, pieces)
        return self.transferred(b"".join(pieces)) if (await link.receive())[0] == "pushed" else Completed(error="no")


@breaks("test_a_push_that_the_device_has_no_room_for_is_no_success")
class HearsNoFull(FarSession):
    def failed(self, path: str, why: str) -> Completed:
        return self.transferred(b"") if "'full'" in why else super().failed(path, why)


@breaks("test_a_pull_that_this_machine_has_no_room_for_is_no_success")
class KeepsWhatFits(FarSession):
    def failed(self, path: str, why: str) -> Completed:
        return self.transferred(b"") if "cannot be kept" in why else super().failed(path, why)


@breaks("test_a_session_that_is_cancelled_while_attempts_run_leaves_nothing")
class TidiesWithoutAShield(FakeTransport):
    @asynccontextmanager
    async def open(self, device: Device, settings: Any, /) -> AsyncIterator[Session]:
        assert self.far is not None
        before = len(self.far.processes)
        async with super().open(device, settings) as session:
            file = litter()
            try:
                yield session
            finally:
                if len(self.far.processes) > before:  # the clauses of connecting leave a session as they came
                    await checkpoint()
                file.unlink()


@breaks("test_a_device_that_does_not_let_us_in_is_not_stormed")
class Storms(FakeTransport):
    @asynccontextmanager
    async def open(self, device: Device, settings: Any, /) -> AsyncIterator[Session]:
        assert self.far is not None
        for _ in range(3):
            try:
                (await self.far.connect()).leave()
                break
            except LinkLostError:
                continue
        async with super().open(device, settings) as session:
            yield session
