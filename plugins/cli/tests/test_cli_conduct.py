"""How a run is conducted, seen by a reporter of this test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from anyio.lowlevel import checkpoint

from galaxy_core import DeviceEvent, Event, EventType, TaskConstellation
from galaxy_core.errors import JournalFailedError
from galaxy_core_cli.files import read_inventory, registry
from galaxy_core_cli.running.conduct import Order, conduct
from galaxy_core_cli.running.reporter import Devices


class Slow:
    """A reporter that takes its time, most of all when a device leaves."""

    heard = frozenset({EventType.DEVICE_STATUS_CHANGED, EventType.TASK_COMPLETED})

    def __init__(self) -> None:
        self.told: list[Event] = []

    async def on_event(self, event: Event) -> None:
        await self.on_events([event])

    async def on_events(self, events: Sequence[Event]) -> None:
        for _ in range(100):
            await checkpoint()
        self.told += events

    async def keep_current(
        self, why: Callable[[str], object], devices: Callable[[], Devices], is_stopping: Callable[[], bool]
    ) -> None:
        """Nothing moves here."""

    def reachable(self, run: str, socket: Path) -> None:
        """Nobody wants to know."""

    def journal_failed(self, error: JournalFailedError) -> None:
        """Nobody wants to know."""

    def tell(self, text: str) -> None:
        """Nobody wants to know."""

    def restore(self) -> None:
        """Nothing was changed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left behind."""


@pytest.mark.anyio
@pytest.mark.parametrize("strategy", ["load_balance", "no such strategy"])
async def test_a_run_is_over_only_when_its_reporter_has_told_that_the_devices_left(strategy: str) -> None:
    reporter = Slow()
    plugins = registry((), no_plugins=True)
    order = Order(TaskConstellation(), read_inventory(None), strategy, plugins)
    try:
        await conduct(order, reporter)
    except Exception:
        assert strategy != "load_balance"
    last = reporter.told[-1]
    assert isinstance(last, DeviceEvent)
    assert last.device_status == "disconnected"
