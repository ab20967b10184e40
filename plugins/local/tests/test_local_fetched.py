"""Files that a command has left, when nobody was there to fetch them, or there was no room for them."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from galaxy_core import (
    Attempt,
    Command,
    Completed,
    ConstellationDeviceManager,
    Device,
    Effect,
    Reference,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    TaskStarLine,
    Unknown,
)
from galaxy_core.extension.adapter import folder
from galaxy_core.testing.journals import MemoryJournal

from .left_behind import RUN, UNTIL_GO, killed_orchestrator, opened

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform != "linux", reason="what runs is found in /proc")]


def kept_in(root: Path) -> Callable[[Attempt, str], Path]:
    def place(_attempt: Attempt, name: str) -> Path:
        kept = root / "kept"
        kept.mkdir(exist_ok=True)
        return kept / name

    return place


def attempt_of(request: Command, root: Path, lease: int = 7) -> Attempt:
    given = (1, lease, request, None, None, kept_in(root), RUN)
    return Attempt("run", TaskStar("task", request=request), "here", *given, leaves_marker=True)


def later(request: Command, root: Path | None, lease: int = 7) -> Attempt:
    """As the process has it that resumes."""
    place = None if root is None else kept_in(root)
    return Attempt.restored("run", TaskStar("task", request=request), "here", 1, lease, f"{RUN}-{lease:08x}", place)


def sh(script: str, *outputs: str, **more: Any) -> Command:
    return Command(["/bin/sh", "-c", script], outputs=outputs, **more)


@contextmanager
def full_disk() -> Iterator[None]:
    """Every copy goes to a device that is always full, as the system has it."""

    def create(_path: Path) -> BinaryIO:
        return open("/dev/full", "wb")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(folder, "create", create)
        yield


async def test_files_of_a_command_whose_orchestrator_was_killed_are_fetched(tmp_path: Path) -> None:
    script = f"echo begun; {UNTIL_GO}; mkdir d; echo made >d/out"
    with killed_orchestrator(tmp_path, script):
        (tmp_path / "go").touch()
        async with opened(tmp_path) as session:
            found = await session.settle(later(sh(script, "d/out"), tmp_path))
    assert isinstance(found, Completed)
    assert (found.exit_code, found.error, found.stdout) == (0, None, "begun\n")
    assert found.files == {"d/out": str(tmp_path / "kept" / "d_out")}
    assert (tmp_path / "kept" / "d_out").read_text() == "made\n"
    assert found.metadata is not None
    assert found.metadata["settled"] is True
    assert found.metadata["collected"]["d/out"]["size_bytes"] == 5


@pytest.mark.parametrize(
    ("script", "outputs"),
    [
        ("mkdir in; echo made >in/a", ["a"]),
        ("echo made >a; exit 3", ["a"]),
        ("exit 3", ["a"]),
        ("echo made >a", ["a", "b"]),
        ("echo made >b; ln -s b a", ["a"]),
    ],
)
async def test_what_was_left_is_settled_as_if_somebody_had_been_there(
    tmp_path: Path, script: str, outputs: list[str]
) -> None:
    request = sh(script, *outputs)
    async with opened(tmp_path) as session:
        done = await session.execute(attempt_of(request, tmp_path))
        shutil.rmtree(tmp_path / "kept")
        found = await session.settle(later(request, tmp_path))
    assert isinstance(done, Completed)
    assert isinstance(found, Completed)
    assert (found.exit_code, found.error, found.files) == (done.exit_code, done.error, done.files)
    for name in ("collected", "not_collected"):
        assert (found.metadata or {}).get(name) == (done.metadata or {}).get(name)
    if found.files:
        assert sorted(one.read_text() for one in (tmp_path / "kept").iterdir()) == ["made\n"]


async def test_they_are_fetched_from_the_working_folder_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    request = sh("echo made >out", "out", cwd="in")
    async with opened(tmp_path) as session:
        await session.execute(attempt_of(request, tmp_path))
        shutil.rmtree(tmp_path / "kept")
        found = await session.settle(later(request, tmp_path))
    assert isinstance(found, Completed)
    assert (tmp_path / "kept" / "out").read_text() == "made\n"


async def test_of_another_life_of_the_machine_files_are_not_fetched(tmp_path: Path) -> None:
    async with opened(tmp_path) as session:
        for script in ("echo made >out", "echo made >out; exit 3"):
            request, lease = sh(script, "out"), 7 if script.endswith("out") else 8
            attempt = attempt_of(request, tmp_path, lease)
            await session.execute(attempt)
            shutil.rmtree(tmp_path / "kept")
            (tmp_path / "marks" / RUN / "boot").write_text("another\n")
            found = await session.settle(later(request, tmp_path, lease))
            assert not (tmp_path / "kept").exists()
            if lease == 7:
                assert isinstance(found, Unknown)
                assert "'out') need not be whole" in found.reason
            else:
                assert isinstance(found, Completed)
                assert (found.exit_code, found.files) == (3, None)


async def test_a_success_without_a_place_for_its_files_is_unknown(tmp_path: Path) -> None:
    request = sh("echo made >out", "out")
    async with opened(tmp_path) as session:
        await session.execute(attempt_of(request, tmp_path))
        found = await session.settle(later(request, None))
    assert isinstance(found, Unknown)
    assert "keeps no files" in found.reason
    assert found.said is not None
    assert found.said.exit_code == 0


def no_room(_attempt: Attempt, name: str) -> Path:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)


@pytest.mark.parametrize("exit_code", [0, 3])
async def test_files_for_which_no_folder_can_be_made_are_fetched_later(tmp_path: Path, exit_code: int) -> None:
    request = sh(f"echo made >out; exit {exit_code}", "out")
    async with opened(tmp_path) as session:
        await session.execute(attempt_of(request, tmp_path))
        asked = Attempt.restored("run", TaskStar("task", request=request), "here", 1, 7, f"{RUN}-00000007", no_room)
        without = await session.settle(asked)
        found = await session.settle(later(request, tmp_path))
    assert isinstance(without, Completed if exit_code else Unknown)
    said = without.said if isinstance(without, Unknown) else without
    assert said is not None
    assert (said.exit_code, said.error) == (exit_code, None)
    assert "No space left" in (said.metadata or {})["not_collected"]["out"]
    assert isinstance(found, Completed)
    assert set(found.files or ()) == {"out"}


async def test_a_full_disk_of_ours_is_no_failure_of_the_command_and_its_files_are_fetched_later(tmp_path: Path) -> None:
    request = sh("echo said; echo made >out", "out")
    async with opened(tmp_path) as session:
        with full_disk():
            done = await session.execute(attempt_of(request, tmp_path))
            again = await session.settle(later(request, tmp_path))
        found = await session.settle(later(request, tmp_path))
    for each in (done, again):
        assert isinstance(each, Unknown)
        assert "No space left" in each.reason
        assert repr(str(tmp_path / "kept")) in each.reason
        assert each.said is not None
        assert (each.said.exit_code, each.said.error, each.said.stdout) == (0, None, "said\n")
    assert isinstance(found, Completed)
    assert (found.error, set(found.files or ())) == (None, {"out"})


async def test_a_folder_of_ours_that_is_gone_is_no_failure_of_the_command(tmp_path: Path) -> None:
    request = sh("rm -r kept; echo made >out", "out")
    async with opened(tmp_path) as session:
        done = await session.execute(attempt_of(request, tmp_path))
    assert isinstance(done, Unknown)
    assert "No such file" in done.reason


async def test_a_file_that_cannot_be_read_is_a_failure_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened_inside = folder._open

    def broken(where: Path, parts: Any) -> Any:
        if parts == ("out",):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return opened_inside(where, parts)

    monkeypatch.setattr(folder, "_open", broken)
    async with opened(tmp_path) as session:
        done = await session.execute(attempt_of(sh("echo made >out", "out"), tmp_path))
    assert isinstance(done, Completed)
    assert "Input/output error" in str(done.error)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN])
async def test_what_this_machine_has_run_out_of_is_no_failure_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def broken(_where: Path, _parts: Any) -> Any:
        raise OSError(number, os.strerror(number))

    request = sh("echo made >out", "out")
    async with opened(tmp_path) as session:
        with monkeypatch.context() as patched:
            patched.setattr(folder, "_open", broken)
            done = await session.execute(attempt_of(request, tmp_path))
        found = await session.settle(later(request, tmp_path))
    assert isinstance(done, Unknown)
    assert os.strerror(number) in done.reason
    assert isinstance(found, Completed)
    assert set(found.files or ()) == {"out"}


@pytest.mark.parametrize(("script", "exit_code"), [("echo made >a", 0), ("echo made >a; exit 3", 3)])
async def test_a_failure_stays_one_without_room_for_its_files(tmp_path: Path, script: str, exit_code: int) -> None:
    async with opened(tmp_path) as session:
        with full_disk():
            done = await session.execute(attempt_of(sh(script, "a", "missing"), tmp_path))
    assert isinstance(done, Completed)
    assert done.exit_code == exit_code
    assert (done.metadata or {})["not_collected"].keys() == {"a", "missing"}


def plan_in(root: Path, effect: Effect) -> TaskConstellation:
    plan = TaskConstellation()
    make = sh('echo o >>log; [ "$(wc -l <log)" -lt 3 ] || rm -f full; echo made >out', "out")
    plan.add_task(TaskStar("make", request=make, effect=effect))
    plan.add_task(TaskStar("read", request=Command(["cat", Reference("make", "file.out")])))
    plan.add_task(TaskStar("more", request=Command(["true"])))
    for name in ("read", "more"):
        plan.add_dependency(TaskStarLine.create_success_only("make", name))
    (root / "full").touch()
    return plan


def while_full(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    created = folder.create

    def create(path: Path) -> BinaryIO:
        return open("/dev/full", "wb") if (root / "full").exists() else created(path)

    monkeypatch.setattr(folder, "create", create)


async def test_a_run_without_room_for_files_is_stopped_and_whoever_resumes_it_fetches_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    while_full(tmp_path, monkeypatch)
    plan, journal = plan_in(tmp_path, Effect.ONCE), MemoryJournal()
    async with ConstellationDeviceManager() as devices:
        devices.add_device(Device("here", settings={"root": str(tmp_path), "marks": str(tmp_path / "marks")}))
        orchestrator = TaskConstellationOrchestrator(devices, journal=journal, artifacts=tmp_path / "files")
        found = await orchestrator.orchestrate_constellation(plan, assignment_strategy="round_robin")
        still = await orchestrator.resume(plan.constellation_id)
        (tmp_path / "full").unlink()
        after = await orchestrator.resume(plan.constellation_id)
    assert [one["status"] for one in (found, still, after)] == ["stopped", "stopped", "completed"]
    assert "what task 'make' has left on 'here' cannot be kept" in caplog.text
    assert after["results"]["read"].stdout == "made\n"
    assert (tmp_path / "log").read_text() == "o\n"


async def test_a_run_that_is_resumed_where_no_folder_can_be_made_stays_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    while_full(tmp_path, monkeypatch)
    plan, journal, taken = plan_in(tmp_path, Effect.ONCE), MemoryJournal(), tmp_path / "taken"
    taken.mkdir()
    (taken / plan.constellation_id).touch()
    async with ConstellationDeviceManager() as devices:
        devices.add_device(Device("here", settings={"root": str(tmp_path), "marks": str(tmp_path / "marks")}))
        orchestrators = [
            TaskConstellationOrchestrator(devices, journal=journal, artifacts=one)
            for one in (taken, tmp_path / "files")
        ]
        await orchestrators[1].orchestrate_constellation(plan, assignment_strategy="round_robin")
        (tmp_path / "full").unlink()
        found = [await one.resume(plan.constellation_id) for one in orchestrators]
    assert [one["status"] for one in found] == ["stopped", "completed"]
    assert (tmp_path / "log").read_text() == "o\n"


async def test_without_a_journal_nobody_knows_of_a_command_without_room_for_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    while_full(tmp_path, monkeypatch)
    async with ConstellationDeviceManager() as devices:
        devices.add_device(Device("here", settings={"root": str(tmp_path), "marks": str(tmp_path / "marks")}))
        orchestrator = TaskConstellationOrchestrator(devices)
        found = await orchestrator.orchestrate_constellation(
            plan_in(tmp_path, Effect.ONCE), assignment_strategy="round_robin"
        )
    assert found["results"]["make"].status.value == "unknown"
    assert "No space left" in str(found["results"]["make"].error)
    assert found["results"]["make"].exit_code == 0


async def test_what_may_run_again_does_until_there_is_room_for_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    while_full(tmp_path, monkeypatch)
    async with ConstellationDeviceManager() as devices:
        devices.add_device(Device("here", settings={"root": str(tmp_path), "marks": str(tmp_path / "marks")}))
        orchestrator = TaskConstellationOrchestrator(devices, journal=MemoryJournal(), artifacts=tmp_path / "files")
        found = await orchestrator.orchestrate_constellation(
            plan_in(tmp_path, Effect.IDEMPOTENT), assignment_strategy="round_robin"
        )
    assert found["status"] == "completed"
    assert found["results"]["read"].stdout == "made\n"
    assert (tmp_path / "log").read_text() == "o\no\no\n"
