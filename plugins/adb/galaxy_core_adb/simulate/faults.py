"""How a phone misbehaves: what is armed, and when it strikes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal

import anyio
from attrs import define, field

from galaxy_core.testing.contract.faults import FAULTS, PHASES, Fault, Phase

#: Strikes services that begin an attempt, which is known by its mark.
MARKED: Final = "GALAXY_MARK="

#: What a phone can be told to do; the rig adds that its server dies. None: it can.
CELLS: Final[Mapping[tuple[Fault, Phase], str | None]] = {(fault, phase): None for fault in FAULTS for phase in PHASES}

#: No packet of shell v2 begins so, and no message of adb's.
GARBAGE: Final = b"\xf7\xee\xee\xee\xee" + bytes(range(128, 192))


@define
class Strike:
    """One misbehaviour: for the next `times` services whose name contains `on` (None: for ever)."""

    fault: Fault | Literal["refuse"]
    phase: Phase
    times: int | None = 1
    on: str = MARKED


@define
class Faults:
    """What one phone is told to do. Times in seconds, sizes in bytes."""

    slow_s: float = 0.1
    #: Later than any deadline of the contract kit's attempts.
    late_s: float = 1.5
    #: A command that has said nothing for so long is in its middle.
    middle_s: float = 0.05
    huge_bytes: int = 4 * 1024 * 1024
    #: What the next connections suffer from, until healed.
    connecting: Fault | None = None
    #: Services are not answered any more.
    deaf: bool = False
    #: Folders list names that lead elsewhere.
    hostile_names: bool = False
    #: How many more bytes fit on the disk; None: enough.
    free_bytes: int | None = None
    armed: list[Strike] = field(factory=list)

    def take(self, service: str) -> Strike | None:
        """What strikes this service, which has just been asked for."""
        for strike in self.armed:
            if strike.on in service:
                if strike.times is not None:
                    strike.times -= 1
                    if strike.times <= 0:
                        self.armed.remove(strike)
                return strike
        return None

    def clear(self) -> None:
        """Behave."""
        self.armed.clear()
        self.connecting = None
        self.deaf = self.hostile_names = False
        self.free_bytes = None


@define
class WireFaults:
    """What happens to the bytes of all links of a phone, whatever they carry. Numbers count from when they are set."""

    drop_at: int | None = None
    garble_at: int | None = None
    #: Pieces of so many bytes, so many seconds apart.
    trickle: tuple[int, float] | None = None
    #: A host may have taken a wrong length for a right one, and wait for the rest.
    tainted: bool = False

    async def pass_on(self, data: bytes, send: Callable[[bytes], Awaitable[None]]) -> bool:
        """Send what is left of `data`; False when the link is to be cut."""
        if self.drop_at is None and self.garble_at is None and self.trickle is None:
            await send(data)
            return True
        if self.garble_at is not None:
            if self.garble_at < len(data):
                end = self.garble_at + 8
                data = data[: self.garble_at] + bytes(byte ^ 0xA5 for byte in data[self.garble_at : end]) + data[end:]
                self.garble_at, self.tainted = None, True
            else:
                self.garble_at -= len(data)
        whole = True
        if self.drop_at is not None:
            whole = self.drop_at >= len(data)
            data = data[: self.drop_at]
            self.drop_at = self.drop_at - len(data) if whole else None
        await self._send(data, send)
        return whole

    async def _send(self, data: bytes, send: Callable[[bytes], Awaitable[None]]) -> None:
        size, pause_s = self.trickle or (len(data) or 1, 0.0)
        for start in range(0, len(data), size):
            await send(data[start : start + size])
            if pause_s:
                await anyio.sleep(pause_s)

    def clear(self) -> None:
        """Behave."""
        self.drop_at = self.garble_at = self.trickle = None
        self.tainted = False
