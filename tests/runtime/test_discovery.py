"""Devices that are found, go, and come back; and those that say by themselves that they are lost or worth another try."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from pydantic import BaseModel, ConfigDict

from galaxy_core import Command, Completed, Device, Discovery, NoFittingDeviceError, SecretRef, SettingsError
from galaxy_core.extension.interfaces import FEATURES_OF_COMMANDS, Session, Sighting, SightingSink
from galaxy_core.runtime.finder import MOST
from galaxy_core.testing.fakes import FakeTransport, hang

from .fakes import Rig, plan, rig, until

pytestmark = pytest.mark.anyio


class Search(BaseModel):
    model_config = ConfigDict(extra="forbid")
    port: int = 5037


class Reached(BaseModel):
    serial: str = ""
    port: int = 0
    root: str = ""


class FindingTransport(FakeTransport):
    """A `FakeTransport` that finds devices: `see` says what it has seen."""

    def __init__(self) -> None:
        super().__init__("finding", device_type="android", settings_model=Reached)
        self.discovery_model: Any = Search
        self.features = FEATURES_OF_COMMANDS | {"discovers", "watches", "returns"}
        self.sink: SightingSink | None = None
        self.searches: list[Any] = []
        self.error: Exception | None = None
        self.facts: Any = {}
        self.cut = anyio.Event()
        self.back = anyio.Event()
        self.ended = anyio.Event()

    async def discover(self, settings: Any, seen: SightingSink, /) -> None:
        self.searches.append(settings)
        if self.error is not None:
            raise self.error
        self.sink = seen
        self.ended = anyio.Event()
        try:
            await self.ended.wait()
        finally:
            self.sink = None

    def see(self, key: str, present: bool = True, **more: Any) -> None:
        assert self.sink is not None
        self.sink(Sighting(key, present, more.pop("settings", {}), more.pop("facts", {}), **more))

    async def until_back(self, device: Device, settings: Any, /) -> None:
        await self.back.wait()

    @asynccontextmanager
    async def open(self, device: Device, settings: Any, /) -> AsyncIterator[Session]:
        async with super().open(device, settings) as session:
            self.cut = anyio.Event()

            async def until_lost() -> str:
                await self.cut.wait()
                return "the plug was pulled"

            session.until_lost = until_lost  # type: ignore[attr-defined]
            session.facts = self.facts  # type: ignore[attr-defined]
            yield session


@asynccontextmanager
async def house(*devices: Device, **options: Any) -> AsyncIterator[tuple[Rig, FindingTransport]]:
    transport = FindingTransport()
    async with rig(*(devices or (Device("other", "fake"),)), plugins=[transport], **options) as found:
        yield found, transport


PHONES = Discovery("phones", "finding", {"port": 5038}, {"model": "Pixel*"}, capabilities=["camera"], wait_s=30)


class TestFinding:
    async def test_a_run_waits_for_a_device_that_may_be_found_and_uses_it(self) -> None:
        async with house() as (it, transport):
            it.manager.add_discovery(PHONES)
            results: dict[str, Any] = {}

            async def run() -> None:
                results.update(await it.run(plan("a", requires=["camera"])))

            async with anyio.create_task_group() as group:
                group.start_soon(run)
                await anyio.sleep(5)
                assert not results
                transport.see("X:1", facts={"model": "Nokia 3310"})
                transport.see("X:2", facts={"model": "Pixel 8"})
        assert results["status"] == "completed"
        assert results["results"]["a"].device_id.startswith("phones-X_2-")
        assert transport.searches == [Search(port=5038)]

    async def test_a_run_that_waits_in_vain_says_what_no_device_has(self) -> None:
        async with house() as (it, _):
            it.manager.add_discovery(PHONES)
            begin = anyio.current_time()
            with pytest.raises(NoFittingDeviceError, match="camera"):
                await it.run(plan("a", requires=["camera"]))
            assert anyio.current_time() - begin >= PHONES.wait_s

    async def test_a_run_that_needs_none_of_them_waits_for_none(self) -> None:
        async with house() as (it, _):
            it.manager.add_discovery(PHONES)
            begin = anyio.current_time()
            assert (await it.run(plan("a")))["status"] == "completed"
            assert anyio.current_time() - begin < 2

    async def test_a_device_that_is_found_while_a_run_is_under_way_takes_part(self) -> None:
        async with house() as (it, transport):
            it.manager.add_discovery(Discovery("phones", "finding"))
            it.transport.script("a", hang)
            async with anyio.create_task_group() as group:
                group.start_soon(it.run, plan("a b c"))
                await until(lambda: it.device("other").running == ["a"])
                transport.see("p1")
                await until(lambda: transport.device("phones-p1").ended == ["b"])
                group.cancel_scope.cancel()

    async def test_one_that_goes_is_lost_at_once_and_one_that_comes_back_is_used_again(self) -> None:
        async with house() as (it, transport):
            it.manager.add_discovery(Discovery("phones", "finding"))
            it.manager.start_connecting()
            await until(lambda: transport.sink is not None)
            transport.see("p1")
            await until(lambda: it.manager.get_device_status("phones-p1").get("status") == "idle")
            transport.see("p1", present=False)
            await until(lambda: it.manager.get_device_status("phones-p1")["status"] == "disconnected")
            begin = anyio.current_time()
            transport.see("p1")
            await until(lambda: it.manager.get_device_status("phones-p1")["status"] == "idle")
            assert anyio.current_time() - begin < 1

    async def test_one_that_cannot_be_used_is_no_device_and_the_reason_is_kept(self) -> None:
        async with house() as (it, transport):
            it.manager.add_discovery(Discovery("phones", "finding"))
            it.manager.start_connecting()
            await until(lambda: transport.sink is not None)
            transport.see("p1", problem="unauthorized: agree on its screen")
            assert list(it.manager.lane_book.lanes) == ["other"]
            assert it.manager.sightings() == {"phones": {"p1": "unauthorized: agree on its screen"}}
            transport.see("p1")
            await until(lambda: it.manager.get_device_status("phones-p1").get("status") == "idle")
            assert it.manager.sightings() == {"phones": {}}

    async def test_one_that_does_not_match_is_said_to_differ_in_what(self) -> None:
        async with house() as (it, transport):
            it.manager.add_discovery(Discovery("phones", "finding", match={"model": "Pixel*", "android": "1?"}))
            it.manager.start_connecting()
            await until(lambda: transport.sink is not None)
            transport.see("n1", facts={"model": "Nokia 3310"})
            why = it.manager.sightings()["phones"]["n1"]
            assert why.endswith(": its model is 'Nokia 3310', not 'Pixel*', it says no android")

    async def test_a_search_that_does_not_work_is_told_of_until_it_sees_something(self) -> None:
        async with house() as (it, transport):
            transport.error = ConnectionRefusedError("no server")
            it.manager.add_discovery(Discovery("phones", "finding"))
            assert it.manager.failing_discoveries() == {}
            it.manager.start_connecting()
            await until(lambda: bool(it.manager.failing_discoveries()))
            assert it.manager.failing_discoveries() == {"phones": "ConnectionRefusedError: no server"}
            transport.error = None
            await until(lambda: transport.sink is not None)
            transport.see("p1")
            assert it.manager.failing_discoveries() == {}

    async def test_one_that_the_inventory_names_is_not_a_second_device(self) -> None:
        async with house(Device("mine", "finding", {"serial": "S1", "root": "/x"})) as (it, transport):
            it.manager.add_discovery(Discovery("phones", "finding"))
            it.manager.start_connecting()
            await until(lambda: transport.sink is not None)
            transport.see("S1", settings={"serial": "S1", "port": 1})
            transport.see("S2", settings={"serial": "S2", "port": 1})
            await until(lambda: len(it.manager.get_connected_devices()) == 2)
            assert set(it.manager.lane_book.lanes) == {"mine", "phones-S2"}
            transport.see("S1", present=False)
            await until(lambda: it.manager.get_device_status("mine")["status"] == "disconnected")

    async def test_one_that_another_search_has_found_is_told_so(self) -> None:
        async with house() as (it, transport):
            it.manager.add_discovery(Discovery("phones", "finding"))
            it.manager.start_connecting()
            await until(lambda: transport.sink is not None)
            transport.see("S1", settings={"serial": "S1"})
            it.manager.add_discovery(Discovery("others", "finding"))
            it.manager.start_connecting()
            await until(lambda: len(transport.searches) == 2)
            transport.see("S1", settings={"serial": "S1"})
            assert set(it.manager.lane_book.lanes) == {"other", "phones-S1"}
            assert it.manager.sightings()["others"] == {"S1": "discovery 'phones' has found it already"}

    async def test_a_task_that_no_named_device_takes_waits_for_one_that_may_be_found(self) -> None:
        async with house() as (it, transport):
            transport.requests = frozenset({"run"})
            it.transport.requests = frozenset({"call", "none"})
            it.manager.add_discovery(Discovery("phones", "finding", wait_s=30))
            results: dict[str, Any] = {}

            async def run() -> None:
                results.update(await it.run(plan("a", request=Command(["x"]))))

            async with anyio.create_task_group() as group:
                group.start_soon(run)
                await until(lambda: transport.sink is not None)
                transport.see("S1")
        assert results["results"]["a"].device_id == "phones-S1"

    async def test_a_search_that_breaks_is_begun_again(self) -> None:
        async with house() as (it, transport):
            transport.error = ConnectionRefusedError("no server")
            it.manager.add_discovery(Discovery("phones", "finding"))
            it.manager.start_connecting()
            await until(lambda: len(transport.searches) >= 3)
            transport.error = None
            await until(lambda: transport.sink is not None)
            transport.see("p1")
            await until(lambda: it.manager.get_device_status("phones-p1").get("status") == "idle")

    async def test_rubbish_that_was_seen_harms_nobody(self) -> None:
        async with house() as (it, transport):
            it.manager.add_discovery(Discovery("phones", "finding"))
            it.manager.start_connecting()
            await until(lambda: transport.sink is not None)
            sink: Any = transport.sink
            for rubbish in (None, "p1", Sighting(3, True), Sighting("a", True, 3)):  # type: ignore[arg-type]
                sink(rubbish)
            transport.see("../../etc\0")
            await until(lambda: any(name.startswith("phones-..") for name in it.manager.lane_book.lanes))

    async def test_reasons_are_kept_of_so_many_only(self) -> None:
        async with house() as (it, transport):
            it.manager.add_discovery(PHONES)
            it.manager.start_connecting()
            await until(lambda: transport.sink is not None)
            for number in range(2 * MOST):
                transport.see(f"n{number}", facts={"model": "Nokia 3310"})
            assert len(it.manager.sightings()["phones"]) == MOST

    async def test_one_that_is_named_as_another_device_does_not_speak_for_that(self) -> None:
        async with house(Device("phones-p1", "fake")) as (it, transport):
            it.manager.add_discovery(Discovery("phones", "finding"))
            await it.manager.connect_all()
            await until(lambda: transport.sink is not None)
            for present in (True, False):
                transport.see("p1", present=present)
                assert it.manager.get_device_status("phones-p1")["status"] == "idle"
            transport.see("p1")
            assert "another device 'phones-p1'" in it.manager.sightings()["phones"]["p1"]

    async def test_one_whose_settings_its_own_transport_refuses_is_no_device(self) -> None:
        async with house() as (it, transport):
            transport.settings_model = Search
            it.manager.add_discovery(Discovery("phones", "finding"))
            it.manager.start_connecting()
            await until(lambda: transport.sink is not None)
            assert transport.sink is not None
            transport.sink(Sighting("p1", True, {"serial": "no such key"}))
            assert "serial" in it.manager.sightings()["phones"]["p1"]
            assert list(it.manager.lane_book.lanes) == ["other"]

    async def test_a_search_that_worked_for_a_while_is_begun_again_soon(self) -> None:
        async with house() as (it, transport):
            transport.error = ConnectionRefusedError("no server")
            it.manager.add_discovery(Discovery("phones", "finding"))
            it.manager.start_connecting()
            await until(lambda: len(transport.searches) >= 6)
            transport.error = None
            await until(lambda: transport.sink is not None)
            transport.see("p1")
            transport.error, tries, begin = (
                ConnectionRefusedError("no server"),
                len(transport.searches),
                anyio.current_time(),
            )
            transport.ended.set()
            await until(lambda: len(transport.searches) > tries)
            assert anyio.current_time() - begin < 2

    @pytest.mark.parametrize("moment", ["settings", "search", "sighting"])
    async def test_secrets_of_a_search_are_not_shown(
        self, moment: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        canary = "hunter2canary" if moment == "settings" else "4711471147114711"
        monkeypatch.setenv("WORD", canary)
        async with house() as (it, transport):
            transport.error = ConnectionRefusedError(f"no server at {canary}") if moment == "search" else None
            it.manager.add_discovery(Discovery("phones", "finding", {"port": SecretRef(env="WORD")}))
            it.manager.start_connecting()
            if moment == "sighting":
                await until(lambda: transport.sink is not None)
                transport.see("p1", problem=f"port {canary} is closed")
            else:
                await until(lambda: bool(it.manager.failing_discoveries()))
            told = f"{it.manager.failing_discoveries()} {it.manager.sightings()} {caplog.text}"
        assert canary not in told
        assert "***" in told or "port" in told

    async def test_it_ends_with_the_manager(self) -> None:
        async with house() as (it, transport):
            it.manager.add_discovery(Discovery("phones", "finding"))
            it.manager.start_connecting()
            await until(lambda: transport.sink is not None)
            await it.manager.disconnect_all()
            assert transport.sink is None

    async def test_settings_of_a_search_are_checked(self) -> None:
        async with house() as (it, _):
            with pytest.raises(SettingsError, match="prot"):
                it.manager.add_discovery(Discovery("phones", "finding", {"prot": 1}))
            with pytest.raises(SettingsError, match="finds no devices by itself"):
                it.manager.add_discovery(Discovery("phones", "fake"))


class TestSessionsThatWatch:
    async def test_a_link_that_says_that_it_is_gone_is_opened_again(self) -> None:
        async with house(Device("p", "finding")) as (it, transport):
            await it.manager.connect_all()
            transport.cut.set()
            await until(lambda: it.manager.get_device_status("p")["status"] == "disconnected")
            assert "the plug was pulled" in it.manager.get_device_status("p")["error"]
            await until(lambda: it.manager.get_device_status("p")["status"] == "idle")

    async def test_a_task_that_runs_then_is_lost(self) -> None:
        async with house(Device("p", "finding")) as (it, transport):
            transport.script("a", hang, Completed("again"))
            results: dict[str, Any] = {}

            async def run() -> None:
                results.update(await it.run(plan("a")))

            async with anyio.create_task_group() as group:
                group.start_soon(run)
                await until(lambda: transport.device("p").running == ["a"])
                transport.cut.set()
        assert str(results["results"]["a"].status) == "unknown"


class TestFacts:
    async def test_are_known_to_strategies_and_to_callers(self) -> None:
        async with house(Device("p", "finding")) as (it, transport):
            transport.facts = {"model": "Pixel 8"}
            await it.manager.connect_all()
            assert it.manager.get_device_status("p")["facts"] == {"model": "Pixel 8"}
            assert it.manager.lane_book.lane("p").load().facts == {"model": "Pixel 8"}

    @pytest.mark.parametrize("rubbish", [3, {"a": object()}, {1: None}, ["a"]])
    async def test_that_are_none_harm_nobody(self, rubbish: Any) -> None:
        async with house(Device("p", "finding")) as (it, transport):
            transport.facts = rubbish
            assert await it.manager.connect_all() == ["p"]


class TestDevicesThatReturn:
    async def test_a_return_shortens_the_wait_for_the_next_try(self) -> None:
        async with house(Device("p", "finding"), reconnect_delay=50.0) as (it, transport):
            transport.device("p").plugged = False
            await it.manager.connect_all()
            transport.device("p").plug_in()
            begin = anyio.current_time()
            transport.back.set()
            await until(lambda: it.manager.get_device_status("p")["status"] == "idle")
            assert anyio.current_time() - begin < 25

    async def test_one_that_was_given_up_is_taken_up_again_when_it_returns(self) -> None:
        async with house(Device("p", "finding"), max_retries=1) as (it, transport):
            transport.device("p").plugged = False
            await it.manager.connect_all()
            await until(lambda: it.manager.get_device_status("p")["status"] == "failed")
            await anyio.sleep(1000)
            transport.device("p").plug_in()
            transport.back.set()
            await until(lambda: it.manager.get_device_status("p")["status"] == "idle")

    @pytest.mark.parametrize(
        ("transport", "told"), [("finding", "it is tried again when it is back"), ("fake", "it is not tried again")]
    )
    async def test_whether_one_that_was_given_up_is_tried_again_is_told(
        self, transport: str, told: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with house(Device("p", "finding"), max_retries=2) as (it, found):
            found.device("p").plugged = False
            if transport == "fake":
                found.features = found.features - {"returns"}
            await it.manager.connect_all()
            await until(lambda: it.manager.get_device_status("p")["status"] == "failed")
        assert f"device 'p': failed; {told}" in caplog.text

    async def test_one_that_was_given_up_is_tried_again_when_somebody_asks(self) -> None:
        async with house(Device("p", "finding"), max_retries=0) as (it, transport):
            transport.device("p").plugged = False
            assert not await it.manager.connect_device("p")
            await until(lambda: it.manager.get_device_status("p")["status"] == "failed")
            transport.device("p").plug_in()
            assert await it.manager.connect_device("p")

    async def test_one_that_was_given_up_can_be_disconnected(self) -> None:
        async with house(Device("p", "finding"), max_retries=0) as (it, transport):
            transport.device("p").plugged = False
            assert not await it.manager.connect_device("p")
            await it.manager.disconnect_device("p")
            assert it.manager.get_device_status("p")["status"] in ("disconnected", "failed")
