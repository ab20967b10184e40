"""Markers on a simulated Windows host: what is found out about commands and scripts whose orchestrator or link is gone."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import anyio
import pytest

from galaxy_core import Action, Attempt, Command, Completed, Refused, TaskStar, Unknown
from galaxy_core.extension.interfaces import Outcome
from galaxy_core_winrm import markers
from galaxy_core_winrm.facts import ask_script
from galaxy_core_winrm.simulate.host import WindowsHost, windows_host

from .conftest import Desk

pytestmark = pytest.mark.anyio

#: An orchestrator in a process of its own; it says so when its command has begun.
ORCHESTRATOR = """
import anyio, sys
from galaxy_core import Attempt, Command, Device, TaskStar
from galaxy_core_winrm.transport import WinrmTransport
endpoint, username, password, run, text = sys.argv[1:]
async def main():
    request = Command(None, text)
    hear = lambda attempt, stream, text: print(text, end="", flush=True)
    attempt = Attempt("run", TaskStar("task", request=request), "office", 1, 7, request, None, hear, None, run,
                      leaves_marker=True)
    transport = WinrmTransport()
    settings = transport.settings_model(endpoint=endpoint, username=username, password=password)
    async with transport.open(Device("office", "winrm"), settings) as session:
        await session.expect(run)
        print(await session.execute(attempt))
anyio.run(main)
"""


class Marked:
    """Attempts of one run that leave markers."""

    def __init__(self) -> None:
        self.run = token_hex(8)

    def attempt(self, request: Any, lease: int = 7) -> Attempt:
        task = TaskStar("task", request=request)
        return Attempt("run", task, "office", 1, lease, request, None, None, None, self.run, leaves_marker=True)

    def restored(self, request: Any = None, lease: int = 7) -> Attempt:
        task = TaskStar("task", request=request or Command(None, "echo"))
        return Attempt.restored("run", task, "office", 1, lease, f"{self.run}-{lease:08x}")

    def folder(self, host: WindowsHost) -> Path:
        return host.computer.folder / "c/Users" / host.username / "AppData/Local/galaxy/marks" / self.run


@pytest.fixture
def marked() -> Marked:
    return Marked()


def shown(outcome: Outcome) -> tuple[Any, ...]:
    assert isinstance(outcome, Completed), outcome
    return outcome.exit_code, outcome.stdout, outcome.stderr


@pytest.mark.parametrize(
    "request_",
    [
        Command(None, "echo a& echo b>&2& exit 3"),
        Command(None, 'echo "a & b" ^& c %USERNAME% & exit /b 4'),
        Command(None, '"echo" x', env={"A": "1"}),
        Command(None, "exit 70000"),
        Command(None, "no-such-program-at-all"),
        Command(["echo", "a b", "c"]),
        Command(["cat"], stdin="line é\nline 2\n"),
        Command(["printf", "[%s]", 'a"b', "%USERNAME%", "", "\\", "é\n"]),
        Command(["sh", "-c", "pwd | sed 's#.*/c/#/c/#'"], cwd="C:\\Windows"),
        Action("powershell", {"script": "Write-Output 'out'; Write-Warning 'careful'; exit 5"}),
    ],
    ids=str,
)
async def test_with_a_marker_everything_runs_as_without(
    desk: Desk, host: WindowsHost, marked: Marked, request_: Any
) -> None:
    async with desk.open(host) as session:
        await session.expect(marked.run)
        plain = shown(await desk.run(session, request_))
        assert shown(await session.execute(marked.attempt(request_))) == plain
        found = await session.settle(marked.restored(request_))
        assert isinstance(found, Completed)
        assert (found.exit_code, found.stdout, found.metadata) == (plain[0], None, {"settled": True})
        session.release(marked.restored().mark)
    assert not await host.remains()


@asynccontextmanager
async def killed_orchestrator(host: WindowsHost, run: str, text: str) -> AsyncIterator[None]:
    words = [sys.executable, "-c", ORCHESTRATOR, host.endpoint, host.username, host.password, run, text]
    async with await anyio.open_process(words) as process:
        assert process.stdout is not None
        said = b""
        with anyio.fail_after(30):
            while b"begun" not in said:
                said += await process.stdout.receive()
        process.kill()
        await process.wait()
    yield


async def test_a_command_whose_orchestrator_was_killed_goes_on_and_is_settled(
    desk: Desk, host: WindowsHost, marked: Marked, tmp_path: Path
) -> None:
    go, effects = tmp_path / "go", tmp_path / "effects"
    script = f"echo begun; while [ ! -e {go} ]; do sleep 0.02; done; echo effect >>{effects}; exit 3"
    text = f"sh -c '{script}'".replace("'", '"')
    found: list[Outcome] = []
    async with (
        killed_orchestrator(host, marked.run, text),
        desk.open(host) as session,
        anyio.create_task_group() as group,
    ):

        async def settle() -> None:
            found.append(await session.settle(marked.restored()))

        group.start_soon(settle)
        go.touch()
    assert found == [Completed(exit_code=3, metadata={"settled": True})]
    assert effects.read_text() == "effect\n"


@pytest.mark.parametrize("leaves_marker", [True, False])
async def test_a_command_whose_orchestrator_was_killed_can_be_stopped(
    desk: Desk, host: WindowsHost, marked: Marked, leaves_marker: bool
) -> None:
    text = 'sh -c "echo begun; sleep 1000 & wait"'
    async with killed_orchestrator(host, marked.run, text), desk.open(host) as session:
        attempt = marked.restored()
        attempt.leaves_marker = leaves_marker
        assert (await host.truth(attempt.mark)).running
        await session.stop(attempt)
        assert attempt.partial is None
        assert not (await host.truth(attempt.mark)).running
        found = await session.settle(marked.restored())
        assert isinstance(found, Unknown)
        assert "without saying how" in found.reason


async def test_when_asking_about_a_command_fails_it_goes_on(
    desk: Desk, host: WindowsHost, marked: Marked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(host: Any, program: str, name: str, parameters: Any) -> dict[str, Any]:
        if name == "settle":
            raise OSError(24, "Too many open files")
        return await ask_script(host, program, name, parameters)

    go = tmp_path / "go"
    script = f'sh -c "echo begun; while [ ! -e {go} ]; do sleep 0.02; done; exit 4"'
    async with killed_orchestrator(host, marked.run, script), desk.open(host) as session:
        attempt = marked.restored()
        with monkeypatch.context() as patched:
            patched.setattr(markers, "ask_script", failing)
            with pytest.raises(OSError, match="open files"):
                await session.settle(attempt)
        assert attempt.partial is None
        assert (await host.truth(attempt.mark)).running
        go.touch()
        assert await session.settle(attempt) == Completed(exit_code=4, metadata={"settled": True})


async def test_what_goes_on_without_its_link_is_left_alone_until_it_is_asked_for(
    desk: Desk, host: WindowsHost, marked: Marked, tmp_path: Path
) -> None:
    say, go = tmp_path / "say", tmp_path / "go"
    waits = "while [ ! -e {} ]; do sleep 0.02; done"
    request = Command(None, f'sh -c "{waits.format(say)}; echo said; {waits.format(go)}; exit 4"')
    async with desk.open(host) as session:
        await session.expect(marked.run)
        async with anyio.create_task_group() as group:
            outcomes: list[Outcome] = []

            async def execute() -> None:
                outcomes.append(await session.execute(marked.attempt(request)))

            group.start_soon(execute)
            await desk.until((marked.folder(host) / "00000007.start").exists)
            await host.inject("disconnect", "middle")
            say.touch()
            await desk.until(lambda: outcomes)
            await host.heal()
        assert isinstance(outcomes[0], Unknown)
        assert shown(await desk.run(session, Command(None, "echo between")))[0] == 0
        assert (await host.truth(marked.restored().mark)).running
        go.touch()
        found = await session.settle(marked.restored())
        session.release(marked.restored().mark)
    assert found == Completed(exit_code=4, metadata={"settled": True})
    assert not await host.remains()


async def test_of_a_run_that_is_expected_a_missing_marker_says_that_nothing_has_started(
    desk: Desk, host: WindowsHost, marked: Marked
) -> None:
    async with desk.open(host) as session:
        assert isinstance(await session.settle(marked.restored()), Unknown)
        await session.expect(marked.run)
        assert isinstance(await session.settle(marked.restored()), Refused)
        assert isinstance(await session.execute(marked.attempt(Command(None, "echo late"))), Refused)


@pytest.mark.parametrize("harm", ["another life", "removed", "removed, and used again"])
async def test_that_a_marker_is_not_there_proves_nothing_by_itself(
    desk: Desk, host: WindowsHost, marked: Marked, harm: str
) -> None:
    async with desk.open(host) as session:
        await session.expect(marked.run)
        boot = marked.folder(host) / "boot"
        boot.unlink()
        if harm == "another life":
            boot.write_text("another\r\n")
        else:
            marked.folder(host).rmdir()
        if harm == "removed, and used again":
            await session.execute(marked.attempt(Command(None, "echo"), lease=8))
        found = await session.settle(marked.restored())
    assert isinstance(found, Unknown)
    assert "may have been removed" in found.reason


@pytest.mark.parametrize("text", ["", "exit", "exit 0", "exit zero\r\n", "exit 1 2\r\n", "\0\r\n"])
async def test_a_marker_that_is_torn_says_nothing(desk: Desk, host: WindowsHost, marked: Marked, text: str) -> None:
    async with desk.open(host) as session:
        await session.expect(marked.run)
        (marked.folder(host) / "00000007.start").write_text("started\r\n")
        (marked.folder(host) / "00000007.end").write_text(text)
        assert isinstance(await session.settle(marked.restored()), Unknown)


async def test_a_marker_that_was_only_begun_is_unknown(desk: Desk, host: WindowsHost, marked: Marked) -> None:
    async with desk.open(host) as session:
        await session.expect(marked.run)
        (marked.folder(host) / "00000007.start").touch()
        found = await session.settle(marked.restored())
    assert isinstance(found, Unknown)
    assert "in the moment in which it began" in found.reason


async def test_a_program_that_is_not_there_is_refused(desk: Desk, host: WindowsHost, marked: Marked) -> None:
    async with desk.open(host) as session:
        await session.expect(marked.run)
        outcome = await session.execute(marked.attempt(Command(["no-such-program", "%X%"])))
        assert isinstance(outcome, Refused)
        assert isinstance(await session.settle(marked.restored()), Refused)


async def test_released_markers_go_beside_the_next_command(desk: Desk, host: WindowsHost, marked: Marked) -> None:
    def left() -> Sequence[str]:
        return sorted(path.name for path in marked.folder(host).iterdir())

    async with desk.open(host) as session:
        await session.expect(marked.run)
        await session.execute(marked.attempt(Command(None, "echo")))
        assert left() == ["00000007.end", "00000007.start", "boot"]
        session.release(marked.restored().mark)
        await session.execute(marked.attempt(Command(None, "echo"), lease=8))
        assert left() == ["00000008.end", "00000008.start", "boot"]
    assert left() == ["00000008.end", "00000008.start", "boot"], "that one may still be asked for"


async def test_old_markers_are_removed(desk: Desk, host: WindowsHost, marked: Marked) -> None:
    old = marked.folder(host).with_name("old")
    old.mkdir(parents=True)
    (old / "00000001.start").touch()
    week_ago = time.time() - 8 * 86400
    os.utime(old, (week_ago, week_ago))
    async with desk.open(host) as session:
        await session.expect(marked.run)
    assert not old.exists()


async def test_where_there_is_no_powershell_there_are_no_markers(desk: Desk, marked: Marked) -> None:
    async with windows_host(powershell="/bin/false") as host, desk.open(host) as session:
        await session.expect(marked.run)
        assert shown(await session.execute(marked.attempt(Command(None, "echo x"))))[:2] == (0, "x\r\n")
        found = await session.settle(marked.restored())
        assert isinstance(found, Unknown)
        assert "PowerShell" in found.reason
        attempt = marked.restored()
        await session.stop(attempt)
        assert isinstance(attempt.partial, Unknown)


async def test_a_host_that_does_not_as_it_is_told_is_not_entrusted_with_markers(
    desk: Desk, host: WindowsHost, marked: Marked, caplog: pytest.LogCaptureFixture
) -> None:
    """Its PowerShell says what it is, and makes no files, as one that is restricted may do."""
    program = host.computer.folder / "bin/powershell.exe"
    able = program.rename(program.with_name("able"))
    look = 'IFS= read -r line; case $(echo "$line" | base64 -d) in *CreateNew*) echo restricted >&2; exit 1;; esac'
    program.write_text(f'#!/bin/sh\n{look}\necho "$line" | {able} "$@"\n')
    program.chmod(0o755)
    async with desk.open(host) as session:
        await session.expect(marked.run)
        assert shown(await session.execute(marked.attempt(Command(None, "echo x"))))[:2] == (0, "x\r\n")
    assert "commands leave no markers, because a trial failed" in caplog.text
    assert "restricted" in caplog.text


async def test_files_leave_no_markers(desk: Desk, host: WindowsHost, marked: Marked) -> None:
    (desk.root / "file").write_text("x")
    push = Action("push", {"source": "file", "target": "file"})
    async with desk.open(host) as session:
        assert isinstance(await session.execute(marked.attempt(push)), Completed)
        assert isinstance(await session.settle(marked.restored(push)), Unknown)


async def test_what_was_begun_without_a_marker_is_not_let_go_when_a_trial_succeeds_meanwhile(
    desk: Desk, host: WindowsHost, marked: Marked, tmp_path: Path
) -> None:
    go, begun = tmp_path / "go", anyio.Event()
    attempt = marked.attempt(Command(None, f'sh -c "while [ ! -e {go} ]; do sleep 0.02; done"'))
    attempt._on_progress = lambda one: begun.set() if one.progress == "acknowledged" else None
    async with desk.open(host) as session:
        await session.expect(marked.run)
        assert session.lets_go(attempt)  # it has not begun
        debts = session._host.shells.debts
        debts.has_markers, session.markers._is_tried = False, True
        async with anyio.create_task_group() as group:
            group.start_soon(session.execute, attempt)
            with anyio.fail_after(20):
                await begun.wait()
            debts.has_markers = True
            assert not session.lets_go(attempt)
            assert session.lets_go(marked.attempt(attempt.request, lease=8))
            go.touch()
