"""Connections are kept and shared, their channels are counted, and what is lost with one is said."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from galaxy_core import Command
from galaxy_core.errors import DeviceLostError
from galaxy_core.extension.interfaces import Completed, Outcome, Refused, Unknown
from galaxy_core_ssh.session import SshSession
from galaxy_core_ssh.simulate.daemon import Daemon
from galaxy_core_ssh.simulate.far_side import QUIET_S, SshFarSide, processes_with

from .ssh_lab import Lab, until

pytestmark = pytest.mark.anyio
STAY = Command(["sleep", "1002"])


async def all_at_once(lab: Lab, session: SshSession, requests: list[Command]) -> list[Outcome]:
    outcomes: list[Outcome] = []

    async def one(request: Command) -> None:
        outcomes.append(await session.execute(lab.attempt(request)))

    async with anyio.create_task_group() as group:
        for request in requests:
            group.start_soon(one, request)
    return outcomes


async def test_commands_one_after_the_other_share_a_connection(lab: Lab, far: SshFarSide) -> None:
    async with lab.opened(**far.settings()) as session:
        for _ in range(30):
            assert isinstance(await session.execute(lab.attempt(Command(["true"]))), Completed)
        assert far.proxy.accepted == 1


async def test_more_commands_than_a_connection_has_channels_take_another_one(lab: Lab, far: SshFarSide) -> None:
    async with lab.opened(**far.settings(max_channels=4)) as session:
        outcomes = await all_at_once(lab, session, [Command(["sleep", "0.5"])] * 7)
        assert [isinstance(one, Completed) and one.exit_code for one in outcomes] == [0] * 7
        assert far.proxy.accepted == 3
        await all_at_once(lab, session, [Command(["true"])] * 7)
        assert far.proxy.accepted == 3


@pytest.mark.parametrize(("sessions", "commands"), [(10, 12), (3, 6), (2, 4)])
async def test_a_host_that_allows_fewer_channels_gets_more_connections(
    lab: Lab, own_daemon: Callable[..., Daemon], sessions: int, commands: int
) -> None:
    """The 11th channel of a connection, or whichever is one too many, is refused by the host before anything starts."""
    daemon = own_daemon(sessions=sessions)
    async with lab.opened(daemon, max_channels=20) as session:
        outcomes = await all_at_once(lab, session, [Command(["sleep", "0.5"])] * commands)
        assert [isinstance(one, Completed) and one.exit_code for one in outcomes] == [0] * len(outcomes)
        assert len(session._host._links) > 1


async def test_a_host_that_allows_one_channel_refuses_what_it_is_asked_and_says_why(
    lab: Lab, own_daemon: Callable[..., Daemon]
) -> None:
    async with lab.opened(own_daemon(sessions=1)) as session:
        for _ in range(3):
            outcome = await session.execute(lab.attempt(Command(["true"])))
            assert isinstance(outcome, Refused)
            assert "fewer channels" in outcome.reason
        assert len(session._host._links) == 1


async def test_what_runs_when_its_link_is_lost_is_unknown_with_what_it_had_said(
    lab: Lab, own_daemon: Callable[..., Daemon]
) -> None:
    daemon = own_daemon()
    found: list[Outcome] = []
    attempt = lab.attempt(Command(None, "echo half; exec sleep 1002"))
    async with lab.opened(daemon) as session, anyio.create_task_group() as group:

        async def run() -> None:
            found.append(await session.execute(attempt))

        group.start_soon(run)
        await until(lambda: lab.said() == "half\n")
        daemon.drop()
        assert "lost" in await session.until_lost()
    (outcome,) = found
    assert isinstance(outcome, Unknown)
    assert "link was gone" in outcome.reason
    assert outcome.said is not None
    assert (outcome.said.stdout, outcome.said.exit_code) == ("half\n", None)
    assert processes_with(f"GALAXY_MARK={attempt.mark}")  # sshd does not end what it has started
    async with lab.opened(daemon):  # which the next session does, before anything else
        assert not processes_with(f"GALAXY_MARK={attempt.mark}")


async def test_a_session_whose_link_was_lost_connects_again_for_the_next_attempt(
    lab: Lab, own_daemon: Callable[..., Daemon]
) -> None:
    daemon = own_daemon()
    async with lab.opened(daemon) as session:
        daemon.drop()
        await session.until_lost()
        assert isinstance(await session.execute(lab.attempt(Command(["true"]))), Completed)
        daemon.stop()
        await until(lambda: not session._host._links)
        outcome = await session.execute(lab.attempt(Command(["true"])))
        assert isinstance(outcome, Refused)
        with pytest.raises(Exception, match="lost"):
            await session.probe()


async def test_a_frozen_host_costs_an_attempt_its_certainty_and_no_more_than_its_deadline(
    lab: Lab, own_daemon: Callable[..., Daemon]
) -> None:
    daemon = own_daemon()
    attempt = lab.attempt(Command(None, "echo up; exec sleep 1002"))
    async with lab.opened(daemon) as session:
        async with anyio.create_task_group() as group:
            group.start_soon(session.execute, attempt)
            await until(lambda: "up" in lab.said())
            daemon.signal(signal.SIGSTOP)
            start = anyio.current_time()
            group.cancel_scope.cancel()
        assert anyio.current_time() - start < 2
        assert isinstance(attempt.partial, Unknown), attempt.partial
        assert attempt.partial.said is not None
        assert attempt.partial.said.stdout == "up\n"
        later = lab.attempt(Command(["true"]))
        with anyio.move_on_after(0.2):
            await session.execute(later)
        assert later.progress == "new"  # nothing is sent before what is owed is paid
        daemon.signal(signal.SIGCONT)
        assert isinstance(await session.execute(lab.attempt(Command(["true"]))), Completed)
        assert not processes_with(f"GALAXY_MARK={attempt.mark}")


async def test_a_host_that_stays_frozen_is_lost(lab: Lab, own_daemon: Callable[..., Daemon]) -> None:
    daemon = own_daemon()
    async with lab.opened(daemon, keepalive_s=0.1) as session:
        daemon.signal(signal.SIGSTOP)
        assert "not responding" in await session.until_lost()
        daemon.signal(signal.SIGCONT)


async def test_a_frozen_host_cannot_be_connected_to_in_time(lab: Lab, own_daemon: Callable[..., Daemon]) -> None:
    daemon = own_daemon()
    daemon.signal(signal.SIGSTOP)
    with pytest.raises(DeviceLostError, match=r"within 0[.]3 s"):
        async with lab.opened(daemon, connect_timeout_s=0.3):
            raise AssertionError("it came about")
    daemon.signal(signal.SIGCONT)


@pytest.mark.parametrize("code", [1, 2])
async def test_what_cannot_be_found_or_ended_is_not_vouched_for(
    lab: Lab, daemon: Daemon, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Processes of other users, and hosts without /proc."""
    import galaxy_core_ssh.remote.command as module

    monkeypatch.setattr(module, "kill_script", lambda mark, grace_s: f"echo 4711; exit {code}")
    attempt = lab.attempt(Command(None, "echo up; sleep 1003 & sleep 1003"))
    async with lab.opened(daemon) as session:
        async with anyio.create_task_group() as group:
            group.start_soon(session.execute, attempt)
            await until(lambda: "up" in lab.said())
            group.cancel_scope.cancel()
        if code == 1:
            assert isinstance(attempt.partial, Unknown)
            assert "4711" in attempt.partial.reason
        elif daemon.user == "root":  # to whose processes OpenSSH sends no signals
            assert isinstance(attempt.partial, Unknown), attempt.partial
        else:  # the server has ended the process group, and nobody holds the output any more
            assert isinstance(attempt.partial, Completed), attempt.partial
            await until(lambda: not processes_with(f"GALAXY_MARK={attempt.mark}"))


async def test_attempts_of_two_sessions_do_not_end_each_other(lab: Lab, daemon: Daemon) -> None:
    other = Lab(lab.artifacts.parent / "other")
    async with lab.opened(daemon) as first, other.opened(daemon) as second, anyio.create_task_group() as group:
        kept, stopped = lab.attempt(STAY), other.attempt(STAY)
        group.start_soon(first.execute, kept)
        await until(lambda: processes_with(f"GALAXY_MARK={kept.mark}"))
        with anyio.move_on_after(0.3):
            await second.execute(stopped)
        assert not processes_with(f"GALAXY_MARK={stopped.mark}")
        assert processes_with(f"GALAXY_MARK={kept.mark}")
        group.cancel_scope.cancel()


async def test_a_device_without_a_session_leaves_no_process_on_its_host(
    lab: Lab, own_daemon: Callable[..., Daemon]
) -> None:
    daemon = own_daemon()
    async with lab.opened(daemon) as session:
        await session.execute(lab.attempt(Command(["true"])))
        assert processes_with(f"HOME={daemon.home}")  # the helper
    await until(lambda: not processes_with(f"HOME={daemon.home}"))


async def test_the_facts_of_a_host_are_those_that_it_tells(lab: Lab, daemon: Daemon) -> None:
    async with lab.opened(daemon) as session:
        assert session.facts["user"] == daemon.user
        assert session.facts["home"] == str(daemon.home)
        assert session.facts["ssh_server"].startswith("SSH-2.0-OpenSSH")
        assert {"platform", "system", "release", "machine", "hostname", "cpu_count", "root"} <= session.facts.keys()
        assert await session.probe() == session.facts


def test_a_server_that_is_started_again_is_not_mistaken_for_what_is_left_of_the_one_before(
    openssh: None, tmp_path: Path
) -> None:
    daemon = Daemon(tmp_path)
    daemon.prepare()
    left = socket.create_server(("127.0.0.1", daemon.port))

    def goes() -> (
        None
    ):  # as a child does that was forked for a connection, when it comes to close what it does not need
        left.accept()[0].close()
        left.close()

    going = threading.Thread(target=goes)
    going.start()
    try:
        daemon.start()
        going.join()
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=20) as link:
            assert link.recv(4) == b"SSH-"
    finally:
        daemon.stop()


async def test_a_simulated_fault_that_was_healed_before_it_struck_does_not_strike(lab: Lab, far: SshFarSide) -> None:
    await far.inject("hang", "clean_up")
    async with lab.opened(**far.settings()) as session:
        assert isinstance(await session.execute(lab.attempt(Command(["true"]))), Completed)
        await until((far.daemon.folder / "gates" / "clean_up.reached").exists)
        await far.heal()
    await anyio.sleep(3 * QUIET_S)  # it waited for so long without a word
    async with lab.opened(**far.settings(connect_timeout_s=5.0)) as session:
        assert isinstance(await session.execute(lab.attempt(Command(["true"]))), Completed)
