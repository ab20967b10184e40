"""What a simulated phone does with commands, seen through a real adb server."""

from __future__ import annotations

import os
import signal

import anyio
import pytest

from galaxy_core_adb.simulate.phone import Phone
from galaxy_core_adb.simulate.rig import Rig, phones

from .adb_asking import Said, ServerSaidError, Shell, left_alone, opened, said, until

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("code", [0, 1, 7, 255])
@pytest.mark.parametrize("script", ["exit {}", "exit {} # in a real shell", "exec /bin/sh -c 'exit {}'"])
async def test_the_status_comes_back(shell: Shell, script: str, code: int) -> None:
    assert await shell(script.format(code)) == Said(codes=(code,))


async def test_outputs_come_apart_and_whole(shell: Shell) -> None:
    found = await shell("head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2; exit 3")
    assert (len(found.out), len(found.err), found.codes) == (3_000_000, 1_000_000, (3,))


async def test_standard_input_arrives_and_ends(shell: Shell) -> None:
    data = bytes(range(256)) * 9000
    assert await shell("cat; echo end >&2", data) == Said(data, b"end\n", (0,))


async def test_a_signal_is_told_as_shells_tell_it(shell: Shell) -> None:
    assert (await shell("kill -9 $$")).code == 128 + signal.SIGKILL


async def test_nothing_of_one_phone_is_seen_on_another(shell: Shell) -> None:
    await shell("echo one > /sdcard/it; setprop debug.it one")
    assert (await shell("cat /sdcard/it; getprop debug.it")).out == b"one\none\n"
    other = await shell("cat /sdcard/it; getprop debug.it", phone=1)
    assert (other.out, other.code) == (b"\n", 0)


async def test_the_truth_of_an_attempt_is_known_by_its_mark(shell: Shell, phone: Phone) -> None:
    for script in (
        "export GALAXY_MARK=m-1; exec /bin/sh -c 'exit 4'",
        "export GALAXY_MARK=m-1; exec /bin/sh -c 'exit $((2+3))'",
    ):
        await shell(script)
    truth = await phone.truth("m-1")
    assert (truth.starts, truth.running, truth.exit_code) == (2, False, 5)
    assert (await phone.truth("m-2")).starts == 0


async def test_a_script_that_only_looks_for_a_mark_begins_no_attempt(shell: Shell, phone: Phone) -> None:
    await shell("grep -lsF GALAXY_MARK=m-1 /proc/[0-9]*/environ; true 'GALAXY_MARK=m-2'")
    assert (await phone.truth("m-1")).starts == (await phone.truth("m-2")).starts == 0


@pytest.mark.parametrize("real", ["true", "cat /dev/null"])
async def test_work_whose_folder_is_missing_never_began(shell: Shell, phone: Phone, real: str) -> None:
    script = (
        "export A='b c;' GALAXY_MARK={}; cd -- {} 2>/dev/null || {{ echo 'no such folder' >&2; exit 126; }}; exec {}"
    )
    (phone.disk.temporary / "a b").mkdir()
    assert await shell(script.format("m-1", "'/data/local/tmp/no'", real)) == Said(
        err=b"no such folder\n", codes=(126,)
    )
    assert await shell(script.format("m-2", "'/data/local/tmp/a b'", real)) == Said(codes=(0,))
    assert ((await phone.truth("m-1")).starts, (await phone.truth("m-2")).starts) == (0, 1)


async def test_who_hangs_up_has_the_shell_told_and_not_its_children(rig: Rig, phone: Phone) -> None:
    script = "export GALAXY_MARK=m-1; exec /bin/sh -c 'sleep 61 & echo $!; wait'"
    talk = await opened(rig.port, phone.serial, f"shell,v2,raw:{script}")
    async with talk.stream:
        await talk.exactly(5)
        child = int(await talk.reader.receive_until(b"\n", 20))
        assert (await phone.truth("m-1")).running

    async def shell_is_gone() -> bool:
        return len(await phone.remains()) == 1

    await until(shell_is_gone)
    assert await phone.remains() == [f"process {child}: sleep 61"]
    truth = await phone.truth("m-1")
    assert (truth.running, truth.exit_code) == (True, None)
    os.kill(child, signal.SIGKILL)
    await left_alone(phone)
    assert not (await phone.truth("m-1")).running


async def test_the_processes_of_a_mark_can_be_ended_by_another_command(rig: Rig, phone: Phone) -> None:
    script = "export GALAXY_MARK=m-7; exec /bin/sh -c 'trap \"\" HUP; sleep 61 & sleep 62'"
    talk = await opened(rig.port, phone.serial, f"shell,v2,raw:{script}")
    await talk.stream.aclose()
    kill = "for f in $(grep -lsF GALAXY_MARK=m-7 /proc/[0-9]*/environ); do p=${f#/proc/}; kill -9 ${p%/environ}; done; exit 0"
    await until(lambda: phone.attempts.of("m-7").starts)

    async def none_left() -> bool:
        assert (await said(rig.port, phone.serial, kill)).code == 0
        return not await phone.remains()

    await until(none_left)
    assert not (await phone.truth("m-7")).running


async def test_shell_v1_and_exec_say_all_in_one(rig: Rig, phone: Phone) -> None:
    for service in ("shell:", "exec:"):
        talk = await opened(rig.port, phone.serial, f"{service}echo out; echo err >&2; exit 9")
        async with talk.stream:
            assert b"".join([piece async for piece in talk.stream]) == b"out\nerr\n"


async def test_an_old_phone_has_no_shell_v2(anyio_backend: object) -> None:
    async with phones(1, shell_v2=False) as rig:
        features = await rig.server.run("-s", rig[0].serial, "features")
        assert b"shell_v2" not in features.stdout
        assert (await said(rig.port, rig[0].serial, "true")).refused == "closed"
        old = await rig.server.run("-s", rig[0].serial, "shell", "echo out; exit 3")
        assert (old.stdout, old.returncode) == (b"out\n", 0)


async def test_a_service_that_there_is_not_is_refused(rig: Rig, phone: Phone) -> None:
    with pytest.raises(ServerSaidError, match="closed"):
        await opened(rig.port, phone.serial, "jdwp:1")


async def test_a_command_as_long_as_a_server_takes_runs(shell: Shell) -> None:
    found = await shell("echo " + "x" * 65_000)
    assert (len(found.out), found.code) == (65_001, 0)


async def test_the_folder_of_a_phone_is_left_empty_of_processes(anyio_backend: object) -> None:
    async with phones(1) as rig:
        phone = rig[0]
        talk = await opened(rig.port, phone.serial, "shell,v2,raw:trap '' HUP; sleep 61 & sleep 62")
        await until(lambda: phone.links and any(link.streams for link in phone.links))
        await talk.stream.aclose()
    await left_alone(phone)
    assert not rig.folder.exists()


async def test_many_commands_at_once_do_not_meet(rig: Rig) -> None:
    async def one(number: int) -> None:
        serial = rig[number % 2].serial
        script = f"echo {number}; exit {number}" if number % 3 else f"sleep 0.05; echo {number}; exit {number}"
        assert await said(rig.port, serial, script) == Said(f"{number}\n".encode(), b"", (number,))

    async with anyio.create_task_group() as tasks:
        for number in range(60):
            tasks.start_soon(one, number)
