"""What a device is: its type, its capabilities, its settings (secrets by reference), its status."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

from attrs import field, frozen


class DeviceType(Enum):
    """The platform of a device, as a task may ask for it."""

    WINDOWS = "windows"
    MACOS = "macos"
    LINUX = "linux"
    ANDROID = "android"
    IOS = "ios"
    WEB = "web"
    API = "api"


class DeviceStatus(Enum):
    """Where the connection to a device stands. CONNECTED, IDLE and BUSY are available."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    FAILED = "failed"
    REGISTERING = "registering"
    BUSY = "busy"
    IDLE = "idle"


AVAILABLE = frozenset({DeviceStatus.CONNECTED, DeviceStatus.IDLE, DeviceStatus.BUSY})


@frozen
class SecretRef:
    """Where a secret is to be found; never the secret itself.

    Exactly one of `env` (name of an environment variable), `file` (path of a file, whose last newline is dropped) and
    `keyring` ("service/user") is set.
    """

    env: str | None = None
    file: str | None = None
    keyring: str | None = None

    def __attrs_post_init__(self) -> None:
        if sum(part is not None for part in (self.env, self.file, self.keyring)) != 1:
            raise ValueError("a secret is referred to by exactly one of env, file and keyring")

    def __str__(self) -> str:
        for kind in ("env", "file", "keyring"):
            if (where := getattr(self, kind)) is not None:
                return f"{kind}:{where}"
        raise AssertionError("unreachable: exactly one is set")


def device_type_name(kind: DeviceType | str | None) -> str | None:
    """The lower-case name of a device type, however it was given; None stays None."""
    if kind is None:
        return None
    return kind.value if isinstance(kind, DeviceType) else str(kind).lower()


def _names(names: Iterable[str]) -> frozenset[str]:
    return frozenset(names)  # as a function, because mypy cannot read the type of `converter=frozenset`


@frozen
class Device:
    """One device of an inventory. `device_type` is a lower-case name or None (not known), `max_concurrency` ≥ 1.

    `folder` is that of the inventory file, from which relative paths in `settings` are seen; None: the current one.
    """

    device_id: str
    transport: str = "local"
    settings: Mapping[str, Any] = field(factory=dict)
    device_type: str | None = field(default=None, converter=device_type_name)
    capabilities: frozenset[str] = field(factory=frozenset, converter=_names)
    metadata: Mapping[str, Any] = field(factory=dict)
    max_concurrency: int = 1
    folder: str | None = None

    def __attrs_post_init__(self) -> None:
        if not self.device_id:
            raise ValueError("a device needs an id")
        if self.max_concurrency < 1:
            raise ValueError(
                f"max_concurrency of device {self.device_id!r} is {self.max_concurrency}; it must be at least 1"
            )

    def lacks(self, device_type: str | None, requires: frozenset[str]) -> str | None:
        """What this device is missing for such a task, in words; None when it fits."""
        lacking = []
        if device_type is not None and device_type != self.device_type:
            lacking.append(f"is {self.device_type or 'of unknown type'}, not {device_type}")
        if missing := requires - self.capabilities:
            lacking.append("lacks " + ", ".join(sorted(missing)))
        return " and ".join(lacking) or None


@frozen
class Discovery:
    """Devices that a transport finds by itself: which ones, and what they are to a plan.

    `match` maps names of facts to patterns such as ``Pixel*``; a device that is found is taken only if all of them match.
    Each one taken becomes a `Device` whose id is `name`, a hyphen and what the transport knows it by. A run that has no
    device for some task waits up to `wait_s` seconds for one to be found. `settings` are those of the search,
    `device_settings` those of each device, beside what the search says of it, which wins.
    """

    name: str
    transport: str
    settings: Mapping[str, Any] = field(factory=dict)
    match: Mapping[str, str] = field(factory=dict)
    device_type: str | None = field(default=None, converter=device_type_name)
    capabilities: frozenset[str] = field(factory=frozenset, converter=_names)
    metadata: Mapping[str, Any] = field(factory=dict)
    max_concurrency: int = 1
    wait_s: float = 60.0
    folder: str | None = None
    device_settings: Mapping[str, Any] = field(factory=dict)

    def device(self, key: str, settings: Mapping[str, Any], device_type: str | None) -> Device:
        """What is found under `key`, as a device. An id is made of any text: what it may not hold is replaced."""
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", key)[:_LONGEST_KEY]
        if plain != key:  # two keys must not give one id
            plain += f"-{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
        return Device(
            f"{self.name}-{plain}",
            self.transport,
            {**self.device_settings, **settings},
            self.device_type or device_type,
            self.capabilities,
            self.metadata,
            self.max_concurrency,
            self.folder,
        )

    def takes(self, facts: Mapping[str, str]) -> bool:
        """Whether a device with these facts is one of those that are meant."""
        return all(fnmatchcase(facts.get(name, ""), pattern) for name, pattern in self.match.items())


_LONGEST_KEY = 64


def this_machine() -> Device:
    """What plans run on when nobody says anything else: `here`, as many tasks at a time as there are processors."""
    family = "posix" if os.name == "posix" else "windows"
    return Device("here", capabilities=[family], max_concurrency=os.cpu_count() or 1)
