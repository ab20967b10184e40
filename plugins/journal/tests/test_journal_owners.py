"""Folders of another user: what root leaves there, that user could neither read nor remove."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from galaxy_core import RunInfo
from galaxy_core.errors import JournalError
from galaxy_core_journal import SqliteJournal
from galaxy_core_journal.places import default_folder

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away"),
]
SOMEBODY = 12345


async def keep_one(journal: SqliteJournal) -> None:
    async with journal.open(RunInfo("r", "a run", [], {}, {})) as writer:
        await writer.write(["one"])


async def test_root_leaves_nothing_in_the_folder_of_somebody_else(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.mkdir(0o755)
    os.chown(folder, SOMEBODY, SOMEBODY)
    with pytest.raises(JournalError, match=r"belongs to the user with id 12345.*GALAXY_JOURNAL"):
        await keep_one(SqliteJournal(folder))
    assert list(folder.iterdir()) == []


async def test_a_folder_in_which_others_may_write_is_shared_with_them(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    folder.chmod(0o1777)
    os.chown(folder, SOMEBODY, SOMEBODY)
    journal = SqliteJournal(folder)
    await keep_one(journal)
    assert journal.runs() == ["r"]


def test_the_home_that_sudo_has_kept_is_not_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GALAXY_JOURNAL", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".local" / "state" / "galaxy" / "journal"
    os.chown(tmp_path, SOMEBODY, SOMEBODY)
    assert default_folder() == Path("~root").expanduser() / ".local" / "state" / "galaxy" / "journal"
