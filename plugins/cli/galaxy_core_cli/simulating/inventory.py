"""The inventory of simulated devices as a file: for its owner alone, never in the place of somebody else's, and gone at the end."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path, PurePath
from shlex import quote
from typing import Any

import yaml
from attrs import define, field

from galaxy_core import Device, SecretRef
from galaxy_core_cli import say

_SUFFIXES = (".yaml", ".yml")
#: What this command writes begins with it; more of a file than `_MOST` bytes is never ours.
_HEADING = re.compile(
    r"# Written by `galaxy simulate`, process (\d+), as ([0-9a-f]{16}); it is removed when that ends\.\n"
)
_MOST = 16 * 2**20
_OTHER = "name another file with --out"


@define
class InventoryFile:
    """A file that was not there, or is ours to replace; `text` is what was written to it, for the process `pid`."""

    path: Path
    force: bool = False
    text: str = ""
    pid: int = field(factory=os.getpid)

    def check(self) -> None:
        """See whether it may be written.

        Raises:
            WrongValueError: it may not: its name, its folder, or what stands there is in the way.
        """
        name = f"--out {str(self.path)!r} cannot be used: "
        if self.path.suffix.lower() not in _SUFFIXES:
            raise say.WrongValueError(f"{name}the inventory is YAML; name a file that ends with .yaml")
        if not self.path.parent.is_dir():
            raise say.WrongValueError(f"{name}there is no folder {str(self.path.parent)!r}")
        if self.path.is_dir():
            raise say.WrongValueError(f"{name}it is a folder")
        if not self.force and os.path.lexists(self.path) and (why := self._in_the_way()):
            raise say.WrongValueError(f"{name}{why}")

    def _in_the_way(self) -> str | None:
        """Why what stands there is not ours to replace."""
        try:
            with open(self.path, encoding="utf-8", newline="") as file:
                text = file.read(_MOST)
        except (OSError, UnicodeDecodeError):
            text = ""
        found = _HEADING.match(text)
        if found is None:
            return f"it was not written by galaxy simulate; {_OTHER}, or have it overwritten with --force"
        if _digest(text[found.end() :]) != found[2]:
            return f"somebody has changed it; {_OTHER}, or have it overwritten with --force"
        if _lives(int(found[1])):
            return f"it belongs to a galaxy simulate that still runs (process {found[1]}); end that, or {_OTHER}"
        return None

    def write(self, devices: Sequence[Device]) -> None:
        """Put these devices there, all or nothing.

        Raises:
            WrongValueError: meanwhile something else is there.
            OSError: it cannot be written.
        """
        self.check()
        body = f"# galaxy run PLAN --devices {quote(self.path.name)}\n{as_yaml(devices)}"
        text = f"# Written by `galaxy simulate`, process {self.pid}, as {_digest(body)}; it is removed when that ends.\n{body}"
        descriptor, draft = tempfile.mkstemp(prefix=f".{self.path.name}-", dir=self.path.parent)  # for its owner alone
        try:
            with open(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            os.replace(draft, self.path)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft)
            raise
        self.text = text

    def remove(self) -> bool:
        """Take it away again, unless somebody has changed it; whether it was (or nothing was written)."""
        if not self.text:
            return True
        with suppress(OSError, UnicodeDecodeError):
            with open(self.path, encoding="utf-8", newline="") as file:
                if file.read(_MOST) != self.text:
                    return False
            os.unlink(self.path)
        return True

    def remove_as_written(self) -> None:
        """Take it away if it is as it was written for our process, whichever process did that."""
        with suppress(OSError, UnicodeDecodeError):
            with open(self.path, encoding="utf-8", newline="") as file:
                text = file.read(_MOST)
            found = _HEADING.match(text)
            if found is not None and int(found[1]) == self.pid and _digest(text[found.end() :]) == found[2]:
                os.unlink(self.path)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def _lives(pid: int) -> bool:
    if os.name != "posix":  # where asking is ending
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return pid != os.getpid()


def as_yaml(devices: Sequence[Device]) -> str:
    """An inventory of these devices. What they are by default is left out."""
    document = {"devices": {device.device_id: _keys(device) for device in devices}}
    text: str = yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=120)
    return text


def _keys(device: Device) -> dict[str, Any]:
    return {"transport": device.transport} | {
        name: value
        for name, value in {
            "device_type": device.device_type,
            "capabilities": sorted(device.capabilities),
            "max_concurrency": device.max_concurrency if device.max_concurrency > 1 else None,
            "settings": plain(device.settings),
            "metadata": plain(device.metadata),
        }.items()
        if value
    }


def plain(value: Any) -> Any:
    """Settings as an inventory has them: references to secrets as mappings, paths as text."""
    if isinstance(value, SecretRef):
        kind, _, where = str(value).partition(":")
        return {kind: where}
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value
