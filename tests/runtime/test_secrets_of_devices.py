"""What a transport says, returns and raises is free of its device's secrets before anybody hears it."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import pytest
from pydantic import BaseModel

from galaxy_core import (
    Completed,
    ConstellationDeviceManager,
    Device,
    DeviceLostError,
    EventBus,
    ExecutionResult,
    Refused,
    SecretRef,
    TaskConstellationOrchestrator,
    Unknown,
)
from galaxy_core.extension.hookspecs import hookimpl
from galaxy_core.extension.interfaces import Attempt
from galaxy_core.runtime.masked import MaskedSession
from galaxy_core.testing.fakes import Recorder

from .fakes import plan

CANARY = "hunter2canary"
pytestmark = pytest.mark.anyio


class Settings(BaseModel):
    password: str = "none"
    nested: dict[str, list[str]] = {}


class Chatterbox:
    """A transport that tells its password at `moment`: "open", "close", or by what `say` makes of it in an attempt."""

    name = "chatter"
    settings_model: Any = Settings
    requests = frozenset({"none"})
    actions: Mapping[str, Any] = {}
    device_type: str | None = None

    def __init__(self, moment: str = "", say: Callable[[Attempt, str], Any] | None = None) -> None:
        self.moment = moment
        self.say = say
        self.session: Any = None

    @hookimpl
    def galaxy_transports(self) -> list[Any]:
        return [self]

    @asynccontextmanager
    async def open(self, _device: Device, settings: Settings, /) -> AsyncIterator[Any]:
        self.password = settings.nested["a"][0] if settings.nested else settings.password
        if self.moment == "open":
            raise PermissionError(f"login with {self.password} failed")
        yield self
        if self.moment == "close":
            raise PermissionError(f"logout with {self.password} failed")

    async def execute(self, attempt: Attempt, /) -> Any:
        assert self.say is not None
        answer = self.say(attempt, self.password)
        if isinstance(answer, BaseException):
            raise answer
        if answer is None:
            await anyio.sleep_forever()
        return answer

    async def probe(self) -> Mapping[str, str]:
        if self.moment == "probe":
            raise ConnectionError(f"{self.password} expired")
        return {"user": self.password, self.password: "x"}


class House:
    """One device whose password is the canary, and everything that was told of it."""

    def __init__(self, manager: ConstellationDeviceManager, recorder: Recorder, log: pytest.LogCaptureFixture) -> None:
        self.manager = manager
        self.recorder = recorder
        self._log = log

    async def run(self, timeout_s: float | None = None) -> ExecutionResult:
        orchestrator = TaskConstellationOrchestrator(self.manager, event_bus=self.manager.event_bus)
        outcome = await orchestrator.orchestrate_constellation(
            plan("a", timeout=timeout_s), assignment_strategy="round_robin"
        )
        result: ExecutionResult = outcome["results"]["a"]
        return result

    def told(self, *more: object) -> str:
        """All that anybody could read; nothing of it may be secret."""
        infos = str(self.manager.get_all_devices())
        records = "\n".join(record.getMessage() for record in self._log.records)
        return "\n".join([str(self.recorder.events), repr(self.recorder.events), infos, records, *map(str, more)])


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[..., Any]:
    monkeypatch.setenv("SEC", CANARY)
    caplog.set_level(logging.DEBUG)

    @asynccontextmanager
    async def house(transport: Chatterbox, settings: Mapping[str, Any] | None = None) -> AsyncIterator[House]:
        bus = EventBus()
        recorder = Recorder()
        bus.subscribe(recorder)
        async with ConstellationDeviceManager(plugins=[transport], event_bus=bus, max_retries=0) as manager:
            device = Device("d1", "chatter", {"password": SecretRef(env="SEC")} if settings is None else settings)
            manager.add_device(device)
            yield House(manager, recorder, caplog)

    return house


async def test_a_device_that_cannot_be_opened_tells_no_secret(house: Any) -> None:
    async with house(Chatterbox("open")) as found:
        assert not await found.manager.connect_device("d1")
        error = found.manager.lane_book.lane("d1").error
        told = found.told(*traceback.format_exception(error))
    assert "login with *** failed" in told
    assert CANARY not in told


async def test_a_secret_at_any_depth_is_masked(house: Any) -> None:
    async with house(Chatterbox("open"), {"nested": {"a": [SecretRef(env="SEC")]}}) as found:
        assert not await found.manager.connect_device("d1")
        assert "login with *** failed" in found.told()
        assert CANARY not in found.told()


@pytest.mark.parametrize("moment", ["close", "probe"])
async def test_a_session_that_breaks_tells_no_secret(house: Any, moment: str) -> None:
    async with house(Chatterbox(moment)) as found:
        assert await found.manager.connect_device("d1")
        if moment == "probe":
            await anyio.sleep(found.manager.heartbeat_interval + 1)
        await found.manager.disconnect_all()
        assert "***" in found.told()
        assert CANARY not in found.told()


async def test_the_facts_of_a_probe_hold_no_secret(house: Any) -> None:
    async with house(Chatterbox()) as found:
        await found.manager.connect_device("d1")
        assert await found.manager.lane_book.lane("d1").session.probe() == {"user": "***", "***": "x"}


def chained(secret: str) -> Exception:
    error = RuntimeError("clear")
    error.__cause__ = ValueError(secret)
    return error


def left(attempt: Attempt, secret: str) -> Any:
    """Says something, leaves something, and waits for its deadline."""
    attempt.partial = Completed(stdout=f"was {secret}", metadata={secret: [secret]})
    attempt.emit("stdout", secret)


def left_rubbish(attempt: Attempt, secret: str) -> Any:
    attempt.partial = Completed(exit_code=secret)  # type: ignore[arg-type]  # that is the rubbish


ANSWERS: dict[str, Callable[[Attempt, str], Any]] = {
    "refused": lambda _, secret: Refused(f"no {secret}"),
    "unknown": lambda _, secret: Unknown(f"lost {secret}"),
    "failed": lambda _, secret: Completed(error=f"bad {secret}"),
    "failed with an exception": lambda _, secret: Completed(error=chained(secret)),
    "completed": lambda _, secret: Completed({"a": secret}, 0, secret, secret, metadata={"b": secret}),
    "raised": lambda _, secret: ValueError(secret),
    "raised to exit": lambda _, secret: SystemExit(secret),
    "raised together": lambda _, secret: ExceptionGroup(secret, [ValueError(secret)]),
    "lost": lambda _, secret: DeviceLostError("d1", f"with {secret}"),
    "rubbish": lambda _, secret: Completed(exit_code=secret),  # type: ignore[arg-type]  # that is the rubbish
    "interrupted": left,
    "interrupted with rubbish": left_rubbish,
}


@pytest.mark.parametrize("kind", sorted(ANSWERS))
async def test_an_attempt_tells_no_secret_however_it_ends(house: Any, kind: str) -> None:
    async with house(Chatterbox(say=ANSWERS[kind])) as found:
        result = await found.run(timeout_s=5)
        trace = traceback.format_exception(result.error) if isinstance(result.error, BaseException) else []
        told = found.told(result, repr(result), result.to_dict(), vars(result.error) if trace else "", *trace)
        single = await found.manager.assign_task_to_device("b", "d1", "", timeout=5) if kind != "lost" else None
    assert CANARY not in told
    assert CANARY not in found.told(single, repr(single))
    assert "***" in told


async def test_output_as_it_comes_is_masked_across_its_pieces(house: Any) -> None:
    def say(attempt: Attempt, secret: str) -> Completed:
        for piece in ("a ", secret[:5], secret[5:], " b ", secret[:3]):
            attempt.emit("stdout", piece)
        attempt.emit("stderr", secret[3:])
        return Completed()

    async with house(Chatterbox(say=say)) as found:
        await found.run()
        heard = "".join(event.data["text"] for event in found.recorder.events if "text" in event.data)
    assert heard == "a *** b ter2canaryhun"


async def test_a_device_without_secrets_has_the_very_session_of_its_transport(house: Any) -> None:
    transport = Chatterbox()
    async with house(transport, {"password": "in clear"}) as found:
        await found.manager.connect_device("d1")
        assert found.manager.lane_book.lane("d1").session is transport
    async with house(transport) as found:
        await found.manager.connect_device("d1")
        assert type(found.manager.lane_book.lane("d1").session) is MaskedSession


class AskingKeyring:
    """A keyring that asks a person, who takes her time: until `answered`."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.answered = threading.Event()

    def get_password(self, service: str, user: str) -> str:
        self.asked.set()
        assert self.answered.wait(20)
        return CANARY


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> Iterator[AskingKeyring]:
    made = AskingKeyring()
    monkeypatch.setitem(sys.modules, "keyring", cast(Any, made))
    yield made
    made.answered.set()


class TestSecretsThatAPersonIsAskedFor:
    DEVICE = Device("d", "chatter", {"password": SecretRef(keyring="lab/d")})

    async def test_hold_up_nobody_else(self, keyring: AskingKeyring) -> None:
        manager = ConstellationDeviceManager(event_bus=EventBus(), plugins=[Chatterbox()])
        manager.add_device(self.DEVICE)
        manager.start_connecting()
        while not keyring.asked.is_set():  # noqa: ASYNC110  it is set by another thread
            await anyio.sleep(0.001)
        assert manager.get_device_status("d")["status"] == "connecting"
        keyring.answered.set()
        while manager.get_device_status("d")["status"] != "idle":  # noqa: ASYNC110  as above
            await anyio.sleep(0.001)
        await manager.disconnect_all()

    async def test_are_not_waited_for_by_whoever_gives_up(self, keyring: AskingKeyring) -> None:
        manager = ConstellationDeviceManager(event_bus=EventBus(), plugins=[Chatterbox()])
        manager.add_device(self.DEVICE)
        manager.start_connecting()
        while not keyring.asked.is_set():  # noqa: ASYNC110  it is set by another thread
            await anyio.sleep(0.001)
        with anyio.fail_after(10):
            await manager.disconnect_all()
        assert manager.get_device_status("d")["status"] == "disconnected"
