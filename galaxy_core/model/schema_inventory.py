"""The shapes of inventory files, for pydantic: what is checked key by key, and what editors are told."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any, Final, Required

from pydantic import Field, TypeAdapter, ValidationError, with_config

from galaxy_core.model.explain import explain
from galaxy_core.model.places import Findings
from galaxy_core.model.schema_files import PATTERNS, DeviceTypeName, Id, Name, Text, config, json_schema_of

if sys.version_info >= (3, 12):
    from typing import TypedDict
else:  # pydantic reads the typing_extensions form alone there, and brings that package
    from typing_extensions import TypedDict


@with_config(config(title="Device"))
class DeviceDocument(TypedDict, total=False):
    """One device, and how to reach it."""

    transport: Annotated[
        Name,
        Field(json_schema_extra={"default": "local"}, description="The transport plugin, such as local, adb or winrm."),
    ]
    settings: Annotated[
        dict[str, Any],
        Field(
            description="Settings of the transport. A secret stands as {env: NAME}, {file: PATH} or "
            "{keyring: SERVICE/USER}, never as itself."
        ),
    ]
    device_type: Annotated[DeviceTypeName, Field(description="Its platform; by default what its transport says.")]
    capabilities: Annotated[list[Name], Field(description="What tasks may require of it.")]
    metadata: Annotated[dict[str, Any], Field(description="Anything else that strategies or people may want to know.")]
    max_concurrency: Annotated[
        int,
        Field(
            json_schema_extra={"default": 1}, ge=1, description="How many tasks may run on it at a time; 1 by default."
        ),
    ]


@with_config(config(title="Discovery"))
class DiscoveryDocument(TypedDict, total=False):
    """Devices that a transport finds by itself, and what they are to a plan."""

    transport: Required[Annotated[Name, Field(description="The transport plugin that looks for them, such as adb.")]]
    settings: Annotated[dict[str, Any], Field(description="Settings of the search; see the transport's page.")]
    device_settings: Annotated[
        dict[str, Any],
        Field(
            description="Settings of each device that is found, beside those by which the search reaches it. A secret "
            "stands as {env: NAME}, {file: PATH} or {keyring: SERVICE/USER}, never as itself."
        ),
    ]
    match: Annotated[
        dict[Name, Text],
        Field(description="Facts that a device must have to be taken, by name, each a pattern such as Pixel*."),
    ]
    device_type: Annotated[DeviceTypeName, Field(description="Their platform; by default what their transport says.")]
    capabilities: Annotated[list[Name], Field(description="What tasks may require of them.")]
    metadata: Annotated[dict[str, Any], Field(description="Anything else that strategies or people may want to know.")]
    max_concurrency: Annotated[
        int,
        Field(
            json_schema_extra={"default": 1},
            ge=1,
            description="How many tasks may run on each at a time; 1 by default.",
        ),
    ]
    wait_s: Annotated[
        float,
        Field(
            json_schema_extra={"default": 60},
            ge=0,
            allow_inf_nan=False,
            description="How long a run that cannot start without such a device waits for one, in seconds; 60 by default.",
        ),
    ]


@with_config(config(title="Galaxy inventory", anyOf=[{"required": ["devices"]}, {"required": ["discover"]}]))
class InventoryDocument(TypedDict, total=False):
    """The devices that plans run on: some that are named, some that are found, or both."""

    devices: Annotated[dict[Id, DeviceDocument], Field(description="Devices by id.")]
    discover: Annotated[
        dict[Id, DiscoveryDocument], Field(description="Devices that are found, by what their ids begin with.")
    ]


_INVENTORY: Final = TypeAdapter[InventoryDocument](InventoryDocument)
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "devices": tuple(DeviceDocument.__annotations__),
    "discover": tuple(DiscoveryDocument.__annotations__),
}


def _keys_at(place: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys that a mapping may have, by its place as pydantic reports it."""
    if not place:
        return tuple(InventoryDocument.__annotations__)
    return _KEYS.get(str(place[0]), ()) if len(place) == 2 else ()


def validated_inventory(data: dict[str, Any], findings: Findings) -> InventoryDocument | None:
    """`data` as an inventory of the right shape; None, and findings, when it is not one."""
    try:
        return _INVENTORY.validate_python(data)
    except ValidationError as error:
        explain(error.errors(include_url=False), _keys_at, PATTERNS, findings)
        return None


def inventory_json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of inventory files, by which editors complete and check them."""
    return json_schema_of(_INVENTORY)
