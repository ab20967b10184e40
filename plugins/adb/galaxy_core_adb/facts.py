"""What is known of a device once it has answered: from its properties, its screen, and what its adb can do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from galaxy_core.extension.adapter.marks import sweep_script
from galaxy_core.extension.adapter.posix import quote
from galaxy_core_adb.texts import one_line

#: Properties of Android, and what we call them.
_PROPERTIES: Final[Mapping[str, str]] = {
    "ro.product.model": "model",
    "ro.product.manufacturer": "manufacturer",
    "ro.product.brand": "brand",
    "ro.product.name": "product",
    "ro.product.device": "device",
    "ro.build.version.release": "android",
    "ro.build.version.sdk": "sdk",
    "ro.product.cpu.abi": "abi",
    "ro.product.cpu.abilist": "abis",
    "ro.serialno": "serialno",
    "ro.build.fingerprint": "fingerprint",
}
_PROPERTY: Final = re.compile(r"^\[([^\]\n]{1,200})\]: \[([^\n]*)\]\r?$", re.MULTILINE)
_SIZE: Final = re.compile(r"^(Physical|Override) (size|density): (\S{1,40})\s*$", re.MULTILINE)
_READY: Final = "galaxy: ready"


def opening_script(root: str) -> str:
    """Whether the working folder is there, and what the device is; the first thing that is run. Starts little, for speed."""
    return f"cd -- {quote(root)} && echo '{_READY}'\ngetprop\nwm size\nwm density\nexit 0"


def making_script(root: str, marks_folder: str) -> str:
    """Makes the working folder, and removes what died in it days ago, and markers that are old."""
    folder = quote(root)
    old = f"find {folder} -maxdepth 1 -name '.galaxy-*' -mtime +1 -exec rm -rf {{}} + 2>/dev/null"
    old += f"\n{sweep_script(marks_folder)}"
    return f"mkdir -p {folder} && cd {folder} && echo '{_READY}' || exit 1\n{old}\nexit 0"


def was_made(text: str) -> bool:
    """Whether the working folder is there, as these scripts say."""
    return text.startswith(_READY)


def parse(text: str, features: str) -> dict[str, str]:
    """Facts of what `opening_script` says and of the features that the server knows."""
    facts = {}
    for match in _PROPERTY.finditer(text):
        name = _PROPERTIES.get(match[1])
        if name is not None and match[2]:
            facts[name] = one_line(match[2])
    for kind, what, value in _SIZE.findall(text):
        name = "screen" if what == "size" else "density"
        if kind == "Override" or name not in facts:
            facts[name] = one_line(value)
    facts["features"] = one_line(features)
    return facts
