"""Simulated phones behind a real adb server, and a client of that server that knows nothing of our adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from galaxy_core_adb.simulate.phone import Phone
from galaxy_core_adb.simulate.rig import Rig, phones

from .adb_asking import Said, Shell, said
from .adb_bench import Bench


@pytest.fixture
async def rig(anyio_backend: object) -> AsyncIterator[Rig]:
    """Two phones: `rig[0].serial`, `rig.port`."""
    async with phones(2) as rig:
        yield rig


@pytest.fixture
def phone(rig: Rig) -> Phone:
    """The first phone of `rig`."""
    return rig[0]


@pytest.fixture
def shell(rig: Rig) -> Shell:
    """``shell(script, stdin=None, phone=0)``: run in shell v2, and read to the end of the stream."""

    async def shell(script: str, stdin: bytes | None = None, phone: int = 0) -> Said:
        return await said(rig.port, rig[phone].serial, script, stdin)

    return shell


@pytest.fixture
def bench(rig: Rig, tmp_path: Path) -> Bench:
    """The phones of `rig`, and what it takes to run attempts on them through the adapter."""
    return Bench(rig, tmp_path)
