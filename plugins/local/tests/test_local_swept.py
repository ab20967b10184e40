"""Markers on this machine that are removed for their age: whenever that is cut off, nobody is told that what has started never did."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from galaxy_core import Refused
from galaxy_core.extension.adapter import marks
from galaxy_core_local import markers

from .left_behind import RUN, opened, restored

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform != "linux", reason="what runs is found in /proc")]
#: Of commands that have all started.
LEFT = {f"0000000{number}{suffix}" for number in range(1, 5) for suffix in (".pid", ".end")}


class CutError(BaseException):
    """Nothing comes after it."""


def make(folder: Path) -> Path:
    """What an old run has left, for which markers are expected; its folder."""
    run = folder / RUN
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    shutil.copy("/proc/sys/kernel/random/boot_id", run / "boot")
    for name in LEFT:
        (run / name).write_text("999999999\n" if name.endswith(".pid") else "exit 0\n")
    os.utime(run, (0, time.time() - (marks.KEPT_DAYS + 1) * 86400))
    return run


def sweep(folder: Path, monkeypatch: pytest.MonkeyPatch, removes: int) -> list[str]:
    """As far as it comes until it has removed so many files; their names."""
    gone: list[str] = []
    unlink = os.unlink

    def cut(path: Any, **more: Any) -> None:
        if len(gone) == removes:
            raise CutError
        unlink(path, **more)
        gone.append(os.path.basename(path))

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", cut)
        with suppress(CutError):
            markers._sweep(folder)
    return gone


async def test_whenever_removing_an_old_run_is_cut_off_nothing_is_said_to_have_never_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "marks"
    for removes in range(1, len(LEFT) + 2):
        run = make(folder)
        assert sweep(folder, monkeypatch, removes)[0] == "boot"
        async with opened(tmp_path) as session:
            for lease in (1, 4):
                found = await session.settle(restored("", lease))
                assert not isinstance(found, Refused), (removes, os.listdir(run) if run.exists() else None)


async def test_where_what_vouches_for_an_old_run_cannot_be_removed_the_rest_stays_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path)
    (run / "boot").unlink()
    (run / "boot").mkdir()
    os.utime(run, (0, 0))
    assert sweep(tmp_path, monkeypatch, 100) == []
    assert set(os.listdir(run)) == {*LEFT, "boot"}
