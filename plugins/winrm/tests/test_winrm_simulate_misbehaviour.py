"""The switches of the simulated host, and what it knows about what really happened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import requests
from winrm.exceptions import InvalidCredentialsError, WinRMTransportError, WSManFaultError

from galaxy_core.testing.contract.faults import FAULTS, PHASES, FarSide, Fault, Phase, Truth
from galaxy_core_winrm.simulate.far_side import CELLS
from galaxy_core_winrm.simulate.host import WindowsHost

pytestmark = pytest.mark.anyio
Dial = Callable[..., Any]
MARK = {"GALAXY_MARK": "mark-1"}
COUNT = "echo once>>counted.txt"
#: What a client may see of an answer that did not come as it should.
BROKEN = (requests.RequestException, WinRMTransportError, InvalidCredentialsError, AssertionError, ValueError, OSError)


def counted(host: WindowsHost) -> int:
    file = host.computer.path_of(r"C:\Users\lab\counted.txt")
    return len(file.read_text().splitlines()) if file.exists() else 0


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(10):
        while not await condition():  # noqa: ASYNC110  what a host knows is looked at, and tells nobody
            await anyio.sleep(0.01)


async def ended(host: WindowsHost, mark: str = "mark-1") -> Truth:
    async def condition() -> bool:
        return not (await host.truth(mark)).running

    await until(condition)
    return await host.truth(mark)


async def test_a_host_is_a_far_side_and_says_of_every_cell_whether_it_can_be(host: WindowsHost) -> None:
    assert isinstance(host, FarSide)
    assert set(CELLS) == {(fault, phase) for fault in FAULTS for phase in PHASES}
    assert [cell for cell, why in CELLS.items() if why is None and cell[0] == "huge_output"] == [
        ("huge_output", "middle"),
        ("huge_output", "exit"),
    ]
    with pytest.raises(ValueError, match="nothing is put out"):
        await host.inject("huge_output", "start")


async def test_truth_counts_starts_and_knows_exit_codes(host: WindowsHost, dial: Dial) -> None:
    client = dial(host)
    await client.open(env_vars=MARK)
    assert await host.truth("mark-1") == Truth(0)
    await client.run("exit 3")
    await client.run("exit 4")
    assert await host.truth("mark-1") == Truth(2, running=False, exit_code=4)
    command_id = await client.start("ping -n 601 127.0.0.1 >nul")
    assert await host.truth("mark-1") == Truth(3, running=True, exit_code=None)
    await client.end(command_id)
    assert await ended(host) == Truth(3, running=False, exit_code=None)


@pytest.mark.parametrize("how", ["line", "input"])
async def test_a_mark_is_found_in_the_line_and_in_what_is_sent(host: WindowsHost, dial: Dial, how: str) -> None:
    client = dial(host)
    if how == "line":
        await client.run('set "GALAXY_MARK=mark-2"&exit 5')
    else:
        await client.run("more", data=b'{"GALAXY_MARK": "mark-2"}')
    assert (await host.truth("mark-2")).starts == 1


async def test_remains_are_commands_that_nobody_ended_and_shells_that_nobody_can_want(
    host: WindowsHost, dial: Dial
) -> None:
    client = dial(host)
    await client.run("rem")
    assert await host.remains() == []
    command_id = await client.start("rem")
    await client.output(command_id)
    assert [each.split()[0] for each in await host.remains()] == ["command"]
    await client.end(command_id)
    client.hang_up()

    async def condition() -> bool:
        return bool(await host.remains())

    await until(condition)
    assert [each.split()[0] for each in await host.remains()] == ["shell"]


async def test_dropped_before_the_work_nothing_has_happened(host: WindowsHost, dial: Dial) -> None:
    client = dial(host)
    await client.open(env_vars=MARK)
    host.misbehaviour.drop_before("Command")
    with pytest.raises(requests.ConnectionError):
        await client.start(COUNT)
    assert (await host.truth("mark-1"), counted(host)) == (Truth(), 0)


async def test_dropped_after_the_work_it_has_happened_once(host: WindowsHost, dial: Dial) -> None:
    client = dial(host)
    await client.open(env_vars=MARK)
    host.misbehaviour.drop_after_work("Command")
    with pytest.raises(requests.ConnectionError):
        await client.start(COUNT)
    assert await ended(host) == Truth(1, running=False, exit_code=0)
    assert counted(host) == 1


async def test_a_verb_that_hangs_is_not_answered_and_not_worked_on(host: WindowsHost, dial: Dial) -> None:
    client = dial(host, operation_timeout_sec=1, read_timeout_sec=2)
    await client.open(env_vars=MARK)
    host.misbehaviour.hang("Command")
    with pytest.raises(requests.ReadTimeout):
        await client.start(COUNT)
    assert await host.truth("mark-1") == Truth()
    await host.heal()
    other = dial(host)
    other.shell_id = client.shell_id
    await other.run(COUNT)
    assert counted(host) == 1


async def test_a_frozen_host_works_on_what_it_had_read_when_it_thaws(host: WindowsHost, dial: Dial) -> None:
    client = dial(host, operation_timeout_sec=1, read_timeout_sec=2)
    await client.open(env_vars=MARK)
    await host.inject("frozen", "start")
    with pytest.raises(requests.ReadTimeout):
        await client.start(COUNT)
    assert (await host.truth("mark-1")).starts == 0
    await host.heal()

    async def condition() -> bool:
        return counted(host) > 0

    await until(condition)
    assert (await host.truth("mark-1")).starts == 1


async def test_a_dead_host_has_ended_its_shells_and_comes_back_on_its_port(host: WindowsHost, dial: Dial) -> None:
    client = dial(host)
    await client.open(env_vars=MARK)
    await client.start("ping -n 601 127.0.0.1 >nul")
    endpoint = host.endpoint
    await host.inject("server_dead", "connect")
    with pytest.raises(requests.ConnectionError):
        await dial(host).open()
    assert await ended(host) == Truth(1, running=False, exit_code=None)
    await host.heal()
    assert host.endpoint == endpoint
    await dial(host).run("rem")


async def test_a_connection_may_lose_its_authentication(host: WindowsHost, dial: Dial) -> None:
    client = dial(host)
    host.misbehaviour.unauthorized_after(1)
    await client.open()
    with pytest.raises((InvalidCredentialsError, WinRMTransportError)):
        await client.start("rem")
    await host.heal()
    await host.inject("authentication_lost", "connect")
    with pytest.raises(InvalidCredentialsError):
        await dial(host).open()
    await host.heal()
    await dial(host).open()


@pytest.mark.parametrize(
    ("switch", "arguments"),
    [
        ("http", (503,)),
        ("truncate", (40,)),
        ("truncate", (900,)),
        ("wrong_relates_to", ()),
        ("garble", ()),
        ("bad_mic", ()),
    ],
)
async def test_a_broken_answer_is_noticed_and_the_host_lives_on(
    host: WindowsHost, dial: Dial, switch: str, arguments: tuple[Any, ...]
) -> None:
    client = dial(host)
    command_id = await client.start("rem")
    await client.output(command_id)
    getattr(host.misbehaviour, switch)(*arguments)
    with pytest.raises(Exception) as caught:  # noqa: PT011  whichever: spnego's have no base of their own
        await client.end(command_id)
    assert not isinstance(caught.value, WSManFaultError)
    await host.heal()
    await dial(host).run("rem")


async def test_slow_and_trickled_and_late_answers_are_whole(host: WindowsHost, dial: Dial) -> None:
    host.misbehaviour.trickle()
    assert await dial(host).run("echo whole") == (b"whole\r\n", b"", 0)
    await host.heal()
    host.misbehaviour.late("Receive", 0.05)
    assert await dial(host).run("echo whole") == (b"whole\r\n", b"", 0)


async def test_a_doubled_answer_stays_on_its_connection(host: WindowsHost, dial: Dial) -> None:
    host.misbehaviour.duplicate("Receive")
    client = dial(host)
    command_id = await client.start("echo one")
    assert (await client.piece(command_id))[0] == b"one\r\n"
    await host.heal()
    assert (await dial(host).run("echo two"))[0] == b"two\r\n"


@pytest.mark.parametrize("phase", ["middle", "exit"])
@pytest.mark.parametrize(("fault", "size"), [("huge_output", 8 << 20), ("binary_output", 4096)])
async def test_a_flood_comes_whole_and_once(
    host: WindowsHost, dial: Dial, fault: Fault, size: int, phase: Phase
) -> None:
    await host.inject(fault, phase)
    stdout, _, code = await dial(host).run("echo x")
    assert (len(stdout), code) == (size + 3, 0)
    assert (b"\xff" in stdout) == (fault == "binary_output")
    assert await dial(host).run("echo x") == (b"x\r\n", b"", 0)


@pytest.mark.parametrize("phase", ["middle", "exit"])
async def test_a_fault_strikes_its_phase_and_no_other(host: WindowsHost, dial: Dial, phase: Phase) -> None:
    client = dial(host)
    await host.inject("lost_answer", phase)
    command_id = await client.start("echo x")
    if phase == "exit":
        assert (await client.piece(command_id))[3] is False
    with pytest.raises(BROKEN):
        await client.piece(command_id)
    await host.heal()
    other = dial(host)
    other.shell_id = client.shell_id
    await other.end(command_id)
    assert await host.remains() == []


async def test_a_fault_of_clean_up_leaves_the_result_and_a_remainder(host: WindowsHost, dial: Dial) -> None:
    client = dial(host)
    await host.inject("disconnect", "clean_up")
    command_id = await client.start("echo x")
    assert await client.output(command_id) == (b"x\r\n", b"", 0)
    with pytest.raises(BROKEN):
        await client.end(command_id)
    assert await host.remains() != []
    await host.heal()
    other = dial(host)
    other.shell_id = client.shell_id
    await other.close()
    assert await host.remains() == []
