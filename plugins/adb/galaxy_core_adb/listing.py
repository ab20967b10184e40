"""What `host:track-devices-l` says (AOSP: transport.cpp, append_transport): a line per device. Knows nothing of connections."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import field, frozen

from galaxy_core_adb.texts import one_line

#: A device that can be used.
READY: Final = "device"
#: adb has lost contact with it.
OFFLINE: Final = "offline"
_STATES: Final = (
    "device|offline|unauthorized|authorizing|connecting|bootloader|recovery|rescue|sideload|host|detached|unknown|"
    r"no permissions(?: \(.*\))?(?:; see \[.*\])?"
)
#: `SERIAL STATE key:value …`; the serial is padded with blanks, and may hold some.
_LINE: Final = re.compile(rf"(?P<serial>\S.*?)\s+(?P<state>{_STATES})(?P<rest>(?: \S+)*)\s*")
#: Facts in a listing, and what we call them. The server has put "_" for what is neither letter nor digit.
_FACTS: Final = {"product": "product", "model": "model", "device": "device"}


@frozen
class Listed:
    """A device as the server sees it. `transport_id` is new whenever it has been plugged in; "" when the server says none."""

    serial: str
    state: str
    transport_id: str = ""
    facts: Mapping[str, str] = field(factory=dict)

    @property
    def is_ready(self) -> bool:
        """Whether it can be used, as far as the server knows."""
        return self.state == READY


def parse(text: str) -> dict[str, Listed]:
    """The devices of a listing by serial. A line that is none of these is left out."""
    return {listed.serial: listed for listed in _lines(text)}


def _lines(text: str) -> Iterator[Listed]:
    for line in text.split("\n"):
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        pairs = dict(word.partition(":")[::2] for word in match["rest"].split())
        facts = {name: one_line(pairs[key]) for key, name in _FACTS.items() if pairs.get(key)}
        yield Listed(match["serial"], match["state"], pairs.get("transport_id", ""), facts)
