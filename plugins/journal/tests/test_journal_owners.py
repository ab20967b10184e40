"""Folders of another user: what root leaves there is given to that user, who could neither read nor remove it otherwise."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from galaxy_core import Attempt, RunInfo, TaskStar
from galaxy_core.extension.adapter import owners
from galaxy_core.extension.adapter.folder import create
from galaxy_core.runtime.artifacts import Artifacts
from galaxy_core.runtime.control.place import control_folder
from galaxy_core.runtime.ledger import _keep_texts
from galaxy_core_journal import SqliteJournal, reading, writing
from galaxy_core_journal.places import default_folder

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away"),
]
SOMEBODY = 12345


async def keep_one(journal: SqliteJournal, run_id: str = "r") -> set[tuple[str, int]]:
    """What is there while it is written, and whose."""
    async with journal.open(RunInfo(run_id, "a run", [], {}, {})) as writer:
        await writer.write(["one"])
        return owned(journal.folder / run_id)


def owned(folder: Path) -> set[tuple[str, int]]:
    return {(path.name, path.lstat().st_uid) for path in (folder, *folder.rglob("*"))}


def given(folder: Path) -> Path:
    folder.mkdir(0o755)
    os.chown(folder, SOMEBODY, SOMEBODY)
    return folder


async def test_what_root_keeps_in_the_folder_of_somebody_else_is_theirs(tmp_path: Path) -> None:
    folder = given(tmp_path / "journal")
    names = {"r", "journal.db", "journal.db-wal", "journal.db-shm", "lock", "files", "run.json"}
    assert await keep_one(SqliteJournal(folder)) == {(name, SOMEBODY) for name in names}
    assert {uid for _, uid in owned(folder)} == {SOMEBODY}


async def test_a_run_of_somebody_else_is_resumed_and_removed_by_root_and_stays_theirs(tmp_path: Path) -> None:
    journal = SqliteJournal(given(tmp_path / "journal"))
    await keep_one(journal)
    (journal.folder / "r" / "lock").unlink()
    async with journal.reopen("r") as writer:
        await writer.write(["two"])
        assert {uid for _, uid in owned(journal.folder)} == {SOMEBODY}
    assert list(journal.read("r")) == ["one", "two"]
    journal.remove("r")
    assert journal.runs() == []


async def test_where_nothing_can_be_given_away_root_keeps_its_runs_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fchown(*given: int) -> None:
        raise PermissionError(1, "not permitted")

    journal = SqliteJournal(given(tmp_path / "journal"))
    monkeypatch.setattr(os, "fchown", fchown)
    await keep_one(journal)
    assert list(journal.read("r")) == ["one"]


async def test_where_every_file_belongs_to_one_user_whoever_makes_it_runs_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with NFS and root_squash: what root has made just now is somebody else's."""
    journal = SqliteJournal(given(tmp_path / "journal"))
    await keep_one(journal)
    for path in journal.folder.rglob("*"):
        os.chown(path, SOMEBODY + 1, SOMEBODY + 1)
    async with journal.reopen("r") as writer:
        await writer.write(["two"])
    assert list(journal.read("r")) == ["one", "two"]


async def test_folders_on_the_way_are_theirs_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with `sudo -E`, which keeps the variable."""
    state = given(tmp_path / "state")
    monkeypatch.delenv("GALAXY_JOURNAL", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    await keep_one(SqliteJournal())
    assert owned(state) >= {("galaxy", SOMEBODY), ("journal", SOMEBODY), ("order", SOMEBODY), ("r", SOMEBODY)}
    assert {uid for _, uid in owned(state)} == {SOMEBODY}


def test_files_that_tasks_bring_are_theirs(tmp_path: Path) -> None:
    place = Artifacts("r", given(tmp_path / "out"))
    with create(place(Attempt("r", TaskStar("a"), "d", 1, 1, None, None), "x")) as file:
        file.write(b"1")
    assert owned(tmp_path / "out") == {(name, SOMEBODY) for name in ("out", "r", "a", "x")}


def test_long_texts_are_theirs(tmp_path: Path) -> None:
    _keep_texts([(given(tmp_path / "files") / "texts" / "x", "long")])
    assert owned(tmp_path / "files") == {(name, SOMEBODY) for name in ("files", "texts", "x")}


def test_nothing_is_given_away_that_they_have_put_there(tmp_path: Path) -> None:
    secret, folder = tmp_path / "secret", given(tmp_path / "theirs")
    secret.write_text("x")
    (folder / "link").symlink_to(secret)
    (folder / "again").hardlink_to(secret)
    for name in ("link", "again"):
        owners.give(folder / name)
    assert secret.stat().st_uid == 0


async def test_what_they_have_put_in_the_place_of_a_lock_is_not_given_to_them(tmp_path: Path) -> None:
    """As with a file that root has left in a folder of theirs: they cannot read it, and they can give it another name."""
    journal = SqliteJournal(given(tmp_path / "journal"))
    await keep_one(journal)
    lock, secret = journal.folder / "r" / "lock", tmp_path / "secret"
    secret.write_text("x")
    secret.replace(lock)
    async with journal.reopen("r") as writer:
        await writer.write(["two"])
    assert lock.stat().st_uid == 0


async def test_a_folder_is_given_away_when_all_in_it_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has it could put a link where SQLite opens a file by its name."""
    folders: list[int] = []

    def connect(path: Path, *given: Any, **more: Any) -> Any:
        folders.append(path.parent.stat().st_uid)
        return reading.connect(path, *given, **more)

    monkeypatch.setattr(writing, "connect", connect)
    place = writing.create(given(tmp_path / "journal"), "r", 1)
    assert folders == [0]
    names = {"r", "journal.db", "files", "run.json"}
    assert owned(place.folder) == {(name, SOMEBODY) for name in names}


async def test_a_folder_in_which_others_may_write_is_shared_with_them(tmp_path: Path) -> None:
    folder = given(tmp_path / "journal")
    folder.chmod(0o1777)
    journal = SqliteJournal(folder)
    await keep_one(journal)
    assert journal.runs() == ["r"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GALAXY_JOURNAL", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "SUDO_UID"):
        monkeypatch.delenv(name, raising=False)
    home = given(tmp_path / "home")
    monkeypatch.setenv("HOME", str(home))
    return home


def test_the_home_that_sudo_has_kept_is_not_roots(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", str(SOMEBODY))
    assert default_folder() == Path("~root").expanduser() / ".local" / "state" / "galaxy" / "journal"
    os.chown(home, 0, 0)
    assert default_folder() == home / ".local" / "state" / "galaxy" / "journal"


async def test_a_home_that_a_container_sets_is_roots(home: Path) -> None:
    """Its folder is mounted from outside: elsewhere, all that is kept would go with the container."""
    journal = SqliteJournal()
    assert journal.folder == home / ".local" / "state" / "galaxy" / "journal"
    await keep_one(journal)
    assert {uid for _, uid in owned(home)} == {SOMEBODY}
    assert control_folder().name == "runs-0"
    os.chown(home, 0, 0)
    assert control_folder().name == "runs"
