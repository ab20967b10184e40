"""What is stopped is stopped on the phone, and what cannot be vouched for is never called anything but unknown."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from galaxy_core import Command, TaskStar
from galaxy_core.errors import DeviceLostError
from galaxy_core.extension.adapter.posix import kill_script
from galaxy_core.extension.interfaces import Attempt, Completed, Refused, Unknown
from galaxy_core_adb.link import Link, Said
from galaxy_core_adb.session import AdbSession

from .adb_bench import Bench, until

#: Ways of getting away. Each stays.
WAYS = {
    "child": "sh -c 'echo on; sleep 1000'",
    "background": "sh -c 'echo on; exec sleep 1000' & wait",
    "own session": "setsid sh -c 'echo on; sleep 1000' & wait",
    "deaf": "trap '' TERM; echo on; while :; do sleep 1000; done",
    "no environment, own session": "env -i setsid sh -c 'echo on; sleep 1000' & wait",
    "stopped": "sh -c 'echo on; kill -STOP $$; sleep 1000' & wait",
}


def sh(text: str) -> Command:
    return Command(None, text)


async def interrupted(bench: Bench, session: AdbSession, attempt: Attempt, before: Callable[[], object]) -> float:
    """Run it, cancel it once it has been heard and `before` was called; how long it took from then on."""
    heard = anyio.Event()
    bench.on_output = heard.set
    began = 0.0
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.execute, attempt)
            await heard.wait()
            before()
            began = anyio.current_time()
            scope.cancel()
    return anyio.current_time() - began


@pytest.mark.anyio
@pytest.mark.parametrize("way", WAYS)
async def test_nobody_gets_away_from_a_cancelled_command(bench: Bench, way: str) -> None:
    async with bench.open() as session:
        attempt = bench.attempt(sh(WAYS[way]))
        await interrupted(bench, session, attempt, lambda: None)
        assert isinstance(attempt.partial, Completed)
        assert (attempt.partial.stdout, attempt.partial.exit_code) == ("on\n", None)
        assert not (await bench.phone.truth(attempt.mark)).running
        assert await bench.phone.remains() == []


@pytest.mark.anyio
async def test_a_command_that_is_cancelled_before_it_is_acknowledged_has_not_got_away_either(bench: Bench) -> None:
    async with bench.open(kill_grace_s=0) as session:
        for milliseconds in range(20):
            attempt = bench.attempt(sh("sleep 1000; echo"))
            with anyio.move_on_after(milliseconds / 1000):
                await session.execute(attempt)
            assert not (await bench.phone.truth(attempt.mark)).running, milliseconds
    assert await bench.phone.remains() == []


@pytest.mark.anyio
async def test_a_cancelled_flood_ends(bench: Bench) -> None:
    async with bench.open() as session:
        attempt = bench.attempt(Command(None, "exec yes", stdin="x" * 1_000_000))
        await interrupted(bench, session, attempt, lambda: None)
    assert await bench.phone.remains() == []


@pytest.mark.anyio
async def test_others_go_on_when_one_is_cancelled(bench: Bench) -> None:
    outcome: list[object] = []

    async def other() -> None:
        outcome.append(await session.execute(bench.attempt(sh("until [ -e go ]; do sleep 0.01; done; echo done"))))

    async with bench.open() as session, anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        await interrupted(bench, session, bench.attempt(sh(WAYS["child"])), lambda: None)
        bench.far("go").touch()
    (done,) = outcome
    assert isinstance(done, Completed)
    assert done.stdout == "done\n"


@pytest.mark.anyio
async def test_a_frozen_phone_cannot_confirm_and_is_tidied_up_when_it_answers_again(bench: Bench) -> None:
    async with bench.open() as session:
        attempt = bench.attempt(sh(WAYS["child"]))
        took_s = await interrupted(bench, session, attempt, bench.phone.freeze)
        assert isinstance(attempt.partial, Unknown)
        assert "did not confirm" in attempt.partial.reason
        assert attempt.partial.said is not None
        assert attempt.partial.said.stdout == "on\n"
        assert took_s < 5  # the bound is 0.8 s; a busy machine may add to it
        bench.phone.thaw()
        await session.probe()
        assert not (await bench.phone.truth(attempt.mark)).running
        await until(lambda: _empty(bench))


async def _empty(bench: Bench) -> bool:
    return await bench.phone.remains() == []


@pytest.mark.anyio
async def test_what_was_left_is_ended_before_the_next_attempt(bench: Bench) -> None:
    async with bench.open() as session:
        attempt = bench.attempt(sh(WAYS["child"]))
        bench.phone.misbehave("hang", "start", on="find_()")  # the script that ends processes is never begun
        await interrupted(bench, session, attempt, lambda: None)
        assert isinstance(attempt.partial, Unknown)
        assert (await bench.phone.truth(attempt.mark)).running
        done = await session.execute(bench.attempt(sh("cat /proc/[0-9]*/environ | tr '\\0' '\\n'")))
        assert isinstance(done, Completed)
        assert attempt.mark not in str(done.stdout)


def test_a_shell_that_has_not_come_to_its_command_yet_is_found_too() -> None:
    """Its environment does not show the mark: that is the moment in which a cancelled attempt could get away."""
    script = "export GALAXY_MARK=0011-22; read line; exec sleep 1000"
    with subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.PIPE) as shell:
        try:
            subprocess.run(["/bin/sh", "-c", kill_script("0011-22")], check=True, timeout=10)
            assert shell.wait(5) == -signal.SIGTERM
        finally:
            shell.kill()


@pytest.mark.anyio
async def test_a_lost_link_is_unknown_with_what_was_said_and_is_tidied_up_by_the_next_session(bench: Bench) -> None:
    heard = anyio.Event()
    bench.on_output = heard.set
    outcome: list[object] = []

    async def run() -> None:
        outcome.append(await session.execute(attempt))

    async with bench.open() as session:
        attempt = bench.attempt(sh("trap '' HUP; echo on; sleep 1000"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await heard.wait()
            bench.phone.unplug()
    (unknown,) = outcome
    assert isinstance(unknown, Unknown)
    assert unknown.said is not None
    assert (unknown.said.stdout, unknown.said.exit_code) == ("on\n", None)
    assert (await bench.phone.truth(attempt.mark)).running
    await bench.phone.heal()
    async with bench.open():
        assert not (await bench.phone.truth(attempt.mark)).running
        assert await bench.phone.remains() == []


@pytest.mark.anyio
async def test_a_server_that_dies_in_the_middle_leaves_an_attempt_unknown(bench: Bench) -> None:
    heard = anyio.Event()
    bench.on_output = heard.set
    outcome: list[object] = []

    async def run() -> None:
        outcome.append(await session.execute(bench.attempt(sh("echo on; sleep 1000"))))

    async with bench.open() as session:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await heard.wait()
            bench.rig.server.kill()
        (unknown,) = outcome
        assert isinstance(unknown, Unknown)
        late = bench.attempt(sh("echo late"))
        with pytest.raises(DeviceLostError, match="no adb server answers"):
            await session.execute(late)
        assert late.progress == "new"


@pytest.mark.anyio
@pytest.mark.parametrize("fault", ["garbage", "disconnect"])
@pytest.mark.parametrize("phase", ["start", "middle", "exit"])
async def test_a_broken_answer_is_unknown(bench: Bench, fault: str, phase: str) -> None:
    async with bench.open() as session:
        await bench.phone.inject(fault, phase)  # type: ignore[arg-type]
        attempt = bench.attempt(sh("echo on; sleep 0.2; echo off"))
        with anyio.fail_after(20):
            outcome = await session.execute(attempt)
        assert isinstance(outcome, Unknown), outcome
        assert (await bench.phone.truth(attempt.mark)).starts == (0 if phase == "start" else 1)


@pytest.mark.anyio
async def test_a_phone_that_refuses_the_stream_has_perhaps_lost_the_link_so_it_is_unknown(bench: Bench) -> None:
    async with bench.open() as session:
        bench.phone.misbehave("refuse", on="GALAXY_MARK=")
        outcome = await session.execute(bench.attempt(sh("echo on")))
    assert isinstance(outcome, Unknown)


@pytest.mark.anyio
async def test_an_attempt_is_sent_before_the_phone_can_know_and_acknowledged_when_it_does(bench: Bench) -> None:
    async with bench.open() as session:
        refused = bench.attempt(Command(["echo", "a\0"]))
        assert isinstance(await session.execute(refused), Refused)
        assert refused.progress == "new"
        done = bench.attempt(sh("exit 0"))
        await session.execute(done)
        assert done.progress == "acknowledged"


@pytest.mark.anyio
async def test_a_frozen_phone_holds_an_attempt_up_until_its_deadline_and_no_longer(bench: Bench) -> None:
    async with bench.open() as session:
        bench.phone.freeze()
        attempt = bench.attempt(sh("echo on"))
        with anyio.move_on_after(0.2) as scope:
            await session.execute(attempt)
        assert scope.cancelled_caught
        assert attempt.progress == "sent"
        assert isinstance(attempt.partial, Unknown)
        bench.phone.thaw()
        await session.probe()
        assert not (await bench.phone.truth(attempt.mark)).running


@pytest.mark.anyio
async def test_a_command_too_long_for_a_request_leaves_no_script_when_it_is_cancelled(bench: Bench) -> None:
    async with bench.open() as session:
        attempt = bench.attempt(Command(["sh", "-c", "echo on; sleep 1000", "x" * 100_000]))
        await interrupted(bench, session, attempt, lambda: None)
        assert isinstance(attempt.partial, Completed)
        assert not (await bench.phone.truth(attempt.mark)).running
    assert await bench.phone.remains() == []


def marked(text: str = "echo on") -> Attempt:
    request = sh(text)
    task = TaskStar("task", request=request)
    return Attempt("run", task, "phone", 1, 7, request, None, None, None, "run", leaves_marker=True)


@pytest.mark.anyio
async def test_settling_that_is_cancelled_while_another_action_restarts_the_phone_stops_what_it_asks_about(
    bench: Bench,
) -> None:
    async with bench.open() as session:
        await session.expect("run")
        attempt = marked()
        with session.place.absence(), anyio.move_on_after(0.05):
            await session.settle(attempt)
        assert attempt.partial is None
        assert isinstance(await session.execute(attempt), Refused)  # it is kept from starting


@pytest.mark.anyio
async def test_settling_that_is_cancelled_while_the_phone_is_away_does_not_count_as_stopped(bench: Bench) -> None:
    async with bench.open() as session:
        await session.expect("run")
        attempt = marked()
        with session.place.absence():
            bench.phone.unplug()
            with anyio.move_on_after(0.05):
                await session.settle(attempt)
        assert isinstance(attempt.partial, Unknown)


@pytest.mark.anyio
async def test_when_asking_about_a_command_fails_it_goes_on(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(link: Link, script: str) -> Said:
        if "galaxy-settled" in script:
            raise OSError(24, "Too many open files")
        return await ask(link, script)

    ask, on, go = Link.run, tmp_path / "on", tmp_path / "go"
    attempt = marked(f"touch {on}; while [ ! -e {go} ]; do sleep 0.02; done; exit 3")
    async with bench.open() as session, anyio.create_task_group() as tasks:
        await session.expect("run")
        tasks.start_soon(session.execute, attempt)
        await until(on.exists)
        asked = Attempt.restored("run", attempt.task, "phone", 1, 7, attempt.mark)
        with monkeypatch.context() as patched:
            patched.setattr(Link, "run", run)
            with pytest.raises(OSError, match="open files"):
                await session.settle(asked)
        assert asked.partial is None
        assert (await bench.phone.truth(attempt.mark)).running
        go.touch()
        assert await session.settle(asked) == Completed(exit_code=3, stdout="", stderr="", metadata={"settled": True})
