"""The simulated host's shells and commands, as pywinrm sees them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import requests
from winrm.exceptions import WinRMOperationTimeoutError, WSManFaultError

from galaxy_core_winrm.simulate.host import WindowsHost, windows_host
from galaxy_core_winrm.simulate.processes import processes_with

pytestmark = pytest.mark.anyio
Dial = Callable[..., Any]
FOREVER = "ping -n 601 127.0.0.1 >nul"


def code(caught: pytest.ExceptionInfo[WSManFaultError]) -> int | None:
    found: int | None = caught.value.wsman_fault_code
    return found


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110  /proc tells nobody
            await anyio.sleep(0.01)


async def test_output_error_and_exit_code_come_back_apart(host: WindowsHost, dial: Dial) -> None:
    assert await dial(host).run("echo out&echo err>&2&exit 7") == (b"out\r\n", b"err\r\n", 7)


async def test_an_exit_code_of_32_bits_comes_back_whole(host: WindowsHost, dial: Dial) -> None:
    assert (await dial(host).run("exit 3221225786"))[2] == 3221225786


async def test_standard_input_arrives_byte_for_byte_and_closes(host: WindowsHost, dial: Dial) -> None:
    client = dial(host)
    data = bytes(range(256)) * 2000
    command_id = await client.start(
        'python -c "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"', skip=True
    )
    async with anyio.create_task_group() as tasks:
        # More than the pipes hold, so that sending waits for receiving, on a connection of its own.
        reader = dial(host)
        reader.shell_id = client.shell_id
        found: list[bytes] = []

        async def read() -> None:
            found.append((await reader.output(command_id))[0])

        tasks.start_soon(read)
        for at in range(0, len(data), 64_000):
            await client.call("send_command_input", client.shell_id, command_id, data[at : at + 64_000])
        await client.call("send_command_input", client.shell_id, command_id, b"", end=True)
    assert found == [data]


async def test_output_larger_than_an_envelope_comes_in_several_answers(host: WindowsHost, dial: Dial) -> None:
    client = dial(host)
    command_id = await client.start("python -c \"print('x' * 1000000)\"", skip=True)
    sizes, done = [], False
    while not done:
        stdout, _, _, done = await client.piece(command_id)
        sizes.append(len(stdout))
    assert sum(sizes) == 1_000_001
    assert max(sizes) < 153_600


async def test_no_output_within_the_operation_timeout_is_a_fault_and_not_the_end(host: WindowsHost, dial: Dial) -> None:
    client = dial(host, operation_timeout_sec=1)
    command_id = await client.start("more&echo late")
    with pytest.raises(WinRMOperationTimeoutError):
        await client.piece(command_id)
    await client.call("send_command_input", client.shell_id, command_id, b"in\r\n", end=True)
    assert (await client.output(command_id))[0] == b"in\r\nlate\r\n"


async def test_a_signal_through_a_second_connection_ends_the_command_and_its_children(
    host: WindowsHost, dial: Dial
) -> None:
    client, other = dial(host), dial(host)
    await client.open(env_vars={"GALAXY_MARK": "of-this-test"})
    other.shell_id = client.shell_id
    command_id = await client.start(f"start /b {FOREVER}& {FOREVER}")
    await until(lambda: len(processes_with("GALAXY_MARK=of-this-test")) >= 3)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other.end, command_id)
        with pytest.raises(WSManFaultError) as caught:
            await client.output(command_id)
    assert code(caught) in {995, 87}
    assert processes_with("GALAXY_MARK=of-this-test") == []


async def test_deleting_a_shell_ends_what_runs_in_it(host: WindowsHost, dial: Dial) -> None:
    client = dial(host)
    await client.open(env_vars={"GALAXY_MARK": "deleted"})
    await client.start(FOREVER)
    await until(lambda: bool(processes_with("GALAXY_MARK=deleted")))
    await client.close()
    assert processes_with("GALAXY_MARK=deleted") == []
    assert host.shells == []


async def test_a_process_that_clears_its_environment_ends_with_its_command(host: WindowsHost, dial: Dial) -> None:
    client = dial(host)
    inner = "'import os; print(os.getpid(), flush=True); input()'"
    program = f"import os, sys; os.execve(sys.executable, [sys.executable, '-c', {inner}], {{}})"
    command_id = await client.start(f'python -c "{program}"', skip=True)
    process_id = int((await client.piece(command_id))[0])
    await client.end(command_id)
    await until(lambda: not os.path.exists(f"/proc/{process_id}"))


async def test_leaving_the_host_ends_every_process_and_removes_its_folder(dial: Dial) -> None:
    async with windows_host() as host:
        client = dial(host)
        await client.open(env_vars={"GALAXY_MARK": "left"})
        await client.start(FOREVER)
        folder = host.computer.folder
    assert processes_with("GALAXY_MARK=left") == []
    assert not folder.exists()


async def test_a_shell_has_its_own_environment_folder_and_code_page(host: WindowsHost, dial: Dial) -> None:
    os.makedirs(host.computer.path_of(r"C:\work"))
    client = dial(host)
    await client.open(codepage=437, working_directory=r"C:\work", env_vars={"Colour": "grün"})
    assert await client.run("cd&echo %colour%") == ("C:\\work\r\ngrün\r\n".encode("cp437"), b"", 0)


async def test_a_shell_is_refused_a_folder_that_is_none(host: WindowsHost, dial: Dial) -> None:
    with pytest.raises(WSManFaultError) as caught:
        await dial(host).open(working_directory=r"C:\nowhere")
    assert code(caught) == 2147942667


async def test_a_code_page_that_there_is_not_is_refused(host: WindowsHost, dial: Dial) -> None:
    for codepage in (99999, -1, "x"):
        with pytest.raises(WSManFaultError) as caught:
            await dial(host).open(codepage=codepage)
        assert code(caught) == 87


async def test_the_31st_shell_of_a_user_is_refused_until_one_is_deleted(host: WindowsHost, dial: Dial) -> None:
    host.quotas.shells = 3
    client = dial(host)
    for _ in range(3):
        await client.open()
    with pytest.raises(WSManFaultError) as caught:
        await client.open()
    assert code(caught) == 2150859173
    await client.call("close_shell", client.shell_id, close_session=False)
    await client.open()


async def test_ending_commands_gives_no_operation_back_and_deleting_the_shell_does(
    host: WindowsHost, dial: Dial
) -> None:
    host.quotas.operations = 4
    client = dial(host)
    for _ in range(3):
        await client.run("rem")
    with pytest.raises(WSManFaultError) as caught:
        await client.run("rem")
    assert code(caught) == 2150859174
    await client.call("close_shell", client.shell_id, close_session=False)
    await client.open()
    await client.run("rem")


async def test_a_shell_runs_only_so_many_commands_at_a_time(host: WindowsHost, dial: Dial) -> None:
    host.quotas.processes_per_shell = 2
    client = dial(host)
    running = [await client.start(FOREVER) for _ in range(2)]
    with pytest.raises(WSManFaultError) as caught:
        await client.start("rem")
    assert code(caught) == 2150859241
    await client.end(running[0])
    await client.run("rem")


async def test_a_message_larger_than_max_envelope_size_is_refused(host: WindowsHost, dial: Dial) -> None:
    client = dial(host)
    command_id = await client.start("more")
    with pytest.raises(WSManFaultError) as caught:
        await client.call("send_command_input", client.shell_id, command_id, b"x" * 400_000)
    assert code(caught) == 2150858790


async def test_an_idle_shell_is_deleted(host: WindowsHost, dial: Dial) -> None:
    client = dial(host)
    await client.open(idle_timeout="PT0.05S")
    await anyio.sleep(0.1)
    with pytest.raises(WSManFaultError) as caught:
        await client.run("rem")
    assert code(caught) == 2150858843


async def test_a_shell_or_command_that_is_not_there_is_a_fault(host: WindowsHost, dial: Dial) -> None:
    client = dial(host)
    client.shell_id = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(WSManFaultError) as caught:
        await client.run("rem")
    assert code(caught) == 2150858843
    await client.open()
    with pytest.raises(WSManFaultError) as caught:
        await client.end("00000000-0000-0000-0000-000000000000")
    assert code(caught) == 87


async def test_a_program_that_is_not_there_is_a_fault_without_cmd_and_an_exit_code_with_it(
    host: WindowsHost, dial: Dial
) -> None:
    client = dial(host)
    _, stderr, exit_code = await client.run("no-such-program a")
    assert exit_code == 1
    assert b"is not recognized" in stderr
    with pytest.raises(WSManFaultError) as caught:
        await client.run("no-such-program a", skip=True)
    assert code(caught) == 2147942402


async def test_without_cmd_arguments_are_split_by_the_rules_of_windows_and_nothing_is_expanded(
    host: WindowsHost, dial: Dial
) -> None:
    line = r'python -c "import sys; print(sys.argv[1:])" "a b" %OS% "\"" c:\\ "x&y" ^ ""'
    stdout, _, _ = await dial(host).run(line, skip=True)
    assert stdout.decode().strip() == str(["a b", "%OS%", '"', "c:\\\\", "x&y", "^", ""])


async def test_a_line_longer_than_windows_takes_is_refused(host: WindowsHost, dial: Dial) -> None:
    client = dial(host)
    _, stderr, exit_code = await client.run("echo " + "x" * 8200)
    assert (stderr, exit_code) == (b"The command line is too long.\r\n", 1)
    assert len((await client.run("python -c pass " + "x" * 30_000, skip=True))[0]) == 0
    with pytest.raises(WSManFaultError) as caught:
        await client.run("python -c pass " + "x" * 33_000, skip=True)
    assert code(caught) == 2147942606


async def test_a_client_that_hangs_up_while_it_waits_for_output_is_not_waited_for(
    host: WindowsHost, dial: Dial
) -> None:
    client = dial(host, operation_timeout_sec=1, read_timeout_sec=2)
    command_id = await client.start(FOREVER)
    client.protocol.operation_timeout_sec = 600
    with pytest.raises(requests.ReadTimeout):
        await client.piece(command_id)
    # Its connection is closed, so nobody can want its shell any more.
    with anyio.fail_after(10):
        while not any(each.startswith("shell ") for each in await host.remains()):  # noqa: ASYNC110  see `until`
            await anyio.sleep(0.01)


async def test_a_send_that_nobody_reads_runs_into_its_timeout(host: WindowsHost, dial: Dial) -> None:
    client = dial(host, operation_timeout_sec=1)
    command_id = await client.start(FOREVER)
    with pytest.raises(WinRMOperationTimeoutError):
        for _ in range(10):
            await client.call("send_command_input", client.shell_id, command_id, b"x" * 60_000)
    await client.end(command_id)
