"""Finder: one background task per discovery that registers the devices which its transport finds, and says when they go."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import anyio

from galaxy_core.errors import DeviceLostError, GalaxyError
from galaxy_core.extension.interfaces import Sighting
from galaxy_core.extension.redaction import Redactor
from galaxy_core.model.device import Discovery
from galaxy_core.model.policy import RetryPolicy
from galaxy_core.model.reasons import message_of, shown
from galaxy_core.runtime.blaming import blamed
from galaxy_core.runtime.lanes import LaneBook, Requirements, takes
from galaxy_core.runtime.settings import settings_to_find

if TYPE_CHECKING:
    from galaxy_core.runtime.devices import ConstellationDeviceManager

#: More devices than this are not taken from one discovery, nor reasons kept: what lists so many is broken, or hostile.
MOST = 1000


class Finder:
    """Keeps one discovery going, until `stop`. `problems` says of what was seen, by its key, why it is no device.

    `error` is why the search does not work, None once it has seen something.
    """

    def __init__(self, discovery: Discovery, transport: Any, manager: ConstellationDeviceManager) -> None:
        self.discovery = discovery
        self.error: BaseException | None = None
        self.problems: dict[str, str] = {}
        self.found: dict[str, str] = {}  # device ids, by what the transport knows the device by
        self.ended = anyio.Event()
        self._transport = transport
        self._manager = manager
        self._scope = anyio.CancelScope()
        self._redactor: Redactor | None = None
        self._failures = 0

    def stop(self) -> None:
        """End, and leave the devices that were found as they are."""
        self._scope.cancel()

    async def run(self) -> None:
        """Discover; and begin again, after a while, when that breaks."""
        manager, backoff = self._manager, RetryPolicy(backoff_s=1.0)
        try:
            with self._scope:
                while True:
                    try:
                        settings, self._redactor = await settings_to_find(self._transport, self.discovery)
                        await self._transport.discover(settings, self.seen)
                        self.error = GalaxyError(
                            f"transport {self.discovery.transport!r} has stopped to look for devices"
                        )
                    except BaseException as error:  # whoever asks why there is no device receives it
                        failure = blamed(error, "transport", self.discovery.transport)
                        self.error = failure if self._redactor is None else self._redactor.error(failure)
                    self._failures += 1
                    manager._logger.warning("discovery %r: %s", self.discovery.name, message_of(self.error))
                    await anyio.sleep(backoff.wait_s(self._failures, manager.clock.random.random()))
        finally:
            manager._finders.pop(self.discovery.name, None)
            self.ended.set()

    def seen(self, sighting: Sighting) -> None:
        """A transport has seen something; see `SightingSink`."""
        try:
            self._seen(sighting)
        except Exception as error:  # the transport is not to blame for what follows from it
            self._manager._logger.warning("discovery %r: %s", self.discovery.name, message_of(error))

    def _seen(self, sighting: Sighting) -> None:
        if not isinstance(sighting, Sighting):
            raise TypeError(f"transport {self.discovery.transport!r} has seen {shown(sighting)}, which is no Sighting")
        key, manager = sighting.key, self._manager
        self.error, self._failures = None, 0
        self.problems.pop(key, None)
        device_id = self.found.get(key)
        if not sighting.present or sighting.problem is not None:
            why = sighting.problem or "it went"
            if sighting.present:
                why = self._useless(key, why)
            if device_id is not None:
                manager._gone(device_id, DeviceLostError(device_id, why))
            return
        if device_id is None:
            device_id = self._taken(sighting)
        if device_id is not None:
            manager._here(device_id)

    def _named(self, sighting: Sighting) -> str | None:
        """The device of the inventory that was seen, if it names that one: it must not become a second device."""
        found = {device_id for finder in self._manager._finders.values() for device_id in finder.found.values()}
        for device_id, lane in self._manager.lane_book.lanes.items():
            is_ours = lane.device.transport == self.discovery.transport and device_id not in found
            if is_ours and _is_the_same(lane.device.settings, sighting.settings):
                return device_id
        return None

    def _found_elsewhere(self, sighting: Sighting) -> str | None:
        """The name of another discovery that has found this very device."""
        lanes = self._manager.lane_book.lanes
        for name, finder in self._manager._finders.items():
            if finder is not self and finder.discovery.transport == self.discovery.transport:
                lane = lanes.get(finder.found.get(sighting.key, ""))
                if lane is not None and _is_the_same(lane.device.settings, sighting.settings):
                    return name
        return None

    def _taken(self, sighting: Sighting) -> str | None:
        discovery, key = self.discovery, sighting.key
        if (named := self._named(sighting)) is not None:
            self.found[key] = named
            return named
        if not discovery.takes(sighting.facts):
            self._useless(key, f"it is not one of those that are meant: {_differences(discovery, sighting.facts)}")
            return None
        if (other := self._found_elsewhere(sighting)) is not None:
            self.problems[key] = f"discovery {other!r} has found it already"
            return None
        if len(self.found) >= MOST:
            self._useless(key, f"{MOST} devices were found already")
            return None
        device = discovery.device(key, sighting.settings, self._transport.device_type)
        lane = self._manager.lane_book.lanes.get(device.device_id)
        if lane is None:
            try:
                self._manager.add_device(device)
            except GalaxyError as error:  # such as a serial number that its own transport does not take
                self._useless(key, message_of(error))
                return None
        elif (lane.device.transport, dict(lane.device.settings)) != (device.transport, dict(device.settings)):
            # What is found says itself what it is called: it must not speak for a device that somebody has named.
            self._useless(key, f"there is another device {device.device_id!r}; rename that, or the discovery")
            return None
        self.found[key] = device.device_id
        return device.device_id

    def _useless(self, key: str, why: str) -> str:
        """Keep why something is no device; the reason, without secrets."""
        if self._redactor is not None:
            key, why = self._redactor.text(key), self._redactor.text(why)
        if len(self.problems) < MOST:
            self.problems[key] = why
        return why


def _is_the_same(said: Mapping[str, Any], seen: Mapping[str, Any]) -> bool:
    """Whether settings mean what was seen: what both say agrees, and there is something that both say."""
    both = said.keys() & seen.keys()
    return bool(both) and all(said[name] == seen[name] for name in both)


def _differences(discovery: Discovery, facts: Mapping[str, str]) -> str:
    """Which facts do not match, and how: whoever writes patterns has to know."""
    wrong = {name: wanted for name, wanted in discovery.match.items() if not fnmatchcase(facts.get(name, ""), wanted)}
    return ", ".join(
        f"its {name} is {facts[name]!r}, not {wanted!r}" if name in facts else f"it says no {name}"
        for name, wanted in wrong.items()
    )


def may_bring(discovery: Discovery, transport: Any, needs: Requirements) -> bool:
    """Whether what a discovery finds would meet these requirements."""
    expected = discovery.device("", {}, transport.device_type)
    return expected.lacks(needs[0], needs[1]) is None and takes(transport, needs[2])


def worth_waiting(finders: Iterable[Finder], needs: Collection[Requirements], book: LaneBook) -> float:
    """How long devices may be waited for that would meet what none that is connected can, in seconds."""
    missing = [need for need in needs if not book.fitting(need)]
    hopes = (
        finder.discovery.wait_s
        for finder in finders
        if any(may_bring(finder.discovery, finder._transport, need) for need in missing)
    )
    return max(hopes, default=0.0)
