"""Where a test keeps thousands of journals."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def swift(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is one: for tests whose disk is made of thousands of states, and never waits."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="galaxy-tests-", dir=memory))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
