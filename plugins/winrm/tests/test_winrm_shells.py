"""Shells: used again, replaced before the host's quotas bite, and never left behind."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from galaxy_core import Command
from galaxy_core.extension.interfaces import Completed, Refused
from galaxy_core_winrm.debts import Debts
from galaxy_core_winrm.faults import NotSentError
from galaxy_core_winrm.shells import Shells
from galaxy_core_winrm.simulate.host import WindowsHost

pytestmark = pytest.mark.anyio
Desk = Any
TRUE = Command(["true"])


async def test_commands_one_after_the_other_share_a_shell(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host) as session:
        shells = set(host.shells)
        for _ in range(5):
            await desk.run(session, TRUE)
        assert set(host.shells) == shells
    assert host.shells == []


async def test_a_shell_is_replaced_before_the_host_forbids_it(desk: Desk, host: WindowsHost) -> None:
    host.quotas.operations = 8
    async with desk.open(host, commands_per_shell=3) as session:
        for _ in range(20):
            outcome = await desk.run(session, TRUE)
            assert isinstance(outcome, Completed)
    assert host.shells == []


async def test_a_shell_runs_no_more_commands_than_it_may(desk: Desk, host: WindowsHost) -> None:
    seen: set[str] = set()
    async with desk.open(host, commands_per_shell=3) as session:
        for _ in range(9):
            await desk.run(session, TRUE)
            seen.update(host.shells)
    assert len(seen) >= 3


async def test_a_shell_that_is_worn_out_is_replaced_when_the_host_says_so(desk: Desk, host: WindowsHost) -> None:
    host.quotas.operations = 5
    async with desk.open(host, commands_per_shell=1000) as session:
        for _ in range(20):
            assert isinstance(await desk.run(session, TRUE), Completed)


async def test_commands_at_once_wait_for_a_shell_when_there_are_few(desk: Desk, host: WindowsHost) -> None:
    host.quotas.shells = 2
    outcomes = []
    async with desk.open(host, max_shells=2, max_concurrency=6) as session:

        async def one() -> None:
            outcomes.append(await desk.run(session, TRUE))

        async with anyio.create_task_group() as tasks:
            for _ in range(12):
                tasks.start_soon(one)
        assert len(host.shells) <= 2
    assert [type(outcome) for outcome in outcomes] == [Completed] * 12


@pytest.mark.parametrize("verb", ["Signal", "Create"])
async def test_a_shell_that_is_being_made_or_tidied_is_no_debt(desk: Desk, host: WindowsHost, verb: str) -> None:
    async with desk.open(host) as session:
        host.misbehaviour.late(verb, 0.05)

        async def work(turn: int) -> None:
            for _ in range(4):
                await desk.run(session, Command(["sleep", f"0.0{turn}"], env={"TURN": str(turn)}))

        async with anyio.create_task_group() as tasks:
            for turn in range(4):
                tasks.start_soon(work, turn)
        # What other commands took for left behind, they would have deleted.
        assert {shell.shell_id for shell in session._host.shells._idle} == set(host.shells)


async def test_shells_elsewhere_make_room_for_those_that_are_wanted(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host, max_shells=2) as session:
        for level in range(6):
            done = await desk.run(session, Command(["printenv", "LEVEL"], env={"LEVEL": str(level)}))
            assert done.stdout == f"{level}\n"
        assert len(host.shells) <= 2


async def test_a_host_that_grants_no_shell_refuses_the_task(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host) as session:
        await desk.run(session, TRUE)
        host.quotas.shells = 0
        outcome = await desk.run(session, Command(["true"], env={"A": "b"}))
    assert isinstance(outcome, Refused)
    assert "2150859173" in outcome.reason


async def test_a_shell_that_the_host_has_ended_is_replaced(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host) as session:
        host._shells.end_all()
        assert isinstance(await desk.run(session, TRUE), Completed)


async def test_shells_that_nobody_uses_are_given_back(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host, shell_idle_s=0.05) as session:
        await desk.run(session, Command(["true"], env={"A": "b"}))
        assert len(host.shells) == 2
        await anyio.sleep(0.06)  # what is waited for is the passing of time itself
        await session.probe()
        assert len(host.shells) == 1


async def test_a_shell_whose_creation_was_not_answered_is_found_and_deleted(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host) as session:
        host.misbehaviour.drop_after_work("Create")
        outcome = await desk.run(session, Command(["true"], env={"A": "b"}))
        assert isinstance(outcome, Refused)
        await host.heal()
        assert len(host.shells) == 2
        await session.probe()
        assert len(host.shells) == 1
    assert host.shells == []


async def test_shells_of_others_are_left_alone(desk: Desk, host: WindowsHost, dial: Any) -> None:
    other = await dial(host).open()
    async with desk.open(host) as session:
        host.misbehaviour.drop_after_work("Create")
        await desk.run(session, Command(["true"], env={"A": "b"}))
        await host.heal()
        await session.probe()
    assert host.shells == [other]


async def test_what_a_session_could_not_take_back_the_next_one_does(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host):
        host.misbehaviour.drop_before("Delete")
    assert len(host.shells) == 1
    await host.heal()
    async with desk.open(host):
        assert len(host.shells) == 1
    assert host.shells == []


@pytest.mark.parametrize(("shells", "said"), [({"a"}, "1 shell"), ({"a", "b"}, "2 shells")])
def test_what_is_left_is_counted_in_words(shells: set[str], said: str) -> None:
    assert str(Debts(shells=shells, parts={"x"})) == f"{said}, 1 file"


async def test_what_is_left_is_told_once_with_the_name_of_the_device(caplog: pytest.LogCaptureFixture) -> None:
    debts = Debts(shells={"a"})
    for _ in range(3):
        unreachable = Shells(_Unreachable(), debts, 1, 1, 1.0, "till-7")  # type: ignore[arg-type]
        await unreachable.aclose(5.0)
    debts.shells.add("b")
    await Shells(_Unreachable(), debts, 1, 1, 1.0, "till-7").aclose(5.0)  # type: ignore[arg-type]
    told = [record.getMessage() for record in caplog.records if record.name == "galaxy_core_winrm.shells"]
    assert ["1 shell (" in text and "2 shells (" not in text for text in told] == [True, False]
    assert all("'till-7'" in text for text in told)


class _Unreachable:
    """Conversations with a host that is away."""

    def one(self) -> Any:
        raise NotSentError("it cannot be reached")


async def test_a_connection_that_the_host_has_closed_is_replaced_before_anything_is_asked(
    desk: Desk, host: WindowsHost
) -> None:
    async with desk.open(host) as session:
        for scope in list(host._connections.values()):
            scope.cancel()
        with anyio.fail_after(5):
            while host._connections:
                await anyio.lowlevel.checkpoint()
        assert isinstance(await desk.run(session, TRUE), Completed)
