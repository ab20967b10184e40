"""Inventory files: `load_inventory`, `parse_inventory`, and the `Inventory` that they give.

See docs/reference/inventory-files.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from galaxy_core.model.device import Device, Discovery, SecretRef, this_machine
from galaxy_core.model.places import Findings, Place
from galaxy_core.model.schema_inventory import validated_inventory
from galaxy_core.model.source import MAX_BYTES, Source, find_foreign, parse, read_source, text_source

_SECRET_KEYS = frozenset({"env", "file", "keyring"})


@frozen
class Inventory:
    """The devices that plans run on, in the order of the file.

    By default one, `here`: this machine, which does as many things at a time as it has processors.
    """

    devices: list[Device] = field(factory=lambda: [this_machine()])
    #: Where others are to be looked for.
    discoveries: list[Discovery] = field(factory=list)


def parse_inventory(
    data: Mapping[str, Any] | str, format: str = "yaml", source: str = "<text>", *, max_bytes: int = MAX_BYTES
) -> Inventory:
    """The inventory of a text in `format` ("yaml", "json", "toml"), or of data that has been parsed already.

    `source` names it in errors.

    Raises:
        DocumentError: it is not an inventory; all that is wrong with it is listed, with places.
    """
    if isinstance(data, str):
        return _checked(text_source(data, format, source, max_bytes), None)
    return _checked(Source(source, format), dict(data))


def load_inventory(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> Inventory:
    """The inventory of a YAML, JSON or TOML file. Relative paths in it are seen from the folder in which it lies.

    Raises:
        DocumentError: it is not an inventory; all that is wrong with it is listed, with places.
        OSError: it cannot be read; FileNotFoundError when there is none.
    """
    place = Path(path)
    folder = str(place.absolute().parent) if place.is_file() else None  # what a pipe says has no place
    return _checked(read_source(path, max_bytes), None, folder)


def _checked(source: Source, data: dict[str, Any] | None, folder: str | None = None) -> Inventory:
    if data is None:
        data = parse(source, "an inventory")
    if "tasks" in data and "devices" not in data:
        raise source.refuse_whole("is a plan, not an inventory: it has 'tasks', and no 'devices'")
    findings = Findings()
    document = validated_inventory(data, findings)
    if document is not None and not document.keys() & {"devices", "discover"}:
        findings.add(
            (), "it has neither 'devices' nor 'discover': name devices below one, or say where to look below the other"
        )
    for section in ("devices", "discover"):
        _find_foreign(section, data.get(section), findings)
    if document is None or findings:
        raise source.refuse(findings)
    return Inventory(
        [_device(device_id, keys, folder) for device_id, keys in document.get("devices", {}).items()],
        [_discovery(name, keys, folder) for name, keys in document.get("discover", {}).items()],
    )


def _find_foreign(section: str, entries: Any, findings: Findings) -> None:
    """Adds what is no plain data in settings and metadata, and references to secrets that lead nowhere."""
    for name, keys in entries.items() if isinstance(entries, dict) else ():
        for key in ("settings", "device_settings", "metadata"):
            if isinstance(keys, dict) and key in keys:
                place = (section, name, key)
                if find_foreign(place, keys[key], findings) and key != "metadata":
                    _find_broken_references(place, keys[key], findings)


def _find_broken_references(place: Place, value: Any, findings: Findings) -> None:
    """Adds references to secrets that could never be resolved."""
    if isinstance(value, dict):
        entry = value.get("keyring") if len(value) == 1 else None
        if isinstance(entry, str):
            service, _, user = entry.rpartition("/")
            if not (service and user):
                text = 'an entry of the keyring is written "service/user"; here one of them is missing'  # not its value
                findings.add((*place, "keyring"), text)
        for key, inner in value.items():
            _find_broken_references((*place, key), inner, findings)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _find_broken_references((*place, index), inner, findings)


def _device(device_id: str, keys: Mapping[str, Any], folder: str | None) -> Device:
    return Device(
        device_id,
        keys.get("transport", "local"),
        {name: _with_references(value, folder) for name, value in keys.get("settings", {}).items()},
        keys.get("device_type"),
        frozenset(keys.get("capabilities", ())),
        dict(keys.get("metadata", {})),
        keys.get("max_concurrency", 1),
        folder,
    )


def _discovery(name: str, keys: Mapping[str, Any], folder: str | None) -> Discovery:
    return Discovery(
        name,
        keys["transport"],
        {key: _with_references(value, folder) for key, value in keys.get("settings", {}).items()},
        dict(keys.get("match", {})),
        keys.get("device_type"),
        frozenset(keys.get("capabilities", ())),
        dict(keys.get("metadata", {})),
        keys.get("max_concurrency", 1),
        keys.get("wait_s", 60.0),
        folder,
        {key: _with_references(value, folder) for key, value in keys.get("device_settings", {}).items()},
    )


def _with_references(value: Any, folder: str | None) -> Any:
    """A setting with references to secrets as what they are, at whatever depth they stand."""
    if isinstance(value, dict):
        if len(value) == 1:
            ((kind, where),) = value.items()
            if kind in _SECRET_KEYS and isinstance(where, str):
                if kind == "file" and folder is not None and not where.startswith("~"):
                    where = os.path.join(folder, where)
                return SecretRef(**{kind: where})
        return {name: _with_references(inner, folder) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_references(inner, folder) for inner in value]
    return value
