"""Bugs by which files beside the database are lost with the power, to be planted one at a time."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from galaxy_core.runtime import kept_files, ledger
from galaxy_core_journal import journal

from .journal_files import WatchedWriter

Plant = Callable[[pytest.MonkeyPatch], None]


class _System:
    """The module `os`, but that it does not wait for some of what it is told to wait for."""

    def __init__(self, *, waits_for_folders: bool) -> None:
        self._waits_for_folders = waits_for_folders

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fsync(self, descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) is self._waits_for_folders:
            os.fsync(descriptor)


def a_text_is_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    """A long value has its name, and nothing or a part is in it."""
    patch.setattr(ledger, "os", _System(waits_for_folders=True))


def the_name_of_a_text_is_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    """A long value is on the disk, and has no name."""
    patch.setattr(ledger, "sync_folder", lambda folder: None)


def a_file_of_a_task_is_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    """As with a text."""
    patch.setattr(kept_files, "os", _System(waits_for_folders=True))


def the_name_of_a_file_is_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    """As with a text."""
    patch.setattr(kept_files, "os", _System(waits_for_folders=False))


def the_folders_above_files_are_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    """A folder that was new is gone, with all that is in it."""
    patch.setattr(kept_files, "_sync_above", lambda folder: None)


def the_folder_of_all_runs_is_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    """The first run ever is gone, as if it had never been."""
    patch.setattr(journal, "make_root", lambda root: root.mkdir(0o700, parents=True, exist_ok=True))


def a_text_is_written_after_its_record(patch: pytest.MonkeyPatch) -> None:
    """A record names what is not there yet."""
    later, keep = list[Sequence[tuple[Path, str]]](), ledger._keep_texts
    patch.setattr(ledger, "_keep_texts", later.append)
    _after_writing(patch, lambda: [keep(texts) for texts in _all(later)])


def a_file_is_waited_for_after_its_record(patch: pytest.MonkeyPatch) -> None:
    """A record names what is not on the disk yet."""
    later, keep = list[Sequence[str]](), kept_files.keep_files

    def told(paths: Sequence[str]) -> dict[str, tuple[int, str]]:
        later.append(paths)
        read = {path: Path(path).read_bytes() for path in paths}
        return {path: (len(found), hashlib.sha256(found).hexdigest()) for path, found in read.items()}

    patch.setattr(ledger, "keep_files", told)
    _after_writing(patch, lambda: [keep(paths) for paths in _all(later)])


def _all(waiting: list[Any]) -> list[Any]:
    found = waiting[:]
    waiting.clear()
    return found


def _after_writing(patch: pytest.MonkeyPatch, work: Callable[[], object]) -> None:
    write = WatchedWriter.write

    async def written(self: WatchedWriter, records: Sequence[str], /) -> None:
        await write(self, records)
        work()

    patch.setattr(WatchedWriter, "write", written)


BUGS: dict[str, Plant] = {
    plant.__name__: plant
    for plant in (
        a_text_is_not_waited_for,
        the_name_of_a_text_is_not_waited_for,
        a_file_of_a_task_is_not_waited_for,
        the_name_of_a_file_is_not_waited_for,
        the_folders_above_files_are_not_waited_for,
        the_folder_of_all_runs_is_not_waited_for,
        a_text_is_written_after_its_record,
        a_file_is_waited_for_after_its_record,
    )
}
