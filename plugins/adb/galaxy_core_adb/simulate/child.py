"""Phones in a process of their own, which takes orders as lines of JSON: `python -m galaxy_core_adb.simulate.child COUNT FOLDER`.

First it says ``{"serials": [...]}``. An order is ``{"id": 1, "phone": 0, "do": "inject", "with": ["hang",
"middle"]}``, answered by ``{"id": 1, "value": null}`` or ``{"id": 1, "error": "…"}``; answers may come in another order. Also
without being asked it may say ``{"kill_server": true}``, which a fault wants, or ``{"restore": 0}`` when that phone is back.
When its input ends, so does it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
from attrs import asdict

from galaxy_core_adb.simulate.keys import PublicKey
from galaxy_core_adb.simulate.phone import Phone


def tell(**message: Any) -> None:
    """One line to whoever started this."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def lines(number: int) -> AsyncIterator[bytes]:
    """The lines of an open file that is no regular one, until its end."""
    os.set_blocking(number, False)
    buffer = b""
    while True:
        await anyio.wait_readable(number)
        piece = os.read(number, 65_536)
        if not piece:
            return
        *whole, buffer = (buffer + piece).split(b"\n")
        for line in whole:
            yield line


async def obey(phones: list[Phone], order: Mapping[str, Any]) -> None:
    """Do one order, and answer it."""
    try:
        value = await _done(phones[order["phone"]], order["do"], order.get("with", []))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        tell(id=order.get("id"), error=repr(error))
    else:
        tell(id=order["id"], value=value)


async def _done(phone: Phone, verb: str, given: list[Any]) -> Any:
    match verb:
        case "inject":
            return await phone.inject(*given)
        case "heal":
            return await phone.heal()
        case "truth":
            return asdict(await phone.truth(*given))
        case "remains":
            return list(await phone.remains())
        case "online":
            return phone.online
        case "misbehave":
            return phone.misbehave(*given)
        case "trust":
            return phone.keys.add(PublicKey.parse(given[0].encode()))
        case "unplug" | "plug" | "come_back" | "agree" | "forget_keys" | "freeze" | "thaw" | "reboot":
            return getattr(phone, verb)(*given)
        case "set":  # a number of its faults, such as late_s
            name, value = given
            for place in (phone.faults, phone.wire):
                if hasattr(place, name):
                    return setattr(place, name, tuple(value) if isinstance(value, list) else value)
    raise ValueError(f"no phone can do {verb!r}")


class _Elsewhere:
    """The server, which the process that started this one knows how to handle."""

    def __init__(self, number: int) -> None:
        self._number = number

    async def die(self) -> None:
        tell(kill_server=True)

    async def restore(self, serial: str) -> None:
        tell(restore=self._number)

    async def noticed(self, serial: str, online: Callable[[], bool]) -> None:
        pass


async def main(count: int, folder: Path, options: Mapping[str, Any]) -> None:
    """Live until the input ends."""
    async with AsyncExitStack() as stack:
        phones: list[Phone] = []
        for number in range(count):
            phone = Phone(folder / f"phone-{number + 1}", f"sim-{number + 1}", **options)
            phone.behind(_Elsewhere(number))
            phones.append(await stack.enter_async_context(phone.running()))
        tell(serials=[phone.serial for phone in phones])
        async with anyio.create_task_group() as tasks:
            async for line in lines(0):
                tasks.start_soon(obey, phones, json.loads(line))
            tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]) if len(sys.argv) > 3 else {})
