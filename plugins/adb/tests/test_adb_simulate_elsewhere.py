"""Phones in a process of their own, and those that `galaxy simulate phone` starts."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from galaxy_core.errors import SimulatorError
from galaxy_core.extension.transports import Simulator
from galaxy_core.testing.contract.faults import FarSide
from galaxy_core_adb.simulate import simulator as simulators
from galaxy_core_adb.simulate.remote import phones_elsewhere
from galaxy_core_adb.simulate.rig import phones
from galaxy_core_adb.simulate.server import GONE, ask
from galaxy_core_adb.simulate.simulator import PhoneSimulator

from .adb_asking import Said, said, until

pytestmark = pytest.mark.anyio


async def test_phones_elsewhere_are_phones(anyio_backend: object) -> None:
    async with phones_elsewhere(2) as rig:
        for phone in rig:
            assert isinstance(phone, FarSide)
            assert await said(rig.port, phone.serial, "echo it; exit 3") == Said(b"it\n", b"", (3,))
        assert (await said(rig.port, rig[0].serial, "export GALAXY_MARK=m-1; exec /bin/sh -c 'exit 4'")).code == 4
        assert (await rig[0].truth("m-1")).exit_code == 4
        assert (await rig[1].truth("m-1")).starts == 0
        assert await rig[0].remains() == []
        with pytest.raises(ValueError, match="no phone can do 'fly'"):
            await rig[0].do("fly")


async def test_phones_elsewhere_misbehave_when_told(anyio_backend: object) -> None:
    async with phones_elsewhere(1) as rig:
        phone = rig[0]
        await phone.inject("lost_answer", "exit")
        assert (await said(rig.port, phone.serial, "export GALAXY_MARK=m-1; exec echo it")).codes == ()
        await phone.inject("server_dead", "start")
        assert (await said(rig.port, phone.serial, "export GALAXY_MARK=m-2; exec echo it")).refused is not None
        await phone.heal()
        await phone.inject("disconnect", "connect")
        assert (await said(rig.port, phone.serial, "true", within_s=5)).code is None
        await phone.heal()
        assert (await said(rig.port, phone.serial, "true")).code == 0


async def test_a_frozen_process_says_nothing_and_is_still_listed(anyio_backend: object) -> None:
    async with phones_elsewhere(1) as rig:
        rig.freeze()
        assert (await said(rig.port, rig[0].serial, "true", within_s=0.3)).hung
        assert "device" in await ask(rig.port, "host:devices")
        rig.thaw()
        assert (await said(rig.port, rig[0].serial, "true", within_s=10)).code == 0


async def test_a_phone_elsewhere_comes_back_by_itself(anyio_backend: object) -> None:
    async with phones_elsewhere(1) as rig:
        await rig[0].do("come_back", 0.1)

        async def answers() -> bool:
            return (await said(rig.port, rig[0].serial, "true", within_s=5)).code == 0

        await until(answers)


async def test_an_error_of_whoever_uses_phones_arrives_as_it_is(anyio_backend: object) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with phones(1):
            raise KeyError("mine")
    with pytest.raises(KeyError, match="mine"):
        async with phones_elsewhere(1):
            raise KeyError("mine")


async def test_simulated_phones_are_devices_for_an_inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulators, "PER_SERVER", 2)
    assert isinstance(PhoneSimulator(), Simulator)
    async with PhoneSimulator().simulate(3, tmp_path) as devices:
        assert [device.device_id for device in devices] == ["phone-1", "phone-2", "phone-3"]
        assert {device.transport for device in devices} == {"adb"}
        ports = [device.settings["server_port"] for device in devices]
        assert ports[0] == ports[1] != ports[2]
        for device in devices:
            assert (await said(device.settings["server_port"], device.settings["serial"], "exit 3")).code == 3
    for port in set(ports):
        with pytest.raises(OSError, match=r"connection attempts failed|refused"):
            await ask(port, "host:version")


async def test_phones_are_not_started_where_they_cannot_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SimulatorError, match="needs Linux"):
        async with PhoneSimulator().simulate(1, tmp_path):
            pass


async def test_one_server_takes_no_more_than_it_survives(anyio_backend: object) -> None:
    with pytest.raises(ValueError, match="251 phones are too many"):
        async with phones(251):
            pass


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="nothing here can have a server end with who started it")
async def test_a_server_ends_with_a_process_that_is_killed(anyio_backend: object) -> None:
    script = (
        "import anyio\nfrom galaxy_core_adb.simulate.rig import phones\n"
        "async def main():\n    async with phones(1) as rig:\n"
        "        print(f'{rig.port} {rig.folder}', flush=True)\n        await anyio.sleep_forever()\n"
        "anyio.run(main)"
    )
    async with await anyio.open_process([sys.executable, "-c", script], stderr=None) as process:
        assert process.stdout is not None
        line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 1000)
        port, folder = line.split()
        assert await ask(int(port), "host:version")
        process.kill()
        await process.wait()

    async def gone() -> bool:
        try:
            return not await ask(int(port), "host:version")
        except GONE:
            return True

    await until(gone)
    shutil.rmtree(folder.decode())
