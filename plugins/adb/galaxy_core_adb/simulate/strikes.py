"""Misbehaviour that is the same whatever a service says: of its link, of the phone, of the server behind which it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from galaxy_core.testing.contract.faults import Phase
    from galaxy_core_adb.simulate.faults import Strike
    from galaxy_core_adb.simulate.link import Link
    from galaxy_core_adb.simulate.phone import Phone
    from galaxy_core_adb.simulate.stream import Stream


async def strike(phone: Phone, link: Link, stream: Stream, fault: Strike, phase: Phase) -> bool:
    """Do it; what was said before has arrived. False when it is about what the service says, which is not done."""
    if fault.fault in ("disconnect", "server_dead", "frozen"):
        await stream.taken()
    match fault.fault:
        case "hang":
            phone.faults.deaf |= phase == "clean_up"
            await anyio.sleep_forever()
        case "slow":
            await anyio.sleep(phone.faults.slow_s)
        case "late_answer":
            await anyio.sleep(phone.faults.late_s)
        case "disconnect":
            await cut(link)
        case "server_dead":
            await phone.kill_server()
            await anyio.sleep_forever()
        case "frozen":
            phone.freeze()
            await anyio.sleep_forever()
        case "authentication_lost":
            phone.forget_keys()
            if phase == "start":  # later, a phone keeps the link that there is
                await cut(link)
        case _:
            return False
    return True


async def cut(link: Link) -> None:
    """Cut the link. Does not return: with its link a service ends."""
    await link.flushed()
    link.drop()
    await anyio.sleep_forever()
