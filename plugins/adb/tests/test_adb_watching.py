"""Plug and unplug are seen as they happen: by sessions, by whoever waits for a device, and by a search."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from galaxy_core import Command, Device
from galaxy_core.extension.interfaces import Completed, Sighting
from galaxy_core_adb.server import server_at
from galaxy_core_adb.settings import AdbDiscovery

from .adb_bench import Bench, until

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def lost(bench: Bench) -> AsyncIterator[list[str]]:
    """A session, and why it says that it is lost once it does."""
    said: list[str] = []
    async with bench.open() as session, anyio.create_task_group() as tasks:

        async def listen() -> None:
            said.append(await session.until_lost())

        tasks.start_soon(listen)
        await anyio.wait_all_tasks_blocked()
        yield said
        await until(lambda: said)
        tasks.cancel_scope.cancel()


async def test_a_session_says_that_its_device_was_unplugged_and_does_not_say_it_before(bench: Bench) -> None:
    async with lost(bench) as said:
        bench.rig[1].unplug()  # of which it hears, and which is none of its business
        await until(lambda: _version(bench, 1) is None or not _version(bench, 1))
        assert not said
        bench.phone.unplug()
    assert "lost contact" in said[0]


def _version(bench: Bench, number: int) -> bool | None:
    seen = server_at(bench.rig.port).tracker.devices.get(bench.rig[number].serial)
    return None if seen is None else seen.listed.is_ready


async def test_a_session_says_that_its_server_died(bench: Bench) -> None:
    async with lost(bench) as said:
        bench.rig.server.kill()
    assert "adb server" in said[0]
    assert f"on port {bench.rig.port}" in said[0]


async def test_a_device_that_came_back_is_another_link(bench: Bench) -> None:
    async with lost(bench) as said:
        bench.phone.come_back(0.05)
    assert said


@pytest.mark.parametrize("was_tried", [True, False])
async def test_a_device_that_is_plugged_in_again_is_worth_another_try(bench: Bench, was_tried: bool) -> None:
    back = anyio.Event()

    async def wait() -> None:
        await bench.transport.until_back(Device("phone"), bench.settings())
        back.set()

    if was_tried:
        async with lost(bench):
            bench.phone.unplug()
    else:
        bench.phone.unplug()
        while (await bench.rig.server.states()).get(bench.phone.serial) == "device":  # noqa: ASYNC110  a server's view
            await anyio.sleep(0.01)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert not back.is_set()
        await bench.plug()
        with anyio.fail_after(10):
            await back.wait()
    async with bench.open() as session:
        assert isinstance(await session.execute(bench.attempt(Command(["true"]))), Completed)


async def test_a_device_that_is_as_it_was_when_it_was_tried_is_not_worth_another_try(bench: Bench) -> None:
    """A frozen phone is listed as ready all the time: nobody must try it without end."""
    async with bench.open():
        pass
    with anyio.move_on_after(0.3) as scope:
        await bench.transport.until_back(Device("phone"), bench.settings())
    assert scope.cancelled_caught


async def test_a_network_device_whose_server_is_gone_is_not_worth_another_try(bench: Bench) -> None:
    """It would be tried in vain without end, and said to be given up each time."""
    settings = bench.settings(connect=True, start_server=False)
    bench.rig.server.kill()
    with anyio.move_on_after(1.5) as scope:  # it asks twice a second whether there is one
        await bench.transport.until_back(Device("phone"), settings)
    assert scope.cancelled_caught


@asynccontextmanager
async def search(bench: Bench, **settings: object) -> AsyncIterator[list[Sighting]]:
    seen: list[Sighting] = []
    model = AdbDiscovery.model_validate({"server_port": bench.rig.port, "start_server": False, **settings})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.transport.discover, model, seen.append)
        yield seen
        tasks.cancel_scope.cancel()


async def test_a_search_tells_what_is_there_with_facts_and_how_to_reach_it(bench: Bench) -> None:
    async with search(bench) as seen:
        await until(lambda: len(seen) == 2)
    assert {one.key for one in seen} == {phone.serial for phone in bench.rig}
    for one in seen:
        assert one.present
        assert one.problem is None
        assert (one.facts["model"], one.facts["android"]) == ("Simulated Phone", "14")
        model = bench.transport.settings_model.model_validate(one.settings)
        async with bench.transport.open(Device("found"), model) as session:
            await session.probe()


async def test_a_search_tells_what_goes_and_what_comes_back(bench: Bench) -> None:
    serial = bench.phone.serial
    async with search(bench) as seen:
        await until(lambda: len(seen) == 2)
        bench.phone.unplug()
        await until(lambda: (seen[-1].key, seen[-1].present) == (serial, False))
        await bench.plug()
        await until(lambda: (seen[-1].key, seen[-1].present) == (serial, True))


async def test_a_search_survives_the_death_of_its_server(bench: Bench) -> None:
    async with search(bench) as seen:
        await until(lambda: len(seen) == 2)
        bench.rig.server.kill()
        await until(lambda: len(seen) == 4)
        assert not any(one.present for one in seen[2:])
        for phone in bench.rig:
            await bench.rig.server.restore(phone.serial)
        await until(lambda: {one.key for one in seen[4:] if one.present} == {phone.serial for phone in bench.rig})


async def test_a_search_without_the_network_leaves_its_devices_out(bench: Bench) -> None:
    async with search(bench, network=False) as seen:
        server = server_at(bench.rig.port)
        await until(lambda: len(server.tracker.devices) == 2)
        await anyio.wait_all_tasks_blocked()
    assert seen == []


async def test_a_phone_that_does_not_trust_us_is_seen_with_what_to_do(bench: Bench) -> None:
    async with search(bench) as seen:
        await until(lambda: len(seen) == 2)
        bench.phone.forget_keys()
        await bench.rig.server.run("disconnect", bench.phone.serial)
        await bench.rig.server.run("connect", bench.phone.serial)
        await until(lambda: "agree to USB debugging" in str(seen[-1].problem))
    assert seen[-1].present


async def test_a_frozen_phone_is_seen_all_the_same(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from galaxy_core_adb import watching

    monkeypatch.setattr(watching, "FACTS_S", 0.1)
    bench.phone.freeze()
    async with search(bench) as seen:
        await until(lambda: len(seen) == 2)
    frozen = next(one for one in seen if one.key == bench.phone.serial)
    assert frozen.facts["model"] == "Simulated_Phone"
