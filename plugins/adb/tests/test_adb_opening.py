"""A session is there once the phone has answered; why there is none is said, with what to do about it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from galaxy_core import Command
from galaxy_core.errors import DeviceLostError, GalaxyError
from galaxy_core.extension.interfaces import Completed
from galaxy_core_adb import binary, server
from galaxy_core_adb.server import server_at
from galaxy_core_adb.settings import AdbDiscovery
from galaxy_core_adb.simulate.rig import phones
from galaxy_core_adb.simulate.server import bundled_adb, free_port
from galaxy_core_adb.watching import discover

from .adb_bench import Bench, port_of

pytestmark = pytest.mark.anyio


async def why_not(bench: Bench, **settings: Any) -> str:
    with anyio.fail_after(30), pytest.raises(DeviceLostError) as caught:
        async with bench.open(**settings):
            pytest.fail("it opened")
    return str(caught.value)


async def test_facts_are_known_once_it_is_open(bench: Bench) -> None:
    async with bench.open() as session:
        facts = session.facts
        assert (facts["model"], facts["android"], facts["abi"]) == ("Simulated Phone", "14", "arm64-v8a")
        assert facts["screen"] == "1080x2400"
        assert "shell_v2" in facts["features"].split(",")
        assert await session.probe() == facts


async def test_an_unknown_serial_is_said_with_what_there_is(bench: Bench) -> None:
    why = await why_not(bench, serial="1A2B3C")
    assert "no device '1A2B3C' is plugged in" in why
    assert repr(bench.phone.serial) in why
    assert f"port {bench.rig.port}" in why


async def test_a_serial_that_means_something_to_adb_is_a_serial_all_the_same(bench: Bench) -> None:
    assert "no device 'x:features'" in await why_not(bench, serial="x:features")


async def test_a_phone_in_the_network_that_is_not_connected_yet_is_connected(bench: Bench) -> None:
    await bench.rig.server.run("disconnect", bench.phone.serial)
    assert "connect: true" in await why_not(bench)
    async with bench.open(connect=True) as session:
        assert isinstance(await session.execute(bench.attempt(Command(["true"]))), Completed)


async def test_a_phone_that_does_not_trust_this_computer_is_said_to(tmp_path: Path, anyio_backend: object) -> None:
    async with phones(1, authentication="refuses") as rig:
        why = await why_not(Bench(rig, tmp_path), connect=True)
    assert "agree to USB debugging" in why
    assert "unauthorized" in why


async def test_a_phone_whose_adb_has_no_shell_v2_is_refused_with_the_reason(
    tmp_path: Path, anyio_backend: object
) -> None:
    async with phones(1, shell_v2=False) as rig:
        why = await why_not(Bench(rig, tmp_path))
    assert "shell_v2" in why
    assert "Android 7" in why


async def test_a_frozen_phone_is_not_waited_for_longer_than_is_said(bench: Bench) -> None:
    bench.phone.freeze()
    assert "waited 0.3 s in vain for its answer" in await why_not(bench, connect_timeout_s=0.3)


async def test_a_phone_that_did_not_answer_is_connected_to_anew(bench: Bench) -> None:
    bench.phone.freeze()
    await why_not(bench, connect_timeout_s=0.3, connect=True)
    links = set(bench.phone.links)
    bench.phone.thaw()
    async with bench.open(connect=True):
        assert not links & bench.phone.links


async def test_a_working_folder_that_cannot_be_made_is_said(bench: Bench) -> None:
    bench.far("").parent.joinpath("taken").touch()
    assert "cannot be made" in await why_not(bench, root="/data/local/tmp/taken")


async def test_two_sessions_to_one_phone_are_two(bench: Bench) -> None:
    async with bench.open() as one:
        async with bench.open() as other:
            assert one is not other
        done = await one.execute(bench.attempt(Command(["echo", "still"])))
        assert isinstance(done, Completed)
        assert done.stdout == "still\n"


async def test_a_device_too_many_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_DEVICES", 1)
    async with bench.open():
        async with bench.open():  # the same device does not count twice
            pass
        with pytest.raises(DeviceLostError, match="give this device another server_port"):
            async with bench.open(bench.rig[1]):
                pytest.fail("it opened")
    async with bench.open(bench.rig[1]):
        pass


# ---------------------------------------------------------------------------------------------------------- servers


@pytest.fixture
async def own_port(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, anyio_backend: object) -> AsyncIterator[int]:
    """A port on which the adapter may start a server, which is ended afterwards."""
    monkeypatch.setenv("HOME", str(tmp_path))
    port = free_port()
    yield port
    with anyio.CancelScope(shield=True):
        try:
            async with server_at(port).conversation() as talk:
                await talk.request("host:kill")
                await talk.agreed()
        except Exception:  # noqa: S110  there is none
            pass


async def test_a_server_is_started_when_none_answers_and_outlives_us_as_nobodys_child(
    bench: Bench, own_port: int
) -> None:
    why = await why_not(bench, server_port=own_port, start_server=True)
    assert "no device" in why
    assert int(await server_at(own_port).say("host:version"), 16) >= 41
    assert _parent_of_server(own_port) != os.getpid()


def _parent_of_server(port: int) -> int:
    (place,) = [path for path in Path("/proc").glob("[0-9]*") if _names(path / "cmdline", port)]
    return int((place / "stat").read_text().rpartition(")")[2].split()[1])


def _names(path: Path, port: int) -> bool:
    try:
        return f"tcp:localhost:{port}".encode() in path.read_bytes()
    except OSError:
        return False


async def test_a_server_that_died_is_started_again_and_the_phone_connected(bench: Bench, own_port: int) -> None:
    (Path(os.environ["HOME"]) / ".android").mkdir()
    for path in (bench.rig.server.home / ".android").iterdir():
        (Path(os.environ["HOME"]) / ".android" / path.name).write_bytes(path.read_bytes())
    settings: dict[str, Any] = {"server_port": own_port, "start_server": True, "connect": True}
    async with bench.open(**settings) as session:
        assert isinstance(await session.execute(bench.attempt(Command(["true"]))), Completed)
        async with server_at(own_port).conversation() as talk:
            await talk.request("host:kill")
            await talk.agreed()
        with anyio.fail_after(10):
            await session.until_lost()
    async with bench.open(**settings) as session:
        assert isinstance(await session.execute(bench.attempt(Command(["true"]))), Completed)


async def test_without_leave_no_server_is_started(bench: Bench) -> None:
    why = await why_not(bench, server_port=free_port())
    assert "no adb server answers" in why
    assert "start_server" in why


async def test_a_program_that_is_no_adb_is_said(bench: Bench, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"server_port": free_port(), "start_server": True}
    assert "which is no program" in await why_not(bench, adb=tmp_path / "none", **settings)


async def test_a_program_that_starts_no_server_is_said(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, port = tmp_path / "adb", free_port()
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    settings: dict[str, Any] = {"adb": program, "server_port": port, "start_server": True}
    told = f"'{program} -P {port} start-server' says what is wrong"
    assert told in await why_not(bench, connect_timeout_s=0.2, **settings)
    monkeypatch.setattr(server, "_READY_S", 0.1)  # of whoever has no time limit
    assert told in await why_not(bench, **settings)


@asynccontextmanager
async def stub(answer: Callable[[bytes], bytes]) -> AsyncIterator[int]:
    """Something that answers on a port as it likes."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await stream.send(answer(await stream.receive()))

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield port_of(listener)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"OKAY00040020", "of version 32, and Galaxy wants 41"),
        (b"OKAY0004zzzz", "no adb server that Galaxy knows: its version is 'zzzz'; choose another server_port"),
        (b"HTTP/1.1 400 Bad Request\r\n", "says 'HTTP', which no adb server does; choose another server_port"),
        (b"FAIL0004nope", "no adb server that Galaxy knows: nope; choose another server_port"),
        (b"OKAY00", "closed the conversation"),
        (b"OKAYxxxx", "says 'xxxx' for a length; choose another server_port"),
    ],
)
async def test_a_server_of_another_kind_is_told_from_ours_and_left_alone(bench: Bench, said: bytes, why: str) -> None:
    async with stub(lambda _: said) as port:
        told = await why_not(bench, server_port=port)
    assert why in told
    assert f"port {port}" in told


async def test_what_listens_and_says_nothing_is_named_with_what_to_do(bench: Bench) -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener:
        port = port_of(listener)
        why = await why_not(bench, server_port=port, connect_timeout_s=0.1)
    assert f"waited 0.1 s in vain for an answer from what listens on port {port}" in why
    assert "choose another server_port" in why


async def test_a_search_says_what_is_wrong_with_its_server_without_a_class_of_python(bench: Bench) -> None:
    async with stub(lambda _: b"OKAY00040020") as port:
        with pytest.raises(GalaxyError, match="of version 32, and Galaxy wants 41"), anyio.fail_after(10):
            await discover(AdbDiscovery(server_port=port), lambda _: None)


def test_adb_is_looked_for_in_a_fixed_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(binary.VARIABLE, raising=False)
    assert binary.find(None) == bundled_adb()
    mine = tmp_path / "adb"
    mine.write_text("")
    mine.chmod(0o755)
    monkeypatch.setenv(binary.VARIABLE, str(mine))
    assert binary.find(None) == mine
    assert binary.find(bundled_adb()) == bundled_adb()


def test_a_server_on_another_port_leaves_emulators_and_the_network_to_the_usual_one() -> None:
    around = {"PATH": "/bin", "ANDROID_SERIAL": "x", "ADB_SERVER_SOCKET": "tcp:5038"}
    usual, other = binary.environment(5037, around), binary.environment(5038, around)
    assert usual == {"PATH": "/bin", "ANDROID_ADB_SERVER_PORT": "5037"}
    assert (other["ADB_MDNS"], other["ADB_LOCAL_TRANSPORT_MAX_PORT"]) == ("0", "5553")
