"""What is told of devices that are found, and of those that a run waits for."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
from attrs import define, field

from galaxy_core import (
    ConstellationDeviceManager,
    ConstellationEvent,
    DeviceEvent,
    Discovery,
    Event,
    EventType,
    TaskConstellation,
)
from galaxy_core_cli.discovering import Wanted, among, finder_of, may_bring, seen, unusable, waits
from galaxy_core_cli.running.reporter import Reporter
from galaxy_core_cli.text import duration, safe_line

#: Seconds that a device may take to come before it is said that it is waited for; and between two looks at what is seen.
PATIENCE_S = 1.0
#: Facts of a device that has come which are told, in this order, as far as they are known.
_FACTS = ("model", "android", "windows", "os", "hostname", "platform")


@define(eq=False)
class Searching:
    """An observer of a run, with the searches of its inventory; `reporter` is told."""

    manager: ConstellationDeviceManager
    discoveries: Sequence[Discovery]
    reporter: Reporter
    _told: set[str] = field(factory=set)
    _began: anyio.Event = field(factory=anyio.Event)

    heard = frozenset({EventType.DEVICE_CONNECTED, EventType.CONSTELLATION_STARTED})

    async def on_event(self, event: Event) -> None:
        """Say who has come; once for each device."""
        if isinstance(event, ConstellationEvent):
            self._began.set()
        elif isinstance(event, DeviceEvent) and event.device_id not in self._told:
            name = finder_of(event.device_id, self.discoveries)
            if name is not None:
                self._told.add(event.device_id)
                facts = event.device_info.get("facts") or {}
                known = [str(facts[one]) for one in _FACTS if one in facts][:3]
                more = f": {', '.join(map(safe_line, known))}" if known else ""
                self.reporter.tell(f"discovery {name!r} has found device {event.device_id!r}{more}")

    async def watch(self, constellation: TaskConstellation) -> None:
        """While the run cannot start for want of a device that may be found, say so, and what is seen meanwhile."""
        needs, said = waits(constellation), dict[tuple[str, str], str]()
        is_told = False
        while not self._began.is_set():
            with anyio.move_on_after(PATIENCE_S):
                await self._began.wait()
                return
            missing = {need: ids for need, ids in needs.items() if not self.manager.lane_book.fitting(need)}
            hopes = self._hopes(missing)
            if not hopes:
                continue
            if not is_told:
                is_told = True
                ids = [one for each in missing.values() for one in each]
                names = ", ".join(map(safe_line, ids[:3])) + (f" and {len(ids) - 3:,} more" if len(ids) > 3 else "")
                wait_s = max(one.wait_s for one in hopes)
                self.reporter.tell(f"waiting up to {duration(wait_s)} for {among(hopes)} (for {names})")
            self._tell_seen(hopes, said)

    def _hopes(self, missing: dict[Wanted, list[str]]) -> list[Discovery]:
        plugins = self.manager.plugins
        able = {one.name for need in missing for one in may_bring(self.discoveries, plugins, need[:2])}
        return [one for one in self.discoveries if one.name in able]

    def _tell_seen(self, hopes: Sequence[Discovery], said: dict[tuple[str, str], str]) -> None:
        """What is seen and cannot be used, whenever that changes."""
        sightings = self.manager.sightings()
        for one in hopes:
            problems = sightings.get(one.name, {})
            new = {key: text for key, text in problems.items() if said.get((one.name, key)) != text}
            said.update({(one.name, key): text for key, text in new.items()})
            if new:
                self.reporter.tell(f"discovery {one.name!r} sees, and cannot take, {unusable(new)}")

    def seen(self) -> list[str]:
        """What all searches have seen so far, in sentences."""
        return list(seen(self.manager, self.discoveries))
