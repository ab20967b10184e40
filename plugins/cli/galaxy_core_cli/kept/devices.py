"""The devices that a run began with, as its journal has them: secrets by reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve

from galaxy_core import Inventory, parse_inventory
from galaxy_core_cli import say
from galaxy_core_cli.discovering import finder_of

#: What stands in place of a secret that was no reference.
HIDDEN = "***"
_KEYS = ("transport", "settings", "device_type", "capabilities", "metadata", "max_concurrency")
_SEARCH_KEYS = (*_KEYS, "device_settings", "match", "wait_s")


def recorded_inventory(header: Any, run_id: str) -> Inventory:
    """Those that were named, and the searches for others: what these had found, they find again.

    Raises:
        WrongValueError: a setting was not kept, because it is a secret that stood in the inventory itself.
        DocumentError: it is no inventory.
    """
    devices = {str(one["device_id"]): one for one in header.devices}
    searches = {str(one["name"]): one for one in header.discoveries}
    for name, one in (*devices.items(), *searches.items()):
        if hidden := [
            *_hidden(one.get("settings"), "settings"),
            *_hidden(one.get("device_settings"), "device_settings"),
        ]:
            raise say.WrongValueError(
                f"run {run_id!r} cannot reach {name!r} as it did: {', '.join(hidden)} stood in the inventory as itself, and "
                "secrets are not kept. Give --devices FILE; in it a reference such as {env: NAME} would have been kept"
            )
    document = {
        "devices": {name: _keys(one, _KEYS) for name, one in devices.items()},
        "discover": {name: _keys(one, _SEARCH_KEYS) for name, one in searches.items()},
    }
    found = parse_inventory(document, source=f"the devices that run {run_id!r} began with")
    return Inventory(
        [
            evolve(device, folder=devices[device.device_id].get("folder"))
            for device in found.devices
            if finder_of(device.device_id, found.discoveries) is None
        ],
        [evolve(one, folder=searches[one.name].get("folder")) for one in found.discoveries],
    )


def _keys(document: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: document[key] for key in keys if document.get(key) is not None}


def _hidden(value: Any, place: str) -> Iterator[str]:
    if value == HIDDEN:
        yield place
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _hidden(inner, f"{place}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _hidden(inner, f"{place}[{number}]")
