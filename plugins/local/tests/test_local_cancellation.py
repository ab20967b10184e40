"""A deadline or a cancellation ends the command with everything that it has started; its natural end does not."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from galaxy_core import Command
from galaxy_core_local import family

Execute = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.anyio


def sh(text: str, **more: Any) -> Command:
    return Command(None, text, **more)


#: Ways of getting away. Each prints the process id of who tries, and then stays.
STAY = "echo $$; exec sleep 1000"
WAYS = {
    "child": f"sh -c '{STAY}'",
    "background": f"sh -c '{STAY}' & wait",
    "own session": f"setsid sh -c '{STAY}' & wait",
    "own session, adopted by another": f"(setsid sh -c '{STAY}' &) ; sleep 1000",
    "own group": f"{sys.executable} -c \"import os; os.setpgid(0, 0); os.execlp('sh', 'sh', '-c', '{STAY}')\" & wait",
    "adopted by another, no environment": f"(env -i sh -c '{STAY}' &) ; sleep 1000",
    "no environment": f"env -i setsid sh -c '{STAY}' & wait",
    "deaf": "trap '' TERM; echo $$; while :; do sleep 1000; done",
    "deaf in its own session": "setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1000; done' & wait",
    "stopped": "sh -c 'kill -STOP $$; exec sleep 1000' & echo $!; wait",
}


def is_there(pid: int) -> bool:
    """Whether a process lives. One that nobody has waited for yet does not: its parent has ended, and init is slow."""
    entry = family.read_entry(pid)
    return entry is not None and not entry.is_zombie


def holds(pid: int, text: str) -> bool:
    """Whether a living process has `text` in its environment."""
    try:
        return text.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


class Listener:
    """Hears a command, and knows when it has said `lines` lines."""

    def __init__(self, lines: int = 1) -> None:
        self.heard = ""
        self.enough = anyio.Event()
        self._lines = lines

    def __call__(self, _stream: str, text: str) -> None:
        self.heard += text
        if self.heard.count("\n") >= self._lines:
            self.enough.set()

    @property
    def pids(self) -> list[int]:
        return [int(word) for word in self.heard.split() if word.isdigit()]


async def cancelled(execute: Execute, command: Command, listener: Listener, **settings: Any) -> None:
    """Cancel the command once it has been heard."""

    async def run() -> None:
        outcome = await execute(command, heard=listener, **settings)
        pytest.fail(f"it ended: {outcome}")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await listener.enough.wait()
        tasks.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def _no_child_is_left() -> Iterator[None]:
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("way", WAYS)
async def test_nobody_gets_away_from_a_cancelled_command(execute: Execute, way: str) -> None:
    listener = Listener()
    await cancelled(execute, sh(WAYS[way]), listener, kill_grace_s=0.1)
    (pid,) = listener.pids
    assert not is_there(pid)


async def test_a_deadline_ends_a_command_like_a_cancellation(execute: Execute) -> None:
    listener = Listener()
    with anyio.CancelScope() as scope:

        def hear(stream: str, text: str) -> None:
            listener(stream, text)
            scope.deadline = anyio.current_time()

        await execute(sh(WAYS["own session"]), heard=hear)
    assert scope.cancelled_caught
    (pid,) = listener.pids
    assert not is_there(pid)


async def test_a_command_is_asked_to_end_and_heard_to_its_last_word(execute: Execute, root: Path) -> None:
    listener = Listener()
    polite = (
        "trap 'head -c 500000 /dev/zero; echo bye; touch tidied; exit' TERM; echo ready; while :; do sleep 0.01; done"
    )
    await cancelled(execute, sh(polite), listener, kill_grace_s=30)
    assert listener.heard.endswith("bye\n")
    assert (root / "tidied").exists()


async def test_a_stopped_command_can_tidy_up_too(execute: Execute, root: Path) -> None:
    stopped = "trap 'touch tidied; exit' TERM; echo ready; kill -STOP $$; while :; do sleep 0.01; done"
    await cancelled(execute, sh(stopped), Listener(), kill_grace_s=30)
    assert (root / "tidied").exists()


async def test_whoever_is_started_while_the_command_ends_is_asked_too(execute: Execute, root: Path) -> None:
    (root / "last.sh").write_text("trap 'touch asked; exit' TERM; touch up; while :; do sleep 0.01; done")
    end = "setsid sh last.sh & until [ -e up ]; do sleep 0.01; done; exit"
    await cancelled(
        execute, sh(f"trap '{end}' TERM; echo ready; while :; do sleep 0.01; done"), Listener(), kill_grace_s=30
    )
    assert (root / "asked").exists()


async def test_without_grace_a_command_is_killed_at_once(execute: Execute, root: Path) -> None:
    listener = Listener()
    polite = "trap 'touch tidied; exit' TERM; echo ready; while :; do sleep 0.01; done"
    await cancelled(execute, sh(polite), listener, kill_grace_s=0)
    assert not (root / "tidied").exists()


async def test_a_cancelled_flood_with_unread_input_ends(execute: Execute) -> None:
    listener = Listener()
    flood = sh("echo $$; exec yes", stdin="x" * 1_000_000)
    await cancelled(execute, flood, listener, output_cap_bytes=1000)
    assert not is_there(int(listener.heard.split()[0]))


async def test_twenty_cancelled_commands_leave_nothing_behind(execute: Execute) -> None:
    await cancelled(execute, sh(WAYS["background"]), Listener())
    before = sorted(os.listdir("/proc/self/fd"))
    listener = Listener(lines=20)

    async def one() -> None:
        await execute(sh(WAYS["background"], stdin="unread"), heard=listener)

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(one)
        await listener.enough.wait()
        tasks.cancel_scope.cancel()
    await anyio.wait_all_tasks_blocked()
    assert len(listener.pids) == 20
    assert not any(is_there(pid) for pid in listener.pids)
    assert sorted(os.listdir("/proc/self/fd")) == before


async def test_a_neighbour_is_not_touched(execute: Execute) -> None:
    neighbour = Listener()
    async with anyio.create_task_group() as tasks:

        async def live() -> None:
            await execute(sh(WAYS["own session"]), heard=neighbour)

        tasks.start_soon(live)
        await neighbour.enough.wait()
        await cancelled(execute, sh(WAYS["own session"]), Listener())
        (pid,) = neighbour.pids
        assert is_there(pid)
        tasks.cancel_scope.cancel()
    assert not is_there(pid)


async def test_where_processes_cannot_be_found_their_group_is_ended(
    execute: Execute, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listener = Listener()
    with monkeypatch.context() as patched:
        patched.setattr(family, "PROC", tmp_path)
        await cancelled(execute, sh("echo $$; sh -c 'echo $$; exec sleep 1000' & wait"), Listener(2))
        await cancelled(execute, sh(WAYS["deaf"]), listener, kill_grace_s=0.1)
    (pid,) = listener.pids
    assert not is_there(pid)


async def test_cancelling_before_the_start_starts_nothing(execute: Execute, root: Path) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await execute(Command(["touch", "ran"]))
    assert not (root / "ran").exists()


async def test_a_command_can_be_cancelled_at_any_moment(execute: Execute, root: Path) -> None:
    """Whatever the moment: cancelled, it leaves no process and no file open behind; it may also have ended."""
    (root / "data").write_text("data")
    command = sh("setsid sh -c 'echo $$; sleep 0.02' & wait", files={"in": "data"}, outputs=["in"], stdin="x")
    before: list[str] = []
    for moment in range(60):

        async def run() -> None:
            await execute(command, env={"MOMENT": f"{root}"}, kill_grace_s=0.1)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            for _ in range(moment):
                await checkpoint()
            tasks.cancel_scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if holds(pid, str(root))] == []
        after = sorted(os.listdir("/proc/self/fd"))
        if moment > 40:
            assert after == before
        before = after


async def test_a_background_process_that_holds_the_output_does_not_hold_the_task(execute: Execute) -> None:
    outcome = await execute(sh("sleep 1000 & echo $!"), drain_s=0.05)
    assert (outcome.exit_code, outcome.error) == (0, None)
    assert outcome.metadata["background"].endswith("were ended")
    assert not is_there(int(outcome.stdout))


#: Has ended and been waited for when "gone" is heard, and leaves somebody behind who holds the output.
GONE = (
    "echo done; (while kill -0 $$ 2>/dev/null; do sleep 0.01; done; "
    "echo gone; echo $(sh -c 'echo $PPID'); exec sleep 1000) & "
)


@pytest.mark.parametrize("exit_code", [0, 3])
async def test_a_command_that_has_ended_is_not_stopped_any_more(execute: Execute, root: Path, exit_code: int) -> None:
    """A deadline or cancellation that comes while its output is drained only ends the draining."""
    listener = Listener(3)
    with anyio.CancelScope() as scope:

        def hear(stream: str, text: str) -> None:
            listener(stream, text)
            if listener.enough.is_set():
                scope.cancel()

        left = sh(GONE + f"touch left; exit {exit_code}", outputs=["left"])
        outcome = await execute(left, heard=hear, drain_s=3600)
    assert scope.cancel_called
    assert not scope.cancelled_caught
    assert (outcome.exit_code, outcome.error, list(outcome.files)) == (exit_code, None, ["left"])
    assert outcome.stdout.startswith("done\ngone\n")
    assert outcome.metadata["background"].endswith("were ended")
    (pid,) = listener.pids
    assert not is_there(pid)


async def test_what_is_in_the_pipe_of_a_command_that_has_ended_is_read(execute: Execute) -> None:
    listener = Listener()
    with anyio.CancelScope() as scope:

        def hear(stream: str, text: str) -> None:
            listener(stream, text)
            if not scope.cancel_called:
                until_ended(int(listener.heard.split()[0]))
                scope.cancel()

        outcome = await execute(sh("echo $$; head -c 300000 /dev/zero | tr '\\0' x | head -c 60000"), heard=hear)
    assert not scope.cancelled_caught
    assert outcome.stdout.endswith("x" * 60_000)


def until_ended(pid: int) -> None:
    """Wait until a child has ended, and leave it to others to fetch its exit code. Blocks the event loop."""
    with suppress(ChildProcessError):  # it has been fetched
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


async def test_a_cancelled_task_of_asyncio_ends_as_cancelled_even_then(
    execute: Execute, anyio_backend_name: str
) -> None:
    """Who swallowed that would take from the host what it asked for."""
    if anyio_backend_name != "asyncio":
        pytest.skip("there are no such tasks")
    import asyncio

    listener = Listener(3)

    async def run() -> None:
        await execute(sh(GONE), heard=listener, drain_s=3600)

    task = asyncio.create_task(run())
    await listener.enough.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (pid,) = listener.pids
    assert not is_there(pid)


async def test_what_left_the_session_and_holds_the_output_is_left_alone(execute: Execute) -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '1000'], start_new_session=True).pid)"
    outcome = await execute(Command([sys.executable, "-Wignore", "-c", code]), drain_s=0.05)
    pid = int(outcome.stdout)
    try:
        assert is_there(pid)
        assert outcome.metadata["background"].endswith("were left alone")
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_a_daemon_that_let_go_of_the_output_lives_on(execute: Execute) -> None:
    outcome = await execute(sh("sleep 1000 >/dev/null 2>&1 & echo $!"))
    pid = int(outcome.stdout)
    try:
        assert is_there(pid)
        assert "background" not in outcome.metadata
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_number_that_a_stranger_has_got_since_is_not_taken_for_the_command() -> None:
    us = family.read_entry(os.getpid())
    assert us is not None
    assert family.find(us.session, "no such mark", reaped=True, group_only=False) == []
    assert family.find(us.group, "no such mark", reaped=True, group_only=True) == []


def test_who_has_ended_and_only_waits_to_be_noticed_is_not_found() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {"MARK": "the mark"}, setsid=True)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert family.read_entry(pid) is not None
    assert family.find(pid, "the mark", reaped=False, group_only=False) == []
    os.waitpid(pid, 0)
    assert family.read_entry(pid) is None


def test_a_process_with_a_strange_name_is_read(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    pid = os.posix_spawn(program, [str(program), "1000"], os.environ)
    try:
        entry = family.read_entry(pid)
        assert entry is not None
        assert (entry.parent, entry.is_zombie) == (os.getpid(), False)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
